//! Gated recurrent units.

use super::gate;
use crate::scope::Steps;
use crate::{Init, Param, Params, Scope, Tensor, init};
use std::fmt;
use std::panic::Location;

/// A layer of gated recurrent units (Cho et al., 2014, with the reset after the product, as in cuDNN).
///
/// ```text
/// z = sigmoid(x Wz + h Rz + bz)      r = sigmoid(x Wr + h Rr + br)
/// n = tanh(x Wn + bn + r (h Rn + cn))
/// h' = (1 - z) n + z h
/// ```
#[derive(Clone, Debug, Params)]
pub struct Gru {
    /// `[input, 3 hidden]`: `Wz Wr Wn`.
    pub input: Param,
    /// `[hidden, 3 hidden]`: `Rz Rr Rn`.
    pub hidden: Param,
    /// `[3 hidden]`: `bz br bn`.
    pub bias: Param,
    /// `[hidden]`: `cn`.
    pub inner: Param,
    #[params(skip)]
    width: usize,
}

impl Gru {
    /// Declares a layer that takes vectors of `input` numbers and keeps `hidden`.
    #[track_caller]
    pub fn new(p: &Init, name: impl fmt::Display, input: usize, hidden: usize) -> Gru {
        let p = p.scope(name);
        Gru {
            input: p.tensor("input", [input, 3 * hidden], init::xavier_uniform()),
            hidden: p.tensor("hidden", [hidden, 3 * hidden], init::xavier_uniform()),
            bias: p.tensor("bias", [3 * hidden], init::zeros()),
            inner: p.tensor("inner", [hidden], init::zeros()),
            width: hidden,
        }
    }

    /// Runs over `x [steps, batch, input]`. `begin` is `h [batch, hidden]`; zeros where there is none. Gives every
    /// `h`, `[steps, batch, hidden]`, and the last one.
    #[track_caller]
    pub fn run<'g>(&self, x: Tensor<'g>, begin: Option<Tensor<'g>>, how: Steps) -> (Tensor<'g>, Tensor<'g>) {
        let at = Location::caller();
        let g: &'g Scope = x.scope();
        let n = self.width;
        let zeros = || g.fill(x.dtype().unwrap_or(crate::DType::F32), (x.dim(1), n), 0.0);
        let begin = begin.unwrap_or_else(zeros);
        // The part of the input is one product for all steps.
        let given = x.matmul(self.input.get(g)) + self.bias.get(g);
        let (hidden, inner) = (self.hidden.get(g), self.inner.get(g));
        let step = |h: Tensor<'g>, x: Tensor<'g>| {
            let all = h.matmul(hidden);
            let z = (gate(x, 0, n) + gate(all, 0, n)).sigmoid();
            let r = (gate(x, 1, n) + gate(all, 1, n)).sigmoid();
            let new = (gate(x, 2, n) + r * (gate(all, 2, n) + inner)).tanh();
            let h = new + z * (h - new);
            (h, h)
        };
        let (last, all) = g.scan_at(x.dim(0), how, begin, given, step, at);
        (all, last)
    }
}
