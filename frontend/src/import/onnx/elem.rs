//! Element types of the format, and the type that holds each here.

use latentc_ir::dtype::DType;

macro_rules! elems {
    ($($variant:ident = $number:literal, $name:literal, $dtype:expr;)+) => {
        /// An element type, by its name in the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the names are the documentation
        pub enum Elem { $($variant,)+ }

        impl Elem {
            /// The element type of a number in a file; `None` where the format has none.
            pub fn from_number(number: i32) -> Option<Elem> {
                match number { $($number => Some(Elem::$variant),)+ _ => None }
            }

            /// The name in the format.
            pub fn name(self) -> &'static str {
                match self { $(Elem::$variant => $name,)+ }
            }

            /// The type that holds its values; `None` where nothing does.
            ///
            /// Types below eight bits are held in the next wider one that has their values; in files they are
            /// packed.
            pub fn dtype(self) -> Option<DType> {
                match self { $(Elem::$variant => $dtype,)+ }
            }
        }
    };
}

elems! {
    Float = 1, "FLOAT", Some(DType::F32);
    Uint8 = 2, "UINT8", Some(DType::U8);
    Int8 = 3, "INT8", Some(DType::I8);
    Uint16 = 4, "UINT16", Some(DType::U16);
    Int16 = 5, "INT16", Some(DType::I16);
    Int32 = 6, "INT32", Some(DType::I32);
    Int64 = 7, "INT64", Some(DType::I64);
    String = 8, "STRING", None;
    Bool = 9, "BOOL", Some(DType::Bool);
    Float16 = 10, "FLOAT16", Some(DType::F16);
    Double = 11, "DOUBLE", Some(DType::F64);
    Uint32 = 12, "UINT32", Some(DType::U32);
    Uint64 = 13, "UINT64", Some(DType::U64);
    Complex64 = 14, "COMPLEX64", None;
    Complex128 = 15, "COMPLEX128", None;
    Bfloat16 = 16, "BFLOAT16", Some(DType::Bf16);
    Float8E4M3Fn = 17, "FLOAT8E4M3FN", Some(DType::F8E4M3Fn);
    Float8E4M3Fnuz = 18, "FLOAT8E4M3FNUZ", Some(DType::F8E4M3Fnuz);
    Float8E5M2 = 19, "FLOAT8E5M2", Some(DType::F8E5M2);
    Float8E5M2Fnuz = 20, "FLOAT8E5M2FNUZ", Some(DType::F8E5M2Fnuz);
    Uint4 = 21, "UINT4", Some(DType::U8);
    Int4 = 22, "INT4", Some(DType::I8);
    Float4E2M1 = 23, "FLOAT4E2M1", Some(DType::F32);
    Float8E8M0 = 24, "FLOAT8E8M0", Some(DType::F32);
    Uint2 = 25, "UINT2", Some(DType::U8);
    Int2 = 26, "INT2", Some(DType::I8);
}

impl Elem {
    /// The element type that a type of this compiler has in the format.
    pub fn of(dtype: DType) -> Elem {
        match dtype {
            DType::F64 => Elem::Double,
            DType::F32 => Elem::Float,
            DType::Bf16 => Elem::Bfloat16,
            DType::F16 => Elem::Float16,
            DType::I64 => Elem::Int64,
            DType::I32 => Elem::Int32,
            DType::U32 => Elem::Uint32,
            DType::I16 => Elem::Int16,
            DType::I8 => Elem::Int8,
            DType::U64 => Elem::Uint64,
            DType::U16 => Elem::Uint16,
            DType::F8E4M3Fn => Elem::Float8E4M3Fn,
            DType::F8E5M2 => Elem::Float8E5M2,
            DType::F8E4M3Fnuz => Elem::Float8E4M3Fnuz,
            DType::F8E5M2Fnuz => Elem::Float8E5M2Fnuz,
            DType::U8 => Elem::Uint8,
            DType::Bool => Elem::Bool,
        }
    }

    /// Bits of one element in a file.
    pub fn bits(self) -> usize {
        match self {
            Elem::Uint2 | Elem::Int2 => 2,
            Elem::Uint4 | Elem::Int4 | Elem::Float4E2M1 => 4,
            Elem::Bool
            | Elem::Uint8
            | Elem::Int8
            | Elem::Float8E4M3Fn
            | Elem::Float8E4M3Fnuz
            | Elem::Float8E5M2
            | Elem::Float8E5M2Fnuz
            | Elem::Float8E8M0 => 8,
            Elem::Uint16 | Elem::Int16 | Elem::Float16 | Elem::Bfloat16 => 16,
            Elem::Float | Elem::Int32 | Elem::Uint32 => 32,
            Elem::Double | Elem::Int64 | Elem::Uint64 | Elem::Complex64 => 64,
            Elem::Complex128 => 128,
            Elem::String => 0,
        }
    }

    /// Whether it is one of the types below eight bits, or of eight bits that are no number of this compiler.
    pub fn is_tagged(self) -> bool {
        self.dtype().is_some_and(|d| Elem::of(d) != self)
    }
}

impl std::fmt::Display for Elem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
