//! Loading: objects into this process, linked by LLVM's ORC.
//!
//! A [`Library`] is one ORC instance with one dynamic library, which is what a compiled program owns;
//! dropping it unmaps the code. The C library's functions are found in the process.

use std::collections::HashMap;
use std::ffi::{CStr, CString};

use inkwell::llvm_sys::core::LLVMCreateMemoryBufferWithMemoryRangeCopy;
use inkwell::llvm_sys::error::{LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage};
use inkwell::llvm_sys::orc2::lljit::{
    LLVMOrcCreateLLJIT, LLVMOrcDisposeLLJIT, LLVMOrcLLJITAddObjectFile, LLVMOrcLLJITGetGlobalPrefix,
    LLVMOrcLLJITGetMainJITDylib, LLVMOrcLLJITLookup, LLVMOrcLLJITRef,
};
use inkwell::llvm_sys::orc2::{
    LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess, LLVMOrcJITDylibAddGenerator,
};
use inkwell::targets::{InitializationConfig, Target};

use super::object::Object;

/// A compiled kernel: pointers to its parameters in order, its dimensions in order, and the part of the
/// parallel loop to run, `lo..hi` in values of the loop variable (`lo` a whole number of steps from the
/// loop's first value). A kernel without a parallel loop ignores the last two.
///
/// # Safety
/// The caller passes one pointer per parameter of the kernel and one number per dimension; every pointer is
/// valid for the length and use that the kernel declares for it, aligned to its element, and written
/// buffers overlap no other. Calls that run at the same time on the same written buffers run disjoint parts
/// of the parallel loop. The [`Library`] outlives the call.
pub type KernelFn = unsafe extern "C" fn(*const *mut u8, *const i64, i64, i64);

/// Why machine code could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// LLVM refused.
    #[error("LLVM could not {doing}: {message}")]
    Llvm {
        /// What was being done.
        doing: String,
        /// LLVM's words.
        message: String,
    },
    /// A kernel was asked for that no object holds.
    #[error("no kernel `{name}` in this library; it has {}", known.join(", "))]
    NoKernel {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
}

/// Kernels in memory, ready to be called.
#[derive(Debug)]
pub struct Library {
    jit: LLVMOrcLLJITRef,
    kernels: HashMap<String, KernelFn>,
}

// SAFETY: after `load` the instance is only ever disposed of, by the one owner; the table of functions is
// plain data and the code it points to is immutable.
unsafe impl Send for Library {}
// SAFETY: as above: shared access reads the table only.
unsafe impl Sync for Library {}

/// Turns LLVM's error into ours.
fn check(e: LLVMErrorRef, doing: impl FnOnce() -> String) -> Result<(), LoadError> {
    if e.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null error is owned by us until its message is taken; the message is a C string that we
    // copy before it is given back.
    let message = unsafe {
        let text = LLVMGetErrorMessage(e);
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        LLVMDisposeErrorMessage(text);
        copy
    };
    Err(LoadError::Llvm { doing: doing(), message })
}

impl Library {
    /// Loads and links objects that were compiled for this machine.
    ///
    /// The bytes are trusted: they become code of this process.
    pub fn load(objects: &[Object]) -> Result<Library, LoadError> {
        let native = Target::initialize_native(&InitializationConfig::default());
        native.map_err(|message| LoadError::Llvm { doing: "start for this machine".to_owned(), message })?;
        let mut jit = std::ptr::null_mut();
        // SAFETY: a null builder asks for the default instance; `jit` is written on success only.
        check(unsafe { LLVMOrcCreateLLJIT(&mut jit, std::ptr::null_mut()) }, || {
            "start the linker".to_owned()
        })?;
        let mut library = Library { jit, kernels: HashMap::new() };
        // SAFETY: `jit` is live, and its main dylib lives as long.
        let dylib = unsafe { LLVMOrcLLJITGetMainJITDylib(jit) };
        let mut generator = std::ptr::null_mut();
        // SAFETY: no filter is given; the generator passes into the dylib's ownership.
        unsafe {
            let prefix = LLVMOrcLLJITGetGlobalPrefix(jit);
            let e = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
                &mut generator,
                prefix,
                None,
                std::ptr::null_mut(),
            );
            check(e, || "search this process for symbols".to_owned())?;
            LLVMOrcJITDylibAddGenerator(dylib, generator);
        }
        for (i, object) in objects.iter().enumerate() {
            // SAFETY: the range is that of a live slice and is copied; the buffer passes into ORC's
            // ownership, on failure too.
            let e = unsafe {
                let copy = LLVMCreateMemoryBufferWithMemoryRangeCopy(
                    object.bytes.as_ptr().cast(),
                    object.bytes.len(),
                    c"kernels".as_ptr(),
                );
                LLVMOrcLLJITAddObjectFile(jit, dylib, copy)
            };
            check(e, || format!("read object {i} ({})", object.kernels.join(", ")))?;
        }
        for name in objects.iter().flat_map(|o| &o.kernels) {
            let symbol = CString::new(name.as_str()).map_err(|e| LoadError::Llvm {
                doing: format!("look up `{name}`"),
                message: e.to_string(),
            })?;
            let mut address = 0;
            // SAFETY: `jit` is live, `symbol` is a C string.
            check(unsafe { LLVMOrcLLJITLookup(jit, &mut address, symbol.as_ptr()) }, || {
                format!("link kernel `{name}`")
            })?;
            // SAFETY: the emitter gives every kernel's symbol this signature, and the code lives as long as
            // the library.
            let f = unsafe { std::mem::transmute::<usize, KernelFn>(address as usize) };
            library.kernels.insert(name.clone(), f);
        }
        Ok(library)
    }

    /// The kernel with this name. It must not be called after the library is dropped.
    pub fn get(&self, name: &str) -> Result<KernelFn, LoadError> {
        self.kernels.get(name).copied().ok_or_else(|| {
            let mut known: Vec<String> = self.kernels.keys().cloned().collect();
            known.sort();
            LoadError::NoKernel { name: name.to_owned(), known }
        })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: `jit` is live and ours; nothing of it is used afterwards. An error of the disposal leaves
        // nothing to be done.
        let e = unsafe { LLVMOrcDisposeLLJIT(self.jit) };
        let _ = check(e, || "unload".to_owned());
    }
}
