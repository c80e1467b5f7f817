//! Which format a file is of, by its first bytes, whatever its name.

use std::io::{self, BufRead};

use serde::Serialize;

/// The format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A table as text.
    Delimited,
    /// A table as Apache Parquet.
    Parquet,
    /// FHIR resources, one a line.
    FhirNdjson,
    /// A FHIR Bundle.
    FhirBundle,
    /// A FHIR resource over several lines, or a list of resources.
    FhirJson,
    /// HL7 v2 messages.
    Hl7v2,
    /// A CDA document.
    Cda,
    /// JSON of another kind.
    Json,
    /// XML of another kind.
    Xml,
    /// Bytes that are no text.
    Binary,
    /// Nothing.
    #[default]
    Empty,
}

/// The format, and of text the encoding.
pub(super) fn of(reader: &mut dyn BufRead) -> io::Result<(Kind, Option<&'static str>)> {
    match reader.fill_buf() {
        Ok(bytes) => Ok(of_bytes(bytes)),
        Err(e) if crate::lines::broken(&e) => Ok((Kind::Binary, None)),
        Err(e) => Err(e),
    }
}

/// The same of a file's first bytes.
fn of_bytes(bytes: &[u8]) -> (Kind, Option<&'static str>) {
    if bytes.is_empty() {
        return (Kind::Empty, None);
    }
    if bytes.starts_with(b"PAR1") {
        return (Kind::Parquet, None);
    }
    let marked = encoding_rs::Encoding::for_bom(bytes);
    let encoding = match marked {
        Some((encoding, _)) if encoding == encoding_rs::UTF_16LE => "utf-16le",
        Some((encoding, _)) if encoding == encoding_rs::UTF_16BE => "utf-16be",
        Some(_) => "utf-8",
        None if bytes.contains(&0) => return (Kind::Binary, None),
        None => match std::str::from_utf8(bytes) {
            // A letter that the buffer's end cuts in two is none that is wrong.
            Err(e) if e.error_len().is_some() => "windows-1252",
            _ => "utf-8",
        },
    };
    let text = bytes.get(marked.map_or(0, |(_, length)| length)..).unwrap_or_default();
    // In UTF-16 the marks of a format are those of ASCII with a zero beside each.
    let wide: Vec<u8> = match encoding {
        "utf-16le" | "utf-16be" => text.iter().copied().filter(|b| *b != 0).collect(),
        _ => Vec::new(),
    };
    let text = if wide.is_empty() { text } else { wide.as_slice() }.trim_ascii_start();
    let has = |word: &[u8]| memchr::memmem::find(text, word).is_some();
    let kind = match text.first() {
        Some(b'{') if has(b"\"Bundle\"") && first_line(text).is_none_or(|l| !l.ends_with(b"}")) => Kind::FhirBundle,
        Some(b'{') if has(b"\"resourceType\"") => match first_line(text) {
            Some(line) if !line.ends_with(b"}") => Kind::FhirJson,
            _ => Kind::FhirNdjson,
        },
        Some(b'[') if has(b"\"resourceType\"") => Kind::FhirJson,
        Some(b'{' | b'[') => Kind::Json,
        Some(b'<') if has(b"ClinicalDocument") => Kind::Cda,
        Some(b'<') => Kind::Xml,
        _ if [b"MSH".as_slice(), b"FHS", b"BHS", b"\x0bMSH"].iter().any(|start| text.starts_with(start)) => Kind::Hl7v2,
        _ => Kind::Delimited,
    };
    (kind, Some(encoding))
}

/// The first line, where it ends in these bytes.
fn first_line(text: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'\n', text).and_then(|end| text.get(..end)).map(<[u8]>::trim_ascii)
}
