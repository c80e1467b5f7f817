//! DG1 and PR1: diagnoses and procedures. Both are known by their own identifier, else by visit, code and date. FT1: those that a
//! charge is for.

use schema::{Record, Table};

use super::code;
use super::message::Told;
use super::patient::Person;
use super::segment::{No, Rows, Segment};
use super::visit::Visit;
use crate::envelope;

/// What a diagnosis or a procedure belongs to: the visit, else the person.
fn home<'v>(visit: &'v Visit, person: &'v Person) -> [&'v str; 2] {
    match visit.id.as_ref().map(|n| n.id.as_str()) {
        Some(id) => ["visit", id],
        None => ["person", &person.number.id],
    }
}

fn retract<const N: usize>(row: &mut Record, segment: &Segment<'_, N>, action: usize) {
    if segment.field(action).component(1).bytes() == b"D" {
        row.set("op", "retract");
        row.set("status", "error");
    }
}

/// A number such as a rank.
fn rank<const N: usize>(segment: &Segment<'_, N>, n: usize) -> Result<Option<i64>, No> {
    Ok(segment.text(n)?.and_then(|t| t.parse().ok()).filter(|r| (0..10_000).contains(r)))
}

/// The record that stands for the diagnoses of a visit that have no identifier.
fn set(visit: &str, told: &Told<'_>) -> schema::Key {
    told.env.record(Table::Condition, &["all of visit", visit])
}

/// Says that a message tells all diagnoses of the visit that have no identifier: those that it does not repeat are no more. None where
/// the diagnosis has an identifier or says what to do with it (DG1-20, -21), or there is no visit.
pub(crate) fn snapshot(dg1: &Segment<'_, 27>, visit: &Visit, person: &Person, told: &Told<'_>) -> Option<Record> {
    let plain = dg1.field(20).component(1).is_empty() && dg1.field(21).component(1).is_empty();
    let id = visit.id.as_ref().filter(|_| plain)?;
    let row = told.retracts(Table::Condition, person.key, set(&id.id, told));
    Some(row.with("role", "secondary").with("verification", "confirmed"))
}

/// A date by the visit, below whatever any message says of the diagnosis itself: its start. Its end is below every start.
fn stand_in(table: Table, key: schema::Key, visit: &Visit, person: &Person, told: &Told<'_>) -> Option<Record> {
    let mut row = told.names(table, person.key, key);
    match (&visit.start, &visit.end) {
        (Some(start), _) => envelope::set_event(&mut row, start),
        (None, Some(end)) => {
            envelope::set_event(&mut row, end);
            row.set("rev", 0i64);
        }
        (None, None) => return None,
    }
    Some(row)
}

/// The condition of a DG1.
pub(crate) fn condition(dg1: &Segment<'_, 27>, visit: &Visit, person: &Person, told: &Told<'_>) -> Rows {
    let env = told.env;
    let method = dg1.text(2)?;
    let kind = dg1.text(6)?.unwrap_or_default();
    let [scope, of] = home(visit, person);
    let mut row = Record::new(Table::Condition);
    code::set(&mut row, dg1, 3, method.as_deref())?;
    let (coded, system) = (row.get("code").clone(), row.get("code_system").clone());
    let own = dg1.entity(20)?;
    let key = match &own {
        Some([id, space]) => env.record(Table::Condition, &["id", id, space]),
        None => env.record(Table::Condition, &[scope, of, &kind, text(&coded), named(&system)]),
    };
    let mut row = told.at_once(Table::Condition, person.key, key).with("code", coded).with("code_system", system);
    if let (None, Some(id)) = (&own, &visit.id) {
        row = row.told_with(set(&id.id, told));
    }
    let rank = rank(dg1, 15)?;
    if rank.is_some() || dg1.field(15).is_null() {
        row.set("rank", rank);
    }
    row.set(
        "role",
        match (rank, kind.as_ref()) {
            (_, "A") => "admit",
            (Some(1), _) => "primary",
            _ => "secondary",
        },
    );
    row.set("verification", if kind == "W" { "provisional" } else { "confirmed" });
    row.set("status", if kind == "W" { "preliminary" } else { "final" });
    code::say(&mut row, "present_on_admission", dg1, 26)?;
    if let Some(key) = visit.key {
        row.set("visit_key", key);
    }
    let mut rows = Vec::new();
    match dg1.time(5, env)? {
        Some(when) => envelope::set_event(&mut row, &when),
        None => rows.extend(stand_in(Table::Condition, key, visit, person, told)),
    }
    retract(&mut row, dg1, 21);
    rows.insert(0, row);
    Ok(rows)
}

/// What a charge is for: the diagnoses of FT1-19 and the procedure of FT1-25, of the day of FT1-4. What a DG1 or a PR1 of the message
/// tells as well is left to that. A credit takes the charge of that day back; payments and adjustments say nothing.
pub(crate) fn charged<'m>(
    ft1: &Segment<'m, 27>,
    others: &[&'m [u8]],
    visit: &Visit,
    person: &Person,
    told: &Told<'_>,
) -> Rows {
    let credit = match ft1.field(6).component(1).bytes() {
        b"" | b"CG" => false,
        b"CD" => true,
        _ => return Ok(Vec::new()),
    };
    let [scope, of] = home(visit, person);
    let when = ft1.time(4, told.env)?;
    let day = ft1.text(4)?.unwrap_or_default();
    let mut rows = Vec::new();
    for (n, table) in [(19, Table::Condition), (25, Table::Procedure)] {
        for field in ft1.field(n).repetitions().filter(|f| !others.contains(&f.component(1).bytes())) {
            let Some(coded) = code::choose(ft1, n, field, None, table)? else { continue };
            let system = schema::Cell::from(coded.system);
            let parts = ["charge", scope, of, day.get(..8).unwrap_or(&day), &coded.code, named(&system)];
            let key = told.env.record(table, &parts);
            let mut row = told.at_once(table, person.key, key).with("code_system", system);
            row.set("code", coded.code.as_ref());
            if table == Table::Condition {
                row.set("role", "secondary");
                row.set("verification", "confirmed");
            }
            if let Some(key) = visit.key {
                row.set("visit_key", key);
            }
            match &when {
                Some(when) => envelope::set_event(&mut row, when),
                None => rows.extend(stand_in(table, key, visit, person, told)),
            }
            if credit {
                row.set("op", "retract");
                row.set("status", "error");
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The procedure of a PR1.
pub(crate) fn procedure(pr1: &Segment<'_, 21>, visit: &Visit, person: &Person, told: &Told<'_>) -> Rows {
    let env = told.env;
    let method = pr1.text(2)?;
    let [scope, of] = home(visit, person);
    let mut row = Record::new(Table::Procedure);
    code::set(&mut row, pr1, 3, method.as_deref())?;
    let (coded, system) = (row.get("code").clone(), row.get("code_system").clone());
    let when = pr1.time(5, env)?;
    let written = pr1.text(5)?.unwrap_or_default();
    let key = match pr1.entity(19)? {
        Some([id, space]) => env.record(Table::Procedure, &["id", &id, &space]),
        None => env.record(Table::Procedure, &[scope, of, &written, text(&coded), named(&system)]),
    };
    let mut row = told.at_once(Table::Procedure, person.key, key).with("code", coded).with("code_system", system);
    if let Some(key) = visit.key {
        row.set("visit_key", key);
    }
    if let Some(when) = &when {
        envelope::set_event(&mut row, when);
    }
    retract(&mut row, pr1, 20);
    Ok(vec![row])
}

/// A system as records are known by it: local ones are not told apart.
fn named(system: &schema::Cell) -> &str {
    Some(text(system)).filter(|uri| !code::is_local(uri)).unwrap_or_default()
}

fn text(cell: &schema::Cell) -> &str {
    match cell {
        schema::Cell::Text(t) => t.as_str(),
        _ => "",
    }
}
