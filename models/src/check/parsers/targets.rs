//! The readers of files.

use super::seeds;
use crate::common::config::Sources;
use crate::common::data::{Declared, decode, load_lastfm, load_ngcf, reseal};
use crate::common::run::Checkpoint;
use crate::systems::SYSTEMS;
use latentc::import::npz::{npz_from, read_npy};
use latentc::import::onnx::{Given, Model};
use latentc::testing::parse_kernels;
use latentc::{DType, Schedules, read_graph};
use std::io::{self, Cursor};
use std::path::Path;

/// A reader of a kind of files.
pub struct Target {
    /// What it reads.
    pub name: &'static str,
    /// Whole files, from which damaged ones are made; the folder is for files that they refer to.
    pub seeds: fn(&Path) -> io::Result<Vec<Vec<u8>>>,
    /// Whether they are text.
    pub text: bool,
    /// Makes the checksum of a damaged file right now and then, so that what lies behind it is read.
    pub seal: fn(Vec<u8>) -> Vec<u8>,
    /// Reads one: whether it was taken. An error is a value that should not have come out.
    pub read: fn(&[u8], &Path) -> Result<bool, String>,
    /// The most memory that one may take, in bytes.
    pub memory: usize,
}

/// What a reader of small files may take.
const MEMORY: usize = 64 << 20;

/// All readers.
pub const TARGETS: &[Target] = &[
    Target {
        name: "graphs",
        seeds: |_| seeds::graphs_bytes(),
        text: true,
        seal: |b| b,
        read: |bytes, _| Ok(read_graph("g.ir", text(bytes)?).is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "kernels",
        seeds: |_| seeds::kernels(),
        text: true,
        seal: |b| b,
        read: |bytes, _| Ok(parse_kernels("k.nest", text(bytes)?).is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "schedules",
        seeds: |_| seeds::schedules(),
        text: true,
        seal: |b| b,
        read: |bytes, _| Ok(text(bytes)?.parse::<Schedules>().is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "ONNX models",
        seeds: seeds::models,
        text: false,
        seal: |b| b,
        read: model,
        memory: MEMORY,
    },
    Target {
        name: "npy arrays",
        seeds: |_| seeds::npy(),
        text: false,
        seal: |b| b,
        read: |bytes, _| Ok(read_npy(bytes, Some(DType::F32)).is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "npz archives",
        seeds: seeds::npz,
        text: false,
        seal: |b| b,
        read: |bytes, _| Ok(npz_from(Cursor::new(bytes), Path::new("a.npz"), &|_| None).is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "checkpoints (safetensors)",
        seeds: seeds::checkpoints,
        text: false,
        seal: |b| b,
        read: |bytes, _| Ok(Checkpoint::read(Path::new("c.safetensors"), bytes).is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "packed data",
        seeds: |_| seeds::packed(),
        text: false,
        seal: |b| if b.len() % 2 == 0 { reseal(&b).unwrap_or(b) } else { b },
        read: |bytes, _| Ok(decode("d.lcd", bytes).is_ok()),
        memory: MEMORY,
    },
    Target {
        name: "interactions as text",
        seeds: |_| seeds::interactions(),
        text: true,
        seal: |b| b,
        read: interactions,
        // A table for each of 2^26 users is what the format allows.
        memory: 2 << 30,
    },
    Target {
        name: "configurations",
        seeds: |_| seeds::configurations(),
        text: true,
        seal: |b| b,
        read: |bytes, _| {
            let text = text(bytes)?;
            Ok(SYSTEMS.iter().all(|s| (s.configure)(&Sources::default().text("c.toml", text)).is_ok()))
        },
        memory: MEMORY,
    },
];

/// What a program reads as text has been found to be UTF-8; a file that is not is refused before.
fn text(bytes: &[u8]) -> Result<&str, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(e) => Ok(std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default()),
    }
}

/// Imports a model; what it reads from other files must be what lies in its folder.
fn model(bytes: &[u8], folder: &Path) -> Result<bool, String> {
    let inside = folder.join(seeds::INSIDE);
    let read = Model::from_bytes(bytes.to_vec(), "m.onnx", Some(&inside));
    let Ok(imported) = read.and_then(|model| model.import(&Given::default())) else { return Ok(false) };
    for (name, array) in imported.store.iter() {
        let found = array.as_bytes().windows(seeds::SECRET.len()).any(|w| w == seeds::SECRET);
        if found {
            return Err(format!("`{name}` holds what lies outside of the model's folder"));
        }
    }
    Ok(true)
}

fn interactions(bytes: &[u8], folder: &Path) -> Result<bool, String> {
    let [train, test] = ["train.txt", "test.txt"].map(|name| folder.join(name));
    std::fs::write(&train, bytes).map_err(|e| e.to_string())?;
    std::fs::write(&test, b"0 9\n1 8\n").map_err(|e| e.to_string())?;
    let lists = load_ngcf("d", &train, &test, Declared::default()).is_ok();
    Ok(load_lastfm("d", &train, &test, Declared::default()).is_ok() || lists)
}
