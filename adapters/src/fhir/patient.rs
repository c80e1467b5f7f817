//! Patient: the person, and the death where one is told.

use schema::Table;
use serde::Deserialize;

use super::wire::{Identifier, Modifiers};
use super::{No, Rows, date, own_id};
use crate::envelope::{self, Envelope};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Patient {
    id: Option<String>,
    gender: Option<String>,
    birth_date: Option<String>,
    deceased_boolean: Option<bool>,
    deceased_date_time: Option<String>,
    #[serde(default)]
    identifier: Option<Vec<Identifier>>,
    #[serde(default)]
    modifier_extension: Modifiers,
}

impl Patient {
    /// The value of the first identifier of a system that is in use.
    fn id_of(&self, system: &str) -> Option<&str> {
        let all = self.identifier.as_deref().unwrap_or_default();
        all.iter()
            .filter(|i| i.system.as_deref() == Some(system) && i.usage.as_deref() != Some("old"))
            .find_map(|i| i.value.as_deref().filter(|v| !v.trim().is_empty()))
    }
}

pub(super) fn rows(patient: &Patient, env: &Envelope<'_>, linkage: Option<&str>) -> Rows {
    let id = own_id(&patient.id, "Patient")?;
    if !patient.modifier_extension.is_empty() {
        return Err(No::Skipped);
    }
    let person = env.person(id);
    let sex = match patient.gender.as_deref() {
        Some("female") => "F",
        Some("male") => "M",
        Some("other") => "O",
        _ => "U",
    };
    let mut row =
        env.row(Table::Patient, person, super::key(env, Table::Patient, id)).with("sex", sex).with("age_capped", false);
    if let Some(birth) = date(&patient.birth_date, "Patient.birthDate", env)? {
        envelope::set_birth(&mut row, &birth);
    }
    if let Some(id) = linkage.and_then(|system| patient.id_of(system)) {
        row.set("linkage_tag", env.linkage(id));
    }
    let mut rows = vec![row];
    let died = date(&patient.deceased_date_time, "Patient.deceasedDateTime", env)?;
    if died.is_some() || patient.deceased_boolean == Some(true) {
        let mut death = env.row(Table::Death, person, super::key(env, Table::Death, id)).with("death_source", "ehr");
        if let Some(when) = &died {
            envelope::set_event(&mut death, when);
        }
        rows.push(death);
    }
    Ok(rows)
}
