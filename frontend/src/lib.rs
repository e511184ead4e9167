//! The latentc DSL.

// `#[derive(Params)]` writes `::latentc`, in this crate too.
extern crate self as latentc;

mod csr;
#[cfg(feature = "llvm")]
mod device;
mod dims;
pub mod errors;
pub mod params;
pub mod program;
pub mod scope;
pub mod tensor;
pub mod train;

pub use csr::Csr;
#[cfg(feature = "llvm")]
pub use device::{Device, cpu};
pub use dims::{AxesLike, AxisLike, Dim, DimLike, ShapeLike};
pub use errors::Errors;
pub use latentc_backends::{Cache, Options, RunError, Session, Store};
pub use latentc_derive::Params;
pub use latentc_ir::array::{Array, CsrArray, Element};
pub use latentc_ir::dtype::DType;
pub use latentc_ir::philox;
pub use params::{Init, Initializer, Param, Params, Table, init};
pub use program::{Program, Result, program};
pub use scope::Scope;
pub use tensor::{Arg, Tensor};
pub use train::loss;
pub use train::{Adam, Lr, Optimizer, Sgd};

/// What a file that builds models uses.
pub mod prelude {
    pub use crate::train::loss::{binary_cross_entropy, bpr, cross_entropy, mae, mse};
    pub use crate::{
        Adam, Csr, DType, Dim, Errors, Init, Lr, Optimizer, Param, Params, Program, Result, Scope, Sgd,
        Table, Tensor, init, program,
    };
}
