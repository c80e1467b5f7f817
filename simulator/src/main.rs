//! The `simulator` command.

fn main() -> std::process::ExitCode {
    simulator::cli::main(std::env::args_os().collect())
}
