//! The mapping language: which file, which columns, which table; read from TOML and checked before any data.

use std::collections::HashMap;

use encoding_rs::Encoding;
use schema::Table;
use toml::de::DeTable;

use super::number::Numbers;
use super::setters::{self, Setter, Target};
use super::toml_doc::{Doc, Section, Text};
use crate::sink::AdapterError;
use crate::time::DateFormat;

/// A checked mapping.
pub(crate) struct Mapping {
    pub(crate) name: String,
    pub(crate) files: Vec<FileMap>,
}

/// How files of one kind are read.
pub(crate) struct FileMap {
    pub(crate) pattern: String,
    pub(crate) delimiter: char,
    pub(crate) quote: Option<char>,
    pub(crate) header: bool,
    /// The names of the columns, where the file has no header.
    pub(crate) columns: Vec<String>,
    pub(crate) encoding: &'static Encoding,
    pub(crate) numbers: Numbers,
    pub(crate) dates: Vec<DateFormat>,
    pub(crate) null: Vec<String>,
    pub(crate) person: Person,
    pub(crate) rows: Vec<RowMap>,
    /// Every column that the mapping reads; a [`Slot`] counts into it.
    pub(crate) slots: Slots,
}

/// A column that the mapping reads, as a place in [`FileMap::slots`].
pub(crate) type Slot = usize;

/// The columns that a file's mapping reads, each once, with the line that first names it.
#[derive(Default)]
pub(crate) struct Slots(pub(crate) Vec<(String, usize)>);

impl Slots {
    pub(crate) fn slot(&mut self, doc: Doc<'_>, column: Text<'_>) -> Slot {
        if let Some(at) = self.0.iter().position(|(name, _)| name == column.text) {
            return at;
        }
        self.0.push((column.text.to_owned(), doc.line(column.at)));
        self.0.len() - 1
    }

    /// The name of a slot's column.
    pub(crate) fn name(&self, slot: Slot) -> &str {
        self.0.get(slot).map_or("", |(name, _)| name)
    }
}

impl FileMap {
    /// Whether it names linkage ids.
    pub(crate) fn links(&self) -> bool {
        self.rows.iter().flat_map(|r| &r.setters).any(|s| s.target == Target::Linkage)
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
    /// The record is made only where the column holds one of the texts.
    pub(crate) only: Vec<(Slot, Vec<String>)>,
    /// The columns that make the record's identity.
    pub(crate) id: Vec<Slot>,
    /// A constant code, which is part of the identity too, so that a wide row's records stay apart.
    pub(crate) constant_code: String,
    pub(crate) setters: Vec<Setter>,
}

const TOP: &[&str] = &["format", "file"];
const FILE: &[&str] = &[
    "match",
    "delimiter",
    "quote",
    "header",
    "columns",
    "encoding",
    "decimal",
    "thousands",
    "dates",
    "null",
    "person",
    "row",
];
const ROW: &[&str] = &["table", "require", "only", "id", "set"];

impl Mapping {
    pub(crate) fn parse(text: &str, name: &str) -> Result<Mapping, AdapterError> {
        let doc = Doc { name, text };
        let table = DeTable::parse(text)
            .map_err(|e| doc.error(e.span().map_or(0, |s| s.start), format!("not TOML: {}", e.message())))?;
        let top = Section::open(doc, table.get_ref(), 0).only(TOP)?;
        let format = top.must("format")?;
        if format.text != "csv" {
            return Err(doc.error(format.at, "format is \"csv\" here"));
        }
        let files = top.tables("file")?;
        if files.is_empty() {
            return Err(doc.error(0, "there is no [[file]]; add one for each kind of file"));
        }
        let files = files.into_iter().map(file).collect::<Result<_, _>>()?;
        Ok(Mapping { name: name.to_owned(), files })
    }

    /// The mapping of a file, by its name without folders and without `.gz`; the first that matches.
    pub(crate) fn file(&self, path: &str) -> Option<&FileMap> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let bare = name.strip_suffix(".gz").unwrap_or(name);
        self.files.iter().find(|f| glob(&f.pattern, bare) || glob(&f.pattern, name))
    }
}

fn file(section: Section<'_, '_>) -> Result<FileMap, AdapterError> {
    let section = section.only(FILE)?;
    let doc = section.doc;
    let mut slots = Slots::default();
    let header = section.flag("header", true)?;
    let columns: Vec<String> = section.texts("columns")?.iter().map(|t| t.text.to_owned()).collect();
    if header != columns.is_empty() {
        let message = if header {
            "a file with a header has its names there; remove columns, or write header = false"
        } else {
            "a file without a header needs columns = [\"...\"], one name for each column"
        };
        return Err(doc.error(section.at, message));
    }
    if let Some(twice) = columns.iter().enumerate().find(|(i, c)| columns.iter().take(*i).any(|d| d == *c)) {
        return Err(doc.error(section.at, format!("columns names \"{}\" twice", twice.1)));
    }
    let dates = section
        .texts("dates")?
        .iter()
        .map(|t| DateFormat::new(t.text).map_err(|message| doc.error(t.at, message)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut null: Vec<String> = section.texts("null")?.iter().map(|t| t.text.to_owned()).collect();
    null.push(String::new());
    let person = person(&section, &mut slots)?;
    let rows = section.tables("row")?;
    if rows.is_empty() {
        return Err(doc.error(section.at, "there is no [[file.row]]; add one for each record that a row becomes"));
    }
    let rows = rows.into_iter().map(|r| row(r, &mut slots, !dates.is_empty())).collect::<Result<_, _>>()?;
    if !header && let Some((name, line)) = slots.0.iter().find(|(name, _)| !columns.contains(name)) {
        let message = format!("column \"{name}\" is not in columns; there are: {}", columns.join(", "));
        return Err(AdapterError::Mapping { file: doc.name.to_owned(), line: *line, message });
    }
    let decimal = character(&section, "decimal")?.unwrap_or('.');
    let thousands = character(&section, "thousands")?;
    if thousands == Some(decimal) || !matches!(decimal, '.' | ',') {
        return Err(doc.error(section.at, "decimal is \".\" or \",\", and thousands is another character"));
    }
    let delimiter = character(&section, "delimiter")?.unwrap_or(',');
    let quote = match section.text("quote")? {
        Some(t) if t.text.is_empty() => None,
        _ => Some(character(&section, "quote")?.unwrap_or('"')),
    };
    if quote == Some(delimiter) {
        return Err(doc.error(section.at, "delimiter and quote are the same character"));
    }
    Ok(FileMap {
        pattern: section.must("match")?.text.to_owned(),
        delimiter,
        quote,
        header,
        columns,
        encoding: encoding(&section)?,
        numbers: Numbers { decimal, thousands },
        dates,
        null,
        person,
        rows,
        slots,
    })
}

fn character(section: &Section<'_, '_>, key: &str) -> Result<Option<char>, AdapterError> {
    let Some(t) = section.text(key)? else { return Ok(None) };
    let mut chars = t.text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !matches!(c, '\n' | '\r' | '\0') => Ok(Some(c)),
        _ => Err(section.doc.error(t.at, format!("\"{key}\" is one character, such as \";\" or \"\\t\""))),
    }
}

fn encoding(section: &Section<'_, '_>) -> Result<&'static Encoding, AdapterError> {
    let Some(label) = section.text("encoding")? else { return Ok(encoding_rs::UTF_8) };
    Encoding::for_label(label.text.as_bytes()).ok_or_else(|| {
        let message = format!(
            "encoding \"{}\" is not known; write utf-8, windows-1252, iso-8859-15, utf-16le, or another WHATWG label",
            label.text
        );
        section.doc.error(label.at, message)
    })
}

fn person(section: &Section<'_, '_>, slots: &mut Slots) -> Result<Person, AdapterError> {
    const REMEDY: &str = "person is { column = \"...\" } or { row_number = true }";
    let Some(value) = section.get("person") else { return Err(section.doc.error(section.at, REMEDY)) };
    let table = value.table("person")?.only(&["column", "row_number"])?;
    match (table.text("column")?, table.flag("row_number", false)?) {
        (Some(column), false) => Ok(Person::Column(slots.slot(section.doc, column))),
        (None, true) => Ok(Person::RowNumber),
        _ => Err(value.error(REMEDY)),
    }
}

fn row(section: Section<'_, '_>, slots: &mut Slots, has_dates: bool) -> Result<RowMap, AdapterError> {
    let section = section.only(ROW)?;
    let doc = section.doc;
    let name = section.must("table")?;
    let sourced = || Table::SOURCED.map(Table::name).join(", ");
    let table = Table::parse(name.text)
        .filter(|t| Table::SOURCED.contains(t))
        .ok_or_else(|| doc.error(name.at, format!("table \"{}\" is not known; there are: {}", name.text, sourced())))?;
    let mut columns = |key: &str| -> Result<Vec<Slot>, AdapterError> {
        Ok(section.texts(key)?.into_iter().map(|t| slots.slot(doc, t)).collect())
    };
    let require = columns("require")?;
    let id = columns("id")?;
    let mut only = Vec::new();
    if let Some(value) = section.get("only") {
        for (column, texts) in value.table("only")?.entries() {
            let texts = texts.texts(column.text)?.iter().map(|t| t.text.to_owned()).collect();
            only.push((slots.slot(doc, column), texts));
        }
    }
    let set = match section.get("set") {
        Some(value) => Some(value.table("set")?),
        None => None,
    };
    let setters = setters::parse(table, section.at, set, doc, slots, has_dates)?;
    let id = if id.is_empty() { setters.iter().filter_map(Setter::slot).collect() } else { id };
    let constant_code = setters::constant_code(&setters).to_owned();
    Ok(RowMap { table, require, only, id, constant_code, setters })
}

/// Whether a name fits a pattern of `*` and `?`.
fn glob(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < n.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == '?' || Some(c) == n.get(j) => {
                i += 1;
                j += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    i = at + 1;
                    j = taken + 1;
                }
                None => return false,
            },
        }
    }
    p.iter().skip(i).all(|c| *c == '*')
}

/// The `map` of a column.
pub(crate) type ValueMap = HashMap<String, String>;

#[cfg(test)]
mod tests;
