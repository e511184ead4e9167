//! Elementwise ops of every signature, and casts.

use super::super::builder::{Builder, Entry, apart, elements};
use super::shape_of;
use crate::dtype::{DType, round_to};
use crate::ops::bitcast::Bitcast;
use crate::ops::cast::Cast;
use crate::scalar::{ScalarOp, Signature};

pub(super) fn elementwise(b: &mut Builder<'_>) -> Option<()> {
    let allowed: Vec<ScalarOp> = ScalarOp::ALL
        .iter()
        .copied()
        .filter(|o| o.signature() != Signature::Philox && b.allows(o.name()))
        .collect();
    if allowed.is_empty() {
        return None;
    }
    let op = b.one_of(&allowed);
    let x = match op.signature() {
        Signature::Float => b.floats(0),
        Signature::Integer => {
            let dtype = b.one_of(&[DType::I32, DType::U8, DType::U32, DType::I8, DType::U64, DType::I64]);
            some_of(b, dtype)
        }
        Signature::Logic => {
            let dtype = b.one_of(&[
                DType::Bool,
                DType::Bool,
                DType::I32,
                DType::U8,
                DType::U32,
                DType::I8,
                DType::U64,
            ]);
            some_of(b, dtype)
        }
        // Bools are no numbers; they can be compared and chosen.
        Signature::Number => {
            let dtype = b.one_of(&[
                b.float,
                b.float,
                b.float,
                DType::I32,
                DType::I64,
                DType::U8,
                DType::U32,
                DType::I16,
            ]);
            some_of(b, dtype)
        }
        _ => b.any(0),
    };
    let (dtype, shape) = (b.graph.dtype_of(x.o), shape_of(b, &x));
    match op.arity() {
        1 => {
            let x = match op {
                ScalarOp::Log | ScalarOp::Log1p | ScalarOp::Sqrt | ScalarOp::Rsqrt | ScalarOp::Recip => {
                    b.away_from_zero(&x)?
                }
                ScalarOp::Lgamma | ScalarOp::Digamma => b.away_from_zero(&x)?,
                ScalarOp::Acosh => {
                    let size = b.away_from_zero(&x)?;
                    let one = b.fill_like(&x, 1.0)?;
                    b.map(ScalarOp::Add, &[&size, &one])?
                }
                // Within 3/4: far from where slopes are infinite.
                ScalarOp::Asin | ScalarOp::Acos | ScalarOp::Atanh | ScalarOp::Tan => {
                    let scale = b.fill_like(&x, 0.1875)?;
                    b.map(ScalarOp::Mul, &[&x, &scale])?
                }
                _ => x,
            };
            let certain = match op {
                ScalarOp::Sign => apart(elements(&x).into_iter().map(|v| (v, 0.0))),
                ScalarOp::Floor | ScalarOp::Ceil | ScalarOp::Trunc => {
                    apart(elements(&x).into_iter().map(|v| (v, v.round())))
                }
                ScalarOp::Round => apart(elements(&x).into_iter().map(|v| (v, v.floor() + 0.5))),
                _ => true,
            };
            (certain || x.exact || !dtype.is_float()).then_some(())?;
            let y = b.map(op, &[&x])?;
            let again = matches!(op, ScalarOp::Neg | ScalarOp::Not | ScalarOp::Abs | ScalarOp::Relu);
            if again && b.one_in(4) {
                b.map(op, &[&y])?;
            }
        }
        2 => {
            let mut y = if b.one_in(3) {
                // A constant, often one that a rule of algebra knows.
                let constant = b.one_of(&[1.0, 0.0, -0.0, 0.5, 2.0, -1.0]);
                b.fill_like(&x, constant)?
            } else {
                b.value(dtype, shape)
            };
            let mut x = x;
            if dtype.is_float() {
                match op {
                    ScalarOp::Div => y = b.away_from_zero(&y)?,
                    ScalarOp::Pow => x = b.away_from_zero(&x)?,
                    // Away from where the angle jumps.
                    ScalarOp::Atan2 => y = b.away_from_zero(&y)?,
                    ScalarOp::Rem | ScalarOp::Fmod => {
                        // Exact where both operands are: the quotient must not be a whole number otherwise.
                        (x.exact && y.exact).then_some(())?;
                        let far = elements(&y).into_iter().all(|v| v.abs() >= 0.25);
                        far.then_some(())?;
                    }
                    _ if op.signature() == Signature::Compare && !(x.exact && y.exact) => {
                        apart(elements(&x).into_iter().zip(elements(&y))).then_some(())?;
                    }
                    _ => {}
                }
            }
            let z = b.map(op, &[&x, &y])?;
            if op == ScalarOp::Mul && b.one_in(4) {
                let constant = b.fill_like(&z, 0.75)?;
                b.map(op, &[&z, &constant])?;
            }
        }
        _ => {
            let condition = b.value(DType::Bool, shape.clone());
            let y = b.value(dtype, shape);
            b.map(op, &[&condition, &x, &y])?;
        }
    }
    Some(())
}

/// A tensor of an element type.
fn some_of(b: &mut Builder<'_>, dtype: DType) -> Entry {
    let found = b.pick(|ty| ty.as_tensor().is_some_and(|t| t.dtype == dtype));
    found.unwrap_or_else(|| {
        let rank = b.below(3);
        let shape = b.shape(rank);
        b.tensor_input(dtype, shape)
    })
}

pub(super) fn cast(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(0);
    // To no other float type that is computed in: narrow ones magnify the difference of a rounding.
    let others = DType::ALL.into_iter().filter(|d| !d.is_real());
    let to =
        b.one_of(&[b.float, b.float, b.float, DType::Bool].into_iter().chain(others).collect::<Vec<_>>());
    if b.graph.dtype_of(x.o).is_float() && !to.is_real() && (!x.exact || to.is_storage()) {
        let all = elements(&x);
        let near = |v: f64, side: f64| round_to(to, v + side * (1e-3 * v.abs() + 1e-5));
        let certain = match to {
            DType::Bool => apart(all.into_iter().map(|v| (v, 0.0))),
            to if to.is_storage() => all.into_iter().all(|v| near(v, 1.0) == near(v, -1.0)),
            _ => apart(all.into_iter().map(|v| (v, v.round()))),
        };
        certain.then_some(())?;
    }
    b.add(Cast { to }, &[&x])?;
    Some(())
}

/// Bits of exact values alone: those of others hang on a rounding. To no other float type, as `cast`.
pub(super) fn bitcast(b: &mut Builder<'_>) -> Option<()> {
    let x = b.any(0);
    x.exact.then_some(())?;
    let size = b.graph.dtype_of(x.o).size();
    let fits = |d: &DType| d.size() == size && (*d == b.float || !d.is_real());
    let others: Vec<DType> = DType::ALL.into_iter().filter(fits).collect();
    let to = b.one_of(&others);
    b.add(Bitcast { to }, &[&x])?;
    Some(())
}
