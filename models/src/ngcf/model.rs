//! What NGCF computes, in the form of the authors' code and in that of their paper.

use latentc::prelude::*;
use serde::{Deserialize, Serialize};

/// Slope of the activation below zero: the default of the framework that the published results were made with.
const SLOPE: f64 = 0.2;

/// Rows shorter than this are not lengthened to 1.
const SHORTEST: f64 = 1e-6;

/// Which of the two published forms of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As in the authors' code, which gave the published results: two activations, biases, normalised outputs.
    Code,
    /// As printed: one activation, no bias, outputs as they are.
    Paper,
}

/// What the biases of the code's form begin as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// All zero: rows differ from the start, so learning starts at once.
    Zero,
    /// By Xavier's rule for a matrix of one row, as in the authors' code. The biases then are far larger than
    /// what nodes send at first, all nodes look alike, and the first epochs are spent on undoing that.
    Xavier,
}

/// The matrix S that propagates, of the adjacency A and its degrees D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matrix {
    /// (D + I)^-1 (A + I): the mean over the neighbours and the node itself. The code's default.
    Norm,
    /// D^-1 A: the mean over the neighbours.
    Gcmc,
    /// D^-1 A + I.
    MeanSelf,
    /// D^-1/2 A D^-1/2.
    Sym,
    /// A.
    Plain,
}

/// S, with the entries that one step keeps.
#[derive(Clone, Copy, Debug)]
pub struct Propagation<'g> {
    adj: Csr<'g>,
    matrix: Matrix,
    /// Weights of the edges, and of the nodes as their own neighbours.
    kept: Option<[Tensor<'g>; 2]>,
}

impl<'g> Propagation<'g> {
    /// The whole matrix.
    pub fn new(adj: Csr<'g>, matrix: Matrix) -> Propagation<'g> {
        Propagation { adj, matrix, kept: None }
    }

    /// The matrix with each entry kept with probability `1 - rate` and then divided by it: one draw for all
    /// layers of a step. The pattern stays as it is; entries that are not kept weigh nothing.
    pub fn with_node_dropout(self, g: &'g Scope, rate: f64) -> Propagation<'g> {
        let ones = |n: Dim<'g>| g.fill(DType::F32, [n], 1.0).dropout(rate);
        Propagation { kept: Some([ones(self.adj.entries()), ones(self.adj.rows())]), ..self }
    }

    /// A x, over the edges that are kept.
    fn sum(&self, x: Tensor<'g>) -> Tensor<'g> {
        match self.kept {
            Some([edges, _]) => self.adj.spmm_weighted(edges, x),
            None => self.adj.spmm(x),
        }
    }

    /// x, of the nodes that keep themselves.
    fn own(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.kept.map_or(x, |[_, nodes]| x.scale_rows(nodes))
    }

    /// S x.
    pub fn apply(&self, x: Tensor<'g>) -> Tensor<'g> {
        // A node without edges has nothing to divide; 1 keeps its scale finite.
        let degree = || self.adj.degree().maximum(1.0);
        match self.matrix {
            Matrix::Norm => (self.sum(x) + self.own(x)).scale_rows((self.adj.degree() + 1.0).recip()),
            Matrix::Gcmc => self.sum(x).scale_rows(degree().recip()),
            Matrix::MeanSelf => self.sum(x).scale_rows(degree().recip()) + self.own(x),
            Matrix::Sym => {
                let scale = degree().rsqrt();
                self.sum(x.scale_rows(scale)).scale_rows(scale)
            }
            Matrix::Plain => self.sum(x),
        }
    }
}

/// The parameters of a layer.
#[derive(Params, Debug)]
pub struct Layer {
    /// Of the neighbours' sum, `[in, out]`.
    pub w1: Param,
    /// Its bias, `[out]`; none in the paper's form.
    pub b1: Option<Param>,
    /// Of the products of a node and its neighbours' sum, `[in, out]`.
    pub w2: Param,
    /// Its bias, `[out]`; none in the paper's form.
    pub b2: Option<Param>,
}

/// Widths and forms of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Elements of a row of E0.
    pub dim: usize,
    /// Elements that each layer gives.
    pub layers: Vec<usize>,
    /// The form of a layer.
    pub form: Form,
    /// What its biases begin as.
    pub bias: Bias,
}

/// The parameters: one row for each user, then one for each item, and the layers.
#[derive(Params, Debug)]
pub struct Ngcf {
    /// E0, `[users + items, dim]`.
    pub nodes: Table,
    /// The layers.
    pub layers: Vec<Layer>,
    #[params(skip)]
    form: Form,
}

impl Ngcf {
    /// Tables and matrices by Xavier's rule, users and items each as a table of their own.
    pub fn new(p: &Init, [users, items]: [usize; 2], shape: &Shape) -> Ngcf {
        let rows = init::stacked([(users, init::xavier_uniform()), (items, init::xavier_uniform())]);
        let nodes = p.table("nodes", [users + items, shape.dim], rows);
        let mut width = shape.dim;
        let mut layer = |(at, &out): (usize, &usize)| {
            let p = p.scope(format!("layer{}", at + 1));
            let matrix = |name: &str| p.tensor(name, [width, out], init::xavier_uniform());
            let bias = |name: &str| {
                let first = match shape.bias {
                    Bias::Zero => init::zeros(),
                    Bias::Xavier => init::xavier_uniform(),
                };
                (shape.form == Form::Code).then(|| p.tensor(name, [out], first))
            };
            let layer = Layer { w1: matrix("w1"), b1: bias("b1"), w2: matrix("w2"), b2: bias("b2") };
            width = out;
            layer
        };
        let layers = shape.layers.iter().enumerate().map(&mut layer).collect();
        Ngcf { nodes, layers, form: shape.form }
    }

    /// The final rows, `[nodes, dim + widths of the layers]`: E0 and the output of each layer, side by side.
    /// `dropout` is the rate for the messages of every layer; at 0 nothing is drawn. Without `s` there is no
    /// propagation.
    pub fn embed<'g>(&self, g: &'g Scope, s: Option<Propagation<'g>>, dropout: f64) -> Tensor<'g> {
        let mut x = self.nodes.all(g);
        let mut parts = vec![x];
        if let Some(s) = s {
            for layer in &self.layers {
                x = layer.messages(g, s, x, self.form);
                if dropout > 0.0 {
                    x = x.dropout(dropout);
                }
                parts.push(match self.form {
                    Form::Code => x.normalize_rows(SHORTEST),
                    Form::Paper => x,
                });
            }
        }
        g.concat(&parts, 1)
    }
}

impl Layer {
    /// What the nodes of a layer become, before dropout.
    pub fn messages<'g>(&self, g: &'g Scope, s: Propagation<'g>, x: Tensor<'g>, form: Form) -> Tensor<'g> {
        let side = s.apply(x);
        let [w1, w2] = [&self.w1, &self.w2].map(|w| w.get(g));
        let biased = |y: Tensor<'g>, b: &Option<Param>| b.as_ref().map_or(y, |b| y + b.get(g));
        match form {
            Form::Code => {
                let sum = biased(side.matmul(w1), &self.b1).leaky_relu(SLOPE);
                let product = biased((x * side).matmul(w2), &self.b2).leaky_relu(SLOPE);
                sum + product
            }
            Form::Paper => ((side + x).matmul(w1) + (side * x).matmul(w2)).leaky_relu(SLOPE),
        }
    }
}
