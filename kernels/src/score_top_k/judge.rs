//! What tells from an estimate that a score cannot beat its query's bar.

use latentc_ir::dtype::DType;
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op1, op2};
use latentc_ir::nest::{BufId, Expr, Index, Space, ValId};
use latentc_ir::scalar::{ReduceOp, ScalarOp};

use super::bytes::SLACK;
use super::filtered::CHAINS;
use super::ranking::Ranking;

/// Arrays over the queries of a block, for the chunk at work.
pub(super) struct Judge {
    /// What one of the estimate stands for.
    pub unit: BufId,
    /// What score and estimate differ by at most; +inf where nothing is known.
    pub bound: BufId,
    /// Units of the estimate in one of the score.
    inverse: BufId,
    /// A score that `k` items are known to reach; minus infinity where none is.
    pub hint: BufId,
    /// The greatest estimate that is too low.
    pub floor: BufId,
}

impl Judge {
    pub fn declare(k: &mut KernelBuilder, block: i64) -> Judge {
        let mut array = |name: &str, d| k.buffer(name, d, block, Space::Stack);
        Judge {
            unit: array("unit", DType::F32),
            bound: array("bound", DType::F32),
            inverse: array("inverse", DType::F32),
            hint: array("hint", DType::F32),
            floor: array("floor", DType::I32),
        }
    }

    /// Computes the bounds of a query, given scale, norm and error of its row and of the chunk's.
    pub fn measure(
        &self,
        k: &mut KernelBuilder,
        ranking: &Ranking,
        query: Index,
        [scale, norm, error]: [ValId; 3],
        [item_scale, item_norm, item_error]: [ValId; 3],
        d: &Index,
    ) {
        let two = |op, a: ValId, b: ValId| op2(op, a.into(), b.into());
        let unit = k.let_(DType::F32, two(ScalarOp::Mul, scale, item_scale));
        let product = k.let_(DType::F32, two(ScalarOp::Mul, norm, item_norm));
        let (a, b) = (two(ScalarOp::Mul, error, item_norm), two(ScalarOp::Mul, norm, item_error));
        let rounded = op2(ScalarOp::Mul, op2(ScalarOp::Add, a, b), f32c(SLACK));
        // The score is a sum of its own rounding: a chain, and the tree over the chains.
        let length =
            Expr::Cast(DType::F32, Box::new(Expr::from(d.clone().floor_div(i64::from(CHAINS)) + 20)));
        let summed = op2(ScalarOp::Mul, op2(ScalarOp::Mul, product.into(), length), f32c(1.2e-7));
        // Products that leave the normal numbers lose more; where all are zero there is nothing to lose.
        let some = op2(ScalarOp::Gt, product.into(), f32c(0.0));
        let least = Expr::Op(ScalarOp::Select, vec![some, f32c(1e-37), f32c(0.0)]);
        let bound = op2(ScalarOp::Add, op2(ScalarOp::Add, rounded, summed), least);
        let bound = k.let_(DType::F32, bound);
        let known = op2(
            ScalarOp::And,
            op2(ScalarOp::Lt, unit.into(), f32c(1e30)),
            op2(ScalarOp::Lt, bound.into(), f32c(1e38)),
        );
        let known = k.let_(DType::Bool, known);
        let pick = |x: Expr, y: f64| Expr::Op(ScalarOp::Select, vec![known.into(), x, f32c(y)]);
        k.store(self.unit, query.clone(), unit.into());
        k.store(self.bound, query.clone(), pick(bound.into(), f64::INFINITY));
        k.store(self.inverse, query.clone(), pick(op1(ScalarOp::Recip, unit.into()), 1.0));
        self.raise(k, ranking, query);
    }

    /// Computes the floor of a query from its bar.
    pub fn raise(&self, k: &mut KernelBuilder, ranking: &Ranking, query: Index) {
        let (bar, hint) = (load(ranking.bar, query.clone()), load(self.hint, query.clone()));
        let higher = op2(ScalarOp::Gt, bar.clone(), hint.clone());
        let bar = k.let_(DType::F32, Expr::Op(ScalarOp::Select, vec![higher, bar, hint]));
        let room = op2(ScalarOp::Sub, bar.into(), load(self.bound, query.clone()));
        let exact = k.let_(DType::F32, op2(ScalarOp::Mul, room, load(self.inverse, query.clone())));
        // The three operations above round; lower is safe.
        let positive = op2(ScalarOp::Gt, exact.into(), f32c(0.0));
        let factor = Expr::Op(ScalarOp::Select, vec![positive, f32c(0.999_999), f32c(1.000_001)]);
        let whole = op1(ScalarOp::Floor, op2(ScalarOp::Mul, exact.into(), factor));
        let whole = Expr::Cast(DType::I32, Box::new(whole));
        let shut = op2(ScalarOp::Eq, bar.into(), f32c(f64::INFINITY));
        let greatest = Expr::Lit(ReduceOp::Min.identity(DType::I32));
        let floor = Expr::Op(ScalarOp::Select, vec![shut, greatest, whole]);
        k.store(self.floor, query, floor);
    }
}
