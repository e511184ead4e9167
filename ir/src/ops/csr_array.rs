//! `csr_array`: an array of a sparse pattern as a tensor.

use super::*;
use crate::array::Array;
use crate::dtype::DType;
use crate::plan::CsrPart;

/// `csr [rows, cols; nnz] -> i32`: its row pointers `[rows + 1]`, its columns `[nnz]`, or those of its transpose, or
/// the position in the original of each entry of the transpose. Costs nothing: whoever reads it reads the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CsrArrayOf {
    /// Which array.
    pub part: CsrPart,
}

impl OpDef for CsrArrayOf {
    fn name(&self) -> &'static str {
        "csr_array"
    }

    fn attrs(&self) -> Attrs {
        vec![("part", Attr::Word(self.part.name().to_owned()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let [Type::Csr(c)] = operands else {
            return Err(format!("`csr_array` takes one CSR pattern, {} found", list(operands)));
        };
        Ok(one(Type::tensor(DType::I32, [self.part.len(c)])))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let csr = values::csr(operands, 0)?;
        let twin = match &csr.twin {
            Some(twin) => twin.clone(),
            None => Box::new(csr.transposed()),
        };
        let list = match self.part {
            CsrPart::Indptr => &csr.indptr,
            CsrPart::Indices => &csr.indices,
            CsrPart::TwinIndptr => &twin.indptr,
            CsrPart::TwinIndices => &twin.indices,
            CsrPart::TwinEdges => &twin.edges,
        };
        Ok(vec![Value::Tensor(Array::from_slice(&[list.len()], list))])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![None])
    }

    fn class(&self) -> Class {
        Class::Injective
    }

    fn cost(&self, _: &[Type], results: &[Type]) -> Cost {
        Cost { flops: zero_flops(), bytes: traffic(&[], results) }
    }
}
