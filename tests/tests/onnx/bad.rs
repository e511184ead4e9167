//! Files that are cut off, damaged, or lie: an error each, never a panic, a read outside, or memory for the lie.

use latentc::import::npz::{npz_from, read_npy, write_npy};
use latentc::import::onnx::proto::*;
use latentc::import::onnx::{Given, ImportError, Model};
use latentc::{Array, DType};
use proptest::prelude::*;
use prost::Message;
use std::io::{Cursor, Write};
use std::path::Path;

fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim = sizes.iter().map(|n| DimensionProto { value: Some(DimensionValue::Value(*n)) }).collect();
    let tensor = TensorTypeProto { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }) }
}

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let list = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
    NodeProto { op_type: op.into(), input: list(input), output: list(output), ..NodeProto::default() }
}

fn weights() -> TensorProto {
    TensorProto {
        name: "w".into(),
        dims: vec![3, 2],
        data_type: 1,
        float_data: vec![1.0, -2.0, 3.0, 0.5, 0.25, 4.0],
        ..TensorProto::default()
    }
}

/// `y = relu(x w)` for `x [2, 3]`.
fn model() -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(GraphProto {
            name: "small".into(),
            node: vec![node("MatMul", &["x", "w"], &["xw"]), node("Relu", &["xw"], &["y"])],
            initializer: vec![weights()],
            input: vec![value("x", &[2, 3])],
            output: vec![value("y", &[2, 2])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn import(m: &ModelProto, folder: Option<&Path>) -> Result<(), ImportError> {
    Model::from_bytes(m.encode_to_vec(), "m.onnx", folder)?.import(&Given::default()).map(|_| ())
}

fn changed(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut m = model();
    change(m.graph.as_mut().unwrap());
    m
}

/// The error of a model, which names the file and holds this.
fn error(m: &ModelProto, expected: &str) {
    let e = import(m, None).unwrap_err().to_string();
    assert!(e.starts_with("m.onnx") && e.contains(expected), "{e:?} does not hold {expected:?}");
}

#[test]
fn the_model_itself_is_right() {
    import(&model(), None).unwrap();
}

#[test]
fn graphs_that_contradict_themselves() {
    error(&changed(|g| g.node[0].input[0] = "y".into()), "nothing before it makes `y`");
    error(&changed(|g| g.node.reverse()), "out of order");
    error(&changed(|g| g.node[1].output[0] = "xw".into()), "`xw` is given twice");
    error(&changed(|g| g.input.push(value("x", &[1]))), "two inputs are named `x`");
    error(&changed(|g| g.output.push(value("y", &[1]))), "two outputs are named `y`");
    error(&changed(|g| g.output[0].name = "z".into()), "`z`");
    error(&changed(|g| g.input[0] = value("x", &[2, 4])), "`matmul`");
    // The line that is at fault, with the types of its operands where these are there.
    error(&changed(|g| g.input[0] = value("x", &[2, 4])), "\n  | xw = MatMul(x: f32[2, 4], w: f32[3, 2])");
    error(&changed(|g| g.node[0].input[0] = "y".into()), "\n  | xw = MatMul(y, w)");
    error(&changed(|g| g.input[0] = value("x", &[-2, 3])), "axis 0 has size -2");
    let mut m = model();
    m.opset_import[0].version = 999;
    error(&m, "operator set 999");
    m.opset_import.clear();
    error(&m, "no operator set");
    m.graph = None;
    error(&m, "no graph");
}

/// Sizes that a model leaves open stay open in an object.
#[test]
fn open_sizes_are_those_of_objects() {
    let mut m = model();
    let graph = m.graph.as_mut().unwrap();
    let open = |v: &mut ValueInfoProto| {
        if let Some(TypeValue::Tensor(t)) = v.r#type.as_mut().and_then(|t| t.value.as_mut())
            && let Some(d) = t.shape.as_mut().and_then(|s| s.dim.first_mut())
        {
            d.value = Some(DimensionValue::Param("batch".into()));
        }
    };
    open(&mut graph.input[0]);
    open(&mut graph.output[0]);
    let model = Model::from_bytes(m.encode_to_vec(), "m.onnx", None).unwrap();
    assert_eq!(model.dims(), ["batch"]);
    let dims = [("batch".to_owned(), (1, 64))].into();
    let imported = model.import(&Given { dims, ..Given::default() }).unwrap();
    assert_eq!(
        imported.text,
        "input x: f32[batch, 3]\nxw = MatMul(x: f32[batch, 3], w: f32[3, 2])\ny = Relu(xw: f32[batch, 2])"
    );
    let loaded = latentc_tests::aot::Loaded::new(&imported.graph, "native").unwrap();
    let weight = imported.store.get("w").unwrap().clone();
    for batch in [1, 5, 64] {
        let x: Vec<f32> = (0..3 * batch).map(|i| (i % 7) as f32 - 3.0).collect();
        let given = [("x", Array::from_slice(&[batch, 3], &x)), ("w", weight.clone())];
        let given = given.map(|(n, a)| (n.to_owned(), latentc_ir::array::Value::Tensor(a)));
        let given: Vec<_> =
            loaded.inputs().iter().map(|n| given.iter().find(|(m, _)| m == n).unwrap().clone()).collect();
        let mut state = loaded.state(&given).unwrap();
        state.run(1).unwrap();
        let w = weight.as_slice::<f32>();
        let expected: Vec<f32> = x
            .chunks(3)
            .flat_map(|r| [0, 1].map(|j| (r[0] * w[j] + r[1] * w[2 + j] + r[2] * w[4 + j]).max(0.0)))
            .collect();
        assert_eq!(state.outputs[0].1.as_slice::<f32>(), expected);
    }
    let mut state = loaded.uninitialised(&[]).unwrap_or_else(|e| panic!("{e}"));
    state.init_own().unwrap();
    state.set("dims.batch", 65);
    assert_eq!(state.run(1).unwrap_err(), "dimension `batch` is 65, outside 1..=64");
}

#[test]
fn everything_unsupported_is_listed_at_once() {
    let m = changed(|g| {
        g.node.insert(0, node("Frobnicate", &["x"], &["a"]));
        g.node.insert(1, node("Defrobnicate", &["a"], &["b"]));
        g.input.push(ValueInfoProto {
            name: "s".into(),
            r#type: Some(TypeProto {
                value: Some(TypeValue::Tensor(TensorTypeProto { elem_type: 8, shape: None })),
            }),
        });
    });
    match import(&m, None) {
        Err(ImportError::Unsupported { list, .. }) => {
            let what: Vec<&str> = list.iter().map(|u| u.what.as_str()).collect();
            assert_eq!(what, ["type STRING", "op Frobnicate", "op Defrobnicate"]);
        }
        other => panic!("{other:?}"),
    }
}

/// A tensor may not promise more than is there: nothing is allocated for what is not.
#[test]
fn tensors_that_lie_about_their_size() {
    let lie = |dims: &[i64]| changed(|g| g.initializer[0].dims = dims.to_vec());
    error(&lie(&[3, 3]), "9 elements, 6 found");
    error(&lie(&[1 << 20, 1 << 19]), "6 found");
    error(&lie(&[1 << 40, 1 << 40]), "more than a tensor may have");
    error(&lie(&[-1, 2]), "sizes are at least 0");
    let raw = changed(|g| {
        g.initializer[0].float_data.clear();
        g.initializer[0].raw_data = Some(vec![0; 23].into());
    });
    error(&raw, "24 bytes, 23 found");
    error(&changed(|g| g.initializer[0].data_type = 99), "element type is 99");
    // A value that would have to be known, and would be huge.
    let grown = changed(|g| {
        for (name, int64_data) in [("one", vec![1]), ("s", vec![1 << 30, 1 << 31])] {
            g.initializer.push(TensorProto {
                name: name.into(),
                dims: vec![int64_data.len() as i64],
                data_type: 7,
                int64_data,
                ..TensorProto::default()
            });
        }
        g.node.push(node("Expand", &["one", "s"], &["big"]));
        g.node.push(node("Reshape", &["y", "big"], &["z"]));
    });
    error(&grown, "larger than a value may be");
}

#[test]
fn data_in_other_files_stay_in_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(outer.path().join("secret"), [0; 24]).unwrap();
    std::fs::write(folder.join("w.bin"), [0; 24]).unwrap();
    let at = |entries: &[(&str, &str)]| {
        changed(|g| {
            let t = &mut g.initializer[0];
            t.float_data.clear();
            t.data_location = 1;
            let entry =
                |(k, v): &(&str, &str)| StringStringEntryProto { key: (*k).into(), value: (*v).into() };
            t.external_data = entries.iter().map(entry).collect();
        })
    };
    import(&at(&[("location", "w.bin")]), Some(&folder)).unwrap();
    import(&at(&[("location", "./w.bin"), ("offset", "0"), ("length", "24")]), Some(&folder)).unwrap();
    let absolute = outer.path().join("secret").display().to_string();
    let mut cases = vec![
        (vec![("location", "../secret")], "not below the folder"),
        (vec![("location", absolute.as_str())], "not below the folder"),
        (vec![("location", "..\\secret")], "not below the folder"),
        (vec![("location", "")], "not below the folder"),
        (vec![], "not named"),
        (vec![("location", "w.bin"), ("offset", "8")], "it takes 24 bytes"),
        (vec![("location", "w.bin"), ("length", "99999999999")], "it takes 24 bytes"),
        (vec![("location", "w.bin"), ("offset", "18446744073709551615")], "it takes 24 bytes"),
        (vec![("location", "w.bin"), ("offset", "-1")], "no number of bytes"),
        (vec![("location", "missing")], "missing"),
    ];
    if cfg!(unix) {
        #[cfg(unix)]
        std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
        cases.push((vec![("location", "link")], "not below the folder"));
    }
    for (entries, expected) in cases {
        let e = import(&at(&entries), Some(&folder)).unwrap_err().to_string();
        assert!(e.contains(expected), "{entries:?}: {e}");
    }
    error(&at(&[("location", "w.bin")]), "not read from a folder");
}

/// A loop without end, and a graph within a graph within a graph.
#[test]
fn loops_and_depth_have_bounds() {
    let body = GraphProto {
        node: vec![node("Identity", &["c"], &["c2"])],
        input: vec![value("i", &[]), value("c", &[])],
        output: vec![value("c2", &[])],
        ..GraphProto::default()
    };
    let mut repeat = node("Loop", &["m", ""], &[]);
    repeat.attribute =
        vec![AttributeProto { name: "body".into(), r#type: 5, g: Some(body), ..Default::default() }];
    let endless = changed(|g| {
        g.initializer.push(TensorProto {
            name: "m".into(),
            data_type: 7,
            int64_data: vec![i64::MAX],
            ..TensorProto::default()
        });
        g.node.push(repeat);
    });
    error(&endless, "steps");
}

fn npz(arrays: &[(&str, Array)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(vec![]));
    for (name, a) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        let mut bytes = vec![];
        write_npy(&mut bytes, a).unwrap();
        archive.write_all(&bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Every element type comes back, with its sizes.
#[test]
fn arrays_come_back() {
    let mut arrays = vec![];
    for dtype in DType::ALL {
        for shape in [&[][..], &[0], &[5], &[2, 3, 1]] {
            let mut a = Array::zeros(dtype, shape);
            for (i, b) in a.as_bytes_mut().iter_mut().enumerate() {
                *b = if dtype == DType::Bool { (i % 2) as u8 } else { (i * 7 + 1) as u8 };
            }
            let mut bytes = vec![];
            write_npy(&mut bytes, &a).unwrap();
            assert_eq!(read_npy(bytes.as_slice(), Some(dtype)).unwrap(), a, "{dtype}{shape:?}");
            arrays.push(a);
        }
    }
    let read =
        npz_from(Cursor::new(npz(&[("a", arrays[2].clone())])), Path::new("a.npz"), &|_| None).unwrap();
    assert_eq!(read["a"], arrays[2]);
}

#[test]
fn arrays_that_lie() {
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0; 8]);
        read_npy(bytes.as_slice(), None).unwrap_err()
    };
    let with = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    assert!(header(&with("<f8", "(1099511627776,)")).contains("fewer found"));
    assert!(header(&with("<f8", "(1099511627776, 1099511627776)")).contains("more than an array may have"));
    assert!(header(&with("<c16", "(1,)")).contains("no element type"));
    assert!(header(&with("<f4", "(1,)")).contains("more found"));
    assert!(header("no dictionary").contains("header"));
    assert!(read_npy(&b"\x93NUMPY\x02\x00\xff\xff\xff\xff"[..], None).unwrap_err().contains("header has"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever the bytes of a model become, reading it gives a model or an error.
    #[test]
    fn damaged_models(cut in 0usize..1000, flips in prop::collection::vec((0usize..4000, 0u8..8), 0..6)) {
        let mut bytes = model().encode_to_vec();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        if cut < bytes.len() {
            bytes.truncate(cut);
        }
        if let Ok(m) = Model::from_bytes(bytes, "m.onnx", None) {
            let _ = m.import(&Given::default());
        }
    }

    /// The same of an archive of arrays.
    #[test]
    fn damaged_archives(cut in 0usize..1200, flips in prop::collection::vec((0usize..4000, 0u8..8), 0..6)) {
        let a = Array::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut bytes = npz(&[("a", a), ("b", Array::scalar(7i64))]);
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        if cut < bytes.len() {
            bytes.truncate(cut);
        }
        let _ = npz_from(Cursor::new(bytes), Path::new("a.npz"), &|_| None);
    }
}
