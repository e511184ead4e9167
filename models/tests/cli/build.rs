//! `latentc build`: from systems, text and ONNX models, and what it says of bad input.

use crate::harness::Place;
use serde_json::Value;

const PROGRAM: &str = "\
graph small {
  dim n: 1..=8
  data x: f32[n, 3]
  param w: f32[3, 2]
  %0 = matmul(x, w) {transpose = [0, 0]} : f32[n, 2]
  output y = %0
}
";

fn place() -> Place {
    let place = Place::new();
    place.write("small.ir", PROGRAM);
    place
}

#[test]
fn text_becomes_a_library() {
    let place = place();
    let words = "build small.ir --out lib --cpu x86-64-v2,x86-64-v3 --target x86_64-linux --emit obj,staticlib,header,rust,asm,llvm-ir";
    let shown = place.run(&format!("{words} --report")).ok();
    for file in ["small.o", "libsmall.a", "small.h", "small.rs", "small.s", "small.ll"] {
        assert!(shown.contains(&format!("lib/{file}")), "{file}: {shown}");
        assert!(place.path(&format!("lib/{file}")).is_file(), "{file}");
    }
    assert!(shown.contains("x86-64-v2: kernels") && shown.contains("x86-64-v3: kernels"), "{shown}");
    let record: Value = serde_json::from_str(&place.run(&format!("{words} --json")).ok()).unwrap();
    assert_eq!((&record["event"], &record["target"]), (&"library".into(), &"x86_64-linux".into()));
    let program = &record["programs"][0];
    assert_eq!(program["name"], "small");
    assert!(program["object_bytes"].as_u64().unwrap() > 1000);
    assert!(program["kernels"].as_array().unwrap().iter().all(|k| k["bytes"].as_u64().unwrap() > 0));
}

#[test]
fn a_system_becomes_one_library_of_its_programs() {
    let place = place();
    place.run("build lightgcn --data data --set dim=8 --name mine --out lib --emit staticlib,header").ok();
    let header = std::fs::read_to_string(place.path("lib/mine.h")).unwrap();
    for name in ["mine_step_run", "mine_embed_run", "mine_rank_run"] {
        assert!(header.contains(name), "{name}");
    }
    place.run("build lightgcn --data data --set dim=8 --program embed --out one --emit header").ok();
    let header = std::fs::read_to_string(place.path("one/lightgcn.h")).unwrap();
    assert!(header.contains("lightgcn_embed_run") && !header.contains("lightgcn_step_run"));
}

/// Protocol buffers: a message or text, and a number.
fn message(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    if bytes.len() > 127 {
        out.push(bytes.len() as u8 & 127 | 128);
    }
    out.push(if bytes.len() > 127 { (bytes.len() >> 7) as u8 } else { bytes.len() as u8 });
    out.extend(bytes);
    out
}

fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// `y = x + w` of two floats.
pub fn model() -> Vec<u8> {
    model_of("Add")
}

/// The same with another op between `x` and `w`.
pub fn model_of(op: &str) -> Vec<u8> {
    model_with(op, &[number(1, 2)])
}

/// The same for `x` and `y` of these sizes.
fn model_with(op: &str, sizes: &[Vec<u8>]) -> Vec<u8> {
    let value = |name: &str| {
        let shape: Vec<u8> = sizes.iter().flat_map(|size| message(1, size)).collect();
        let ty = [number(1, 1), message(2, &shape)].concat();
        [message(1, name.as_bytes()), message(2, &message(1, &ty))].concat()
    };
    let node = [message(1, b"x"), message(1, b"w"), message(2, b"y"), message(4, op.as_bytes())].concat();
    let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let weight = [number(1, 2), number(2, 1), message(8, b"w"), message(9, &data)].concat();
    let graph = [message(1, &node), message(2, b"g"), message(5, &weight), message(11, &value("x"))].concat();
    let graph = [graph, message(12, &value("y"))].concat();
    [number(1, 8), message(7, &graph), message(8, &[message(1, b""), number(2, 13)].concat())].concat()
}

#[test]
fn an_onnx_model_brings_its_weights_along() {
    let place = place();
    std::fs::write(place.path("model.onnx"), model()).unwrap();
    place.run("build model.onnx --out lib --emit obj,header").ok();
    let header = std::fs::read_to_string(place.path("lib/model.h")).unwrap();
    assert!(header.contains("model_run") && header.contains("null for the value in the object"), "{header}");
    let object = std::fs::read(place.path("lib/model.o")).unwrap();
    let weights: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert!(object.windows(8).any(|w| w == weights));
    place.run("build model.onnx --out own --emit header --weights caller").ok();
    let header = std::fs::read_to_string(place.path("own/model.h")).unwrap();
    assert!(!header.contains("null for the value in the object"));
}

#[test]
fn sizes_that_a_model_leaves_open_have_ranges() {
    let place = place();
    place.write("open.onnx", model_with("Add", &[message(2, b"batch"), number(1, 2)]));
    place.run("build open.onnx --dim batch=1..64 --out lib --emit header").ok();
    let header = std::fs::read_to_string(place.path("lib/open.h")).unwrap();
    assert!(header.contains("int64_t batch; /* 1..=64 */"), "{header}");
    assert!(header.contains("const float *x; /* f32[batch, 2] */"), "{header}");
    place.run("build open.onnx --dim batch=8 --out one --emit header").ok();
    let header = std::fs::read_to_string(place.path("one/open.h")).unwrap();
    assert!(header.contains("the program has no sizes that vary"), "{header}");
    for (words, expected) in [
        ("open.onnx --dim rows=1..2", "--dim rows: open.onnx has no such size; there are: batch"),
        ("small.ir --dim n=1..2", "--dim is for ONNX models; the sizes of small.ir have ranges of their own"),
        ("lightgcn --dim batch=1..2", "--dim is for ONNX models; the sizes of lightgcn have ranges"),
    ] {
        let error = place.run(&format!("build {words} --out lib")).error();
        assert!(error.contains(expected), "{words}: {error}");
    }
}

/// Every error that is about a line of a program shows it.
#[test]
fn errors_show_the_lines_that_they_are_about() {
    let place = place();
    place.write("wrong.onnx", model_with("Add", &[number(1, 3)]));
    place.write("bad.ir", PROGRAM.replace("f32[3, 2]", "f32[4, 2]"));
    place.write(
        "large.ir",
        "graph large {
  dim n: 1..=4611686018427387904
  data x: f32[n]
  output y = x
}
",
    );
    place.write("single.ir", PROGRAM);
    let weights: &[(&str, &str)] = &[
        ("build wrong.onnx", "  | y = Add(x: f32[3], w: f32[2])"),
        ("build bad.ir", "%0 = matmul(x, w)"),
        ("build large.ir", "data x: f32[n]"),
        ("explain bad.ir", "param w: f32[4, 2]"),
    ];
    for (words, line) in weights {
        let ran = place.run(&format!("{words} --out lib"));
        assert_eq!(ran.code, Some(1), "{words}");
        assert!(ran.err.contains(line), "{words}: {}", ran.err);
        assert_eq!(ran.err.lines().filter(|l| l.starts_with("error: ")).count(), 1, "{words}: {}", ran.err);
    }
}

#[test]
fn what_cannot_be_built_ends_in_one_message() {
    let place = place();
    for (words, expected) in [
        (
            "small.ir --emit ptx",
            "PTX cannot be made: there is no code generator for GPUs yet; leave it out of --emit",
        ),
        (
            "small.ir --emit exe",
            "no output `exe`; there are obj, staticlib, sharedlib, header, rust, llvm-ir, asm",
        ),
        ("small.ir --target z80", "no target `z80`; there are x86_64-linux, aarch64-linux"),
        (
            "small.ir --target aarch64-linux --cpu x86-64-v4",
            "no instruction set `x86-64-v4` for aarch64-linux",
        ),
        ("small.ir --name 7up", "`7up` cannot name a library: it must begin with a letter"),
        ("small.ir --weights embedded", "--weights embedded needs their values: give --values"),
        (
            "small.ir --program step",
            "--program is for systems; small.ir is a program by itself: leave it out",
        ),
        ("small.ir --values none.safetensors", "none.safetensors"),
        ("small.ir --ids users=clamp", "--ids users: no program that is built has an input of that name"),
        ("small.ir --ids x=clamp", "`x` is to clamp row numbers, but it is no data input used as such"),
        ("nothing.ir", "nothing.ir: cannot be read"),
    ] {
        let error = place.run(&format!("build {words} --out lib")).error();
        assert!(error.contains(expected), "{words}: {error}");
    }
}
