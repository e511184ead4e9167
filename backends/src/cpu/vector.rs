//! One vocabulary for scalars and vectors: every helper takes `T` or `<n x T>` and gives the same shape.
//!
//! The emitter and the mathematics are written once on top of it, so a scalar remainder runs exactly the
//! operations of the lanes and gives the same bits.

use inkwell::builder::Builder;
use inkwell::context::Context;
use inkwell::intrinsics::Intrinsic;
use inkwell::module::{Linkage, Module};
use inkwell::types::{BasicMetadataTypeEnum, BasicType, BasicTypeEnum, VectorType};
use inkwell::values::{
    BasicMetadataValueEnum, BasicValue, BasicValueEnum, FunctionValue, InstructionOpcode, IntValue,
    PointerValue,
};
use inkwell::{AddressSpace, FloatPredicate, IntPredicate};
use latentc_ir::dtype::DType;

use super::EmitError;
use super::isa::Isa;

/// A scalar or a vector.
pub(crate) type V<'c> = BasicValueEnum<'c>;
/// What every helper returns.
pub(crate) type R<'c> = Result<V<'c>, EmitError>;

/// The writer of instructions into one module.
pub(crate) struct Ops<'c> {
    pub ctx: &'c Context,
    pub module: Module<'c>,
    pub builder: Builder<'c>,
    /// Whether a fused multiply-add is one instruction.
    pub fma: bool,
    /// Whether conversions of binary16 are instructions.
    pub f16: bool,
}

/// The number of lanes; 1 for a scalar.
pub(crate) fn lanes(v: V) -> u32 {
    match v {
        V::VectorValue(v) => v.get_type().get_size(),
        _ => 1,
    }
}

fn element(ty: BasicTypeEnum) -> BasicTypeEnum {
    match ty {
        BasicTypeEnum::VectorType(t) => t.get_element_type(),
        t => t,
    }
}

/// The type of `n` lanes of a scalar type.
pub(crate) fn widen(ty: BasicTypeEnum, n: u32) -> BasicTypeEnum {
    if n == 1 {
        return ty;
    }
    match ty {
        BasicTypeEnum::IntType(t) => t.vec_type(n).into(),
        BasicTypeEnum::FloatType(t) => t.vec_type(n).into(),
        BasicTypeEnum::PointerType(t) => t.vec_type(n).into(),
        t => t,
    }
}

impl<'c> Ops<'c> {
    pub fn new(ctx: &'c Context, module: Module<'c>, isa: &Isa) -> Self {
        Ops { ctx, module, builder: ctx.create_builder(), fma: isa.fma, f16: isa.f16_convert }
    }

    /// The type of values of an element type in registers: floats of 16 and 8 bits are held as binary32, bool as i1.
    pub fn reg(&self, d: DType, n: u32) -> BasicTypeEnum<'c> {
        let c = self.ctx;
        let scalar = match d {
            DType::F64 => c.f64_type().into(),
            DType::F32 | DType::Bf16 | DType::F16 => c.f32_type().into(),
            DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => c.f32_type().into(),
            DType::I64 | DType::U64 => c.i64_type().into(),
            DType::I32 | DType::U32 => c.i32_type().into(),
            DType::I16 | DType::U16 => c.i16_type().into(),
            DType::I8 | DType::U8 => c.i8_type().into(),
            DType::Bool => c.bool_type().into(),
        };
        widen(scalar, n)
    }

    /// The type of values of an element type in memory.
    pub fn mem(&self, d: DType, n: u32) -> BasicTypeEnum<'c> {
        match d {
            DType::Bf16 | DType::F16 => widen(self.ctx.i16_type().into(), n),
            DType::Bool => widen(self.ctx.i8_type().into(), n),
            d if d.f8().is_some() => widen(self.ctx.i8_type().into(), n),
            d => self.reg(d, n),
        }
    }

    pub fn i64(&self, x: i64) -> IntValue<'c> {
        self.ctx.i64_type().const_int(x as u64, true)
    }

    /// A float constant of this type, in every lane.
    pub fn fconst(&self, ty: BasicTypeEnum<'c>, x: f64) -> V<'c> {
        match ty {
            BasicTypeEnum::FloatType(t) => t.const_float(x).into(),
            BasicTypeEnum::VectorType(t) => match t.get_element_type() {
                BasicTypeEnum::FloatType(e) => {
                    VectorType::const_vector(&vec![e.const_float(x); t.get_size() as usize]).into()
                }
                _ => t.const_zero().into(),
            },
            t => t.const_zero(),
        }
    }

    /// An integer constant of this type, in every lane.
    pub fn iconst(&self, ty: BasicTypeEnum<'c>, x: i64) -> V<'c> {
        match ty {
            BasicTypeEnum::IntType(t) => t.const_int(x as u64, true).into(),
            BasicTypeEnum::VectorType(t) => match t.get_element_type() {
                BasicTypeEnum::IntType(e) => {
                    VectorType::const_vector(&vec![e.const_int(x as u64, true); t.get_size() as usize]).into()
                }
                _ => t.const_zero().into(),
            },
            t => t.const_zero(),
        }
    }

    /// A float constant shaped like `v`.
    pub fn f(&self, v: V<'c>, x: f64) -> V<'c> {
        self.fconst(v.get_type(), x)
    }

    /// An integer constant shaped like `v`.
    pub fn i(&self, v: V<'c>, x: i64) -> V<'c> {
        self.iconst(v.get_type(), x)
    }

    pub fn bin(&self, op: InstructionOpcode, a: V<'c>, b: V<'c>) -> R<'c> {
        Ok(self.builder.build_binop(op, a, b, "")?)
    }

    pub fn cast(&self, op: InstructionOpcode, v: V<'c>, ty: BasicTypeEnum<'c>) -> R<'c> {
        let ty = widen(element(ty), lanes(v));
        if ty == v.get_type() { Ok(v) } else { Ok(self.builder.build_cast(op, v, ty, "")?) }
    }

    /// The same bits as this scalar type, lane for lane.
    pub fn bits(&self, v: V<'c>, ty: BasicTypeEnum<'c>) -> R<'c> {
        self.cast(InstructionOpcode::BitCast, v, ty)
    }

    pub fn neg(&self, v: V<'c>) -> R<'c> {
        Ok(match v {
            V::FloatValue(x) => self.builder.build_float_neg(x, "")?.into(),
            V::VectorValue(x) if element(v.get_type()).is_float_type() => {
                self.builder.build_float_neg(x, "")?.into()
            }
            v => self.bin(InstructionOpcode::Sub, self.i(v, 0), v)?,
        })
    }

    pub fn icmp(&self, p: IntPredicate, a: V<'c>, b: V<'c>) -> R<'c> {
        match (a, b) {
            (V::IntValue(a), V::IntValue(b)) => Ok(self.builder.build_int_compare(p, a, b, "")?.into()),
            (V::VectorValue(a), V::VectorValue(b)) => Ok(self.builder.build_int_compare(p, a, b, "")?.into()),
            _ => Err(EmitError::internal("integer comparison of unlike shapes")),
        }
    }

    pub fn fcmp(&self, p: FloatPredicate, a: V<'c>, b: V<'c>) -> R<'c> {
        match (a, b) {
            (V::FloatValue(a), V::FloatValue(b)) => Ok(self.builder.build_float_compare(p, a, b, "")?.into()),
            (V::VectorValue(a), V::VectorValue(b)) => {
                Ok(self.builder.build_float_compare(p, a, b, "")?.into())
            }
            _ => Err(EmitError::internal("float comparison of unlike shapes")),
        }
    }

    pub fn select(&self, c: V<'c>, a: V<'c>, b: V<'c>) -> R<'c> {
        match c {
            V::IntValue(c) => Ok(self.builder.build_select(c, a, b, "")?),
            V::VectorValue(c) => Ok(self.builder.build_select(c, a, b, "")?),
            _ => Err(EmitError::internal("a condition that is no truth value")),
        }
    }

    /// Calls an intrinsic with the overload types given.
    pub fn call(
        &self,
        name: &'static str,
        types: &[BasicTypeEnum<'c>],
        args: &[V<'c>],
    ) -> Result<Option<V<'c>>, EmitError> {
        let f = Intrinsic::find(name)
            .and_then(|i| i.get_declaration(&self.module, types))
            .ok_or_else(|| EmitError::internal(format!("no intrinsic {name}")))?;
        let args: Vec<BasicMetadataValueEnum> = args.iter().map(|a| (*a).into()).collect();
        Ok(self.builder.build_call(f, &args, "")?.try_as_basic_value().basic())
    }

    /// Calls an intrinsic over one type that gives a value.
    pub fn intrinsic(&self, name: &'static str, args: &[V<'c>]) -> R<'c> {
        let ty = args[0].get_type();
        self.call(name, &[ty], args)?.ok_or_else(|| EmitError::internal(format!("{name} gives nothing")))
    }

    /// `a * b + c` the fast way of the machine: fused where that is one instruction.
    pub fn mad(&self, a: V<'c>, b: V<'c>, c: V<'c>) -> R<'c> {
        match self.fma {
            true => self.intrinsic("llvm.fma", &[a, b, c]),
            false => self.add(self.mul(a, b)?, c),
        }
    }

    /// The polynomial with these coefficients, highest power first.
    pub fn poly(&self, x: V<'c>, coefficients: &[f64]) -> R<'c> {
        let mut r = self.f(x, coefficients[0]);
        for c in &coefficients[1..] {
            r = self.mad(r, x, self.f(x, *c))?;
        }
        Ok(r)
    }

    /// The lesser of `x` and a constant; NaN passes (one `minps` on x86).
    pub fn at_most(&self, x: V<'c>, bound: f64) -> R<'c> {
        let b = self.f(x, bound);
        self.select(self.fcmp(FloatPredicate::OLT, b, x)?, b, x)
    }

    /// The greater of `x` and a constant; NaN passes.
    pub fn at_least(&self, x: V<'c>, bound: f64) -> R<'c> {
        let b = self.f(x, bound);
        self.select(self.fcmp(FloatPredicate::OGT, b, x)?, b, x)
    }

    /// A scalar in every lane; a vector of `n` lanes as it is.
    pub fn splat(&self, v: V<'c>, n: u32) -> R<'c> {
        if n == 1 || lanes(v) == n {
            return Ok(v);
        }
        let BasicTypeEnum::VectorType(ty) = widen(v.get_type(), n) else {
            return Err(EmitError::internal("a value that has no vector type"));
        };
        let zero = self.ctx.i32_type().const_zero();
        let one = self.builder.build_insert_element(ty.get_poison(), v, zero, "")?;
        let mask = VectorType::const_vector(&vec![zero; n as usize]);
        Ok(self.builder.build_shuffle_vector(one, ty.get_poison(), mask, "")?.into())
    }

    /// The lanes `from..from + count` as a vector, or a scalar where that is one lane.
    pub fn slice(&self, v: V<'c>, from: u32, count: u32) -> R<'c> {
        let V::VectorValue(x) = v else { return Ok(v) };
        let i32 = self.ctx.i32_type();
        if count == 1 {
            return Ok(self.builder.build_extract_element(x, i32.const_int(u64::from(from), false), "")?);
        }
        let mask: Vec<IntValue> = (from..from + count).map(|i| i32.const_int(u64::from(i), false)).collect();
        let poison = x.get_type().get_poison();
        Ok(self.builder.build_shuffle_vector(x, poison, VectorType::const_vector(&mask), "")?.into())
    }

    /// Applies a scalar function to every lane.
    pub fn each_lane(&self, args: &[V<'c>], mut f: impl FnMut(&[V<'c>]) -> R<'c>) -> R<'c> {
        let n = lanes(args[0]);
        if n == 1 {
            return f(args);
        }
        let mut out: Option<inkwell::values::VectorValue<'c>> = None;
        for l in 0..n {
            let parts = args.iter().map(|a| self.slice(*a, l, 1)).collect::<Result<Vec<_>, _>>()?;
            let r = f(&parts)?;
            let BasicTypeEnum::VectorType(ty) = widen(r.get_type(), n) else {
                return Err(EmitError::internal("a lane that has no vector type"));
            };
            let at = self.ctx.i32_type().const_int(u64::from(l), false);
            out =
                Some(self.builder.build_insert_element(out.unwrap_or_else(|| ty.get_poison()), r, at, "")?);
        }
        out.map(Into::into).ok_or_else(|| EmitError::internal("a vector without lanes"))
    }

    /// `0, 1, .. n-1` as i64 lanes.
    pub fn iota(&self, n: u32) -> V<'c> {
        let v: Vec<IntValue> = (0..i64::from(n)).map(|i| self.i64(i)).collect();
        VectorType::const_vector(&v).into()
    }

    /// Calls a scalar function of the C library on every lane.
    pub fn libm(&self, name: &str, args: &[V<'c>]) -> R<'c> {
        let scalar = element(args[0].get_type());
        let f = self.module.get_function(name).unwrap_or_else(|| {
            let params: Vec<BasicMetadataTypeEnum> = args.iter().map(|_| scalar.into()).collect();
            self.module.add_function(name, scalar.fn_type(&params, false), Some(Linkage::External))
        });
        self.each_lane(args, |a| self.call_function(f, a))
    }

    /// Calls a function of the module that gives a value.
    pub fn call_function(&self, f: FunctionValue<'c>, args: &[V<'c>]) -> R<'c> {
        let args: Vec<BasicMetadataValueEnum> = args.iter().map(|a| (*a).into()).collect();
        self.builder
            .build_call(f, &args, "")?
            .try_as_basic_value()
            .basic()
            .ok_or_else(|| EmitError::internal("a call that gives nothing"))
    }

    /// The address of an element. The element type is that of memory.
    pub fn element_ptr(
        &self,
        ty: BasicTypeEnum<'c>,
        base: PointerValue<'c>,
        index: IntValue<'c>,
    ) -> Result<PointerValue<'c>, EmitError> {
        // SAFETY: the nest's contract is that indices are in bounds of their buffer; the address of a
        // prefetch, which need not be, is made without `inbounds` and never read through.
        unsafe { Ok(self.builder.build_gep(ty, base, &[index], "")?) }
    }

    /// Loads with the alignment of one element.
    pub fn load(&self, ty: BasicTypeEnum<'c>, ptr: PointerValue<'c>, align: u32) -> R<'c> {
        let v = self.builder.build_load(ty, ptr, "")?;
        if let Some(i) = v.as_instruction_value() {
            i.set_alignment(align).map_err(|e| EmitError::internal(e.to_string()))?;
        }
        Ok(v)
    }

    /// Stores with the alignment of one element.
    pub fn store(&self, v: V<'c>, ptr: PointerValue<'c>, align: u32) -> Result<(), EmitError> {
        let i = self.builder.build_store(ptr, v)?;
        i.set_alignment(align).map_err(|e| EmitError::internal(e.to_string()))?;
        Ok(())
    }

    pub fn ptr_type(&self) -> inkwell::types::PointerType<'c> {
        self.ctx.ptr_type(AddressSpace::default())
    }
}

macro_rules! binary {
    ($($name:ident = $op:ident;)+) => {
        impl<'c> Ops<'c> {$(
            pub fn $name(&self, a: V<'c>, b: V<'c>) -> R<'c> { self.bin(InstructionOpcode::$op, a, b) }
        )+}
    };
}

binary! {
    add = FAdd; sub = FSub; mul = FMul; div = FDiv;
    iadd = Add; isub = Sub; imul = Mul; and = And; or = Or; xor = Xor;
    shl = Shl; lshr = LShr; ashr = AShr;
}
