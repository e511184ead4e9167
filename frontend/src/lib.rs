//! latentc: a tensor compiler for models that live on embedding tables and graphs.
//!
//! A model is a Rust function over [`Tensor`] handles. [`program`] calls it once and gives a [`Program`]: one
//! graph with the forward part, the gradients and the step of the optimizer, which a device makes ready to run.
//!
//! ```
//! use latentc::prelude::*;
//! use latentc::{CsrArray, Session};
//! use std::sync::Arc;
//!
//! #[derive(Params)]
//! struct LightGcn {
//!     nodes: Table, // one row a user or item
//! }
//!
//! impl LightGcn {
//!     fn new(p: &Init, nodes: usize) -> Self {
//!         Self { nodes: p.table("nodes", [nodes, 8], init::normal(0.1)) }
//!     }
//!
//!     /// The mean of what 0, 1, .., `layers` steps along the edges bring to each node.
//!     fn embed<'g>(&self, g: &'g Scope, adj: Csr<'g>, layers: usize) -> Tensor<'g> {
//!         let mut e = self.nodes.all(g);
//!         let mut sum = e;
//!         for _ in 0..layers {
//!             e = adj.sym_norm_spmm(e);
//!             sum = sum + e;
//!         }
//!         sum / (layers as f32 + 1.0)
//!     }
//! }
//!
//! fn train_step(nodes: usize) -> Result<Program> {
//!     program("lightgcn_step", |g| {
//!         let batch = g.dim("batch", 1..=8192);
//!         let model = LightGcn::new(g.params(), nodes);
//!         let adj = g.csr("adj", [nodes, nodes]).symmetric();
//!         let [user, pos, neg] = ["user", "pos", "neg"].map(|name| g.ids(name, [batch]));
//!         let e = model.embed(g, adj, 2);
//!         let penalty = model.nodes.l2(&[user, pos, neg]) / batch;
//!         let loss = bpr(e.rows(user), e.rows(pos), e.rows(neg)) + 1e-4 * penalty;
//!         g.minimise(loss, Adam::new(1e-2));
//!         g.output("loss", loss);
//!     })
//! }
//!
//! // Users 0 and 1, items 2, 3 and 4.
//! let edges = Arc::new(CsrArray::bipartite(2, 3, [(0, 0), (0, 1), (1, 2)])?);
//! let program = train_step(5)?;
//! let train = |mut session: Session| -> Result<f32, Box<dyn std::error::Error>> {
//!     let mut store = program.init(42);
//!     session.set_csr("adj", edges.clone())?;
//!     session.set("user", &[3], &[0, 0, 1])?;
//!     session.set("pos", &[3], &[2, 3, 4])?;
//!     session.set("neg", &[3], &[4, 4, 2])?;
//!     for _ in 0..50 {
//!         session.run(&mut store)?;
//!     }
//!     Ok(session.output::<f32>("loss")?.1[0])
//! };
//! let interpreted = train(interp().compile(&program, &Options::default())?)?;
//! assert!(interpreted < 0.3);
//! # #[cfg(feature = "llvm")]
//! # {
//! let native = train(cpu()?.compile(&program, &Options::default())?)?;
//! assert!((native - interpreted).abs() < 1e-4);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Mistakes
//!
//! Calls of the DSL give no `Result` and do not panic. What does not fit is recorded with the lines that disagree, what
//! comes out of it is poisoned and stays silent, and [`program`] returns everything that is wrong at once, as
//! [`Errors`]:
//!
//! ```
//! use latentc::prelude::*;
//!
//! let errors = program("wrong", |g| {
//!     let x = g.input("x", DType::F32, [8, 3]);
//!     let w = g.params().tensor("w", [4, 2], init::xavier_uniform()).get(g);
//!     g.output("y", x.matmul(w).relu());
//!     g.output("y", x + 1.0);
//! })
//! .unwrap_err();
//! assert_eq!(errors.diags().len(), 2);
//! println!("{}", errors.render(true));
//! ```
//!
//! # What is where
//!
//! | for | see |
//! |---|---|
//! | inputs, outputs, dims, state | [`Scope`] |
//! | operations | [`Tensor`], [`Csr`] |
//! | loops and branches | [`Scope::scan`], [`Scope::cond`], [`Scope::while_loop`] |
//! | recurrent layers | [`nn`] |
//! | parameters | [`Init`], [`Table`], [`Param`], [`derive@Params`], [`init`] |
//! | derivatives within a program, gradients by hand, checkpoints | [`Scope::grad`], [`Scope::custom_vjp`], [`Scope::checkpoint`] |
//! | one function for a batch of slices | [`Scope::vmap`] |
//! | products in 16 bits; results to the bit | [`Mixed`], [`Numerics`] |
//! | losses and optimizers | [`loss`], [`Adam`], [`Adagrad`], [`Sgd`] |
//! | what was made of a program, and why | [`debug`] |
//! | running | [`cpu`], [`interp`], [`Session`], [`Store`] |
//! | object files for C and Rust | [`aot`] |
//! | property tests of a model | `testing`, with the feature `testing` |
//!
//! Without the default feature `llvm` there is no [`cpu`], and programs run by the interpreter only.

// `#[derive(Params)]` writes `::latentc`, in this crate too.
extern crate self as latentc;

#[cfg(feature = "llvm")]
pub mod aot;
mod csr;
mod device;
mod dims;
mod errors;
#[cfg(feature = "npz")]
pub mod import;
pub mod nn;
pub mod params;
mod program;
mod scope;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
mod train;
mod transform;

pub use csr::Csr;
#[cfg(feature = "llvm")]
pub use device::cpu;
pub use device::{Device, interp};
pub use dims::{AxesLike, AxisLike, Dim, DimLike, ShapeLike};
pub use errors::{Errors, excerpts};
#[cfg(feature = "llvm")]
pub use latentc_backends::cpu::{Isa, llvm_version, peaks};
#[cfg(feature = "llvm")]
pub use latentc_backends::debug;
pub use latentc_backends::{
    Axis, Cache, CacheNote, CompileError, Declared, Fault, Ids, Options, Peaks, Profile, Report, RunError,
    Session, Store, Trace, Wrong,
};
/// Writes [`Params`](trait@Params) for a struct.
pub use latentc_derive::Params;
pub use latentc_ir::array::{Array, CsrArray, Element};
pub use latentc_ir::compose::bag::Bag;
pub use latentc_ir::compose::nearest::Metric;
pub use latentc_ir::compose::quantize::Scales;
pub use latentc_ir::compose::regions::RoiAlign;
pub use latentc_ir::compose::resize::{Coordinates, Interpolation, Nearest, Resize};
pub use latentc_ir::compose::sample::{Beyond, Sampling};
pub use latentc_ir::csr::CsrError;
pub use latentc_ir::diag::{Diag, Span};
pub use latentc_ir::dtype::DType;
pub use latentc_ir::graph::Graph;
pub use latentc_ir::lower::{Schedule, Schedules};
pub use latentc_ir::ops::windows::Window;
pub use latentc_ir::passes::Numerics;
pub use latentc_ir::philox;
pub use params::{Init, Initializer, Param, ParamSpec, Params, Table, init};
pub use program::{Program, Result, program, read_graph};
pub use scope::{DimSpec, First, RNG_SEED, RNG_STEP, Scope, StateSpec, Steps, Values};
pub use tensor::{Arg, Around, Attention, Tensor, Triangle, Update, Walk};
pub use train::loss;
pub use train::{ADAM_STEP, Adagrad, Adam, GOOD_STEPS, LOSS_SCALE, LossScale, Lr, Mixed, Optimizer, Sgd};
pub use transform::Tensors;

/// What a file that builds models uses.
pub mod prelude {
    #[cfg(feature = "llvm")]
    pub use crate::cpu;
    pub use crate::train::loss::{binary_cross_entropy, bpr, cross_entropy, mae, mse};
    pub use crate::{
        Adagrad, Adam, Csr, DType, Dim, Errors, Init, Lr, Optimizer, Options, Param, Params, Program, Result,
        Scope, Sgd, Table, Tensor, init, interp, program,
    };
}
