//! `input`: what a run is given, or what is kept between runs.

use super::*;
use crate::dim::Dim;
use crate::graph::InputKind;

/// A named input of the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// Its name, unique in the program.
    pub name: String,
    /// Given or kept.
    pub kind: InputKind,
    /// Its type.
    pub ty: Type,
}

impl OpDef for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("name", Attr::Text(self.name.clone())),
            ("kind", Attr::Word(self.kind.name().to_owned())),
            ("type", Attr::Type(self.ty.clone())),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if operands.is_empty() {
            Ok(Types::from_iter([self.ty.clone()]))
        } else {
            Err(format!("an input takes no operand, {} found", operands.len()))
        }
    }

    fn eval(
        &self,
        _: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        Err(format!("input `{}` was not given", self.name))
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Ok(vec![])
    }

    fn class(&self) -> Class {
        Class::Leaf
    }

    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost { flops: Dim::constant(0), bytes: Dim::constant(0) }
    }
}
