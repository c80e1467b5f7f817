//! A federation's folder: its authority, the coordinator's own identity, the operator's, and its settings.
//!
//! ```text
//!   federation.json   name, address, life of certificates
//!   authority/        key (the owner's alone) and certificate
//!   server/           the coordinator's identity
//!   operator/         the identity of this machine's operator
//!   store/            RocksDB: registry and studies
//! ```

use std::path::{Path, PathBuf};

use certs::folder::Coordinator;
use certs::{Authority, Folder, Identity, Name, Role, identity};
use platform::{Clock, Entropy, files};
use privacy::secagg::IdentityKey;
use serde::{Deserialize, Serialize};

/// What a federation is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name, the trust domain of its certificates.
    pub name: String,
    /// Where the coordinator listens and where sites dial, `host:port`.
    pub address: String,
    /// The life of a certificate, in seconds.
    pub certificate_seconds: u64,
    /// The life of an invitation, in seconds.
    pub invitation_seconds: u64,
}

/// Why a federation can't be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// There is one already.
    #[error("{0} holds a federation already; give --home another folder")]
    Exists(String),
    /// There is none.
    #[error("{path} holds no federation: {reason}; run coordinator federation init NAME")]
    Missing {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// Certificates.
    #[error(transparent)]
    Cert(#[from] certs::CertError),
    /// Random bytes.
    #[error(transparent)]
    Entropy(#[from] platform::entropy::EntropyError),
    /// The disk.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// A federation's folder.
pub struct Federation {
    /// Where.
    pub home: PathBuf,
    /// What it is set to.
    pub settings: Settings,
    /// Its authority.
    pub authority: Authority,
}

fn wrong(path: &Path, e: &dyn std::fmt::Display) -> FederationError {
    FederationError::File { path: path.display().to_string(), reason: e.to_string() }
}

impl Federation {
    /// Makes a federation.
    ///
    /// # Errors
    /// There is one, or the disk fails.
    pub fn init(
        home: &Path,
        settings: Settings,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Federation, FederationError> {
        let file = home.join("federation.json");
        if file.exists() {
            return Err(FederationError::Exists(home.display().to_string()));
        }
        let now = u64::try_from(clock.now().seconds()).unwrap_or_default();
        let authority = Authority::create(&settings.name, now)?;
        let key = home.join("authority/key.pem");
        files::write_secret(&key, authority.key_pem().as_bytes()).map_err(|e| wrong(&key, &e))?;
        let cert = home.join("authority/certificate.pem");
        files::write_atomic(&cert, authority.ca_pem().as_bytes()).map_err(|e| wrong(&cert, &e))?;
        let federation = Federation { home: home.to_owned(), settings, authority };
        federation.own(Role::Coordinator, "server", clock, entropy)?;
        federation.own(Role::Operator, "operator", clock, entropy)?;
        // Last: a folder with this file is complete.
        let json = serde_json::to_vec_pretty(&federation.settings).map_err(|e| wrong(&file, &e))?;
        files::write_atomic(&file, &json).map_err(|e| wrong(&file, &e))?;
        Ok(federation)
    }

    /// Opens a federation.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn open(home: &Path) -> Result<Federation, FederationError> {
        let settings = Federation::settings(home)?;
        let read = |name: &str| {
            let path = home.join(name);
            std::fs::read_to_string(&path).map_err(|e| wrong(&path, &e))
        };
        let authority = Authority::load(&read("authority/key.pem")?, &read("authority/certificate.pem")?)?;
        Ok(Federation { home: home.to_owned(), settings, authority })
    }

    /// A federation's settings alone, without its authority.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn settings(home: &Path) -> Result<Settings, FederationError> {
        let missing = |e: &dyn std::fmt::Display| FederationError::Missing {
            path: home.display().to_string(),
            reason: e.to_string(),
        };
        let text = std::fs::read_to_string(home.join("federation.json")).map_err(|e| missing(&e))?;
        serde_json::from_str(&text).map_err(|e| missing(&e))
    }

    /// Makes a certificate for a role of this machine itself.
    ///
    /// # Errors
    /// The disk or the generator fails.
    pub fn own(
        &self,
        role: Role,
        folder: &str,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Identity, FederationError> {
        let key_pem = identity::new_key()?;
        let csr = identity::request(&key_pem)?;
        let name = Name::new(&self.settings.name, role, folder)?;
        let mut serial = [0; 16];
        entropy.fill(&mut serial)?;
        let now = u64::try_from(clock.now().seconds()).unwrap_or_default();
        let chain_pem = self.authority.issue(&csr, &name, serial, now, self.settings.certificate_seconds)?;
        let identity = Identity { chain_pem, key_pem, ca_pem: self.authority.ca_pem().to_owned() };
        let at = Coordinator { federation: self.settings.name.clone(), address: self.settings.address.clone() };
        Folder::new(&self.home.join(folder)).store(&identity, &at)?;
        Ok(identity)
    }

    /// The coordinator's long-term identity key, which signs what it saw of the sites' ledgers; made where there is none.
    ///
    /// # Errors
    /// The file can't be read or written, or holds no key.
    pub fn identity(&self, entropy: &dyn Entropy) -> Result<IdentityKey, FederationError> {
        Ok(certs::signing_key::load_or_make(&self.home.join("authority/signing.key"), entropy)?)
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.home.join("store")
    }
}
