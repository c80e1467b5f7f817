//! One source row to its records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schema::tables::Kind;
use schema::{Key, Record, Table};

use super::cells::{Cells, MadeCells};
use super::columns::Slot;
use super::lookup::Lookup;
use super::maker::{Found, Keys, Maker, No, Repeats, RowState, never, visit_of, when};
use super::mapping::{FileMap, Person, RowMap, is_one_of};
use super::quick::{self, Quick, Taken};
use super::reused::{Reused, Visitors, Watch};
use super::rows::Fields;
use super::setters::{Source, Target};
use crate::envelope::Envelope;
use crate::measurement::Comparator;
use crate::sink::{AdapterError, Out, Reason};

/// Builds the records of one file.
pub(crate) struct Builder<'a> {
    map: &'a FileMap,
    found: &'a Found,
    envelope: Envelope<'a>,
    file: &'a str,
    made: MadeCells<'a>,
    /// Of the row in hand what the plans read, and which of the made cells that is.
    planned: MadeCells<'a>,
    needed: Vec<bool>,
    persons: Keys,
    visits: Keys,
    repeats: Repeats,
    reused: Reused,
    visitors: Visitors,
    watch: Watch,
    /// The rows' mappings in the order in which they are made: whoever it is comes first.
    order: Vec<usize>,
    rows: Vec<RowState>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        map: &'a FileMap,
        found: &'a Found,
        envelope: Envelope<'a>,
        file: &'a str,
        lookups: &'a [Arc<Lookup>],
        watch: Watch,
    ) -> Builder<'a> {
        let mut needed = vec![false; map.derived.len()];
        if let Person::Column(slot) = map.person {
            quick::mark(map, slot, &mut needed);
        }
        let state = |row: &RowMap| {
            let mut template = envelope.row(row.table, Key::default(), Key::default());
            defaults(&mut template);
            let quick = Quick::new(row, map).filter(|_| !watch.is_looking());
            if let Some(quick) = &quick {
                quick.needs(row, map, &mut needed);
            }
            let record = template.clone();
            RowState {
                record,
                template,
                refused: None,
                without: Vec::new(),
                doubted: Vec::new(),
                left_out: Vec::new(),
                quick,
            }
        };
        let rows = map.rows.iter().map(state).collect();
        let is_patient = |at: &usize| map.rows.get(*at).is_some_and(|row| row.table == Table::Patient);
        let (mut order, others): (Vec<usize>, Vec<usize>) = (0..map.rows.len()).partition(is_patient);
        if !watch.is_looking() {
            order.extend(others);
        }
        let (made, planned) = (MadeCells::new(lookups), MadeCells::new(lookups));
        Builder {
            map,
            found,
            envelope,
            file,
            made,
            planned,
            needed,
            persons: Keys::default(),
            visits: Keys::default(),
            repeats: Repeats::default(),
            reused: Reused::default(),
            visitors: Visitors::default(),
            watch,
            order,
            rows,
        }
    }

    /// What was noted of the ids.
    pub(crate) fn noted(self) -> HashSet<Box<str>> {
        self.watch.noted()
    }

    /// Says for each row's mapping whether a column contradicts it, by the file's first rows.
    pub(crate) fn judge(&mut self, sample: &[&Fields]) {
        let is_time = |text: &str, slot: Slot| when(self.map, text, self.found.typed(slot), &self.envelope).is_some();
        for (i, row) in self.map.rows.iter().enumerate() {
            let mut counts: HashMap<(Slot, bool), (u32, u32)> = HashMap::new();
            // Of several columns that say the same each is judged by itself: the row can do without one.
            let mut each: HashMap<Slot, (u32, u32)> = HashMap::new();
            for fields in sample {
                let made = make(&mut self.made, self.map, None, fields, &self.found.positions);
                let cells = cells(self.map, made, fields, &self.found.positions);
                if !wanted(row, &cells) {
                    continue;
                }
                for setter in &row.setters {
                    let Source::Column(column) = &setter.source else { continue };
                    let Some(text) = cells.get(column.slot) else { continue };
                    let fits = match setter.target {
                        _ if column.map.is_some() || column.tolerant || self.found.typed(column.slot) => continue,
                        Target::End if never(self.map, text, false) => true,
                        t if t.is_time() => {
                            let of = self.map.alternatives(column.slot);
                            let mut read = false;
                            for (slot, text) in of.iter().filter_map(|slot| Some((*slot, cells.get(*slot)?))) {
                                let fits = is_time(text, slot) || (t == Target::End && never(self.map, text, false));
                                let count = each.entry(slot).or_default();
                                count.0 += 1;
                                count.1 += u32::from(!fits);
                                read |= fits;
                            }
                            read || is_time(text, column.slot)
                        }
                        Target::Column("value_num", ..) => self.map.numbers.parse(Comparator::strip(text).1).is_some(),
                        Target::Column(_, Kind::Real | Kind::Integer, _) => self.map.numbers.parse(text).is_some(),
                        _ => continue,
                    };
                    let count = counts.entry((column.slot, setter.target.is_spare())).or_default();
                    count.0 += 1;
                    count.1 += u32::from(!fits);
                }
            }
            // A few faults are faults of their rows. More than a fifth says that the column is written in another way, and
            // then those that seem to fit may be misread.
            let contradicts = |(n, bad): &(u32, u32)| *n >= 20 && bad * 5 > *n;
            let mut wrong: Vec<_> = counts.iter().filter(|(_, count)| contradicts(count)).collect();
            wrong.sort();
            let Some(state) = self.rows.get_mut(i) else { continue };
            state.doubted = each.iter().filter(|(_, count)| contradicts(count)).map(|(slot, _)| *slot).collect();
            if !state.doubted.is_empty() {
                state.quick = None;
            }
            for ((slot, spare), (n, bad)) in wrong {
                let detail = format!(
                    "column {}: {bad} of its first {n} values contradict the mapping's dates, decimal or thousands, so \
                     that the others may be misread; correct the mapping",
                    self.map.column(*slot)
                );
                // What such rows are quarantined for, the slow way says.
                state.quick = None;
                match spare {
                    true => state.without.push((*slot, format!("{detail}; the rows are kept without it"))),
                    false if state.refused.is_none() => state.refused = Some(detail),
                    false => {}
                }
            }
        }
    }

    /// Hands over what the row becomes. A record that cannot be built is quarantined; the row's others go on.
    pub(crate) fn row(
        &mut self,
        fields: &Fields,
        line: u64,
        row_number: u64,
        out: &mut Out<'_>,
    ) -> Result<(), AdapterError> {
        let (map, positions) = (self.map, self.found.positions.as_slice());
        let planned = make(&mut self.planned, map, Some(&self.needed), fields, positions);
        let planned = cells(map, planned, fields, positions);
        // What no plan reads is made where a row goes the slow way.
        let mut whole = false;
        let own;
        let person = match map.person {
            Person::RowNumber => {
                own = format!("{}#{row_number}", self.file);
                own.as_str()
            }
            Person::Column(slot) => match planned.get(slot) {
                Some(id) => id,
                None => {
                    let detail = format!("column {} is empty; it names the patient", map.column(slot));
                    return out.quarantine(line, Reason::MissingPatient, detail);
                }
            },
        };
        let id = || match &map.person {
            Person::Column(slot) => format!("column {}", map.column(*slot)),
            Person::RowNumber => "the row's number".to_owned(),
        };
        if self.watch.refuses(person) {
            let why = "two patients of one file have the id, with another sex or year of birth, so that nobody knows whose the \
                       row is; give each an id of its own";
            return out.quarantine(line, Reason::IdReused, format!("{}: {why}", id()));
        }
        let key = self.persons.get(person, |id| self.envelope.person(id));
        let mut any = false;
        for at in &self.order {
            let (Some(row), Some(state)) = (map.rows.get(*at), self.rows.get_mut(*at)) else { continue };
            if row.table == Table::Visit
                && visit_of(row, &planned).is_some_and(|visit| self.visitors.is_of_another(visit, key))
            {
                any = true;
                let why = "the visit's id stands for a visit of another patient in this file; give each visit an id of its own";
                out.quarantine(line, Reason::IdReused, why)?;
                continue;
            }
            if let Some(quick) = &mut state.quick {
                let mut maker = Maker {
                    map,
                    found: self.found,
                    envelope: &self.envelope,
                    visits: &mut self.visits,
                    repeats: &mut self.repeats,
                    cells: &planned,
                };
                match quick.take(row, &mut maker, (person, key), out)? {
                    Taken::Put => {
                        any = true;
                        continue;
                    }
                    Taken::Nothing => continue,
                    Taken::Slow => {}
                }
            }
            if !std::mem::replace(&mut whole, true) {
                make(&mut self.made, map, None, fields, positions);
            }
            let cells = cells(map, &self.made, fields, positions);
            let mut maker = Maker {
                map,
                found: self.found,
                envelope: &self.envelope,
                visits: &mut self.visits,
                repeats: &mut self.repeats,
                cells: &cells,
            };
            if !wanted(row, &cells) {
                if let Some(quick) = &mut state.quick {
                    quick.learn_nothing(&maker);
                }
                continue;
            }
            if let Some(detail) = &state.refused {
                any = true;
                out.quarantine(line, Reason::Contradiction, detail.clone())?;
                continue;
            }
            match maker.record(row, state, person, key) {
                Ok(()) => {
                    any = true;
                    let aged = row.setters.iter().any(|s| matches!(s.source, Source::Age { .. }));
                    if row.table == Table::Patient && self.reused.is_another(key, &state.record, !aged) {
                        self.watch.note(person);
                        // What else the row says is the second one's, and not of who has the id.
                        let why = "a patient of this file had the id before, with another sex or year of birth; give each \
                                   an id of its own";
                        return out.quarantine(line, Reason::IdReused, format!("{}: {why}", id()));
                    }
                    if let Some(quick) = state.quick.as_mut().filter(|_| state.left_out.is_empty()) {
                        quick.learn(&state.record, &mut maker);
                    }
                    out.row(&state.record, line)?;
                    for (_, reason, detail) in state.left_out.drain(..) {
                        out.quarantine(line, reason, detail)?;
                    }
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
}

fn make<'m, 'a>(
    made: &'m mut MadeCells<'a>,
    map: &'a FileMap,
    wanted: Option<&[bool]>,
    fields: &Fields,
    positions: &[Option<usize>],
) -> &'m MadeCells<'a> {
    if !map.derived.is_empty() {
        made.make(&map.derived, wanted, &map.slots, fields, positions, &map.layout.null);
    }
    made
}

fn cells<'r, 'a>(
    map: &'a FileMap,
    made: &'r MadeCells<'a>,
    fields: &'r Fields,
    positions: &'r [Option<usize>],
) -> Cells<'r, 'a> {
    Cells { slots: &map.slots, null: &map.layout.null, fields, positions, made }
}

/// Whether a record is made of the row at all.
fn wanted(row: &RowMap, cells: &Cells<'_, '_>) -> bool {
    let is = |(slot, texts): &(Slot, Vec<String>)| cells.get(*slot).is_some_and(|t| is_one_of(texts, t));
    let there = |slot: &Slot| cells.get(*slot).is_some();
    row.require.iter().all(there)
        && (row.require_any.is_empty() || row.require_any.iter().any(there))
        && row.only.iter().all(is)
        && !row.except.iter().any(is)
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
        Table::ObservationPeriod => {
            record.set("basis", "enrolment");
        }
        _ => {}
    }
}
