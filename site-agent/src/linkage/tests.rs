//! Keys taken in, refused and forgotten.

use super::*;
use certs::linkage::{Request, SealedKey, Terms};
use platform::{ManualClock, Micros, OsEntropy};
use privacy::secagg::{Fingerprint, IdentityKey};
use zeroize::Zeroizing;

/// Gives a site a key without a custodian, for tests of what is done with it.
pub(crate) fn install(config: &Config, secret: u8, generation: u64) {
    let key_id = LinkageKey::new(&[secret; 32]).id();
    let federation = "north".to_owned();
    let held = Held { federation, custodian: String::new(), generation, key_id, accepted_micros: 0 };
    secret_file::write(&key_file(config), &held, Some(&[secret; 32])).unwrap();
}

fn site() -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let toml = "id = \"de-01\"\nname = \"A\"\ncountry = \"DE\"\ntime_zone = \"Europe/Berlin\"\n";
    std::fs::write(dir.path().join("site.toml"), toml).unwrap();
    let config = Config::read(dir.path()).unwrap();
    // The request reads the federation's name from here, and nothing else.
    let identity = config.state_dir().join("identity");
    std::fs::create_dir_all(&identity).unwrap();
    for (name, text) in [
        ("certificate.pem", ""),
        ("private.key", ""),
        ("authority.pem", ""),
        ("coordinator.json", "{\"federation\":\"north\",\"address\":\"x:1\"}"),
    ] {
        std::fs::write(identity.join(name), text).unwrap();
    }
    (dir, config)
}

fn custodian(seed: u8) -> (IdentityKey, Fingerprint) {
    let key = IdentityKey::from_seed(&Zeroizing::new([seed; 32])).unwrap();
    let print = key.public().fingerprint();
    (key, print)
}

/// What the custodian would send for the site's request, of a key and a generation.
fn answer(config: &Config, request: &Request, secret: u8, generation: u64, by: u8) -> String {
    let print = crate::identity::key(config, &OsEntropy).unwrap().public().fingerprint();
    let key_id = LinkageKey::new(&[secret; 32]).id();
    let terms = Terms { federation: "north".to_owned(), generation, key_id };
    SealedKey::seal(&[secret; 32], terms, request, &print, &custodian(by).0).unwrap().to_text()
}

fn take(config: &Config, secret: u8, generation: u64, by: u8, force: bool) -> Result<Held, Error> {
    let request = exchange::request(config, &OsEntropy).unwrap();
    let text = answer(config, &request, secret, generation, by);
    exchange::accept(config, &text, &custodian(by).1, force, &ManualClock::at(Micros(3)))
}

#[test]
fn a_key_is_taken_in_once_and_lies_where_only_the_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, config) = site();
    assert!(key(&config).unwrap().is_none() && held(&config).unwrap().is_none());
    let request = exchange::request(&config, &OsEntropy).unwrap();
    let text = answer(&config, &request, 5, 1, 9);
    let accept = |print| exchange::accept(&config, &text, &print, false, &ManualClock::at(Micros(3)));
    assert!(matches!(accept(custodian(8).1), Err(Error::Linkage(LinkageError::Fingerprint { .. }))));
    assert!(key(&config).unwrap().is_none(), "what was refused leaves nothing");
    assert_eq!(accept(custodian(9).1).unwrap().generation, 1);
    assert_eq!(key(&config).unwrap().unwrap().id(), LinkageKey::new(&[5; 32]).id());
    assert!(matches!(accept(custodian(9).1), Err(Error::NoRequest)), "a file is taken once");
    let mode = std::fs::metadata(key_file(&config)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!config.state_dir().join("linkage/request").exists());
    // An answer to an older request.
    exchange::request(&config, &OsEntropy).unwrap();
    assert!(matches!(accept(custodian(9).1), Err(Error::Linkage(LinkageError::OtherRequest))));
}

#[test]
fn an_older_generation_is_refused_unless_forced_even_after_it_was_forgotten() {
    let (_dir, config) = site();
    take(&config, 5, 2, 9, false).unwrap();
    assert!(matches!(take(&config, 4, 1, 9, false), Err(Error::Older { given: 1, held: 2 })));
    assert!(matches!(take(&config, 6, 2, 9, false), Err(Error::Differs(2))));
    take(&config, 5, 2, 9, false).unwrap();
    assert!(matches!(take(&config, 7, 3, 8, false), Err(Error::Other("custodian"))));
    assert_eq!(exchange::forget(&config).unwrap().generation, 2);
    assert!(key(&config).unwrap().is_none());
    let bytes = std::fs::read(key_file(&config)).unwrap();
    assert!(!bytes.windows(32).any(|w| w == [5; 32]), "the key is gone from the disk");
    assert!(matches!(exchange::forget(&config), Err(Error::None)));
    assert!(matches!(take(&config, 4, 1, 9, false), Err(Error::Older { .. })));
    take(&config, 4, 1, 9, true).unwrap();
    take(&config, 6, 3, 9, false).unwrap();
    assert_eq!(key(&config).unwrap().unwrap().id(), LinkageKey::new(&[6; 32]).id());
}

#[test]
fn a_key_that_is_not_what_the_seal_says_is_refused() {
    let (_dir, config) = site();
    let request = exchange::request(&config, &OsEntropy).unwrap();
    let (key, print) = custodian(9);
    let own = crate::identity::key(&config, &OsEntropy).unwrap().public().fingerprint();
    let terms = Terms { federation: "north".to_owned(), generation: 1, key_id: "0000".to_owned() };
    let text = SealedKey::seal(&[5; 32], terms, &request, &own, &key).unwrap().to_text();
    let taken = exchange::accept(&config, &text, &print, false, &ManualClock::at(Micros(3)));
    assert!(matches!(taken, Err(Error::KeyId)));
}
