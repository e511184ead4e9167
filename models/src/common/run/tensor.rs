//! A tensor with a name, on the host: the unit of checkpoints.

use super::recommender::ModelError;
use half::{bf16, f16};
use latentc::{Array, DType};
use safetensors::tensor::{Dtype, TensorInfo};
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

/// A tensor on its way into a checkpoint: the bytes of the state itself, so that saving copies nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTensor<'a> {
    name: Cow<'a, str>,
    kind: TensorKind,
    /// Little-endian.
    bytes: Cow<'a, [u8]>,
}

impl<'a> SavedTensor<'a> {
    /// An array of a store.
    ///
    /// # Errors
    /// Where its elements are of a type that no checkpoint holds.
    pub fn of(name: &'a str, array: &'a Array) -> Result<SavedTensor<'a>, ModelError> {
        let dtype = match array.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            DType::I32 => Dtype::I32,
            DType::I64 => Dtype::I64,
            DType::U32 => Dtype::U32,
            DType::Bf16 => Dtype::BF16,
            DType::F16 => Dtype::F16,
            DType::I16 => Dtype::I16,
            DType::I8 => Dtype::I8,
            DType::U64 => Dtype::U64,
            DType::U16 => Dtype::U16,
            DType::U8 => Dtype::U8,
            other => {
                return Err(
                    format!("`{name}` has elements of type {other}, which no checkpoint holds").into()
                );
            }
        };
        let mut bytes = Cow::Borrowed(array.as_bytes());
        if cfg!(target_endian = "big") {
            bytes.to_mut().chunks_exact_mut(array.dtype().size()).for_each(<[u8]>::reverse);
        }
        let kind = TensorKind { dtype, shape: array.shape().to_vec() };
        Ok(SavedTensor { name: Cow::Borrowed(name), kind, bytes })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Type and sizes.
    pub fn kind(&self) -> &TensorKind {
        &self.kind
    }

    /// The elements, row-major, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a file says of it, its bytes beginning at an offset.
    pub(super) fn info(&self, start: usize) -> TensorInfo {
        let TensorKind { dtype, shape } = self.kind.clone();
        TensorInfo { dtype, shape, data_offsets: (start, start + self.bytes.len()) }
    }

    /// The order of a file: by the alignment of the type, then by name.
    pub(super) fn file_order(&self, other: &SavedTensor<'_>) -> std::cmp::Ordering {
        other.kind.dtype.cmp(&self.kind.dtype).then_with(|| self.name.cmp(&other.name))
    }

    /// Whether there is neither a NaN nor an infinity.
    pub fn is_finite(&self) -> bool {
        fn all<const N: usize>(bytes: &[u8], finite: fn([u8; N]) -> bool) -> bool {
            bytes.as_chunks::<N>().0.iter().all(|x| finite(*x))
        }
        match self.kind.dtype {
            Dtype::F32 => all(&self.bytes, |x| f32::from_le_bytes(x).is_finite()),
            Dtype::F64 => all(&self.bytes, |x| f64::from_le_bytes(x).is_finite()),
            Dtype::BF16 => all(&self.bytes, |x| bf16::from_le_bytes(x).is_finite()),
            Dtype::F16 => all(&self.bytes, |x| f16::from_le_bytes(x).is_finite()),
            _ => true,
        }
    }
}

#[cfg(test)]
impl safetensors::tensor::View for &SavedTensor<'_> {
    fn dtype(&self) -> Dtype {
        self.kind.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.kind.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl NamedTensor {
    /// The tensor as it is saved; its elements are copied.
    pub fn saved(&self) -> SavedTensor<'static> {
        let (name, bytes) = (Cow::Owned(self.name.clone()), Cow::Owned(self.values.to_bytes()));
        SavedTensor { name, kind: self.kind(), bytes }
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
            assert_eq!(t.saved().bytes(), t.values().to_bytes());
            assert!(t.saved().is_finite());
        }
        assert_eq!(Values::from_bytes(Dtype::BOOL, &[0, 0]), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_array_is_saved_without_a_copy() {
        let array = Array::from_slice(&[2, 2], &[1f32, -2.0, 0.5, f32::INFINITY]);
        let saved = SavedTensor::of("x", &array).unwrap();
        assert!(matches!(saved.bytes, Cow::Borrowed(_)));
        let same = NamedTensor::new("x", &[2, 2], Values::F32(array.as_slice().to_vec())).saved();
        assert_eq!(saved, same);
        assert!(!saved.is_finite());
        let bools = Array::zeros(DType::Bool, &[1]);
        let e = SavedTensor::of("b", &bools).unwrap_err().to_string();
        assert_eq!(e, "`b` has elements of type bool, which no checkpoint holds");
    }

    #[test]
    fn kinds_are_readable() {
        let t = NamedTensor::new("t", &[2, 1], Values::F32(vec![0.0; 2]));
        assert_eq!(t.kind().to_string(), "f32[2, 1]");
    }
}
