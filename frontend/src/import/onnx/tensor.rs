//! Tensors of a file as arrays: every size is held against the bytes that are there before memory is taken.

use super::elem::Elem;
use super::proto::{DataLocation, SparseTensorProto, TensorProto};
use bytes::Bytes;
use latentc_ir::array::Array;
use latentc_ir::dtype::{DType, Literal};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Bytes that one tensor may have: beyond it a size is taken for a mistake.
pub(super) const LARGEST: u64 = 1 << 40;

/// An element type that no array can hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TensorError {
    /// The tensor is wrong.
    Wrong(String),
    /// There is nothing for its type.
    Unsupported(Elem),
}

impl From<String> for TensorError {
    fn from(what: String) -> TensorError {
        TensorError::Wrong(what)
    }
}

/// The element type of a number in a file.
pub(super) fn elem(number: i32) -> Result<Elem, TensorError> {
    Elem::from_number(number).ok_or_else(|| {
        TensorError::Wrong(format!("its element type is {number}, which the format does not have"))
    })
}

/// The sizes of a tensor, and how many elements that makes.
pub(super) fn sizes(dims: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let shape: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let shape = shape.ok_or_else(|| format!("its sizes are {dims:?}; sizes are at least 0"))?;
    let count = shape.iter().try_fold(1u64, |n, s| n.checked_mul(*s as u64)).filter(|n| *n <= LARGEST);
    match count {
        Some(n) => Ok((shape, n as usize)),
        None => Err(format!("its sizes are {dims:?}, which is more than a tensor may have")),
    }
}

/// The elements of a tensor. `folder` is where the files beside the model are.
pub(super) fn array(t: &TensorProto, folder: Option<&Path>) -> Result<(Elem, Array), TensorError> {
    let elem = elem(t.data_type)?;
    let dtype = elem.dtype().ok_or(TensorError::Unsupported(elem))?;
    let (shape, count) = sizes(&t.dims)?;
    let external = t.data_location == DataLocation::External as i32;
    if external || t.raw_data.is_some() {
        let bits = (count as u64).checked_mul(elem.bits() as u64).ok_or("its sizes overflow".to_owned())?;
        let expected = bits.div_ceil(8);
        let bytes = match (&t.raw_data, external) {
            (_, true) => external_bytes(t, folder, expected)?,
            (Some(raw), false) => raw.clone(),
            (None, false) => Bytes::new(),
        };
        if bytes.len() as u64 != expected {
            return Err(TensorError::Wrong(format!(
                "{count} elements of {elem} are {expected} bytes, {} found",
                bytes.len()
            )));
        }
        return Ok((elem, from_raw(elem, dtype, &shape, count, &bytes)));
    }
    let found = match elem {
        Elem::Float => t.float_data.len(),
        Elem::Double => t.double_data.len(),
        Elem::Int64 => t.int64_data.len(),
        Elem::Uint32 | Elem::Uint64 => t.uint64_data.len(),
        _ if elem.bits() < 8 => t.int32_data.len() * (8 / elem.bits()),
        _ => t.int32_data.len(),
    };
    if found != count && !(elem.bits() < 8 && found > count && found - count < 8 / elem.bits()) {
        return Err(TensorError::Wrong(format!("its sizes make {count} elements, {found} found")));
    }
    let mut a = Array::zeros(dtype, &shape);
    match elem {
        Elem::Float => a.as_mut_slice::<f32>().copy_from_slice(&t.float_data),
        Elem::Double => a.as_mut_slice::<f64>().copy_from_slice(&t.double_data),
        Elem::Int64 => a.as_mut_slice::<i64>().copy_from_slice(&t.int64_data),
        Elem::Uint32 | Elem::Uint64 => {
            let bytes: Vec<u8> = match elem {
                Elem::Uint32 => t.uint64_data.iter().flat_map(|v| (*v as u32).to_ne_bytes()).collect(),
                _ => t.uint64_data.iter().flat_map(|v| v.to_ne_bytes()).collect(),
            };
            a.as_bytes_mut().copy_from_slice(&bytes);
        }
        _ if elem.bits() < 8 => {
            let packed: Vec<u8> = t.int32_data.iter().map(|v| *v as u8).collect();
            a = from_raw(elem, dtype, &shape, count, &packed);
        }
        // Formats of eight and sixteen bits are the low bits of these integers.
        _ => {
            let width = elem.bits() / 8;
            let bytes: Vec<u8> =
                t.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)).collect();
            a = from_raw(elem, dtype, &shape, count, &bytes);
        }
    }
    Ok((elem, a))
}

/// Little-endian elements; there are as many bytes as the elements take.
fn from_raw(elem: Elem, dtype: DType, shape: &[usize], count: usize, bytes: &[u8]) -> Array {
    let mut a = Array::zeros(dtype, shape);
    if elem.bits() < 8 {
        let (bits, per) = (elem.bits(), 8 / elem.bits());
        for i in 0..count {
            let code = (bytes[i / per] >> (bits * (i % per))) & ((1u8 << bits) - 1);
            a.set(i, small(elem, dtype, code));
        }
    } else if elem == Elem::Float8E8M0 {
        for (i, byte) in bytes.iter().enumerate() {
            let value = if *byte == 255 { f64::NAN } else { 2f64.powi(i32::from(*byte) - 127) };
            a.set(i, Literal::float(dtype, value));
        }
    } else {
        let width = dtype.size();
        let to = a.as_bytes_mut();
        to.copy_from_slice(bytes);
        if cfg!(target_endian = "big") {
            to.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        if dtype == DType::Bool {
            to.iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
    }
    a
}

/// The value of a code of less than eight bits.
fn small(elem: Elem, dtype: DType, code: u8) -> Literal {
    let code = i64::from(code);
    match elem {
        Elem::Int4 => Literal::int(dtype, if code >= 8 { code - 16 } else { code }),
        Elem::Int2 => Literal::int(dtype, if code >= 2 { code - 4 } else { code }),
        Elem::Float4E2M1 => {
            let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][(code & 7) as usize];
            Literal::float(dtype, if code & 8 != 0 { -magnitude } else { magnitude })
        }
        _ => Literal::int(dtype, code),
    }
}

/// The bytes of a tensor in a file beside the model.
fn external_bytes(t: &TensorProto, folder: Option<&Path>, expected: u64) -> Result<Bytes, String> {
    let entry = |key: &str| t.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(n)) => Ok(Some(n)),
        Some(Err(_)) => Err(format!("the {key} of its external data is no number of bytes")),
    };
    let location = entry("location").ok_or("its data are in another file, which is not named")?;
    let folder = folder.ok_or_else(|| {
        format!("its data are in the file {location:?}, but the model was not read from a folder")
    })?;
    let path = inside(folder, location)?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let cannot = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = std::fs::File::open(&path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if !meta.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let there = meta.len().saturating_sub(offset);
    let length = length.unwrap_or(there.min(expected));
    if length != expected || length > there {
        return Err(format!(
            "it takes {expected} bytes; {length} are declared at {offset} of {}, which has {}",
            path.display(),
            meta.len()
        ));
    }
    file.seek(SeekFrom::Start(offset)).map_err(cannot)?;
    let mut bytes = vec![];
    file.take(length).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(Bytes::from(bytes))
}

/// A path below a folder, links resolved; an error where it leads out.
fn inside(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let out = || format!("its data are in {location:?}, which is not below the folder of the model");
    let relative = Path::new(location);
    if location.is_empty()
        || location.contains('\\')
        || relative.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
    {
        return Err(out());
    }
    let path = folder.join(relative);
    let real = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    let root = folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))?;
    if real.starts_with(&root) { Ok(real) } else { Err(out()) }
}

/// A sparse tensor with its zeros written out.
pub(super) fn dense(t: &SparseTensorProto, folder: Option<&Path>) -> Result<(Elem, Array), TensorError> {
    let (Some(values), Some(indices)) = (&t.values, &t.indices) else {
        return Err(TensorError::Wrong("it is sparse and lacks values or indices".to_owned()));
    };
    let (elem, values) = array(values, folder)?;
    let (_, indices) = array(indices, folder)?;
    let (shape, count) = sizes(&t.dims)?;
    // Zeros are not in the file, so what is written out is held against a plain bound.
    if count * elem.bits().div_ceil(8) > 1 << 32 {
        return Err(TensorError::Wrong(format!("it is sparse with sizes {shape:?}, too many to write out")));
    }
    let rank = if indices.shape().len() == 2 { shape.len() } else { 1 };
    if indices.dtype() != DType::I64 || indices.len() != values.len() * rank {
        return Err(TensorError::Wrong(format!("{} values with {} indices", values.len(), indices.len())));
    }
    let mut a = Array::zeros(values.dtype(), &shape);
    for (i, index) in indices.as_slice::<i64>().chunks_exact(rank.max(1)).enumerate() {
        let at = match rank {
            1 => usize::try_from(index[0]).ok(),
            _ => index.iter().zip(&shape).try_fold(0usize, |at, (i, n)| {
                usize::try_from(*i).ok().filter(|i| i < n).map(|i| at * n + i)
            }),
        };
        let at = at.filter(|at| *at < count);
        let at = at.ok_or_else(|| format!("index {index:?} is outside of the sizes {shape:?}"))?;
        a.set(at, values.get(i));
    }
    Ok((elem, a))
}
