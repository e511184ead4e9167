//! Profiles and traces of sessions: what is counted, at which sizes, and what it costs.

use latentc_backends::{Cache, Options, Peaks, Profile, Session, Store};
use latentc_ir::array::{Array, CsrArray};
use latentc_ir::graph::Graph;
use latentc_ir::graph::parse::parse;
use std::sync::Arc;
use std::time::Duration;

fn graph() -> Graph {
    let text = "graph p {
dim rows: 1..=20000
dim nnz: 0..=400000
data adj: csr[rows, rows; nnz]
data x: f32[rows, 64]
data m: f32[64, 32]
param w: f32[rows, 32]
%0 = spmm(adj, x) {transpose = 0, weighted = 0} : f32[rows, 64]
%1 = matmul(%0, m) {transpose = [0, 0]} : f32[rows, 32]
%2 = add(%1, w)
update w = %2
}";
    parse("p.ir", text).unwrap_or_else(|e| panic!("{e}"))
}

fn session(options: &Options) -> Session {
    let mut s = Session::compile(&graph(), options).unwrap();
    s.set("m", &[64, 32], &[0.5f32; 64 * 32]).unwrap();
    s
}

fn run(s: &mut Session, rows: usize, degree: usize) {
    let edges = (0..rows).flat_map(|r| (0..degree).map(move |d| (r as i32, ((r + 7 * d) % rows) as i32)));
    s.set_csr("adj", Arc::new(CsrArray::from_edges(rows, rows, edges).unwrap())).unwrap();
    s.set("x", &[rows, 64], &vec![1f32; rows * 64]).unwrap();
    let w = Array::from_slice(&[rows, 32], &vec![0f32; rows * 32]);
    s.run(&mut [("w", w)].into_iter().collect::<Store>()).unwrap();
}

fn options(threads: usize, profile: bool) -> Options {
    Options { threads, cache: Cache::Off, profile, ..Options::default() }
}

#[test]
fn costs_are_those_of_the_sizes_and_entries_that_were_bound() {
    let mut s = session(&options(2, true));
    let (mut flops, mut bytes) = (0, 0);
    for (rows, degree) in [(1000, 5), (200, 3), (200, 3), (4000, 1)] {
        run(&mut s, rows, degree);
        let nnz = rows * degree;
        flops += 2 * nnz * 64 + 2 * rows * 64 * 32 + rows * 32;
        // Row pointers, columns, a row of `x` for each entry, the matrix, `w` read and written.
        bytes += 4 * (rows + 1) + nnz * (4 + 256) + 64 * 32 * 4 + 2 * rows * 128;
    }
    let report = s.report();
    let sum = |f: fn(&latentc_backends::LaunchTime) -> u64| report.profile.iter().map(f).sum::<u64>();
    assert_eq!(sum(|l| l.flops), flops as u64, "{report}");
    assert_eq!(sum(|l| l.bytes), bytes as u64, "{report}");
    assert_eq!(report.profile[0].calls, 4);
    let ops: Vec<&str> = report.profile[0].ops.iter().map(|o| o.op).collect();
    assert_eq!(ops, ["spmm", "matmul", "add"]);
    assert_eq!(report.profile[0].ops[1].span.line, 9);

    let peaks = Peaks {
        threads: 2,
        read: 1e10,
        write: 1e10,
        copy: 1e10,
        cache: 1e11,
        cache_bytes: 4e6,
        f32: 1e11,
        f64: 5e10,
    };
    let table = Profile::new(&report, Some(peaks));
    assert_eq!(table.rows.len(), report.profile.len());
    assert!((table.rows.iter().map(|r| r.share).sum::<f64>() - 1.0).abs() < 1e-9);
    let row = &table.rows[0];
    // All of these launches fit in the caches.
    let least = (row.bytes / 1e11).max(row.flops / 1e11);
    assert!((row.of_limit.unwrap() - least / row.time).abs() < 1e-9);
    let text = table.to_string();
    assert!(text.contains("spmm, matmul, add") && text.contains("p.ir:8 and 2 more"), "{text}");
    assert_eq!(table.json()["kernels"][0]["calls"], 4);
    // From nothing again.
    s.profile(true);
    run(&mut s, 10, 1);
    assert_eq!(s.report().profile[0].calls, 1);
}

#[test]
fn a_trace_has_every_launch_on_every_thread_in_order() {
    let mut s = session(&options(2, true));
    for _ in 0..3 {
        run(&mut s, 20_000, 8);
    }
    let trace = s.trace().unwrap();
    assert_eq!((trace.program.as_str(), trace.dropped), ("p", 0));
    let launches = trace.launches.len();
    let of = |thread: u32| trace.events.iter().filter(move |e| e.thread == thread).collect::<Vec<_>>();
    assert_eq!(of(0).len(), 3 * launches);
    assert_eq!(of(1).len(), 3, "the kernel over rows is shared, {trace:?}");
    for thread in [0, 1] {
        let events = of(thread);
        assert!(events.iter().all(|e| e.begin <= e.end));
        assert!(events.windows(2).all(|w| w[0].end <= w[1].begin));
    }
    // A worker's part lies within the launch as the caller sees it.
    for worker in of(1) {
        let holds = |e: &&latentc_backends::Event| e.begin <= worker.begin && worker.end <= e.end;
        assert!(of(0).into_iter().filter(|e| e.launch == worker.launch).any(|e| holds(&e)));
    }
    let mut file = vec![];
    latentc_backends::Trace::write_chrome(&[trace], &mut file).unwrap();
    let text = String::from_utf8(file).unwrap();
    assert!(text.contains("\"p.ir:8\"") && text.contains("\"temporaries\""), "{text}");
}

#[test]
fn a_record_has_the_room_that_was_asked_for_and_off_means_off() {
    let mut s = session(&options(1, false));
    run(&mut s, 100, 2);
    assert!(s.trace().is_none() && s.report().profile.is_empty());
    s.record(2);
    for _ in 0..5 {
        run(&mut s, 100, 2);
    }
    let trace = s.trace().unwrap();
    assert!(trace.events.len() >= 2 && trace.events.len() as u64 + trace.dropped == 5);
    assert_eq!(s.report().profile[0].calls, 5);
    s.profile(false);
    run(&mut s, 100, 2);
    assert!(s.trace().is_none() && s.report().profile.is_empty());
}

#[test]
#[ignore = "a measurement, not a check"]
fn what_profiling_costs() {
    for (name, profile) in [("off", false), ("on", true), ("off", false), ("on", true)] {
        let mut s = session(&options(2, profile));
        run(&mut s, 50, 1);
        let mut times: Vec<Duration> = (0..2000)
            .map(|_| {
                let mut store: Store =
                    [("w", Array::from_slice(&[50, 32], &[0f32; 50 * 32]))].into_iter().collect();
                let start = std::time::Instant::now();
                s.run(&mut store).unwrap();
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("profile {name}: {:?} a run of {} launches", times[1000], s.report().launches);
    }
}
