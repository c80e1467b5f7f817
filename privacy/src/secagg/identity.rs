//! The long-term identity of a site: an Ed25519 key (RFC 8032) that is certified out of band, by its fingerprint.
//!
//! It is not the key of the site's TLS certificate: that one is issued by the federation's authority, which the coordinator
//! holds. Whoever pins a fingerprint does not have to trust the authority.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

const FINGERPRINT: &[u8] = b"insitu identity v1\0";

/// The key can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity key can't be used: it is no Ed25519 seed of 32 bytes")]
pub struct IdentityError;

/// The secret half. It has no `Debug`.
pub struct IdentityKey {
    pair: Ed25519KeyPair,
}

impl IdentityKey {
    /// From its 32-byte seed.
    ///
    /// # Errors
    /// The seed is refused.
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Result<IdentityKey, IdentityError> {
        Ok(IdentityKey { pair: Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| IdentityError)? })
    }

    /// The public half.
    pub fn public(&self) -> Identity {
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(self.pair.public_key().as_ref()) {
            *to = *from;
        }
        Identity(out)
    }

    /// Signs a message under a domain; no signature is valid under another.
    pub fn sign(&self, domain: &[u8], message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(&[domain, message].concat());
        let mut out = [0; 64];
        for (to, from) in out.iter_mut().zip(signature.as_ref()) {
            *to = *from;
        }
        out
    }
}

/// The public half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// What people compare over the telephone: SHA-256 of a domain and the key, as 64 hexadecimal digits.
    pub fn fingerprint(&self) -> Fingerprint {
        let hash = digest(&SHA256, &[FINGERPRINT, &self.0].concat());
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Fingerprint(out)
    }

    /// Whether a signature under a domain is this identity's.
    pub fn verifies(&self, domain: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&[domain, message].concat(), signature).is_ok()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fingerprint())
    }
}

/// The fingerprint of an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// From 64 hexadecimal digits, in groups or not.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | ':' | '-')).collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut out = [0; 32];
        for (slot, at) in out.iter_mut().zip((0..64).step_by(2)) {
            *slot = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        Some(Fingerprint(out))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_key_domain_and_message() {
        let key = IdentityKey::from_seed(&Zeroizing::new([1; 32])).unwrap();
        let other = IdentityKey::from_seed(&Zeroizing::new([2; 32])).unwrap();
        let s = key.sign(b"a\0", b"m");
        assert!(key.public().verifies(b"a\0", b"m", &s));
        assert!(!key.public().verifies(b"b\0", b"m", &s) && !key.public().verifies(b"a\0", b"n", &s));
        assert!(!other.public().verifies(b"a\0", b"m", &s) && !key.public().verifies(b"a\0", b"m", &s[1..]));
    }

    #[test]
    fn a_fingerprint_reads_back_grouped_or_not() {
        let f = IdentityKey::from_seed(&Zeroizing::new([3; 32])).unwrap().public().fingerprint();
        let grouped =
            f.to_string().as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>();
        assert_eq!(Fingerprint::parse(&grouped.join(" ")), Some(f));
        assert_eq!(Fingerprint::parse(&f.to_string().to_uppercase()), Some(f));
        assert!(Fingerprint::parse("ab").is_none() && Fingerprint::parse(&"g".repeat(64)).is_none());
    }
}
