//! Functions over a batch.

use super::{outputs, some};
use crate::common::close;
use latentc::Window;
use latentc::prelude::*;

/// The gradient of each sample's loss, beside the gradients of slices written out.
#[test]
fn gradients_of_each_sample() {
    const SAMPLES: usize = 3;
    let build = |g: &Scope, all: bool| {
        let x = g.input("x", DType::F32, [SAMPLES, 2, 5, 4]);
        let y = g.input("y", DType::F32, [SAMPLES, 6]);
        let k = g.params().tensor("k", [3, 2, 2, 2], init::normal(0.5)).get(g);
        let w = g.params().tensor("w", [3, 6], init::normal(0.5)).get(g);
        fn net<'g>(g: &'g Scope, [x, y, k, w]: [Tensor<'g>; 4]) -> [Tensor<'g>; 3] {
            let h = x.unsqueeze(0).conv(k, &Window::new([2, 2]), 1).relu();
            let h = h.mean([2, 3]).matmul(w).softmax().squeeze(0);
            let loss = (h - y).square().sum_all();
            let clipped = g.custom_vjp(h, |h| h.exp(), |_, e, dy| (dy * e).clamp(-0.5, 0.5));
            let [dk, dw] = g.grad(loss + clipped.sum_all(), [k, w]);
            [loss, dk, dw]
        }
        let found = if all {
            g.vmap([x, y], |[x, y]| net(g, [x, y, k, w]))
        } else {
            let each: Vec<[Tensor<'_>; 3]> = (0..SAMPLES)
                .map(|i| [x, y].map(|t| t.slice(0, i..i + 1).squeeze(0)))
                .map(|[x, y]| net(g, [x, y, k, w]))
                .collect();
            std::array::from_fn(|i| g.stack(&each.iter().map(|e| e[i]).collect::<Vec<_>>(), 0))
        };
        ["loss", "dk", "dw"].iter().zip(found).for_each(|(name, t)| g.output(name, t));
    };
    let given = [("x", some(&[SAMPLES, 2, 5, 4], 1)), ("y", some(&[SAMPLES, 6], 2))];
    let [batch, slices] = [true, false].map(|all| program("each", |g| build(g, all)).unwrap());
    let nodes = [&batch, &slices].map(|p| p.graph().len());
    assert!(nodes[0] * 2 < nodes[1], "nothing is written slice by slice: {nodes:?} nodes");
    for (b, s) in outputs(&batch, &given).iter().zip(outputs(&slices, &given)) {
        for name in ["loss", "dk", "dw"] {
            assert_eq!(b[name].0, s[name].0);
            close(&b[name].1, &s[name].1, 1e-5);
        }
    }
}

#[test]
fn an_op_without_a_form_for_a_batch_is_an_error_with_its_name() {
    let errors = program("wrong", |g| {
        let x = g.input("x", DType::F32, [3, 5, 4]);
        let adj = g.csr("adj", [5, 5]);
        let w = g.vmap(x, |x| adj.dot_entries(x, x));
        g.output("w", w);
        g.output("one", g.vmap(x.sum_all(), |x| x));
    })
    .unwrap_err();
    let messages: Vec<&str> = errors.diags().iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        ["`sddmm` has no rule for a batch of slices", "a batch needs a first axis, a number found"]
    );
}
