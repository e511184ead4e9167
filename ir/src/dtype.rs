//! Element types and literals: the one list of number formats that graphs, nests, plans and hosts share.

use std::fmt;

mod f8;
pub use f8::F8;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// The upper half of a binary32.
    Bf16,
    /// IEEE 754 binary16.
    F16,
    /// 8-bit float of 4 exponent and 3 mantissa bits, without infinities; storage only. See [`F8`].
    F8E4M3Fn,
    /// 8-bit float of 5 exponent and 2 mantissa bits; storage only.
    F8E5M2,
    /// As `F8E4M3Fn` with a bias of 8, one zero and one NaN; storage only.
    F8E4M3Fnuz,
    /// As `F8E5M2` with a bias of 16, without infinities, one zero and one NaN; storage only.
    F8E5M2Fnuz,
    /// 64-bit two's complement.
    I64,
    /// 32-bit two's complement; the type of ids and of CSR structure.
    I32,
    /// 16-bit two's complement.
    I16,
    /// 8-bit two's complement.
    I8,
    /// 64-bit unsigned.
    U64,
    /// 32-bit unsigned; the type of random bits.
    U32,
    /// 16-bit unsigned.
    U16,
    /// 8-bit unsigned.
    U8,
    /// A truth value, stored as one byte, 0 or 1.
    Bool,
}

impl DType {
    /// Every element type, in the order of the declaration.
    pub const ALL: [DType; 17] = [
        DType::F64,
        DType::F32,
        DType::Bf16,
        DType::F16,
        DType::F8E4M3Fn,
        DType::F8E5M2,
        DType::F8E4M3Fnuz,
        DType::F8E5M2Fnuz,
        DType::I64,
        DType::I32,
        DType::I16,
        DType::I8,
        DType::U64,
        DType::U32,
        DType::U16,
        DType::U8,
        DType::Bool,
    ];

    /// Bytes of one element in memory.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 | DType::U64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::Bf16 | DType::F16 | DType::I16 | DType::U16 => 2,
            DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => 1,
            DType::I8 | DType::U8 | DType::Bool => 1,
        }
    }

    /// The name in text forms, messages and generated code.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
            DType::F8E4M3Fn => "f8e4m3fn",
            DType::F8E5M2 => "f8e5m2",
            DType::F8E4M3Fnuz => "f8e4m3fnuz",
            DType::F8E5M2Fnuz => "f8e5m2fnuz",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::I16 => "i16",
            DType::I8 => "i8",
            DType::U64 => "u64",
            DType::U32 => "u32",
            DType::U16 => "u16",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }

    /// The type with this name.
    pub fn parse(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Whether it is a floating-point format.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::Bf16 | DType::F16) || self.is_storage()
    }

    /// Whether it is a format for storage alone: values of it are moved, compared, chosen and cast, but there
    /// is no arithmetic on them and no gradient.
    pub const fn is_storage(self) -> bool {
        self.f8().is_some()
    }

    /// Whether it is a float format that is computed in, and so has gradients.
    pub const fn is_real(self) -> bool {
        self.is_float() && !self.is_storage()
    }

    /// The layout, where it is an 8-bit float.
    pub const fn f8(self) -> Option<F8> {
        match self {
            DType::F8E4M3Fn => Some(F8::E4M3FN),
            DType::F8E5M2 => Some(F8::E5M2),
            DType::F8E4M3Fnuz => Some(F8::E4M3FNUZ),
            DType::F8E5M2Fnuz => Some(F8::E5M2FNUZ),
            _ => None,
        }
    }

    /// Whether it is an integer format; `bool` is not.
    pub const fn is_int(self) -> bool {
        self.is_signed() || self.is_unsigned()
    }

    /// Whether it is a two's complement format.
    pub const fn is_signed(self) -> bool {
        matches!(self, DType::I64 | DType::I32 | DType::I16 | DType::I8)
    }

    /// Whether it is an unsigned integer format; `bool` is not.
    pub const fn is_unsigned(self) -> bool {
        matches!(self, DType::U64 | DType::U32 | DType::U16 | DType::U8)
    }

    /// Whether the elements may be seen as ones of another type: of their own, and as bytes those of bool and
    /// of 8-bit floats.
    pub const fn is_seen_as(self, other: DType) -> bool {
        let bytes = matches!(self, DType::Bool) || self.f8().is_some();
        self as u8 == other as u8 || (matches!(other, DType::U8) && bytes)
    }

    /// Bits of an integer; 0 for other types.
    pub const fn bits(self) -> u32 {
        if self.is_int() { self.size() as u32 * 8 } else { 0 }
    }

    /// The least and the greatest number of an integer format, of bool 0 and 1; `None` for floats.
    pub const fn int_range(self) -> Option<(i128, i128)> {
        if self.is_signed() {
            Some((-(1i128 << (self.bits() - 1)), (1i128 << (self.bits() - 1)) - 1))
        } else if self.is_unsigned() {
            Some((0, (1i128 << self.bits()) - 1))
        } else if matches!(self, DType::Bool) {
            Some((0, 1))
        } else {
            None
        }
    }

    /// The greatest finite number of a float format; 0 for other types.
    pub const fn greatest(self) -> f64 {
        match self {
            DType::F64 => f64::MAX,
            DType::F32 => f32::MAX as f64,
            DType::Bf16 => 3.389_531_389_251_535_5e38,
            DType::F16 => 65504.0,
            _ => match self.f8() {
                Some(f) => f.greatest(),
                None => 0.0,
            },
        }
    }

    /// The least positive normal number of a float format; 0 for other types.
    pub const fn least_normal(self) -> f64 {
        match self {
            DType::F64 => f64::MIN_POSITIVE,
            DType::F32 | DType::Bf16 => f32::MIN_POSITIVE as f64,
            DType::F16 => 6.103_515_625e-5,
            _ => match self.f8() {
                Some(f) => f.least_normal(),
                None => 0.0,
            },
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One constant with its type. Equality and hashing are by bits, so that NaN equals itself and
/// `-0.0` differs from `0.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Literal {
    dtype: DType,
    /// The bits of the value widened to f64 for floats, to i64 or u64 for the others.
    bits: u64,
}

impl Literal {
    /// A float constant; for formats narrower than f64 the value is rounded to the format first.
    ///
    /// A constant of an integer or bool type made from a float is truncated towards zero.
    pub fn float(dtype: DType, value: f64) -> Literal {
        if dtype.is_float() {
            Literal { dtype, bits: round_to(dtype, value).to_bits() }
        } else if dtype == DType::U64 {
            Literal { dtype, bits: value as u64 }
        } else {
            Literal::int(dtype, value as i64)
        }
    }

    /// An integer or bool constant, wrapped to the type's width; for float types it is converted.
    pub fn int(dtype: DType, value: i64) -> Literal {
        let wrapped = match dtype {
            DType::I64 | DType::U64 => value,
            DType::I32 => i64::from(value as i32),
            DType::I16 => i64::from(value as i16),
            DType::I8 => i64::from(value as i8),
            DType::U32 => i64::from(value as u32),
            DType::U16 => i64::from(value as u16),
            DType::U8 => i64::from(value as u8),
            DType::Bool => i64::from(value != 0),
            _ => return Literal::float(dtype, value as f64),
        };
        Literal { dtype, bits: wrapped as u64 }
    }

    /// The zero of a type.
    pub fn zero(dtype: DType) -> Literal {
        Literal::int(dtype, 0)
    }

    /// The constant's element type.
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// The value as f64 (integers converted).
    pub fn as_f64(self) -> f64 {
        match self.dtype {
            d if d.is_float() => f64::from_bits(self.bits),
            DType::U64 => self.bits as f64,
            _ => self.bits as i64 as f64,
        }
    }

    /// The value as i64 (floats truncated towards zero, u64 wrapped).
    pub fn as_i64(self) -> i64 {
        if self.dtype.is_float() { f64::from_bits(self.bits) as i64 } else { self.bits as i64 }
    }

    /// The value as u64 (floats truncated towards zero, negative numbers wrapped).
    pub fn as_u64(self) -> u64 {
        if self.dtype.is_float() { f64::from_bits(self.bits) as u64 } else { self.bits }
    }
}

/// The float nearest to `value` that a float format holds (ties to even), as f64.
pub fn round_to(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::Bf16 => half::bf16::from_f32(to_odd(value)).to_f64(),
        DType::F16 => half::f16::from_f32(to_odd(value)).to_f64(),
        _ => match dtype.f8() {
            Some(f) => f.decode(f.encode(to_odd(value))),
            None => value,
        },
    }
}

/// The binary32 next to a value whose last bit is odd, or the value itself where binary32 holds it. Rounding
/// that to 16 or 8 bits gives what rounding the value at once would; by way of the nearest binary32 a tie could
/// arise that is none.
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    let back = f64::from(near);
    if back == value || value.is_nan() || near.to_bits() & 1 == 1 {
        near
    } else if back.abs() < value.abs() {
        f32::from_bits(near.to_bits() + 1)
    } else {
        f32::from_bits(near.to_bits() - 1)
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            d if d.is_float() => write!(f, "{:?}", self.as_f64()),
            DType::U64 => write!(f, "{}", self.bits),
            _ => write!(f, "{}", self.as_i64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hair above the middle of two 16-bit floats: binary32 has the middle itself.
    #[test]
    fn sixteen_bits_are_rounded_once() {
        let hair = 2f64.powi(-40);
        for (dtype, unit) in [(DType::F16, 2f64.powi(-10)), (DType::Bf16, 2f64.powi(-7))] {
            let middle = 1.0 + unit / 2.0;
            assert_eq!(round_to(dtype, middle), 1.0, "{dtype}");
            assert_eq!(round_to(dtype, middle + hair), 1.0 + unit, "{dtype}");
            assert_eq!(round_to(dtype, -middle - hair), -1.0 - unit, "{dtype}");
            assert_eq!(round_to(dtype, 1e300), f64::INFINITY, "{dtype}");
            assert_eq!(round_to(dtype, -1e-300).to_bits(), (-0.0f64).to_bits(), "{dtype}");
        }
    }
}
