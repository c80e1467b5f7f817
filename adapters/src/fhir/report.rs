//! DiagnosticReport: its results are Observations of their own, and its text is not read. A coded conclusion is a measurement
//! without a number; a report with neither that nor contained Observations has no place in the schema.

use schema::{Key, Record, Table};
use serde::Deserialize;

use super::observation::{self, Observation};
use super::told::{Told, set_known, set_status};
use super::wire::{CodeableConcept, Contained, Lenient, Meta, Modifiers, Period, Reference, Text, of};
use super::{No, Rows, code, delete};
use crate::envelope;
use crate::sink::Reason;

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

/// What a report contains, as far as it is Observations.
#[derive(Deserialize)]
pub(super) struct Results<'a> {
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Lenient<Observation<'a>>>,
}

impl Results<'_> {
    /// Looks up how numbers are written, in the report's text.
    pub(super) fn look_up(&mut self, text: &str) {
        let texts = super::written::elements(super::written::member(text, "contained"));
        for (result, text) in self.contained.iter_mut().zip(texts) {
            if let Lenient::Fits(result) = result {
                result.look_up(text);
            }
        }
    }
}

impl Report<'_> {
    fn contains(&self) -> impl Iterator<Item = bool> {
        self.contained.iter().map(|c| of(&c.resource_type) == Some("Observation"))
    }

    /// Whether it contains Observations.
    pub(super) fn has_results(&self) -> bool {
        self.contains().any(|is| is)
    }
}

/// The rows of the Observations that a report contains. They are known by its id and their own, are parts of it, and have its patient,
/// visit, status and time where they tell none.
fn contained<'a>(report: &Report<'a>, results: Results<'a>, told: &Told<'_>) -> Result<Vec<Record>, No> {
    let id = told.own_id(&report.id, "DiagnosticReport")?;
    let mut rows = Vec::new();
    let fault = |reason, what: &str| {
        told.left_out.push(reason, format!("DiagnosticReport.contained: {what}; the others are kept"));
    };
    for (result, _) in results.contained.into_iter().zip(report.contains()).filter(|(_, is)| *is) {
        let Lenient::Fits(mut result) = result else {
            fault(Reason::BadJson, "an Observation has a field of another type than in FHIR R4");
            continue;
        };
        let Some(local) = of(&result.id) else {
            fault(Reason::MissingId, "an Observation has no id");
            continue;
        };
        // No id of a resource has this sign.
        result.id = Some(Text(format!("{id}#{local}").into()));
        let local = |r: &Reference<'_>| of(&r.reference).is_some_and(|text| text.starts_with('#'));
        if result.subject.as_ref().is_none_or(local) {
            result.subject.clone_from(&report.subject);
        }
        if result.encounter.as_ref().is_none_or(local) {
            result.encounter.clone_from(&report.encounter);
        }
        if !result.has_time() {
            result.effective_date_time.clone_from(&report.effective_date_time);
            result.effective_period.clone_from(&report.effective_period);
        }
        for (own, whole) in [(&mut result.status, &report.status), (&mut result.issued, &report.issued)] {
            if of(own).is_none() {
                own.clone_from(whole);
            }
        }
        match observation::rows(&result, told) {
            Ok(more) => rows.extend(more),
            Err(No::Bad(reason, detail)) => fault(reason, &detail),
            Err(No::Skipped(_) | No::Gone { .. }) => {}
        }
    }
    rows.iter_mut().filter(|row| row.table() == Table::Measurement).for_each(|row| row.set_part_of(key(told, id)));
    Ok(rows)
}

/// The identity of a report's row.
pub(super) fn key(told: &Told<'_>, id: &str) -> Key {
    told.env.record(Table::Measurement, &["DiagnosticReport", id])
}

pub(super) fn rows<'a>(report: &Report<'a>, results: Option<Results<'a>>, told: &Told<'_>) -> Rows {
    let status = observation::status(&report.status);
    let conclusion = code::first(&report.conclusion_code);
    let gone = || delete::gone(told, "DiagnosticReport", &report.id);
    if !report.modifier_extension.is_empty() {
        return Err(gone());
    }
    // The retraction of a report takes all of its parts back.
    let results = results.filter(|_| status != "error").map_or(Ok(Vec::new()), |r| contained(report, r, told))?;
    if conclusion.is_none() && status != "error" {
        return if results.is_empty() && !told.left_out.any() { Err(gone()) } else { Ok(results) };
    }
    let mut rows = vec![own(report, conclusion, status, told)?];
    rows.extend(results);
    Ok(rows)
}

/// The row of a report's own conclusion.
fn own(report: &Report<'_>, conclusion: Option<&str>, status: &'static str, told: &Told<'_>) -> Result<Record, No> {
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
    let issued = told.spare_date(&report.issued, "DiagnosticReport.issued");
    set_known(&mut row, &issued);
    if let Some(when) = &issued {
        row.set("t_result", when.instant_cell());
    }
    row.set("value_code", conclusion);
    Ok(row)
}
