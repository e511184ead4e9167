//! Runs schedules: compiles their kernels, makes room for their temporaries, launches their steps.

use std::collections::HashMap;

use latentc_backends::cpu::{Isa, Library, compile_objects, inspect};
use latentc_ir::nest::{Index, Kernel};
use latentc_kernels::{Arg, Machine, Schedule};

use crate::harness::{Param, check};

/// A schedule in memory.
pub struct Loaded {
    library: Library,
    schedule: Schedule,
    temps: Vec<Vec<u64>>,
    dims: HashMap<String, i64>,
}

/// This machine, and the lower level whose code it runs too: other lanes, other tiles.
pub fn machines() -> Vec<Isa> {
    let host = Isa::host().unwrap();
    let lower = (host.name == "x86-64-v4").then(|| Isa::by_name("x86-64-v3").unwrap());
    std::iter::once(host).chain(lower).collect()
}

/// Makes a schedule for a machine and compiles it; `dims` are the sizes that types leave open.
pub fn load(isa: &Isa, schedule: impl Fn(&Machine) -> Schedule, dims: &[(&str, i64)]) -> Loaded {
    let schedule = schedule(&Machine::from(isa));
    let kernels: Vec<Kernel> = schedule.steps.iter().map(|s| s.kernel.clone()).collect();
    kernels.iter().for_each(check);
    let objects = compile_objects(&kernels, isa, 1).unwrap();
    let dims: HashMap<String, i64> = dims.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    let temps = schedule
        .temps
        .iter()
        .map(|t| {
            let len = t.len.eval(&|name| dims.get(name).copied()).unwrap() as usize;
            // What was there before must not matter: every bit set is NaN or -1.
            vec![u64::MAX; (len * t.dtype.size()).div_ceil(8)]
        })
        .collect();
    Loaded { library: Library::load(&objects).unwrap(), schedule, temps, dims }
}

impl Loaded {
    /// Runs every step on the arrays bound to operands and results; parallel loops in `parts` ranges.
    pub fn run(&mut self, arrays: &mut [(Arg, &mut dyn Param)], parts: i64) {
        let find = |arg: Arg, temps: &mut [Vec<u64>], arrays: &mut [(Arg, &mut dyn Param)]| match arg {
            Arg::Temp(t) => temps[t].pointer(),
            arg => {
                let (_, array) = arrays
                    .iter_mut()
                    .find(|(a, _)| *a == arg)
                    .unwrap_or_else(|| panic!("nothing is bound to {arg:?}"));
                array.pointer()
            }
        };
        for step in &self.schedule.steps {
            let pointers: Vec<*mut u8> =
                step.args.iter().map(|a| find(*a, &mut self.temps, arrays)).collect();
            assert_eq!(pointers.len(), step.kernel.params().count(), "{}", step.kernel.name);
            let dims: Vec<i64> = step.kernel.dims.iter().map(|d| self.dims[d]).collect();
            let f = self.library.get(&step.kernel.name).unwrap();
            let ranges = match step.kernel.parallel() {
                None => vec![(0, 0)],
                Some((lo, hi, by, _)) => {
                    let (lo, hi) = (value(lo, &dims), value(hi, &dims));
                    let turns = (hi - lo).max(0).div_euclid(by) + i64::from((hi - lo).max(0) % by != 0);
                    let cut = |part: i64| (lo + turns * part / parts * by).min(hi.max(lo));
                    // Backwards, so that nothing can depend on the order.
                    (0..parts).rev().map(|p| (cut(p), cut(p + 1))).collect()
                }
            };
            for (lo, hi) in ranges {
                // SAFETY: one pointer a parameter (asserted) and one number a dimension; the tests size
                // their arrays as the types that they made the schedule from say.
                unsafe { f(pointers.as_ptr(), dims.as_ptr(), lo, hi) }
            }
        }
    }
}

fn value(i: &Index, dims: &[i64]) -> i64 {
    let of = |i: &Index| value(i, dims);
    match i {
        Index::Const(c) => *c,
        Index::Dim(d) => dims[d.at()],
        Index::Add(a, b) => of(a) + of(b),
        Index::Sub(a, b) => of(a) - of(b),
        Index::Mul(a, b) => of(a) * of(b),
        Index::Div(a, b) => of(a).div_euclid(of(b)),
        Index::Mod(a, b) => of(a).rem_euclid(of(b)),
        Index::Min(a, b) => of(a).min(of(b)),
        Index::Max(a, b) => of(a).max(of(b)),
        Index::Var(_) | Index::Val(_) => panic!("a bound of the parallel loop varies: {i:?}"),
    }
}

/// For each kernel of a schedule, the instructions that put a vector register aside on the stack or take it
/// back, by the compiler's own remarks in the assembly.
pub fn spills(schedule: &Schedule, isa: &Isa) -> Vec<(String, usize)> {
    // On aarch64 halves of vectors and pairs of other registers are saved for the caller: not counted.
    let vector = |l: &str| {
        (l.contains("Spill") || l.contains("Reload"))
            && l.split([' ', ',', '\t', '%', '{']).any(|word| {
                let number = ["xmm", "ymm", "zmm", "q"].iter().find_map(|r| word.strip_prefix(r));
                number.is_some_and(|n| n.parse::<u32>().is_ok())
            })
    };
    let count = |kernel: &Kernel| {
        let text = inspect(std::slice::from_ref(kernel), isa).unwrap();
        text.assembly.lines().filter(|l| vector(l)).count()
    };
    schedule.steps.iter().map(|s| (s.kernel.name.clone(), count(&s.kernel))).collect()
}

/// Seconds of this thread's processor time.
pub fn cpu_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one that every system has, and `t` is ours to be written.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    assert_eq!(failed, 0);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Best and median processor time of `runs` calls, in milliseconds, after one that is not counted.
pub fn timed(runs: usize, mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = cpu_seconds();
            f();
            (cpu_seconds() - start) * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[runs / 2])
}
