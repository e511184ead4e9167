//! The scalar operations, one arm each, on scalars and lanes alike.
//!
//! No fast-math flag is set anywhere: what the table of operations says is what the machine does.

use inkwell::values::InstructionOpcode as Op;
use inkwell::{FloatPredicate, IntPredicate};
use latentc_ir::dtype::DType;
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::super::vector::{Ops, R, V, lanes};
use super::EmitError;

fn signed(d: DType) -> bool {
    d.is_signed()
}

impl<'c> Ops<'c> {
    /// Applies an operation to operands of one shape. `d` is the type of the operands (of the branches for
    /// `select`), already checked against the operation's signature.
    pub(super) fn scalar_op(&self, op: ScalarOp, d: DType, args: &[V<'c>]) -> R<'c> {
        let [a, ..] = args else { return Err(EmitError::internal("an operation without operands")) };
        let a = *a;
        match (op, args) {
            (ScalarOp::Select, [c, x, y]) => self.select(*c, *x, *y),
            (ScalarOp::Philox, [index, seed, stream, step]) => self.philox(*index, *seed, *stream, *step),
            (ScalarOp::And, [_, b]) => self.and(a, *b),
            (ScalarOp::Or, [_, b]) => self.or(a, *b),
            (ScalarOp::Xor, [_, b]) => self.xor(a, *b),
            (ScalarOp::Not, _) => self.xor(a, self.i(a, -1)),
            (
                ScalarOp::Eq | ScalarOp::Ne | ScalarOp::Lt | ScalarOp::Le | ScalarOp::Gt | ScalarOp::Ge,
                [_, b],
            ) => self.compare(op, d, a, *b),
            (_, [_, b]) if d.is_float() => self.round_to(d, self.float_binary(op, d, a, *b)?),
            (_, [_, b]) => self.int_binary(op, d, a, *b),
            // These never leave the format, so no rounding follows.
            (ScalarOp::Neg, _) if d.is_float() => self.neg(a),
            (ScalarOp::Abs, _) if d.is_float() => self.intrinsic("llvm.fabs", &[a]),
            (ScalarOp::Relu, _) if d.is_float() => self.at_least(a, 0.0),
            (_, [_]) if d.is_float() => self.round_to(d, self.float_unary(op, d, a)?),
            _ => self.int_unary(op, d, a),
        }
    }

    fn float_unary(&self, op: ScalarOp, d: DType, x: V<'c>) -> R<'c> {
        let double = d == DType::F64;
        match op {
            ScalarOp::Sign => {
                let r = self.select(self.fcmp(FloatPredicate::OGT, x, self.f(x, 0.0))?, self.f(x, 1.0), x)?;
                self.select(self.fcmp(FloatPredicate::OLT, x, self.f(x, 0.0))?, self.f(x, -1.0), r)
            }
            ScalarOp::Sqrt => self.intrinsic("llvm.sqrt", &[x]),
            ScalarOp::Rsqrt => self.div(self.f(x, 1.0), self.intrinsic("llvm.sqrt", &[x])?),
            ScalarOp::Recip => self.div(self.f(x, 1.0), x),
            ScalarOp::Square => self.mul(x, x),
            ScalarOp::Floor => self.intrinsic("llvm.floor", &[x]),
            ScalarOp::Ceil => self.intrinsic("llvm.ceil", &[x]),
            ScalarOp::Trunc => self.intrinsic("llvm.trunc", &[x]),
            ScalarOp::Round => self.intrinsic("llvm.roundeven", &[x]),
            ScalarOp::Exp if double => self.libm("exp", &[x]),
            ScalarOp::Expm1 if double => self.libm("expm1", &[x]),
            ScalarOp::Log if double => self.libm("log", &[x]),
            ScalarOp::Log1p if double => self.libm("log1p", &[x]),
            ScalarOp::Sin if double => self.libm("sin", &[x]),
            ScalarOp::Cos if double => self.libm("cos", &[x]),
            ScalarOp::Tanh if double => self.libm("tanh", &[x]),
            ScalarOp::Tan if double => self.libm("tan", &[x]),
            ScalarOp::Asin if double => self.libm("asin", &[x]),
            ScalarOp::Acos if double => self.libm("acos", &[x]),
            ScalarOp::Atan if double => self.libm("atan", &[x]),
            ScalarOp::Sinh if double => self.libm("sinh", &[x]),
            ScalarOp::Cosh if double => self.libm("cosh", &[x]),
            ScalarOp::Asinh if double => self.libm("asinh", &[x]),
            ScalarOp::Acosh if double => self.libm("acosh", &[x]),
            ScalarOp::Atanh if double => self.libm("atanh", &[x]),
            ScalarOp::Lgamma if double => self.libm("lgamma", &[x]),
            ScalarOp::Digamma if double => self.digamma_f64(x),
            ScalarOp::Erf if double => self.libm("erf", &[x]),
            ScalarOp::Sigmoid if double => {
                let e = self.libm("exp", &[self.neg(x)?])?;
                self.div(self.f(x, 1.0), self.add(e, self.f(x, 1.0))?)
            }
            ScalarOp::Softplus if double => {
                let e = self.libm("exp", &[self.neg(self.intrinsic("llvm.fabs", &[x])?)?])?;
                self.add(self.at_least(x, 0.0)?, self.libm("log1p", &[e])?)
            }
            ScalarOp::Exp => self.exp_f32(x),
            ScalarOp::Expm1 => self.expm1_f32(x),
            ScalarOp::Log => self.log_f32(x),
            ScalarOp::Log1p => self.log1p_f32(x),
            ScalarOp::Sin => self.sin_f32(x),
            ScalarOp::Cos => self.cos_f32(x),
            ScalarOp::Tan => self.tan_f32(x),
            ScalarOp::Asin => self.asin_f32(x),
            ScalarOp::Acos => self.acos_f32(x),
            ScalarOp::Atan => self.atan_f32(x),
            ScalarOp::Sinh => self.sinh_f32(x),
            ScalarOp::Cosh => self.cosh_f32(x),
            ScalarOp::Asinh => self.asinh_f32(x),
            ScalarOp::Acosh => self.acosh_f32(x),
            ScalarOp::Atanh => self.atanh_f32(x),
            ScalarOp::Lgamma => self.lgamma_f32(x),
            ScalarOp::Digamma => self.digamma_f32(x),
            ScalarOp::Tanh => self.tanh_f32(x),
            ScalarOp::Erf => self.erf_f32(x),
            ScalarOp::Sigmoid => self.sigmoid_f32(x),
            ScalarOp::Softplus => self.softplus_f32(x),
            op => Err(EmitError::internal(format!("{} on a float", op.name()))),
        }
    }

    fn float_binary(&self, op: ScalarOp, d: DType, a: V<'c>, b: V<'c>) -> R<'c> {
        match op {
            ScalarOp::Add => self.add(a, b),
            ScalarOp::Sub => self.sub(a, b),
            ScalarOp::Mul => self.mul(a, b),
            ScalarOp::Div => self.div(a, b),
            ScalarOp::Max | ScalarOp::Min => {
                let p = if op == ScalarOp::Max { FloatPredicate::OGT } else { FloatPredicate::OLT };
                // One minps/maxps, which gives `b` where either is NaN; then `a` where that is NaN.
                let r = self.select(self.fcmp(p, a, b)?, a, b)?;
                self.select(self.fcmp(FloatPredicate::UNO, a, a)?, a, r)
            }
            ScalarOp::Rem => {
                let r = self.bin(Op::FRem, a, b)?;
                let zero = self.f(a, 0.0);
                let negative = self.fcmp(FloatPredicate::OLT, r, zero)?;
                let differs = self.xor(negative, self.fcmp(FloatPredicate::OLT, b, zero)?)?;
                let fix = self.and(differs, self.fcmp(FloatPredicate::ONE, r, zero)?)?;
                self.select(fix, self.add(r, b)?, r)
            }
            ScalarOp::Fmod => self.bin(Op::FRem, a, b),
            ScalarOp::Atan2 if d == DType::F64 => self.libm("atan2", &[a, b]),
            ScalarOp::Atan2 => self.atan2_f32(a, b),
            ScalarOp::Pow if d == DType::F64 => self.libm("pow", &[a, b]),
            ScalarOp::Pow => self.pow_f32(a, b),
            op => Err(EmitError::internal(format!("{} on two floats", op.name()))),
        }
    }

    fn int_unary(&self, op: ScalarOp, d: DType, x: V<'c>) -> R<'c> {
        let zero = self.i(x, 0);
        match op {
            ScalarOp::Neg => self.isub(zero, x),
            ScalarOp::Square => self.imul(x, x),
            ScalarOp::Abs if signed(d) => {
                self.select(self.icmp(IntPredicate::SLT, x, zero)?, self.isub(zero, x)?, x)
            }
            ScalarOp::Relu if signed(d) => self.select(self.icmp(IntPredicate::SGT, x, zero)?, x, zero),
            ScalarOp::Abs | ScalarOp::Relu => Ok(x),
            ScalarOp::Sign => {
                let r = self.select(self.icmp(IntPredicate::NE, x, zero)?, self.i(x, 1), zero)?;
                if !signed(d) {
                    return Ok(r);
                }
                self.select(self.icmp(IntPredicate::SLT, x, zero)?, self.i(x, -1), r)
            }
            op => Err(EmitError::internal(format!("{} on an integer", op.name()))),
        }
    }

    fn int_binary(&self, op: ScalarOp, d: DType, a: V<'c>, b: V<'c>) -> R<'c> {
        let (zero, one) = (self.i(a, 0), self.i(a, 1));
        match op {
            ScalarOp::Add => self.iadd(a, b),
            ScalarOp::Sub => self.isub(a, b),
            ScalarOp::Mul => self.imul(a, b),
            ScalarOp::Max | ScalarOp::Min => {
                let p = match (op == ScalarOp::Max, signed(d)) {
                    (true, true) => IntPredicate::SGT,
                    (true, false) => IntPredicate::UGT,
                    (false, true) => IntPredicate::SLT,
                    (false, false) => IntPredicate::ULT,
                };
                self.select(self.icmp(p, a, b)?, a, b)
            }
            ScalarOp::Shl | ScalarOp::Shr => self.shift(op, d, a, b),
            ScalarOp::Div | ScalarOp::Rem | ScalarOp::Fmod => {
                let by_zero = self.icmp(IntPredicate::EQ, b, zero)?;
                let quotient = op == ScalarOp::Div;
                // The machine faults on division by zero, and on the least number by -1.
                let mut safe = self.select(by_zero, one, b)?;
                let minus =
                    if signed(d) { Some(self.icmp(IntPredicate::EQ, b, self.i(b, -1))?) } else { None };
                if let Some(minus) = minus {
                    safe = self.select(minus, one, safe)?;
                }
                let r = match (quotient, signed(d)) {
                    (true, true) => self.bin(Op::SDiv, a, safe)?,
                    (true, false) => self.bin(Op::UDiv, a, safe)?,
                    (false, true) => {
                        let r = self.bin(Op::SRem, a, safe)?;
                        if op == ScalarOp::Fmod {
                            return self.select(by_zero, zero, r);
                        }
                        let differs = self.icmp(IntPredicate::SLT, self.xor(r, safe)?, zero)?;
                        let fix = self.and(differs, self.icmp(IntPredicate::NE, r, zero)?)?;
                        self.select(fix, self.iadd(r, safe)?, r)?
                    }
                    (false, false) => self.bin(Op::URem, a, safe)?,
                };
                let r = match minus {
                    Some(minus) if quotient => self.select(minus, self.isub(zero, a)?, r)?,
                    _ => r,
                };
                self.select(by_zero, zero, r)
            }
            op => Err(EmitError::internal(format!("{} on two integers", op.name()))),
        }
    }

    /// Counts of the width and more, for which the machine's shifts say nothing, move everything out.
    fn shift(&self, op: ScalarOp, d: DType, a: V<'c>, b: V<'c>) -> R<'c> {
        let width = i64::from(d.bits());
        let inside = self.icmp(IntPredicate::ULT, b, self.i(b, width))?;
        let count = self.select(inside, b, self.i(b, width - 1))?;
        match op {
            ScalarOp::Shr if signed(d) => self.ashr(a, count),
            ScalarOp::Shr => self.select(inside, self.lshr(a, count)?, self.i(a, 0)),
            _ => self.select(inside, self.shl(a, count)?, self.i(a, 0)),
        }
    }

    fn compare(&self, op: ScalarOp, d: DType, a: V<'c>, b: V<'c>) -> R<'c> {
        if d.is_float() {
            let p = match op {
                ScalarOp::Eq => FloatPredicate::OEQ,
                ScalarOp::Ne => FloatPredicate::UNE,
                ScalarOp::Lt => FloatPredicate::OLT,
                ScalarOp::Le => FloatPredicate::OLE,
                ScalarOp::Gt => FloatPredicate::OGT,
                _ => FloatPredicate::OGE,
            };
            return self.fcmp(p, a, b);
        }
        let p = match (op, signed(d)) {
            (ScalarOp::Eq, _) => IntPredicate::EQ,
            (ScalarOp::Ne, _) => IntPredicate::NE,
            (ScalarOp::Lt, true) => IntPredicate::SLT,
            (ScalarOp::Le, true) => IntPredicate::SLE,
            (ScalarOp::Gt, true) => IntPredicate::SGT,
            (_, true) => IntPredicate::SGE,
            (ScalarOp::Lt, false) => IntPredicate::ULT,
            (ScalarOp::Le, false) => IntPredicate::ULE,
            (ScalarOp::Gt, false) => IntPredicate::UGT,
            (_, false) => IntPredicate::UGE,
        };
        self.icmp(p, a, b)
    }

    /// Combines two partial results of a reduction.
    pub(super) fn combine(&self, op: ReduceOp, d: DType, a: V<'c>, b: V<'c>) -> R<'c> {
        if d == DType::Bool {
            return match op {
                ReduceOp::Sum | ReduceOp::Max => self.or(a, b),
                ReduceOp::Prod | ReduceOp::Min => self.and(a, b),
            };
        }
        self.scalar_op(op.combine(), d, &[a, b])
    }

    /// Reduces a vector to a scalar by halves: lane `i` with lane `i + n/2`, until one is left. Of truth values
    /// the order does not matter, and machines have one instruction for any and all.
    pub(super) fn halve(&self, op: ReduceOp, d: DType, mut v: V<'c>) -> R<'c> {
        if d == DType::Bool && lanes(v) > 1 {
            return match op {
                ReduceOp::Sum | ReduceOp::Max => self.intrinsic("llvm.vector.reduce.or", &[v]),
                ReduceOp::Prod | ReduceOp::Min => self.intrinsic("llvm.vector.reduce.and", &[v]),
            };
        }
        while lanes(v) > 1 {
            let half = lanes(v) / 2;
            v = self.combine(op, d, self.slice(v, 0, half)?, self.slice(v, half, half)?)?;
        }
        Ok(v)
    }
}
