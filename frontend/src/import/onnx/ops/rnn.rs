//! Recurrent layers: a scan over the steps of each direction.

use super::activation::cell;
use crate::import::onnx::body::Loop;
use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "RNN" [1, 7, 14, 22] rnn;
    "GRU" [1, 3, 7, 14, 22] gru;
    "LSTM" [1, 7, 14, 22] lstm;
}

/// A layer: operands as `[seq, batch, ..]`, attributes, and how many gates it has.
struct Layer {
    x: Operand,
    steps: Dim,
    batch: Dim,
    hidden: usize,
    gates: usize,
    directions: usize,
    reverse_first: bool,
    batch_first: bool,
    clip: Option<f64>,
    names: Vec<String>,
    alphas: Vec<f64>,
    betas: Vec<f64>,
}

/// What one direction works with.
struct One {
    w: Operand,
    r: Operand,
    wb: Option<Operand>,
    rb: Option<Operand>,
    first: usize,
}

impl Layer {
    fn new(im: &mut Importer<'_>, n: &Node<'_>, gates: usize, defaults: &[&str]) -> R<Layer> {
        let batch_first = n.flag("layout", false);
        let mut x = n.x(0)?;
        if im.rank(x) != 3 {
            return Err("three axes are expected".into());
        }
        if batch_first {
            x = im.permute(x, &[1, 0, 2])?;
        }
        let (directions, reverse_first) = match n.word("direction", "forward")? {
            "forward" => (1, false),
            "reverse" => (1, true),
            "bidirectional" => (2, false),
            other => return n.mode_unknown("direction", other),
        };
        let r = n.x(2)?;
        let hidden = im.size(r, 2)?;
        let names = match n.words("activations")? {
            Some(w) => w.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            None => {
                defaults.iter().cycle().take(defaults.len() * directions).map(|s| (*s).to_owned()).collect()
            }
        };
        if names.len() != defaults.len() * directions {
            return Err(format!("{} activations for {directions} directions", names.len()).into());
        }
        Ok(Layer {
            x,
            steps: im.dim(x, 0)?,
            batch: im.dim(x, 1)?,
            hidden,
            gates,
            directions,
            reverse_first,
            batch_first,
            clip: n.attr("clip").map(|a| f64::from(a.f)),
            names,
            alphas: n.floats("activation_alpha").unwrap_or_default(),
            betas: n.floats("activation_beta").unwrap_or_default(),
        })
    }

    fn one(&self, im: &mut Importer<'_>, n: &Node<'_>, d: usize) -> R<One> {
        let (w, r) = (n.x(1)?, n.x(2)?);
        let (w, r) = (im.at(w, 0, d)?, im.at(r, 0, d)?);
        let (w, r) = (im.transpose(w)?, im.transpose(r)?);
        let width = self.gates * self.hidden;
        let (wb, rb) = match n.opt(3)? {
            Some(b) => {
                let b = im.at(b, 0, d)?;
                (Some(im.range(b, 0, 0, width)?), Some(im.range(b, 0, width, 2 * width)?))
            }
            None => (None, None),
        };
        Ok(One { w, r, wb, rb, first: d * (self.names.len() / self.directions) })
    }

    /// What a direction begins with: given `[directions, batch, hidden]`, or zeros.
    fn start(&self, im: &mut Importer<'_>, n: &Node<'_>, at: usize, d: usize) -> R {
        match n.opt(at)? {
            Some(h) => {
                let h = if self.batch_first { im.permute(h, &[1, 0, 2])? } else { h };
                im.at(h, 0, d)
            }
            None => {
                let shape = Shape::from_iter([self.batch.clone(), Dim::from(self.hidden)]);
                Ok(im.fill_of(self.x, 0, shape))
            }
        }
    }

    fn activate(&self, im: &mut Importer<'_>, one: &One, which: usize, x: Operand) -> R {
        let at = one.first + which;
        let x = match self.clip {
            Some(c) => {
                let y = im.with(ScalarOp::Max, x, -c)?;
                im.with(ScalarOp::Min, y, c)?
            }
            None => x,
        };
        cell(im, &self.names[at], x, self.alphas.get(at).copied(), self.betas.get(at).copied())
    }

    /// `x W + b`
    fn affine(&self, im: &mut Importer<'_>, x: Operand, w: Operand, b: Option<Operand>) -> R {
        let y = im.matmul(x, w)?;
        match b {
            Some(b) => im.add(y, b),
            None => Ok(y),
        }
    }

    fn gate(&self, im: &mut Importer<'_>, x: Operand, at: usize) -> R {
        let axis = im.rank(x) - 1;
        im.range(x, axis, at * self.hidden, (at + 1) * self.hidden)
    }

    /// Runs every direction; `step` gives the new states from the input of a step and the old ones. States beyond
    /// the length of a sequence stay as they are, and its output is zero.
    fn run(
        &self,
        im: &mut Importer<'_>,
        n: &Node<'_>,
        starts: &[usize],
        mut step: impl FnMut(&mut Importer<'_>, &One, Operand, &[Operand]) -> R<Vec<Operand>>,
    ) -> R<Vec<Val>> {
        let lens = match n.opt(4)? {
            Some(l) => {
                let l = im.cast(l, DType::I64)?;
                Some(im.unsqueeze(l, &[1])?)
            }
            None => None,
        };
        let (mut all, mut last): (Vec<Operand>, Vec<Vec<Operand>>) = (vec![], vec![vec![]; starts.len()]);
        for d in 0..self.directions {
            let one = self.one(im, n, d)?;
            let states: Vec<Operand> = starts.iter().map(|at| self.start(im, n, *at, d)).collect::<R<_>>()?;
            let numbers = im.iota(self.steps.clone(), DType::I64)?;
            let how = Loop {
                trips: self.steps.clone(),
                reverse: d == 1 || self.reverse_first,
                begin: &states,
                along: &[self.x, numbers],
            };
            let mut results = im.scan(&how, |im, states, read| {
                let mut new = step(im, &one, read[0], states)?;
                let mut shown = new[0];
                if let Some(l) = lens {
                    let inside = im.bin(ScalarOp::Lt, read[1], l)?;
                    let zero = im.like(shown, 0.0);
                    shown = im.select(inside, shown, zero)?;
                    for (new, old) in new.iter_mut().zip(states) {
                        *new = im.select(inside, *new, *old)?;
                    }
                }
                new.push(shown);
                Ok(new)
            })?;
            all.extend(results.pop());
            last.iter_mut().zip(results).for_each(|(l, s)| l.push(s));
        }
        // [seq, directions, batch, hidden], or batch first.
        let y = im.stack(&all, 1)?;
        let y = if self.batch_first { im.permute(y, &[2, 0, 1, 3])? } else { y };
        let mut result = vec![im.t(y)];
        for l in last {
            let l = im.stack(&l, if self.batch_first { 1 } else { 0 })?;
            result.push(im.t(l));
        }
        Ok(result)
    }
}

fn rnn(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let l = Layer::new(im, n, 1, &["Tanh"])?;
    l.run(im, n, &[5], |im, one, x, s| {
        let (a, b) = (l.affine(im, x, one.w, one.wb)?, l.affine(im, s[0], one.r, one.rb)?);
        let sum = im.add(a, b)?;
        Ok(vec![l.activate(im, one, 0, sum)?])
    })
}

fn gru(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let l = Layer::new(im, n, 3, &["Sigmoid", "Tanh"])?;
    let after = n.flag("linear_before_reset", false);
    l.run(im, n, &[5], |im, one, x, s| {
        let h = s[0];
        let (a, b) = (l.affine(im, x, one.w, one.wb)?, l.affine(im, h, one.r, one.rb)?);
        let gate = |im: &mut Importer<'_>, at: usize| -> R {
            let (a, b) = (l.gate(im, a, at)?, l.gate(im, b, at)?);
            let sum = im.add(a, b)?;
            l.activate(im, one, 0, sum)
        };
        let (z, r) = (gate(im, 0)?, gate(im, 1)?);
        let own = l.gate(im, a, 2)?;
        let recurrent = if after {
            let b = l.gate(im, b, 2)?;
            im.mul(r, b)?
        } else {
            let reset = im.mul(r, h)?;
            let w = l.gate(im, one.r, 2)?;
            let bias = match one.rb {
                Some(b) => Some(l.gate(im, b, 2)?),
                None => None,
            };
            l.affine(im, reset, w, bias)?
        };
        let sum = im.add(own, recurrent)?;
        let new = l.activate(im, one, 1, sum)?;
        // (1 - z) new + z h
        let d = im.sub(h, new)?;
        let d = im.mul(z, d)?;
        Ok(vec![im.add(new, d)?])
    })
}

fn lstm(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let l = Layer::new(im, n, 4, &["Sigmoid", "Tanh", "Tanh"])?;
    let coupled = n.flag("input_forget", false);
    l.run(im, n, &[5, 6], |im, one, x, s| {
        let (h, c) = (s[0], s[1]);
        let (a, b) = (l.affine(im, x, one.w, one.wb)?, l.affine(im, h, one.r, one.rb)?);
        let all = im.add(a, b)?;
        // Peepholes, in the order input, output, forget.
        let peep = |im: &mut Importer<'_>, gate: Operand, c: Operand, at: usize| -> R {
            let Some(p) = n.opt(7)? else { return Ok(gate) };
            let d = one.first / 3;
            let p = im.at(p, 0, d)?;
            let p = l.gate(im, p, at)?;
            let p = im.mul(p, c)?;
            im.add(gate, p)
        };
        let i = l.gate(im, all, 0)?;
        let i = peep(im, i, c, 0)?;
        let i = l.activate(im, one, 0, i)?;
        let f = if coupled {
            let one = im.like(i, 1.0);
            im.sub(one, i)?
        } else {
            let f = l.gate(im, all, 2)?;
            let f = peep(im, f, c, 2)?;
            l.activate(im, one, 0, f)?
        };
        let g = l.gate(im, all, 3)?;
        let g = l.activate(im, one, 1, g)?;
        let (kept, new) = (im.mul(f, c)?, im.mul(i, g)?);
        let c = im.add(kept, new)?;
        let o = l.gate(im, all, 1)?;
        let o = peep(im, o, c, 1)?;
        let o = l.activate(im, one, 0, o)?;
        let t = cell(
            im,
            &l.names[one.first + 2],
            c,
            l.alphas.get(one.first + 2).copied(),
            l.betas.get(one.first + 2).copied(),
        )?;
        Ok(vec![im.mul(o, t)?, c])
    })
}
