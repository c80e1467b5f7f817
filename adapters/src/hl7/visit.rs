//! PV1: the visit, as an ADT message snapshots it or another message mentions it.

use schema::{Cell, Key, Record, Table};

use super::code;
use super::identity::Number;
use super::message::{Kind, Told};
use super::patient::Person;
use super::segment::{No, Rows, Segment};
use crate::envelope;
use crate::sink::Reason;
use crate::time::When;

/// The visit that a message's rows belong to.
#[derive(Default)]
pub(crate) struct Visit {
    /// PV1-19, else PID-18.
    pub(crate) id: Option<Number>,
    /// Its pseudonym.
    pub(crate) key: Option<Key>,
    /// When it began: PV1-44, else when an admission was.
    pub(crate) start: Option<When>,
    /// When it ended: PV1-45, else when a discharge was.
    pub(crate) end: Option<When>,
}

/// Events after which there is no such visit: cancelled admissions, deleted visits.
const RETRACT: &[&[u8; 3]] = &[b"A11", b"A23"];
/// Events that begin a visit, also one that was cancelled before. Any other leaves a cancelled visit cancelled.
const OPENS: &[&[u8; 3]] = &[b"A01", b"A04", b"A05", b"A06", b"A07"];
/// Events of a visit that has not been, or of a person without one.
const NO_VISIT: &[&[u8; 3]] = &[
    b"A05", b"A14", b"A15", b"A16", b"A24", b"A25", b"A26", b"A27", b"A28", b"A29", b"A31", b"A37", b"A38", b"A18",
    b"A30", b"A34", b"A36", b"A39", b"A40", b"A43", b"A46", b"A47", b"A48", b"A60",
];

/// The schema's class of HL7's table 0004.
fn class(code: &[u8]) -> Option<&'static str> {
    Some(match code {
        b"I" | b"B" | b"INPATIENT" => "IP",
        b"E" | b"EMERGENCY" => "ER",
        b"O" | b"R" | b"C" | b"OUTPATIENT" => "OP",
        b"OBS" | b"V" => "OBS",
        _ => return None,
    })
}

/// The visit that PV1 and PID name.
pub(crate) fn visit(pv1: Option<&Segment<'_, 46>>, pid: &Segment<'_, 31>, told: &Told<'_>) -> Result<Visit, No> {
    let id = match pv1 {
        Some(pv1) => told.authorities.visit(pv1, 19)?,
        None => None,
    };
    let id = match id {
        Some(id) => Some(id),
        None => told.authorities.visit(pid, 18)?,
    };
    // A start that can't be read is told by the visit's own row; the events keep their visit.
    let (told_start, told_end) = (pv1.map(|p| p.time(44, told.env)), pv1.map(|p| end_of(p, told)));
    let start = started(told_start.and_then(Result::ok).flatten(), told);
    let end = ended(told_end.and_then(Result::ok).flatten(), told);
    let key = id.as_ref().map(|n| told.env.visit(&n.id));
    Ok(Visit { id, key, start, end })
}

/// The visit's start: the one that is told, else the time of the event that begins it.
fn started(told_start: Option<When>, told: &Told<'_>) -> Option<When> {
    told_start.or(told.header.event.filter(|_| told.header.is(&[b"A01", b"A04"])))
}

/// The visit's end in the same way.
fn ended(told_end: Option<When>, told: &Told<'_>) -> Option<When> {
    told_end.or(told.header.event.filter(|_| told.header.is(&[b"A03"])))
}

/// Some senders write the last day of the calendar for a stay without an end.
fn is_endless(pv1: &Segment<'_, 46>) -> bool {
    pv1.field(45).component(1).bytes().starts_with(b"9999")
}

/// PV1-45.
fn end_of(pv1: &Segment<'_, 46>, told: &Told<'_>) -> Result<Option<When>, No> {
    if is_endless(pv1) { Ok(None) } else { pv1.time(45, told.env) }
}

/// Events that give a visit another number, or make one of two: of visits (MRG-5), and of accounts (MRG-3), which are the visits where
/// senders have no others.
pub(crate) const MERGES: &[&[u8; 3]] = &[b"A35", b"A41", b"A42", b"A49", b"A50"];
const OF_ACCOUNTS: &[&[u8; 3]] = &[b"A35", b"A41", b"A49"];

/// A visit that is another one now: its record is retracted, and the retraction carries the key of the visit that stays.
pub(crate) fn moved(
    mrg: &Segment<'_, 8>,
    pid: &Segment<'_, 31>,
    visit: &Visit,
    person: &Person,
    told: &Told<'_>,
) -> Rows {
    let (field, new) = match told.header.is(OF_ACCOUNTS) {
        true => (3, told.authorities.visit(pid, 18)?),
        false => (5, visit.id.clone()),
    };
    let missing = |field| {
        mrg.bad(
            field,
            Reason::MissingId,
            "no number of the visit that goes, or of the one that stays; have the sender set both",
        )
    };
    let (Some(old), Some(new)) = (told.authorities.visit(mrg, field)?, new) else {
        // Accounts may be no visits of this sender's at all.
        return if told.header.is(OF_ACCOUNTS) { Ok(Vec::new()) } else { Err(missing(field)) };
    };
    if old == new {
        return Ok(Vec::new());
    }
    let env = told.env;
    let (was, is) = (env.record(Table::Visit, &[&old.id]), env.record(Table::Visit, &[&new.id]));
    let named = |record, id: &str| told.names(Table::Visit, person.key, record).with("visit_key", env.visit(id));
    let retracted =
        told.says(Table::Visit, person.key, was).with("visit_key", env.visit(&new.id)).with("op", "retract");
    // Both are named, so that the records say their visits also where nothing else does.
    Ok(vec![named(was, &old.id), named(is, &new.id), retracted])
}

/// Events that give a visit (MRG-5) or an account (MRG-3) of one patient (MRG-1) to another.
pub(crate) const GIVEN: &[&[u8; 3]] = &[b"A44", b"A45"];

/// A visit that is another patient's now. A record of its own says so: it names who had the visit, and its retraction carries the key
/// of the one who has it.
pub(crate) fn given(
    mrg: &Segment<'_, 8>,
    pid: &Segment<'_, 31>,
    visit: &Visit,
    person: &Person,
    told: &Told<'_>,
) -> Rows {
    let account = told.header.is(&[b"A44"]);
    let id = match told.authorities.visit(mrg, if account { 3 } else { 5 })? {
        Some(id) => Some(id),
        None if account => told.authorities.visit(pid, 18)?,
        None => visit.id.clone(),
    };
    let (Some(id), Some(had)) = (id, told.authorities.merged(mrg, 1, &person.number)?) else {
        let remedy = "no number of the visit, or of the patient who had it; have the sender set both";
        return Err(mrg.bad(if account { 3 } else { 5 }, Reason::MissingId, remedy));
    };
    if had.id == person.number.id {
        return Ok(Vec::new());
    }
    let (record, key) = (told.env.record(Table::Visit, &["whose", &id.id]), told.env.visit(&id.id));
    let named = told.names(Table::Visit, told.env.person(&had.id), record).with("visit_key", key);
    let now = told.says(Table::Visit, person.key, record).with("visit_key", key);
    Ok(vec![named, now.with("op", "retract").with("status", "unknown")])
}

/// Takes the end back.
fn unset_end(row: &mut Record) {
    for column in ["t_end", "end_date", "end_kind", "discharge_to"] {
        row.set(column, Cell::Null);
    }
}

/// The visit's row. Without a number a mention gives none, and an ADT event is at fault. An ADT event without a class that is known
/// keeps the visit: as that of an outpatient, unless another message says what it is.
pub(crate) fn rows(pv1: &Segment<'_, 46>, visit: &Visit, person: &Person, told: &Told<'_>) -> Rows {
    let (env, header) = (told.env, &told.header);
    let patient_class = pv1.field(2).component(1).bytes();
    // Pre-admissions have not been, and persons without a visit have class N.
    let snapshot = header.kind == Kind::Adt;
    if header.is(NO_VISIT) || matches!(patient_class, b"P" | b"N") {
        if patient_class == b"N" && snapshot && !header.is(NO_VISIT) && !pv1.field(19).component(1).is_empty() {
            let remedy = "class N says that there is no visit, and PV1-19 has the number of one; it is left out. Have the interface translate the class";
            return Err(pv1.bad(2, Reason::UnknownLevel, remedy));
        }
        return Ok(Vec::new());
    }
    let retracted = header.is(RETRACT);
    let (Some(id), Some(key)) = (&visit.id, visit.key) else {
        let remedy = "no number of the visit, and PID-18 has none either; have the sender set it";
        return if snapshot { Err(pv1.bad(19, Reason::MissingId, remedy)) } else { Ok(Vec::new()) };
    };
    let class = class(patient_class).or(retracted.then_some("OP"));
    if class.is_none() && !snapshot {
        return Ok(Vec::new());
    }
    let record = env.record(Table::Visit, &[&id.id]);
    let mut row = told.says(Table::Visit, person.key, record).with("visit_key", key);
    if class.is_some() {
        row.set("class", class);
    }
    if !header.is(OPENS) {
        row = row.update();
    }
    // The event's own time is the admission's or the discharge's, where PV1 has none.
    let told_start = pv1.time(44, env)?;
    if pv1.field(44).is_null() {
        envelope::unset_event(&mut row);
        row.set("t_start", Cell::Null);
        row.set("start_date", Cell::Null);
    }
    if let Some(start) = started(told_start, told) {
        envelope::set_event(&mut row, &start);
        envelope::set_start(&mut row, &start);
    }
    let open = if header.is(&[b"A13"]) {
        // A cancelled discharge has no end, whatever PV1-45 still says.
        unset_end(&mut row);
        Some(true)
    } else {
        code::say(&mut row, "discharge_to", pv1, 36)?;
        let discharges = header.is(&[b"A03"]);
        match ended(end_of(pv1, told)?, told) {
            Some(end) => {
                envelope::set_end(&mut row, &end);
                row.set("end_kind", "explicit");
                Some(false)
            }
            None if discharges => Some(false),
            None if is_endless(pv1) || pv1.field(45).is_null() => {
                unset_end(&mut row);
                Some(true)
            }
            None => None,
        }
    };
    // Whether it is open is said by its end alone: a message that tells of something else does not open a stay again.
    if let Some(open) = open {
        row.set("open", open);
        row.set("status", if open { "preliminary" } else { "final" });
    }
    code::say(&mut row, "admit_from", pv1, 14)?;
    code::say(&mut row, "ward", pv1, 3)?;
    if retracted {
        row.set("op", "retract");
        row.set("status", "cancelled");
    }
    if class.is_none() {
        let what = "the class is none of I, B, E, O, R, C, OBS, V, P, N; the visit is kept as an outpatient's unless another \
                    message says its class. Have the interface translate it";
        let no = pv1.bad(2, Reason::UnknownLevel, what);
        let stand_in = told.names(Table::Visit, person.key, record).with("visit_key", key).with("class", "OP");
        return Err(No { instead: vec![row, stand_in], ..no });
    }
    Ok(vec![row])
}
