//! Condition: a diagnosis or a problem.

use schema::Table;
use serde::Deserialize;

use super::told::{Told, set_known, set_status};
use super::wire::{CodeableConcept, Contained, Extension, Meta, Modifiers, Period, Reference, Text, of};
use super::{Rows, code, death, delete};
use crate::envelope;

/// How certain a diagnosis is, beside its ICD-10-GM code.
const CERTAINTY: &str = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit";
/// When a condition was asserted, where that is not when it was recorded.
const ASSERTED: &str = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    verification_status: Option<CodeableConcept<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    category: Vec<CodeableConcept<'a>>,
    #[serde(borrow)]
    code: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    subject: Option<Reference<'a>>,
    #[serde(borrow)]
    encounter: Option<Reference<'a>>,
    #[serde(borrow)]
    onset_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    onset_period: Option<Period<'a>>,
    #[serde(borrow)]
    abatement_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    abatement_period: Option<Period<'a>>,
    #[serde(borrow)]
    recorded_date: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    extension: Vec<Extension<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

/// The verification: the status, else Germany's mark beside the code. Excluded, suspected, state after, confirmed.
fn verification<'c>(condition: &'c Condition<'_>) -> &'c str {
    if let Some(status) = code::bare(condition.verification_status.as_ref()) {
        return status;
    }
    let codings = condition.code.iter().flat_map(|c| &c.coding);
    let marks = codings.flat_map(|c| &c.extension).filter(|e| of(&e.url) == Some(CERTAINTY));
    let mut mark = marks.filter_map(|e| e.value_coding.as_deref().and_then(|c| of(&c.code)));
    match mark.next() {
        Some("A") => "refuted",
        Some("V") => "provisional",
        // Who says nothing of it tells a diagnosis, as formats do that have no place for it.
        _ => "confirmed",
    }
}

pub(super) fn rows(condition: &Condition<'_>, told: &Told<'_>) -> Rows {
    let id = told.own_id(&condition.id, "Condition")?;
    if !condition.modifier_extension.is_empty() {
        return Err(delete::gone(told, "Condition", &condition.id));
    }
    let verification = verification(condition);
    let error = verification == "entered-in-error";
    let person = told.person_of(&condition.subject, &condition.contained, "Condition.subject", error)?;
    let mut row = told.env.row(Table::Condition, person, told.key(Table::Condition, id));
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
    match code::set(&mut row, condition.code.as_ref(), "Condition.code") {
        Err(_) if error => {}
        other => other?,
    }
    told.set_visit(&mut row, &condition.encounter);
    match told.index.diagnosis(id) {
        Some(diagnosis) => {
            row.set("role", diagnosis.role.name());
            row.set("rank", diagnosis.rank.map(i64::from));
        }
        None => {
            let of_a_visit = code::has(&condition.category, "encounter-diagnosis");
            row.set("role", if of_a_visit { "secondary" } else { "problem" });
        }
    }
    let asserted = condition.extension.iter().find(|e| of(&e.url) == Some(ASSERTED));
    let asserted = asserted.map_or(&None, |e| &e.value_date_time);
    let onset = match &condition.onset_period {
        Some(period) => (&period.start, "Condition.onsetPeriod.start"),
        None => (&condition.onset_date_time, "Condition.onsetDateTime"),
    };
    // Without a date of the onset (an age, a range and a text are none), the day it was told is the best that is known.
    let recorded = (&condition.recorded_date, "Condition.recordedDate");
    let event = told.first_date(&[onset, (asserted, "Condition.extension[assertedDate]"), recorded])?;
    if let Some(when) = &event {
        envelope::set_event(&mut row, when);
    }
    set_known(&mut row, &told.spare_date(recorded.0, recorded.1));
    let end = match &condition.abatement_period {
        Some(period) => told.end(&period.end, "Condition.abatementPeriod.end"),
        None => told.end(&condition.abatement_date_time, "Condition.abatementDateTime"),
    };
    if let Some(end) = &end {
        envelope::set_end(&mut row, end);
    }
    let mut rows = vec![row];
    if death::CATEGORIES.iter().any(|c| code::has(&condition.category, c)) {
        let stands = !matches!(verification, "entered-in-error" | "refuted");
        let cause = condition.code.as_ref().and_then(|c| code::choose(c, Table::Condition)).filter(|_| stands);
        rows.extend(death::cause(&condition.subject, &condition.contained, cause.map(|c| c.1), told));
    }
    Ok(rows)
}
