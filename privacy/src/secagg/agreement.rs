//! Keys of one round: X25519 (RFC 7748) agreement, and everything derived from it by HKDF-SHA-256 (RFC 5869).
//!
//! Every derivation names the instance, whose hash covers query, parameters, cohort, charge, model and round: two parties that
//! were told different things derive different keys (against model-inconsistency attacks, Pasquini et al. 2022).

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use super::{Instance, SecaggError};

struct Bytes32;
impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA-256 with the instance as the salt, and an info string of a word and two places.
pub(crate) fn derive(
    instance: &Instance,
    secret: &[u8],
    word: &str,
    from: u32,
    to: u32,
) -> Result<Zeroizing<[u8; 32]>, SecaggError> {
    let info: [&[u8]; 5] =
        [b"insitu secagg v1\0", &instance.0, word.as_bytes(), &from.to_be_bytes(), &to.to_be_bytes()];
    let mut out = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, &instance.0)
        .extract(secret)
        .expand(&info, Bytes32)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| SecaggError::Crypto("key derivation"))?;
    Ok(out)
}

/// A key pair for agreement.
pub(crate) struct Pair {
    secret: PrivateKey,
    pub(crate) public: [u8; 32],
}

impl Pair {
    pub(crate) fn from_secret(secret: &[u8; 32]) -> Result<Pair, SecaggError> {
        let wrong = |_| SecaggError::Crypto("key agreement");
        let secret = PrivateKey::from_private_key(&X25519, secret).map_err(|_| SecaggError::Crypto("key agreement"))?;
        let mut public = [0; 32];
        for (to, from) in public.iter_mut().zip(secret.compute_public_key().map_err(wrong)?.as_ref()) {
            *to = *from;
        }
        Ok(Pair { secret, public })
    }

    /// The secret shared with the holder of another public key. A point of small order is refused.
    pub(crate) fn agree(&self, other: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, SecaggError> {
        let mut out = Zeroizing::new([0; 32]);
        agreement::agree(
            &self.secret,
            UnparsedPublicKey::new(&X25519, other),
            SecaggError::Crypto("key agreement"),
            |raw| {
                for (to, from) in out.iter_mut().zip(raw) {
                    *to = *from;
                }
                Ok(())
            },
        )?;
        Ok(out)
    }
}

/// Whether a public key can be agreed with at all: a point of small order can't, whatever the other's secret is.
pub(crate) fn agreeable(public: &[u8; 32]) -> bool {
    Pair::from_secret(&[1; 32]).is_ok_and(|pair| pair.agree(public).is_ok())
}

/// ChaCha20-Poly1305 (RFC 8439) under a key that seals one message and no other: so the nonce is zero.
fn aead(key: &[u8; 32]) -> Result<LessSafeKey, SecaggError> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| SecaggError::Crypto("encryption"))?))
}

/// Seals a message under a key of its own.
pub(crate) fn seal(key: &[u8; 32], mut message: Vec<u8>) -> Result<Vec<u8>, SecaggError> {
    aead(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut message)
        .map_err(|_| SecaggError::Crypto("encryption"))?;
    Ok(message)
}

/// Opens a sealed message; `None` where it is not what was sealed under this key.
pub(crate) fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = {
        let key = aead(key).ok()?;
        key.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut buffer).ok()?.len()
    };
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    const BOB: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";

    fn hex(text: &str) -> [u8; 32] {
        let bytes: Vec<u8> = (0..64).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn the_standards_agreement() {
        let alice = Pair::from_secret(&hex(ALICE)).unwrap();
        let bob = Pair::from_secret(&hex(BOB)).unwrap();
        let both = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(alice.public, hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        assert_eq!(*alice.agree(&bob.public).unwrap(), both);
        assert_eq!(*bob.agree(&alice.public).unwrap(), both);
    }

    #[test]
    fn a_point_of_small_order_is_refused() {
        let pair = Pair::from_secret(&[9; 32]).unwrap();
        assert!(pair.agree(&[0; 32]).is_err());
        assert!(!agreeable(&[0; 32]) && agreeable(&pair.public));
    }

    #[test]
    fn keys_differ_by_instance_word_and_direction() {
        let d = |i: u8, w: &str, a, b| *derive(&Instance([i; 32]), b"s", w, a, b).unwrap();
        let all = [d(1, "mask", 0, 1), d(2, "mask", 0, 1), d(1, "share", 0, 1), d(1, "mask", 1, 0)];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let sealed = seal(&[1; 32], b"hello".to_vec()).unwrap();
        assert_eq!(open(&[1; 32], &sealed).unwrap().as_slice(), b"hello");
        assert!(open(&[2; 32], &sealed).is_none() && open(&[1; 32], &sealed[1..]).is_none());
        let mut changed = sealed;
        changed[0] ^= 1;
        assert!(open(&[1; 32], &changed).is_none());
    }
}
