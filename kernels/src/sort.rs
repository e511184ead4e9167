//! `sort` of integers of 32 bits in long rows: by digits, from the lowest to the highest.
//!
//! ```text
//! for row                                                        (parallel)
//!   count the digits of all elements, each of four digits of 8 bits
//!   for digit: every element to the next place of its bucket, in order
//! ```
//! Each pass keeps the order of equal digits, so equal elements stay by their position. Signs and the order are a matter of
//! bits: numbers with a sign are in the order of their bits once the sign's is turned, and all in the opposite
//! order once all are.

use latentc_ir::dtype::{DType, Literal};
use latentc_ir::nest::AxisKind::{Parallel, Serial, Unroll};
use latentc_ir::nest::build::{KernelBuilder, load, op2};
use latentc_ir::nest::{BufId, Expr, Index, Kernel, Space, Split, ValId};
use latentc_ir::ops::sort::Sort;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{Type, product};

use crate::{Arg, Schedule, Step, Temp};

/// Bits of a digit.
const BITS: i64 = 8;
/// Digits of an element.
const DIGITS: i64 = 4;
/// Values of a digit.
const BUCKETS: i64 = 1 << BITS;
/// Elements of a row from which on four passes are fewer than those of a merge sort.
const LONG: i64 = 512;

/// Rows of 32-bit integers in order; `None` for others, and for short rows.
pub fn sort(name: &str, op: &Sort, operands: &[Type]) -> Option<Schedule> {
    let [Type::Tensor(x)] = operands else { return None };
    let sign = match x.dtype {
        DType::I32 => 1u32 << 31,
        DType::U32 => 0,
        _ => return None,
    };
    let (width, rows) = x.shape.split_last()?;
    if width.upper() < LONG {
        return None;
    }
    let mask = sign ^ if op.descending { u32::MAX } else { 0 };
    let mut builder = KernelBuilder::new(name);
    let k = &mut builder;
    let (rows, n) = (k.size(&product(rows)), k.size(width));
    let all = rows.clone() * n.clone();
    let mut buffer = |name: &str, dtype, space| k.buffer(name, dtype, all.clone(), space);
    let x_buf = buffer("x", x.dtype, Space::In);
    let result =
        Place { keys: buffer("values", x.dtype, Space::Out), ids: buffer("ids", DType::I32, Space::Out) };
    let [a, b] = [["keys_a", "ids_a"], ["keys_b", "ids_b"]].map(|[keys, ids]| Place {
        keys: buffer(keys, DType::U32, Space::InOut),
        ids: buffer(ids, DType::I32, Space::InOut),
    });
    let row = Rows { x: x_buf, dtype: x.dtype, n, mask, places: [a, b], result };
    let kernel = row.write(builder, rows);
    let temp = |name, dtype| Temp { name, dtype, len: product(&x.shape) };
    let temps = vec![
        temp("keys", DType::U32),
        temp("ids", DType::I32),
        temp("keys", DType::U32),
        temp("ids", DType::I32),
    ];
    let mut args = vec![Arg::Operand(0), Arg::Result(0), Arg::Result(1)];
    args.extend((0..4).map(Arg::Temp));
    Some(Schedule { temps, steps: vec![Step { kernel, args }] })
}

/// Elements, as keys but for the results, with the positions that they had.
#[derive(Clone, Copy)]
struct Place {
    keys: BufId,
    ids: BufId,
}

struct Rows {
    x: BufId,
    dtype: DType,
    n: Index,
    /// Bits that are turned, so that the order of keys is that of numbers without a sign.
    mask: u32,
    places: [Place; 2],
    result: Place,
}

impl Rows {
    fn write(&self, mut builder: KernelBuilder, rows: Index) -> Kernel {
        let k = &mut builder;
        let counts = k.buffer("counts", DType::U32, DIGITS * BUCKETS, Space::Stack);
        let running = k.buffer("running", DType::U32, 1, Space::Register);
        let number = |i: i64| Expr::Lit(Literal::int(DType::U32, i));
        k.for_("row", rows, Parallel(Split::Even), |k, row| {
            let start = row * self.n.clone();
            k.fill(counts, Literal::zero(DType::U32));
            k.for_("i", self.n.clone(), Serial, |k, i| {
                let key = self.key(k, start.clone() + i);
                for digit in 0..DIGITS {
                    let bucket = bucket(k, key, digit);
                    k.accumulate(ReduceOp::Sum, counts, bucket + digit * BUCKETS, number(1));
                }
            });
            k.for_("digit", DIGITS, Unroll, |k, digit| {
                k.store(running, 0, number(0));
                k.for_("bucket", BUCKETS, Serial, |k, bucket| {
                    let at = digit * BUCKETS + bucket;
                    let count = k.let_(DType::U32, load(counts, at.clone()));
                    k.store(counts, at, load(running, 0));
                    k.accumulate(ReduceOp::Sum, running, 0, count.into());
                });
            });
            for digit in 0..DIGITS {
                k.for_("i", self.n.clone(), Serial, |k, i| {
                    let from = self.places[(digit as usize + 1) % 2];
                    let at = start.clone() + i.clone();
                    let (key, id) = match digit {
                        0 => {
                            (self.key(k, at), k.let_(DType::I32, Expr::Cast(DType::I32, Box::new(i.into()))))
                        }
                        _ => {
                            let key = k.let_(DType::U32, load(from.keys, at.clone()));
                            (key, k.let_(DType::I32, load(from.ids, at)))
                        }
                    };
                    let bucket = bucket(k, key, digit) + digit * BUCKETS;
                    let place = k.let_(DType::U32, load(counts, bucket.clone()));
                    k.store(counts, bucket, op2(ScalarOp::Add, place.into(), number(1)));
                    let to = start.clone() + Index::Val(place);
                    if digit + 1 < DIGITS {
                        let place = self.places[digit as usize % 2];
                        k.store(place.keys, to.clone(), key.into());
                        k.store(place.ids, to, id.into());
                    } else {
                        k.store(self.result.keys, to.clone(), self.turned(self.dtype, key.into()));
                        k.store(self.result.ids, to, id.into());
                    }
                });
            }
        });
        builder.finish()
    }

    /// An element as a key.
    fn key(&self, k: &mut KernelBuilder, at: Index) -> ValId {
        let bits = Expr::Cast(DType::U32, Box::new(load(self.x, at)));
        let key = self.turned(DType::U32, bits);
        k.let_(DType::U32, key)
    }

    /// Bits as a key, or a key as an element.
    fn turned(&self, dtype: DType, bits: Expr) -> Expr {
        let mask = Expr::Lit(Literal::int(DType::U32, i64::from(self.mask)));
        Expr::Cast(dtype, Box::new(op2(ScalarOp::Xor, bits, mask)))
    }
}

/// The value of a digit, a position among the buckets.
fn bucket(k: &mut KernelBuilder, key: ValId, digit: i64) -> Index {
    let number = |i: i64| Expr::Lit(Literal::int(DType::U32, i));
    let shifted = op2(ScalarOp::Shr, key.into(), number(digit * BITS));
    Index::Val(k.let_(DType::U32, op2(ScalarOp::And, shifted, number(BUCKETS - 1))))
}
