//! Compiles kernels, loads them and runs them on vectors of any element type, and on arrays beside the nest's
//! interpreter.

use latentc_backends::cpu::{Isa, Library, compile_objects};
use latentc_ir::array::Array;
use latentc_ir::dtype::DType;
use latentc_ir::nest::parse::parse;
use latentc_ir::nest::verify::verify;
use latentc_ir::nest::{Index, Kernel, interp};

/// A kernel in memory.
pub struct Compiled {
    library: Library,
    kernel: Kernel,
}

/// A parameter: any vector of plain numbers.
pub trait Param {
    fn pointer(&mut self) -> *mut u8;
}

impl<T: Copy> Param for Vec<T> {
    fn pointer(&mut self) -> *mut u8 {
        self.as_mut_ptr().cast()
    }
}

/// Every kernel that a test compiles keeps the rules and comes back from its text.
pub fn check(kernel: &Kernel) {
    if let Err(errors) = verify(kernel) {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}\n{kernel}", errors.join("\n"));
    }
    let text = kernel.to_string();
    let back = parse(&kernel.name, &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(back == *kernel, "comes back from its text as\n{back}");
}

/// Compiles for this machine.
pub fn compile(kernel: Kernel) -> Compiled {
    check(&kernel);
    let isa = Isa::host().unwrap();
    let objects = compile_objects(std::slice::from_ref(&kernel), &isa, 1).unwrap();
    Compiled { library: Library::load(&objects).unwrap(), kernel }
}

impl Compiled {
    /// Runs the whole kernel.
    pub fn run(&self, params: &mut [&mut dyn Param], dims: &[i64]) {
        let value = |i: &Index| match i {
            Index::Const(c) => *c,
            Index::Dim(d) => dims[d.at()],
            other => panic!("a bound that the harness cannot compute: {other:?}"),
        };
        let (lo, hi) = self.kernel.parallel().map_or((0, 0), |(lo, hi, ..)| (value(lo), value(hi)));
        self.run_range(params, dims, lo, hi);
    }

    /// Runs a part of the parallel loop.
    pub fn run_range(&self, params: &mut [&mut dyn Param], dims: &[i64], lo: i64, hi: i64) {
        assert_eq!(params.len(), self.kernel.params().count());
        assert_eq!(dims.len(), self.kernel.dims.len());
        let pointers: Vec<*mut u8> = params.iter_mut().map(|p| p.pointer()).collect();
        let f = self.library.get(&self.kernel.name).unwrap();
        // SAFETY: one pointer a parameter, one number a dimension (asserted); the tests size their vectors
        // as the kernels declare.
        unsafe { f(pointers.as_ptr(), dims.as_ptr(), lo, hi) }
    }
}

/// Kernels in memory, compiled for one instruction set.
pub struct Set {
    library: Library,
    kernels: Vec<Kernel>,
}

/// The instruction sets whose code this machine runs: its own, and the levels below.
pub fn runnable() -> Vec<Isa> {
    let host = Isa::host().unwrap();
    let levels = ["x86-64-v2", "x86-64-v3", "x86-64-v4"];
    let below = levels.iter().position(|l| *l == host.name).unwrap_or(0);
    let mut all: Vec<Isa> = levels[..below].iter().map(|l| Isa::by_name(l).unwrap()).collect();
    all.push(host);
    all
}

/// Compiles kernels for an instruction set.
pub fn compile_for(kernels: &[Kernel], isa: &Isa) -> Set {
    kernels.iter().for_each(check);
    let objects = compile_objects(kernels, isa, 1).unwrap();
    Set { library: Library::load(&objects).unwrap(), kernels: kernels.to_vec() }
}

impl Set {
    /// Runs the whole of a kernel on copies of the parameters; gives them afterwards.
    pub fn run(&self, at: usize, params: &[Array], dims: &[i64]) -> Vec<Array> {
        let parallel = self.kernels[at].parallel();
        let (lo, hi) = parallel.map_or((0, 0), |(lo, hi, ..)| (value(lo, dims), value(hi, dims)));
        self.run_range(at, params, dims, lo, hi)
    }

    /// Runs a part of the parallel loop.
    pub fn run_range(&self, at: usize, params: &[Array], dims: &[i64], lo: i64, hi: i64) -> Vec<Array> {
        let kernel = &self.kernels[at];
        let mut params = params.to_vec();
        assert_eq!((params.len(), dims.len()), (kernel.params().count(), kernel.dims.len()));
        for ((_, b), a) in kernel.params().zip(&params) {
            assert_eq!((b.dtype, value(&b.len, dims)), (a.dtype(), a.len() as i64), "{}", b.name);
        }
        let pointers: Vec<*mut u8> = params.iter_mut().map(|p| p.as_bytes_mut().as_mut_ptr()).collect();
        let f = self.library.get(&kernel.name).unwrap();
        // SAFETY: one pointer a parameter, of the type and length that the kernel declares, one number a
        // dimension (all asserted).
        unsafe { f(pointers.as_ptr(), dims.as_ptr(), lo, hi) }
        params
    }

    /// Runs a kernel both ways; gives what the interpreter and what the machine left in the parameters.
    pub fn both(&self, at: usize, params: &[Array], dims: &[i64]) -> (Vec<Array>, Vec<Array>) {
        let mut reference = params.to_vec();
        interp::run(&self.kernels[at], &mut reference, dims, None).unwrap_or_else(|e| panic!("{e}"));
        (reference, self.run(at, params, dims))
    }
}

/// A length or bound of constants and dimensions.
fn value(i: &Index, dims: &[i64]) -> i64 {
    let two = |a: &Index, b: &Index| (value(a, dims), value(b, dims));
    match i {
        Index::Const(c) => *c,
        Index::Dim(d) => dims[d.at()],
        Index::Add(a, b) => two(a, b).0 + two(a, b).1,
        Index::Sub(a, b) => two(a, b).0 - two(a, b).1,
        Index::Mul(a, b) => two(a, b).0 * two(a, b).1,
        Index::Div(a, b) => two(a, b).0.div_euclid(two(a, b).1),
        Index::Mod(a, b) => two(a, b).0.rem_euclid(two(a, b).1),
        Index::Min(a, b) => two(a, b).0.min(two(a, b).1),
        Index::Max(a, b) => two(a, b).0.max(two(a, b).1),
        Index::Var(_) | Index::Val(_) => panic!("a length that depends on the run: {i:?}"),
    }
}

/// How far apart two floats of a type are, counted in floats of the type; 0 for two NaN. Integers and truth
/// values are 0 or `u64::MAX` apart.
pub fn ulps(dtype: DType, a: f64, b: f64) -> u64 {
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() { 0 } else { u64::MAX };
    }
    // Sign and magnitude made an order, with -0 just below +0.
    let order = |bits: i64, width: u32| {
        let magnitude = bits & (i64::MAX >> (64 - width));
        if bits >> (width - 1) & 1 == 1 { -1 - magnitude } else { magnitude }
    };
    let at = |x: f64| match dtype {
        DType::F64 => order(x.to_bits() as i64, 64),
        DType::F32 => order(i64::from((x as f32).to_bits()), 32),
        // A binary32 with the lower half gone.
        DType::Bf16 => order(i64::from((x as f32).to_bits() >> 16), 16),
        DType::F16 => order(i64::from(half_bits(x)), 16),
        // Exact, so a difference in bits is one in value or in the sign of a zero.
        _ => order((x as f32).to_bits().into(), 32),
    };
    at(a).abs_diff(at(b))
}

/// The bits of a binary16 that holds the value exactly.
fn half_bits(x: f64) -> u16 {
    let mut a = Array::zeros(DType::F16, &[1]);
    a.set(0, latentc_ir::dtype::Literal::float(DType::F16, x));
    u16::from_ne_bytes([a.as_bytes()[0], a.as_bytes()[1]])
}

/// The first element further apart than so many ulps, if any: position, expected, found.
pub fn difference(expected: &Array, found: &Array, limit: u64) -> Option<(usize, String, String)> {
    assert_eq!((expected.dtype(), expected.len()), (found.dtype(), found.len()));
    let d = expected.dtype();
    (0..expected.len()).find_map(|i| {
        let (a, b) = (expected.get(i), found.get(i));
        let near = if d.is_float() { ulps(d, a.as_f64(), b.as_f64()) <= limit } else { a == b };
        (!near).then(|| (i, a.to_string(), b.to_string()))
    })
}

/// Numbers that look random and are the same in every run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 11) as usize % n
    }

    pub fn between(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * ((self.bits() >> 11) as f64 / (1u64 << 53) as f64)
    }

    pub fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.between(-2.0, 2.0) as f32).collect()
    }
}
