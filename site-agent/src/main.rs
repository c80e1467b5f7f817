//! The `site-agent` command.

fn main() -> std::process::ExitCode {
    site_agent::cli::main(std::env::args_os())
}
