//! One program to one object: the kernels of every level and the driver in one LLVM module.

use super::driver::{self, Version};
use super::report::{KernelSize, UnitReport};
use super::signature::Signature;
use super::target::{Level, System};
use super::{AotError, Unit, Weights};
use crate::compile::plan;
use crate::cpu::emit::emit_module;
use crate::cpu::object::{LEVEL, optimise};
use crate::cpu::vector::Ops;
use crate::cpu::{EmitError, Isa};
use crate::error::CompileError;
use inkwell::attributes::AttributeLoc;
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::{Linkage, Module};
use inkwell::targets::FileType;
use latentc_ir::nest::Kernel;
use latentc_ir::plan::Program;

/// What became of a program.
pub(super) struct Made {
    pub signature: Signature,
    pub object: Vec<u8>,
    pub llvm_ir: Option<String>,
    pub assembly: Option<String>,
    pub report: UnitReport,
}

/// Compiles a program for a system.
pub(super) fn build(unit: &Unit, system: System, levels: &[Level], listings: bool) -> Result<Made, AotError> {
    let plans: Vec<Program> =
        levels.iter().map(|l| plan(&unit.graph, &l.isa)).collect::<Result<_, CompileError>>()?;
    for p in &plans {
        driver::check_plan(p).map_err(|what| CompileError::Plan { program: p.name.clone(), what })?;
    }
    let signature = Signature::new(unit, &plans)?;
    let versions: Vec<Version> =
        levels.iter().zip(plans).map(|(level, plan)| version(&unit.name, level, plan)).collect();

    let base = base(system)?;
    let machine = base.machine(LEVEL)?;
    let ctx = Context::create();
    let module = ctx.create_module(&unit.name);
    module.set_triple(&machine.get_triple());
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let ops = Ops::new(&ctx, module, &base);
    let external = matches!(unit.weights, Weights::External);
    driver::emit(&ops, &signature, &versions, external, system.is_x86())?;
    let module = ops.module;
    for v in &versions {
        module.link_in_module(kernels(&ctx, v)?).map_err(EmitError::from)?;
        for symbol in &v.symbols {
            let kernel = module.get_function(symbol);
            let kernel = kernel.ok_or_else(|| EmitError::internal(format!("no kernel `{symbol}`")))?;
            kernel.set_linkage(Linkage::Internal);
        }
    }
    optimise(&module, &machine)?;
    let object = machine.write_to_memory_buffer(&module, FileType::Object).map_err(EmitError::from)?;
    let (mut llvm_ir, mut assembly) = (None, None);
    if listings {
        llvm_ir = Some(module.print_to_string().to_string());
        machine.set_asm_verbosity(true);
        let text = machine.write_to_memory_buffer(&module, FileType::Assembly).map_err(EmitError::from)?;
        assembly = Some(String::from_utf8_lossy(text.as_slice()).into_owned());
    }
    let report = report(unit, &signature, &versions, &object)?;
    Ok(Made { signature, object: object.as_slice().to_vec(), llvm_ir, assembly, report })
}

/// The least processor of a system: what the driver is compiled for.
fn base(system: System) -> Result<Isa, AotError> {
    let isa = if system.is_x86() {
        Isa { cpu: "x86-64", lanes: 4, ..Isa::by_name("x86-64-v2")? }
    } else {
        Isa::by_name("neon")?
    };
    Ok(Isa { triple: system.triple().to_owned(), ..isa })
}

fn version(name: &str, level: &Level, plan: Program) -> Version {
    let symbols = plan.kernels.iter().map(|k| format!("{name}_{}_{}", level.symbol, k.name)).collect();
    Version { level: level.clone(), plan, symbols }
}

/// A module of a version's kernels, whose functions name the processor that they are for.
fn kernels<'c>(ctx: &'c Context, version: &Version) -> Result<Module<'c>, AotError> {
    let renamed: Vec<Kernel> = version
        .plan
        .kernels
        .iter()
        .zip(&version.symbols)
        .map(|(kernel, symbol)| Kernel { name: symbol.clone(), ..kernel.clone() })
        .collect();
    let isa = &version.level.isa;
    let module = emit_module(ctx, &renamed.iter().collect::<Vec<_>>(), isa, &isa.machine(LEVEL)?)?;
    for function in module.get_functions().filter(|f| f.count_basic_blocks() > 0) {
        for (key, value) in [("target-cpu", isa.cpu), ("target-features", &isa.features)] {
            if !value.is_empty() {
                function.add_attribute(AttributeLoc::Function, ctx.create_string_attribute(key, value));
            }
        }
    }
    Ok(module)
}

/// Bytes that a run of a version needs: temporaries, and behind them ids that are rows.
pub(super) fn workspace(signature: &Signature, version: &Version) -> u64 {
    let arena = version.plan.arena_bytes as u64;
    match signature.settled_bytes() {
        0 => arena,
        settled => arena.next_multiple_of(driver::ALIGN as u64) + settled,
    }
}

/// Sizes by kernel, read off the object.
fn report(
    unit: &Unit,
    signature: &Signature,
    versions: &[Version],
    object: &MemoryBuffer,
) -> Result<UnitReport, AotError> {
    let file = object.create_binary_file(None).map_err(EmitError::from)?;
    let mut sizes: Vec<(String, u64)> = vec![];
    if let Some(mut symbols) = file.get_symbols() {
        while let Some(symbol) = symbols.next_symbol() {
            if let Some(name) = symbol.get_name() {
                sizes.push((name.to_string_lossy().into_owned(), symbol.get_size()));
            }
        }
    }
    // Mach-O begins symbols with an underscore.
    let of = |symbol: &str| -> u64 {
        let is = |name: &str| {
            let name = name.strip_prefix('_').unwrap_or(name);
            name == symbol || name.strip_suffix(".body") == Some(symbol)
        };
        sizes.iter().filter(|(name, _)| is(name)).map(|(_, size)| *size).sum()
    };
    let mut kernels = vec![];
    for v in versions {
        for (at, (kernel, symbol)) in v.plan.kernels.iter().zip(&v.symbols).enumerate() {
            kernels.push(KernelSize {
                level: v.level.isa.name,
                name: kernel.name.clone(),
                launches: v.plan.launches.iter().filter(|l| l.kernel == at).count(),
                bytes: of(symbol),
            });
        }
    }
    Ok(UnitReport {
        name: unit.name.clone(),
        object: object.get_size() as u64,
        kernels,
        workspace: versions.iter().map(|v| (v.level.isa.name, workspace(signature, v))).collect(),
        plan: versions.iter().map(|v| (v.level.isa.name, v.plan.to_string())).collect(),
    })
}
