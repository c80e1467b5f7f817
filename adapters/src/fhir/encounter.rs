//! Encounter: a visit.

use schema::Table;
use serde::Deserialize;

use super::told::{Told, id_of_url, set_status};
use super::wire::{CodeableConcept, Coding, Contained, Meta, Modifiers, Period, Reference, Text, of};
use super::{Rows, code, delete};
use crate::envelope;
use crate::sink::Reason;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encounter<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    status_history: Vec<StatusHistory<'a>>,
    #[serde(borrow)]
    class: Option<Coding<'a>>,
    #[serde(borrow, default, rename = "type", deserialize_with = "super::wire::list")]
    kind: Vec<CodeableConcept<'a>>,
    #[serde(borrow)]
    service_type: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    subject: Option<Reference<'a>>,
    #[serde(borrow)]
    period: Option<Period<'a>>,
    #[serde(borrow)]
    part_of: Option<Reference<'a>>,
    #[serde(borrow)]
    hospitalization: Option<Hospitalization<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    location: Vec<Location<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

#[derive(Deserialize)]
struct StatusHistory<'a> {
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    period: Option<Period<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hospitalization<'a> {
    #[serde(borrow)]
    admit_source: Option<CodeableConcept<'a>>,
    #[serde(borrow)]
    discharge_disposition: Option<CodeableConcept<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(borrow)]
    location: Option<Reference<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    physical_type: Option<CodeableConcept<'a>>,
}

/// The schema's class of a v3 ActCode, of HL7 v2's patient class, or of the words that older exports write.
fn class(coding: &Coding<'_>) -> Option<&'static str> {
    let code = of(&coding.code)?.to_ascii_uppercase();
    if of(&coding.system).is_some_and(|s| s.ends_with("v2-0004") || s.ends_with("v2/0004")) {
        return match code.as_str() {
            "I" | "B" => Some("IP"),
            "E" => Some("ER"),
            "O" | "R" | "P" => Some("OP"),
            _ => None,
        };
    }
    Some(match code.as_str() {
        "IMP" | "ACUTE" | "NONAC" | "INPATIENT" => "IP",
        "EMER" | "EMERGENCY" => "ER",
        "OBSENC" | "SS" => "OBS",
        "AMB" | "HH" | "VR" | "FLD" | "PRENC" | "WELLNESS" | "OUTPATIENT" | "AMBULATORY" | "URGENTCARE" | "HOME"
        | "VIRTUAL" | "SNF" | "HOSPICE" | "DAYTIME" => "OP",
        _ => return None,
    })
}

/// Whether a type says intensive care: Germany's kind of contact does.
fn intensive(kinds: &[CodeableConcept<'_>]) -> bool {
    code::has(kinds, "intensivstationaer")
}

/// The class that a type of an encounter, or the kind of its service, says by a code of a system that is known: SNOMED CT, CPT's
/// numbers for the place and kind of a visit, v3 ActCode or HL7 v2's patient class.
fn class_of_type(concept: &CodeableConcept<'_>) -> Option<&'static str> {
    concept.coding.iter().find_map(|c| match code::system(c).as_deref() {
        Some(crate::visits::SNOMED | crate::visits::CPT) => {
            crate::visits::class(code::system(c).as_deref(), of(&c.code)?)
        }
        Some(system) if system.contains("v3-ActCode") || system.contains("0004") => class(c),
        _ => None,
    })
}

/// The class of a visit: what its class says; else its types; else a discharge or an admission, which only a stay has.
fn class_of(encounter: &Encounter<'_>) -> Option<&'static str> {
    if intensive(&encounter.kind) {
        return Some("ICU");
    }
    let named = encounter.class.as_ref().and_then(class);
    let kinds = || encounter.kind.iter().chain(encounter.service_type.as_ref());
    named.or_else(|| kinds().find_map(class_of_type)).or_else(|| {
        let stay = encounter.hospitalization.as_ref()?;
        (stay.admit_source.is_some() || stay.discharge_disposition.is_some()).then_some("IP")
    })
}

/// The ward: by its physical type, else the last location that is not only planned. Its identifier, else its id.
fn ward<'e>(locations: &'e [Location<'_>]) -> Option<&'e str> {
    let been = || locations.iter().rev().filter(|l| !matches!(of(&l.status), Some("planned" | "reserved")));
    let ward = been().find(|l| code::bare(l.physical_type.as_ref()) == Some("wa")).or_else(|| been().next())?;
    let reference = ward.location.as_ref()?;
    let own = reference.identifier.as_ref().and_then(|i| of(&i.value));
    let text = of(&reference.reference);
    let searched = || text.filter(|t| t.contains('?')).and_then(|t| t.rsplit_once('|')).map(|(_, value)| value);
    own.or_else(searched).or_else(|| text.and_then(|t| id_of_url(t, "Location")))
}

pub(super) fn rows(encounter: &Encounter<'_>, told: &Told<'_>) -> Rows {
    let id = told.own_id(&encounter.id, "Encounter")?;
    // A planned visit has not been.
    if !encounter.modifier_extension.is_empty() || of(&encounter.status) == Some("planned") {
        return Err(delete::gone(told, "Encounter", &encounter.id));
    }
    let (status, running) = match of(&encounter.status) {
        Some("finished") => ("final", false),
        Some("in-progress" | "arrived" | "triaged" | "onleave") => ("preliminary", true),
        Some("cancelled") => ("cancelled", false),
        Some("entered-in-error") => ("error", false),
        _ => ("unknown", false),
    };
    let error = status == "error";
    let person = told.person_of(&encounter.subject, &encounter.contained, "Encounter.subject", error)?;
    let class = match class_of(encounter) {
        Some(class) => class,
        // A visit of no known class is one of an outpatient, as in OMOP; it is told, since a study by class can't rely on it.
        None => {
            if !error {
                let detail = "Encounter.class, type, serviceType and hospitalization say no kind of visit that is known; the \
                              row is kept as that of an outpatient. Map class to IMP, EMER, OBSENC, AMB, HH or VR";
                told.left_out.push(Reason::UnknownLevel, detail.to_owned());
            }
            "OP"
        }
    };
    let mut row = told
        .env
        .row(Table::Visit, person, told.key(Table::Visit, id))
        .with("visit_key", told.env.visit(id))
        .with("class", class);
    set_status(&mut row, status);
    let period = encounter.period.as_ref();
    let mut start = period.map_or(Ok(None), |p| told.date(&p.start, "Encounter.period.start"))?;
    let mut end = period.and_then(|p| told.end(&p.end, "Encounter.period.end"));
    if period.is_none() {
        // The time within the hospital, by the states that it went through.
        let stays =
            |s: &&StatusHistory<'_>| !matches!(of(&s.status), Some("planned" | "cancelled" | "entered-in-error"));
        for state in encounter.status_history.iter().filter(stays).filter_map(|s| s.period.as_ref()) {
            let from = told.date(&state.start, "Encounter.statusHistory.period.start")?;
            let to = told.end(&state.end, "Encounter.statusHistory.period.end");
            start = [start, from].into_iter().flatten().min_by_key(crate::time::When::seconds);
            end = [end, to].into_iter().flatten().max_by_key(crate::time::When::seconds);
        }
        end = end.filter(|_| !running);
    }
    if let Some(start) = &start {
        envelope::set_event(&mut row, start);
        envelope::set_start(&mut row, start);
    }
    if let Some(end) = &end {
        envelope::set_end(&mut row, end);
        row.set("end_kind", "explicit");
    }
    row.set("open", running && end.is_none());
    if let Some((_, code, system)) = encounter.kind.iter().find_map(|k| code::choose(k, Table::Visit)) {
        row.set("code", code);
        row.set("code_system", system.map(std::borrow::Cow::into_owned));
    }
    if let Some(stay) = &encounter.hospitalization {
        row.set("admit_from", code::bare(stay.admit_source.as_ref()));
        row.set("discharge_to", code::bare(stay.discharge_disposition.as_ref()));
    }
    row.set("ward", ward(&encounter.location));
    if let Some(Ok(parent)) = encounter.part_of.as_ref().map(|r| told.id(r, "Encounter", &[])) {
        row.set("parent_visit_key", told.env.visit(&parent));
    }
    Ok(vec![row])
}
