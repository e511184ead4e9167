//! What parameters begin as.
//!
//! A random element is a function of (seed, name of the parameter, position of the element), by Philox and
//! by f64 arithmetic that is spelled out here, so that it is the same on every machine.

use latentc_ir::array::Array;
use latentc_ir::dtype::DType;
use latentc_ir::philox::{element_bits, philox4x32};
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, TAU};

/// The step at which first values are drawn. Draws of runs count their steps from 0 and do not come here.
pub const STEP: u32 = u32::MAX;

/// What a parameter begins as. The functions of this module make them.
#[derive(Clone, Debug, PartialEq)]
pub enum Initializer {
    /// Every element this.
    Constant(f64),
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform.
    Uniform {
        /// Least value.
        lo: f64,
        /// Upper limit.
        hi: f64,
    },
    /// Uniform within `+- sqrt(6 / (fan in + fan out))`.
    XavierUniform,
    /// Blocks of rows, each begun as if it were a parameter of its own.
    Stacked(Vec<(usize, Initializer)>),
}

/// Every element 0.
pub fn zeros() -> Initializer {
    Initializer::Constant(0.0)
}

/// Every element `value`.
pub fn constant(value: f64) -> Initializer {
    Initializer::Constant(value)
}

/// Normal with mean 0 and standard deviation `std`.
pub fn normal(std: f64) -> Initializer {
    Initializer::Normal { std }
}

/// Uniform between `lo` and `hi`.
pub fn uniform(lo: f64, hi: f64) -> Initializer {
    Initializer::Uniform { lo, hi }
}

/// Uniform within `+- sqrt(6 / (fan in + fan out))` (Glorot and Bengio, 2010): fan out is the last size, fan
/// in the one before it, both times the product of the sizes before those. One size `[n]` counts as `[1, n]`.
pub fn xavier_uniform() -> Initializer {
    Initializer::XavierUniform
}

/// Blocks of rows, each begun as if it were a parameter of its own: users and items in one table have the
/// limits of two tables with `stacked([(users, xavier_uniform()), (items, xavier_uniform())])`. The counts
/// add up to the number of rows.
pub fn stacked(blocks: impl IntoIterator<Item = (usize, Initializer)>) -> Initializer {
    Initializer::Stacked(blocks.into_iter().collect())
}

impl Initializer {
    /// What is wrong with it for a parameter of these sizes.
    pub(crate) fn fault(&self, shape: &[usize]) -> Option<String> {
        match self {
            Initializer::Constant(v) if !v.is_finite() => Some(format!("it begins as {v}")),
            Initializer::Normal { std } if !(std.is_finite() && *std >= 0.0) => {
                Some(format!("a standard deviation of {std}; it is finite and not negative"))
            }
            Initializer::Uniform { lo, hi } if !(lo.is_finite() && hi.is_finite() && lo <= hi) => {
                Some(format!("uniform in {lo}..{hi}; the limits are finite, the lower first"))
            }
            Initializer::Stacked(blocks) => {
                let Some((rows, rest)) = shape.split_first() else {
                    return Some("a scalar has no rows to stack".to_owned());
                };
                let total = blocks.iter().map(|(n, _)| *n).fold(0usize, usize::saturating_add);
                if total != *rows {
                    return Some(format!("it has {rows} rows, and the stacked blocks have {total}"));
                }
                blocks.iter().find_map(|(n, init)| {
                    let shape: Vec<usize> = std::iter::once(*n).chain(rest.iter().copied()).collect();
                    init.fault(&shape)
                })
            }
            _ => None,
        }
    }

    /// The first values, f32, for a seed and a stream (see [`ParamSpec::stream`](super::ParamSpec::stream)).
    pub fn array(&self, shape: &[usize], seed: u64, stream: u32) -> Array {
        let mut array = Array::zeros(DType::F32, shape);
        self.write(array.as_mut_slice(), shape, 0, seed, stream);
        array
    }

    /// Writes the elements that begin at position `first` of the whole parameter.
    fn write(&self, out: &mut [f32], shape: &[usize], first: u64, seed: u64, stream: u32) {
        let elements = out.iter_mut().zip(first..);
        match self {
            Initializer::Constant(value) => out.fill(*value as f32),
            Initializer::Normal { std } => {
                elements.for_each(|(x, i)| *x = (std * normal_at(seed, stream, i)) as f32);
            }
            Initializer::Uniform { lo, hi } => {
                elements.for_each(|(x, i)| *x = (lo + (hi - lo) * uniform_at(seed, stream, i)) as f32);
            }
            Initializer::XavierUniform => {
                let limit = xavier_limit(shape);
                Initializer::Uniform { lo: -limit, hi: limit }.write(out, shape, first, seed, stream);
            }
            Initializer::Stacked(blocks) => {
                let width: usize = shape.iter().skip(1).product();
                let mut done = 0;
                for (rows, init) in blocks {
                    let shape: Vec<usize> =
                        std::iter::once(*rows).chain(shape.iter().skip(1).copied()).collect();
                    let end = done + rows * width;
                    init.write(&mut out[done..end], &shape, first + done as u64, seed, stream);
                    done = end;
                }
            }
        }
    }
}

fn xavier_limit(shape: &[usize]) -> f64 {
    let (fan_in, fan_out, field) = match shape {
        [] => (1, 1, 1),
        [n] => (1, *n, 1),
        [field @ .., a, b] => (*a, *b, field.iter().product::<usize>()),
    };
    (6.0 / ((fan_in + fan_out) as f64 * field as f64).max(1.0)).sqrt()
}

/// A number in [0, 1), a multiple of 2^-32: element `index` of the stream.
fn uniform_at(seed: u64, stream: u32, index: u64) -> f64 {
    f64::from(element_bits(seed, stream, STEP, index)) * (1.0 / 4_294_967_296.0)
}

/// A standard normal number by the method of Box and Muller: elements `2 j` and `2 j + 1` are the two
/// numbers of the words `4 j ..= 4 j + 3`, of which the first two give the radius and the others the angle.
fn normal_at(seed: u64, stream: u32, index: u64) -> f64 {
    let pair = index / 2;
    let counter = [pair as u32, (pair >> 32) as u32, stream, STEP];
    let words = philox4x32(counter, [seed as u32, (seed >> 32) as u32]).map(u64::from);
    let unit = |k: usize| (((words[k] << 32) | words[k + 1]) >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
    // 1 - u lies in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * ln(1.0 - unit(0))).sqrt();
    let (sin, cos) = sin_cos_turns(unit(2));
    radius * if index.is_multiple_of(2) { cos } else { sin }
}

/// The natural logarithm of a positive normal number, by `2 artanh((m - 1) / (m + 1))` for the fraction `m`
/// in [sqrt(1/2), sqrt(2)).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1022;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1022 << 52));
    if m < FRAC_1_SQRT_2 {
        m *= 2.0;
        exponent -= 1;
    }
    let z = (m - 1.0) / (m + 1.0);
    // |z| < 0.172, so that the first term left out is below 2^-53 of the sum.
    let sum = (0..=10).rev().fold(0.0, |sum, k| sum * (z * z) + 1.0 / f64::from(2 * k + 1));
    exponent as f64 * LN_2 + 2.0 * z * sum
}

/// Sine and cosine of an angle in turns, in [0, 1): the eighth of a turn nearest to an axis, by Taylor's series.
fn sin_cos_turns(turns: f64) -> (f64, f64) {
    let quarter = (turns * 4.0).round_ties_even();
    let x = (turns - quarter / 4.0) * TAU;
    let x2 = x * x;
    // |x| <= pi / 4: terms to x^17 and x^16.
    let series = |first: i32| {
        (0..8).rev().fold(1.0, |sum, k| {
            let n = f64::from(first + 2 * k);
            1.0 - sum * x2 / ((n + 1.0) * (n + 2.0))
        })
    };
    let (sin, cos) = (x * series(1), series(0));
    match quarter as i64 % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latentc_ir::philox::Stream;

    #[test]
    fn spelled_out_functions_agree_with_the_library() {
        let mut s = Stream::new(1, 2, 3);
        for _ in 0..10_000 {
            let u = s.next_f64();
            let x = 1.0 - u;
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "ln {x}");
            let (sin, cos) = sin_cos_turns(u);
            let (lib_sin, lib_cos) = (u * TAU).sin_cos();
            assert!((sin - lib_sin).abs() < 2e-15 && (cos - lib_cos).abs() < 2e-15, "turns {u}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(sin_cos_turns(0.25), (1.0, 0.0));
    }

    #[test]
    fn normal_elements_are_those_of_the_stream_in_order() {
        let mut s = Stream::new(7, 99, STEP);
        for i in 0..1000 {
            assert!((normal_at(7, 99, i) - s.normal()).abs() < 1e-13);
        }
    }

    #[test]
    fn moments_and_limits() {
        let a = normal(0.1).array(&[1000, 64], 3, 17);
        let x = a.as_slice::<f32>();
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 2e-3 && (var.sqrt() - 0.1).abs() < 1e-3, "{mean} {var}");

        let blocks = stacked([(30, xavier_uniform()), (70, xavier_uniform())]);
        let a = blocks.array(&[100, 8], 3, 17);
        let (users, items) = a.as_slice::<f32>().split_at(30 * 8);
        for (part, rows) in [(users, 30.0), (items, 70.0)] {
            let limit = (6.0f64 / (rows + 8.0)).sqrt() as f32;
            let max = part.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert!(max <= limit && max > 0.95 * limit, "{max} of {limit}");
        }
        assert!(xavier_limit(&[64]) == (6.0f64 / 65.0).sqrt());
    }

    #[test]
    fn blocks_that_do_not_fill_the_table_are_refused() {
        let fault = stacked([(3, zeros())]).fault(&[4, 2]);
        assert_eq!(fault.as_deref(), Some("it has 4 rows, and the stacked blocks have 3"));
    }

    /// The values themselves, so that a change of the scheme is seen.
    #[test]
    fn values_are_fixed() {
        let a = uniform(-1.0, 1.0).array(&[2], 1, 5);
        let expected: Vec<f32> = (0..2)
            .map(|i| (-1.0 + 2.0 * f64::from(element_bits(1, 5, u32::MAX, i)) / 4_294_967_296.0) as f32)
            .collect();
        assert_eq!(a.as_slice::<f32>(), expected);
    }
}
