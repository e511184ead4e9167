//! `latentc run`: a model of another maker on arrays from a file.

use crate::build::{model, model_of};
use crate::harness::Place;
use latentc::Array;
use latentc::import::npz::{read_npz, write_npz};

#[test]
fn a_model_runs_on_arrays() {
    let place = Place::new();
    place.write("m.onnx", model());
    write_npz(place.path("in.npz"), [("x", &Array::from_slice(&[2], &[1.0f32, 2.0]))]).unwrap();
    for device in ["cpu", "interp"] {
        place.run(&format!("run m.onnx --inputs in.npz --outputs {device}.npz --device {device}")).ok();
        let outputs = read_npz(place.path(&format!("{device}.npz")), &|_| None).unwrap();
        assert_eq!(outputs["y"].as_slice::<f32>(), [2.5, 0.0]);
    }
    place.run("run m.onnx --inputs in.npz --dump stages").ok();
    assert!(place.path("stages/g/00-graph.ir").is_file());
    let told = place.run("run m.onnx --inputs in.npz --outputs both.npz --check").ok();
    assert!(told.contains("agree"), "{told}");
    write_npz(place.path("wide.npz"), [("x", &Array::from_slice(&[3], &[1.0f32, 2.0, 3.0]))]).unwrap();
    let e = place.run("run m.onnx --inputs wide.npz --outputs none.npz").error();
    assert!(e.contains("input `x`: it is declared as f32[2], f32[3] was given"), "{e}");
    assert!(!place.path("none.npz").exists());
}

#[test]
fn what_is_not_supported_is_listed_with_a_code_of_its_own() {
    let place = Place::new();
    place.write("m.onnx", model_of("Frobnicate"));
    write_npz(place.path("in.npz"), [("x", &Array::from_slice(&[2], &[1.0f32, 2.0]))]).unwrap();
    let ran = place.run("run m.onnx --inputs in.npz --outputs out.npz");
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("op Frobnicate"), "{}", ran.err);
}
