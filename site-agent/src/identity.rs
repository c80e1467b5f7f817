//! The site's long-term identity key, and the fingerprints of other sites' keys that this site has pinned.
//!
//! The key is made at the first start and stays: it signs heads of the ledger and the site's part in secure rounds. Its
//! fingerprint is given to other hospitals by another way than the coordinator; theirs stand in `peers.toml`.

use std::collections::BTreeMap;

use platform::{Entropy, files};
use privacy::secagg::{Fingerprint, Identity, IdentityKey};
use proto::SiteId;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Something wrong with the key or the pins.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A fingerprint is none.
    #[error(
        "'{fingerprint}' is no fingerprint for {site}; it has 64 hexadecimal digits, as site-agent keys show prints them"
    )]
    Fingerprint {
        /// Whose.
        site: String,
        /// What was given.
        fingerprint: String,
    },
    /// A fingerprint is not pinned.
    #[error("{site} is not pinned: {why}")]
    Pin {
        /// For which site.
        site: String,
        /// Why not.
        why: String,
    },
    /// The key.
    #[error(transparent)]
    Key(#[from] certs::CertError),
}

fn file(path: &std::path::Path, e: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::File { path: path.display().to_string(), reason: e.to_string() }
}

/// The site's identity key; made where there is none.
///
/// # Errors
/// The file can't be read or written, or holds no key.
pub fn key(config: &Config, entropy: &dyn Entropy) -> Result<IdentityKey, IdentityError> {
    Ok(certs::signing_key::load_or_make(&config.state_dir().join("identity/signing.key"), entropy)?)
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    peers: BTreeMap<SiteId, String>,
}

/// The fingerprints that this site has pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    peers: BTreeMap<SiteId, Fingerprint>,
}

impl Pins {
    /// Reads `peers.toml`; none where there is no file.
    ///
    /// # Errors
    /// It can't be read, or holds what is no fingerprint.
    pub fn read(config: &Config) -> Result<Pins, IdentityError> {
        let path = config.home.join(&config.aggregation.peers);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Pins::default()),
            Err(e) => return Err(file(&path, &e)),
        };
        let read: File = toml::from_str(&text).map_err(|e| file(&path, &e))?;
        let parsed = read.peers.into_iter().map(|(site, text)| parse(&site, &text).map(|f| (site, f)));
        Ok(Pins { peers: parsed.collect::<Result<_, _>>()? })
    }

    /// Writes `peers.toml`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, config: &Config) -> Result<(), IdentityError> {
        let path = config.home.join(&config.aggregation.peers);
        let peers = self.peers.iter().map(|(s, f)| (s.clone(), certs::bundle::shown(f))).collect();
        let text = toml::to_string(&File { peers }).map_err(|e| file(&path, &e))?;
        files::write_atomic(&path, text.as_bytes()).map_err(|e| file(&path, &e))
    }

    /// Whether a fingerprint may be pinned for a site.
    ///
    /// # Errors
    /// It is this site's own, stands for another site, or another is pinned and is not to be replaced.
    pub fn check(
        &self,
        site: &SiteId,
        print: &Fingerprint,
        own_id: &SiteId,
        own: &Identity,
        replace: bool,
    ) -> Result<(), IdentityError> {
        let no = |why: String| Err(IdentityError::Pin { site: site.to_string(), why });
        if site == own_id || *print == own.fingerprint() {
            return no("this is the site's own id or key; pin those of the others".to_owned());
        }
        if let Some((other, _)) = self.peers.iter().find(|(s, f)| *s != site && *f == print) {
            return no(format!("the same key is pinned for {other}; one of the two is wrong"));
        }
        if !replace && self.peers.get(site).is_some_and(|f| f != print) {
            return no("another key is pinned for it. Ask its staff by telephone why it changed; then run again with --replace".to_owned());
        }
        Ok(())
    }

    /// Whether a fingerprint is pinned for a site that is not the identity's.
    pub fn contradicts(&self, site: &SiteId, identity: &Identity) -> bool {
        self.peers.get(site).is_some_and(|f| *f != identity.fingerprint())
    }

    /// Pins a site's fingerprint; another one replaces it.
    pub fn pin(&mut self, site: SiteId, fingerprint: Fingerprint) {
        self.peers.insert(site, fingerprint);
    }

    /// Takes a pin away; whether there was one.
    pub fn unpin(&mut self, site: &SiteId) -> bool {
        self.peers.remove(site).is_some()
    }

    /// Whether an identity is the one that was pinned for a site.
    pub fn knows(&self, site: &SiteId, identity: &Identity) -> bool {
        self.peers.get(site) == Some(&identity.fingerprint())
    }

    /// All of them.
    pub fn all(&self) -> &BTreeMap<SiteId, Fingerprint> {
        &self.peers
    }
}

/// A fingerprint from text.
///
/// # Errors
/// It is none.
pub fn parse(site: &SiteId, text: &str) -> Result<Fingerprint, IdentityError> {
    Fingerprint::parse(text).ok_or_else(|| IdentityError::Fingerprint {
        site: site.to_string(),
        fingerprint: text.chars().take(100).collect(),
    })
}
