//! The manifest of a bulk export. The files beside it are read for themselves; what the export itself says went wrong is told, and
//! when it was made says how new its files' resources are where they do not say it themselves.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::index::Index;
use super::wire::{Text, of};
use super::{No, version};
use crate::sink::Reason;
use crate::time;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default, deserialize_with = "super::wire::list")]
    error: Vec<IgnoredAny>,
    output: Option<Vec<IgnoredAny>>,
}

/// What a manifest says of its files.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    #[serde(borrow)]
    transaction_time: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    output: Vec<File<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    deleted: Vec<File<'a>>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

/// Notes when the export was made, and of what files.
pub(super) fn note(text: &str, file: &str, index: &mut Index) {
    let Ok(made) = super::parse::<Made<'_>>(text) else { return };
    let Some(at) = of(&made.transaction_time).and_then(|t| time::fhir(t, chrono_tz::UTC)) else { return };
    let files = made.output.iter().chain(&made.deleted).filter_map(|f| of(&f.url));
    index.keep_export(file, files, version::micros(&at));
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
