//! Long short-term memory.

use super::gate;
use crate::scope::Steps;
use crate::{Init, Param, Params, Scope, Tensor, init};
use std::fmt;
use std::panic::Location;

/// A layer of long short-term memory (Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000).
///
/// ```text
/// i = sigmoid(x Wi + h Ri + bi)      f = sigmoid(x Wf + h Rf + bf)
/// g = tanh(x Wg + h Rg + bg)         o = sigmoid(x Wo + h Ro + bo)
/// c' = f c + i g                     h' = o tanh(c')
/// ```
#[derive(Clone, Debug, Params)]
pub struct Lstm {
    /// `[input, 4 hidden]`: `Wi Wf Wg Wo`.
    pub input: Param,
    /// `[hidden, 4 hidden]`: `Ri Rf Rg Ro`.
    pub hidden: Param,
    /// `[4 hidden]`: `bi bf bg bo`.
    pub bias: Param,
    #[params(skip)]
    width: usize,
}

impl Lstm {
    /// Declares a layer that takes vectors of `input` numbers and keeps `hidden`.
    #[track_caller]
    pub fn new(p: &Init, name: impl fmt::Display, input: usize, hidden: usize) -> Lstm {
        let p = p.scope(name);
        Lstm {
            input: p.tensor("input", [input, 4 * hidden], init::xavier_uniform()),
            hidden: p.tensor("hidden", [hidden, 4 * hidden], init::xavier_uniform()),
            bias: p.tensor("bias", [4 * hidden], init::zeros()),
            width: hidden,
        }
    }

    /// Runs over `x [steps, batch, input]`. `begin` is `(h, c)`, each `[batch, hidden]`; zeros where there is none.
    /// Gives every `h`, `[steps, batch, hidden]`, and the last `(h, c)`.
    #[track_caller]
    pub fn run<'g>(
        &self,
        x: Tensor<'g>,
        begin: Option<(Tensor<'g>, Tensor<'g>)>,
        how: Steps,
    ) -> (Tensor<'g>, (Tensor<'g>, Tensor<'g>)) {
        let at = Location::caller();
        let g: &'g Scope = x.scope();
        let n = self.width;
        let zeros = || g.fill(x.dtype().unwrap_or(crate::DType::F32), (x.dim(1), n), 0.0);
        let begin = begin.unwrap_or_else(|| (zeros(), zeros()));
        // The part of the input is one product for all steps.
        let given = x.matmul(self.input.get(g)) + self.bias.get(g);
        let hidden = self.hidden.get(g);
        let step = |(h, c): (Tensor<'g>, Tensor<'g>), x: Tensor<'g>| {
            let all = x + h.matmul(hidden);
            let c = gate(all, 1, n).sigmoid() * c + gate(all, 0, n).sigmoid() * gate(all, 2, n).tanh();
            let h = gate(all, 3, n).sigmoid() * c.tanh();
            ((h, c), h)
        };
        let (last, all) = g.scan_at(x.dim(0), how, begin, given, step, at);
        (all, last)
    }
}
