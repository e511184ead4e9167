//! Windows and their adjoint as index arithmetic.

use super::LowerError;
use super::cx::Cx;
use crate::dtype::Literal;
use crate::graph::Operand;
use crate::nest::build::op2;
use crate::nest::{Expr, Index};
use crate::ops::windows::Window;
use crate::scalar::ScalarOp;

impl Cx<'_> {
    /// What a window sees: an element of `x`, or the constant around it.
    pub fn windows(
        &mut self,
        w: &Window,
        value: Literal,
        x: Operand,
        at: &[Index],
    ) -> Result<Expr, LowerError> {
        let (n, shape) = (w.axes(), self.graph.shape_of(x));
        let lead = shape.len() - n;
        let (mut from, mut inside) = (at[..lead].to_vec(), None);
        for axis in 0..n {
            let (o, k) = (at[lead + axis].clone(), at[lead + n + axis].clone());
            let seen = o * w.stride[axis] + k * w.dilation[axis] - w.before[axis];
            if w.before[axis] == 0 && w.after[axis] == 0 {
                from.push(seen);
                continue;
            }
            let size = self.dim(&shape[lead + axis]);
            within(&mut inside, &seen, &size);
            from.push(seen.max(0).min(size - 1));
        }
        let e = self.value(x, &from)?;
        Ok(chosen(inside, e, value))
    }

    /// What a window that sees a place at an offset has there, or 0.
    pub fn spread(&mut self, w: &Window, g: Operand, at: &[Index]) -> Result<Expr, LowerError> {
        let (n, shape) = (w.axes(), self.graph.shape_of(g));
        let lead = shape.len() - 2 * n;
        let (mut from, mut inside) = (at[..lead].to_vec(), None);
        for axis in 0..n {
            let (s, k) = (at[lead + axis].clone(), at[lead + n + axis].clone());
            let ahead = s + w.before[axis] - k * w.dilation[axis];
            let (stride, size) = (w.stride[axis], self.dim(&shape[lead + axis]));
            let position = ahead.clone().floor_div(stride);
            if stride > 1 {
                let seen = op2(ScalarOp::Eq, ahead.modulo(stride).into(), Index::Const(0).into());
                and(&mut inside, seen);
            }
            within(&mut inside, &position, &size);
            from.push(position.max(0).min(size - 1));
        }
        from.extend_from_slice(&at[lead + n..]);
        let zero = Literal::zero(self.dtype(g));
        let e = self.value(g, &from)?;
        Ok(chosen(inside, e, zero))
    }
}

fn and(all: &mut Option<Expr>, one: Expr) {
    *all = Some(match all.take() {
        None => one,
        Some(others) => op2(ScalarOp::And, others, one),
    });
}

/// `0 <= position < size`.
fn within(all: &mut Option<Expr>, position: &Index, size: &Index) {
    and(all, op2(ScalarOp::Ge, position.clone().into(), Index::Const(0).into()));
    and(all, op2(ScalarOp::Lt, position.clone().into(), size.clone().into()));
}

fn chosen(inside: Option<Expr>, e: Expr, otherwise: Literal) -> Expr {
    match inside {
        None => e,
        Some(inside) => Expr::Op(ScalarOp::Select, vec![inside, e, Expr::Lit(otherwise)]),
    }
}
