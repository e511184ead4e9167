//! Branches and loops: ops with bodies where they can be, else chosen and unrolled when a model is imported.

use crate::import::onnx::body::{Loop, tensors};
use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, T, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::ops::Axes;
use latentc_ir::ops::reverse::Reverse;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Shape;

rows! {
    "If" [1, 11, 13, 16, 19, 21, 23, 24, 25] branch;
    "Loop" [1, 11, 13, 16, 19, 21, 23, 24, 25] repeat;
    "Scan" [8, 9, 11, 16, 19, 21, 23, 24, 25] scan;
}

/// Steps that a loop may have that is unrolled.
const MOST_STEPS: i64 = 1 << 16;
/// Steps that a loop may have.
const MOST_TURNS: i64 = 1 << 24;

fn branch(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let cond = n.x(0)?;
    if im.is_given(cond) {
        let branches = [n.graph("then_branch")?, n.graph("else_branch")?];
        if let Some(results) = im.attempt(|im| im.choice(cond, branches)) {
            return Ok(results);
        }
    }
    let taken = if im.known_bool(cond)? { "then_branch" } else { "else_branch" };
    im.inner(n.graph(taken)?, vec![])
}

fn repeat(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let body = n.graph("body")?;
    let trips = match n.opt(0)? {
        Some(m) => Some(im.known_int(m)?),
        None => None,
    };
    if let Some(m) = trips.filter(|m| *m <= MOST_TURNS)
        && let Some(results) =
            im.attempt(|im| as_scan(im, n, m.max(0))).or_else(|| im.attempt(|im| as_while(im, n, m.max(0))))
    {
        return Ok(results);
    }
    let mut going = match n.opt(1)? {
        Some(c) => im.known_bool(c)?,
        None => true,
    };
    let watched = n.val(1).is_some();
    let mut state: Vec<Val> = n.ins.get(2..).unwrap_or(&[]).iter().flatten().cloned().collect();
    let carried = state.len();
    let Some(scanned) = body.output.len().checked_sub(carried + 1) else {
        return Err(
            format!("its body gives {} values for {carried} that are carried", body.output.len()).into()
        );
    };
    let mut stacks: Vec<Vec<Val>> = vec![vec![]; scanned];
    let mut step = 0;
    while going && trips.is_none_or(|m| step < m) {
        if step >= MOST_STEPS {
            return Err(format!("it has more than {MOST_STEPS} steps").into());
        }
        let i = im.fill(Literal::int(DType::I64, step), Shape::new());
        let c = im.fill(Literal::int(DType::Bool, 1), Shape::new());
        let mut ins = vec![im.t(i), im.t(c)];
        ins.append(&mut state);
        let mut outs = im.inner(body, ins)?.into_iter();
        let cond = outs.next();
        state = outs.by_ref().take(carried).collect();
        for (stack, v) in stacks.iter_mut().zip(outs) {
            stack.push(v);
        }
        if let (true, Some(Val::Tensor(c))) = (watched || trips.is_none(), cond) {
            going = im.known_bool(c.o)?;
        }
        step += 1;
    }
    let mut out = state;
    for (at, stack) in stacks.into_iter().enumerate() {
        let v = if stack.is_empty() { nothing(im, n, 1 + carried + at)? } else { stacked(im, stack, 0)? };
        out.push(v);
    }
    Ok(out)
}

/// What a loop carries, and the types of the file that it has.
fn carried(n: &Node<'_>) -> R<Vec<T>> {
    tensors(n.ins.get(2..).unwrap_or(&[]).iter().flatten().cloned().collect())
}

/// A loop of a known number of steps, all of which are done, as a scan.
fn as_scan(im: &mut Importer<'_>, n: &Node<'_>, trips: i64) -> R<Vec<Val>> {
    if let Some(c) = n.opt(1)?
        && !im.known_bool(c)?
    {
        return Err("it has no step".into());
    }
    let (body, state) = (n.graph("body")?, carried(n)?);
    let begin: Vec<_> = state.iter().map(|t| t.o).collect();
    let numbers = im.iota(Dim::constant(trips), DType::I64)?;
    let how = Loop { trips: Dim::constant(trips), reverse: false, begin: &begin, along: &[numbers] };
    let mut elems = vec![];
    let results = im.scan(&how, |im, carried, read| {
        let yes = im.fill(Literal::int(DType::Bool, 1), Shape::new());
        let mut ins = vec![im.t(read[0]), im.t(yes)];
        ins.extend(carried.iter().zip(&state).map(|(o, t)| Val::Tensor(T { o: *o, elem: t.elem })));
        let mut outs = tensors(im.inner(body, ins)?)?;
        if outs.is_empty() || !im.known_bool(outs[0].o)? {
            return Err("it may end before".into());
        }
        outs.remove(0);
        elems = outs.iter().map(|t| t.elem).collect();
        Ok(outs.iter().map(|t| t.o).collect())
    })?;
    Ok(results.into_iter().zip(elems).map(|(o, elem)| Val::Tensor(T { o, elem })).collect())
}

/// A loop that a truth value ends, with a known number of steps at most, as a `while`; it stacks nothing.
fn as_while(im: &mut Importer<'_>, n: &Node<'_>, limit: i64) -> R<Vec<Val>> {
    let (body, state) = (n.graph("body")?, carried(n)?);
    let going = match n.opt(1)? {
        Some(c) => im.reshape(c, Shape::new())?,
        None => im.fill(Literal::int(DType::Bool, 1), Shape::new()),
    };
    let zero = im.fill(Literal::int(DType::I64, 0), Shape::new());
    let begin: Vec<_> = std::iter::once(zero).chain(state.iter().map(|t| t.o)).collect();
    let mut last = im.while_(limit, going, &begin, |im, going, carried| {
        let mut ins = vec![im.t(carried[0]), im.t(going)];
        ins.extend(carried[1..].iter().zip(&state).map(|(o, t)| Val::Tensor(T { o: *o, elem: t.elem })));
        let outs = tensors(im.inner(body, ins)?)?;
        if outs.len() != 1 + state.len() || outs[1..].iter().zip(&state).any(|(a, b)| a.elem != b.elem) {
            return Err("it stacks what its steps give".into());
        }
        let next = im.with(ScalarOp::Add, carried[0], 1.0)?;
        let going = im.reshape(outs[0].o, Shape::new())?;
        Ok([going, next].into_iter().chain(outs[1..].iter().map(|t| t.o)).collect())
    })?;
    last.remove(0);
    Ok(last.into_iter().zip(&state).map(|(o, t)| Val::Tensor(T { o, elem: t.elem })).collect())
}

/// What a loop without a step gives for what it would have stacked.
fn nothing(im: &mut Importer<'_>, n: &Node<'_>, at: usize) -> R<Val> {
    use crate::import::onnx::proto::{DimensionValue, TypeValue};
    let body = n.graph("body")?;
    let ty = body.output.get(at).and_then(|o| o.r#type.as_ref()).and_then(|t| t.value.as_ref());
    let Some(TypeValue::Tensor(t)) = ty else { return Err("it has no step, and its results no type".into()) };
    let elem =
        crate::import::onnx::elem::Elem::from_number(t.elem_type).ok_or("a result of no element type")?;
    let dtype = elem.dtype().ok_or("a result that no type holds")?;
    let mut shape = Shape::from_iter([Dim::constant(0)]);
    for d in t.shape.iter().flat_map(|s| &s.dim) {
        shape.push(match d.value {
            Some(DimensionValue::Value(v)) if v >= 0 => Dim::constant(v),
            _ => Dim::constant(0),
        });
    }
    Ok(Val::Tensor(T { o: im.fill(Literal::zero(dtype), shape), elem }))
}

/// Tensors along a new axis.
fn stacked(im: &mut Importer<'_>, all: Vec<Val>, axis: usize) -> R<Val> {
    let mut parts = vec![];
    let mut elem = None;
    for v in all {
        match v {
            Val::Tensor(t) => {
                elem = Some(t.elem);
                parts.push(t.o);
            }
            Val::Poison => return Ok(Val::Poison),
            _ => return Err("a loop that gives sequences".into()),
        }
    }
    let o = im.stack(&parts, axis)?;
    Ok(Val::Tensor(T { o, elem: elem.ok_or("no step")? }))
}

/// A list of directions or axes, one for each of so many.
fn each(n: &Node<'_>, name: &str, count: usize) -> R<Vec<i64>> {
    let list = n.ints(name).map_or(vec![0; count], <[i64]>::to_vec);
    if list.len() == count {
        Ok(list)
    } else {
        Err(format!("`{name}` has {} entries for {count}", list.len()).into())
    }
}

fn scan(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let body = n.graph("body")?;
    let first = usize::from(n.version < 9);
    let ins: Vec<T> = (first..n.ins.len()).map(|i| n.any(i)).collect::<R<_>>()?;
    let count = usize::try_from(n.int("num_scan_inputs", 0)).ok().filter(|c| (1..=ins.len()).contains(c));
    let count = count.ok_or("a wrong number of scanned inputs")?;
    let (state, scanned) = ins.split_at(ins.len() - count);
    let outs = body.output.len().checked_sub(state.len()).ok_or("its body gives too few values")?;
    if n.version >= 9 {
        let reversed = each(n, "scan_input_directions", count)?;
        let axes = each(n, "scan_input_axes", count)?;
        let back = each(n, "scan_output_directions", outs)?;
        let out_axes = each(n, "scan_output_axes", outs)?;
        return steps(im, n, state, scanned, [&reversed, &axes, &back, &out_axes]);
    }
    // One scan for each of the batch, axis 0; the results are put together again.
    if n.val(0).is_some() {
        return Err(crate::import::onnx::error::Fault::Unsupported("Scan with lengths".to_owned()));
    }
    let reversed = each(n, "directions", count)?;
    let (zeros, out_zeros) = (vec![0; count], vec![0; outs]);
    let batch = im.size(ins[0].o, 0)?;
    let mut results: Vec<Vec<Val>> = vec![];
    for b in 0..batch {
        let of = |im: &mut Importer<'_>, t: &T| Ok(T { o: im.at(t.o, 0, b)?, elem: t.elem });
        let state: Vec<T> = state.iter().map(|t| of(im, t)).collect::<R<_>>()?;
        let scanned: Vec<T> = scanned.iter().map(|t| of(im, t)).collect::<R<_>>()?;
        let outs = steps(im, n, &state, &scanned, [&reversed, &zeros, &out_zeros, &out_zeros])?;
        results.resize(outs.len(), vec![]);
        results.iter_mut().zip(outs).for_each(|(all, v)| all.push(v));
    }
    results.into_iter().map(|all| stacked(im, all, 0)).collect()
}

/// The steps of a scan; `[directions, axes, directions, axes]` of what is scanned and what is stacked.
fn steps(im: &mut Importer<'_>, n: &Node<'_>, state: &[T], scanned: &[T], how: [&[i64]; 4]) -> R<Vec<Val>> {
    let body = n.graph("body")?;
    let [reversed, axes, back, out_axes] = how;
    let axes: Vec<usize> =
        axes.iter().zip(scanned).map(|(a, t)| im.axis(*a, im.rank(t.o))).collect::<R<_>>()?;
    if let Some(results) = im.attempt(|im| along(im, n, state, scanned, &axes, how)) {
        return Ok(results);
    }
    let length = im.size(scanned[0].o, axes[0])?;
    if length as i64 > MOST_STEPS {
        return Err(format!("it has {length} steps, more than {MOST_STEPS}").into());
    }
    let mut state: Vec<Val> = state.iter().map(|t| Val::Tensor(*t)).collect();
    let carried = state.len();
    let mut stacks: Vec<Vec<Val>> = vec![vec![]; back.len()];
    for step in 0..length {
        let mut ins = std::mem::take(&mut state);
        for ((t, axis), rev) in scanned.iter().zip(&axes).zip(reversed) {
            if im.size(t.o, *axis)? != length {
                return Err("what is scanned differs in length".into());
            }
            let at = if *rev != 0 { length - 1 - step } else { step };
            ins.push(Val::Tensor(T { o: im.at(t.o, *axis, at)?, elem: t.elem }));
        }
        let mut outs = im.inner(body, ins)?.into_iter();
        state = outs.by_ref().take(carried).collect();
        for (stack, v) in stacks.iter_mut().zip(outs) {
            stack.push(v);
        }
    }
    let mut out = state;
    for ((mut stack, back), axis) in stacks.into_iter().zip(back).zip(out_axes) {
        if stack.is_empty() {
            return Err("a scan without a step".into());
        }
        if *back != 0 {
            stack.reverse();
        }
        let axis = match &stack[0] {
            Val::Tensor(t) => im.axis(*axis, im.rank(t.o) + 1)?,
            _ => 0,
        };
        out.push(stacked(im, stack, axis)?);
    }
    Ok(out)
}

/// The steps of a scan as one op. `axes` are those of what is scanned, counted from the front.
fn along(
    im: &mut Importer<'_>,
    n: &Node<'_>,
    state: &[T],
    scanned: &[T],
    axes: &[usize],
    [reversed, _, back, out_axes]: [&[i64]; 4],
) -> R<Vec<Val>> {
    let body = n.graph("body")?;
    let mut read = vec![];
    for ((t, axis), reversed) in scanned.iter().zip(axes).zip(reversed) {
        let mut front = vec![*axis];
        front.extend((0..im.rank(t.o)).filter(|a| a != axis));
        let x = im.permute(t.o, &front)?;
        read.push(if *reversed != 0 { im.op(Reverse { axes: Axes::from_slice(&[0]) }, &[x])? } else { x });
    }
    let begin: Vec<_> = state.iter().map(|t| t.o).collect();
    let how = Loop { trips: im.dim(read[0], 0)?, reverse: false, begin: &begin, along: &read };
    let mut elems = vec![];
    let results = im.scan(&how, |im, carried, read| {
        let carried = carried.iter().zip(state).map(|(o, t)| Val::Tensor(T { o: *o, elem: t.elem }));
        let read = read.iter().zip(scanned).map(|(o, t)| Val::Tensor(T { o: *o, elem: t.elem }));
        let outs = tensors(im.inner(body, carried.chain(read).collect())?)?;
        elems = outs.iter().map(|t| t.elem).collect();
        Ok(outs.iter().map(|t| t.o).collect())
    })?;
    let mut out = vec![];
    for (i, (o, elem)) in results.into_iter().zip(elems).enumerate() {
        let o = match i.checked_sub(state.len()) {
            None => o,
            Some(y) => {
                let o = if back[y] != 0 { im.op(Reverse { axes: Axes::from_slice(&[0]) }, &[o])? } else { o };
                let at = im.axis(out_axes[y], im.rank(o))?;
                let mut order: Vec<usize> = (1..im.rank(o)).collect();
                order.insert(at, 0);
                im.permute(o, &order)?
            }
        };
        out.push(Val::Tensor(T { o, elem }));
    }
    Ok(out)
}
