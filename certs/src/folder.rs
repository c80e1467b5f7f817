//! Where an identity lies on disk: its key (the owner's alone), its certificate, the authority, and where the coordinator is.

use std::path::{Path, PathBuf};

use platform::files;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::CertError;
use crate::identity::{self, Identity};

/// Where the coordinator is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinator {
    /// The federation.
    pub federation: String,
    /// `host:port`.
    pub address: String,
}

/// A folder with an identity.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// A folder; it need not be there yet.
    pub fn new(dir: &Path) -> Folder {
        Folder { dir: dir.to_owned() }
    }

    fn read(&self, name: &str) -> Result<Zeroizing<String>, CertError> {
        let path = self.dir.join(name);
        std::fs::read_to_string(&path).map(Zeroizing::new).map_err(|e| CertError::Unreadable {
            what: "identity",
            reason: format!("{}: {e}; enrol first", path.display()),
        })
    }

    /// The identity and the coordinator.
    ///
    /// # Errors
    /// There is none yet, or it can't be read.
    pub fn load(&self) -> Result<(Identity, Coordinator), CertError> {
        let identity = Identity {
            chain_pem: self.read("certificate.pem")?.to_string(),
            key_pem: self.read("private.key")?,
            ca_pem: self.read("authority.pem")?.to_string(),
        };
        let coordinator = serde_json::from_str(&self.read("coordinator.json")?)
            .map_err(|e| CertError::unreadable("coordinator's address", &e))?;
        Ok((identity, coordinator))
    }

    /// The key that a signing request is under way for: made once and kept, so that asking again after a lost answer asks for
    /// the same certificate.
    ///
    /// # Errors
    /// The disk fails.
    pub fn pending_key(&self) -> Result<Zeroizing<String>, CertError> {
        if let Ok(key) = self.read("pending.key") {
            return Ok(key);
        }
        let key = identity::new_key()?;
        self.write("pending.key", key.as_bytes(), true)?;
        Ok(key)
    }

    fn write(&self, name: &str, bytes: &[u8], secret: bool) -> Result<(), CertError> {
        let path = self.dir.join(name);
        let write = if secret { files::write_secret } else { files::write_atomic };
        write(&path, bytes)
            .map_err(|e| CertError::Unmade { what: "identity", reason: format!("{}: {e}", path.display()) })
    }

    /// Stores an identity whose certificate has come. The key goes last but one and the pending key last, so that a crash in
    /// between is mended by asking again.
    ///
    /// # Errors
    /// The disk fails.
    pub fn store(&self, identity: &Identity, coordinator: &Coordinator) -> Result<(), CertError> {
        let json = serde_json::to_string(coordinator).map_err(|e| CertError::unmade("coordinator's address", &e))?;
        self.write("authority.pem", identity.ca_pem.as_bytes(), false)?;
        self.write("coordinator.json", json.as_bytes(), false)?;
        self.write("private.key", identity.key_pem.as_bytes(), true)?;
        self.write("certificate.pem", identity.chain_pem.as_bytes(), false)?;
        let _ = std::fs::remove_file(self.dir.join("pending.key"));
        Ok(())
    }
}
