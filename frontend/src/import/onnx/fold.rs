//! What is known of values before a run: constants by the reference interpreter, and sizes as sizes.

use super::cx::{Cx, R};
use super::error::Fault;
use latentc_ir::array::{Array, Value};
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::graph::{NodeId, Operand};
use latentc_ir::ops::Op;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::types::Type;

/// Bytes that a value may have to be computed while a model is imported.
const LARGEST: i64 = 1 << 30;

impl Cx {
    /// The elements of a value, from initialisers and the given values of inputs.
    pub fn value(&mut self, x: Operand) -> R<Array> {
        let mut stack: Vec<(NodeId, bool)> = vec![(x.node, false)];
        while let Some((id, ready)) = stack.pop() {
            if self.folded.contains_key(&id) {
                continue;
            }
            let node = self.graph.node(id);
            if !ready && !node.operands.is_empty() {
                stack.push((id, true));
                stack.extend(node.operands.iter().map(|o| (o.node, false)));
                continue;
            }
            for ty in &node.types {
                let Type::Tensor(t) = ty else { return Err("a value of another kind than a tensor".into()) };
                let bytes =
                    t.shape.iter().try_fold(t.dtype.size() as i64, |n, d| n.checked_mul(d.as_const()?));
                match bytes {
                    None => {
                        return Err(Fault::Unsupported(
                            "a value that depends on sizes which are not known when the model is imported"
                                .to_owned(),
                        ));
                    }
                    Some(n) if n > LARGEST => {
                        return Err(format!("a value of {n} bytes would have to be known beforehand").into());
                    }
                    Some(_) => {}
                }
            }
            let results = match &node.op {
                Op::Input(input) => {
                    let name = &input.name;
                    match (self.params.get(name), self.known.get(name)) {
                        (Some(a), _) => vec![Value::Tensor(a.clone())],
                        (None, Some(a)) => {
                            let a = a.clone();
                            self.used.insert(name.clone());
                            vec![Value::Tensor(a)]
                        }
                        (None, None) => return Err(Fault::Needs(name.clone())),
                    }
                }
                op => {
                    let mut operands: Vec<&Value> = vec![];
                    for o in &node.operands {
                        match self.folded.get(&o.node).and_then(|v| v.get(usize::from(o.port))) {
                            Some(v) => operands.push(v),
                            None => unreachable!("operands are computed first"),
                        }
                    }
                    op.def().eval(&operands, &node.types, &|_| None)?
                }
            };
            self.folded.insert(id, results);
        }
        match self.folded.get(&x.node).and_then(|v| v.get(usize::from(x.port))) {
            Some(Value::Tensor(a)) => Ok(a.clone()),
            _ => Err("a value of another kind than a tensor".into()),
        }
    }

    /// A list of integers that has to be known.
    pub fn known_ints(&mut self, x: Operand) -> R<Vec<i64>> {
        let a = self.value(x)?;
        if a.dtype().is_float() {
            return Err(format!("a list of integers is expected, {} found", a.dtype()).into());
        }
        Ok((0..a.len()).map(|i| a.get(i).as_i64()).collect())
    }

    /// One integer that has to be known.
    pub fn known_int(&mut self, x: Operand) -> R<i64> {
        match self.known_ints(x)?.as_slice() {
            [one] => Ok(*one),
            all => Err(format!("one integer is expected, {} found", all.len()).into()),
        }
    }

    /// One truth value that has to be known.
    pub fn known_bool(&mut self, x: Operand) -> R<bool> {
        Ok(self.known_int(x)? != 0)
    }

    /// A list of sizes: numbers that are known, or expressions of the sizes of the run.
    pub fn known_dims(&mut self, x: Operand) -> R<Vec<Dim>> {
        match self.symbolic(x, 64) {
            Some(dims) => Ok(dims),
            None => Ok(self.known_ints(x)?.into_iter().map(Dim::constant).collect()),
        }
    }

    /// The elements of a list of integers as expressions of sizes.
    fn symbolic(&mut self, x: Operand, depth: usize) -> Option<Vec<Dim>> {
        let t = self.graph.tensor(x);
        let count = t.elements().as_const().filter(|n| *n <= 64)?;
        if t.rank() > 1 || !t.dtype.is_int() || depth == 0 {
            return None;
        }
        let node = self.graph.node(x.node).clone();
        let mut of = |i: usize| self.symbolic(node.operands[i], depth - 1);
        match &node.op {
            Op::Size(s) => Some(vec![s.dim.clone()]),
            Op::Fill(f) => Some(vec![Dim::constant(f.value.as_i64()); usize::try_from(count).ok()?]),
            Op::Reshape(_) => of(0),
            Op::Cast(c) if matches!(c.to, DType::I32 | DType::I64) => of(0),
            Op::Broadcast(_) => {
                let all = of(0)?;
                let [one] = all.as_slice() else { return None };
                Some(vec![one.clone(); usize::try_from(count).ok()?])
            }
            Op::Concat(_) => {
                let mut all = vec![];
                for i in 0..node.operands.len() {
                    all.extend(of(i)?);
                }
                Some(all)
            }
            Op::Slice(s) => {
                let all = of(0)?;
                let (start, end) = (s.start.as_const()?, s.end.as_const()?);
                let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
                Some(all.get(range)?.iter().step_by(usize::try_from(s.step).ok()?).cloned().collect())
            }
            Op::Elementwise(e) if node.operands.len() == 2 => {
                let (a, b) = (of(0)?, of(1)?);
                let f = |(a, b): (&Dim, &Dim)| match e.op {
                    ScalarOp::Add => Some(a + b),
                    ScalarOp::Sub => Some(a - b),
                    ScalarOp::Mul => Some(a * b),
                    ScalarOp::Div if a.lower() >= 0 && b.lower() > 0 => Some(a.floor_div(b)),
                    ScalarOp::Max => Some(a.max_of(b)),
                    ScalarOp::Min => Some(a.min_of(b)),
                    _ => None,
                };
                a.iter().zip(&b).map(f).collect()
            }
            Op::GatherRows(_) => {
                let ids = self.known_ints(node.operands[1]).ok()?;
                let all = self.symbolic(node.operands[0], depth - 1)?;
                ids.iter().map(|i| usize::try_from(*i).ok().and_then(|i| all.get(i)).cloned()).collect()
            }
            Op::Input(i) if self.params.contains_key(&i.name) => {
                Some(self.known_ints(x).ok()?.into_iter().map(Dim::constant).collect())
            }
            _ => None,
        }
    }
}
