//! The shared data, for the tests that read real files.

use std::path::{Path, PathBuf};

/// The folder of the shared data, or `None` where this machine has none, which is a failure in CI.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INSITU_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{folder} is missing; set INSITU_SHARED_DATA");
    println!("skipped: {folder} is not here; set INSITU_SHARED_DATA to run this test");
    None
}
