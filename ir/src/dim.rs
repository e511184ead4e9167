//! Symbolic sizes with ranges, and the prover that compares them.
//!
//! A [`Dim`] is kept in one canonical form, a sum of integer multiples of products of atoms, so that equal
//! expressions are equal values: `a + b` and `b + a` are the same `Dim`. What the form cannot decide,
//! interval arithmetic over the symbols' ranges decides or leaves [`Proof::Unknown`].

use rustc_hash::FxHasher;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Add, Mul, Sub};
use std::sync::Arc;

/// A size: a constant, or an expression over ranged symbols.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    /// Products (sorted atoms; empty for the constant) and their non-zero factors.
    terms: Arc<BTreeMap<Vec<Atom>, i64>>,
    /// Atoms in it, at every depth.
    parts: usize,
}

/// A size of more atoms becomes a symbol that no run gives a value: a file of a few lines may name products of sums, or
/// squares of squares, whose canonical form would not fit any memory.
const PARTS: usize = 4096;

/// What such symbols are called.
const TOO_LARGE: &str = "size of more than 4096 parts";

/// A named size with its declared range, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol {
    /// The name, unique in a program.
    pub name: String,
    /// Least value.
    pub lo: i64,
    /// Greatest value.
    pub hi: i64,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Arc<Symbol>),
    FloorDiv(Dim, Dim),
    Min(Dim, Dim),
    Max(Dim, Dim),
}

/// The prover's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Holds for every value of the symbols.
    True,
    /// Holds for none.
    False,
    /// Neither was shown.
    Unknown,
}

impl Dim {
    /// A constant.
    pub fn constant(value: i64) -> Dim {
        let terms = if value == 0 { BTreeMap::new() } else { BTreeMap::from([(vec![], value)]) };
        Dim { terms: Arc::new(terms), parts: 0 }
    }

    /// A symbol with the values `lo..=hi`; a range of one value is that constant.
    pub fn symbol(name: impl Into<String>, lo: i64, hi: i64) -> Dim {
        if lo == hi {
            return Dim::constant(lo);
        }
        Dim::atom(Atom::Symbol(Arc::new(Symbol { name: name.into(), lo, hi })))
    }

    fn atom(atom: Atom) -> Dim {
        Dim::from_terms(BTreeMap::from([(vec![atom], 1)]))
    }

    fn from_terms(mut terms: BTreeMap<Vec<Atom>, i64>) -> Dim {
        terms.retain(|_, c| *c != 0);
        let parts = terms.keys().flatten().map(Atom::parts).fold(0, usize::saturating_add);
        let dim = Dim { terms: Arc::new(terms), parts };
        if parts <= PARTS { dim } else { dim.as_symbol(&dim.terms, dim.range()) }
    }

    /// A symbol in place of what has too many parts, named for what it is made of, so that different sizes differ.
    fn as_symbol(&self, of: &impl Hash, (lo, hi): (i128, i128)) -> Dim {
        let mut hasher = FxHasher::default();
        (self, of).hash(&mut hasher);
        Dim::symbol(format!("{TOO_LARGE} {:016x}", hasher.finish()), clamp(lo), clamp(hi))
    }

    /// Whether it had more parts than a size may have, and so has no value in any run.
    pub(crate) fn is_too_large(&self) -> bool {
        // No other symbol has a name with a space in it that can be printed and read back.
        self.symbols().iter().any(|s| s.name.starts_with(TOO_LARGE))
    }

    /// The value, where it is a constant.
    pub fn as_const(&self) -> Option<i64> {
        match self.terms.len() {
            0 => Some(0),
            1 => self.terms.get(&vec![] as &Vec<Atom>).copied(),
            _ => None,
        }
    }

    /// Quotient rounded down, for positive divisors.
    pub fn floor_div(&self, by: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_const(), by.as_const())
            && b > 0
        {
            return Dim::constant(a.div_euclid(b));
        }
        if by.as_const() == Some(1) {
            return self.clone();
        }
        if let Some(b) = by.as_const()
            && b > 0
            && self.terms.values().all(|c| c % b == 0)
        {
            return Dim::from_terms(self.terms.iter().map(|(k, c)| (k.clone(), c / b)).collect());
        }
        if self == by && self.lower() > 0 {
            return Dim::constant(1);
        }
        Dim::atom(Atom::FloorDiv(self.clone(), by.clone()))
    }

    /// Quotient rounded up.
    pub fn ceil_div(&self, by: i64) -> Dim {
        (self + &Dim::constant(by - 1)).floor_div(&Dim::constant(by))
    }

    /// The lesser of two sizes.
    pub fn min_of(&self, other: &Dim) -> Dim {
        match self.le(other) {
            Proof::True => self.clone(),
            Proof::False => other.clone(),
            Proof::Unknown => {
                let (a, b) = if self <= other { (self, other) } else { (other, self) };
                Dim::atom(Atom::Min(a.clone(), b.clone()))
            }
        }
    }

    /// The greater of two sizes.
    pub fn max_of(&self, other: &Dim) -> Dim {
        match self.le(other) {
            Proof::True => other.clone(),
            Proof::False => self.clone(),
            Proof::Unknown => {
                let (a, b) = if self <= other { (self, other) } else { (other, self) };
                Dim::atom(Atom::Max(a.clone(), b.clone()))
            }
        }
    }

    /// The least value it can take by interval arithmetic (never above the true minimum).
    pub fn lower(&self) -> i64 {
        clamp(self.range().0)
    }

    /// The greatest value it can take by interval arithmetic (never below the true maximum).
    pub fn upper(&self) -> i64 {
        clamp(self.range().1)
    }

    fn range(&self) -> (i128, i128) {
        let mut total = (0i128, 0i128);
        for (atoms, factor) in self.terms.iter() {
            let mut product = (1i128, 1i128);
            for atom in atoms {
                product = interval_mul(product, atom.range());
            }
            let f = i128::from(*factor);
            let term = interval_mul(product, (f, f));
            total = (total.0.saturating_add(term.0), total.1.saturating_add(term.1));
        }
        total
    }

    /// Whether two sizes are equal for every value of the symbols.
    pub fn eq_proof(&self, other: &Dim) -> Proof {
        if self == other {
            return Proof::True;
        }
        let (lo, hi) = (self - other).range();
        if lo > 0 || hi < 0 { Proof::False } else { Proof::Unknown }
    }

    /// Whether this size is at most the other for every value of the symbols.
    pub fn le(&self, other: &Dim) -> Proof {
        let (lo, hi) = (other - self).range();
        if lo >= 0 {
            Proof::True
        } else if hi < 0 {
            Proof::False
        } else {
            Proof::Unknown
        }
    }

    /// Its value when the symbols have these values; `None` where one is missing or it overflows.
    pub fn eval(&self, value_of: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        let mut total = 0i64;
        for (atoms, factor) in self.terms.iter() {
            let mut product = *factor;
            for atom in atoms {
                product = product.checked_mul(atom.eval(value_of)?)?;
            }
            total = total.checked_add(product)?;
        }
        Some(total)
    }

    /// The symbols in it, in the order of their names.
    pub fn symbols(&self) -> Vec<Arc<Symbol>> {
        let mut out = BTreeMap::new();
        self.visit(&mut |s| {
            out.insert(s.name.clone(), s.clone());
        });
        out.into_values().collect()
    }

    fn visit(&self, f: &mut dyn FnMut(&Arc<Symbol>)) {
        for atom in self.terms.keys().flatten() {
            match atom {
                Atom::Symbol(s) => f(s),
                Atom::FloorDiv(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => {
                    a.visit(f);
                    b.visit(f);
                }
            }
        }
    }

    /// Rewrites it into another algebra (index expressions of kernels): a fold over its structure.
    pub fn fold<T>(&self, alg: &mut dyn DimAlgebra<T>) -> T {
        let mut total: Option<T> = None;
        for (atoms, factor) in self.terms.iter() {
            let mut product: Option<T> = (*factor != 1 || atoms.is_empty()).then(|| alg.constant(*factor));
            for atom in atoms {
                let value = match atom {
                    Atom::Symbol(s) => alg.symbol(s),
                    Atom::FloorDiv(a, b) => {
                        let (a, b) = (a.fold(alg), b.fold(alg));
                        alg.floor_div(a, b)
                    }
                    Atom::Min(a, b) => {
                        let (a, b) = (a.fold(alg), b.fold(alg));
                        alg.min(a, b)
                    }
                    Atom::Max(a, b) => {
                        let (a, b) = (a.fold(alg), b.fold(alg));
                        alg.max(a, b)
                    }
                };
                product = Some(match product {
                    None => value,
                    Some(p) => alg.mul(p, value),
                });
            }
            let term = product.unwrap_or_else(|| alg.constant(*factor));
            total = Some(match total {
                None => term,
                Some(t) => alg.add(t, term),
            });
        }
        total.unwrap_or_else(|| alg.constant(0))
    }
}

/// What [`Dim::fold`] builds.
pub trait DimAlgebra<T> {
    /// A constant.
    fn constant(&mut self, value: i64) -> T;
    /// A symbol.
    fn symbol(&mut self, symbol: &Symbol) -> T;
    /// A sum.
    fn add(&mut self, a: T, b: T) -> T;
    /// A product.
    fn mul(&mut self, a: T, b: T) -> T;
    /// A quotient rounded down.
    fn floor_div(&mut self, a: T, b: T) -> T;
    /// The lesser.
    fn min(&mut self, a: T, b: T) -> T;
    /// The greater.
    fn max(&mut self, a: T, b: T) -> T;
}

impl Atom {
    fn parts(&self) -> usize {
        match self {
            Atom::Symbol(_) => 1,
            Atom::FloorDiv(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => 1 + a.parts + b.parts,
        }
    }

    fn range(&self) -> (i128, i128) {
        match self {
            Atom::Symbol(s) => (i128::from(s.lo), i128::from(s.hi)),
            Atom::FloorDiv(a, b) => {
                let ((al, ah), (bl, bh)) = (a.range(), b.range());
                let (bl, bh) = (bl.max(1), bh.max(1));
                let corners = [al.div_euclid(bl), al.div_euclid(bh), ah.div_euclid(bl), ah.div_euclid(bh)];
                (corners.into_iter().min().unwrap_or(0), corners.into_iter().max().unwrap_or(0))
            }
            Atom::Min(a, b) => {
                let ((al, ah), (bl, bh)) = (a.range(), b.range());
                (al.min(bl), ah.min(bh))
            }
            Atom::Max(a, b) => {
                let ((al, ah), (bl, bh)) = (a.range(), b.range());
                (al.max(bl), ah.max(bh))
            }
        }
    }

    fn eval(&self, value_of: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        match self {
            Atom::Symbol(s) => value_of(&s.name),
            Atom::FloorDiv(a, b) => {
                let b = b.eval(value_of)?;
                if b <= 0 { None } else { Some(a.eval(value_of)?.div_euclid(b)) }
            }
            Atom::Min(a, b) => Some(a.eval(value_of)?.min(b.eval(value_of)?)),
            Atom::Max(a, b) => Some(a.eval(value_of)?.max(b.eval(value_of)?)),
        }
    }
}

fn interval_mul(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    let c =
        [a.0.saturating_mul(b.0), a.0.saturating_mul(b.1), a.1.saturating_mul(b.0), a.1.saturating_mul(b.1)];
    (c.into_iter().min().unwrap_or(0), c.into_iter().max().unwrap_or(0))
}

fn clamp(x: i128) -> i64 {
    x.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

impl Add for &Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        let mut terms = (*self.terms).clone();
        for (k, c) in other.terms.iter() {
            let e = terms.entry(k.clone()).or_insert(0);
            *e = e.saturating_add(*c);
        }
        Dim::from_terms(terms)
    }
}

impl Sub for &Dim {
    type Output = Dim;
    fn sub(self, other: &Dim) -> Dim {
        self + &(other * &Dim::constant(-1))
    }
}

impl Mul for &Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        let parts =
            self.parts.saturating_mul(other.terms.len()) + other.parts.saturating_mul(self.terms.len());
        if parts > PARTS {
            return self.as_symbol(other, interval_mul(self.range(), other.range()));
        }
        let mut terms: BTreeMap<Vec<Atom>, i64> = BTreeMap::new();
        for (ka, ca) in self.terms.iter() {
            for (kb, cb) in other.terms.iter() {
                let mut k: Vec<Atom> = ka.iter().chain(kb).cloned().collect();
                k.sort();
                let e = terms.entry(k).or_insert(0);
                *e = e.saturating_add(ca.saturating_mul(*cb));
            }
        }
        Dim::from_terms(terms)
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Dim {
        Dim::constant(value)
    }
}

impl From<i32> for Dim {
    fn from(value: i32) -> Dim {
        Dim::constant(i64::from(value))
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Dim {
        Dim::constant(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<&Dim> for Dim {
    fn from(value: &Dim) -> Dim {
        value.clone()
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Symbols before the constant, as people write it.
        let mut first = true;
        for (atoms, factor) in self.terms.iter().rev() {
            if !first && *factor >= 0 {
                f.write_str("+")?;
            }
            first = false;
            if atoms.is_empty() {
                write!(f, "{factor}")?;
                continue;
            }
            match *factor {
                1 => {}
                -1 => f.write_str("-")?,
                factor => write!(f, "{factor}*")?,
            }
            for (i, atom) in atoms.iter().enumerate() {
                if i > 0 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(s) => f.write_str(&s.name)?,
                    Atom::FloorDiv(a, b) => write!(f, "div({a},{b})")?,
                    Atom::Min(a, b) => write!(f, "min({a},{b})")?,
                    Atom::Max(a, b) => write!(f, "max({a},{b})")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_decides_equality() {
        let (a, b) = (Dim::symbol("a", 1, 10), Dim::symbol("b", 1, 10));
        assert_eq!(&a + &b, &b + &a);
        assert_eq!(&(&a + &b) * &a, &(&a * &a) + &(&a * &b));
        assert_eq!(&a - &a, Dim::constant(0));
        assert_eq!((&a * &Dim::constant(6)).floor_div(&Dim::constant(3)), &a * &Dim::constant(2));
    }

    #[test]
    fn ranges_prove_order() {
        let a = Dim::symbol("a", 1, 10);
        assert_eq!(a.le(&Dim::constant(10)), Proof::True);
        assert_eq!(a.le(&Dim::constant(0)), Proof::False);
        assert_eq!(a.le(&Dim::constant(5)), Proof::Unknown);
        assert_eq!(a.eq_proof(&Dim::constant(11)), Proof::False);
        assert_eq!(a.floor_div(&Dim::constant(4)).upper(), 2);
    }

    #[test]
    fn text_reads_naturally() {
        let a = Dim::symbol("a", 1, 10);
        let two = &a * &Dim::constant(2);
        assert_eq!((&two + &Dim::constant(1)).to_string(), "2*a+1");
        assert_eq!((&a - &Dim::constant(1)).to_string(), "a-1");
        assert_eq!((&Dim::constant(3) - &a).to_string(), "-a+3");
        assert_eq!((&Dim::symbol("b", 1, 2) - &two).to_string(), "b-2*a");
    }
}
