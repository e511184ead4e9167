//! `einsum`: sums of products of tensors whose axes have names, as permutations, matrix products and sums.

use super::Composed;
use crate::dim::{Dim, Proof};
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::index::Index;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, product, shape_text};
use std::collections::BTreeMap;

/// The name of an axis: a letter, or the position, counted from the last, among those that `...` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Rest(usize),
    Letter(char),
}

/// A tensor with names of its axes.
#[derive(Clone, Debug)]
struct Named {
    x: Operand,
    names: Vec<Name>,
}

impl Graph {
    /// Sums of products by an equation of letters, such as `bij,bjk->bik`, with `...` for axes that are lined up from
    /// the last and repeat. Without `->` the result has the letters that stand once, in alphabetical order.
    ///
    /// # Errors
    /// Where the equation cannot be read, or does not fit the operands.
    pub fn einsum(&mut self, equation: &str, operands: &[Operand]) -> Composed {
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left.to_owned(), Some(right.to_owned())),
            None => (text.clone(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != operands.len() || operands.is_empty() {
            return Err(format!(
                "`einsum` {equation:?} is written for {} operand(s), {} found",
                terms.len(),
                operands.len()
            ));
        }
        let mut all = vec![];
        for (term, x) in terms.iter().zip(operands) {
            let rank = self.dense("einsum", *x)?.rank();
            all.push(Named { x: *x, names: names(term, Some(rank), equation)? });
        }
        let rest = all.iter().flat_map(|n| &n.names).filter(|n| matches!(n, Name::Rest(_))).max().copied();
        let rest = rest.map_or(0, |n| if let Name::Rest(i) = n { i + 1 } else { 0 });
        let out = match right {
            Some(right) => names(&right, None, equation)?
                .into_iter()
                .flat_map(|n| if n == Name::Rest(usize::MAX) { rests(rest) } else { vec![n] })
                .collect(),
            None => {
                let mut letters: Vec<Name> = all.iter().flat_map(|n| n.names.clone()).collect();
                letters.retain(|n| matches!(n, Name::Letter(_)));
                letters.sort();
                let once = letters.iter().filter(|n| letters.iter().filter(|m| m == n).count() == 1).copied();
                rests(rest).into_iter().chain(once).collect::<Vec<_>>()
            }
        };
        self.contract(equation, all, &out)
    }

    fn contract(&mut self, equation: &str, mut all: Vec<Named>, out: &[Name]) -> Composed {
        for (i, name) in out.iter().enumerate() {
            let known = all.iter().any(|n| n.names.contains(name));
            if !known || out[..i].contains(name) {
                return Err(format!(
                    "`einsum` {equation:?}: an axis of the result stands in no operand, or twice"
                ));
            }
        }
        for n in &mut all {
            *n = self.diagonal(equation, n.clone())?;
        }
        let sizes = self.sizes_of_names(equation, &all)?;
        for n in &mut all {
            let shape: Shape = n.names.iter().map(|name| sizes[name].clone()).collect();
            n.x = self.repeat_to(n.x, &shape)?;
        }
        let mut all = all.into_iter();
        let Some(mut sum) = all.next() else { return Err("`einsum` of nothing".to_owned()) };
        while let Some(next) = all.next() {
            let later =
                |name: &Name| out.contains(name) || all.as_slice().iter().any(|n| n.names.contains(name));
            let (a, b) = (sum.names.clone(), next.names.clone());
            let left = self.summed(sum, |name| later(name) || b.contains(name));
            let right = self.summed(next, |name| later(name) || a.contains(name));
            sum = self.pair(left, right, &sizes, later)?;
        }
        let sum = self.summed(sum, |name| out.contains(name));
        let order = out.iter().filter_map(|name| sum.names.iter().position(|n| n == name)).collect();
        Ok(self.permute(sum.x, order))
    }

    /// Sizes by name; one of 1 repeats.
    fn sizes_of_names(&self, equation: &str, all: &[Named]) -> Result<BTreeMap<Name, Dim>, String> {
        let mut sizes: BTreeMap<Name, Dim> = BTreeMap::new();
        for n in all {
            for (name, size) in n.names.iter().zip(self.shape_of(n.x)) {
                let known = sizes.entry(*name).or_insert_with(|| size.clone());
                if known.as_const() == Some(1) {
                    *known = size;
                } else if size.as_const() != Some(1) && known.eq_proof(&size) != Proof::True {
                    return Err(format!(
                        "`einsum` {equation:?}: one axis has sizes {known} and {size}, which differ or cannot be shown \
                         equal"
                    ));
                }
            }
        }
        Ok(sizes)
    }

    /// A name that stands twice names the diagonal of its axes.
    fn diagonal(&mut self, equation: &str, n: Named) -> Result<Named, String> {
        let mut kept: Vec<Name> = vec![];
        for name in &n.names {
            if !kept.contains(name) {
                kept.push(*name);
            }
        }
        if kept.len() == n.names.len() {
            return Ok(n);
        }
        let from = self.shape_of(n.x);
        let first = |name: &Name| n.names.iter().position(|m| m == name).unwrap_or(0);
        let shape: Shape = kept.iter().map(|name| from[first(name)].clone()).collect();
        let mut operands = vec![n.x];
        for (axis, name) in n.names.iter().enumerate() {
            if from[axis].eq_proof(&from[first(name)]) != Proof::True {
                return Err(format!(
                    "`einsum` {equation:?}: the diagonal of axes that differ, {}",
                    shape_text(&from)
                ));
            }
            let at = kept.iter().position(|m| m == name).unwrap_or(0);
            operands.push(self.iota(shape.clone(), at, DType::I32));
        }
        Ok(Named { x: self.try_emit(Index, &operands)?, names: kept })
    }

    /// The sum over all axes whose name is not kept.
    fn summed(&mut self, n: Named, keep: impl Fn(&Name) -> bool) -> Named {
        let gone = n.names.iter().enumerate().filter(|(_, name)| !keep(name)).map(|(a, _)| a).collect();
        let x = self.reduce(ReduceOp::Sum, n.x, gone);
        Named { x, names: n.names.into_iter().filter(|name| keep(name)).collect() }
    }

    /// The product of two, summed over names of both that are not needed later.
    fn pair(
        &mut self,
        a: Named,
        b: Named,
        sizes: &BTreeMap<Name, Dim>,
        later: impl Fn(&Name) -> bool,
    ) -> Result<Named, String> {
        let (common, only_a): (Vec<Name>, Vec<Name>) = a.names.iter().partition(|n| b.names.contains(n));
        let (batch, inner): (Vec<Name>, Vec<Name>) = common.into_iter().partition(|n| later(n));
        let only_b: Vec<Name> = b.names.iter().filter(|n| !a.names.contains(n)).copied().collect();
        let names = [batch.clone(), only_a.clone(), only_b.clone()].concat();
        if !self.dtype_of(a.x).is_real() {
            // Products of matrices are of floats: integers are multiplied one by one.
            let all = [names.clone(), inner].concat();
            let shape: Shape = all.iter().map(|n| sizes[n].clone()).collect();
            let [x, y] = [&a, &b].map(|n| {
                let mut order: Vec<(usize, usize)> = n
                    .names
                    .iter()
                    .enumerate()
                    .map(|(i, m)| (all.iter().position(|o| o == m).unwrap_or(0), i))
                    .collect();
                order.sort_unstable();
                let x = self.permute(n.x, order.iter().map(|(_, i)| *i).collect());
                self.broadcast(x, shape.clone(), order.iter().map(|(to, _)| *to).collect())
            });
            let x = self.try_emit(crate::ops::elementwise::Elementwise { op: ScalarOp::Mul }, &[x, y])?;
            return Ok(Named { x: self.reduce(ReduceOp::Sum, x, (names.len()..all.len()).collect()), names });
        }
        let size = |names: &[Name]| product(&names.iter().map(|n| sizes[n].clone()).collect::<Vec<_>>());
        let mut matrix = |n: &Named, groups: [&[Name]; 3]| {
            let order = groups.concat();
            let axes = order.iter().filter_map(|m| n.names.iter().position(|o| o == m)).collect();
            let x = self.permute(n.x, axes);
            self.reshape(x, groups.iter().map(|g| size(g)).collect())
        };
        let x = matrix(&a, [&batch, &only_a, &inner]);
        let y = matrix(&b, [&batch, &inner, &only_b]);
        let both = crate::ops::matmul::Matmul { transpose_a: false, transpose_b: false };
        let xy = if batch.is_empty() {
            let [p, q, r] = [size(&only_a), size(&inner), size(&only_b)];
            let x = self.reshape(x, [p, q.clone()].into_iter().collect());
            let y = self.reshape(y, [q, r].into_iter().collect());
            self.try_emit(both, &[x, y])?
        } else {
            self.try_emit(both, &[x, y])?
        };
        let shape = names.iter().map(|n| sizes[n].clone()).collect();
        Ok(Named { x: self.reshape(xy, shape), names })
    }
}

/// So many axes behind `...`, the first of them first.
fn rests(count: usize) -> Vec<Name> {
    (0..count).rev().map(Name::Rest).collect()
}

/// The names in a term; of a result, `...` is one name that stands for all.
fn names(term: &str, rank: Option<usize>, equation: &str) -> Result<Vec<Name>, String> {
    let refuse = |what: String| Err(format!("`einsum` {equation:?}: {what}"));
    let (before, after) = match term.split_once("...") {
        None => (term, None),
        Some((before, after)) => (before, Some(after)),
    };
    let letters = |part: &str| -> Result<Vec<Name>, String> {
        match part.chars().find(|c| !c.is_ascii_alphabetic()) {
            None => Ok(part.chars().map(Name::Letter).collect()),
            Some(c) => Err(format!("`einsum` {equation:?}: {c:?} is no letter and not part of one `...`")),
        }
    };
    let mut all = letters(before)?;
    if let Some(after) = after {
        let after = letters(after)?;
        match rank {
            None => all.push(Name::Rest(usize::MAX)),
            Some(rank) => match rank.checked_sub(all.len() + after.len()) {
                Some(count) => all.extend(rests(count)),
                None => return refuse(format!("{term:?} names more axes than the {rank} of its operand")),
            },
        }
        all.extend(after);
    }
    match rank {
        Some(rank) if rank != all.len() => {
            refuse(format!("{term:?} names {} axes of an operand that has {rank}", all.len()))
        }
        _ => Ok(all),
    }
}
