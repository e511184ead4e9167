//! Values on the host: dense arrays and sparse patterns, as the interpreter computes them and as programs
//! take and give them.

use crate::dtype::{DType, Literal};
use std::sync::Arc;

/// Alignment of every array in bytes: a cache line.
pub const ALIGN: usize = 64;

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; ALIGN]);

/// A dense row-major array on the host, aligned to a cache line.
#[derive(Clone)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    lines: Vec<Line>,
    bytes: usize,
}

/// A Rust type that is an element type.
///
/// # Safety
/// `DTYPE` must describe the type's memory exactly, and every bit pattern must be a valid value.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The element type.
    const DTYPE: DType;
}

macro_rules! element {
    ($($t:ty => $d:ident),+) => {$(
        // SAFETY: the type has the size that `DType` says and takes any bit pattern.
        unsafe impl Element for $t { const DTYPE: DType = DType::$d; }
    )+};
}
element!(f64 => F64, f32 => F32, half::bf16 => Bf16, half::f16 => F16, i64 => I64, i32 => I32, i16 => I16, i8 => I8,
    u64 => U64, u32 => U32, u16 => U16, u8 => U8);

impl Array {
    /// An array of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Array {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Array { dtype, shape: shape.to_vec(), lines: vec![Line([0; ALIGN]); bytes.div_ceil(ALIGN)], bytes }
    }

    /// An array of the values of a slice.
    ///
    /// # Panics
    /// Where the product of the sizes is not the slice's length: a mistake of the caller.
    pub fn from_slice<T: Element>(shape: &[usize], values: &[T]) -> Array {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "sizes {shape:?} for {} values",
            values.len()
        );
        let mut a = Array::zeros(T::DTYPE, shape);
        a.as_mut_slice::<T>().copy_from_slice(values);
        a
    }

    /// A scalar.
    pub fn scalar<T: Element>(value: T) -> Array {
        Array::from_slice(&[], &[value])
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes / self.dtype.size()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The same elements with other sizes.
    ///
    /// # Panics
    /// Where the number of elements differs: a mistake of the caller.
    pub fn reshaped(mut self, shape: &[usize]) -> Array {
        assert_eq!(shape.iter().product::<usize>(), self.len(), "reshape to {shape:?}");
        self.shape = shape.to_vec();
        self
    }

    /// The bytes, in the machine's order.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `lines` holds at least `bytes` initialised bytes.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.bytes) }
    }

    /// The bytes, in the machine's order. A `bool` array must be left with bytes 0 and 1 only.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `lines` holds at least `bytes` initialised bytes, and `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.bytes) }
    }

    /// The elements. An array of `bool` or of 8-bit floats is read as `u8`.
    ///
    /// # Panics
    /// Where `T` is not the element type: a mistake of the caller.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        self.check::<T>();
        // SAFETY: the memory is aligned to 64 bytes, initialised, and of `len` elements of `T`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len()) }
    }

    /// The elements, to be written. An array of `bool` is seen as `u8`, and only 0 and 1 may be written; one of
    /// 8-bit floats is seen as their bits.
    ///
    /// # Panics
    /// Where `T` is not the element type: a mistake of the caller.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        self.check::<T>();
        let n = self.len();
        // SAFETY: as in `as_slice`, and `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), n) }
    }

    fn check<T: Element>(&self) {
        let fits = self.dtype.is_seen_as(T::DTYPE);
        assert!(fits, "an array of {} seen as {}", self.dtype, T::DTYPE);
    }

    /// One element as a constant.
    pub fn get(&self, at: usize) -> Literal {
        match self.dtype {
            DType::F64 => Literal::float(DType::F64, self.as_slice::<f64>()[at]),
            DType::F32 => Literal::float(DType::F32, f64::from(self.as_slice::<f32>()[at])),
            DType::Bf16 => Literal::float(DType::Bf16, self.as_slice::<half::bf16>()[at].to_f64()),
            DType::F16 => Literal::float(DType::F16, self.as_slice::<half::f16>()[at].to_f64()),
            DType::I64 => Literal::int(DType::I64, self.as_slice::<i64>()[at]),
            DType::I32 => Literal::int(DType::I32, i64::from(self.as_slice::<i32>()[at])),
            DType::I16 => Literal::int(DType::I16, i64::from(self.as_slice::<i16>()[at])),
            DType::I8 => Literal::int(DType::I8, i64::from(self.as_slice::<i8>()[at])),
            DType::U64 => Literal::int(DType::U64, self.as_slice::<u64>()[at] as i64),
            DType::U32 => Literal::int(DType::U32, i64::from(self.as_slice::<u32>()[at])),
            DType::U16 => Literal::int(DType::U16, i64::from(self.as_slice::<u16>()[at])),
            DType::U8 | DType::Bool => Literal::int(self.dtype, i64::from(self.as_slice::<u8>()[at])),
            DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => {
                let bits = self.as_slice::<u8>()[at];
                Literal::float(self.dtype, self.dtype.f8().map_or(0.0, |f| f.decode(bits)))
            }
        }
    }

    /// Sets one element; the constant is converted to the element type.
    pub fn set(&mut self, at: usize, value: Literal) {
        match self.dtype {
            DType::F64 => self.as_mut_slice::<f64>()[at] = value.as_f64(),
            DType::F32 => self.as_mut_slice::<f32>()[at] = value.as_f64() as f32,
            DType::Bf16 => self.as_mut_slice::<half::bf16>()[at] = half::bf16::from_f64(value.as_f64()),
            DType::F16 => self.as_mut_slice::<half::f16>()[at] = half::f16::from_f64(value.as_f64()),
            DType::I64 => self.as_mut_slice::<i64>()[at] = value.as_i64(),
            DType::I32 => self.as_mut_slice::<i32>()[at] = value.as_i64() as i32,
            DType::I16 => self.as_mut_slice::<i16>()[at] = value.as_i64() as i16,
            DType::I8 => self.as_mut_slice::<i8>()[at] = value.as_i64() as i8,
            DType::U64 => self.as_mut_slice::<u64>()[at] = value.as_u64(),
            DType::U32 => self.as_mut_slice::<u32>()[at] = value.as_i64() as u32,
            DType::U16 => self.as_mut_slice::<u16>()[at] = value.as_i64() as u16,
            DType::U8 => self.as_mut_slice::<u8>()[at] = value.as_i64() as u8,
            DType::Bool => self.as_mut_slice::<u8>()[at] = u8::from(value.as_i64() != 0),
            DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => {
                // Rounded to binary32 towards odd in `Literal::float`, so that what is encoded is a number of
                // the format already.
                let x = Literal::float(self.dtype, value.as_f64()).as_f64() as f32;
                self.as_mut_slice::<u8>()[at] = self.dtype.f8().map_or(0, |f| f.encode(x));
            }
        }
    }

    /// Every element as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        (0..self.len()).map(|i| self.get(i).as_f64()).collect()
    }

    /// An array of an element type from f64 values.
    ///
    /// # Panics
    /// Where the product of the sizes is not the number of values: a mistake of the caller.
    pub fn from_f64(dtype: DType, shape: &[usize], values: &[f64]) -> Array {
        let mut a = Array::zeros(dtype, shape);
        assert_eq!(a.len(), values.len(), "sizes {shape:?} for {} values", values.len());
        for (i, v) in values.iter().enumerate() {
            a.set(i, Literal::float(dtype, *v));
        }
        a
    }
}

impl PartialEq for Array {
    /// Equality of type, sizes and bits.
    fn eq(&self, other: &Array) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.as_bytes() == other.as_bytes()
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        let shown: Vec<String> = (0..self.len().min(16)).map(|i| self.get(i).to_string()).collect();
        write!(f, " [{}{}]", shown.join(", "), if self.len() > 16 { ", ..." } else { "" })
    }
}

/// A sparse pattern on the host: compressed rows with the transposed twin.
#[derive(Clone, Debug, PartialEq)]
pub struct CsrArray {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Where each row begins, `rows + 1` values.
    pub indptr: Vec<i32>,
    /// The column of each entry, ascending in a row.
    pub indices: Vec<i32>,
    /// The transpose; absent where the pattern is symmetric.
    pub twin: Option<Box<CsrTwin>>,
}

/// The transpose of a pattern, with the entry of the original that each of its entries is.
#[derive(Clone, Debug, PartialEq)]
pub struct CsrTwin {
    /// Where each column of the original begins, `cols + 1` values.
    pub indptr: Vec<i32>,
    /// The row of each entry, ascending in a column.
    pub indices: Vec<i32>,
    /// The position of each entry in the original.
    pub edges: Vec<i32>,
}

/// A value of a graph on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A dense array.
    Tensor(Array),
    /// A sparse pattern.
    Csr(Arc<CsrArray>),
    /// Rows of a tensor of `rows` rows: ids `[n]` i32, and values `[n, ...]`.
    RowSparse {
        /// Number of rows of the whole.
        rows: usize,
        /// Which rows.
        ids: Array,
        /// Their values.
        values: Array,
    },
}
