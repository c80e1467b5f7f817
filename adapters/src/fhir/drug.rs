//! MedicationRequest, -Dispense, -Administration and -Statement: a drug that was ordered, dispensed, given or is taken.

use schema::{Cell, Key, Record, Table};
use serde::Deserialize;

use super::told::{Told, set_known, set_status};
use super::wire::{CodeableConcept, Contained, Lenient, Meta, Modifiers, Period, Quantity, Reference, Text, of};
use super::{No, Rows, code, delete};
use crate::envelope;
use crate::sink::Reason;

/// The fields of all four: their names and types agree, except for `dosage`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Medication<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    intent: Option<Text<'a>>,
    #[serde(default)]
    do_not_perform: bool,
    #[serde(default)]
    reported_boolean: bool,
    #[serde(borrow)]
    medication_codeable_concept: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    medication_reference: Option<Reference<'a>>,
    #[serde(borrow)]
    subject: Option<Reference<'a>>,
    /// Called `context` except in a request.
    #[serde(borrow, alias = "encounter")]
    context: Option<Reference<'a>>,
    #[serde(borrow)]
    authored_on: Option<Text<'a>>,
    #[serde(borrow)]
    date_asserted: Option<Text<'a>>,
    #[serde(borrow)]
    when_prepared: Option<Text<'a>>,
    #[serde(borrow)]
    when_handed_over: Option<Text<'a>>,
    #[serde(borrow)]
    effective_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    effective_period: Option<Period<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    dosage_instruction: Vec<Dosage<'a>>,
    #[serde(borrow, default)]
    dosage: Lenient<Doses<'a>>,
    #[serde(borrow)]
    dispense_request: Option<DispenseRequest<'a>>,
    #[serde(borrow)]
    quantity: Option<Quantity<'a>>,
    #[serde(borrow)]
    days_supply: Option<Quantity<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

/// One in an administration, several in a statement.
#[derive(Deserialize)]
#[serde(untagged)]
enum Doses<'a> {
    One(#[serde(borrow)] Box<Dosage<'a>>),
    Several(#[serde(borrow)] Vec<Dosage<'a>>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DispenseRequest<'a> {
    #[serde(borrow)]
    quantity: Option<Quantity<'a>>,
    #[serde(borrow)]
    expected_supply_duration: Option<Quantity<'a>>,
}

impl<'a> Medication<'a> {
    /// The first dosage.
    fn dose(&self) -> Option<&Dosage<'a>> {
        match self.dosage.get() {
            Some(Doses::One(one)) => Some(one),
            Some(Doses::Several(all)) => all.first(),
            None => self.dosage_instruction.first(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dosage<'a> {
    #[serde(borrow)]
    timing: Option<Timing<'a>>,
    #[serde(borrow)]
    route: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    dose: Option<Quantity<'a>>,
}

#[derive(Deserialize)]
struct Timing<'a> {
    #[serde(borrow)]
    repeat: Option<Repeat<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repeat<'a> {
    #[serde(borrow)]
    bounds_period: Option<Period<'a>>,
    #[serde(borrow)]
    bounds_duration: Option<Quantity<'a>>,
}

/// The identity of a row by the type and the id of its resource; `None` for other types.
pub(super) fn key(told: &Told<'_>, kind: &str, id: &str) -> Option<Key> {
    match kind {
        "MedicationRequest" => Some(told.key(Table::DrugExposure, id)),
        "MedicationDispense" | "MedicationAdministration" | "MedicationStatement" | "Immunization" => {
            Some(told.env.record(Table::DrugExposure, &[kind, id]))
        }
        _ => None,
    }
}

/// Sets a quantity with its unit.
pub(super) fn set_quantity(row: &mut Record, quantity: Option<&Quantity<'_>>) {
    if let Some(quantity) = quantity {
        row.set("qty", quantity.number());
        row.set("unit", quantity.unit());
    }
}

/// The row as far as the four share it.
fn begin(m: &Medication<'_>, name: &str, kind: &str, status: &'static str, told: &Told<'_>) -> Result<Record, No> {
    let id = told.own_id(&m.id, name)?;
    if !m.modifier_extension.is_empty() {
        return Err(delete::gone(told, name, &m.id));
    }
    let error = status == "error";
    let person = told.person_of(&m.subject, &m.contained, &format!("{name}.subject"), error)?;
    let mut row = told.env.row(Table::DrugExposure, person, key(told, name, id).unwrap_or_default()).with("kind", kind);
    set_status(&mut row, status);
    match set_drug(&mut row, m, name, told) {
        Err(_) if error => {}
        other => other?,
    }
    told.set_visit(&mut row, &m.context);
    row.set("route", m.dose().and_then(|d| code::bare(d.route.as_ref())));
    Ok(row)
}

/// The medication: in place, contained, or a Medication of its own.
fn set_drug(row: &mut Record, m: &Medication<'_>, name: &str, told: &Told<'_>) -> Result<(), No> {
    let Some(reference) = m.medication_reference.as_ref() else {
        return code::set(row, m.medication_codeable_concept.as_ref(), &format!("{name}.medicationCodeableConcept"));
    };
    let field = format!("{name}.medicationReference");
    if let Some(local) = of(&reference.reference).and_then(|r| r.strip_prefix('#')) {
        let inner = m.contained.iter().find(|c| of(&c.id) == Some(local) && of(&c.resource_type) == Some("Medication"));
        return code::set(
            row,
            inner.and_then(|c| c.code.get()),
            &format!("{field} is to a contained Medication; its code"),
        );
    }
    let found = told.id(reference, "Medication", &[]).ok().and_then(|id| told.index.concept("Medication", &id));
    let Some(concept) = found else {
        let detail = match told.index.is_full() {
            true => {
                "is to a Medication that was not kept; there are too many. Export drugs as medicationCodeableConcept"
            }
            false => "is to no Medication of the source that has a code; export Medication too",
        };
        return Err(No::bad(Reason::MissingCode, format!("{field} {detail}")));
    };
    row.set("code", concept.code.as_str());
    row.set("code_system", concept.system.clone());
    Ok(())
}

/// A duration in whole days.
fn days(duration: &Quantity<'_>) -> Option<i64> {
    let factor = match of(&duration.code).or(of(&duration.unit))? {
        "d" | "day" | "days" | "Day" | "Days" | "Tage" => 1.0,
        "wk" | "week" | "weeks" | "Week" | "Weeks" => 7.0,
        _ => return None,
    };
    let days = duration.value? * factor;
    #[allow(clippy::cast_possible_truncation)]
    (0.0..=36_500.0).contains(&days).then_some(days.round() as i64)
}

/// Sets the span that a drug was given or taken; where nothing tells it, when someone said so.
fn set_effective(row: &mut Record, m: &Medication<'_>, name: &str, told: &Told<'_>) -> Result<(), No> {
    let (start, field, end, end_field) = match &m.effective_period {
        Some(p) => (&p.start, "effectivePeriod.start", &p.end, "effectivePeriod.end"),
        None => (&m.effective_date_time, "effectiveDateTime", &None, ""),
    };
    let [field, end_field, asserted] = [field, end_field, "dateAsserted"].map(|f| format!("{name}.{f}"));
    let never = of(end).is_some_and(crate::time::is_never);
    let ends = (if never { &None } else { end }, end_field.as_str());
    let event = told.first_date(&[(start, &field), ends, (&m.date_asserted, &asserted)])?;
    if let Some(when) = &event {
        envelope::set_event(row, when);
    }
    if let Some(when) = &told.end(end, &end_field) {
        envelope::set_end(row, when);
        row.set("end_kind", "explicit");
    }
    Ok(())
}

/// A drug that was ordered; or that a patient told of, where the request says so.
pub(super) fn request(m: &Medication<'_>, told: &Told<'_>) -> Rows {
    let proposal = matches!(of(&m.intent), Some("proposal" | "plan" | "option"));
    if m.do_not_perform || proposal {
        return Err(delete::gone(told, "MedicationRequest", &m.id));
    }
    let status = match of(&m.status) {
        Some("active" | "completed" | "stopped" | "on-hold") => "final",
        Some("draft") => "preliminary",
        Some("cancelled") => "cancelled",
        Some("entered-in-error") => "error",
        _ => "unknown",
    };
    let kind = if m.reported_boolean { "reported" } else { "ordered" };
    let mut row = begin(m, "MedicationRequest", kind, status, told)?;
    let repeat = m.dose().and_then(|d| d.timing.as_ref()).and_then(|t| t.repeat.as_ref());
    let begins = repeat.and_then(|r| r.bounds_period.as_ref()).map_or(&None, |p| &p.start);
    let authored = (&m.authored_on, "MedicationRequest.authoredOn");
    let event =
        told.first_date(&[authored, (begins, "MedicationRequest.dosageInstruction.timing.repeat.boundsPeriod.start")])?;
    if let Some(when) = &event {
        envelope::set_event(&mut row, when);
    }
    set_known(&mut row, &told.date(authored.0, authored.1).ok().flatten());
    if let Some(dispense) = &m.dispense_request {
        set_quantity(&mut row, dispense.quantity.as_ref());
        row.set("days_supply", dispense.expected_supply_duration.as_ref().and_then(days));
    }
    // Until when it is to be taken. validityPeriod is until when it may be handed out, and says nothing of that.
    if let Some(repeat) = repeat {
        if let Some(period) = &repeat.bounds_period
            && let Some(end) =
                told.end(&period.end, "MedicationRequest.dosageInstruction.timing.repeat.boundsPeriod.end")
        {
            envelope::set_end(&mut row, &end);
            row.set("end_kind", "explicit");
        }
        if row.get("days_supply") == &Cell::Null {
            row.set("days_supply", repeat.bounds_duration.as_ref().and_then(days));
        }
    }
    Ok(vec![row])
}

/// A drug that was handed out.
pub(super) fn dispense(m: &Medication<'_>, told: &Told<'_>) -> Rows {
    let status = match of(&m.status) {
        Some("completed" | "stopped") => "final",
        Some("preparation" | "in-progress" | "on-hold") => "preliminary",
        Some("cancelled") => "cancelled",
        Some("entered-in-error") => "error",
        // Refused: nothing was handed out.
        Some("declined") => return Err(delete::gone(told, "MedicationDispense", &m.id)),
        _ => "unknown",
    };
    let mut row = begin(m, "MedicationDispense", "dispensed", status, told)?;
    let handed = (&m.when_handed_over, "MedicationDispense.whenHandedOver");
    let event = told.first_date(&[handed, (&m.when_prepared, "MedicationDispense.whenPrepared")])?;
    if let Some(when) = &event {
        envelope::set_event(&mut row, when);
    }
    set_quantity(&mut row, m.quantity.as_ref());
    row.set("days_supply", m.days_supply.as_ref().and_then(days));
    Ok(vec![row])
}

/// A drug that was given.
pub(super) fn administration(m: &Medication<'_>, told: &Told<'_>) -> Rows {
    let status = match of(&m.status) {
        Some("completed" | "stopped") => "final",
        Some("in-progress" | "on-hold") => "preliminary",
        Some("entered-in-error") => "error",
        Some("not-done") => return Err(delete::gone(told, "MedicationAdministration", &m.id)),
        _ => "unknown",
    };
    let mut row = begin(m, "MedicationAdministration", "given", status, told)?;
    set_effective(&mut row, m, "MedicationAdministration", told)?;
    set_quantity(&mut row, m.dose().and_then(|d| d.dose.as_ref()));
    Ok(vec![row])
}

/// A drug that someone says is taken.
pub(super) fn statement(m: &Medication<'_>, told: &Told<'_>) -> Rows {
    let status = match of(&m.status) {
        Some("active" | "completed" | "stopped" | "on-hold") => "final",
        Some("entered-in-error") => "error",
        // Not taken, or not yet.
        Some("not-taken" | "intended") => return Err(delete::gone(told, "MedicationStatement", &m.id)),
        _ => "unknown",
    };
    let mut row = begin(m, "MedicationStatement", "reported", status, told)?;
    set_effective(&mut row, m, "MedicationStatement", told)?;
    set_known(&mut row, &told.spare_date(&m.date_asserted, "MedicationStatement.dateAsserted"));
    Ok(vec![row])
}
