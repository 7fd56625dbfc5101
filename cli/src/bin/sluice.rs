//! The `sluice` command.

fn main() -> std::process::ExitCode {
    cli::main(cli::Program::Sluice)
}
