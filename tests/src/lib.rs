//! What the evidence shares: where public data lies, and how long it may take.
//!
//! The evidence itself is in `tests/`, in rooms by kind:
//!
//! * `architecture`: which room may use which, and the rules of the tree.
//! * `gates`: the statistical gates: sensitivities are fuzzed, the noise is tested against its mass function.
//! * `simulation`: coordinator and sites through seeded schedules of losses and crashes, with oracles.
//! * `golden`: bytes and hashes that may not change.
//! * `e2e`: the processes themselves.

pub mod diabetes;
pub mod heart;

use std::path::PathBuf;

/// The variable that makes the evidence long.
pub const NIGHTLY: &str = "INSITU_NIGHTLY";

/// `long` where [`NIGHTLY`] is 1, as `./check nightly` sets it, else `short`: how many draws, patients or schedules.
pub fn sized<T>(short: T, long: T) -> T {
    if std::env::var(NIGHTLY).is_ok_and(|v| v == "1") { long } else { short }
}

/// The folder `sub` of the shared public data: below `INSITU_SHARED_DATA` where that is set, else below `shared/data` beside
/// the workspace. Where it is absent the caller skips its test, and a line says so; on a build server (`CI=true`) a skipped
/// test would be evidence that nobody has, so there it is a failure.
///
/// # Panics
/// The folder is absent and `CI` is `true`.
#[allow(clippy::print_stdout, clippy::panic)] // A test reads it.
pub fn shared_data(sub: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("INSITU_SHARED_DATA").map_or_else(beside, PathBuf::from).join(sub);
    if folder.exists() {
        return Some(folder);
    }
    let said = format!("skipped: the shared data has no '{sub}'; point INSITU_SHARED_DATA at it");
    if std::env::var("CI").is_ok_and(|v| v == "true") {
        panic!("{said}");
    }
    println!("{said}");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_none() {
        if std::env::var("CI").is_ok_and(|v| v == "true") {
            assert!(std::panic::catch_unwind(|| shared_data("no-such-folder")).is_err());
        } else {
            assert_eq!(shared_data("no-such-folder"), None);
        }
    }
}
