//! The `latentc` program from outside: what it prints, what it leaves, and what it says of bad input.

mod bad_input;
mod build;
mod check;
mod explain;
mod harness;
mod real;
mod resume;
mod run;
mod words;
