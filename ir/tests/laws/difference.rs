//! Gradients beside central finite differences, in f64.

use latentc_ir::array::{Array, Value};
use latentc_ir::grad::gradients;
use latentc_ir::graph::{Graph, Operand};
use latentc_ir::interp;

/// Named values of the inputs of a graph.
pub type Inputs = Vec<(String, Value)>;

/// Runs the graph.
pub fn run(graph: &Graph, inputs: &Inputs) -> interp::Evaluation {
    let given = |name: &str| inputs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    interp::run(graph, &given).unwrap_or_else(|e| panic!("{e}"))
}

/// The dense elements of a gradient.
pub fn dense(value: &Value) -> Vec<f64> {
    match value {
        Value::Tensor(a) => a.to_f64(),
        Value::RowSparse { rows, ids, values } => {
            let width: usize = values.shape()[1..].iter().product();
            let mut out = vec![0.0; rows * width];
            for (i, id) in ids.as_slice::<i32>().iter().enumerate() {
                for l in 0..width {
                    out[*id as usize * width + l] += values.get(i * width + l).as_f64();
                }
            }
            out
        }
        Value::Csr(_) => panic!("a pattern is no gradient"),
    }
}

/// Compares the gradient of `loss` with respect to named f64 inputs with finite differences. Gives the
/// gradients; zeros where the loss does not depend on an input.
pub fn check(graph: &Graph, loss: Operand, inputs: &Inputs, wrt: &[&str], tolerance: f64) -> Vec<Value> {
    let mut g = graph.clone();
    let operands: Vec<Operand> =
        wrt.iter().map(|name| Operand::from(g.input(name).expect("an input of this name"))).collect();
    let found = gradients(&mut g, loss, &operands).unwrap_or_else(|d| panic!("{d}"));
    let outputs = found.iter().zip(&operands).map(|(d, x)| d.unwrap_or_else(|| g.fill_like(*x, 0.0)));
    g.outputs = outputs.map(|o| ("d".to_owned(), o)).collect();
    let gradients: Vec<Value> = run(&g, inputs).outputs.into_iter().map(|(_, v)| v).collect();
    let mut forward = graph.clone();
    forward.outputs = vec![("loss".to_owned(), loss)];
    for (name, gradient) in wrt.iter().zip(&gradients) {
        let at = inputs.iter().position(|(n, _)| n == name).expect("a value of this name");
        let Value::Tensor(x) = &inputs[at].1 else { panic!("{name} is no tensor") };
        let gradient = dense(gradient);
        assert_eq!(gradient.len(), x.len(), "elements of the gradient of {name}");
        for (i, found) in gradient.iter().enumerate() {
            let middle = x.get(i).as_f64();
            let h = 1e-5 * (1.0 + middle.abs());
            let mut ends = [0.0; 2];
            for (end, side) in ends.iter_mut().zip([h, -h]) {
                let mut moved = x.to_f64();
                moved[i] += side;
                let mut inputs = inputs.clone();
                inputs[at].1 = Value::Tensor(Array::from_f64(x.dtype(), x.shape(), &moved));
                let Value::Tensor(loss) = &run(&forward, &inputs).outputs[0].1 else { panic!("a loss") };
                *end = loss.get(0).as_f64();
            }
            let expected = (ends[0] - ends[1]) / (2.0 * h);
            assert!(
                (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
                "element {i} of the gradient of {name}: {found}, finite differences give {expected}, in\n{}",
                ops_of(graph)
            );
        }
    }
    gradients
}

fn ops_of(graph: &Graph) -> String {
    let nodes = graph.topological().into_iter();
    nodes.map(|n| format!("  {:?}\n", graph.node(n).op)).collect()
}
