//! Programs as text for people: what is where, how large, and what is launched in which order. The kernels'
//! own text is that of [`nest`](crate::nest). It is not read back.

use super::{BufferDecl, ControlKind, Place, Program};
use crate::graph::InputKind;
use crate::text::name_text;
use crate::types::{Type, product, shape_text};
use std::fmt;

/// Bytes in the largest unit that leaves at least one of it.
fn size_text(bytes: i128) -> String {
    let units = [("GiB", 1i128 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// Bytes of a buffer for the greatest values of the sizes.
fn bytes(b: &BufferDecl) -> i128 {
    i128::from(product(&b.shape).upper()).saturating_mul(b.dtype.size() as i128)
}

/// What the buffers of a kind come to, for the totals.
fn kind(program: &Program, b: &BufferDecl) -> &'static str {
    match &b.place {
        Place::Input(i) | Place::Csr { input: i, .. } => match program.inputs.get(*i).map(|i| i.kind) {
            Some(InputKind::Param) => "parameters",
            Some(InputKind::State) => "state",
            _ => "data",
        },
        Place::Output(_) => "outputs",
        Place::Arena { .. } => "temporaries",
        Place::Step { .. } => "parts of others",
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {}", name_text(&self.name))?;
        list(f, "dims", self.dims.iter().map(|d| format!("{}: {}..={}", name_text(&d.name), d.lo, d.hi)))?;
        let input = |i: &super::InputDecl| {
            let bound = match (&i.bound, &i.ty) {
                (Some(b), Type::Tensor(_)) => format!(", each below {b}"),
                _ => String::new(),
            };
            format!("{} {}: {}{bound}", i.kind.name(), name_text(&i.name), i.ty)
        };
        list(f, "inputs", self.inputs.iter().map(input))?;
        let output =
            |o: &super::OutputDecl| format!("{}: {}{}", name_text(&o.name), o.dtype, shape_text(&o.shape));
        list(f, "outputs", self.outputs.iter().map(output))?;
        numbered(f, "buffers", self.buffers.iter().map(|b| self.buffer_text(b)))?;
        let launch = |l: &super::Launch| {
            let name = |i: &usize| self.buffers.get(*i).map_or("?".to_owned(), |b| name_text(&b.name));
            let buffers: Vec<String> = l.buffers.iter().map(name).collect();
            let dim = |i: &usize| self.dims.get(*i).map_or("?".to_owned(), |d| name_text(&d.name));
            let dims: Vec<String> = l.dims.iter().map(dim).collect();
            let dims = if dims.is_empty() { String::new() } else { format!(" [{}]", dims.join(", ")) };
            let kernel = self.kernels.get(l.kernel).map_or("?", |k| k.name.as_str());
            format!("{kernel}({}){dims}", buffers.join(", "))
        };
        numbered(f, "launches", self.launches.iter().map(launch))?;
        let range = |c: &super::Control| {
            let name = |b: &usize| self.buffers.get(*b).map_or("?".to_owned(), |b| name_text(&b.name));
            let when = match &c.kind {
                ControlKind::Loop { trips } => format!("{trips} times"),
                ControlKind::While { limit, body, going } => {
                    format!("while {} after {body}, at most {limit} times", name(going))
                }
                ControlKind::Branch { on, otherwise } => {
                    format!("from {otherwise} on unless {}, else before", name(on))
                }
            };
            format!("{}..{} of {}: {when}", c.first, c.end, c.at.op)
        };
        numbered(f, "ranges", self.controls.iter().map(range))?;
        let mut totals = vec![];
        for k in ["parameters", "state", "data", "outputs", "temporaries"] {
            let of_kind: Vec<&BufferDecl> = self.buffers.iter().filter(|b| kind(self, b) == k).collect();
            if of_kind.is_empty() {
                continue;
            }
            let total: i128 = of_kind.iter().map(|b| bytes(b)).fold(0, i128::saturating_add);
            let shared = match k {
                "temporaries" => format!(", in an arena of {}", size_text(self.arena_bytes as i128)),
                _ => String::new(),
            };
            totals.push(format!("{k}: {}{shared}", size_text(total)));
        }
        list(f, "memory", totals)
    }
}

impl Program {
    fn buffer_text(&self, b: &BufferDecl) -> String {
        let input = |i: &usize| self.inputs.get(*i).map_or("?".to_owned(), |i| name_text(&i.name));
        let place = match &b.place {
            Place::Input(i) => format!("input {}", input(i)),
            Place::Csr { input: i, part } => format!("{} of {}", part.name(), input(i)),
            Place::Output(i) => {
                let name = self.outputs.get(*i).map_or("?".to_owned(), |o| name_text(&o.name));
                format!("output {name}")
            }
            Place::Arena { offset } => format!("arena at {offset}"),
            Place::Step { of, control, reverse } => {
                let of = self.buffers.get(*of).map_or("?".to_owned(), |b| name_text(&b.name));
                let back = if *reverse { " from the end" } else { "" };
                format!("{of} at the turn of range {control}{back}")
            }
        };
        let size = size_text(bytes(b));
        format!("{}: {}{}, {size}, {place}", name_text(&b.name), b.dtype, shape_text(&b.shape))
    }
}

/// A title with its lines; nothing where there are none.
fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: impl IntoIterator<Item = String>) -> fmt::Result {
    for (i, line) in lines.into_iter().enumerate() {
        if i == 0 {
            writeln!(f, "{title}")?;
        }
        writeln!(f, "  {line}")?;
    }
    Ok(())
}

/// A list whose lines have the numbers that the program counts them by.
fn numbered(f: &mut fmt::Formatter<'_>, title: &str, lines: impl IntoIterator<Item = String>) -> fmt::Result {
    list(f, title, lines.into_iter().enumerate().map(|(i, line)| format!("{i} {line}")))
}
