//! Pieces of whole, broken and enormous JSON.
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::io::{BufReader, Cursor};

fn all(bytes: &[u8], buffer: usize) -> Vec<(Piece, u64, String)> {
    let mut pieces = Pieces::new(BufReader::with_capacity(buffer, Cursor::new(bytes)));
    let mut out = Vec::new();
    loop {
        match pieces.advance().unwrap() {
            Piece::End => return out,
            piece => out.push((piece, pieces.start_line(), String::from_utf8_lossy(pieces.bytes()).into_owned())),
        }
    }
}

#[test]
fn a_bundle_gives_its_entries_and_a_resource_itself() {
    let text = b"\xEF\xBB\xBF{\"entry\": [\n {\"a\":\"]}\\\"\"}, {\"b\":[1,{}]}\n],\"resourceType\":\"Bundle\"}\n {\"resourceType\" :\"Patient\",\"id\":\"7\"}";
    for buffer in [1, 2, 3, 7, 4096] {
        let got = all(text, buffer);
        let texts: Vec<&str> = got.iter().map(|(_, _, t)| t.as_str()).collect();
        let want = [r#"{"a":"]}\""}"#, r#"{"b":[1,{}]}"#, r#"{"resourceType":"Patient","id":"7"}"#];
        assert_eq!(texts, want, "{buffer}");
        assert_eq!(got.iter().map(|(_, line, _)| *line).collect::<Vec<_>>(), [2, 2, 4]);
        assert_eq!(got[1].0, Piece::Entry(1));
        assert_eq!(got[2].0, Piece::Whole);
    }
}

#[test]
fn what_is_too_deep_or_too_large_is_passed_over() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = "x".repeat(MOST);
    let text = format!(r#"{{"resourceType":"Bundle","entry":[{{"d":{deep}}},{{"l":"{large}"}},{{"ok":1}}]}}"#);
    let got = all(text.as_bytes(), 1 << 16);
    assert!(matches!(got[0].0, Piece::Fault(Some(0), Reason::TooDeep, _)));
    assert!(matches!(got[1].0, Piece::Fault(Some(1), Reason::TooLarge, _)));
    assert_eq!((&got[2].0, got[2].2.as_str()), (&Piece::Entry(2), r#"{"ok":1}"#));
}

#[test]
fn what_breaks_off_keeps_what_came_before() {
    let got = all(br#"{"entry":[{"a":1},{"b":"#, 64);
    assert_eq!(got[0].0, Piece::Entry(0));
    assert!(matches!(got[1].0, Piece::Fault(Some(1), Reason::Truncated, _)));
    assert_eq!(got.len(), 2);
}

#[test]
fn lines_of_resources_go_on_behind_a_bad_one() {
    let got = all(b"{\"a\":1}\nrubbish\n{\"b\":2}\n", 64);
    assert_eq!((&got[0].0, &got[2].0), (&Piece::Whole, &Piece::Whole));
    assert!(matches!(got[1], (Piece::Fault(None, Reason::BadJson, _), 2, _)));
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b','), Just(b':'), Just(b'\n'), any::<u8>()], 0..200), buffer in 1usize..9) {
        all(&bytes, buffer);
    }

    #[test]
    fn where_the_buffer_ends_does_not_matter(n in 0usize..6, buffer in 1usize..40) {
        let entries: Vec<String> = (0..n).map(|i| format!(r#"{{"i":{i},"t":"a\\\"{{[{i}"}}"#)).collect();
        let text = format!(r#"{{"resourceType":"Bundle","entry":[{}],"x":null}}"#, entries.join(", "));
        let got: Vec<String> = all(text.as_bytes(), buffer).into_iter().map(|(_, _, t)| t).collect();
        prop_assert_eq!(got, entries);
    }
}
