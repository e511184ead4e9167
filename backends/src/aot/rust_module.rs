//! The Rust module of a library: safe, without dependencies, errors as values.
//!
//! It declares the state as the header does, takes slices whose lengths it compares with the dims, and keeps the
//! workspace. What makes it safe: the object's own checks, lengths of slices, and that a pattern cannot change
//! while it is borrowed, so that one that was checked stays good.

use super::report::Report;
use super::signature::{Group, Pointer, Signature};
use super::status::{self, Code};
use super::target::Level;
use super::{Signatures, Weights, header, weights};
use latentc_ir::dim::{Dim, DimAlgebra, Symbol};
use latentc_ir::dtype::DType;
use latentc_ir::plan::{CsrPart, Place};
use std::fmt::Write as _;

/// What every module has.
const COMMON: &str = include_str!("rust_common.rs.in");

/// Writes the module.
pub(super) fn text(library: &str, levels: &[Level], signatures: &Signatures, report: &Report) -> String {
    let mut t = String::new();
    let names: Vec<&str> = levels.iter().map(|l| l.isa.name).collect();
    let _ = write!(
        t,
        "/// Programs compiled by latentc {}, with code for {}.\n\
         #[allow(dead_code, unused_imports, unused_mut, unused_parens, unused_variables, clippy::all)]\n\
         pub mod {library} {{\n{COMMON}\n",
        env!("CARGO_PKG_VERSION"),
        names.join(", "),
    );
    for code in [Code::PATTERN_ENDS, Code::PATTERN_COLUMN, Code::DIM] {
        let _ = writeln!(t, "    const {}: i32 = {};", status::ALL[code as usize].name, code.number());
    }
    let _ = writeln!(
        t,
        "    /// A slice of the wrong length, which C cannot see.\n    const LENGTH: i32 = {};",
        status::ALL.len()
    );
    for ((s, w), unit) in signatures.iter().zip(&report.units) {
        program(&mut t, s, w, unit.workspace_bytes());
    }
    t.push_str("}\n");
    t
}

/// A name as types have it.
fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in name.split('_').filter(|w| !w.is_empty()) {
        let mut chars = word.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

/// The elements of a slice. Floats of 16 bits are given as their bits.
fn element(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::Bf16 | DType::F16 => "u16",
        DType::I64 => "i64",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::I16 => "i16",
        DType::I8 => "i8",
        DType::U64 => "u64",
        DType::U16 => "u16",
        // Truth values are 0 or 1; floats of 8 bits are given as their bits.
        _ => "u8",
    }
}

/// Sizes as Rust.
struct Rust<'s>(&'s Signature);

impl DimAlgebra<String> for Rust<'_> {
    fn constant(&mut self, value: i64) -> String {
        if value < 0 { format!("({value}i64)") } else { format!("{value}i64") }
    }

    fn symbol(&mut self, symbol: &Symbol) -> String {
        let found = self.0.dims.iter().find(|(_, s)| s.name == symbol.name);
        format!("dims.{}", found.map_or("", |(name, _)| name.as_str()))
    }

    fn add(&mut self, a: String, b: String) -> String {
        format!("({a} + {b})")
    }

    fn mul(&mut self, a: String, b: String) -> String {
        format!("({a} * {b})")
    }

    fn floor_div(&mut self, a: String, b: String) -> String {
        format!("{a}.div_euclid({b}.max(1))")
    }

    fn min(&mut self, a: String, b: String) -> String {
        format!("{a}.min({b})")
    }

    fn max(&mut self, a: String, b: String) -> String {
        format!("{a}.max({b})")
    }
}

fn size(s: &Signature, dim: &Dim) -> String {
    dim.fold(&mut Rust(s))
}

/// Pointers of a group that callers give: no arrays of patterns, and nothing that lies in a weights file.
fn dense<'s>(
    s: &'s Signature,
    group: Group,
    weights: &Weights,
) -> impl Iterator<Item = (usize, &'s Pointer)> + use<'s> {
    let external = matches!(weights, Weights::External) && matches!(group, Group::Params | Group::State);
    let given = move |p: &Pointer| {
        p.group == group && (p.written || !external) && !matches!(p.place, Place::Csr { .. })
    };
    s.pointers.iter().enumerate().filter(move |(_, p)| given(p))
}

/// Whether a caller may leave a value to the object.
fn optional(p: &Pointer) -> bool {
    !p.written && p.embedded.is_some()
}

fn program(t: &mut String, s: &Signature, weights: &Weights, workspace: u64) {
    let name = camel(&s.prefix);
    declarations(t, s, weights, &name);
    raw(t, s, weights, &name);
    let external = matches!(weights, Weights::External);
    let life = if external { "<'w>" } else { "" };
    let _ = write!(
        t,
        "
    /// Program `{program}`, with the memory that its runs use.
    pub struct {name}{life} {{
        raw: Box<{name}Raw>,
        workspace: Vec<Line>,
        spread: Option<Box<Box<Spread>>>,
        patterns: [u64; {patterns}],{file}
    }}

    // SAFETY: the addresses in the state are of what this struct owns or of what a call borrows.
    unsafe impl Send for {name}{life} {{}}

    impl{life} {name}{life} {{
        /// The workspace is taken, and the best code for this processor chosen.
        pub fn new() -> Result<Self, Error> {{
            Self::with_level(0)
        }}

        /// The same with the code of one level, as `level` of the C header counts them; 0 for the best.
        pub fn with_level(level: i64) -> Result<Self, Error> {{
            let mut raw = Box::new({name}Raw::zero());
            raw.level = level;
            let lines = {workspace}usize.div_ceil(64);
            let mut workspace = vec![Line([0; 64]); lines];
            raw.workspace = workspace.as_mut_ptr().cast();
            raw.workspace_bytes = lines * 64;
            // SAFETY: the state is laid out as the object expects, which is what it compares the hash for.
            let code = unsafe {{ {prefix}_init(&mut *raw, {name}Raw::ABI) }};
            raw.ended(code)?;
            Ok({name} {{ raw, workspace, spread: None, patterns: [0; {patterns}]{no_file} }})
        }}

        /// The level that was chosen.
        pub fn level(&self) -> i64 {{
            self.raw.level
        }}

        /// Divides larger loops into `threads` parts and gives them to a function to run, such as one of a thread
        /// pool. Results are the same bits for any number. Where the function panics the process ends.
        pub fn set_threads(
            &mut self,
            threads: usize,
            spread: impl Fn(usize, &(dyn Fn(usize) + Sync)) + Send + 'static,
        ) {{
            let spread: Box<Box<Spread>> = Box::new(Box::new(spread));
            self.raw.parallel = Some(parallel);
            self.raw.context = (&raw const *spread).cast_mut().cast();
            self.raw.threads = threads.min(MOST_THREADS);
            self.spread = Some(spread);
        }}
",
        program = s.program,
        prefix = s.prefix,
        patterns = s.patterns.len(),
        file = if external { "\n        weights: ::std::marker::PhantomData<&'w [u8]>," } else { "" },
        no_file = if external { ", weights: ::std::marker::PhantomData" } else { "" },
    );
    weights_function(t, s, weights, &name);
    run_function(t, s, weights, &name);
    t.push_str("    }\n");
}

/// The structs that a call takes.
fn declarations(t: &mut String, s: &Signature, weights: &Weights, name: &str) {
    let copies = "#[derive(Clone, Copy, Debug, PartialEq, Eq)]";
    let _ = write!(t, "\n    /// Sizes of `{}`.\n    {copies}\n    pub struct {name}Dims {{\n", s.program);
    for (dim, symbol) in &s.dims {
        let _ = writeln!(t, "        /// {}..={}\n        pub {dim}: i64,", symbol.lo, symbol.hi);
    }
    t.push_str("    }\n");
    for group in groups(s, weights) {
        let _ = write!(
            t,
            "\n    /// {} of `{}`.\n    pub struct {name}{}<'a> {{\n",
            match group {
                Group::In => "Inputs",
                Group::Params => "Parameters",
                Group::State => "State beside the parameters",
                Group::Out => "Outputs",
            },
            s.program,
            camel(group.name()),
        );
        for (_, p) in dense(s, group, weights) {
            let about = header::about(p).replace("; null for the value in the object", "");
            let element = element(p.dtype);
            let slice = if p.written { format!("&'a mut [{element}]") } else { format!("&'a [{element}]") };
            let (about, slice) = match optional(p) {
                true => (format!("{about}; none for its value in the object"), format!("Option<{slice}>")),
                false => (about, slice),
            };
            let _ = writeln!(t, "        /// {about}\n        pub {}: {slice},", p.name);
        }
        if group == Group::In {
            for p in &s.patterns {
                let twin = if p.parts.len() > 2 { "; with its twin" } else { "" };
                let _ = writeln!(
                    t,
                    "        /// {}{twin}\n        pub {}: &'a Pattern<'a>,",
                    latentc_ir::types::Type::Csr(p.ty.clone()),
                    p.name
                );
            }
        }
        t.push_str("    }\n");
    }
}

/// The groups that a program has members of.
fn groups<'s>(s: &'s Signature, weights: &'s Weights) -> impl Iterator<Item = Group> + use<'s> {
    let patterns = !s.patterns.is_empty();
    let some = move |g: &Group| (*g == Group::In && patterns) || dense(s, *g, weights).next().is_some();
    Group::ALL.into_iter().filter(some)
}

/// The state and the object's functions.
fn raw(t: &mut String, s: &Signature, weights: &Weights, name: &str) {
    let (dims, pointers) = (s.dims.len().max(1), s.pointers.len());
    let own = 2 + super::signature::REMEMBERED as usize * s.patterns.len();
    let prefix = &s.prefix;
    let _ = write!(
        t,
        "
    #[repr(C)]
    struct {name}Raw {{
        error: RawError,
        dims: [i64; {dims}],
        pointers: [*mut c_void; {pointers}],
        workspace: *mut c_void,
        workspace_bytes: usize,
        parallel: Option<Parallel>,
        context: *mut c_void,
        threads: usize,
        level: i64,
        own: [i64; {own}],
    }}

    unsafe extern \"C\" {{
        fn {prefix}_init(state: *mut {name}Raw, abi: u64) -> i32;
        fn {prefix}_run(state: *mut {name}Raw) -> i32;
        fn {prefix}_error_text(state: *const {name}Raw, text: *mut u8, bytes: usize) -> usize;
",
    );
    match weights::has(s, weights) {
        Some(true) => {
            let _ = writeln!(
                t,
                "        fn {prefix}_weights(state: *mut {name}Raw, file: *const c_void, bytes: usize) -> i32;"
            );
        }
        Some(false) => {
            let _ = writeln!(t, "        fn {prefix}_weights(state: *mut {name}Raw) -> i32;");
        }
        None => {}
    }
    let _ = write!(
        t,
        "    }}

    impl {name}Raw {{
        const ABI: u64 = {abi:#018x};

        fn zero() -> Self {{
            {name}Raw {{
                error: RawError {{ code: 0, which: 0, numbers: [0; 4] }},
                dims: [0; {dims}],
                pointers: [::std::ptr::null_mut(); {pointers}],
                workspace: ::std::ptr::null_mut(),
                workspace_bytes: 0,
                parallel: None,
                context: ::std::ptr::null_mut(),
                threads: 0,
                level: 0,
                own: [0; {own}],
            }}
        }}

        fn ended(&self, code: i32) -> Result<(), Error> {{
            if code == 0 {{
                return Ok(());
            }}
            let mut text = vec![0u8; 512];
            // SAFETY: the state was initialised or is all zero; the buffer is as long as said.
            let length = unsafe {{ {prefix}_error_text(self, text.as_mut_ptr(), text.len()) }};
            text.truncate(length.min(511));
            Err(Error {{ code, text: String::from_utf8_lossy(&text).into_owned() }})
        }}
    }}
",
        abi = s.abi,
    );
}

/// Ranges of dims, and their values into the state.
fn set_dims(t: &mut String, s: &Signature) {
    for (at, (dim, symbol)) in s.dims.iter().enumerate() {
        let (lo, hi, given) = (symbol.lo, symbol.hi, format!("{:?}", symbol.name));
        let _ = write!(
            t,
            "            if !({lo}..={hi}).contains(&dims.{dim}) {{
                let text = format!(\"dimension `{{}}` is {{}}, outside {lo}..={hi}\", {given}, dims.{dim});
                return Err(Error {{ code: DIM, text }});
            }}
            self.raw.dims[{at}] = dims.{dim};
",
        );
    }
}

/// The length of a slice, and its address into the state.
fn set_pointer(t: &mut String, s: &Signature, at: usize, p: &Pointer, value: &str) {
    let what = format!("{:?}", format!("{} `{}`", p.group.word(), p.given));
    let address = if p.written { "as_mut_ptr().cast()" } else { "as_ptr().cast_mut().cast()" };
    let _ = write!(
        t,
        "            length({what}, \"elements\", {value}.len(), {})?;\n            self.raw.pointers[{at}] = {value}.{address};\n",
        size(s, &p.len),
    );
}

fn run_function(t: &mut String, s: &Signature, weights: &Weights, name: &str) {
    let _ = write!(
        t,
        "
        /// Checks, then runs. A slice of another length than its sizes say, an id or a pattern out of range: an
        /// error says which, and nothing has changed.
        pub fn run(&mut self, dims: {name}Dims",
    );
    for g in groups(s, weights) {
        let mutable = dense(s, g, weights).any(|(_, p)| p.written);
        let word = if mutable { "mut " } else { "" };
        let _ = write!(t, ", {word}{}: {name}{}<'_>", argument(g), camel(g.name()));
    }
    t.push_str(") -> Result<(), Error> {\n");
    set_dims(t, s);
    for g in groups(s, weights) {
        for (at, p) in dense(s, g, weights) {
            let value = format!("{}.{}", argument(g), p.name);
            if optional(p) {
                let null = "::std::ptr::null_mut()";
                let _ = writeln!(t, "            self.raw.pointers[{at}] = {null};");
                let _ = writeln!(t, "            if let Some(given) = {value} {{");
                set_pointer(t, s, at, p, "given");
                t.push_str("            }\n");
            } else {
                set_pointer(t, s, at, p, &value);
            }
        }
    }
    for (i, p) in s.patterns.iter().enumerate() {
        let what = |w: &str| format!("\"pattern `{}`\", \"{w}\"", p.name);
        let (rows, cols, nnz) = (size(s, &p.ty.rows), size(s, &p.ty.cols), size(s, &p.ty.nnz));
        let _ = write!(
            t,
            "            let pattern = inputs.{};
            length({}, pattern.rows, {rows})?;
            length({}, pattern.cols, {cols})?;
            length({}, pattern.indices.len(), {nnz})?;
            // A pattern that was checked cannot have changed since.
            if self.patterns[{i}] != pattern.id {{
                self.raw.own[{from}..{to}].fill(0);
                self.patterns[{i}] = 0;
            }}
",
            p.name,
            what("rows"),
            what("columns"),
            what("entries"),
            from = 2 + super::signature::REMEMBERED as usize * i,
            to = 2 + super::signature::REMEMBERED as usize * (i + 1),
        );
        if p.parts.len() > 2 {
            let _ = write!(
                t,
                "            let Some(twin) = &pattern.twin else {{
                let text = \"pattern `{}` has no twin; make it by `with_twin`\".to_owned();
                return Err(Error {{ code: LENGTH, text }});
            }};
",
                p.name
            );
        }
        for &part in &p.parts {
            let from = match part {
                CsrPart::Indptr => "pattern.indptr",
                CsrPart::Indices => "pattern.indices",
                CsrPart::TwinIndptr => "twin[0]",
                CsrPart::TwinIndices => "twin[1]",
                CsrPart::TwinEdges => "twin[2]",
            };
            if let Some(at) = s.find(&Place::Csr { input: p.input, part }) {
                let _ =
                    writeln!(t, "            self.raw.pointers[{at}] = {from}.as_ptr().cast_mut().cast();");
            }
        }
    }
    let _ = write!(
        t,
        "            // SAFETY: every address is of a slice of the length that the sizes say, and none that is written is
            // another's; the workspace is ours.
            let code = unsafe {{ {}_run(&mut *self.raw) }};\n",
        s.prefix
    );
    for (i, p) in s.patterns.iter().enumerate() {
        let _ = writeln!(
            t,
            "            if code == 0 {{\n                self.patterns[{i}] = inputs.{}.id;\n            }}",
            p.name
        );
    }
    t.push_str("            self.raw.ended(code)\n        }\n");
}

fn weights_function(t: &mut String, s: &Signature, weights: &Weights, name: &str) {
    let Some(file) = weights::has(s, weights) else { return };
    let about = if file {
        "/// Takes the values of parameters and state from a safetensors file, such as one mapped into memory: what
        /// runs only read is used where it lies, what runs update is copied into the slices given here."
    } else {
        "/// Copies the first values of what runs update into the slices given here."
    };
    let _ = write!(t, "\n        {about}\n        pub fn weights(&mut self, dims: {name}Dims");
    if file {
        t.push_str(", file: &'w [u8]");
    }
    let kept = |g: &Group| matches!(g, Group::Params | Group::State);
    for g in groups(s, weights).filter(kept) {
        if dense(s, g, weights).any(|(_, p)| p.written) {
            let _ = write!(t, ", mut {}: {name}{}<'_>", argument(g), camel(g.name()));
        }
    }
    t.push_str(") -> Result<(), Error> {\n");
    set_dims(t, s);
    for g in groups(s, weights).filter(kept) {
        for (at, p) in dense(s, g, weights).filter(|(_, p)| p.written) {
            set_pointer(t, s, at, p, &format!("{}.{}", argument(g), p.name));
        }
    }
    let arguments = if file { ", file.as_ptr().cast(), file.len()" } else { "" };
    let _ = write!(
        t,
        "            // SAFETY: as in `run`; the file is borrowed for as long as this program lives.
            let code = unsafe {{ {}_weights(&mut *self.raw{arguments}) }};
            self.raw.ended(code)\n        }}\n",
        s.prefix
    );
}

/// The name of a parameter: `in` is a word of Rust.
fn argument(group: Group) -> &'static str {
    match group {
        Group::In => "inputs",
        g => g.name(),
    }
}
