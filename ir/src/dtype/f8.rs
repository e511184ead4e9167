//! 8-bit floats: layouts, and conversion from and to binary32.

/// The layout of an 8-bit float: a sign bit, exponent bits, mantissa bits.
///
/// Rounding is to the nearest, ties to even. What is beyond the greatest number becomes an infinity where the
/// format has one, else NaN; a saturating conversion is a clamp before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct F8 {
    /// Bits of the mantissa.
    pub mantissa: u32,
    /// What is added to the exponent.
    pub bias: i32,
    /// Whether it has infinities: then the greatest exponent is theirs and NaN's, as in IEEE 754.
    pub infinite: bool,
    /// Whether `0x80` is the only NaN and there is no `-0`.
    pub unsigned_zero: bool,
}

impl F8 {
    /// 4 exponent bits with a bias of 7, 3 mantissa bits; NaN is all ones; up to 448.
    pub const E4M3FN: F8 = F8 { mantissa: 3, bias: 7, infinite: false, unsigned_zero: false };
    /// 5 exponent bits with a bias of 15, 2 mantissa bits, infinities; up to 57344.
    pub const E5M2: F8 = F8 { mantissa: 2, bias: 15, infinite: true, unsigned_zero: false };
    /// 4 exponent bits with a bias of 8, 3 mantissa bits; NaN is `0x80`; up to 240.
    pub const E4M3FNUZ: F8 = F8 { mantissa: 3, bias: 8, infinite: false, unsigned_zero: true };
    /// 5 exponent bits with a bias of 16, 2 mantissa bits; NaN is `0x80`; up to 57344.
    pub const E5M2FNUZ: F8 = F8 { mantissa: 2, bias: 16, infinite: false, unsigned_zero: true };

    /// The bits of the greatest finite number.
    pub const fn greatest_bits(self) -> u8 {
        if self.infinite {
            0x7f - (1 << self.mantissa)
        } else if self.unsigned_zero {
            0x7f
        } else {
            0x7e
        }
    }

    /// The bits of the NaN that conversions make.
    pub const fn nan_bits(self) -> u8 {
        if self.unsigned_zero {
            0x80
        } else if self.infinite {
            0x7e
        } else {
            0x7f
        }
    }

    /// The greatest finite number.
    pub const fn greatest(self) -> f64 {
        self.finite(self.greatest_bits())
    }

    /// The exponent of the least normal number.
    pub const fn least_exponent(self) -> i32 {
        1 - self.bias
    }

    /// The least positive normal number.
    pub const fn least_normal(self) -> f64 {
        power_of_two(self.least_exponent())
    }

    /// The size of the number with these bits, the sign left out and NaN and infinities not considered.
    const fn finite(self, bits: u8) -> f64 {
        let bits = bits & 0x7f;
        let fraction = bits & ((1 << self.mantissa) - 1);
        let exponent = (bits >> self.mantissa) as i32;
        let hidden = if exponent == 0 { 0 } else { 1 << self.mantissa };
        let exponent = if exponent == 0 { 1 } else { exponent };
        (hidden + fraction) as f64 * power_of_two(exponent - self.bias - self.mantissa as i32)
    }

    /// The number with these bits.
    pub fn decode(self, bits: u8) -> f64 {
        let (size, sign) = (bits & 0x7f, if bits & 0x80 == 0 { 1.0 } else { -1.0 });
        if self.unsigned_zero {
            return if bits == 0x80 { f64::NAN } else { sign * self.finite(size) };
        }
        if size <= self.greatest_bits() {
            sign * self.finite(size)
        } else if self.infinite && size == self.greatest_bits() + 1 {
            sign * f64::INFINITY
        } else {
            f64::NAN
        }
    }

    /// The bits of the nearest number, ties to even.
    pub fn encode(self, x: f32) -> u8 {
        let sign = if x.is_sign_negative() { 0x80 } else { 0 };
        let size = f64::from(x.abs());
        if x.is_nan() {
            return if self.unsigned_zero { 0x80 } else { sign | self.nan_bits() };
        }
        // Units of the last place where the number lies, at least those of the subnormal numbers; exact in f64.
        let exponent = (size.to_bits() >> 52) as i32 - 1023;
        let exponent = if exponent < self.least_exponent() { self.least_exponent() } else { exponent };
        let unit = power_of_two(exponent - self.mantissa as i32);
        let count = (size / unit).round_ties_even();
        if count * unit > self.greatest() {
            return match (self.infinite, self.unsigned_zero) {
                (true, _) => sign | (self.greatest_bits() + 1),
                (false, true) => 0x80,
                (false, false) => sign | self.nan_bits(),
            };
        }
        // Bits count numbers, a binade has one for each value of the mantissa; a count that was rounded up to
        // the next binade carries into it.
        let bits = (((exponent - self.least_exponent()) << self.mantissa) + count as i32) as u8;
        if bits == 0 && self.unsigned_zero { 0 } else { sign | bits }
    }
}

const fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [F8; 4] = [F8::E4M3FN, F8::E5M2, F8::E4M3FNUZ, F8::E5M2FNUZ];

    #[test]
    fn every_number_is_its_own_nearest() {
        for f in ALL {
            for bits in 0..=255u8 {
                let x = f.decode(bits);
                let back = f.encode(x as f32);
                if x.is_nan() {
                    assert!(f.decode(back).is_nan(), "{f:?} {bits:#x}");
                } else {
                    assert_eq!(back, bits, "{f:?} {x}");
                }
            }
        }
    }

    /// Greatest, least normal and least numbers as the formats' definitions give them.
    #[test]
    fn limits_of_the_formats() {
        let table = [(448.0, -6, -9), (57344.0, -14, -16), (240.0, -7, -10), (57344.0, -15, -17)];
        for (f, (greatest, normal, least)) in ALL.into_iter().zip(table) {
            assert_eq!(f.greatest(), greatest, "{f:?}");
            assert_eq!(f.least_normal(), f64::from(normal).exp2(), "{f:?}");
            assert_eq!(f.decode(1), f64::from(least).exp2(), "{f:?}");
        }
    }

    #[test]
    fn rounding_is_to_even_and_beyond_the_greatest_nothing_is_finite() {
        for f in ALL {
            let unit = f64::from(f.mantissa).exp2().recip();
            let nearest = |x: f64| f.decode(f.encode(x as f32));
            assert_eq!(nearest(1.0 + unit / 2.0), 1.0, "{f:?}");
            assert_eq!(nearest(1.0 + unit * 1.5), 1.0 + unit * 2.0, "{f:?}");
            assert_eq!(nearest(-1.0 - unit * 0.75), -1.0 - unit, "{f:?}");
            let least = f.decode(1);
            assert_eq!(nearest(least / 2.0), 0.0, "{f:?}");
            assert_eq!(nearest(least * 1.5), least * 2.0, "{f:?}");
            assert_eq!(nearest(-least / 4.0).is_sign_negative(), !f.unsigned_zero, "{f:?}");
            assert!(!nearest(f.greatest() * 1.5).is_finite(), "{f:?}");
            assert_eq!(nearest(1e30).is_infinite(), f.infinite, "{f:?}");
            // Halfway to what would be next is still the greatest where that is even.
            let (half, even) = (f.greatest() * (1.0 + 1.0 / 1024.0), f.greatest());
            assert_eq!(nearest(half), even, "{f:?}");
        }
    }
}
