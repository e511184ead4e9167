//! Derivatives of derivatives.

use super::{outputs, some};
use crate::common::close;
use latentc::prelude::*;
use latentc::{Attention, Window};

/// A network of an input and weights.
type Net = for<'g> fn(Tensor<'g>, &[Tensor<'g>]) -> Tensor<'g>;

/// The length of a network's gradient, squared: what a gradient penalty is made of.
fn penalty<'g>(g: &'g Scope, net: Net, x: Tensor<'g>, w: &[Tensor<'g>]) -> Tensor<'g> {
    g.grad(net(x, w).sum_all(), x).square().sum_all()
}

/// The slope of a penalty along a vector, beside differences.
fn penalised(name: &str, shape: &[usize], weights: &[&[usize]], net: Net) {
    const H: f64 = 1e-2;
    let names = ["x", "v", "w0", "w1"];
    let shapes = [&[shape, shape], weights].concat();
    let program = program(name, |g| {
        let all: Vec<Tensor<'_>> =
            names.iter().zip(&shapes).map(|(n, s)| g.input(n, DType::F32, *s)).collect();
        let (x, v, w) = (all[0], all[1], &all[2..]);
        g.output("along", (g.grad(penalty(g, net, x, w), x) * v).sum_all());
        let ends = [H, -H].map(|h| penalty(g, net, x + v * h, w));
        g.output("difference", (ends[0] - ends[1]) / (2.0 * H));
    })
    .unwrap();
    let given: Vec<_> =
        names.iter().zip(&shapes).enumerate().map(|(i, (n, s))| (*n, some(s, i + 1))).collect();
    for of in outputs(&program, &given) {
        let (found, expected) = (of["along"].1[0], of["difference"].1[0]);
        let near = (found - expected).abs() <= 1e-2 * (1.0 + expected.abs());
        assert!(near && found.abs() > 1e-3, "{name}: {found}, differences give {expected}");
    }
}

#[test]
fn convolutions_and_norms_have_second_derivatives() {
    penalised("conv", &[2, 2, 5, 5], &[&[3, 2, 3, 3]], |x, w| x.conv(w[0], &Window::new([3, 3]), 1).tanh());
    penalised("layer_norm", &[3, 8], &[&[8, 4]], |x, w| x.layer_norm(1, 1e-1).matmul(w[0]).sin());
    penalised("group_norm", &[2, 4, 3, 3], &[&[4], &[4]], |x, w| x.group_norm(2, w[0], w[1], 1e-1).square());
    penalised("attention", &[2, 4, 6], &[], |x, _| x.attention(x, x, Attention::default()).tanh());
}

/// `loss = sum((A x)^4) / 12` has the Hessian `A^T diag((A x)^2) A`.
#[test]
fn a_hessian_times_a_vector() {
    let program = program("hvp", |g| {
        let (a, x, v) =
            (g.input("a", DType::F32, [5, 3]), g.input("x", DType::F32, [3]), g.input("v", DType::F32, [3]));
        let ax = (a * x).sum(1);
        g.output("found", g.hvp(ax.square().square().sum_all() / 12.0, x, v));
        g.output("forward", g.jvp(g.grad(ax.square().square().sum_all() / 12.0, x), x, v));
        let weighted = ax.square() * (a * v).sum(1);
        g.output("expected", (a * weighted.unsqueeze(1)).sum(0));
    })
    .unwrap();
    let given = [("a", some(&[5, 3], 1)), ("x", some(&[3], 2)), ("v", some(&[3], 3))];
    for of in outputs(&program, &given) {
        close(&of["found"].1, &of["expected"].1, 1e-5);
        close(&of["forward"].1, &of["expected"].1, 1e-5);
    }
}

/// A step of gradient descent within the loss, and the derivative through it: for `inner = (w - x)^2 / 2` the step is
/// `w - r (w - x)`, so of `outer = (step - t)^2` the slope by `r` is `-2 (step - t) (w - x)`.
#[test]
fn a_gradient_through_a_step_of_descent() {
    let program = program("hyper", |g| {
        let [w, x, t] = ["w", "x", "t"].map(|n| g.input(n, DType::F32, [4]));
        let rate = g.params().tensor("rate", [], init::constant(0.25)).get(g);
        let inner = (w - x).square().sum_all() / 2.0;
        let step = w - rate * g.grad(inner, w);
        let outer = (step - t).square().sum_all();
        g.output("found", g.grad(outer, rate));
        g.output("expected", ((step - t) * (w - x) * -2.0).sum_all());
        g.minimise(outer, Sgd::new(0.1));
    })
    .unwrap();
    let given = [("w", some(&[4], 1)), ("x", some(&[4], 2)), ("t", some(&[4], 3))];
    for of in outputs(&program, &given) {
        close(&of["found"].1, &of["expected"].1, 1e-5);
        assert!(of["found"].1[0].abs() > 0.01);
    }
}

/// What a loss does not depend on has zeros.
#[test]
fn pullbacks_and_what_is_independent() {
    let program = program("vjp", |g| {
        let [x, y, c] = ["x", "y", "c"].map(|n| g.input(n, DType::F32, [3]));
        let [dx, dy] = g.vjp(x.exp(), c, [x, y]);
        g.output("dx", dx);
        g.output("dy", dy);
        g.output("expected", x.exp() * c);
    })
    .unwrap();
    let given = [("x", some(&[3], 1)), ("y", some(&[3], 2)), ("c", some(&[3], 3))];
    for of in outputs(&program, &given) {
        close(&of["dx"].1, &of["expected"].1, 1e-6);
        assert_eq!(of["dy"].1, [0.0; 3]);
    }
}
