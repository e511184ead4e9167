//! The work on one tile of rows: levels in order, with what is kept between them.

use super::LowerError;
use super::cx::{Cx, Staged};
use super::levels::{Member, Role};
use super::products;
use super::rows::{Plan, row_at};
use super::value::{as_type, sum_type};
use crate::dim::Dim;
use crate::graph::Operand;
use crate::nest::build::load;
use crate::nest::{AxisKind, BufId, Expr, Index, Space};
use crate::ops::Op;
use crate::plan::CsrPart;
use crate::scalar::{ReduceOp, ScalarOp};
use rustc_hash::FxHashMap;

/// Elements of a row that a sparse sum takes at once: so few that loops along them are written out, as the
/// positions of registers must be known (see [`row_loop`]).
fn panel_of(cx: &Cx) -> i64 {
    i64::from(cx.target.lanes) * cx.schedule.of(cx.schedule.columns)
}

/// Declares the local buffers of what is kept, and of reductions where rows are tiled.
pub(super) fn declare(cx: &mut Cx, plan: &mut Plan) -> Result<(), LowerError> {
    let tiled = plan.tile > 1;
    // A product walks its rows by run-time positions, also where a schedule gives it tiles of one row.
    let walked = plan.members.iter().any(|m| matches!(m.role, Role::Product | Role::OuterProduct));
    for m in &plan.members {
        let scalar_kept = tiled && m.role == Role::RowReduce;
        if !(m.kept || scalar_kept) {
            continue;
        }
        let width = match &m.width {
            None => 1,
            Some(d) => d.as_const().ok_or_else(|| cx.fault("a kept value of run-time width"))?,
        };
        let dtype = cx.dtype(m.value);
        let registers = !tiled && !walked && m.role == Role::Edges && width <= panel_of(cx);
        let space = if registers { Space::Register } else { Space::Stack };
        let name = format!("k{}", m.value.node.index());
        let buf = cx.k.buffer(name, dtype, width * plan.tile, space);
        cx.reserved.insert(m.value, Staged { buf, width, tiled });
    }
    Ok(())
}

/// Writes the work on `tile` rows from `first` on.
pub(super) fn tile(cx: &mut Cx, plan: &Plan, first: Index, tile: i64) -> Result<(), LowerError> {
    // What this tile has not computed yet must not be read: kept values appear level by level.
    cx.staged.clear();
    let all = cx.reserved.clone();
    let all = &all;
    let product_after =
        |level: usize| plan.members.iter().any(|m| m.role == Role::Product && m.level == level);
    let mut level = 0;
    while level < plan.levels {
        let mut end = level;
        while end + 1 < plan.levels && !product_after(end) {
            end += 1;
        }
        if tile == 1 {
            let row = row_at(cx, &plan.rows, first.clone(), Index::Const(0));
            cx.row = Some(row);
            for l in level..=end {
                level_of_row(cx, plan, all, l)?;
            }
        } else {
            let from = first.clone();
            // What the run keeps is known after it as well; names bound in it are not.
            cx.loop_("i", (Index::Const(0), Index::Const(tile)), 1, AxisKind::Serial, |cx, i| {
                let row = row_at(cx, &plan.rows, from + i.clone(), i);
                cx.row = Some(row);
                for l in level..=end {
                    level_of_row(cx, plan, all, l)?;
                }
                Ok(())
            })?;
        }
        for m in plan.members.iter().filter(|m| m.role == Role::Product && (level..=end).contains(&m.level)) {
            products::product(cx, plan, m, all[&m.value], first.clone(), tile)?;
            cx.staged.insert(m.value, all[&m.value]);
        }
        level = end + 1;
    }
    for s in &plan.sinks {
        let op = &cx.graph.node(s.value.node).op;
        if matches!(op, Op::Matmul(_)) {
            products::outer(cx, plan, s, first.clone(), tile)?;
        }
    }
    cx.row = None;
    Ok(())
}

/// One level of one row.
fn level_of_row(
    cx: &mut Cx,
    plan: &Plan,
    all: &FxHashMap<Operand, Staged>,
    level: usize,
) -> Result<(), LowerError> {
    for m in plan.members.iter().filter(|m| m.level == level && m.role == Role::Edges) {
        edges(cx, m.value, all[&m.value])?;
        cx.staged.insert(m.value, all[&m.value]);
    }
    scalars(cx, plan, level)?;

    // Work along the row, one loop for each width.
    let mut widths: Vec<(Dim, Vec<Work>)> = vec![];
    for m in &plan.members {
        for (width, work) in work_of(cx, plan, m, all, level)? {
            match widths.iter_mut().find(|(d, _)| *d == width) {
                Some((_, list)) => list.push(work),
                None => widths.push((width, vec![work])),
            }
        }
    }
    for (width, list) in widths {
        row_loop(cx, &width, list)?;
    }
    row_scalars(cx, plan, level)
}

/// Something to be done at each element of a row.
enum Work {
    /// Write to memory.
    Store(Operand),
    /// Keep in local memory.
    Keep(Operand, Staged),
    /// Reduce along the row into a register array.
    Reduce { value: Operand, input: Operand, op: ReduceOp, acc: Option<BufId> },
    /// Add to a sum over rows.
    Sum { input: Operand, op: ReduceOp, acc: BufId },
}

/// What a member asks for at a level, with the width of the loop.
fn work_of(
    cx: &mut Cx,
    plan: &Plan,
    m: &Member,
    all: &FxHashMap<Operand, Staged>,
    level: usize,
) -> Result<Vec<(Dim, Work)>, LowerError> {
    let rows = plan.rows.len();
    let node = cx.graph.node(m.value.node).clone();
    let mut work = vec![];
    match (m.role, &node.op, &m.width) {
        (Role::RowReduce, Op::Reduce(r), _) if m.level == level => {
            let width = cx.graph.shape_of(node.operands[0])[rows].clone();
            work.push((width, Work::Reduce { value: m.value, input: node.operands[0], op: r.op, acc: None }));
        }
        (Role::SumRows, Op::Reduce(r), _) if m.level == level => {
            let sink = plan.sinks.iter().find(|s| s.value == m.value);
            let acc = sink.map(|s| s.acc).ok_or_else(|| cx.fault("a sum over rows without accumulator"))?;
            if let Some(width) = cx.graph.shape_of(node.operands[0]).get(rows) {
                work.push((width.clone(), Work::Sum { input: node.operands[0], op: r.op, acc }));
            }
        }
        (Role::Map, _, Some(width)) if m.kept && m.level == level => {
            work.push((width.clone(), Work::Keep(m.value, all[&m.value])));
        }
        _ => {}
    }
    if let Some(width) = &m.width
        && m.output
        && m.store_level == level
    {
        work.push((width.clone(), Work::Store(m.value)));
    }
    Ok(work)
}

/// Binds what is the same along the row: scalars of the program and of the row.
fn scalars(cx: &mut Cx, plan: &Plan, level: usize) -> Result<(), LowerError> {
    let row = cx.row.clone().ok_or_else(|| cx.fault("no row"))?;
    let mut stack: Vec<Operand> = vec![];
    for m in plan.members.iter().filter(|m| m.level <= level) {
        let node = cx.graph.node(m.value.node);
        if m.role == Role::Map {
            stack.extend(node.operands.iter().copied());
            if m.width.is_none() {
                stack.push(m.value);
            }
        }
    }
    let mut seen = rustc_hash::FxHashSet::default();
    while let Some(o) = stack.pop() {
        if !seen.insert(o) {
            continue;
        }
        let Some(t) = cx.graph.type_of(o).as_tensor().cloned() else { continue };
        let node = cx.graph.node(o.node).clone();
        let at = if t.rank() == 0 {
            vec![]
        } else if t.shape[..] == row.shape[..] && available(cx, plan, o, level) {
            row.index.clone()
        } else {
            if !cx.is_member(o) && cx.is_inlined(o) {
                stack.extend(node.operands.iter().copied());
            }
            continue;
        };
        if matches!(node.op, Op::Fill(_)) || cx.recall(o, &at).is_some() || cx.staged.contains_key(&o) {
            continue;
        }
        let e = cx.value(o, &at)?;
        let dtype = cx.dtype(o);
        let e = cx.bind(dtype, e);
        cx.remember(o, &at, e);
    }
    Ok(())
}

/// Whether a scalar of the row can be computed at a level: all that it reads is there.
fn available(cx: &Cx, plan: &Plan, o: Operand, level: usize) -> bool {
    match plan.members.iter().find(|m| m.value == o) {
        Some(m) => match m.role {
            Role::Map => m.level <= level,
            Role::RowReduce | Role::Product => m.level < level,
            Role::Edges => m.level <= level,
            Role::SumRows | Role::OuterProduct => false,
        },
        None => {
            let node = cx.graph.node(o.node);
            !cx.is_inlined(o)
                || matches!(node.op, Op::Input(_))
                || node.operands.iter().all(|x| {
                    // A free op over patterns or over what is available.
                    cx.graph.type_of(*x).as_tensor().is_none() || available(cx, plan, *x, level)
                })
        }
    }
}

/// Writes what a level gives of scalars of the row: outputs, sums over rows.
fn row_scalars(cx: &mut Cx, plan: &Plan, level: usize) -> Result<(), LowerError> {
    let index = cx.row.clone().map(|r| r.index).unwrap_or_default();
    let rows = plan.rows.len();
    let mut stores = vec![];
    for m in plan.members.iter().filter(|m| m.width.is_none() && m.output && m.store_level == level) {
        if matches!(m.role, Role::SumRows | Role::OuterProduct) {
            continue;
        }
        let e = cx.value(m.value, &index)?;
        let e = cx.bind(cx.dtype(m.value), e);
        stores.push((m.value, e));
    }
    for s in plan.sinks.iter().filter(|s| s.level == level) {
        let node = cx.graph.node(s.value.node).clone();
        let is_sum = matches!(node.op, Op::Reduce(_));
        if is_sum && cx.graph.shape_of(node.operands[0]).len() == rows {
            let e = cx.value(node.operands[0], &index)?;
            let e = as_type(e, cx.dtype(s.value), s.dtype);
            cx.k.accumulate(s.op, s.acc, 0, e);
        }
    }
    for (o, e) in stores {
        cx.store(o, &index, e)?;
    }
    Ok(())
}

/// One loop along the row that does all the work of one width.
fn row_loop(cx: &mut Cx, width: &Dim, mut list: Vec<Work>) -> Result<(), LowerError> {
    let lanes = i64::from(cx.target.lanes);
    let reduces = list.iter().any(|w| matches!(w, Work::Reduce { .. }));
    let size = width.as_const();
    let wide = match size {
        Some(n) => {
            let most = if reduces && list.len() <= 2 { lanes * 4 } else { lanes * 2 };
            let fits = 1i64 << (63 - n.max(1).leading_zeros().min(62));
            fits.clamp(lanes, most.min(64))
        }
        None => lanes * 2,
    };
    for w in &mut list {
        if let Work::Reduce { value, op, acc, .. } = w {
            let dtype = sum_type(cx.dtype(*value));
            let buf = cx.k.buffer(format!("r{}", value.node.index()), dtype, wide, Space::Register);
            cx.k.fill(buf, op.identity(dtype));
            *acc = Some(buf);
        }
    }
    let vector = AxisKind::Vector(wide as u32);
    match size {
        Some(n) if n <= 8 * wide => {
            cx.loop_("d", (Index::Const(0), Index::Const(n)), 1, vector, |cx, d| {
                element(cx, &list, d.clone(), d.modulo(wide))
            })?;
        }
        _ => {
            let end = cx.dim(width);
            let blocks = end.clone().floor_div(wide);
            let main = blocks.clone() * wide;
            cx.loop_("b", (Index::Const(0), blocks), 1, AxisKind::Serial, |cx, b| {
                cx.loop_("l", (Index::Const(0), Index::Const(wide)), 1, vector, |cx, l| {
                    element(cx, &list, b * wide + l.clone(), l)
                })
            })?;
            cx.loop_("d", (main, end), 1, AxisKind::Serial, |cx, d| element(cx, &list, d, Index::Const(0)))?;
        }
    }
    let row = cx.row.clone().ok_or_else(|| cx.fault("no row"))?;
    for w in list {
        match w {
            Work::Reduce { value, op, acc: Some(acc), .. } => {
                let dtype = cx.dtype(value);
                let e = as_type(Expr::Lanes { op, buf: acc }, sum_type(dtype), dtype);
                let e = cx.bind(dtype, e);
                finish_reduce(cx, value, &row, e);
            }
            Work::Keep(value, s) => {
                cx.staged.insert(value, s);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Keeps the result of a reduction along the row: as a name, and in local memory where rows are tiled.
fn finish_reduce(cx: &mut Cx, value: Operand, row: &super::cx::Row, e: Expr) {
    cx.remember(value, &row.index, e.clone());
    if let Some(s) = cx.reserved.get(&value).copied() {
        cx.k.store(s.buf, row.in_tile.clone(), e);
        cx.staged.insert(value, s);
    }
}

/// The work at one element (or at the lanes of a vector of elements).
fn element(cx: &mut Cx, list: &[Work], d: Index, lane: Index) -> Result<(), LowerError> {
    let row = cx.row.clone().ok_or_else(|| cx.fault("no row"))?;
    let mut at = row.index.clone();
    at.push(d.clone());
    let mut stores = vec![];
    for w in list {
        match w {
            Work::Store(o) => {
                let e = cx.value(*o, &at)?;
                let e = cx.bind(cx.dtype(*o), e);
                cx.remember(*o, &at, e.clone());
                stores.push((*o, e));
            }
            Work::Keep(o, s) => {
                let e = cx.value(*o, &at)?;
                let e = cx.bind(cx.dtype(*o), e);
                cx.remember(*o, &at, e.clone());
                let index = if s.tiled { row.in_tile.clone() * s.width + d.clone() } else { d.clone() };
                cx.k.store(s.buf, index, e);
            }
            Work::Reduce { input, op, acc: Some(acc), .. } => {
                let e = cx.summand(*input, &at)?;
                cx.k.accumulate(*op, *acc, lane.clone(), e);
            }
            Work::Sum { input, op, acc } => {
                let e = cx.summand(*input, &at)?;
                cx.k.accumulate(*op, *acc, d.clone(), e);
            }
            Work::Reduce { acc: None, .. } => return Err(cx.fault("a reduction without accumulator")),
        }
    }
    // An output may take the buffer of an input that the other work reads.
    for (o, e) in stores {
        cx.store(o, &at, e)?;
    }
    Ok(())
}

/// A sum over the entries of a sparse row into local memory.
fn edges(cx: &mut Cx, value: Operand, s: Staged) -> Result<(), LowerError> {
    let node = cx.graph.node(value.node).clone();
    let row = cx.row.clone().ok_or_else(|| cx.fault("no row"))?;
    let r = row.flat.clone();
    let dtype = cx.dtype(value);
    let sum = sum_type(dtype);
    let (indptr, indices, x, r) = match &node.op {
        Op::Spmm(op) => {
            let (p, i) = parts(op.transpose);
            (cx.csr_part(node.operands[0], p), Some(cx.csr_part(node.operands[0], i)), node.operands[1], r)
        }
        Op::SpmmRows(op) => {
            let (p, i) = parts(op.transpose);
            let rows = pattern_rows(cx, node.operands[0], op.transpose);
            let id = cx.gathered_row(node.operands[2], &row.index, &rows)?;
            (cx.csr_part(node.operands[0], p), Some(cx.csr_part(node.operands[0], i)), node.operands[1], id)
        }
        Op::SegmentReduce(_) => {
            let (p, i) = cx.segments(node.operands[0], node.operands[1])?;
            (p, i, node.operands[2], r)
        }
        other => return Err(cx.fault(format!("`{}` has no sparse rows", other.def().name()))),
    };
    let weights = match &node.op {
        Op::Spmm(op) if op.weighted => Some((node.operands[2], op.transpose)),
        Op::SegmentReduce(_) => node.operands.get(3).map(|w| (*w, false)),
        _ => None,
    };
    let reduce = reduction(&node.op);
    // An extreme is one of the elements, and needs no wider type.
    let sum = if reduce == ReduceOp::Sum { sum } else { dtype };
    let ahead = i64::from(cx.target.prefetch);
    // The table whose rows are gathered: `x` itself, or what `x` scales as it is gathered.
    let table = if cx.is_member(x) {
        cx.graph.node(x.node).operands.iter().copied().find(|o| is_input(cx, *o))
    } else {
        (!cx.is_inlined(x) || is_input(cx, x)).then_some(x)
    };
    let shape = cx.graph.shape_of(x);
    let scalar = shape.len() == 1;
    let far = crate::types::product(&shape).upper() * dtype.size() as i64 > cx.target.l2 as i64 / 2;
    let nnz = match &node.op {
        Op::Spmm(_) | Op::SpmmRows(_) => cx.graph.csr(node.operands[0]).nnz.clone(),
        _ => cx.graph.shape_of(node.operands[1])[0].clone(),
    };
    let last = cx.dim(&nnz) - 1;
    let first = cx.load_index(indptr, r.clone());
    let end = cx.load_index(indptr, r + 1);
    let line = 64 / dtype.size() as i64;
    let lanes = cx.target.lanes;
    let most = panel_of(cx);
    for p0 in (0..s.width).step_by(most as usize) {
        let panel = most.min(s.width - p0);
        let direct = !s.tiled && s.width <= most && sum == dtype;
        let acc = match direct {
            true => s.buf,
            false => cx.k.buffer(format!("e{}_{p0}", value.node.index()), sum, panel, Space::Register),
        };
        cx.k.fill(acc, reduce.identity(sum));
        cx.loop_("e", (first.clone(), end.clone()), 1, AxisKind::Serial, |cx, e| {
            if let Some(table) = table
                && let Some(indices) = indices
                && ahead > 0
                && far
                && !scalar
            {
                let soon = cx.load_index(indices, (e.clone() + ahead).min(last.clone()));
                let from = cx.buffer(table, Space::In)?;
                let width = s.width;
                cx.loop_(
                    "p",
                    (Index::Const(p0), Index::Const(p0 + panel)),
                    line,
                    AxisKind::Unroll,
                    |cx, p| {
                        cx.k.prefetch(from, soon * width + p);
                        Ok(())
                    },
                )?;
            }
            let col = match indices {
                Some(indices) => cx.load_index(indices, e.clone()),
                None => e.clone(),
            };
            let weight = match weights {
                None => None,
                Some((w, transposed)) => {
                    let at = if transposed {
                        let edges = cx.csr_part(node.operands[0], CsrPart::TwinEdges);
                        cx.load_index(edges, e.clone())
                    } else {
                        e.clone()
                    };
                    let v = cx.summand(w, &[at])?;
                    Some(cx.bind(sum, v))
                }
            };
            let kind = if panel == 1 { AxisKind::Unroll } else { AxisKind::Vector(lanes) };
            cx.loop_("d", (Index::Const(0), Index::Const(panel)), 1, kind, |cx, d| {
                let at: Vec<Index> =
                    if scalar { vec![col.clone()] } else { vec![col.clone(), d.clone() + p0] };
                let v = as_type(cx.value(x, &at)?, dtype, sum);
                let v = match weight {
                    Some(w) => Expr::Op(ScalarOp::Mul, vec![w, v]),
                    None => v,
                };
                cx.k.accumulate(reduce, acc, d, v);
                Ok(())
            })
        })?;
        if !direct {
            let base = if s.tiled { row.in_tile.clone() * s.width } else { Index::Const(0) };
            let kind = AxisKind::Vector(lanes);
            cx.loop_("d", (Index::Const(0), Index::Const(panel)), 1, kind, |cx, d| {
                let e = as_type(load(acc, d.clone()), sum, dtype);
                cx.k.store(s.buf, base + (d + p0), e);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// How an op over the entries of rows combines them.
pub(super) fn reduction(op: &Op) -> ReduceOp {
    match op {
        Op::SegmentReduce(s) => s.op,
        _ => ReduceOp::Sum,
    }
}

/// Rows of a pattern or of its transpose.
pub(super) fn pattern_rows(cx: &Cx, csr: Operand, transpose: bool) -> Dim {
    let c = cx.graph.csr(csr);
    if transpose { c.cols.clone() } else { c.rows.clone() }
}

fn is_input(cx: &Cx, o: Operand) -> bool {
    matches!(cx.graph.node(o.node).op, Op::Input(_))
}

fn parts(transpose: bool) -> (CsrPart, CsrPart) {
    if transpose { (CsrPart::TwinIndptr, CsrPart::TwinIndices) } else { (CsrPart::Indptr, CsrPart::Indices) }
}
