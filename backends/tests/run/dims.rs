//! Dimensions are bound anew by each run.

use crate::step::{Numbers, program, reference};
use latentc_backends::{Cache, Options, Session};

#[test]
fn sizes_may_change_from_run_to_run() {
    let mut s =
        Session::cpu(&program(), &Options { threads: 2, cache: Cache::Off, ..Options::default() }).unwrap();
    s.set("keep", &[], &[0.75f32]).unwrap();
    let mut numbers = Numbers::new(5);
    for (users, items, batch) in [(3, 4, 1), (900, 1100, 3000), (1, 1, 0), (40, 50, 33), (1900, 2100, 2999)] {
        let graph = numbers.graph(users, items, 2 * users);
        let mut store = numbers.store(users + items);
        let mut expected = store.clone();
        let ids = numbers.ids(batch, users + items);
        s.set_csr("adj", graph.clone()).unwrap();
        s.set("ids", &[batch], &ids).unwrap();
        s.run(&mut store).unwrap();
        let (rows, sum) = reference(&graph, &ids, 0.75, &mut expected);
        assert_eq!(s.output::<f32>("rows").unwrap(), (&[batch, 64][..], &rows[..]));
        assert_eq!(s.output::<f32>("sum").unwrap().1, [sum]);
        assert!(store == expected);
    }
}
