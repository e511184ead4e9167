//! Values of parameters that an object brings along.

use super::code::{Fun, Made, P};
use super::driver::Driver;
use super::text::constant;

/// Writes what a program's way of getting its weights needs.
pub(super) fn emit(_: &Driver, _: bool) -> Made {
    Ok(())
}

/// Where a pointer is null, makes it that of the embedded value, or copies this where a run writes it.
pub(super) fn fill_in<'c>(driver: &Driver<'_, 'c>, f: &Fun<'_, 'c>, state: P<'c>, at: usize) -> Made {
    let pointer = &driver.sig.pointers[at];
    let Some(value) = &pointer.embedded else { return Ok(()) };
    if pointer.written {
        return Ok(());
    }
    let name = format!("{}_weight_{}", driver.sig.prefix, pointer.name);
    let data = constant(driver.ops, &name, value.as_bytes(), 64);
    let base = driver.pointer(f, state, at)?;
    f.when(f.is_null(base)?, || f.store_ptr(f.at(state, driver.sig.pointer_at(at))?, data))
}

/// Declares in C what a program has for its weights.
pub(super) fn declare(_: &mut String, _: &super::signature::Signature, _: &super::Weights) {}
