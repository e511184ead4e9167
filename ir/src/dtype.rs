//! Element types and literals: the one list of number formats that graphs, nests, plans and hosts share.

use std::fmt;

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
    /// 64-bit two's complement.
    I64,
    /// 32-bit two's complement; the type of ids and of CSR structure.
    I32,
    /// 32-bit unsigned; the type of random bits.
    U32,
    /// 8-bit unsigned.
    U8,
    /// A truth value, stored as one byte, 0 or 1.
    Bool,
}

impl DType {
    /// Every element type, in the order of the declaration.
    pub const ALL: [DType; 9] = [
        DType::F64,
        DType::F32,
        DType::Bf16,
        DType::F16,
        DType::I64,
        DType::I32,
        DType::U32,
        DType::U8,
        DType::Bool,
    ];

    /// Bytes of one element in memory.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// The name in text forms, messages and generated code.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::U32 => "u32",
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
        matches!(self, DType::F64 | DType::F32 | DType::Bf16 | DType::F16)
    }

    /// Whether it is an integer format; `bool` is not.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::I64 | DType::I32 | DType::U32 | DType::U8)
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
    /// The bits of the value widened to f64 for floats, to i64 for the others.
    bits: u64,
}

impl Literal {
    /// A float constant; for 16-bit and 32-bit formats the value is rounded to the format first.
    ///
    /// A constant of an integer or bool type made from a float is truncated towards zero.
    pub fn float(dtype: DType, value: f64) -> Literal {
        if dtype.is_float() {
            Literal { dtype, bits: round_to(dtype, value).to_bits() }
        } else {
            Literal::int(dtype, value as i64)
        }
    }

    /// An integer or bool constant, wrapped to the type's width; for float types it is converted.
    pub fn int(dtype: DType, value: i64) -> Literal {
        let wrapped = match dtype {
            DType::I64 => value,
            DType::I32 => i64::from(value as i32),
            DType::U32 => i64::from(value as u32),
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
        if self.dtype.is_float() { f64::from_bits(self.bits) } else { self.bits as i64 as f64 }
    }

    /// The value as i64 (floats truncated towards zero).
    pub fn as_i64(self) -> i64 {
        if self.dtype.is_float() { f64::from_bits(self.bits) as i64 } else { self.bits as i64 }
    }
}

/// The float nearest to `value` that a float format holds (ties to even), as f64.
pub fn round_to(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::Bf16 => half::bf16::from_f32(to_odd(value)).to_f64(),
        DType::F16 => half::f16::from_f32(to_odd(value)).to_f64(),
        _ => value,
    }
}

/// The binary32 next to a value whose last bit is odd, or the value itself where binary32 holds it. Rounding
/// that to 16 bits gives what rounding the value at once would; by way of the nearest binary32 a tie could
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
        if self.dtype.is_float() { write!(f, "{:?}", self.as_f64()) } else { write!(f, "{}", self.as_i64()) }
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
