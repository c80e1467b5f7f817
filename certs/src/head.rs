//! Signed heads of a site's ledger, and the coordinator's signature beside them.
//!
//! A head names how many entries the ledger has, the last one's hash, and the root of the Merkle tree over all. The site signs it
//! with its identity key, at least once a day; the coordinator signs what it has seen and keeps it. Neither can later show
//! another history of the same length without a signature against it.

use privacy::secagg::{Identity, IdentityKey};
use proto::{Hash, SiteId};
use serde::{Deserialize, Serialize};

use crate::CertError;

const HEAD: &[u8] = b"insitu ledger head v1\0";
const COSIGN: &[u8] = b"insitu ledger cosignature v1\0";

/// The head of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose.
    pub site: SiteId,
    /// How many entries.
    pub entries: u64,
    /// The hash of the last one; zeros without one.
    pub last: Hash,
    /// The root of the tree over the entries' hashes.
    pub root: Hash,
    /// When it was signed, in microseconds since 1970.
    pub at_micros: i64,
}

impl Head {
    /// The bytes that are signed: canonical JSON.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The day on which it was signed, in UTC, counted from 1970.
    pub fn day(&self) -> i64 {
        self.at_micros.div_euclid(86_400_000_000)
    }
}

/// A head with the site's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The head.
    pub head: Head,
    /// The site's public identity key, hexadecimal.
    pub identity: String,
    /// Over the head, hexadecimal.
    pub signature: String,
}

/// A signature beside a signed head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosignature {
    /// The coordinator's public identity key, hexadecimal.
    pub identity: String,
    /// Over the head, hexadecimal.
    pub signature: String,
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Hexadecimal digits as bytes.
///
/// # Errors
/// They are none, or not so many.
pub fn unhex<const N: usize>(text: &str) -> Result<[u8; N], CertError> {
    let wrong = || CertError::unreadable("signature", &"it is not in hexadecimal");
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(wrong());
    }
    let mut out = [0; N];
    for (slot, at) in out.iter_mut().zip((0..2 * N).step_by(2)) {
        *slot = text.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(wrong)?;
    }
    Ok(out)
}

impl SignedHead {
    /// Signs a head.
    pub fn sign(head: Head, key: &IdentityKey) -> SignedHead {
        let signature = hex(&key.sign(HEAD, &head.bytes()));
        SignedHead { identity: hex(&key.public().0), signature, head }
    }

    /// Checks the signature; returns whose it is. Whether that is the site's identity is for the caller to know.
    ///
    /// # Errors
    /// It does not verify.
    pub fn verify(&self) -> Result<Identity, CertError> {
        let identity = Identity(unhex(&self.identity)?);
        if identity.verifies(HEAD, &self.head.bytes(), &unhex::<64>(&self.signature)?) {
            Ok(identity)
        } else {
            Err(CertError::Untrusted("the signature of the ledger's head does not verify".to_owned()))
        }
    }

    fn cosigned(&self) -> Vec<u8> {
        [self.head.bytes().as_slice(), self.identity.as_bytes(), self.signature.as_bytes()].concat()
    }

    /// The coordinator's signature on it.
    pub fn cosign(&self, key: &IdentityKey) -> Cosignature {
        Cosignature { identity: hex(&key.public().0), signature: hex(&key.sign(COSIGN, &self.cosigned())) }
    }

    /// Checks the coordinator's signature; returns whose it is.
    ///
    /// # Errors
    /// It does not verify.
    pub fn verify_cosignature(&self, cosignature: &Cosignature) -> Result<Identity, CertError> {
        let identity = Identity(unhex(&cosignature.identity)?);
        if identity.verifies(COSIGN, &self.cosigned(), &unhex::<64>(&cosignature.signature)?) {
            Ok(identity)
        } else {
            Err(CertError::Untrusted("the coordinator's signature of the ledger's head does not verify".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn heads_verify_as_they_were_signed_and_not_otherwise() {
        let key = |b| IdentityKey::from_seed(&Zeroizing::new([b; 32])).unwrap();
        let head = Head {
            site: SiteId::parse("de-01").unwrap(),
            entries: 3,
            last: Hash([1; 32]),
            root: Hash([2; 32]),
            at_micros: 86_400_000_000,
        };
        assert_eq!(head.day(), 1);
        let signed = SignedHead::sign(head, &key(1));
        assert_eq!(signed.verify().unwrap(), key(1).public());
        let cosigned = signed.cosign(&key(2));
        assert_eq!(signed.verify_cosignature(&cosigned).unwrap(), key(2).public());
        let mut longer = signed.clone();
        longer.head.entries = 4;
        assert!(longer.verify().is_err() && longer.verify_cosignature(&cosigned).is_err());
        let mut other = signed.clone();
        other.identity = hex(&key(3).public().0);
        assert!(other.verify().is_err());
        assert!(unhex::<2>("0g00").is_err() && unhex::<2>("00").is_err() && unhex::<1>("é").is_err());
    }
}
