//! The federation's linkage key at this site: asked for, taken in, shown, forgotten.
//!
//! ```text
//!   state/linkage/request   the request under way, and the secret that opens its answer; removed when the key is taken in
//!   state/linkage/key       what is known of the key, then its 32 bytes; without the bytes once it was forgotten
//! ```
//!
//! The key is read at each ingestion and at each count of distinct patients, and kept nowhere else. Sealed keys travel as files,
//! by any channel; see [`certs::linkage`].
//!
//! * [`exchange`]: the request and its answer. [`verbs`]: the command line.

pub mod exchange;
#[cfg(test)]
pub(crate) mod tests;
pub mod verbs;

use std::path::PathBuf;

use certs::linkage::{LinkageError, secret_file};
use schema::linkage::LinkageKey;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Why the linkage key can't be asked for, taken in or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, a signature or a seal is wrong.
    #[error(transparent)]
    Linkage(#[from] LinkageError),
    /// The site is not enrolled, so that the federation is not known.
    #[error(transparent)]
    Cert(#[from] certs::CertError),
    /// The site's identity.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// There is no request.
    #[error("there is no request under way; make one with site-agent keys linkage request --out FILE")]
    NoRequest,
    /// The key is older than the one that is or was held.
    #[error(
        "the key is of generation {given}, and this site has had generation {held}; with --force an older key is taken"
    )]
    Older {
        /// The generation in the file.
        given: u64,
        /// The newest that the site has had.
        held: u64,
    },
    /// Two keys have one number.
    #[error("generation {0} of this site is another key; ask the custodian, or take this one with --force")]
    Differs(u64),
    /// The key held is of another custodian or another federation.
    #[error("the site has had a key of another {0}; ask why it changed, and take this one with --force")]
    Other(&'static str),
    /// What the seal says of the key is not so.
    #[error("the sealed key is not the key that it says; ask the custodian to seal it again")]
    KeyId,
    /// There is nothing to forget.
    #[error("this site holds no linkage key")]
    None,
    /// A file can't be removed.
    #[error("{path} can't be removed: {reason}")]
    Remove {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

/// What is known of the linkage key. The key itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The federation.
    pub federation: String,
    /// The custodian's fingerprint, as it was compared.
    pub custodian: String,
    /// The key's generation.
    pub generation: u64,
    /// The key's short name.
    pub key_id: String,
    /// When it was taken in, in microseconds since 1970.
    pub accepted_micros: i64,
}

pub(crate) fn key_file(config: &Config) -> PathBuf {
    config.state_dir().join("linkage/key")
}

/// What is known of the key that is or was held, and whether it still is.
///
/// # Errors
/// The file can't be used.
pub fn held(config: &Config) -> Result<Option<(Held, bool)>, Error> {
    let read = secret_file::read::<Held>(&key_file(config))?;
    Ok(read.map(|(held, secret)| (held, secret.is_some())))
}

/// The short name of the linkage key; empty where the site has none, or has forgotten it.
///
/// # Errors
/// The file can't be used.
pub fn key_id(config: &Config) -> Result<String, Error> {
    Ok(key(config)?.map(|k| k.id()).unwrap_or_default())
}

/// The linkage key; none where the site has none, or has forgotten it.
///
/// # Errors
/// The file can't be used.
pub fn key(config: &Config) -> Result<Option<LinkageKey>, Error> {
    let read = secret_file::read::<Held>(&key_file(config))?;
    Ok(read.and_then(|(_, secret)| secret).map(|secret| LinkageKey::new(&secret)))
}
