//! The `latentc` program.

fn main() -> std::process::ExitCode {
    latentc_models::cli::main()
}
