//! The loop-level IR: a kernel is buffers and a tree of loops over them.
//!
//! Everything that a backend compiles is a [`Kernel`]: fused regions of the graph and hand-written
//! schedules alike. The tree says what happens (loads, scalar operations, stores) and how (which loop is
//! a vector, which is unrolled, which is spread over threads). The rules that make it safe and
//! deterministic:
//!
//! * **At most one `Parallel` loop, and it is the whole body.** Its iterations write disjoint elements of
//!   the global buffers, so any split over threads gives the same bits. A kernel without it runs on one
//!   thread.
//! * **A `Vector(n)` loop has independent iterations.** A backend runs `n` of them in lanes and what
//!   remains one by one. A reduction over a vector loop is written out: a register array of `n` partial
//!   results indexed by the lane, and one [`Expr::Lanes`] at the end, whose order is a fixed tree.
//! * **A `Register` array is indexed by constants once `Unroll` and `Vector` loops are expanded**, so that
//!   a backend keeps it in registers.
//! * **Indices are elements, not bytes, and in bounds** for every run: the verifier proves what it can, the
//!   interpreter checks the rest.

pub mod build;
mod eval;
mod fault;
pub mod interp;
pub mod parse;
mod position;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod verify;
mod watch;

use crate::dtype::{DType, Literal};
use crate::scalar::{ReduceOp, ScalarOp};

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the kernel's table.
            pub fn at(self) -> usize { self.0 as usize }
        }
    )+};
}

ids! {
    /// A loop variable: an i64.
    VarId;
    /// A named scalar value of a `Let` (a vector of lanes inside a vector loop).
    ValId;
    /// A buffer of the kernel, parameter or local.
    BufId;
    /// A run-time dimension of the kernel: an i64 parameter.
    DimId;
}

/// A compiled unit: one function over buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// Its name: also the symbol in objects. Letters, digits and `_`.
    pub name: String,
    /// Names of the run-time dimensions, in the order of the parameters.
    pub dims: Vec<String>,
    /// Parameters first (in the order of the call), then locals.
    pub buffers: Vec<Buffer>,
    /// Names of loop variables.
    pub vars: Vec<String>,
    /// Types of values.
    pub vals: Vec<DType>,
    /// The statements.
    pub body: Vec<Stmt>,
}

/// One buffer of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Its name in text.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Number of elements.
    pub len: Index,
    /// Where it lives.
    pub space: Space,
}

/// Where a buffer lives, and for parameters what the kernel does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Parameter, only read. Not aliased by any written parameter.
    In,
    /// Parameter, only written. Not aliased by any other parameter.
    Out,
    /// Parameter, read and written.
    InOut,
    /// Local to an iteration of the parallel loop, on the stack; at most 256 KiB together.
    Stack,
    /// Local, kept in registers: constant length, constant indices after expansion of loops.
    Register,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// `for var in (lo..hi).step_by(step)`.
    For {
        /// The loop variable.
        var: VarId,
        /// First value.
        lo: Index,
        /// End, exclusive.
        hi: Index,
        /// Positive step; 1 for vector loops.
        step: i64,
        /// How it runs.
        kind: AxisKind,
        /// What it repeats.
        body: Vec<Stmt>,
    },
    /// Two branches on a scalar truth value (never lane-wise: inside a vector loop use `select`).
    If {
        /// A bool that does not vary over lanes.
        cond: Expr,
        /// Run when true.
        then: Vec<Stmt>,
        /// Run when false.
        otherwise: Vec<Stmt>,
    },
    /// Names a value; each name is bound once.
    Let {
        /// The name.
        val: ValId,
        /// Its value.
        expr: Expr,
    },
    /// `buf[index] = value`.
    Store {
        /// Target buffer.
        buf: BufId,
        /// Element.
        index: Index,
        /// The value, of the buffer's type.
        value: Expr,
    },
    /// `buf[index] = op(buf[index], value)`; a sum of a product is one fused multiply-add (two
    /// roundings on a target that has no such instruction).
    Accumulate {
        /// How to combine.
        op: ReduceOp,
        /// Target buffer.
        buf: BufId,
        /// Element.
        index: Index,
        /// The value, of the buffer's type.
        value: Expr,
    },
    /// Sets every element of a local buffer (`Stack`, `Register`).
    Fill {
        /// The local buffer.
        buf: BufId,
        /// The value.
        value: Literal,
    },
    /// Asks for the cache line of an element soon to be read; never faults, the index need not be in bounds.
    Prefetch {
        /// The buffer.
        buf: BufId,
        /// Element.
        index: Index,
    },
}

/// How a loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisKind {
    /// One iteration after the other.
    Serial,
    /// Written out; bounds are constants.
    Unroll,
    /// Lanes of a vector of this many elements; the remainder runs one by one.
    Vector(u32),
    /// Spread over threads; the whole body of the kernel.
    Parallel(Split),
}

/// How the iterations of a parallel loop are divided among threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Equal counts.
    Even,
    /// Equal work: the buffer is a monotone prefix count (CSR row pointers, i32); iteration `i` stands for
    /// the rows `[i * rows_per_iteration, (i + 1) * rows_per_iteration)` of it.
    ByPrefix {
        /// The prefix buffer, a parameter.
        prefix: BufId,
        /// Rows of it per iteration.
        rows_per_iteration: u32,
    },
}

/// An integer expression for extents and positions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// A constant.
    Const(i64),
    /// A loop variable.
    Var(VarId),
    /// A run-time dimension.
    Dim(DimId),
    /// A scalar value of an integer type: the result of an indirect load.
    Val(ValId),
    /// Sum.
    Add(Box<Index>, Box<Index>),
    /// Difference.
    Sub(Box<Index>, Box<Index>),
    /// Product.
    Mul(Box<Index>, Box<Index>),
    /// Quotient rounded down; the divisor is positive.
    Div(Box<Index>, Box<Index>),
    /// Remainder, never negative; the divisor is positive.
    Mod(Box<Index>, Box<Index>),
    /// The lesser.
    Min(Box<Index>, Box<Index>),
    /// The greater.
    Max(Box<Index>, Box<Index>),
}

/// A value expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A constant.
    Lit(Literal),
    /// A value bound by `Let`.
    Val(ValId),
    /// An integer expression as an i64 value.
    Index(Box<Index>),
    /// `buf[index]`.
    Load {
        /// Source buffer.
        buf: BufId,
        /// Element.
        index: Box<Index>,
    },
    /// A scalar operation.
    Op(ScalarOp, Vec<Expr>),
    /// Conversion: float to int truncates and saturates (NaN gives 0), int to int wraps, to bool is `!= 0`.
    Cast(DType, Box<Expr>),
    /// The sum of four products of bytes: `a[i]*b[j] + .. + a[i+3]*b[j+3]` as an i32, where the elements of `a`
    /// are u8 and those of `b` i8. Machines have one instruction for it, where lanes read `a` side by side.
    Dot4 {
        /// A buffer of u8, and the first of the four elements.
        a: (BufId, Box<Index>),
        /// A buffer of i8, and the first of the four elements.
        b: (BufId, Box<Index>),
    },
    /// The bits that a value has in memory, as a value of another type of the same size.
    Bits(DType, Box<Expr>),
    /// Reduces the whole of a register array to one value, by halves: `a[i] op a[i + n/2]` until one is
    /// left. Its length is a power of two.
    Lanes {
        /// How to combine.
        op: ReduceOp,
        /// The register array.
        buf: BufId,
    },
}

impl Kernel {
    /// The parameters among the buffers: the call passes one pointer for each.
    pub fn params(&self) -> impl Iterator<Item = (BufId, &Buffer)> {
        self.buffers
            .iter()
            .enumerate()
            .filter(|(_, b)| matches!(b.space, Space::In | Space::Out | Space::InOut))
            .map(|(i, b)| (BufId(i as u32), b))
    }

    /// The parallel loop, where the kernel has one: lower bound, upper bound and split.
    pub fn parallel(&self) -> Option<(&Index, &Index, i64, Split)> {
        match self.body.as_slice() {
            [Stmt::For { lo, hi, step, kind: AxisKind::Parallel(split), .. }] => {
                Some((lo, hi, *step, *split))
            }
            _ => None,
        }
    }
}
