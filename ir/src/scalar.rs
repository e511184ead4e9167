//! The scalar operations: one table that graphs (elementwise ops), nests and every backend share.
//!
//! A row gives the name used in text forms, the number of operands and one line of meaning. Reference
//! values are in [`eval`]; derivatives stand with the elementwise graph op.

use crate::dtype::DType;

mod reference;
pub use reference::{combine, convert, eval, reinterpret};

macro_rules! scalar_ops {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal / $arity:literal : $result:ident;)+) => {
        /// A scalar operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ScalarOp { $($(#[doc = $doc])+ $variant,)+ }

        impl ScalarOp {
            /// Every scalar operation.
            pub const ALL: &'static [ScalarOp] = &[$(ScalarOp::$variant),+];

            /// The name in text forms.
            pub const fn name(self) -> &'static str {
                match self { $(ScalarOp::$variant => $name,)+ }
            }

            /// How many operands it takes.
            pub const fn arity(self) -> usize {
                match self { $(ScalarOp::$variant => $arity,)+ }
            }

            /// Which types it takes and gives.
            pub const fn signature(self) -> Signature {
                match self { $(ScalarOp::$variant => Signature::$result,)+ }
            }
        }
    };
}

/// The typing of a scalar operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// All operands and the result have one type, any number type that is not for storage alone.
    Number,
    /// All operands and the result have one float type.
    Float,
    /// All operands and the result have one integer type.
    Integer,
    /// Operands of one type (numbers or bool), result bool.
    Compare,
    /// Operands and result bool, or all of one integer type (bitwise).
    Logic,
    /// `(bool, T, T) -> T`.
    Select,
    /// `(i64 index, i64 seed, i64 stream, i64 step) -> u32`.
    Philox,
}

scalar_ops! {
    /// `-x`
    Neg = "neg" / 1 : Number;
    /// `|x|`
    Abs = "abs" / 1 : Number;
    /// `-1`, `0` or `1`; keeps NaN
    Sign = "sign" / 1 : Number;
    /// `e^x`
    Exp = "exp" / 1 : Float;
    /// `e^x - 1`
    Expm1 = "expm1" / 1 : Float;
    /// natural logarithm
    Log = "log" / 1 : Float;
    /// `log(1 + x)`
    Log1p = "log1p" / 1 : Float;
    /// square root
    Sqrt = "sqrt" / 1 : Float;
    /// `1 / sqrt(x)`
    Rsqrt = "rsqrt" / 1 : Float;
    /// `1 / x`
    Recip = "recip" / 1 : Float;
    /// `x * x`
    Square = "square" / 1 : Number;
    /// sine, radians
    Sin = "sin" / 1 : Float;
    /// cosine, radians
    Cos = "cos" / 1 : Float;
    /// tangent, radians
    Tan = "tan" / 1 : Float;
    /// the angle in `[-pi/2, pi/2]` with this sine; NaN beyond 1
    Asin = "asin" / 1 : Float;
    /// the angle in `[0, pi]` with this cosine; NaN beyond 1
    Acos = "acos" / 1 : Float;
    /// the angle in `[-pi/2, pi/2]` with this tangent
    Atan = "atan" / 1 : Float;
    /// hyperbolic sine
    Sinh = "sinh" / 1 : Float;
    /// hyperbolic cosine
    Cosh = "cosh" / 1 : Float;
    /// inverse of the hyperbolic sine
    Asinh = "asinh" / 1 : Float;
    /// inverse of the hyperbolic cosine, at least 0; NaN below 1
    Acosh = "acosh" / 1 : Float;
    /// inverse of the hyperbolic tangent; NaN beyond 1
    Atanh = "atanh" / 1 : Float;
    /// hyperbolic tangent
    Tanh = "tanh" / 1 : Float;
    /// Gauss error function
    Erf = "erf" / 1 : Float;
    /// logarithm of the size of the gamma function; infinite at 0 and the negative integers
    Lgamma = "lgamma" / 1 : Float;
    /// derivative of `lgamma`; infinite at 0, NaN at the negative integers
    Digamma = "digamma" / 1 : Float;
    /// `1 / (1 + e^-x)`
    Sigmoid = "sigmoid" / 1 : Float;
    /// `log(1 + e^x)`, without overflow
    Softplus = "softplus" / 1 : Float;
    /// `max(x, 0)`; keeps NaN
    Relu = "relu" / 1 : Number;
    /// greatest integer not above
    Floor = "floor" / 1 : Float;
    /// least integer not below
    Ceil = "ceil" / 1 : Float;
    /// the integer part: towards zero
    Trunc = "trunc" / 1 : Float;
    /// nearest integer, ties to even
    Round = "round" / 1 : Float;
    /// logical or bitwise complement
    Not = "not" / 1 : Logic;
    /// `a + b`; integers wrap
    Add = "add" / 2 : Number;
    /// `a - b`; integers wrap
    Sub = "sub" / 2 : Number;
    /// `a * b`; integers wrap
    Mul = "mul" / 2 : Number;
    /// `a / b`; integer division truncates, by zero gives zero
    Div = "div" / 2 : Number;
    /// remainder with the sign of the divisor; integer by zero gives zero
    Rem = "rem" / 2 : Number;
    /// remainder with the sign of the dividend, as C's `%` and `fmod`; integer by zero gives zero
    Fmod = "fmod" / 2 : Number;
    /// the angle of the point `(b, a)`, in `[-pi, pi]`
    Atan2 = "atan2" / 2 : Float;
    /// bits moved up by `b`, zeros moved in; 0 where `b` is negative or not below the width
    Shl = "shl" / 2 : Integer;
    /// bits moved down by `b`, the sign moved in; where `b` is negative or not below the width the sign alone
    Shr = "shr" / 2 : Integer;
    /// `a^b`
    Pow = "pow" / 2 : Float;
    /// the greater; NaN if either is NaN
    Max = "max" / 2 : Number;
    /// the lesser; NaN if either is NaN
    Min = "min" / 2 : Number;
    /// `a == b`
    Eq = "eq" / 2 : Compare;
    /// `a != b`
    Ne = "ne" / 2 : Compare;
    /// `a < b`
    Lt = "lt" / 2 : Compare;
    /// `a <= b`
    Le = "le" / 2 : Compare;
    /// `a > b`
    Gt = "gt" / 2 : Compare;
    /// `a >= b`
    Ge = "ge" / 2 : Compare;
    /// logical or bitwise and
    And = "and" / 2 : Logic;
    /// logical or bitwise or
    Or = "or" / 2 : Logic;
    /// logical or bitwise exclusive or
    Xor = "xor" / 2 : Logic;
    /// `c ? a : b`
    Select = "select" / 3 : Select;
    /// Philox4x32-10 random bits of a logical element: `(index, seed, stream, step)`
    Philox = "philox" / 4 : Philox;
}

impl ScalarOp {
    /// The operation with this name.
    pub fn parse(name: &str) -> Option<ScalarOp> {
        ScalarOp::ALL.iter().copied().find(|o| o.name() == name)
    }

    /// The result type for operand types, or `None` where the operation does not take them.
    pub fn result(self, operands: &[DType]) -> Option<DType> {
        if operands.len() != self.arity() {
            return None;
        }
        let first = operands[0];
        let same = operands.iter().all(|d| *d == first);
        match self.signature() {
            Signature::Number => (same && first != DType::Bool && !first.is_storage()).then_some(first),
            Signature::Float => (same && first.is_real()).then_some(first),
            Signature::Integer => (same && first.is_int()).then_some(first),
            Signature::Compare => same.then_some(DType::Bool),
            Signature::Logic => (same && !first.is_float()).then_some(first),
            Signature::Select => (first == DType::Bool && operands[1] == operands[2]).then_some(operands[1]),
            Signature::Philox => (same && first == DType::I64).then_some(DType::U32),
        }
    }
}

/// A reduction over elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReduceOp {
    /// Sum; empty gives 0.
    Sum,
    /// Product; empty gives 1.
    Prod,
    /// Greatest; empty gives the type's least value (-inf). NaN wins.
    Max,
    /// Least; empty gives the type's greatest value (+inf). NaN wins.
    Min,
}

impl ReduceOp {
    /// Every reduction.
    pub const ALL: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min];

    /// The name in text forms.
    pub const fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Prod => "prod",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
        }
    }

    /// The reduction with this name.
    pub fn parse(name: &str) -> Option<ReduceOp> {
        ReduceOp::ALL.into_iter().find(|r| r.name() == name)
    }

    /// The scalar operation that combines two partial results.
    pub const fn combine(self) -> ScalarOp {
        match self {
            ReduceOp::Sum => ScalarOp::Add,
            ReduceOp::Prod => ScalarOp::Mul,
            ReduceOp::Max => ScalarOp::Max,
            ReduceOp::Min => ScalarOp::Min,
        }
    }

    /// The value of an empty reduction.
    pub fn identity(self, dtype: DType) -> crate::dtype::Literal {
        use crate::dtype::Literal;
        match self {
            ReduceOp::Sum => Literal::zero(dtype),
            ReduceOp::Prod => Literal::int(dtype, 1),
            ReduceOp::Max if dtype.is_float() => Literal::float(dtype, f64::NEG_INFINITY),
            ReduceOp::Min if dtype.is_float() => Literal::float(dtype, f64::INFINITY),
            // The greatest u64 wraps to the i64 with its bits.
            ReduceOp::Max => Literal::int(dtype, dtype.int_range().map_or(0, |r| r.0 as i64)),
            ReduceOp::Min => Literal::int(dtype, dtype.int_range().map_or(0, |r| r.1 as i64)),
        }
    }
}
