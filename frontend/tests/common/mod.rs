//! Runs programs on each device.

// Each test program uses a part of this.
#![allow(dead_code, reason = "shared by several test programs")]

use latentc::prelude::*;
use latentc::{Array, Cache, CsrArray, Device, Session, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every device there is.
pub fn devices() -> Vec<Device> {
    let devices = [
        interp(),
        #[cfg(feature = "llvm")]
        cpu().unwrap(),
    ];
    devices.to_vec()
}

/// Outputs by name: sizes and elements.
pub type Outputs = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// A program ready to run, and what it keeps.
pub struct Machine {
    session: Session,
    pub store: Store,
    outputs: Vec<(String, DType)>,
}

impl Machine {
    pub fn new(program: &Program, seed: u64, device: Device) -> Machine {
        let options = Options { threads: 2, cache: Cache::Off, ..Options::default() };
        let graph = program.graph();
        let outputs = graph.outputs.iter().map(|(n, o)| (n.clone(), graph.tensor(*o).dtype)).collect();
        let session = device.compile(program, &options).unwrap();
        Machine { session, store: program.init(seed), outputs }
    }

    /// Gives a data input, or changes what is kept.
    pub fn set(&mut self, name: &str, value: Array) {
        if self.store.contains(name) {
            self.store.insert(name, value);
            return;
        }
        let shape = value.shape();
        match value.dtype() {
            DType::F32 => self.session.set::<f32>(name, shape, value.as_slice()),
            DType::I32 => self.session.set::<i32>(name, shape, value.as_slice()),
            other => panic!("{name} is {other}"),
        }
        .unwrap();
    }

    pub fn set_csr(&mut self, name: &str, csr: &Arc<CsrArray>) {
        self.session.set_csr(name, csr.clone()).unwrap();
    }

    /// What is kept under a name.
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.store.get(name).unwrap().to_f64()
    }

    /// One run.
    pub fn run(&mut self) -> Outputs {
        self.session.run(&mut self.store).unwrap();
        let read = |(name, dtype): &(String, DType)| {
            let value = match dtype {
                DType::F32 => {
                    let (shape, x) = self.session.output::<f32>(name).unwrap();
                    (shape.to_vec(), x.iter().map(|x| f64::from(*x)).collect())
                }
                _ => {
                    let (shape, x) = self.session.output::<i32>(name).unwrap();
                    (shape.to_vec(), x.iter().map(|x| f64::from(*x)).collect())
                }
            };
            (name.clone(), value)
        };
        self.outputs.iter().map(read).collect()
    }
}

#[track_caller]
pub fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{found:?}\n{expected:?}");
    for (f, e) in found.iter().zip(expected) {
        assert!(
            f == e || (f - e).abs() <= tolerance,
            "{f} is not {e} +- {tolerance}\n{found:?}\n{expected:?}"
        );
    }
}
