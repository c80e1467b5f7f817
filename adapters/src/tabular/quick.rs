//! Rows that are like those before them, straight into columns.
//!
//! What a row's mapping sets is planned once. Dates, numbers, visits and identities change from row to row and are read in each. All
//! else hangs on a few cells, such as concepts and units, which come again and again: what the slow way made of them is known by their
//! bytes, with the lookups, joins and maps between. A row whose cells are new, or whose dates and numbers are not plain, is read slowly.

use std::collections::HashMap;

use arrow::error::ArrowError;
use schema::tables::Kind;
use schema::{Cell, Key, Pattern, Record, Row, Table};

use super::columns::{Origin, Slot};
use super::maker::{Maker, never};
use super::mapping::{FileMap, RowMap};
use super::setters::{Column, Source, Target};
use crate::alike::{EventPlaces, Gain, Last, Valued};
use crate::decimal;
use crate::measurement::Comparator;
use crate::sink::{AdapterError, Out};
use crate::time::When;

/// Combinations of cells that are known at once, and the longest.
const MOST: usize = 8192;
const LONGEST: usize = 1024;
/// The most changing cells of a row.
const MOST_CHANGING: usize = 16;
/// The tables whose rows are planned: those of events.
const TABLES: [Table; 5] = [Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure];

/// What changes from row to row.
#[derive(Clone, Copy, PartialEq)]
enum Varies {
    Event,
    Start,
    End,
    Known,
    Result,
    Visit,
    ParentVisit,
    /// A measurement's number.
    Number,
    /// Any other number, at its column's place.
    Real(usize),
}

/// What was read of a changing cell.
#[derive(Clone, Copy)]
enum Read {
    When(When),
    Key(Key),
    Number(f64, i64),
}

/// Where the columns stand that are filled.
#[derive(Clone, Copy)]
struct Places {
    person: usize,
    record: usize,
    visit: usize,
    event: EventPlaces,
    known: usize,
    /// The others are not in every table.
    parent: Option<usize>,
    result: Option<usize>,
    start: [Option<usize>; 2],
    end: [Option<usize>; 2],
}

/// What is known of a combination of cells.
enum Known {
    /// It gives no record.
    Nothing,
    Row(Box<Cast>),
}

struct Cast {
    pattern: Pattern,
    valued: Option<Valued>,
}

/// The plan of a row's mapping, and what is known of its cells.
pub(super) struct Quick {
    places: Places,
    varies: Vec<(Varies, Slot)>,
    /// Columns that must only be there.
    required: Vec<Slot>,
    /// Columns of the file by whose bytes the rest is known.
    kept: Vec<Slot>,
    known: HashMap<Vec<u8>, Known>,
    /// What the row in hand is known by, and what was read of it.
    name: Vec<u8>,
    read: Vec<(Varies, Read)>,
    times: Vec<Last<When>>,
    gain: Gain,
    off: bool,
}

/// The texts of the changing cells of a row.
type Texts<'m> = [Option<&'m str>; MOST_CHANGING];

/// What became of a row.
pub(super) enum Taken {
    Put,
    /// It gives no record.
    Nothing,
    /// It is to be read slowly.
    Slow,
}

impl Places {
    fn of(table: Table) -> Option<Places> {
        let at = |name| table.index(name);
        Some(Places {
            person: at("person_key")?,
            record: at("record_key")?,
            visit: at("visit_key")?,
            event: EventPlaces::of(table)?,
            known: at("t_known")?,
            parent: at("parent_visit_key"),
            result: at("t_result"),
            start: [at("start_date"), at("t_start")],
            end: [at("end_date"), at("t_end")],
        })
    }
}

/// What a column's setter changes from row to row, where its cell is read as it stands.
fn varies(target: Target, column: &Column) -> Option<Varies> {
    if column.map.is_some() || column.default.is_some() || column.capped.is_some() {
        return None;
    }
    Some(match target {
        Target::Event => Varies::Event,
        Target::Start => Varies::Start,
        Target::End => Varies::End,
        Target::Known => Varies::Known,
        Target::Result => Varies::Result,
        Target::Visit => Varies::Visit,
        Target::ParentVisit => Varies::ParentVisit,
        Target::Column("value_num", ..) => Varies::Number,
        Target::Column(_, Kind::Real, place) => Varies::Real(place),
        _ => return None,
    })
}

/// The columns of the file that a column is made of.
fn sources(map: &FileMap, slot: Slot) -> Vec<Slot> {
    match map.slots.origin(slot) {
        Some(Origin::Made(at)) => {
            let of = map.derived.get(at).map(super::derive::Derive::slots).unwrap_or_default();
            of.into_iter().filter(|of| *of != slot).flat_map(|of| sources(map, of)).collect()
        }
        _ => vec![slot],
    }
}

/// Marks what a column is made of, by its places among what the mapping makes.
pub(super) fn mark(map: &FileMap, slot: Slot, needed: &mut [bool]) {
    if let Some(Origin::Made(at)) = map.slots.origin(slot) {
        if let Some(flag) = needed.get_mut(at) {
            *flag = true;
        }
        for of in map.derived.get(at).map(super::derive::Derive::slots).unwrap_or_default() {
            if of != slot {
                mark(map, of, needed);
            }
        }
    }
}

impl Quick {
    /// The plan of a row's mapping; none where its rows hang on more than their own cells.
    pub(super) fn new(row: &RowMap, map: &FileMap) -> Option<Quick> {
        if row.repeats || !TABLES.contains(&row.table) {
            return None;
        }
        let (mut changing, mut fixed) = (Vec::new(), Vec::new());
        for setter in &row.setters {
            match (&setter.source, setter.target) {
                (Source::Offset { .. } | Source::Age { .. }, _) | (_, Target::Linkage | Target::Birth) => return None,
                (_, Target::Column("t_prec", ..)) => return None,
                (Source::Column(column), target) => match varies(target, column) {
                    Some(varies) => changing.push((varies, column.slot)),
                    None => fixed.extend(setter.slots()),
                },
                _ => fixed.extend(setter.slots()),
            }
        }
        fixed.extend(row.only.iter().chain(&row.except).map(|(slot, _)| *slot));
        let mut kept: Vec<Slot> = fixed.iter().flat_map(|slot| sources(map, *slot)).collect();
        kept.sort_unstable();
        kept.dedup();
        if changing.len() > MOST_CHANGING {
            return None;
        }
        let times = changing.iter().map(|_| Last::default()).collect();
        Some(Quick {
            places: Places::of(row.table)?,
            varies: changing,
            required: row.require.iter().chain(&row.require_any).copied().collect(),
            kept,
            known: HashMap::new(),
            name: Vec::new(),
            read: Vec::new(),
            times,
            gain: Gain::default(),
            off: false,
        })
    }

    /// Marks which made cells it reads, those of the row's identity among them.
    pub(super) fn needs(&self, row: &RowMap, map: &FileMap, needed: &mut [bool]) {
        let visit = row.setters.iter().filter(|s| s.target == Target::Visit).flat_map(|s| s.slots());
        let changing = self.varies.iter().map(|(_, slot)| *slot);
        for slot in changing.chain(self.required.iter().copied()).chain(row.id.iter().copied()).chain(visit) {
            mark(map, slot, needed);
        }
    }

    /// The texts of the changing cells.
    fn texts<'m>(&self, maker: &Maker<'m, '_>) -> Texts<'m> {
        let mut texts = [None; MOST_CHANGING];
        for (text, (_, slot)) in texts.iter_mut().zip(&self.varies) {
            *text = maker.cells.get(*slot);
        }
        texts
    }

    /// Writes what the row is known by. False where it is too long.
    fn name(&mut self, texts: &Texts<'_>, maker: &Maker<'_, '_>) -> bool {
        self.name.clear();
        for slot in &self.kept {
            let text = maker.cells.raw(*slot).unwrap_or_default();
            // Longer texts are longer than what is known.
            self.name.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
            self.name.extend_from_slice(text.as_bytes());
        }
        self.name.extend(texts.iter().take(self.varies.len()).map(|text| u8::from(text.is_some())));
        for slot in &self.required {
            self.name.push(u8::from(maker.cells.get(*slot).is_some()));
        }
        self.name.len() <= LONGEST
    }

    /// Reads the changing cells. `None` where one is not plain.
    fn read(&mut self, texts: &Texts<'_>, maker: &mut Maker<'_, '_>) -> Option<()> {
        self.read.clear();
        for (((varies, slot), last), text) in self.varies.iter().zip(&mut self.times).zip(texts) {
            let Some(text) = *text else { continue };
            let typed = maker.found.typed(*slot);
            let read = match varies {
                Varies::Visit | Varies::ParentVisit => Read::Key(maker.visits.get(text, |id| maker.envelope.visit(id))),
                Varies::Number | Varies::Real(_) => {
                    if *varies == Varies::Number && Comparator::strip(text).1.len() != text.len() {
                        return None;
                    }
                    let exact = if typed || maker.map.numbers.decimal == '.' { decimal::exact(text) } else { None };
                    let (number, decimals) = exact.or_else(|| maker.number(text, typed))?;
                    Read::Number(number, decimals)
                }
                _ => {
                    let map = maker.map;
                    Read::When(last.of(text, |text| {
                        let ends = *varies != Varies::End || !never(map, text, typed);
                        ends.then(|| super::maker::when(map, text, typed, maker.envelope)).flatten()
                    })?)
                }
            };
            self.read.push((*varies, read));
        }
        Some(())
    }

    /// Takes a row of a person.
    pub(super) fn take(
        &mut self,
        row: &RowMap,
        maker: &mut Maker<'_, '_>,
        (person, key): (&str, Key),
        out: &mut Out<'_>,
    ) -> Result<Taken, AdapterError> {
        if self.off {
            return Ok(Taken::Slow);
        }
        let texts = self.texts(maker);
        // A row without its id is known by all that it says.
        if !self.name(&texts, maker) || maker.is_nameless(row) {
            return Ok(Taken::Slow);
        }
        match self.known.get(self.name.as_slice()) {
            None => return Ok(Taken::Slow),
            Some(Known::Nothing) => return Ok(Taken::Nothing),
            Some(Known::Row(_)) => {}
        }
        if self.read(&texts, maker).is_none() {
            return Ok(Taken::Slow);
        }
        let record = maker.record_key(row, person, None);
        let Some(Known::Row(cast)) = self.known.get_mut(self.name.as_slice()) else { return Ok(Taken::Slow) };
        let Some(columns) = out.columns(row.table)? else {
            self.off = true;
            return Ok(Taken::Slow);
        };
        let failed = |e: ArrowError| AdapterError::Sink(e.to_string());
        if let Some(mut put) = columns.row(&mut cast.pattern).map_err(failed)? {
            fill(&mut put, &self.places, key, record, &self.read, cast.valued.as_ref()).map_err(failed)?;
        }
        self.gain.know();
        out.filled(row.table, 1)?;
        Ok(Taken::Put)
    }

    /// Learns that a row gives no record.
    pub(super) fn learn_nothing(&mut self, maker: &Maker<'_, '_>) {
        let texts = self.texts(maker);
        if !self.off && self.name(&texts, maker) {
            self.keep(Some(Known::Nothing));
        }
    }

    /// Learns from the record that the slow way made of a row.
    pub(super) fn learn(&mut self, record: &Record, maker: &mut Maker<'_, '_>) {
        if self.off || record.missing().is_some() {
            return;
        }
        // A bound, or an end that never comes, says more than its own columns.
        let texts = self.texts(maker);
        if !self.name(&texts, maker) || self.read(&texts, maker).is_none() {
            return;
        }
        let known = self.cast(record, &texts).map(|cast| Known::Row(Box::new(cast)));
        self.keep(known);
    }

    fn keep(&mut self, known: Option<Known>) {
        if self.known.len() >= MOST {
            self.off = !self.gain.goes_on();
            self.known.clear();
        }
        self.gain.learn();
        if let Some(known) = known {
            self.known.insert(self.name.clone(), known);
        }
    }

    fn cast(&self, record: &Record, texts: &Texts<'_>) -> Option<Cast> {
        let at = &self.places;
        let mut varying = vec![at.person, at.record];
        let mut valued = None;
        for ((varies, _), _) in self.varies.iter().zip(texts).filter(|(_, text)| text.is_some()) {
            match varies {
                Varies::Event => varying.extend(at.event.varying()),
                Varies::Start => {
                    varying.extend(at.event.varying());
                    varying.extend(at.start.iter().flatten());
                }
                Varies::End => varying.extend(at.end.iter().flatten()),
                Varies::Known => varying.push(at.known),
                Varies::Result => varying.extend(at.result),
                Varies::Visit => varying.push(at.visit),
                Varies::ParentVisit => varying.extend(at.parent),
                Varies::Number => {
                    let made = Valued::of(record)?;
                    varying.extend(made.varying());
                    valued = Some(made);
                }
                Varies::Real(place) => varying.push(*place),
            }
        }
        Some(Cast { pattern: Pattern::new(record, &varying), valued })
    }
}

/// Fills what changes from row to row.
fn fill(
    row: &mut Row<'_>,
    at: &Places,
    person: Key,
    record: Key,
    read: &[(Varies, Read)],
    valued: Option<&Valued>,
) -> Result<(), ArrowError> {
    row.put(at.person, &Cell::Key(person))?;
    row.put(at.record, &Cell::Key(record))?;
    let has_event = read.iter().any(|(varies, _)| *varies == Varies::Event);
    let put = |row: &mut Row<'_>, place: Option<usize>, cell: Cell| match place {
        Some(place) => row.put(place, &cell),
        None => Ok(()),
    };
    for (varies, read) in read {
        match (varies, read) {
            (Varies::Event, Read::When(when)) => at.event.put(row, when)?,
            (Varies::Start, Read::When(when)) => {
                put(row, at.start[0], when.date_cell())?;
                put(row, at.start[1], when.instant_cell())?;
                // What has a start is an event of that time, unless the mapping names another.
                if !has_event {
                    at.event.put(row, when)?;
                }
            }
            (Varies::End, Read::When(when)) => {
                put(row, at.end[0], when.date_cell())?;
                put(row, at.end[1], when.instant_cell())?;
            }
            (Varies::Known, Read::When(when)) => row.put(at.known, &when.instant_cell())?,
            (Varies::Result, Read::When(when)) => put(row, at.result, when.instant_cell())?,
            (Varies::Visit, Read::Key(key)) => row.put(at.visit, &Cell::Key(*key))?,
            (Varies::ParentVisit, Read::Key(key)) => put(row, at.parent, Cell::Key(*key))?,
            (Varies::Number, Read::Number(number, decimals)) => {
                if let Some(valued) = valued {
                    valued.put(row, *number, Some(*decimals))?;
                }
            }
            (Varies::Real(place), Read::Number(number, _)) => row.put(*place, &Cell::Real(*number))?,
            _ => {}
        }
    }
    Ok(())
}
