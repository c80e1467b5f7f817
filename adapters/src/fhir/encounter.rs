//! Encounter: a visit.

use schema::Table;
use serde::Deserialize;

use super::wire::{CodeableConcept, Coding, Modifiers, Period, Reference};
use super::{No, Rows, bare_code, choose, date, own_id, person, set_status};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encounter {
    id: Option<String>,
    status: Option<String>,
    class: Option<Coding>,
    #[serde(default, rename = "type")]
    kind: Vec<CodeableConcept>,
    subject: Option<Reference>,
    period: Option<Period>,
    part_of: Option<Reference>,
    hospitalization: Option<Hospitalization>,
    #[serde(default)]
    modifier_extension: Modifiers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hospitalization {
    admit_source: Option<CodeableConcept>,
    discharge_disposition: Option<CodeableConcept>,
}

/// The schema's class of a v3 ActCode, or of the words that older exports write.
fn class(code: &str) -> Option<&'static str> {
    Some(match code.to_ascii_uppercase().as_str() {
        "IMP" | "ACUTE" | "NONAC" | "INPATIENT" => "IP",
        "EMER" | "EMERGENCY" => "ER",
        "OBSENC" | "SS" => "OBS",
        "AMB" | "HH" | "VR" | "FLD" | "PRENC" | "WELLNESS" | "OUTPATIENT" | "AMBULATORY" | "URGENTCARE" | "HOME"
        | "VIRTUAL" | "SNF" | "HOSPICE" | "DAYTIME" => "OP",
        _ => return None,
    })
}

pub(super) fn rows(encounter: &Encounter, env: &Envelope<'_>) -> Rows {
    let id = own_id(&encounter.id, "Encounter")?;
    // A planned visit has not been.
    if !encounter.modifier_extension.is_empty() || encounter.status.as_deref() == Some("planned") {
        return Err(No::Skipped);
    }
    let (status, running) = match encounter.status.as_deref() {
        Some("finished") => ("final", false),
        Some("in-progress" | "arrived" | "triaged" | "onleave") => ("preliminary", true),
        Some("cancelled") => ("cancelled", false),
        Some("entered-in-error") => ("error", false),
        _ => ("unknown", false),
    };
    let person = person(&encounter.subject, "Encounter.subject", env)?;
    let code = encounter.class.as_ref().and_then(|c| c.code.as_deref());
    let Some(class) = code.and_then(class).or((status == "error").then_some("OP")) else {
        let detail = "Encounter.class is not one of IMP, ACUTE, NONAC, EMER, OBSENC, SS, AMB, HH, VR, FLD, PRENC";
        return Err(No::bad(Reason::UnknownLevel, detail));
    };
    let mut row = env
        .row(Table::Visit, person, super::key(env, Table::Visit, id))
        .with("visit_key", env.visit(id))
        .with("class", class);
    set_status(&mut row, status);
    let mut open = running;
    if let Some(period) = &encounter.period {
        if let Some(start) = date(&period.start, "Encounter.period.start", env)? {
            envelope::set_event(&mut row, &start);
            envelope::set_start(&mut row, &start);
        }
        if let Some(end) = date(&period.end, "Encounter.period.end", env)? {
            envelope::set_end(&mut row, &end);
            row.set("end_kind", "explicit");
            open = false;
        }
    }
    row.set("open", open);
    if let Some((coding, system)) = encounter.kind.first().and_then(choose) {
        row.set("code", coding.code.clone());
        row.set("code_system", system);
    }
    if let Some(stay) = &encounter.hospitalization {
        row.set("admit_from", bare_code(&stay.admit_source));
        row.set("discharge_to", bare_code(&stay.discharge_disposition));
    }
    if let Some(parent) = encounter.part_of.as_ref().and_then(|r| r.id("Encounter")) {
        row.set("parent_visit_key", env.visit(parent));
    }
    Ok(vec![row])
}
