//! NumPy's files: `.npy` one array, `.npz` a zip archive of them by name.
//!
//! What NumPy has no type for is held in one of the same width: `bfloat16` as two raw bytes (`V2`), 8-bit floats
//! as one (`V1`, read as what the reader is told to expect). Big-endian and column-major files are read; files are
//! written little-endian and row-major.

use latentc_ir::array::Array;
use latentc_ir::dtype::DType;
use npyz::{Order, TypeChar};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why a file of arrays could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no archive of arrays, or a damaged one.
    #[error("{}: {what}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An array that cannot be used.
    #[error("{}: array `{name}`: {what}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// What is wrong, and what is expected.
        what: String,
    },
}

/// The arrays of a `.npz` file, by name. `expected` says the element type that an array should have where its
/// file does not tell: raw bytes.
///
/// # Errors
/// Where the file cannot be read, is damaged, or holds what no array can.
pub fn read_npz(
    path: impl AsRef<Path>,
    expected: &dyn Fn(&str) -> Option<DType>,
) -> Result<BTreeMap<String, Array>, NpzError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| NpzError::Io { path: path.to_owned(), source })?;
    npz_from(BufReader::new(file), path, expected)
}

/// The arrays of a `.npz` archive; `path` is how errors call it.
///
/// # Errors
/// As [`read_npz`].
pub fn npz_from(
    reader: impl Read + Seek,
    path: &Path,
    expected: &dyn Fn(&str) -> Option<DType>,
) -> Result<BTreeMap<String, Array>, NpzError> {
    let damaged = |what: String| NpzError::Archive { path: path.to_owned(), what };
    let mut archive =
        zip::ZipArchive::new(reader).map_err(|e| damaged(format!("this is no .npz archive ({e})")))?;
    let mut arrays = BTreeMap::new();
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(|e| damaged(format!("entry {at}: {e}")))?;
        let name = entry.name().map_err(|e| damaged(format!("the name of entry {at}: {e}")))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            return Err(damaged(format!("it holds `{name}`, which is no .npy array")));
        };
        let array = read_npy(entry, expected(&name)).map_err(|what| NpzError::Array {
            path: path.to_owned(),
            name: name.clone(),
            what,
        })?;
        if arrays.insert(name.clone(), array).is_some() {
            return Err(damaged(format!("it holds two arrays `{name}`")));
        }
    }
    Ok(arrays)
}

/// One array in the `.npy` format. Memory is taken only for what is there: a header that promises more than the
/// file holds is an error.
///
/// # Errors
/// What is wrong with it.
pub fn read_npy(reader: impl Read, expected: Option<DType>) -> Result<Array, String> {
    let (mut reader, dtype, big, shape, order) = header(reader, expected)?;
    let count = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
    let bytes = count.and_then(|n| n.checked_mul(dtype.size())).filter(|b| *b < 1 << 46);
    let bytes =
        bytes.ok_or_else(|| format!("its sizes are {shape:?}, which is more than an array may have"))?;
    let mut data = vec![];
    reader.by_ref().take(bytes as u64 + 1).read_to_end(&mut data).map_err(|e| e.to_string())?;
    if data.len() != bytes {
        let found = if data.len() > bytes { "more" } else { "fewer" };
        return Err(format!("{bytes} bytes are expected for {dtype}{shape:?}, {found} found"));
    }
    if big {
        data.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if dtype == DType::Bool {
        data.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    let mut array = Array::zeros(dtype, &shape);
    match order {
        Order::C => array.as_bytes_mut().copy_from_slice(&data),
        Order::Fortran => transpose(&data, dtype.size(), &shape, array.as_bytes_mut()),
    }
    if cfg!(target_endian = "big") {
        array.as_bytes_mut().chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    Ok(array)
}

/// The library multiplies the sizes of a header without a look at what comes out.
fn small(header: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(header);
    let sizes =
        text.split_once("shape").and_then(|(_, rest)| rest.split_once('(')).map_or("", |(_, rest)| rest);
    let sizes = sizes.split_once(')').map_or(sizes, |(sizes, _)| sizes);
    let count = sizes
        .split(',')
        .map(|size| size.trim().trim_end_matches('L'))
        .filter(|size| !size.is_empty())
        .try_fold(1u64, |n, size| size.parse::<u64>().ok().and_then(|size| n.checked_mul(size)));
    match count {
        Some(count) if count < 1 << 46 => Ok(()),
        _ => Err(format!("its sizes are ({sizes}), which is more than an array may have")),
    }
}

type Header<R> = (R, DType, bool, Vec<usize>, Order);

fn header<R: Read>(mut reader: R, expected: Option<DType>) -> Result<Header<R>, String> {
    // The header is read by the library out of its own bytes, so that a length in it cannot ask for more.
    let mut head = vec![0; 10];
    reader.read_exact(&mut head).map_err(|_| "it is shorter than a header".to_owned())?;
    if head[..6] != *b"\x93NUMPY" {
        return Err("it does not begin as a .npy array does".to_owned());
    }
    let mut length = u64::from(u16::from_le_bytes([head[8], head[9]]));
    if head[6] >= 2 {
        let mut more = [0; 2];
        reader.read_exact(&mut more).map_err(|_| "it is shorter than a header".to_owned())?;
        head.extend(more);
        length = u64::from(u32::from_le_bytes([head[8], head[9], more[0], more[1]]));
    }
    if length > 1 << 16 {
        return Err(format!("its header has {length} bytes"));
    }
    let before = head.len();
    reader.by_ref().take(length).read_to_end(&mut head).map_err(|e| e.to_string())?;
    if (head.len() - before) as u64 != length {
        return Err("its header is cut off".to_owned());
    }
    small(&head[before..])?;
    let header = npyz::NpyHeader::from_reader(head.as_slice()).map_err(|e| format!("its header: {e}"))?;
    let npyz::DType::Plain(plain) = header.dtype() else {
        return Err("records have no counterpart here; give plain numbers".to_owned());
    };
    let text = plain.to_string();
    let unknown = || format!("there is no element type for NumPy's {text:?}");
    let dtype = match (plain.type_char(), plain.size_field()) {
        (TypeChar::Float, 8) => DType::F64,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Bool, 1) => DType::Bool,
        (TypeChar::RawData, 2) => DType::Bf16,
        (TypeChar::RawData, 1) => expected.filter(|d| d.is_storage()).ok_or_else(unknown)?,
        _ => return Err(unknown()),
    };
    let shape: Option<Vec<usize>> = header.shape().iter().map(|n| usize::try_from(*n).ok()).collect();
    let shape = shape.ok_or_else(|| format!("its sizes are {:?}", header.shape()))?;
    Ok((reader, dtype, text.starts_with('>'), shape, header.order()))
}

/// Column-major elements as row-major ones.
fn transpose(from: &[u8], width: usize, shape: &[usize], to: &mut [u8]) {
    let mut strides = vec![1usize; shape.len()];
    for i in 1..shape.len() {
        strides[i] = strides[i - 1] * shape[i - 1];
    }
    for (at, element) in to.chunks_exact_mut(width).enumerate() {
        let (mut rest, mut source) = (at, 0);
        for axis in (0..shape.len()).rev() {
            source += rest % shape[axis] * strides[axis];
            rest /= shape[axis];
        }
        element.copy_from_slice(&from[source * width..(source + 1) * width]);
    }
}

/// Writes arrays as a `.npz` file, which takes the place of what was there only once it is whole.
///
/// # Errors
/// What the system refuses.
pub fn write_npz<'a>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (&'a str, &'a Array)>,
) -> Result<(), NpzError> {
    let path = path.as_ref();
    let failed = |source: io::Error| NpzError::Io { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = File::create(&part).and_then(|f| {
        let mut archive = zip::ZipWriter::new(BufWriter::new(f));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .large_file(true);
        for (name, array) in arrays {
            archive.start_file(format!("{name}.npy"), options).map_err(io::Error::other)?;
            write_npy(&mut archive, array)?;
        }
        archive.finish().map_err(io::Error::other)?.flush()
    });
    match written.and_then(|()| std::fs::rename(&part, path)) {
        Ok(()) => Ok(()),
        Err(e) => {
            // What is half written is of no use.
            let _ = std::fs::remove_file(&part);
            Err(failed(e))
        }
    }
}

/// Writes one array in the `.npy` format.
///
/// # Errors
/// What the writer refuses.
pub fn write_npy(mut to: impl Write, array: &Array) -> io::Result<()> {
    let code = match array.dtype() {
        DType::F64 => "<f8",
        DType::F32 => "<f4",
        DType::F16 => "<f2",
        DType::Bf16 => "|V2",
        DType::I64 => "<i8",
        DType::I32 => "<i4",
        DType::I16 => "<i2",
        DType::I8 => "|i1",
        DType::U64 => "<u8",
        DType::U32 => "<u4",
        DType::U16 => "<u2",
        DType::U8 => "|u1",
        DType::Bool => "|b1",
        _ => "|V1",
    };
    let sizes: Vec<u64> = array.shape().iter().map(|n| *n as u64).collect();
    let code = code.parse::<npyz::TypeStr>().map_err(io::Error::other)?;
    let text = dictionary(&code, &sizes);
    to.write_all(&text)?;
    if cfg!(target_endian = "big") {
        let mut bytes = array.as_bytes().to_vec();
        bytes.chunks_exact_mut(array.dtype().size()).for_each(<[u8]>::reverse);
        return to.write_all(&bytes);
    }
    to.write_all(array.as_bytes())
}

/// Magic, version 1.0 and the header, which ends at a multiple of 64 bytes.
fn dictionary(code: &npyz::TypeStr, sizes: &[u64]) -> Vec<u8> {
    let list: String = sizes.iter().map(|n| format!("{n}, ")).collect();
    let list =
        if sizes.len() == 1 { list.trim_end().to_owned() } else { list.trim_end_matches(", ").to_owned() };
    let mut text = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({list}), }}");
    let pad = 63 - (10 + text.len()) % 64;
    text.push_str(&" ".repeat(pad));
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}
