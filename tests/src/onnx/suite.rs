//! Where the cases are: the wheel of the package, of one pinned version, unpacked below the target directory.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the package.
pub const VERSION: &str = "1.22.0";
/// The file that holds the cases, and the SHA-256 of it.
const WHEEL: &str = "onnx-1.22.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl";
const SHA256: &str = "1d0a2bdb15eb2b3cb65c438f3423d9620d14fdce32f92380e6bb1b2e09568ef5";
/// Where the cases are in it, and the folders that hold them.
const DATA: &str = "onnx/backend/test/data/";
const KINDS: [&str; 4] = ["node", "simple", "pytorch-converted", "pytorch-operator"];
/// How many cases there are.
pub const CASES: usize = 1905;

/// The folders of all cases, from the cache below `target` or from the package index that `pip` is set up for.
///
/// # Errors
/// Why there are none: no `pip`, no network, another file than the pinned one.
pub fn fetch(target: &Path) -> Result<Vec<PathBuf>, String> {
    let root = target.join(format!("onnx-{VERSION}"));
    let complete = root.join("complete");
    if !complete.exists() {
        std::fs::create_dir_all(&root).map_err(|e| format!("{}: {e}", root.display()))?;
        download(&root)?;
        let wheel = root.join(WHEEL);
        check(&wheel)?;
        unpack(&wheel, &root).map_err(|e| format!("{}: {e}", wheel.display()))?;
        std::fs::write(&complete, "").map_err(|e| format!("{}: {e}", complete.display()))?;
    }
    let mut cases = vec![];
    for kind in KINDS {
        let folder = root.join(kind);
        let read = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        cases.extend(read.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.join("model.onnx").exists()));
    }
    cases.sort();
    if cases.len() == CASES { Ok(cases) } else { Err(format!("{} cases, {CASES} expected", cases.len())) }
}

fn download(root: &Path) -> Result<(), String> {
    if root.join(WHEEL).exists() {
        return Ok(());
    }
    let requirement = format!("onnx=={VERSION}");
    let arguments = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        "3.11",
        "--platform",
        "manylinux_2_27_x86_64",
        "--platform",
        "manylinux_2_28_x86_64",
        "--dest",
    ];
    let out = Command::new("python3").args(arguments).arg(root).arg(requirement).output();
    let out = out.map_err(|e| format!("python3: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&out.stderr);
    Err(format!("pip: {}", error.lines().last().unwrap_or("no reason given")))
}

fn check(wheel: &Path) -> Result<(), String> {
    let wrong = |e: io::Error| format!("{}: {e}", wheel.display());
    let bytes = std::fs::read(wheel).map_err(wrong)?;
    let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    if found == SHA256 {
        return Ok(());
    }
    // Not kept, so that the next run asks again.
    std::fs::remove_file(wheel).map_err(wrong)?;
    Err(format!("{} has the SHA-256 {found}, {SHA256} is pinned", wheel.display()))
}

fn unpack(wheel: &Path, root: &Path) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?).map_err(io::Error::other)?;
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(io::Error::other)?;
        let Some(path) = entry.enclosed_name() else { continue };
        let Ok(inner) = path.strip_prefix(DATA) else { continue };
        if !entry.is_file() || !KINDS.iter().any(|k| inner.starts_with(k)) {
            continue;
        }
        let to = root.join(inner);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(to)?)?;
    }
    Ok(())
}
