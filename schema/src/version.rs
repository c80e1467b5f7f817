//! The schema's version, its hash, and the range that a study asks for.
//!
//! A nullable addition is a minor version; a change of type, meaning or name is a major one.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use semver::{Version, VersionReq};

use crate::tables::Table;

/// The version of the common schema.
pub const VERSION: &str = "1.2.0";

/// SHA-256 over every table, column, type and nullability, as lowercase hexadecimal.
pub fn hash_hex() -> String {
    let mut text = String::new();
    for table in Table::ALL {
        for c in table.columns() {
            let _ = writeln!(text, "{}.{} {:?} {}", table.name(), c.name, c.kind, c.nullable);
        }
    }
    let mut out = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Why a schema range was not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RangeError {
    /// The text is no semver range.
    #[error("'{0}' is no version range; write it like \">=1.1,<2\"")]
    Malformed(String),
    /// This schema is outside the range.
    #[error("the study asks for schema {asked}, and this is schema {own}; ask for a range that holds it")]
    Outside {
        /// The range asked for.
        asked: String,
        /// What there is.
        own: String,
    },
}

/// Whether a study's range, such as `>=1.1,<2`, holds this schema.
///
/// # Errors
/// The range is malformed, or this schema's version lies outside it.
pub fn accepts(range: &str) -> Result<(), RangeError> {
    holds(range, VERSION)
}

/// Whether a study's range holds the schema that some data were written under.
///
/// # Errors
/// The range or the version is malformed, or the version lies outside the range.
pub fn holds(range: &str, written: &str) -> Result<(), RangeError> {
    let req = VersionReq::parse(range).map_err(|_| RangeError::Malformed(range.to_owned()))?;
    let own = Version::parse(written).map_err(|_| RangeError::Malformed(written.to_owned()))?;
    if req.matches(&own) {
        return Ok(());
    }
    Err(RangeError::Outside { asked: range.to_owned(), own: written.to_owned() })
}

/// Whether data that were written under a version are read as they are: the major version is this one. Columns that they lack are
/// empty.
pub fn reads(written: &str) -> bool {
    let major = |v: &str| Version::parse(v).ok().map(|v| v.major);
    major(written).is_some_and(|m| Some(m) == major(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(accepts(">=1.1,<2"), Ok(()));
        assert!(matches!(accepts(">=2"), Err(RangeError::Outside { .. })));
        assert!(matches!(accepts("one"), Err(RangeError::Malformed(_))));
        assert_eq!((holds(">=1.2,<2", "1.1.0").is_ok(), holds(">=1.1", "1.1.0").is_ok()), (false, true));
        assert_eq!(
            (reads("1.0.0"), reads("1.99.0"), reads("0.9.0"), reads("2.0.0"), reads("")),
            (true, true, false, false, false)
        );
    }

    /// The hash is on every file of every lake: it changes only with the version.
    #[test]
    fn the_hash_is_pinned_to_the_version() {
        assert_eq!(
            (VERSION, hash_hex().as_str()),
            ("1.2.0", "3cb276a2d4f5415c01fd592d29703b23bfcb98834d67239adbfa6d4755c6e758")
        );
    }
}
