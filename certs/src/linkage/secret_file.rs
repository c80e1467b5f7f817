//! A secret on disk: one line of JSON that says what it is, then its 32 bytes. The owner's alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use platform::files;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{LinkageError, bytes_of};

fn wrong(path: &Path, reason: &dyn std::fmt::Display) -> LinkageError {
    LinkageError::File { path: path.display().to_string(), reason: reason.to_string() }
}

/// Writes a secret's file whole; without a secret, what is known of it alone.
///
/// # Errors
/// The disk fails.
pub fn write<T: Serialize>(path: &Path, about: &T, secret: Option<&[u8; 32]>) -> Result<(), LinkageError> {
    // Sized once: a buffer that grows leaves a part of the secret behind.
    let about = bytes_of(about);
    let mut bytes = Zeroizing::new(Vec::with_capacity(about.len() + 33));
    bytes.extend_from_slice(&about);
    bytes.push(b'\n');
    bytes.extend_from_slice(secret.map(<[u8; 32]>::as_slice).unwrap_or_default());
    files::write_secret(path, &bytes).map_err(|e| wrong(path, &e))
}

/// Reads a secret's file; `None` where there is none.
///
/// # Errors
/// Others may read it, or it is damaged.
#[allow(clippy::type_complexity)]
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<(T, Option<Zeroizing<[u8; 32]>>)>, LinkageError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(wrong(path, &e)),
    };
    let mode = std::fs::metadata(path).map_err(|e| wrong(path, &e))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(wrong(path, &"others may read this secret; give it to the account alone with chmod 600"));
    }
    let damaged = || wrong(path, &"it is damaged; bring it back from a copy, or ask for the key again");
    let at = bytes.iter().position(|b| *b == b'\n').ok_or_else(damaged)?;
    let (about, rest) = bytes.split_at(at);
    let about = serde_json::from_slice(about).map_err(|_| damaged())?;
    let secret = match rest.get(1..).unwrap_or_default() {
        [] => None,
        secret => Some(<[u8; 32]>::try_from(secret).map(Zeroizing::new).map_err(|_| damaged())?),
    };
    Ok(Some((about, secret)))
}
