//! The same computation in f64.

use crate::array::{Array, Value};
use crate::dtype::{DType, Literal};
use crate::graph::{Body, Graph, Operand};
use crate::ops::Op;
use crate::types::Type;
use rustc_hash::FxHashMap;

/// A graph that computes in f64 what a graph computes in f32: every f32 input, constant and conversion
/// becomes f64. Results have the same names. An op that takes f32 alone (`score_top_k`) gets it.
pub fn in_f64(graph: &Graph) -> Graph {
    let mut out = Graph::new(graph.name.clone());
    let mut same: FxHashMap<Operand, Operand> = FxHashMap::default();
    for node in graph.topological() {
        let n = graph.node(node);
        out.at = Some(n.span.clone());
        let mut op = n.op.clone();
        match &mut op {
            Op::Input(i) => i.ty = wide(&i.ty),
            Op::Fill(f) => f.value = wide_literal(f.value),
            Op::Iota(i) if i.dtype == DType::F32 => i.dtype = DType::F64,
            Op::Windows(w) => w.value = wide_literal(w.value),
            Op::Pad(p) => p.value = wide_literal(p.value),
            Op::Cast(c) if c.to == DType::F32 => c.to = DType::F64,
            other => {
                let bodies = other.def().bodies().into_iter().map(|b| Body::new(in_f64(b.graph())));
                if let Some(wide) = other.with_bodies(bodies.collect()) {
                    *other = wide;
                }
            }
        }
        let mut operands: Vec<Operand> = n.operands.iter().map(|o| same[o]).collect();
        let narrow = matches!(op, Op::ScoreTopK(_));
        // Bits are those of the narrow numbers.
        if let Op::Bitcast(_) = op
            && graph.dtype_of(n.operands[0]) == DType::F32
        {
            operands[0] = out.cast(operands[0], DType::F32);
        }
        if narrow {
            for o in &mut operands[..2] {
                *o = out.cast(*o, DType::F32);
            }
        }
        let results = out.emit_all(op, &operands);
        for (port, mut result) in results.into_iter().enumerate() {
            if narrow && port == 0 {
                result = out.cast(result, DType::F64);
            }
            if matches!(&n.op, Op::Bitcast(c) if c.to == DType::F32) {
                result = out.cast(result, DType::F64);
            }
            same.insert(Operand { node, port: port as u16 }, result);
        }
    }
    out.outputs = graph.outputs.iter().map(|(name, o)| (name.clone(), same[o])).collect();
    out.updates = graph.updates.iter().map(|(name, o)| (name.clone(), same[o])).collect();
    out.at = None;
    out
}

/// A value with every f32 in it as f64.
pub(super) fn wide_value(value: &Value) -> Value {
    let array = |a: &Array| {
        if a.dtype() == DType::F32 { Array::from_f64(DType::F64, a.shape(), &a.to_f64()) } else { a.clone() }
    };
    match value {
        Value::Tensor(a) => Value::Tensor(array(a)),
        Value::Csr(c) => Value::Csr(c.clone()),
        Value::RowSparse { rows, ids, values } => {
            Value::RowSparse { rows: *rows, ids: ids.clone(), values: array(values) }
        }
    }
}

fn wide_literal(value: Literal) -> Literal {
    if value.dtype() == DType::F32 { Literal::float(DType::F64, value.as_f64()) } else { value }
}

fn wide(ty: &Type) -> Type {
    let dtype = |d: DType| if d == DType::F32 { DType::F64 } else { d };
    match ty.clone() {
        Type::Tensor(mut t) => {
            t.dtype = dtype(t.dtype);
            Type::Tensor(t)
        }
        Type::RowSparse(mut r) => {
            r.dtype = dtype(r.dtype);
            Type::RowSparse(r)
        }
        csr => csr,
    }
}
