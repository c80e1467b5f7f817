//! MedicationRequest: a drug that was ordered.

use schema::Table;
use serde::Deserialize;

use super::wire::{CodeableConcept, Modifiers, Period, Quantity, Reference};
use super::{No, Rows, bare_code, date, own_id, person, set_code, set_known, set_status, set_visit};
use crate::envelope::{self, Envelope};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MedicationRequest {
    id: Option<String>,
    status: Option<String>,
    intent: Option<String>,
    #[serde(default)]
    do_not_perform: bool,
    medication_codeable_concept: Option<CodeableConcept>,
    medication_reference: Option<Reference>,
    #[serde(default)]
    contained: Vec<Contained>,
    subject: Option<Reference>,
    encounter: Option<Reference>,
    authored_on: Option<String>,
    #[serde(default)]
    dosage_instruction: Vec<Dosage>,
    dispense_request: Option<Dispense>,
    #[serde(default)]
    modifier_extension: Modifiers,
}

/// A contained resource. `code` is looked into only where it is the medication that is meant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contained {
    resource_type: Option<String>,
    id: Option<String>,
    #[serde(default)]
    code: serde_json::Value,
}

#[derive(Deserialize)]
struct Dosage {
    route: Option<CodeableConcept>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dispense {
    validity_period: Option<Period>,
    quantity: Option<Quantity>,
    expected_supply_duration: Option<Quantity>,
}

/// The medication: in place, or contained. One in a resource of its own is not followed.
fn concept(request: &MedicationRequest) -> Option<CodeableConcept> {
    let wanted = request.medication_reference.as_ref()?.contained()?;
    let found = request
        .contained
        .iter()
        .find(|c| c.resource_type.as_deref() == Some("Medication") && c.id.as_deref() == Some(wanted))?;
    serde_json::from_value(found.code.clone()).ok()
}

pub(super) fn rows(request: &MedicationRequest, env: &Envelope<'_>) -> Rows {
    let id = own_id(&request.id, "MedicationRequest")?;
    let proposal = matches!(request.intent.as_deref(), Some("proposal" | "plan" | "option"));
    if !request.modifier_extension.is_empty() || request.do_not_perform || proposal {
        return Err(No::Skipped);
    }
    let status = match request.status.as_deref() {
        Some("active" | "completed" | "stopped" | "on-hold") => "final",
        Some("draft") => "preliminary",
        Some("cancelled") => "cancelled",
        Some("entered-in-error") => "error",
        _ => "unknown",
    };
    let person = person(&request.subject, "MedicationRequest.subject", env)?;
    let mut row =
        env.row(Table::DrugExposure, person, super::key(env, Table::DrugExposure, id)).with("kind", "ordered");
    set_status(&mut row, status);
    let contained = concept(request);
    if request.medication_reference.is_some() && contained.is_none() && status != "error" {
        return Err(No::Skipped);
    }
    let code = if contained.is_some() { &contained } else { &request.medication_codeable_concept };
    match set_code(&mut row, code, "MedicationRequest.medicationCodeableConcept") {
        Err(_) if status == "error" => {}
        other => other?,
    }
    set_visit(&mut row, &request.encounter, env);
    let authored = date(&request.authored_on, "MedicationRequest.authoredOn", env)?;
    if let Some(when) = &authored {
        envelope::set_event(&mut row, when);
    }
    set_known(&mut row, &authored);
    row.set("route", request.dosage_instruction.first().and_then(|d| bare_code(&d.route)));
    if let Some(dispense) = &request.dispense_request {
        if let Some(quantity) = &dispense.quantity {
            row.set("qty", quantity.value.filter(|v| v.is_finite()));
            row.set("unit", quantity.unit());
        }
        if let Some(supply) = &dispense.expected_supply_duration {
            row.set("days_supply", days(supply));
        }
        if let Some(period) = &dispense.validity_period
            && let Some(end) = date(&period.end, "MedicationRequest.dispenseRequest.validityPeriod.end", env)?
        {
            envelope::set_end(&mut row, &end);
            row.set("end_kind", "explicit");
        }
    }
    Ok(vec![row])
}

/// A duration in whole days.
fn days(duration: &Quantity) -> Option<i64> {
    let factor = match duration.code.as_deref().or(duration.unit.as_deref())? {
        "d" | "day" | "days" => 1.0,
        "wk" | "week" | "weeks" => 7.0,
        _ => return None,
    };
    let days = duration.value? * factor;
    #[allow(clippy::cast_possible_truncation)]
    (0.0..=36_500.0).contains(&days).then_some(days.round() as i64)
}
