//! MSH-18: which bytes a message is written in. It is decoded after framing, since CR means the same in all of them.
//!
//! ASCII, UTF-8 and an empty MSH-18 stay as they are: a field that is read and is not UTF-8 is quarantined by its
//! place, and a name in Latin-1 that nobody reads does no harm. Any other set is decoded as a whole.

use encoding_rs::Encoding;

/// What is to be done with a message's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Charset {
    /// Nothing.
    Plain,
    /// Decode them.
    Decode(&'static Encoding),
    /// They can't be read here.
    Unknown,
}

/// The character set of MSH-18's repetitions: the first, and those that escape sequences switch to. Japanese sets are one encoding with
/// their escapes, whichever is named first, and their bytes hold HL7's separators, so that they are decoded before anything is split.
pub(crate) fn of_all<'m>(names: impl Iterator<Item = &'m [u8]>) -> Charset {
    let all: Vec<Charset> = names.map(of).collect();
    let japanese = all.iter().find(|c| matches!(c, Charset::Decode(e) if *e == encoding_rs::ISO_2022_JP));
    let unknown = all.iter().find(|c| **c == Charset::Unknown);
    unknown.or(japanese).or(all.first()).copied().unwrap_or(Charset::Plain)
}

/// The character set of one repetition (HL7 table 0211).
fn of(name: &[u8]) -> Charset {
    let upper: Vec<u8> =
        name.trim_ascii().iter().map(|b| b.to_ascii_uppercase()).map(|b| if b == b'_' { b'-' } else { b }).collect();
    let label: &[u8] = match upper.as_slice() {
        b"" | b"\"\"" | b"ASCII" | b"US-ASCII" | b"ISO IR6" | b"UNICODE UTF-8" | b"UTF-8" | b"UTF8" | b"UNICODE" => {
            return Charset::Plain;
        }
        b"GB 18030-2000" | b"GB18030" => b"gb18030",
        b"KS X 1001" => b"euc-kr",
        b"BIG-5" => b"big5",
        b"ISO IR14" | b"ISO IR87" | b"ISO IR159" => b"iso-2022-jp",
        b"WINDOWS-1252" | b"CP1252" => b"windows-1252",
        other => {
            let part = other.strip_prefix(b"ISO ").or(other.strip_prefix(b"ISO-")).unwrap_or(other);
            let Some(part) = part.strip_prefix(b"8859/").or(part.strip_prefix(b"8859-")) else {
                return Charset::Unknown;
            };
            let mut label = b"iso-8859-".to_vec();
            label.extend_from_slice(part);
            return Encoding::for_label(&label).map_or(Charset::Unknown, Charset::Decode);
        }
    };
    Encoding::for_label(label).map_or(Charset::Unknown, Charset::Decode)
}
