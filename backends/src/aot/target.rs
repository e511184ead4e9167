//! Systems that objects are made for, and the instruction sets that one object carries code for.

use super::AotError;
use crate::cpu::Isa;

/// A system: processor family, operating system, object format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// ELF for x86-64.
    X86_64Linux,
    /// ELF for 64-bit ARM.
    Aarch64Linux,
    /// Mach-O for 64-bit ARM.
    Aarch64AppleDarwin,
    /// COFF for x86-64.
    X86_64WindowsMsvc,
}

impl System {
    /// Every system.
    pub const ALL: [System; 4] =
        [System::X86_64Linux, System::Aarch64Linux, System::Aarch64AppleDarwin, System::X86_64WindowsMsvc];

    /// The name that users write.
    pub const fn name(self) -> &'static str {
        match self {
            System::X86_64Linux => "x86_64-linux",
            System::Aarch64Linux => "aarch64-linux",
            System::Aarch64AppleDarwin => "aarch64-apple-darwin",
            System::X86_64WindowsMsvc => "x86_64-windows-msvc",
        }
    }

    /// LLVM's triple.
    pub const fn triple(self) -> &'static str {
        match self {
            System::X86_64Linux => "x86_64-unknown-linux-gnu",
            System::Aarch64Linux => "aarch64-unknown-linux-gnu",
            System::Aarch64AppleDarwin => "arm64-apple-macosx11.0.0",
            System::X86_64WindowsMsvc => "x86_64-pc-windows-msvc",
        }
    }

    /// The system of a name: one of [`System::name`], or a target triple as Rust and LLVM write it.
    ///
    /// # Errors
    /// Lists the names.
    pub fn parse(name: &str) -> Result<System, AotError> {
        let has = |part: &str| name.contains(part);
        let arm = has("aarch64") || has("arm64");
        let found = match () {
            _ if has("x86_64") && has("linux") => Some(System::X86_64Linux),
            _ if arm && has("linux") => Some(System::Aarch64Linux),
            _ if arm && (has("apple") || has("darwin") || has("macos")) => Some(System::Aarch64AppleDarwin),
            _ if has("x86_64") && has("windows") && !has("gnu") => Some(System::X86_64WindowsMsvc),
            _ => None,
        };
        found.ok_or_else(|| AotError::UnknownTarget { found: name.to_owned() })
    }

    /// The system that this process runs on, where it is one of these.
    ///
    /// # Errors
    /// Where it is another.
    pub fn host() -> Result<System, AotError> {
        System::parse(&Isa::host()?.triple)
    }

    /// Whether its processors are x86-64.
    pub const fn is_x86(self) -> bool {
        matches!(self, System::X86_64Linux | System::X86_64WindowsMsvc)
    }

    /// The instruction sets that an object carries where none are asked for.
    pub const fn usual_levels(self) -> &'static [&'static str] {
        if self.is_x86() { &["x86-64-v3", "x86-64-v4"] } else { &["neon"] }
    }
}

/// An instruction set of an object.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub isa: Isa,
    /// Its number in `level` of the state: 2, 3, 4 for x86-64, 1 for NEON. A processor runs all up to its own.
    pub rank: i64,
    /// Its name in symbols.
    pub symbol: &'static str,
}

impl Level {
    /// A level by its name, or `native`: this very processor, with the features and caches that it has.
    pub fn parse(name: &str, system: System) -> Result<Level, AotError> {
        let wrong = || AotError::UnknownLevel {
            found: name.to_owned(),
            target: system.name(),
            known: if system.is_x86() { "x86-64-v2, x86-64-v3, x86-64-v4" } else { "neon" },
        };
        let isa = match name {
            "native" if System::host().is_ok_and(|host| host == system) => Isa::host()?,
            "native" => return Err(AotError::NotNative { target: system.name() }),
            name => Isa::by_name(name).map_err(|_| wrong())?,
        };
        let (rank, symbol) = match isa.name {
            "x86-64-v2" => (2, "v2"),
            "x86-64-v3" => (3, "v3"),
            "x86-64-v4" => (4, "v4"),
            _ => (1, "neon"),
        };
        if (rank == 1) == system.is_x86() {
            return Err(wrong());
        }
        let triple = system.triple().to_owned();
        Ok(Level { isa: Isa { triple, ..isa }, rank, symbol })
    }

    /// The levels of a build, the highest first, each once.
    pub fn all(names: &[String], system: System) -> Result<Vec<Level>, AotError> {
        let mut levels: Vec<Level> = match names {
            [] => system.usual_levels().iter().map(|n| Level::parse(n, system)).collect::<Result<_, _>>()?,
            names => names.iter().map(|n| Level::parse(n, system)).collect::<Result<_, _>>()?,
        };
        levels.sort_by_key(|l| std::cmp::Reverse(l.rank));
        if let Some(pair) = levels.windows(2).find(|w| w[0].rank == w[1].rank) {
            return Err(AotError::LevelTwice { level: pair[0].isa.name });
        }
        Ok(levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_triples_are_understood() {
        for system in System::ALL {
            assert_eq!(System::parse(system.name()).unwrap(), system);
            assert_eq!(System::parse(system.triple()).unwrap(), system);
        }
        assert_eq!(System::parse("x86_64-pc-windows-msvc").unwrap(), System::X86_64WindowsMsvc);
        assert_eq!(System::parse("aarch64-unknown-linux-musl").unwrap(), System::Aarch64Linux);
        for wrong in ["riscv64-linux", "x86_64-pc-windows-gnu", "x86_64-apple-darwin", ""] {
            let e = System::parse(wrong).unwrap_err().to_string();
            assert!(e.contains("aarch64-apple-darwin"), "{e}");
        }
    }

    #[test]
    fn levels_belong_to_their_target() {
        let all = |names: &[&str], system| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Level::all(&names, system).map(|all| all.iter().map(|l| l.rank).collect::<Vec<_>>())
        };
        assert_eq!(all(&[], System::X86_64WindowsMsvc).unwrap(), [4, 3]);
        assert_eq!(all(&["x86-64-v2", "x86-64-v4"], System::X86_64Linux).unwrap(), [4, 2]);
        assert_eq!(all(&["neon"], System::Aarch64AppleDarwin).unwrap(), [1]);
        assert!(matches!(all(&["neon"], System::X86_64Linux), Err(AotError::UnknownLevel { .. })));
        assert!(matches!(all(&["x86-64-v3"], System::Aarch64Linux), Err(AotError::UnknownLevel { .. })));
        assert!(matches!(all(&["sse9"], System::X86_64Linux), Err(AotError::UnknownLevel { .. })));
        let twice = all(&["x86-64-v3", "x86-64-v3"], System::X86_64Linux);
        assert!(matches!(twice, Err(AotError::LevelTwice { .. })));
    }
}
