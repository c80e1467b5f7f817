//! Procedure.

use schema::Table;
use serde::Deserialize;

use super::wire::{CodeableConcept, Modifiers, Period, Reference};
use super::{No, Rows, date, own_id, person, set_code, set_status, set_visit};
use crate::envelope::{self, Envelope};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Procedure {
    id: Option<String>,
    status: Option<String>,
    code: Option<CodeableConcept>,
    subject: Option<Reference>,
    encounter: Option<Reference>,
    performed_date_time: Option<String>,
    performed_period: Option<Period>,
    #[serde(default)]
    modifier_extension: Modifiers,
}

pub(super) fn rows(procedure: &Procedure, env: &Envelope<'_>) -> Rows {
    let id = own_id(&procedure.id, "Procedure")?;
    let status = match procedure.status.as_deref() {
        Some("completed") => "final",
        Some("in-progress" | "on-hold") => "preliminary",
        Some("entered-in-error") => "error",
        // What was not done, or not yet, is no procedure.
        Some("not-done" | "preparation") => return Err(No::Skipped),
        _ => "unknown",
    };
    if !procedure.modifier_extension.is_empty() {
        return Err(No::Skipped);
    }
    let person = person(&procedure.subject, "Procedure.subject", env)?;
    let mut row = env.row(Table::Procedure, person, super::key(env, Table::Procedure, id));
    set_status(&mut row, status);
    match set_code(&mut row, &procedure.code, "Procedure.code") {
        Err(_) if status == "error" => {}
        other => other?,
    }
    set_visit(&mut row, &procedure.encounter, env);
    let (start, end) = match &procedure.performed_period {
        Some(p) => (
            date(&p.start, "Procedure.performedPeriod.start", env)?,
            date(&p.end, "Procedure.performedPeriod.end", env)?,
        ),
        None => (date(&procedure.performed_date_time, "Procedure.performedDateTime", env)?, None),
    };
    if let Some(when) = &start {
        envelope::set_event(&mut row, when);
    }
    if let Some(when) = &end {
        envelope::set_end(&mut row, when);
    }
    Ok(vec![row])
}
