//! What the code generator knows of a processor, as data.
//!
//! Everything that depends on the machine (lanes, tile shapes, prefetch distances) is read from an [`Isa`],
//! and the description of the host is derived from the list of features that LLVM detects, never from the
//! processor's name: LLVM names machines by family and model, which virtual machines misreport.

use std::sync::Once;

use inkwell::OptimizationLevel;
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, Target, TargetMachine, TargetTriple};

use super::EmitError;
use crate::options::Options;

/// A processor, as far as generated code is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Isa {
    /// Its name: `x86-64-v2`, `x86-64-v3`, `x86-64-v4` or `neon`.
    pub name: &'static str,
    /// LLVM's target triple.
    pub triple: String,
    /// LLVM's processor name: the level's own, so that nothing depends on the machine's marketing name.
    pub cpu: &'static str,
    /// LLVM's feature string: the host's, or empty for a level taken by name.
    pub features: String,
    /// f32 lanes of a vector register.
    pub lanes: u32,
    /// Vector registers.
    pub registers: u32,
    /// Whether a fused multiply-add is one instruction.
    pub fma: bool,
    /// Whether conversions between binary16 and binary32 are instructions.
    pub f16_convert: bool,
    /// Whether the sum of four products of bytes is one instruction (AVX-512 VNNI).
    pub dot4: bool,
    /// Iterations that a gathering loop (a row of a sparse matrix) looks ahead with prefetches.
    pub prefetch: u32,
    /// The matrix product's tile: rows, and columns in vectors.
    pub tile: (u32, u32),
    /// Bytes of the first data cache of a core.
    pub l1: usize,
    /// Bytes of the second cache of a core.
    pub l2: usize,
}

/// The names that [`Isa::by_name`] knows.
pub const ISA_NAMES: [&str; 4] = ["x86-64-v2", "x86-64-v3", "x86-64-v4", "neon"];

static TARGETS: Once = Once::new();

fn initialise_targets() {
    TARGETS.call_once(|| {
        Target::initialize_x86(&InitializationConfig::default());
        Target::initialize_aarch64(&InitializationConfig::default());
    });
}

fn host_triple() -> String {
    TargetMachine::get_default_triple().as_str().to_string_lossy().into_owned()
}

impl Isa {
    /// The level with this name (see [`ISA_NAMES`]), for code that runs on any machine of that level.
    pub fn by_name(name: &str) -> Result<Isa, EmitError> {
        let host = host_triple();
        let x86 =
            if host.starts_with("x86_64") { host.clone() } else { "x86_64-unknown-linux-gnu".to_owned() };
        let level = |name, lanes, registers, fma, tile, l2| Isa {
            name,
            triple: x86.clone(),
            cpu: name,
            features: String::new(),
            lanes,
            registers,
            fma,
            f16_convert: fma,
            dot4: false,
            prefetch: 32,
            tile,
            l1: 32 << 10,
            l2,
        };
        match name {
            "x86-64-v2" => Ok(level("x86-64-v2", 4, 16, false, (4, 2), 256 << 10)),
            "x86-64-v3" => Ok(level("x86-64-v3", 8, 16, true, (6, 2), 512 << 10)),
            "x86-64-v4" => Ok(level("x86-64-v4", 16, 32, true, (8, 3), 1 << 20)),
            "neon" => Ok(Isa {
                name: "neon",
                triple: if host.starts_with("aarch64") {
                    host
                } else {
                    "aarch64-unknown-linux-gnu".to_owned()
                },
                cpu: "generic",
                features: "+neon".to_owned(),
                lanes: 4,
                registers: 32,
                fma: true,
                f16_convert: true,
                dot4: false,
                prefetch: 16,
                tile: (8, 3),
                l1: 64 << 10,
                l2: 512 << 10,
            }),
            _ => Err(EmitError::UnknownIsa { found: name.to_owned() }),
        }
    }

    /// The machine this process runs on: the highest level all of whose features LLVM detects, with the
    /// host's own feature list and cache sizes.
    pub fn host() -> Result<Isa, EmitError> {
        let features = TargetMachine::get_host_cpu_features().to_string();
        let triple = host_triple();
        let mut isa = Isa::by_name(level_of(&triple, &features)?)?;
        isa.triple = triple;
        isa.dot4 = isa.lanes == 16 && features.split(',').any(|f| f == "+avx512vnni");
        isa.features = features;
        if let Some(l1) = cache_bytes(libc::_SC_LEVEL1_DCACHE_SIZE) {
            isa.l1 = l1;
        }
        if let Some(l2) = cache_bytes(libc::_SC_LEVEL2_CACHE_SIZE) {
            isa.l2 = l2;
        }
        Ok(isa)
    }

    /// What options ask for: a level, which this machine has to have, or the machine itself.
    pub(crate) fn of(options: &Options) -> Result<Isa, EmitError> {
        let host = Isa::host()?;
        let Some(name) = &options.level else { return Ok(host) };
        let level = Isa::by_name(name)?;
        // Names of one family are in the order of their levels.
        if level.triple != host.triple || level.name > host.name {
            return Err(EmitError::LevelAbove { level: level.name, host: host.name });
        }
        Ok(level)
    }

    /// Bits of a vector register.
    pub fn vector_bits(&self) -> u32 {
        self.lanes * 32
    }

    /// LLVM's description of the machine, which emits objects.
    pub(crate) fn machine(&self, level: OptimizationLevel) -> Result<TargetMachine, EmitError> {
        initialise_targets();
        let triple = TargetTriple::create(&self.triple);
        let target = Target::from_triple(&triple)
            .map_err(|e| EmitError::Target { triple: self.triple.clone(), message: e.to_string() })?;
        target
            .create_target_machine(
                &triple,
                self.cpu,
                &self.features,
                level,
                RelocMode::PIC,
                CodeModel::Default,
            )
            .ok_or_else(|| EmitError::Target {
                triple: self.triple.clone(),
                message: format!("no machine for cpu `{}` with features `{}`", self.cpu, self.features),
            })
    }
}

impl From<&Isa> for latentc_kernels::Machine {
    fn from(isa: &Isa) -> Self {
        latentc_kernels::Machine {
            lanes: isa.lanes,
            registers: isa.registers,
            l1: isa.l1,
            l2: isa.l2,
            prefetch: isa.prefetch,
            dot4: isa.dot4,
        }
    }
}

/// The level that a feature list reaches.
fn level_of(triple: &str, features: &str) -> Result<&'static str, EmitError> {
    let has =
        |all: &[&str]| all.iter().all(|want| features.split(',').any(|f| f.strip_prefix('+') == Some(want)));
    const V2: &[&str] = &["sse4.2", "ssse3", "popcnt", "cx16"];
    const V3: &[&str] = &["avx2", "fma", "bmi", "bmi2", "f16c", "lzcnt", "movbe"];
    const V4: &[&str] = &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"];
    if triple.starts_with("aarch64") || triple.starts_with("arm64") {
        Ok("neon")
    } else if triple.starts_with("x86_64") && has(V2) {
        Ok(match (has(V3), has(V4)) {
            (true, true) => "x86-64-v4",
            (true, false) => "x86-64-v3",
            _ => "x86-64-v2",
        })
    } else {
        Err(EmitError::UnsupportedHost { triple: triple.to_owned() })
    }
}

/// A cache size of this machine, where the C library knows it.
fn cache_bytes(which: libc::c_int) -> Option<usize> {
    // SAFETY: sysconf takes any name and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(which) };
    usize::try_from(bytes).ok().filter(|b| *b > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_feature_list() {
        let v2 = "+sse4.2,+ssse3,+popcnt,+cx16";
        let v3 = format!("{v2},+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe");
        let v4 = format!("{v3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl");
        let of = |f: &str| level_of("x86_64-pc-linux-gnu", f).unwrap();
        assert_eq!(of(v2), "x86-64-v2");
        assert_eq!(of(&v3), "x86-64-v3");
        assert_eq!(of(&v4), "x86-64-v4");
        // A feature that is listed as absent does not count.
        assert_eq!(of(&v4.replace("+avx512dq", "-avx512dq")), "x86-64-v3");
        assert!(level_of("x86_64-pc-linux-gnu", "+sse2").is_err());
        assert!(level_of("riscv64-unknown-linux-gnu", "+v").is_err());
    }

    #[test]
    fn every_name_has_a_machine() {
        for name in ISA_NAMES {
            let isa = Isa::by_name(name).unwrap();
            assert_eq!(isa.name, name);
            isa.machine(OptimizationLevel::Default).unwrap();
        }
        assert!(matches!(Isa::by_name("z80"), Err(EmitError::UnknownIsa { .. })));
    }

    #[test]
    fn the_host_is_known() {
        let isa = Isa::host().unwrap();
        assert!(isa.l1 >= 8 << 10 && isa.l2 >= isa.l1);
        isa.machine(OptimizationLevel::Default).unwrap();
    }
}
