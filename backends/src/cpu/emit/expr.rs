//! Value expressions: loads, operations, conversions, lane reductions.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::{BufId, Expr, Space};
use latentc_ir::scalar::{ReduceOp, ScalarOp, Signature};

use super::super::EmitError;
use super::super::vector::{R, lanes};
use super::index::Ix;
use super::{Emitter, Value};

impl<'c> Emitter<'_, 'c> {
    /// Writes the computation of a value.
    pub(super) fn expr(&self, e: &Expr) -> Result<Value<'c>, EmitError> {
        match e {
            Expr::Lit(l) => Ok(Value { raw: self.literal(*l), dtype: l.dtype() }),
            Expr::Val(v) => self.value_of(*v),
            Expr::Index(i) => Ok(Value { raw: self.index_value(&self.index(i)?)?, dtype: DType::I64 }),
            Expr::Load { buf, index } => self.load(*buf, &self.index(index)?),
            Expr::Op(op, args) => self.operation(*op, args),
            Expr::Cast(to, x) => {
                let x = self.expr(x)?;
                Ok(Value { raw: self.ops.convert(x.dtype, *to, x.raw)?, dtype: *to })
            }
            Expr::Dot4 { a, b } => self.dot4(a, b, None),
            Expr::Bits(to, x) => {
                let x = self.expr(x)?;
                let bits = self.ops.encode(x.dtype, x.raw)?;
                let bits = self.ops.bits(bits, self.ops.mem(*to, 1))?;
                Ok(Value { raw: self.ops.decode(*to, bits)?, dtype: *to })
            }
            Expr::Lanes { op, buf } => self.reduce_lanes(*op, *buf),
        }
    }

    /// A value of a known type.
    pub(super) fn expr_of(&self, e: &Expr, dtype: DType, place: &str) -> Result<Value<'c>, EmitError> {
        let v = self.expr(e)?;
        if v.dtype == dtype { Ok(v) } else { Err(self.mismatch(place, dtype.name(), v.dtype.name())) }
    }

    /// A constant.
    pub(super) fn literal(&self, l: Literal) -> super::V<'c> {
        let ty = self.ops.reg(l.dtype(), 1);
        if l.dtype().is_float() { self.ops.fconst(ty, l.as_f64()) } else { self.ops.iconst(ty, l.as_i64()) }
    }

    fn operation(&self, op: ScalarOp, args: &[Expr]) -> Result<Value<'c>, EmitError> {
        let args = args.iter().map(|a| self.expr(a)).collect::<Result<Vec<_>, _>>()?;
        let types: Vec<DType> = args.iter().map(|a| a.dtype).collect();
        let Some(dtype) = op.result(&types) else {
            let found: Vec<&str> = types.iter().map(|t| t.name()).collect();
            let wants = format!("{} operands that it takes", op.arity());
            return Err(self.mismatch(&format!("operation `{}`", op.name()), &wants, &found.join(", ")));
        };
        let operands = match op.signature() {
            Signature::Select => types[1],
            _ => types[0],
        };
        let n = args.iter().map(|a| lanes(a.raw)).max().unwrap_or(1);
        let raw = args.iter().map(|a| self.ops.splat(a.raw, n)).collect::<Result<Vec<_>, _>>()?;
        Ok(Value { raw: self.ops.scalar_op(op, operands, &raw)?, dtype })
    }

    /// Reads a buffer: contiguous lanes at once, one element where all lanes read the same, else one by one.
    pub(super) fn load(&self, buf: BufId, ix: &Ix<'c>) -> Result<Value<'c>, EmitError> {
        let (_, dtype) = self.buffer(buf)?;
        let align = dtype.size() as u32;
        let raw = match ix {
            Ix::Linear(l) if l.stride == 0 => self.load_element(buf, l, dtype)?,
            Ix::Linear(l) if l.stride == 1 => {
                let at = self.address(buf, l)?;
                let v = self.ops.load(self.ops.mem(dtype, self.lanes), at, align)?;
                self.ops.decode(dtype, v)?
            }
            ix => {
                let mut at = self.lane_positions(ix)?.into_iter();
                let shape = self.ops.iota(self.lanes);
                let v = self.ops.each_lane(&[shape], |_| {
                    let l = at.next().ok_or_else(|| EmitError::internal("fewer positions than lanes"))?;
                    let at = self.address(buf, &l)?;
                    self.ops.load(self.ops.mem(dtype, 1), at, align)
                })?;
                self.ops.decode(dtype, v)?
            }
        };
        Ok(Value { raw, dtype })
    }

    fn load_element(&self, buf: BufId, l: &super::Linear<'c>, dtype: DType) -> R<'c> {
        let at = self.address(buf, l)?;
        let v = self.ops.load(self.ops.mem(dtype, 1), at, dtype.size() as u32)?;
        self.ops.decode(dtype, v)
    }

    fn reduce_lanes(&self, op: ReduceOp, buf: BufId) -> Result<Value<'c>, EmitError> {
        let (pointer, dtype) = self.buffer(buf)?;
        let info = &self.kernel.buffers[buf.at()];
        let len = self.uniform(&info.len, &info.name)?.as_const().unwrap_or(0);
        if info.space != Space::Register || len < 1 || !(len as u64).is_power_of_two() {
            return Err(self.malformed(format!(
                "lanes of `{}` are reduced: it must be a register array whose length is a power of two, not {len}",
                info.name
            )));
        }
        let v = self.ops.load(self.ops.mem(dtype, len as u32), pointer, dtype.size() as u32)?;
        let v = self.ops.decode(dtype, v)?;
        Ok(Value { raw: self.ops.halve(op, dtype, v)?, dtype })
    }
}
