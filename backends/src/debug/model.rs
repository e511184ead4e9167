//! An explanation with what a machine adds to it.

use super::limits::{Estimate, Limits};
use latentc_ir::explain::{self, Source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// All that there is to be said about a program on a machine.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// What was asked for.
    pub title: String,
    /// The instruction set that code was made for.
    pub isa: String,
    /// What the compiler did.
    #[serde(flatten)]
    pub about: explain::Explanation,
    /// What the machine can do.
    pub limits: Limits,
    /// What each launch takes at the least.
    pub estimates: Vec<Estimate>,
    /// Wall time of making code of all kernels, where it was made; on one thread.
    pub code_seconds: Option<f64>,
}

impl Explanation {
    pub(super) fn new(
        title: String,
        isa: String,
        about: explain::Explanation,
        limits: Limits,
    ) -> Explanation {
        let estimates = about.launches.iter().map(|l| limits.estimate(l)).collect();
        let times: Vec<f64> =
            about.kernels.iter().filter_map(|k| k.code.as_ref()).map(|c| c.seconds).collect();
        let code_seconds = (!times.is_empty()).then(|| times.iter().sum());
        Explanation { title, isa, about, limits, estimates, code_seconds }
    }

    /// Seconds that a run takes at the least.
    pub fn seconds(&self) -> f64 {
        self.estimates.iter().map(|e| e.seconds).sum()
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&explain::KernelNote> {
        self.about.kernels.iter().find(|k| k.name == name)
    }

    /// Reads the lines of the user's files; those that cannot be read stay without text.
    pub(super) fn read_sources(&mut self) {
        let mut files: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
        let nodes = self.about.before.iter_mut().chain(&mut self.about.nodes);
        let regions = self.about.regions.iter_mut().flat_map(|r| &mut r.sources);
        for source in nodes.filter_map(|n| n.source.as_mut()).chain(regions) {
            source.text = line(source, &mut files);
        }
    }
}

fn line(source: &Source, files: &mut BTreeMap<String, Option<Vec<String>>>) -> Option<String> {
    let lines = files.entry(source.file.clone()).or_insert_with(|| read(&source.file));
    let at = usize::try_from(source.line).ok()?.checked_sub(1)?;
    lines.as_ref()?.get(at).map(|l| l.trim().to_owned())
}

/// A file as the compiler of the user's crate named it: as it is, or below the folder of the workspace, which is one
/// of those above.
fn read(file: &str) -> Option<Vec<String>> {
    let here = std::env::current_dir().ok();
    let above = here.iter().flat_map(|d| d.ancestors()).map(|d| d.join(file));
    let text = std::iter::once(Path::new(file).to_owned())
        .chain(above)
        .find_map(|p| std::fs::read_to_string(p).ok())?;
    Some(text.lines().map(str::to_owned).collect())
}
