//! What runs compute, on any number of threads.

use crate::step::{Numbers, program, reference};
use latentc_backends::{Cache, Options, Session, Store};

fn session(threads: usize) -> Session {
    Session::cpu(&program(), &Options { threads, cache: Cache::Off, ..Options::default() }).unwrap()
}

#[test]
fn a_step_gives_what_plain_loops_give() {
    let mut numbers = Numbers::new(1);
    let graph = numbers.graph(300, 500, 4000);
    let mut store = numbers.store(800);
    let mut expected = store.clone();
    let mut s = session(1);
    s.set_csr("adj", graph.clone()).unwrap();
    s.set("keep", &[], &[0.25f32]).unwrap();
    for run in 0..3 {
        let ids = numbers.ids(1000, 800);
        s.set("ids", &[1000], &ids).unwrap();
        s.run(&mut store).unwrap();
        let (rows, sum) = reference(&graph, &ids, 0.25, &mut expected);
        assert_eq!(s.output::<f32>("rows").unwrap(), (&[1000usize, 64][..], &rows[..]));
        assert_eq!(s.output::<f32>("sum").unwrap(), (&[][..], &[sum][..]));
        assert!(store == expected, "parameters after run {run}");
    }
    assert_eq!(store.get("count").unwrap().as_slice::<i32>(), [3]);
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let results: Vec<(Store, Vec<f32>, f32)> = [1, 2, 3, 7]
        .map(|threads| {
            let mut numbers = Numbers::new(2);
            let graph = numbers.graph(1000, 2000, 20_000);
            let mut store = numbers.store(3000);
            let mut s = session(threads);
            assert_eq!(s.report().threads, threads);
            s.set_csr("adj", graph).unwrap();
            s.set("keep", &[], &[0.5f32]).unwrap();
            let mut last = (vec![], 0.0);
            for _ in 0..5 {
                s.set("ids", &[3000], &numbers.ids(3000, 3000)).unwrap();
                s.run(&mut store).unwrap();
                let rows = s.output::<f32>("rows").unwrap().1.to_vec();
                last = (rows, s.output::<f32>("sum").unwrap().1[0]);
            }
            (store, last.0, last.1)
        })
        .into();
    for other in &results[1..] {
        assert!(*other == results[0]);
    }
}

#[test]
fn a_session_moves_between_threads() {
    let mut numbers = Numbers::new(3);
    let graph = numbers.graph(10, 20, 50);
    let mut store = numbers.store(30);
    let mut s = session(2);
    s.set_csr("adj", graph).unwrap();
    s.set("keep", &[], &[0.5f32]).unwrap();
    s.set("ids", &[2], &[4, 5]).unwrap();
    let (s, store) = std::thread::spawn(move || {
        s.run(&mut store).unwrap();
        (s, store)
    })
    .join()
    .unwrap();
    assert_eq!(store.get("count").unwrap().as_slice::<i32>(), [1]);
    assert_eq!(s.output::<f32>("rows").unwrap().0, [2, 64]);
}

#[test]
fn a_profile_counts_every_launch() {
    let mut numbers = Numbers::new(4);
    let graph = numbers.graph(100, 200, 500);
    let mut store = numbers.store(300);
    let mut s = session(2);
    s.set_csr("adj", graph).unwrap();
    s.set("keep", &[], &[0.5f32]).unwrap();
    s.set("ids", &[2], &[4, 5]).unwrap();
    s.run(&mut store).unwrap();
    assert!(s.report().profile.is_empty(), "off until asked for");
    s.profile(true);
    for _ in 0..3 {
        s.run(&mut store).unwrap();
    }
    let report = s.report();
    let seen: Vec<(&str, u64)> = report.profile.iter().map(|l| (l.name.as_str(), l.calls)).collect();
    assert_eq!(seen, [("spmm", 3), ("mix", 3), ("gather", 3), ("finish", 3)]);
    assert!(report.profile[0].total.as_nanos() > 0);
    assert!(report.to_string().contains("spmm"));
    s.profile(false);
    assert!(s.report().profile.is_empty());
}
