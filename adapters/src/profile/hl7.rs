//! HL7 v2: the segments of a file's messages, and what they say.

use super::contents::Contents;
use crate::hl7::{Separators, fields_of};

/// Fields that hold a code and the name of its system, as the third component.
const CODED: [(&[u8], usize); 8] =
    [(b"OBX", 3), (b"OBR", 4), (b"DG1", 3), (b"PR1", 3), (b"RXE", 2), (b"RXO", 1), (b"RXD", 2), (b"RXA", 5)];
/// Fields that say when something was.
const TIMES: [(&[u8], usize); 9] = [
    (b"EVN", 2),
    (b"PV1", 44),
    (b"PV1", 45),
    (b"OBR", 7),
    (b"OBX", 14),
    (b"DG1", 5),
    (b"PR1", 5),
    (b"RXA", 3),
    (b"ORC", 9),
];

/// Takes in a message, by its segments.
pub(super) fn take<'m>(segments: impl Iterator<Item = &'m [u8]>, seps: Separators, into: &mut Contents) {
    for segment in segments {
        let name = segment.get(..3).unwrap_or_default();
        if !name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            continue;
        }
        let named = String::from_utf8_lossy(name).into_owned();
        let fields: Vec<&[u8]> = fields_of(segment, seps).collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or_default();
        let there = |n: &usize| !matches!(field(*n), b"" | b"\"\"");
        into.item(&named, (1..fields.len()).filter(there).map(|n| format!("{named}-{n:02}")));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let component =
            |bytes: &[u8], n: usize| text(bytes.split(|b| *b == seps.component).nth(n - 1).unwrap_or_default());
        for (_, n) in CODED.iter().filter(|(segment, n)| *segment == name && there(n)) {
            into.system(&component(field(*n), 3));
        }
        for (_, n) in TIMES.iter().filter(|(segment, n)| *segment == name && there(n)) {
            into.date(&text(field(*n)));
        }
        match name {
            b"OBX" if there(&6) => into.unit(&component(field(6), 1)),
            b"PID" => {
                for id in field(3).split(|b| *b == seps.repetition).filter(|id| !id.is_empty()) {
                    let whose = component(id, 4);
                    let whose = whose.split(char::from(seps.sub)).find(|part| !part.is_empty()).unwrap_or_default();
                    into.authority(if whose.is_empty() { "none" } else { whose });
                }
            }
            _ => {}
        }
    }
}
