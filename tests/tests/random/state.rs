//! Values kept between runs: read before and after they change, swapped, set to one another and to inputs,
//! given out, updated through every kind of op that reads other elements than it writes.

use crate::cases;
use latentc_backends::testing::{Ask, check};
use latentc_ir::graph::Operand;
use latentc_ir::testing::kept;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn runs(graph in kept()) {
        check(&graph, &Ask { runs: 3, ..Ask::all(1e-4) })?;
    }
}

/// What these programs are made of is there to be met: swaps, and old values given out.
#[test]
fn kept_values_are_swapped_and_given_out() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut swapped, mut old, mut shared, mut given) = (0, 0, 0, 0);
    for _ in 0..300 {
        let Ok(tree) = kept().new_tree(&mut runner) else { continue };
        let g = tree.current().graph;
        let home = |name: &String| g.input(name).map(Operand::from);
        let new = |o: Operand| g.updates.iter().find(|(n, _)| home(n) == Some(o)).map(|(_, new)| *new);
        for (name, value) in &g.updates {
            let own = home(name);
            swapped += usize::from(own != Some(*value) && new(*value).is_some() && new(*value) == own);
            shared += usize::from(g.updates.iter().any(|(n, v)| n != name && v == value));
            old += usize::from(g.outputs.iter().any(|(_, o)| Some(*o) == own));
            given += usize::from(g.outputs.iter().any(|(_, o)| o == value));
        }
    }
    assert!(
        [swapped, old, shared, given].iter().all(|count| *count > 10),
        "{swapped} {old} {shared} {given}"
    );
}
