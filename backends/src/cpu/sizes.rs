//! Numbers of a kernel at known dimensions: lengths, bounds, and about how much work it is.

use latentc_ir::nest::{AxisKind, Expr, Index, Stmt};

/// The value of an index that is free of loop variables and loaded values; `None` for others and where it
/// overflows or divides by nothing.
pub(crate) fn value(index: &Index, dims: &[i64]) -> Option<i64> {
    index.value(&|leaf| match leaf {
        Index::Dim(d) => dims.get(d.at()).copied(),
        _ => None,
    })
}

/// Whether [`value`] knows an index for any dimensions.
pub(crate) fn is_free(index: &Index) -> bool {
    index.find(&|leaf| matches!(leaf, Index::Var(_) | Index::Val(_)).then_some(())).is_none()
}

/// Turns of a loop whose bounds the data decide: a guess.
pub(crate) const UNKNOWN_TURNS: f64 = 16.0;

/// About how many instructions statements run: a vector operation counts as one. Decides only whether
/// threads are worth waking, so it is rough.
pub(crate) fn work(body: &[Stmt], dims: &[i64]) -> f64 {
    let of = |s: &Stmt| match s {
        Stmt::For { lo, hi, step, kind, body, .. } => {
            let turns = match (value(lo, dims), value(hi, dims)) {
                (Some(lo), Some(hi)) => (hi.saturating_sub(lo) / (*step).max(1)).max(0) as f64,
                _ => UNKNOWN_TURNS,
            };
            let turns = match kind {
                AxisKind::Vector(n) => (turns / f64::from((*n).max(1))).ceil(),
                _ => turns,
            };
            turns * work(body, dims)
        }
        Stmt::If { cond, then, otherwise } => expr(cond) + work(then, dims).max(work(otherwise, dims)),
        Stmt::Let { expr: e, .. } => expr(e),
        Stmt::Store { value, .. } | Stmt::Accumulate { value, .. } => 1.0 + expr(value),
        Stmt::Fill { .. } | Stmt::Prefetch { .. } => 1.0,
    };
    body.iter().map(of).sum()
}

/// About how many instructions an expression is.
pub(crate) fn expr(e: &Expr) -> f64 {
    match e {
        Expr::Op(_, args) => 1.0 + args.iter().map(expr).sum::<f64>(),
        Expr::Cast(_, x) | Expr::Bits(_, x) => 1.0 + expr(x),
        Expr::Load { .. } | Expr::Lanes { .. } | Expr::Dot4 { .. } => 1.0,
        Expr::Lit(_) | Expr::Val(_) | Expr::Index(_) => 0.0,
    }
}
