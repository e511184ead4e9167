//! From a loop nest to a function of LLVM.
//!
//! Each kernel becomes two functions: the entry with the calling convention of [`KernelFn`](super::KernelFn),
//! which loads the pointers and dimensions once, and an internal body whose pointer parameters are
//! `noalias`, so that LLVM knows what the nest's buffer spaces promise.

mod convert;
mod dot;
mod expr;
mod f8;
mod index;
mod op;
mod stmt;

use inkwell::AddressSpace;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use inkwell::targets::TargetMachine;
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{BasicMetadataValueEnum, FunctionValue, IntValue, PointerValue};
use latentc_ir::dtype::DType;
use latentc_ir::nest::verify::{REGISTER_LIMIT, STACK_LIMIT};
use latentc_ir::nest::{BufId, Kernel, Space, ValId};

use super::EmitError;
use super::isa::Isa;
use super::vector::{Ops, V};
use index::Linear;

/// A value with its element type; a scalar where it is the same in every lane.
#[derive(Clone, Copy)]
struct Value<'c> {
    raw: V<'c>,
    dtype: DType,
}

/// The writer of one kernel's body.
struct Emitter<'a, 'c> {
    ops: &'a Ops<'c>,
    kernel: &'a Kernel,
    isa: &'a Isa,
    function: FunctionValue<'c>,
    /// Addresses of the buffers, parameters and locals.
    buffers: Vec<PointerValue<'c>>,
    dims: Vec<IntValue<'c>>,
    /// What the caller asks of the parallel loop: first value and end.
    range: (IntValue<'c>, IntValue<'c>),
    vars: Vec<Option<Linear<'c>>>,
    vals: Vec<Option<Value<'c>>>,
    /// Values bound in the open blocks, innermost last.
    bound: Vec<ValId>,
    /// Lanes of the open vector loop; 1 outside of one.
    lanes: u32,
}

/// Writes the kernels into a new module for this machine.
pub(crate) fn emit_module<'c>(
    ctx: &'c Context,
    kernels: &[&Kernel],
    isa: &Isa,
    machine: &TargetMachine,
) -> Result<Module<'c>, EmitError> {
    let module = ctx.create_module("latentc");
    module.set_triple(&machine.get_triple());
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let ops = Ops::new(ctx, module, isa);
    for kernel in kernels {
        emit_kernel(&ops, kernel, isa)?;
    }
    Ok(ops.module)
}

/// Marks a function: it never unwinds, and vectors use the whole register.
pub(crate) fn mark_function(ctx: &Context, f: FunctionValue, isa_bits: u32) {
    let nounwind = Attribute::get_named_enum_kind_id("nounwind");
    f.add_attribute(AttributeLoc::Function, ctx.create_enum_attribute(nounwind, 0));
    let width = ctx.create_string_attribute("prefer-vector-width", &isa_bits.to_string());
    f.add_attribute(AttributeLoc::Function, width);
}

fn emit_kernel<'c>(ops: &Ops<'c>, kernel: &Kernel, isa: &Isa) -> Result<(), EmitError> {
    let ctx = ops.ctx;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if kernel.name.is_empty() || !kernel.name.chars().all(legal) {
        return Err(EmitError::Malformed {
            kernel: kernel.name.clone(),
            what: "its name is not made of letters, digits and `_`".to_owned(),
        });
    }
    if ops.module.get_function(&kernel.name).is_some() {
        return Err(EmitError::DuplicateName { kernel: kernel.name.clone() });
    }
    let (ptr, i64) = (ops.ptr_type(), ctx.i64_type());
    let params: Vec<(BufId, Space)> = kernel.params().map(|(b, info)| (b, info.space)).collect();
    if params.iter().enumerate().any(|(i, (b, _))| b.at() != i) {
        return Err(EmitError::Malformed {
            kernel: kernel.name.clone(),
            what: "a parameter stands after a local buffer".to_owned(),
        });
    }

    let mut types: Vec<BasicMetadataTypeEnum> = params.iter().map(|_| ptr.into()).collect();
    types.extend(kernel.dims.iter().map(|_| BasicMetadataTypeEnum::from(i64)));
    types.extend([BasicMetadataTypeEnum::from(i64); 2]);
    let body = ops.module.add_function(
        &format!("{}.body", kernel.name),
        ctx.void_type().fn_type(&types, false),
        Some(Linkage::Internal),
    );
    mark_function(ctx, body, isa.vector_bits());
    let kind = |name| ctx.create_enum_attribute(Attribute::get_named_enum_kind_id(name), 0);
    for (i, (_, space)) in params.iter().enumerate() {
        body.add_attribute(AttributeLoc::Param(i as u32), kind("noalias"));
        if *space == Space::In {
            body.add_attribute(AttributeLoc::Param(i as u32), kind("readonly"));
        }
    }

    emit_entry(ops, kernel, isa, body, params.len())?;

    ops.builder.position_at_end(ctx.append_basic_block(body, "entry"));
    let given = body.get_params();
    let pointers = given.iter().take(params.len()).map(|p| p.into_pointer_value()).collect();
    let ints: Vec<IntValue> = given.iter().skip(params.len()).map(|p| p.into_int_value()).collect();
    let (dims, range) = ints.split_at(kernel.dims.len());
    let mut emitter = Emitter {
        ops,
        kernel,
        isa,
        function: body,
        buffers: pointers,
        dims: dims.to_vec(),
        range: (range[0], range[1]),
        vars: vec![None; kernel.vars.len()],
        vals: vec![None; kernel.vals.len()],
        bound: vec![],
        lanes: 1,
    };
    emitter.locals()?;
    emitter.top(&kernel.body)?;
    ops.builder.build_return(None)?;
    Ok(())
}

/// The entry: unpacks pointers and dimensions and calls the body.
fn emit_entry<'c>(
    ops: &Ops<'c>,
    kernel: &Kernel,
    isa: &Isa,
    body: FunctionValue<'c>,
    params: usize,
) -> Result<(), EmitError> {
    let ctx = ops.ctx;
    let (ptr, i64) = (ctx.ptr_type(AddressSpace::default()), ctx.i64_type());
    let types = [ptr.into(), ptr.into(), i64.into(), i64.into()];
    let entry = ops.module.add_function(&kernel.name, ctx.void_type().fn_type(&types, false), None);
    mark_function(ctx, entry, isa.vector_bits());
    ops.builder.position_at_end(ctx.append_basic_block(entry, "entry"));
    let given = entry.get_params();
    let [bufs, dims, lo, hi] = given.as_slice() else {
        return Err(EmitError::internal("an entry without its four parameters"));
    };
    let mut args: Vec<BasicMetadataValueEnum> = vec![];
    for i in 0..params {
        let at = ops.element_ptr(ptr.into(), bufs.into_pointer_value(), ops.i64(i as i64))?;
        args.push(ops.load(ptr.into(), at, 8)?.into());
    }
    for i in 0..kernel.dims.len() {
        let at = ops.element_ptr(i64.into(), dims.into_pointer_value(), ops.i64(i as i64))?;
        args.push(ops.load(i64.into(), at, 8)?.into());
    }
    args.extend([BasicMetadataValueEnum::from(*lo), BasicMetadataValueEnum::from(*hi)]);
    ops.builder.build_call(body, &args, "")?;
    ops.builder.build_return(None)?;
    Ok(())
}

impl<'c> Emitter<'_, 'c> {
    fn malformed(&self, what: impl Into<String>) -> EmitError {
        EmitError::Malformed { kernel: self.kernel.name.clone(), what: what.into() }
    }

    fn mismatch(&self, place: &str, expected: &str, found: &str) -> EmitError {
        EmitError::TypeMismatch {
            kernel: self.kernel.name.clone(),
            place: place.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    /// The address and element type of a buffer.
    fn buffer(&self, buf: BufId) -> Result<(PointerValue<'c>, DType), EmitError> {
        match (self.buffers.get(buf.at()), self.kernel.buffers.get(buf.at())) {
            (Some(p), Some(b)) => Ok((*p, b.dtype)),
            _ => Err(self.malformed(format!("undeclared buffer {}", buf.0))),
        }
    }

    /// The value that a `Let` bound.
    fn value_of(&self, val: ValId) -> Result<Value<'c>, EmitError> {
        self.vals
            .get(val.at())
            .copied()
            .flatten()
            .ok_or_else(|| self.malformed(format!("value {} is used before it is bound", val.0)))
    }

    /// Makes room for the local buffers, in the entry block so that register arrays can be promoted.
    fn locals(&mut self) -> Result<(), EmitError> {
        let (mut stack, mut registers) = (0i64, 0i64);
        for at in self.buffers.len()..self.kernel.buffers.len() {
            let info = &self.kernel.buffers[at];
            let len = self.uniform(&info.len, &info.name)?.as_const().filter(|n| *n >= 0);
            let Some(len) = len else {
                return Err(EmitError::NotConstant {
                    kernel: self.kernel.name.clone(),
                    what: format!("the length of local buffer `{}`", info.name),
                });
            };
            let (total, add, limit, unit) = match info.space {
                Space::Stack => (
                    &mut stack,
                    len.saturating_mul(info.dtype.size() as i64),
                    STACK_LIMIT,
                    "bytes on the stack",
                ),
                _ => (&mut registers, len, REGISTER_LIMIT, "elements in registers"),
            };
            *total = total.saturating_add(add);
            if *total > limit {
                return Err(EmitError::TooLarge {
                    kernel: self.kernel.name.clone(),
                    buffer: info.name.clone(),
                    found: *total,
                    limit,
                    unit,
                });
            }
            let element = self.ops.mem(info.dtype, 1);
            let array = match element {
                inkwell::types::BasicTypeEnum::IntType(t) => t.array_type(len as u32),
                inkwell::types::BasicTypeEnum::FloatType(t) => t.array_type(len as u32),
                _ => return Err(EmitError::internal("an element type that is no number")),
            };
            let slot = self.ops.builder.build_alloca(array, &info.name)?;
            if let Some(i) = slot.as_instruction() {
                i.set_alignment(64).map_err(|e| EmitError::internal(e.to_string()))?;
            }
            self.buffers.push(slot);
        }
        Ok(())
    }
}
