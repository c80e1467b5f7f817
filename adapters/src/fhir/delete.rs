//! What was deleted: entries of a Bundle whose request is DELETE, as the files under a manifest's `deleted[]` hold them.
//!
//! Such an entry names a type and an id and nothing else. The rows of that identity are retracted; whose they were is not told,
//! and the retraction needs no answer.

use schema::{Record, Table};

use super::told::{self, Told, set_status};
use super::wire::of;
use super::{Entry, No, Rows, drug, observation};
use crate::sink::Reason;

/// A retraction of a row, with what its table requires and nobody will read.
pub(super) fn retraction(told: &Told<'_>, table: Table, key: schema::Key) -> Record {
    let mut row = told.env.row(table, told.nobody(), key);
    set_status(&mut row, "error");
    let filler: &[(&str, &str)] = match table {
        Table::Patient => &[("sex", "U")],
        Table::Visit => &[("class", "OP")],
        Table::Condition => &[("role", "secondary"), ("verification", "entered-in-error")],
        Table::Measurement => &[("comparator", "eq")],
        Table::DrugExposure => &[("kind", "reported")],
        Table::Death => &[("death_source", "ehr")],
        Table::ObservationPeriod => &[("basis", "insurance")],
        _ => &[],
    };
    for (column, value) in filler {
        row.set(column, *value);
    }
    row.set("age_capped", false);
    row.set("open", false);
    row
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
    let retract = |table, key| retraction(told, table, key);
    let own = |table| retract(table, told.key(table, id));
    let mut rows = match kind {
        "Patient" => vec![own(Table::Patient), own(Table::Death)],
        "Encounter" => vec![own(Table::Visit)],
        "Condition" => vec![own(Table::Condition)],
        "Procedure" => vec![own(Table::Procedure)],
        "Coverage" => vec![own(Table::ObservationPeriod)],
        "Observation" => observation::keys(told, id).into_iter().map(|k| retract(Table::Measurement, k)).collect(),
        "DiagnosticReport" => vec![retract(Table::Measurement, super::report::key(told, id))],
        _ => match drug::key(told, kind, id) {
            Some(key) => vec![retract(Table::DrugExposure, key)],
            None if kind.len() <= 40 && kind.bytes().all(|b| b.is_ascii_alphabetic()) => {
                return Err(No::Skipped(kind.to_owned()));
            }
            None => return Err(No::bad(Reason::MissingId, "request.url of a DELETE names no resource type")),
        },
    };
    let when = entry.response.as_ref().map_or(Ok(None), |r| told.date(&r.last_modified, "response.lastModified"))?;
    for row in &mut rows {
        told::set_known(row, &when);
    }
    Ok(rows)
}
