//! What may be wrong with a kernel.

/// A broken rule and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel `{kernel}`, {place}: {fault}")]
pub struct VerifyError {
    /// The kernel.
    pub kernel: String,
    /// The way to the place: loops from the outside in, then the statement.
    pub place: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What may be wrong with a kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The name is no symbol.
    #[error("its name is not made of letters, digits and `_`")]
    Name,
    /// A number that its table does not have.
    #[error("{what} {id} is not declared; there are {count}")]
    Undeclared {
        /// What kind of thing.
        what: &'static str,
        /// Its number.
        id: u32,
        /// The length of the table.
        count: usize,
    },
    /// A variable or value used where it has no value.
    #[error("{what} is used where it is not bound")]
    Unbound {
        /// The variable or value.
        what: String,
    },
    /// A value or the variable of an open loop bound again.
    #[error("{what} is bound twice")]
    BoundTwice {
        /// The variable or value.
        what: String,
    },
    /// A value of one type where another is needed.
    #[error("{what} must be {expected}, {found} found; insert a cast")]
    Type {
        /// What has the type.
        what: String,
        /// The type wanted.
        expected: String,
        /// The type there is.
        found: String,
    },
    /// An operation with operands that it does not take.
    #[error("`{op}` does not take ({found})")]
    Operands {
        /// The operation.
        op: &'static str,
        /// Types of the operands.
        found: String,
    },
    /// A parameter after a local buffer.
    #[error("parameter `{buffer}` stands after a local buffer; parameters come first")]
    ParameterOrder {
        /// The parameter.
        buffer: String,
    },
    /// Something that must be known before the kernel runs.
    #[error("{what} must be constant{}, {found} found", once(.unrolled))]
    NotConstant {
        /// What must be constant.
        what: String,
        /// What it is instead.
        found: String,
        /// Whether variables of unrolled loops count as constants.
        unrolled: bool,
    },
    /// A length or bound out of values that do not exist where it is computed.
    #[error("{what} may use constants and dimensions only")]
    NotFixed {
        /// What it is.
        what: String,
    },
    /// More local memory than there may be.
    #[error("with `{buffer}` there are {found} {unit}; the limit is {limit}")]
    TooLarge {
        /// The buffer that goes beyond.
        buffer: String,
        /// The total with it.
        found: i64,
        /// The greatest total.
        limit: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// A buffer written that may not be, or filled that is not local, or reduced that is no register array.
    #[error("{what} `{buffer}`, which is {space}; {rule}")]
    Space {
        /// What is done.
        what: &'static str,
        /// To which buffer.
        buffer: String,
        /// Where it lives, in the words of the text form.
        space: &'static str,
        /// What would be right.
        rule: &'static str,
    },
    /// A number out of its range: steps, lanes, lengths, rows an iteration, divisors.
    #[error("{what} is {found}; it must be {rule}")]
    Number {
        /// Which number.
        what: String,
        /// Its value.
        found: i64,
        /// The range.
        rule: &'static str,
    },
    /// A parallel loop that is not the whole body.
    #[error("a parallel loop must be the whole body of the kernel")]
    ParallelInside,
    /// A vector loop in a vector loop.
    #[error("a vector loop inside a vector loop")]
    VectorInVector,
    /// Control flow that differs from lane to lane.
    #[error("{what} differs from lane to lane of a vector loop; use `select`, or a serial loop")]
    Varies {
        /// What varies.
        what: String,
    },
    /// A position that no run can have in bounds.
    #[error("position {found} of `{buffer}`, which has {len} elements")]
    OutOfBounds {
        /// The buffer.
        buffer: String,
        /// The position, or the range of positions.
        found: String,
        /// The number of elements.
        len: String,
    },
}

fn once(unrolled: &bool) -> &'static str {
    if *unrolled { " once loops are written out" } else { "" }
}
