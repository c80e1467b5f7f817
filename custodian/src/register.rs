//! For whom the key was sealed: who holds it, and so on whom the bound of a distinct count rests.

use std::path::Path;

use platform::files;
use proto::{Hash, SiteId};
use serde::{Deserialize, Serialize};

use crate::keeper::KeeperError;

/// One seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The site.
    pub site: SiteId,
    /// Its fingerprint, as it was compared.
    pub fingerprint: String,
    /// The key's generation.
    pub generation: u64,
    /// The key's short name.
    pub key_id: String,
    /// The request that it answers.
    pub request: Hash,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
}

/// Reads the list; empty where there is none yet.
///
/// # Errors
/// It can't be read.
pub fn read(path: &Path) -> Result<Vec<Sealed>, KeeperError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| KeeperError::file(path, &e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(KeeperError::file(path, &e)),
    }
}

/// Adds a seal to the list, on disk when it returns.
///
/// # Errors
/// It can't be read or written.
pub fn add(path: &Path, sealed: Sealed) -> Result<(), KeeperError> {
    let mut all = read(path)?;
    all.push(sealed);
    let text = serde_json::to_vec_pretty(&all).map_err(|e| KeeperError::file(path, &e))?;
    files::write_secret(path, &text).map_err(|e| KeeperError::file(path, &e))
}
