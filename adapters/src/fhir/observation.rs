//! Observation: a measurement. Components, such as the two blood pressures, become a row each.

use schema::{Key, Record, Table};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::told::{Told, set_known, set_status};
use super::wire::{CodeableConcept, Contained, Meta, Modifiers, Period, Quantity, Range, Reference, Text, of};
use super::{No, Rows, code, death, delete, written};
use crate::envelope;
use crate::measurement::{self, Comparator};
use crate::time::When;

/// An observation, or one of its components, which has the same fields as far as they are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observation<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) subject: Option<Reference<'a>>,
    #[serde(borrow)]
    pub(super) encounter: Option<Reference<'a>>,
    #[serde(borrow)]
    pub(super) effective_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    effective_instant: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) effective_period: Option<Period<'a>>,
    #[serde(borrow)]
    effective_timing: Option<Timing<'a>>,
    #[serde(borrow)]
    pub(super) issued: Option<Text<'a>>,
    #[serde(borrow)]
    code: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    value_quantity: Option<Quantity<'a>>,
    #[serde(borrow)]
    value_codeable_concept: Option<CodeableConcept<'a>>,
    value_integer: Option<i64>,
    value_boolean: Option<bool>,
    #[serde(borrow)]
    value_range: Option<Range<'a>>,
    #[serde(borrow)]
    value_ratio: Option<Ratio<'a>>,
    #[serde(borrow)]
    value_string: Option<Text<'a>>,
    value_sampled_data: Option<IgnoredAny>,
    value_time: Option<IgnoredAny>,
    value_date_time: Option<IgnoredAny>,
    value_period: Option<IgnoredAny>,
    #[serde(borrow)]
    data_absent_reason: Option<CodeableConcept<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    interpretation: Vec<CodeableConcept<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    reference_range: Vec<Range<'a>>,
    #[serde(borrow)]
    specimen: Option<Reference<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    has_member: Vec<IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    component: Vec<Observation<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

#[derive(Deserialize)]
struct Timing<'a> {
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    event: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Ratio<'a> {
    #[serde(borrow)]
    numerator: Option<Quantity<'a>>,
    #[serde(borrow)]
    denominator: Option<Quantity<'a>>,
}

impl Ratio<'_> {
    /// The quotient, its comparator, and its unit; a titre has none.
    fn value(&self) -> Option<(f64, Comparator, Option<String>)> {
        let (over, under) = (self.numerator.as_ref()?, self.denominator.as_ref()?);
        let sign = |q: &Quantity<'_>| of(&q.comparator).map_or(Some(Comparator::Eq), Comparator::parse);
        // What is under a bound of the denominator is over one of the quotient.
        let comparator = match (sign(over)?, sign(under)?) {
            (comparator, Comparator::Eq) => comparator,
            (Comparator::Eq, under) => under.flipped(),
            _ => return None,
        };
        let value = measurement::quotient(over.number()?, under.number()?)?;
        Some((value, comparator, measurement::unit_of_quotient(over.unit(), under.unit())))
    }
}

impl Observation<'_> {
    /// Looks up how its numbers are written, in the text that it was parsed from.
    pub(super) fn look_up(&mut self, text: &str) {
        if let Some(quantity) = &mut self.value_quantity {
            let value = written::member(text, "valueQuantity").and_then(|q| written::member(q, "value"));
            quantity.decimals = value.and_then(written::decimals);
        }
        if self.component.iter().any(|c| c.value_quantity.is_some()) {
            let texts = written::elements(written::member(text, "component"));
            self.component.iter_mut().zip(texts).for_each(|(component, text)| component.look_up(text));
        }
    }

    fn has_value(&self) -> bool {
        self.value_quantity.is_some()
            || self.value_codeable_concept.is_some()
            || self.value_integer.is_some()
            || self.value_boolean.is_some()
            || self.value_range.is_some()
            || self.value_ratio.is_some()
            || self.value_string.is_some()
            || self.without_place()
    }

    /// Whether it says when it was.
    pub(super) fn has_time(&self) -> bool {
        self.effective_date_time.is_some()
            || self.effective_instant.is_some()
            || self.effective_period.is_some()
            || self.effective_timing.is_some()
    }

    /// The number that a text is, with its comparator and its decimals.
    pub(super) fn number_in_words(&self) -> Option<(Comparator, f64, i64)> {
        measurement::in_words(of(&self.value_string)?)
    }

    /// A value that the schema has no place for: a curve, or a time.
    fn without_place(&self) -> bool {
        self.value_sampled_data.is_some()
            || self.value_time.is_some()
            || self.value_date_time.is_some()
            || self.value_period.is_some()
    }
}

/// The schema's status of an observation or a report.
pub(super) fn status(status: &Option<Text<'_>>) -> &'static str {
    match of(status) {
        Some("final") => "final",
        Some("amended" | "corrected" | "appended") => "corrected",
        Some("preliminary" | "registered" | "partial") => "preliminary",
        Some("cancelled") => "cancelled",
        Some("entered-in-error") => "error",
        _ => "unknown",
    }
}

/// What the rows of one observation share.
struct Common<'o> {
    status: &'static str,
    event: Option<When>,
    issued: Option<When>,
    specimen: Option<&'o str>,
}

fn event(observation: &Observation<'_>, told: &Told<'_>) -> Result<Option<When>, No> {
    if let Some(period) = &observation.effective_period {
        return match told.date(&period.start, "Observation.effectivePeriod.start")? {
            None => told.date(&period.end, "Observation.effectivePeriod.end"),
            start => Ok(start),
        };
    }
    if let Some(timing) = &observation.effective_timing {
        return told.date(&timing.event.first().cloned(), "Observation.effectiveTiming.event");
    }
    match &observation.effective_instant {
        Some(_) => told.date(&observation.effective_instant, "Observation.effectiveInstant"),
        None => told.date(&observation.effective_date_time, "Observation.effectiveDateTime"),
    }
}

/// The type of the specimen: of a contained one, or of a Specimen of its own.
fn specimen<'o>(observation: &'o Observation<'_>, told: &'o Told<'_>) -> Option<&'o str> {
    let reference = observation.specimen.as_ref()?;
    if let Some(local) = of(&reference.reference)?.strip_prefix('#') {
        let inner = observation.contained.iter().find(|c| of(&c.id) == Some(local))?;
        return code::bare(inner.kind.get());
    }
    let id = told.id(reference, "Specimen", &[]).ok()?;
    told.index.concept("Specimen", &id).map(|c| c.code.as_str())
}

pub(super) fn rows(observation: &Observation<'_>, told: &Told<'_>) -> Rows {
    let id = told.own_id(&observation.id, "Observation")?;
    let gone = || delete::gone(told, "Observation", &observation.id);
    if !observation.modifier_extension.is_empty() {
        return Err(gone());
    }
    let common = Common {
        status: status(&observation.status),
        event: event(observation, told)?,
        issued: told.spare_date(&observation.issued, "Observation.issued"),
        specimen: specimen(observation, told),
    };
    let error = common.status == "error";
    let person = told.person_of(&observation.subject, &observation.contained, "Observation.subject", error)?;
    let finish = |key: Key, component: &Observation<'_>, field: &str| -> Result<Record, No> {
        let mut row = told.env.row(Table::Measurement, person, key);
        set_status(&mut row, common.status);
        match code::set(&mut row, component.code.as_ref(), field) {
            Err(_) if error => {}
            other => other?,
        }
        told.set_visit(&mut row, &observation.encounter);
        if let Some(when) = &common.event {
            envelope::set_event(&mut row, when);
        }
        set_known(&mut row, &common.issued);
        if let Some(when) = &common.issued {
            row.set("t_result", when.instant_cell());
        }
        row.set("specimen", common.specimen);
        set_value(&mut row, component);
        Ok(row)
    };
    let (own, parts) = (observation.has_value(), &observation.component);
    let absent = observation.data_absent_reason.is_some();
    if !own && !absent && parts.is_empty() && !observation.has_member.is_empty() && !error {
        // A panel: its members are observations of their own.
        return Err(gone());
    }
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    let whole = told.key(Table::Measurement, id);
    for (component, part) in origins(observation) {
        let Some(part) = part else {
            rows.push(finish(whole, observation, "Observation.code")?);
            if observation.value_codeable_concept.is_some()
                && observation.code.as_ref().is_some_and(|c| code::has(std::slice::from_ref(c), death::CERTIFIED))
            {
                let cause = code::bare(observation.value_codeable_concept.as_ref());
                let cause = cause.filter(|_| common.status != "cancelled" && !error);
                rows.extend(death::cause(&observation.subject, &observation.contained, cause, told));
            }
            continue;
        };
        let field = format!("Observation.component[{}].code", part.index);
        match finish(part.key(id, told), component, &field) {
            Ok(mut row) => {
                row.set_part_of(whole);
                rows.push(row);
            }
            // It costs no other.
            Err(No::Bad(reason, detail)) => faults.push((reason, detail)),
            Err(other) => return Err(other),
        }
    }
    match faults.first() {
        Some((reason, detail)) if rows.is_empty() => return Err(No::bad(*reason, detail.clone())),
        _ => faults.into_iter().for_each(|(reason, detail)| told.left_out.push(reason, detail)),
    }
    Ok(rows)
}

/// What a component's row is known by, behind the observation's id: its code and, where several have one, their order. Another order of
/// codes, or one more or less of another code, makes no other record.
pub(super) struct Part {
    /// Which of the components it is.
    pub(super) index: usize,
    system: String,
    code: String,
    nth: String,
}

impl Part {
    /// The row's identity.
    pub(super) fn key(&self, id: &str, told: &Told<'_>) -> Key {
        told.env.record(Table::Measurement, &[id, "component", &self.system, &self.code, &self.nth])
    }
}

/// What the rows of an observation are of: itself, where it has a value or no components, and its components by their codes.
pub(super) fn origins<'o, 'a>(observation: &'o Observation<'a>) -> Vec<(&'o Observation<'a>, Option<Part>)> {
    let mut out = Vec::new();
    if observation.has_value() || observation.component.is_empty() {
        out.push((observation, None));
    }
    let code_of = |c: &Observation<'_>| {
        let chosen = c.code.as_ref().and_then(|c| code::choose(c, Table::Measurement));
        chosen.map(|(_, code, system)| (system.map_or_else(String::new, std::borrow::Cow::into_owned), code.to_owned()))
    };
    let mut ordered: Vec<_> = observation.component.iter().enumerate().map(|(i, c)| (code_of(c), i, c)).collect();
    ordered.sort_by(|a, b| a.0.cmp(&b.0));
    for same in ordered.chunk_by(|a, b| a.0 == b.0) {
        for (nth, (code, index, component)) in same.iter().enumerate() {
            let (system, code) = code.clone().unwrap_or_default();
            out.push((*component, Some(Part { index: *index, system, code, nth: nth.to_string() })));
        }
    }
    out
}

fn set_value(row: &mut Record, component: &Observation<'_>) {
    row.set("flag", code::first(&component.interpretation));
    if let Some(range) = component.reference_range.first() {
        row.set("ref_lo", range.low.as_ref().and_then(Quantity::number));
        row.set("ref_hi", range.high.as_ref().and_then(Quantity::number));
    }
    if let Some(reason) = code::bare(component.data_absent_reason.as_ref()) {
        row.set("flag", format!("absent:{reason}"));
    }
    let words = component.value_string.is_some() && component.number_in_words().is_none();
    let unnamed = component.value_codeable_concept.as_ref().is_some_and(|c| code::bare(Some(c)).is_none());
    if words || (unnamed && component.data_absent_reason.is_none()) {
        row.set("flag", "text");
    }
    let ratio = component.value_ratio.as_ref().map(Ratio::value);
    if component.without_place() || ratio == Some(None) {
        row.set("flag", "unsupported");
    }
    row.set("value_code", code::bare(component.value_codeable_concept.as_ref()));
    if let Some(value) = component.value_boolean {
        row.set("value_code", if value { "true" } else { "false" });
    }
    if let Some(quantity) = &component.value_quantity {
        let (comparator, known) = match of(&quantity.comparator) {
            None => (Comparator::Eq, true),
            Some(sign) => Comparator::parse(sign).map_or((Comparator::Eq, false), |c| (c, true)),
        };
        if quantity.value.is_some() && known {
            row.set("value_scale", quantity.decimals);
        }
        // A value under a sign that is not understood is no value.
        measurement::fill(row, quantity.value.filter(|_| known), comparator, quantity.unit());
    } else if let Some((comparator, value, decimals)) = component.number_in_words() {
        row.set("value_scale", decimals);
        measurement::fill(row, Some(value), comparator, None);
    } else if let Some((value, comparator, unit)) = ratio.flatten() {
        measurement::fill(row, Some(value), comparator, unit.as_deref());
    } else if let Some(range) = &component.value_range {
        let unit = range.low.as_ref().or(range.high.as_ref()).and_then(Quantity::unit);
        measurement::fill(row, None, Comparator::Eq, unit);
        row.set("value_lo", range.low.as_ref().and_then(Quantity::number));
        row.set("value_hi", range.high.as_ref().and_then(Quantity::number));
    } else {
        #[allow(clippy::cast_precision_loss)]
        let whole = component.value_integer.map(|v| v as f64);
        row.set("value_scale", whole.map(|_| 0i64));
        measurement::fill(row, whole, Comparator::Eq, None);
    }
}
