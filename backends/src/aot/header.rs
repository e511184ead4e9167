//! The C header of a library: C11 and C++11, plain structs, one section for each program.

use super::report::{Report, UnitReport};
use super::signature::{ERROR_BYTES, Group, LAYOUT, Pointer, REMEMBERED, Signature};
use super::target::{Level, System};
use super::{Signatures, Weights, status};
use crate::options::Ids;
use latentc_ir::dtype::DType;
use latentc_ir::types::shape_text;
use std::fmt::Write as _;

/// Writes the header.
pub(super) fn text(
    library: &str,
    system: System,
    levels: &[Level],
    signatures: &Signatures,
    report: &Report,
) -> String {
    let guard = format!("{}_H", library.to_ascii_uppercase());
    let names: Vec<&str> = levels.iter().map(|l| l.isa.name).collect();
    let mut t = String::new();
    let _ = write!(
        t,
        "\
/* {library}: programs compiled by latentc {version} for {target}, with code for {levels}.
 *
 * How a program NAME is run:
 *
 *   NAME state = {{0}};                       every member that is not set is 0
 *   state.dims.batch = 32;                   sizes, where the program has some that vary
 *   state.in.user = users; ...               addresses of what it reads and writes
 *   state.workspace_bytes = NAME_workspace_bytes(&state.dims);
 *   state.workspace = aligned_alloc(LATENTC_ALIGN, state.workspace_bytes);
 *   if (NAME_init(&state, NAME_ABI) != LATENTC_OK) ...
 *   if (NAME_run(&state) != LATENTC_OK) ...  as often as one likes; sizes and addresses may change between runs
 *
 * Nothing is allocated, no thread is started, nothing is kept outside of the state. Two states may run at the
 * same time. A run checks what it is given before it changes anything, and gives a code other than LATENTC_OK
 * where it refuses; NAME_error_text says which member is wrong, what was found and what was expected.
 *
 * Arrays are row-major and have as many elements as their comment says. What a run writes must overlap nothing else
 * that it is given. Kernels take up to 256 KiB of the stack.
 *
 * Row numbers are checked in every run. What happens with those outside of their table was said when the program was
 * built, and stands at each input: the run is refused (each in 0..rows), the nearest row is meant (clamped to 0..rows),
 * or counting goes on from the other end (wrapped to 0..rows). The caller's array is not changed.
 *
 * Sparse patterns are compressed rows: indptr has rows + 1 elements from 0 to the number of entries, indices the
 * columns of each row, ascending, each once. A pattern is checked in the first run that sees its addresses and
 * sizes. Where its arrays change while their addresses stay the same, call NAME_init again.
 *
 * Threads: a run divides its larger loops into `threads` parts where `parallel` is set, and calls
 *   parallel(parallel_context, task, argument, parts)
 * which has to call task(argument, i) once for each i below parts, on any threads, and to return when all are done.
 * Results are the same bits for any number of threads.
 *
 * Link with the C library and its mathematics (-lm); nothing else is needed.
 */
#ifndef {guard}
#define {guard}

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern \"C\" {{
#endif

",
            version = env!("CARGO_PKG_VERSION"),
            target = system.name(),
            levels = names.join(", "),
    );
    t.push_str(&common());
    for ((signature, weights), unit) in signatures.iter().zip(&report.units) {
        program(&mut t, signature, weights, levels, unit);
    }
    let _ = write!(t, "#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n");
    t
}

/// What every library's header has; several may be included together.
fn common() -> String {
    let mut t = format!(
        "\
#ifndef LATENTC_LAYOUT
#define LATENTC_LAYOUT {LAYOUT}
/* The version of the compiler. */
#define LATENTC_VERSION \"{}\"
/* What the address of a workspace is a multiple of. */
#define LATENTC_ALIGN {}

/* How a call ends. */
enum latentc_status {{
",
        env!("CARGO_PKG_VERSION"),
        super::driver::ALIGN,
    );
    for (code, s) in status::ALL.iter().enumerate() {
        let _ = writeln!(t, "    LATENTC_{} = {code}, /* {} */", s.name, s.text);
    }
    let _ = write!(
        t,
        "\
    LATENTC_STATUS_COUNT = {}
}};

/* The last error: its code, the member that it is about, and the numbers that its text names. {ERROR_BYTES} bytes. */
typedef struct latentc_error {{
    int32_t code;
    int32_t which;
    int64_t at;
    int64_t found;
    int64_t least;
    int64_t most;
}} latentc_error;

typedef void (*latentc_task)(void *argument, size_t part);
typedef void (*latentc_parallel)(void *context, latentc_task task, void *argument, size_t parts);
#endif /* LATENTC_LAYOUT */

",
        status::ALL.len(),
    );
    t
}

/// Writes the section of a program.
fn program(t: &mut String, s: &Signature, weights: &Weights, levels: &[Level], unit: &UnitReport) {
    let name = &s.prefix;
    let upper = name.to_ascii_uppercase();
    let _ = write!(
        t,
        "/* ---- {name}: program `{}` ---- */\n\n/* Of this program's interface; the init function compares it. */\n\
         #define {upper}_ABI UINT64_C({:#018x})\n/* Bytes of workspace for the greatest sizes. */\n\
         #define {upper}_WORKSPACE_BYTES {}u\n\n",
        s.program,
        s.abi,
        unit.workspace_bytes(),
    );
    for (dim, symbol) in &s.dims {
        let _ = writeln!(t, "#define {upper}_DIMS_{}_MOST {}", dim.to_ascii_uppercase(), symbol.hi);
    }
    for p in &s.pointers {
        // Those that vary are in the comments of their members.
        if let Some(len) = p.len.as_const() {
            let (group, member) = (p.group.name().to_ascii_uppercase(), p.name.to_ascii_uppercase());
            let _ = writeln!(t, "#define {upper}_{group}_{member}_LENGTH {len}");
        }
    }
    t.push('\n');
    let _ = writeln!(t, "typedef struct {name}_dims {{");
    for (dim, symbol) in &s.dims {
        let _ = writeln!(t, "    int64_t {dim}; /* {}..={} */", symbol.lo, symbol.hi);
    }
    if !s.has_dims() {
        t.push_str("    int64_t none; /* the program has no sizes that vary */\n");
    }
    let _ = writeln!(t, "}} {name}_dims;\n");
    let _ = writeln!(t, "typedef struct {name} {{");
    t.push_str("    latentc_error error; /* of the last call */\n");
    let _ = writeln!(t, "    {name}_dims dims;");
    for group in Group::ALL {
        let members: Vec<&Pointer> = s.pointers.iter().filter(|p| p.group == group).collect();
        if members.is_empty() {
            continue;
        }
        t.push_str("    struct {\n");
        for p in members {
            let constant = if p.written { "" } else { "const " };
            let _ = writeln!(t, "        {constant}{} *{}; /* {} */", c_type(p.dtype), p.name, about(p));
        }
        let _ = writeln!(t, "    }} {};", group.name());
    }
    let ranks: Vec<String> = levels.iter().map(|l| format!("{} is {}", l.isa.name, l.rank)).collect();
    let _ = write!(
        t,
        "    void *workspace; /* a multiple of LATENTC_ALIGN */\n\
         \x20   size_t workspace_bytes;\n\
         \x20   latentc_parallel parallel; /* null: one thread */\n\
         \x20   void *parallel_context;\n\
         \x20   size_t threads; /* parts of a loop; 0 and 1: one thread */\n\
         \x20   int64_t level; /* 0: init chooses the best and writes it here; else init insists on it. {} */\n\
         \x20   struct {{ /* not for callers */\n\
         \x20       uint64_t ready;\n\
         \x20       int64_t chosen;\n",
        ranks.join(", "),
    );
    if !s.patterns.is_empty() {
        let _ = writeln!(t, "        int64_t checked[{}];", REMEMBERED as usize * s.patterns.len());
    }
    let _ = writeln!(t, "    }} own;\n}} {name};\n");
    let _ = write!(
        t,
        "/* Bytes of workspace for these sizes (null: for any). */\n\
         size_t {name}_workspace_bytes(const {name}_dims *dims);\n\
         /* Compares interfaces, chooses the code for this processor, and forgets what was checked. `abi` is {upper}_ABI. */\n\
         int32_t {name}_init({name} *state, uint64_t abi);\n\
         /* Checks, then runs. */\n\
         int32_t {name}_run({name} *state);\n\
         /* The last error as text of at most `bytes` bytes with the final zero; gives the length of the whole text. */\n\
         size_t {name}_error_text(const {name} *state, char *text, size_t bytes);\n",
    );
    if s.patterns.iter().any(|p| p.parts.len() > 2) {
        let _ = write!(
            t,
            "/* Makes the transpose of a pattern: twin_indptr has cols + 1 elements, twin_indices and twin_edges as many as\n\
             \x20  indices; twin_edges, the position in indices of each of its entries, may be null. Gives LATENTC_OK, or\n\
             \x20  LATENTC_PATTERN_COLUMN where a column is not below cols. */\n\
             int32_t {name}_csr_twin(int64_t rows, int64_t cols, const int32_t *indptr, const int32_t *indices,\n\
             \x20   int32_t *twin_indptr, int32_t *twin_indices, int32_t *twin_edges);\n",
        );
    }
    super::weights::declare(t, s, weights);
    t.push('\n');
}

/// What a member is, for its comment.
pub(super) fn about(p: &Pointer) -> String {
    let mut text = format!("{}{}", p.dtype, shape_text(&p.shape));
    if let Some(bound) = &p.bound {
        let _ = match p.ids {
            Ids::Error => write!(text, ", each in 0..{bound}"),
            Ids::Clamp => write!(text, ", each clamped to 0..{bound}"),
            Ids::Wrap => write!(text, ", each wrapped to 0..{bound}: -1 is the last"),
        };
    }
    if p.dtype == DType::Bool && p.group != Group::Out {
        text.push_str(", each 0 or 1");
    }
    if p.group != Group::Out && p.written {
        text.push_str(", updated");
    }
    if p.embedded.is_some() && !p.written {
        text.push_str("; null for the value in the object");
    }
    text
}

/// The type of elements in C. Floats of 16 and of 8 bits are given as their bits.
fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "double",
        DType::F32 => "float",
        DType::Bf16 | DType::F16 | DType::U16 => "uint16_t",
        DType::I64 => "int64_t",
        DType::I32 => "int32_t",
        DType::I16 => "int16_t",
        DType::I8 => "int8_t",
        DType::U64 => "uint64_t",
        DType::U32 => "uint32_t",
        DType::U8 | DType::Bool | DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => {
            "uint8_t"
        }
    }
}
