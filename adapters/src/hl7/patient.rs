//! PID: the person, the death where one is told, and who was merged into whom (MRG).

use schema::{Cell, Key, Table};

use super::identity::Number;
use super::message::Told;
use super::segment::{No, Rows, Segment, kept, spare};
use crate::envelope;
use crate::sink::Reason;

/// Events that make a patient's number one that is in use, also where it was merged or deleted before: admissions and registrations, a
/// new person, and an unlink. An update or a discharge of a system that lags behind does not.
const OPENS: &[&[u8; 3]] = &[b"A01", b"A04", b"A05", b"A28", b"A37"];
/// Events that make two numbers one patient (MRG-1): merges, and a change of the number.
pub(crate) const MERGES: &[&[u8; 3]] =
    &[b"A18", b"A30", b"A34", b"A36", b"A39", b"A40", b"A43", b"A46", b"A47", b"A48"];
/// Of them those that may change another number than the patient's, and then merge nobody.
pub(crate) const OF_OTHERS: &[&[u8; 3]] = &[b"A43", b"A46", b"A48"];

/// Whom a message is about.
pub(crate) struct Person {
    /// The identifier.
    pub(crate) number: Number,
    /// Its pseudonym.
    pub(crate) key: Key,
}

/// The person of a PID.
pub(crate) fn person(pid: &Segment<'_, 31>, told: &Told<'_>) -> Result<Person, No> {
    let id = match told.authorities.patient(pid, 3)? {
        Some(id) => Some(id),
        None => told.authorities.patient(pid, 2)?,
    };
    let number =
        id.ok_or_else(|| pid.bad(3, Reason::MissingPatient, "no identifier of the patient; have the sender set it"))?;
    let key = told.env.person(&number.id);
    Ok(Person { number, key })
}

/// The linkage id: of the repetition whose authority (CX.4) or type (CX.5) is the one that the site named.
fn linkage_id(pid: &Segment<'_, 31>, system: &str) -> Result<Option<String>, No> {
    for field in pid.field(3).repetitions() {
        let authority = field.component(4);
        let oid = system.strip_prefix("urn:oid:").unwrap_or(system);
        let names = [authority.sub(1), authority.sub(2), field.component(5)];
        if names.iter().any(|f| !f.is_empty() && (f.bytes() == system.as_bytes() || f.bytes() == oid.as_bytes())) {
            return Ok(pid.read(3, field.component(1))?.map(|t| t.into_owned()));
        }
    }
    Ok(None)
}

/// The patient's row and, where a death is told or taken back, the death's.
pub(crate) fn rows(pid: &Segment<'_, 31>, person: &Person, told: &Told<'_>, linkage: Option<&str>) -> Rows {
    let env = told.env;
    let mut fault = None;
    let make = |table| told.says(table, person.key, env.record(table, &[&person.number.id]));
    let mut row = make(Table::Patient);
    if !told.header.is(OPENS) && !told.header.is(MERGES) {
        row = row.update();
    }
    let sex = match pid.field(8).component(1).bytes() {
        b"" => None,
        b"F" => Some("F"),
        b"M" => Some("M"),
        b"O" | b"A" => Some("O"),
        _ => Some("U"),
    };
    if let Some(sex) = sex {
        row.set("sex", sex);
    }
    if let Some(birth) = spare(pid.time(7, env), &mut fault) {
        envelope::set_birth(&mut row, &birth);
    } else if pid.field(7).is_null() {
        row.set("birth_year", Cell::Null);
        row.set("birth_month", Cell::Null);
    }
    if let Some(system) = linkage
        && let Some(id) = linkage_id(pid, system)?
    {
        row.set("linkage_tag", env.linkage(&id));
    }
    if told.header.is(&[b"A29"]) {
        row.set("op", "retract");
    }
    let mut rows = vec![row];
    rows.extend(told.stands_for(Table::Patient, person.key, &person.number));
    // A time that can't be read costs the time, and not the death that PID-30 tells.
    let died = spare(pid.time(29, env), &mut fault);
    let dead = pid.field(30).bytes() == b"Y";
    let taken_back = !dead && (pid.field(30).bytes() == b"N" || pid.field(29).is_null() || pid.field(30).is_null());
    if died.is_some() || dead || taken_back {
        let mut death = make(Table::Death).with("death_source", "ehr");
        if let Some(when) = &died {
            envelope::set_event(&mut death, when);
        } else if taken_back {
            death.set("op", "retract");
        } else if pid.field(29).is_null() {
            // Dead, and the day is not known after all.
            envelope::unset_event(&mut death);
        }
        rows.push(death);
    }
    kept(rows, fault)
}

/// A merge: the patient of the old identifier is retracted in favour of the one that stays. The retraction carries the
/// key of the person who stays, which says whose the old one's events are now.
pub(crate) fn merge(mrg: &Segment<'_, 8>, stays: &Person, told: &Told<'_>) -> Rows {
    let Some(old) = told.authorities.merged(mrg, 1, &stays.number)? else {
        if told.header.is(OF_OTHERS) {
            return Ok(Vec::new());
        }
        return Err(mrg.bad(
            1,
            Reason::MissingPatient,
            "no identifier of the patient who is merged; have the sender set it",
        ));
    };
    if old.id == stays.number.id {
        return Ok(Vec::new());
    }
    let record = told.env.record(Table::Patient, &[&old.id]);
    // The old one is named, so that the record names both persons also where nothing else does.
    let key = told.env.person(&old.id);
    let was = told.names(Table::Patient, key, record);
    let mut rows = vec![was, told.says(Table::Patient, stays.key, record).with("op", "retract")];
    rows.extend(told.stands_for(Table::Patient, key, &old));
    Ok(rows)
}
