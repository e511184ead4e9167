//! Attention, and products by equations.

use super::Tensor;
use crate::scope::Scope;
use latentc_ir::compose::attention;
use std::panic::Location;

/// What attention does beside the softmax of products.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention<'g> {
    /// Bools that say which keys a query sees, or floats that are added to the scores; repeated to
    /// `[.., heads, queries, keys]` from the last axes on.
    pub mask: Option<Tensor<'g>>,
    /// Query `i` sees no key beyond `i` plus this number.
    pub causal: Option<i64>,
    /// What products are multiplied by; `1 / sqrt(width)` where it is not given.
    pub scale: Option<f64>,
    /// Scores become `c tanh(score / c)` before they are masked.
    pub softcap: Option<f64>,
}

impl<'g> Tensor<'g> {
    /// `softmax(scale q k^T + mask) v` for queries `[.., heads, n, d]` (this tensor), keys `[.., groups, m, d]` and
    /// values `[.., groups, m, e]`, where `heads` is a multiple of `groups`: neighbouring heads share keys and values.
    #[track_caller]
    pub fn attention(self, keys: Tensor<'g>, values: Tensor<'g>, how: Attention<'g>) -> Tensor<'g> {
        let operands: Vec<Tensor<'g>> = [self, keys, values].into_iter().chain(how.mask).collect();
        self.scope.composed(&operands, Location::caller(), |g, o| {
            let Attention { causal, scale, softcap, .. } = how;
            let how = attention::Attention { mask: o.get(3).copied(), causal, scale, softcap };
            Ok(g.attention(o[0], o[1], o[2], &how)?.y)
        })
    }
}

impl Scope {
    /// Sums of products by an equation of letters that name axes, such as `bij,bjk->bik`, with `...` for axes that are
    /// lined up from the last.
    #[track_caller]
    pub fn einsum<'g>(&'g self, equation: &str, operands: &[Tensor<'g>]) -> Tensor<'g> {
        self.composed(operands, Location::caller(), |g, o| g.einsum(equation, o))
    }
}
