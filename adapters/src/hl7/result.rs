//! OBR and OBX: measurements. A result is known by its filler order, OBX-3 and OBX-4, so that a correction replaces it.

use std::collections::HashMap;
use std::fmt::Write as _;

use schema::{Key, Record, Table};

use super::code;
use super::message::Told;
use super::patient::Person;
use super::scan::{Field, Separators};
use super::segment::{No, Raw, Rows, Segment, kept, spare};
use super::value;
use super::visit::Visit;
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

/// The order that results answer, and those seen of it.
pub(crate) struct Report<'m> {
    /// OBR, of which results take what they lack.
    pub(crate) obr: Segment<'m, 27>,
    /// The filler's number of the order and who assigned it: OBR-3, else ORC-3.
    pub(crate) filler: Option<[String; 2]>,
    /// What was read so far, with how often, for results that repeat their code: the first few, and all others.
    few: Vec<(Named<'m>, u32)>,
    seen: HashMap<Named<'m>, u32>,
    /// Where the specimen is told: OBR-15, else SPM-4 of the specimens behind it.
    pub(crate) specimen: Field<'m>,
}

/// What a result is known by within its report: its code, the code's system, and OBX-4.
type Named<'m> = [&'m [u8]; 3];

/// Results of a report that are compared one by one.
const FEW: usize = 32;

impl<'m> Report<'m> {
    /// The report of an OBR, after the ORC before it and with the SPM that belongs to it.
    pub(crate) fn new(
        obr: Segment<'m, 27>,
        orc_filler: Option<[String; 2]>,
        spm: Option<&Segment<'m, 5>>,
    ) -> Result<Report<'m>, No> {
        let filler = obr.entity(3)?.or(orc_filler);
        let told = obr.field(15).component(1).sub(1);
        let specimen = match spm {
            Some(spm) if told.is_empty() => spm.field(4).component(1),
            _ => told,
        };
        Ok(Report { obr, filler, few: Vec::with_capacity(FEW), seen: HashMap::new(), specimen })
    }

    /// The report of results without an OBR, by the number of the ORC before them.
    pub(crate) fn of_order(orc: Raw<'m>, seps: Separators, filler: [String; 2]) -> Report<'m> {
        let obr = Segment::absent(orc, seps);
        let specimen = obr.field(15);
        Report { obr, filler: Some(filler), few: Vec::with_capacity(FEW), seen: HashMap::new(), specimen }
    }

    /// How often a result of that code and sub-id came before; a page of text is one.
    pub(crate) fn before(&mut self, obx: &Segment<'m, 20>) -> u32 {
        let coded = obx.field(3);
        let named = [coded.component(1).bytes(), coded.component(3).bytes(), obx.field(4).bytes()];
        let room = self.few.len() < FEW;
        let times = match self.few.iter_mut().find(|(known, _)| *known == named) {
            Some((_, times)) => times,
            None if room => {
                self.few.push((named, 1));
                return 0;
            }
            None => self.seen.entry(named).or_default(),
        };
        *times += 1;
        *times - 1
    }

    /// The identity of a repetition of the result that came `nth` of its code, system and sub-id; none without the order's number.
    pub(crate) fn key(&self, own: &[&str; 3], nth: u32, repetition: usize, env: &Envelope<'_>) -> Option<Key> {
        let [filler, space] = self.filler.as_ref()?;
        let [code, system, sub] = own;
        let mut place = String::with_capacity(8);
        let _ = write!(place, "{nth}.{repetition}");
        Some(env.record(Table::Measurement, &[filler, space, code, system, sub, &place]))
    }
}

/// What OBX-11 says (HL7's table 0085), and whether there is no result any more: taken back (`error`), or none to speak of (`unknown`).
fn status(code: &[u8]) -> (&'static str, bool) {
    match code {
        b"F" | b"U" | b"V" => ("final", false),
        b"C" | b"A" => ("corrected", false),
        b"P" | b"R" | b"S" | b"B" => ("preliminary", false),
        b"D" | b"W" => ("error", true),
        b"X" => ("cancelled", false),
        b"I" | b"N" | b"O" => ("unknown", true),
        _ => ("unknown", false),
    }
}

/// Whether it is a line of text or a document.
pub(crate) fn is_text(obx: &Segment<'_, 20>) -> bool {
    matches!(obx.field(2).component(1).bytes(), b"TX" | b"FT" | b"ED" | b"RP")
}

/// The measurements of an OBX that came `nth` of its code: one, or one a repetition of OBX-5. None for a line of text. Where nothing was observed, or it was taken
/// back, or can't be read, what an earlier message said of it is retracted: a value that the sender has replaced is not kept.
///
/// The repetitions are told with the first: those that a later message does not repeat are no more.
pub(crate) fn rows<'m>(
    obx: &Segment<'m, 20>,
    nth: u32,
    report: &Report<'m>,
    visit: &Visit,
    person: &Person,
    told: &Told<'_>,
) -> Rows {
    let env = told.env;
    let (status, retracted) = match obx.field(11).component(1) {
        // OBR-25 is of table 0123, where A means that some results are there.
        f if f.is_empty() => match report.obr.field(25).component(1).bytes() {
            b"A" => ("preliminary", false),
            sent => status(sent),
        },
        f => status(f.bytes()),
    };
    let text = is_text(obx);
    if text && (nth > 0 || obx.field(3).is_empty()) {
        return Ok(Vec::new());
    }
    if report.filler.is_none() {
        let remedy = "no filler order number, and ORC-3 has none either, so that a correction could not find its result; have the sender set it";
        return Err(report.obr.bad(3, Reason::MissingId, remedy));
    }
    let read = |c: usize| obx.part(3, c);
    let (own, system) = (read(1)?.unwrap_or_default(), read(3)?.unwrap_or_default());
    let sub = obx.text(4)?.unwrap_or_default();
    let key = |repetition: usize| report.key(&[&own, &system, &sub], nth, repetition, env).unwrap_or_default();
    let first = key(0);
    let gone = |status: &str| {
        let mut row = told.retracts(Table::Measurement, person.key, first).with("status", status);
        crate::measurement::fill(&mut row, None, crate::measurement::Comparator::Eq, None);
        row
    };
    if retracted {
        return Ok(vec![gone(status)]);
    }
    // The status alone has changed; the result itself is not sent again.
    if obx.field(11).component(1).bytes() == b"U" && obx.field(5).is_empty() {
        return Ok(vec![finished(obx, told, person, first)?]);
    }
    let made = values(obx, report, visit, person, told, (status, text, first), key);
    made.map_err(|no| {
        if !no.instead.is_empty() {
            return no;
        }
        let taken_back = if status == "corrected" || status == "cancelled" { "error" } else { "unknown" };
        No { instead: vec![gone(taken_back)], ..no }
    })
}

/// A result that is final now, with the value that an earlier message gave.
fn finished(obx: &Segment<'_, 20>, told: &Told<'_>, person: &Person, key: Key) -> Result<Record, No> {
    let mut row = told.at_once(Table::Measurement, person.key, key).update().with("status", "final");
    code::set(&mut row, obx, 3, None)?;
    Ok(row)
}

/// The same of an observation that holds.
fn values(
    obx: &Segment<'_, 20>,
    report: &Report<'_>,
    visit: &Visit,
    person: &Person,
    told: &Told<'_>,
    (status, text, first): (&'static str, bool, Key),
    key: impl Fn(usize) -> Key,
) -> Rows {
    let env = told.env;
    let coded = code::choose(obx, 3, obx.field(3), None, Table::Measurement)?
        .ok_or_else(|| obx.bad(3, Reason::MissingCode, "the code is missing; map it at the source"))?;
    let mut fault = None;
    // An OBR-22 that can't be read is told with its OBR.
    let result = match obx.field(19).component(1).is_empty() {
        true => report.obr.time(22, env).unwrap_or_default(),
        false => spare(obx.time(19, env), &mut fault),
    };
    let collected = match obx.time(14, env)? {
        Some(when) => Some(when),
        None => report.obr.time(7, env)?,
    };
    let specimen = report.obr.read(15, report.specimen)?;
    let mut rows = Vec::with_capacity(1);
    for (repetition, value) in obx.field(5).repetitions().enumerate() {
        let mut row = match repetition {
            0 => told.row(Table::Measurement, person.key, first),
            more => told.row(Table::Measurement, person.key, key(more)).told_with(first),
        };
        row.set("code", coded.code.as_ref());
        row.set("code_system", coded.system.as_deref());
        row.set("specimen", specimen.as_deref());
        if let Some(key) = visit.key {
            row.set("visit_key", key);
        }
        if let Some(when) = &collected {
            envelope::set_event(&mut row, when);
        }
        if let Some(when) = &result {
            row.set("t_known", when.instant_cell());
            row.set("t_result", when.instant_cell());
        }
        fill(&mut row, obx, value, status)?;
        rows.push(row);
        if text {
            break;
        }
    }
    kept(rows, fault)
}

fn fill(row: &mut Record, obx: &Segment<'_, 20>, value: Field<'_>, status: &'static str) -> Result<(), No> {
    row.set("status", status);
    // A result that could not be had has no value, whatever its field says.
    if status == "cancelled" {
        crate::measurement::fill(row, None, crate::measurement::Comparator::Eq, None);
        return Ok(());
    }
    value::set(row, obx, value)
}
