//! The sealed key: for one request of one site, signed by the custodian.

use privacy::secagg::{Fingerprint, Identity, IdentityKey};
use proto::{Hash, SiteId};
use rustls::crypto::hpke::EncapsulatedSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{LinkageError, PendingKey, Request, bytes_of, exact, line_of, parse, same, suite};
use crate::head::hex;

const FORMAT: &str = "insitu-linkage-key-1";
const INFO: &[u8] = b"insitu linkage seal v1\0";
const DOMAIN: &[u8] = b"insitu linkage key v1\0";
const WHAT: &str = "sealed linkage key";
/// 32 bytes and the tag of ChaCha20-Poly1305.
const CIPHERTEXT: usize = 48;

/// What is said of the key, beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The federation.
    pub federation: String,
    /// Counts up with each new key.
    pub generation: u64,
    /// The key's short name.
    pub key_id: String,
}

/// What the seal is bound to: its bytes are the `info` of HPKE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The format of the file.
    pub format: String,
    /// Federation, generation, name of the key.
    pub terms: Terms,
    /// The site.
    pub site: SiteId,
    /// The site's public identity key, hexadecimal.
    pub site_identity: String,
    /// The custodian's public identity key, hexadecimal.
    pub custodian_identity: String,
    /// The hash of the request.
    pub request: Hash,
}

/// A bound seal, without the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What it is bound to.
    pub bound: Bound,
    /// HPKE's encapsulated secret, hexadecimal.
    pub encapsulated: String,
    /// The sealed key, hexadecimal.
    pub ciphertext: String,
}

/// A linkage key sealed to a site. Only the maker of the request can open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKey {
    /// What was sealed.
    pub sealed: Body,
    /// The custodian's signature, hexadecimal.
    pub signature: String,
}

/// What was in a seal. It has no `Debug` and no codec.
pub struct Opened {
    /// The key.
    pub secret: Zeroizing<[u8; 32]>,
    /// What the custodian says of it.
    pub terms: Terms,
}

fn info(bound: &Bound) -> Vec<u8> {
    [INFO, &bytes_of(bound)].concat()
}

impl SealedKey {
    /// Seals a key to a request whose site's fingerprint was compared.
    ///
    /// # Errors
    /// The request's signature, fingerprint or federation does not fit.
    pub fn seal(
        secret: &[u8; 32],
        terms: Terms,
        request: &Request,
        fingerprint: &Fingerprint,
        custodian: &IdentityKey,
    ) -> Result<SealedKey, LinkageError> {
        let identity = request.verify(fingerprint)?;
        if request.request.federation != terms.federation {
            let found = request.request.federation.chars().take(80).collect();
            return Err(LinkageError::Federation { found, own: terms.federation });
        }
        let bound = Bound {
            format: FORMAT.to_owned(),
            terms,
            site: request.request.site.clone(),
            site_identity: hex(&identity.0),
            custodian_identity: hex(&custodian.public().0),
            request: request.hash(),
        };
        let (encapsulated, ciphertext) = suite()
            .seal(&info(&bound), &[], secret, &request.public()?)
            .map_err(|_| LinkageError::Crypto("sealing"))?;
        let sealed = Body { bound, encapsulated: hex(&encapsulated.0), ciphertext: hex(&ciphertext) };
        let signature = hex(&custodian.sign(DOMAIN, &bytes_of(&sealed)));
        Ok(SealedKey { sealed, signature })
    }

    /// Reads a sealed key. Nothing is checked yet.
    ///
    /// # Errors
    /// It is none, or not in canonical form.
    pub fn parse(text: &str) -> Result<SealedKey, LinkageError> {
        let key: SealedKey = parse(text, WHAT)?;
        if key.sealed.bound.format == FORMAT { Ok(key) } else { Err(LinkageError::Unreadable { what: WHAT }) }
    }

    /// The text to hand over.
    pub fn to_text(&self) -> String {
        line_of(self)
    }

    /// Checks that the custodian whose fingerprint was compared signed, that it answers this request, and opens it.
    ///
    /// # Errors
    /// Which of these does not hold.
    pub fn open(
        &self,
        request: &Request,
        pending: &PendingKey,
        custodian: &Fingerprint,
    ) -> Result<Opened, LinkageError> {
        let bound = &self.sealed.bound;
        let signer = Identity(exact(&bound.custodian_identity, WHAT)?);
        let signature: [u8; 64] = exact(&self.signature, WHAT)?;
        if !signer.verifies(DOMAIN, &bytes_of(&self.sealed), &signature) {
            return Err(LinkageError::Signature { whose: "custodian's" });
        }
        same("custodian's", &signer.fingerprint(), custodian)?;
        let own = &request.request;
        let fits = bound.request == request.hash()
            && bound.site == own.site
            && bound.site_identity == own.identity
            && bound.terms.federation == own.federation;
        if !fits {
            return Err(LinkageError::OtherRequest);
        }
        let encapsulated: [u8; 32] = exact(&self.sealed.encapsulated, WHAT)?;
        let ciphertext: [u8; CIPHERTEXT] = exact(&self.sealed.ciphertext, WHAT)?;
        let plain = suite()
            .open(&EncapsulatedSecret(encapsulated.to_vec()), &info(bound), &[], &ciphertext, &pending.private())
            .map(Zeroizing::new)
            .map_err(|_| LinkageError::Seal)?;
        let secret = <[u8; 32]>::try_from(plain.as_slice()).map(Zeroizing::new).map_err(|_| LinkageError::Seal)?;
        Ok(Opened { secret, terms: bound.terms.clone() })
    }
}
