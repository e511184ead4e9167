//! Matrix products.

use super::Workload;
use super::forward::{forward, forward_backward};
use latentc::prelude::*;

const fn flops(m: usize, n: usize, k: usize) -> f64 {
    2.0 * (m * n * k) as f64
}

const fn bytes(m: usize, n: usize, k: usize) -> f64 {
    4.0 * (m * k + k * n + m * n) as f64
}

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "gemm_f32_1024",
        about: "[1024, 1024] times [1024, 1024]",
        flops: flops(1024, 1024, 1024),
        bytes: bytes(1024, 1024, 1024),
        prepare: |o| forward(o, &[&[1024, 1024], &[1024, 1024]], |_, x| x[0].matmul(x[1])),
    },
    Workload {
        name: "gemm_f32_4096x64x64",
        about: "[4096, 64] times [64, 64]",
        flops: flops(4096, 64, 64),
        bytes: bytes(4096, 64, 64),
        prepare: |o| forward(o, &[&[4096, 64], &[64, 64]], |_, x| x[0].matmul(x[1])),
    },
    Workload {
        name: "gemm_f32_256x4096x1024",
        about: "[256, 1024] times [1024, 4096]",
        flops: flops(256, 4096, 1024),
        bytes: bytes(256, 4096, 1024),
        prepare: |o| forward(o, &[&[256, 1024], &[1024, 4096]], |_, x| x[0].matmul(x[1])),
    },
    Workload {
        name: "bgemm_f32_64x128x64x128",
        about: "64 times [128, 64] times [64, 128]",
        flops: 64.0 * flops(128, 128, 64),
        bytes: 64.0 * bytes(128, 128, 64),
        prepare: |o| forward(o, &[&[64, 128, 64], &[64, 64, 128]], |_, x| x[0].matmul(x[1])),
    },
    Workload {
        name: "gemm_bf16_2048",
        about: "[2048, 2048] times [2048, 2048] in bf16",
        flops: flops(2048, 2048, 2048),
        bytes: bytes(2048, 2048, 2048) / 2.0,
        prepare: |o| {
            forward(o, &[&[2048, 2048], &[2048, 2048]], |_, x| {
                x[0].cast(DType::Bf16).matmul(x[1].cast(DType::Bf16))
            })
        },
    },
    Workload {
        name: "gemm_bias_gelu_512x768x3072",
        about: "gelu([512, 768] times [3072, 768]^T + [3072]), by the error function",
        flops: flops(512, 3072, 768),
        bytes: bytes(512, 3072, 768),
        prepare: |o| {
            forward(o, &[&[512, 768], &[3072, 768], &[3072]], |_, x| {
                (x[0].matmul(x[1].permute([1, 0])) + x[2]).gelu()
            })
        },
    },
    Workload {
        name: "gemm_bias_gelu_fwdbwd",
        about: "the same, and its derivatives",
        flops: 3.0 * flops(512, 3072, 768),
        bytes: 0.0,
        prepare: |o| {
            forward_backward(o, &[&[512, 768], &[3072, 768], &[3072]], &[512, 3072], |_, x| {
                (x[0].matmul(x[1].permute([1, 0])) + x[2]).gelu()
            })
        },
    },
];
