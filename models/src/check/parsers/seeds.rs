//! Whole files of every kind.

use crate::common::config::Sources;
use crate::common::data::{Interactions, encode};
use crate::common::run::{Checkpoint, Meta, NamedTensor, Progress, Values};
use crate::systems::SYSTEMS;
use latentc::Array;
use latentc::import::npz::{write_npy, write_npz};
use latentc::import::onnx::proto::*;
use latentc::testing::proptest::strategy::{Strategy, ValueTree};
use latentc::testing::proptest::test_runner::{Config, TestRunner};
use latentc::testing::{GraphOptions, How, graphs, random_schedules, rng};
use std::io::{self, Error};
use std::path::Path;

/// The folder of the model that has its weights in another file.
pub(super) const INSIDE: &str = "model";

/// What lies outside of that folder.
pub(super) const SECRET: &[u8] = b"latentc: outside of the folder!!";

fn other(e: impl ToString) -> Error {
    Error::other(e.to_string())
}

/// Random programs, which hold every op.
fn programs(count: u64) -> impl Iterator<Item = latentc::testing::RandomGraph> {
    (0..count).filter_map(|case| {
        let mut runner = TestRunner::new_with_rng(Config::default(), rng(0, case));
        Some(graphs(GraphOptions::default()).new_tree(&mut runner).ok()?.current())
    })
}

pub(super) fn graphs_text() -> Vec<String> {
    programs(24).map(|p| p.graph.to_string()).collect()
}

pub(super) fn graphs_bytes() -> io::Result<Vec<Vec<u8>>> {
    Ok(graphs_text().into_iter().map(String::into_bytes).collect())
}

pub(super) fn kernels() -> io::Result<Vec<Vec<u8>>> {
    let mut all = vec![];
    for p in programs(16) {
        let program = How::usual().plan(&p.graph).map_err(other)?;
        all.extend(program.kernels.iter().map(|k| k.to_string().into_bytes()));
    }
    Ok(all)
}

pub(super) fn schedules() -> io::Result<Vec<Vec<u8>>> {
    let mut all = vec![];
    for (seed, p) in programs(16).enumerate() {
        let program = How::usual().plan(&p.graph).map_err(other)?;
        let named: Vec<_> = program.kernels.iter().map(|k| k.name.clone()).zip(program.schedules).collect();
        all.push(random_schedules(&named, seed as u64).to_string().into_bytes());
    }
    Ok(all)
}

fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim = sizes.iter().map(|n| DimensionProto { value: Some(DimensionValue::Value(*n)) }).collect();
    let tensor = TensorTypeProto { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }) }
}

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let list = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
    NodeProto { op_type: op.into(), input: list(input), output: list(output), ..NodeProto::default() }
}

/// `y = relu(x w)` for `x [2, 3]`, its weights in it as numbers, as bytes and in another file; and one with a branch.
pub(super) fn models(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let inside = folder.join(INSIDE);
    std::fs::create_dir_all(&inside)?;
    std::fs::write(inside.join("w.bin"), [0; 24])?;
    std::fs::write(folder.join("secret"), SECRET)?;
    #[cfg(unix)]
    if !inside.join("link").exists() {
        std::os::unix::fs::symlink(folder.join("secret"), inside.join("link"))?;
    }
    let secret = folder.join("secret").display().to_string();
    let weights = TensorProto { name: "w".into(), dims: vec![3, 2], data_type: 1, ..TensorProto::default() };
    let located = |location: &str| TensorProto {
        data_location: 1,
        external_data: vec![
            StringStringEntryProto { key: "location".into(), value: location.into() },
            StringStringEntryProto { key: "offset".into(), value: "0".into() },
            StringStringEntryProto { key: "length".into(), value: "24".into() },
        ],
        ..weights.clone()
    };
    let mut all = vec![
        TensorProto { float_data: vec![1.0, -2.0, 3.0, 0.5, 0.25, 4.0], ..weights.clone() },
        TensorProto { raw_data: Some(vec![0; 24].into()), ..weights.clone() },
    ];
    let places =
        ["w.bin", "./w.bin", "../secret", "link", "../model/../secret", "..\\secret", "./../secret", &secret];
    all.extend(places.map(located));
    let files = all.into_iter().map(|weights| ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(GraphProto {
            name: "small".into(),
            node: vec![
                node("MatMul", &["x", "w"], &["xw"]),
                node("Relu", &["xw"], &["y"]),
                node("Concat", &["y", "y"], &["z"]),
                node("Transpose", &["z"], &["t"]),
            ],
            initializer: vec![weights],
            input: vec![value("x", &[2, 3])],
            output: vec![value("y", &[2, 2]), value("t", &[])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    });
    let with_axis = |mut m: ModelProto| {
        if let Some(concat) = m.graph.as_mut().and_then(|g| g.node.get_mut(2)) {
            concat.attribute =
                vec![AttributeProto { name: "axis".into(), r#type: 2, i: 1, ..AttributeProto::default() }];
        }
        m.to_bytes()
    };
    Ok(files.map(with_axis).collect())
}

fn arrays() -> Vec<Array> {
    vec![
        Array::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]),
        Array::from_slice(&[0, 4], &[0i64; 0]),
        Array::scalar(7i64),
        Array::from_slice(&[5], &[1u8, 2, 3, 4, 5]),
    ]
}

pub(super) fn npy() -> io::Result<Vec<Vec<u8>>> {
    let bytes = |a: &Array| {
        let mut bytes = vec![];
        write_npy(&mut bytes, a).map(|()| bytes)
    };
    arrays().iter().map(bytes).collect()
}

pub(super) fn npz(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let (path, arrays) = (folder.join("a.npz"), arrays());
    write_npz(&path, ["a", "b", "c", "d"].into_iter().zip(&arrays)).map_err(other)?;
    Ok(vec![std::fs::read(&path)?])
}

pub(super) fn checkpoints(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let path = folder.join("c.safetensors");
    let meta = Meta {
        system: "lightgcn".into(),
        config: "epochs = 3\n".into(),
        data: "gowalla".into(),
        sizes: [2, 3],
        fingerprint: "2 x 3".into(),
        progress: Progress::default(),
        quick: false,
    };
    let tensors = vec![
        NamedTensor::new("nodes", &[2, 3], Values::F32(vec![0.5; 6])),
        NamedTensor::new("adam.step", &[], Values::I64(vec![7])),
    ];
    Checkpoint { meta, tensors }.save(&path).map_err(other)?;
    Ok(vec![std::fs::read(&path)?])
}

pub(super) fn packed() -> io::Result<Vec<Vec<u8>>> {
    let data = Interactions::from_lists(
        "small",
        3,
        400,
        &[vec![0, 1, 300], vec![5], vec![2, 399]],
        &[vec![7], vec![], vec![9]],
    );
    Ok(vec![encode(&data.map_err(other)?).map_err(other)?])
}

pub(super) fn interactions() -> io::Result<Vec<Vec<u8>>> {
    Ok(vec![b"0 1 2 3\n1 4\n2\n\n3 7 7 9\n".to_vec(), b"1 5 30\n1 6 2\n2 7 1\n".to_vec()])
}

pub(super) fn configurations() -> io::Result<Vec<Vec<u8>>> {
    let text = |s: &crate::systems::System| (s.configure)(&Sources::default()).map(|c| c.toml.into_bytes());
    SYSTEMS.iter().map(text).collect::<Result<_, _>>().map_err(other)
}
