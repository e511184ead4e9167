//! Runs allocate nothing once they are warm: counted by the allocator, so alone in its process.
#![cfg(feature = "llvm")]

#[path = "../run/step.rs"]
mod step;

use latentc_backends::{Cache, Options, Session, Store};
use latentc_ir::array::CsrArray;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use step::{Numbers, program, reference};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, SeqCst);
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised to us.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, SeqCst);
        // SAFETY: as promised to us.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test of this binary: another one's allocations would be counted too.
#[test]
fn warm_runs_allocate_nothing() {
    for threads in [1, 2, 3] {
        let mut numbers = Numbers::new(12);
        let large = numbers.graph(1900, 2100, 20_000);
        let small = numbers.graph(5, 6, 20);
        let mut stores = [numbers.store(4000), numbers.store(11)];
        let ids = numbers.ids(3000, 11);
        let mut expected = stores[0].clone();
        let mut s =
            Session::cpu(&program(), &Options { threads, cache: Cache::Off, ..Options::default() }).unwrap();
        s.profile(true);
        // Room for a part of what comes; the rest is counted.
        s.record(100);
        let mut sums = [0f32; 40];
        let mut round =
            |s: &mut Session, i: usize, store: &mut Store, graph: &Arc<CsrArray>, batch: usize| {
                s.set_csr("adj", graph.clone()).unwrap();
                s.set("ids", &[batch], &ids[..batch]).unwrap();
                s.set("keep", &[], &[0.01f32]).unwrap();
                s.run(store).unwrap();
                let (shape, rows) = s.output::<f32>("rows").unwrap();
                assert_eq!((shape, rows.len()), (&[batch, 64][..], batch * 64));
                sums[i] = s.output::<f32>("sum").unwrap().1[0];
            };
        // Outputs have their greatest size from the beginning; checking a new pattern takes memory.
        round(&mut s, 0, &mut stores[0], &large, 10);
        reference(&large, &ids[..10], 0.01, &mut expected);
        assert!(stores[0] == expected);
        let before = CALLS.load(SeqCst);
        for i in 0..40 {
            round(&mut s, i, &mut stores[0], &large, [3000, 1, 0, 2999][i % 4]);
        }
        let steady = CALLS.load(SeqCst) - before;
        assert_eq!(steady, 0, "with {threads} threads");
        // Other sizes of the graph: the new pattern is checked, nothing more.
        s.set_csr("adj", small.clone()).unwrap();
        let before = CALLS.load(SeqCst);
        for i in 0..10 {
            round(&mut s, i, &mut stores[1], &small, [11, 300][i % 2]);
        }
        assert_eq!(CALLS.load(SeqCst) - before, 0, "with {threads} threads on the small graph");
    }
}
