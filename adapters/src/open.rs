//! Which format is read by what, and how a file is opened.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::ccda::Ccda;
use crate::fhir::Fhir;
use crate::hl7::Hl7;
use crate::sink::{Adapter, AdapterError};
use crate::tabular::{Tabular, shipped};

/// The formats there are. `fhir-ndjson` is the older name of `fhir`.
pub const FORMATS: &[&str] = &[
    "csv",
    "parquet",
    "fhir",
    "fhir-ndjson",
    "hl7v2",
    "ccda",
    "omop",
    "i2b2",
    "pcornet",
    "mimic-iii",
    "mimic-iv",
    "eicu",
    "synthea-csv",
];

const BUFFER: usize = 128 * 1024;

/// The adapter of a format. `mapping_toml` is the text of the mapping, for the formats that have one.
///
/// # Errors
/// An unknown format, a missing or superfluous mapping, or a mistake in it with its line.
pub fn open(format: &str, mapping_toml: Option<&str>, mapping_name: &str) -> Result<Box<dyn Adapter>, AdapterError> {
    open_linking(format, mapping_toml, mapping_name, None)
}

/// The same, with the `system` of the identifiers that are linkage ids, for FHIR and C-CDA, or their authority (CX.4) or
/// type (CX.5), for HL7 v2. A tabular source names them in its mapping.
/// Without a mapping, a format of [`crate::SHIPPED`] is read with the shipped one.
///
/// # Errors
/// As [`open`]; or the format takes no system.
pub fn open_linking(
    format: &str,
    mapping_toml: Option<&str>,
    mapping_name: &str,
    linkage_system: Option<&str>,
) -> Result<Box<dyn Adapter>, AdapterError> {
    open_with(format, mapping_toml, mapping_name, Settings { linkage_system, ..Settings::default() })
}

/// What a source says beside its format and its mapping.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// See [`open_linking`].
    pub linkage_system: Option<&'a str>,
    /// The authorities whose identifiers are the patients', for HL7 v2: `AUTHORITY`, `AUTHORITY^TYPE`, or `*`.
    pub authorities: &'a [String],
    /// Whether messages of training and debugging (MSH-11 = T, D) are left out, for HL7 v2.
    pub production_only: bool,
}

/// The same, with everything that a source may say.
///
/// # Errors
/// As [`open_linking`]; or the format does not take a setting.
pub fn open_with(
    format: &str,
    mapping_toml: Option<&str>,
    mapping_name: &str,
    settings: Settings<'_>,
) -> Result<Box<dyn Adapter>, AdapterError> {
    let Settings { linkage_system, authorities, production_only } = settings;
    for (setting, given) in [("authorities", !authorities.is_empty()), ("production_only", production_only)] {
        if given && format != "hl7v2" {
            return Err(AdapterError::OfHl7 { format: format.to_owned(), setting });
        }
    }
    if linkage_system.is_some() && !matches!(format, "fhir" | "fhir-ndjson" | "hl7v2" | "ccda") {
        return Err(AdapterError::NoLinkageSystem { format: format.to_owned() });
    }
    match (format, mapping_toml) {
        ("csv" | "parquet", Some(text)) => Ok(Box::new(Tabular::new(format, text, mapping_name)?)),
        ("csv" | "parquet", None) => Err(AdapterError::NoMapping { format: format.to_owned() }),
        ("fhir" | "fhir-ndjson", None) => Ok(Box::new(Fhir::new(linkage_system))),
        ("hl7v2", None) => Ok(Box::new(Hl7::new(linkage_system, authorities, production_only))),
        ("ccda", None) => Ok(Box::new(Ccda::new(linkage_system))),
        ("fhir" | "fhir-ndjson" | "hl7v2" | "ccda", Some(_)) => Err(AdapterError::Mapping {
            file: mapping_name.to_owned(),
            line: 1,
            message: format!("{format} takes no mapping; remove `mapping` from the source"),
        }),
        (_, own) if let Some(text) = shipped(format) => match own {
            Some(own) => Ok(Box::new(Tabular::new(format, own, mapping_name)?)),
            None => Ok(Box::new(Tabular::new(format, text, &format!("the shipped mapping {format}"))?)),
        },
        _ => Err(AdapterError::UnknownFormat { format: format.to_owned(), known: FORMATS.join(", ") }),
    }
}

/// The members of a gzip, one after the other. Zeros behind a member are padding, as tapes and block devices leave it.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let n = member.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            loop {
                let zeros = rest.fill_buf()?.iter().take_while(|b| **b == 0).count();
                if zeros == 0 {
                    break;
                }
                rest.consume(zeros);
            }
            if !rest.fill_buf()?.is_empty() {
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Opens a file, plain or gzip (also of several members). Gzip is told by its first two bytes, not by its name.
///
/// # Errors
/// The system's own.
pub fn reader(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut plain = BufReader::with_capacity(BUFFER, File::open(path)?);
    if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, Members(Some(GzDecoder::new(plain))))));
    }
    Ok(Box::new(plain))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn zeros_behind_a_gzip_are_padding_and_anything_else_breaks_it_off() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let member = |text: &str| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap()
        };
        let read = |bytes: &[u8]| {
            let path = dir.path().join("a.gz");
            std::fs::write(&path, bytes).unwrap();
            let mut text = String::new();
            reader(&path).unwrap().read_to_string(&mut text).map(|_| text)
        };
        let two = [member("one "), vec![0; 700], member("two"), vec![0; 300_000]].concat();
        assert_eq!(read(&two).unwrap(), "one two");
        assert_eq!(read(&[member("one "), member("two")].concat()).unwrap(), "one two");
        let cut = member("a longer text that is cut");
        for bad in [&cut[..cut.len() - 6], &[cut.clone(), b"\0\0rest of something".to_vec()].concat()] {
            assert!(crate::lines::broken(&read(bad).unwrap_err()));
        }
    }

    #[test]
    fn an_unknown_format_says_what_there_is() {
        let error = open("hl7v3", None, "").err().unwrap().to_string();
        assert!(FORMATS.iter().all(|f| error.contains(f)), "{error}");
        assert!(matches!(open("csv", None, ""), Err(AdapterError::NoMapping { .. })));
        let error = open_linking("csv", Some(""), "m.toml", Some("urn:x")).err().unwrap().to_string();
        assert!(error.contains("linkage = { column"), "{error}");
    }
}
