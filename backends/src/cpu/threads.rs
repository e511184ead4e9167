//! The threads that run kernels: workers that live as long as a session, and the caller.
//!
//! A launch costs two atomic operations a worker while the workers spin; they do so for a moment after each
//! launch, since programs launch kernels back to back, and sleep then. Nothing is allocated and no lock is
//! taken while nobody sleeps. Which thread runs which part is fixed.

use super::KernelFn;
use crate::error::CompileError;
use std::cell::UnsafeCell;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread looks for work, or for the end of it, before it sleeps.
const SPIN: Duration = Duration::from_micros(40);
/// How long it does so during a run: between two launches for all threads the caller may have one for itself
/// alone, and waking a sleeper takes longer than most of those.
const SPIN_IN_RUN: Duration = Duration::from_micros(400);

/// A part of a parallel loop: first value and end.
pub(crate) type Part = (i64, i64);

/// Persistent workers.
pub(crate) struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Job {
    function: KernelFn,
    pointers: *const *mut u8,
    dims: *const i64,
    /// One for each thread; the caller's is the first.
    parts: *const Part,
    /// Where each thread notes when it began and ended; null where nobody asks.
    clock: *const Clock,
}

/// When each thread began and ended its part of the last launch.
pub(crate) struct Clock {
    start: Instant,
    /// Nanoseconds since the start.
    times: Vec<Apart<[AtomicU64; 2]>>,
}

impl Clock {
    /// For so many threads; times count from `start`.
    pub fn new(start: Instant, threads: usize) -> Clock {
        let times = (0..threads).map(|_| Apart([AtomicU64::new(0), AtomicU64::new(0)])).collect();
        Clock { start, times }
    }

    /// Notes the time.
    pub fn note(&self, thread: usize, end: usize) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Ordered by the counters of the launch.
        self.times[thread].0[end].store(now, Relaxed);
    }

    /// When a thread began and ended.
    pub fn times(&self, thread: usize) -> [Duration; 2] {
        [0, 1].map(|end| Duration::from_nanos(self.times[thread].0[end].load(Relaxed)))
    }
}

/// Apart from its neighbours by two cache lines, which processors fetch in pairs.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    /// The number of the launch; the workers act when it changes.
    launch: Apart<AtomicU32>,
    /// Workers that have not finished the launch.
    busy: Apart<AtomicUsize>,
    job: UnsafeCell<Option<Job>>,
    stop: AtomicBool,
    /// Whether a run is under way, and the number of the last one.
    running: AtomicBool,
    runs: AtomicU32,
    /// Workers asleep or about to be, and whether the caller is.
    asleep: AtomicUsize,
    caller_asleep: AtomicBool,
    lock: Mutex<()>,
    begun: Condvar,
    finished: Condvar,
    /// Whether there is a processor for each thread: without one, spinning keeps others from working.
    room: bool,
}

// SAFETY: `job` is written by the one caller while no worker is busy, and read by workers only between a
// change of `launch` and their decrement of `busy`; both are ordered by those atomics. The rest is shared
// safely by its own types.
unsafe impl Sync for Shared {}
// SAFETY: the pointers in `job` are used only during a launch, whose caller keeps them alive.
unsafe impl Send for Shared {}

impl Shared {
    fn guard(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data, so a poisoned one is as good.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spins until the condition holds; false where it takes too long.
    fn spin_until(&self, holds: impl Fn() -> bool) -> bool {
        if holds() {
            return true;
        }
        if !self.room {
            return false;
        }
        let start = Instant::now();
        let limit = || if self.running.load(Relaxed) { SPIN_IN_RUN } else { SPIN };
        while start.elapsed() < limit() {
            for _ in 0..32 {
                std::hint::spin_loop();
                if holds() {
                    return true;
                }
            }
        }
        false
    }

    /// Waits for a launch after `seen`.
    fn next_launch(&self, seen: u32) -> u32 {
        let changed = || self.launch.0.load(SeqCst) != seen;
        while !self.spin_until(changed) {
            // Counted before the last look: a caller that this look misses sees the count and notifies.
            self.asleep.fetch_add(1, SeqCst);
            let run = self.runs.load(SeqCst);
            let mut guard = self.guard();
            while !changed() && self.runs.load(SeqCst) == run {
                guard = self.begun.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            self.asleep.fetch_sub(1, SeqCst);
        }
        self.launch.0.load(SeqCst)
    }

    fn wake(&self) {
        if self.asleep.load(SeqCst) > 0 {
            drop(self.guard());
            self.begun.notify_all();
        }
    }

    /// Starts what `job` and `stop` say.
    fn announce(&self) {
        self.launch.0.fetch_add(1, SeqCst);
        self.wake();
    }

    fn work(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.next_launch(seen);
            if self.stop.load(SeqCst) {
                return;
            }
            // SAFETY: the launch that we saw has been announced and we have not finished it.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: the caller of `Threads::run` vouches for the job; `parts` has one for each thread.
                unsafe { job.run(thread) };
            }
            if self.busy.0.fetch_sub(1, SeqCst) == 1 && self.caller_asleep.load(SeqCst) {
                drop(self.guard());
                self.finished.notify_one();
            }
        }
    }

    fn wait_for_workers(&self) {
        let done = || self.busy.0.load(SeqCst) == 0;
        if !self.spin_until(done) {
            self.caller_asleep.store(true, SeqCst);
            let mut guard = self.guard();
            while !done() {
                guard = self.finished.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            self.caller_asleep.store(false, SeqCst);
        }
    }
}

impl Job {
    /// # Safety
    /// As [`KernelFn`]; `parts` has more than `thread` entries, and so has the clock where there is one.
    unsafe fn run(self, thread: usize) {
        // SAFETY: promised by the caller.
        unsafe {
            let clock = self.clock.as_ref();
            if let Some(clock) = clock {
                clock.note(thread, 0);
            }
            let (lo, hi) = *self.parts.add(thread);
            if lo < hi {
                (self.function)(self.pointers, self.dims, lo, hi);
            }
            if let Some(clock) = clock {
                clock.note(thread, 1);
            }
        }
    }
}

impl Threads {
    /// Starts `count - 1` workers (none for one thread).
    pub fn start(count: usize) -> Result<Threads, CompileError> {
        let count = count.max(1);
        let room = std::thread::available_parallelism().is_ok_and(|n| n.get() >= count);
        let shared = Arc::new(Shared {
            launch: Apart(AtomicU32::new(0)),
            busy: Apart(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            running: AtomicBool::new(false),
            runs: AtomicU32::new(0),
            asleep: AtomicUsize::new(0),
            caller_asleep: AtomicBool::new(false),
            lock: Mutex::new(()),
            begun: Condvar::new(),
            finished: Condvar::new(),
            room,
        });
        // Dropping what has been started stops it, should the next one fail.
        let mut threads = Threads { shared, workers: Vec::with_capacity(count - 1) };
        for thread in 1..count {
            let shared = threads.shared.clone();
            let worker = std::thread::Builder::new()
                .name(format!("latentc-{thread}"))
                .spawn(move || shared.work(thread))
                .map_err(|source| CompileError::Threads { started: thread, wanted: count, source })?;
            threads.workers.push(worker);
        }
        Ok(threads)
    }

    /// How many threads run a launch, the caller among them.
    pub fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Says that launches are coming: sleepers wake meanwhile, and nobody falls asleep so soon.
    pub fn begin(&self) {
        if self.shared.room && !self.workers.is_empty() {
            self.shared.running.store(true, Relaxed);
            self.shared.runs.fetch_add(1, SeqCst);
            self.shared.wake();
        }
    }

    /// Says that no launch is coming for now.
    pub fn end(&self) {
        self.shared.running.store(false, Relaxed);
    }

    /// Runs a kernel's parts, one on each thread, and waits for all; the first runs here.
    ///
    /// # Safety
    /// As [`KernelFn`]: `pointers` and `dims` are those of the kernel and the parts are disjoint parts of its
    /// parallel loop.
    ///
    /// # Panics
    /// Where there is not one part for each thread: a fault of this crate.
    pub unsafe fn run(
        &mut self,
        function: KernelFn,
        pointers: *const *mut u8,
        dims: *const i64,
        parts: &[Part],
        clock: Option<&Clock>,
    ) {
        assert_eq!(parts.len(), self.count());
        let clock = clock.map_or(std::ptr::null(), |clock| {
            assert_eq!(clock.times.len(), parts.len());
            std::ptr::from_ref(clock)
        });
        let job = Job { function, pointers, dims, parts: parts.as_ptr(), clock };
        if !self.workers.is_empty() {
            // SAFETY: no worker is busy: the last launch was waited for, and `self` is borrowed uniquely.
            unsafe { *self.shared.job.get() = Some(job) };
            self.shared.busy.0.store(self.workers.len(), SeqCst);
            self.shared.announce();
        }
        // SAFETY: promised by the caller.
        unsafe { job.run(0) };
        self.shared.wait_for_workers();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.announce();
        for worker in self.workers.drain(..) {
            // A worker runs no code that panics; if one did, there is nothing left to do about it.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `out[i] += i` for the part; dims[0] microseconds of rest before.
    unsafe extern "C" fn add(pointers: *const *mut u8, dims: *const i64, lo: i64, hi: i64) {
        // SAFETY: the tests pass one buffer of i64 and one dimension.
        unsafe {
            let out = (*pointers).cast::<i64>();
            if *dims > 0 {
                std::thread::sleep(Duration::from_micros(*dims as u64 * lo as u64));
            }
            for i in lo..hi {
                *out.add(i as usize) += i;
            }
        }
    }

    fn launch(threads: &mut Threads, out: &mut [i64], rest: i64) {
        let n = threads.count() as i64;
        let len = out.len() as i64;
        let parts: Vec<Part> = (0..n).map(|t| (len * t / n, len * (t + 1) / n)).collect();
        let pointers = [out.as_mut_ptr().cast::<u8>()];
        // SAFETY: the parts are disjoint parts of the buffer.
        unsafe { threads.run(add, pointers.as_ptr(), &rest, &parts, None) }
    }

    #[test]
    fn every_part_runs_once_a_launch() {
        for count in [1, 2, 3, 8] {
            let mut threads = Threads::start(count).unwrap();
            assert_eq!(threads.count(), count);
            let mut out = vec![0i64; 101];
            for _ in 0..500 {
                launch(&mut threads, &mut out, 0);
            }
            assert!(out.iter().enumerate().all(|(i, x)| *x == 500 * i as i64), "{count} threads");
        }
    }

    #[test]
    fn sleepers_wake() {
        let mut threads = Threads::start(3).unwrap();
        let mut out = vec![0i64; 7];
        for round in 0..40 {
            // Now the workers fall asleep between launches, now the caller waits longer than it spins.
            std::thread::sleep(Duration::from_micros(if round % 2 == 0 { 300 } else { 0 }));
            launch(&mut threads, &mut out, if round % 4 < 2 { 100 } else { 0 });
        }
        assert!(out.iter().enumerate().all(|(i, x)| *x == 40 * i as i64));
    }

    #[test]
    #[ignore = "a measurement, not a check"]
    fn latency_of_a_launch() {
        unsafe extern "C" fn nothing(_: *const *mut u8, _: *const i64, _: i64, _: i64) {}
        let count = std::thread::available_parallelism().map_or(1, |n| n.get());
        for count in [1, 2, count] {
            let mut threads = Threads::start(count).unwrap();
            let parts = vec![(0, 1); count];
            let mut measure = |rest: Duration| {
                let mut times: Vec<Duration> = (0..2000)
                    .map(|_| {
                        if !rest.is_zero() {
                            std::thread::sleep(rest);
                        }
                        let start = Instant::now();
                        // SAFETY: the kernel touches nothing.
                        unsafe { threads.run(nothing, std::ptr::null(), std::ptr::null(), &parts, None) };
                        start.elapsed()
                    })
                    .collect();
                times.sort();
                (times[times.len() / 2], times[times.len() * 9 / 10])
            };
            let (hot, rested) = (measure(Duration::ZERO), measure(Duration::from_micros(200)));
            println!("{count} threads: median and 90% {hot:?} back to back, {rested:?} with workers asleep");
        }
    }
}
