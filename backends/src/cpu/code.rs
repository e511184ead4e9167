//! Kernels to code in memory: each distinct one once, from the disk cache where it is there.

use super::object::{GENERATOR, compile_each};
use super::{Isa, KernelFn, Library, Object};
use crate::cache::{CacheNote, Disk, Entry};
use crate::error::CompileError;
use crate::options::Options;
use crate::report::{KernelReport, Times};
use latentc_ir::nest::Kernel;
use latentc_ir::plan::Program;
use rustc_hash::FxHashMap;
use std::path::PathBuf;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// The code of a program's kernels.
pub(crate) struct Code {
    /// Keeps the functions alive.
    pub library: Library,
    /// One for each kernel of the plan.
    pub functions: Vec<KernelFn>,
    /// Position in `kernels` of each kernel of the plan.
    pub distinct: Vec<usize>,
    /// The distinct kernels, launches not yet counted.
    pub kernels: Vec<KernelReport>,
    pub times: Times,
    pub cache: Option<PathBuf>,
    pub notes: Vec<CacheNote>,
}

impl Code {
    /// Compiles what the cache lacks, keeps it there, loads everything.
    pub fn new(program: &Program, isa: &Isa, options: &Options) -> Result<Code, CompileError> {
        let kernels = &program.kernels;
        let mut times = Times::default();
        let mut notes = vec![];
        let start = Instant::now();
        let (distinct, units) = distinct(kernels, isa);
        let disk = Disk::open(&options.cache).unwrap_or_else(|note| {
            notes.push(note);
            None
        });
        let mut objects: Vec<Option<Object>> = units.iter().map(|_| None).collect();
        for (unit, object) in units.iter().zip(&mut objects) {
            let Some(disk) = &disk else { break };
            match disk.load(&unit.identity) {
                Ok(entry) => {
                    *object = entry.map(|e| Object { bytes: e.object, kernels: vec![e.symbol] });
                }
                Err(note) => notes.push(note),
            }
        }
        times.lookup = start.elapsed();

        let start = Instant::now();
        let missing: Vec<usize> = (0..units.len()).filter(|i| objects[*i].is_none()).collect();
        let work: Vec<Kernel> = missing
            .iter()
            .map(|&i| Kernel { name: units[i].symbol.clone(), ..kernels[units[i].first].clone() })
            .collect();
        let compiled = compile_each(&work, isa, options.thread_count())?;
        times.compile = start.elapsed();

        let start = Instant::now();
        let cached: Vec<bool> = objects.iter().map(Option::is_some).collect();
        // Where one cannot be written, neither can the others: one note is enough.
        let mut writable = true;
        for (&i, object) in missing.iter().zip(compiled) {
            if let Some(disk) = disk.as_ref().filter(|_| writable) {
                let schedule =
                    program.schedules.get(units[i].first).map(ToString::to_string).unwrap_or_default();
                let entry = Entry { symbol: units[i].symbol.clone(), schedule, object: object.bytes.clone() };
                let refused = disk.store(&units[i].identity, &entry).err();
                writable = refused.is_none();
                notes.extend(refused);
            }
            objects[i] = Some(object);
        }
        if !missing.is_empty() {
            notes.extend(disk.as_ref().and_then(|d| d.trim().err()));
        }
        times.keep = start.elapsed();

        let start = Instant::now();
        let objects: Vec<Object> = objects.into_iter().flatten().collect();
        let library = Library::load(&objects)?;
        let loaded: Vec<KernelFn> =
            objects.iter().map(|o| library.get(&o.kernels[0])).collect::<Result<_, _>>()?;
        let functions = distinct.iter().map(|&u| loaded[u]).collect();
        times.load = start.elapsed();

        let kernels = units.iter().zip(&objects).zip(cached).map(|((unit, object), cached)| KernelReport {
            name: kernels[unit.first].name.clone(),
            launches: 0,
            cached,
            bytes: object.bytes.len(),
        });
        let (kernels, cache) = (kernels.collect(), disk.map(|d| d.dir().to_owned()));
        Ok(Code { library, functions, distinct, kernels, times, cache, notes })
    }
}

/// A kernel to be compiled.
struct Unit {
    /// Its first position in the plan.
    first: usize,
    /// Everything that its object depends on.
    identity: String,
    /// Its symbol: distinct for distinct kernels, whatever they are called.
    symbol: String,
}

/// The kernels that differ in more than names; for each of the plan, which of them it is.
fn distinct(kernels: &[Kernel], isa: &Isa) -> (Vec<usize>, Vec<Unit>) {
    let head = format!("{}\n{isa:?}\n", *GENERATOR);
    let mut seen: FxHashMap<String, usize> = FxHashMap::default();
    let mut units: Vec<Unit> = vec![];
    let which = kernels.iter().enumerate().map(|(first, kernel)| {
        let identity = format!("{head}{}", canonical(kernel));
        *seen.entry(identity).or_insert_with_key(|identity| {
            let symbol = format!("{}_{:016x}", kernel.name, xxh3_64(identity.as_bytes()));
            units.push(Unit { first, identity: identity.clone(), symbol });
            units.len() - 1
        })
    });
    (which.collect(), units)
}

/// A kernel as text, complete but for names, which are for people: its derived `Debug` form, in which
/// literals are bits.
fn canonical(kernel: &Kernel) -> String {
    let mut k = kernel.clone();
    let buffers = k.buffers.iter_mut().map(|b| &mut b.name);
    for name in std::iter::once(&mut k.name).chain(&mut k.dims).chain(buffers).chain(&mut k.vars) {
        name.clear();
    }
    format!("{k:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use latentc_ir::dtype::{DType, Literal};
    use latentc_ir::nest::build::KernelBuilder;
    use latentc_ir::nest::{AxisKind, Expr, Space};

    fn fill(name: &str, var: &str, value: Literal) -> Kernel {
        let mut k = KernelBuilder::new(name);
        let out = k.buffer(format!("{name}_out"), DType::F32, 8, Space::Out);
        k.for_(var, 8, AxisKind::Serial, |k, i| k.store(out, i, Expr::Lit(value)));
        k.finish()
    }

    #[test]
    fn names_do_not_distinguish_and_bits_do() {
        let one = |v: f64| Literal::float(DType::F32, v);
        let kernels = [
            fill("a", "i", one(0.0)),
            fill("b", "j", one(0.0)),
            fill("a", "i", one(-0.0)),
            fill("a", "i", one(f64::NAN)),
            fill("a", "i", one(f64::NAN)),
        ];
        let (which, units) = distinct(&kernels, &Isa::by_name("x86-64-v3").unwrap());
        assert_eq!(which, [0, 0, 1, 2, 2]);
        let symbols: std::collections::BTreeSet<&str> = units.iter().map(|u| u.symbol.as_str()).collect();
        assert_eq!(symbols.len(), 3, "{symbols:?}");
        let (_, others) = distinct(&kernels, &Isa::by_name("x86-64-v4").unwrap());
        assert_ne!(units[0].identity, others[0].identity);
    }
}
