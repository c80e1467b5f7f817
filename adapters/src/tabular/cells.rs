//! The cells of a row: those of the file, and those that the mapping makes of them.

use std::sync::Arc;

use super::columns::{Origin, Slot, Slots};
use super::derive::{Base, Derive};
use super::layout::whole;
use super::lookup::{Lookup, push_key};
use super::rows::Fields;
use super::steps::Stepped;

/// A made cell.
#[derive(Clone, Copy)]
enum Made<'t> {
    Null,
    /// As another column has it.
    Same(Slot),
    /// A text of the mapping or of a lookup.
    Text(&'t str),
    /// A stretch of the row's own texts.
    Own(usize, usize),
}

/// What was looked up last in a row.
#[derive(Clone, Copy)]
struct Found {
    lookup: usize,
    key: Slot,
    row: Option<u32>,
}

/// The cells that a row's mapping makes. The buffers serve one row after the other.
pub(crate) struct MadeCells<'t> {
    lookups: &'t [Arc<Lookup>],
    cells: Vec<Made<'t>>,
    texts: String,
    work: String,
}

/// One source row: its fields, and the cells made of them.
pub(crate) struct Cells<'r, 't> {
    pub(crate) slots: &'t Slots,
    pub(crate) null: &'t [String],
    pub(crate) fields: &'r Fields,
    pub(crate) positions: &'r [Option<usize>],
    pub(crate) made: &'r MadeCells<'t>,
}

fn field<'r>(fields: &'r Fields, position: Option<usize>, is_whole: bool, null: &[String]) -> Option<&'r str> {
    let mut text = fields.get(position?)?;
    if is_whole {
        text = whole(text);
    }
    (!text.is_empty() && !null.iter().any(|n| n == text)).then_some(text)
}

impl<'r> Cells<'r, '_> {
    /// The text of a column, `None` where it is null.
    pub(crate) fn get(&self, slot: Slot) -> Option<&'r str> {
        self.made.resolve(slot, self.slots, self.fields, self.positions, self.null)
    }

    /// The text of a column of the file as it stands, null or not; `None` where the file lacks it.
    pub(crate) fn raw(&self, slot: Slot) -> Option<&'r str> {
        self.fields.get((*self.positions.get(slot)?)?)
    }
}

impl<'t> MadeCells<'t> {
    pub(crate) fn new(lookups: &'t [Arc<Lookup>]) -> MadeCells<'t> {
        MadeCells { lookups, cells: Vec::new(), texts: String::new(), work: String::new() }
    }

    fn resolve<'r>(
        &'r self,
        slot: Slot,
        slots: &Slots,
        fields: &'r Fields,
        positions: &[Option<usize>],
        null: &[String],
    ) -> Option<&'r str> {
        let mut slot = slot;
        // A made column is made of columns before it, so that this ends.
        loop {
            match slots.origin(slot)? {
                Origin::File => return field(fields, *positions.get(slot)?, slots.is_whole(slot), null),
                Origin::Made(at) => match *self.cells.get(at)? {
                    Made::Null => return None,
                    Made::Same(other) => slot = other,
                    Made::Text(text) => return Some(text),
                    Made::Own(from, to) => return self.texts.get(from..to),
                },
            }
        }
    }

    /// Makes the cells of a row; those that are not wanted are null.
    pub(crate) fn make(
        &mut self,
        derived: &'t [Derive],
        wanted: Option<&[bool]>,
        slots: &Slots,
        fields: &Fields,
        positions: &[Option<usize>],
        null: &[String],
    ) {
        self.cells.clear();
        self.texts.clear();
        let mut last = None;
        for (at, derive) in derived.iter().enumerate() {
            if wanted.is_some_and(|w| w.get(at) != Some(&true)) {
                self.cells.push(Made::Null);
                continue;
            }
            let mut work = std::mem::take(&mut self.work);
            work.clear();
            let made = self.one(derive, slots, fields, positions, null, &mut work, &mut last);
            let made = match made {
                Made::Own(..) => {
                    let from = self.texts.len();
                    self.texts.push_str(&work);
                    Made::Own(from, self.texts.len())
                }
                other => other,
            };
            self.work = work;
            self.cells.push(made);
        }
    }

    /// One cell; `Made::Own` says that its text is in `work`.
    #[allow(clippy::too_many_arguments)]
    fn one(
        &self,
        derive: &'t Derive,
        slots: &Slots,
        fields: &Fields,
        positions: &[Option<usize>],
        null: &[String],
        work: &mut String,
        last: &mut Option<Found>,
    ) -> Made<'t> {
        let get = |slot: Slot| self.resolve(slot, slots, fields, positions, null);
        let (text, plain) = match &derive.base {
            Base::Column(slot) => (get(*slot), Made::Same(*slot)),
            Base::First(of) => match of.iter().find(|slot| get(**slot).is_some()) {
                Some(slot) => (get(*slot), Made::Same(*slot)),
                None => return Made::Null,
            },
            Base::Constant(text) => (Some(text.as_str()), Made::Text(text)),
            Base::Lookup { lookup, keys, column } => {
                let Some(table) = self.lookups.get(*lookup) else { return Made::Null };
                let row = match keys.as_slice() {
                    // Columns of one key mostly stand together.
                    [one] if last.is_some_and(|l| (l.lookup, l.key) == (*lookup, *one)) => last.and_then(|l| l.row),
                    [one] => {
                        let row = get(*one).and_then(|key| table.row(key));
                        *last = Some(Found { lookup: *lookup, key: *one, row });
                        row
                    }
                    many => {
                        for slot in many {
                            match get(*slot) {
                                Some(part) => push_key(work, part),
                                None => return Made::Null,
                            }
                        }
                        let row = table.row(work);
                        work.clear();
                        row
                    }
                };
                let found = row.and_then(|row| table.cell(row, *column));
                match found {
                    Some(text) => (Some(text), Made::Text(text)),
                    None => return Made::Null,
                }
            }
            Base::Join(of, with) => {
                for (i, slot) in of.iter().enumerate() {
                    match get(*slot) {
                        Some(part) => {
                            if i > 0 {
                                work.push_str(with);
                            }
                            work.push_str(part);
                        }
                        None if i == 0 => return Made::Null,
                        None => {}
                    }
                }
                let joined = std::mem::take(work);
                return match derive.steps.apply(&joined, work) {
                    Stepped::Null => Made::Null,
                    Stepped::Text(text) => Made::Text(text),
                    Stepped::Own => Made::Own(0, 0),
                    Stepped::Same => {
                        *work = joined;
                        Made::Own(0, 0)
                    }
                };
            }
        };
        let Some(text) = text else { return Made::Null };
        match derive.steps.apply(text, work) {
            Stepped::Null => Made::Null,
            Stepped::Same => plain,
            Stepped::Text(text) => Made::Text(text),
            Stepped::Own => Made::Own(0, 0),
        }
    }
}
