//! Shapes: asking for them and changing them without moving elements.

use crate::import::onnx::cx::R;
use crate::import::onnx::error::Fault;
use crate::import::onnx::import::Importer;
use crate::import::onnx::node::{Node, T, Val};
use crate::import::onnx::registry::rows;
use latentc_ir::dim::{Dim, Proof};
use latentc_ir::graph::Operand;
use latentc_ir::types::{Shape, product};

rows! {
    "Shape" [1, 13, 15, 19, 21, 23, 24, 25] shape;
    "Size" [1, 13, 19, 21, 23, 24, 25] size;
    "Reshape" [1, 5, 13, 14, 19, 21, 23, 24, 25] reshape;
    "Flatten" [1, 9, 11, 13, 21, 23, 24, 25] flatten;
    "Squeeze" [1, 11, 13, 21, 23, 24, 25] squeeze;
    "Unsqueeze" [1, 11, 13, 21, 23, 24, 25] unsqueeze;
    "Identity" [1, 13, 14, 16, 19, 21, 23, 24, 25] identity;
    "Expand" [8, 13] expand;
}

impl Importer<'_> {
    /// A moved value with the element type of what was moved.
    pub fn keep(&self, t: T, o: Operand) -> R<Vec<Val>> {
        Ok(vec![Val::Tensor(T { o, elem: t.elem })])
    }

    /// Sizes as a list of i64.
    pub fn dims_value(&mut self, dims: &[Dim]) -> R {
        let known: Option<Vec<i64>> = dims.iter().map(Dim::as_const).collect();
        if let Some(known) = known {
            return Ok(self.ints(&known));
        }
        let parts: Vec<Operand> = dims
            .iter()
            .map(|d| {
                let s = self.size_of(d)?;
                self.unsqueeze(s, &[0])
            })
            .collect::<R<_>>()?;
        self.concat(&parts, 0)
    }
}

fn shape(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let dims = im.shape(n.any(0)?.o);
    let rank = dims.len() as i64;
    let at = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (at(n.int("start", 0)), at(n.int("end", rank)));
    let y = im.dims_value(dims.get(start..end).unwrap_or(&[]))?;
    im.one(y)
}

fn size(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let count = product(&im.shape(n.any(0)?.o));
    let y = im.size_of(&count)?;
    im.one(y)
}

fn reshape(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let target = match n.opt(1)? {
        Some(s) => im.known_dims(s)?,
        None => n.ints("shape").unwrap_or(&[]).iter().map(|d| Dim::constant(*d)).collect(),
    };
    let from = im.shape(x.o);
    let zeros = n.flag("allowzero", false);
    let (mut shape, mut open) = (Shape::new(), None);
    for (i, d) in target.iter().enumerate() {
        match d.as_const() {
            Some(-1) if open.is_some() => return Err("two sizes are -1".into()),
            Some(-1) => {
                open = Some(i);
                shape.push(Dim::constant(1));
            }
            Some(0) if !zeros => {
                let d = from
                    .get(i)
                    .ok_or_else(|| format!("size {i} is 0, but there is no axis {i} to take it from"))?;
                shape.push(d.clone());
            }
            Some(d) if d < 0 => return Err(format!("size {i} is {d}").into()),
            _ => shape.push(d.clone()),
        }
    }
    if let Some(open) = open {
        shape[open] = rest(&from, &shape)?;
    }
    let y = im.reshape(x.o, shape)?;
    im.keep(x, y)
}

/// The size that makes the elements of one shape those of another.
fn rest(from: &[Dim], to: &[Dim]) -> R<Dim> {
    let mut above: Vec<Dim> = from.to_vec();
    let mut below = vec![];
    for d in to {
        match above.iter().position(|a| a.eq_proof(d) == Proof::True) {
            Some(at) => {
                above.remove(at);
            }
            None => below.push(d.clone()),
        }
    }
    let (above, below) = (product(&above), product(&below));
    match (above.as_const(), below.as_const()) {
        (Some(0), Some(0)) => Err(Fault::Wrong("the size -1 could be any: there is no element".into())),
        (_, Some(0)) => Err(Fault::Wrong("no size in place of -1 makes so many elements".into())),
        (Some(a), Some(b)) if a % b != 0 => {
            Err(Fault::Wrong(format!("no size in place of -1 makes {a} elements, the others make {b}")))
        }
        _ => Ok(above.floor_div(&below)),
    }
}

fn flatten(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let rank = im.rank(x.o);
    let axis = n.int("axis", 1);
    let axis = if axis == rank as i64 { rank } else { im.axis(axis, rank)? };
    let y = im.flatten(x.o, axis)?;
    im.keep(x, y)
}

fn axes(im: &mut Importer<'_>, n: &Node<'_>) -> R<Option<Vec<i64>>> {
    Ok(match n.opt(1)? {
        Some(axes) => Some(im.known_ints(axes)?),
        None => n.ints("axes").map(<[i64]>::to_vec),
    })
}

fn squeeze(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let shape = im.shape(x.o);
    let axes = match axes(im, n)? {
        Some(axes) => im.axes(&axes, shape.len())?,
        None => (0..shape.len()).filter(|a| shape[*a].as_const() == Some(1)).collect(),
    };
    let y = im.squeeze(x.o, &axes)?;
    im.keep(x, y)
}

fn unsqueeze(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let axes = axes(im, n)?.ok_or("it has no axes")?;
    let axes = im.axes(&axes, im.rank(x.o) + axes.len())?;
    let y = im.unsqueeze(x.o, &axes)?;
    im.keep(x, y)
}

fn identity(_: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    Ok(vec![n.val(0).cloned().ok_or("operand 0 is missing")?])
}

fn expand(im: &mut Importer<'_>, n: &Node<'_>) -> R<Vec<Val>> {
    let x = n.any(0)?;
    let target = n.x(1)?;
    let target: Shape = im.known_dims(target)?.into_iter().collect();
    let shape = im.common(&[im.shape(x.o), target])?;
    let y = im.expand(x.o, &shape)?;
    im.keep(x, y)
}
