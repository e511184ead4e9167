//! Ops with bodies: the launches of a body among those of the program around it.
//!
//! A body becomes a program by itself first: what it carries is kept state that it updates, in place where it may be;
//! what it stacks are outputs. That program is then written into the one around it. Its inputs and outputs are buffers
//! of that, or parts of them at the present turn of the loop, and its arena is one temporary of it.

use super::build::{Builder, build_part};
use super::memory::Tenant;
use super::{BufferDecl, CheckKind, Control, ControlKind, OpAt, Place, Program, Provenance};
use crate::diag::Diag;
use crate::dim::Symbol;
use crate::dtype::DType;
use crate::fuse::MOST_NODES;
use crate::graph::text::symbols;
use crate::graph::{Body, Graph, NodeId, Operand};
use crate::lower::{Arg, How};
use crate::nest::VarId;
use crate::ops::Op;
use crate::passes::divide;
use crate::types::{Shape, Type};
use std::sync::Arc;

/// What a parameter or a result of a body is in the program around it.
#[derive(Clone, Copy)]
enum Home {
    /// This buffer.
    Buffer(usize),
    /// What this buffer has for the present turn.
    Turn(usize),
    /// A pattern.
    Pattern(Operand),
}

/// The loop that a body is in: its position, and whether it goes backwards.
type Loop = Option<(usize, bool)>;

impl Builder<'_> {
    /// Writes the launches of an op with bodies.
    pub fn control(&mut self, n: NodeId, name: &str, how: &How, from: &mut Provenance) -> Result<(), Diag> {
        let node = self.graph.node(n).clone();
        let results: Vec<Operand> =
            (0..node.types.len()).map(|p| Operand { node: n, port: p as u16 }).collect();
        let mut buffers = vec![];
        for o in &results {
            buffers.push(self.buffer(Arg::Value(*o))?);
        }
        let at = OpAt { op: node.op.def().name(), span: node.span.clone() };
        match &node.op {
            Op::Scan(s) => {
                let mut homes = self.begin(&node.operands[..s.carries], &buffers)?;
                let here = self.open(ControlKind::Loop { trips: s.trips.clone() }, at);
                for o in &node.operands[s.carries..s.carries + s.slices] {
                    homes.push(Home::Turn(self.buffer(Arg::Value(*o))?));
                }
                homes.extend(self.given(&node.operands[s.carries + s.slices..])?);
                let outs: Vec<Home> = buffers[s.carries..].iter().map(|b| Home::Turn(*b)).collect();
                let part = (&s.body, s.carries, name.to_owned());
                self.part(part, &homes, &outs, Some((here, s.reverse)), how, from)?;
                self.close(here);
            }
            Op::While(w) => {
                let mut homes = self.begin(&node.operands[..w.carries], &buffers)?;
                homes.extend(self.given(&node.operands[w.carries..])?);
                let going = self.arena_buffer(format!("{name}_going"), DType::Bool, Shape::new());
                let limit = w.limit.clone();
                let here = self.open(ControlKind::While { limit, body: 0, going }, at);
                let test = (&w.test, 0, format!("{name}_test"));
                self.part(test, &homes, &[Home::Buffer(going)], None, how, from)?;
                let second = self.program.launches.len();
                if let ControlKind::While { body, .. } = &mut self.program.controls[here].kind {
                    *body = second;
                }
                self.part((&w.body, w.carries, name.to_owned()), &homes, &[], None, how, from)?;
                self.close(here);
            }
            Op::Cond(c) => {
                let on = self.buffer(Arg::Value(node.operands[0]))?;
                let homes = self.given(&node.operands[1..])?;
                let outs: Vec<Home> = buffers.iter().map(|b| Home::Buffer(*b)).collect();
                let here = self.open(ControlKind::Branch { on, otherwise: 0 }, at);
                self.part((&c.then, 0, format!("{name}_then")), &homes, &outs, None, how, from)?;
                let second = self.program.launches.len();
                if let ControlKind::Branch { otherwise, .. } = &mut self.program.controls[here].kind {
                    *otherwise = second;
                }
                self.part((&c.otherwise, 0, format!("{name}_else")), &homes, &outs, None, how, from)?;
                self.close(here);
            }
            other => unreachable!("`{}` has no body", other.def().name()),
        }
        Ok(())
    }

    /// Copies what is carried to where its last value is to be.
    fn begin(&mut self, carries: &[Operand], buffers: &[usize]) -> Result<Vec<Home>, Diag> {
        for (o, to) in carries.iter().zip(buffers) {
            let first = self.buffer(Arg::Value(*o))?;
            self.copy(first, *to, *o)?;
        }
        Ok(buffers.iter().take(carries.len()).map(|b| Home::Buffer(*b)).collect())
    }

    fn given(&mut self, operands: &[Operand]) -> Result<Vec<Home>, Diag> {
        let mut homes = vec![];
        for o in operands {
            homes.push(match self.graph.type_of(*o) {
                Type::Csr(_) => Home::Pattern(*o),
                _ => Home::Buffer(self.buffer(Arg::Value(*o))?),
            });
        }
        Ok(homes)
    }

    fn open(&mut self, kind: ControlKind, at: OpAt) -> usize {
        let first = self.program.launches.len();
        self.program.controls.push(Control { first, end: first, kind, at });
        self.program.controls.len() - 1
    }

    /// Ends a range. One without a launch stays, and nothing runs in it.
    fn close(&mut self, at: usize) {
        self.program.controls[at].end = self.program.launches.len();
    }

    /// Writes the launches of one body, of which the first `carries` results are new values of its first parameters.
    fn part(
        &mut self,
        (body, carries, name): (&Body, usize, String),
        homes: &[Home],
        outs: &[Home],
        turn: Loop,
        how: &How,
        from: &mut Provenance,
    ) -> Result<(), Diag> {
        let mut graph = body.graph().clone();
        let names: Vec<String> = graph.inputs().iter().map(|n| name_of(&graph, *n)).collect();
        let next: Vec<Operand> = graph.outputs.drain(..carries).map(|(_, o)| o).collect();
        graph.updates = names.into_iter().zip(next).collect();
        let regions = divide(&graph, if how.fuse { MOST_NODES } else { 1 }, how.checked).regions;
        let dims: Vec<Arc<Symbol>> = symbols(&graph).into_values().flatten().collect();
        let (part, own) = build_part(&graph, regions, how, &format!("{name}_"), dims)?;
        let mut named = own.schedules;
        named.retain(|(name, _)| !own.ranges.contains(name));
        from.bodies.extend(named.into_iter().chain(own.bodies));
        self.splice((part, own.scalar), homes, outs, turn)
    }

    /// Writes the program of a body into this one; of each of its kernels, why loops are no vectors.
    fn splice(
        &mut self,
        (part, scalar): (Program, Vec<Vec<(VarId, &'static str)>>),
        homes: &[Home],
        outs: &[Home],
        turn: Loop,
    ) -> Result<(), Diag> {
        let (first, controls, group) =
            (self.program.launches.len(), self.program.controls.len(), self.next_group());
        let arena = self.parts.len();
        let mut at = Vec::with_capacity(part.buffers.len());
        for b in &part.buffers {
            let home = match &b.place {
                Place::Input(i) => homes[*i],
                Place::Csr { input, part } => {
                    let Home::Pattern(o) = homes[*input] else { unreachable!("a pattern is given as one") };
                    Home::Buffer(self.buffer(Arg::Csr(o, *part))?)
                }
                Place::Output(i) => outs[*i],
                Place::Arena { offset } => {
                    let new = self.arena_buffer(b.name.clone(), b.dtype, b.shape.clone());
                    self.within.push((new, arena, *offset));
                    Home::Buffer(new)
                }
                // Its buffer is settled below, when that of every other is.
                Place::Step { .. } => {
                    Home::Buffer(self.arena_buffer(b.name.clone(), b.dtype, b.shape.clone()))
                }
            };
            at.push(match (home, turn) {
                (Home::Buffer(at), _) => at,
                (Home::Turn(of), Some((control, reverse))) => {
                    let decl = BufferDecl { place: Place::Step { of, control, reverse }, ..b.clone() };
                    self.program.buffers.push(decl);
                    self.program.buffers.len() - 1
                }
                (Home::Turn(_), None) | (Home::Pattern(_), _) => unreachable!("turns are those of a loop"),
            });
        }
        for (b, new) in part.buffers.iter().zip(&at) {
            if let Place::Step { of, control, reverse } = b.place {
                self.program.buffers[*new].place =
                    Place::Step { of: at[of], control: controls + control, reverse };
            }
        }
        for ((launch, origin), schedule) in
            part.launches.iter().zip(part.origins).zip(part.launches.iter().map(|l| part.schedules[l.kernel]))
        {
            let buffers = launch.buffers.iter().map(|b| at[*b]).collect();
            let origin = super::Origin { group: group + origin.group, ..origin };
            let (kernel, scalar) = (part.kernels[launch.kernel].clone(), scalar[launch.kernel].clone());
            self.push(kernel, scalar, schedule, buffers, origin)?;
        }
        for mut c in part.controls {
            c.first += first;
            c.end += first;
            match &mut c.kind {
                ControlKind::Loop { .. } => {}
                ControlKind::While { body, going, .. } => (*body, *going) = (*body + first, at[*going]),
                ControlKind::Branch { on, otherwise } => (*on, *otherwise) = (at[*on], *otherwise + first),
            }
            self.program.controls.push(c);
        }
        for mut check in part.checks {
            check.launch += first;
            match &mut check.kind {
                CheckKind::Rows { ids: b, .. }
                | CheckKind::Fits { from: b, .. }
                | CheckKind::Divisor { by: b } => {
                    *b = at[*b];
                }
                CheckKind::Finite { reads, writes, .. } => {
                    reads.iter_mut().for_each(|(b, _)| *b = at[*b]);
                    *writes = at[*writes];
                }
            }
            self.program.checks.push(check);
        }
        self.program.tables.extend(part.tables);
        if part.arena_bytes > 0 || self.within.iter().any(|(_, part, _)| *part == arena) {
            let last = self.program.launches.len().saturating_sub(1);
            self.parts.push(Tenant { bytes: part.arena_bytes, from: first.min(last), to: last });
        }
        Ok(())
    }
}

fn name_of(graph: &Graph, n: NodeId) -> String {
    match &graph.node(n).op {
        Op::Input(i) => i.name.clone(),
        other => unreachable!("`{}` among the parameters of a body", other.def().name()),
    }
}
