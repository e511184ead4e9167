//! Convolutions.

use super::Workload;
use super::forward::{forward, forward_backward};
use latentc::Window;

/// Operations of a 3x3 convolution of `channels` to as many on a square image.
const fn square(channels: usize, side: usize) -> f64 {
    2.0 * (channels * channels * 9 * side * side) as f64
}

/// A window of three along each of some axes that keeps their sizes.
fn three(axes: usize) -> Window {
    Window::new(vec![3; axes]).with_pads(vec![1; axes])
}

/// The workloads.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "conv3x3_320x64x64",
        about: "3x3, 320 channels to 320, [64, 64]",
        flops: square(320, 64),
        bytes: 0.0,
        prepare: |o| {
            forward(o, &[&[1, 320, 64, 64], &[320, 320, 3, 3]], |_, x| x[0].conv(x[1], &three(2), 1))
        },
    },
    Workload {
        name: "conv3x3_1280x16x16",
        about: "3x3, 1280 channels to 1280, [16, 16]",
        flops: square(1280, 16),
        bytes: 0.0,
        prepare: |o| {
            forward(o, &[&[1, 1280, 16, 16], &[1280, 1280, 3, 3]], |_, x| x[0].conv(x[1], &three(2), 1))
        },
    },
    Workload {
        name: "conv3x3_128x256x256",
        about: "3x3, 128 channels to 128, [256, 256]",
        flops: square(128, 256),
        bytes: 0.0,
        prepare: |o| {
            forward(o, &[&[1, 128, 256, 256], &[128, 128, 3, 3]], |_, x| x[0].conv(x[1], &three(2), 1))
        },
    },
    Workload {
        name: "dwconv3x3_192x56x56",
        about: "3x3, each of 192 channels by itself, 8 times [56, 56]",
        flops: 2.0 * (8 * 192 * 9 * 56 * 56) as f64,
        bytes: 8.0 * (8 * 192 * 56 * 56) as f64,
        prepare: |o| {
            forward(o, &[&[8, 192, 56, 56], &[192, 1, 3, 3]], |_, x| x[0].conv(x[1], &three(2), 192))
        },
    },
    Workload {
        name: "conv3d_16x16x32x32",
        about: "3x3x3, 16 channels to 32, [16, 32, 32]",
        flops: 2.0 * (16 * 32 * 27 * 16 * 32 * 32) as f64,
        bytes: 0.0,
        prepare: |o| {
            forward(o, &[&[1, 16, 16, 32, 32], &[32, 16, 3, 3, 3]], |_, x| x[0].conv(x[1], &three(3), 1))
        },
    },
    Workload {
        name: "conv3x3_8x64x32x32_fwdbwd",
        about: "3x3, 64 channels to 64, 32 times [32, 32], and its derivatives",
        flops: 3.0 * 32.0 * square(64, 32),
        bytes: 0.0,
        prepare: |o| {
            let images: &[usize] = &[32, 64, 32, 32];
            forward_backward(o, &[images, &[64, 64, 3, 3]], images, |_, x| x[0].conv(x[1], &three(2), 1))
        },
    },
];
