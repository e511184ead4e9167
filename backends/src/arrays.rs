//! Whole arrays of any element type into and out of a session.

use crate::{RunError, Session};
use latentc_ir::array::{Array, Element};
use latentc_ir::dtype::DType;

/// Calls a function with the Rust type that an element type is seen as.
macro_rules! by_type {
    ($dtype:expr, $f:ident, $($arg:expr),+) => {
        match $dtype {
            DType::F64 => $f::<f64>($($arg),+),
            DType::F32 => $f::<f32>($($arg),+),
            DType::Bf16 => $f::<half::bf16>($($arg),+),
            DType::F16 => $f::<half::f16>($($arg),+),
            DType::I64 => $f::<i64>($($arg),+),
            DType::I32 => $f::<i32>($($arg),+),
            DType::I16 => $f::<i16>($($arg),+),
            DType::I8 => $f::<i8>($($arg),+),
            DType::U64 => $f::<u64>($($arg),+),
            DType::U32 => $f::<u32>($($arg),+),
            DType::U16 => $f::<u16>($($arg),+),
            // Bytes: whole numbers, truth values and 8-bit floats.
            _ => $f::<u8>($($arg),+),
        }
    };
}

impl Session {
    /// Gives a data input for the next runs: a copy. Truth values and 8-bit floats are taken as the array has them.
    ///
    /// # Errors
    /// As [`Session::set`].
    pub fn set_array(&mut self, name: &str, array: &Array) -> Result<(), RunError> {
        fn set<T: Element>(s: &mut Session, name: &str, a: &Array) -> Result<(), RunError> {
            s.set(name, a.shape(), a.as_slice::<T>())
        }
        by_type!(array.dtype(), set, self, name, array)
    }

    /// A copy of an output of the last run.
    ///
    /// # Errors
    /// As [`Session::output`].
    pub fn output_array(&self, name: &str) -> Result<Array, RunError> {
        fn get<T: Element>(s: &Session, name: &str, dtype: DType) -> Result<Array, RunError> {
            let (shape, values) = s.output::<T>(name)?;
            let mut a = Array::zeros(dtype, shape);
            a.as_mut_slice::<T>().copy_from_slice(values);
            Ok(a)
        }
        let dtype = self.output_type(name)?;
        by_type!(dtype, get, self, name, dtype)
    }
}
