//! What is counted of launches while a session is profiled: time, and the work at the dimensions of each run.

use super::Machine;
use crate::cpu::sizes::work;
use crate::cpu::threads::Clock;
use crate::inputs::Dims;
use crate::trace::{Event, Record};
use latentc_ir::dim::Dim;
use latentc_ir::plan::{OpAt, Origin, Place};
use latentc_ir::types::product;
use std::time::{Duration, Instant};

/// What is counted while profiling.
pub(super) struct Profile {
    pub launches: Vec<Counted>,
    /// The work of each launch at the present dimensions.
    pub costs: Vec<Work>,
    pub record: Option<(Record, Clock)>,
}

/// What launches of one place in the plan came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Counted {
    pub calls: u64,
    pub total: Duration,
    pub work: Work,
}

/// Floating-point operations and bytes: as often as rows are gathered, and every array once.
#[derive(Clone, Copy, Default)]
pub(super) struct Work {
    pub flops: u64,
    pub bytes: u64,
    pub once: u64,
}

impl Machine {
    /// A launch whose time is counted, and recorded where there is room.
    pub(super) fn launch_counted(&mut self, at: usize) {
        let start = Instant::now();
        self.launch(at);
        let end = Instant::now();
        let Some(profile) = &mut self.profile else { return };
        let counted = &mut profile.launches[at];
        counted.calls += 1;
        counted.total += end - start;
        let Work { flops, bytes, once } = profile.costs.get(at).copied().unwrap_or_default();
        counted.work.flops += flops;
        counted.work.bytes += bytes;
        counted.work.once += once;
        let Some((record, clock)) = &mut profile.record else { return };
        let launch = at as u32;
        let (begin, end) = (start - record.start, end - record.start);
        record.push(Event { launch, thread: 0, begin, end });
        if self.steps[at].spread {
            for thread in 1..self.threads.count() {
                let [begin, end] = clock.times(thread);
                record.push(Event { launch, thread: thread as u32, begin, end });
            }
        }
    }

    /// The work of each launch at the present dimensions.
    pub(super) fn costs(&self, dims: &Dims) -> Vec<Work> {
        let number = |d: &Dim| dims.eval(d).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let origins = &self.program.origins;
        let bytes = |o: &Origin| Work { flops: 0, bytes: number(&o.bytes), once: number(&o.once) };
        let mut costs: Vec<Work> = origins.iter().map(bytes).collect();
        let mut at = 0;
        // Launches of one group stand together; the work is that of the one with the most instructions.
        while at < origins.len() {
            let group = origins[at].group;
            let end = origins[at..].iter().position(|o| o.group != group).map_or(origins.len(), |n| at + n);
            let work = |i: &usize| {
                let step = &self.steps[*i];
                let dims = &self.dims[step.dims..];
                work(&self.program.kernels[step.kernel].body, dims)
            };
            if let Some(main) = (at..end).max_by(|a, b| work(a).total_cmp(&work(b))) {
                costs[main].flops = number(&origins[main].flops);
            }
            at = end;
        }
        costs
    }

    /// Bytes of temporaries in use at each launch, at the present dimensions.
    pub(super) fn live(&self) -> Vec<u64> {
        let program = &self.program;
        let lives = program.lives();
        let dims = |d: &Dim| {
            let of = |name: &str| {
                let mut known = program.launches.iter().zip(&self.steps);
                known.find_map(|(launch, step)| {
                    let at = launch.dims.iter().position(|d| program.dims[*d].name == name)?;
                    self.dims.get(step.dims + at).copied()
                })
            };
            d.eval(&of)
        };
        let mut live = vec![0; program.launches.len()];
        for (b, buffer) in program.buffers.iter().enumerate() {
            if !matches!(buffer.place, Place::Arena { .. }) {
                continue;
            }
            if let Some((from, to)) = lives[b] {
                let elements = dims(&product(&buffer.shape)).unwrap_or(0);
                let bytes = u64::try_from(elements).unwrap_or(0) * buffer.dtype.size() as u64;
                live[from..=to].iter_mut().for_each(|l| *l += bytes);
            }
        }
        live
    }

    /// What a launch does of the graph.
    pub(super) fn ops(&self, at: usize) -> Vec<OpAt> {
        self.program.origins.get(at).map(|o| o.ops.clone()).unwrap_or_default()
    }
}
