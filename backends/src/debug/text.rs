//! An explanation for a terminal.

use super::model::Explanation;
use super::units::{bytes, count, percent, seconds};
use latentc_ir::explain::{KernelNote, Region, Source, Value};
use std::fmt::{self, Write as _};

/// Refusals and values computed again that are shown; the other forms have all.
const SHOWN: usize = 12;
/// Columns of the drawing of the arena, and its lines at most.
const WIDE: usize = 60;
const LIVES: usize = 40;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = &self.about;
        writeln!(
            f,
            "{}: program `{}` for {}, {} threads",
            self.title, about.program, self.isa, self.limits.threads
        )?;
        for s in &about.sizes {
            writeln!(f, "  size {}: {} to {}; figures are for {}", s.name, s.least, s.greatest, s.greatest)?;
        }
        writeln!(
            f,
            "  limits: {}/s, {} operations/s ({})",
            bytes(self.limits.bytes_per_second as u64),
            count(self.limits.operations_per_second as u64),
            self.limits.origin
        )?;
        writeln!(
            f,
            "  a run is {} launches and takes {} at the least",
            about.launches.len(),
            seconds(self.seconds())
        )?;

        writeln!(f, "\nPASSES")?;
        for s in about.stages.iter().filter(|s| s.name != "regions" && s.name != "plan") {
            let what = if s.changed { format!("{} nodes", s.nodes) } else { "as before".to_owned() };
            writeln!(f, "  {:<10} {what:<12} {:>9}  {}", s.name, seconds(s.seconds), s.about)?;
        }
        writeln!(
            f,
            "  {:<10} {:<12} {:>9}  regions, loops, places",
            "lower",
            "",
            seconds(about.lowering_seconds)
        )?;
        if let Some(code) = self.code_seconds {
            let kernels = format!("{} kernels", about.kernels.len());
            writeln!(f, "  {:<10} {kernels:<12} {:>9}  LLVM, on one thread", "code", seconds(code))?;
        }

        writeln!(f, "\nREGIONS, in the order in which they run")?;
        for (i, r) in about.regions.iter().enumerate() {
            self.region(f, i, r)?;
        }
        self.refusals(f)?;
        self.recomputed(f)?;
        self.updates(f)?;
        self.memory(f)
    }
}

impl Explanation {
    fn region(&self, f: &mut fmt::Formatter<'_>, i: usize, r: &Region) -> fmt::Result {
        let about = &self.about;
        let estimates = r.launches.iter().filter_map(|l| self.estimates.get(*l));
        let time: f64 = estimates.clone().map(|e| e.seconds).sum();
        let most = estimates.max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let limit = most.map_or("nothing".to_owned(), |e| e.limit.to_string());
        writeln!(f, "\n{i:>3} {}  {}  {} at the least, by {limit}", r.name, r.loops, seconds(time))?;
        for s in &r.sources {
            writeln!(f, "      {}", source_text(s))?;
        }
        let ops: Vec<&str> = r.nodes.iter().map(|n| about.nodes[*n].op.as_str()).collect();
        for line in ops.chunks(14) {
            writeln!(f, "      {}", line.join(" "))?;
        }
        let values = |values: &[Value]| {
            values.iter().map(|v| format!("{} ({})", v.name, bytes(v.bytes))).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "      reads   {}", values(&r.reads))?;
        writeln!(f, "      stores  {}", values(&r.stores))?;
        let mut said: Vec<usize> = vec![];
        for l in &r.launches {
            let launch = &about.launches[*l];
            if said.contains(&launch.kernel) {
                continue;
            }
            said.push(launch.kernel);
            let times = r.launches.iter().filter(|l| about.launches[**l].kernel == launch.kernel).count();
            let times = if times > 1 { format!(" x {times}") } else { String::new() };
            let e = &self.estimates[*l];
            let kernel = &about.kernels[launch.kernel];
            writeln!(
                f,
                "      {}{times}: {} from memory, {} operations, {:.2} a byte",
                kernel.name,
                bytes(e.traffic),
                count(launch.operations),
                e.intensity
            )?;
            let mut text = String::new();
            kernel_text(&mut text, kernel);
            for line in text.lines() {
                writeln!(f, "        {line}")?;
            }
        }
        Ok(())
    }

    fn refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.about.refusals;
        if all.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nNOT FUSED, and the bytes that it costs in a run")?;
        for r in all.iter().take(SHOWN) {
            let node = &self.about.nodes[r.node];
            let values: Vec<&str> = r.values.iter().map(|v| v.name.as_str()).collect();
            let through = if r.stored { "reads what it stores:" } else { "both read" };
            writeln!(
                f,
                "  {:>8}  {} {} of region {} with region {}: {}",
                bytes(r.bytes),
                node.value,
                node.op,
                r.region,
                r.other,
                r.why
            )?;
            writeln!(f, "            {through} {}", values.join(", "))?;
        }
        more(f, all.len())
    }

    fn recomputed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.about.recomputed;
        if all.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nCOMPUTED AGAIN instead of stored, and the bytes that it saves in a run")?;
        for a in all.iter().take(SHOWN) {
            let node = &self.about.nodes[a.node];
            let regions: Vec<String> = a.regions.iter().map(ToString::to_string).collect();
            let regions = regions.join(", ");
            writeln!(
                f,
                "  {:>8}  {} {} {} in {regions}: {}",
                bytes(a.bytes),
                node.value,
                node.op,
                node.ty,
                a.why
            )?;
        }
        more(f, all.len())
    }

    fn updates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.about.updates.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nUPDATES")?;
        for u in &self.about.updates {
            match u.in_place {
                true => writeln!(f, "  {}: in place", u.name)?,
                false => writeln!(f, "  {}: copied, {}: {}", u.name, bytes(u.bytes), u.why)?,
            }
        }
        Ok(())
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.about.memory;
        writeln!(f, "\nMEMORY")?;
        for (kind, size) in &m.kinds {
            writeln!(f, "  {kind:<10} {:>9}", bytes(*size))?;
        }
        writeln!(
            f,
            "  {:<10} {:>9}, of which {} live at most at a time",
            "arena",
            bytes(m.arena),
            bytes(m.most_alive)
        )?;
        let launches = m.alive.len().max(1);
        let (large, small): (Vec<_>, Vec<_>) =
            m.buffers.iter().filter(|b| b.offset.is_some()).partition(|b| b.bytes >= m.arena / 200);
        for b in large.iter().take(LIVES) {
            let column = |l: usize| l * WIDE.min(launches) / launches;
            let (from, to) = (column(b.from), column(b.to));
            let bar: String =
                (0..WIDE.min(launches)).map(|c| if (from..=to).contains(&c) { '#' } else { '.' }).collect();
            let at = b.offset.unwrap_or(0);
            writeln!(f, "  {bar}  {:>8} at {:>8}  {}", bytes(b.bytes), bytes(at), b.name)?;
        }
        match small.len() + large.len().saturating_sub(LIVES) {
            0 => Ok(()),
            n => writeln!(f, "  and {n} more"),
        }
    }

    /// Everything about one kernel: where it is used, its costs, its loops, its code.
    pub fn kernel_text(&self, kernel: &KernelNote) -> String {
        let mut t = format!("{}\n", kernel.name);
        kernel_text(&mut t, kernel);
        for l in &kernel.launches {
            let (launch, e) = (&self.about.launches[*l], &self.estimates[*l]);
            let region = launch.region.map_or("a copy".to_owned(), |r| format!("region {r}"));
            let _ = writeln!(
                t,
                "launch {l}, {region}: {} from memory, {} operations, {:.2} a byte; {} at the least, by {}",
                bytes(e.traffic),
                count(launch.operations),
                e.intensity,
                seconds(e.seconds),
                e.limit
            );
            for s in launch.region.iter().flat_map(|r| &self.about.regions[*r].sources) {
                let _ = writeln!(t, "  {}", source_text(s));
            }
        }
        let _ = write!(t, "\n; ---- loops\n{}", kernel.nest);
        if let Some(code) = &kernel.code {
            let _ = write!(t, "\n; ---- LLVM IR as emitted\n{}", code.ir);
            let _ = write!(t, "\n; ---- LLVM IR after its passes\n{}", code.optimised);
            let _ = write!(t, "\n; ---- assembly for {}\n{}", code.isa, code.assembly);
        }
        t
    }
}

fn more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    if all > SHOWN { writeln!(f, "  and {} more (--format html or json)", all - SHOWN) } else { Ok(()) }
}

fn source_text(s: &Source) -> String {
    let text = s.text.as_ref().map_or(String::new(), |t| format!("  {t}"));
    format!("{}:{}{text}", s.file, s.line)
}

fn kernel_text(t: &mut String, k: &KernelNote) {
    let _ = writeln!(t, "schedule  {}{}", k.schedule, if k.by_hand { " (made by hand)" } else { "" });
    let vectors = match k.vectors.lanes {
        1 => "none".to_owned(),
        n => format!("{} of the work, up to {n} lanes", percent(k.vectors.share)),
    };
    let _ = writeln!(t, "vectors   {vectors}");
    for s in k.vectors.rest.iter().take(4) {
        let _ = writeln!(t, "          not {}: {}", percent(s.share), s.why);
    }
    let _ = writeln!(t, "threads   {}", k.parallel);
    if !k.in_place.is_empty() {
        let _ = writeln!(t, "in place  {}", k.in_place.join(", "));
    }
    if let Some(code) = &k.code {
        let _ = writeln!(t, "code      {}", seconds(code.seconds));
    }
}
