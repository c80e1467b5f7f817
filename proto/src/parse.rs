//! The boundary: wire types become domain types here, or are refused.

use crate::ids::{Hash, RoundId, SiteId, StudyId};
use crate::manifest::Manifest;
use crate::wire;

/// A message that does not say what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// An id is malformed.
    #[error("'{text}' is no {kind} id; use 1 to 64 of a-z, 0-9 and -")]
    Id {
        /// What it names.
        kind: &'static str,
        /// The text.
        text: String,
    },
    /// A field is missing or malformed.
    #[error("the field '{field}' must be {wanted}")]
    Field {
        /// The field.
        field: &'static str,
        /// What was wanted.
        wanted: &'static str,
    },
}

impl From<ParseError> for tonic::Status {
    fn from(e: ParseError) -> tonic::Status {
        tonic::Status::invalid_argument(e.to_string())
    }
}

impl TryFrom<wire::RoundRef> for RoundId {
    type Error = ParseError;
    fn try_from(r: wire::RoundRef) -> Result<RoundId, ParseError> {
        Ok(RoundId { study: StudyId::parse(&r.study)?, analysis: r.analysis, round: r.round })
    }
}

impl From<&RoundId> for wire::RoundRef {
    fn from(r: &RoundId) -> wire::RoundRef {
        wire::RoundRef { study: r.study.to_string(), analysis: r.analysis, round: r.round }
    }
}

/// A round's reference that must be there.
///
/// # Errors
/// It is missing or malformed.
pub fn round(r: Option<wire::RoundRef>) -> Result<RoundId, ParseError> {
    r.ok_or(ParseError::Field { field: "round", wanted: "there" })?.try_into()
}

/// A release as it came: its manifest in canonical form, its payload's hash checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its id.
    pub id: Hash,
    /// Its integers.
    pub lanes: Vec<i64>,
}

/// Checks a manifest that came from `site` for `round`.
///
/// # Errors
/// It is malformed, or speaks of another site or round.
pub fn manifest(bytes: &[u8], site: &SiteId, round: &RoundId) -> Result<Manifest, ParseError> {
    let manifest = Manifest::parse(bytes)?;
    if manifest.site != *site {
        return Err(ParseError::Field { field: "manifest.site", wanted: "the site of the certificate" });
    }
    if manifest.round != *round {
        return Err(ParseError::Field { field: "manifest.round", wanted: "the round of the message" });
    }
    Ok(manifest)
}

/// A release from its manifest and its payload.
///
/// # Errors
/// The payload is not the manifest's.
pub fn release(manifest: Manifest, payload: &[u8]) -> Result<Release, ParseError> {
    if Hash::of(payload) != manifest.payload_hash {
        return Err(ParseError::Field { field: "payload", wanted: "the bytes whose hash the manifest names" });
    }
    let lanes = crate::payload::decode(payload, manifest.lanes())?;
    let id = manifest.id()?;
    Ok(Release { manifest, id, lanes })
}
