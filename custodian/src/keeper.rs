//! The folder with the linkage key and the custodian's identity, and what is done with them.
//!
//! ```text
//!   identity.key   the seed of the Ed25519 identity
//!   linkage.key    federation, generation and the 32 bytes of the key; only the newest generation is kept
//!   sealed.json    for whom it was sealed
//! ```

use std::path::{Path, PathBuf};

use certs::linkage::{LinkageError, Request, SealedKey, Terms, secret_file};
use platform::{Clock, Entropy};
use privacy::secagg::{Fingerprint, IdentityKey};
use schema::linkage::LinkageKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::register::{self, Sealed};

/// What went wrong at the custodian.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// There is a key already.
    #[error("{0} holds a linkage key already; make a new one with custodian rotate, or choose another folder")]
    Exists(String),
    /// There is no key.
    #[error("{0} holds no linkage key; make one with custodian init, or give --dir the folder that holds it")]
    Missing(String),
    /// The federation's name is malformed.
    #[error("'{0}' is no name of a federation; it has 1 to 64 of a-z, 0-9 and -")]
    Name(String),
    /// The number of generations is used up.
    #[error("there is no generation after this one")]
    Generations,
    /// A file can't be used.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A request is refused, or a key can't be sealed.
    #[error(transparent)]
    Linkage(#[from] LinkageError),
    /// The identity key.
    #[error(transparent)]
    Identity(#[from] certs::CertError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] platform::entropy::EntropyError),
}

impl KeeperError {
    pub(crate) fn file(path: &Path, reason: &dyn std::fmt::Display) -> KeeperError {
        KeeperError::File { path: path.display().to_string(), reason: reason.to_string() }
    }

    /// Whether a request was refused for what it says, rather than that something failed.
    pub fn refuses(&self) -> bool {
        use LinkageError::{Federation, Fingerprint, Signature, Unreadable};
        matches!(
            self,
            KeeperError::Linkage(Unreadable { .. } | Signature { .. } | Fingerprint { .. } | Federation { .. })
        )
    }
}

/// What is written before the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    federation: String,
    generation: u64,
    made_micros: i64,
}

/// What may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The federation.
    pub federation: String,
    /// The custodian's fingerprint: hospitals compare it.
    pub fingerprint: String,
    /// The key's generation.
    pub generation: u64,
    /// The key's short name, which says nothing of the key.
    pub key_id: String,
    /// When this generation was made, in microseconds since 1970.
    pub made_micros: i64,
    /// Seals of this generation.
    pub sealed: usize,
}

/// The holder of the key. It has no `Debug` and no codec.
pub struct Keeper {
    dir: PathBuf,
    about: About,
    secret: Zeroizing<[u8; 32]>,
    identity: IdentityKey,
}

impl Keeper {
    /// Makes an identity and the first key.
    ///
    /// # Errors
    /// There is a key already, or the disk fails.
    pub fn init(dir: &Path, federation: &str, entropy: &dyn Entropy, clock: &dyn Clock) -> Result<Keeper, KeeperError> {
        if certs::Name::new(federation, certs::Role::Site, "x").is_err() {
            return Err(KeeperError::Name(federation.chars().filter(|c| !c.is_control()).take(80).collect()));
        }
        if dir.join("linkage.key").exists() {
            return Err(KeeperError::Exists(dir.display().to_string()));
        }
        let identity = certs::signing_key::load_or_make(&dir.join("identity.key"), entropy)?;
        let about = About { federation: federation.to_owned(), generation: 1, made_micros: clock.now().0 };
        let keeper = Keeper { dir: dir.to_owned(), about, secret: Zeroizing::new(entropy.secret()?), identity };
        keeper.store()?;
        Ok(keeper)
    }

    /// Opens the folder.
    ///
    /// # Errors
    /// There is no key, or a file is damaged.
    pub fn open(dir: &Path, entropy: &dyn Entropy) -> Result<Keeper, KeeperError> {
        let missing = || KeeperError::Missing(dir.display().to_string());
        if !dir.join("identity.key").exists() {
            return Err(missing());
        }
        let (about, secret) = secret_file::read::<About>(&dir.join("linkage.key"))?.ok_or_else(missing)?;
        let identity = certs::signing_key::load_or_make(&dir.join("identity.key"), entropy)?;
        Ok(Keeper { dir: dir.to_owned(), about, secret: secret.ok_or_else(missing)?, identity })
    }

    fn store(&self) -> Result<(), KeeperError> {
        Ok(secret_file::write(&self.dir.join("linkage.key"), &self.about, Some(&self.secret))?)
    }

    fn key_id(&self) -> String {
        LinkageKey::new(&self.secret).id()
    }

    /// Everybody for whom a key was sealed, in order.
    ///
    /// # Errors
    /// The list can't be read.
    pub fn sealed(&self) -> Result<Vec<Sealed>, KeeperError> {
        register::read(&self.dir.join("sealed.json"))
    }

    /// What may be shown; never the key.
    ///
    /// # Errors
    /// The list of seals can't be read.
    pub fn shown(&self) -> Result<Shown, KeeperError> {
        Ok(Shown {
            federation: self.about.federation.clone(),
            fingerprint: certs::bundle::shown(&self.identity.public().fingerprint()),
            generation: self.about.generation,
            key_id: self.key_id(),
            made_micros: self.about.made_micros,
            sealed: self.sealed()?.iter().filter(|s| s.generation == self.about.generation).count(),
        })
    }

    /// Seals the key to a request of the site whose fingerprint was compared. The seal is in the list before it is given out.
    ///
    /// # Errors
    /// The request is refused, or the disk fails.
    pub fn seal(
        &self,
        request: &Request,
        fingerprint: &Fingerprint,
        clock: &dyn Clock,
    ) -> Result<SealedKey, KeeperError> {
        let terms = Terms {
            federation: self.about.federation.clone(),
            generation: self.about.generation,
            key_id: self.key_id(),
        };
        let key = SealedKey::seal(&self.secret, terms, request, fingerprint, &self.identity)?;
        let entry = Sealed {
            site: request.request.site.clone(),
            fingerprint: certs::bundle::shown(fingerprint),
            generation: self.about.generation,
            key_id: self.key_id(),
            request: request.hash(),
            at_micros: clock.now().0,
        };
        register::add(&self.dir.join("sealed.json"), entry)?;
        Ok(key)
    }

    /// Makes a new key; the old one is gone.
    ///
    /// # Errors
    /// The disk fails; the old key stays.
    pub fn rotate(&mut self, entropy: &dyn Entropy, clock: &dyn Clock) -> Result<(), KeeperError> {
        let generation = self.about.generation.checked_add(1).ok_or(KeeperError::Generations)?;
        let about = About { generation, made_micros: clock.now().0, ..self.about.clone() };
        let secret = Zeroizing::new(entropy.secret()?);
        secret_file::write(&self.dir.join("linkage.key"), &about, Some(&secret))?;
        (self.about, self.secret) = (about, secret);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::{Micros, OsEntropy};
    use proto::SiteId;

    fn at(micros: i64) -> platform::ManualClock {
        platform::ManualClock::at(Micros(micros))
    }

    fn files(dir: &Path) -> Vec<u8> {
        std::fs::read_dir(dir).unwrap().flat_map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn a_key_is_made_once_and_rotated_and_the_list_says_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Keeper::open(dir.path(), &OsEntropy), Err(KeeperError::Missing(_))));
        assert!(matches!(Keeper::init(dir.path(), "No Name", &OsEntropy, &at(1)), Err(KeeperError::Name(_))));
        let mut keeper = Keeper::init(dir.path(), "north", &OsEntropy, &at(5)).unwrap();
        assert!(matches!(Keeper::init(dir.path(), "north", &OsEntropy, &at(1)), Err(KeeperError::Exists(_))));
        let first = keeper.shown().unwrap();
        let site = IdentityKey::from_seed(&Zeroizing::new([1; 32])).unwrap();
        let print = site.public().fingerprint();
        let (request, pending) = Request::make("north", &SiteId::parse("de-01").unwrap(), &site).unwrap();
        let sealed = keeper.seal(&request, &print, &at(7)).unwrap();
        let opened = sealed.open(&request, &pending, &keeper.identity.public().fingerprint()).unwrap();
        assert_eq!((*opened.secret, opened.terms.generation), (*keeper.secret, 1));
        let wrong = keeper.seal(&request, &keeper.identity.public().fingerprint(), &at(8)).unwrap_err();
        assert!(wrong.refuses() && keeper.sealed().unwrap().len() == 1, "what was refused is not in the list");
        let old = keeper.secret.clone();
        keeper.rotate(&OsEntropy, &at(9)).unwrap();
        let again = Keeper::open(dir.path(), &OsEntropy).unwrap().shown().unwrap();
        assert_eq!((again.generation, again.sealed, again.made_micros), (2, 0, 9));
        assert_eq!(again.fingerprint, first.fingerprint);
        assert_ne!(again.key_id, first.key_id);
        assert_eq!(keeper.sealed().unwrap()[0].generation, 1);
        assert!(!files(dir.path()).windows(32).any(|w| w == old.as_slice()), "the old key is gone");
    }
}
