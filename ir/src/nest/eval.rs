//! What an index expression is worth, and what stands in it.

use super::Index;

impl Index {
    /// The two parts of what combines two; `None` for a leaf: a constant, a dimension, a variable, a loaded value.
    pub fn parts(&self) -> Option<(&Index, &Index)> {
        match self {
            Index::Const(_) | Index::Dim(_) | Index::Var(_) | Index::Val(_) => None,
            Index::Add(a, b)
            | Index::Sub(a, b)
            | Index::Mul(a, b)
            | Index::Div(a, b)
            | Index::Mod(a, b)
            | Index::Min(a, b)
            | Index::Max(a, b) => Some((a, b)),
        }
    }

    /// The value, given those of the leaves but the constants; `None` where one is not known, and where it
    /// overflows or divides by nothing.
    pub fn value(&self, leaf: &dyn Fn(&Index) -> Option<i64>) -> Option<i64> {
        let Some((a, b)) = self.parts() else { return self.as_const().or_else(|| leaf(self)) };
        let (a, b) = (a.value(leaf)?, b.value(leaf)?);
        match self {
            Index::Add(..) => a.checked_add(b),
            Index::Sub(..) => a.checked_sub(b),
            Index::Mul(..) => a.checked_mul(b),
            Index::Div(..) if b > 0 => a.checked_div_euclid(b),
            Index::Mod(..) if b > 0 => a.checked_rem_euclid(b),
            Index::Min(..) => Some(a.min(b)),
            Index::Max(..) => Some(a.max(b)),
            _ => None,
        }
    }

    /// What is found at the first leaf, from the left, that has it.
    pub fn find<T>(&self, leaf: &dyn Fn(&Index) -> Option<T>) -> Option<T> {
        match self.parts() {
            Some((a, b)) => a.find(leaf).or_else(|| b.find(leaf)),
            None => leaf(self),
        }
    }
}
