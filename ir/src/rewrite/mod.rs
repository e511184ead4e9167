//! Rewriting: named rules, and the driver that applies them to a fixpoint.
//!
//! A rule looks at one node and gives the value that may stand in place of its first result. Each carries a tag, and a
//! policy says which tags are used; each is tested against the interpreter.
//!
//! | | [`Numerics::Strict`] | [`Numerics::Fast`] |
//! |---|---|---|
//! | rules that keep bits ([`Tag::Exact`]) | yes | yes |
//! | rules that change the order of additions and multiplications ([`Tag::Reassociating`]) | no | yes |
//! | fusion, where kernels decide in which order sums are taken | no: an op a kernel | yes |
//!
//! No rule is less exact than that: functions are approximated in one place, where code is made, the same for both.

mod algebra;
mod gather;
mod movement;
mod sparse;

use crate::diag::Diag;
use crate::graph::{Graph, NodeId, Operand};

/// What may be done to numbers to make a program faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numerics {
    /// Sums and products may be taken in another order.
    #[default]
    Fast,
    /// Nothing: results have the bits of the program without any rule and without fusion.
    Strict,
}

impl Numerics {
    /// Whether the policy has a place for a rule.
    pub fn allows(self, rule: &Rule) -> bool {
        self == Numerics::Fast || rule.tag == Tag::Exact
    }
}

/// What a rule does to numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The same bits.
    Exact,
    /// The same but for the order of additions and multiplications.
    Reassociating,
}

/// A rewrite rule.
pub struct Rule {
    /// Its name: the equation it applies.
    pub name: &'static str,
    /// What it does to numbers.
    pub tag: Tag,
    /// The value to use instead of the node's first result, where the rule applies.
    pub apply: fn(&mut Graph, NodeId) -> Option<Operand>,
}

/// Writes a table of rules: `"name": Tag => function`.
macro_rules! rules {
    ($($name:literal : $tag:ident => $apply:expr,)+) => {
        &[$($crate::rewrite::Rule {
            name: $name,
            tag: $crate::rewrite::Tag::$tag,
            apply: $apply,
        }),+]
    };
}
pub(crate) use rules;

/// Rules that hold anywhere and make graphs smaller.
pub fn simplifying() -> impl Iterator<Item = &'static Rule> {
    algebra::RULES.iter().chain(movement::RULES).chain(sparse::RULES)
}

/// Rules that move row gathers towards inputs, so that what only some rows need is computed for those alone.
pub fn gathering() -> impl Iterator<Item = &'static Rule> {
    gather::RULES.iter()
}

/// Every rule.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    simplifying().chain(gathering())
}

/// Applications per node of the graph, at most: a net under rules that undo each other.
const BUDGET: usize = 16;

/// Applies rules to a fixpoint; gives how often each was applied.
pub fn run(graph: &mut Graph, rules: &[&Rule]) -> Vec<(&'static str, usize)> {
    let mut counts = vec![0; rules.len()];
    let mut budget = (graph.len() + 16) * BUDGET;
    let mut changed = true;
    while changed && budget > 0 {
        changed = false;
        for n in graph.topological() {
            if !graph.contains(n) {
                continue;
            }
            for (i, rule) in rules.iter().enumerate() {
                let before = graph.at.replace(graph.node(n).span.clone());
                let new = (rule.apply)(graph, n);
                graph.at = before;
                let Some(new) = new else { continue };
                if new == Operand::from(n) {
                    continue;
                }
                graph.replace(n.into(), new);
                counts[i] += 1;
                budget = budget.saturating_sub(1);
                changed = true;
                break;
            }
        }
        graph.remove_dead();
    }
    rules.iter().map(|r| r.name).zip(counts).filter(|(_, c)| *c > 0).collect()
}

/// Simplifies: algebra and movement, as far as the policy allows.
pub fn simplify(graph: &mut Graph, numerics: Numerics) -> Result<(), Diag> {
    let rules: Vec<&Rule> = simplifying().filter(|r| numerics.allows(r)).collect();
    run(graph, &rules);
    Ok(())
}

/// What is done to the forward graph before it is differentiated: simplification, and gathers moved towards
/// inputs, so that the backward pass, too, works on the gathered rows only.
pub fn forward(graph: &mut Graph, numerics: Numerics) -> Result<(), Diag> {
    let rules: Vec<&Rule> = all().filter(|r| numerics.allows(r)).collect();
    graph.each_body(&mut |body| {
        run(body, &rules);
        Ok(())
    })?;
    run(graph, &rules);
    Ok(())
}
