//! DiagnosticReport: its results are Observations of their own, and its text is not read. A coded conclusion is a measurement
//! without a number; a report without one has no place in the schema.

use schema::{Key, Table};
use serde::Deserialize;

use super::told::{Told, set_known, set_status};
use super::wire::{CodeableConcept, Contained, Meta, Modifiers, Period, Reference, Text};
use super::{Rows, code, delete, observation};
use crate::envelope;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
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
    effective_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    effective_period: Option<Period<'a>>,
    #[serde(borrow)]
    issued: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    conclusion_code: Vec<CodeableConcept<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

/// The identity of a report's row.
pub(super) fn key(told: &Told<'_>, id: &str) -> Key {
    told.env.record(Table::Measurement, &["DiagnosticReport", id])
}

pub(super) fn rows(report: &Report<'_>, told: &Told<'_>) -> Rows {
    let status = observation::status(&report.status);
    let conclusion = code::first(&report.conclusion_code);
    if !report.modifier_extension.is_empty() || (conclusion.is_none() && status != "error") {
        return Err(delete::gone(told, "DiagnosticReport", &report.id));
    }
    let id = told.own_id(&report.id, "DiagnosticReport")?;
    let error = status == "error";
    let person = told.person_of(&report.subject, &report.contained, "DiagnosticReport.subject", error)?;
    let mut row = told.env.row(Table::Measurement, person, key(told, id)).with("comparator", "eq");
    set_status(&mut row, status);
    match code::set(&mut row, report.code.as_ref(), "DiagnosticReport.code") {
        Err(_) if error => {}
        other => other?,
    }
    told.set_visit(&mut row, &report.encounter);
    let when = match &report.effective_period {
        Some(period) => told.date(&period.start, "DiagnosticReport.effectivePeriod.start")?,
        None => told.date(&report.effective_date_time, "DiagnosticReport.effectiveDateTime")?,
    };
    if let Some(when) = &when {
        envelope::set_event(&mut row, when);
    }
    let issued = told.date(&report.issued, "DiagnosticReport.issued")?;
    set_known(&mut row, &issued);
    if let Some(when) = &issued {
        row.set("t_result", when.instant_cell());
    }
    row.set("value_code", conclusion);
    Ok(vec![row])
}
