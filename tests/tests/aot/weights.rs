//! Values of parameters from the object, and from safetensors files.

use latentc_backends::aot::Weights;
use latentc_ir::array::{Array, Value};
use latentc_ir::graph::Graph;
use latentc_ir::graph::parse::parse;
use latentc_tests::aot::{Loaded, State};

/// A product with a weight that runs read, and a count that they update.
const PROGRAM: &str = "graph g {
    dim n: 1..=8
    data x: f32[n, 2]
    param \"layer.w\": f32[2, 3]
    state steps: i64[]
    %0 = matmul(x, \"layer.w\") {transpose = [0, 0]} : f32[n, 3]
    %1 = add(steps, steps) : i64[]
    output y = %0
    update steps = %1
}";

fn graph() -> Graph {
    parse("g", PROGRAM).unwrap_or_else(|d| panic!("{d}"))
}

fn w() -> Array {
    Array::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])
}

/// What the caller has: the inputs, and memory for what is kept.
fn values(w: Array) -> Vec<(String, Value)> {
    let x = Array::from_slice(&[1, 2], &[1.0f32, 10.0]);
    [("x", x), ("layer.w", w), ("steps", Array::scalar(0i64))]
        .map(|(name, a)| (name.to_owned(), Value::Tensor(a)))
        .to_vec()
}

fn works(state: &mut State) {
    state.run(1).unwrap();
    let (outputs, kept) = state.results();
    let Value::Tensor(y) = &outputs[0].1 else { panic!("y is a tensor") };
    assert_eq!(y.to_f64(), [41.0, 52.0, 63.0]);
    let Value::Tensor(steps) = &kept[1].1 else { panic!("steps is a tensor") };
    assert_eq!(steps.as_slice::<i64>(), [14]);
}

#[test]
fn values_in_the_object() {
    let given = vec![("layer.w".to_owned(), w()), ("steps".to_owned(), Array::scalar(7i64))];
    let loaded = Loaded::with(&graph(), "native", Weights::Embedded(given.clone())).unwrap();
    let mut state = loaded.state(&values(Array::zeros(w().dtype(), &[2, 3]))).unwrap();
    state.set("params.layer_w", 0);
    state.weights(None).unwrap();
    works(&mut state);

    let missing = Loaded::with(&graph(), "native", Weights::Embedded(given[..1].to_vec())).err().unwrap();
    assert_eq!(
        missing,
        "program `g`: weight `steps`: it is to be embedded (i64[]) and there is no value for it"
    );
    let wrong = vec![("layer.w".to_owned(), Array::from_slice(&[6], &[0.0f32; 6])), given[1].clone()];
    let wrong = Loaded::with(&graph(), "native", Weights::Embedded(wrong)).err().unwrap();
    assert_eq!(wrong, "program `g`: weight `layer.w`: its value is f32[6], expected f32[2, 3]");
}

/// A file with this header and these data; the header is padded so that they are aligned.
fn file(header: &str, data: &[u8]) -> Vec<u64> {
    let header = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.chunks(8).map(|c| u64::from_ne_bytes(c.try_into().unwrap())).collect()
}

/// The values as a file has them, the count first.
fn data() -> Vec<u8> {
    let mut data = 7i64.to_le_bytes().to_vec();
    data.extend(w().as_bytes());
    data
}

const HEADER: &str = r#"{"__metadata__": {"a \"b\" {": "}\\"}, "layer.w":{"dtype":"F32","shape":[2, 3],"data_offsets":[8,32]},
    "other": {"dtype":"F32","shape":[],"data_offsets":[0,4]},"steps":{"shape":[],"data_offsets" : [0,8],"dtype":"I64"}}"#;

fn external() -> Loaded {
    Loaded::with(&graph(), "native", Weights::External).unwrap()
}

fn taken(loaded: &Loaded, file: &[u64], bytes: usize) -> Result<(), String> {
    let mut state = loaded.state(&values(Array::zeros(w().dtype(), &[2, 3]))).unwrap();
    // Nothing else points to a value that runs only read.
    state.set("params.layer_w", 0);
    state.weights(Some((file, bytes)))?;
    works(&mut state);
    Ok(())
}

#[test]
fn values_in_a_file() {
    let loaded = external();
    let file = file(HEADER, &data());
    taken(&loaded, &file, file.len() * 8).unwrap();
}

#[test]
fn without_weights_a_run_is_refused() {
    let loaded = external();
    let mut state = loaded.state(&values(w())).unwrap();
    state.set("params.layer_w", 0);
    assert_eq!(state.run(1).unwrap_err(), "parameter `layer.w` is a null pointer; 6 elements are needed");
}

#[test]
fn what_does_not_fit_is_named() {
    let loaded = external();
    let cases = [
        (r#""layer.w""#, r#""layer.v""#, "parameter `layer.w` is not in the weights"),
        (
            r#""F32","shape":[2"#,
            r#""F16","shape":[2"#,
            "parameter `layer.w` has another element type in the weights",
        ),
        ("[2, 3]", "[2,3 , 1]", "parameter `layer.w` has 3 sizes in the weights, expected 2"),
        ("[2, 3]", "[6]", "parameter `layer.w`: size 0 is 6 in the weights, expected 2"),
        ("[2, 3]", "[2, 4]", "parameter `layer.w`: size 1 is 4 in the weights, expected 3"),
        ("[8,32]", "[8,28]", "parameter `layer.w` has 20 bytes in the weights, expected 24"),
        ("[0,8]", "[0,4]", "state `steps` has 4 bytes in the weights, expected 8"),
    ];
    for (from, to, expected) in cases {
        let file = file(&HEADER.replacen(from, to, 1), &data());
        assert_eq!(taken(&loaded, &file, file.len() * 8).unwrap_err(), expected);
    }
}

#[test]
fn broken_files_are_refused() {
    let loaded = external();
    for (from, to) in [
        ("[8,32]", "[8,320]"),
        ("[8,32]", "[32,8]"),
        ("[8,32]", "[8,99999999999999999999]"),
        ("[8,32]", "[8]"),
        ("[8,32]", "8"),
        ("[2, 3]", "[2, -3]"),
        ("[2, 3]", "[2, x]"),
        (r#""dtype":"F32","shape":[2"#, r#""shape":[2"#),
    ] {
        let file = file(&HEADER.replacen(from, to, 1), &data());
        let text = taken(&loaded, &file, file.len() * 8).unwrap_err();
        assert!(text.starts_with("parameter `layer.w`: the weights are no safetensors file"), "{to}: {text}");
    }
    // Cut off anywhere, also within the header, and of wrong lengths.
    let whole = file(HEADER, &data());
    for bytes in (0..whole.len() * 8 - 1).step_by(3) {
        assert!(taken(&loaded, &whole, bytes).is_err(), "{bytes} bytes");
    }
    for length in [0, 1, 7, HEADER.len() as u64 * 2, u64::MAX, i64::MAX as u64, i64::MAX as u64 - 8] {
        let mut wrong = whole.clone();
        wrong[0] = length;
        let text = taken(&loaded, &wrong, wrong.len() * 8).unwrap_err();
        assert!(text.starts_with("program `g`: the weights are no safetensors file"), "{length}: {text}");
    }
    for text in ["", "[]", "{", "{}", "nothing", "{\"layer.w\"}", "{\"layer.w\":", "\"", "{\"a\\\""] {
        let file = file(text, &data());
        assert!(taken(&loaded, &file, file.len() * 8).is_err(), "{text}");
    }
}

#[test]
fn data_that_is_not_aligned_is_refused() {
    let loaded = external();
    let header = HEADER.replace("[8,32]", "[7,31]");
    let file = file(&header, &data());
    let text = taken(&loaded, &file, file.len() * 8).unwrap_err();
    assert!(text.starts_with("parameter `layer.w`: the address"), "{text}");
    assert!(text.ends_with("is no multiple of 4"), "{text}");
}
