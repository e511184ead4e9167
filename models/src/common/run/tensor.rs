//! A tensor with a name, on the host: the unit of checkpoints.

use half::{bf16, f16};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::fmt;

/// The values of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit floating point.
    F64(Vec<f64>),
    /// 32-bit signed.
    I32(Vec<i32>),
    /// 64-bit signed.
    I64(Vec<i64>),
    /// 32-bit unsigned.
    U32(Vec<u32>),
    /// The upper half of a 32-bit floating point number.
    Bf16(Vec<bf16>),
    /// 16-bit floating point.
    F16(Vec<f16>),
    /// 16-bit signed.
    I16(Vec<i16>),
    /// 8-bit signed.
    I8(Vec<i8>),
    /// 64-bit unsigned.
    U64(Vec<u64>),
    /// 16-bit unsigned.
    U16(Vec<u16>),
    /// 8-bit unsigned.
    U8(Vec<u8>),
}

macro_rules! each {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            Values::F32($v) => $body,
            Values::F64($v) => $body,
            Values::I32($v) => $body,
            Values::I64($v) => $body,
            Values::U32($v) => $body,
            Values::Bf16($v) => $body,
            Values::F16($v) => $body,
            Values::I16($v) => $body,
            Values::I8($v) => $body,
            Values::U64($v) => $body,
            Values::U16($v) => $body,
            Values::U8($v) => $body,
        }
    };
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is neither a NaN nor an infinity.
    pub fn is_finite(&self) -> bool {
        match self {
            Values::F32(v) => v.iter().all(|x| x.is_finite()),
            Values::F64(v) => v.iter().all(|x| x.is_finite()),
            Values::Bf16(v) => v.iter().all(|x| x.is_finite()),
            Values::F16(v) => v.iter().all(|x| x.is_finite()),
            Values::I64(_) | Values::I32(_) | Values::I16(_) | Values::I8(_) => true,
            Values::U64(_) | Values::U32(_) | Values::U16(_) | Values::U8(_) => true,
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Values::F32(_) => Dtype::F32,
            Values::F64(_) => Dtype::F64,
            Values::I32(_) => Dtype::I32,
            Values::I64(_) => Dtype::I64,
            Values::U32(_) => Dtype::U32,
            Values::Bf16(_) => Dtype::BF16,
            Values::F16(_) => Dtype::F16,
            Values::I16(_) => Dtype::I16,
            Values::I8(_) => Dtype::I8,
            Values::U64(_) => Dtype::U64,
            Values::U16(_) => Dtype::U16,
            Values::U8(_) => Dtype::U8,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        each!(self, v => v.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// The values of little-endian bytes; `None` for a type that no state here has.
    fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Option<Values> {
        fn read<const N: usize, T>(bytes: &[u8], of: fn([u8; N]) -> T) -> Vec<T> {
            bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect()
        }
        Some(match dtype {
            Dtype::F32 => Values::F32(read(bytes, f32::from_le_bytes)),
            Dtype::F64 => Values::F64(read(bytes, f64::from_le_bytes)),
            Dtype::I32 => Values::I32(read(bytes, i32::from_le_bytes)),
            Dtype::I64 => Values::I64(read(bytes, i64::from_le_bytes)),
            Dtype::U32 => Values::U32(read(bytes, u32::from_le_bytes)),
            Dtype::BF16 => Values::Bf16(read(bytes, bf16::from_le_bytes)),
            Dtype::F16 => Values::F16(read(bytes, f16::from_le_bytes)),
            Dtype::I16 => Values::I16(read(bytes, i16::from_le_bytes)),
            Dtype::I8 => Values::I8(read(bytes, i8::from_le_bytes)),
            Dtype::U64 => Values::U64(read(bytes, u64::from_le_bytes)),
            Dtype::U16 => Values::U16(read(bytes, u16::from_le_bytes)),
            Dtype::U8 => Values::U8(read(bytes, u8::from_le_bytes)),
            _ => return None,
        })
    }
}

/// A tensor with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    name: String,
    shape: Vec<usize>,
    values: Values,
}

impl NamedTensor {
    /// A tensor.
    ///
    /// # Panics
    /// Where the product of the sizes is not the number of values: a mistake of the caller.
    pub fn new(name: impl Into<String>, shape: &[usize], values: Values) -> NamedTensor {
        let name = name.into();
        assert_eq!(shape.iter().product::<usize>(), values.len(), "sizes {shape:?} of tensor `{name}`");
        NamedTensor { name, shape: shape.to_vec(), values }
    }

    /// A tensor of what a file holds; `None` where its type is not one of [`Values`].
    pub(super) fn read(name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Option<NamedTensor> {
        let values = Values::from_bytes(dtype, bytes)?;
        (shape.iter().product::<usize>() == values.len()).then(|| NamedTensor::new(name, shape, values))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The values, given away.
    pub fn into_values(self) -> Values {
        self.values
    }

    /// Type and sizes, as messages show them: `f32[29858, 64]`.
    pub fn kind(&self) -> TensorKind {
        TensorKind { dtype: self.values.dtype(), shape: self.shape.clone() }
    }
}

/// Type and sizes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorKind {
    dtype: Dtype,
    shape: Vec<usize>,
}

impl fmt::Display for TensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", format!("{:?}", self.dtype).to_lowercase(), self.shape)
    }
}

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        self.values.dtype()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.to_bytes())
    }

    fn data_len(&self) -> usize {
        each!(&self.values, v => std::mem::size_of_val(v.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back() {
        for values in [
            Values::F32(vec![1.5, -0.0, f32::MIN_POSITIVE]),
            Values::F64(vec![1.0 / 3.0]),
            Values::I32(vec![i32::MIN, 7]),
            Values::I64(vec![i64::MAX]),
            Values::U32(vec![u32::MAX]),
            Values::Bf16(vec![bf16::MIN_POSITIVE]),
            Values::F16(vec![f16::MAX]),
            Values::I16(vec![i16::MIN]),
            Values::I8(vec![-1, 3]),
            Values::U64(vec![u64::MAX]),
            Values::U16(vec![u16::MAX]),
            Values::U8(vec![255]),
        ] {
            assert_eq!(Values::from_bytes(values.dtype(), &values.to_bytes()), Some(values.clone()));
            let t = NamedTensor::new("t", &[values.len()], values);
            assert_eq!((&t).data_len(), (&t).data().len());
        }
        assert_eq!(Values::from_bytes(Dtype::BOOL, &[0, 0]), None);
    }

    #[test]
    fn kinds_are_readable() {
        let t = NamedTensor::new("t", &[2, 1], Values::F32(vec![0.0; 2]));
        assert_eq!(t.kind().to_string(), "f32[2, 1]");
    }
}
