//! A result, a vital sign, or an observation of social history.

use schema::Table;

use super::document::Whose;
use super::element::Element;
use super::leaves::Leaf;
use super::template::Kind;
use super::{No, Row, code, value, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

const LOINC: &str = "http://loinc.org";

pub(super) fn row(leaf: &Leaf<'_>, whose: &Whose, env: &Envelope<'_>) -> Row {
    let observation = leaf.element;
    let organizer = leaf.within("organizer");
    if !observation.happened() {
        return Err(No::Skipped);
    }
    let status = match (observation.status(), organizer.and_then(Element::status)) {
        (Some("nullified"), _) | (_, Some("nullified")) => "error",
        (Some("aborted" | "cancelled"), _) => "cancelled",
        (Some("completed") | None, _) => "final",
        (Some("active" | "held" | "new" | "suspended"), _) => "preliminary",
        _ => "unknown",
    };
    let mut row = env.row(Table::Measurement, whose.key, schema::Key::default()).with("status", status);
    if status == "error" {
        row.set("op", "retract");
    }
    // R1.1 wrote ASSERTION where R2.1 wants the LOINC code of the question.
    let asked = match leaf.kind {
        Kind::Smoking => Some("72166-2"),
        Kind::Pregnancy => Some("82810-3"),
        _ => None,
    };
    match (observation.child("code").and_then(code::choose), asked) {
        (Some(coded), Some(question)) if coded.code == "ASSERTION" => {
            row.set("code", question);
            row.set("code_system", LOINC);
        }
        (Some(coded), _) => {
            row.set("code", coded.code);
            row.set("code_system", coded.system);
        }
        // A question told in words, or none.
        (None, _) if observation.child("code").is_none_or(|c| c.null().is_some()) => return Err(No::Skipped),
        (None, _) => return Err(No::bad(Reason::MissingCode, "code has no code; map it at the source")),
    }
    let own = when::span(observation.child("effectiveTime"), "effectiveTime", env.zone())?;
    let event = match own.start {
        Some(start) => Some(start),
        None => when::span(organizer.and_then(|o| o.child("effectiveTime")), "effectiveTime", env.zone())?.start,
    };
    if let Some(when) = &event {
        envelope::set_event(&mut row, when);
    }
    if let Some(known) = when::moment(observation.at(&["author", "time"]), "author/time", env.zone())? {
        row.set("t_known", known.instant_cell());
        row.set("t_result", known.instant_cell());
    }
    let specimen = ["specimen", "specimenRole", "specimenPlayingEntity"];
    let specimen = observation.at(&specimen).or_else(|| organizer.and_then(|o| o.at(&specimen)));
    row.set("specimen", specimen.and_then(|s| code::bare(s, "code")));
    value::set(&mut row, observation)?;
    Ok(row)
}
