//! From regions to a program: kernels, the buffers they name, the order of launches and the arena.

use super::check::{Hazard, hazards, means_infinity, operands_of};
use super::memory::{Tenant, place};
use super::origin::{OpAt, Origin, RegionWork, behind};
use super::{BufferDecl, Check, CheckKind, InputDecl, Launch, OutputDecl, Place, Program, Provenance, Table};
use crate::diag::{Diag, Span};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::fuse::Region;
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::schedule;
use crate::lower::{Arg, Call, How, Schedule, lower};
use crate::nest::build::{KernelBuilder, load};
use crate::nest::{AxisKind, Kernel, Space, Split, VarId};
use crate::ops::Op;
use crate::text::nearest;
use crate::types::{Shape, Type, product};
use rustc_hash::{FxHashMap, FxHashSet};

use super::bounds::{are_checked, bounds, ids_of};
use super::in_place::{self, InPlace};

/// Bytes of an arena beyond which sizes are taken for a mistake.
const LARGEST_ARENA: i64 = 1 << 42;

/// Builds the program of a graph that has been divided into regions, and says where its parts come from; a
/// plan to be checked is one of regions of one node, with what a checked run looks at.
///
/// # Errors
/// An op that no kernel can be written for, a schedule that cannot be, a temporary beyond all measure.
pub fn build(graph: &Graph, regions: Vec<Region>, how: &How) -> Result<(Program, Provenance), Diag> {
    let (program, from) = build_part(graph, regions, how, "", dims(graph))?;
    let names = from.schedules.iter().chain(&from.bodies).map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.filter(|name| !from.ranges.iter().any(|range| range == name)).collect();
    if let Some(unknown) = how.schedules.names().find(|n| !names.contains(n)) {
        let near = nearest(unknown, names.iter().copied())
            .map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        let message = format!("a schedule is given for `{unknown}`, which is no kernel of the program{near}");
        return Err(Diag::new(message, Span::none(), "in the schedules"));
    }
    Ok((program, from))
}

/// The program of a graph or a body; names of kernels begin with `prefix`.
pub(super) fn build_part<'a>(
    graph: &'a Graph,
    regions: Vec<Region>,
    how: &How<'_>,
    prefix: &'a str,
    dims: Vec<std::sync::Arc<crate::dim::Symbol>>,
) -> Result<(Program, Provenance), Diag> {
    let InPlace { regions, shared, copied } = in_place::decide(graph, regions);
    let mut in_place: Vec<(Operand, Operand)> = shared.iter().map(|(new, home)| (*new, *home)).collect();
    in_place.sort_unstable();
    let mut from = Provenance { in_place, copied, ..Provenance::default() };
    let mut b = Builder {
        graph,
        program: Program {
            name: graph.name.clone(),
            dims,
            inputs: inputs(graph),
            tables: tables(graph),
            checked: how.checked,
            ..Program::default()
        },
        buffer_of: FxHashMap::default(),
        output_of: FxHashMap::default(),
        prefix,
        within: vec![],
        parts: vec![],
        scalar: vec![],
    };
    for (name, o) in &graph.outputs {
        let t = tensor(graph, *o, &format!("output `{name}`"))?;
        b.output_of.entry(*o).or_insert(b.program.outputs.len());
        b.program.outputs.push(OutputDecl { name: name.clone(), dtype: t.0, shape: t.1 });
    }
    let stored: FxHashSet<Operand> = regions.iter().flat_map(|r| r.outputs.iter().copied()).collect();
    for (i, region) in regions.iter().enumerate() {
        let name = format!("{prefix}{}", kernel_name(graph, region, i));
        if !graph.node(region.nodes[0]).op.def().bodies().is_empty() {
            b.control(region.nodes[0], &name, how, &mut from)?;
            from.launches.resize(b.program.launches.len(), Some(i));
            from.schedules.push((name.clone(), schedule::copy()));
            from.ranges.push(name);
            continue;
        }
        let (lowered, schedule) = lower(graph, region, &name, how, &stored, &shared).map_err(|e| {
            let span = graph.node(region.nodes[0]).span.clone();
            Diag::new(e.to_string(), span, "this op was being lowered")
        })?;
        let temps: Vec<usize> = lowered
            .temps
            .iter()
            .enumerate()
            .map(|(t, (dtype, len))| {
                b.arena_buffer(format!("{name}_t{t}"), *dtype, [len.clone()].into_iter().collect())
            })
            .collect();
        let work = RegionWork::of(graph, region, b.next_group());
        let sizes: Vec<Dim> = lowered.temps.iter().map(|(d, len)| len * &d.size().into()).collect();
        let first = b.program.launches.len();
        for call in lowered.calls {
            let origin = work.launch(graph, &call, &sizes);
            b.launch(call, schedule, &temps, origin)?;
            from.launches.push(Some(i));
        }
        if how.checked {
            b.checks(region, first, &shared)?;
        }
        from.schedules.push((name, schedule));
    }
    b.copies(&shared)?;
    b.places()?;
    from.launches.resize(b.program.launches.len(), None);
    from.values = vec![None; b.program.buffers.len()];
    for (arg, at) in &b.buffer_of {
        from.values[*at] = match arg {
            Arg::Value(o) | Arg::Csr(o, _) => Some(*o),
            Arg::Temp(_) => None,
        };
    }
    (from.regions, from.scalar) = (regions, b.scalar);
    Ok((b.program, from))
}

pub(super) struct Builder<'a> {
    pub graph: &'a Graph,
    pub program: Program,
    buffer_of: FxHashMap<Arg, usize>,
    output_of: FxHashMap<Operand, usize>,
    /// What names of kernels begin with.
    prefix: &'a str,
    /// The arenas of bodies: how large, and the launches between which they are in use.
    pub parts: Vec<Tenant>,
    /// Buffers within them: which, in which of them, and where.
    pub within: Vec<(usize, usize, usize)>,
    /// Of each kernel, why loops are no vectors.
    scalar: Vec<Vec<(VarId, &'static str)>>,
}

/// The place of a buffer that has none yet.
const NOWHERE: Place = Place::Arena { offset: usize::MAX };

impl Builder<'_> {
    pub fn arena_buffer(&mut self, name: String, dtype: DType, shape: Shape) -> usize {
        self.program.buffers.push(BufferDecl { name, dtype, shape, place: NOWHERE });
        self.program.buffers.len() - 1
    }

    pub fn buffer(&mut self, arg: Arg) -> Result<usize, Diag> {
        if let Some(at) = self.buffer_of.get(&arg) {
            return Ok(*at);
        }
        let graph = self.graph;
        let position = |n: NodeId| graph.inputs().iter().position(|i| *i == n);
        let (name, dtype, shape, place) = match arg {
            Arg::Csr(o, part) => {
                let c = graph.csr(o);
                let input = position(o.node).ok_or_else(|| {
                    Diag::new("a pattern that is no input", graph.node(o.node).span.clone(), "made here")
                })?;
                let one = Dim::constant(1);
                let len = match part {
                    super::CsrPart::Indptr => &c.rows + &one,
                    super::CsrPart::TwinIndptr => &c.cols + &one,
                    _ => c.nnz.clone(),
                };
                let name = format!("{}.{}", self.program.inputs[input].name, part.name());
                (name, DType::I32, [len].into_iter().collect(), Place::Csr { input, part })
            }
            Arg::Value(o) => {
                let (dtype, shape) = tensor(graph, o, "a value")?;
                match (position(o.node), self.output_of.get(&o)) {
                    (Some(i), _) => (self.program.inputs[i].name.clone(), dtype, shape, Place::Input(i)),
                    (None, Some(i)) => {
                        (self.program.outputs[*i].name.clone(), dtype, shape, Place::Output(*i))
                    }
                    (None, None) => {
                        let op = graph.node(o.node).op.def().name();
                        let port = if o.port > 0 { format!(".{}", o.port) } else { String::new() };
                        (format!("{op}{}{port}", o.node.index()), dtype, shape, NOWHERE)
                    }
                }
            }
            Arg::Temp(_) => unreachable!("temporaries are resolved by the caller"),
        };
        self.program.buffers.push(BufferDecl { name, dtype, shape, place });
        let at = self.program.buffers.len() - 1;
        self.buffer_of.insert(arg, at);
        Ok(at)
    }

    fn launch(
        &mut self,
        call: Call,
        schedule: Schedule,
        temps: &[usize],
        origin: Origin,
    ) -> Result<(), Diag> {
        let mut buffers = vec![];
        for a in &call.args {
            buffers.push(match a {
                Arg::Temp(t) => temps[*t],
                a => self.buffer(*a)?,
            });
        }
        self.push(call.kernel, call.scalar, schedule, buffers, origin)
    }

    /// What a checked run looks at around the launches of a region, from `first` on.
    fn checks(
        &mut self,
        region: &Region,
        first: usize,
        shared: &FxHashMap<Operand, Operand>,
    ) -> Result<(), Diag> {
        let graph = self.graph;
        let Some(last) = self.program.launches.len().checked_sub(1).filter(|last| *last >= first) else {
            return Ok(());
        };
        for n in region.nodes.iter().copied() {
            let node = graph.node(n);
            let at = OpAt { op: node.op.def().name(), span: node.span.clone() };
            for hazard in hazards(graph, n) {
                let o = hazard.operand(graph, n);
                // A constant has no buffer; what a division by it or a conversion of it gives is no surprise of
                // a run.
                if matches!(graph.node(o.node).op, Op::Fill(_)) {
                    continue;
                }
                let buffer = self.buffer(Arg::Value(shared.get(&o).copied().unwrap_or(o)))?;
                let kind = match hazard {
                    Hazard::Rows(operand, rows) => CheckKind::Rows { ids: buffer, operand, rows },
                    Hazard::Fits(to) => CheckKind::Fits { from: buffer, to },
                    Hazard::Divisor => CheckKind::Divisor { by: buffer },
                };
                let operands = operands_of(graph, n);
                self.program.checks.push(Check { launch: first, at: at.clone(), operands, kind });
            }
            // What is made of nothing is as it was written.
            let made = !matches!(node.op, Op::Fill(_));
            // What a constant brings in is meant.
            let constants: Vec<f64> = node
                .operands
                .iter()
                .filter_map(|x| match &graph.node(behind(graph, *x).node).op {
                    Op::Fill(f) if f.value.dtype().is_float() => Some(f.value.as_f64()),
                    _ => None,
                })
                .collect();
            let made = made && !constants.iter().any(|c| c.is_nan());
            let meant = means_infinity(&node.op) || constants.iter().any(|c| c.is_infinite());
            for o in region.outputs.iter().filter(|o| o.node == n && made) {
                let Some(t) = graph.type_of(*o).as_tensor().filter(|t| t.dtype.is_float()) else { continue };
                let mut reads = vec![];
                for (position, x) in node.operands.iter().enumerate() {
                    let source = behind(graph, *x);
                    let float = graph.type_of(source).as_tensor().is_some_and(|t| t.dtype.is_float());
                    if float && !matches!(graph.node(source.node).op, Op::Fill(_)) {
                        let aligned = source == *x && graph.tensor(source).shape == t.shape;
                        let map = node.op.is_map();
                        let home = shared.get(&source).copied().unwrap_or(source);
                        reads.push((self.buffer(Arg::Value(home))?, (aligned && map).then_some(position)));
                    }
                }
                let writes = self.buffer(Arg::Value(shared.get(o).copied().unwrap_or(*o)))?;
                let kind = CheckKind::Finite { reads, writes, infinite: meant };
                let operands = operands_of(graph, n);
                self.program.checks.push(Check { launch: last, at: at.clone(), operands, kind });
            }
        }
        Ok(())
    }

    pub fn push(
        &mut self,
        kernel: Kernel,
        scalar: Vec<(VarId, &'static str)>,
        schedule: Schedule,
        buffers: Vec<usize>,
        origin: Origin,
    ) -> Result<(), Diag> {
        debug_assert_eq!(crate::nest::verify::verify(&kernel), Ok(()), "a kernel that breaks its rules");
        let mut dims = vec![];
        for name in &kernel.dims {
            match self.program.dims.iter().position(|d| d.name == *name) {
                Some(i) => dims.push(i),
                None => {
                    let message =
                        format!("kernel `{}` names the dim `{name}`, which no input has", kernel.name);
                    return Err(Diag::new(message, Span::none(), "in the program"));
                }
            }
        }
        let at = self.program.kernels.iter().position(|k| same(k, &kernel)).unwrap_or_else(|| {
            self.program.kernels.push(kernel);
            self.program.schedules.push(schedule);
            self.scalar.push(scalar);
            self.program.kernels.len() - 1
        });
        self.program.launches.push(Launch { kernel: at, buffers, dims });
        self.program.origins.push(origin);
        Ok(())
    }

    /// Copies for outputs and updates that no kernel writes directly. Updates come last: until then the old
    /// value may be read.
    fn copies(&mut self, shared: &FxHashMap<Operand, Operand>) -> Result<(), Diag> {
        let graph = self.graph;
        for (i, (_, o)) in graph.outputs.iter().enumerate() {
            let from = self.buffer(Arg::Value(shared.get(o).copied().unwrap_or(*o)))?;
            if self.program.buffers[from].place != Place::Output(i) {
                let out = &self.program.outputs[i];
                let decl = BufferDecl {
                    name: out.name.clone(),
                    dtype: out.dtype,
                    shape: out.shape.clone(),
                    place: Place::Output(i),
                };
                self.program.buffers.push(decl);
                let to = self.program.buffers.len() - 1;
                self.copy(from, to, *o)?;
            }
        }
        let mut pending = vec![];
        for (name, o) in &graph.updates {
            let Some(input) = graph.input(name) else {
                return Err(Diag::new(
                    format!("`{name}` is updated but is no input"),
                    graph.node(o.node).span.clone(),
                    "its new value",
                ));
            };
            let home = Operand::from(input);
            if *o == home || shared.get(o) == Some(&home) {
                continue;
            }
            let from = self.buffer(Arg::Value(shared.get(o).copied().unwrap_or(*o)))?;
            let to = self.buffer(Arg::Value(home))?;
            pending.push((from, to, *o));
        }
        // A new value that is another input's old one must be taken before that input is written.
        let inputs_read: Vec<usize> = pending
            .iter()
            .map(|(from, ..)| *from)
            .filter(|f| matches!(self.program.buffers[*f].place, Place::Input(_)))
            .collect();
        for (from, _, o) in &mut pending {
            let written_before = inputs_read.contains(from);
            if written_before {
                let d = self.program.buffers[*from].clone();
                let saved = self.arena_buffer(format!("{}_before", d.name), d.dtype, d.shape);
                self.copy(*from, saved, *o)?;
                *from = saved;
            }
        }
        for (from, to, o) in pending {
            self.copy(from, to, o)?;
        }
        Ok(())
    }

    pub fn copy(&mut self, from: usize, to: usize, value: Operand) -> Result<(), Diag> {
        let d = self.program.buffers[from].clone();
        let launches = self.program.launches.len();
        let name = format!("{}copy{launches}", self.prefix);
        let kernel = copy_kernel(&name, d.dtype, &product(&d.shape));
        let bytes = &product(&d.shape) * &d.dtype.size().into();
        let group = self.next_group();
        let span = self.graph.node(value.node).span.clone();
        self.push(kernel, vec![], schedule::copy(), vec![from, to], Origin::copy(group, span, &bytes))
    }

    /// The number of the next group of launches.
    pub fn next_group(&self) -> usize {
        self.program.origins.last().map_or(0, |o| o.group + 1)
    }

    /// Gives temporaries their place in the arena.
    fn places(&mut self) -> Result<(), Diag> {
        let p = &mut self.program;
        let mut tenants: Vec<Tenant> = vec![];
        let mut who = vec![];
        let lives = p.lives();
        let inside: FxHashSet<usize> = self.within.iter().map(|(buffer, ..)| *buffer).collect();
        for (i, b) in p.buffers.iter().enumerate() {
            if b.place != NOWHERE || inside.contains(&i) {
                continue;
            }
            let Some((from, to)) = lives[i] else { continue };
            let bytes = product(&b.shape).upper().saturating_mul(b.dtype.size() as i64);
            if bytes > LARGEST_ARENA {
                let message = format!(
                    "the temporary `{}` of {}{} may need {bytes} bytes",
                    b.name,
                    b.dtype,
                    crate::types::shape_text(&b.shape)
                );
                return Err(Diag::new(message, Span::none(), "in the program")
                    .help("give its dims smaller upper ends"));
            }
            tenants.push(Tenant { bytes: usize::try_from(bytes).unwrap_or(0), from, to });
            who.push(i);
        }
        tenants.extend(&self.parts);
        let (offsets, size) = place(&tenants);
        let (own, parts) = offsets.split_at(who.len());
        for (i, offset) in who.into_iter().zip(own) {
            p.buffers[i].place = Place::Arena { offset: *offset };
        }
        for (i, part, offset) in &self.within {
            p.buffers[*i].place = Place::Arena { offset: parts[*part] + offset };
        }
        // Buffers that no launch names: none is made, but a place is always valid.
        for b in &mut p.buffers {
            if b.place == NOWHERE {
                b.place = Place::Arena { offset: 0 };
            }
        }
        p.arena_bytes = size;
        Ok(())
    }
}

/// The dims of a program: every symbol of its inputs' types, in the order of the inputs.
fn dims(graph: &Graph) -> Vec<std::sync::Arc<crate::dim::Symbol>> {
    let mut found: Vec<std::sync::Arc<crate::dim::Symbol>> = vec![];
    for n in graph.inputs() {
        let sizes: Vec<Dim> = match &graph.node(*n).types[0] {
            Type::Tensor(t) => t.shape.to_vec(),
            Type::Csr(c) => vec![c.rows.clone(), c.cols.clone(), c.nnz.clone()],
            Type::RowSparse(r) => r.shape.to_vec(),
        };
        for s in sizes.iter().flat_map(Dim::symbols) {
            if !found.iter().any(|f| f.name == s.name) {
                found.push(s);
            }
        }
    }
    found
}

fn inputs(graph: &Graph) -> Vec<InputDecl> {
    let bounds = bounds(graph);
    graph
        .inputs()
        .iter()
        .filter_map(|n| match &graph.node(*n).op {
            Op::Input(i) => Some(InputDecl {
                name: i.name.clone(),
                kind: i.kind,
                ty: i.ty.clone(),
                bound: bounds.get(n).cloned(),
                span: graph.node(*n).span.clone(),
            }),
            _ => None,
        })
        .collect()
}

/// Tables without a row, for some sizes, that computed row numbers may name.
fn tables(graph: &Graph) -> Vec<Table> {
    let live = crate::fuse::live_nodes(graph);
    let tables = |n: NodeId| {
        let mut all = vec![];
        for (position, rows) in ids_of(graph, n).into_iter().filter(|(_, rows)| rows.lower() <= 0) {
            let ids = graph.node(n).operands[position];
            if !are_checked(graph, ids, &rows) {
                let at = OpAt { op: graph.node(n).op.def().name(), span: graph.node(n).span.clone() };
                all.push(Table { at, rows, ids: crate::ops::elements(graph.type_of(ids)) });
            }
        }
        all
    };
    graph.topological().into_iter().filter(|n| live.contains(n)).flat_map(tables).collect()
}

fn tensor(graph: &Graph, o: Operand, what: &str) -> Result<(DType, Shape), Diag> {
    match graph.type_of(o) {
        Type::Tensor(t) => Ok((t.dtype, t.shape.clone())),
        other => Err(Diag::new(
            format!("{what} is {other}, which a run cannot store"),
            graph.node(o.node).span.clone(),
            "made here",
        )
        .help("make it dense first")),
    }
}

/// A name that says what the kernel does: its position and its heaviest ops.
fn kernel_name(graph: &Graph, region: &Region, at: usize) -> String {
    let weight = |op: &Op| match op {
        Op::Spmm(_) | Op::SpmmRows(_) | Op::SegmentReduce(_) | Op::Matmul(_) => 3,
        Op::Reduce(_) | Op::GatherRows(_) | Op::Index(_) => 2,
        Op::Elementwise(_) => 0,
        _ => 1,
    };
    let mut names: Vec<(i32, &'static str)> = vec![];
    for n in &region.nodes {
        let op = &graph.node(*n).op;
        let name = op.def().name();
        if !names.iter().any(|(_, x)| *x == name) {
            names.push((weight(op), name));
        }
    }
    names.sort_by_key(|(w, _)| std::cmp::Reverse(*w));
    let words: Vec<&str> = names.iter().take(3).map(|(_, n)| *n).collect();
    format!("k{at}_{}", words.join("_"))
}

/// Whether two kernels do the same. Names of kernels, buffers and variables are for people.
fn same(a: &Kernel, b: &Kernel) -> bool {
    let buffers = || a.buffers.iter().zip(&b.buffers);
    a.buffers.len() == b.buffers.len()
        && buffers().all(|(x, y)| (x.dtype, &x.len, x.space) == (y.dtype, &y.len, y.space))
        && (&a.dims, &a.vals, &a.body) == (&b.dims, &b.vals, &b.body)
}

/// Copies an array.
fn copy_kernel(name: &str, dtype: DType, len: &Dim) -> Kernel {
    let mut k = KernelBuilder::new(name);
    let total = k.size(len);
    let from = k.buffer("from", dtype, total.clone(), Space::In);
    let to = k.buffer("to", dtype, total.clone(), Space::Out);
    const CHUNK: i64 = 16384;
    let chunks = (total.clone() + (CHUNK - 1)).floor_div(CHUNK);
    k.for_("c", chunks, AxisKind::Parallel(Split::Even), |k, c| {
        let lo = c * CHUNK;
        let hi = (lo.clone() + CHUNK).min(total);
        k.for_step("i", lo, hi, 1, AxisKind::Vector(16), |k, i| k.store(to, i.clone(), load(from, i)));
    });
    k.finish()
}
