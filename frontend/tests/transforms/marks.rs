//! Gradients that are not those of what is computed.

use super::{outputs, some};
use crate::common::close;
use latentc::prelude::*;

#[test]
fn marks_say_what_the_gradient_is() {
    let program = program("marks", |g| {
        let x = g.input("x", DType::F32, [6]);
        let target = x.exp().stop_gradient();
        g.output("stopped", g.grad((x * target).sum_all(), x) - x.exp());
        let rounded = (x * 3.0).round().straight_through(x.sin());
        g.output("rounded", rounded - (x * 3.0).round());
        g.output("through", g.grad(rounded.sum_all(), x) - x.cos());
        let clipped = g.custom_vjp(x, |x| x.square(), |x, y, dy| (dy * x + y).clamp(-0.25, 0.25));
        g.output("clipped", g.grad((clipped * 2.0).sum_all(), x) - (x * 2.0 + x.square()).clamp(-0.25, 0.25));
    })
    .unwrap();
    for of in outputs(&program, &[("x", some(&[6], 1))]) {
        assert_eq!(of["rounded"].1, [0.0; 6]);
        for name in ["stopped", "through", "clipped"] {
            close(&of[name].1, &[0.0; 6], 1e-6);
        }
    }
}

/// A gradient by hand of a function of several inputs, one of them a parameter, in a training step.
#[test]
fn parameters_learn_by_a_gradient_by_hand() {
    let build = |by_hand: bool| {
        program("by_hand", |g| {
            let x = g.input("x", DType::F32, [5, 3]);
            let w = g.params().tensor("w", [3, 2], init::normal(0.5)).get(g);
            let y = if by_hand {
                g.custom_vjp(
                    [x, w],
                    |[x, w]| x.matmul(w),
                    |[x, w], _, dy| [dy.matmul(w.t()), x.t().matmul(dy)],
                )
            } else {
                x.matmul(w)
            };
            let loss = y.tanh().square().mean_all();
            g.minimise(loss, Sgd::new(0.5));
            g.output("loss", loss);
            g.output("dw", g.grad(loss, w));
        })
        .unwrap()
    };
    let (plain, by_hand) = (build(false), build(true));
    assert_eq!(plain.graph().inputs().len(), by_hand.graph().inputs().len());
    let given = [("x", some(&[5, 3], 1))];
    for (p, h) in outputs(&plain, &given).iter().zip(outputs(&by_hand, &given)) {
        close(&p["dw"].1, &h["dw"].1, 1e-6);
    }
}

#[test]
fn a_gradient_of_another_type_is_an_error_with_both_lines() {
    let errors = program("wrong", |g| {
        let x = g.input("x", DType::F32, [6]);
        let y = g.custom_vjp(x, |x| x.exp(), |_, _, dy| dy.sum_all());
        g.output("y", y);
    })
    .unwrap_err();
    let [diag] = errors.diags() else { panic!("{errors}") };
    assert_eq!(diag.message, "input 0 of a function is f32[6], its gradient by hand f32[]");
    let lines: Vec<u32> = diag.labels.iter().map(|(span, _)| span.line).collect();
    assert_eq!(lines, [lines[0], lines[0] - 1, lines[0]], "the gradient, the input, the function");
}
