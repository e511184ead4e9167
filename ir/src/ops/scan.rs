//! `scan`: a body for every position of an axis, with values that are carried from one step to the next.

use super::control::{Given, Part, call, carried, is_real, pull, run, stand_in};
use super::*;
use crate::array::Array;
use crate::dim::Dim;
use crate::graph::Body;
use crate::ops::concat::Concat;
use crate::ops::row_sparse::RowSparse;
use crate::ops::slice::Slice;
use crate::scalar::ScalarOp;
use crate::types::product;

/// `(carries.., xs [trips, ..].., others..) -> (carries.., ys [trips, ..]..)`.
///
/// The body takes the carries, the elements of the `xs` at the step's position, and the others, which are the same in
/// every step. It gives the next carries and the elements of the `ys` at that position. The results are the last
/// carries and the `ys`. Without a step the carries are as they began.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// How many steps there are.
    pub trips: Dim,
    /// How many operands are carried.
    pub carries: usize,
    /// How many operands after these are read position by position.
    pub slices: usize,
    /// Whether the last position comes first.
    pub reverse: bool,
    /// For the derivative: 0 keeps the carries of every step; else those of every so many steps are kept, and the
    /// steps between are done once more (Griewank and Walther, Revolve, 2000: one level of it). That takes a constant
    /// number of steps.
    pub checkpoint: usize,
    /// A step.
    pub body: Body,
}

/// A value along a new first axis.
fn along(trips: &Dim, ty: &Type) -> Type {
    match ty {
        Type::Tensor(t) => {
            Type::tensor(t.dtype, std::iter::once(trips.clone()).chain(t.shape.iter().cloned()))
        }
        other => other.clone(),
    }
}

/// One element along the first axis.
fn element(ty: &Type) -> Option<(Dim, Type)> {
    let t = ty.as_tensor()?;
    let (first, rest) = t.shape.split_first()?;
    Some((first.clone(), Type::tensor(t.dtype, rest.iter().cloned())))
}

impl OpDef for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("trips", Attr::Dims(vec![self.trips.clone()])),
            ("carries", Attr::Int(self.carries as i64)),
            ("slices", Attr::Int(self.slices as i64)),
            ("reverse", Attr::Int(i64::from(self.reverse))),
            ("checkpoint", Attr::Int(self.checkpoint as i64)),
            ("body", Attr::Body(self.body.clone())),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if operands.len() < self.carries.saturating_add(self.slices) {
            return Err(format!(
                "`scan` carries {} values and reads {} step by step, {} operands found",
                self.carries,
                self.slices,
                operands.len()
            ));
        }
        if self.trips.lower() < 0 {
            return Err(format!("`scan` has {} steps, which may be fewer than none", self.trips));
        }
        if self.checkpoint > 0 && self.trips.as_const().is_none() {
            return Err(format!(
                "`scan` keeps the carries of every {} steps, and has {} of them, which is no constant; with a \
                 checkpoint of 0 it keeps all",
                self.checkpoint, self.trips
            ));
        }
        let mut given = vec![];
        for (i, ty) in operands.iter().enumerate() {
            let (what, ty) = if i < self.carries {
                (format!("carry {i}"), ty.clone())
            } else if i < self.carries + self.slices {
                let what = format!("an element of what is read step by step, {},", i - self.carries);
                let (first, rest) = element(ty)
                    .ok_or_else(|| format!("`scan` reads {ty} step by step, which has no axis"))?;
                same_dim(
                    "scan",
                    &format!("axis 0 of operand {i}"),
                    &first,
                    "the number of steps",
                    &self.trips,
                )?;
                (what, rest)
            } else {
                (format!("operand {i}"), ty.clone())
            };
            given.push(Given { what, ty });
        }
        let results = call("scan", "its body", &self.body, &given)?;
        carried("scan", &operands[..self.carries], &results)?;
        let ys = results[self.carries..].iter().map(|ty| along(&self.trips, ty));
        Ok(results[..self.carries].iter().cloned().chain(ys).collect())
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        self.eval_watched(operands, types, dims, &mut |_, _, _, _, _| Ok(()))
    }

    fn eval_watched(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Value>, EvalError> {
        let trips = values::size(&self.trips, dims)?;
        let mut carries: Vec<Value> = operands[..self.carries].iter().map(|v| (*v).clone()).collect();
        let mut stacks = vec![];
        for (at, ty) in types.iter().enumerate().skip(self.carries) {
            let dtype = ty.as_tensor().map_or(crate::dtype::DType::F32, |t| t.dtype);
            stacks.push(Array::zeros(dtype, &values::result_sizes(types, at, dims)?));
        }
        for step in 0..trips {
            let at = if self.reverse { trips - 1 - step } else { step };
            let mut args = carries;
            for i in self.carries..self.carries + self.slices {
                args.push(Value::Tensor(read(values::tensor(operands, i)?, at)));
            }
            args.extend(operands[self.carries + self.slices..].iter().map(|v| (*v).clone()));
            let mut results = run("scan", &self.body, args, dims, watch)?;
            for (stack, y) in stacks.iter_mut().zip(results.split_off(self.carries)) {
                if let Value::Tensor(y) = y {
                    let bytes = y.as_bytes();
                    stack.as_bytes_mut()[at * bytes.len()..][..bytes.len()].copy_from_slice(bytes);
                }
            }
            carries = results;
        }
        carries.extend(stacks.into_iter().map(Value::Tensor));
        Ok(carries)
    }

    fn bodies(&self) -> Vec<&Body> {
        vec![&self.body]
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        if self.checkpoint > 0 {
            let results = self.in_segments(cx.graph, cx.operands);
            stand_in(cx, &results);
            let outer: Vec<(Operand, Operand)> =
                results.iter().enumerate().filter_map(|(i, o)| Some((*o, cx.gradient(i)?))).collect();
            return crate::grad::pull_back(cx.graph, &outer, cx.operands).map_err(control::refused);
        }
        Backward::of(self, cx)?.write(self, cx)
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: &self.trips * &self.body.flops(), bytes: traffic(operands, results) }
    }
}

fn read(x: &Array, at: usize) -> Array {
    let mut out = Array::zeros(x.dtype(), &x.shape()[1..]);
    let bytes = out.as_bytes_mut();
    let from = at * bytes.len();
    bytes.copy_from_slice(&x.as_bytes()[from..from + bytes.len()]);
    out
}

impl Scan {
    /// The same steps in segments of `checkpoint` steps, each a scan within a scan, and a shorter one for the steps
    /// that are left over: the derivative of the outer one keeps the carries between segments, and does the steps of
    /// a segment again.
    fn in_segments(&self, graph: &mut Graph, operands: &[Operand]) -> Vec<Operand> {
        let each = Dim::from(self.checkpoint);
        let segments = self.trips.floor_div(&each);
        let whole = &segments * &each;
        let rest = &self.trips - &whole;
        let (carries, more) = operands.split_at(self.carries);
        let (xs, others) = more.split_at(self.slices);
        // In reverse the last positions come first, and those left over are the first ones.
        let (whole_at, rest_at) = match self.reverse {
            false => ((0.into(), whole.clone()), (whole.clone(), self.trips.clone())),
            true => ((rest.clone(), self.trips.clone()), (0.into(), rest.clone())),
        };
        let part = |graph: &mut Graph, x: Operand, (start, end): &(Dim, Dim)| {
            if start.as_const() == Some(0) && *end == self.trips {
                return x;
            }
            graph.emit(Slice { axis: 0, start: start.clone(), end: end.clone(), step: 1 }, &[x])
        };

        let inner = Scan { trips: each.clone(), checkpoint: 0, ..self.clone() };
        let mut body = Graph::new("");
        body.at = graph.at.clone();
        let mut params = vec![];
        for (i, o) in operands.iter().enumerate() {
            let ty = match graph.type_of(*o) {
                ty if (self.carries..self.carries + self.slices).contains(&i) => {
                    element(ty).map_or_else(|| ty.clone(), |(_, ty)| along(&each, &ty))
                }
                ty => ty.clone(),
            };
            params.push(body.arg("p", ty));
        }
        let results = body.emit_all(inner, &params);
        body.outputs = results.iter().enumerate().map(|(i, o)| (format!("r{i}"), *o)).collect();
        let outer = Scan { trips: segments.clone(), checkpoint: 0, body: Body::new(body), ..self.clone() };

        let mut args = carries.to_vec();
        for x in xs {
            let x = part(graph, *x, &whole_at);
            let shape = graph.shape_of(x);
            let shape =
                [segments.clone(), each.clone()].into_iter().chain(shape[1..].iter().cloned()).collect();
            args.push(graph.reshape(x, shape));
        }
        args.extend(others);
        let mut results = graph.emit_all(outer, &args);
        for y in &mut results[self.carries..] {
            let shape = graph.shape_of(*y);
            let shape = std::iter::once(whole.clone()).chain(shape[2..].iter().cloned()).collect();
            *y = graph.reshape(*y, shape);
        }
        if rest.as_const() == Some(0) {
            return results;
        }
        let mut args = results[..self.carries].to_vec();
        for x in xs {
            args.push(part(graph, *x, &rest_at));
        }
        args.extend(others);
        let last = graph.emit_all(Scan { trips: rest, checkpoint: 0, ..self.clone() }, &args);
        let mut joined = last[..self.carries].to_vec();
        for (a, b) in results[self.carries..].iter().zip(&last[self.carries..]) {
            let parts = if self.reverse { [*b, *a] } else { [*a, *b] };
            joined.push(graph.emit(Concat { axis: 0 }, &parts));
        }
        joined
    }
}

/// The derivative of a scan: a scan the other way that carries the gradients of the carries, and the sums of those of
/// the operands that are the same in every step.
struct Backward {
    body: Graph,
    /// Positions of the carries that have a gradient, and of the others whose gradients are summed up.
    carries: Vec<usize>,
    sums: Vec<usize>,
    /// Which operands have what of the results: a stack of gradients, of ids and values of rows.
    stacks: Vec<(usize, Stack)>,
    /// Parameters for the carries before each step, in order; then the positions of the results whose gradients are
    /// read step by step.
    before: Vec<Operand>,
    given: Vec<usize>,
}

/// What the backward scan stacks for an operand.
enum Stack {
    /// The gradients of its elements.
    Elements,
    /// Ids and values of the rows that the steps touch, of so many rows.
    Rows(Dim),
}

impl Backward {
    /// Writes the body: parameters are the gradients of carries, the sums, then the carries before the step, the
    /// elements of the `xs`, those of the gradients of the `ys`, and the others.
    fn of(scan: &Scan, cx: &mut Vjp<'_>) -> Result<Backward, Nondifferentiable> {
        let mut body = Graph::new("");
        body.at = cx.graph.at.clone();
        let params = scan.body.params();
        let results = scan.body.results();
        let (c, fixed) = (scan.carries, scan.carries + scan.slices);
        let carries: Vec<usize> = (0..c).filter(|i| is_real(&params[*i])).collect();
        let wanted: Vec<usize> =
            (c..params.len()).filter(|i| cx.wanted[*i] && is_real(&params[*i])).collect();
        let given: Vec<usize> =
            (c..results.len()).filter(|i| cx.gradients[*i].is_some() && is_real(&results[*i])).collect();

        let mut gradients: Vec<Option<Operand>> = vec![None; results.len()];
        for i in &carries {
            gradients[*i] = Some(body.arg("d", params[*i].clone()));
        }
        let mut so_far = vec![None; params.len()];
        for i in wanted.iter().filter(|i| **i >= fixed) {
            so_far[*i] = Some(body.arg("sum", params[*i].clone()));
        }
        let mut own: Vec<Operand> = params.iter().take(fixed).map(|ty| body.arg("x", ty.clone())).collect();
        let before = own[..c].to_vec();
        for i in &given {
            gradients[*i] = Some(body.arg("dy", results[*i].clone()));
        }
        own.extend(params.iter().skip(fixed).map(|ty| body.arg("w", ty.clone())));

        let inner: Vec<usize> = carries.iter().chain(&wanted).copied().collect();
        let targets: Vec<Operand> = inner.iter().map(|i| own[*i]).collect();
        let found = pull(&mut body, &scan.body, &own, &gradients, &targets)?;

        let mut back = Backward { body, carries, sums: vec![], stacks: vec![], before, given };
        let (mut next, mut stacked) = (vec![], vec![]);
        for (i, part) in inner.into_iter().zip(found) {
            let body = &mut back.body;
            match part {
                Some(Part::Rows(o)) if i >= fixed => {
                    // Rows of a table: the steps list theirs one after the other, and nothing is summed.
                    let Type::RowSparse(r) = body.type_of(o).clone() else {
                        unreachable!("rows are row-sparse")
                    };
                    let (ids, values) = body.row_sparse_parts(o);
                    stacked.extend([ids, values]);
                    back.stacks.push((i, Stack::Rows(r.shape[0].clone())));
                }
                part if i < c => {
                    let d = match part {
                        Some(part) => part.dense(body),
                        None => body.fill_like(own[i], 0.0),
                    };
                    next.push(d);
                }
                Some(part) => {
                    let d = part.dense(body);
                    match so_far[i] {
                        Some(sum) => {
                            back.sums.push(i);
                            next.push(body.map(ScalarOp::Add, &[sum, d]));
                        }
                        None => {
                            stacked.push(d);
                            back.stacks.push((i, Stack::Elements));
                        }
                    }
                }
                None => {}
            }
        }
        // Sums of what no step changes are no carries.
        for (i, sum) in so_far.into_iter().enumerate() {
            if let Some(sum) = sum
                && !back.sums.contains(&i)
            {
                back.body.remove_input(sum.node);
            }
        }
        back.body.outputs =
            next.into_iter().chain(stacked).enumerate().map(|(i, o)| (format!("r{i}"), o)).collect();
        back.body.at = None;
        Ok(back)
    }

    /// Writes the scan, and in place of the one before it one that keeps the carries that are needed.
    fn write(self, scan: &Scan, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let (c, fixed) = (scan.carries, scan.carries + scan.slices);
        let body = Body::new(self.body);
        let used = body.used();
        let own = self.carries.len() + self.sums.len();
        // Parameters that the derivative does not need are no parameters; gradients and sums stay.
        let keep: Vec<bool> = used.iter().enumerate().map(|(i, used)| *used || i < own).collect();
        let needed: Vec<usize> = (0..self.before.len()).filter(|i| keep[own + i]).collect();

        let mut kept: Vec<Operand> = vec![];
        if !needed.is_empty() {
            let mut forward = scan.body.graph().clone();
            for i in &needed {
                let param = Operand::from(forward.inputs()[*i]);
                forward.outputs.push((format!("before{i}"), param));
            }
            let forward = Scan { body: Body::new(forward), ..scan.clone() };
            let results = cx.graph.emit_all(forward, cx.operands);
            kept = results[cx.results.len()..].to_vec();
            stand_in(cx, &results);
        }

        let mut args = vec![];
        for i in &self.carries {
            let d = match cx.gradient(*i) {
                Some(d) => d,
                None => cx.graph.fill_like(cx.operands[*i], 0.0),
            };
            args.push(d);
        }
        for i in &self.sums {
            args.push(cx.graph.fill_like(cx.operands[*i], 0.0));
        }
        let mut slices = 0;
        let mut kept = kept.into_iter();
        let mut place = own;
        let mut take = |args: &mut Vec<Operand>, o: Option<Operand>, slice: bool| {
            if keep[place] {
                args.extend(o);
                slices += usize::from(slice);
            }
            place += 1;
        };
        for i in 0..c {
            let o = if needed.contains(&i) { kept.next() } else { None };
            take(&mut args, o, true);
        }
        for x in &cx.operands[c..fixed] {
            take(&mut args, Some(*x), true);
        }
        for i in self.given {
            let dy = cx.gradient(i);
            take(&mut args, dy, true);
        }
        for w in &cx.operands[fixed..] {
            take(&mut args, Some(*w), false);
        }
        let back = Scan {
            trips: scan.trips.clone(),
            carries: own,
            slices,
            reverse: !scan.reverse,
            checkpoint: 0,
            body: body.keeping(&keep),
        };
        let results = cx.graph.emit_all(back, &args);

        let mut gradients = vec![None; cx.operands.len()];
        for (i, o) in self.carries.iter().chain(&self.sums).zip(&results) {
            gradients[*i] = Some(*o);
        }
        let mut stacks = results[own..].iter().copied();
        for (i, stack) in self.stacks {
            let Some(first) = stacks.next() else { continue };
            gradients[i] = Some(match stack {
                Stack::Elements => first,
                Stack::Rows(rows) => {
                    let Some(values) = stacks.next() else { continue };
                    let flat = |graph: &mut Graph, o: Operand| {
                        let shape = graph.shape_of(o);
                        let shape =
                            std::iter::once(product(&shape[..2])).chain(shape[2..].iter().cloned()).collect();
                        graph.reshape(o, shape)
                    };
                    let (ids, values) = (flat(cx.graph, first), flat(cx.graph, values));
                    cx.graph.emit(RowSparse { rows }, &[ids, values])
                }
            });
        }
        Ok(gradients)
    }
}
