//! Random values for the inputs of any graph, drawn again from a line of text.

use super::graphs::RandomGraph;
use super::sparse::random_pattern;
use super::values::{SIZES, random_array, random_ids};
use crate::array::{Array, CsrArray, Value};
use crate::dim::{Dim, Symbol};
use crate::dtype::Literal;
use crate::graph::Graph;
use crate::interp::bind;
use crate::ops::Op;
use crate::philox::Stream;
use crate::plan;
use crate::types::Type;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How values for the inputs of a graph are drawn: moderate numbers, ids below their bounds, patterns with empty rows
/// and a hub. The same values wherever it is done.
///
/// As text `seed=7 n=5 m=0 wild`, which is read back; a word is left out where it is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// What the numbers follow from.
    pub seed: u32,
    /// Values of the symbols. Those that count the entries of a pattern follow from it.
    pub dims: BTreeMap<String, i64>,
    /// Whether floats are NaN, infinite, zeros of both signs and subnormal now and then.
    pub wild: bool,
}

/// Why no values can be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// A symbol without a value.
    #[error("input `{input}` has an axis of size {size}, and no value is given for one of its symbols")]
    NoSize {
        /// The input.
        input: String,
        /// The size.
        size: String,
    },
    /// Ids that have no row to name.
    #[error("input `{input}` holds row numbers of a table without rows")]
    NoRow {
        /// The input.
        input: String,
    },
    /// A value that cannot be given.
    #[error("input `{input}` is of a type that cannot be given")]
    NoInput {
        /// The input.
        input: String,
    },
}

impl Given {
    /// With these values of the symbols.
    pub fn new(seed: u32, dims: &[(&str, usize)]) -> Given {
        let dims = dims.iter().map(|(name, value)| ((*name).to_owned(), *value as i64)).collect();
        Given { seed, dims, wild: false }
    }

    /// A graph with values for its inputs.
    ///
    /// # Errors
    /// Where a size has no value, or ids have no row to name.
    pub fn to(&self, graph: Graph) -> Result<RandomGraph, GivenError> {
        let mut random = Stream::new(self.seed.into(), 1, 0);
        let mut dims = self.dims.clone();
        let mut patterns = BTreeMap::new();
        for (name, ty) in inputs(&graph) {
            let Type::Csr(c) = ty else { continue };
            let size = |d: &Dim| size(name, d, &dims);
            let csr = random_pattern(&mut random, size(&c.rows)?, size(&c.cols)?, c.symmetric);
            let csr = if (csr.nnz() as i64) <= c.nnz.upper() { csr } else { without_entries(csr) };
            if let [nnz] = c.nnz.symbols().as_slice() {
                dims.insert(nnz.name.clone(), csr.indices.len() as i64);
            }
            patterns.insert(name.to_owned(), csr);
        }
        let bounds = plan::bounds::bounds(&graph);
        let mut values = vec![];
        for node in graph.inputs() {
            let Op::Input(input) = &graph.node(*node).op else { continue };
            let name = &input.name;
            let value = match &input.ty {
                Type::Csr(_) => patterns.remove(name).map(|csr| Value::Csr(Arc::new(csr))),
                Type::Tensor(t) => {
                    let shape =
                        t.shape.iter().map(|d| size(name, d, &dims)).collect::<Result<Vec<_>, _>>()?;
                    Some(Value::Tensor(match bounds.get(node) {
                        Some(bound) => {
                            let (count, bound) = (shape.iter().product(), size(name, bound, &dims)?);
                            if count > 0 && bound == 0 {
                                return Err(GivenError::NoRow { input: name.clone() });
                            }
                            random_ids(&mut random, count, bound).reshaped(&shape)
                        }
                        None => {
                            let mut array = random_array(&mut random, t.dtype, &shape);
                            if self.wild {
                                make_wild(&mut random, &mut array);
                            }
                            array
                        }
                    }))
                }
                Type::RowSparse(_) => None,
            };
            let value = value.ok_or_else(|| GivenError::NoInput { input: name.clone() })?;
            values.push((name.clone(), value));
        }
        Ok(RandomGraph { graph, inputs: values })
    }
}

/// A graph on values of its inputs, at the sizes where code breaks, none of its symbols above 65 where its range allows
/// that. Shrinks to smaller sizes.
pub fn inputs_for(graph: &Graph) -> impl Strategy<Value = RandomGraph> + use<> {
    let graph = graph.clone();
    let symbols = symbols(&graph);
    let sizes: Vec<_> = symbols.iter().map(|s| select(sizes_within(s.lo, s.hi))).collect();
    (sizes, any::<u32>()).prop_filter_map("ids have rows to name", move |(sizes, seed)| {
        let dims = symbols.iter().map(|s| s.name.clone()).zip(sizes).collect();
        Given { seed, dims, wild: false }.to(graph.clone()).ok()
    })
}

/// The symbols of a graph's inputs, but for those that count the entries of a pattern.
pub fn symbols(graph: &Graph) -> Vec<Arc<Symbol>> {
    let mut all: BTreeMap<String, Arc<Symbol>> = BTreeMap::new();
    let mut counts = vec![];
    for (_, ty) in inputs(graph) {
        let sizes: Vec<&Dim> = match ty {
            Type::Tensor(t) => t.shape.iter().collect(),
            Type::Csr(c) => {
                counts.extend(c.nnz.symbols().into_iter().map(|s| s.name.clone()));
                vec![&c.rows, &c.cols]
            }
            Type::RowSparse(_) => vec![],
        };
        for s in sizes.into_iter().flat_map(Dim::symbols) {
            all.entry(s.name.clone()).or_insert(s);
        }
    }
    all.retain(|name, _| !counts.contains(name));
    all.into_values().collect()
}

impl RandomGraph {
    /// The values of [`symbols`] on its inputs; none where the inputs contradict the graph.
    pub fn sizes(&self) -> BTreeMap<String, i64> {
        let given = inputs(&self.graph)
            .filter_map(|(name, ty)| Some((name, ty, &self.inputs.iter().find(|(n, _)| n == name)?.1)));
        let mut sizes = bind(given).unwrap_or_default();
        let known = symbols(&self.graph);
        sizes.retain(|name, _| known.iter().any(|s| s.name == *name));
        sizes
    }
}

fn sizes_within(lo: i64, hi: i64) -> Vec<i64> {
    let usual = SIZES.iter().map(|s| *s as i64).filter(|s| (lo..=hi).contains(s));
    let mut all: Vec<i64> = usual.chain([lo, hi.min(lo.saturating_add(1))]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn inputs(graph: &Graph) -> impl Iterator<Item = (&str, &Type)> {
    graph.inputs().iter().filter_map(|n| match &graph.node(*n).op {
        Op::Input(input) => Some((input.name.as_str(), &input.ty)),
        _ => None,
    })
}

fn size(input: &str, dim: &Dim, dims: &BTreeMap<String, i64>) -> Result<usize, GivenError> {
    let value = dim.eval(&|name| dims.get(name).copied()).and_then(|v| usize::try_from(v).ok());
    value.ok_or_else(|| GivenError::NoSize { input: input.to_owned(), size: dim.to_string() })
}

fn without_entries(csr: CsrArray) -> CsrArray {
    CsrArray::from_edges(csr.rows, csr.cols, vec![]).unwrap_or(csr)
}

/// Puts NaN, infinities, zeros of both signs and a subnormal number into one of three arrays of floats.
pub(super) fn make_wild(random: &mut Stream, array: &mut Array) {
    let dtype = array.dtype();
    if !dtype.is_float() || array.is_empty() || random.below(3) != 0 {
        return;
    }
    let edges = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, dtype.least_normal() / 4.0];
    for _ in 0..array.len().div_ceil(64) {
        let (at, edge) = (random.below(array.len() as u32), random.below(edges.len() as u32));
        array.set(at as usize, Literal::float(dtype, edges[edge as usize]));
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}", self.seed)?;
        for (name, value) in &self.dims {
            write!(f, " {name}={value}")?;
        }
        if self.wild { f.write_str(" wild") } else { Ok(()) }
    }
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Given, String> {
        let mut given = Given::default();
        for word in text.split_whitespace() {
            if word == "wild" {
                given.wild = true;
                continue;
            }
            let number = |v: &str| v.parse::<i64>().map_err(|_| format!("`{word}`: `{v}` is no number"));
            let (name, value) =
                word.split_once('=').ok_or_else(|| format!("`{word}`: `name=number` or `wild` expected"))?;
            match name {
                "seed" => {
                    let seed = u32::try_from(number(value)?);
                    given.seed = seed.map_err(|_| format!("`{word}`: a seed has 32 bits"))?;
                }
                _ => drop(given.dims.insert(name.to_owned(), number(value)?)),
            }
        }
        Ok(given)
    }
}
