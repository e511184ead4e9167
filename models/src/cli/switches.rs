//! Every switch for looking into what latentc does, in one table, which `latentc doctor` shows.

/// A switch.
pub struct Switch {
    /// How it is written.
    pub name: &'static str,
    /// The words of the command line that take it.
    pub words: &'static [&'static str],
    /// What it shows.
    pub about: &'static str,
    /// What it costs or changes.
    pub changes: &'static str,
}

/// The switches. None is an environment variable.
pub const SWITCHES: &[Switch] = &[
    Switch {
        name: "latentc explain",
        words: &["explain"],
        about: "passes, kernels with code and least time, what was not fused, memory",
        changes: "runs nothing",
    },
    Switch {
        name: "--format html|json|dot",
        words: &["explain"],
        about: "the same as a page, as data, or for Graphviz",
        changes: "nothing",
    },
    Switch {
        name: "--kernel NAME",
        words: &["explain"],
        about: "loops, LLVM IR and assembly of one kernel",
        changes: "nothing",
    },
    Switch {
        name: "--schedules FILE",
        words: &["explain"],
        about: "other decisions about kernels: lanes, tiles, chunks, division among threads",
        changes: "the order of sums",
    },
    Switch {
        name: "--dump DIR",
        words: &["train", "eval", "recommend", "run", "explain", "build"],
        about: "numbered files of every stage, graphs to machine code",
        changes: "compiles every kernel twice",
    },
    Switch {
        name: "--profile FILE",
        words: &["train", "eval", "recommend", "bench"],
        about: "time, GB/s, GF/s and part of the limit of every kernel; a trace for Perfetto",
        changes: "two looks at the clock a launch, 3 MB for a record; measures the limits once",
    },
    Switch {
        name: "--checked",
        words: &["train", "eval", "recommend"],
        about: "the op and line of the first NaN, infinity, row out of range, overflowing cast, division by 0",
        changes: "one kernel an op: slower, more memory, floats may round otherwise",
    },
    Switch {
        name: "--level NAME",
        words: &["train", "eval", "recommend", "run"],
        about: "what a library that was built for this instruction set computes, to the last bit",
        changes: "the order of sums",
    },
    Switch {
        name: "--peaks",
        words: &["bench"],
        about: "what memory, caches and arithmetic give at most, and the latency of a launch",
        changes: "keeps the limits for profiles",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_says_all_of_itself_and_stands_once() {
        for (i, s) in SWITCHES.iter().enumerate() {
            assert!(!s.words.is_empty() && !s.about.is_empty() && !s.changes.is_empty(), "{}", s.name);
            assert!(SWITCHES[..i].iter().all(|t| t.name != s.name), "{} stands twice", s.name);
        }
    }
}
