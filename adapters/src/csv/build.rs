//! One source row to its records.

use schema::tables::Kind;
use schema::{Cell, Key, Record, Table, codes};

use super::mapping::{FileMap, Person, RowMap, Slot};
use super::rows::Fields;
use super::setters::{Setter, Source, Target, Unmapped};
use crate::envelope::{self, Envelope};
use crate::measurement::{self, Comparator};
use crate::sink::{AdapterError, Out, Reason};
use crate::time::When;

/// Builds the records of one file.
pub(crate) struct Builder<'a> {
    map: &'a FileMap,
    envelope: Envelope<'a>,
    file: &'a str,
}

/// Why there is no record.
enum No {
    /// The mapping says so.
    Skipped,
    /// The row is at fault.
    Bad(Reason, String),
}

/// A row's cells, under the names of the mapping.
struct Cells<'r> {
    map: &'r FileMap,
    fields: &'r Fields,
    positions: &'r [usize],
}

impl<'r> Cells<'r> {
    /// The text of a column, `None` where it is null.
    fn get(&self, slot: Slot) -> Option<&'r str> {
        let text = self.fields.get(*self.positions.get(slot)?)?;
        (!self.map.null.iter().any(|n| n == text)).then_some(text)
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(map: &'a FileMap, envelope: Envelope<'a>, file: &'a str) -> Builder<'a> {
        Builder { map, envelope, file }
    }

    /// Hands over what the row becomes. A record that cannot be built is quarantined; the row's others go on.
    pub(crate) fn row(
        &self,
        fields: &Fields,
        positions: &[usize],
        line: u64,
        row_number: u64,
        out: &mut Out<'_>,
    ) -> Result<(), AdapterError> {
        let cells = Cells { map: self.map, fields, positions };
        let own;
        let person = match self.map.person {
            Person::RowNumber => {
                own = format!("{}#{row_number}", self.file);
                own.as_str()
            }
            Person::Column(slot) => match cells.get(slot) {
                Some(id) => id,
                None => {
                    let detail = format!("column \"{}\" is empty; it names the patient", self.map.slots.name(slot));
                    return out.quarantine(line, Reason::MissingPatient, detail);
                }
            },
        };
        let key = self.envelope.person(person);
        let mut any = false;
        for row in &self.map.rows {
            match self.record(row, &cells, person, key) {
                Ok(record) => {
                    any = true;
                    out.record(record, line)?;
                }
                Err(No::Skipped) => {}
                Err(No::Bad(reason, detail)) => {
                    any = true;
                    out.quarantine(line, reason, detail)?;
                }
            }
        }
        if !any {
            out.tally.skipped += 1;
        }
        Ok(())
    }

    fn record(&self, row: &RowMap, cells: &Cells<'_>, person: &str, key: Key) -> Result<Record, No> {
        let wanted = row.require.iter().all(|slot| cells.get(*slot).is_some())
            && row.only.iter().all(|(slot, texts)| cells.get(*slot).is_some_and(|t| texts.iter().any(|o| o == t)));
        if !wanted {
            return Err(No::Skipped);
        }
        let record_key = self.record_key(row, cells, person);
        let mut record = self.envelope.row(row.table, key, record_key);
        defaults(&mut record);
        let mut value = Measured::default();
        for setter in &row.setters {
            self.set(setter, row.table, cells, &mut record, &mut value)?;
        }
        match row.table {
            Table::Visit => close_visit(row, &mut record),
            Table::Measurement => {
                let comparator = match value.comparator {
                    Comparator::Eq => value.column_comparator.unwrap_or(Comparator::Eq),
                    written => written,
                };
                measurement::fill(&mut record, value.number, comparator, value.unit.as_deref());
            }
            _ => {}
        }
        Ok(record)
    }

    fn record_key(&self, row: &RowMap, cells: &Cells<'_>, person: &str) -> Key {
        let mut id = vec![row.constant_code.as_str()];
        match row.table {
            Table::Patient | Table::Death => id.push(person),
            Table::Visit => {
                let visit = row.setters.iter().find(|s| s.target == Target::Visit).and_then(Setter::slot);
                id.push(visit.and_then(|slot| cells.get(slot)).unwrap_or(""));
            }
            _ => {
                id.push(person);
                id.extend(row.id.iter().map(|slot| cells.get(*slot).unwrap_or("")));
            }
        }
        self.envelope.record(row.table, &id)
    }

    fn set(
        &self,
        setter: &Setter,
        table: Table,
        cells: &Cells<'_>,
        record: &mut Record,
        value: &mut Measured,
    ) -> Result<(), No> {
        let Some((text, written)) = text_of(setter, cells, self.map)? else { return Ok(()) };
        let column = || setter.slot().map_or("", |slot| self.map.slots.name(slot));
        match setter.target {
            Target::Column(name, kind) => self.set_column(name, kind, text, written, table, record, value, &column)?,
            Target::Visit => {
                record.set("visit_key", self.envelope.visit(text));
            }
            Target::ParentVisit => {
                record.set("parent_visit_key", self.envelope.visit(text));
            }
            Target::Linkage => {
                record.set("linkage_tag", self.envelope.linkage(text));
            }
            Target::Event => envelope::set_event(record, &self.when(text, &column)?),
            Target::Birth => envelope::set_birth(record, &self.when(text, &column)?),
            Target::End => envelope::set_end(record, &self.when(text, &column)?),
            Target::Known => {
                record.set("t_known", self.when(text, &column)?.instant_cell());
            }
            Target::Result => {
                record.set("t_result", self.when(text, &column)?.instant_cell());
            }
            Target::Start => {
                let when = self.when(text, &column)?;
                envelope::set_start(record, &when);
                // A visit's event is its start, unless the mapping names another.
                if record.get("event_date") == &Cell::Null {
                    envelope::set_event(record, &when);
                }
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn set_column<'n>(
        &self,
        name: &'static str,
        kind: Kind,
        text: &str,
        written: bool,
        table: Table,
        record: &mut Record,
        value: &mut Measured,
        column: &dyn Fn() -> &'n str,
    ) -> Result<(), No> {
        let bad = |reason, what: &str| No::Bad(reason, format!("column \"{}\": {what}", column()));
        // Constants and mapped values are written as in TOML, cells as the mapping says.
        let number = |text: &str| {
            let parsed = match written {
                true => text.parse().ok().map(|v| (v, 0)),
                false => self.map.numbers.parse(text),
            };
            parsed.ok_or_else(|| bad(Reason::BadNumber, "not a number under the mapping's decimal and thousands"))
        };
        let cell = match (name, kind) {
            ("value_num", _) => {
                let (comparator, rest) = Comparator::strip(text);
                let (v, decimals) = number(rest)?;
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
            ("code_system" | "std_system", _) => match codes::canonical(text) {
                Some(uri) => Cell::Text(uri),
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
                if let Some(levels) = table.levels(name)
                    && !levels.contains(&text)
                {
                    let what = format!("not a level of {name}; map it to one of: {}", levels.join(", "));
                    return Err(bad(Reason::UnknownLevel, &what));
                }
                Cell::from(text)
            }
        };
        record.set(name, cell);
        Ok(())
    }

    fn when<'n>(&self, text: &str, column: &dyn Fn() -> &'n str) -> Result<When, No> {
        let zone = self.envelope.zone();
        self.map.dates.iter().find_map(|format| format.parse(text, zone)).ok_or_else(|| {
            No::Bad(Reason::BadDate, format!("column \"{}\": not a date under the mapping's dates", column()))
        })
    }
}

/// A measurement's parts, until all of them are known.
#[derive(Default)]
struct Measured {
    number: Option<f64>,
    comparator: Comparator,
    column_comparator: Option<Comparator>,
    unit: Option<String>,
}

/// A setter's text, and whether the mapping wrote it; `None` where the cell is null and there is no default.
fn text_of<'s>(setter: &'s Setter, cells: &Cells<'s>, map: &FileMap) -> Result<Option<(&'s str, bool)>, No> {
    let (slot, values, unmapped, default) = match &setter.source {
        Source::Constant(text) => return Ok(Some((text, true))),
        Source::Column { slot, map, unmapped, default } => (*slot, map, unmapped, default),
    };
    let Some(text) = cells.get(slot) else { return Ok(default.as_deref().map(|d| (d, true))) };
    let Some(values) = values else { return Ok(Some((text, false))) };
    if let Some(to) = values.get(text) {
        return Ok(Some((to, true)));
    }
    match unmapped {
        Unmapped::Keep => Ok(Some((text, false))),
        Unmapped::Skip => Err(No::Skipped),
        Unmapped::As(other) => Ok(Some((other, true))),
        Unmapped::Quarantine => {
            let detail = format!(
                "column \"{}\" holds a value that its map does not list; add it, or set unmapped",
                map.slots.name(slot)
            );
            Err(No::Bad(Reason::Unmapped, detail))
        }
    }
}

/// What a required column says where the mapping is silent.
fn defaults(record: &mut Record) {
    match record.table() {
        Table::Patient => {
            record.set("sex", "U");
            record.set("age_capped", false);
        }
        Table::Visit => {
            record.set("open", false);
        }
        Table::Condition => {
            record.set("role", "problem");
            record.set("verification", "confirmed");
        }
        Table::DrugExposure => {
            record.set("kind", "ordered");
        }
        Table::Death => {
            record.set("death_source", "ehr");
        }
        _ => {}
    }
}

/// A visit is open where its end is mapped and empty.
fn close_visit(row: &RowMap, record: &mut Record) {
    let maps_end = row.setters.iter().any(|s| s.target == Target::End);
    record.set("open", maps_end && record.get("end_date") == &Cell::Null);
}
