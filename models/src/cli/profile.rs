//! `--profile`: a table of where the time went, and a file for trace viewers.

use super::CliError;
use super::output::{Output, members};
use crate::common::run::save;
use latentc::{Options, Profile, Session, Trace, peaks};
use std::path::PathBuf;

/// The option that says where a trace goes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ProfileArgs {
    /// Count the time of every kernel: a table at the end (time, GB/s, GF/s, part of what this machine can do), and in
    /// this file a trace of the first launches, which https://ui.perfetto.dev and chrome://tracing show.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

impl ProfileArgs {
    /// Whether it was asked for.
    pub fn is_on(&self) -> bool {
        self.profile.is_some()
    }

    /// Writes the trace of sessions and shows their tables; nothing where it was not asked for.
    pub fn finish(&self, sessions: &[&Session], out: &Output) -> Result<(), CliError> {
        let Some(path) = &self.profile else { return Ok(()) };
        let traces: Vec<Trace> = sessions.iter().filter_map(|s| s.trace()).collect();
        let mut bytes = vec![];
        Trace::write_chrome(&traces, &mut bytes)?;
        save(path, &bytes)?;
        if traces.is_empty() {
            out.note("nothing to profile: the interpreter has no kernels");
            return Ok(());
        }
        for session in sessions {
            let report = session.report();
            let found = peaks::known(report.threads, &Options::default())?;
            found.notes.iter().for_each(|note| out.note(&format!("note: {note}")));
            let table = Profile::new(&report, Some(found.peaks));
            out.event("profile", members(table.json()))?;
            out.say(&format!("\n{}", table.to_string().trim_end()))?;
        }
        let events: usize = traces.iter().map(|t| t.events.len()).sum();
        let dropped: u64 = traces.iter().map(|t| t.dropped).sum();
        let rest = if dropped == 0 { String::new() } else { format!(", {dropped} later ones are not in it") };
        out.say(&format!("\ntrace of {events} launches in {}{rest}", path.display()))?;
        Ok(())
    }
}
