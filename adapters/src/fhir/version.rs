//! Which of two versions of a resource is the newer one.
//!
//! A resource comes again in every export, and the files of exports come in any order. The newer version is the one of the later
//! moment: of `meta.lastUpdated`; without it the moment at which the export was made, by its manifest or the Bundle's timestamp;
//! without that, the one at which the agent took the file. All three are one scale, and the first is never later than the last.
//! Versions of one moment are told apart by `meta.versionId`, and then the later place in the file counts. A deletion is the last of its
//! moment.

use schema::Record;

use super::told::Told;
use super::wire::{Meta, of};
use super::{No, Rows};
use crate::time::{self, When};

/// How many bits of a sequence are the place in the file, and how many the number of the version.
const PLACE: u32 = 29;
const NUMBER: u32 = 24;

/// A version, as rows carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// Seconds since 1970.
    revision: i64,
    /// The milliseconds of that second, the version's number, the place in the file.
    sequence: i64,
}

/// Microseconds since 1970.
pub(super) fn micros(when: &When) -> i64 {
    match when.instant_cell() {
        schema::Cell::Instant(micros) => micros,
        _ => when.seconds().saturating_mul(1_000_000),
    }
}

/// The moment of a `lastUpdated`, in microseconds since 1970.
pub(super) fn moment(text: &str, told: &Told<'_>) -> Option<i64> {
    time::fhir(text, told.env.zone()).as_ref().map(micros)
}

/// The number of a `versionId`.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

impl Version {
    /// The version of a moment and a number, both where they are told.
    pub(super) fn of(moment: Option<i64>, number: Option<u64>, told: &Told<'_>) -> Version {
        let taken = told.env.ingested();
        // What is later than its reading has a clock that runs ahead; it would win over every later version.
        let moment = moment.or(told.exported).unwrap_or(taken).min(taken).max(0);
        let whole = moment.div_euclid(1_000_000);
        let most = |bits: u32| (1_u64 << bits) - 1;
        let millis = moment.rem_euclid(1_000_000).unsigned_abs() / 1000;
        let number = number.unwrap_or(0).min(most(NUMBER));
        let sequence = (millis << (NUMBER + PLACE)) | (number << PLACE) | told.place.get().min(most(PLACE));
        Version { revision: whole.min(i64::from(u32::MAX)), sequence: i64::try_from(sequence).unwrap_or(i64::MAX) }
    }

    /// The version of a deletion: the last of its moment.
    pub(super) fn of_deletion(moment: Option<i64>, told: &Told<'_>) -> Version {
        Version::of(moment, Some(u64::MAX), told)
    }

    /// The version of a resource. A `lastUpdated` that is no date counts as none.
    pub(super) fn of_resource(meta: Option<&Meta<'_>>, told: &Told<'_>) -> Version {
        let updated = meta.and_then(|m| of(&m.last_updated)).and_then(|text| moment(text, told));
        Version::of(updated, meta.and_then(|m| of(&m.version_id)).and_then(number), told)
    }

    /// Its revision: seconds since 1970.
    pub(super) fn revision(self) -> i64 {
        self.revision
    }

    /// Its sequence, which tells versions of one second apart.
    pub(super) fn sequence(self) -> i64 {
        self.sequence
    }

    /// Sets it on a row.
    pub(super) fn stamp(self, row: &mut Record) {
        row.set("rev", self.revision);
        row.set_sequence(self.sequence);
    }
}

/// The rows of a resource with its version.
pub(super) fn versioned(meta: Option<&Meta<'_>>, told: &Told<'_>, mut rows: Rows) -> Rows {
    let given = match &mut rows {
        Ok(rows) | Err(No::Gone { rows, .. }) => rows,
        Err(_) => return rows,
    };
    let version = Version::of_resource(meta, told);
    given.iter_mut().for_each(|row| version.stamp(row));
    rows
}
