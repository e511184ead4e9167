//! Runs programs by the graph interpreter, and compares with compiled ones.

// Each test program uses a part of this.
#![allow(dead_code, reason = "shared by several test programs")]

use latentc::prelude::*;
use latentc::{Array, CsrArray};
use latentc_ir::array::Value;
use latentc_ir::interp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Named values that a run reads, and to which it writes back what it keeps.
#[derive(Clone)]
pub struct Machine<'p> {
    program: &'p Program,
    values: BTreeMap<String, Value>,
}

impl<'p> Machine<'p> {
    pub fn new(program: &'p Program, seed: u64) -> Machine<'p> {
        let store = program.init(seed);
        let values = store.iter().map(|(n, a)| (n.to_owned(), Value::Tensor(a.clone()))).collect();
        Machine { program, values }
    }

    pub fn set(&mut self, name: &str, value: Array) {
        self.values.insert(name.to_owned(), Value::Tensor(value));
    }

    pub fn set_csr(&mut self, name: &str, csr: CsrArray) {
        self.values.insert(name.to_owned(), Value::Csr(Arc::new(csr)));
    }

    pub fn get(&self, name: &str) -> Vec<f64> {
        match &self.values[name] {
            Value::Tensor(a) => a.to_f64(),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// One run; gives the outputs.
    pub fn run(&mut self) -> BTreeMap<String, Vec<f64>> {
        let done = interp::run(self.program.graph(), &|name| self.values.get(name).cloned()).unwrap();
        self.values.extend(done.updates);
        let number = |v| if let Value::Tensor(a) = v { a.to_f64() } else { vec![] };
        done.outputs.into_iter().map(|(n, v)| (n, number(v))).collect()
    }
}

/// The compiled program on the same inputs, for some steps; gives the store and the last outputs.
#[cfg(feature = "llvm")]
fn compiled(m: &Machine, seed: u64, steps: usize) -> latentc::Store {
    let options = latentc::Options { threads: 2, cache: latentc::Cache::Off };
    let mut session = latentc::cpu().unwrap().compile(m.program, &options).unwrap();
    let mut store = m.program.init(seed);
    for (name, value) in &m.values {
        match value {
            Value::Csr(c) => session.set_csr(name, c.clone()).unwrap(),
            Value::Tensor(a) if store.contains(name) => drop(store.insert(name, a.clone())),
            Value::Tensor(a) => match a.dtype() {
                DType::I32 => session.set::<i32>(name, a.shape(), a.as_slice()).unwrap(),
                _ => session.set::<f32>(name, a.shape(), a.as_slice()).unwrap(),
            },
            other => panic!("{name} is {other:?}"),
        }
    }
    for _ in 0..steps {
        session.run(&mut store).unwrap();
    }
    store
}

/// Runs both from the same store, and compares what they keep.
#[cfg(feature = "llvm")]
pub fn agree(m: &mut Machine, seed: u64, steps: usize, tolerance: f64) {
    let store = compiled(m, seed, steps);
    for _ in 0..steps {
        m.run();
    }
    for (name, array) in store.iter() {
        close(&array.to_f64(), &m.get(name), tolerance);
    }
}

#[track_caller]
pub fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{found:?}\n{expected:?}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance, "{f} is not {e} +- {tolerance}\n{found:?}\n{expected:?}");
    }
}
