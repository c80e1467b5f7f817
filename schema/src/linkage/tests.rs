//! Golden tags, spellings that meet, and what is never printed.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn key() -> LinkageKey {
    let mut secret = [0; 32];
    for (i, b) in secret.iter_mut().enumerate() {
        *b = i as u8;
    }
    LinkageKey::new(&secret)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Computed with another implementation (Python's `hmac`). Hospitals of two versions must agree on them.
#[test]
fn golden() {
    let tag = key().tag("a-123 456 789").unwrap();
    assert_eq!(hex(tag.as_bytes()), "2161270269e236767a7581c9b2f12bad92318c5fa2ff4aaa931c3c0a4d7ff36c");
    assert_eq!(key().id(), "00a87452fb8941bc");
    let release = release_tag(&key(), &tag, &[7; 32]);
    assert_eq!(hex(&release), "2553180829ce01a777b91362192f5330dc45fb20ef85aa52a67496f699e1b756");
    assert_eq!(key().for_release(&[7; 32]).tag(&tag), release);
}

#[test]
fn spellings_of_one_id_meet() {
    let one = key().tag("A123456789");
    for other in
        [" a123456789 ", "A-123.456/789", "Ａ１２３４５６７８９", "a 123\u{a0}456\u{2011}789", "A123\u{2013}456789\t"]
    {
        assert_eq!(key().tag(other), one, "{other:?}");
    }
    assert_ne!(key().tag("A123456788"), one, "a typo is another person");
    assert_eq!(key().tag("stra\u{df}e"), key().tag("STRASSE"));
    assert_eq!(key().tag("caf\u{e9}"), key().tag("CAFE\u{301}"));
    for empty in ["", "  ", "-./", "\u{2014}"] {
        assert_eq!(key().tag(empty), None, "{empty:?}");
    }
}

#[test]
fn each_release_and_each_key_has_tags_of_its_own() {
    let tag = key().tag("1").unwrap();
    let releases = [[0; 32], [1; 32], [2; 32]].map(|i| release_tag(&key(), &tag, &i));
    assert!(releases[0] != releases[1] && releases[1] != releases[2] && releases[0] != releases[2]);
    assert_ne!(LinkageKey::new(&[9; 32]).tag("1").unwrap(), tag);
    assert_ne!(release_tag(&LinkageKey::new(&[9; 32]), &tag, &[0; 32]), releases[0]);
}

#[test]
fn a_tag_is_not_printed() {
    assert_eq!(format!("{:?}", key().tag("1").unwrap()), "LinkageTag(..)");
    assert_eq!(format!("{:?}", crate::Cell::Tag(key().tag("1").unwrap())), "Tag(LinkageTag(..))");
}

proptest! {
    #[test]
    fn case_and_separators_say_nothing(id in "[A-Z0-9]{1,20}", gaps in proptest::collection::vec("[ ./-]{0,2}", 21)) {
        let written: String = id.chars().zip(&gaps).map(|(c, g)| format!("{g}{}", c.to_ascii_lowercase())).collect();
        prop_assert_eq!(id::normalised(&written), Some(id));
    }

    #[test]
    fn never_panics(raw in any::<String>()) {
        let _ = key().tag(&raw);
    }
}
