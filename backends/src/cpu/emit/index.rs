//! Positions: constants pulled out of sums, and how a position varies over the lanes of a vector loop.
//!
//! A [`Linear`] position is `base + offset + stride * lane`. Keeping the constant apart gives unrolled code
//! addresses that differ by a displacement and register arrays constant positions; the stride tells a
//! contiguous vector from a broadcast; the known divisor of the base proves that `i / 64` and `i mod 64` of
//! a vector of 8 lanes stay uniform and contiguous.

use inkwell::IntPredicate;
use inkwell::values::{InstructionOpcode, IntValue, PointerValue};
use latentc_ir::dtype::DType;
use latentc_ir::nest::{BufId, Index, ValId};

use super::super::EmitError;
use super::super::vector::{R, V, lanes};
use super::Emitter;

/// `base + offset + stride * lane`.
#[derive(Clone, Copy)]
pub(super) struct Linear<'c> {
    /// The part known at run time.
    pub base: Option<IntValue<'c>>,
    /// The constant part.
    pub offset: i64,
    /// Elements from lane to lane.
    pub stride: i64,
    /// A number that divides `base`; 0 where there is no base.
    pub divisor: i64,
    /// Whether `base` is known to be at least zero.
    pub nonneg: bool,
}

/// A position, or one for each lane.
#[derive(Clone, Copy)]
pub(super) enum Ix<'c> {
    /// Evenly spaced over the lanes.
    Linear(Linear<'c>),
    /// Any, as a vector of i64.
    Lanes(V<'c>),
}

pub(super) fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1)
}

impl<'c> Linear<'c> {
    pub fn constant(c: i64) -> Self {
        Linear { base: None, offset: c, stride: 0, divisor: 0, nonneg: true }
    }

    pub fn value(base: IntValue<'c>, nonneg: bool) -> Self {
        match base.get_sign_extended_constant() {
            Some(c) => Linear::constant(c),
            None => Linear { base: Some(base), offset: 0, stride: 0, divisor: 1, nonneg },
        }
    }

    pub fn as_const(&self) -> Option<i64> {
        (self.base.is_none() && self.stride == 0).then_some(self.offset)
    }

    /// Whether lane 0 is known to be at least zero.
    pub fn is_nonneg(&self) -> bool {
        self.nonneg && self.offset >= 0
    }

    /// A number that divides lane 0's position; 0 for the constant 0.
    fn known_divisor(&self) -> i64 {
        gcd(self.divisor, self.offset)
    }
}

impl<'c> Emitter<'_, 'c> {
    /// Writes the computation of a position.
    pub(super) fn index(&self, index: &Index) -> Result<Ix<'c>, EmitError> {
        Ok(match index {
            Index::Const(c) => Ix::Linear(Linear::constant(*c)),
            Index::Var(v) => {
                let var = self.vars.get(v.at()).copied().flatten();
                Ix::Linear(
                    var.ok_or_else(|| self.malformed(format!("loop variable {} out of its loop", v.0)))?,
                )
            }
            Index::Dim(d) => {
                let dim = self.dims.get(d.at()).copied();
                Ix::Linear(Linear::value(
                    dim.ok_or_else(|| self.malformed(format!("undeclared dimension {}", d.0)))?,
                    true,
                ))
            }
            Index::Val(v) => self.index_of_value(*v)?,
            Index::Add(a, b) => self.index_add(self.index(a)?, self.index(b)?)?,
            Index::Sub(a, b) => {
                let minus = self.index_mul(self.index(b)?, Ix::Linear(Linear::constant(-1)))?;
                self.index_add(self.index(a)?, minus)?
            }
            Index::Mul(a, b) => self.index_mul(self.index(a)?, self.index(b)?)?,
            Index::Div(a, b) => self.index_div(self.index(a)?, self.index(b)?, true)?,
            Index::Mod(a, b) => self.index_div(self.index(a)?, self.index(b)?, false)?,
            Index::Min(a, b) => self.index_bound(self.index(a)?, self.index(b)?, false)?,
            Index::Max(a, b) => self.index_bound(self.index(a)?, self.index(b)?, true)?,
        })
    }

    /// A position that is the same in every lane.
    pub(super) fn uniform(&self, index: &Index, place: &str) -> Result<Linear<'c>, EmitError> {
        match self.index(index)? {
            Ix::Linear(l) if l.stride == 0 => Ok(l),
            _ => {
                Err(EmitError::VariesOverLanes { kernel: self.kernel.name.clone(), place: place.to_owned() })
            }
        }
    }

    /// Lane 0's position as an i64.
    pub(super) fn scalar(&self, l: &Linear<'c>) -> Result<IntValue<'c>, EmitError> {
        match (l.base, l.offset) {
            (None, c) => Ok(self.ops.i64(c)),
            (Some(b), 0) => Ok(b),
            (Some(b), c) => Ok(self.ops.builder.build_int_add(b, self.ops.i64(c), "")?),
        }
    }

    /// The position as an i64, or a vector of them where it varies.
    pub(super) fn index_value(&self, ix: &Ix<'c>) -> R<'c> {
        match ix {
            Ix::Lanes(v) => Ok(*v),
            Ix::Linear(l) if l.stride == 0 => Ok(self.scalar(l)?.into()),
            Ix::Linear(l) => {
                let base = self.ops.splat(self.scalar(l)?.into(), self.lanes)?;
                let iota = self.ops.iota(self.lanes);
                self.ops.iadd(base, self.ops.imul(iota, self.ops.i(iota, l.stride))?)
            }
        }
    }

    fn index_of_value(&self, val: ValId) -> Result<Ix<'c>, EmitError> {
        let value = self.value_of(val)?;
        let i64 = self.ops.ctx.i64_type().into();
        let (op, nonneg) = match value.dtype {
            // A u64 counts as the i64 with its bits, as in the interpreter.
            d if d.is_signed() || d == DType::U64 => (InstructionOpcode::SExt, false),
            d if d.is_unsigned() || d == DType::Bool => (InstructionOpcode::ZExt, true),
            found => {
                return Err(self.mismatch("a value used as a position", "an integer type", found.name()));
            }
        };
        match self.ops.cast(op, value.raw, i64)? {
            V::IntValue(v) => Ok(Ix::Linear(Linear::value(v, nonneg))),
            v => Ok(Ix::Lanes(v)),
        }
    }

    /// Both as lane vectors, or both as scalars where neither varies.
    fn pair(&self, a: Ix<'c>, b: Ix<'c>) -> Result<(V<'c>, V<'c>), EmitError> {
        let (a, b) = (self.index_value(&a)?, self.index_value(&b)?);
        let n = lanes(a).max(lanes(b));
        Ok((self.ops.splat(a, n)?, self.ops.splat(b, n)?))
    }

    /// Wraps what was computed of two positions.
    fn wrap(v: V<'c>, nonneg: bool, divisor: i64) -> Ix<'c> {
        match v {
            V::IntValue(v) => {
                let l = Linear::value(v, nonneg);
                let divisor = if l.base.is_some() { divisor.max(1) } else { 0 };
                Ix::Linear(Linear { divisor, ..l })
            }
            v => Ix::Lanes(v),
        }
    }

    fn index_add(&self, a: Ix<'c>, b: Ix<'c>) -> Result<Ix<'c>, EmitError> {
        let (Ix::Linear(x), Ix::Linear(y)) = (a, b) else {
            let (a, b) = self.pair(a, b)?;
            return Ok(Ix::Lanes(self.ops.iadd(a, b)?));
        };
        let base = match (x.base, y.base) {
            (Some(p), Some(q)) => Some(self.ops.builder.build_int_add(p, q, "")?),
            (p, q) => p.or(q),
        };
        Ok(Ix::Linear(Linear {
            base,
            offset: x.offset.wrapping_add(y.offset),
            stride: x.stride.wrapping_add(y.stride),
            divisor: gcd(x.divisor, y.divisor),
            nonneg: x.nonneg && y.nonneg,
        }))
    }

    fn index_mul(&self, a: Ix<'c>, b: Ix<'c>) -> Result<Ix<'c>, EmitError> {
        match (a, b) {
            (Ix::Linear(x), Ix::Linear(c)) | (Ix::Linear(c), Ix::Linear(x)) if c.as_const().is_some() => {
                let c = c.offset;
                let base = match x.base {
                    None => None,
                    Some(_) if c == 0 => None,
                    Some(b) if c == 1 => Some(b),
                    Some(b) => Some(self.ops.builder.build_int_mul(b, self.ops.i64(c), "")?),
                };
                Ok(Ix::Linear(Linear {
                    divisor: if base.is_none() {
                        0
                    } else {
                        x.divisor.checked_mul(c.saturating_abs()).unwrap_or(1)
                    },
                    base,
                    offset: x.offset.wrapping_mul(c),
                    stride: x.stride.wrapping_mul(c),
                    nonneg: base.is_none() || (x.nonneg && c >= 0),
                }))
            }
            (Ix::Linear(x), Ix::Linear(y)) if x.stride == 0 && y.stride == 0 => {
                let product = self.ops.builder.build_int_mul(self.scalar(&x)?, self.scalar(&y)?, "")?;
                let divisor = x.known_divisor().checked_mul(y.known_divisor()).unwrap_or(1);
                Ok(Self::wrap(product.into(), x.is_nonneg() && y.is_nonneg(), divisor))
            }
            (a, b) => {
                let (a, b) = self.pair(a, b)?;
                Ok(Ix::Lanes(self.ops.imul(a, b)?))
            }
        }
    }

    /// Quotient rounded down, or the remainder that goes with it.
    fn index_div(&self, a: Ix<'c>, b: Ix<'c>, quotient: bool) -> Result<Ix<'c>, EmitError> {
        if let Ix::Linear(d) = b
            && let Some(d) = d.as_const()
        {
            if d <= 0 {
                return Err(self.malformed(format!("a position divided by {d}; divisors are positive")));
            }
            if let Ix::Linear(x) = a {
                if let Some(c) = x.as_const() {
                    let r = if quotient { c.div_euclid(d) } else { c.rem_euclid(d) };
                    return Ok(Ix::Linear(Linear::constant(r)));
                }
                // Lane 0 is a multiple of `room`, and so is the divisor: lanes within it share a quotient.
                let room = gcd(x.known_divisor(), d);
                let span = x.stride.saturating_mul(i64::from(self.lanes) - 1);
                if x.stride != 0 && span > 0 && span < room {
                    let start = Ix::Linear(Linear { stride: 0, ..x });
                    let r = self.index_div(start, b, quotient)?;
                    return match r {
                        Ix::Linear(r) if !quotient => Ok(Ix::Linear(Linear { stride: x.stride, ..r })),
                        r => Ok(r),
                    };
                }
            }
        }
        let nonneg = |i: &Ix| matches!(i, Ix::Linear(l) if l.is_nonneg() && l.stride >= 0);
        let unsigned = nonneg(&a) && nonneg(&b);
        let divisor = match (&a, &b) {
            (Ix::Linear(x), Ix::Linear(y)) if !quotient => match y.as_const() {
                Some(d) => gcd(x.known_divisor(), d),
                None => 1,
            },
            (Ix::Linear(x), Ix::Linear(y)) => match y.as_const() {
                Some(d) if x.known_divisor() % d == 0 => x.known_divisor() / d,
                _ => 1,
            },
            _ => 1,
        };
        let non_negative_quotient = nonneg(&a);
        let (x, y) = self.pair(a, b)?;
        let v = self.floor_div(x, y, quotient, unsigned)?;
        Ok(Self::wrap(v, !quotient || non_negative_quotient, divisor))
    }

    fn floor_div(&self, x: V<'c>, y: V<'c>, quotient: bool, unsigned: bool) -> R<'c> {
        let o = self.ops;
        if unsigned {
            let op = if quotient { InstructionOpcode::UDiv } else { InstructionOpcode::URem };
            return o.bin(op, x, y);
        }
        let r = o.bin(InstructionOpcode::SRem, x, y)?;
        let below = o.icmp(IntPredicate::SLT, r, o.i(r, 0))?;
        if quotient {
            let q = o.bin(InstructionOpcode::SDiv, x, y)?;
            o.select(below, o.isub(q, o.i(q, 1))?, q)
        } else {
            o.select(below, o.iadd(r, y)?, r)
        }
    }

    fn index_bound(&self, a: Ix<'c>, b: Ix<'c>, greater: bool) -> Result<Ix<'c>, EmitError> {
        let mut nonneg = false;
        let mut divisor = 1;
        if let (Ix::Linear(x), Ix::Linear(y)) = (&a, &b) {
            if let (Some(p), Some(q)) = (x.as_const(), y.as_const()) {
                return Ok(Ix::Linear(Linear::constant(if greater { p.max(q) } else { p.min(q) })));
            }
            let (p, q) = (x.is_nonneg() && x.stride >= 0, y.is_nonneg() && y.stride >= 0);
            nonneg = if greater { p || q } else { p && q };
            divisor = gcd(x.known_divisor(), y.known_divisor());
        }
        let (x, y) = self.pair(a, b)?;
        let p = if greater { IntPredicate::SGT } else { IntPredicate::SLT };
        let v = self.ops.select(self.ops.icmp(p, x, y)?, x, y)?;
        Ok(Self::wrap(v, nonneg, divisor))
    }

    /// Lane 0's address of a position in a buffer, split into a run-time part and a displacement.
    pub(super) fn address(&self, buf: BufId, l: &Linear<'c>) -> Result<PointerValue<'c>, EmitError> {
        let (pointer, dtype) = self.buffer(buf)?;
        let ty = self.ops.mem(dtype, 1);
        let at = match l.base {
            Some(base) => self.ops.element_ptr(ty, pointer, base)?,
            None => pointer,
        };
        if l.offset == 0 { Ok(at) } else { self.ops.element_ptr(ty, at, self.ops.i64(l.offset)) }
    }

    /// The position of every lane, each as a scalar.
    pub(super) fn lane_positions(&self, ix: &Ix<'c>) -> Result<Vec<Linear<'c>>, EmitError> {
        (0..self.lanes)
            .map(|lane| match ix {
                Ix::Linear(l) => {
                    let offset = l.offset.wrapping_add(l.stride.wrapping_mul(i64::from(lane)));
                    Ok(Linear { offset, stride: 0, ..*l })
                }
                Ix::Lanes(v) => match self.ops.slice(*v, lane, 1)? {
                    V::IntValue(i) => Ok(Linear::value(i, false)),
                    _ => Err(EmitError::internal("a lane of a position is no integer")),
                },
            })
            .collect()
    }
}
