//! An explanation as one page that needs nothing besides itself: no network, no server, no library.
//!
//! The page holds the explanation as JSON, without code; the code of each kernel stands in an element of its own and
//! is read when it is looked at, so that pages of many kernels open fast. Where boxes stand is computed here.

use super::layout::{Drawing, draw};
use super::model::Explanation;
use super::units::{bytes, seconds};
use latentc_ir::explain::Node;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value, json};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Pixels of a letter of a box, and of the space around the text.
const LETTER: f64 = 6.7;
const PAD: f64 = 20.0;
/// Letters of a line of a box, at most.
const LINE: usize = 44;

impl Explanation {
    /// The page.
    pub fn html(&self) -> String {
        let mut data = serde_json::to_value(self).unwrap_or_default();
        let mut codes = String::new();
        if let Some(kernels) = data.get_mut("kernels").and_then(Value::as_array_mut) {
            for (i, k) in kernels.iter_mut().enumerate() {
                let Some(k) = k.as_object_mut() else { continue };
                let (nest, code) = (k.remove("nest"), k.remove("code"));
                let seconds = code.as_ref().and_then(|c| c.get("seconds")).cloned();
                k.insert("code_seconds".to_owned(), seconds.unwrap_or(Value::Null));
                let parts = json!({ "nest": nest, "code": code });
                codes += &format!(
                    "<script type=\"application/json\" id=\"code-{i}\">{}</script>\n",
                    embedded(&parts)
                );
            }
        }
        let (regions, boxes) = self.region_drawing();
        data["drawings"] = json!({
            "regions": { "drawing": regions, "boxes": boxes },
            "after": op_drawing(&self.about.nodes),
            "before": op_drawing(&self.about.before),
        });
        let title = escaped(&format!("{}: {}", self.about.program, self.title));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <noscript>This page draws itself with a script that is inside it.</noscript>\n\
             <div id=\"app\"></div>\n\
             <script type=\"application/json\" id=\"data\">{}</script>\n{codes}<script>\n{SCRIPT}</script>\n\
             </body>\n</html>\n",
            embedded(&data)
        )
    }

    /// Boxes of regions, and where they stand; edges are values in memory.
    fn region_drawing(&self) -> (Drawing, Vec<Value>) {
        let about = &self.about;
        let (mut boxes, mut sizes) = (vec![], vec![]);
        let (mut edges, mut drawn) = (vec![], FxHashSet::default());
        // The region that stores the value of a node.
        let maker: FxHashMap<usize, usize> = about
            .regions
            .iter()
            .enumerate()
            .flat_map(|(i, r)| r.stores.iter().map(move |v| (v.node, i)))
            .collect();
        for (i, r) in about.regions.iter().enumerate() {
            let time: f64 = r.launches.iter().filter_map(|l| self.estimates.get(*l)).map(|e| e.seconds).sum();
            let given = |v: &&latentc_ir::explain::Value| !maker.contains_key(&v.node);
            let inputs: Vec<&str> = r.reads.iter().filter(given).map(|v| v.name.as_str()).collect();
            let gives: Vec<&str> =
                r.stores.iter().flat_map(|v| &about.nodes[v.node].gives).map(String::as_str).collect();
            let mut lines = vec![format!("{i}  {}", r.name), summary(&r.nodes, &about.nodes)];
            let stored: u64 = r.stores.iter().map(|v| v.bytes).sum();
            lines.push(format!("{}  {}  {}", r.loops, seconds(time), bytes(stored)));
            if !inputs.is_empty() {
                lines.push(format!("\u{2190} {}", inputs.join(", ")));
            }
            if !gives.is_empty() {
                lines.push(format!("\u{2192} {}", gives.join(", ")));
            }
            let lines: Vec<String> = lines.into_iter().map(|l| cut(&l)).collect();
            sizes.push(size_of(&lines));
            let (w, h) = size_of(&lines);
            boxes.push(json!({ "lines": lines, "w": w, "h": h, "seconds": time }));
            for v in &r.reads {
                if let Some(&from) = maker.get(&v.node).filter(|f| **f != i)
                    && drawn.insert((from, i))
                {
                    edges.push((from, i));
                }
            }
        }
        (draw(&sizes, &edges), boxes)
    }
}

/// The ops of a region in the order of their work, each once.
fn summary(nodes: &[usize], all: &[Node]) -> String {
    let mut ops: Vec<(u64, &str, usize)> = vec![];
    for n in nodes {
        let node = &all[*n];
        match ops.iter_mut().find(|(_, op, _)| *op == node.op) {
            Some((work, _, times)) => {
                *work += node.operations;
                *times += 1;
            }
            None => ops.push((node.operations, &node.op, 1)),
        }
    }
    ops.sort_by_key(|(work, ..)| std::cmp::Reverse(*work));
    let word = |(_, op, times): &(u64, &str, usize)| match times {
        1 => (*op).to_owned(),
        n => format!("{op}\u{d7}{n}"),
    };
    ops.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A graph as boxes, one a node; inputs and constants stand in the text of whoever reads them.
fn op_drawing(nodes: &[Node]) -> Value {
    let quiet = |n: &Node| !n.live || (n.operands.is_empty() && n.gives.is_empty());
    let shown: Vec<usize> = (0..nodes.len()).filter(|n| !quiet(&nodes[*n])).collect();
    let mut at = vec![None; nodes.len()];
    shown.iter().enumerate().for_each(|(i, n)| at[*n] = Some(i));
    let (mut boxes, mut sizes, mut edges) = (vec![], vec![], vec![]);
    let mut drawn = FxHashSet::default();
    for (i, n) in shown.iter().enumerate() {
        let node = &nodes[*n];
        let operands: Vec<&str> = node
            .operands
            .iter()
            .map(|o| match nodes[*o].op.as_str() {
                "fill" => "const",
                _ => nodes[*o].value.as_str(),
            })
            .collect();
        let mut lines =
            vec![format!("{} = {}({})", node.value, node.op, operands.join(", ")), node.ty.clone()];
        if !node.gives.is_empty() {
            lines.push(format!("\u{2192} {}", node.gives.join(", ")));
        }
        let lines: Vec<String> = lines.into_iter().map(|l| cut(&l)).collect();
        let (w, h) = size_of(&lines);
        sizes.push((w, h));
        boxes.push(json!({ "lines": lines, "w": w, "h": h, "node": n, "region": node.region }));
        for from in node.operands.iter().filter_map(|o| at[*o]) {
            if from < i && drawn.insert((from, i)) {
                edges.push((from, i));
            }
        }
    }
    json!({ "drawing": draw(&sizes, &edges), "boxes": boxes })
}

fn size_of(lines: &[String]) -> (f64, f64) {
    let letters = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    ((letters as f64 * LETTER + PAD).round(), lines.len() as f64 * 15.0 + 13.0)
}

fn cut(line: &str) -> String {
    if line.chars().count() <= LINE {
        return line.to_owned();
    }
    line.chars().take(LINE - 1).chain(['\u{2026}']).collect()
}

/// JSON that may stand in an element `script`: nothing in it ends the element or begins a comment.
fn embedded(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
