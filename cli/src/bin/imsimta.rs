//! The `imsimta` command.

fn main() -> std::process::ExitCode {
    cli::main(cli::Program::Imsimta)
}
