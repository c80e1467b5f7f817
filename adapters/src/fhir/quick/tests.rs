#![allow(clippy::unwrap_used)]
use super::template::{Figure, Piece, Slot, cut};
use super::tree::Tree;

fn bytes(text: &str) -> Piece {
    Piece::Bytes(text.as_bytes().to_vec())
}

#[test]
fn a_line_is_cut_where_it_changes() {
    let line =
        r#"{"resourceType":"Observation","id":"x","note":[{"text":"n"}],"valueQuantity":{"value":1.5,"unit":"cm"}}"#;
    let (pieces, slots) = cut(line).unwrap();
    assert_eq!(
        pieces,
        [
            bytes(r#"{"resourceType":"Observation","id":""#),
            Piece::Text,
            bytes(r#"","note":[{"text":""#),
            Piece::Text,
            bytes(r#""}],"valueQuantity":{"value":"#),
            Piece::Number,
            bytes(r#","unit":"cm"}}"#),
        ]
    );
    assert_eq!(slots, [Some(Slot::Id), None, Some(Slot::Number(Figure::Value, None))]);
    for unknown in [
        r#"{"specimen":{"reference":"Specimen/1"}}"#,
        r#"{"contained":[]}"#,
        r#"{"component":[{"component":[]}]}"#,
        r#"{"subject":{"identifier":{"value":"1"}}}"#,
        r#"{"id":"x"} "#.trim_end_matches(['}', ' ']),
    ] {
        assert!(cut(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn kinds_part_where_they_differ() {
    let mut tree = Tree::new();
    let kinds: [&[Piece]; 4] = [
        &[bytes("ab"), Piece::Text, bytes("\"cd")],
        &[bytes("ab"), Piece::Text, bytes("\"ce")],
        &[bytes("ax")],
        &[bytes("ab"), Piece::Text, bytes("\"c"), Piece::Number, bytes("f")],
    ];
    for (n, kind) in kinds.iter().enumerate() {
        tree.insert(kind, n);
        tree.insert(kind, 99);
    }
    let mut find = |line: &str| {
        let mut holes = Vec::new();
        tree.find(line.as_bytes(), &mut holes).copied().map(|kind| (kind, holes))
    };
    assert_eq!(find("abxyz\"cd"), Some((0, vec![(2, 5)])));
    assert_eq!(find("ab\"ce"), Some((1, vec![(2, 2)])));
    assert_eq!(find("ax"), Some((2, vec![])));
    assert_eq!(find("ab1\"c-2.5f"), Some((3, vec![(2, 3), (5, 9)])));
    for none in ["", "a", "abxyz", "abxyz\"c", "abxyz\"cdd", "ab\"cf", "ab\"c1", "ab\"c01f"] {
        assert_eq!(find(none), None, "{none}");
    }
}
