//! Whose document it is: the patient, and the death.

use schema::{Cell, Record, Table};

use super::document::Whose;
use super::element::Element;
use super::{Fault, No, Row, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

/// The root of United States social security numbers: many hospitals' documents list them beside their own number.
const SSN: &str = "2.16.840.1.113883.4.1";

/// The patient's id: the first that is neither a social security number nor a linkage id, else the first.
pub(super) fn whose(target: &Element, linkage: Option<&str>, env: &Envelope<'_>) -> Result<Whose, Fault> {
    let role = target.child("patientRole");
    let ids = || {
        let all = role.into_iter().flat_map(|r| r.all("id")).filter(|i| i.null().is_none());
        all.filter_map(|i| Some((i.get("root")?, i.get("extension").unwrap_or(""))))
    };
    let own = ids().find(|(root, _)| *root != SSN && Some(*root) != linkage);
    let Some((root, extension)) = own.or_else(|| ids().next()) else {
        let detail = "recordTarget/patientRole/id has no root; it says whose document it is";
        return Err(Fault::bad(Reason::MissingPatient, detail));
    };
    let id = format!("{root}|{extension}");
    let key = env.person(&id);
    Ok(Whose { id, key })
}

/// The patient's row, and the death's.
pub(super) fn rows(
    target: &Element,
    whose: &Whose,
    linkage: Option<&str>,
    env: &Envelope<'_>,
) -> Result<Vec<Record>, No> {
    let record = |table| env.row(table, whose.key, env.record(table, &[&whose.id]));
    let role = target.child("patientRole");
    let patient = role.and_then(|r| r.child("patient"));
    let child = |name: &str| patient.and_then(|p| p.child(name));
    let sex = match child("administrativeGenderCode").filter(|g| g.null().is_none()).and_then(|g| g.get("code")) {
        Some("F") => "F",
        Some("M") => "M",
        Some("UN") => "O",
        _ => "U",
    };
    let mut row = record(Table::Patient).with("sex", sex).with("age_capped", false);
    if let Some(birth) = when::moment(child("birthTime"), "patientRole/patient/birthTime", env.zone())? {
        envelope::set_birth(&mut row, &birth);
    }
    if let (Some(linkage), Some(role)) = (linkage, role) {
        let id = role.all("id").filter(|i| i.null().is_none() && i.get("root") == Some(linkage));
        if let Some(id) = id.filter_map(|i| i.get("extension")).next() {
            row.set("linkage_tag", env.linkage(id));
        }
    }
    let mut rows = vec![row];
    let time = when::moment(child("deceasedTime"), "patientRole/patient/deceasedTime", env.zone())?;
    let said = child("deceasedInd").and_then(|d| d.get("value"));
    let mut death = record(Table::Death).with("death_source", "ehr");
    if let Some(when) = &time {
        envelope::set_event(&mut death, when);
        rows.push(death);
    } else if matches!(said, Some("true" | "1")) {
        rows.push(death);
    } else if matches!(said, Some("false" | "0")) {
        // Alive: a death that an earlier document told is taken back.
        rows.push(death.with("op", "retract"));
    }
    Ok(rows)
}

/// The observation that the patient has died, in a body whose header does not say so.
pub(super) fn died(observation: &Element, whose: &Whose, env: &Envelope<'_>) -> Row {
    if !observation.happened() {
        return Err(No::Skipped);
    }
    let mut death =
        env.row(Table::Death, whose.key, env.record(Table::Death, &[&whose.id])).with("death_source", "ehr");
    let span = when::span(observation.child("effectiveTime"), "effectiveTime", env.zone())?;
    if let Some(when) = &span.start {
        envelope::set_event(&mut death, when);
    }
    death.set("cause", Cell::Null);
    Ok(death)
}
