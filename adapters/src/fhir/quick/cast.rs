//! What a kind of line becomes: rows whose common part is known, and what is filled into them.

use std::borrow::Cow;

use arrow::error::ArrowError;
use schema::{BatchBuilder, Cell, Key, Pattern, Record, Table};

use super::super::observation::{Observation, Part, origins};
use super::super::told::Told;
use super::super::version::{self, Version};
use super::super::wire::{Reference, Text};
use super::template::{Figure, Slot};
use super::tree::Hole;
use crate::alike::{EventPlaces, Last, Valued};
use crate::decimal;
use crate::measurement;
use crate::time::When;

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
    low: usize,
    high: usize,
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
            low: at("ref_lo")?,
            high: at("ref_hi")?,
        })
    }
}

/// A row of a kind.
struct RowCast {
    pattern: Pattern,
    /// Of a component: what its identity is made of behind the observation's id.
    part: Option<Part>,
    /// The hole of its value, and what becomes of it.
    value: Option<(usize, Valued)>,
    low: Option<usize>,
    high: Option<usize>,
    /// Of the line in hand.
    key: Key,
    number: f64,
    decimals: Option<i64>,
    figures: [Option<f64>; 2],
}

/// The holes that a kind of line has, and its rows.
pub(super) struct Cast {
    places: Places,
    rows: Vec<RowCast>,
    id: usize,
    subject: usize,
    encounter: Option<usize>,
    effective: Option<usize>,
    issued: Option<usize>,
    version_id: Option<usize>,
    updated: Option<usize>,
    words: Vec<usize>,
}

/// What a line says that all of its rows share.
pub(super) struct Filled {
    whole: Key,
    person: Key,
    visit: Option<Key>,
    event: Option<When>,
    issued: Option<When>,
    version: Version,
}

/// What was made of the last texts: lines of one patient, one visit and one time mostly stand together.
#[derive(Default)]
pub(super) struct Seen {
    subject: Last<Key>,
    encounter: Last<Option<Key>>,
    effective: Last<Option<When>>,
    issued: Last<Option<When>>,
    updated: Last<Option<i64>>,
}

/// A number as the slow reader's parser gives it, and its decimals.
fn number(text: &str) -> Option<(f64, Option<i64>)> {
    match decimal::exact(text) {
        Some((value, decimals)) => Some((value, Some(decimals))),
        None => Some((serde_json::from_str(text).ok()?, decimal::written(text).map(|(_, decimals)| decimals))),
    }
}

impl RowCast {
    fn new(row: &Record, part: Option<Part>, slots: &[Option<Slot>], places: &Places) -> Option<RowCast> {
        let at = |slot: Slot| slots.iter().position(|s| *s == Some(slot));
        let component = part.as_ref().map(|p| p.index);
        let figure = |which| at(Slot::Number(which, component));
        let mut varying = vec![places.person, places.record, places.visit, places.rev, places.known, places.result];
        if at(Slot::Effective).is_some() {
            varying.extend(places.event.varying());
        }
        let (low, high) = (figure(Figure::Low), figure(Figure::High));
        for (hole, place, column) in [(low, places.low, "ref_lo"), (high, places.high, "ref_hi")] {
            if hole.is_some() {
                matches!(row.get(column), Cell::Real(_)).then_some(())?;
                varying.push(place);
            }
        }
        let value = match figure(Figure::Value) {
            None => None,
            Some(hole) => {
                let valued = Valued::of(row)?;
                varying.extend(valued.varying());
                Some((hole, valued))
            }
        };
        let pattern = Pattern::new(row, &varying);
        Some(RowCast {
            pattern,
            part,
            value,
            low,
            high,
            key: Key::default(),
            number: 0.0,
            decimals: None,
            figures: [None; 2],
        })
    }
}

impl Cast {
    /// Of what the slow reader read and gave. `None` where lines like it are to be read slowly.
    pub(super) fn new(resource: &Observation<'_>, rows: Vec<Record>, slots: &[Option<Slot>]) -> Option<Cast> {
        let at = |slot: Slot| slots.iter().position(|s| *s == Some(slot));
        let origins = origins(resource);
        let taken = |r: &Record| r.table() == Table::Measurement && r.get("op") == &Cell::from("upsert");
        if origins.len() != rows.len() || !rows.iter().all(|r| taken(r) && r.missing().is_none()) {
            return None;
        }
        let numeric = |o: &Observation<'_>| o.number_in_words().is_some();
        if origins.iter().any(|(origin, _)| numeric(origin)) {
            return None;
        }
        let words = slots.iter().enumerate().filter(|(_, s)| **s == Some(Slot::Words)).map(|(hole, _)| hole);
        let places = Places::of(Table::Measurement)?;
        let casts = rows.iter().zip(origins).map(|(row, (_, part))| RowCast::new(row, part, slots, &places));
        Some(Cast {
            places,
            rows: casts.collect::<Option<Vec<_>>>()?,
            id: at(Slot::Id)?,
            subject: at(Slot::Subject)?,
            encounter: at(Slot::Encounter),
            effective: at(Slot::Effective),
            issued: at(Slot::Issued),
            version_id: at(Slot::VersionId),
            updated: at(Slot::LastUpdated),
            words: words.collect(),
        })
    }

    /// The table of its rows.
    pub(super) fn table(&self) -> Table {
        Table::Measurement
    }

    /// Reads what a line says. `None` where the slow reader is to say what it is.
    pub(super) fn fill(&mut self, line: &[u8], holes: &[Hole], told: &Told<'_>, seen: &mut Seen) -> Option<Filled> {
        let text = |at: usize| {
            let (from, to) = *holes.get(at)?;
            std::str::from_utf8(line.get(from..to)?).ok()
        };
        let id = text(self.id)?.trim();
        if id.is_empty() {
            return None;
        }
        for hole in &self.words {
            if measurement::in_words(text(*hole)?.trim()).is_some() {
                return None;
            }
        }
        for row in &mut self.rows {
            if let Some((hole, _)) = &row.value {
                (row.number, row.decimals) = number(text(*hole)?)?;
            }
            let figure = |hole: Option<usize>| match hole {
                Some(at) => number(text(at)?).map(|(value, _)| Some(value)),
                None => Some(None),
            };
            row.figures = [figure(row.low)?, figure(row.high)?];
        }
        let owned = |text: &str| Some(Text(Cow::Owned(text.to_owned())));
        let reference = |text: &str| Some(Reference { reference: owned(text), identifier: None });
        let person = seen.subject.of(text(self.subject)?, |t| told.person(&reference(t), &[], "").ok())?;
        let visit = match self.encounter {
            Some(at) => seen.encounter.of(text(at)?, |t| Some(told.visit(&reference(t))))?,
            None => None,
        };
        let date = |t: &str| told.date(&owned(t), "").ok();
        let event = match self.effective {
            Some(at) => Some(seen.effective.of(text(at)?, date)??),
            None => None,
        };
        let issued = match self.issued {
            Some(at) => seen.issued.of(text(at)?, date)?,
            None => None,
        };
        let moment = match self.updated {
            Some(at) => seen.updated.of(text(at)?, |t| Some(version::moment(t, told)))?,
            None => None,
        };
        let nth = match self.version_id {
            Some(at) => version::number(text(at)?),
            None => None,
        };
        let whole = told.key(Table::Measurement, id);
        for row in &mut self.rows {
            row.key = match &row.part {
                Some(part) => part.key(id, told),
                None => whole,
            };
        }
        Some(Filled { whole, person, visit, event, issued, version: Version::of(moment, nth, told) })
    }

    /// Puts the rows into their columns, and says how many.
    pub(super) fn put(&mut self, filled: &Filled, columns: &mut BatchBuilder) -> Result<u64, ArrowError> {
        let at = self.places;
        let mut put = 0;
        for cast in &mut self.rows {
            let Some(mut row) = columns.row(&mut cast.pattern)? else { continue };
            row.put(at.person, &Cell::Key(filled.person))?;
            row.put(at.record, &Cell::Key(cast.key))?;
            if let Some(visit) = filled.visit {
                row.put(at.visit, &Cell::Key(visit))?;
            }
            row.put(at.rev, &Cell::Int(filled.version.revision()))?;
            row.sequence(filled.version.sequence())?;
            if let Some(event) = &filled.event {
                at.event.put(&mut row, event)?;
            }
            if let Some(issued) = &filled.issued {
                row.put(at.known, &issued.instant_cell())?;
                row.put(at.result, &issued.instant_cell())?;
            }
            if let Some((_, valued)) = &cast.value {
                valued.put(&mut row, cast.number, cast.decimals)?;
            }
            for (place, real) in [at.low, at.high].into_iter().zip(cast.figures) {
                if let Some(real) = real {
                    row.put(place, &Cell::Real(real))?;
                }
            }
            if cast.part.is_some() {
                row.part_of(filled.whole)?;
            }
            put += 1;
        }
        Ok(put)
    }
}
