//! Immunization: a drug that was given.

use schema::Table;
use serde::Deserialize;

use super::told::{Told, set_known, set_status};
use super::wire::{CodeableConcept, Contained, Meta, Modifiers, Quantity, Reference, Text, of};
use super::{Rows, code, delete, drug};
use crate::envelope;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Immunization<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    vaccine_code: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    patient: Option<Reference<'a>>,
    #[serde(borrow)]
    encounter: Option<Reference<'a>>,
    #[serde(borrow)]
    occurrence_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    recorded: Option<Text<'a>>,
    primary_source: Option<bool>,
    #[serde(borrow)]
    report_origin: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    route: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    dose_quantity: Option<Quantity<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

pub(super) fn rows(immunization: &Immunization<'_>, told: &Told<'_>) -> Rows {
    let gone = || delete::gone(told, "Immunization", &immunization.id);
    let id = told.own_id(&immunization.id, "Immunization")?;
    let status = match of(&immunization.status) {
        Some("completed") => "final",
        Some("entered-in-error") => "error",
        Some("not-done") => return Err(gone()),
        _ => "unknown",
    };
    if !immunization.modifier_extension.is_empty() {
        return Err(gone());
    }
    let error = status == "error";
    let person = told.person_of(&immunization.patient, &immunization.contained, "Immunization.patient", error)?;
    let key = drug::key(told, "Immunization", id).unwrap_or_default();
    let mut row = told.env.row(Table::DrugExposure, person, key);
    // What someone tells was not given here.
    let reported = immunization.report_origin.is_some() || immunization.primary_source == Some(false);
    row.set("kind", if reported { "reported" } else { "given" });
    set_status(&mut row, status);
    match code::set(&mut row, immunization.vaccine_code.as_ref(), "Immunization.vaccineCode") {
        Err(_) if error => {}
        other => other?,
    }
    told.set_visit(&mut row, &immunization.encounter);
    if let Some(when) = told.date(&immunization.occurrence_date_time, "Immunization.occurrenceDateTime")? {
        envelope::set_event(&mut row, &when);
    }
    set_known(&mut row, &told.spare_date(&immunization.recorded, "Immunization.recorded"));
    row.set("route", code::bare(immunization.route.as_ref()));
    drug::set_quantity(&mut row, immunization.dose_quantity.as_ref());
    Ok(vec![row])
}
