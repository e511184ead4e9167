//! Files: objects, archives, shared libraries, headers and listings.

use super::{AotError, Built, System};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An output of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Emit {
    /// An object for each program.
    Obj,
    /// A static library of all objects.
    StaticLib,
    /// A shared library, linked by the system's C compiler.
    SharedLib,
    /// The C header.
    Header,
    /// The Rust module.
    Rust,
    /// LLVM IR after the passes.
    LlvmIr,
    /// Assembly.
    Asm,
}

impl Emit {
    /// Every output.
    pub const ALL: [Emit; 7] =
        [Emit::Obj, Emit::StaticLib, Emit::SharedLib, Emit::Header, Emit::Rust, Emit::LlvmIr, Emit::Asm];

    /// The name that users write.
    pub const fn name(self) -> &'static str {
        match self {
            Emit::Obj => "obj",
            Emit::StaticLib => "staticlib",
            Emit::SharedLib => "sharedlib",
            Emit::Header => "header",
            Emit::Rust => "rust",
            Emit::LlvmIr => "llvm-ir",
            Emit::Asm => "asm",
        }
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        Emit::ALL.map(Emit::name).join(", ")
    }

    /// The output of a name.
    ///
    /// # Errors
    /// Lists the names. PTX is named apart: it is no output yet.
    pub fn parse(name: &str) -> Result<Emit, AotError> {
        if name == "ptx" {
            return Err(AotError::NotMade {
                what: "PTX".to_owned(),
                why: "there is no code generator for GPUs yet; leave it out of --emit".to_owned(),
            });
        }
        let found = Emit::ALL.into_iter().find(|e| e.name() == name);
        found.ok_or_else(|| AotError::UnknownEmit { found: name.to_owned() })
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it is.
    pub what: Emit,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Built {
    /// Writes outputs into a folder, which is made where it is missing.
    ///
    /// # Errors
    /// What the system refuses; a C compiler that is missing, where a shared library is asked for.
    pub fn write(&self, dir: &Path, emit: &[Emit]) -> Result<Vec<Written>, AotError> {
        std::fs::create_dir_all(dir).map_err(|e| file(dir, e))?;
        let mut written = vec![];
        let mut put = |what, name: String, bytes: &[u8]| {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(|e| file(&path, e))?;
            written.push(Written { what, path, bytes: bytes.len() as u64 });
            Ok::<_, AotError>(())
        };
        let windows = self.system == System::X86_64WindowsMsvc;
        let mut emit = emit.to_vec();
        emit.sort_unstable();
        emit.dedup();
        for what in emit {
            match what {
                Emit::Obj => {
                    let end = if windows { "obj" } else { "o" };
                    for (name, bytes) in &self.objects {
                        put(what, format!("{name}.{end}"), bytes)?;
                    }
                }
                Emit::StaticLib => put(what, self.static_name(), &self.archive()?)?,
                Emit::SharedLib => {
                    let (name, bytes) = self.shared()?;
                    put(what, name, &bytes)?;
                }
                Emit::Header => put(what, format!("{}.h", self.name), self.header.as_bytes())?,
                Emit::Rust => put(what, format!("{}.rs", self.name), self.rust.as_bytes())?,
                Emit::LlvmIr | Emit::Asm => {
                    let (texts, end) = match what {
                        Emit::LlvmIr => (&self.llvm_ir, "ll"),
                        _ => (&self.assembly, "s"),
                    };
                    if texts.len() != self.objects.len() {
                        return Err(AotError::NotMade {
                            what: format!("the {end} listing"),
                            why: "the library was built without listings; build it with them".to_owned(),
                        });
                    }
                    for ((name, _), text) in self.objects.iter().zip(texts) {
                        put(what, format!("{name}.{end}"), text.as_bytes())?;
                    }
                }
            }
        }
        Ok(written)
    }

    /// The file name of the static library.
    pub fn static_name(&self) -> String {
        match self.system {
            System::X86_64WindowsMsvc => format!("{}.lib", self.name),
            _ => format!("lib{}.a", self.name),
        }
    }

    /// The objects as a static library, with its table of symbols.
    fn archive(&self) -> Result<Vec<u8>, AotError> {
        use ar_archive_writer::{
            ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream,
        };
        let kind = match self.system {
            System::Aarch64AppleDarwin => ArchiveKind::Darwin,
            System::X86_64WindowsMsvc => ArchiveKind::Coff,
            _ => ArchiveKind::Gnu,
        };
        let members: Vec<NewArchiveMember> = self
            .objects
            .iter()
            .map(|(name, bytes)| NewArchiveMember::new(bytes, &DEFAULT_OBJECT_READER, format!("{name}.o")))
            .collect();
        let mut out = std::io::Cursor::new(vec![]);
        write_archive_to_stream(&mut out, &members, kind, false, None)
            .map_err(|e| file(Path::new(&self.static_name()), e))?;
        Ok(out.into_inner())
    }

    /// The objects as a shared library.
    fn shared(&self) -> Result<(String, Vec<u8>), AotError> {
        let not_made =
            |why: &str| AotError::NotMade { what: "the shared library".to_owned(), why: why.to_owned() };
        let (compilers, name): (&[&str], String) = match self.system {
            s if System::host().is_ok_and(|host| host == s) && s != System::X86_64WindowsMsvc => {
                let end = if s == System::Aarch64AppleDarwin { "dylib" } else { "so" };
                (&["cc", "gcc", "clang"], format!("lib{}.{end}", self.name))
            }
            System::Aarch64Linux => (&["aarch64-linux-gnu-gcc"], format!("lib{}.so", self.name)),
            System::X86_64Linux => (&["x86_64-linux-gnu-gcc"], format!("lib{}.so", self.name)),
            _ => {
                return Err(not_made(
                    "linking for that system needs its own tools; ask for the static library and link it there",
                ));
            }
        };
        let dir = scratch(&self.name).map_err(|e| file(&std::env::temp_dir(), e))?;
        let made = self.link(compilers, &dir, &name);
        // What is left behind is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&dir);
        made.map(|bytes| (name, bytes))
    }

    fn link(&self, compilers: &[&str], dir: &Path, name: &str) -> Result<Vec<u8>, AotError> {
        let out = dir.join(name);
        let mut objects = vec![];
        for (name, bytes) in &self.objects {
            let path = dir.join(format!("{name}.o"));
            std::fs::write(&path, bytes).map_err(|e| file(&path, e))?;
            objects.push(path);
        }
        for compiler in compilers {
            let mut command = Command::new(compiler);
            command.arg("-shared").arg("-o").arg(&out).args(&objects);
            let done = match command.output() {
                Ok(done) => done,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => {
                    return Err(AotError::Tool {
                        tool: (*compiler).to_owned(),
                        what: format!("could not be run: {e}"),
                    });
                }
            };
            if !done.status.success() {
                let said = String::from_utf8_lossy(&done.stderr);
                return Err(AotError::Tool {
                    tool: (*compiler).to_owned(),
                    what: format!("could not link the shared library: {}", said.trim()),
                });
            }
            return std::fs::read(&out).map_err(|e| file(&out, e));
        }
        Err(AotError::Tool {
            tool: compilers.join(", "),
            what: "not found, which the shared library needs; install a C compiler, or ask for staticlib"
                .to_owned(),
        })
    }
}

/// A folder of this process alone.
fn scratch(name: &str) -> std::io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("latentc-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir(&dir)?;
    Ok(dir)
}

fn file(path: &Path, source: std::io::Error) -> AotError {
    AotError::File { path: path.to_owned(), source }
}
