//! The `custodian` command.

fn main() -> std::process::ExitCode {
    custodian::cli::main(std::env::args_os())
}
