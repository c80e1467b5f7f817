//! A death: that and when the Patient tells, why another resource.
//!
//! Both are patches of one record, so that each keeps what the other says, whichever comes first: see the lake's fold. A version of
//! the Patient that says nothing of a death retracts it.

use schema::{Key, Record, Table};

use super::told::Told;
use super::wire::{Contained, Reference};
use crate::envelope;
use crate::time::When;

/// The question for the cause, as certificates of death of the United States have it.
pub(super) const CERTIFIED: &str = "69453-9";
/// The categories of a Condition that is the cause: LOINC's, and SNOMED CT's; the German profiles write both.
pub(super) const CATEGORIES: [&str; 2] = ["79378-6", "16100001"];

fn row(person: Key, id: &str, told: &Told<'_>) -> Record {
    told.env.row(Table::Death, person, told.key(Table::Death, id)).patch()
}

/// What a Patient says: dead, and when, where that is told.
pub(super) fn told_by_patient(person: Key, id: &str, dead: bool, when: Option<&When>, told: &Told<'_>) -> Record {
    let row = row(person, id, told);
    if !dead {
        return row.with("op", "retract");
    }
    let mut row = row.with("death_source", "ehr").with("status", "final");
    match when {
        Some(when) => envelope::set_event(&mut row, when),
        // Not known after all, whatever an earlier version said.
        None => envelope::unset_event(&mut row),
    }
    row
}

/// What another resource says of the cause; `None` empties it, where that resource was an error.
pub(super) fn cause(
    subject: &Option<Reference<'_>>,
    contained: &[Contained<'_>],
    code: Option<&str>,
    told: &Told<'_>,
) -> Option<Record> {
    let id = told.id(subject.as_ref()?, "Patient", contained).ok()?;
    Some(row(told.env.person(&id), &id, told).with("cause", code))
}
