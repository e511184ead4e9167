//! Products of matrices and sums of products.

use crate::import::onnx::cx::R;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::Operand;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::{Shape, product};

rows! {
    "MatMul" [1, 9, 13] matmul;
    "Gemm" [1, 6, 7, 9, 11, 13] gemm;
    "MatMulInteger" [10] matmul_integer;
    "Einsum" [12] einsum;
    "Det" [11, 22] det;
}

impl Importer<'_> {
    /// A product as NumPy has it: vectors are matrices of one row or column, and integers are multiplied in f64,
    /// which is exact up to 2^53.
    pub fn numpy_matmul(&mut self, a: Operand, b: Operand) -> R {
        let dtype = self.dtype(a);
        let (ra, rb) = (self.rank(a), self.rank(b));
        if ra == 0 || rb == 0 {
            return Err("a product of scalars".into());
        }
        let wide = if dtype.is_float() { dtype } else { DType::F64 };
        let (a, b) = (self.cast(a, wide)?, self.cast(b, wide)?);
        let a = if ra == 1 { self.unsqueeze(a, &[0])? } else { a };
        let b = if rb == 1 { self.unsqueeze(b, &[1])? } else { b };
        let mut y = self.matmul(a, b)?;
        if rb == 1 {
            let last = self.rank(y) - 1;
            y = self.squeeze(y, &[last])?;
        }
        if ra == 1 {
            let axis = self.rank(y) - if rb == 1 { 1 } else { 2 };
            y = self.squeeze(y, &[axis])?;
        }
        self.cast(y, dtype)
    }
}

fn matmul(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (a, b) = (n.x(0)?, n.x(1)?);
    let y = im.numpy_matmul(a, b)?;
    im.one(y)
}

fn gemm(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (mut a, mut b) = (n.x(0)?, n.x(1)?);
    if im.rank(a) != 2 || im.rank(b) != 2 {
        return Err("matrices are expected".into());
    }
    let dtype = im.dtype(a);
    if n.flag("transA", false) {
        a = im.transpose(a)?;
    }
    if n.flag("transB", false) {
        b = im.transpose(b)?;
    }
    let (alpha, beta) = (n.float("alpha", 1.0), n.float("beta", 1.0));
    let mut y = if dtype.is_float() { im.matmul(a, b)? } else { im.numpy_matmul(a, b)? };
    if alpha != 1.0 {
        y = im.with(ScalarOp::Mul, y, alpha)?;
    }
    if let Some(c) = n.opt(2)? {
        let c = if beta == 1.0 { c } else { im.with(ScalarOp::Mul, c, beta)? };
        let shape = im.shape(y);
        let c = im.expand(c, &shape)?;
        y = im.add(y, c)?;
    }
    im.one(y)
}

/// Integers less their zero points, as f64. A list of zero points is one for each row or column.
pub(super) fn centred(im: &mut Importer<'_>, x: Operand, zero: Option<Operand>, rows: bool) -> R {
    let wide = im.cast(x, DType::F64)?;
    let Some(zero) = zero else { return Ok(wide) };
    let mut zero = im.cast(zero, DType::F64)?;
    if rows && im.rank(zero) == 1 && im.rank(x) > 1 {
        zero = im.unsqueeze(zero, &[1])?;
    }
    im.sub(wide, zero)
}

fn matmul_integer(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let (a, b) = (n.x(0)?, n.x(1)?);
    let (a, b) = (centred(im, a, n.opt(2)?, true)?, centred(im, b, n.opt(3)?, false)?);
    let y = im.numpy_matmul(a, b)?;
    let y = im.cast(y, DType::I32)?;
    im.one(y)
}

/// The subscripts of one operand or of the result.
fn subscripts(text: &str, ellipsis: &[char], rank: Option<usize>) -> R<Vec<char>> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut out = vec![];
    if let Some((front, back)) = text.split_once("...") {
        let count = match rank {
            Some(r) => r
                .checked_sub(front.chars().count() + back.chars().count())
                .filter(|c| *c <= ellipsis.len())
                .ok_or("more subscripts than axes")?,
            None => ellipsis.len(),
        };
        out.extend(front.chars());
        out.extend(&ellipsis[ellipsis.len() - count..]);
        out.extend(back.chars());
    } else {
        out.extend(text.chars());
    }
    let wrong = out.iter().any(|c| !c.is_ascii_alphabetic() && !ellipsis.contains(c));
    if wrong || rank.is_some_and(|r| r != out.len()) {
        return Err(format!("subscripts {text:?}").into());
    }
    Ok(out)
}

fn einsum(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let equation = n.word("equation", "")?.to_owned();
    let operands = n.all()?;
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != operands.len() || terms.is_empty() {
        return Err(format!("{} terms for {} operands", terms.len(), operands.len()).into());
    }
    // Axes of the ellipsis get names of their own; the longest one decides how many there are.
    let mut dots = 0;
    for (t, x) in terms.iter().zip(&operands) {
        if t.contains("...") {
            let named = t.chars().filter(|c| c.is_ascii_alphabetic()).count();
            let more = im.rank(*x).checked_sub(named).ok_or("more subscripts than axes")?;
            dots = dots.max(more);
        }
    }
    let ellipsis: Vec<char> = ('0'..).take(dots).collect();
    let mut parts: Vec<(Operand, Vec<char>)> = vec![];
    for (t, x) in terms.iter().zip(&operands) {
        let labels = subscripts(t, &ellipsis, Some(im.rank(*x)))?;
        parts.push(diagonal(im, *x, labels)?);
    }
    let result = match right {
        Some(r) => subscripts(r, &ellipsis, None)?,
        None => {
            let all: Vec<char> = left.chars().filter(char::is_ascii_alphabetic).collect();
            let mut once: Vec<char> =
                all.iter().copied().filter(|c| all.iter().filter(|d| *d == c).count() == 1).collect();
            once.sort_unstable();
            ellipsis.iter().copied().chain(once).collect()
        }
    };
    let mut acc = parts.remove(0);
    while !parts.is_empty() {
        let next = parts.remove(0);
        let later: Vec<char> =
            parts.iter().flat_map(|p| p.1.iter().copied()).chain(result.iter().copied()).collect();
        acc = pair(im, acc, next, &later)?;
    }
    let (x, labels) = acc;
    let gone: Vec<usize> = (0..labels.len()).filter(|i| !result.contains(&labels[*i])).collect();
    let x = im.sum(x, &gone, false)?;
    let kept: Vec<char> = labels.into_iter().filter(|c| result.contains(c)).collect();
    let perm: Option<Vec<usize>> = result.iter().map(|c| kept.iter().position(|k| k == c)).collect();
    let perm = perm
        .filter(|p| p.len() == kept.len())
        .ok_or("the result names an axis that no operand has, or twice")?;
    let y = im.permute(x, &perm)?;
    im.one(y)
}

/// Elements at which axes of one name have one position.
fn diagonal(im: &mut Importer<'_>, mut x: Operand, mut labels: Vec<char>) -> R<(Operand, Vec<char>)> {
    while let Some((i, j)) = (0..labels.len())
        .find_map(|i| (i + 1..labels.len()).find(|j| labels[*j] == labels[i]).map(|j| (i, j)))
    {
        let (size, rank) = (im.dim(x, i)?, labels.len());
        let row = im.iota_along(size.clone(), i, rank, DType::I64)?;
        let col = im.iota_along(size, j, rank, DType::I64)?;
        let same = im.bin(ScalarOp::Eq, row, col)?;
        let zero = im.like_int(x, 0);
        let y = im.select(same, x, zero)?;
        x = im.sum(y, &[j], false)?;
        labels.remove(j);
    }
    Ok((x, labels))
}

/// The product of two, summed over what neither the result nor a later operand has.
fn pair(
    im: &mut Importer<'_>,
    (a, la): (Operand, Vec<char>),
    (b, lb): (Operand, Vec<char>),
    later: &[char],
) -> R<(Operand, Vec<char>)> {
    let both: Vec<char> = la.iter().copied().filter(|c| lb.contains(c)).collect();
    let (batch, summed): (Vec<char>, Vec<char>) = both.iter().partition(|c| later.contains(c));
    let only = |l: &[char]| -> Vec<char> { l.iter().copied().filter(|c| !both.contains(c)).collect() };
    let (ra, rb) = (only(&la), only(&lb));
    let mut arrange = |x: Operand, labels: &[char], order: [&[char]; 3]| -> R<(Operand, [Vec<Dim>; 3])> {
        let at = |c: &char| labels.iter().position(|l| l == c).unwrap_or(0);
        let perm: Vec<usize> = order.iter().flat_map(|g| g.iter().map(at)).collect();
        let y = im.permute(x, &perm)?;
        let shape = im.shape(x);
        let sizes = order.map(|g| g.iter().map(|c| shape[at(c)].clone()).collect::<Vec<Dim>>());
        let flat: Shape = sizes.iter().map(|g| product(g)).collect();
        Ok((im.reshape(y, flat)?, sizes))
    };
    let (x, [batch_sizes, m, _]) = arrange(a, &la, [&batch, &ra, &summed])?;
    let (y, [_, _, n]) = arrange(b, &lb, [&batch, &summed, &rb])?;
    let dtype = im.dtype(x);
    let z = im.numpy_matmul(x, y)?;
    let z = im.cast(z, dtype)?;
    let shape: Shape = batch_sizes.into_iter().chain(m).chain(n).collect();
    Ok((im.reshape(z, shape)?, batch.into_iter().chain(ra).chain(rb).collect()))
}

/// Determinants, of half floats in f32.
fn det(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.x(0)?;
    let dtype = im.dtype(x);
    let x = im.widen(x)?;
    let y = im.graph.determinant(x)?;
    let y = im.cast(y, dtype)?;
    im.one(y)
}
