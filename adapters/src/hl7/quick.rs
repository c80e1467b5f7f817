//! Results that are like those before them, straight into columns.
//!
//! A laboratory sends the same tests over and over. What a row of one says beside its value, its times and whose it is hangs on few
//! fields: the value's type, the code, the unit, the range, the flag, the status, the specimen. Where a result comes with the same bytes in
//! all of these, and with a plain number, only the rest is read. Anything else is read slowly.

use std::collections::HashMap;

use arrow::error::ArrowError;
use schema::{BatchBuilder, Cell, Key, Pattern, Record, Table};

use super::message::Told;
use super::patient::Person;
use super::result::{Report, is_text};
use super::scan::Separators;
use super::segment::Segment;
use super::visit::Visit;
use crate::alike::{EventPlaces, Gain, Valued, text_of};
use crate::decimal;
use crate::sink::{AdapterError, Out};
use crate::time::When;

/// Results that are known at once.
const MOST: usize = 8192;
/// The longest fields together that a result is known by.
const LONGEST: usize = 1024;

/// The results that are known of one file.
#[derive(Default)]
pub(crate) struct Results {
    known: HashMap<Vec<u8>, Cast>,
    /// What the result in hand is known by.
    key: Vec<u8>,
    gain: Gain,
    off: bool,
}

/// What a known result becomes.
struct Cast {
    pattern: Pattern,
    valued: Valued,
    places: Places,
    code: String,
    system: String,
}

/// Where the columns stand that are filled.
#[derive(Clone, Copy)]
struct Places {
    person: usize,
    record: usize,
    visit: usize,
    rev: usize,
    event: EventPlaces,
    known: usize,
    result: usize,
}

/// What a result says itself.
struct Filled {
    record: Key,
    number: f64,
    decimals: i64,
    collected: When,
    result: Option<When>,
}

impl Places {
    fn of(table: Table) -> Option<Places> {
        let at = |name| table.index(name);
        Some(Places {
            person: at("person_key")?,
            record: at("record_key")?,
            visit: at("visit_key")?,
            rev: at("rev")?,
            event: EventPlaces::of(table)?,
            known: at("t_known")?,
            result: at("t_result")?,
        })
    }
}

/// A result's value, where it is a plain number.
fn number(obx: &Segment<'_, 20>) -> Option<(f64, i64)> {
    decimal::exact(std::str::from_utf8(obx.field(5).bytes()).ok()?)
}

/// The times of a result: when it was collected, and when it came.
fn times(obx: &Segment<'_, 20>, report: &Report<'_>, told: &Told<'_>) -> Option<(When, Option<When>)> {
    let either = |own: usize, order: usize| match obx.time(own, told.env).ok()? {
        Some(when) => Some(Some(when)),
        None => report.obr.time(order, told.env).ok(),
    };
    Some((either(14, 7)??, either(19, 22)?))
}

impl Results {
    /// Writes what a result is known by. False where it is too long.
    fn name(&mut self, obx: &Segment<'_, 20>, report: &Report<'_>, seps: Separators) -> bool {
        self.key.clear();
        self.key.extend([seps.field, seps.component, seps.repetition, seps.escape, seps.sub]);
        let own = [2, 3, 6, 7, 8, 11].map(|n| obx.field(n).bytes());
        let order = [report.specimen.bytes(), report.obr.field(25).bytes()];
        for field in own.into_iter().chain(order) {
            // No field holds what parts the fields.
            self.key.extend_from_slice(field);
            self.key.push(seps.field);
        }
        self.key.len() <= LONGEST
    }

    /// Takes the result that came `nth` of its code, counted from 0. False where it is to be read slowly.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn take(
        &mut self,
        obx: &Segment<'_, 20>,
        nth: u32,
        report: &Report<'_>,
        visit: &Visit,
        person: &Person,
        told: &Told<'_>,
        seps: Separators,
        out: &mut Out<'_>,
    ) -> Result<bool, AdapterError> {
        if self.off || !self.name(obx, report, seps) {
            return Ok(false);
        }
        let Some(cast) = self.known.get_mut(self.key.as_slice()) else { return Ok(false) };
        let Some(filled) = cast.fill(obx, nth, report, told) else { return Ok(false) };
        let Some(columns) = out.columns(Table::Measurement)? else {
            self.off = true;
            return Ok(false);
        };
        cast.put(&filled, visit, person, told, columns).map_err(|e| AdapterError::Sink(e.to_string()))?;
        self.gain.know();
        out.filled(Table::Measurement, 1)?;
        Ok(true)
    }

    /// Learns from a result and what the slow reader made of it.
    pub(crate) fn learn(&mut self, obx: &Segment<'_, 20>, report: &Report<'_>, seps: Separators, rows: &[Record]) {
        // A number is not cut where one of its own bytes parts something else.
        let parts = [seps.field, seps.component, seps.repetition, seps.escape, seps.sub];
        if self.off || parts.iter().any(|b| matches!(b, b'.' | b'-')) || !self.name(obx, report, seps) {
            return;
        }
        if self.known.len() >= MOST {
            self.off = !self.gain.goes_on();
            self.known.clear();
        }
        self.gain.learn();
        // A page of text is one result, however many lines it has.
        if let ([row], Some(_), false) = (rows, number(obx), is_text(obx))
            && let Some(cast) = Cast::new(row, obx)
        {
            self.known.insert(self.key.clone(), cast);
        }
    }
}

impl Cast {
    fn new(row: &Record, obx: &Segment<'_, 20>) -> Option<Cast> {
        let whole = row.table() == Table::Measurement && row.missing().is_none() && row.emptied().is_none();
        if !whole || text_of(row, "op") != Some("upsert") {
            return None;
        }
        let places = Places::of(Table::Measurement)?;
        let valued = Valued::of(row)?;
        let mut varying = vec![places.person, places.record, places.visit, places.rev, places.known, places.result];
        varying.extend(places.event.varying());
        varying.extend(valued.varying());
        let text = |component| Some(obx.part(3, component).ok()?.unwrap_or_default().into_owned());
        Some(Cast { pattern: Pattern::new(row, &varying), valued, places, code: text(1)?, system: text(3)? })
    }

    fn fill(&self, obx: &Segment<'_, 20>, nth: u32, report: &Report<'_>, told: &Told<'_>) -> Option<Filled> {
        let (number, decimals) = number(obx)?;
        let sub = obx.text(4).ok()?.unwrap_or_default();
        let (collected, result) = times(obx, report, told)?;
        let record = report.key(&[&self.code, &self.system, &sub], nth, 0, told.env)?;
        Some(Filled { record, number, decimals, collected, result })
    }

    fn put(
        &mut self,
        filled: &Filled,
        visit: &Visit,
        person: &Person,
        told: &Told<'_>,
        columns: &mut BatchBuilder,
    ) -> Result<(), ArrowError> {
        let at = self.places;
        let Some(mut row) = columns.row(&mut self.pattern)? else { return Ok(()) };
        row.put(at.person, &Cell::Key(person.key))?;
        row.put(at.record, &Cell::Key(filled.record))?;
        if let Some(key) = visit.key {
            row.put(at.visit, &Cell::Key(key))?;
        }
        row.put(at.rev, &Cell::Int(told.header.revision(true)))?;
        if let Some(seq) = told.header.seq {
            row.sequence(seq)?;
        }
        at.event.put(&mut row, &filled.collected)?;
        if let Some(known) = filled.result.as_ref().or(told.header.sent.as_ref()) {
            row.put(at.known, &known.instant_cell())?;
        }
        if let Some(result) = &filled.result {
            row.put(at.result, &result.instant_cell())?;
        }
        self.valued.put(&mut row, filled.number, Some(filled.decimals))
    }
}
