//! What is sealed opens for its request alone; a changed byte is refused everywhere.
#![allow(clippy::unwrap_used)]

use super::*;
use privacy::secagg::IdentityKey;
use proptest::prelude::*;
use proto::SiteId;
use zeroize::Zeroizing;

fn identity(seed: u8) -> IdentityKey {
    IdentityKey::from_seed(&Zeroizing::new([seed; 32])).unwrap()
}

fn print(seed: u8) -> Fingerprint {
    identity(seed).public().fingerprint()
}

const SITE: u8 = 1;
const CUSTODIAN: u8 = 2;
const SECRET: [u8; 32] = [42; 32];

fn terms(generation: u64) -> Terms {
    Terms { federation: "north".to_owned(), generation, key_id: "00ff".to_owned() }
}

fn request() -> (Request, PendingKey) {
    Request::make("north", &SiteId::parse("de-01").unwrap(), &identity(SITE)).unwrap()
}

fn sealed(request: &Request) -> SealedKey {
    SealedKey::seal(&SECRET, terms(3), request, &print(SITE), &identity(CUSTODIAN)).unwrap()
}

#[test]
fn what_was_sealed_opens_for_its_request_and_no_other() {
    let (one, pending) = request();
    let text = sealed(&one).to_text();
    let key = SealedKey::parse(&format!(" {text}\r\n")).unwrap();
    let opened = key.open(&Request::parse(&one.to_text()).unwrap(), &pending, &print(CUSTODIAN)).unwrap();
    assert_eq!((*opened.secret, opened.terms), (SECRET, terms(3)));
    let (other, other_pending) = request();
    assert!(matches!(key.open(&other, &other_pending, &print(CUSTODIAN)), Err(LinkageError::OtherRequest)));
    assert!(matches!(key.open(&one, &other_pending, &print(CUSTODIAN)), Err(LinkageError::Seal)));
    assert!(matches!(key.open(&one, &pending, &print(SITE)), Err(LinkageError::Fingerprint { .. })));
    assert!(!text.contains(&crate::head::hex(&SECRET)));
    let mut upper = key;
    upper.signature = upper.signature.to_uppercase();
    let taken = upper.open(&one, &pending, &print(CUSTODIAN));
    assert!(matches!(taken, Err(LinkageError::Unreadable { .. })), "the same bytes in another text");
}

#[test]
fn the_custodian_seals_to_whom_was_compared_alone() {
    let (one, _) = request();
    let seal =
        |r: &Request, print: Fingerprint| SealedKey::seal(&SECRET, terms(1), r, &print, &identity(CUSTODIAN)).err();
    assert!(matches!(seal(&one, print(9)), Some(LinkageError::Fingerprint { .. })));
    let mut other_key = one.clone();
    other_key.request.key = request().0.request.key;
    assert!(matches!(seal(&other_key, print(SITE)), Some(LinkageError::Signature { .. })));
    // Somebody in the middle who signs with a key of his own.
    let (theirs, _) = Request::make("north", &SiteId::parse("de-01").unwrap(), &identity(9)).unwrap();
    assert!(matches!(seal(&theirs, print(SITE)), Some(LinkageError::Fingerprint { .. })));
    let (elsewhere, _) = Request::make("south", &SiteId::parse("de-01").unwrap(), &identity(SITE)).unwrap();
    assert!(matches!(seal(&elsewhere, print(SITE)), Some(LinkageError::Federation { .. })));
}

/// A custodian's signature is worth nothing on a seal whose bound words were changed and signed anew by another.
#[test]
fn the_seal_itself_is_bound_to_what_it_says() {
    type Change = (&'static str, fn(&mut seal::Bound));
    let (one, pending) = request();
    let changes: [Change; 3] = [
        ("generation", |b| b.terms.generation += 1),
        ("key", |b| b.terms.key_id = "11".to_owned()),
        ("nothing", |_| ()),
    ];
    for (what, change) in changes {
        let mut key = sealed(&one);
        change(&mut key.sealed.bound);
        // Signed again by the true custodian's key: only the seal's own binding is left to notice.
        key.signature = crate::head::hex(&identity(CUSTODIAN).sign(b"insitu linkage key v1\0", &bytes_of(&key.sealed)));
        let opened = key.open(&one, &pending, &print(CUSTODIAN));
        assert_eq!(opened.is_ok(), what == "nothing", "{what}");
    }
}

#[test]
fn a_secrets_file_is_the_owners_alone_and_damage_is_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k");
    assert!(secret_file::read::<Terms>(&path).unwrap().is_none());
    // A secret that begins with the byte that ends the line.
    let secret = [b'\n'; 32];
    secret_file::write(&path, &terms(1), Some(&secret)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (about, read) = secret_file::read::<Terms>(&path).unwrap().unwrap();
    assert_eq!((about, *read.unwrap()), (terms(1), secret));
    secret_file::write(&path, &terms(2), None).unwrap();
    assert!(secret_file::read::<Terms>(&path).unwrap().unwrap().1.is_none());
    std::fs::write(&path, b"{}\nshort").unwrap();
    assert!(secret_file::read::<Terms>(&path).is_err());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = secret_file::read::<Terms>(&path).err().unwrap().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

proptest! {
    #[test]
    fn every_key_comes_through(secret in any::<[u8; 32]>(), generation in any::<u64>(), site in "[a-z][a-z0-9]{0,20}") {
        let (one, pending) = Request::make("f", &SiteId::parse(&site).unwrap(), &identity(SITE)).unwrap();
        let terms = Terms { federation: "f".to_owned(), generation, key_id: String::new() };
        let key = SealedKey::seal(&secret, terms.clone(), &one, &print(SITE), &identity(CUSTODIAN)).unwrap();
        let opened = SealedKey::parse(&key.to_text()).unwrap().open(&one, &pending, &print(CUSTODIAN)).unwrap();
        prop_assert_eq!((*opened.secret, opened.terms), (secret, terms));
    }

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (one, pending) = request();
        let change = |text: String| {
            let mut bytes = text.trim_end().as_bytes().to_vec();
            let at = at.index(bytes.len());
            let changed = bytes[at] != to;
            bytes[at] = to;
            (changed, String::from_utf8_lossy(&bytes).into_owned())
        };
        let (changed, text) = change(sealed(&one).to_text());
        let opened = SealedKey::parse(&text).and_then(|k| k.open(&one, &pending, &print(CUSTODIAN)));
        prop_assert_eq!(opened.is_err(), changed);
        let (changed, text) = change(one.to_text());
        let taken = Request::parse(&text).and_then(|r| r.verify(&print(SITE)));
        prop_assert_eq!(taken.is_err(), changed);
    }

    #[test]
    fn never_panics_on_text(text in ".{0,300}") {
        let _ = Request::parse(&text);
        let _ = SealedKey::parse(&text);
    }
}
