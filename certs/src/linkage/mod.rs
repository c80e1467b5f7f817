//! How the federation's linkage key comes from its custodian to a site, by any channel, without the coordinator.
//!
//! ```text
//!   site                                              custodian
//!     │  Request: a fresh X25519 key, signed ────────►│  compares the site's fingerprint, by telephone or letter
//!     │                                               │  seals the linkage key to that X25519 key, signs
//!     │◄──────────────────────────────────  SealedKey │
//!     │  compares the custodian's fingerprint, opens
//! ```
//!
//! The seal is HPKE (RFC 9180) in base mode: X25519, HKDF-SHA-256, ChaCha20-Poly1305, from rustls over AWS-LC. Its `info` names
//! the federation, the site, both identities, the generation, the key's id and the request, so that a seal opens for what it
//! was made for and for nothing else. Who made it is shown by the custodian's Ed25519 signature over all of it.
//!
//! Both files are one line of canonical JSON: a file that was changed in any byte is refused.
//!
//! * [`request`]: what a site asks with. [`seal`]: what comes back. [`secret_file`]: how a secret lies on disk.

pub mod request;
pub mod seal;
pub mod secret_file;

pub use request::{PendingKey, Request};
pub use seal::{Opened, SealedKey, Terms};

use privacy::secagg::Fingerprint;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305;
use rustls::crypto::hpke::Hpke;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::head::{hex, unhex};

/// Why a request or a sealed key is refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkageError {
    /// The file is not what it should be.
    #[error("this is no {what}, or it was changed on the way; have it made and sent again")]
    Unreadable {
        /// What it should be.
        what: &'static str,
    },
    /// The signature does not verify.
    #[error("the {whose} signature does not verify: the file was changed or forged; have it made and sent again")]
    Signature {
        /// Whose.
        whose: &'static str,
    },
    /// Somebody else signed.
    #[error(
        "the {whose} fingerprint is {found}, and {expected} was given; compare it with the staff by telephone, and do not go on"
    )]
    Fingerprint {
        /// Whose.
        whose: &'static str,
        /// Whose signature it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// It is for another federation.
    #[error("the request is for the federation '{found}', and this is the custodian of '{own}'")]
    Federation {
        /// What it says.
        found: String,
        /// This one.
        own: String,
    },
    /// It answers another request.
    #[error("the key is sealed for another request; make a new one and have the key sealed to that")]
    OtherRequest,
    /// The seal does not open, or holds another key than it says.
    #[error("the seal does not open; make a new request and have the key sealed to that")]
    Seal,
    /// A primitive failed.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// A secret's file can't be used.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

fn suite() -> &'static dyn Hpke {
    DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305
}

/// Canonical JSON: the fields in their order, without white space.
fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads canonical JSON; white space around it is not looked at, since mail adds some.
fn parse<T: Serialize + DeserializeOwned>(text: &str, what: &'static str) -> Result<T, LinkageError> {
    let text = text.trim();
    let value: T = serde_json::from_str(text).map_err(|_| LinkageError::Unreadable { what })?;
    if bytes_of(&value) == text.as_bytes() { Ok(value) } else { Err(LinkageError::Unreadable { what }) }
}

fn line_of<T: Serialize>(value: &T) -> String {
    String::from_utf8_lossy(&bytes_of(value)).into_owned() + "\n"
}

/// Hexadecimal digits as bytes, in lower case alone, so that bytes have one text.
fn exact<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], LinkageError> {
    unhex::<N>(text).ok().filter(|b| hex(b) == text).ok_or(LinkageError::Unreadable { what })
}

/// Whether a fingerprint is the one that people compared.
fn same(whose: &'static str, found: &Fingerprint, expected: &Fingerprint) -> Result<(), LinkageError> {
    if found == expected {
        return Ok(());
    }
    let shown = crate::bundle::shown;
    Err(LinkageError::Fingerprint { whose, found: shown(found), expected: shown(expected) })
}

#[cfg(test)]
mod tests;
