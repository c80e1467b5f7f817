//! A site's request: a fresh X25519 key under the site's long-term signature.

use privacy::secagg::{Fingerprint, Identity, IdentityKey};
use proto::{Hash, SiteId};
use rustls::crypto::hpke::{HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{LinkageError, bytes_of, exact, line_of, parse, same, suite};
use crate::head::hex;

const FORMAT: &str = "insitu-linkage-request-1";
const DOMAIN: &[u8] = b"insitu linkage request v1\0";
const WHAT: &str = "request for a linkage key";

/// What is asked, without the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The format of the file.
    pub format: String,
    /// The federation.
    pub federation: String,
    /// The site.
    pub site: SiteId,
    /// The site's public identity key, hexadecimal.
    pub identity: String,
    /// The fresh public X25519 key, hexadecimal.
    pub key: String,
}

/// A request. It holds no secret; any channel will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is asked.
    pub request: Body,
    /// The site's signature, hexadecimal.
    pub signature: String,
}

/// The secret half of a request's X25519 key. It opens one seal and is then removed. It has no `Debug` and no codec.
pub struct PendingKey {
    secret: Zeroizing<[u8; 32]>,
}

impl PendingKey {
    /// From its bytes on disk.
    pub fn from_bytes(secret: Zeroizing<[u8; 32]>) -> PendingKey {
        PendingKey { secret }
    }

    /// Its bytes, for the disk of the site that made it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    pub(super) fn private(&self) -> HpkePrivateKey {
        HpkePrivateKey::from(self.secret.to_vec())
    }
}

impl Request {
    /// A new request with a new key, whose secret half stays.
    ///
    /// # Errors
    /// The generator failed.
    pub fn make(
        federation: &str,
        site: &SiteId,
        identity: &IdentityKey,
    ) -> Result<(Request, PendingKey), LinkageError> {
        let failed = || LinkageError::Crypto("making a key");
        let (public, private) = suite().generate_key_pair().map_err(|_| failed())?;
        let secret = <[u8; 32]>::try_from(private.secret_bytes()).map(Zeroizing::new).map_err(|_| failed())?;
        let request = Body {
            format: FORMAT.to_owned(),
            federation: federation.to_owned(),
            site: site.clone(),
            identity: hex(&identity.public().0),
            key: hex(&public.0),
        };
        let signature = hex(&identity.sign(DOMAIN, &bytes_of(&request)));
        Ok((Request { request, signature }, PendingKey { secret }))
    }

    /// Reads a request. Its signature is not checked yet.
    ///
    /// # Errors
    /// It is none, or not in canonical form.
    pub fn parse(text: &str) -> Result<Request, LinkageError> {
        let request: Request = parse(text, WHAT)?;
        if request.request.format == FORMAT { Ok(request) } else { Err(LinkageError::Unreadable { what: WHAT }) }
    }

    /// The text to hand over.
    pub fn to_text(&self) -> String {
        line_of(self)
    }

    /// Checks the signature and that the signer is the site whose fingerprint was compared.
    ///
    /// # Errors
    /// Either does not hold.
    pub fn verify(&self, fingerprint: &Fingerprint) -> Result<Identity, LinkageError> {
        let identity = self.identity()?;
        let signature: [u8; 64] = exact(&self.signature, WHAT)?;
        if !identity.verifies(DOMAIN, &bytes_of(&self.request), &signature) {
            return Err(LinkageError::Signature { whose: "site's" });
        }
        same("site's", &identity.fingerprint(), fingerprint)?;
        Ok(identity)
    }

    /// The hash that a seal names.
    pub fn hash(&self) -> Hash {
        Hash::of_parts(&[DOMAIN, &bytes_of(self)])
    }

    pub(super) fn identity(&self) -> Result<Identity, LinkageError> {
        exact(&self.request.identity, WHAT).map(Identity)
    }

    pub(super) fn public(&self) -> Result<HpkePublicKey, LinkageError> {
        let key: [u8; 32] = exact(&self.request.key, WHAT)?;
        Ok(HpkePublicKey(key.to_vec()))
    }
}
