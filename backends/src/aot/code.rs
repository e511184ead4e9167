//! Functions written in terms of 64-bit integers, addresses, conditions and loops: what the drivers of
//! programs are made of.

use crate::cpu::EmitError;
use crate::cpu::vector::Ops;
use inkwell::IntPredicate;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::basic_block::BasicBlock;
use inkwell::module::Linkage;
use inkwell::types::{BasicMetadataTypeEnum, FunctionType, IntType};
use inkwell::values::{
    BasicMetadataValueEnum, BasicValueEnum, FunctionValue, InstructionOpcode, IntValue, PointerValue,
};

pub(super) use latentc_ir::dtype::DType;

/// An integer of any width.
pub(super) type I<'c> = IntValue<'c>;
/// An address.
pub(super) type P<'c> = PointerValue<'c>;
/// What every helper gives.
pub(super) type Made<T = ()> = Result<T, EmitError>;

/// Comparisons, all of signed numbers.
pub(super) use IntPredicate::{EQ, NE, SGE as GE, SGT as GT, SLE as LE, SLT as LT};

/// A kind of parameter or result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pointer,
    I64,
    I32,
}

/// A function being written.
pub(super) struct Fun<'a, 'c> {
    pub ops: &'a Ops<'c>,
    pub function: FunctionValue<'c>,
}

/// A 64-bit variable.
#[derive(Clone, Copy)]
pub(super) struct Var<'c>(P<'c>);

/// Declares a function with these parameters and, where it gives something, this result.
pub(super) fn declare<'c>(
    ops: &Ops<'c>,
    name: &str,
    params: &[Kind],
    result: Option<Kind>,
    exported: bool,
) -> FunctionValue<'c> {
    let linkage = if exported { Linkage::External } else { Linkage::Internal };
    let f = ops.module.add_function(name, signature(ops, params, result), Some(linkage));
    let nounwind = Attribute::get_named_enum_kind_id("nounwind");
    f.add_attribute(AttributeLoc::Function, ops.ctx.create_enum_attribute(nounwind, 0));
    f
}

/// A type of functions.
pub(super) fn signature<'c>(ops: &Ops<'c>, params: &[Kind], result: Option<Kind>) -> FunctionType<'c> {
    let (ptr, i64, i32) = (ops.ptr_type(), ops.ctx.i64_type(), ops.ctx.i32_type());
    let params: Vec<BasicMetadataTypeEnum> = params
        .iter()
        .map(|k| match k {
            Kind::Pointer => ptr.into(),
            Kind::I64 => i64.into(),
            Kind::I32 => i32.into(),
        })
        .collect();
    match result {
        Some(Kind::Pointer) => ptr.fn_type(&params, false),
        Some(Kind::I64) => i64.fn_type(&params, false),
        Some(Kind::I32) => i32.fn_type(&params, false),
        None => ops.ctx.void_type().fn_type(&params, false),
    }
}

impl<'a, 'c> Fun<'a, 'c> {
    /// Begins the body of a declared function.
    pub fn begin(ops: &'a Ops<'c>, function: FunctionValue<'c>) -> Fun<'a, 'c> {
        ops.builder.position_at_end(ops.ctx.append_basic_block(function, "entry"));
        Fun { ops, function }
    }

    /// An integer parameter.
    pub fn arg(&self, at: u32) -> Made<I<'c>> {
        match self.function.get_nth_param(at) {
            Some(BasicValueEnum::IntValue(i)) => Ok(i),
            _ => Err(EmitError::internal(format!("parameter {at} is no integer"))),
        }
    }

    /// An address among the parameters.
    pub fn arg_ptr(&self, at: u32) -> Made<P<'c>> {
        match self.function.get_nth_param(at) {
            Some(BasicValueEnum::PointerValue(p)) => Ok(p),
            _ => Err(EmitError::internal(format!("parameter {at} is no address"))),
        }
    }

    fn i64_type(&self) -> IntType<'c> {
        self.ops.ctx.i64_type()
    }

    /// A number.
    pub fn int(&self, n: i64) -> I<'c> {
        self.ops.i64(n)
    }

    /// A number of 32 bits.
    pub fn int32(&self, n: i64) -> I<'c> {
        self.ops.ctx.i32_type().const_int(n as u64, true)
    }

    pub fn null(&self) -> P<'c> {
        self.ops.ptr_type().const_null()
    }

    fn bin(&self, op: InstructionOpcode, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        match self.ops.bin(op, a.into(), b.into())? {
            BasicValueEnum::IntValue(i) => Ok(i),
            _ => Err(EmitError::internal("an integer operation that gives no integer")),
        }
    }

    pub fn add(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::Add, a, b)
    }

    pub fn plus(&self, a: I<'c>, n: i64) -> Made<I<'c>> {
        self.add(a, self.int(n))
    }

    pub fn sub(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::Sub, a, b)
    }

    pub fn mul(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::Mul, a, b)
    }

    pub fn and(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::And, a, b)
    }

    pub fn or(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::Or, a, b)
    }

    /// Quotient rounded towards zero; the divisor is not zero.
    pub fn div(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::SDiv, a, b)
    }

    pub fn rem(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.bin(InstructionOpcode::SRem, a, b)
    }

    /// Quotient and remainder of unsigned numbers, where the divisor is not zero.
    pub fn unsigned_div_rem(&self, a: I<'c>, b: I<'c>) -> Made<(I<'c>, I<'c>)> {
        Ok((self.bin(InstructionOpcode::UDiv, a, b)?, self.bin(InstructionOpcode::URem, a, b)?))
    }

    /// Quotient rounded down; a divisor below 1 counts as 1.
    pub fn floor_div(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        let b = self.max(b, self.int(1))?;
        let negative = self.lt(self.rem(a, b)?, self.int(0))?;
        let one = self.pick(negative, self.int(1), self.int(0))?;
        self.sub(self.div(a, b)?, one)
    }

    /// Remainder of [`Fun::floor_div`].
    pub fn floor_mod(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        let b = self.max(b, self.int(1))?;
        let r = self.rem(a, b)?;
        self.pick(self.lt(r, self.int(0))?, self.add(r, b)?, r)
    }

    pub fn min(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.pick(self.lt(a, b)?, a, b)
    }

    pub fn max(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.pick(self.lt(a, b)?, b, a)
    }

    pub fn compare(&self, p: IntPredicate, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        Ok(self.ops.builder.build_int_compare(p, a, b, "")?)
    }

    pub fn lt(&self, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        self.compare(LT, a, b)
    }

    /// Whether a number is outside `lo..hi`.
    pub fn outside(&self, x: I<'c>, lo: I<'c>, hi: I<'c>) -> Made<I<'c>> {
        self.or(self.lt(x, lo)?, self.compare(GE, x, hi)?)
    }

    pub fn pick(&self, c: I<'c>, a: I<'c>, b: I<'c>) -> Made<I<'c>> {
        Ok(self.ops.builder.build_select(c, a, b, "")?.into_int_value())
    }

    pub fn is_null(&self, p: P<'c>) -> Made<I<'c>> {
        Ok(self.ops.builder.build_is_null(p, "")?)
    }

    /// The address as a number.
    pub fn address(&self, p: P<'c>) -> Made<I<'c>> {
        Ok(self.ops.builder.build_ptr_to_int(p, self.i64_type(), "")?)
    }

    /// An address so many bytes further.
    pub fn offset(&self, p: P<'c>, bytes: I<'c>) -> Made<P<'c>> {
        self.ops.element_ptr(self.ops.ctx.i8_type().into(), p, bytes)
    }

    /// An address so many bytes further.
    pub fn at(&self, p: P<'c>, bytes: u64) -> Made<P<'c>> {
        self.offset(p, self.int(bytes as i64))
    }

    pub fn load(&self, p: P<'c>) -> Made<I<'c>> {
        Ok(self.ops.load(self.i64_type().into(), p, 8)?.into_int_value())
    }

    /// A number of 64 bits at any address; the targets are little-endian.
    pub fn little_endian(&self, p: P<'c>) -> Made<I<'c>> {
        Ok(self.ops.load(self.i64_type().into(), p, 1)?.into_int_value())
    }

    pub fn load_ptr(&self, p: P<'c>) -> Made<P<'c>> {
        Ok(self.ops.load(self.ops.ptr_type().into(), p, 8)?.into_pointer_value())
    }

    pub fn store(&self, p: P<'c>, x: I<'c>) -> Made {
        self.ops.store(x.into(), p, x.get_type().get_bit_width().div_ceil(8))
    }

    pub fn store_ptr(&self, p: P<'c>, x: P<'c>) -> Made {
        self.ops.store(x.into(), p, 8)
    }

    /// An element of an array of integers, as 64 bits.
    pub fn element(&self, dtype: DType, base: P<'c>, at: I<'c>) -> Made<I<'c>> {
        let (size, ty) = (dtype.size() as u32, self.integer(dtype));
        let p = self.ops.element_ptr(ty.into(), base, at)?;
        let x = self.ops.load(ty.into(), p, size)?.into_int_value();
        let b = &self.ops.builder;
        Ok(match dtype {
            // As signed numbers the greatest u64 are negative, so they are as far out of every range.
            DType::I64 | DType::U64 | DType::F64 => x,
            DType::I32 | DType::I16 | DType::I8 => b.build_int_s_extend(x, self.i64_type(), "")?,
            _ => b.build_int_z_extend(x, self.i64_type(), "")?,
        })
    }

    /// Sets an element of an array of integers to the low bits of a number.
    pub fn set_element(&self, dtype: DType, base: P<'c>, at: I<'c>, x: I<'c>) -> Made {
        let ty = self.integer(dtype);
        let p = self.ops.element_ptr(ty.into(), base, at)?;
        self.store(p, self.ops.builder.build_int_truncate_or_bit_cast(x, ty, "")?)
    }

    /// An integer as wide as an element.
    fn integer(&self, dtype: DType) -> IntType<'c> {
        let ctx = self.ops.ctx;
        match dtype.size() {
            1 => ctx.i8_type(),
            2 => ctx.i16_type(),
            4 => ctx.i32_type(),
            _ => ctx.i64_type(),
        }
    }

    /// An i32 of an array.
    pub fn i32_at(&self, base: P<'c>, at: I<'c>) -> Made<I<'c>> {
        self.element(DType::I32, base, at)
    }

    /// Sets an i32 of an array.
    pub fn set_i32_at(&self, base: P<'c>, at: I<'c>, x: I<'c>) -> Made {
        self.set_element(DType::I32, base, at, x)
    }

    /// The low 32 bits.
    pub fn low32(&self, x: I<'c>) -> Made<I<'c>> {
        Ok(self.ops.builder.build_int_truncate(x, self.ops.ctx.i32_type(), "")?)
    }

    /// 32 bits or fewer as 64, unsigned.
    pub fn widen(&self, x: I<'c>) -> Made<I<'c>> {
        Ok(self.ops.builder.build_int_z_extend(x, self.i64_type(), "")?)
    }

    /// The low 8 bits, stored.
    pub fn store_byte(&self, p: P<'c>, x: I<'c>) -> Made {
        self.store(p, self.ops.builder.build_int_truncate(x, self.ops.ctx.i8_type(), "")?)
    }

    /// Room on the stack, taken once a call.
    pub fn room(&self, bytes: u64) -> Made<P<'c>> {
        let b = &self.ops.builder;
        let here = self.block()?;
        let entry = self
            .function
            .get_first_basic_block()
            .ok_or_else(|| EmitError::internal("a function without a body"))?;
        match entry.get_first_instruction() {
            Some(first) => b.position_before(&first),
            None => b.position_at_end(entry),
        }
        let slot = b.build_alloca(self.i64_type().array_type(bytes.div_ceil(8) as u32), "")?;
        b.position_at_end(here);
        Ok(slot)
    }

    /// A new variable.
    pub fn var(&self, first: I<'c>) -> Made<Var<'c>> {
        let v = Var(self.room(8)?);
        self.set(v, first)?;
        Ok(v)
    }

    pub fn get(&self, v: Var<'c>) -> Made<I<'c>> {
        self.load(v.0)
    }

    pub fn set(&self, v: Var<'c>, x: I<'c>) -> Made {
        self.store(v.0, x)
    }

    fn block(&self) -> Made<BasicBlock<'c>> {
        self.ops.builder.get_insert_block().ok_or_else(|| EmitError::internal("code outside of a block"))
    }

    /// Goes on at `to` unless the block has ended with a return.
    fn jump(&self, to: BasicBlock<'c>) -> Made {
        if self.block()?.get_terminator().is_none() {
            self.ops.builder.build_unconditional_branch(to)?;
        }
        Ok(())
    }

    /// Runs the body where the condition holds.
    pub fn when(&self, c: I<'c>, body: impl FnOnce() -> Made) -> Made {
        self.when_else(c, body, || Ok(()))
    }

    /// Runs one body or the other.
    pub fn when_else(&self, c: I<'c>, body: impl FnOnce() -> Made, other: impl FnOnce() -> Made) -> Made {
        let block = |name| self.ops.ctx.append_basic_block(self.function, name);
        let (yes, no, end) = (block("yes"), block("no"), block("end"));
        self.ops.builder.build_conditional_branch(c, yes, no)?;
        self.ops.builder.position_at_end(yes);
        body()?;
        self.jump(end)?;
        self.ops.builder.position_at_end(no);
        other()?;
        self.jump(end)?;
        self.ops.builder.position_at_end(end);
        Ok(())
    }

    /// Runs the body while the condition holds.
    pub fn while_(&self, c: impl FnOnce() -> Made<I<'c>>, body: impl FnOnce() -> Made) -> Made {
        let block = |name| self.ops.ctx.append_basic_block(self.function, name);
        let (head, turn, end) = (block("while"), block("turn"), block("end"));
        self.jump(head)?;
        self.ops.builder.position_at_end(head);
        let c = c()?;
        self.ops.builder.build_conditional_branch(c, turn, end)?;
        self.ops.builder.position_at_end(turn);
        body()?;
        self.jump(head)?;
        self.ops.builder.position_at_end(end);
        Ok(())
    }

    /// Runs the body for `lo..hi`.
    pub fn for_(&self, lo: I<'c>, hi: I<'c>, body: impl FnOnce(I<'c>) -> Made) -> Made {
        let i = self.var(lo)?;
        self.while_(
            || self.lt(self.get(i)?, hi),
            || {
                let now = self.get(i)?;
                body(now)?;
                self.set(i, self.plus(now, 1)?)
            },
        )
    }

    /// Ends the call with a result.
    pub fn give(&self, x: I<'c>) -> Made {
        self.ops.builder.build_return(Some(&x))?;
        Ok(())
    }

    /// Ends a call that gives nothing.
    pub fn done(&self) -> Made {
        self.ops.builder.build_return(None)?;
        Ok(())
    }

    /// Calls a function that gives nothing.
    pub fn call(&self, f: FunctionValue<'c>, args: &[BasicMetadataValueEnum<'c>]) -> Made {
        self.ops.builder.build_call(f, args, "")?;
        Ok(())
    }

    /// Calls a function that gives an integer.
    pub fn call_int(&self, f: FunctionValue<'c>, args: &[BasicMetadataValueEnum<'c>]) -> Made<I<'c>> {
        let given = self.ops.builder.build_call(f, args, "")?.try_as_basic_value().basic();
        match given {
            Some(BasicValueEnum::IntValue(i)) => Ok(i),
            _ => Err(EmitError::internal("a call that gives no integer")),
        }
    }

    /// Calls a function by its address.
    pub fn call_address(&self, ty: FunctionType<'c>, f: P<'c>, args: &[BasicMetadataValueEnum<'c>]) -> Made {
        self.ops.builder.build_indirect_call(ty, f, args, "")?;
        Ok(())
    }

    /// The address of a function.
    pub fn address_of(&self, f: FunctionValue<'c>) -> P<'c> {
        f.as_global_value().as_pointer_value()
    }
}
