//! Results against expected ones.

use crate::array::{Array, Value};
use std::fmt;

/// What is done with NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nan {
    /// NaN is equal to NaN and to nothing else.
    Equal,
    /// Where NaN is expected anything may be found; elsewhere NaN is wrong.
    Any,
    /// NaN is wrong everywhere, also where it is expected.
    Wrong,
}

/// How far a float may be off: by `absolute + relative * |expected|`. Infinities must be equal; integers and
/// bools are compared exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Of the expected size.
    pub relative: f64,
    /// In units of the value.
    pub absolute: f64,
    /// What is done with NaN.
    pub nan: Nan,
}

impl Tolerance {
    /// Equal but for the sign of zero and the bits of NaN.
    pub const EXACT: Tolerance = Tolerance { relative: 0.0, absolute: 0.0, nan: Nan::Equal };

    /// So much, relative to the expected value and absolute; NaN equal to NaN.
    pub const fn new(both: f64) -> Tolerance {
        Tolerance { relative: both, absolute: both, nan: Nan::Equal }
    }

    /// Whether a value is near enough to the expected one.
    pub fn holds(&self, expected: f64, found: f64) -> bool {
        if expected.is_nan() {
            match self.nan {
                Nan::Equal => found.is_nan(),
                Nan::Any => true,
                Nan::Wrong => false,
            }
        } else if expected == found {
            true
        } else {
            let error = (expected - found).abs();
            expected.is_finite() && error <= self.absolute + self.relative * expected.abs()
        }
    }
}

/// A result that differs.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// Of another kind, type or size.
    Form {
        /// What is expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Elements that are off; the worst one.
    Elements {
        /// How many are off.
        count: usize,
        /// Of how many.
        of: usize,
        /// Number of the worst, row-major.
        at: usize,
        /// Expected there.
        expected: f64,
        /// Found there.
        found: f64,
    },
    /// A result that is missing or has another name.
    Name {
        /// Expected name.
        expected: Option<String>,
        /// Found name.
        found: Option<String>,
    },
    /// One of several results differs.
    In {
        /// Its name.
        name: String,
        /// How it differs.
        mismatch: Box<Mismatch>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Form { expected, found } => write!(f, "{expected} expected, {found} found"),
            Mismatch::Elements { count, of, at, expected, found } => write!(
                f,
                "{count} of {of} elements are off, most at {at}: {expected:?} expected, {found:?} found, off by {:e}",
                (expected - found).abs()
            ),
            Mismatch::Name { expected, found } => {
                write!(f, "a result named {expected:?} expected, {found:?} found")
            }
            Mismatch::In { name, mismatch } => write!(f, "`{name}`: {mismatch}"),
        }
    }
}

impl std::error::Error for Mismatch {}

/// Compares a value with the expected one.
pub fn compare(expected: &Value, found: &Value, tolerance: &Tolerance) -> Result<(), Mismatch> {
    match (expected, found) {
        (Value::Tensor(e), Value::Tensor(f)) => compare_arrays(e, f, tolerance),
        (
            Value::RowSparse { rows: er, ids: ei, values: ev },
            Value::RowSparse { rows: fr, ids: fi, values: fv },
        ) if er == fr => {
            compare_arrays(ei, fi, tolerance)?;
            compare_arrays(ev, fv, tolerance)
        }
        (Value::Csr(e), Value::Csr(f)) if e == f => Ok(()),
        _ => Err(Mismatch::Form { expected: form(expected), found: form(found) }),
    }
}

/// Compares named results, in order.
pub fn compare_all(
    expected: &[(String, Value)],
    found: &[(String, Value)],
    tolerance: &Tolerance,
) -> Result<(), Mismatch> {
    for i in 0..expected.len().max(found.len()) {
        match (expected.get(i), found.get(i)) {
            (Some((name, e)), Some((n, f))) if name == n => compare(e, f, tolerance)
                .map_err(|m| Mismatch::In { name: name.clone(), mismatch: Box::new(m) })?,
            (e, f) => {
                let name = |x: Option<&(String, Value)>| x.map(|(name, _)| name.clone());
                return Err(Mismatch::Name { expected: name(e), found: name(f) });
            }
        }
    }
    Ok(())
}

fn compare_arrays(expected: &Array, found: &Array, tolerance: &Tolerance) -> Result<(), Mismatch> {
    if (expected.dtype(), expected.shape()) != (found.dtype(), found.shape()) {
        let form = |a: &Array| format!("{}{:?}", a.dtype(), a.shape());
        return Err(Mismatch::Form { expected: form(expected), found: form(found) });
    }
    let (mut count, mut worst) = (0, (-1.0, 0));
    for i in 0..expected.len() {
        let (e, f) = (expected.get(i), found.get(i));
        let holds = if expected.dtype().is_float() {
            tolerance.holds(e.as_f64(), f.as_f64())
        } else {
            e.as_i64() == f.as_i64()
        };
        if !holds {
            count += 1;
            let error = (e.as_f64() - f.as_f64()).abs() / (1.0 + e.as_f64().abs());
            // NaN is worst of all.
            let error = if error.is_nan() { f64::INFINITY } else { error };
            if error > worst.0 {
                worst = (error, i);
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    let at = worst.1;
    let (expected_at, found_at) = (expected.get(at).as_f64(), found.get(at).as_f64());
    Err(Mismatch::Elements { count, of: expected.len(), at, expected: expected_at, found: found_at })
}

fn form(value: &Value) -> String {
    match value {
        Value::Tensor(a) => format!("{}{:?}", a.dtype(), a.shape()),
        Value::Csr(c) => format!("csr[{}, {}; {}]", c.rows, c.cols, c.indices.len()),
        Value::RowSparse { rows, ids, values } => {
            format!("{} rows of {}{:?} of {rows}", ids.len(), values.dtype(), values.shape())
        }
    }
}
