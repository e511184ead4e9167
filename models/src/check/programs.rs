//! Random programs, each by every way there is to run it, until one does not agree.

use latentc::testing::proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use latentc::testing::proptest::test_runner::{Config, TestRunner};
use latentc::testing::{
    Ask, Coverage, Failure, GraphOptions, How, RandomGraph, check, graphs, kept, layers, rng, training,
    wild_layers,
};
use latentc::{DType, Graph};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A kind of random programs.
pub struct Kind {
    /// What it is called.
    pub name: &'static str,
    programs: fn() -> BoxedStrategy<RandomGraph>,
}

/// The kinds, which take turns.
pub const KINDS: &[Kind] = &[
    Kind { name: "ops of f32", programs: || ops(DType::F32).boxed() },
    Kind { name: "gradients of f32", programs: || ops(DType::F32).prop_map(|g| g.with_gradients()).boxed() },
    Kind { name: "layers", programs: || layers(DType::F32, 12).boxed() },
    Kind { name: "ops of f64", programs: || ops(DType::F64).boxed() },
    Kind { name: "training", programs: || training(DType::F32, 7).boxed() },
    Kind { name: "kept values", programs: || kept().boxed() },
    Kind { name: "ops of bf16", programs: || ops(DType::Bf16).boxed() },
    Kind { name: "special values", programs: || wild_layers(DType::F32, 8).boxed() },
    Kind { name: "gradients of f64", programs: || ops(DType::F64).prop_map(|g| g.with_gradients()).boxed() },
    Kind { name: "ops of f16", programs: || ops(DType::F16).boxed() },
];

fn ops(float: DType) -> impl Strategy<Value = RandomGraph> {
    graphs(GraphOptions { floats: vec![float], ..GraphOptions::default() })
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What all programs follow from.
    pub seed: u64,
    /// The number of the first case; case and seed together decide a program.
    pub first: u64,
    /// How many cases, at most.
    pub cases: u64,
    /// How long, at most.
    pub time: Option<Duration>,
    /// How many at the same time.
    pub threads: usize,
}

/// A program that does not agree.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of the case.
    pub case: u64,
    /// Its kind.
    pub kind: &'static str,
    /// What differs.
    pub failure: String,
    /// The program, shrunk.
    pub program: RandomGraph,
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Summary {
    /// Cases done.
    pub done: u64,
    /// What programs were made of.
    pub coverage: Coverage,
    /// The first program that did not agree.
    pub found: Option<Found>,
}

/// Told of cases done, now and then.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Tries random programs until one does not agree, the limits are reached or `stop` is raised.
pub fn hunt(limits: Limits, stop: &AtomicBool, progress: Progress<'_>) -> Summary {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let summary = Mutex::new(Summary::default());
    let began = Instant::now();
    let over = || {
        let late = limits.time.is_some_and(|t| began.elapsed() >= t);
        late || stop.load(Ordering::Relaxed)
    };
    let ended = AtomicBool::new(false);
    let work = || {
        let mut coverage = Coverage::default();
        let mut found = None;
        while !over() && !ended.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= limits.cases {
                break;
            }
            found = try_case(limits.seed, limits.first + at, &mut coverage);
            done.fetch_add(1, Ordering::Relaxed);
            if found.is_some() {
                ended.store(true, Ordering::Relaxed);
            }
        }
        let mut summary = summary.lock().unwrap_or_else(|e| e.into_inner());
        summary.coverage.merge(&coverage);
        let earlier = |f: &Found| summary.found.as_ref().is_none_or(|g| f.case < g.case);
        if found.as_ref().is_some_and(earlier) {
            summary.found = found;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..limits.threads.max(1)).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|w| !w.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            progress(done.load(Ordering::Relaxed));
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(|e| e.into_inner());
    summary.done = done.load(Ordering::Relaxed);
    summary
}

/// What is asked of a case: always native code as it is usually made, on two threads, too; the rest in turn.
fn ask_of(graph: &Graph, case: u64) -> Ask {
    let mut ask = Ask::of(graph);
    let turn = (case / KINDS.len() as u64) as usize;
    ask.simulated.swap(0, turn % 4);
    ask.simulated.truncate(1);
    ask.native.extend((turn % 8 == 7).then(How::plain));
    ask.threads = vec![2 + turn % 2];
    ask
}

/// Asks a program; a panic is an answer, too.
fn answer(program: &RandomGraph, ask: &Ask) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| check(program, ask))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
        Err(Failure(format!("a panic: {text}")))
    })
}

/// Steps of shrinking, at most, and for how long.
const STEPS: u32 = 500;
const SHRINKING: Duration = Duration::from_secs(60);

fn try_case(seed: u64, case: u64, coverage: &mut Coverage) -> Option<Found> {
    let kind = &KINDS[(case % KINDS.len() as u64) as usize];
    let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed, case));
    let mut tree = (kind.programs)().new_tree(&mut runner).ok()?;
    let program = tree.current();
    coverage.add(&program);
    let mut failure = answer(&program, &ask_of(&program.graph, case)).err()?;
    let began = Instant::now();
    let mut smallest = program;
    let mut steps = 0;
    let mut more = tree.simplify();
    while more && steps < STEPS && began.elapsed() < SHRINKING {
        steps += 1;
        let smaller = tree.current();
        more = match answer(&smaller, &ask_of(&smaller.graph, case)) {
            Err(f) => {
                (failure, smallest) = (f, smaller);
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    let program = smallest.reduced(&mut |part| match answer(part, &ask_of(&part.graph, case)) {
        Err(f) => {
            failure = f;
            true
        }
        Ok(()) => false,
    });
    Some(Found { case, kind: kind.name, failure: failure.0, program })
}
