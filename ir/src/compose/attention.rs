//! Scaled dot-product attention.

use super::wide;
use crate::dim::{Dim, Proof};
use crate::dtype::{DType, Literal};
use crate::graph::{Graph, Operand};
use crate::ops::softmax::Softmax;
use crate::scalar::ScalarOp;
use crate::types::{Shape, shape_text};

/// What attention does beside the softmax of products.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attention {
    /// Bools that say which keys a query sees, or floats that are added to the scores; repeated to
    /// `[.., heads, queries, keys]` from the last axes on.
    pub mask: Option<Operand>,
    /// Query `i` sees no key beyond `i` plus this number.
    pub causal: Option<i64>,
    /// What products are multiplied by; `1 / sqrt(width)` where it is not given.
    pub scale: Option<f64>,
    /// Scores become `c tanh(score / c)` before they are masked.
    pub softcap: Option<f64>,
}

/// The result of attention and what it went through, each `[.., heads, queries, keys]`.
#[derive(Clone, Copy, Debug)]
pub struct Attended {
    /// `[.., heads, queries, width of values]`
    pub y: Operand,
    /// Scaled products.
    pub products: Operand,
    /// The same, capped.
    pub capped: Operand,
    /// The same, masked.
    pub masked: Operand,
    /// Their softmax along the keys.
    pub weights: Operand,
}

impl Graph {
    /// `softmax(scale q k^T + mask) v` for queries `[.., heads, n, d]`, keys `[.., groups, m, d]` and values
    /// `[.., groups, m, e]`, where `heads` is a multiple of `groups`: neighbouring heads share keys and values. Scores
    /// of narrow floats are kept in f32. A query that sees no key has NaN.
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn attention(
        &mut self,
        q: Operand,
        k: Operand,
        v: Operand,
        how: &Attention,
    ) -> Result<Attended, String> {
        let [tq, tk, tv] =
            [self.dense("attention", q)?, self.dense("attention", k)?, self.dense("attention", v)?];
        let refuse = || {
            format!(
                "`attention` takes floats [.., heads, n, d], [.., groups, m, d] and [.., groups, m, e] where groups \
                 divide heads; {}{}, {}{} and {}{} found",
                tq.dtype,
                shape_text(&tq.shape),
                tk.dtype,
                shape_text(&tk.shape),
                tv.dtype,
                shape_text(&tv.shape)
            )
        };
        let rank = tq.rank();
        let float = tq.dtype.is_real() && tk.dtype == tq.dtype && tv.dtype == tq.dtype;
        if rank < 3 || tk.rank() != rank || tv.rank() != rank || !float {
            return Err(refuse());
        }
        let (lead, heads) = (&tq.shape[..rank - 3], &tq.shape[rank - 3]);
        let (groups, n, m) = (&tk.shape[rank - 3], &tq.shape[rank - 2], &tk.shape[rank - 2]);
        let same = |a: &Dim, b: &Dim| a.eq_proof(b) == Proof::True;
        let share: Option<Dim> = if same(heads, groups) {
            Some(1.into())
        } else {
            heads
                .as_const()
                .zip(groups.as_const())
                .filter(|(h, g)| *g > 0 && h % g == 0)
                .map(|(h, g)| (h / g).into())
        };
        let fits = Graph::equal_shapes(lead, &tk.shape[..rank - 3])
            && Graph::equal_shapes(&tk.shape[..rank - 1], &tv.shape[..rank - 1])
            && same(&tq.shape[rank - 1], &tk.shape[rank - 1]);
        let Some(share) = share.filter(|_| fits) else { return Err(refuse()) };

        let dtype = wide(tq.dtype);
        let [q, k, v] = [q, k, v].map(|o| self.cast(o, dtype));
        let with = |a: Dim, b: Dim, c: Dim| -> Shape { lead.iter().cloned().chain([a, b, c]).collect() };
        let together = |width: &Dim| with(groups.clone(), &share * n, width.clone());
        let q = self.reshape(q, together(&tq.shape[rank - 1]));
        let products = self.matmul(q, k, false, true);
        let scores = with(heads.clone(), n.clone(), m.clone());
        let products = self.reshape(products, scores.clone());
        let products = match how.scale {
            Some(scale) => self.by(ScalarOp::Mul, products, scale),
            None => {
                let width = self.size_as(&tq.shape[rank - 1], dtype, Shape::new());
                let by = self.map(ScalarOp::Rsqrt, &[width]);
                let by = self.repeat_to(by, &scores)?;
                self.map(ScalarOp::Mul, &[products, by])
            }
        };
        let capped = match how.softcap {
            Some(cap) if cap > 0.0 => {
                let part = self.by(ScalarOp::Div, products, cap);
                let part = self.map(ScalarOp::Tanh, &[part]);
                self.by(ScalarOp::Mul, part, cap)
            }
            _ => products,
        };
        let mut masked = capped;
        let never = self.fill(Literal::float(dtype, f64::NEG_INFINITY), scores.clone());
        if let Some(beyond) = how.causal {
            let k = self.fill(Literal::int(DType::I64, beyond), []);
            let seen = self.triangle(&scores, k, false)?;
            masked = self.select(seen, masked, never);
        }
        if let Some(mask) = how.mask {
            let mask = self.repeat_to(mask, &scores)?;
            masked = match self.dtype_of(mask) {
                DType::Bool => self.select(mask, masked, never),
                t if t.is_real() => {
                    let mask = self.cast(mask, dtype);
                    self.map(ScalarOp::Add, &[masked, mask])
                }
                t => return Err(format!("the mask of `attention` holds bools or floats, {t} found")),
            };
        }
        let weights = self.emit(Softmax, &[masked]);
        let apart = self.reshape(weights, together(m));
        let y = self.matmul(apart, v, false, false);
        let y = self.reshape(y, with(heads.clone(), n.clone(), tv.shape[rank - 1].clone()));
        let [y, products, capped, masked, weights] =
            [y, products, capped, masked, weights].map(|o| self.cast(o, tq.dtype));
        Ok(Attended { y, products, capped, masked, weights })
    }
}
