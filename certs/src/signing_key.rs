//! A long-term identity key on disk: made once, the owner's alone.

use std::path::Path;

use platform::{Entropy, files};
use privacy::secagg::IdentityKey;
use zeroize::Zeroizing;

use crate::CertError;

/// The key of a file; made where there is none.
///
/// # Errors
/// The file can't be read or written, or holds no key of 32 bytes; or there are no random bytes.
pub fn load_or_make(path: &Path, entropy: &dyn Entropy) -> Result<IdentityKey, CertError> {
    let wrong = |e: &dyn std::fmt::Display| {
        let remedy = "bring it back from a copy, or remove it and give out the new fingerprint";
        CertError::unreadable("identity key", &format!("{}: {e}; {remedy}", path.display()))
    };
    let seed = match std::fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|e| wrong(&e))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let seed = Zeroizing::new(entropy.secret().map_err(|e| CertError::unmade("identity key", &e))?);
            files::write_secret(path, seed.as_slice()).map_err(|e| wrong(&e))?;
            seed
        }
        Err(e) => return Err(wrong(&e)),
    };
    IdentityKey::from_seed(&seed).map_err(|e| wrong(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        let made = load_or_make(&path, &platform::OsEntropy).unwrap().public();
        assert_eq!(load_or_make(&path, &platform::OsEntropy).unwrap().public(), made);
        std::fs::write(&path, b"short").unwrap();
        assert!(load_or_make(&path, &platform::OsEntropy).is_err());
    }
}
