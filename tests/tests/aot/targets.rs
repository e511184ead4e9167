//! Objects for other systems.

use super::{c, examples, lightgcn, printed, there};
use latentc::aot::{self, AotError, Emit, System};
use std::process::Command;

/// The kind of object a file is, by its first bytes.
fn kind(bytes: &[u8]) -> &'static str {
    let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    match bytes {
        [0x7f, b'E', b'L', b'F', 2, 1, ..] if word(16) == 1 && word(18) == 62 => "x86_64-linux",
        [0x7f, b'E', b'L', b'F', 2, 1, ..] if word(16) == 1 && word(18) == 183 => "aarch64-linux",
        [0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1, ..] if word(12) == 1 => "aarch64-apple-darwin",
        [0x64, 0x86, ..] => "x86_64-windows-msvc",
        _ => "nothing known",
    }
}

#[test]
fn objects_have_the_format_of_their_target() {
    let dir = tempfile::tempdir().unwrap();
    for system in System::ALL {
        let (_, program) = lightgcn().remove(0);
        let dir = dir.path().join(system.name());
        let build = aot::build("step", program).target(system.name());
        let files = build.write(&dir, &[Emit::Obj, Emit::StaticLib, Emit::Asm, Emit::LlvmIr]).unwrap();
        let object = files.iter().find(|f| f.what == Emit::Obj).unwrap();
        assert_eq!(kind(&std::fs::read(&object.path).unwrap()), system.name());
        let archive = files.iter().find(|f| f.what == Emit::StaticLib).unwrap();
        assert!(std::fs::read(&archive.path).unwrap().starts_with(b"!<arch>\n"));
        let text =
            |what| std::fs::read_to_string(&files.iter().find(|f| f.what == what).unwrap().path).unwrap();
        // Vectors are as wide as the target's, for each of its levels.
        let (ir, asm) = (text(Emit::LlvmIr), text(Emit::Asm));
        let wide = |lanes: u32| ir.contains(&format!("<{lanes} x float>"));
        match system.is_x86() {
            true => {
                assert!(wide(8) && wide(16) && asm.contains("%zmm") && asm.contains("%ymm"), "{system:?}")
            }
            false => assert!(wide(4) && asm.contains("fmla"), "{system:?}"),
        }
        if there("llvm-readobj") {
            let said = printed(
                Command::new("llvm-readobj").args(["--file-headers", "--symbols"]).arg(&archive.path),
            );
            assert!(said.contains("step_run") && said.contains("step_init"), "{said}");
        }
    }
}

#[test]
fn what_cannot_be_built_is_said() {
    let build = || aot::build("step", lightgcn().remove(0).1);
    let fails = |b: aot::Build| b.compile(false).unwrap_err().to_string();
    assert!(
        fails(build().target("sparc-solaris"))
            .starts_with("no target `sparc-solaris`; there are x86_64-linux")
    );
    let wrong = fails(build().target("aarch64-linux").cpu(["x86-64-v3"]));
    assert_eq!(
        wrong,
        "no instruction set `x86-64-v3` for aarch64-linux; there are neon, and `native` for this machine"
    );
    assert!(
        fails(build().target("x86_64-windows-msvc").cpu(["native"])).starts_with("`native` is this machine")
    );
    assert!(
        fails(build().cuda(["sm_80"])).starts_with("PTX cannot be made: there is no code generator for GPUs")
    );
    assert!(Emit::parse("ptx").unwrap_err().to_string().starts_with("PTX cannot be made"));
    assert!(Emit::parse("exe").unwrap_err().to_string().contains("obj, staticlib, sharedlib, header"));
    assert!(fails(aot::build("2nd", lightgcn().remove(0).1)).contains("must begin with a letter"));
    assert!(fails(build().add("step", lightgcn().remove(0).1)).contains("two programs are named `step`"));
    assert!(matches!(aot::library("none").compile(false), Err(AotError::Empty { .. })));
    let dir = tempfile::tempdir().unwrap();
    let windows = build().target("x86_64-windows-msvc").write(dir.path(), &[Emit::SharedLib]).unwrap_err();
    assert!(windows.to_string().contains("ask for the static library"), "{windows}");
    let place = dir.path().join("a file");
    std::fs::write(&place, "").unwrap();
    let unwritable = build().write(&place, &[Emit::Header]).unwrap_err().to_string();
    assert!(unwritable.starts_with(&place.display().to_string()), "{unwritable}");
}

#[test]
fn the_c_example_runs_on_64_bit_arm() {
    let dir = tempfile::tempdir().unwrap();
    c::build(dir.path(), Some("aarch64-linux"), &[], lightgcn());
    if !there("aarch64-linux-gnu-gcc") || !there("qemu-aarch64") {
        return;
    }
    c::compile("aarch64-linux-gnu-gcc", dir.path(), &["-static"]);
    let mut emulator = Command::new("qemu-aarch64");
    emulator.arg(dir.path().join("serve")).arg(examples().join("c/data")).args(["2", "30"]);
    let text = printed(&mut emulator);
    let c::Printed { losses, recall, .. } = c::results(&text);
    assert!(losses[29][0] < 0.15 && recall > 0.6, "{text}");
}
