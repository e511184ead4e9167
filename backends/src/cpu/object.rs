//! Passes and code generation: kernels to object bytes, and the texts in between for those who look.
//!
//! The unit is the object file: it is what the disk cache keeps, what the loader takes and what an
//! ahead-of-time build links. Kernels are spread over a few modules, each compiled by a worker with an LLVM
//! context of its own.

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{FileType, TargetMachine};
use latentc_ir::nest::{AxisKind, Expr, Index, Kernel, Stmt};
use std::sync::LazyLock;

use super::EmitError;
use super::emit::emit_module;
use super::isa::Isa;
use super::workers::each;

/// The passes: vectors and unrolling are written out by the emitter, so what is left is promotion to
/// registers, folding, and moving what does not change out of loops.
const PASSES: &str = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,\
                      loop-mssa(licm),gvn,instcombine<no-verify-fixpoint>,dse,adce,simplifycfg)";
pub(crate) const LEVEL: OptimizationLevel = OptimizationLevel::Default;

/// Everything but kernel and machine that decides the code: the generator's sources, LLVM, the passes.
pub(crate) static GENERATOR: LazyLock<String> = LazyLock::new(|| {
    let (version, sources) = (env!("CARGO_PKG_VERSION"), env!("LATENTC_GENERATOR"));
    format!("latentc {version} {sources}, LLVM {}, {PASSES}, {LEVEL:?}", llvm_version())
});

/// The version of the LLVM that this program runs with, such as `22.1.0`.
pub fn llvm_version() -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    format!("{major}.{minor}.{patch}")
}

/// Machine code of some kernels, in the object format of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The object file.
    pub bytes: Vec<u8>,
    /// The kernels in it, by name; each is a symbol.
    pub kernels: Vec<String>,
}

/// What compilation makes of some kernels, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// LLVM IR as emitted.
    pub ir: String,
    /// LLVM IR after the passes.
    pub optimised: String,
    /// Assembly of the target.
    pub assembly: String,
}

/// Compiles kernels to objects on up to `threads` threads.
///
/// The objects come in a fixed order that depends on the kernels and `threads` alone; the code of a kernel
/// does not depend on which others it is compiled with.
pub fn compile_objects(kernels: &[Kernel], isa: &Isa, threads: usize) -> Result<Vec<Object>, EmitError> {
    let mut names = rustc_hash::FxHashSet::default();
    if let Some(twice) = kernels.iter().find(|k| !names.insert(k.name.as_str())) {
        return Err(EmitError::DuplicateName { kernel: twice.name.clone() });
    }
    compile_groups(&spread(kernels, threads.max(1) * 2), isa, threads)
}

/// Compiles each kernel to an object of its own, in the order given, on up to `threads` threads. Names must
/// differ.
pub(crate) fn compile_each(kernels: &[Kernel], isa: &Isa, threads: usize) -> Result<Vec<Object>, EmitError> {
    // The largest first, so that no thread is left with a large one at the end.
    let mut order: Vec<usize> = (0..kernels.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(statements(&kernels[*i].body)));
    let groups: Vec<Vec<&Kernel>> = order.iter().map(|i| vec![&kernels[*i]]).collect();
    let mut objects: Vec<(usize, Object)> =
        order.into_iter().zip(compile_groups(&groups, isa, threads)?).collect();
    objects.sort_by_key(|(i, _)| *i);
    Ok(objects.into_iter().map(|(_, o)| o).collect())
}

/// Compiles groups of kernels, an object each, in their order.
fn compile_groups(groups: &[Vec<&Kernel>], isa: &Isa, threads: usize) -> Result<Vec<Object>, EmitError> {
    each(groups, threads, |group| compile_group(group, isa)).into_iter().collect()
}

/// Compiles kernels and keeps every text on the way.
pub fn inspect(kernels: &[Kernel], isa: &Isa) -> Result<Listing, EmitError> {
    let machine = isa.machine(LEVEL)?;
    let ctx = Context::create();
    let refs: Vec<&Kernel> = kernels.iter().collect();
    let module = emit_module(&ctx, &refs, isa, &machine)?;
    let ir = module.print_to_string().to_string();
    optimise(&module, &machine)?;
    let optimised = module.print_to_string().to_string();
    machine.set_asm_verbosity(true);
    let assembly = machine.write_to_memory_buffer(&module, FileType::Assembly)?;
    Ok(Listing { ir, optimised, assembly: String::from_utf8_lossy(assembly.as_slice()).into_owned() })
}

fn compile_group(group: &[&Kernel], isa: &Isa) -> Result<Object, EmitError> {
    let machine = isa.machine(LEVEL)?;
    let ctx = Context::create();
    let module = emit_module(&ctx, group, isa, &machine)?;
    optimise(&module, &machine)?;
    let object = machine.write_to_memory_buffer(&module, FileType::Object)?;
    Ok(Object { bytes: object.as_slice().to_vec(), kernels: group.iter().map(|k| k.name.clone()).collect() })
}

/// Verifies the module (LLVM ends the process on a broken one) and runs the passes.
pub(crate) fn optimise(module: &Module, machine: &TargetMachine) -> Result<(), EmitError> {
    module.verify()?;
    module.run_passes(PASSES, machine, PassBuilderOptions::create())?;
    Ok(())
}

/// Divides kernels into at most `count` groups of about equal work, largest first.
fn spread(kernels: &[Kernel], count: usize) -> Vec<Vec<&Kernel>> {
    let mut order: Vec<(u64, &Kernel)> = kernels.iter().map(|k| (statements(&k.body), k)).collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let mut groups: Vec<(u64, Vec<&Kernel>)> = vec![(0, vec![]); count.min(kernels.len())];
    for (size, k) in order {
        if let Some(least) = groups.iter_mut().min_by_key(|g| g.0) {
            least.0 += size;
            least.1.push(k);
        }
    }
    groups.into_iter().map(|(_, g)| g).collect()
}

/// About how much code a list of statements becomes: unrolled loops count every turn.
fn statements(body: &[Stmt]) -> u64 {
    body.iter()
        .map(|s| match s {
            Stmt::For { lo, hi, step, kind, body, .. } => {
                let turns = match (kind, lo, hi) {
                    (AxisKind::Unroll, Index::Const(lo), Index::Const(hi)) => {
                        (hi.saturating_sub(*lo) / (*step).max(1)).clamp(1, 1024) as u64
                    }
                    (AxisKind::Vector(_), ..) => 2,
                    _ => 1,
                };
                turns.saturating_mul(statements(body)).saturating_add(4)
            }
            Stmt::If { cond, then, otherwise } => nodes(cond) + statements(then) + statements(otherwise) + 4,
            Stmt::Let { expr: e, .. } | Stmt::Store { value: e, .. } | Stmt::Accumulate { value: e, .. } => {
                nodes(e) + 2
            }
            Stmt::Fill { .. } | Stmt::Prefetch { .. } => 2,
        })
        .fold(0, u64::saturating_add)
}

fn nodes(e: &Expr) -> u64 {
    match e {
        Expr::Op(_, args) => 1 + args.iter().map(nodes).sum::<u64>(),
        Expr::Cast(_, x) | Expr::Bits(_, x) => 1 + nodes(x),
        _ => 1,
    }
}
