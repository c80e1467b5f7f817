//! One record of one source row: every column that its mapping sets, or why there is no record.

use std::collections::HashMap;

use compact_str::CompactString;
use schema::tables::Kind;
use schema::{Cell, Key, Record, Table, codes};

use super::anchor::Fault;
use super::cells::Cells;
use super::columns::{Origin, Slot};
use super::mapping::{FileMap, RowMap};
use super::quick::Quick;
use super::setters::{Column, Setter, Source, Target, Unmapped};
use crate::alike::Last;
use crate::envelope::{self, Envelope};
use crate::measurement::{self, Comparator};
use crate::sink::Reason;
use crate::time::When;

/// Why there is no record.
pub(super) enum No {
    /// The mapping says so.
    Skipped,
    /// The row is at fault.
    Bad(Reason, String),
}

/// Where a file has the columns that its mapping reads.
pub(crate) struct Found {
    /// By slot; `None` where the file lacks the column.
    pub(crate) positions: Vec<Option<usize>>,
    /// By slot: whether the file itself gives the column its type.
    pub(crate) typed: Vec<bool>,
}

/// What a row's mapping holds from one row to the next.
pub(super) struct RowState {
    /// The record without what comes from the row.
    pub(super) template: Record,
    pub(super) record: Record,
    /// Why no record can be made of any row.
    pub(super) refused: Option<String>,
    /// Columns that contradict the mapping and that a record can do without, with what is said of them.
    pub(super) without: Vec<(Slot, String)>,
    /// Columns of times that contradict the mapping, where others say the same.
    pub(super) doubted: Vec<Slot>,
    /// What the record in hand had to leave out: what for, and why.
    pub(super) left_out: Vec<(Target, Reason, String)>,
    /// The plan for rows like those before.
    pub(super) quick: Option<Quick>,
}

/// Pseudonyms that are kept, at most.
const KEPT_KEYS: usize = 65_536;

/// Records whose repeats are counted, at most, twice: those that came last, and those before them.
const COUNTED: usize = 1 << 19;

/// How often each record has come, where repeats count. What came longest ago is forgotten when there are too many: equal rows
/// mostly stand together.
#[derive(Default)]
pub(super) struct Repeats {
    recent: HashMap<Key, u32>,
    before: HashMap<Key, u32>,
}

impl Repeats {
    /// The how-manieth record of that key this is, from 1.
    fn count(&mut self, record: Key) -> u32 {
        if self.recent.len() >= COUNTED {
            self.before = std::mem::take(&mut self.recent);
        }
        let before = || self.before.get(&record).copied().unwrap_or_default();
        let n = self.recent.entry(record).or_insert_with(before);
        *n += 1;
        *n
    }
}

/// Pseudonyms that were made before; all are forgotten when there are too many.
#[derive(Default)]
pub(super) struct Keys {
    kept: HashMap<CompactString, Key>,
    last: Last<Key>,
}

impl Keys {
    pub(super) fn get(&mut self, id: &str, make: impl FnOnce(&str) -> Key) -> Key {
        let kept = &mut self.kept;
        let key = self.last.of(id, |id| {
            if let Some(key) = kept.get(id) {
                return Some(*key);
            }
            if kept.len() >= KEPT_KEYS {
                kept.clear();
            }
            let key = make(id);
            kept.insert(id.into(), key);
            Some(key)
        });
        key.unwrap_or_default()
    }
}

/// A measurement's parts, until all of them are known.
#[derive(Default)]
struct Measured<'s> {
    number: Option<f64>,
    comparator: Comparator,
    column_comparator: Option<Comparator>,
    unit: Option<String>,
    /// Whether it has an end that never comes, or that cannot be read.
    no_end: bool,
    /// What was put into the place of a value.
    told: Vec<(Target, Reason, String)>,
    /// Columns whose times are not believed.
    doubted: &'s [Slot],
}

impl Found {
    pub(super) fn typed(&self, slot: Slot) -> bool {
        self.typed.get(slot).copied().unwrap_or(false)
    }
}

const NO_DATE: &str = "not a date under the mapping's dates";
const DOUBTED: &str = "many of its values contradict the mapping's dates, so that the others may be misread";

/// The time a text names under the mapping; a typed column has but one reading.
pub(super) fn when(map: &FileMap, text: &str, typed: bool, envelope: &Envelope<'_>) -> Option<When> {
    let zone = envelope.zone();
    let found = match typed {
        true => crate::time::fhir(text, zone),
        false => map.dates.iter().find_map(|format| format.parse(text, zone, envelope.ingested())),
    };
    found.map(|when| if map.midnight_is_day { when.midnight_is_day(zone) } else { when })
}

/// Whether a text is a day that never comes, as `9999-12-31`: an end that is not known yet.
pub(super) fn never(map: &FileMap, text: &str, typed: bool) -> bool {
    if typed { crate::time::is_never(text) } else { map.dates.iter().any(|format| format.is_never(text)) }
}

/// Makes one record.
pub(super) struct Maker<'m, 'a> {
    pub(super) map: &'a FileMap,
    pub(super) found: &'a Found,
    pub(super) envelope: &'m Envelope<'a>,
    pub(super) visits: &'m mut Keys,
    pub(super) repeats: &'m mut Repeats,
    pub(super) cells: &'m Cells<'m, 'a>,
}

/// The text that names a row's visit.
pub(super) fn visit_of<'c>(row: &RowMap, cells: &'c Cells<'_, '_>) -> Option<&'c str> {
    let visit = row.setters.iter().find(|s| s.target == Target::Visit).map(Setter::slots);
    visit.and_then(|slots| slots.first().copied()).and_then(|slot| cells.get(slot)).filter(|id| !id.is_empty())
}

impl Maker<'_, '_> {
    /// Fills the state's record from the row.
    pub(super) fn record(&mut self, row: &RowMap, state: &mut RowState, person: &str, key: Key) -> Result<(), No> {
        let RowState { template, record, without, left_out, doubted, .. } = state;
        record.copy_from(template);
        left_out.clear();
        record.set("person_key", key);
        let mut record_key = self.record_key(row, person, None);
        if row.repeats || self.is_nameless(row) {
            let n = self.repeats.count(record_key);
            if n > 1 {
                record_key = self.record_key(row, person, Some(n));
            }
        }
        record.set("record_key", record_key);
        let mut value = Measured { doubted, ..Measured::default() };
        for setter in &row.setters {
            if let Some((_, why)) = without.iter().find(|(slot, _)| setter.reads_for_spare(*slot)) {
                if setter.slots().iter().any(|slot| self.cells.get(*slot).is_some()) {
                    left_out.push((setter.target, Reason::Contradiction, why.clone()));
                }
                continue;
            }
            match self.set(setter, row.table, record, &mut value) {
                Err(No::Bad(reason @ (Reason::BadDate | Reason::BadNumber), detail)) if setter.target.is_spare() => {
                    value.no_end |= setter.target == Target::End;
                    left_out.push((setter.target, reason, format!("{detail}; the row is kept without it")));
                }
                other => other?,
            }
        }
        left_out.append(&mut value.told);
        if value.no_end {
            record.set("end_kind", Cell::Null);
        }
        match row.table {
            Table::Visit => {
                // A visit is open where the file tells of ends and this one has none.
                let tells = |s: &Setter| s.target == Target::End && s.slots().iter().any(|slot| self.has(*slot));
                let lost = left_out.iter().any(|(target, ..)| *target == Target::End);
                let tells = !lost && row.may_be_open && row.setters.iter().any(tells);
                let open = tells && record.get("end_date") == &Cell::Null;
                record.set("open", open);
            }
            Table::Measurement => {
                let comparator = match value.comparator {
                    Comparator::Eq => value.column_comparator.unwrap_or(Comparator::Eq),
                    written => written,
                };
                measurement::fill(record, value.number, comparator, value.unit.as_deref());
            }
            Table::DrugExposure => crate::sink::tidy(record),
            _ => {}
        }
        Ok(())
    }

    /// Whether the file has a column, or what it is made of.
    fn has(&self, slot: Slot) -> bool {
        match self.map.slots.origin(slot) {
            Some(Origin::File) => self.found.positions.get(slot).is_some_and(Option::is_some),
            Some(Origin::Made(_)) => true,
            None => false,
        }
    }

    /// Whether the row lacks a part of what tells it from others: what it says is then who it is, as where the mapping names no id.
    pub(super) fn is_nameless(&self, row: &RowMap) -> bool {
        match row.table {
            Table::Patient | Table::Death => false,
            Table::Visit => visit_of(row, self.cells).is_none(),
            _ => row.id.iter().any(|slot| self.cells.get(*slot).is_none_or(str::is_empty)),
        }
    }

    pub(super) fn record_key(&self, row: &RowMap, person: &str, repeat: Option<u32>) -> Key {
        let mut id = Vec::with_capacity(8);
        id.push(row.constant_code.as_str());
        match row.table {
            Table::Patient | Table::Death => id.push(person),
            Table::Visit => match visit_of(row, self.cells) {
                Some(visit) => id.push(visit),
                None => {
                    id.extend(["no id", person]);
                    let said = row.setters.iter().flat_map(Setter::slots);
                    id.extend(said.map(|slot| self.cells.get(slot).unwrap_or("")));
                }
            },
            _ => {
                id.push(person);
                id.extend(row.apart.as_deref());
                id.extend(row.id.iter().map(|slot| self.cells.get(*slot).unwrap_or("")));
                if row.repeats || self.is_nameless(row) {
                    // What the row says is part of who it is, so that it does not matter how rows are cut into files.
                    let said = row.setters.iter().flat_map(Setter::slots);
                    id.extend(said.map(|slot| self.cells.get(slot).unwrap_or("")));
                }
            }
        }
        let nth;
        if let Some(n) = repeat {
            nth = n.to_string();
            id.push("repeat");
            id.push(&nth);
        }
        self.envelope.record(row.table, &id)
    }

    fn set(&mut self, setter: &Setter, table: Table, record: &mut Record, value: &mut Measured<'_>) -> Result<(), No> {
        let column = match &setter.source {
            Source::Constant(text) => return self.set_text(setter.target, None, text, true, table, record, value),
            Source::Column(column) => column,
            Source::Offset { slot, anchor } => {
                let Some(text) = self.cells.get(*slot) else { return Ok(()) };
                let found = anchor.at((*slot, text), self.cells, &self.map.dates, self.envelope);
                return match found {
                    Ok(Some(when)) => {
                        set_time(setter.target, record, &when);
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(Fault::Number(slot)) => Err(self.bad(Reason::BadNumber, Some(slot), "not a number of units")),
                    Err(Fault::Date(slot)) => Err(self.bad(Reason::BadDate, Some(slot), "no part of an anchor's time")),
                };
            }
            Source::Age { year, age, capped_from } => return self.age(*year, *age, *capped_from, record),
            Source::Pairs(pairs) => return self.pair(setter.target, pairs, table, record, value),
        };
        let Some((text, written)) = text_of(column, self.cells, self.map)? else { return Ok(()) };
        if column.unmapped == Unmapped::Default
            && let (Some(map), Some(cell)) = (&column.map, self.cells.get(column.slot))
            && !map.contains_key(cell)
        {
            let name = self.map.column(column.slot);
            let what = "holds a value that its map does not list; the row is kept with the default";
            value.told.push((setter.target, Reason::Unmapped, format!("column {name} {what}")));
        }
        if let (Target::Birth, Some((day, years))) = (setter.target, column.capped) {
            let when = self.when(text, column.slot)?;
            if when.is_before(day) {
                record.set("birth_year", when.year() + years);
                record.set("age_capped", true);
                return Ok(());
            }
        }
        self.set_text(setter.target, Some(column), text, written, table, record, value)
    }

    /// The first pair whose system and code are both there.
    fn pair(
        &mut self,
        target: Target,
        pairs: &[(Source, Source)],
        table: Table,
        record: &mut Record,
        value: &mut Measured<'_>,
    ) -> Result<(), No> {
        let (system, code) = match target {
            Target::Standard => ("std_system", "std_code"),
            _ => ("code_system", "code"),
        };
        let part = |source: &Source| -> Result<Option<(String, bool)>, No> {
            Ok(match source {
                Source::Constant(text) => Some((text.clone(), true)),
                Source::Column(column) => {
                    text_of(column, self.cells, self.map)?.map(|(text, written)| (text.to_owned(), written))
                }
                _ => None,
            })
        };
        for (s, c) in pairs {
            let (Some((s, written)), Some((c, c_written))) = (part(s)?, part(c)?) else { continue };
            for (name, text, written) in [(system, &s, written), (code, &c, c_written)] {
                if let Some((place, column)) = table.find(name) {
                    let target = Target::Column(column.name, column.kind, place);
                    self.set_text(target, None, text, written, table, record, value)?;
                }
            }
            return Ok(());
        }
        if target == Target::Coded {
            let what = "none of the mapping's systems and codes is there";
            return Err(No::Bad(Reason::MissingCode, what.to_owned()));
        }
        Ok(())
    }

    /// The year of birth, as a year less an age; an age such as `> 89`, or of at least the cap, is hidden.
    fn age(&self, year: Slot, age: Slot, capped_from: Option<f64>, record: &mut Record) -> Result<(), No> {
        let (Some(year_text), Some(age_text)) = (self.cells.get(year), self.cells.get(age)) else { return Ok(()) };
        let number = |slot: Slot, text: &str| {
            self.number(text, self.found.typed(slot))
                .map(|(v, _)| v)
                .filter(|v| v.abs() < 10_000.0)
                .ok_or_else(|| self.bad(Reason::BadNumber, Some(slot), "neither a year nor an age"))
        };
        let (comparator, rest) = Comparator::strip(age_text);
        let mut years = number(age, rest)?;
        let above = comparator == Comparator::Gt;
        if above {
            years += 1.0;
        }
        let capped = above || comparator == Comparator::Ge || capped_from.is_some_and(|from| years >= from);
        #[allow(clippy::cast_possible_truncation)]
        let born = (number(year, year_text)? - years).floor() as i64;
        record.set("birth_year", born);
        record.set("age_capped", capped);
        Ok(())
    }

    fn bad(&self, reason: Reason, slot: Option<Slot>, what: &str) -> No {
        let column = slot.map_or_else(String::new, |slot| self.map.column(slot));
        No::Bad(reason, format!("column {column}: {what}"))
    }

    pub(super) fn number(&self, text: &str, plain: bool) -> Option<(f64, i64)> {
        if plain { super::number::PLAIN.parse(text) } else { self.map.numbers.parse(text) }
    }

    /// The first number, with its comparator, of the columns that a column is the first of.
    fn first_number(&self, slot: Slot) -> Option<(Comparator, (f64, i64))> {
        self.map.alternatives(slot).iter().find_map(|slot| {
            let (comparator, rest) = Comparator::strip(self.cells.get(*slot)?);
            Some((comparator, self.number(rest, self.found.typed(*slot))?))
        })
    }

    fn when(&self, text: &str, slot: Slot) -> Result<When, No> {
        when(self.map, text, self.found.typed(slot), self.envelope)
            .ok_or_else(|| self.bad(Reason::BadDate, Some(slot), NO_DATE))
    }

    /// Fills a target from a text. `written` says that the mapping wrote it.
    #[allow(clippy::too_many_arguments)]
    fn set_text(
        &mut self,
        target: Target,
        column: Option<&Column>,
        text: &str,
        written: bool,
        table: Table,
        record: &mut Record,
        value: &mut Measured<'_>,
    ) -> Result<(), No> {
        let slot = column.map(|c| c.slot);
        match target {
            Target::Column(name, kind, place) => {
                return self.set_column((name, kind, place), column, text, written, table, record, value);
            }
            Target::Visit | Target::ParentVisit => {
                let key = self.visits.get(text, |id| self.envelope.visit(id));
                record.set(if target == Target::Visit { "visit_key" } else { "parent_visit_key" }, key);
            }
            Target::Linkage => {
                record.set("linkage_tag", self.envelope.linkage(text));
            }
            Target::Coded | Target::Standard => {}
            _ => {
                let Some(slot) = slot else { return Ok(()) };
                if target == Target::End && never(self.map, text, self.found.typed(slot)) {
                    value.no_end = true;
                    return Ok(());
                }
                let when = match self.when(text, slot) {
                    Ok(when) if value.doubted.is_empty() => when,
                    read => self.first_of(target, slot, read, value)?,
                };
                set_time(target, record, &when);
            }
        }
        Ok(())
    }

    /// The time of the first column that has one, of several that say the same; those before it are told.
    fn first_of(
        &self,
        target: Target,
        slot: Slot,
        read: Result<When, No>,
        value: &mut Measured<'_>,
    ) -> Result<When, No> {
        for (nth, column) in self.map.alternatives(slot).iter().enumerate() {
            let text = self.cells.get(*column).filter(|_| !value.doubted.contains(column));
            let Some(when) = text.and_then(|text| self.when(text, *column).ok()) else { continue };
            let before = self.map.alternatives(slot).iter().take(nth);
            for other in before.filter(|other| self.cells.get(**other).is_some()) {
                let (name, taken) = (self.map.column(*other), self.map.column(*column));
                let (reason, what) = match value.doubted.contains(other) {
                    true => (Reason::Contradiction, DOUBTED),
                    false => (Reason::BadDate, NO_DATE),
                };
                let detail = format!("column {name}: {what}; the row is kept with the time of column {taken}");
                value.told.push((target, reason, detail));
            }
            return Ok(when);
        }
        match self.map.alternatives(slot).iter().any(|column| value.doubted.contains(column)) {
            true => Err(self.bad(Reason::BadDate, Some(slot), DOUBTED)),
            false => read,
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn set_column(
        &self,
        (name, kind, place): (&'static str, Kind, usize),
        column: Option<&Column>,
        text: &str,
        written: bool,
        table: Table,
        record: &mut Record,
        value: &mut Measured<'_>,
    ) -> Result<(), No> {
        let slot = column.map(|c| c.slot);
        let bad = |reason, what: &str| self.bad(reason, slot, what);
        // Constants and mapped values are written as in TOML, cells as the mapping says.
        let number = |text: &str| {
            let parsed = match written {
                true => text.parse().ok().map(|v| (v, 0)),
                false => self.number(text, slot.is_some_and(|slot| self.found.typed(slot))),
            };
            parsed.ok_or_else(|| bad(Reason::BadNumber, "not a number under the mapping's decimal and thousands"))
        };
        let cell = match (name, kind) {
            ("value_num", _) => {
                let (comparator, rest) = Comparator::strip(text);
                let (comparator, (v, decimals)) = match number(rest) {
                    // Of several columns, one in words leaves the value to the next.
                    Err(_) if column.is_some_and(|c| c.tolerant) => match slot.and_then(|slot| self.first_number(slot))
                    {
                        Some(found) => found,
                        None => return Ok(()),
                    },
                    other => (comparator, other?),
                };
                value.number = Some(v);
                value.comparator = comparator;
                record.set("value_scale", decimals);
                return Ok(());
            }
            ("unit_src", _) => {
                value.unit = Some(text.to_owned());
                return Ok(());
            }
            ("comparator", _) => match Comparator::parse(text) {
                Some(comparator) => {
                    value.column_comparator = Some(comparator);
                    return Ok(());
                }
                None => return Err(bad(Reason::UnknownLevel, "not a comparator; map it to eq, lt, le, ge, gt")),
            },
            // What the mapping wrote is canonical already.
            ("code_system" | "std_system", _) if !written => match codes::canonical(text) {
                Some(uri) => Cell::from(uri),
                None => return Err(bad(Reason::UnknownCodeSystem, "not a known code system; add a map")),
            },
            (_, Kind::Real) => Cell::Real(number(text)?.0),
            (_, Kind::Integer) => {
                let (v, _) = number(text)?;
                if v.fract() != 0.0 || v.abs() > 9e15 {
                    return Err(bad(Reason::BadNumber, "not a whole number"));
                }
                #[allow(clippy::cast_possible_truncation)]
                Cell::Int(v as i64)
            }
            (_, Kind::Flag) => match text {
                "true" | "false" => Cell::Flag(text == "true"),
                _ => return Err(bad(Reason::UnknownLevel, "neither true nor false; add a map")),
            },
            _ => {
                if !written
                    && let Some(levels) = table.levels(name)
                    && !levels.contains(&text)
                {
                    let what = format!("not a level of {name}; map it to one of: {}", levels.join(", "));
                    return Err(bad(Reason::UnknownLevel, &what));
                }
                Cell::from(text)
            }
        };
        record.put(place, cell);
        Ok(())
    }
}

fn set_time(target: Target, record: &mut Record, when: &When) {
    match target {
        Target::Event => envelope::set_event(record, when),
        Target::Birth => envelope::set_birth(record, when),
        Target::End => envelope::set_end(record, when),
        Target::Known => {
            record.set("t_known", when.instant_cell());
        }
        Target::Result => {
            record.set("t_result", when.instant_cell());
        }
        Target::Start => {
            envelope::set_start(record, when);
            // What has a start is an event of that time, unless the mapping names another.
            if record.get("event_date") == &Cell::Null {
                envelope::set_event(record, when);
            }
        }
        _ => {}
    }
}

/// A column's text, and whether the mapping wrote it; `None` where the cell is null and there is no default.
fn text_of<'s>(column: &'s Column, cells: &Cells<'s, '_>, map: &FileMap) -> Result<Option<(&'s str, bool)>, No> {
    let Some(text) = cells.get(column.slot) else { return Ok(column.default.as_deref().map(|d| (d, true))) };
    let Some(values) = &column.map else { return Ok(Some((text, false))) };
    if let Some(to) = values.get(text) {
        return Ok(Some((to, true)));
    }
    match column.unmapped {
        Unmapped::Keep => Ok(Some((text, false))),
        Unmapped::Skip => Err(No::Skipped),
        Unmapped::Null => Ok(None),
        Unmapped::Default => Ok(column.default.as_deref().map(|d| (d, true))),
        Unmapped::As(other) => Ok(Some((other, true))),
        Unmapped::Quarantine => {
            let name = map.column(column.slot);
            let detail = format!("column {name} holds a value that its map does not list; add it, or set unmapped");
            Err(No::Bad(Reason::Unmapped, detail))
        }
    }
}
