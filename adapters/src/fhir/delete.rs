//! What was deleted: entries of a Bundle whose request is DELETE, as the files under a manifest's `deleted[]` hold them; and
//! resources whose newest version is nothing that the schema has a place for.
//!
//! A type and an id are all that is told. The rows of that identity are retracted; whose they were is not told, but for a patient,
//! and the retraction needs no answer.

use schema::{Record, Table};

use super::told::{self, Told};
use super::version::{Version, micros};
use super::wire::{Text, of};
use super::{Entry, No, Rows, drug};
use crate::sink::Reason;

/// The retractions of what a resource of that type and id gave; `None` for types that give nothing.
fn retractions(kind: &str, id: &str, told: &Told<'_>) -> Option<Vec<Record>> {
    let retract = |table, key| told.env.retraction(table, told.nobody(), key);
    let own = |table| vec![retract(table, told.key(table, id))];
    Some(match kind {
        "Patient" => {
            let of = |table| told.env.retraction(table, told.env.person(id), told.key(table, id));
            let mut patient = of(Table::Patient);
            // Not a part of the patient, so that it outlives no merge: the rows stay those of whom the patient was merged into.
            patient.set_part_of(told.env.record(Table::Patient, &["deleted", id]));
            vec![patient, of(Table::Death)]
        }
        "Encounter" => own(Table::Visit),
        "Condition" => own(Table::Condition),
        "Procedure" => own(Table::Procedure),
        "Coverage" => own(Table::ObservationPeriod),
        // Its components are parts of it and go with it.
        "Observation" => own(Table::Measurement),
        "DiagnosticReport" => vec![retract(Table::Measurement, super::report::key(told, id))],
        _ => vec![retract(Table::DrugExposure, drug::key(told, kind, id)?)],
    })
}

/// A resource that is nothing now, whatever an earlier version of it was.
pub(super) fn gone(told: &Told<'_>, kind: &str, id: &Option<Text<'_>>) -> No {
    match told.own_id(id, kind).ok().and_then(|id| retractions(kind, id, told)) {
        Some(rows) => No::Gone { kind: kind.to_owned(), rows },
        None => No::skip(),
    }
}

/// The retractions of an entry that deletes.
pub(super) fn rows(entry: &Entry<'_>, told: &Told<'_>) -> Rows {
    let url = entry.request.as_ref().and_then(|r| of(&r.url)).unwrap_or_default();
    let mut parts = url.rsplit('/');
    let (id, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if url.contains('?') || id.is_empty() || kind.is_empty() || told::id_of_url(url, kind) != Some(id) {
        let detail = "request.url of a DELETE is not a type and an id; export deletions by id";
        return Err(No::bad(Reason::MissingId, detail));
    }
    let Some(mut rows) = retractions(kind, id, told) else {
        if kind.len() <= 40 && kind.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(No::Skipped(kind.to_owned()));
        }
        return Err(No::bad(Reason::MissingId, "request.url of a DELETE names no resource type"));
    };
    let when = entry.response.as_ref().map_or(Ok(None), |r| told.date(&r.last_modified, "response.lastModified"))?;
    let version = Version::of_deletion(when.as_ref().map(micros), told);
    for row in &mut rows {
        told::set_known(row, &when);
        version.stamp(row);
    }
    Ok(rows)
}
