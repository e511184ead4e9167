//! `linear_log_sum_exp`: the logarithm of the sum of exponentials of all scores of a row, which are never stored at once.

use super::after::After;
use super::concat::Concat;
use super::log_sum_exp::{LogSumExp, of_row};
use super::slice::Slice;
use super::*;
use crate::array::Array;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::scalar::ScalarOp;
use crate::types::Shape;

/// `(x [n, d], w [v, d]) -> [n]`: `log sum over j of exp(x[i] . w[j])`, `-inf` where there is no `j`. With `biased` the
/// third operand `[v]` is added to the scores. With `excluding` the last two, i32 `[n]` and `[v]`, name rows and
/// columns, and a score counts only where the names differ.
///
/// Where `v` is a constant beyond `part`, scores are computed `part` columns at a time, one part after the other; the
/// derivative computes them again (Gao and others, 2021, do so for contrastive losses). What is stored is one part,
/// `[n, part]`, in place of `[n, v]`. Composite.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinearLogSumExp {
    /// Columns of a part, at least 1.
    pub part: usize,
    /// Whether scores have an addend a column.
    pub biased: bool,
    /// Whether scores of equal names are left out.
    pub excluding: bool,
}

impl OpDef for LinearLogSumExp {
    fn name(&self) -> &'static str {
        "linear_log_sum_exp"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("part", Attr::Int(self.part as i64)),
            ("biased", Attr::Int(i64::from(self.biased))),
            ("excluding", Attr::Int(i64::from(self.excluding))),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let count = 2 + usize::from(self.biased) + 2 * usize::from(self.excluding);
        let all = tensors("linear_log_sum_exp", count, operands)?;
        let (x, w) = (all[0], all[1]);
        if x.rank() != 2 || w.rank() != 2 || x.dtype != w.dtype || !x.dtype.is_real() {
            return Err(format!(
                "`linear_log_sum_exp` takes two matrices of one float type, {} and {} found",
                operands[0], operands[1]
            ));
        }
        if self.part == 0 {
            return Err("`linear_log_sum_exp` in parts of 0 columns; a part has at least 1".to_owned());
        }
        same_dim(
            "linear_log_sum_exp",
            "axis 1 of the first",
            &x.shape[1],
            "that of the second",
            &w.shape[1],
        )?;
        let (rows, columns) = (&x.shape[0], &w.shape[0]);
        let mut expected = vec![];
        if self.biased {
            expected.push((x.dtype, columns));
        }
        if self.excluding {
            expected.extend([(DType::I32, rows), (DType::I32, columns)]);
        }
        for (found, (dtype, size)) in all[2..].iter().zip(expected) {
            let expected = TensorType::new(dtype, [size.clone()]);
            if found.dtype != dtype {
                let [e, f] = [&expected, found].map(|t| Type::Tensor(t.clone()));
                return Err(format!("`linear_log_sum_exp` takes {e}, {f} found"));
            }
            same_shape("linear_log_sum_exp", &expected, found)?;
        }
        Ok(one(Type::tensor(x.dtype, [rows.clone()])))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (x, w) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let (rows, columns, width) = (x.shape()[0], w.shape()[0], values::row_width(x));
        let (xv, wv) = (x.to_f64(), w.to_f64());
        let bias = if self.biased { Some(values::tensor(operands, 2)?.to_f64()) } else { None };
        let names = 2 + usize::from(self.biased);
        let (own, of) = match self.excluding {
            true => (Some(values::tensor(operands, names)?), Some(values::tensor(operands, names + 1)?)),
            false => (None, None),
        };
        let excluded = |i: usize, j: usize| matches!((own, of), (Some(a), Some(b)) if a.get(i) == b.get(j));
        let sums: Vec<f64> = (0..rows)
            .map(|i| {
                let scores: Vec<f64> = (0..columns)
                    .filter(|j| !excluded(i, *j))
                    .map(|j| {
                        let dot = (0..width).fold(0.0, |s, l| s + xv[i * width + l] * wv[j * width + l]);
                        dot + bias.as_ref().map_or(0.0, |b| b[j])
                    })
                    .collect();
                of_row(&scores)
            })
            .collect();
        Ok(vec![Value::Tensor(Array::from_f64(x.dtype(), &[rows], &sums))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let mut gradients = vec![None; cx.operands.len()];
        let Some(dy) = cx.gradient(0) else { return Ok(gradients) };
        let (operands, wanted) = (cx.operands, cx.wanted);
        let (x, y) = (operands[0], cx.results[0]);
        let graph = &mut *cx.graph;
        // Where there is nothing to sum, exponentials are 0 and not those of `-inf - -inf`.
        let size = graph.map(ScalarOp::Abs, &[y]);
        let infinity = graph.fill_like(y, f64::INFINITY);
        let finite = graph.map(ScalarOp::Lt, &[size, infinity]);
        let zero = graph.fill_like(y, 0.0);
        let shift = graph.map(ScalarOp::Select, &[finite, y, zero]);
        let (mut dx, mut dw, mut db) = (None, vec![], vec![]);
        let mut done = vec![dy];
        for part in self.parts(graph, operands) {
            // Again, and not what the forward pass had.
            let scores = part.scores(self, graph, operands, &done);
            let shape = graph.shape_of(scores);
            let [shift, dy] = [shift, dy].map(|o| graph.unreduce(o, shape.clone(), &[1]));
            let share = graph.map(ScalarOp::Sub, &[scores, shift]);
            let share = graph.map(ScalarOp::Exp, &[share]);
            let share = graph.map(ScalarOp::Mul, &[share, dy]);
            done.clear();
            if wanted[0] {
                let rows = part.of(graph, operands[1]);
                let more = graph.matmul(share, rows, false, false);
                let sum = match dx {
                    None => more,
                    Some(sum) => graph.map(ScalarOp::Add, &[sum, more]),
                };
                dx = Some(sum);
                done.push(sum);
            }
            if wanted[1] {
                dw.push(graph.matmul(share, x, true, false));
                done.extend(dw.last());
            }
            if self.biased && wanted[2] {
                db.push(graph.reduce(ReduceOp::Sum, share, Axes::from_slice(&[0])));
                done.extend(db.last());
            }
        }
        gradients[0] = dx;
        gradients[1] = joined(graph, dw);
        if self.biased {
            gradients[2] = joined(graph, db);
        }
        Ok(gradients)
    }

    fn body(
        &self,
        graph: &mut Graph,
        operands: &[Operand],
    ) -> Option<Result<Vec<Operand>, crate::diag::Diag>> {
        let mut sums: Vec<Operand> = vec![];
        for part in self.parts(graph, operands) {
            let done: Vec<Operand> = sums.last().copied().into_iter().collect();
            let scores = part.scores(self, graph, operands, &done);
            sums.push(graph.emit(LogSumExp, &[scores]));
        }
        if let [one] = sums[..] {
            return Some(Ok(vec![one]));
        }
        let column = Shape::from_iter([graph.shape_of(operands[0])[0].clone(), 1.into()]);
        let columns: Vec<Operand> = sums.into_iter().map(|s| graph.reshape(s, column.clone())).collect();
        let all = graph.emit(Concat { axis: 1 }, &columns);
        Some(Ok(vec![graph.emit(LogSumExp, &[all])]))
    }

    fn class(&self) -> Class {
        Class::Composite
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost {
            flops: &elements(&operands[0]) * &(&rows_of(&operands[1]) * &2.into()),
            bytes: traffic(operands, results),
        }
    }
}

/// Some of the columns.
struct Part {
    start: Dim,
    end: Dim,
}

impl LinearLogSumExp {
    /// All columns, in parts where their number is known.
    fn parts(&self, graph: &Graph, operands: &[Operand]) -> Vec<Part> {
        let columns = graph.shape_of(operands[1])[0].clone();
        match columns.as_const().and_then(|v| usize::try_from(v).ok()) {
            Some(v) if v > self.part => (0..v)
                .step_by(self.part)
                .map(|start| Part { start: start.into(), end: (start + self.part).min(v).into() })
                .collect(),
            _ => vec![Part { start: 0.into(), end: columns }],
        }
    }
}

impl Part {
    /// Its part of a value of all columns.
    fn of(&self, graph: &mut Graph, all: Operand) -> Operand {
        if self.end == graph.shape_of(all)[0] && self.start.as_const() == Some(0) {
            return all;
        }
        let op = Slice { axis: 0, start: self.start.clone(), end: self.end.clone(), step: 1 };
        graph.emit(op, &[all])
    }

    /// Scores `[n, part]`, computed after some values where there are any.
    fn scores(
        &self,
        op: &LinearLogSumExp,
        graph: &mut Graph,
        operands: &[Operand],
        done: &[Operand],
    ) -> Operand {
        let x = match done {
            [] => operands[0],
            done => graph.emit(After, &[&operands[..1], done].concat()),
        };
        let w = self.of(graph, operands[1]);
        let mut scores = graph.matmul(x, w, false, true);
        let shape = graph.shape_of(scores);
        let mut rest = operands[2..].to_vec();
        if op.biased {
            let bias = self.of(graph, rest.remove(0));
            let bias = graph.unreduce(bias, shape.clone(), &[0]);
            scores = graph.map(ScalarOp::Add, &[scores, bias]);
        }
        if let [own, of] = rest[..] {
            let of = self.of(graph, of);
            let own = graph.unreduce(own, shape.clone(), &[1]);
            let of = graph.unreduce(of, shape, &[0]);
            let equal = graph.map(ScalarOp::Eq, &[own, of]);
            let none = graph.fill_like(scores, f64::NEG_INFINITY);
            scores = graph.map(ScalarOp::Select, &[equal, none, scores]);
        }
        scores
    }
}

/// Parts one after the other.
fn joined(graph: &mut Graph, parts: Vec<Operand>) -> Option<Operand> {
    match parts[..] {
        [] => None,
        [one] => Some(one),
        _ => Some(graph.emit(Concat { axis: 0 }, &parts)),
    }
}
