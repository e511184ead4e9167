//! Targets: the interpreter and native CPU code.
