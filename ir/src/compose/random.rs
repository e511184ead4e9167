//! Draws of distributions from the words of `random`.
//!
//! A draw uses all 32 bits of a word and is computed in f64. So is what chooses classes and positions by comparing draws:
//! rounding differs between targets, but there so little that the same element is the greatest everywhere; what compares
//! words themselves is the same without exception.

use super::Composed;
use crate::dim::{Dim, Proof};
use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::random::Random;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::types::{Shape, shape_text};
use std::f64::consts::FRAC_1_SQRT_2;

/// What decides a draw: seed and step of the run (i64 scalars), and a stream that no other draw of the program has.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Seed.
    pub seed: Operand,
    /// Step.
    pub step: Operand,
    /// Stream.
    pub stream: u32,
}

impl Graph {
    fn words(&mut self, from: Source, shape: &[Dim]) -> Composed {
        self.try_emit(Random { stream: from.stream, shape: shape.into() }, &[from.seed, from.step])
    }

    /// Numbers strictly between 0 and 1, f64: the middles of 2^32 equal parts.
    ///
    /// # Errors
    /// Where seed and step are not i64 scalars; so have all draws.
    pub fn draw_open(&mut self, from: Source, shape: &[Dim]) -> Composed {
        let words = self.words(from, shape)?;
        let words = self.cast(words, DType::F64);
        let middle = self.by(ScalarOp::Add, words, 0.5);
        Ok(self.scale(middle, 1.0 / 4_294_967_296.0))
    }

    /// Of the exponential distribution of rate 1, f64: `-log(u)`, up to 22.9.
    ///
    /// # Errors
    /// As [`Graph::draw_open`].
    pub fn draw_exponential(&mut self, from: Source, shape: &[Dim]) -> Composed {
        let u = self.draw_open(from, shape)?;
        let log = self.map(ScalarOp::Log, &[u]);
        Ok(self.map(ScalarOp::Neg, &[log]))
    }

    /// Of the standard Gumbel distribution, f64: `-log(-log(u))`, between -3.2 and 22.9.
    ///
    /// # Errors
    /// As [`Graph::draw_open`].
    pub fn draw_gumbel(&mut self, from: Source, shape: &[Dim]) -> Composed {
        let e = self.draw_exponential(from, shape)?;
        let log = self.map(ScalarOp::Log, &[e]);
        Ok(self.map(ScalarOp::Neg, &[log]))
    }

    /// Of the standard normal distribution, f64, by its quantiles: within 6.4 of 0.
    ///
    /// # Errors
    /// As [`Graph::draw_open`].
    pub fn draw_normal(&mut self, from: Source, shape: &[Dim]) -> Composed {
        let u = self.draw_open(from, shape)?;
        Ok(self.normal_quantile(u))
    }

    /// Of the standard normal distribution where it lies between two bounds, which may be infinite, f64.
    ///
    /// # Errors
    /// As [`Graph::draw_open`], and where there is nothing between the bounds.
    pub fn draw_truncated_normal(&mut self, from: Source, shape: &[Dim], low: f64, high: f64) -> Composed {
        // In the lower half the distribution function is exact far out.
        let turned = low > 0.0;
        let (a, b) = if turned { (-high, -low) } else { (low, high) };
        let below = |x: f64| libm::erfc(-x * FRAC_1_SQRT_2) / 2.0;
        let (first, share) = (below(a), below(b) - below(a));
        if !(low < high && share > 0.0) {
            return Err(format!(
                "a normal distribution between {low} and {high}; give bounds that hold some of it, the lower first"
            ));
        }
        let u = self.draw_open(from, shape)?;
        let part = self.scale(u, share);
        let u = self.by(ScalarOp::Add, part, first);
        let x = self.normal_quantile(u);
        let x = if turned { self.map(ScalarOp::Neg, &[x]) } else { x };
        let x = self.by(ScalarOp::Max, x, low);
        Ok(self.by(ScalarOp::Min, x, high))
    }

    /// True with the probabilities `p`, f32 or f64: where a number in `[0, 1)` is less.
    ///
    /// # Errors
    /// As [`Graph::draw_open`], and where `p` is of another type.
    pub fn draw_bernoulli(&mut self, from: Source, p: Operand) -> Composed {
        let ty = self.dense("bernoulli", p)?;
        if !matches!(ty.dtype, DType::F32 | DType::F64) {
            return Err(format!("`bernoulli` takes probabilities of f32 or f64, {} found", ty.dtype));
        }
        let words = self.words(from, &ty.shape)?;
        let words = self.cast(words, DType::F64);
        let u = self.scale(words, 1.0 / 4_294_967_296.0);
        let p = self.cast(p, DType::F64);
        self.aligned(ScalarOp::Lt, &[u, p])
    }

    /// Scores of classes: logits and Gumbel noise, f64. The greatest is of a class with its probability (the Gumbel-max
    /// trick), the greatest `k` are a weighted sample without replacement (Efraimidis and Spirakis 2006, in logarithms).
    fn scores(&mut self, from: Source, logits: Operand, shape: &[Dim]) -> Composed {
        let noise = self.draw_gumbel(from, shape)?;
        let logits = self.cast(logits, DType::F64);
        self.aligned(ScalarOp::Add, &[logits, noise])
    }

    fn classes(&self, what: &str, logits: Operand) -> Result<Shape, String> {
        let ty = self.dense(what, logits)?;
        if !ty.dtype.is_real() || ty.rank() == 0 {
            return Err(format!(
                "`{what}` takes logits [.., classes] of floats, {}{} found",
                ty.dtype,
                shape_text(&ty.shape)
            ));
        }
        Ok(ty.shape)
    }

    /// A class for each row of `logits [.., classes]`, which are logarithms of weights: i32 `[..]`.
    ///
    /// # Errors
    /// As [`Graph::draw_open`], and where there are no floats or may be no class.
    pub fn draw_categorical(&mut self, from: Source, logits: Operand) -> Composed {
        let shape = self.classes("categorical", logits)?;
        let scores = self.scores(from, logits, &shape)?;
        self.arg_extreme(ReduceOp::Max, scores, -1, false, DType::I32)
    }

    /// `count` classes for each row of `logits [.., classes]`, which are logarithms of weights, each class as often as it
    /// is drawn: i32 `[.., count]`.
    ///
    /// # Errors
    /// As [`Graph::draw_categorical`].
    pub fn draw_categoricals(&mut self, from: Source, logits: Operand, count: &Dim) -> Composed {
        let mut shape = self.classes("categorical", logits)?;
        let last = shape.len() - 1;
        shape.insert(last, count.clone());
        let logits = self.broadcast(logits, shape.clone(), (0..last).chain([last + 1]).collect());
        self.draw_categorical(from, logits)
    }

    /// `k` different classes for each row of `logits [.., classes]`, which are logarithms of weights, drawn one after the
    /// other from what is left: i32 `[.., k]`. Classes of weight 0 come last, by position.
    ///
    /// # Errors
    /// As [`Graph::draw_open`], and where there are no floats or there cannot be shown to be so many classes.
    pub fn draw_without_replacement(&mut self, from: Source, logits: Operand, k: &Dim) -> Composed {
        let shape = self.classes("sample_without_replacement", logits)?;
        self.enough("sample_without_replacement", k, &shape[shape.len() - 1])?;
        let scores = self.scores(from, logits, &shape)?;
        let [_, ids] = self.top_k(scores, k, -1, true)?;
        Ok(ids)
    }

    /// `k` of `n` positions, each at most once, every choice in every order alike: i32 `[k]`. With all of them, a
    /// permutation.
    ///
    /// # Errors
    /// As [`Graph::draw_open`], and where `k` cannot be shown to be at most `n`.
    pub fn draw_positions(&mut self, from: Source, n: &Dim, k: &Dim) -> Composed {
        self.enough("sample", k, n)?;
        let words = self.words(from, std::slice::from_ref(n))?;
        if k.eq_proof(n) == Proof::True {
            let [_, ids] = self.sort(words, 0, false)?;
            return Ok(ids);
        }
        let [_, ids] = self.top_k(words, k, 0, true)?;
        Ok(ids)
    }

    fn enough(&self, what: &str, k: &Dim, n: &Dim) -> Result<(), String> {
        match k.le(n) {
            Proof::True => Ok(()),
            _ => Err(format!("`{what}` of {k} out of {n}, which cannot be shown to be as many")),
        }
    }

    /// The number below which a standard normal one lies with probability `p`, f64, to 1e-15 (Wichura 1988, AS 241).
    pub fn normal_quantile(&mut self, p: Operand) -> Operand {
        let centred = self.by(ScalarOp::Sub, p, 0.5);
        let square = self.map(ScalarOp::Square, &[centred]);
        let minus = self.map(ScalarOp::Neg, &[square]);
        let r = self.by(ScalarOp::Add, minus, 0.180_625);
        let ratio = self.quotient(r, &MIDDLE);
        let middle = self.map(ScalarOp::Mul, &[centred, ratio]);

        let one = self.fill_like(p, 1.0);
        let rest = self.map(ScalarOp::Sub, &[one, p]);
        let tail = self.map(ScalarOp::Min, &[p, rest]);
        let log = self.map(ScalarOp::Log, &[tail]);
        let log = self.map(ScalarOp::Neg, &[log]);
        let r = self.map(ScalarOp::Sqrt, &[log]);
        let (near, far) = (self.by(ScalarOp::Sub, r, 1.6), self.by(ScalarOp::Sub, r, 5.0));
        let (near, far) = (self.quotient(near, &NEAR), self.quotient(far, &FAR));
        let five = self.fill_like(p, 5.0);
        let is_near = self.map(ScalarOp::Le, &[r, five]);
        let size = self.select(is_near, near, far);
        let negative = self.map(ScalarOp::Neg, &[size]);
        let zero = self.fill_like(p, 0.0);
        let below = self.map(ScalarOp::Lt, &[centred, zero]);
        let outer = self.select(below, negative, size);

        let distance = self.map(ScalarOp::Abs, &[centred]);
        let bound = self.fill_like(p, 0.425);
        let inner = self.map(ScalarOp::Le, &[distance, bound]);
        self.select(inner, middle, outer)
    }

    /// A quotient of polynomials, the highest power last.
    fn quotient(&mut self, x: Operand, polynomials: &[[f64; 8]; 2]) -> Operand {
        let [above, below] = polynomials.map(|c| {
            let highest = self.fill_like(x, c[7]);
            c[..7].iter().rev().fold(highest, |sum, c| {
                let product = self.map(ScalarOp::Mul, &[sum, x]);
                self.by(ScalarOp::Add, product, *c)
            })
        });
        self.map(ScalarOp::Div, &[above, below])
    }
}

const MIDDLE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];

const NEAR: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_104,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];
