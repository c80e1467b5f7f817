//! A visit: of the header, or of the section of encounters.

use schema::Table;

use super::document::Whose;
use super::element::Element;
use super::{No, Row, code, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;
use crate::visits;

/// The name of a visit.
pub(super) fn name(root: &str, extension: &str) -> String {
    format!("{root}|{extension}")
}

/// The class of a visit, where its codes say one.
pub(super) fn class(visit: &Element) -> Option<&'static str> {
    visit.all("code").flat_map(code::all).find_map(|c| visits::class(c.system.as_deref(), c.code))
}

/// What is said of a visit that was kept without a class.
pub(super) fn unclassed() -> No {
    let detail = "code says no kind of visit; the row is kept as that of an outpatient. Add a translation of ActCode: IMP, EMER, \
                  OBSENC, AMB, HH, VR";
    No::bad(Reason::UnknownLevel, detail)
}

pub(super) fn row(visit: &Element, whose: &Whose, env: &Envelope<'_>) -> Row {
    if !visit.happened() {
        return Err(No::Skipped);
    }
    let Some((root, extension)) = visit.id() else {
        return Err(No::bad(Reason::MissingId, "id is missing; export with the visit's id"));
    };
    // A visit of no known kind is one of an outpatient, as in OMOP.
    let class = class(visit).unwrap_or("OP");
    let id = name(root, extension);
    let mut row = env
        .row(Table::Visit, whose.key, env.record(Table::Visit, &[&whose.id, &id]))
        .with("visit_key", env.visit(&id))
        .with("class", class);
    let span = when::span(visit.child("effectiveTime"), "effectiveTime", env.zone())?;
    if let Some(start) = &span.start {
        envelope::set_event(&mut row, start);
        envelope::set_start(&mut row, start);
    }
    if let Some(end) = &span.end {
        envelope::set_end(&mut row, end);
        row.set("end_kind", "explicit");
    }
    let running = visit.status() == Some("active") && span.end.is_none();
    row.set("open", running);
    row.set(
        "status",
        match visit.status() {
            Some("cancelled" | "aborted") => "cancelled",
            _ if running => "preliminary",
            _ => "final",
        },
    );
    if visit.status() == Some("nullified") {
        row.set("status", "error");
        row.set("op", "retract");
    }
    if let Some(kind) = visit.child("code").and_then(code::choose)
        && kind.system.as_deref() != Some(code::ACT_CODE)
    {
        row.set("code", kind.code);
        row.set("code_system", kind.system);
    }
    row.set("discharge_to", code::bare(visit, "dischargeDispositionCode"));
    Ok(row)
}
