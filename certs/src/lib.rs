//! Identity: who may speak, and as what.
//!
//! A federation has one certificate authority. Every site, analyst, operator and the coordinator itself has a name, a SPIFFE
//! URI in the certificate's subject alternative name, such as `spiffe://northsea/site/de-01`. Keys are made where they are
//! used; only a signing request travels. All keys are Ed25519.
//!
//! * [`name`]: names and roles.
//! * [`authority`]: the certificate authority and its revocation list.
//! * [`folder`]: where an identity lies on disk.
//! * [`identity`]: a key with its certificate.
//! * [`invitation`]: a one-use, expiring way in.
//! * [`peer`]: what a certificate says of its holder.
//! * [`tls`]: rustls configurations: TLS 1.3 alone, client certificates required, X25519MLKEM768 preferred.
//! * [`signature`]: signatures over plans.
//! * [`signing_key`]: a long-term identity key on disk.
//! * [`linkage`]: the linkage key on its way from its custodian to a site.
//! * [`entry`], [`head`], [`bundle`]: what left a site, as a chain that is signed, and its proof for others.

pub mod authority;
pub mod bundle;
pub mod entry;
pub mod folder;
pub mod head;
pub mod identity;
pub mod invitation;
pub mod linkage;
pub mod name;
pub mod peer;
pub mod signature;
pub mod signing_key;
pub mod tls;

pub use authority::Authority;
pub use folder::Folder;
pub use identity::Identity;
pub use invitation::Invitation;
pub use name::{Name, Role};
pub use peer::Peer;

/// What went wrong with an identity.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A name is malformed.
    #[error("'{0}' is no name of a federation; it looks like spiffe://federation/site/id")]
    Name(String),
    /// A certificate, key or request could not be read.
    #[error("the {what} could not be read: {reason}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A certificate or request could not be made.
    #[error("the {what} could not be made: {reason}")]
    Unmade {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A certificate does not chain to the federation's authority, is expired, or is revoked.
    #[error("the certificate is not accepted: {0}")]
    Untrusted(String),
    /// A signature does not fit.
    #[error("the signature does not fit the plan's hash and the signer's certificate")]
    Signature,
    /// A certificate has another role than needed.
    #[error("the certificate is for the role {has}, and {needs} is needed")]
    Role {
        /// The role it has.
        has: Role,
        /// The role that is needed.
        needs: Role,
    },
}

impl CertError {
    pub(crate) fn unreadable(what: &'static str, reason: &dyn std::fmt::Display) -> CertError {
        CertError::Unreadable { what, reason: reason.to_string() }
    }
    pub(crate) fn unmade(what: &'static str, reason: &dyn std::fmt::Display) -> CertError {
        CertError::Unmade { what, reason: reason.to_string() }
    }
}
