//! Norms, chains of functions, reductions: work that memory limits.

use super::Workload;
use super::forward::{forward, forward_backward};
use latentc::prelude::*;

/// Bytes of reading and writing so many floats once.
const fn once(n: usize) -> f64 {
    8.0 * n as f64
}

const SIDE: usize = 4096;
const REDUCED: f64 = 4.0 * (SIDE * SIDE) as f64;
const CHAIN: usize = 16 << 20;

/// Twenty functions of each element.
fn chain<'g>(x: Tensor<'g>) -> Tensor<'g> {
    let y = (x * 0.5 + 1.0).tanh() * x;
    let y = (-y * y).exp();
    let z = (y + 0.1).recip().abs();
    let z = (z + 1e-3).sqrt();
    let y = (y * z.sigmoid()).maximum(x * 0.01) - z;
    (y * y).minimum(z + 3.0)
}

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "softmax_8192x1024",
        about: "softmax of rows",
        flops: 0.0,
        bytes: once(8192 * 1024),
        prepare: |o| forward(o, &[&[8192, 1024]], |_, x| x[0].softmax()),
    },
    Workload {
        name: "layernorm_8192x768",
        about: "layer norm of rows, with scale and bias",
        flops: 0.0,
        bytes: once(8192 * 768),
        prepare: |o| {
            forward(o, &[&[8192, 768], &[768], &[768]], |_, x| x[0].layer_norm(-1, 1e-5) * x[1] + x[2])
        },
    },
    Workload {
        name: "rmsnorm_8192x1024",
        about: "root mean square norm of rows, with scale",
        flops: 0.0,
        bytes: once(8192 * 1024),
        prepare: |o| forward(o, &[&[8192, 1024], &[1024]], |_, x| x[0].rms_norm(-1, 1e-6) * x[1]),
    },
    Workload {
        name: "groupnorm_silu_320x64x64",
        about: "silu of the norm of 32 groups of channels of [1, 320, 64, 64], with scale and bias",
        flops: 0.0,
        bytes: once(320 * 64 * 64),
        prepare: |o| {
            forward(o, &[&[1, 320, 64, 64], &[320], &[320]], |_, x| {
                x[0].group_norm(32, x[1], x[2], 1e-5).silu()
            })
        },
    },
    Workload {
        name: "chain20_16M",
        about: "20 functions of each of 16 million numbers, among them exp, tanh, sqrt, sigmoid",
        flops: 20.0 * CHAIN as f64,
        bytes: once(CHAIN),
        prepare: |o| forward(o, &[&[CHAIN]], |_, x| chain(x[0])),
    },
    Workload {
        name: "reduce_sum_ax0_4096",
        about: "sums of the columns of [4096, 4096]",
        flops: 0.0,
        bytes: REDUCED,
        prepare: |o| forward(o, &[&[SIDE, SIDE]], |_, x| x[0].sum(0)),
    },
    Workload {
        name: "reduce_max_ax0_4096",
        about: "greatest of the columns of [4096, 4096]",
        flops: 0.0,
        bytes: REDUCED,
        prepare: |o| forward(o, &[&[SIDE, SIDE]], |_, x| x[0].max(0)),
    },
    Workload {
        name: "reduce_sum_ax1_4096",
        about: "sums of the rows of [4096, 4096]",
        flops: 0.0,
        bytes: REDUCED,
        prepare: |o| forward(o, &[&[SIDE, SIDE]], |_, x| x[0].sum(1)),
    },
    Workload {
        name: "reduce_max_ax1_4096",
        about: "greatest of the rows of [4096, 4096]",
        flops: 0.0,
        bytes: REDUCED,
        prepare: |o| forward(o, &[&[SIDE, SIDE]], |_, x| x[0].max(1)),
    },
    Workload {
        name: "softmax_8192x1024_fwdbwd",
        about: "softmax of rows, and its derivative",
        flops: 0.0,
        bytes: 2.5 * once(8192 * 1024),
        prepare: |o| forward_backward(o, &[&[8192, 1024]], &[8192, 1024], |_, x| x[0].softmax()),
    },
    Workload {
        name: "layernorm_8192x768_fwdbwd",
        about: "layer norm of rows, with scale and bias, and its derivatives",
        flops: 0.0,
        bytes: 2.5 * once(8192 * 768),
        prepare: |o| {
            forward_backward(o, &[&[8192, 768], &[768], &[768]], &[8192, 768], |_, x| {
                x[0].layer_norm(-1, 1e-5) * x[1] + x[2]
            })
        },
    },
    Workload {
        name: "groupnorm_silu_8x320x64x64_fwdbwd",
        about: "silu of the norm of 32 groups of channels of [8, 320, 64, 64], and its derivatives",
        flops: 0.0,
        bytes: 2.5 * once(8 * 320 * 64 * 64),
        prepare: |o| {
            let image: &[usize] = &[8, 320, 64, 64];
            forward_backward(o, &[image, &[320], &[320]], image, |_, x| {
                x[0].group_norm(32, x[1], x[2], 1e-5).silu()
            })
        },
    },
];
