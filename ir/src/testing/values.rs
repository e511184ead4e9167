//! Strategies of sizes and dense values.

use crate::array::Array;
use crate::dtype::{DType, Literal};
use crate::philox::Stream;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Sizes at which code breaks: none, one, primes, vector widths and their neighbours.
pub(super) const SIZES: [usize; 19] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33, 64, 65];

/// A size of at most `max`: 0, 1, a prime, or a vector width of 4 to 64 or its neighbour.
pub fn size(max: usize) -> impl Strategy<Value = usize> {
    select(SIZES.iter().copied().filter(|s| *s <= max).collect::<Vec<_>>())
}

/// Sizes of a tensor of up to `rank` axes with at most `elements` elements.
pub fn shape(rank: usize, elements: usize) -> impl Strategy<Value = Vec<usize>> {
    vec(size(elements), 0..=rank).prop_map(move |mut shape| {
        // Shorten the longest axis until it fits.
        while shape.iter().product::<usize>() > elements {
            if let Some(longest) = shape.iter_mut().max() {
                *longest /= 2;
            }
        }
        shape
    })
}

/// An array of moderate values: floats and signed integers in -2..=2 with zeros of both signs, unsigned
/// integers in 0..=4, truth values.
pub fn array(dtype: DType, shape: &[usize]) -> impl Strategy<Value = Array> + use<> {
    let shape = shape.to_vec();
    let count = shape.iter().product::<usize>();
    // Multiples of 2^-16: exact in f32.
    let steps = prop_oneof![12 => -131_072..=131_072i64, 1 => (-2..=2i64).prop_map(|i| i * 65_536)];
    vec((steps, any::<bool>()), count).prop_map(move |all| {
        let mut a = Array::zeros(dtype, &shape);
        for (i, (step, sign)) in all.into_iter().enumerate() {
            a.set(i, moderate(dtype, step, sign));
        }
        a
    })
}

fn moderate(dtype: DType, step: i64, sign: bool) -> Literal {
    let value = step as f64 / 65_536.0;
    match dtype {
        d if d.is_float() => Literal::float(d, if step == 0 && sign { -0.0 } else { value }),
        DType::Bool => Literal::int(dtype, i64::from(sign)),
        d if d.is_unsigned() => Literal::int(dtype, (value + 2.0).round() as i64),
        _ => Literal::int(dtype, value.round() as i64),
    }
}

/// One element of a type, any of those that break code: NaN, infinities, zeros of both signs, subnormal,
/// least and greatest values, and moderate ones.
pub fn wild(dtype: DType) -> BoxedStrategy<Literal> {
    if dtype.is_float() {
        let (tiny, huge) = (dtype.least_normal(), dtype.greatest());
        let edges = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, tiny, -tiny / 4.0, huge, -huge];
        prop_oneof![1 => select(edges.to_vec()), 1 => -2.0..2.0f64]
            .prop_map(move |x| Literal::float(dtype, x))
            .boxed()
    } else {
        let edges = [
            0,
            1,
            -1,
            i64::MIN,
            i64::MAX,
            i64::from(i32::MIN),
            i64::from(i32::MAX),
            127,
            128,
            255,
            1 << 15,
            1 << 31,
        ];
        prop_oneof![1 => select(edges.to_vec()), 1 => -9..9i64]
            .prop_map(move |x| Literal::int(dtype, x))
            .boxed()
    }
}

/// `count` ids in `0..bound` with many repetitions: half of them are one of two hubs. `bound` of 0 needs
/// `count` 0.
pub fn ids(count: usize, bound: usize) -> impl Strategy<Value = Array> {
    (any::<u32>(), vec(any::<u32>(), count)).prop_map(move |(hub, all)| {
        let below = |word: u32| (word as usize % bound.max(1)) as i32;
        let all: Vec<i32> = all
            .into_iter()
            .map(|word| below(if word.is_multiple_of(2) { hub.wrapping_add(word / 2 % 2) } else { word }))
            .collect();
        Array::from_slice(&[all.len()], &all)
    })
}

/// As [`array()`], from a stream of random words; no float is 0, so that no kink is met by accident.
pub fn random_array(random: &mut Stream, dtype: DType, shape: &[usize]) -> Array {
    let mut a = Array::zeros(dtype, shape);
    for i in 0..a.len() {
        let step = 2 * i64::from(random.below(131_072)) - 131_071;
        let sign = random.below(2) == 0;
        a.set(i, moderate(dtype, step, sign));
    }
    a
}

/// As [`ids`], from a stream of random words.
pub fn random_ids(random: &mut Stream, count: usize, bound: usize) -> Array {
    let bound = u32::try_from(bound).unwrap_or(u32::MAX).max(1);
    let hub = random.below(bound);
    let all: Vec<i32> = (0..count)
        .map(|_| if random.below(3) == 0 { hub as i32 } else { random.below(bound) as i32 })
        .collect();
    Array::from_slice(&[count], &all)
}
