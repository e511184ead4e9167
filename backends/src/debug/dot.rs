//! Regions and what flows between them, for Graphviz.

use super::model::Explanation;
use super::units::{bytes, seconds};
use std::fmt::Write as _;

impl Explanation {
    /// The regions as a Graphviz graph: `dot -Tsvg`.
    pub fn dot(&self) -> String {
        let about = &self.about;
        let mut t = String::from("digraph program {\n");
        let _ = writeln!(t, "  label={}; labelloc=t;", quoted(std::slice::from_ref(&self.title)));
        t.push_str("  node [shape=box, style=rounded, fontname=\"monospace\", fontsize=10];\n");
        t.push_str("  edge [fontname=\"monospace\", fontsize=9];\n");
        let whole = self.seconds().max(f64::MIN_POSITIVE);
        for (i, r) in about.regions.iter().enumerate() {
            let time: f64 = r.launches.iter().filter_map(|l| self.estimates.get(*l)).map(|e| e.seconds).sum();
            let ops: Vec<&str> = r.nodes.iter().map(|n| about.nodes[*n].op.as_str()).collect();
            let mut label = vec![format!("{i}  {}", r.name), r.loops.clone()];
            label.extend(ops.chunks(8).take(4).map(|c| c.join(" ")));
            label.push(format!("{} at the least", seconds(time)));
            // From white to a warm shade by the share of the time.
            let shade = 255 - (120.0 * (time / whole).sqrt()) as u32;
            let _ = writeln!(
                t,
                "  r{i} [label={}, style=\"rounded,filled\", fillcolor=\"#ff{shade:02x}{shade:02x}\"];",
                quoted(&label)
            );
        }
        let maker = |node: usize| about.regions.iter().position(|r| r.stores.iter().any(|v| v.node == node));
        let mut inputs: Vec<usize> = vec![];
        for (i, r) in about.regions.iter().enumerate() {
            for v in &r.reads {
                let label = quoted(&[v.name.clone(), bytes(v.bytes)]);
                match maker(v.node) {
                    Some(from) if from != i => {
                        let _ = writeln!(t, "  r{from} -> r{i} [label={label}];");
                    }
                    Some(_) => {}
                    None => {
                        inputs.push(v.node);
                        let _ = writeln!(t, "  n{} -> r{i} [color=gray];", v.node);
                    }
                }
            }
        }
        inputs.sort_unstable();
        inputs.dedup();
        for n in inputs {
            let node = &about.nodes[n];
            let label = quoted(&[format!("{} {}", node.op, node.value), node.ty.clone()]);
            let _ = writeln!(t, "  n{n} [label={label}, shape=ellipse, color=gray];");
        }
        for (i, r) in about.regions.iter().enumerate() {
            for v in &r.stores {
                for name in &about.nodes[v.node].gives {
                    let id = quoted(&[format!("{name} of {}", v.name)]);
                    let _ =
                        writeln!(t, "  {id} [label={}, shape=ellipse];", quoted(std::slice::from_ref(name)));
                    let _ = writeln!(t, "  r{i} -> {id};");
                }
            }
        }
        t.push_str("}\n");
        t
    }
}

/// Lines as one string of Graphviz.
fn quoted(lines: &[String]) -> String {
    let escaped: Vec<String> = lines.iter().map(|l| l.replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", escaped.join("\\n"))
}
