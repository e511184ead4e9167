//! Reference values of the scalar operations: slow, obvious, in f64 and rounded once to the format.

use super::{ReduceOp, ScalarOp, Signature};
use crate::array::Array;
use crate::dtype::{DType, Literal};
use crate::philox;

mod special;
use special::{digamma, erf};

/// The value of an operation, or `None` where it does not take operands of these types.
///
/// Floats are computed in f64 and rounded once to the format; integers wrap.
pub fn eval(op: ScalarOp, operands: &[Literal]) -> Option<Literal> {
    let mut types = [DType::Bool; 4];
    for (t, o) in types.iter_mut().zip(operands) {
        *t = o.dtype();
    }
    let result = op.result(types.get(..operands.len())?)?;
    Some(match (op.signature(), operands) {
        (Signature::Select, [c, a, b]) => {
            if c.as_i64() != 0 {
                *a
            } else {
                *b
            }
        }
        (Signature::Compare, [a, b]) => Literal::int(DType::Bool, i64::from(compare(op, *a, *b)?)),
        (Signature::Philox, [index, seed, stream, step]) => {
            let word = philox::element_bits(
                seed.as_i64() as u64,
                stream.as_i64() as u32,
                step.as_i64() as u32,
                index.as_i64() as u64,
            );
            Literal::int(DType::U32, i64::from(word))
        }
        (_, [a]) if result.is_float() => Literal::float(result, float_unary(op, a.as_f64())?),
        (_, [a, b]) if result.is_float() => Literal::float(result, float_binary(op, a.as_f64(), b.as_f64())?),
        (_, [a]) => Literal::int(result, int_unary(op, result, a.as_i64())?),
        (Signature::Integer, [a, b]) => Literal::int(result, shift(op, *a, *b)?),
        (_, [a, b]) if result == DType::U64 => Literal::int(result, wide_binary(op, a.as_u64(), b.as_u64())?),
        (_, [a, b]) => Literal::int(result, int_binary(op, a.as_i64(), b.as_i64())?),
        _ => return None,
    })
}

/// The bits that a value has in memory, as a value of another type of the same size.
pub fn reinterpret(x: Literal, to: DType) -> Literal {
    let [mut from, mut result] = [x.dtype(), to].map(|d| Array::zeros(d, &[1]));
    from.set(0, x);
    result.as_bytes_mut().copy_from_slice(from.as_bytes());
    result.get(0)
}

/// The same number in another element type: float to integer truncates and saturates (NaN gives 0), integer
/// to integer wraps, to bool is `!= 0`, to a float rounds to the nearest.
pub fn convert(value: Literal, to: DType) -> Literal {
    if value.dtype().is_float() {
        let x = value.as_f64();
        match to {
            DType::I64 => Literal::int(to, x as i64),
            DType::I32 => Literal::int(to, i64::from(x as i32)),
            DType::I16 => Literal::int(to, i64::from(x as i16)),
            DType::I8 => Literal::int(to, i64::from(x as i8)),
            DType::U64 => Literal::int(to, x as u64 as i64),
            DType::U32 => Literal::int(to, i64::from(x as u32)),
            DType::U16 => Literal::int(to, i64::from(x as u16)),
            DType::U8 => Literal::int(to, i64::from(x as u8)),
            DType::Bool => Literal::int(to, i64::from(x != 0.0)),
            _ => Literal::float(to, x),
        }
    } else if to == DType::F32 {
        // By way of f64 a large integer would be rounded twice.
        let unsigned = value.dtype() == DType::U64;
        let x = if unsigned { value.as_u64() as f32 } else { value.as_i64() as f32 };
        Literal::float(to, f64::from(x))
    } else if to.is_float() {
        Literal::float(to, value.as_f64())
    } else {
        Literal::int(to, value.as_i64())
    }
}

/// Two partial results of a reduction combined; both of one type. On bools a maximum is `or`, a minimum
/// `and`.
pub fn combine(op: ReduceOp, a: Literal, b: Literal) -> Literal {
    if a.dtype() == DType::Bool {
        let (x, y) = (a.as_i64() != 0, b.as_i64() != 0);
        let both = match op {
            ReduceOp::Sum | ReduceOp::Max => x || y,
            ReduceOp::Prod | ReduceOp::Min => x && y,
        };
        return Literal::int(DType::Bool, i64::from(both));
    }
    match eval(op.combine(), &[a, b]) {
        Some(value) => value,
        None => unreachable!("{} takes two numbers of one type", op.name()),
    }
}

fn compare(op: ScalarOp, a: Literal, b: Literal) -> Option<bool> {
    // `None` where either is NaN: then only `!=` holds.
    let order = if a.dtype().is_float() {
        a.as_f64().partial_cmp(&b.as_f64())
    } else if a.dtype() == DType::U64 {
        Some(a.as_u64().cmp(&b.as_u64()))
    } else {
        Some(a.as_i64().cmp(&b.as_i64()))
    };
    Some(match op {
        ScalarOp::Eq => order.is_some_and(|o| o.is_eq()),
        ScalarOp::Ne => order.is_none_or(|o| o.is_ne()),
        ScalarOp::Lt => order.is_some_and(|o| o.is_lt()),
        ScalarOp::Le => order.is_some_and(|o| o.is_le()),
        ScalarOp::Gt => order.is_some_and(|o| o.is_gt()),
        ScalarOp::Ge => order.is_some_and(|o| o.is_ge()),
        _ => return None,
    })
}

fn float_unary(op: ScalarOp, x: f64) -> Option<f64> {
    Some(match op {
        ScalarOp::Neg => -x,
        ScalarOp::Abs => x.abs(),
        ScalarOp::Sign if x > 0.0 => 1.0,
        ScalarOp::Sign if x < 0.0 => -1.0,
        ScalarOp::Sign => x,
        ScalarOp::Exp => x.exp(),
        ScalarOp::Expm1 => x.exp_m1(),
        ScalarOp::Log => x.ln(),
        ScalarOp::Log1p => x.ln_1p(),
        ScalarOp::Sqrt => x.sqrt(),
        ScalarOp::Rsqrt => 1.0 / x.sqrt(),
        ScalarOp::Recip => 1.0 / x,
        ScalarOp::Square => x * x,
        ScalarOp::Sin => x.sin(),
        ScalarOp::Cos => x.cos(),
        ScalarOp::Tan => x.tan(),
        ScalarOp::Asin => x.asin(),
        ScalarOp::Acos => x.acos(),
        ScalarOp::Atan => x.atan(),
        ScalarOp::Sinh => x.sinh(),
        ScalarOp::Cosh => x.cosh(),
        ScalarOp::Asinh => libm::asinh(x),
        // The library's is no NaN for large negative numbers.
        ScalarOp::Acosh if x < 1.0 => f64::NAN,
        ScalarOp::Acosh => libm::acosh(x),
        ScalarOp::Atanh => libm::atanh(x),
        ScalarOp::Tanh => x.tanh(),
        ScalarOp::Erf => erf(x),
        ScalarOp::Lgamma => libm::lgamma(x),
        ScalarOp::Digamma => digamma(x),
        ScalarOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        ScalarOp::Softplus => (if x < 0.0 { 0.0 } else { x }) + (-x.abs()).exp().ln_1p(),
        ScalarOp::Relu if x < 0.0 => 0.0,
        ScalarOp::Relu => x,
        ScalarOp::Floor => x.floor(),
        ScalarOp::Ceil => x.ceil(),
        ScalarOp::Trunc => x.trunc(),
        ScalarOp::Round => x.round_ties_even(),
        _ => return None,
    })
}

fn float_binary(op: ScalarOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        ScalarOp::Add => a + b,
        ScalarOp::Sub => a - b,
        ScalarOp::Mul => a * b,
        ScalarOp::Div => a / b,
        ScalarOp::Rem => {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        ScalarOp::Fmod => a % b,
        ScalarOp::Atan2 => a.atan2(b),
        ScalarOp::Pow => a.powf(b),
        ScalarOp::Max if a.is_nan() || a > b => a,
        ScalarOp::Min if a.is_nan() || a < b => a,
        ScalarOp::Max | ScalarOp::Min => b,
        _ => return None,
    })
}

fn int_unary(op: ScalarOp, dtype: DType, x: i64) -> Option<i64> {
    Some(match op {
        ScalarOp::Neg => x.wrapping_neg(),
        ScalarOp::Abs | ScalarOp::Relu if dtype == DType::U64 => x,
        ScalarOp::Abs => x.wrapping_abs(),
        ScalarOp::Sign if dtype == DType::U64 => i64::from(x != 0),
        ScalarOp::Sign => x.signum(),
        ScalarOp::Square => x.wrapping_mul(x),
        ScalarOp::Relu => x.max(0),
        ScalarOp::Not if dtype == DType::Bool => i64::from(x == 0),
        ScalarOp::Not => !x,
        _ => return None,
    })
}

fn int_binary(op: ScalarOp, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        ScalarOp::Add => a.wrapping_add(b),
        ScalarOp::Sub => a.wrapping_sub(b),
        ScalarOp::Mul => a.wrapping_mul(b),
        ScalarOp::Div | ScalarOp::Rem | ScalarOp::Fmod if b == 0 => 0,
        ScalarOp::Div => a.wrapping_div(b),
        ScalarOp::Fmod => a.wrapping_rem(b),
        ScalarOp::Rem => {
            let r = a.wrapping_rem(b);
            if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
        }
        ScalarOp::Max => a.max(b),
        ScalarOp::Min => a.min(b),
        ScalarOp::And => a & b,
        ScalarOp::Or => a | b,
        ScalarOp::Xor => a ^ b,
        _ => return None,
    })
}

/// Counts are read as unsigned: a negative one is beyond every width.
fn shift(op: ScalarOp, a: Literal, b: Literal) -> Option<i64> {
    let (x, width, count) = (a.as_i64(), a.dtype().bits(), b.as_u64());
    let inside = u32::try_from(count).ok().filter(|c| *c < width);
    Some(match (op, inside) {
        (ScalarOp::Shl, Some(c)) => x << c,
        (ScalarOp::Shr, Some(c)) if a.dtype().is_unsigned() => (a.as_u64() >> c) as i64,
        (ScalarOp::Shr, Some(c)) => x >> c,
        (ScalarOp::Shr, None) if a.dtype().is_signed() && x < 0 => -1,
        (ScalarOp::Shl | ScalarOp::Shr, None) => 0,
        _ => return None,
    })
}

/// As [`int_binary`], of u64: what depends on the sign of an i64 is done here.
fn wide_binary(op: ScalarOp, a: u64, b: u64) -> Option<i64> {
    let value = match op {
        ScalarOp::Div => a.checked_div(b).unwrap_or(0),
        ScalarOp::Rem | ScalarOp::Fmod => a.checked_rem(b).unwrap_or(0),
        ScalarOp::Max => a.max(b),
        ScalarOp::Min => a.min(b),
        op => return int_binary(op, a as i64, b as i64),
    };
    Some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(dtype: DType, value: f64) -> Literal {
        Literal::float(dtype, value)
    }

    fn i(dtype: DType, value: i64) -> Literal {
        Literal::int(dtype, value)
    }

    #[test]
    fn every_op_has_a_value_exactly_where_it_has_a_type() {
        for op in ScalarOp::ALL {
            for d in DType::ALL {
                let mut operands = vec![Literal::int(d, 1); op.arity()];
                if op.signature() == Signature::Select {
                    operands[0] = Literal::int(DType::Bool, 1);
                }
                let types: Vec<DType> = operands.iter().map(|o| o.dtype()).collect();
                let found = eval(*op, &operands).map(Literal::dtype);
                assert_eq!(found, op.result(&types), "{} of {d}", op.name());
            }
        }
    }

    /// Values from tables (Abramowitz and Stegun 7.1, to ten digits, and more digits of the constants).
    #[test]
    fn erf_meets_its_table() {
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
            (7.0, 1.0),
        ] {
            assert!((erf(x) - y).abs() < 1e-15, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!((erf(3.0 - 1e-12) - erf(3.0)).abs() < 1e-15);
    }

    #[test]
    fn integers_wrap_and_division_is_total() {
        let d = DType::I32;
        let min = i64::from(i32::MIN);
        for (op, a, b, want) in [
            (ScalarOp::Add, i64::from(i32::MAX), 1, min),
            (ScalarOp::Div, -7, 2, -3),
            (ScalarOp::Rem, -7, 2, 1),
            (ScalarOp::Rem, 7, -2, -1),
            (ScalarOp::Div, 7, 0, 0),
            (ScalarOp::Rem, 7, 0, 0),
            (ScalarOp::Div, min, -1, min),
            (ScalarOp::Rem, min, -1, 0),
        ] {
            assert_eq!(eval(op, &[i(d, a), i(d, b)]), Some(i(d, want)), "{} {a} {b}", op.name());
        }
        assert_eq!(eval(ScalarOp::Not, &[i(DType::U8, 1)]), Some(i(DType::U8, 254)));
        assert_eq!(eval(ScalarOp::Not, &[i(DType::Bool, 1)]), Some(i(DType::Bool, 0)));
        assert_eq!(eval(ScalarOp::Neg, &[i(DType::U32, 1)]), Some(i(DType::U32, i64::from(u32::MAX))));
        assert_eq!(
            eval(ScalarOp::Div, &[i(DType::I64, i64::MIN), i(DType::I64, -1)]),
            Some(i(DType::I64, i64::MIN))
        );
    }

    #[test]
    fn nan_passes_and_compares_unequal() {
        let (nan, one) = (f(DType::F64, f64::NAN), f(DType::F64, 1.0));
        for op in [ScalarOp::Max, ScalarOp::Min] {
            for operands in [[nan, one], [one, nan]] {
                assert!(eval(op, &operands).is_some_and(|v| v.as_f64().is_nan()), "{}", op.name());
            }
        }
        for op in [ScalarOp::Relu, ScalarOp::Sign, ScalarOp::Softplus, ScalarOp::Erf] {
            assert!(eval(op, &[nan]).is_some_and(|v| v.as_f64().is_nan()), "{}", op.name());
        }
        for (op, want) in [(ScalarOp::Eq, 0), (ScalarOp::Ne, 1), (ScalarOp::Le, 0), (ScalarOp::Ge, 0)] {
            assert_eq!(eval(op, &[nan, nan]), Some(i(DType::Bool, want)), "{}", op.name());
        }
    }

    #[test]
    fn results_are_rounded_to_the_format() {
        let x = f(DType::F32, 0.1);
        let y = eval(ScalarOp::Mul, &[x, x]).map(Literal::as_f64);
        assert_eq!(y, Some(f64::from(0.1f32 * 0.1f32)));
        assert_eq!(eval(ScalarOp::Round, &[f(DType::F64, 2.5)]), Some(f(DType::F64, 2.0)));
        assert_eq!(eval(ScalarOp::Softplus, &[f(DType::F64, 800.0)]), Some(f(DType::F64, 800.0)));
        assert_eq!(eval(ScalarOp::Rem, &[f(DType::F64, -7.0), f(DType::F64, 2.0)]), Some(f(DType::F64, 1.0)));
    }

    #[test]
    fn conversions_saturate_wrap_and_round_once() {
        for (value, to, want) in [
            (f(DType::F32, 3e9), DType::I32, i64::from(i32::MAX)),
            (f(DType::F32, f64::NAN), DType::I32, 0),
            (f(DType::F32, -1.5), DType::U8, 0),
            (f(DType::F32, -1.5), DType::I32, -1),
            (f(DType::F32, 0.25), DType::Bool, 1),
            (i(DType::I64, 257), DType::U8, 1),
            (i(DType::I32, -1), DType::U32, i64::from(u32::MAX)),
        ] {
            assert_eq!(convert(value, to), i(to, want), "{value} to {to}");
        }
        // 2^60 + 2^36 + 1: f64 drops the 1, which leaves a tie for f32.
        let odd = (1i64 << 60) + (1 << 36) + 1;
        assert_eq!(convert(i(DType::I64, odd), DType::F32).as_f64(), f64::from(odd as f32));
    }
}
