//! What a checked run finds wrong: the op, the user's line, the element, its value and the limit.

use latentc_ir::diag::{Diag, Span};
use latentc_ir::dtype::DType;
use std::fmt;

/// Something wrong with a value of a run. The run was taken back: what the store holds is as before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The op, by its name in text forms; `input` for what a run was given.
    pub op: String,
    /// Where it was written.
    pub span: Span,
    /// What is wrong.
    pub wrong: Wrong,
    /// Which element of the value concerned, one position an axis.
    pub element: Vec<usize>,
    /// Its value, as text.
    pub value: String,
    /// What the op reads: names for people, and where each was made.
    pub operands: Vec<(String, Span)>,
    /// More facts: the elements that the value was made of, where they are those of the same position.
    pub notes: Vec<String>,
}

/// What is wrong with an element.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// A result that is no number, of operands of which none has a NaN.
    Nan,
    /// A result that is infinite, of operands that are finite.
    Infinite,
    /// A given value that is no number.
    GivenNan {
        /// `input x`.
        place: String,
    },
    /// A computed row number outside of its table.
    Row {
        /// Which operand of the op.
        operand: usize,
        /// The number of rows.
        rows: i64,
    },
    /// A number that the integer type that it is converted to does not hold.
    Overflow {
        /// The type.
        to: DType,
    },
    /// A division of integers by zero.
    ZeroDivisor,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { op, element, value, .. } = self;
        match &self.wrong {
            Wrong::Nan => {
                write!(f, "`{op}`: element {element:?} of the result is {value}, and no operand has a NaN")
            }
            Wrong::Infinite => {
                write!(f, "`{op}`: element {element:?} of the result is {value}, and every operand is finite")
            }
            Wrong::GivenNan { place } => write!(f, "{place}: element {element:?} is {value}"),
            Wrong::Row { operand, rows } => {
                let name = self.operands.get(*operand).map_or("", |(name, _)| name.as_str());
                write!(f, "`{op}`: element {element:?} of operand {operand}, {name}, is {value}; ")?;
                write!(f, "the table has the rows 0..{rows}")
            }
            Wrong::Overflow { to } => {
                write!(f, "`{op}`: element {element:?} is {value}, which {to} does not hold")?;
                match to.int_range() {
                    Some((lo, hi)) => write!(f, "; its range is {lo}..={hi}"),
                    None => Ok(()),
                }
            }
            Wrong::ZeroDivisor => write!(f, "`{op}`: element {element:?} of the divisor is {value}"),
        }
    }
}

impl Fault {
    /// The fault with the places that it is about.
    pub fn diag(&self) -> Diag {
        let mut diag = Diag { message: self.to_string(), labels: vec![], notes: vec![], help: None };
        let what = match &self.wrong {
            Wrong::Nan | Wrong::Infinite => format!("`{}` makes it", self.op),
            Wrong::GivenNan { .. } => "declared here".to_owned(),
            Wrong::Row { .. } => "the row is read or written by this".to_owned(),
            Wrong::Overflow { to } => format!("converted to {to} here"),
            Wrong::ZeroDivisor => "divided here".to_owned(),
        };
        if self.span.is_known() {
            diag = diag.label(self.span.clone(), what);
        }
        let others = match self.wrong {
            Wrong::Row { operand, .. } => operand..operand + 1,
            Wrong::ZeroDivisor => 1..2,
            Wrong::GivenNan { .. } => 0..0,
            _ => 0..self.operands.len(),
        };
        for (i, (name, span)) in self.operands.iter().enumerate().take(others.end).skip(others.start) {
            if span.is_known() && *span != self.span {
                diag = diag.label(span.clone(), format!("operand {i} is {name}"));
            }
        }
        diag.notes.clone_from(&self.notes);
        diag.notes.push("the run was taken back: parameters and state are as they were before it".to_owned());
        diag.help = Some(
            match self.wrong {
                Wrong::Nan | Wrong::GivenNan { .. } => return diag,
                Wrong::Infinite => "where an infinity is meant, run unchecked",
                Wrong::Row { .. } => "unchecked, the nearest row is taken instead",
                Wrong::Overflow { .. } => {
                    "unchecked, floats become the nearest integer of the type, NaN 0, and integers wrap"
                }
                Wrong::ZeroDivisor => "unchecked, integers divided by zero are 0",
            }
            .to_owned(),
        );
        diag
    }
}
