//! Attention.

use super::forward::{forward, forward_backward};
use super::{Prepared, Workload};
use crate::common::run::ModelError;
use latentc::prelude::*;
use latentc::{Attention, Options};

/// Softmax of products, for queries and keys of these shapes.
fn attention(options: &Options, queries: &[usize], keys: &[usize]) -> Result<Prepared, ModelError> {
    forward(options, &[queries, keys, keys], |_, x| x[0].attention(x[1], x[2], Attention::default()))
}

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "attn_sd_1x8x4096x40",
        about: "8 heads of 4096 positions, 40 wide",
        flops: 4.0 * (8_usize * 4096 * 4096 * 40) as f64,
        bytes: 0.0,
        prepare: |o| attention(o, &[1, 8, 4096, 40], &[1, 8, 4096, 40]),
    },
    Workload {
        name: "attn_4x12x512x64",
        about: "4 times 12 heads of 512 positions, 64 wide",
        flops: 4.0 * (48_usize * 512 * 512 * 64) as f64,
        bytes: 0.0,
        prepare: |o| attention(o, &[4, 12, 512, 64], &[4, 12, 512, 64]),
    },
    Workload {
        name: "attn_decode_32x128_kv2048",
        about: "32 heads, one query each, 2048 keys, 128 wide",
        flops: 4.0 * (32 * 2048 * 128) as f64,
        bytes: 8.0 * (32 * 2048 * 128) as f64,
        prepare: |o| attention(o, &[1, 32, 1, 128], &[1, 32, 2048, 128]),
    },
    Workload {
        name: "attn_4x12x512x64_fwdbwd",
        about: "4 times 12 heads of 512 positions, 64 wide, and the derivatives",
        flops: 14.0 * (48_usize * 512 * 512 * 64) as f64,
        bytes: 0.0,
        prepare: |o| {
            let heads: &[usize] = &[4, 12, 512, 64];
            forward_backward(o, &[heads; 3], heads, |_, x| x[0].attention(x[1], x[2], Attention::default()))
        },
    },
];
