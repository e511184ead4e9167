//! What callers of a compiled program see: its dims and pointers in order, their names in C, and the hash of
//! all that.
//!
//! The state that a caller fills in is a struct whose members all take 8 bytes after an error of
//! [`ERROR_BYTES`], so that its layout is the same for every target and language, and a position is an offset.

use super::names::{Names, identifier};
use super::{AotError, Unit, Weights};
use crate::inputs::check_policies;
use crate::options::Ids;
use latentc_ir::array::{ALIGN, Array};
use latentc_ir::diag::Span;
use latentc_ir::dim::{Dim, Symbol};
use latentc_ir::dtype::DType;
use latentc_ir::graph::InputKind;
use latentc_ir::plan::{CsrPart, InputDecl, Place, Program};
use latentc_ir::types::{CsrType, TensorType, Type, product, shape_text};
use std::fmt::Write as _;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The version of the layout of states; part of every hash.
pub(super) const LAYOUT: u32 = 1;
/// Bytes of the error at the beginning of a state: two i32 and four i64.
pub(super) const ERROR_BYTES: u64 = 40;
/// What the checks remember of a pattern: its five addresses and three sizes.
pub(super) const REMEMBERED: u64 = 8;
/// The most elements that anything may have.
const MOST: i64 = 1 << 58;

/// What a program's callers see.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    /// Begins every symbol and type.
    pub prefix: String,
    /// The program's own name.
    pub program: String,
    /// Run-time sizes, with their names in C.
    pub dims: Vec<(String, Arc<Symbol>)>,
    /// Pointers, in the order of the state.
    pub pointers: Vec<Pointer>,
    /// Sparse inputs.
    pub patterns: Vec<Pattern>,
    /// Identifies the layout and the meaning of the state.
    pub abi: u64,
}

/// A pointer of the state.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub group: Group,
    /// Its name in C.
    pub name: String,
    /// What the program calls it.
    pub given: String,
    pub place: Place,
    pub dtype: DType,
    pub shape: Vec<Dim>,
    /// Number of elements.
    pub len: Dim,
    /// Whether a run writes it.
    pub written: bool,
    /// For ids: every element is in `0..bound`.
    pub bound: Option<Dim>,
    /// What happens with ids that are not.
    pub ids: Ids,
    /// What it is where the caller gives none.
    pub embedded: Option<Array>,
}

impl Pointer {
    /// Whether runs work on a copy in which ids are rows.
    pub fn is_settled(&self) -> bool {
        self.bound.is_some() && self.ids != Ids::Error
    }

    /// Bytes of that copy, at the greatest sizes.
    pub fn settled_bytes(&self) -> u64 {
        let bytes = self.len.upper().max(0) as u64 * self.dtype.size() as u64;
        if self.is_settled() { bytes.next_multiple_of(ALIGN as u64) } else { 0 }
    }
}

/// A sparse input.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// Position among the inputs.
    pub input: usize,
    /// Its name in C.
    pub name: String,
    pub ty: CsrType,
    /// The arrays of it that the state has.
    pub parts: Vec<CsrPart>,
}

/// The struct inside the state that a pointer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    In,
    Params,
    State,
    Out,
}

impl Group {
    pub const ALL: [Group; 4] = [Group::In, Group::Params, Group::State, Group::Out];

    pub const fn name(self) -> &'static str {
        match self {
            Group::In => "in",
            Group::Params => "params",
            Group::State => "state",
            Group::Out => "out",
        }
    }

    /// How messages call a pointer of it.
    pub const fn word(self) -> &'static str {
        match self {
            Group::In => "input",
            Group::Params => "parameter",
            Group::State => "state",
            Group::Out => "output",
        }
    }
}

/// Members of the state after the pointers, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Workspace,
    WorkspaceBytes,
    Parallel,
    Context,
    Threads,
    Level,
    Ready,
    Chosen,
    Checked(usize),
}

impl Signature {
    /// The signature of a program; `plans` are its plans for the levels, which agree in what is given and kept.
    pub fn new(unit: &Unit, plans: &[Program]) -> Result<Signature, AotError> {
        let Unit { name: prefix, graph, weights, ids } = unit;
        let plan = plans.first().ok_or_else(|| AotError::Empty { name: prefix.clone() })?;
        check_policies(&plan.inputs, ids)?;
        let program = plan.name.clone();
        let mut names = Names::default();
        let dims = plan.dims.iter().map(|s| (names.take("dims", &s.name), s.clone())).collect();
        let used = |part: Place| plans.iter().any(|p| p.buffers.iter().any(|b| b.place == part));
        let (mut pointers, mut patterns) = (vec![], vec![]);
        for group in [Group::In, Group::Params, Group::State] {
            for (at, input) in plan.inputs.iter().enumerate().filter(|(_, i)| group_of(i.kind) == group) {
                let mut add = |name: &str, place, dtype, shape: Vec<Dim>, bound, embedded| {
                    pointers.push(Pointer {
                        group,
                        name: names.take(group.name(), name),
                        given: name.to_owned(),
                        place,
                        dtype,
                        len: product(&shape),
                        shape,
                        written: graph.updates.iter().any(|(n, _)| *n == input.name),
                        bound,
                        ids: ids.get(&input.name).copied().unwrap_or_default(),
                        embedded,
                    });
                };
                match &input.ty {
                    Type::Tensor(t) => {
                        let embedded = match (weights, group) {
                            (Weights::Embedded(given), Group::Params | Group::State) => {
                                Some(weight(&program, input, t, given)?)
                            }
                            _ => None,
                        };
                        let bound = input.bound.clone().filter(|_| t.dtype.is_int());
                        add(&input.name, Place::Input(at), t.dtype, t.shape.to_vec(), bound, embedded);
                    }
                    Type::Csr(c) => {
                        let parts = parts_of(c, |part| used(Place::Csr { input: at, part }));
                        for &part in &parts {
                            let len = match part {
                                CsrPart::Indptr => &c.rows + &Dim::constant(1),
                                CsrPart::TwinIndptr => &c.cols + &Dim::constant(1),
                                _ => c.nnz.clone(),
                            };
                            let name = format!("{}_{}", input.name, part.name());
                            add(&name, Place::Csr { input: at, part }, DType::I32, vec![len], None, None);
                        }
                        let name = identifier(&input.name);
                        patterns.push(Pattern { input: at, name, ty: c.clone(), parts });
                    }
                    Type::RowSparse(_) => {
                        return Err(AotError::Input {
                            program,
                            input: input.name.clone(),
                            ty: input.ty.to_string(),
                            help: "give its ids and its rows as two tensors",
                            span: input.span.clone(),
                        });
                    }
                }
            }
        }
        for (at, output) in plan.outputs.iter().enumerate() {
            pointers.push(Pointer {
                group: Group::Out,
                name: names.take("out", &output.name),
                given: output.name.clone(),
                place: Place::Output(at),
                dtype: output.dtype,
                shape: output.shape.to_vec(),
                len: product(&output.shape),
                written: true,
                bound: None,
                ids: Ids::Error,
                embedded: None,
            });
        }
        let mut signature = Signature { prefix: prefix.clone(), program, dims, pointers, patterns, abi: 0 };
        signature.check_sizes(plan)?;
        signature.abi = xxh3_64(signature.text().as_bytes());
        Ok(signature)
    }

    /// What the hash is of.
    fn text(&self) -> String {
        let mut text = format!("latentc {LAYOUT} {}\n", env!("CARGO_PKG_VERSION"));
        for (name, s) in &self.dims {
            let _ = writeln!(text, "dim {name} {}..={}", s.lo, s.hi);
        }
        for p in &self.pointers {
            let (group, shape) = (p.group.name(), shape_text(&p.shape));
            let _ = write!(text, "{group} {}: {}{shape} {}", p.name, p.dtype, p.written);
            if p.is_settled() {
                let _ = write!(text, " {}", p.ids);
            }
            text.push('\n');
        }
        for p in &self.patterns {
            let _ = writeln!(text, "pattern {}: {}", p.name, Type::Csr(p.ty.clone()));
        }
        text
    }

    /// Sizes are computed without looking for overflow, so none may happen for any values of the dims.
    fn check_sizes(&self, plan: &Program) -> Result<(), AotError> {
        let greatest = |name: &str| self.dims.iter().find(|(_, s)| s.name == name).map(|(_, s)| s.hi);
        let check = |place: String, span: &Span, dim: &Dim| match dim.eval(&greatest) {
            Some(_) if dim.upper() <= MOST => Ok(()),
            _ => {
                let (program, size, span) = (self.program.clone(), dim.to_string(), span.clone());
                Err(AotError::TooLarge { program, place, size, span })
            }
        };
        for p in &self.pointers {
            let place = || format!("{} `{}`", p.group.word(), p.given);
            let span = match p.place {
                Place::Input(i) | Place::Csr { input: i, .. } => plan.inputs[i].span.clone(),
                Place::Output(_) | Place::Arena { .. } | Place::Step { .. } => Span::none(),
            };
            for d in std::iter::once(&p.len).chain(&p.shape).chain(&p.bound) {
                check(place(), &span, d)?;
            }
        }
        for p in &self.patterns {
            for d in [&p.ty.rows, &p.ty.cols, &p.ty.nnz] {
                check(format!("input `{}`", p.name), &plan.inputs[p.input].span, d)?;
            }
        }
        Ok(())
    }

    /// Bytes before the first pointer.
    fn pointers_at(&self) -> u64 {
        // A struct without members is no C: programs without dims have one that means nothing.
        ERROR_BYTES + 8 * self.dims.len().max(1) as u64
    }

    /// Where a dim is.
    pub fn dim_at(&self, at: usize) -> u64 {
        ERROR_BYTES + 8 * at as u64
    }

    /// Where a pointer is.
    pub fn pointer_at(&self, at: usize) -> u64 {
        self.pointers_at() + 8 * at as u64
    }

    /// Where one of the other members is.
    pub fn member_at(&self, member: Member) -> u64 {
        let position = match member {
            Member::Workspace => 0,
            Member::WorkspaceBytes => 1,
            Member::Parallel => 2,
            Member::Context => 3,
            Member::Threads => 4,
            Member::Level => 5,
            Member::Ready => 6,
            Member::Chosen => 7,
            Member::Checked(p) => 8 + REMEMBERED * p as u64,
        };
        self.pointers_at() + 8 * (self.pointers.len() as u64 + position)
    }

    /// The position of a pointer by what it is.
    pub fn find(&self, place: &Place) -> Option<usize> {
        self.pointers.iter().position(|p| p.place == *place)
    }

    /// Bytes of all copies in which ids are rows.
    pub fn settled_bytes(&self) -> u64 {
        self.pointers.iter().map(Pointer::settled_bytes).sum()
    }

    /// The pointer behind an array of a pattern: those of a symmetric one are their own twins.
    pub fn part(&self, input: usize, part: CsrPart) -> Option<usize> {
        let own = match part {
            CsrPart::TwinIndptr => CsrPart::Indptr,
            CsrPart::TwinIndices => CsrPart::Indices,
            part => part,
        };
        self.find(&Place::Csr { input, part }).or_else(|| self.find(&Place::Csr { input, part: own }))
    }

    /// Where everything is that a caller may set or read.
    pub fn layout(&self) -> super::Layout {
        let mut members = vec![];
        for (i, (name, _)) in self.dims.iter().enumerate() {
            members.push((format!("dims.{name}"), self.dim_at(i) as usize));
        }
        for (i, p) in self.pointers.iter().enumerate() {
            members.push((format!("{}.{}", p.group.name(), p.name), self.pointer_at(i) as usize));
        }
        for (name, member) in [
            ("workspace", Member::Workspace),
            ("workspace_bytes", Member::WorkspaceBytes),
            ("parallel", Member::Parallel),
            ("parallel_context", Member::Context),
            ("threads", Member::Threads),
            ("level", Member::Level),
        ] {
            members.push((name.to_owned(), self.member_at(member) as usize));
        }
        let bytes = self.member_at(Member::Checked(self.patterns.len())) as usize;
        super::Layout { bytes, abi: self.abi, members }
    }

    /// Whether sizes vary.
    pub fn has_dims(&self) -> bool {
        !self.dims.is_empty()
    }

    /// What an error's `which` counts: dims, pointers, patterns, the workspace, the program.
    pub fn places(&self) -> Vec<String> {
        let dims = self.dims.iter().map(|(_, s)| format!("dimension `{}`", s.name));
        let pointers = self.pointers.iter().map(|p| format!("{} `{}`", p.group.word(), p.given));
        let patterns = self.patterns.iter().map(|p| format!("pattern `{}`", p.name));
        let rest = ["the workspace".to_owned(), format!("program `{}`", self.program)];
        dims.chain(pointers).chain(patterns).chain(rest).collect()
    }

    /// `which` of a pointer.
    pub fn which_pointer(&self, at: usize) -> i64 {
        (self.dims.len() + at) as i64
    }

    /// `which` of a pattern.
    pub fn which_pattern(&self, at: usize) -> i64 {
        (self.dims.len() + self.pointers.len() + at) as i64
    }

    /// `which` of the workspace.
    pub fn which_workspace(&self) -> i64 {
        self.which_pattern(self.patterns.len())
    }

    /// `which` of the program itself.
    pub fn which_program(&self) -> i64 {
        self.which_workspace() + 1
    }
}

fn group_of(kind: InputKind) -> Group {
    match kind {
        InputKind::Data | InputKind::Arg => Group::In,
        InputKind::Param => Group::Params,
        InputKind::State => Group::State,
    }
}

/// The arrays that callers give of a pattern.
fn parts_of(ty: &CsrType, used: impl Fn(CsrPart) -> bool) -> Vec<CsrPart> {
    let mut parts = vec![CsrPart::Indptr, CsrPart::Indices];
    let twin = [CsrPart::TwinIndptr, CsrPart::TwinIndices, CsrPart::TwinEdges];
    if !ty.symmetric && twin.iter().any(|p| used(*p)) {
        parts.extend([CsrPart::TwinIndptr, CsrPart::TwinIndices]);
    }
    if used(CsrPart::TwinEdges) {
        parts.push(CsrPart::TwinEdges);
    }
    parts
}

/// The value of a parameter that is to be embedded, checked against its type.
fn weight(
    program: &str,
    input: &InputDecl,
    ty: &TensorType,
    given: &[(String, Array)],
) -> Result<Array, AotError> {
    let (name, span) = (&input.name, &input.span);
    let wrong = |what| AotError::Weight {
        program: program.to_owned(),
        weight: name.clone(),
        what,
        span: span.clone(),
    };
    let expected = format!("{}{}", ty.dtype, shape_text(&ty.shape));
    let Some((_, array)) = given.iter().find(|(n, _)| n == name) else {
        return Err(wrong(format!("it is to be embedded ({expected}) and there is no value for it")));
    };
    let fits = array.shape().len() == ty.rank()
        && ty.shape.iter().zip(array.shape()).all(|(d, n)| d.as_const() == i64::try_from(*n).ok());
    if array.dtype() != ty.dtype || !fits {
        return Err(wrong(format!("its value is {}{:?}, expected {expected}", array.dtype(), array.shape())));
    }
    Ok(array.clone())
}
