//! What a command of ours says at its end: text for people, JSON for programs, and the exit code.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Prints an answer: as JSON, or as text.
///
/// # Errors
/// The output can't be written, as when its reader has closed it.
pub fn say(json: bool, value: &impl Display, text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    if json { writeln!(out, "{value:#}") } else { writeln!(out, "{text}") }
}

/// Ends a command. Why it failed goes to the error stream for people; with `json` the answer is an object with `error` besides.
/// `code` is the exit code of an error. A reader that has closed the output, as `head` does, is no failure.
pub fn end<E>(program: &str, json: bool, result: Result<ExitCode, E>, code: impl Fn(&E) -> u8) -> ExitCode
where
    E: Display + AsRef<dyn Error + Send + Sync>,
{
    let failed = match result {
        Ok(code) => return code,
        Err(e) if closed(e.as_ref()) => return ExitCode::SUCCESS,
        Err(e) => e,
    };
    if json {
        let said = serde_json::json!({ "error": format!("{failed:#}") });
        let _ = say(true, &said, "");
    }
    let _ = writeln!(io::stderr(), "{program}: {failed:#}");
    ExitCode::from(code(&failed))
}

/// Ends a command whose arguments could not be taken, or that was asked for its help: `text` is what the parser of the arguments says, with
/// its colours only on a terminal. Where `--json` is among the arguments, the answer is an object with `error` as for every failure.
/// The exit code is 2 for an error, 0 for help.
pub fn misused(arguments: &[OsString], error: bool, text: &str, print: impl FnOnce()) -> ExitCode {
    if error && arguments.iter().any(|a| a == "--json") {
        let said = serde_json::json!({ "error": text.trim().trim_start_matches("error: ") });
        let _ = say(true, &said, "");
    }
    print();
    ExitCode::from(if error { 2 } else { 0 })
}

fn closed(e: &(dyn Error + Send + Sync + 'static)) -> bool {
    e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
