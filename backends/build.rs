//! Takes the fingerprint of the code generator's sources, which is the generator's version in the keys of
//! the disk cache: an edit never meets objects that the code before it made.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What decides the code of a kernel, beside LLVM: the emitter, and the meaning of what it emits.
const SOURCES: [&str; 6] = [
    "src/cpu",
    "../ir/src/nest",
    "../ir/src/scalar",
    "../ir/src/scalar.rs",
    "../ir/src/dtype.rs",
    "../ir/src/philox.rs",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // Without random keys, so that equal sources have equal fingerprints.
    let mut hash = std::hash::DefaultHasher::new();
    for source in SOURCES {
        let path = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(source);
        // A packaged crate stands without its neighbours; its version then stands for them.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
            take(&path, &mut hash)?;
        }
    }
    println!("cargo::rustc-env=LATENTC_GENERATOR={:016x}", hash.finish());
    Ok(())
}

fn take(path: &Path, hash: &mut impl Hasher) -> io::Result<()> {
    if !path.is_dir() {
        hash.write(&fs::read(path)?);
        return Ok(());
    }
    let mut inside: Vec<PathBuf> =
        fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    inside.sort();
    inside.iter().try_for_each(|p| take(p, hash))
}
