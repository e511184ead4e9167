//! `cond`: one of two bodies, chosen by a truth value as the program runs.

use super::control::{Given, call, is_real, pull, run};
use super::*;
use crate::dtype::DType;
use crate::graph::Body;

/// `(which bool [], args..) -> results..`: those of `then` on the arguments where `which` holds, else those of
/// `otherwise`. Only the chosen body runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cond {
    /// What runs where the operand holds.
    pub then: Body,
    /// What runs where it does not.
    pub otherwise: Body,
}

impl OpDef for Cond {
    fn name(&self) -> &'static str {
        "cond"
    }

    fn attrs(&self) -> Attrs {
        vec![("then", Attr::Body(self.then.clone())), ("otherwise", Attr::Body(self.otherwise.clone()))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let Some((which, args)) = operands.split_first() else {
            return Err("`cond` takes a bool, nothing found".to_owned());
        };
        if *which != Type::scalar(DType::Bool) {
            return Err(format!("`cond` chooses by bool[], {which} found"));
        }
        let given: Vec<Given> = args
            .iter()
            .enumerate()
            .map(|(i, ty)| Given { what: format!("operand {}", i + 1), ty: ty.clone() })
            .collect();
        let then = call("cond", "`then`", &self.then, &given)?;
        let otherwise = call("cond", "`otherwise`", &self.otherwise, &given)?;
        if then.len() != otherwise.len() {
            let (a, b) = (then.len(), otherwise.len());
            return Err(format!("`cond`: `then` gives {a} values, `otherwise` {b}"));
        }
        for (i, (a, b)) in then.iter().zip(&otherwise).enumerate() {
            if a != b {
                return Err(format!("`cond`: result {i} is {a} in `then` and {b} in `otherwise`"));
            }
        }
        Ok(then.into_iter().collect())
    }

    fn eval(
        &self,
        operands: &[&Value],
        types: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        self.eval_watched(operands, types, dims, &mut |_, _, _, _, _| Ok(()))
    }

    fn eval_watched(
        &self,
        operands: &[&Value],
        _: &[Type],
        dims: &dyn Fn(&str) -> Option<i64>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Value>, EvalError> {
        let which = values::tensor(operands, 0)?.get(0).as_i64() != 0;
        let body = if which { &self.then } else { &self.otherwise };
        run("cond", body, operands[1..].iter().map(|v| (*v).clone()).collect(), dims, watch)
    }

    fn bodies(&self) -> Vec<&Body> {
        vec![&self.then, &self.otherwise]
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        // A choice between the derivatives: each body does its work again, and pulls the gradients back through it.
        let params = self.then.params();
        let results = self.then.results();
        let wanted: Vec<usize> =
            (0..params.len()).filter(|i| cx.wanted[i + 1] && is_real(&params[*i])).collect();
        let given: Vec<usize> =
            (0..results.len()).filter(|i| cx.gradients[*i].is_some() && is_real(&results[*i])).collect();
        let back = |body: &Body| {
            let mut graph = Graph::new("");
            graph.at = cx.graph.at.clone();
            let own: Vec<Operand> = params.iter().map(|ty| graph.arg("x", ty.clone())).collect();
            let mut gradients = vec![None; results.len()];
            for i in &given {
                gradients[*i] = Some(graph.arg("dy", results[*i].clone()));
            }
            let targets: Vec<Operand> = wanted.iter().map(|i| own[*i]).collect();
            let found = pull(&mut graph, body, &own, &gradients, &targets)?;
            for (i, (part, x)) in found.into_iter().zip(targets).enumerate() {
                let d = match part {
                    Some(part) => part.dense(&mut graph),
                    None => graph.fill_like(x, 0.0),
                };
                graph.outputs.push((format!("r{i}"), d));
            }
            graph.at = None;
            Ok(Body::new(graph))
        };
        let (then, otherwise) = (back(&self.then)?, back(&self.otherwise)?);
        let keep: Vec<bool> = then.used().into_iter().zip(otherwise.used()).map(|(a, b)| a || b).collect();
        let mut args = cx.operands[1..].to_vec();
        for i in given {
            args.extend(cx.gradient(i));
        }
        let args = args.into_iter().zip(&keep).filter(|(_, keep)| **keep).map(|(o, _)| o);
        let args: Vec<Operand> = std::iter::once(cx.operands[0]).chain(args).collect();
        let op = Cond { then: then.keeping(&keep), otherwise: otherwise.keeping(&keep) };
        let mut gradients = vec![None; cx.operands.len()];
        if !wanted.is_empty() {
            for (i, o) in wanted.iter().zip(cx.graph.emit_all(op, &args)) {
                gradients[i + 1] = Some(o);
            }
        }
        Ok(gradients)
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost { flops: self.then.flops().max_of(&self.otherwise.flops()), bytes: traffic(operands, results) }
    }
}
