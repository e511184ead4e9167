//! Filetests: graphs in text with what the compiler makes of them.
//!
//! A file holds cases, with a line `---` between them. A case is a header, a graph, and one section for each
//! `run` line of the header, in its words:
//!
//! ```text
//! # What this is about.
//! # run: clean print
//! graph t {
//!   data x: f32[4]
//!   %0 = neg(x)
//!   output y = x
//! }
//! === clean print
//! graph t {
//! ..
//! ```
//!
//! A line `run: agree seed=3 n=5` runs the graph every way there is, on values drawn as its words say
//! ([`Given`]); `latentc check` writes such files.
//!
//! Header lines start with `#` or `;`. A `run` line names passes over the graph and, last, a stage that is
//! shown; [`ROWS`] lists both. Each starts from the graph as it is written. Whatever fails, reading the graph
//! included, is shown in place of the stage. With `LATENTC_BLESS=1` in the environment the files are
//! rewritten with what was found.

use latentc_backends::testing::{self, Ask};
use latentc_ir::diag::Diag;
use latentc_ir::graph::Graph;
use latentc_ir::graph::parse::parse;
use latentc_ir::graph::verify::verify;
use latentc_ir::lower::Target;
use latentc_ir::ops::Op;
use latentc_ir::passes::{self, Numerics, Options, PASSES};
use latentc_ir::plan::Program;
use latentc_ir::testing::Given;
use latentc_ir::{explain, grad, nest, rewrite};
use latentc_kernels::Kernels;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The variable that makes a run rewrite the expectations.
pub const BLESS: &str = "LATENTC_BLESS";

/// What a word of a `run` line does.
pub enum Action {
    /// Changes the graph.
    Change(fn(&mut Graph) -> Result<(), String>),
    /// Shows a stage; the last word of a line.
    Show(fn(&Graph) -> Result<String, String>),
}

/// A word of a `run` line.
pub struct Row {
    /// The word.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
}

/// The words of `run` lines, besides the passes of [`PASSES`], which go by their names.
pub const ROWS: &[Row] = &[
    Row { name: "forward", action: Action::Change(|g| rewrite::forward(g, Numerics::Fast).map_err(said)) },
    Row { name: "grad", action: Action::Change(gradients) },
    Row { name: "dense", action: Action::Change(dense) },
    Row { name: "optimise", action: Action::Change(optimise) },
    Row { name: "print", action: Action::Show(|g| Ok(g.to_string())) },
    Row { name: "verify", action: Action::Show(|_| Ok("well-formed\n".to_owned())) },
    Row { name: "rules", action: Action::Show(rules) },
    Row { name: "regions", action: Action::Show(regions) },
    Row { name: "nests", action: Action::Show(nests) },
    Row { name: "plan", action: Action::Show(|g| Ok(program(g)?.to_string())) },
    Row { name: "stages", action: Action::Show(stages) },
    Row { name: "schedules", action: Action::Show(schedules) },
    Row { name: "explain", action: Action::Show(explained) },
];

fn said(diag: Diag) -> String {
    format!("error: {diag}\n")
}

/// Adds the gradients of output `loss`, or of the first one, by every parameter as outputs `d name`.
fn gradients(graph: &mut Graph) -> Result<(), String> {
    let loss = graph.outputs.iter().find(|(n, _)| n == "loss").or(graph.outputs.first()).map(|(_, o)| *o);
    let loss = loss.ok_or("error: there is no output to take the gradients of\n")?;
    let params: Vec<(String, _)> = graph
        .inputs()
        .iter()
        .filter_map(|n| match &graph.node(*n).op {
            Op::Input(i) if i.kind == latentc_ir::graph::InputKind::Param => {
                Some((i.name.clone(), (*n).into()))
            }
            _ => None,
        })
        .collect();
    let wrt: Vec<_> = params.iter().map(|p| p.1).collect();
    let found = grad::gradients(graph, loss, &wrt).map_err(said)?;
    for ((name, _), gradient) in params.iter().zip(found) {
        if let Some(o) = gradient {
            graph.outputs.push((format!("d {name}"), o));
        }
    }
    Ok(())
}

/// Makes outputs that are row-sparse dense.
fn dense(graph: &mut Graph) -> Result<(), String> {
    for i in 0..graph.outputs.len() {
        graph.outputs[i].1 = graph.densify(graph.outputs[i].1);
    }
    Ok(())
}

/// Applies every rewrite rule to a fixpoint: how often each was applied, and what came out.
fn rules(graph: &Graph) -> Result<String, String> {
    let mut graph = graph.clone();
    let all: Vec<&rewrite::Rule> = rewrite::all().collect();
    let counts = rewrite::run(&mut graph, &all);
    let wrong: String = verify(&graph).err().unwrap_or_default().into_iter().map(said).collect();
    let counts: String = counts.iter().map(|(name, n)| format!("{name}: {n}\n")).collect();
    if wrong.is_empty() { Ok(format!("{counts}{graph}")) } else { Err(wrong) }
}

fn optimise(graph: &mut Graph) -> Result<(), String> {
    *graph = passes::optimise(graph, &Options::new(&Target::default())).map_err(said)?;
    Ok(())
}

fn regions(graph: &Graph) -> Result<String, String> {
    Ok(passes::regions_text(graph, &passes::regions(graph, &Options::new(&Target::default()))))
}

/// The program of a graph. Every kernel of it keeps the rules and comes back from its text.
fn program(graph: &Graph) -> Result<Program, String> {
    let program = passes::lower(graph, &Options::new(&Target::default())).map_err(said)?;
    let mut wrong = String::new();
    for kernel in &program.kernels {
        for e in nest::verify::verify(kernel).err().unwrap_or_default() {
            let _ = writeln!(wrong, "error: {e}");
        }
        match nest::parse::parse(&kernel.name, &kernel.to_string()) {
            Ok(back) if back == *kernel => {}
            Ok(back) => {
                let _ =
                    writeln!(wrong, "error: kernel `{}` comes back from its text as\n{back}", kernel.name);
            }
            Err(e) => wrong.push_str(&said(e)),
        }
    }
    if wrong.is_empty() { Ok(program) } else { Err(wrong) }
}

fn nests(graph: &Graph) -> Result<String, String> {
    let kernels: Vec<String> = program(graph)?.kernels.iter().map(ToString::to_string).collect();
    Ok(kernels.join("\n"))
}

fn stages(graph: &Graph) -> Result<String, String> {
    let all = passes::stages(graph, &Options::new(&Target::default())).map_err(said)?;
    Ok(all.iter().map(|s| format!("-- {}\n{}", s.name, s.text)).collect())
}

/// What is decided for each region.
fn schedules(graph: &Graph) -> Result<String, String> {
    let target = Target::default();
    let options = Options { library: &Kernels, ..Options::new(&target) };
    let optimised = passes::optimise(graph, &options).map_err(said)?;
    let lowered = passes::finish(graph, optimised, &options).map_err(said)?;
    Ok(lowered.origin.schedules.iter().map(|(name, schedule)| format!("{name}: {schedule}\n")).collect())
}

/// What is said of a program, but for what other words show.
fn explained(graph: &Graph) -> Result<String, String> {
    let e = explain::explain(graph, &Options::new(&Target::default())).map_err(said)?.explanation;
    let mut text = String::new();
    let node = |n: usize| format!("{} {}", e.nodes[n].value, e.nodes[n].op);
    for l in &e.launches {
        let k = &e.kernels[l.kernel];
        let _ = writeln!(text, "launch {}: {} bytes, {} operations", k.name, l.bytes, l.operations);
        for b in l.buffers.iter().filter(|b| b.scattered > 0) {
            let _ = writeln!(text, "  {} bytes of {} here and there", b.scattered, b.name);
        }
        let _ = writeln!(text, "  {:.1} % in vectors of up to {}", 100.0 * k.vectors.share, k.vectors.lanes);
        for s in &k.vectors.rest {
            let _ = writeln!(text, "  {:.1} % not, {}", 100.0 * s.share, s.why);
        }
        let _ = writeln!(text, "  {}", k.parallel);
    }
    for r in &e.refusals {
        let values: Vec<&str> = r.values.iter().map(|v| v.name.as_str()).collect();
        let how = if r.stored { "reads" } else { "reads, as the other does," };
        let (asked, values) = (node(r.node), values.join(", "));
        let _ = writeln!(
            text,
            "apart {} of {} and {}: {}; {how} {values}: {} bytes",
            asked, r.region, r.other, r.why, r.bytes
        );
    }
    for a in &e.recomputed {
        let _ = writeln!(text, "again {} in {:?}: {}; {} bytes", node(a.node), a.regions, a.why, a.bytes);
    }
    for u in &e.updates {
        let how =
            if u.in_place { "in place".to_owned() } else { format!("copied, {} bytes: {}", u.bytes, u.why) };
        let _ = writeln!(text, "update {}: {how}", u.name);
    }
    let m = &e.memory;
    let _ = writeln!(text, "arena {} bytes, {} alive at most", m.arena, m.most_alive);
    for b in m.buffers.iter().filter(|b| b.offset.is_some()) {
        let _ = writeln!(
            text,
            "  {} at {}, {} bytes, launches {} to {}",
            b.name,
            b.offset.unwrap_or(0),
            b.bytes,
            b.from,
            b.to
        );
    }
    Ok(text)
}

/// Asks a graph every way there is, on values drawn as the words say, as `latentc check` does.
fn agree(graph: &Graph, given: &str) -> Result<String, String> {
    let given: Given = given.parse().map_err(|what| format!("error: {what}\n"))?;
    let program = given.to(graph.clone()).map_err(|e| format!("error: {e}\n"))?;
    let asked = testing::check(&program, &Ask::of(graph));
    asked.map(|()| "agrees\n".to_owned()).map_err(|failure| format!("{failure}\n"))
}

/// Runs the words of a line on a graph in text. The graph is checked as read and after every pass.
fn run(file: &str, text: &str, words: &[&str]) -> Result<String, String> {
    let mut graph = parse(file, text).map_err(said)?;
    let check = |graph: &Graph| {
        let wrong = verify(graph).err().unwrap_or_default();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.into_iter().map(said).collect::<String>()) }
    };
    check(&graph)?;
    if let ["agree", given @ ..] = words {
        return agree(&graph, &given.join(" "));
    }
    for (i, word) in words.iter().enumerate() {
        let pass = PASSES.iter().find(|p| p.name == *word);
        if let Some(pass) = pass {
            pass.run(&mut graph, &Options::new(&Target::default())).map_err(said)?;
            check(&graph)?;
            continue;
        }
        match ROWS.iter().find(|r| r.name == *word).map(|r| &r.action) {
            Some(Action::Change(change)) => {
                change(&mut graph)?;
                check(&graph)?;
            }
            Some(Action::Show(show)) if i + 1 == words.len() => return show(&graph),
            Some(Action::Show(_)) => return Err(format!("error: `{word}` shows a stage; it comes last\n")),
            None => {
                let known = PASSES.iter().map(|p| p.name).chain(ROWS.iter().map(|r| r.name));
                let known: Vec<&str> = known.collect();
                return Err(format!("error: there is no pass `{word}`; there are {}\n", known.join(", ")));
            }
        }
    }
    Err("error: the line names no stage to be shown\n".to_owned())
}

/// One case: its lines up to the first section, the words of its `run` lines, and its sections.
struct Case {
    source: String,
    runs: Vec<String>,
    /// Titles and contents.
    sections: Vec<(String, String)>,
}

fn cases(text: &str) -> Vec<Case> {
    let new = || Case { source: String::new(), runs: vec![], sections: vec![] };
    let mut all = vec![new()];
    for line in text.lines() {
        if line == "---" {
            all.push(new());
            continue;
        }
        let Some(case) = all.last_mut() else { continue };
        if let Some(title) = line.strip_prefix("===") {
            case.sections.push((title.trim().to_owned(), String::new()));
        } else if let Some((_, content)) = case.sections.last_mut() {
            content.push_str(line);
            content.push('\n');
        } else {
            if let Some(words) = line.trim_start_matches(['#', ';']).trim_start().strip_prefix("run:")
                && line.starts_with(['#', ';'])
            {
                case.runs.push(words.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            case.source.push_str(line);
            case.source.push('\n');
        }
    }
    all
}

/// The source of a case as the reader gets it: header lines that `;` starts are none of the graph's, and lines
/// before the case are empty, so that places are those of the file.
fn graph_text(case: &Case, first_line: usize) -> String {
    let mut text = "\n".repeat(first_line);
    for line in case.source.lines() {
        if !line.starts_with(';') {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// Runs a file: its text with the sections that were found.
fn found(name: &str, text: &str) -> String {
    let mut out = String::new();
    let mut first_line = 0;
    let all = cases(text);
    for (i, case) in all.iter().enumerate() {
        out.push_str(&case.source);
        let graph = graph_text(case, first_line);
        for words in &case.runs {
            let listed: Vec<&str> = words.split(' ').collect();
            let shown = match run(name, &graph, &listed) {
                Ok(shown) | Err(shown) => shown,
            };
            let _ = write!(out, "=== {words}\n{shown}");
            if !shown.ends_with('\n') {
                out.push('\n');
            }
        }
        if i + 1 < all.len() {
            out.push_str("---\n");
        }
        let sections = case.sections.iter().map(|(_, content)| 1 + content.lines().count());
        first_line += case.source.lines().count() + sections.sum::<usize>() + 1;
    }
    out
}

/// The first line that differs, with what stands around it.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).position(|(a, b)| a != b).unwrap_or(expected.len().min(found.len()));
    let part = |lines: &[&str]| {
        let end = lines.len().min(at + 4);
        lines.get(at..end).unwrap_or_default().iter().map(|l| format!("    {l}\n")).collect::<String>()
    };
    format!("line {}\n  expected\n{}  found\n{}", at + 1, part(&expected), part(&found))
}

/// Runs a file.
///
/// # Errors
/// What was found where it is not what the file expects, or where the file cannot be read or written.
pub fn run_file(root: &Path, path: &Path, bless: bool) -> Result<(), String> {
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
    let mut now = found(&name, &text);
    if now == text {
        return Ok(());
    }
    if !bless {
        return Err(format!("{name}, {}", difference(&text, &now)));
    }
    // Sections of another length move what follows, and with it the places in messages.
    let moved = found(&name, &now);
    if moved != now {
        now = found(&name, &moved);
    }
    std::fs::write(path, now).map_err(|e| format!("{name}: {e}"))
}

/// Every `.ir` file below a folder, in order.
///
/// # Errors
/// Where a folder cannot be read.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "ir") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}
