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

/// A loop with a branch in it, and one that ends when it is done.
const LOOPS: &str = "graph loops {
    dim n: 0..=100
    data x: f32[n, 8]
    data w: f32[8, 8]
    data count: i64[]
    param h: f32[8]
    %0 = iota() {shape = [n], axis = 0, dtype = i64}
    %1, %2 = scan(h, x, %0, w, count) {trips = [n], carries = 1, slices = 2, reverse = 1, checkpoint = 0, body = {
        arg h: f32[8]
        arg x: f32[8]
        arg step: i64[]
        arg w: f32[8, 8]
        arg count: i64[]
        %0 = lt(step, count)
        %1 = cond(%0, h, w) {then = {
            arg h: f32[8]
            arg w: f32[8, 8]
            %0 = reshape(h) {shape = [1, 8]}
            %1 = matmul(%0, w) {transpose = [0, 0]}
            %2 = reshape(%1) {shape = [8]}
            %3 = tanh(%2)
            output h = %3
        }, otherwise = {
            arg h: f32[8]
            arg w: f32[8, 8]
            output h = h
        }}
        %2 = add(%1, x)
        output h = %2
        output y = %2
    }}
    %3, %4 = while(%1, count) {limit = [20], carries = 2, test = {
        arg h: f32[8]
        arg count: i64[]
        %0 = fill() {value = 0:i64, shape = []}
        %1 = gt(count, %0)
        output going = %1
    }, body = {
        arg h: f32[8]
        arg count: i64[]
        %0 = tanh(h)
        %1 = fill() {value = 1:i64, shape = []}
        %2 = sub(count, %1)
        output h = %0
        output count = %2
    }}
    output y = %2
    output left = %4
    update h = %3
}";

fn loops() {
    let graph = latentc_ir::graph::parse::parse("loops", LOOPS).unwrap();
    let target = latentc_ir::lower::Target::default();
    let plan = latentc_ir::passes::lower(&graph, &latentc_ir::passes::Options::new(&target)).unwrap();
    assert_eq!(plan.controls.len(), 3, "{plan}");
    let options = Options { threads: 2, cache: Cache::Off, ..Options::default() };
    let mut s = Session::cpu(&plan, &options).unwrap();
    let mut store = Store::new();
    store.insert("h", latentc_ir::array::Array::from_slice(&[8], &[0.5f32; 8]));
    let (x, w) = (vec![0.25f32; 800], vec![0.125f32; 64]);
    let mut round = |n: usize, count: i64| {
        s.set("x", &[n, 8], &x[..8 * n]).unwrap();
        s.set("w", &[8, 8], &w).unwrap();
        s.set("count", &[], &[count]).unwrap();
        s.run(&mut store).unwrap();
        assert_eq!(s.output::<i64>("left").unwrap().1, [(count - 20).max(0)]);
        assert_eq!(s.output::<f32>("y").unwrap().0, [n, 8]);
    };
    round(100, 30);
    let before = CALLS.load(SeqCst);
    for i in 0..40 {
        round([100, 0, 7, 1][i % 4], [3, 0, 50][i % 3]);
    }
    assert_eq!(CALLS.load(SeqCst) - before, 0, "in loops and branches");
}

/// The only test of this binary: another one's allocations would be counted too.
#[test]
fn warm_runs_allocate_nothing() {
    loops();
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
