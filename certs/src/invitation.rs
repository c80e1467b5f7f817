//! A one-use, expiring way in: the coordinator's address, the federation's authority, and a short-lived certificate that
//! may do one thing, enrol.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::CertError;
use crate::identity::Identity;

const PREFIX: &str = "insitu-invitation-1.";

/// An invitation. It is a secret: whoever holds it first may enrol under its name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The federation.
    pub federation: String,
    /// Whom it is for: `site/de-01` or `analyst/ada`.
    pub subject: String,
    /// Where the coordinator listens, `host:port`.
    pub address: String,
    /// The federation's authority, PEM.
    pub ca_pem: String,
    /// The invitation's own certificate, PEM.
    pub chain_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// Until when it may be used, in seconds since 1970.
    pub expires_seconds: u64,
}

impl Invitation {
    /// The text to hand over.
    ///
    /// # Errors
    /// It can't be written (it always can).
    pub fn to_text(&self) -> Result<String, CertError> {
        let json = serde_json::to_vec(self).map_err(|e| CertError::unmade("invitation", &e))?;
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json)))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// It is none, or was cut.
    pub fn parse(text: &str) -> Result<Invitation, CertError> {
        let wrong = |e: &dyn std::fmt::Display| CertError::unreadable("invitation", e);
        let joined: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let body = joined.strip_prefix(PREFIX).ok_or_else(|| wrong(&"it does not begin with insitu-invitation-1"))?;
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| wrong(&"it was cut or changed on the way"))?;
        serde_json::from_slice(&json).map_err(|_| wrong(&"it was cut or changed on the way"))
    }

    /// The identity to enrol with.
    pub fn identity(&self) -> Identity {
        Identity {
            chain_pem: self.chain_pem.clone(),
            key_pem: Zeroizing::new(self.key_pem.clone()),
            ca_pem: self.ca_pem.clone(),
        }
    }
}
