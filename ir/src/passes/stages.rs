//! What the passes made, as text for people. The same graph gives the same text on every machine.

use super::{Options, PASSES, lower, regions};
use crate::diag::Diag;
use crate::fuse::{Fusion, Kind, Refusal, Region, owners};
use crate::graph::text::Names;
use crate::graph::{Graph, NodeId, Operand};
use crate::lower::is_free;
use crate::types::shape_text;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::Write as _;

/// A stage of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The pass that ends with it, or what it is: `graph`, the names of [`PASSES`], `regions`, `nests`, `plan`.
    pub name: &'static str,
    /// Its text; of a pass that changed nothing, `as before`.
    pub text: String,
}

/// Everything between a graph and its program, in order: the graph as it is and after every pass, the regions,
/// the kernels, and the plan.
///
/// # Errors
/// Those of [`lower`].
pub fn stages(graph: &Graph, options: &Options) -> Result<Vec<Stage>, Diag> {
    let mut text = graph.to_string();
    let mut all = vec![Stage { name: "graph", text: text.clone() }];
    let mut optimised = graph.clone();
    for pass in PASSES.iter().filter(|p| (options.rewrite && !options.checked) || !p.optional) {
        pass.run(&mut optimised, options.numerics)?;
        let before = std::mem::replace(&mut text, optimised.to_string());
        let shown = if text == before { "as before\n".to_owned() } else { text.clone() };
        all.push(Stage { name: pass.name, text: shown });
    }
    let fusion = regions(&optimised, options);
    all.push(Stage { name: "regions", text: regions_text(&optimised, &fusion) });
    let program = lower(graph, options)?;
    let nests: Vec<String> = program.kernels.iter().map(ToString::to_string).collect();
    all.push(Stage { name: "nests", text: nests.join("\n") });
    all.push(Stage { name: "plan", text: program.to_string() });
    Ok(all)
}

/// Regions as text: how each loops, its nodes, and what it stores. Values have the numbers that they have in
/// the graph's own text. At the end stands what kept apart regions of which one reads what the other stores.
pub fn regions_text(graph: &Graph, fusion: &Fusion) -> String {
    let names = Names::new(graph);
    let op_text = |n: NodeId| format!("{} {}", names.of(n.into()), graph.node(n).op.def().name());
    let mut text = String::new();
    for (i, Region { kind, nodes, outputs }) in fusion.regions.iter().enumerate() {
        let kind = match kind {
            Kind::Scalars => "scalars".to_owned(),
            Kind::Rows(rows) => format!("rows {}", shape_text(rows)),
            Kind::Single => "single".to_owned(),
        };
        let nodes: Vec<String> = nodes.iter().map(|n| op_text(*n)).collect();
        let stores: Vec<String> =
            outputs.iter().map(|o| format!("{}: {}", names.of(*o), graph.type_of(*o))).collect();
        let _ = writeln!(text, "region {i}: {kind}");
        // Long regions in lines that can be read.
        for line in nodes.chunks(6) {
            let _ = writeln!(text, "  {}", line.join(", "));
        }
        let _ = writeln!(text, "  stores {}", stores.join(", "));
    }
    for (i, (reader, writer, why)) in apart(graph, fusion).into_iter().enumerate() {
        if i == 0 {
            text.push_str("apart\n");
        }
        let (n, at) = reader;
        let _ = writeln!(text, "  {} of region {at} from region {writer}: {why}", op_text(n));
    }
    text
}

/// A node and its region.
type Member = (NodeId, usize);

/// The refusals that cost something: the node reads what the other region stores. One for each reason that
/// two regions have.
fn apart(graph: &Graph, fusion: &Fusion) -> Vec<(Member, usize, Refusal)> {
    let of = owners(&fusion.regions);
    let mut all: Vec<(Member, usize, Refusal)> = vec![];
    for (n, m, why) in &fusion.refusals {
        let (Some(&reader), Some(&writer)) = (of.get(n), of.get(m)) else { continue };
        let costs = reader != writer && reads(graph, *n, &fusion.regions[writer].outputs, &of);
        let said = all.iter().any(|((_, r), w, y)| *r == reader && *w == writer && y == why);
        if costs && !said {
            all.push(((*n, reader), writer, *why));
        }
    }
    all
}

/// Whether a node reads one of these values, itself or through free ops of no region.
fn reads(graph: &Graph, n: NodeId, values: &[Operand], of: &FxHashMap<NodeId, usize>) -> bool {
    let mut stack: Vec<Operand> = graph.node(n).operands.to_vec();
    let mut seen = FxHashSet::default();
    while let Some(o) = stack.pop() {
        if values.contains(&o) {
            return true;
        }
        if seen.insert(o) && is_free(&graph.node(o.node).op) && !of.contains_key(&o.node) {
            stack.extend(graph.node(o.node).operands.iter().copied());
        }
    }
    false
}
