//! Patient: the person, the death where one is told, and who was merged into whom.

use schema::{Record, Table};
use serde::Deserialize;

use super::delete::retraction;
use super::told::Told;
use super::wire::{Identifier, Modifiers, Reference, Text, of};
use super::{No, Rows};
use crate::envelope;
use crate::sink::Reason;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Patient<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    gender: Option<Text<'a>>,
    #[serde(borrow)]
    birth_date: Option<Text<'a>>,
    deceased_boolean: Option<bool>,
    #[serde(borrow)]
    deceased_date_time: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    identifier: Vec<Identifier<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    link: Vec<Link<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    other: Option<Reference<'a>>,
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
}

impl Patient<'_> {
    /// The value of the first identifier of a system that is in use.
    fn id_of(&self, system: &str) -> Option<&str> {
        self.identifier
            .iter()
            .filter(|i| of(&i.system) == Some(system) && of(&i.usage) != Some("old"))
            .find_map(|i| of(&i.value))
    }
}

/// A merge: the record of the old patient is retracted in favour of the one who stays, whose key the retraction carries.
fn merged(old: &str, stays: &str, told: &Told<'_>) -> Record {
    let mut row = retraction(told, Table::Patient, told.key(Table::Patient, old)).with("status", "final");
    row.set("person_key", told.env.person(stays));
    row
}

pub(super) fn rows(patient: &Patient<'_>, told: &Told<'_>) -> Rows {
    let id = told.own_id(&patient.id, "Patient")?;
    if !patient.modifier_extension.is_empty() {
        return Err(No::skip());
    }
    if told.index.is_reused(id) {
        let detail = "Patient.id: two patients of this file have it; give each an own one";
        return Err(No::bad(Reason::IdReused, detail));
    }
    let env = told.env;
    let person = env.person(id);
    let key = told.key(Table::Patient, id);
    let sex = match of(&patient.gender) {
        Some("female") => "F",
        Some("male") => "M",
        Some("other") => "O",
        _ => "U",
    };
    let mut row = env.row(Table::Patient, person, key).with("sex", sex).with("age_capped", false);
    if let Some(birth) = told.spare_date(&patient.birth_date, "Patient.birthDate") {
        envelope::set_birth(&mut row, &birth);
    }
    if let Some(id) = told.linkage.and_then(|system| patient.id_of(system)) {
        row.set("linkage_tag", env.linkage(id));
    }
    let mut rows = vec![row];
    let died = told.date(&patient.deceased_date_time, "Patient.deceasedDateTime")?;
    if died.is_some() || patient.deceased_boolean.is_some() {
        let mut death = env.row(Table::Death, person, told.key(Table::Death, id)).with("death_source", "ehr");
        if let Some(when) = &died {
            envelope::set_event(&mut death, when);
        } else if patient.deceased_boolean == Some(false) {
            // Alive: a death that an earlier version told is taken back.
            death.set("op", "retract");
        }
        rows.push(death);
    }
    for link in &patient.link {
        let Some(Ok(other)) = link.other.as_ref().map(|r| told.id(r, "Patient", &[])) else { continue };
        match of(&link.kind) {
            // The record itself is the old one: only its retraction is given.
            Some("replaced-by") if other != id => {
                rows.truncate(1);
                rows.splice(.., [merged(id, &other, told)]);
                break;
            }
            Some("replaces") if other != id => rows.push(merged(&other, id, told)),
            _ => {}
        }
    }
    Ok(rows)
}
