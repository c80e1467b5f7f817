//! Condition: a diagnosis or a problem.

use schema::Table;
use serde::Deserialize;

use super::wire::{CodeableConcept, Modifiers, Period, Reference};
use super::{No, Rows, bare_code, date, own_id, person, set_code, set_known, set_status, set_visit};
use crate::envelope::{self, Envelope};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    id: Option<String>,
    verification_status: Option<CodeableConcept>,
    #[serde(default)]
    category: Vec<CodeableConcept>,
    code: Option<CodeableConcept>,
    subject: Option<Reference>,
    encounter: Option<Reference>,
    onset_date_time: Option<String>,
    onset_period: Option<Period>,
    abatement_date_time: Option<String>,
    abatement_period: Option<Period>,
    recorded_date: Option<String>,
    #[serde(default)]
    modifier_extension: Modifiers,
}

pub(super) fn rows(condition: &Condition, env: &Envelope<'_>) -> Rows {
    let id = own_id(&condition.id, "Condition")?;
    if !condition.modifier_extension.is_empty() {
        return Err(No::Skipped);
    }
    let person = person(&condition.subject, "Condition.subject", env)?;
    let mut row = env.row(Table::Condition, person, super::key(env, Table::Condition, id));
    let verification = bare_code(&condition.verification_status);
    let verification = verification.as_deref().unwrap_or("unknown");
    row.set("verification", verification);
    set_status(
        &mut row,
        match verification {
            "entered-in-error" => "error",
            // What was ruled out is no diagnosis.
            "refuted" => "cancelled",
            "provisional" | "differential" | "unconfirmed" => "preliminary",
            _ => "final",
        },
    );
    match set_code(&mut row, &condition.code, "Condition.code") {
        Err(_) if verification == "entered-in-error" => {}
        other => other?,
    }
    set_visit(&mut row, &condition.encounter, env);
    let encounter_diagnosis =
        condition.category.iter().any(|c| c.coding.iter().any(|c| c.code.as_deref() == Some("encounter-diagnosis")));
    row.set("role", if encounter_diagnosis { "secondary" } else { "problem" });
    let recorded = date(&condition.recorded_date, "Condition.recordedDate", env)?;
    let onset = match &condition.onset_period {
        Some(period) => date(&period.start, "Condition.onsetPeriod.start", env)?,
        None => date(&condition.onset_date_time, "Condition.onsetDateTime", env)?,
    };
    // Without an onset, the day it was recorded is the best that is known.
    if let Some(when) = onset.as_ref().or(recorded.as_ref()) {
        envelope::set_event(&mut row, when);
    }
    set_known(&mut row, &recorded);
    let end = match &condition.abatement_period {
        Some(period) => date(&period.end, "Condition.abatementPeriod.end", env)?,
        None => date(&condition.abatement_date_time, "Condition.abatementDateTime", env)?,
    };
    if let Some(end) = &end {
        envelope::set_end(&mut row, end);
    }
    Ok(vec![row])
}
