//! A request for the linkage key, and the sealed key that answers it.

use std::path::{Path, PathBuf};

use certs::linkage::{LinkageError, PendingKey, Request, SealedKey, secret_file};
use platform::{Clock, Entropy};
use privacy::secagg::Fingerprint;
use schema::linkage::LinkageKey;

use super::{Error, Held, held, key_file};
use crate::config::Config;
use crate::{enroll, identity};

fn request_file(config: &Config) -> PathBuf {
    config.state_dir().join("linkage/request")
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Remove { path: path.display().to_string(), reason: e.to_string() })
        }
        _ => Ok(()),
    }
}

/// Makes a request with a fresh key, signed by this site. It takes the place of one under way.
///
/// # Errors
/// The site is not enrolled, or the disk fails.
pub fn request(config: &Config, entropy: &dyn Entropy) -> Result<Request, Error> {
    let (_, coordinator) = enroll::folder(config).load()?;
    let identity = identity::key(config, entropy)?;
    let (request, pending) = Request::make(&coordinator.federation, &config.id, &identity)?;
    secret_file::write(&request_file(config), &request, Some(pending.bytes()))?;
    Ok(request)
}

/// Takes in a sealed key: signed by the custodian whose fingerprint was compared, for the request under way, and not older than
/// what the site has had unless `force` says so.
///
/// # Errors
/// Which of these does not hold.
pub fn accept(
    config: &Config,
    text: &str,
    custodian: &Fingerprint,
    force: bool,
    clock: &dyn Clock,
) -> Result<Held, Error> {
    let sealed = SealedKey::parse(text)?;
    let path = request_file(config);
    let (request, pending) = match secret_file::read::<Request>(&path)? {
        Some((request, Some(secret))) => (request, PendingKey::from_bytes(secret)),
        _ => return Err(Error::NoRequest),
    };
    let opened = sealed.open(&request, &pending, custodian)?;
    if LinkageKey::new(&opened.secret).id() != opened.terms.key_id {
        return Err(Error::KeyId);
    }
    let new = Held {
        federation: opened.terms.federation,
        custodian: certs::bundle::shown(custodian),
        generation: opened.terms.generation,
        key_id: opened.terms.key_id,
        accepted_micros: clock.now().0,
    };
    if let Some((old, _)) = held(config)?
        && !force
    {
        follows(&old, &new)?;
    }
    secret_file::write(&key_file(config), &new, Some(&opened.secret))?;
    remove(&path)?;
    Ok(new)
}

/// Whether a key may take another's place without anybody insisting.
fn follows(old: &Held, new: &Held) -> Result<(), Error> {
    if old.custodian != new.custodian {
        return Err(Error::Other("custodian"));
    }
    if old.federation != new.federation {
        return Err(Error::Other("federation"));
    }
    if new.generation < old.generation {
        return Err(Error::Older { given: new.generation, held: old.generation });
    }
    if new.generation == old.generation && new.key_id != old.key_id {
        return Err(Error::Differs(new.generation));
    }
    Ok(())
}

/// Forgets the key. What is known of it stays, so that an older one is still refused. The next ingestion takes the tags away.
///
/// # Errors
/// There is none, or the disk fails.
pub fn forget(config: &Config) -> Result<Held, Error> {
    remove(&request_file(config))?;
    match held(config)? {
        Some((held, true)) => {
            secret_file::write(&key_file(config), &held, None)?;
            Ok(held)
        }
        _ => Err(Error::None),
    }
}

/// Reads a fingerprint that a person gave.
///
/// # Errors
/// It is none.
pub fn fingerprint(text: &str) -> Result<Fingerprint, Error> {
    Fingerprint::parse(text)
        .ok_or(Error::Linkage(LinkageError::Unreadable { what: "fingerprint of 64 hexadecimal digits" }))
}
