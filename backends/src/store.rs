//! What is kept between runs: parameters, optimizer state, counters.

use latentc_ir::array::Array;
use std::collections::BTreeMap;

/// Named host arrays. Programs read them and update them in place; several programs (a training step, an
/// evaluation) may share one store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    entries: BTreeMap<String, Array>,
}

impl Store {
    /// An empty store.
    pub fn new() -> Store {
        Store::default()
    }

    /// Puts an array under a name; gives back what was there.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) -> Option<Array> {
        self.entries.insert(name.into(), array)
    }

    /// The array of this name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.entries.get(name)
    }

    /// The array of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Array> {
        self.entries.get_mut(name)
    }

    /// Takes an array out.
    pub fn remove(&mut self, name: &str) -> Option<Array> {
        self.entries.remove(name)
    }

    /// Whether there is an array of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Names and arrays, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.entries.iter().map(|(n, a)| (n.as_str(), a))
    }

    /// Names and arrays, to be changed, in the order of the names.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Array)> {
        self.entries.iter_mut().map(|(n, a)| (n.as_str(), a))
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all arrays together.
    pub fn bytes(&self) -> usize {
        self.entries.values().map(|a| a.as_bytes().len()).sum()
    }
}

impl<N: Into<String>> FromIterator<(N, Array)> for Store {
    fn from_iter<I: IntoIterator<Item = (N, Array)>>(iter: I) -> Store {
        Store { entries: iter.into_iter().map(|(n, a)| (n.into(), a)).collect() }
    }
}

impl<N: Into<String>> Extend<(N, Array)> for Store {
    fn extend<I: IntoIterator<Item = (N, Array)>>(&mut self, iter: I) {
        self.entries.extend(iter.into_iter().map(|(n, a)| (n.into(), a)));
    }
}
