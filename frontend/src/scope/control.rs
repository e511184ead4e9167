//! Loops and branches: closures that are run once, as the program is built, and become bodies of ops.
//!
//! What a closure computes from its parameters is the body. What it uses of the program around it is captured: it
//! becomes an operand of the op, and what does not depend on the parameters of a loop is computed once, before it.

use super::Scope;
use crate::dims::{At, DimLike};
use crate::tensor::Tensor;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::{Dim as Size, Proof};
use latentc_ir::dtype::DType;
use latentc_ir::graph::{Body, Graph, InputKind, NodeId, Operand};
use latentc_ir::ops::Op;
use latentc_ir::ops::cond::Cond;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::scan::Scan;
use latentc_ir::ops::while_loop::While;
use latentc_ir::types::Type;
use std::collections::HashSet;
use std::panic::Location;

/// Tensors that go through a body together: a tensor, or a tuple, an array or a list of such; `()` is none.
pub trait Values<'g>: Sized {
    /// Adds its tensors, in order.
    #[doc(hidden)]
    fn tensors(&self, all: &mut Vec<Tensor<'g>>);
    /// The same with other tensors, as many as it has.
    #[doc(hidden)]
    fn with(&self, tensors: &mut dyn FnMut() -> Tensor<'g>) -> Self;
}

impl<'g> Values<'g> for Tensor<'g> {
    fn tensors(&self, all: &mut Vec<Tensor<'g>>) {
        all.push(*self);
    }

    fn with(&self, tensors: &mut dyn FnMut() -> Tensor<'g>) -> Self {
        tensors()
    }
}

impl<'g> Values<'g> for () {
    fn tensors(&self, _: &mut Vec<Tensor<'g>>) {}

    fn with(&self, _: &mut dyn FnMut() -> Tensor<'g>) -> Self {}
}

macro_rules! tuples {
    ($($($t:ident $at:tt)+;)+) => {$(
        impl<'g, $($t: Values<'g>),+> Values<'g> for ($($t,)+) {
            fn tensors(&self, all: &mut Vec<Tensor<'g>>) {
                $(self.$at.tensors(all);)+
            }

            fn with(&self, tensors: &mut dyn FnMut() -> Tensor<'g>) -> Self {
                ($(self.$at.with(tensors),)+)
            }
        }
    )+};
}

tuples! {
    A 0;
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
    A 0 B 1 C 2 D 3 E 4;
}

impl<'g, V: Values<'g>, const N: usize> Values<'g> for [V; N] {
    fn tensors(&self, all: &mut Vec<Tensor<'g>>) {
        self.iter().for_each(|v| v.tensors(all));
    }

    fn with(&self, tensors: &mut dyn FnMut() -> Tensor<'g>) -> Self {
        std::array::from_fn(|i| self[i].with(tensors))
    }
}

impl<'g, V: Values<'g>> Values<'g> for Vec<V> {
    fn tensors(&self, all: &mut Vec<Tensor<'g>>) {
        self.iter().for_each(|v| v.tensors(all));
    }

    fn with(&self, tensors: &mut dyn FnMut() -> Tensor<'g>) -> Self {
        self.iter().map(|v| v.with(tensors)).collect()
    }
}

/// How a scan goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Whether the last position comes first. Results lie where what they were made from lies.
    pub reverse: bool,
    /// For gradients: 0 keeps the carried values of every step. A number keeps those of every so many steps, and the
    /// steps between are computed once more; about the square root of the number of steps, which must be a constant,
    /// needs the least memory.
    pub checkpoint: usize,
}

fn listed<'g>(values: &impl Values<'g>) -> Vec<Tensor<'g>> {
    let mut all = vec![];
    values.tensors(&mut all);
    all
}

impl Scope {
    /// Runs a body once for each position of an axis, one after the other.
    ///
    /// The body takes what is carried from step to step, which begins as `init`, and one position of each of `xs`,
    /// whose first axis has `steps` positions. It gives what is carried on, of the types of `init`, and what the step
    /// leaves. Comes out: what was carried last, and what the steps left, along a new first axis.
    ///
    /// The closure is called once. It may use any tensor of the program around it. What it draws at random it draws
    /// once, the same for every step.
    ///
    /// ```
    /// # use latentc::prelude::*;
    /// // A running mean that forgets: m' = 0.9 m + 0.1 x.
    /// let p = program("smooth", |g| {
    ///     let x = g.input("x", DType::F32, [100, 8]);
    ///     let begin = g.fill(DType::F32, [8], 0.0);
    ///     let (last, all) = g.scan(100, begin, x, |m, x| {
    ///         let m = m * 0.9 + x * 0.1;
    ///         (m, m)
    ///     });
    ///     g.output("last", last);
    ///     g.output("all", all);
    /// });
    /// assert!(p.is_ok());
    /// ```
    #[track_caller]
    pub fn scan<'g, C: Values<'g>, X: Values<'g>, Y: Values<'g>>(
        &'g self,
        steps: impl DimLike,
        init: C,
        xs: X,
        body: impl FnOnce(C, X) -> (C, Y),
    ) -> (C, Y) {
        self.scan_at(steps, Steps::default(), init, xs, body, Location::caller())
    }

    /// As [`Scope::scan`], in this direction and with this much kept for gradients.
    #[track_caller]
    pub fn scan_with<'g, C: Values<'g>, X: Values<'g>, Y: Values<'g>>(
        &'g self,
        steps: impl DimLike,
        how: Steps,
        init: C,
        xs: X,
        body: impl FnOnce(C, X) -> (C, Y),
    ) -> (C, Y) {
        self.scan_at(steps, how, init, xs, body, Location::caller())
    }

    pub(crate) fn scan_at<'g, C: Values<'g>, X: Values<'g>, Y: Values<'g>>(
        &'g self,
        steps: impl DimLike,
        how: Steps,
        init: C,
        xs: X,
        body: impl FnOnce(C, X) -> (C, Y),
        at: At,
    ) -> (C, Y) {
        let trips = steps.resolve(self, at);
        let (begin, along) = (listed(&init), listed(&xs));
        let mut params = Params::new(self, "scan", at);
        let carries: Vec<Tensor<'g>> = begin.iter().map(|t| params.like(*t)).collect();
        let elements: Vec<Tensor<'g>> = along.iter().map(|t| params.element(*t, trips.as_ref())).collect();
        let (mut c, mut x) = (carries.iter().copied(), elements.iter().copied());
        let take =
            |from: &mut dyn Iterator<Item = Tensor<'g>>| from.next().unwrap_or_else(|| self.poisoned(at));
        let (next, left) = body(init.with(&mut || take(&mut c)), xs.with(&mut || take(&mut x)));
        let results = [listed(&next), listed(&left)].concat();
        let made = self.carried("scan", &begin, &results, at) && params.sound;
        let op = |inner: &Inner| {
            Some(Scan {
                trips: trips.clone()?,
                carries: begin.len(),
                slices: along.len(),
                reverse: how.reverse,
                checkpoint: how.checkpoint,
                body: inner.body.clone(),
            })
        };
        let node =
            made.then(|| self.inner(&params.values(), &results, at, None)).flatten().and_then(|inner| {
                let op = op(&inner)?;
                self.apply(op.into(), &[begin.clone(), along.clone()].concat(), &inner.captured, at)
            });
        let mut out = self.ports(node, results.len(), at).into_iter();
        let mut next_one = || out.next().unwrap_or_else(|| self.poisoned(at));
        (next.with(&mut next_one), left.with(&mut next_one))
    }

    /// The results of `then` where a truth value holds, else those of `otherwise`; both have the same types. Only one
    /// of them runs. The closures are called once each, and may use any tensor of the program around them.
    ///
    /// ```
    /// # use latentc::prelude::*;
    /// let p = program("either", |g| {
    ///     let x = g.input("x", DType::F32, [8]);
    ///     let y = g.cond(x.sum_all().gt(0.0), || x.sqrt(), || x * -1.0);
    ///     g.output("y", y);
    /// });
    /// assert!(p.is_ok());
    /// ```
    #[track_caller]
    pub fn cond<'g, Y: Values<'g>>(
        &'g self,
        which: Tensor<'g>,
        then: impl FnOnce() -> Y,
        otherwise: impl FnOnce() -> Y,
    ) -> Y {
        let at = Location::caller();
        let before: HashSet<NodeId> = self.state.borrow().graph.petgraph().node_indices().collect();
        let (yes, no) = (then(), otherwise());
        let (a, b) = (listed(&yes), listed(&no));
        let node = self
            .chooses(which, "cond", at)
            .filter(|_| self.alike("cond", ["`then`", "`otherwise`"], &a, &b, at))
            .and_then(|_| self.inner(&[], &[a.clone(), b.clone()].concat(), at, Some(&before)))
            .and_then(|inner| {
                let (n, all) = (a.len(), a.len() + b.len());
                let op = Cond { then: inner.body.giving(0..n), otherwise: inner.body.giving(n..all) };
                self.apply(op.into(), &[which], &inner.captured, at)
            });
        let mut out = self.ports(node, a.len(), at).into_iter();
        yes.with(&mut || out.next().unwrap_or_else(|| self.poisoned(at)))
    }

    /// Runs a body as long as a test of what is carried holds, at most `limit` times. Gives what was carried last.
    ///
    /// Gradients are those of the steps that were done; for them all `limit` steps have room, of which those that were
    /// not done compute nothing.
    ///
    /// ```
    /// # use latentc::prelude::*;
    /// // Newton's steps towards a square root.
    /// let p = program("root", |g| {
    ///     let a = g.input("a", DType::F32, ());
    ///     let root = g.while_loop(50, a, |x| (x * x - a).abs().gt(1e-4), |x| (x + a / x) * 0.5);
    ///     g.output("root", root);
    /// });
    /// assert!(p.is_ok());
    /// ```
    #[track_caller]
    pub fn while_loop<'g, C: Values<'g>>(
        &'g self,
        limit: impl DimLike,
        init: C,
        test: impl FnOnce(C) -> Tensor<'g>,
        body: impl FnOnce(C) -> C,
    ) -> C {
        let at = Location::caller();
        let limit = limit.resolve(self, at);
        let begin = listed(&init);
        let mut params = Params::new(self, "while", at);
        let own: Vec<Tensor<'g>> = begin.iter().map(|t| params.like(*t)).collect();
        let given = || {
            let mut own = own.iter().copied();
            init.with(&mut || own.next().unwrap_or_else(|| self.poisoned(at)))
        };
        let going = test(given());
        let next = body(given());
        let results = listed(&next);
        let sound = self.chooses(going, "while", at).is_some()
            && self.carried("while", &begin, &results, at)
            && params.sound;
        let node = sound
            .then(|| self.inner(&params.values(), &[vec![going], results.clone()].concat(), at, None))
            .flatten()
            .and_then(|inner| {
                let op = While {
                    limit: limit?,
                    carries: begin.len(),
                    test: inner.body.giving(0..1),
                    body: inner.body.giving(1..1 + results.len()),
                };
                self.apply(op.into(), &begin, &inner.captured, at)
            });
        let mut out = self.ports(node, results.len(), at).into_iter();
        next.with(&mut || out.next().unwrap_or_else(|| self.poisoned(at)))
    }

    /// A truth value that decides.
    fn chooses<'g>(&'g self, which: Tensor<'g>, what: &str, at: At) -> Option<Operand> {
        let value = self.own(which, at)?;
        let ty = self.state.borrow().graph.type_of(value).clone();
        if ty == Type::scalar(DType::Bool) {
            return Some(value);
        }
        which.fault(
            at,
            format!("`{what}` is decided by one truth value, {ty} found"),
            format!("`{what}` here"),
        );
        None
    }

    /// Whether what is carried has the types that it began with.
    fn carried<'g>(&'g self, what: &str, begin: &[Tensor<'g>], after: &[Tensor<'g>], at: At) -> bool {
        let mut sound = true;
        for (i, (a, b)) in begin.iter().zip(after).enumerate() {
            sound &= self.agree(a, b, at, |x, y| {
                format!("`{what}` carries {x} at the beginning and {y} after a step (value {i})")
            });
        }
        sound && begin.len() <= after.len()
    }

    fn alike<'g>(&'g self, what: &str, of: [&str; 2], a: &[Tensor<'g>], b: &[Tensor<'g>], at: At) -> bool {
        if a.len() != b.len() {
            let [x, y] = of;
            let (n, m) = (a.len(), b.len());
            self.error(at, format!("`{what}`: {x} gives {n} tensors, {y} {m}"), "here");
            return false;
        }
        let [x, y] = of;
        let mut sound = true;
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            sound &=
                self.agree(a, b, at, |s, t| format!("`{what}`: result {i} is {s} in {x} and {t} in {y}"));
        }
        sound
    }

    /// Whether two tensors are there and of one type.
    fn agree<'g>(
        &'g self,
        a: &Tensor<'g>,
        b: &Tensor<'g>,
        at: At,
        message: impl FnOnce(&Type, &Type) -> String,
    ) -> bool {
        let (Some(x), Some(y)) = (self.own(*a, at), self.own(*b, at)) else { return false };
        let (s, t) = {
            let graph = &self.state.borrow().graph;
            (graph.type_of(x).clone(), graph.type_of(y).clone())
        };
        if s == t {
            return true;
        }
        let diag = Diag::new(message(&s, &t), Span::from(at), "here");
        self.report(
            diag.label(Span::from(a.at), format!("this is {s}"))
                .label(Span::from(b.at), format!("this is {t}"))
                .help("element types and sizes must be the same"),
        );
        false
    }

    /// What closures have computed, as a body: what depends on `params`, or where there are none what was not there
    /// `before`. Constants and what repeats a value are written again in it.
    fn inner<'g>(
        &'g self,
        params: &[Operand],
        results: &[Tensor<'g>],
        at: At,
        before: Option<&HashSet<NodeId>>,
    ) -> Option<Inner> {
        let results: Vec<Operand> = results.iter().map(|t| self.own(*t, at)).collect::<Option<_>>()?;
        let graph = &self.state.borrow().graph;
        let own = graph.dependent(params);
        let inside = |n: NodeId| match before {
            Some(before) => !before.contains(&n) || is_constant(graph, n),
            None => own.contains(&n) || is_constant(graph, n) || repeats(graph, n),
        };
        let (body, captured) = graph.outline(params, &results, &inside);
        Some(Inner { body, captured })
    }

    fn apply<'g>(&'g self, op: Op, given: &[Tensor<'g>], captured: &[Operand], at: At) -> Option<NodeId> {
        let mut values: Vec<Operand> = given.iter().map(|t| self.own(*t, at)).collect::<Option<_>>()?;
        let mut places: Vec<At> = given.iter().map(|t| t.at).collect();
        places.resize(given.len() + captured.len(), at);
        values.extend(captured);
        self.node_of(op, &values, &places, at)
    }

    fn ports(&self, node: Option<NodeId>, count: usize, at: At) -> Vec<Tensor<'_>> {
        let value = |i: usize| node.map(|node| Operand { node, port: i as u16 });
        (0..count).map(|i| Tensor { scope: self, value: value(i), at }).collect()
    }

    /// Parameters of bodies have done their work: what is left of them goes. One that a result needs is a value that
    /// has left its closure.
    pub(super) fn close_bodies(&self) {
        let state = &mut *self.state.borrow_mut();
        let params: Vec<Operand> = state.body_params.iter().map(|n| Operand::from(*n)).collect();
        let inside = state.graph.dependent(&params);
        let loss = state.minimise.map(|m| ("the loss".to_owned(), m.loss));
        let outputs = state.graph.outputs.iter().map(|(name, o)| (format!("output `{name}`"), *o));
        let updates = state.graph.updates.iter().map(|(name, o)| (format!("the next value of `{name}`"), *o));
        let escaped: Vec<Diag> = outputs
            .chain(updates)
            .chain(loss)
            .filter(|(_, o)| inside.contains(&o.node))
            .map(|(what, o)| {
                let span = state.graph.node(o.node).span.clone();
                Diag::new(
                    format!("{what} uses a value of one step of a body, outside of it"),
                    span,
                    "this value",
                )
                .help("let the closure give it as a result, and use that")
            })
            .collect();
        if escaped.is_empty() && !params.is_empty() {
            let params = std::mem::take(&mut state.body_params);
            state.graph.discard(&params);
        }
        state.diags.extend(escaped);
    }
}

/// A body, and the values from outside that it uses.
struct Inner {
    body: Body,
    captured: Vec<Operand>,
}

fn is_constant(graph: &Graph, n: NodeId) -> bool {
    matches!(graph.node(n).op, Op::Fill(_) | Op::Size(_) | Op::Iota(_))
}

/// What is no work of its own, and would be larger in memory than what it is made of.
fn repeats(graph: &Graph, n: NodeId) -> bool {
    matches!(graph.node(n).op, Op::Broadcast(_) | Op::Reshape(_))
}

/// The parameters of a body under construction.
struct Params<'g> {
    scope: &'g Scope,
    what: &'static str,
    at: At,
    all: Vec<Tensor<'g>>,
    /// Whether everything that parameters stand for was there.
    sound: bool,
}

impl<'g> Params<'g> {
    fn new(scope: &'g Scope, what: &'static str, at: At) -> Params<'g> {
        Params { scope, what, at, all: vec![], sound: true }
    }

    fn values(&self) -> Vec<Operand> {
        self.all.iter().filter_map(|t| t.value).collect()
    }

    /// One of the type of a tensor.
    fn like(&mut self, of: Tensor<'g>) -> Tensor<'g> {
        let ty = self.scope.own(of, self.at).and_then(|_| of.ty());
        self.add(of, ty.map(Type::Tensor))
    }

    /// One of the type of the elements of a tensor along its first axis, of which there are so many.
    fn element(&mut self, of: Tensor<'g>, steps: Option<&Size>) -> Tensor<'g> {
        let ty = self.scope.own(of, self.at).and_then(|_| of.ty());
        let (Some(ty), Some(steps)) = (ty, steps) else { return self.add(of, None) };
        let fault = match ty.shape.first() {
            None => Some(format!("`{}` reads a scalar step by step, which has no axis", self.what)),
            Some(n) if n.eq_proof(steps) != Proof::True => {
                Some(format!("`{}` has {steps} steps, and reads the {n} positions of a tensor", self.what))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            of.fault(self.at, fault, format!("`{}` here", self.what));
            return self.add(of, None);
        }
        self.add(of, Some(Type::tensor(ty.dtype, ty.shape[1..].iter().cloned())))
    }

    fn add(&mut self, of: Tensor<'g>, ty: Option<Type>) -> Tensor<'g> {
        self.sound &= ty.is_some();
        let value = ty.and_then(|ty| {
            let state = &mut *self.scope.state.borrow_mut();
            // No name of a user's input has a space in front.
            let name = format!(" {}{}", self.what, state.body_params.len());
            let input = Input { name, kind: InputKind::Arg, ty };
            let node = state.graph.add(input, &[], Span::from(of.at)).ok()?;
            state.body_params.push(node);
            Some(Operand::from(node))
        });
        let tensor = Tensor { scope: self.scope, value, at: of.at };
        self.all.push(tensor);
        tensor
    }
}
