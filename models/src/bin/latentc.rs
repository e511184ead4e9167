//! The `latentc` program.

/// Counts, so that `latentc check --parsers` sees what a file makes its reader take.
#[global_allocator]
static ALLOCATOR: latentc_models::check::memory::Counting = latentc_models::check::memory::Counting;

fn main() -> std::process::ExitCode {
    latentc_models::cli::main()
}
