//! Linkage tags: one person has one tag at every hospital of a federation, and nobody else can tell whose it is.
//!
//! ```text
//!   national or insurance number, as the hospital writes it
//!     │  id::normalised                           case, spaces and separators go
//!     ▼
//!   HMAC-SHA-256(linkage key, "insitu linkage tag v1\0" ‖ id)           LinkageTag: the column patient.linkage_tag
//!     │
//!     ▼
//!   HMAC-SHA-256(release key, "insitu release tag v1\0" ‖ tag)          32 bytes for one release
//!                 └ HMAC-SHA-256(linkage key, "insitu release key v1\0" ‖ instance)
//! ```
//!
//! The linkage key is the federation's: a custodian who is not the coordinator makes it, and every hospital holds it. Whoever
//! holds it can try all ids that there are, so it must not come to the coordinator. The tag of a release is made under a
//! fresh key each time, as `summaries::distinct` needs it: under one key a patient is kept in all releases or in none.
//!
//! * [`id`]: how an id is read, however it was typed.

pub mod id;

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

const TAG: &[u8] = b"insitu linkage tag v1\0";
const KEY_ID: &[u8] = b"insitu linkage key id v1\0";
const RELEASE_KEY: &[u8] = b"insitu release key v1\0";
const RELEASE_TAG: &[u8] = b"insitu release tag v1\0";

/// HMAC-SHA-256 of parts one after the other; each domain ends in a zero byte and stands first.
fn prf(secret: &[u8], domain: &[u8], message: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(domain);
    context.update(message);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

/// The federation's linkage key at a site. It has no `Debug`, no codec, and no way to its bytes; they are overwritten when it
/// goes.
///
/// ```compile_fail
/// println!("{:?}", schema::linkage::LinkageKey::new(&[1; 32]));
/// ```
/// ```compile_fail
/// fn to_json<T: serde::Serialize>(_: &T) {}
/// to_json(&schema::linkage::LinkageKey::new(&[1; 32]));
/// ```
pub struct LinkageKey {
    secret: Zeroizing<Vec<u8>>,
}

impl LinkageKey {
    /// From its 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> LinkageKey {
        LinkageKey { secret: Zeroizing::new(secret.to_vec()) }
    }

    /// A short name of the key, 16 hexadecimal digits. It says which key made a tag, and nothing of the key.
    pub fn id(&self) -> String {
        prf(&self.secret, KEY_ID, &[]).iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    /// The tag of an id as a hospital writes it; `None` where nothing is left of it.
    pub fn tag(&self, raw: &str) -> Option<LinkageTag> {
        let id = id::normalised(raw)?;
        Some(LinkageTag(prf(&self.secret, TAG, id.as_bytes())))
    }

    /// The key of one release. `instance` is what all its sites agree on and what is never used twice: for a secure round,
    /// the 32 bytes of `privacy::secagg::Instance`.
    pub fn for_release(&self, instance: &[u8; 32]) -> ReleaseKey {
        ReleaseKey { secret: Zeroizing::new(prf(&self.secret, RELEASE_KEY, instance).to_vec()) }
    }
}

/// The key of one release: derived once, for all patients of a site. It has no `Debug` and no codec.
pub struct ReleaseKey {
    secret: Zeroizing<Vec<u8>>,
}

impl ReleaseKey {
    /// The tag of a patient in this release: 32 bytes of a PRF, as `summaries::distinct::Distinct::cell_of` reads them.
    pub fn tag(&self, tag: &LinkageTag) -> [u8; 32] {
        prf(&self.secret, RELEASE_TAG, &tag.0)
    }
}

/// The tag of one patient in one release. For many patients, [`LinkageKey::for_release`] derives the key once.
pub fn release_tag(key: &LinkageKey, tag: &LinkageTag, instance: &[u8; 32]) -> [u8; 32] {
    key.for_release(instance).tag(tag)
}

/// A person's tag under a linkage key. It stays at the site; it is never printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkageTag([u8; 32]);

impl LinkageTag {
    /// From the bytes of the column.
    pub fn from_bytes(bytes: [u8; 32]) -> LinkageTag {
        LinkageTag(bytes)
    }

    /// The bytes for the column.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for LinkageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkageTag(..)")
    }
}

#[cfg(test)]
mod tests;
