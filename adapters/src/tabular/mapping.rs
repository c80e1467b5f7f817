//! The mapping language: which file, which columns, which table; read from TOML and checked before any data.

use std::collections::HashMap;

use schema::Table;
use toml::de::DeTable;

use super::columns::{Columns, Slot, Slots};
use super::derive::Derive;
use super::layout::{self, Layout, character, glob};
use super::lookup::LookupDef;
use super::number::Numbers;
use super::setters::{self, Scope, Setter, Target};
use super::toml_doc::{Doc, Section, Text};
use crate::sink::AdapterError;
use crate::time::DateFormat;

/// A checked mapping.
pub(crate) struct Mapping {
    pub(crate) name: String,
    pub(crate) files: Vec<FileMap>,
    pub(crate) lookups: Vec<LookupDef>,
}

/// How files of one kind are read.
pub(crate) struct FileMap {
    pub(crate) layout: Layout,
    pub(crate) numbers: Numbers,
    pub(crate) dates: Vec<DateFormat>,
    /// Whether a time at midnight is a day, as in OMOP.
    pub(crate) midnight_is_day: bool,
    /// Columns that the file may lack; all but those of the person and of identities, where it says `*`.
    optional: Vec<String>,
    pub(crate) person: Person,
    pub(crate) rows: Vec<RowMap>,
    /// Every column that the mapping reads; a [`Slot`] counts into it.
    pub(crate) slots: Slots,
    /// What the mapping makes, in the order in which it can be made.
    pub(crate) derived: Vec<Derive>,
}

impl FileMap {
    /// Whether it names linkage ids.
    pub(crate) fn links(&self) -> bool {
        self.rows.iter().flat_map(|r| &r.setters).any(|s| s.target == Target::Linkage)
    }

    /// A column as a message names it: one that the mapping makes with those of the file that it is made of.
    pub(crate) fn column(&self, slot: Slot) -> String {
        let name = self.slots.name(slot);
        match self.slots.origin(slot) {
            Some(super::columns::Origin::Made(_)) => {
                let of: Vec<String> =
                    self.slots.sources(slot, &self.derived).iter().map(|name| format!("\"{name}\"")).collect();
                format!("\"{name}\", made of {}", of.join(", "))
            }
            _ => format!("\"{name}\""),
        }
    }

    /// The columns that a column is the first of, where nothing else is done to it; else none.
    pub(crate) fn alternatives(&self, slot: Slot) -> &[Slot] {
        match self.slots.origin(slot) {
            Some(super::columns::Origin::Made(at)) => {
                self.derived.get(at).map_or(&[], super::derive::Derive::alternatives)
            }
            _ => &[],
        }
    }

    /// Whether it reads a cell of a lookup, by the lookup's number.
    pub(crate) fn reads_lookup(&self, lookup: usize) -> bool {
        self.derived.iter().any(|d| d.lookup() == Some(lookup))
    }

    /// Whether it reads a column of the file.
    pub(crate) fn reads(&self, column: &str) -> bool {
        let mut all = self.slots.all().iter();
        all.any(|(name, _, origin)| *origin == super::columns::Origin::File && self.layout.same(name, column))
    }

    /// Whether the file may lack a column.
    pub(crate) fn optional(&self, slot: Slot) -> bool {
        let name = self.slots.name(slot);
        let needed = matches!(self.person, Person::Column(p) if p == slot)
            || self.rows.iter().any(|r| r.written_id.contains(&slot));
        self.optional.iter().any(|o| self.layout.same(o, name) || (o == "*" && !needed))
    }
}

/// Whose row it is.
pub(crate) enum Person {
    /// The person's identifier stands in a column.
    Column(Slot),
    /// Every row is a person of its own, known by the file's name and the row's number.
    RowNumber,
}

/// What one source row becomes in one table.
pub(crate) struct RowMap {
    pub(crate) table: Table,
    /// Columns without which there is no record.
    pub(crate) require: Vec<Slot>,
    /// Columns of which at least one must be there, if there are any.
    pub(crate) require_any: Vec<Slot>,
    /// The record is made only where the column holds one of the texts.
    pub(crate) only: Vec<(Slot, Vec<String>)>,
    /// No record is made where the column holds one of the texts.
    pub(crate) except: Vec<(Slot, Vec<String>)>,
    /// The columns that make the record's identity.
    pub(crate) id: Vec<Slot>,
    /// Those of them that the mapping names itself.
    written_id: Vec<Slot>,
    /// Whether rows of one identity are so many records.
    pub(crate) repeats: bool,
    /// Whether a visit without an end is still going on.
    pub(crate) may_be_open: bool,
    /// What keeps the records of this file's kind apart from those of others with the same identity.
    pub(crate) apart: Option<String>,
    /// A constant code, which is part of the identity too, so that a wide row's records stay apart.
    pub(crate) constant_code: String,
    pub(crate) setters: Vec<Setter>,
}

const TOP: &[&str] = &["format", "file", "lookup", "anchor", "map"];
const FILE: &[&str] = &["match", "header", "columns", "person", "row", "column", "optional"];
/// Keys of a file that may stand at the top for all files, beside those of the layout.
const SHARED: &[&str] = &["decimal", "thousands", "dates", "midnight", "separate_files"];
const ROW: &[&str] = &["table", "require", "require_any", "only", "except", "id", "repeats", "may_be_open", "set"];

impl Mapping {
    /// Reads a mapping of one of these formats.
    pub(crate) fn parse(text: &str, name: &str, formats: &[&str]) -> Result<Mapping, AdapterError> {
        let doc = Doc { name, text };
        let table = DeTable::parse(text)
            .map_err(|e| doc.error(e.span().map_or(0, |s| s.start), format!("not TOML: {}", e.message())))?;
        let known: Vec<&str> = [TOP, SHARED, layout::KEYS].concat();
        let top = Section::open(doc, table.get_ref(), 0).only(&known)?;
        let format = top.must("format")?;
        if !formats.contains(&format.text) {
            let formats = formats.iter().map(|f| format!("\"{f}\"")).collect::<Vec<_>>().join(" or ");
            return Err(doc.error(format.at, format!("format is {formats} here, as in the source")));
        }
        let mut lookups = Vec::new();
        for (name, section) in top.named("lookup")? {
            lookups.push(LookupDef::parse(name, section, &top)?);
        }
        let sections = top.tables("file")?;
        if sections.is_empty() {
            return Err(doc.error(0, "there is no [[file]]; add one for each kind of file"));
        }
        let mut files = Vec::new();
        for section in sections {
            files.push(file(section, &top, &mut lookups)?);
        }
        Ok(Mapping { name: name.to_owned(), files, lookups })
    }

    /// The mapping of a file, by its name; the first that fits.
    pub(crate) fn file(&self, path: &str) -> Option<&FileMap> {
        self.files.iter().find(|f| f.layout.fits(path))
    }
}

fn file<'d, 't>(
    section: Section<'d, 't>,
    top: &Section<'d, 't>,
    lookups: &mut Vec<LookupDef>,
) -> Result<FileMap, AdapterError> {
    let known: Vec<&str> = [FILE, SHARED, layout::KEYS].concat();
    let section = section.only(&known)?;
    let doc = section.doc;
    let layout = Layout::parse(&section, top)?;
    let from = |key: &str| if section.get(key).is_some() { &section } else { top };
    let dates = from("dates")
        .texts("dates")?
        .iter()
        .map(|t| DateFormat::new(t.text).map_err(|message| doc.error(t.at, message)))
        .collect::<Result<Vec<_>, _>>()?;
    let midnight_is_day = match from("midnight").text("midnight")? {
        None => false,
        Some(t) if t.text == "time" => false,
        Some(t) if t.text == "day" => true,
        Some(t) => return Err(doc.error(t.at, "midnight is \"day\" (no time of day is known) or \"time\"")),
    };
    let decimal = character(from("decimal"), "decimal")?.unwrap_or('.');
    let thousands = character(from("thousands"), "thousands")?;
    if thousands == Some(decimal) || !matches!(decimal, '.' | ',') {
        return Err(doc.error(section.at, "decimal is \".\" or \",\", and thousands is another character"));
    }
    let mut columns = Columns::new(doc, section.named("column")?, lookups, top.named("map")?);
    let person = person(&section, &mut columns)?;
    let rows = section.tables("row")?;
    if rows.is_empty() {
        return Err(doc.error(section.at, "there is no [[file.row]]; add one for each record that a row becomes"));
    }
    let apart = match from("separate_files").flag("separate_files", false)? {
        true => section.one_or_more("match")?.first().map(|t| t.text.to_owned()),
        false => None,
    };
    let scope = Scope { anchors: top.named("anchor")?, has_dates: !dates.is_empty() };
    let rows = rows.into_iter().map(|r| row(r, &scope, apart.as_deref(), &mut columns)).collect::<Result<_, _>>()?;
    if let Some(unused) = columns.unused() {
        return Err(doc.error(unused.at, format!("column \"{}\" is made, and nothing reads it", unused.text)));
    }
    columns.slots.mark_whole(|name| layout.is_whole(name));
    let optional = section.texts("optional")?.iter().map(|t| t.text.to_owned()).collect();
    let map = FileMap {
        layout,
        numbers: Numbers { decimal, thousands },
        dates,
        midnight_is_day,
        optional,
        person,
        rows,
        slots: columns.slots,
        derived: columns.derived,
    };
    if !map.layout.header {
        let names = &map.layout.columns;
        let absent = |name: &str| !names.iter().any(|n| map.layout.same(n, name));
        let file = super::columns::Origin::File;
        if let Some((name, line, _)) = map.slots.all().iter().find(|(name, _, origin)| *origin == file && absent(name))
        {
            let message = format!("column \"{name}\" is not in columns; there are: {}", names.join(", "));
            return Err(AdapterError::Mapping { file: doc.name.to_owned(), line: *line, message });
        }
    }
    Ok(map)
}

fn person<'d, 't>(section: &Section<'d, 't>, columns: &mut Columns<'d, 't>) -> Result<Person, AdapterError> {
    const REMEDY: &str = "person is { column = \"...\" } or { row_number = true }";
    let Some(value) = section.get("person") else { return Err(section.doc.error(section.at, REMEDY)) };
    let table = value.table("person")?.only(&["column", "row_number"])?;
    match (table.text("column")?, table.flag("row_number", false)?) {
        (Some(column), false) => Ok(Person::Column(columns.slot(column)?)),
        (None, true) => Ok(Person::RowNumber),
        _ => Err(value.error(REMEDY)),
    }
}

/// Columns, each with the texts that it is compared with.
fn conditions<'d, 't>(
    section: &Section<'d, 't>,
    key: &str,
    columns: &mut Columns<'d, 't>,
) -> Result<Vec<(Slot, Vec<String>)>, AdapterError> {
    let mut out = Vec::new();
    if let Some(value) = section.get(key) {
        for (column, texts) in value.table(key)?.entries() {
            let texts = texts.texts(column.text)?.iter().map(|t| t.text.to_owned()).collect();
            out.push((columns.slot(column)?, texts));
        }
    }
    Ok(out)
}

/// Whether a cell is one of the texts, of which some may hold `*`.
pub(crate) fn is_one_of(texts: &[String], cell: &str) -> bool {
    texts.iter().any(|t| if t.contains('*') { glob(t, cell) } else { t == cell })
}

fn row<'d, 't>(
    section: Section<'d, 't>,
    scope: &Scope<'d, 't>,
    apart: Option<&str>,
    columns: &mut Columns<'d, 't>,
) -> Result<RowMap, AdapterError> {
    let section = section.only(ROW)?;
    let doc = section.doc;
    let name = section.must("table")?;
    let known = || Table::MAPPED.map(Table::name).join(", ");
    let table = Table::parse(name.text)
        .filter(|t| Table::MAPPED.contains(t))
        .ok_or_else(|| doc.error(name.at, format!("table \"{}\" is not known; there are: {}", name.text, known())))?;
    let mut named = |texts: Vec<Text<'_>>| -> Result<Vec<Slot>, AdapterError> {
        texts.into_iter().map(|t| columns.slot(t)).collect()
    };
    let require = named(section.texts("require")?)?;
    let require_any = named(section.texts("require_any")?)?;
    let written_id = named(section.texts("id")?)?;
    let only = conditions(&section, "only", columns)?;
    let except = conditions(&section, "except", columns)?;
    let set = match section.get("set") {
        Some(value) => Some(value.table("set")?),
        None => None,
    };
    let setters = setters::parse(table, section.at, set, scope, columns)?;
    let id = match written_id.is_empty() {
        true => setters.iter().flat_map(Setter::slots).collect(),
        false => written_id.clone(),
    };
    let constant_code = setters::constant_code(&setters).to_owned();
    let repeats = section.flag("repeats", false)?;
    let may_be_open = section.flag("may_be_open", true)?;
    Ok(RowMap {
        apart: apart.map(str::to_owned),
        table,
        require,
        require_any,
        only,
        except,
        id,
        written_id,
        repeats,
        may_be_open,
        constant_code,
        setters,
    })
}

/// The `map` of a column.
pub(crate) type ValueMap = HashMap<String, String>;

#[cfg(test)]
mod tests;
