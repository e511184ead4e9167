//! A program that did not agree as a file, and such a file again.
//!
//! The file is a filetest: a graph in text below a line `# run: agree seed=3 n=5`, which says how values are drawn for
//! its inputs ([`Given`]).

use super::Found;
use latentc::testing::{Ask, Failure, Given, RandomGraph, check};
use latentc::{Errors, Graph, read_graph};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the line of a file begins with that says how it is run.
const RUN: &str = "run: agree";

/// Draws of values that are tried until one shows what was found.
const DRAWS: u32 = 64;

/// Why a file was not replayed, or what it showed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Not a graph.
    #[error(transparent)]
    Graph(#[from] Errors),
    /// No line that says how.
    #[error("{file}: no line `# {RUN} seed=1 n=5`, which says how values are drawn for the inputs")]
    NoLine {
        /// The file.
        file: String,
    },
    /// A line that cannot be followed.
    #[error("{file}: `{RUN}` {what}")]
    Line {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// It does not agree.
    #[error("{file}: {failure}")]
    Failed {
        /// The file.
        file: String,
        /// What differs.
        failure: Failure,
    },
}

/// Runs the program of a text every way there is.
///
/// # Errors
/// What is wrong with the file, or what does not agree.
pub fn replay(file: &str, text: &str) -> Result<(), ReplayError> {
    let line = text.lines().find_map(|l| l.trim_start_matches(['#', ';', ' ']).strip_prefix(RUN));
    let line = line.ok_or_else(|| ReplayError::NoLine { file: file.to_owned() })?;
    let wrong = |what: String| ReplayError::Line { file: file.to_owned(), what };
    let given: Given = line.parse().map_err(wrong)?;
    // Header lines that `;` starts are none of the graph's, and neither are sections of expectations.
    let graph: String = text
        .lines()
        .take_while(|l| !l.starts_with("==="))
        .map(|l| if l.starts_with(';') { "\n".to_owned() } else { format!("{l}\n") })
        .collect();
    let program = given.to(read_graph(file, &graph)?).map_err(|e| wrong(e.to_string()))?;
    disagrees(&program).map_or(Ok(()), |failure| Err(ReplayError::Failed { file: file.to_owned(), failure }))
}

/// What does not agree about a program; a panic is that, too.
fn disagrees(program: &RandomGraph) -> Option<Failure> {
    catch_unwind(AssertUnwindSafe(|| check(program, &Ask::of(&program.graph))))
        .unwrap_or_else(|_| Err(Failure("a panic".to_owned())))
        .err()
}

/// The file for a program that was found, and whether its line draws values that show the failure: else the values stand
/// in it for people.
pub fn text_of(found: &Found, seed: u64) -> (String, bool) {
    let line = drawn(&found.program.graph, found);
    let case = found.case;
    let mut text = format!("; Case {case} of seed {seed}, {}:\n", found.kind);
    for l in found.failure.lines() {
        text.push_str(&format!(";   {l}\n"));
    }
    match &line {
        Some(given) => text.push_str(&format!("# {RUN} {given}\n")),
        None => {
            text.push_str(&format!(
                "; It depends on these values; `latentc check --seed {seed} --first {case} --cases 1` makes them again:\n"
            ));
            for (name, value) in &found.program.inputs {
                text.push_str(&format!(";   {name} = {value:?}\n"));
            }
        }
    }
    text.push_str(&found.program.graph.to_string());
    if let Some(given) = &line {
        text.push_str(&format!("=== agree {given}\nagrees\n"));
    }
    (text, line.is_some())
}

/// How values are drawn on which the graph does not agree.
fn drawn(graph: &Graph, found: &Found) -> Option<Given> {
    let dims = found.program.sizes();
    let draws = (0..DRAWS).flat_map(|seed| [false, true].map(|wild| (seed, wild)));
    draws
        .map(|(seed, wild)| Given { seed, dims: dims.clone(), wild })
        .find(|given| given.to(graph.clone()).is_ok_and(|program| disagrees(&program).is_some()))
}
