//! Patient: the person, the death where one is told, and who was merged into whom.

use schema::{Key, Record, Table};
use serde::Deserialize;

use super::told::Told;
use super::wire::{Identifier, Meta, Modifiers, Reference, Text, of};
use super::{No, Rows, death, delete};
use crate::envelope;
use crate::sink::Reason;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Patient<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
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

/// A merge, as a record of its own: it names the old patient, and is retracted in favour of the one who stays, whose key the
/// retraction carries. It is a part of the patient who tells it, so that a later version of that one can take it back, and a
/// version of the other one that says nothing can't.
fn merged(old: &str, stays: &str, by: Key, told: &Told<'_>) -> [Record; 2] {
    let key = told.env.record(Table::Patient, &["merged", old]);
    let row = |person| {
        let mut row = told.env.retraction(Table::Patient, told.env.person(person), key).with("status", "final");
        row.set_part_of(by);
        row
    };
    [row(old).with("op", "upsert"), row(stays)]
}

pub(super) fn rows(patient: &Patient<'_>, told: &Told<'_>) -> Rows {
    let id = told.own_id(&patient.id, "Patient")?;
    if !patient.modifier_extension.is_empty() {
        return Err(delete::gone(told, "Patient", &patient.id));
    }
    if told.index.is_reused(id) {
        let detail = "Patient.id: two patients of the source have it; give each an own one";
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
    // A day that can't be read costs the day, and not the death.
    let died = told.spare_date(&patient.deceased_date_time, "Patient.deceasedDateTime");
    let replaced = patient.link.iter().any(|l| of(&l.kind) == Some("replaced-by"));
    // Where nothing says dead, or the one who stays does, a death that an earlier version told is taken back.
    let dead = !replaced && (of(&patient.deceased_date_time).is_some() || patient.deceased_boolean == Some(true));
    rows.push(death::told_by_patient(person, id, dead, died.as_ref(), told));
    for link in &patient.link {
        let Some(Ok(other)) = link.other.as_ref().map(|r| told.id(r, "Patient", &[])) else { continue };
        match of(&link.kind) {
            Some("replaced-by") if other != id => rows.extend(merged(id, &other, key, told)),
            Some("replaces") if other != id => rows.extend(merged(&other, id, key, told)),
            _ => {}
        }
    }
    Ok(rows)
}
