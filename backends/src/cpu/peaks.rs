//! What this machine can do at most, measured with kernels that the compiler makes: the limits that profiles are set
//! against.

use super::Isa;
use super::threads::Threads;
use crate::cache::{CacheNote, Disk, Entry};
use crate::error::{CompileError, RunError};
use crate::options::Options;
use crate::profile::Peaks;
use crate::session::Session;
use crate::store::Store;
use latentc_ir::array::Array;
use latentc_ir::diag::Span;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::InputKind;
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op2};
use latentc_ir::nest::{AxisKind, Expr, Kernel, Space, Split};
use latentc_ir::plan::{BufferDecl, InputDecl, Launch, OutputDecl, Place, Program};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::Type;
use std::time::{Duration, Instant};

/// Elements of the arrays that are read and written: 256 MiB of f32, beyond any cache.
const LARGE: i64 = 64 << 20;
/// Elements of one turn of the parallel loops.
const CHUNK: i64 = 1 << 16;
/// What the part of a cache that is read is a multiple of.
const CHUNK_OF_CACHE: i64 = 1 << 10;
/// Times that every accumulator is added to, in each part: some milliseconds.
const TURNS: i64 = 400_000;

/// Why the limits could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeakError {
    /// The kernels could not be made.
    #[error("the limits of this machine cannot be measured: {0}")]
    Compile(#[from] CompileError),
    /// They could not be run.
    #[error("the limits of this machine cannot be measured: {0}")]
    Run(#[from] RunError),
}

/// Measures, with this many threads (0: one a processor). Takes about a second and 512 MiB of memory for a moment.
///
/// Each figure is the best of several runs: what the machine can do, undisturbed.
///
/// # Errors
/// Where the kernels cannot be compiled or the system has no memory.
pub fn measure(threads: usize, options: &Options) -> Result<Peaks, PeakError> {
    let options = Options { threads, cache: options.cache.clone(), ..Options::default() };
    let threads = options.thread_count();
    let isa = Isa::host().map_err(CompileError::from)?;
    let best = |program: &Program, store: &mut Store, runs: usize| -> Result<f64, PeakError> {
        let mut session = Session::cpu(program, &options)?;
        let mut least = Duration::MAX;
        // The first run of each takes the pages of its output, so it is not the best.
        for _ in 0..runs {
            let start = Instant::now();
            session.run(store)?;
            least = least.min(start.elapsed());
        }
        Ok(least.as_secs_f64())
    };
    let mut store = Store::new();
    let mut from = Array::zeros(DType::F32, &[LARGE as usize]);
    // Pages that were never written are all one page, which a cache holds.
    from.as_bytes_mut().fill(1);
    store.insert("from", from);
    let bytes = (LARGE * 4) as f64;
    let read = bytes / best(&reading(isa.lanes.into()), &mut store, 12)?;
    let copy = 2.0 * bytes / best(&copying(), &mut store, 12)?;
    // Half of what the second caches hold, which the first runs bring there.
    let part = (isa.l2 as i64 / 8) / CHUNK_OF_CACHE * CHUNK_OF_CACHE;
    let (again, bytes_again) = reading_again(isa.lanes.into(), part, threads as i64);
    let cache = bytes_again / best(&again, &mut store, 100)?;
    store.remove("from");
    let write = bytes / best(&writing(), &mut store, 12)?;
    let mut flops = |dtype: DType| {
        store.insert("factor", Array::from_f64(dtype, &[1], &[1e-3]));
        let (kernel, operations) = multiplying(&isa, dtype, threads as i64);
        Ok::<f64, PeakError>(operations / best(&kernel, &mut store, 100)?)
    };
    let cache_bytes = (isa.l2 * threads) as f64;
    Ok(Peaks {
        threads,
        read,
        write,
        copy,
        cache,
        cache_bytes,
        f32: flops(DType::F32)?,
        f64: flops(DType::F64)?,
    })
}

/// Limits that were measured now or before.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The limits.
    pub peaks: Peaks,
    /// Whether they were measured before and kept in the cache of compiled kernels.
    pub kept: bool,
    /// What was wrong with the cache.
    pub notes: Vec<CacheNote>,
}

/// The limits with this many threads (0: one a processor), measured once for a machine: they are kept in the cache of
/// compiled kernels, under the name of the processor.
///
/// # Errors
/// As [`measure`].
pub fn known(threads: usize, options: &Options) -> Result<Known, PeakError> {
    look_up(threads, options, true)
}

/// As [`known`], measured anew and kept.
///
/// # Errors
/// As [`measure`].
pub fn renew(threads: usize, options: &Options) -> Result<Known, PeakError> {
    look_up(threads, options, false)
}

/// The limits with this many threads (0: one a processor), where they were measured before.
pub fn kept(threads: usize, options: &Options) -> Option<Peaks> {
    let options = Options { threads, cache: options.cache.clone(), ..Options::default() };
    let threads = options.thread_count();
    let disk = Disk::open(&options.cache).ok()??;
    let entry = disk.load(&identity(threads)?).ok()??;
    read(threads, &entry.object)
}

/// What limits are kept under.
fn identity(threads: usize) -> Option<String> {
    let isa = Isa::host().ok()?;
    Some(format!("limits 2\n{}\n{isa:?}\n{threads} threads", processor()))
}

fn look_up(threads: usize, options: &Options, may_be_kept: bool) -> Result<Known, PeakError> {
    let options = Options { threads, cache: options.cache.clone(), ..Options::default() };
    let threads = options.thread_count();
    Isa::host().map_err(CompileError::from)?;
    let identity = identity(threads).unwrap_or_default();
    let mut notes = vec![];
    let disk = Disk::open(&options.cache).unwrap_or_else(|note| {
        notes.push(note);
        None
    });
    if may_be_kept && let Some(disk) = &disk {
        match disk.load(&identity) {
            Ok(entry) => {
                if let Some(peaks) = entry.and_then(|e| read(threads, &e.object)) {
                    return Ok(Known { peaks, kept: true, notes });
                }
            }
            Err(note) => notes.push(note),
        }
    }
    let peaks = measure(threads, &options)?;
    if let Some(disk) = &disk {
        let object = peaks.json().to_string().into_bytes();
        notes.extend(
            disk.store(&identity, &Entry { symbol: "limits".to_owned(), schedule: String::new(), object })
                .err(),
        );
    }
    Ok(Known { peaks, kept: false, notes })
}

/// What [`Peaks::json`] writes.
fn read(threads: usize, bytes: &[u8]) -> Option<Peaks> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let number = |name: &str| value.get(name)?.as_f64().filter(|x| *x > 0.0);
    Some(Peaks {
        threads,
        read: number("read_bytes_per_s")?,
        write: number("write_bytes_per_s")?,
        copy: number("copy_bytes_per_s")?,
        cache: number("cache_bytes_per_s")?,
        cache_bytes: number("cache_bytes")?,
        f32: number("f32_flop_per_s")?,
        f64: number("f64_flop_per_s")?,
    })
}

/// The name of the processor, where the system says it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().filter_map(|l| l.split_once(':')).find(|(name, _)| name.trim() == "model name");
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, value)| value.trim().to_owned())
}

/// The time from the beginning to the end of a parallel launch that does nothing, back to back on this many threads
/// (0: one a processor): the median of many.
///
/// # Errors
/// Where the threads cannot be started.
pub fn launch_latency(threads: usize) -> Result<Duration, PeakError> {
    unsafe extern "C" fn nothing(_: *const *mut u8, _: *const i64, _: i64, _: i64) {}
    let options = Options { threads, ..Options::default() };
    let mut threads = Threads::start(options.thread_count())?;
    let parts = vec![(0, 1); threads.count()];
    let mut times: Vec<Duration> = (0..4000)
        .map(|_| {
            let start = Instant::now();
            // SAFETY: the kernel touches nothing.
            unsafe { threads.run(nothing, std::ptr::null(), std::ptr::null(), &parts, None) };
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// A program of one kernel, on kept arrays and outputs of these names, types and lengths.
fn single(kernel: Kernel, kept: &[(&str, DType, i64)], made: &[(DType, i64)]) -> Program {
    let shape = |n: i64| [Dim::from(n)].into_iter().collect();
    let mut p = Program { name: kernel.name.clone(), ..Program::default() };
    for (i, (name, dtype, n)) in kept.iter().enumerate() {
        let (name, ty) = ((*name).to_owned(), Type::tensor(*dtype, [Dim::from(*n)]));
        let (kind, span) = (InputKind::State, Span::none());
        p.inputs.push(InputDecl { name: name.clone(), kind, ty, bound: None, span });
        p.buffers.push(BufferDecl { name, dtype: *dtype, shape: shape(*n), place: Place::Input(i) });
    }
    for (i, (dtype, n)) in made.iter().enumerate() {
        let name = format!("made{i}");
        p.outputs.push(OutputDecl { name: name.clone(), dtype: *dtype, shape: shape(*n) });
        p.buffers.push(BufferDecl { name, dtype: *dtype, shape: shape(*n), place: Place::Output(i) });
    }
    p.launches.push(Launch { kernel: 0, buffers: (0..p.buffers.len()).collect(), dims: vec![] });
    p.kernels.push(kernel);
    p
}

/// Adds up an array.
fn reading(lanes: i64) -> Program {
    let wide = lanes * 4;
    let mut k = KernelBuilder::new("peak_read");
    let from = k.buffer("from", DType::F32, LARGE, Space::In);
    let sums = k.buffer("sums", DType::F32, LARGE / CHUNK, Space::Out);
    let acc = k.buffer("acc", DType::F32, wide, Space::Register);
    k.for_("c", LARGE / CHUNK, AxisKind::Parallel(Split::Even), |k, c| {
        k.fill(acc, Literal::zero(DType::F32));
        k.for_("i", CHUNK / wide, AxisKind::Serial, |k, i| {
            k.for_("j", wide, AxisKind::Vector(lanes as u32), |k, j| {
                let at = c.clone() * CHUNK + i * wide + j.clone();
                k.accumulate(ReduceOp::Sum, acc, j, load(from, at));
            });
        });
        k.store(sums, c, Expr::Lanes { op: ReduceOp::Sum, buf: acc });
    });
    single(k.finish(), &[("from", DType::F32, LARGE)], &[(DType::F32, LARGE / CHUNK)])
}

/// Adds up a part of an array again and again, on each thread its own; and how many bytes that is.
fn reading_again(lanes: i64, part: i64, parts: i64) -> (Program, f64) {
    const TIMES: i64 = 64;
    let wide = lanes * 4;
    let mut k = KernelBuilder::new("peak_cache");
    let from = k.buffer("from", DType::F32, LARGE, Space::In);
    let sums = k.buffer("sums", DType::F32, parts, Space::Out);
    let acc = k.buffer("acc", DType::F32, wide, Space::Register);
    k.for_("p", parts, AxisKind::Parallel(Split::Even), |k, p| {
        k.fill(acc, Literal::zero(DType::F32));
        k.for_("t", TIMES, AxisKind::Serial, |k, _| {
            k.for_("i", part / wide, AxisKind::Serial, |k, i| {
                k.for_("j", wide, AxisKind::Vector(lanes as u32), |k, j| {
                    let at = p.clone() * part + i * wide + j.clone();
                    k.accumulate(ReduceOp::Sum, acc, j, load(from, at));
                });
            });
        });
        k.store(sums, p, Expr::Lanes { op: ReduceOp::Sum, buf: acc });
    });
    let program = single(k.finish(), &[("from", DType::F32, LARGE)], &[(DType::F32, parts)]);
    (program, (TIMES * part * parts * 4) as f64)
}

/// Fills an array.
fn writing() -> Program {
    let mut k = KernelBuilder::new("peak_write");
    let to = k.buffer("to", DType::F32, LARGE, Space::Out);
    k.for_("c", LARGE / CHUNK, AxisKind::Parallel(Split::Even), |k, c| {
        k.for_("i", CHUNK, AxisKind::Vector(16), |k, i| k.store(to, c.clone() * CHUNK + i, f32c(1.0)));
    });
    single(k.finish(), &[], &[(DType::F32, LARGE)])
}

/// Copies an array.
fn copying() -> Program {
    let mut k = KernelBuilder::new("peak_copy");
    let from = k.buffer("from", DType::F32, LARGE, Space::In);
    let to = k.buffer("to", DType::F32, LARGE, Space::Out);
    k.for_("c", LARGE / CHUNK, AxisKind::Parallel(Split::Even), |k, c| {
        k.for_("i", CHUNK, AxisKind::Vector(16), |k, i| {
            let at = c.clone() * CHUNK + i;
            k.store(to, at.clone(), load(from, at));
        });
    });
    single(k.finish(), &[("from", DType::F32, LARGE)], &[(DType::F32, LARGE)])
}

/// Multiplies and adds in registers; and how many operations that is.
fn multiplying(isa: &Isa, dtype: DType, parts: i64) -> (Program, f64) {
    let lanes = i64::from(isa.lanes) * 4 / dtype.size() as i64;
    // Enough to hide the latency of two units, where there are registers.
    let accumulators = (i64::from(isa.registers) - 4).clamp(4, 24);
    let mut k = KernelBuilder::new(format!("peak_{dtype}"));
    let factor = k.buffer("factor", dtype, 1, Space::In);
    let to = k.buffer("to", dtype, parts * accumulators * lanes, Space::Out);
    let acc = k.buffer("acc", dtype, accumulators * lanes, Space::Register);
    k.for_("p", parts, AxisKind::Parallel(Split::Even), |k, p| {
        let x = k.let_(dtype, load(factor, 0));
        k.fill(acc, Literal::zero(dtype));
        k.for_("t", TURNS, AxisKind::Serial, |k, _| {
            k.for_("a", accumulators, AxisKind::Unroll, |k, a| {
                k.for_("j", lanes, AxisKind::Vector(lanes as u32), |k, j| {
                    let product = op2(ScalarOp::Mul, Expr::Val(x), Expr::Val(x));
                    k.accumulate(ReduceOp::Sum, acc, a * lanes + j, product);
                });
            });
        });
        k.for_("a", accumulators, AxisKind::Unroll, |k, a| {
            k.for_("j", lanes, AxisKind::Vector(lanes as u32), |k, j| {
                let at = a * lanes + j;
                k.store(to, p.clone() * (accumulators * lanes) + at.clone(), load(acc, at));
            });
        });
    });
    let program = single(k.finish(), &[("factor", dtype, 1)], &[(dtype, parts * accumulators * lanes)]);
    (program, (2 * lanes * accumulators * TURNS * parts) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cache;

    #[test]
    fn the_kernels_keep_their_rules() {
        let isa = Isa::by_name("x86-64-v3").unwrap();
        for p in [
            reading(isa.lanes.into()),
            reading_again(isa.lanes.into(), 1 << 15, 2).0,
            writing(),
            copying(),
            multiplying(&isa, DType::F32, 2).0,
            multiplying(&isa, DType::F64, 3).0,
        ] {
            assert_eq!(latentc_ir::nest::verify::verify(&p.kernels[0]), Ok(()), "{}", p.name);
        }
    }

    #[test]
    fn what_was_measured_is_kept_and_what_is_damaged_is_not_believed() {
        let (cache, cache_bytes) = (6e10, 4e6);
        let peaks = Peaks {
            threads: 3,
            read: 1.5e10,
            write: 1e9,
            copy: 2e10,
            cache,
            cache_bytes,
            f32: 1e11,
            f64: 5e10,
        };
        let text = peaks.json().to_string();
        assert_eq!(read(3, text.as_bytes()), Some(peaks));
        assert_eq!(read(3, &text.as_bytes()[1..]), None);
        assert_eq!(read(3, text.replace("copy", "cope").as_bytes()), None);
        assert_eq!(read(3, text.replace("1000000000.0", "-1.0").as_bytes()), None);
    }

    #[test]
    #[ignore = "a measurement, not a check"]
    fn limits_of_this_machine() {
        let options = Options { cache: Cache::Off, ..Options::default() };
        for threads in [1, 0] {
            println!("{}", measure(threads, &options).unwrap());
            println!("an empty launch: {:?}", launch_latency(threads).unwrap());
        }
    }
}
