//! `while`: a body as long as a test of what is carried holds, with a greatest number of steps.

use super::control::{Given, call, carried, refused, run, stand_in};
use super::*;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::Body;
use crate::ops::cond::Cond;
use crate::ops::scan::Scan;
use crate::scalar::ScalarOp;

/// `(carries.., others..) -> carries..`.
///
/// `test` and `body` take the carries and the others, which are the same in every step. Before each step `test` gives
/// one truth value; where it holds, and fewer than `limit` steps have been done, `body` gives the next carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct While {
    /// The greatest number of steps.
    pub limit: Dim,
    /// How many operands are carried.
    pub carries: usize,
    /// Whether to go on.
    pub test: Body,
    /// A step.
    pub body: Body,
}

impl OpDef for While {
    fn name(&self) -> &'static str {
        "while"
    }

    fn attrs(&self) -> Attrs {
        vec![
            ("limit", Attr::Dims(vec![self.limit.clone()])),
            ("carries", Attr::Int(self.carries as i64)),
            ("test", Attr::Body(self.test.clone())),
            ("body", Attr::Body(self.body.clone())),
        ]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        if operands.len() < self.carries {
            let found = operands.len();
            return Err(format!("`while` carries {} values, {found} operands found", self.carries));
        }
        if self.limit.lower() < 0 {
            return Err(format!("`while` has at most {} steps, which may be fewer than none", self.limit));
        }
        let given = |i: usize, ty: &Type| {
            let what = if i < self.carries { format!("carry {i}") } else { format!("operand {i}") };
            Given { what, ty: ty.clone() }
        };
        let given: Vec<Given> = operands.iter().enumerate().map(|(i, ty)| given(i, ty)).collect();
        let going = call("while", "its test", &self.test, &given)?;
        if going != [Type::scalar(DType::Bool)] {
            return Err(format!("the test of `while` gives one bool[], {} found", list(&going)));
        }
        let results = call("while", "its body", &self.body, &given)?;
        carried("while", &operands[..self.carries], &results)?;
        if results.len() != self.carries {
            let (given, carried) = (results.len(), self.carries);
            return Err(format!("the body of `while` gives {given} values for {carried} that are carried"));
        }
        Ok(results.into_iter().collect())
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
        let mut carries: Vec<Value> = operands[..self.carries].iter().map(|v| (*v).clone()).collect();
        let others = &operands[self.carries..];
        for _ in 0..values::size(&self.limit, dims)? {
            let args: Vec<Value> = carries.iter().chain(others.iter().copied()).cloned().collect();
            let going = run("while", &self.test, args.clone(), dims, watch)?;
            if !matches!(going.first(), Some(Value::Tensor(g)) if g.get(0).as_i64() != 0) {
                break;
            }
            carries = run("while", &self.body, args, dims, watch)?;
        }
        Ok(carries)
    }

    fn bodies(&self) -> Vec<&Body> {
        vec![&self.test, &self.body]
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        // The steps that were done are not known before the run: that of a scan over all of them, in which the body
        // runs as long as the test has held.
        let results = self.as_scan(cx.graph, cx.operands);
        stand_in(cx, &results);
        let outer: Vec<(Operand, Operand)> =
            results.iter().enumerate().filter_map(|(i, o)| Some((*o, cx.gradient(i)?))).collect();
        crate::grad::pull_back(cx.graph, &outer, cx.operands).map_err(refused)
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        let step = &self.test.flops() + &self.body.flops();
        Cost { flops: &self.limit * &step, bytes: traffic(operands, results) }
    }
}

impl While {
    /// The same values by a scan of `limit` steps that carries, too, whether the test has held so far.
    fn as_scan(&self, graph: &mut Graph, operands: &[Operand]) -> Vec<Operand> {
        let mut body = Graph::new("");
        body.at = graph.at.clone();
        let bool_ = Type::scalar(DType::Bool);
        let held = body.arg("held", bool_);
        let params: Vec<Operand> =
            operands.iter().map(|o| body.arg("x", graph.type_of(*o).clone())).collect();
        let test = body.write(&self.test, &params);
        let going = body.map(ScalarOp::And, &[held, test[0]]);
        // What is left when the test no longer holds: the carries as they are.
        let mut stay = Graph::new("");
        let same: Vec<Operand> = params.iter().map(|o| stay.arg("x", body.type_of(*o).clone())).collect();
        stay.outputs = (0..self.carries).map(|i| (format!("r{i}"), same[i])).collect();
        let step = Cond { then: self.body.clone(), otherwise: Body::new(stay) };
        let args: Vec<Operand> = std::iter::once(going).chain(params).collect();
        let next = body.emit_all(step, &args);
        body.outputs =
            std::iter::once(going).chain(next).enumerate().map(|(i, o)| (format!("r{i}"), o)).collect();
        body.at = None;
        let scan = Scan {
            trips: self.limit.clone(),
            carries: 1 + self.carries,
            slices: 0,
            reverse: false,
            checkpoint: 0,
            body: Body::new(body),
        };
        let yes = graph.fill(Literal::int(DType::Bool, 1), []);
        let args: Vec<Operand> = std::iter::once(yes).chain(operands.iter().copied()).collect();
        graph.emit_all(scan, &args).split_off(1)
    }
}
