//! Looks at whole arrays for what is wrong with an element.

use latentc_ir::array::{Array, Element};
use latentc_ir::dtype::DType;

/// The first elements of an array that are no finite numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub nan: Option<usize>,
    pub infinite: Option<usize>,
}

/// An element as text.
pub(crate) fn element_text(bytes: &[u8], dtype: DType, at: usize) -> String {
    let size = dtype.size();
    let mut one = Array::zeros(dtype, &[1]);
    one.as_bytes_mut().copy_from_slice(&bytes[at * size..(at + 1) * size]);
    let value = one.get(0);
    match dtype {
        DType::F32 => format!("{:?}", value.as_f64() as f32),
        d if d.is_float() => format!("{:?}", value.as_f64()),
        DType::Bool => (value.as_i64() != 0).to_string(),
        _ => value.to_string(),
    }
}

/// The elements of an array; every array begins at a cache line.
fn seen<T: Element>(bytes: &[u8]) -> &[T] {
    // SAFETY: any bits are a `T`.
    unsafe { bytes.align_to::<T>().1 }
}

/// The first element for which this holds, found block by block without leaving one early, so that it runs in
/// vectors.
fn first<T: Copy>(values: &[T], wrong: impl Fn(T) -> bool) -> Option<usize> {
    const BLOCK: usize = 1024;
    for (b, block) in values.chunks(BLOCK).enumerate() {
        if block.iter().fold(false, |any, x| any | wrong(*x)) {
            return block.iter().position(|x| wrong(*x)).map(|i| b * BLOCK + i);
        }
    }
    None
}

/// The first NaN and the first infinity.
pub(crate) fn look(bytes: &[u8], dtype: DType) -> Found {
    /// By the bits of the exponent, all of which are set, and of the fraction, which is 0 for an infinity.
    macro_rules! by_bits {
        ($t:ty, $exponent:expr, $sign:expr) => {{
            let values = seen::<$t>(bytes);
            match first(values, |x| x & $exponent == $exponent) {
                None => Found::default(),
                Some(from) => Found {
                    nan: first(&values[from..], |x| x & !$sign > $exponent).map(|i| from + i),
                    infinite: first(&values[from..], |x| x & !$sign == $exponent).map(|i| from + i),
                },
            }
        }};
    }
    match dtype {
        DType::F32 => by_bits!(u32, 0x7f80_0000u32, 0x8000_0000u32),
        DType::F64 => {
            let values = seen::<f64>(bytes);
            Found { nan: first(values, f64::is_nan), infinite: first(values, f64::is_infinite) }
        }
        d if d.is_float() => {
            let (mut found, mut one) = (Found::default(), Array::zeros(d, &[1]));
            for (i, byte) in bytes.chunks_exact(d.size()).enumerate() {
                one.as_bytes_mut().copy_from_slice(byte);
                let value = one.get(0).as_f64();
                if value.is_nan() && found.nan.is_none() {
                    found.nan = Some(i);
                } else if value.is_infinite() && found.infinite.is_none() {
                    found.infinite = Some(i);
                }
            }
            found
        }
        _ => Found::default(),
    }
}

/// The first element of an integer array for which this holds.
pub(crate) fn first_integer(bytes: &[u8], dtype: DType, wrong: impl Fn(i128) -> bool) -> Option<usize> {
    match dtype {
        DType::I64 => first(seen::<i64>(bytes), |x| wrong(x.into())),
        DType::I32 => first(seen::<i32>(bytes), |x| wrong(x.into())),
        DType::I16 => first(seen::<i16>(bytes), |x| wrong(x.into())),
        DType::I8 => first(seen::<i8>(bytes), |x| wrong(x.into())),
        DType::U64 => first(seen::<u64>(bytes), |x| wrong(x.into())),
        DType::U32 => first(seen::<u32>(bytes), |x| wrong(x.into())),
        DType::U16 => first(seen::<u16>(bytes), |x| wrong(x.into())),
        DType::U8 | DType::Bool => first(seen::<u8>(bytes), |x| wrong(x.into())),
        _ => None,
    }
}

/// The first element that an integer type does not hold once its fraction is cut off.
pub(crate) fn first_that_does_not_fit(bytes: &[u8], dtype: DType, to: DType) -> Option<usize> {
    let (lo, hi) = to.int_range()?;
    // Both ends are exact in f64, but for signed 64 bits, where `lo - 1` would round to `lo`.
    let (below, above) = ((lo - 1) as f64, (hi + 1) as f64);
    let wide = to == DType::I64;
    let outside = move |x: f64| !(x < above && if wide { x >= lo as f64 } else { x > below });
    match dtype {
        DType::F32 => first(seen::<f32>(bytes), |x| outside(x.into())),
        DType::F64 => first(seen::<f64>(bytes), outside),
        d if d.is_float() => {
            let mut one = Array::zeros(dtype, &[1]);
            bytes.chunks_exact(d.size()).position(|b| {
                one.as_bytes_mut().copy_from_slice(b);
                outside(one.get(0).as_f64())
            })
        }
        _ => first_integer(bytes, dtype, |x| !(lo..=hi).contains(&x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_finite_number_is_found_in_every_format() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::Bf16, DType::F8E5M2] {
            let mut a = Array::from_f64(dtype, &[3000], &vec![1.5; 3000]);
            assert_eq!(look(a.as_bytes(), dtype), Found::default());
            a.set(2000, latentc_ir::dtype::Literal::float(dtype, f64::NEG_INFINITY));
            assert_eq!(look(a.as_bytes(), dtype), Found { nan: None, infinite: Some(2000) });
            a.set(2999, latentc_ir::dtype::Literal::float(dtype, f64::NAN));
            assert_eq!(look(a.as_bytes(), dtype), Found { nan: Some(2999), infinite: Some(2000) });
        }
    }

    #[test]
    fn the_ends_of_integer_types_fit_and_the_next_numbers_do_not() {
        let fits = |x: f64, to| {
            let a = Array::from_f64(DType::F64, &[1], &[x]);
            first_that_does_not_fit(a.as_bytes(), DType::F64, to).is_none()
        };
        for (to, good, bad) in [
            (DType::I32, [-2_147_483_648.9, 2_147_483_647.9], [-2_147_483_649.0, 2_147_483_648.0]),
            (DType::U8, [-0.9, 255.9], [-1.0, 256.0]),
            (DType::U32, [-0.5, 4_294_967_295.5], [-1.0, 4_294_967_296.0]),
            (DType::I8, [-128.9, 127.9], [-129.0, 128.0]),
            (DType::U64, [-0.5, 1.8e19], [-1.0, 2f64.powi(64)]),
            (DType::I64, [-(2f64.powi(63)), 9.2e18], [-9.3e18, 2f64.powi(63)]),
        ] {
            assert!(good.into_iter().all(|x| fits(x, to)), "{to}");
            assert!(bad.into_iter().all(|x| !fits(x, to)), "{to}");
            assert!(!fits(f64::NAN, to) && !fits(f64::INFINITY, to), "{to}");
        }
        let a = Array::from_slice(&[2], &[1i64 << 31, 5]);
        assert_eq!(first_that_does_not_fit(a.as_bytes(), DType::I64, DType::I32), Some(0));
        assert_eq!(first_that_does_not_fit(a.as_bytes(), DType::I64, DType::U32), None);
    }
}
