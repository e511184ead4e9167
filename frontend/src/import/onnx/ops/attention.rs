//! Attention and what belongs to it.

use crate::import::onnx::cx::R;
use crate::import::onnx::elem::Elem;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::{Row, rows};
use latentc_ir::dim::{Dim, Proof};
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Shape;

rows! {
    "Attention" [23, 24] attention;
    "RotaryEmbedding" [23] rotary;
    "LinearAttention" [27] linear;
    "CausalConvWithState" [27] causal_conv;
}

/// The domain of what is not settled.
pub(super) const PREVIEW: &[Row] = &[Row { op: "FlexAttention", since: &[1], write: flex }];

/// `[b, t, h * d]` as `[b, h, t, d]`.
fn heads(im: &mut Importer<'_>, x: Operand, count: i64) -> R {
    let shape = im.shape(x);
    let [b, t, hidden] = shape.as_slice() else { return Err("three axes are expected".into()) };
    if count < 1 || hidden.as_const().is_some_and(|h| h % count != 0) {
        return Err(format!("{count} heads of a size of {hidden}").into());
    }
    let (h, d) = (Dim::constant(count), hidden.floor_div(&Dim::constant(count)));
    let y = im.reshape(x, Shape::from_iter([b.clone(), t.clone(), h, d]))?;
    im.permute(y, &[0, 2, 1, 3])
}

/// `[b, h, t, d]` as `[b, t, h * d]`.
fn packed(im: &mut Importer<'_>, x: Operand) -> R {
    let y = im.permute(x, &[0, 2, 1, 3])?;
    let shape = im.shape(y);
    let shape = Shape::from_iter([shape[0].clone(), shape[1].clone(), &shape[2] * &shape[3]]);
    im.reshape(y, shape)
}

/// Each head of keys or values for the so many heads of queries that share it.
fn shared(im: &mut Importer<'_>, x: Operand, heads: &Dim) -> R {
    let shape = im.shape(x);
    if shape[1].eq_proof(heads) == Proof::True {
        return Ok(x);
    }
    let groups = match (shape[1].as_const(), heads.as_const()) {
        (Some(kv), Some(q)) if kv > 0 && q % kv == 0 => q / kv,
        _ => return Err(format!("{heads} heads of queries for {} of keys", shape[1]).into()),
    };
    let y = im.unsqueeze(x, &[2])?;
    let mut wide = im.shape(y);
    wide[2] = Dim::constant(groups);
    let y = im.expand(y, &wide)?;
    let mut shape = shape;
    shape[1] = heads.clone();
    im.reshape(y, shape)
}

/// Softmax along the last axis that gives zeros where everything is minus infinity.
fn masked_softmax(im: &mut Importer<'_>, x: Operand) -> R {
    let axis = im.rank(x) - 1;
    let top = im.reduce(ReduceOp::Max, x, &[axis], true)?;
    let low = im.like(top, f64::NEG_INFINITY);
    let none = im.map(ScalarOp::Eq, &[top, low])?;
    let zero = im.like(top, 0.0);
    let top = im.map(ScalarOp::Select, &[none, zero, top])?;
    let e = im.sub(x, top)?;
    let e = im.un(ScalarOp::Exp, e)?;
    let s = im.sum(e, &[axis], true)?;
    let one = im.like(s, 1.0);
    let s = im.map(ScalarOp::Select, &[none, one, s])?;
    im.div(e, s)
}

fn scale(n: &Node<'_>, head: &Dim) -> R<f64> {
    match (n.attr("scale"), head.as_const()) {
        (Some(a), _) => Ok(f64::from(a.f)),
        (None, Some(d)) if d > 0 => Ok(1.0 / (d as f64).sqrt()),
        _ => Err(format!("a head size of {head}").into()),
    }
}

fn attention(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (mut q, mut k, mut v) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let dtype = im.dtype(q);
    let flat = im.rank(q) == 3;
    if flat {
        let kv = n.int("kv_num_heads", 0);
        (q, k, v) = (heads(im, q, n.int("q_num_heads", 0))?, heads(im, k, kv)?, heads(im, v, kv)?);
    }
    if im.rank(q) != 4 || im.rank(k) != 4 || im.rank(v) != 4 {
        return Err("queries, keys and values of three or four axes are expected".into());
    }
    let mut past = Dim::constant(0);
    if let (Some(pk), Some(pv)) = (n.opt(4)?, n.opt(5)?) {
        past = im.dim(pk, 2)?;
        (k, v) = (im.concat(&[pk, k], 2)?, im.concat(&[pv, v], 2)?);
    }
    let (present_k, present_v) = (k, v);
    let shape = im.shape(q);
    let by = scale(n, &shape[3])?.sqrt();
    let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
    let (qw, kw, vw) = (im.cast(q, wide)?, im.cast(k, wide)?, im.cast(v, wide)?);
    let (kw, vw) = (shared(im, kw, &shape[1])?, shared(im, vw, &shape[1])?);
    let (qw, kw) = (im.with(ScalarOp::Mul, qw, by)?, im.with(ScalarOp::Mul, kw, by)?);
    let kt = im.transpose(kw)?;
    let product = im.matmul(qw, kt)?;
    let mut scores = product;
    let cap = n.float("softcap", 0.0);
    if cap != 0.0 {
        let s = im.with(ScalarOp::Div, scores, cap)?;
        let s = im.un(ScalarOp::Tanh, s)?;
        scores = im.with(ScalarOp::Mul, s, cap)?;
    }
    let capped = scores;
    let bias = mask(im, n, &im.shape(scores), wide, &past)?;
    if let Some(bias) = bias {
        scores = im.add(scores, bias)?;
    }
    let biased = scores;
    let probabilities = masked_softmax(im, scores)?;
    let mut y = im.matmul(probabilities, vw)?;
    if flat {
        y = packed(im, y)?;
    }
    let y = im.cast(y, dtype)?;
    let shown = match n.int("qk_matmul_output_mode", 0) {
        0 => product,
        1 => capped,
        2 => biased,
        3 => probabilities,
        other => return n.mode_unknown("qk_matmul_output_mode", &other.to_string()),
    };
    let shown = im.cast(shown, dtype)?;
    Ok(vec![im.t(y), im.t(present_k), im.t(present_v), im.t(shown)])
}

/// What is added to scores `[b, h, q, k]`: the mask, and minus infinity where nothing may be seen.
fn mask(im: &mut Importer<'_>, n: &Node<'_>, scores: &Shape, dtype: DType, past: &Dim) -> R<Option<Operand>> {
    let never = im.scalar(dtype, f64::NEG_INFINITY);
    let zero = im.scalar(dtype, 0.0);
    let mut bias = None;
    if let Some(m) = n.opt(3)? {
        let mut m = if im.dtype(m) == DType::Bool { im.select(m, zero, never)? } else { im.cast(m, dtype)? };
        // A mask that is too short hides what is behind it.
        let last = im.rank(m).checked_sub(1).ok_or("a mask without axes")?;
        if let (Some(have), Some(want)) = (im.dim(m, last)?.as_const(), scores[3].as_const())
            && have < want
            && have != 1
        {
            m = im.pad(m, last, 0, (want - have) as usize, f64::NEG_INFINITY)?;
        }
        bias = Some(m);
    }
    let mut hide = |im: &mut Importer<'_>, seen: Operand| -> R<()> {
        let m = im.select(seen, zero, never)?;
        bias = Some(match bias {
            None => m,
            Some(b) => im.add(b, m)?,
        });
        Ok(())
    };
    let col = im.iota_along(scores[3].clone(), 3, 4, DType::I64)?;
    let filled = match n.opt(6)? {
        Some(f) => {
            let f = im.cast(f, DType::I64)?;
            Some(im.unsqueeze(f, &[1, 2, 3])?)
        }
        None => None,
    };
    if n.flag("is_causal", false) {
        let row = im.iota_along(scores[2].clone(), 2, 4, DType::I64)?;
        let before = match filled {
            // Queries are the last of what is filled.
            Some(f) => {
                let len = im.size_of(&scores[2])?;
                im.sub(f, len)?
            }
            None => im.size_of(past)?,
        };
        let row = im.add(row, before)?;
        let seen = im.bin(ScalarOp::Le, col, row)?;
        hide(im, seen)?;
    }
    if let Some(f) = filled {
        let seen = im.bin(ScalarOp::Lt, col, f)?;
        hide(im, seen)?;
    }
    Ok(bias)
}

fn flex(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (q, k, v) = (n.x(0)?, n.x(1)?, n.x(2)?);
    if im.rank(q) != 4 || im.rank(k) != 4 || im.rank(v) != 4 {
        return Err("queries, keys and values of four axes are expected".into());
    }
    let (dtype, shape) = (im.dtype(q), im.shape(q));
    let default = if dtype == DType::F64 { Elem::Double } else { Elem::Float };
    let (_, wide) = im.elem_attr(n, "softmax_precision", Some(default))?;
    let by = scale(n, &shape[3])?;
    let (qw, kw, vw) = (im.cast(q, wide)?, im.cast(k, wide)?, im.cast(v, wide)?);
    let (kw, vw) = (shared(im, kw, &shape[1])?, shared(im, vw, &shape[1])?);
    let kt = im.transpose(kw)?;
    let s = im.matmul(qw, kt)?;
    let mut x = im.with(ScalarOp::Mul, s, by)?;
    let modified = |im: &mut Importer<'_>, name: &str, x: Operand| -> R {
        if n.attr(name).is_none() {
            return Ok(x);
        }
        let given = vec![im.t(x)];
        match im.inner(n.graph(name)?, given)?.as_slice() {
            [Val::Tensor(t)] if im.same_shape(t.o, x) && im.dtype(t.o) == im.dtype(x) => Ok(t.o),
            _ => Err(format!("`{name}` gives another kind of value than it takes").into()),
        }
    };
    x = modified(im, "score_mod", x)?;
    x = masked_softmax(im, x)?;
    x = modified(im, "prob_mod", x)?;
    let y = im.matmul(x, vw)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}

fn rotary(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, mut cos, mut sin) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let flat = im.rank(x) == 3;
    let y = if flat { heads(im, x, n.int("num_heads", 0))? } else { x };
    if im.rank(y) != 4 {
        return Err("three or four axes are expected".into());
    }
    let head = im.size(y, 3)?;
    let turned = match usize::try_from(n.int("rotary_embedding_dim", 0)) {
        Ok(0) => head,
        Ok(d) if d <= head => d,
        _ => return Err("a wrong rotary_embedding_dim".into()),
    };
    if let Some(ids) = n.opt(3)? {
        (cos, sin) = (im.gather(cos, ids, 0)?, im.gather(sin, ids, 0)?);
    }
    // [b, t, d / 2] beside [b, h, t, d / 2].
    (cos, sin) = (im.unsqueeze(cos, &[1])?, im.unsqueeze(sin, &[1])?);
    let part = im.range(y, 3, 0, turned)?;
    let rest = im.range(y, 3, turned, head)?;
    let half = turned / 2;
    let interleaved = n.flag("interleaved", false);
    let (a, b) = if interleaved {
        let end = Dim::from(turned);
        (im.slice(part, 3, Dim::constant(0), end.clone(), 2)?, im.slice(part, 3, Dim::constant(1), end, 2)?)
    } else {
        (im.range(part, 3, 0, half)?, im.range(part, 3, half, turned)?)
    };
    let (ca, sb, sa, cb) = (im.mul(cos, a)?, im.mul(sin, b)?, im.mul(sin, a)?, im.mul(cos, b)?);
    let (re, imag) = (im.sub(ca, sb)?, im.add(sa, cb)?);
    let done = if interleaved {
        let both = im.stack(&[re, imag], 4)?;
        let shape = im.shape(part);
        im.reshape(both, shape)?
    } else {
        im.concat(&[re, imag], 3)?
    };
    let y = if turned == head { done } else { im.concat(&[done, rest], 3)? };
    let y = if flat { packed(im, y)? } else { y };
    im.one(y)
}

fn linear(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (q, k, v) = (n.x(0)?, n.x(1)?, n.x(2)?);
    let dtype = im.dtype(q);
    let (hq, hkv) = (n.int("q_num_heads", 0), n.int("kv_num_heads", 0));
    let (q, k, v) = (im.widen(q)?, im.widen(k)?, im.widen(v)?);
    let (q, k, v) = (heads(im, q, hq)?, heads(im, k, hkv)?, heads(im, v, hkv)?);
    let (sq, sk, sv) = (im.shape(q), im.shape(k), im.shape(v));
    let by = match n.float("scale", 0.0) {
        0.0 => 1.0 / (im.size(q, 3)? as f64).sqrt(),
        s => s,
    };
    let (decays, corrects) = match n.word("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return n.mode_unknown("update_rule", other),
    };
    let mut state = match n.opt(3)? {
        Some(s) => im.cast_as(s, q)?,
        None => {
            let shape = Shape::from_iter([sk[0].clone(), sk[1].clone(), sk[3].clone(), sv[3].clone()]);
            im.fill_of(q, 0, shape)
        }
    };
    let state_type = match n.opt(3)? {
        Some(s) => im.dtype(s),
        None => dtype,
    };
    // [b, t, h * d] or [b, t, h] as [b, h, t, d or 1].
    let per_head = |im: &mut Importer<'_>, at: usize| -> R {
        let x = n.x(at)?;
        let x = im.widen(x)?;
        if im.dim(x, 2)?.as_const() == Some(1) && hkv != 1 {
            return im.unsqueeze(x, &[1]);
        }
        heads(im, x, hkv)
    };
    let decay = if decays { Some(per_head(im, 4)?) } else { None };
    let beta = if corrects { Some(per_head(im, 5)?) } else { None };
    let steps = im.size(q, 2)?;
    let mut outs = vec![];
    for t in 0..steps {
        let kt = im.range(k, 2, t, t + 1)?; // [b, h, 1, dk]
        let vt = im.range(v, 2, t, t + 1)?; // [b, h, 1, dv]
        let column = im.transpose(kt)?; // [b, h, dk, 1]
        if let Some(g) = decay {
            let g = im.range(g, 2, t, t + 1)?;
            let g = im.un(ScalarOp::Exp, g)?;
            let g = im.transpose(g)?;
            state = im.mul(state, g)?;
        }
        let mut new = vt;
        if let Some(b) = beta {
            let have = im.matmul(kt, state)?;
            let missing = im.sub(vt, have)?;
            let b = im.range(b, 2, t, t + 1)?;
            new = im.mul(missing, b)?;
        }
        let outer = im.mul(column, new)?;
        state = im.add(state, outer)?;
        let qt = im.range(q, 2, t, t + 1)?;
        let s = shared(im, state, &sq[1])?;
        outs.push(im.matmul(qt, s)?);
    }
    let y = im.concat(&outs, 2)?;
    let y = im.with(ScalarOp::Mul, y, by)?;
    let y = packed(im, y)?;
    let (y, state) = (im.cast(y, dtype)?, im.cast(state, state_type)?);
    Ok(vec![im.t(y), im.t(state)])
}

fn causal_conv(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (x, w) = (n.x(0)?, n.x(1)?);
    let dtype = im.dtype(x);
    let length = im.dim(x, 2)?;
    let kernel = im.size(w, 2)?;
    if kernel == 0 {
        return Err("an empty kernel".into());
    }
    let whole = match n.opt(3)? {
        Some(past) => {
            let past = im.cast(past, dtype)?;
            im.concat(&[past, x], 2)?
        }
        None => im.pad(x, 2, kernel - 1, 0, 0.0)?,
    };
    let wide = im.widen(whole)?;
    let w = im.cast_as(w, wide)?;
    let w = im.squeeze(w, &[1])?;
    let mut sum = None;
    for i in 0..kernel {
        let part = im.slice(wide, 2, Dim::from(i), &length + &Dim::from(i), 1)?;
        let by = im.range(w, 1, i, i + 1)?;
        let term = im.mul(part, by)?;
        sum = Some(match sum {
            None => term,
            Some(s) => im.add(s, term)?,
        });
    }
    let Some(mut y) = sum else { return Err("an empty kernel".into()) };
    if let Some(b) = n.opt(2)? {
        let b = im.cast_as(b, y)?;
        let b = im.unsqueeze(b, &[1])?;
        y = im.add(y, b)?;
    }
    match n.word("activation", "none")? {
        "none" => {}
        "silu" | "swish" => {
            let s = im.un(ScalarOp::Sigmoid, y)?;
            y = im.mul(y, s)?;
        }
        other => return n.mode_unknown("activation", other),
    }
    let y = im.cast(y, dtype)?;
    let end = im.dim(whole, 2)?;
    let state = im.slice(whole, 2, length, end, 1)?;
    Ok(vec![im.t(y), im.t(state)])
}
