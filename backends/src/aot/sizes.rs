//! Sizes, loop bounds and estimates of work as code: what the in-process runtime computes when dims change.

use super::code::{Fun, I, Made};
use crate::cpu::EmitError;
use inkwell::values::FloatValue;
use latentc_ir::dim::{Dim, DimAlgebra, Symbol};
use latentc_ir::nest::{AxisKind, Index, Stmt};

/// A function and the values of dims in it.
pub(super) struct Sizes<'f, 'a, 'c> {
    pub fun: &'f Fun<'a, 'c>,
    /// By the name that the program has for each.
    pub dims: Vec<(String, I<'c>)>,
}

impl<'c> Sizes<'_, '_, 'c> {
    /// The value of a size.
    pub fn dim(&self, dim: &Dim) -> Made<I<'c>> {
        dim.fold(&mut &*self)
    }

    /// The value of a dim.
    fn named(&self, name: &str) -> Made<I<'c>> {
        let found = self.dims.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| *v).ok_or_else(|| EmitError::internal(format!("no dim `{name}`")))
    }

    /// The value of an index that depends on nothing but dims, here those of a launch.
    pub fn index(&self, index: &Index, dims: &[I<'c>]) -> Made<I<'c>> {
        let f = self.fun;
        let two = |a: &Index, b: &Index| Ok::<_, EmitError>((self.index(a, dims)?, self.index(b, dims)?));
        match index {
            Index::Const(c) => Ok(f.int(*c)),
            Index::Dim(d) => {
                dims.get(d.at()).copied().ok_or_else(|| EmitError::internal("a dim that a launch lacks"))
            }
            Index::Var(_) | Index::Val(_) => {
                Err(EmitError::internal("a size that is not known before a run"))
            }
            Index::Add(a, b) => two(a, b).and_then(|(a, b)| f.add(a, b)),
            Index::Sub(a, b) => two(a, b).and_then(|(a, b)| f.sub(a, b)),
            Index::Mul(a, b) => two(a, b).and_then(|(a, b)| f.mul(a, b)),
            Index::Div(a, b) => two(a, b).and_then(|(a, b)| f.floor_div(a, b)),
            Index::Mod(a, b) => two(a, b).and_then(|(a, b)| f.floor_mod(a, b)),
            Index::Min(a, b) => two(a, b).and_then(|(a, b)| f.min(a, b)),
            Index::Max(a, b) => two(a, b).and_then(|(a, b)| f.max(a, b)),
        }
    }

    fn number(&self, x: f64) -> FloatValue<'c> {
        self.fun.ops.ctx.f64_type().const_float(x)
    }

    /// About how many instructions statements run, as `cpu::sizes::work` estimates it.
    pub fn work(&self, body: &[Stmt], dims: &[I<'c>]) -> Made<FloatValue<'c>> {
        use crate::cpu::sizes::{UNKNOWN_TURNS, expr, is_free};
        let (f, b) = (self.fun, &self.fun.ops.builder);
        let mut total = self.number(0.0);
        for s in body {
            let one = match s {
                Stmt::For { lo, hi, step, kind, body, .. } => {
                    let turns = if is_free(lo) && is_free(hi) {
                        let count = f.sub(self.index(hi, dims)?, self.index(lo, dims)?)?;
                        let vector = match kind {
                            AxisKind::Vector(n) => i64::from((*n).max(1)),
                            _ => 1,
                        };
                        let count = f.div(count, f.int((*step).max(1)))?;
                        let count =
                            f.max(f.floor_div(f.plus(count, vector - 1)?, f.int(vector))?, f.int(0))?;
                        b.build_signed_int_to_float(count, self.fun.ops.ctx.f64_type(), "")?
                    } else {
                        self.number(UNKNOWN_TURNS)
                    };
                    b.build_float_mul(turns, self.work(body, dims)?, "")?
                }
                Stmt::If { cond, then, otherwise } => {
                    let (x, y) = (self.work(then, dims)?, self.work(otherwise, dims)?);
                    let less = b.build_float_compare(inkwell::FloatPredicate::OLT, x, y, "")?;
                    let more = b.build_select(less, y, x, "")?.into_float_value();
                    b.build_float_add(self.number(expr(cond)), more, "")?
                }
                Stmt::Let { expr: e, .. } => self.number(expr(e)),
                Stmt::Store { value, .. } | Stmt::Accumulate { value, .. } => self.number(1.0 + expr(value)),
                Stmt::Fill { .. } | Stmt::Prefetch { .. } => self.number(1.0),
            };
            total = b.build_float_add(total, one, "")?;
        }
        Ok(total)
    }
}

type Value<'c> = Made<I<'c>>;

impl<'c> DimAlgebra<Value<'c>> for &Sizes<'_, '_, 'c> {
    fn constant(&mut self, value: i64) -> Value<'c> {
        Ok(self.fun.int(value))
    }

    fn symbol(&mut self, symbol: &Symbol) -> Value<'c> {
        self.named(&symbol.name)
    }

    fn add(&mut self, a: Value<'c>, b: Value<'c>) -> Value<'c> {
        self.fun.add(a?, b?)
    }

    fn mul(&mut self, a: Value<'c>, b: Value<'c>) -> Value<'c> {
        self.fun.mul(a?, b?)
    }

    fn floor_div(&mut self, a: Value<'c>, b: Value<'c>) -> Value<'c> {
        self.fun.floor_div(a?, b?)
    }

    fn min(&mut self, a: Value<'c>, b: Value<'c>) -> Value<'c> {
        self.fun.min(a?, b?)
    }

    fn max(&mut self, a: Value<'c>, b: Value<'c>) -> Value<'c> {
        self.fun.max(a?, b?)
    }
}
