//! A problem or a diagnosis.

use schema::Table;

use super::document::Whose;
use super::element::Element;
use super::leaves::Leaf;
use super::template::Section;
use super::{No, Row, code, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

/// SNOMED CT codes that say that there is no problem, or that nothing is known of any.
const NONE: &[&str] = &["160245001", "160243008", "64970000", "396782006"];

pub(super) fn row(leaf: &Leaf<'_>, whose: &Whose, env: &Envelope<'_>) -> Row {
    let observation = leaf.element;
    let value = observation.child("value");
    let concern = leaf.within("act");
    if !observation.happened() {
        return Err(No::Skipped);
    }
    let retracted = observation.status() == Some("nullified") || concern.and_then(Element::status) == Some("nullified");
    let mut row = env.row(Table::Condition, whose.key, schema::Key::default());
    match value.and_then(code::choose) {
        Some(coded) if NONE.contains(&coded.code) => return Err(No::Skipped),
        Some(coded) => {
            row.set("code", coded.code);
            row.set("code_system", coded.system);
        }
        // "Nothing is known" is no fault, and neither is a problem told in words.
        None if value.is_none_or(|v| v.null().is_some() || v.child("translation").is_none()) => {
            return Err(No::Skipped);
        }
        None => return Err(No::bad(Reason::MissingCode, "value has no code; map it at the source")),
    }
    row.set(
        "role",
        match (leaf.section, leaf.within("encounter")) {
            (Section::AdmissionDiagnosis, _) => "admit",
            (Section::DischargeDiagnosis, _) | (_, Some(_)) => "secondary",
            _ => "problem",
        },
    );
    row.set("verification", "confirmed");
    if retracted {
        row.set("status", "error");
        row.set("op", "retract");
    }
    let span = when::span(observation.child("effectiveTime"), "effectiveTime", env.zone())?;
    let author = observation.at(&["author", "time"]).or_else(|| concern.and_then(|c| c.at(&["author", "time"])));
    let known = when::moment(author, "author/time", env.zone())?;
    // Without an onset, the day it was recorded is the best that is known.
    if let Some(when) = span.start.as_ref().or(known.as_ref()) {
        envelope::set_event(&mut row, when);
    }
    if let Some(end) = &span.end {
        envelope::set_end(&mut row, end);
    }
    if let Some(known) = &known {
        row.set("t_known", known.instant_cell());
    }
    Ok(row)
}
