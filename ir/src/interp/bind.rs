//! Inputs against their declared types: symbols get their values, everything else is checked.

use super::InterpError;
use crate::array::{Array, Value};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::types::Type;
use std::collections::BTreeMap;

/// Values of symbols.
pub type Dims = BTreeMap<String, i64>;

/// Gives the symbols in the types of inputs (name, declared type, value) their values and checks every
/// input against its type.
///
/// A size that is one symbol gives that symbol its value, in the order of the inputs; the other sizes are
/// then checked.
///
/// # Errors
/// Names the input and the size.
pub fn bind<'a>(
    inputs: impl IntoIterator<Item = (&'a str, &'a Type, &'a Value)>,
) -> Result<Dims, InterpError> {
    let mut dims = Dims::new();
    let mut sizes: Vec<(&str, Size)> = vec![];
    for (input, ty, value) in inputs {
        let found = sizes_of(ty, value).ok_or_else(|| InterpError::WrongType {
            input: input.to_owned(),
            expected: ty.to_string(),
            found: describe(value),
        })?;
        if let (Type::Csr(declared), Value::Csr(csr)) = (ty, value) {
            csr.validate()
                .and_then(|()| if declared.symmetric { csr.check_symmetric() } else { Ok(()) })
                .map_err(|problem| InterpError::BadCsr { input: input.to_owned(), problem })?;
        }
        for size in found {
            if let [symbol] = size.declared.symbols().as_slice()
                && Dim::symbol(&symbol.name, symbol.lo, symbol.hi) == size.declared
                && !dims.contains_key(&symbol.name)
            {
                if !(symbol.lo..=symbol.hi).contains(&size.found) {
                    return Err(InterpError::OutOfRange {
                        input: input.to_owned(),
                        what: size.what,
                        found: size.found,
                        symbol: symbol.name.clone(),
                        lo: symbol.lo,
                        hi: symbol.hi,
                    });
                }
                dims.insert(symbol.name.clone(), size.found);
            }
            sizes.push((input, size));
        }
    }
    for (input, size) in sizes {
        let unbound = size.declared.symbols().into_iter().find(|s| !dims.contains_key(&s.name));
        if let Some(symbol) = unbound {
            return Err(InterpError::Unbound {
                input: input.to_owned(),
                what: size.what,
                expected: size.declared.to_string(),
                symbol: symbol.name.clone(),
            });
        }
        // A size that overflows differs from every size found.
        let value = size.declared.eval(&|s| dims.get(s).copied()).unwrap_or(-1);
        if value != size.found {
            return Err(InterpError::WrongSize {
                input: input.to_owned(),
                what: size.what,
                found: size.found,
                expected: size.declared.to_string(),
                value,
            });
        }
    }
    Ok(dims)
}

/// Whether a value is of a type, given the values of the symbols; else how it differs.
pub(super) fn fits(ty: &Type, value: &Value, dims: &dyn Fn(&str) -> Option<i64>) -> Result<(), String> {
    let sizes = sizes_of(ty, value).ok_or_else(|| format!("{ty} expected, {} found", describe(value)))?;
    for size in sizes {
        let expected = size.declared.eval(dims);
        if expected != Some(size.found) {
            return Err(format!("{} is {}, but {} is {expected:?}", size.what, size.found, size.declared));
        }
    }
    Ok(())
}

/// A size of a value beside its declaration.
struct Size {
    what: String,
    declared: Dim,
    found: i64,
}

/// The sizes of a value beside those of a type; `None` where kind, element type or rank differ.
fn sizes_of(ty: &Type, value: &Value) -> Option<Vec<Size>> {
    let size = |what: &str, declared: &Dim, found: usize| Size {
        what: what.to_owned(),
        declared: declared.clone(),
        found: i64::try_from(found).unwrap_or(i64::MAX),
    };
    let axes = |dtype: DType, shape: &[Dim], a: &Array| -> Option<Vec<Size>> {
        let fits = a.dtype() == dtype && a.shape().len() == shape.len();
        let pairs = shape.iter().zip(a.shape()).enumerate();
        fits.then(|| pairs.map(|(i, (d, n))| size(&format!("axis {i}"), d, *n)).collect())
    };
    match (ty, value) {
        (Type::Tensor(t), Value::Tensor(a)) => axes(t.dtype, &t.shape, a),
        (Type::Csr(t), Value::Csr(c)) => Some(vec![
            size("the number of rows", &t.rows, c.rows),
            size("the number of columns", &t.cols, c.cols),
            size("the number of entries", &t.nnz, c.indices.len()),
        ]),
        (Type::RowSparse(t), Value::RowSparse { rows, ids, values }) => {
            let mut sizes = axes(DType::I32, std::slice::from_ref(&t.count), ids)?;
            let listed: Vec<Dim> = std::iter::once(&t.count).chain(t.shape.iter().skip(1)).cloned().collect();
            sizes.extend(axes(t.dtype, &listed, values)?);
            sizes.push(size("the number of rows", t.shape.first()?, *rows));
            Some(sizes)
        }
        _ => None,
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Tensor(a) => format!("{}{:?}", a.dtype(), a.shape()),
        Value::Csr(c) => format!("csr[{}, {}; {}]", c.rows, c.cols, c.indices.len()),
        Value::RowSparse { rows, ids, values } => {
            format!("rows<{:?}>{}{:?} of {rows}", ids.shape(), values.dtype(), values.shape())
        }
    }
}
