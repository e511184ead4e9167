//! `matmul`: products of matrices, batched over leading axes.

use super::*;
use crate::array::Array;
use crate::dim::Dim;
use crate::types::shape_text;

/// `[.., m, k] x [.., k, n] -> [.., m, n]`, either operand transposed on request; leading axes are equal.
/// Products and sums of integers wrap; those of narrow ones are taken in a wider type after a cast.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// The first operand is `[.., k, m]`.
    pub transpose_a: bool,
    /// The second operand is `[.., n, k]`.
    pub transpose_b: bool,
}

impl OpDef for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn attrs(&self) -> Attrs {
        vec![("transpose", Attr::Ints(vec![i64::from(self.transpose_a), i64::from(self.transpose_b)]))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [a, b] = fixed(tensors("matmul", 2, operands)?);
        let text = || format!("{}{} and {}{}", a.dtype, shape_text(&a.shape), b.dtype, shape_text(&b.shape));
        if a.rank() < 2 || a.rank() != b.rank() {
            return Err(format!("`matmul` takes two operands of one rank, at least 2; {} found", text()));
        }
        if a.dtype != b.dtype || !(a.dtype.is_real() || a.dtype.is_int()) {
            return Err(format!(
                "`matmul` takes operands of one float or integer type, {} found; insert a cast",
                text()
            ));
        }
        let r = a.rank();
        for i in 0..r - 2 {
            same_dim(
                "matmul",
                &format!("axis {i} of the first operand"),
                &a.shape[i],
                "that of the second",
                &b.shape[i],
            )?;
        }
        let (m, ka) = if self.transpose_a { (r - 1, r - 2) } else { (r - 2, r - 1) };
        let (kb, n) = if self.transpose_b { (r - 1, r - 2) } else { (r - 2, r - 1) };
        same_dim(
            "matmul",
            &format!("axis {ka} of the first operand"),
            &a.shape[ka],
            &format!("axis {kb} of the second"),
            &b.shape[kb],
        )?;
        let shape = a.shape[..r - 2].iter().cloned().chain([a.shape[m].clone(), b.shape[n].clone()]);
        Ok(one(Type::tensor(a.dtype, shape)))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (a, b) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let axis = |x: &Array, back: usize| x.shape()[x.shape().len() - back];
        let (m, k) = if self.transpose_a { (axis(a, 1), axis(a, 2)) } else { (axis(a, 2), axis(a, 1)) };
        let n = axis(b, if self.transpose_b { 2 } else { 1 });
        let leading = &a.shape()[..a.shape().len() - 2];
        let batches: usize = leading.iter().product();
        let (av, bv) = (a.to_f64(), b.to_f64());
        let ints = |x: &Array| -> Vec<i64> { (0..x.len()).map(|i| x.get(i).as_i64()).collect() };
        let (ai, bi) = if a.dtype().is_int() { (ints(a), ints(b)) } else { (vec![], vec![]) };
        let mut sums = values::Sums::zeros(a.dtype(), batches * m * n);
        for batch in 0..batches {
            for i in 0..m {
                for j in 0..n {
                    for l in 0..k {
                        let x = batch * m * k + if self.transpose_a { l * m + i } else { i * k + l };
                        let y = batch * k * n + if self.transpose_b { j * k + l } else { l * n + j };
                        let to = (batch * m + i) * n + j;
                        match &mut sums {
                            values::Sums::Float(_, sums) => sums[to] += av[x] * bv[y],
                            values::Sums::Int(_, sums) => {
                                sums[to] = sums[to].wrapping_add(ai[x].wrapping_mul(bi[y]));
                            }
                        }
                    }
                }
            }
        }
        let shape: Vec<usize> = leading.iter().copied().chain([m, n]).collect();
        Ok(vec![Value::Tensor(sums.array(&shape))])
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        let Some(dy) = cx.gradient(0) else { return Ok(vec![None, None]) };
        let (a, b) = (cx.operands[0], cx.operands[1]);
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        let da = cx.wanted[0]
            .then(|| if ta { cx.graph.matmul(b, dy, tb, true) } else { cx.graph.matmul(dy, b, false, !tb) });
        let db = cx.wanted[1]
            .then(|| if tb { cx.graph.matmul(dy, a, true, ta) } else { cx.graph.matmul(a, dy, !ta, false) });
        Ok(vec![da, db])
    }

    fn batch(&self, cx: &mut Batch<'_>) -> Result<Option<Vec<Operand>>, String> {
        // Rows of all slices times one matrix are rows of one product.
        let rows = !self.transpose_a && cx.batched[0] && !cx.batched[1] && cx.slice(0).len() == 2;
        if !rows {
            return Ok(Some(cx.same(self.clone())));
        }
        let (shape, b) = (cx.graph.shape_of(cx.operands[0]), cx.operands[1]);
        let all = [&shape[0] * &shape[1], shape[2].clone()].into_iter().collect();
        let a = cx.graph.reshape(cx.operands[0], all);
        let y = cx.graph.emit(self.clone(), &[a, b]);
        let n = cx.graph.shape_of(y)[1].clone();
        Ok(Some(vec![cx.graph.reshape(y, [shape[0].clone(), shape[1].clone(), n].into_iter().collect())]))
    }

    fn class(&self) -> Class {
        Class::Contract
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost {
            flops: &(&elements(&results[0]) * &inner(&operands[0], self.transpose_a)) * &2.into(),
            bytes: traffic(operands, results),
        }
    }
}

/// The size that is summed over.
fn inner(a: &Type, transposed: bool) -> Dim {
    let shape = a.as_tensor().map(|t| t.shape.as_slice()).unwrap_or_default();
    shape
        .len()
        .checked_sub(if transposed { 2 } else { 1 })
        .and_then(|i| shape.get(i))
        .cloned()
        .unwrap_or_else(|| 1.into())
}
