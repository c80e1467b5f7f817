//! RXE, RXD, RXA and RXO: drugs ordered, dispensed and given.

use schema::{Key, Record, Table};

use super::code;
use super::message::{Kind, Told};
use super::patient::Person;
use super::segment::{No, Rows, Segment};
use super::visit::Visit;
use crate::decimal::written as number;
use crate::envelope::{self, Envelope};
use crate::sink::Reason;
use crate::time::When;

/// The order that a drug belongs to: ORC, with its timing.
#[derive(Default)]
pub(crate) struct Order {
    /// ORC-3, the filler's number.
    pub(crate) filler: Option<[String; 2]>,
    /// ORC-2, the placer's number.
    pub(crate) placer: Option<[String; 2]>,
    /// Whether ORC-1 cancels it.
    pub(crate) cancelled: bool,
    /// Whether ORC-1 ends it: what was ordered before was ordered.
    ended: bool,
    /// ORC-15, else ORC-9.
    pub(crate) when: Option<When>,
    /// TQ1-7.
    pub(crate) start: Option<When>,
    /// TQ1-8.
    pub(crate) end: Option<When>,
}

impl Order {
    /// The numbers of an ORC.
    pub(crate) fn read(orc: &Segment<'_, 16>) -> Result<Order, No> {
        let (control, status) = (orc.field(1).component(1).bytes(), orc.field(5).component(1).bytes());
        let is = |controls: &[&[u8]], of: &[u8]| controls.contains(&control) || (control == b"SC" && status == of);
        Ok(Order {
            filler: orc.entity(3)?,
            placer: orc.entity(2)?,
            cancelled: is(&[b"CA", b"OC", b"CR"], b"CA"),
            ended: is(&[b"DC", b"OD", b"DR"], b"DC"),
            ..Order::default()
        })
    }

    /// The records of the order as one of drugs: by the placer's number and by the filler's. The placer's counts where there is one,
    /// since the physician's order and the pharmacy's are one.
    fn records(&self, env: &Envelope<'_>) -> Vec<Key> {
        let of = |kind, number: &Option<[String; 2]>| {
            number.as_ref().map(|[id, space]| env.record(Table::DrugExposure, &[kind, id, space, "", "", ""]))
        };
        [of("placed", &self.placer), of("ordered", &self.filler)].into_iter().flatten().collect()
    }

    /// What takes a cancelled order back, under each of its numbers.
    pub(crate) fn retracted(&self, person: &Person, told: &Told<'_>) -> Vec<Record> {
        self.records(told.env).into_iter().map(|key| retraction(person, told, key, "ordered")).collect()
    }

    /// The time of an ORC.
    pub(crate) fn time(orc: &Segment<'_, 16>, told: &Told<'_>) -> Result<Option<When>, No> {
        match orc.time(15, told.env)? {
            Some(when) => Ok(Some(when)),
            None => orc.time(9, told.env),
        }
    }
}

/// A drug segment: which, of what kind, and where its fields are.
struct Plan {
    kind: &'static str,
    code: usize,
    /// Amount and unit, the better ones first.
    amounts: &'static [(usize, usize)],
}

const RXO: Plan = Plan { kind: "ordered", code: 1, amounts: &[(2, 4)] };
const RXE: Plan = Plan { kind: "ordered", code: 2, amounts: &[(10, 11), (3, 5)] };
const RXD: Plan = Plan { kind: "dispensed", code: 2, amounts: &[(4, 5)] };
const RXA: Plan = Plan { kind: "given", code: 5, amounts: &[(6, 7)] };

fn retraction(person: &Person, told: &Told<'_>, key: Key, kind: &str) -> Record {
    told.retracts(Table::DrugExposure, person.key, key).with("kind", kind)
}

/// The exposure of a drug segment, and what of it is no more: a drug that was not given after all, a cancelled order, and an order
/// under the filler's number where it counts under the placer's.
pub(crate) fn row(
    rx: &Segment<'_, 22>,
    name: &[u8],
    order: &Order,
    visit: &Visit,
    person: &Person,
    told: &Told<'_>,
) -> Rows {
    let env = told.env;
    let plan = match name {
        b"RXO" => RXO,
        b"RXE" => RXE,
        b"RXD" => RXD,
        _ => RXA,
    };
    let given = plan.code == RXA.code;
    let timing = rx.field(1);
    let (start, end) = match name {
        b"RXE" => (rx.moment(1, timing.component(4), b"", env)?, rx.moment(1, timing.component(5), b"", env)?),
        b"RXD" => (rx.time(3, env)?, None),
        b"RXA" => (rx.time(3, env)?, rx.time(4, env)?),
        _ => (None, None),
    };
    let prescription = if plan.kind == "dispensed" { rx.entity(7)? } else { None };
    let ordered = plan.kind == "ordered";
    let Some([id, space]) = order.filler.as_ref().or(order.placer.as_ref()).or(prescription.as_ref()) else {
        let remedy = "no number of the order in ORC-3, ORC-2 or RXD-7; have the sender set it";
        return Err(rx.bad(plan.code, Reason::MissingId, remedy));
    };
    let orders = if ordered { order.records(env) } else { Vec::new() };
    if ordered && order.cancelled {
        return Ok(order.retracted(person, told));
    }
    // A vaccination has a number of its own, so that another day or vaccine corrects it. 9999 stands for none.
    let alone = name == b"RXA" && told.header.kind == Kind::Vxu && rx.is_first_of_order() && id != "9999";
    // A drug is dispensed and given many times for one order.
    let place = match name {
        b"RXD" => [rx.text(1)?.unwrap_or_default(), rx.text(3)?.unwrap_or_default()],
        b"RXA" if !alone => [rx.text(2)?.unwrap_or_default(), rx.text(3)?.unwrap_or_default()],
        _ => Default::default(),
    };
    let component = rx.field(plan.code).component(1);
    let component =
        if given && !alone { rx.read(plan.code, component)?.unwrap_or_default() } else { Default::default() };
    let (key, others) = match orders.split_first() {
        Some((key, others)) => (*key, others),
        None => {
            let parts = [plan.kind, id, space, &place[0], &place[1], &component];
            (env.record(Table::DrugExposure, &parts), [].as_slice())
        }
    };
    // Refused, or not given at all: so is what an earlier message said of it. CVX 998 stands for no vaccine.
    let none = told.header.kind == Kind::Vxu && rx.field(plan.code).component(1).bytes() == b"998";
    if given && (none || matches!(rx.field(20).bytes(), b"RE" | b"NA")) {
        return Ok(vec![retraction(person, told, key, plan.kind)]);
    }
    let mut row = Record::new(Table::DrugExposure);
    code::set(&mut row, rx, plan.code, None)?;
    let (coded, system) = (row.get("code").clone(), row.get("code_system").clone());
    // Several messages tell of one order: the physician's says when, the pharmacy's how much. What was given is told at once.
    let row = if ordered {
        told.at_once(Table::DrugExposure, person.key, key)
    } else {
        told.row(Table::DrugExposure, person.key, key)
    };
    let mut row = row.with("code", coded).with("code_system", system);
    // What a parent remembers was not given here.
    let reported = given && rx.field(9).component(1).bytes() == b"01";
    row.set("kind", if reported { "reported" } else { plan.kind });
    for (amount, unit) in plan.amounts {
        // 999 is how a vaccination says that the amount is not known.
        let qty = rx.text(*amount)?.and_then(|t| number(&t)).map(|(v, _)| v).filter(|v| !given || *v != 999.0);
        if qty.is_some() {
            row.set("qty", qty);
            row.set("unit", code::bare(rx, *unit)?);
            break;
        }
    }
    if let Some(key) = visit.key {
        row.set("visit_key", key);
    }
    let began =
        if given || name == b"RXD" { start } else { order.start.or(start).or(order.when.filter(|_| !order.ended)) };
    if let Some(when) = &began {
        envelope::set_event(&mut row, when);
    }
    // An order that is discontinued was one until then.
    let ended = order.when.or(told.header.sent).filter(|_| ordered && order.ended);
    if let Some(when) = ended.or(order.end.filter(|_| ordered)).or(end) {
        envelope::set_end(&mut row, &when);
        row.set("end_kind", "explicit");
    }
    if order.cancelled || (given && rx.field(21).bytes() == b"D") {
        row.set("op", "retract");
        row.set("status", "error");
    }
    let mut rows = vec![row];
    rows.extend(others.iter().map(|key| retraction(person, told, *key, plan.kind)));
    Ok(rows)
}
