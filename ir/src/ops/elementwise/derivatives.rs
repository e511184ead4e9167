//! Derivatives of the scalar operations as a table: one row for each operand of each operation.
//!
//! Conventions where a derivative does not exist: `abs`, `sign` and `relu` have derivative 0 at 0; of equal
//! operands of `max` and `min` the first has the whole gradient; steps (`sign`, `floor`, `ceil`, `round`,
//! `trunc`) have none anywhere. A choice (`relu`, `max`, `min`, `select`) needs only a bool of the forward values.

use super::*;

type Gradients = Result<Vec<Option<Operand>>, Nondifferentiable>;

/// The gradients of the operands of an operation.
pub(super) fn vjp(op: ScalarOp, cx: &mut Vjp<'_>) -> Gradients {
    let Some(dy) = cx.gradients[0] else { return Ok(vec![None; op.arity()]) };
    if matches!(cx.graph.type_of(dy), Type::RowSparse(_))
        && let Some(out) = linear(op, cx, dy)
    {
        return Ok(out);
    }
    let dy = cx.graph.densify(dy);
    let (wanted, x, y) = (cx.wanted, cx.operands, cx.results[0]);
    let mut rule = Rule { g: cx.graph, x, y, dy };
    Ok((0..op.arity()).map(|i| if wanted[i] { rule.row(op, i) } else { None }).collect())
}

/// Linear operations act on the rows of a row-sparse gradient alone. `None` for other operations.
fn linear(op: ScalarOp, cx: &mut Vjp<'_>, dy: Operand) -> Option<Vec<Option<Operand>>> {
    let negative = |cx: &mut Vjp<'_>| cx.map_rows(dy, |g, rows| g.map(ScalarOp::Neg, &[rows]));
    let by_constant = |cx: &mut Vjp<'_>, at: usize| {
        let c = constant(cx.graph, cx.operands[at])?.as_f64();
        Some(cx.map_rows(dy, |g, rows| {
            let c = g.fill_like(rows, c);
            g.map(op, &[rows, c])
        }))
    };
    Some(match op {
        ScalarOp::Add => vec![Some(dy), Some(dy)],
        ScalarOp::Sub => vec![Some(dy), cx.wanted[1].then(|| negative(cx))],
        ScalarOp::Neg => vec![Some(negative(cx))],
        ScalarOp::Mul if !cx.wanted[0] => vec![None, Some(by_constant(cx, 0)?)],
        ScalarOp::Mul | ScalarOp::Div if !cx.wanted[1] => vec![Some(by_constant(cx, 1)?), None],
        _ => return None,
    })
}

/// The element of a value that is the same constant everywhere.
fn constant(graph: &Graph, x: Operand) -> Option<Literal> {
    let node = graph.node(x.node);
    match &node.op {
        Op::Fill(fill) => Some(fill.value),
        Op::Broadcast(_) | Op::Reshape(_) => constant(graph, node.operands[0]),
        _ => None,
    }
}

/// One node whose derivative is written: operands, result, gradient of the result.
struct Rule<'a> {
    g: &'a mut Graph,
    x: &'a [Operand],
    y: Operand,
    dy: Operand,
}

impl Rule<'_> {
    /// The gradient of operand `i`; `None` where it is zero everywhere.
    fn row(&mut self, op: ScalarOp, i: usize) -> Option<Operand> {
        let (x, y, dy) = (self.x, self.y, self.dy);
        Some(match (op, i) {
            (ScalarOp::Neg, _) => self.f(ScalarOp::Neg, &[dy]),
            // dy sign(x)
            (ScalarOp::Abs, _) => {
                let sign = self.f(ScalarOp::Sign, &[x[0]]);
                self.times(sign)
            }
            // dy y
            (ScalarOp::Exp, _) => self.times(y),
            // dy (y + 1)
            (ScalarOp::Expm1, _) => {
                let slope = self.plus(y, 1.0);
                self.times(slope)
            }
            // dy / x
            (ScalarOp::Log, _) => self.f(ScalarOp::Div, &[dy, x[0]]),
            // dy / (x + 1)
            (ScalarOp::Log1p, _) => {
                let shifted = self.plus(x[0], 1.0);
                self.f(ScalarOp::Div, &[dy, shifted])
            }
            // dy / 2 / y
            (ScalarOp::Sqrt, _) => {
                let half = self.g.scale(dy, 0.5);
                self.f(ScalarOp::Div, &[half, y])
            }
            // -dy / 2 y y y
            (ScalarOp::Rsqrt, _) => {
                let square = self.f(ScalarOp::Square, &[y]);
                let cube = self.f(ScalarOp::Mul, &[square, y]);
                let slope = self.g.scale(cube, -0.5);
                self.times(slope)
            }
            // -dy y y
            (ScalarOp::Recip, _) => {
                let square = self.f(ScalarOp::Square, &[y]);
                let slope = self.f(ScalarOp::Neg, &[square]);
                self.times(slope)
            }
            // dy 2 x
            (ScalarOp::Square, _) => {
                let slope = self.g.scale(x[0], 2.0);
                self.times(slope)
            }
            // dy cos(x)
            (ScalarOp::Sin, _) => {
                let slope = self.f(ScalarOp::Cos, &[x[0]]);
                self.times(slope)
            }
            // -dy sin(x)
            (ScalarOp::Cos, _) => {
                let sin = self.f(ScalarOp::Sin, &[x[0]]);
                let slope = self.f(ScalarOp::Neg, &[sin]);
                self.times(slope)
            }
            // dy (1 + y y)
            (ScalarOp::Tan, _) => {
                let square = self.f(ScalarOp::Square, &[y]);
                let slope = self.plus(square, 1.0);
                self.times(slope)
            }
            // dy / sqrt(1 - x x)
            (ScalarOp::Asin, _) => {
                let slope = self.arc_slope();
                self.times(slope)
            }
            (ScalarOp::Acos, _) => {
                let slope = self.arc_slope();
                let slope = self.f(ScalarOp::Neg, &[slope]);
                self.times(slope)
            }
            // dy / (1 + x x)
            (ScalarOp::Atan, _) => {
                let square = self.f(ScalarOp::Square, &[x[0]]);
                let sum = self.plus(square, 1.0);
                self.f(ScalarOp::Div, &[dy, sum])
            }
            // dy cosh(x)
            (ScalarOp::Sinh, _) => {
                let slope = self.f(ScalarOp::Cosh, &[x[0]]);
                self.times(slope)
            }
            // dy sinh(x)
            (ScalarOp::Cosh, _) => {
                let slope = self.f(ScalarOp::Sinh, &[x[0]]);
                self.times(slope)
            }
            // dy / sqrt(x x + 1)
            (ScalarOp::Asinh, _) => {
                let square = self.f(ScalarOp::Square, &[x[0]]);
                let sum = self.plus(square, 1.0);
                let slope = self.f(ScalarOp::Rsqrt, &[sum]);
                self.times(slope)
            }
            // dy / sqrt((x - 1) (x + 1))
            (ScalarOp::Acosh, _) => {
                let (less, more) = (self.plus(x[0], -1.0), self.plus(x[0], 1.0));
                let product = self.f(ScalarOp::Mul, &[less, more]);
                let slope = self.f(ScalarOp::Rsqrt, &[product]);
                self.times(slope)
            }
            // dy / ((1 - x) (1 + x))
            (ScalarOp::Atanh, _) => {
                let (less, more) = (self.one_less(x[0]), self.plus(x[0], 1.0));
                let product = self.f(ScalarOp::Mul, &[less, more]);
                self.f(ScalarOp::Div, &[dy, product])
            }
            // dy digamma(x)
            (ScalarOp::Lgamma, _) => {
                let slope = self.f(ScalarOp::Digamma, &[x[0]]);
                self.times(slope)
            }
            (ScalarOp::Digamma, _) => {
                let slope = self.trigamma(x[0]);
                self.times(slope)
            }
            // dy b / (a a + b b), -dy a / (a a + b b)
            (ScalarOp::Atan2, i) => {
                let (a, b) = (self.f(ScalarOp::Square, &[x[0]]), self.f(ScalarOp::Square, &[x[1]]));
                let sum = self.f(ScalarOp::Add, &[a, b]);
                let share = self.f(ScalarOp::Div, &[x[1 - i], sum]);
                let slope = if i == 0 { share } else { self.f(ScalarOp::Neg, &[share]) };
                self.times(slope)
            }
            // dy (1 - y y)
            (ScalarOp::Tanh, _) => {
                let square = self.f(ScalarOp::Square, &[y]);
                let slope = self.one_less(square);
                self.times(slope)
            }
            // dy 2/sqrt(pi) e^(-x x)
            (ScalarOp::Erf, _) => {
                let square = self.f(ScalarOp::Square, &[x[0]]);
                let power = self.f(ScalarOp::Neg, &[square]);
                let bell = self.f(ScalarOp::Exp, &[power]);
                let slope = self.g.scale(bell, std::f64::consts::FRAC_2_SQRT_PI);
                self.times(slope)
            }
            // dy y (1 - y)
            (ScalarOp::Sigmoid, _) => {
                let rest = self.one_less(y);
                let slope = self.f(ScalarOp::Mul, &[y, rest]);
                self.times(slope)
            }
            // dy sigmoid(x)
            (ScalarOp::Softplus, _) => {
                let slope = self.f(ScalarOp::Sigmoid, &[x[0]]);
                self.times(slope)
            }
            // x > 0 ? dy : 0
            (ScalarOp::Relu, _) => {
                let zero = self.g.fill_like(x[0], 0.0);
                let positive = self.f(ScalarOp::Gt, &[x[0], zero]);
                self.where_(positive)
            }
            (ScalarOp::Add, _) => dy,
            (ScalarOp::Sub, 0) => dy,
            (ScalarOp::Sub, _) => self.f(ScalarOp::Neg, &[dy]),
            // the other operand
            (ScalarOp::Mul, i) => self.times(x[1 - i]),
            // dy / b
            (ScalarOp::Div, 0) => self.f(ScalarOp::Div, &[dy, x[1]]),
            // -dy y / b
            (ScalarOp::Div, _) => {
                let share = self.f(ScalarOp::Div, &[y, x[1]]);
                let slope = self.f(ScalarOp::Neg, &[share]);
                self.times(slope)
            }
            // a - b floor(a / b), a - b trunc(a / b)
            (ScalarOp::Rem | ScalarOp::Fmod, 0) => dy,
            (ScalarOp::Rem | ScalarOp::Fmod, _) => {
                let quotient = self.f(ScalarOp::Div, &[x[0], x[1]]);
                let towards = if op == ScalarOp::Rem { ScalarOp::Floor } else { ScalarOp::Trunc };
                let whole = self.f(towards, &[quotient]);
                let slope = self.f(ScalarOp::Neg, &[whole]);
                self.times(slope)
            }
            // dy b a^(b - 1), and 0 for b = 0, where a^(b - 1) may be infinite
            (ScalarOp::Pow, 0) => {
                let less = self.plus(x[1], -1.0);
                let power = self.f(ScalarOp::Pow, &[x[0], less]);
                let slope = self.f(ScalarOp::Mul, &[x[1], power]);
                let full = self.times(slope);
                let zero = self.g.fill_like(x[1], 0.0);
                let constant = self.f(ScalarOp::Eq, &[x[1], zero]);
                self.f(ScalarOp::Select, &[constant, zero, full])
            }
            // dy y log(a), and 0 where a is not positive: 0^b is flat in b > 0
            (ScalarOp::Pow, _) => {
                let log = self.f(ScalarOp::Log, &[x[0]]);
                let slope = self.f(ScalarOp::Mul, &[y, log]);
                let full = self.times(slope);
                let zero = self.g.fill_like(x[0], 0.0);
                let positive = self.f(ScalarOp::Gt, &[x[0], zero]);
                self.f(ScalarOp::Select, &[positive, full, zero])
            }
            // a >= b ? dy : 0, and the reverse for the other operand
            (ScalarOp::Max, i) => self.extreme(ScalarOp::Ge, i),
            (ScalarOp::Min, i) => self.extreme(ScalarOp::Le, i),
            (ScalarOp::Select, 1) => self.where_(x[0]),
            (ScalarOp::Select, 2) => {
                let not = self.f(ScalarOp::Not, &[x[0]]);
                self.where_(not)
            }
            (ScalarOp::Sign | ScalarOp::Floor | ScalarOp::Ceil, _) => return None,
            (ScalarOp::Round | ScalarOp::Trunc, _) => return None,
            // Of bools and integers, or bools and integers themselves.
            (ScalarOp::Eq | ScalarOp::Ne | ScalarOp::Lt | ScalarOp::Le | ScalarOp::Gt | ScalarOp::Ge, _)
            | (ScalarOp::Not | ScalarOp::And | ScalarOp::Or | ScalarOp::Xor, _)
            | (ScalarOp::Shl | ScalarOp::Shr, _)
            | (ScalarOp::Select | ScalarOp::Philox, _) => return None,
        })
    }

    fn f(&mut self, op: ScalarOp, operands: &[Operand]) -> Operand {
        self.g.map(op, operands)
    }

    fn times(&mut self, slope: Operand) -> Operand {
        self.g.map(ScalarOp::Mul, &[self.dy, slope])
    }

    /// `1 / sqrt((1 - x) (1 + x))`
    fn arc_slope(&mut self) -> Operand {
        let (less, more) = (self.one_less(self.x[0]), self.plus(self.x[0], 1.0));
        let product = self.g.map(ScalarOp::Mul, &[less, more]);
        self.g.map(ScalarOp::Rsqrt, &[product])
    }

    /// The derivative of `digamma`, in the steps of its reference: reflection below one half, eight steps up,
    /// the asymptotic series (Abramowitz and Stegun 6.4.7, 6.4.6, 6.4.12).
    fn trigamma(&mut self, x: Operand) -> Operand {
        let half = self.g.fill_like(x, 0.5);
        let low = self.f(ScalarOp::Lt, &[x, half]);
        let mirrored = self.one_less(x);
        let mut z = self.f(ScalarOp::Select, &[low, mirrored, x]);
        let mut sum = self.g.fill_like(x, 0.0);
        for _ in 0..8 {
            let share = self.f(ScalarOp::Recip, &[z]);
            let share = self.f(ScalarOp::Square, &[share]);
            sum = self.f(ScalarOp::Add, &[sum, share]);
            z = self.plus(z, 1.0);
        }
        let r = self.f(ScalarOp::Recip, &[z]);
        let r2 = self.f(ScalarOp::Square, &[r]);
        let mut series = self.g.fill_like(x, 7.0 / 6.0);
        for c in [-691.0 / 2730.0, 5.0 / 66.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0] {
            let product = self.f(ScalarOp::Mul, &[series, r2]);
            series = self.plus(product, c);
        }
        // 1/z + 1/2 z^2 + z^-3 series
        let tail = self.f(ScalarOp::Mul, &[series, r]);
        let tail = self.plus(tail, 0.5);
        let tail = self.f(ScalarOp::Mul, &[tail, r2]);
        let tail = self.f(ScalarOp::Add, &[tail, r]);
        let up = self.f(ScalarOp::Add, &[sum, tail]);
        // Below: (pi / sin(pi x))^2 less it.
        let nearest = self.f(ScalarOp::Round, &[x]);
        let rest = self.f(ScalarOp::Sub, &[x, nearest]);
        let angle = self.g.scale(rest, std::f64::consts::PI);
        let sine = self.f(ScalarOp::Sin, &[angle]);
        let pi = self.g.fill_like(x, std::f64::consts::PI);
        let share = self.f(ScalarOp::Div, &[pi, sine]);
        let share = self.f(ScalarOp::Square, &[share]);
        let down = self.f(ScalarOp::Sub, &[share, up]);
        self.f(ScalarOp::Select, &[low, down, up])
    }

    fn plus(&mut self, x: Operand, c: f64) -> Operand {
        let c = self.g.fill_like(x, c);
        self.g.map(ScalarOp::Add, &[x, c])
    }

    fn one_less(&mut self, x: Operand) -> Operand {
        let one = self.g.fill_like(x, 1.0);
        self.g.map(ScalarOp::Sub, &[one, x])
    }

    fn where_(&mut self, condition: Operand) -> Operand {
        let zero = self.g.fill_like(self.dy, 0.0);
        self.g.map(ScalarOp::Select, &[condition, self.dy, zero])
    }

    fn extreme(&mut self, first_wins: ScalarOp, i: usize) -> Operand {
        let first = self.g.map(first_wins, &[self.x[0], self.x[1]]);
        let zero = self.g.fill_like(self.dy, 0.0);
        let branches = if i == 0 { [first, self.dy, zero] } else { [first, zero, self.dy] };
        self.g.map(ScalarOp::Select, &branches)
    }
}
