//! Mixed precision: products in a narrow float type, everything else as it is.
//!
//! Operands of products and convolutions are rounded to 16 bits, their sums are taken in f32 and rounded once, and what
//! reads the result reads f32. Parameters stay f32: the copy that is rounded is made anew in every run. Done before
//! derivatives are written, it holds for them, too: the derivative of a cast is a cast. (Micikevicius and others 2018,
//! Mixed precision training.)

use crate::dtype::DType;
use crate::graph::{Graph, Operand};
use crate::ops::Op;

/// Puts products of f32 into `narrow`, bf16 or f16. Gives how many there were.
pub fn mixed(graph: &mut Graph, narrow: DType) -> usize {
    let mut count = 0;
    for n in graph.topological() {
        let node = graph.node(n).clone();
        let product = matches!(node.op, Op::Matmul(_) | Op::Conv(_) | Op::ConvTranspose(_));
        if !product || graph.dtype_of(n.into()) != DType::F32 {
            continue;
        }
        let before = graph.at.replace(node.span);
        let operands: Vec<Operand> = node.operands.iter().map(|o| graph.cast(*o, narrow)).collect();
        let product = graph.emit(node.op, &operands);
        let wide = graph.cast(product, DType::F32);
        graph.at = before;
        graph.replace(n.into(), wide);
        count += 1;
    }
    graph.remove_dead();
    count
}
