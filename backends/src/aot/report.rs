//! How large a library is, by program, instruction set and kernel.

use std::fmt;

/// Sizes of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub library: String,
    /// The system it is for.
    pub target: &'static str,
    /// Its programs.
    pub units: Vec<UnitReport>,
}

/// Sizes of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitReport {
    /// Its name.
    pub name: String,
    /// Bytes of its object, embedded weights included.
    pub object: u64,
    /// Its kernels, level by level.
    pub kernels: Vec<KernelSize>,
    /// Bytes of the workspace by level; callers need the most of them.
    pub workspace: Vec<(&'static str, u64)>,
    /// The plan of each level as text.
    pub plan: Vec<(&'static str, String)>,
}

/// The code of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSize {
    /// The instruction set.
    pub level: &'static str,
    /// Its name in the plan.
    pub name: String,
    /// Launches of it in a run.
    pub launches: usize,
    /// Bytes of its code.
    pub bytes: u64,
}

impl UnitReport {
    /// Bytes of workspace that a caller provides.
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// Bytes of the code of a level's kernels.
    pub fn code(&self, level: &str) -> u64 {
        self.kernels.iter().filter(|k| k.level == level).map(|k| k.bytes).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "library {} for {}", self.library, self.target)?;
        for unit in &self.units {
            writeln!(f, "program {}: object of {} bytes", unit.name, unit.object)?;
            for (level, workspace) in &unit.workspace {
                let code = unit.code(level);
                writeln!(f, "  {level}: kernels {code} bytes, workspace {workspace} bytes")?;
                for k in unit.kernels.iter().filter(|k| k.level == *level) {
                    writeln!(f, "    {:>8} bytes, launched {:>2}: {}", k.bytes, k.launches, k.name)?;
                }
            }
        }
        Ok(())
    }
}
