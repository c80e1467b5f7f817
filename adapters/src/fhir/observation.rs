//! Observation: a measurement. Components, such as the two blood pressures, become a row each.

use schema::{Record, Table};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::wire::{CodeableConcept, Modifiers, Period, Quantity, Reference};
use super::{No, Rows, bare_code, choose, date, own_id, person, set_code, set_known, set_status, set_visit};
use crate::envelope::{self, Envelope};
use crate::measurement::{self, Comparator};
use crate::time::When;

/// An observation, or one of its components, which has the same fields as far as they are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observation {
    id: Option<String>,
    status: Option<String>,
    subject: Option<Reference>,
    encounter: Option<Reference>,
    effective_date_time: Option<String>,
    effective_instant: Option<String>,
    effective_period: Option<Period>,
    issued: Option<String>,
    code: Option<CodeableConcept>,
    value_quantity: Option<Quantity>,
    value_codeable_concept: Option<CodeableConcept>,
    value_integer: Option<i64>,
    value_boolean: Option<bool>,
    value_range: Option<Range>,
    value_string: Option<IgnoredAny>,
    value_ratio: Option<IgnoredAny>,
    value_sampled_data: Option<IgnoredAny>,
    value_time: Option<IgnoredAny>,
    value_date_time: Option<IgnoredAny>,
    value_period: Option<IgnoredAny>,
    data_absent_reason: Option<CodeableConcept>,
    #[serde(default)]
    interpretation: Vec<CodeableConcept>,
    #[serde(default)]
    reference_range: Vec<Range>,
    #[serde(default)]
    component: Vec<Observation>,
    #[serde(default)]
    modifier_extension: Modifiers,
}

#[derive(Deserialize)]
struct Range {
    low: Option<Quantity>,
    high: Option<Quantity>,
}

impl Observation {
    fn unsupported(&self) -> bool {
        self.value_ratio.is_some()
            || self.value_sampled_data.is_some()
            || self.value_time.is_some()
            || self.value_date_time.is_some()
            || self.value_period.is_some()
    }

    fn has_value(&self) -> bool {
        self.value_quantity.is_some()
            || self.value_codeable_concept.is_some()
            || self.value_integer.is_some()
            || self.value_boolean.is_some()
            || self.value_range.is_some()
            || self.value_string.is_some()
            || self.unsupported()
    }
}

/// What the rows of one observation share.
struct Shared {
    status: &'static str,
    event: Option<When>,
    issued: Option<When>,
}

pub(super) fn rows(observation: &Observation, env: &Envelope<'_>) -> Rows {
    let id = own_id(&observation.id, "Observation")?;
    if !observation.modifier_extension.is_empty() {
        return Err(No::Skipped);
    }
    let person = person(&observation.subject, "Observation.subject", env)?;
    let event = match (&observation.effective_period, &observation.effective_instant) {
        (Some(period), _) => date(&period.start, "Observation.effectivePeriod.start", env)?,
        (None, Some(_)) => date(&observation.effective_instant, "Observation.effectiveInstant", env)?,
        (None, None) => date(&observation.effective_date_time, "Observation.effectiveDateTime", env)?,
    };
    let shared = Shared {
        status: match observation.status.as_deref() {
            Some("final") => "final",
            Some("amended" | "corrected") => "corrected",
            Some("preliminary" | "registered") => "preliminary",
            Some("cancelled") => "cancelled",
            Some("entered-in-error") => "error",
            _ => "unknown",
        },
        event,
        issued: date(&observation.issued, "Observation.issued", env)?,
    };
    let finish = |mut row: Record, component: &Observation, field: &str| -> Result<Record, No> {
        set_status(&mut row, shared.status);
        match set_code(&mut row, &component.code, field) {
            Err(_) if shared.status == "error" => {}
            other => other?,
        }
        set_visit(&mut row, &observation.encounter, env);
        if let Some(when) = &shared.event {
            envelope::set_event(&mut row, when);
        }
        set_known(&mut row, &shared.issued);
        if let Some(when) = &shared.issued {
            row.set("t_result", when.instant_cell());
        }
        set_value(&mut row, component);
        Ok(row)
    };
    let mut rows = Vec::new();
    if observation.has_value() || observation.component.is_empty() {
        let row = env.row(Table::Measurement, person, super::key(env, Table::Measurement, id));
        rows.push(finish(row, observation, "Observation.code")?);
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    for component in &observation.component {
        // A component is known by its code, so that another order in a later export is no other record.
        let (code, system) = component
            .code
            .as_ref()
            .and_then(choose)
            .map(|(c, system)| (c.code.clone().unwrap_or_default(), system.unwrap_or_default()))
            .unwrap_or_default();
        let nth = seen.iter().filter(|(c, s)| *c == code && *s == system).count().to_string();
        let key = env.record(Table::Measurement, &[id, "component", &system, &code, &nth]);
        seen.push((code, system));
        let row = env.row(Table::Measurement, person, key);
        rows.push(finish(row, component, "Observation.component.code")?);
    }
    Ok(rows)
}

fn set_value(row: &mut Record, component: &Observation) {
    row.set("flag", bare_code_of(&component.interpretation));
    if let Some(range) = component.reference_range.first() {
        row.set("ref_lo", range.low.as_ref().and_then(|q| q.value));
        row.set("ref_hi", range.high.as_ref().and_then(|q| q.value));
    }
    if let Some(reason) = bare_code(&component.data_absent_reason) {
        row.set("flag", format!("absent:{reason}"));
    }
    if component.value_string.is_some() {
        row.set("flag", "text");
    }
    if component.unsupported() {
        row.set("flag", "unsupported");
    }
    row.set("value_code", bare_code(&component.value_codeable_concept));
    if let Some(value) = component.value_boolean {
        row.set("value_code", if value { "true" } else { "false" });
    }
    match (&component.value_quantity, component.value_integer) {
        (Some(q), _) => {
            let (comparator, known) = match q.comparator.as_deref() {
                None => (Comparator::Eq, true),
                Some(sign) => Comparator::parse(sign).map_or((Comparator::Eq, false), |c| (c, true)),
            };
            // A value under a sign that is not understood is no value.
            measurement::fill(row, q.value.filter(|_| known), comparator, q.unit());
        }
        #[allow(clippy::cast_precision_loss)]
        (None, Some(v)) => measurement::fill(row, Some(v as f64), Comparator::Eq, None),
        (None, None) => measurement::fill(row, None, Comparator::Eq, None),
    }
    if let Some(range) = &component.value_range {
        row.set("value_lo", range.low.as_ref().and_then(|q| q.value));
        row.set("value_hi", range.high.as_ref().and_then(|q| q.value));
    }
}

/// The code of the first concept that has one.
fn bare_code_of(concepts: &[CodeableConcept]) -> Option<String> {
    concepts.iter().find_map(|c| choose(c).and_then(|(coding, _)| coding.code.clone()))
}
