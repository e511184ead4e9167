//! Compositions beside what they mean, written out, and their gradients beside finite differences.

use crate::difference::{Inputs, check, run};
use latentc_ir::array::{Array, Value};
use latentc_ir::compose::attention::Attention;
use latentc_ir::compose::pad::PadMode;
use latentc_ir::compose::resize::{Coordinates, Interpolation, Nearest, Resize};
use latentc_ir::compose::sample::{Beyond, Sampling};
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{Graph, InputKind, Operand};
use latentc_ir::ops::input::Input;
use latentc_ir::ops::windows::Window;
use latentc_ir::philox::Stream;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Type;

/// A graph with the values of its inputs.
pub struct Made {
    pub g: Graph,
    pub inputs: Inputs,
}

impl Made {
    pub fn new() -> Made {
        Made { g: Graph::new("made"), inputs: vec![] }
    }

    pub fn input(&mut self, a: Array) -> Operand {
        let name = format!("x{}", self.inputs.len());
        let ty = Type::tensor(a.dtype(), a.shape().iter().map(|s| Dim::from(*s)));
        let o = self.g.value(Input { name: name.clone(), kind: InputKind::Data, ty }, &[], Span::none());
        self.inputs.push((name, Value::Tensor(a)));
        o.expect("an input")
    }

    /// Numbers of a normal distribution.
    pub fn numbers(&mut self, shape: &[usize]) -> Operand {
        let mut random = Stream::new(21, self.inputs.len() as u32, 0);
        let all: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
        self.input(Array::from_f64(DType::F64, shape, &all))
    }

    /// `0, 1, 2, ..`
    fn counted(&mut self, shape: &[usize]) -> Operand {
        let all: Vec<f64> = (0..shape.iter().product()).map(|i: usize| i as f64).collect();
        self.input(Array::from_f64(DType::F64, shape, &all))
    }

    pub fn ids(&mut self, shape: &[usize], all: &[i64]) -> Operand {
        self.input(Array::from_slice(shape, all))
    }

    pub fn value(&mut self, o: Operand) -> Array {
        self.g.outputs = vec![("y".to_owned(), o)];
        let mut outputs = run(&self.g, &self.inputs).outputs;
        match outputs.swap_remove(0).1 {
            Value::Tensor(a) => a,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn is(&mut self, o: Operand, shape: &[usize], expected: &[f64]) {
        let a = self.value(o);
        let found = a.to_f64();
        assert_eq!(a.shape(), shape, "{found:?}");
        let near = |(f, e): (&f64, &f64)| (f - e).abs() <= 1e-9 * (1.0 + e.abs()) || f == e;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?}");
    }

    /// Gradients of a weighted sum of a value with respect to every f64 input.
    #[track_caller]
    pub fn slopes(&mut self, o: Operand) {
        let shape: Vec<usize> =
            self.g.shape_of(o).iter().map(|d| d.as_const().expect("a constant") as usize).collect();
        let names: Vec<String> = self
            .inputs
            .iter()
            .filter(|(_, v)| matches!(v, Value::Tensor(a) if a.dtype() == DType::F64))
            .map(|(name, _)| name.clone())
            .collect();
        let weights = self.numbers(&shape);
        let product = self.g.map(ScalarOp::Mul, &[o, weights]);
        let loss = self.g.reduce(ReduceOp::Sum, product, (0..shape.len()).collect());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&self.g, loss, &self.inputs, &names, 1e-6);
    }
}

#[test]
fn elements_are_gathered_and_scattered() {
    let mut m = Made::new();
    let x = m.counted(&[2, 3]);
    let ids = m.ids(&[2], &[2, -1]);
    let ids = m.g.from_end(ids, &3.into()).unwrap();
    let y = m.g.take(x, ids, 1).unwrap();
    m.is(y, &[2, 2], &[2.0, 2.0, 5.0, 5.0]);
    let at = m.ids(&[1, 3], &[1, 0, 1]);
    let y = m.g.gather_elements(x, at, 0).unwrap();
    m.is(y, &[1, 3], &[3.0, 1.0, 5.0]);
    let u = m.input(Array::from_f64(DType::F64, &[1, 3], &[10.0, 20.0, 30.0]));
    let y = m.g.scatter_elements(x, at, u, 0, None).unwrap();
    m.is(y, &[2, 3], &[0.0, 20.0, 2.0, 10.0, 4.0, 30.0]);
    let pairs = m.ids(&[3, 2], &[0, 1, 1, 2, 0, 1]);
    let y = m.g.gather_nd(x, pairs, 0).unwrap();
    m.is(y, &[3], &[1.0, 5.0, 1.0]);
    let u = m.input(Array::from_f64(DType::F64, &[3], &[10.0, 20.0, 30.0]));
    let y = m.g.scatter_nd(x, pairs, u, 0, Some(ReduceOp::Sum)).unwrap();
    m.is(y, &[2, 3], &[0.0, 41.0, 2.0, 3.0, 4.0, 25.0]);
    let y = m.g.scatter_nd(x, pairs, u, 0, None).unwrap();
    m.is(y, &[2, 3], &[0.0, 30.0, 2.0, 3.0, 4.0, 20.0]);
    let each = m.ids(&[2, 1], &[2, 0]);
    let y = m.g.gather_nd(x, each, 1).unwrap();
    m.is(y, &[2], &[2.0, 3.0]);
    m.slopes(y);
    assert!(m.g.take(x, u, 1).is_err() && m.g.take(x, ids, 2).is_err() && m.g.gather_nd(x, ids, 3).is_err());
}

#[test]
fn elements_are_moved_and_masked() {
    let mut m = Made::new();
    let x = m.counted(&[2, 3]);
    let y = m.g.flip(x, &[-1]).unwrap();
    m.is(y, &[2, 3], &[2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
    let y = m.g.slice_by(x, 1, &2.into(), &(-1).into(), -2).unwrap();
    m.is(y, &[2, 2], &[2.0, 0.0, 5.0, 3.0]);
    let y = m.g.roll(x, 4, 1).unwrap();
    m.is(y, &[2, 3], &[2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
    let y = m.g.roll(x, -1, 0).unwrap();
    m.is(y, &[2, 3], &[3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
    let y = m.g.tile(x, &[1.into(), 2.into()]).unwrap();
    m.is(y, &[2, 6], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    let y = m.g.repeat(x, &2.into(), 0).unwrap();
    m.is(y, &[4, 3], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    let k = m.g.fill(Literal::int(DType::I64, 1), []);
    let y = m.g.triangular(x, k, true).unwrap();
    m.is(y, &[2, 3], &[0.0, 1.0, 2.0, 0.0, 0.0, 5.0]);
    let y = m.g.triangular(x, k, false).unwrap();
    m.is(y, &[2, 3], &[0.0, 1.0, 0.0, 3.0, 4.0, 5.0]);
    let y = m.g.eye(&2.into(), &3.into(), 1, DType::I32).unwrap();
    m.is(y, &[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let ids = m.ids(&[2], &[1, 7]);
    let [on, off] = [5.0, -1.0].map(|v| m.g.fill(Literal::float(DType::F64, v), []));
    let y = m.g.one_hot(ids, &3.into(), 0, on, off).unwrap();
    m.is(y, &[3, 2], &[-1.0, -1.0, 5.0, -1.0, -1.0, -1.0]);
    let deep = m.counted(&[1, 4, 1, 2]);
    let y = m.g.depth_to_space(deep, 2, true).unwrap();
    m.is(y, &[1, 1, 2, 4], &[0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    let back = m.g.space_to_depth(y, 2).unwrap();
    m.is(back, &[1, 4, 1, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn pads_of_every_mode() {
    let mut m = Made::new();
    let x = m.counted(&[4]);
    let zero = PadMode::Constant(Literal::float(DType::F64, 9.0));
    let all: [(PadMode, &[f64]); 5] = [
        (zero, &[9.0, 9.0, 0.0, 1.0, 2.0, 3.0, 9.0]),
        (PadMode::Edge, &[0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0]),
        (PadMode::Reflect, &[2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0]),
        (PadMode::Symmetric, &[1.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0]),
        (PadMode::Wrap, &[2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0]),
    ];
    for (mode, expected) in all {
        let y = m.g.pad_axis(x, 0, 2, 1, mode).unwrap();
        m.is(y, &[7], expected);
    }
    let y = m.g.pad_axis(x, 0, -1, 1, zero).unwrap();
    m.is(y, &[4], &[1.0, 2.0, 3.0, 9.0]);
    let y = m.g.pad_axis(x, 0, 5, 4, PadMode::Reflect).unwrap();
    m.is(y, &[13], &[1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0]);
    m.slopes(y);
}

fn by(mode: Interpolation, coordinates: Coordinates) -> Resize {
    Resize { mode, coordinates, scale: None, exclude_outside: false, antialias: false }
}

#[test]
fn axes_are_resized() {
    let mut m = Made::new();
    let x = m.input(Array::from_f64(DType::F64, &[4], &[1.0, 2.0, 3.0, 4.0]));
    let linear = |c| by(Interpolation::Linear, c);
    let y = m.g.resize_axis(x, 0, &8.into(), &linear(Coordinates::HalfPixel)).unwrap();
    m.is(y, &[8], &[1.0, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.0]);
    m.slopes(y);
    let y = m.g.resize_axis(x, 0, &7.into(), &linear(Coordinates::AlignCorners)).unwrap();
    m.is(y, &[7], &[1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]);
    let y = m.g.resize_axis(x, 0, &1.into(), &linear(Coordinates::AlignCorners)).unwrap();
    m.is(y, &[1], &[1.0]);
    let crop = Coordinates::TfCropAndResize { start: 0.5, end: 1.5, extrapolation: -1.0 };
    let y = m.g.resize_axis(x, 0, &3.into(), &linear(crop)).unwrap();
    m.is(y, &[3], &[2.5, 4.0, -1.0]);
    for (rounding, expected) in [
        (Nearest::RoundPreferFloor, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]),
        (Nearest::RoundPreferCeil, [1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0]),
        (Nearest::Floor, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]),
        (Nearest::Ceil, [1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0]),
    ] {
        let how = by(Interpolation::Nearest(rounding), Coordinates::Asymmetric);
        let y = m.g.resize_axis(x, 0, &8.into(), &how).unwrap();
        m.is(y, &[8], &expected);
    }
    // The cubic kernel reproduces a line away from the ends; with an antialias it takes the mean of a symmetric part.
    let cubic = by(Interpolation::Cubic(-0.5), Coordinates::HalfPixel);
    let line = m.counted(&[8]);
    let y = m.g.resize_axis(line, 0, &16.into(), &cubic).unwrap();
    let y = m.value(y).to_f64();
    for (o, found) in y.iter().enumerate().skip(4).take(8) {
        assert!((found - ((o as f64 + 0.5) / 2.0 - 0.5)).abs() < 1e-12, "{y:?}");
    }
    let anti = Resize { antialias: true, exclude_outside: true, ..linear(Coordinates::HalfPixel) };
    let y = m.g.resize_axis(line, 0, &2.into(), &anti).unwrap();
    // Kernel of reach 4 at place 1.5, over elements 0 to 5: weights 2.5 3.5 3.5 2.5 1.5 0.5.
    let expected = (3.5 + 2.0 * 3.5 + 3.0 * 2.5 + 4.0 * 1.5 + 5.0 * 0.5) / 14.0;
    m.is(y, &[2], &[expected, 7.0 - expected]);
}

/// The value at a place by the two neighbours along each axis, zeros beyond.
fn bilinear(image: &[f64], (h, w): (i64, i64), (y, x): (f64, f64)) -> f64 {
    let mut sum = 0.0;
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (r, c) = (y.floor() + f64::from(i), x.floor() + f64::from(j));
        let weight = (1.0 - (y - r).abs()) * (1.0 - (x - c).abs());
        if (0..h).contains(&(r as i64)) && (0..w).contains(&(c as i64)) {
            sum += weight * image[(r as i64 * w + c as i64) as usize];
        }
    }
    sum
}

#[test]
fn images_are_sampled() {
    let mut m = Made::new();
    let x = m.numbers(&[1, 1, 3, 4]);
    let grid = [-0.9, -0.2, 0.3, 0.95, -1.4, 0.1, 0.5, 1.3];
    let places = m.input(Array::from_f64(DType::F64, &[1, 2, 2, 2], &grid));
    let image = m.value(x).to_f64();
    for corners in [false, true] {
        let at =
            |g: f64, n: f64| if corners { (g + 1.0) * (n - 1.0) / 2.0 } else { ((g + 1.0) * n - 1.0) / 2.0 };
        let expected: Vec<f64> =
            grid.chunks(2).map(|p| bilinear(&image, (3, 4), (at(p[1], 3.0), at(p[0], 4.0)))).collect();
        let y = m.g.grid_sample(x, places, Sampling::Linear, Beyond::Zeros, corners).unwrap();
        m.is(y, &[1, 1, 2, 2], &expected);
        m.slopes(y);
        // Beyond the border stands what is at its nearest place.
        let clamped: Vec<f64> = grid
            .chunks(2)
            .map(|p| (at(p[1], 3.0).clamp(0.0, 2.0), at(p[0], 4.0).clamp(0.0, 3.0)))
            .map(|p| bilinear(&image, (3, 4), p))
            .collect();
        let y = m.g.grid_sample(x, places, Sampling::Linear, Beyond::Border, corners).unwrap();
        m.is(y, &[1, 1, 2, 2], &clamped);
    }
    let y = m.g.grid_sample(x, places, Sampling::Nearest, Beyond::Reflection, false).unwrap();
    let y = m.value(y).to_f64();
    // Place -1.4 of 4 elements is -1.3, or by mirroring at -0.5 0.3: element 0; place 0.1 of 3 is 1.15.
    assert!((y[2] - image[4]).abs() < 1e-12, "{y:?}");
    let y = m.g.grid_sample(x, places, Sampling::Cubic, Beyond::Reflection, true).unwrap();
    m.slopes(y);
}

#[test]
fn windows_are_pooled() {
    let mut m = Made::new();
    let x =
        m.input(Array::from_f64(DType::F64, &[1, 1, 3, 3], &[1.0, 5.0, 2.0, 4.0, 3.0, 9.0, 8.0, 7.0, 6.0]));
    let two = Window::new([2, 2]);
    let [y, at] = m.g.max_pool_with_indices(x, &two, false).unwrap();
    m.is(y, &[1, 1, 2, 2], &[5.0, 9.0, 8.0, 9.0]);
    m.is(at, &[1, 1, 2, 2], &[1.0, 5.0, 6.0, 5.0]);
    let [_, at] = m.g.max_pool_with_indices(x, &two, true).unwrap();
    m.is(at, &[1, 1, 2, 2], &[3.0, 7.0, 2.0, 7.0]);
    let apart = Window { stride: [2, 2].into_iter().collect(), ..two };
    let up = apart.rounded_up(&[3.into(), 3.into()]).unwrap();
    let [y, at] = m.g.max_pool_with_indices(x, &up, false).unwrap();
    m.is(y, &[1, 1, 2, 2], &[5.0, 9.0, 8.0, 6.0]);
    let back = m.g.max_unpool(y, at, &[1.into(), 1.into(), 3.into(), 3.into()]).unwrap();
    m.is(back, &[1, 1, 3, 3], &[0.0, 5.0, 0.0, 0.0, 0.0, 9.0, 8.0, 0.0, 6.0]);
    m.slopes(back);
    let y = m.g.average_pool(x, &apart, &up, true).unwrap();
    m.is(y, &[1, 1, 2, 2], &[3.25, 5.5, 7.5, 6.0]);
    let around = Window { before: [1, 1].into_iter().collect(), ..apart };
    let y = m.g.average_pool(x, &around, &around, true).unwrap();
    m.is(y, &[1, 1, 2, 2], &[0.25, 1.75, 3.0, 6.25]);
    let y = m.g.average_pool(x, &around, &around, false).unwrap();
    m.is(y, &[1, 1, 2, 2], &[1.0, 3.5, 6.0, 6.25]);
    m.slopes(y);
    let y = m.g.lp_pool(x, &around, 2.0).unwrap();
    m.is(y, &[1, 1, 2, 2], &[1.0, 29f64.sqrt(), 80f64.sqrt(), (9.0f64 + 81.0 + 49.0 + 36.0).sqrt()]);
}

fn moments(all: &[f64]) -> (f64, f64) {
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    (mean, all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64)
}

#[test]
fn tensors_are_normalised() {
    let mut m = Made::new();
    let x = m.numbers(&[2, 4, 3]);
    let [scale, bias] = [(); 2].map(|()| m.numbers(&[4]));
    let (xs, ss, bs) = (m.value(x).to_f64(), m.value(scale).to_f64(), m.value(bias).to_f64());
    let eps = 1e-3;
    let mut expected = vec![];
    for (i, group) in xs.chunks(6).enumerate() {
        let (mean, variance) = moments(group);
        expected.extend(group.iter().enumerate().map(|(j, x)| {
            let channel = (i * 2 + j / 3) % 4;
            (x - mean) / (variance + eps).sqrt() * ss[channel] + bs[channel]
        }));
    }
    let y = m.g.group_norm(x, 2, Some(scale), Some(bias), eps).unwrap();
    m.is(y, &[2, 4, 3], &expected);
    m.slopes(y);
    let [a, b] = [
        m.g.group_norm(x, 4, Some(scale), None, eps).unwrap(),
        m.g.instance_norm(x, Some(scale), None, eps).unwrap(),
    ];
    let difference = m.g.map(ScalarOp::Sub, &[a, b]);
    m.is(difference, &[2, 4, 3], &[0.0; 24]);
    let y = m.g.layer_norm(x, None, None, -1, eps).unwrap();
    let expected: Vec<f64> = xs
        .chunks(3)
        .flat_map(|row| {
            let (mean, variance) = moments(row);
            row.iter().map(move |x| (x - mean) / (variance + eps).sqrt())
        })
        .collect();
    m.is(y.y, &[2, 4, 3], &expected);
    let expected: Vec<f64> = xs.chunks(3).map(|row| moments(row).0).collect();
    m.is(y.mean, &[2, 4, 1], &expected);
    let y = m.g.rms_norm(x, None, -1, eps).unwrap();
    let expected: Vec<f64> = xs
        .chunks(3)
        .flat_map(|row| {
            let square = row.iter().map(|x| x * x).sum::<f64>() / 3.0;
            row.iter().map(move |x| x / (square + eps).sqrt())
        })
        .collect();
    m.is(y, &[2, 4, 3], &expected);
    let statistics = m.g.channel_statistics(x).unwrap();
    let y = m.g.batch_norm(x, scale, bias, statistics, eps).unwrap();
    let channel = |c: usize| (0..2).flat_map(|n| xs[n * 12 + c * 3..][..3].to_vec()).collect::<Vec<f64>>();
    let expected: Vec<f64> = (0..24usize)
        .map(|i| {
            let c = i / 3 % 4;
            let (mean, variance) = moments(&channel(c));
            (xs[i] - mean) / (variance + eps).sqrt() * ss[c] + bs[c]
        })
        .collect();
    m.is(y, &[2, 4, 3], &expected);
    m.slopes(y);
    let y = m.g.local_response_norm(x, 3, 0.3, 0.75, 1.5).unwrap();
    let expected: Vec<f64> = (0..24usize)
        .map(|i| {
            let (n, c, s) = (i / 12, i / 3 % 4, i % 3);
            let near = c.saturating_sub(1)..(c + 2).min(4);
            let sum: f64 = near.map(|c| xs[n * 12 + c * 3 + s].powi(2)).sum();
            xs[i] / (1.5f64 + 0.1 * sum).powf(0.75)
        })
        .collect();
    m.is(y, &[2, 4, 3], &expected);
    let y = m.g.lp_normalise(x, 1, 1.0, 0.0).unwrap();
    let sums = m.g.lp_norm(y, [1].into_iter().collect(), 1.0).unwrap();
    m.is(sums, &[2, 3], &[1.0; 6]);
}

#[test]
fn queries_attend() {
    let mut m = Made::new();
    let (heads, groups, n, k, d) = (4, 2, 3, 5, 2);
    let q = m.numbers(&[1, heads, n, d]);
    let keys = m.numbers(&[1, groups, k, d]);
    let values = m.numbers(&[1, groups, k, 3]);
    let bias = m.numbers(&[n, k]);
    let [qs, ks, vs, bs] = [q, keys, values, bias].map(|o| m.value(o).to_f64());
    let how = Attention { mask: Some(bias), causal: Some(2), scale: Some(0.7), softcap: Some(1.5) };
    let y = m.g.attention(q, keys, values, &how).unwrap().y;
    let mut expected = vec![];
    for h in 0..heads {
        let g = h / (heads / groups);
        for i in 0..n {
            let score = |j: usize| {
                let dot: f64 = (0..d).map(|c| qs[(h * n + i) * d + c] * ks[(g * k + j) * d + c]).sum();
                1.5 * (0.7 * dot / 1.5).tanh() + bs[i * k + j]
            };
            let seen: Vec<usize> = (0..k).filter(|j| *j <= i + 2).collect();
            let total: f64 = seen.iter().map(|j| score(*j).exp()).sum();
            for c in 0..3 {
                let at = |j: &usize| score(*j).exp() / total * vs[(g * k + j) * 3 + c];
                expected.push(seen.iter().map(at).sum());
            }
        }
    }
    m.is(y, &[1, heads, n, 3], &expected);
    m.slopes(y);
    let seen = m.input({
        let mut a = Array::zeros(DType::Bool, &[n, k]);
        (0..n * k).filter(|i| i % 4 != 1).for_each(|i| a.set(i, Literal::int(DType::Bool, 1)));
        a
    });
    let with = |mask| Attention { mask: Some(mask), ..Attention::default() };
    let never = m.g.fill(Literal::float(DType::F64, f64::NEG_INFINITY), [n.into(), k.into()]);
    let none = m.g.fill(Literal::float(DType::F64, 0.0), [n.into(), k.into()]);
    let added = m.g.map(ScalarOp::Select, &[seen, none, never]);
    let [a, b] = [seen, added].map(|mask| m.g.attention(q, keys, values, &with(mask)).unwrap().y);
    let difference = m.g.map(ScalarOp::Sub, &[a, b]);
    m.is(difference, &[1, heads, n, 3], &[0.0; 36]);
    assert!(m.g.attention(q, values, keys, &Attention::default()).is_err());
}

#[test]
fn equations_name_axes() {
    let mut m = Made::new();
    let (a, b) = (m.numbers(&[2, 3, 4]), m.numbers(&[2, 4, 5]));
    let (av, bv) = (m.value(a).to_f64(), m.value(b).to_f64());
    let dot = |n: usize, i: usize, j: usize| -> f64 {
        (0..4).map(|k| av[(n * 3 + i) * 4 + k] * bv[(n * 4 + k) * 5 + j]).sum()
    };
    let y = m.g.einsum("nik,nkj->jni", &[a, b]).unwrap();
    let mut expected = vec![];
    for j in 0..5 {
        for n in 0..2 {
            expected.extend((0..3).map(|i| dot(n, i, j)));
        }
    }
    m.is(y, &[5, 2, 3], &expected);
    m.slopes(y);
    let same = m.g.einsum("...ik,...kj->j...i", &[a, b]).unwrap();
    m.is(same, &[5, 2, 3], &expected);
    let y = m.g.einsum("nik, nkj -> ", &[a, b]).unwrap();
    m.is(y, &[], &[expected.iter().sum::<f64>()]);
    let square = m.counted(&[3, 3]);
    let y = m.g.einsum("ii->i", &[square]).unwrap();
    m.is(y, &[3], &[0.0, 4.0, 8.0]);
    let y = m.g.einsum("ii", &[square]).unwrap();
    m.is(y, &[], &[12.0]);
    let y = m.g.einsum("ij->ji", &[square]).unwrap();
    m.is(y, &[3, 3], &[0.0, 3.0, 6.0, 1.0, 4.0, 7.0, 2.0, 5.0, 8.0]);
    let whole = m.ids(&[2], &[3, 4]);
    let y = m.g.einsum("i,j->ij", &[whole, whole]).unwrap();
    m.is(y, &[2, 2], &[9.0, 12.0, 12.0, 16.0]);
    let three = m.g.einsum("ij,jk,k", &[square, square, square]);
    assert!(three.is_err(), "a vector is not a matrix");
    for wrong in ["ij", "ij->ik", "i?->i", "ij,jk->ik", "ij->iij", "ijk->i"] {
        let refused = m.g.einsum(wrong, &[square]);
        assert_eq!(refused.is_err(), wrong != "ij", "{wrong}");
    }
}

#[test]
fn signals_are_transformed() {
    // One product, two and three factors, a prime beside factors.
    for n in [1usize, 5, 36, 74, 66 * 33] {
        let mut m = Made::new();
        let x = m.numbers(&[2, n, 2]);
        let xs = m.value(x).to_f64();
        let y = m.g.fft(x, 1, false).unwrap();
        let found = m.value(y).to_f64();
        for (row, k) in [(0, 0), (0, n / 2), (1, n - 1), (1, n / 3)] {
            let (mut re, mut im) = (0.0, 0.0);
            for j in 0..n {
                let angle = -std::f64::consts::TAU * (j * k % n) as f64 / n as f64;
                let (a, b) = (xs[(row * n + j) * 2], xs[(row * n + j) * 2 + 1]);
                re += a * angle.cos() - b * angle.sin();
                im += a * angle.sin() + b * angle.cos();
            }
            let at = (row * n + k) * 2;
            assert!((found[at] - re).abs() < 1e-9 && (found[at + 1] - im).abs() < 1e-9, "{n} {k}");
        }
        let back = m.g.fft(y, 1, true).unwrap();
        m.is(back, &[2, n, 2], &xs);
        let real = m.numbers(&[n, 2]);
        let rs = m.value(real).to_f64();
        let half = m.g.rfft(real, 0).unwrap();
        let back = m.g.irfft(half, 0, n as i64).unwrap();
        m.is(back, &[n, 2], &rs);
        let cosines = m.g.dct(real, 0, false).unwrap();
        let found = m.value(cosines).to_f64();
        for k in [0, n / 2, n - 1] {
            let angle = |j: usize| std::f64::consts::PI * ((2 * j + 1) * k) as f64 / (2 * n) as f64;
            let expected: f64 = (0..n).map(|j| 2.0 * rs[j * 2] * angle(j).cos()).sum();
            assert!((found[k * 2] - expected).abs() < 1e-8, "{n} {k}: {} {expected}", found[k * 2]);
        }
        let back = m.g.dct(cosines, 0, true).unwrap();
        m.is(back, &[n, 2], &rs);
    }
    let mut m = Made::new();
    let x = m.numbers(&[5]);
    let y = m.g.rfft(x, 0).unwrap();
    m.slopes(y);
    assert!(m.g.fft(x, 0, false).is_err());
}
