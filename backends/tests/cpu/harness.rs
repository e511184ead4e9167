//! Compiles one kernel, loads it and runs it on vectors of any element type.

use latentc_backends::cpu::{Isa, Library, compile_objects};
use latentc_ir::nest::{Index, Kernel};

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

/// Compiles for this machine.
pub fn compile(kernel: Kernel) -> Compiled {
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
