//! What ran when and on which thread: launches as they happened, and the file that trace viewers read.

use latentc_ir::plan::OpAt;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Events that a session which profiles from the beginning has room for: 3 MB.
#[cfg(feature = "llvm")]
pub(crate) const EVENTS: usize = 100_000;

/// The recorded launches of a session.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The program.
    pub program: String,
    /// When recording began: what the times of events count from.
    pub start: Instant,
    /// The launches of the plan.
    pub launches: Vec<TracedLaunch>,
    /// What ran, in the order of its end.
    pub events: Vec<Event>,
    /// Events that there was no room for.
    pub dropped: u64,
}

/// A launch of the plan, at the sizes of the last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedLaunch {
    /// The kernel's name in the plan.
    pub kernel: String,
    /// What it does of the graph.
    pub ops: Vec<OpAt>,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that it must move.
    pub bytes: u64,
    /// Bytes of temporaries that are in use while it runs.
    pub live: u64,
}

/// A part of a launch on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Position in [`Trace::launches`].
    pub launch: u32,
    /// The thread: 0 is the one that runs the session.
    pub thread: u32,
    /// When it began, since [`Trace::start`].
    pub begin: Duration,
    /// When it ended.
    pub end: Duration,
}

/// Room for events, all of it taken at once: recording allocates nothing.
#[cfg(any(feature = "llvm", test))]
#[derive(Debug)]
pub(crate) struct Record {
    pub start: Instant,
    pub events: Vec<Event>,
    pub dropped: u64,
}

#[cfg(any(feature = "llvm", test))]
impl Record {
    pub fn new(events: usize) -> Record {
        Record { start: Instant::now(), events: Vec::with_capacity(events), dropped: 0 }
    }

    pub fn push(&mut self, event: Event) {
        if self.events.len() < self.events.capacity() {
            self.events.push(event);
        } else {
            self.dropped += 1;
        }
    }
}

impl Trace {
    /// Writes traces as one file in the Trace Event Format of Chrome, which Perfetto reads too: a process for each
    /// trace, with its threads, a slice for each event with ops and source lines among its arguments, and the
    /// temporaries in use as a counter.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_chrome(traces: &[Trace], out: &mut impl Write) -> io::Result<()> {
        let base = traces.iter().map(|t| t.start).min();
        write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let mut first = true;
        let mut put = |out: &mut dyn Write, event: Value| {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            write!(out, "{comma}\n{event}")
        };
        for (i, trace) in traces.iter().enumerate() {
            let pid = i + 1;
            let name = json!({ "name": trace.program });
            put(out, json!({ "ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": name }))?;
            let threads = trace.events.iter().map(|e| e.thread + 1).max().unwrap_or(0);
            for thread in 0..threads {
                let name = if thread == 0 { "caller".to_owned() } else { format!("worker {thread}") };
                let name = json!({ "name": name });
                put(
                    out,
                    json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": thread, "args": name }),
                )?;
            }
            let shift = base.map_or(Duration::ZERO, |base| trace.start - base);
            let micros = |t: Duration| (t + shift).as_nanos() as f64 / 1e3;
            let mut live = None;
            for event in &trace.events {
                let Some(launch) = trace.launches.get(event.launch as usize) else { continue };
                let begin = micros(event.begin);
                if live != Some(launch.live) {
                    live = Some(launch.live);
                    let args = json!({ "temporaries": launch.live });
                    put(out, json!({ "ph": "C", "name": "memory", "pid": pid, "ts": begin, "args": args }))?;
                }
                let args = json!({
                    "ops": launch.op_names(), "source": launch.places(),
                    "bytes": launch.bytes, "flops": launch.flops,
                });
                put(
                    out,
                    json!({
                        "ph": "X", "cat": "kernel", "name": launch.kernel, "pid": pid, "tid": event.thread,
                        "ts": begin, "dur": micros(event.end) - begin, "args": args,
                    }),
                )?;
            }
            if trace.dropped > 0 {
                let name = format!("{} later events had no room", trace.dropped);
                let ts = trace.events.last().map_or(0.0, |e| micros(e.end));
                put(out, json!({ "ph": "i", "s": "p", "name": name, "pid": pid, "tid": 0, "ts": ts }))?;
            }
        }
        writeln!(out, "\n]}}")
    }
}

impl TracedLaunch {
    /// Its ops: `spmm, mul, add x 3`.
    pub fn op_names(&self) -> String {
        op_names(&self.ops)
    }

    /// Where they were written, each place once.
    pub fn places(&self) -> Vec<String> {
        places(&self.ops)
    }
}

/// The names of ops, each once with its number.
pub(crate) fn op_names(ops: &[OpAt]) -> String {
    let mut counted: Vec<(&str, usize)> = vec![];
    for op in ops {
        match counted.iter_mut().find(|(name, _)| *name == op.op) {
            Some((_, n)) => *n += 1,
            None => counted.push((op.op, 1)),
        }
    }
    let text = |(name, n): (&str, usize)| if n == 1 { name.to_owned() } else { format!("{name} x {n}") };
    counted.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The places of ops as `file:line`, each once.
pub(crate) fn places(ops: &[OpAt]) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for op in ops.iter().filter(|op| op.span.is_known()) {
        let place = format!("{}:{}", op.span.file, op.span.line);
        if !found.contains(&place) {
            found.push(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use latentc_ir::diag::Span;

    #[test]
    fn the_file_is_json_with_slices_counters_and_names() {
        let span = Span { file: "a \"b\".rs".into(), line: 7, column: 3 };
        let ops = ["mul", "add", "add"].map(|op| OpAt { op, span: span.clone() }).to_vec();
        let launch = |live| TracedLaunch { kernel: "k".into(), ops: ops.clone(), flops: 10, bytes: 20, live };
        let event = |launch, thread, begin, end| Event {
            launch,
            thread,
            begin: Duration::from_micros(begin),
            end: Duration::from_micros(end),
        };
        let start = Instant::now();
        let mut one = Trace {
            program: "p".into(),
            start,
            launches: vec![launch(0), launch(64)],
            events: vec![event(0, 0, 1, 3), event(0, 1, 1, 2), event(1, 0, 5, 9)],
            dropped: 2,
        };
        let mut two = one.clone();
        (two.start, two.dropped) = (start + Duration::from_micros(100), 0);
        one.program = "q".into();
        let mut out = vec![];
        Trace::write_chrome(&[one, two], &mut out).unwrap();
        let read: Value = serde_json::from_slice(&out).unwrap();
        let events = read["traceEvents"].as_array().unwrap();
        let of = |ph: &str| events.iter().filter(|e| e["ph"] == ph).collect::<Vec<_>>();
        let (slices, counters) = (of("X"), of("C"));
        assert_eq!((slices.len(), counters.len(), of("M").len(), of("i").len()), (6, 4, 6, 1));
        assert_eq!(slices[0]["args"]["ops"], "mul, add x 2");
        assert_eq!(slices[0]["args"]["source"], json!(["a \"b\".rs:7"]));
        assert_eq!((&slices[0]["ts"], &slices[0]["dur"]), (&json!(1.0), &json!(2.0)));
        assert_eq!((&slices[3]["ts"], &slices[3]["pid"]), (&json!(101.0), &json!(2)));
        assert_eq!(counters[1]["args"]["temporaries"], 64);
    }

    #[test]
    fn a_full_record_counts_what_it_drops() {
        let mut record = Record::new(2);
        let room = record.events.capacity();
        let zero = Duration::ZERO;
        for _ in 0..room + 3 {
            record.push(Event { launch: 0, thread: 0, begin: zero, end: zero });
        }
        assert_eq!((record.events.len(), record.dropped), (room, 3));
    }
}
