//! Columns that a file does not have and its mapping makes: a part of a cell, cells together, a cell of a lookup.

use std::collections::HashMap;
use std::sync::Arc;

use super::columns::{Columns, Origin, Slot, Slots};
use super::lookup::{Lookup, push_key};
use super::rows::Fields;
use super::toml_doc::{Section, Text};
use crate::sink::AdapterError;

/// What a made column is made of.
pub(crate) struct Derive {
    base: Base,
    steps: Steps,
}

pub(crate) enum Base {
    Column(Slot),
    /// The first of them that is not null.
    First(Vec<Slot>),
    /// All of them that are not null, with a text between; null where the first is.
    Join(Vec<Slot>, String),
    /// A cell of a lookup, by its number and its column's.
    Lookup {
        lookup: usize,
        keys: Vec<Slot>,
        column: usize,
    },
    Constant(String),
}

/// What is done to the text, in this order.
#[derive(Default)]
struct Steps {
    null: Vec<String>,
    before: Option<String>,
    after: Option<String>,
    last: Option<String>,
    like: Vec<String>,
    token: bool,
    case: Option<Case>,
    map: Option<HashMap<String, String>>,
    keep_unmapped: bool,
    dots: Option<Dots>,
    prefix: Option<String>,
    present: Option<String>,
}

#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

/// Where a code that was written without its dot has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dots {
    /// ICD-9-CM diagnoses: behind the third character, behind the fourth in an E code.
    Icd9Cm,
    /// ICD-9-CM procedures: behind the second.
    Icd9Proc,
    /// ICD-10 diagnoses: behind the third.
    Icd10,
}

/// A longer text is no code.
const LONGEST_TOKEN: usize = 64;

/// Whether a text has a form: `#` stands for a digit, `@` for a letter, `*` at the end for anything.
fn like(form: &str, text: &str) -> bool {
    let mut rest = text.chars();
    for wanted in form.chars() {
        let fits = match (wanted, rest.next()) {
            ('*', _) => return true,
            ('#', Some(c)) => c.is_ascii_digit(),
            ('@', Some(c)) => c.is_ascii_alphabetic(),
            (c, Some(d)) => c == d,
            (_, None) => false,
        };
        if !fits {
            return false;
        }
    }
    rest.next().is_none()
}

impl Dots {
    /// Appends the code with its dot.
    fn write(self, code: &str, out: &mut String) {
        let at = match self {
            Dots::Icd9Cm if code.starts_with(['E', 'e']) => 4,
            Dots::Icd9Cm | Dots::Icd10 => 3,
            Dots::Icd9Proc => 2,
        };
        match code.split_at_checked(at) {
            Some((head, tail)) if !tail.is_empty() && !code.contains('.') => {
                out.push_str(head);
                out.push('.');
                out.push_str(tail);
            }
            _ => out.push_str(code),
        }
    }
}

const KEYS: &[&str] = &[
    "column", "first", "join", "with", "lookup", "key", "constant", "null", "before", "after", "last", "like", "token",
    "case", "map", "unmapped", "dots", "prefix", "present",
];

impl Derive {
    /// The lookup that it reads.
    pub(crate) fn lookup(&self) -> Option<usize> {
        match &self.base {
            Base::Lookup { lookup, .. } => Some(*lookup),
            _ => None,
        }
    }

    /// One cell of a lookup, as it is.
    pub(crate) fn looked_up(lookup: usize, keys: Vec<Slot>, column: usize) -> Derive {
        Derive { base: Base::Lookup { lookup, keys, column }, steps: Steps::default() }
    }

    pub(crate) fn parse<'d, 't>(
        section: Section<'d, 't>,
        columns: &mut Columns<'d, 't>,
    ) -> Result<Derive, AdapterError> {
        let section = section.only(KEYS)?;
        let base = base(&section, columns)?;
        let text = |key: &str| Ok::<_, AdapterError>(section.text(key)?.map(|t| t.text.to_owned()));
        let of = |key: &str, known: &[&str]| -> Result<Option<usize>, AdapterError> {
            let Some(t) = section.text(key)? else { return Ok(None) };
            match known.iter().position(|k| *k == t.text) {
                Some(at) => Ok(Some(at)),
                None => Err(section.doc.error(t.at, format!("{key} is one of: {}", known.join(", ")))),
            }
        };
        let map = match section.get("map") {
            None => None,
            Some(value) => {
                let mut map = HashMap::new();
                for (from, to) in columns.map(value)?.entries() {
                    map.insert(from.text.to_owned(), to.text(from.text)?.text.to_owned());
                }
                Some(map)
            }
        };
        let steps = Steps {
            null: section.texts("null")?.iter().map(|t| t.text.to_owned()).collect(),
            before: text("before")?,
            after: text("after")?,
            last: text("last")?,
            like: section.texts("like")?.iter().map(|t| t.text.to_owned()).collect(),
            token: section.flag("token", false)?,
            case: match of("case", &["lower", "upper"])? {
                None => None,
                Some(0) => Some(Case::Lower),
                Some(_) => Some(Case::Upper),
            },
            map,
            keep_unmapped: of("unmapped", &["null", "keep"])? == Some(1),
            dots: match of("dots", &["icd9cm", "icd9proc", "icd10"])? {
                None => None,
                Some(0) => Some(Dots::Icd9Cm),
                Some(1) => Some(Dots::Icd9Proc),
                Some(_) => Some(Dots::Icd10),
            },
            prefix: text("prefix")?,
            present: text("present")?,
        };
        Ok(Derive { base, steps })
    }
}

fn base<'d, 't>(section: &Section<'d, 't>, columns: &mut Columns<'d, 't>) -> Result<Base, AdapterError> {
    const REMEDY: &str = "a made column has one of column = \"...\", first = [...], join = [...], constant = \"...\", or lookup, \
                          key and column";
    let mut slots = |texts: Vec<Text<'_>>| -> Result<Vec<Slot>, AdapterError> {
        texts.into_iter().map(|t| columns.slot(t)).collect()
    };
    if let Some(name) = section.text("lookup")? {
        let keys = slots(section.one_or_more("key")?)?;
        let column = section.must("column")?;
        return columns.lookup_cell(name, keys, column);
    }
    let first = slots(section.texts("first")?)?;
    let join = slots(section.texts("join")?)?;
    match (section.text("column")?, section.text("constant")?, first.is_empty(), join.is_empty()) {
        (Some(column), None, true, true) => Ok(Base::Column(columns.slot(column)?)),
        (None, Some(text), true, true) => Ok(Base::Constant(text.text.to_owned())),
        (None, None, false, true) => Ok(Base::First(first)),
        (None, None, true, false) => Ok(Base::Join(join, section.text("with")?.map_or(" ", |t| t.text).to_owned())),
        _ => Err(section.doc.error(section.at, REMEDY)),
    }
}

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

fn field<'r>(fields: &'r Fields, position: Option<usize>, null: &[String]) -> Option<&'r str> {
    let text = fields.get(position?)?;
    (!text.is_empty() && !null.iter().any(|n| n == text)).then_some(text)
}

impl<'r> Cells<'r, '_> {
    /// The text of a column, `None` where it is null.
    pub(crate) fn get(&self, slot: Slot) -> Option<&'r str> {
        self.made.resolve(slot, self.slots, self.fields, self.positions, self.null)
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
                Origin::File => return field(fields, *positions.get(slot)?, null),
                Origin::Made(at) => match *self.cells.get(at)? {
                    Made::Null => return None,
                    Made::Same(other) => slot = other,
                    Made::Text(text) => return Some(text),
                    Made::Own(from, to) => return self.texts.get(from..to),
                },
            }
        }
    }

    /// Makes the cells of a row.
    pub(crate) fn make(
        &mut self,
        derived: &'t [Derive],
        slots: &Slots,
        fields: &Fields,
        positions: &[Option<usize>],
        null: &[String],
    ) {
        self.cells.clear();
        self.texts.clear();
        let mut last = None;
        for derive in derived {
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

enum Stepped<'t> {
    Null,
    Same,
    Text(&'t str),
    /// What was written.
    Own,
}

impl Steps {
    fn apply<'t>(&'t self, whole: &str, out: &mut String) -> Stepped<'t> {
        if self.null.iter().any(|n| n == whole) {
            return Stepped::Null;
        }
        let mut text = whole;
        if let Some(mark) = &self.before {
            match text.split_once(mark.as_str()) {
                Some((head, _)) => text = head.trim(),
                None => return Stepped::Null,
            }
        }
        if let Some(mark) = &self.after {
            match text.split_once(mark.as_str()) {
                Some((_, tail)) => text = tail.trim(),
                None => return Stepped::Null,
            }
        }
        if let Some(mark) = &self.last {
            match text.rsplit_once(mark.as_str()) {
                Some((_, tail)) => text = tail.trim(),
                None => return Stepped::Null,
            }
        }
        let odd = self.token && (text.len() > LONGEST_TOKEN || text.contains(char::is_whitespace));
        if text.is_empty() || odd || !(self.like.is_empty() || self.like.iter().any(|p| like(p, text))) {
            return Stepped::Null;
        }
        let cased;
        match self.case {
            None => {}
            Some(case) => {
                cased = match case {
                    Case::Lower => text.to_lowercase(),
                    Case::Upper => text.to_uppercase(),
                };
                text = &cased;
            }
        }
        if let Some(map) = &self.map {
            match map.get(text) {
                Some(to) => return Stepped::Text(to),
                None if !self.keep_unmapped => return Stepped::Null,
                None => {}
            }
        }
        if let Some(present) = &self.present {
            return Stepped::Text(present);
        }
        if let Some(prefix) = &self.prefix {
            out.push_str(prefix);
        }
        match self.dots {
            Some(dots) => dots.write(text, out),
            None if self.prefix.is_none() && text.len() == whole.len() && self.case.is_none() => return Stepped::Same,
            None => out.push_str(text),
        }
        Stepped::Own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (form, text, fits) in [
            ("###*", "401.9", true),
            ("###*", "401", true),
            ("###*", "40", false),
            ("E###*", "E878.8", true),
            ("E###*", "E11.9", false),
            ("@##.*", "E11.9", true),
            ("@##", "I10", true),
            ("@##", "I101", false),
        ] {
            assert_eq!(like(form, text), fits, "{form} {text}");
        }
    }

    #[test]
    fn dots_stand_where_the_classification_has_them() {
        for (dots, code, want) in [
            (Dots::Icd9Cm, "42731", "427.31"),
            (Dots::Icd9Cm, "486", "486"),
            (Dots::Icd9Cm, "V5861", "V58.61"),
            (Dots::Icd9Cm, "E8788", "E878.8"),
            (Dots::Icd9Cm, "427.31", "427.31"),
            (Dots::Icd9Proc, "3605", "36.05"),
            (Dots::Icd10, "I2510", "I25.10"),
            (Dots::Icd10, "I10", "I10"),
            (Dots::Icd10, "é", "é"),
        ] {
            let mut out = String::new();
            dots.write(code, &mut out);
            assert_eq!(out, want);
        }
    }
}
