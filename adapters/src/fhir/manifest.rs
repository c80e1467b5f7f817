//! The manifest of a bulk export. The files beside it are read for themselves; what the export itself says went wrong is told.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::No;
use crate::sink::Reason;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default, deserialize_with = "super::wire::list")]
    error: Vec<IgnoredAny>,
    output: Option<Vec<IgnoredAny>>,
}

/// What is wrong with a manifest; `None` where nothing is.
pub(super) fn check(text: &str) -> Option<No> {
    match super::parse::<Manifest>(text) {
        Err(no) => Some(no),
        Ok(Manifest { output: None, .. }) => {
            Some(No::bad(Reason::NoResourceType, "a manifest without output[]; is this a bulk export?"))
        }
        Ok(Manifest { error, .. }) if !error.is_empty() => {
            let detail = "the export names files in error[]; it may be incomplete. Look into them and export again";
            Some(No::bad(Reason::Incomplete, detail))
        }
        Ok(_) => None,
    }
}
