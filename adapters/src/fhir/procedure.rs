//! Procedure.

use schema::Table;
use serde::Deserialize;

use super::told::{Told, set_status};
use super::wire::{CodeableConcept, Contained, Meta, Modifiers, Period, Reference, Text, of};
use super::{Rows, code, delete};
use crate::envelope;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Procedure<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    code: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    subject: Option<Reference<'a>>,
    #[serde(borrow)]
    encounter: Option<Reference<'a>>,
    #[serde(borrow)]
    performed_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    performed_period: Option<Period<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

pub(super) fn rows(procedure: &Procedure<'_>, told: &Told<'_>) -> Rows {
    let gone = || delete::gone(told, "Procedure", &procedure.id);
    let id = told.own_id(&procedure.id, "Procedure")?;
    let status = match of(&procedure.status) {
        Some("completed" | "stopped") => "final",
        Some("in-progress" | "on-hold") => "preliminary",
        Some("entered-in-error") => "error",
        // What was not done, or not yet, is no procedure.
        Some("not-done" | "preparation") => return Err(gone()),
        _ => "unknown",
    };
    if !procedure.modifier_extension.is_empty() {
        return Err(gone());
    }
    let error = status == "error";
    let person = told.person_of(&procedure.subject, &procedure.contained, "Procedure.subject", error)?;
    let mut row = told.env.row(Table::Procedure, person, told.key(Table::Procedure, id));
    set_status(&mut row, status);
    match code::set(&mut row, procedure.code.as_ref(), "Procedure.code") {
        Err(_) if error => {}
        other => other?,
    }
    told.set_visit(&mut row, &procedure.encounter);
    let (start, end) = match &procedure.performed_period {
        Some(p) => {
            (told.date(&p.start, "Procedure.performedPeriod.start")?, told.end(&p.end, "Procedure.performedPeriod.end"))
        }
        None => (told.date(&procedure.performed_date_time, "Procedure.performedDateTime")?, None),
    };
    // What is known to have ended has been, though its beginning is not told.
    if let Some(when) = start.as_ref().or(end.as_ref()) {
        envelope::set_event(&mut row, when);
    }
    if let Some(when) = &end {
        envelope::set_end(&mut row, when);
    }
    Ok(vec![row])
}
