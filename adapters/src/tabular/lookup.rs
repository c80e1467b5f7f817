//! Code dictionaries: a file of the extract that other files are read with, such as `CONCEPT.csv` or `d_labitems.csv`.
//!
//! A table is loaded once, whole, into two flat buffers and an index; a text that comes often is kept once. One that would
//! grow over its limit is refused, with what can be done.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::BufReader;

use hashbrown::HashTable;

use super::layout::{self, Layout, glob};
use super::rows::{self, Next, Opened};
use super::toml_doc::{Section, Text};
use crate::sink::{AdapterError, Neighbour, Place};

/// What a lookup may take of memory, in MiB, unless its mapping says more.
const LIMIT_MIB: usize = 256;
/// Texts of a column that are kept once.
const INTERNED: usize = 4096;

/// A lookup as the mapping describes it.
pub(crate) struct LookupDef {
    pub(crate) name: String,
    line: usize,
    layout: Layout,
    keys: Vec<String>,
    /// The columns that the mapping reads of it.
    columns: Vec<String>,
    /// Columns that the file may lack.
    optional: Vec<String>,
    /// Only rows whose column holds one of the texts are kept.
    only: Vec<(String, Vec<String>)>,
    required: bool,
    limit: usize,
}

const OWN_KEYS: &[&str] = &["match", "key", "optional", "only", "required", "limit_mib", "header", "columns"];

impl LookupDef {
    pub(crate) fn parse(
        name: Text<'_>,
        section: Section<'_, '_>,
        top: &Section<'_, '_>,
    ) -> Result<LookupDef, AdapterError> {
        let known: Vec<&str> = OWN_KEYS.iter().chain(layout::KEYS).copied().collect();
        let section = section.only(&known)?;
        let owned = |texts: Vec<Text<'_>>| texts.iter().map(|t| t.text.to_owned()).collect::<Vec<_>>();
        let keys = owned(section.one_or_more("key")?);
        if keys.is_empty() {
            return Err(section.doc.error(section.at, "a lookup needs key = \"...\", the column that it is found by"));
        }
        let mut only = Vec::new();
        if let Some(value) = section.get("only") {
            for (column, texts) in value.table("only")?.entries() {
                only.push((column.text.to_owned(), owned(texts.texts(column.text)?)));
            }
        }
        let limit = match section.text("limit_mib")? {
            None => LIMIT_MIB,
            Some(t) => t.text.parse().ok().filter(|n| (1..=65_536).contains(n)).ok_or_else(|| {
                section.doc.error(t.at, "limit_mib is a whole number of MiB in quotes, such as \"384\"")
            })?,
        };
        Ok(LookupDef {
            name: name.text.to_owned(),
            line: section.doc.line(name.at),
            layout: Layout::parse(&section, top)?,
            keys,
            columns: Vec::new(),
            optional: owned(section.texts("optional")?),
            only,
            required: section.flag("required", false)?,
            limit: limit * 1024 * 1024,
        })
    }

    /// How many columns its key has.
    pub(crate) fn key_width(&self) -> usize {
        self.keys.len()
    }

    /// The place of a column, which is read from now on.
    pub(crate) fn column(&mut self, name: &str) -> usize {
        if let Some(at) = self.columns.iter().position(|c| c == name) {
            return at;
        }
        self.columns.push(name.to_owned());
        self.columns.len() - 1
    }

    /// Whether a file is one of its.
    pub(crate) fn fits(&self, file: &str) -> bool {
        self.layout.fits(file)
    }

    /// Whether it reads a column.
    pub(crate) fn reads(&self, name: &str) -> bool {
        let mut all = self.keys.iter().chain(&self.columns).chain(self.only.iter().map(|(c, _)| c));
        all.any(|c| self.layout.same(c, name))
    }

    /// Loads it from its files, the first that names a key wins. Without any file it is empty, unless it is required.
    pub(crate) fn load(&self, mapping: &str, files: &[&Neighbour]) -> Result<Lookup, AdapterError> {
        let wrong = |message: String| AdapterError::Mapping { file: mapping.to_owned(), line: self.line, message };
        let mut out = Lookup::new(self.columns.len());
        if files.is_empty() && self.required {
            let names = self.layout.patterns.first().map_or("", String::as_str);
            return Err(wrong(format!(
                "lookup \"{}\" needs a file such as {names} in the source's folder, and there is none; put it there",
                self.name
            )));
        }
        for file in files {
            self.load_file(file, &mut out, &wrong)?;
        }
        Ok(out)
    }

    fn load_file(
        &self,
        file: &Neighbour,
        out: &mut Lookup,
        wrong: &dyn Fn(String) -> AdapterError,
    ) -> Result<(), AdapterError> {
        let io = |source| AdapterError::Io { file: file.name.clone(), source };
        let reader = match crate::open::reader(&file.path) {
            Ok(reader) => reader as Box<dyn std::io::BufRead>,
            Err(_) => Box::new(BufReader::new(File::open(&file.path).map_err(io)?)),
        };
        let place = Place { path: Some(&file.path), beside: &[] };
        let mut rows = match rows::open(reader, place, &self.layout, &|name| self.reads(name)).map_err(io)? {
            Opened::Rows(rows) => rows,
            Opened::Unreadable(detail) => {
                return Err(wrong(format!("lookup \"{}\", {}: {detail}", self.name, file.name)));
            }
        };
        let mut names: Option<Vec<String>> = match rows.columns() {
            Some(columns) => Some(columns.to_vec()),
            None if self.layout.header => None,
            None => Some(self.layout.columns.clone()),
        };
        let mut plan: Option<Plan> = None;
        let mut width = 0;
        let mut key = String::new();
        loop {
            match rows.advance().map_err(io)? {
                Next::End => break,
                Next::Bad(line, reason, _) => out.fault(&file.name, line, reason.code()),
                Next::Row(line) => {
                    let fields = rows.fields();
                    if names.is_none() {
                        names = Some((0..fields.len()).filter_map(|i| fields.get(i)).map(str::to_owned).collect());
                        continue;
                    }
                    let plan = match &plan {
                        Some(plan) => plan,
                        None => {
                            let names = names.as_deref().unwrap_or_default();
                            width = names.len();
                            plan.insert(self.plan(names, &file.name, wrong)?)
                        }
                    };
                    if fields.len() != width {
                        out.fault(&file.name, line, "wrong_columns");
                        continue;
                    }
                    let cell = |at: usize| fields.get(at).filter(|t| !self.layout.null.iter().any(|n| n == t));
                    let kept =
                        plan.only.iter().all(|(at, texts)| cell(*at).is_some_and(|t| texts.iter().any(|o| glob(o, t))));
                    if !kept {
                        continue;
                    }
                    key.clear();
                    let mut whole = true;
                    for (at, is_whole) in &plan.keys {
                        match cell(*at) {
                            Some(text) => push_key(&mut key, if *is_whole { layout::whole(text) } else { text }),
                            None => whole = false,
                        }
                    }
                    if whole {
                        out.insert(&key, plan.columns.iter().map(|at| at.and_then(cell)));
                    }
                    if out.memory() > self.limit {
                        return Err(wrong(format!(
                            "lookup \"{}\" is over {} MiB with {}; keep fewer rows with only = {{ ... }}, or raise limit_mib",
                            self.name,
                            self.limit / 1024 / 1024,
                            file.name
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    fn plan(&self, names: &[String], file: &str, wrong: &dyn Fn(String) -> AdapterError) -> Result<Plan, AdapterError> {
        let find = |column: &String| names.iter().position(|n| self.layout.same(n, column));
        let must = |column: &String| {
            find(column).ok_or_else(|| {
                wrong(format!(
                    "lookup \"{}\": column \"{column}\" is not among the {} columns of {file}; compare the names and the \
                     delimiter",
                    self.name,
                    names.len()
                ))
            })
        };
        let maybe = |column: &String| match self.optional.contains(column) {
            true => Ok(find(column)),
            false => must(column).map(Some),
        };
        Ok(Plan {
            keys: self
                .keys
                .iter()
                .map(|k| Ok((must(k)?, self.layout.is_whole(k))))
                .collect::<Result<_, AdapterError>>()?,
            columns: self.columns.iter().map(maybe).collect::<Result<_, _>>()?,
            only: self.only.iter().map(|(c, t)| Ok((must(c)?, t.clone()))).collect::<Result<_, AdapterError>>()?,
        })
    }
}

/// Where a file has what is read of it.
struct Plan {
    /// Each with whether it holds whole numbers.
    keys: Vec<(usize, bool)>,
    columns: Vec<Option<usize>>,
    only: Vec<(usize, Vec<String>)>,
}

/// Adds one part to a key of several columns.
pub(crate) fn push_key(key: &mut String, part: &str) {
    if !key.is_empty() {
        key.push('\u{1f}');
    }
    key.push_str(part);
}

/// A stretch of the texts.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

const NONE: Span = Span { start: 0, length: u32::MAX };

/// A loaded lookup.
pub(crate) struct Lookup {
    width: usize,
    hasher: RandomState,
    index: HashTable<u32>,
    texts: String,
    /// For each row the key, then the columns.
    spans: Vec<Span>,
    interned: Vec<HashMap<String, Span>>,
    faults: u64,
    first_fault: Option<String>,
}

impl Lookup {
    fn new(width: usize) -> Lookup {
        Lookup {
            width,
            hasher: RandomState::new(),
            index: HashTable::new(),
            texts: String::new(),
            spans: Vec::new(),
            interned: (0..width).map(|_| HashMap::new()).collect(),
            faults: 0,
            first_fault: None,
        }
    }

    /// One without rows.
    pub(crate) fn none() -> Lookup {
        Lookup::new(0)
    }

    fn fault(&mut self, file: &str, line: u64, what: &str) {
        self.faults += 1;
        self.first_fault.get_or_insert_with(|| format!("{file}, line {line}: {what}"));
    }

    /// Rows of its files that could not be read: how many, and the first.
    pub(crate) fn faults(&self) -> Option<(u64, &str)> {
        self.first_fault.as_deref().map(|first| (self.faults, first))
    }

    fn memory(&self) -> usize {
        self.texts.capacity() + self.spans.capacity() * 8 + self.index.capacity() * 5
    }

    fn text(&self, span: Span) -> Option<&str> {
        if span.length == u32::MAX {
            return None;
        }
        let start = span.start as usize;
        self.texts.get(start..start.checked_add(span.length as usize)?)
    }

    fn span(&self, row: u32, column: usize) -> Span {
        self.spans.get(row as usize * (self.width + 1) + column).copied().unwrap_or(NONE)
    }

    /// Keeps a text; `None` where the buffer's four gigabytes are full.
    fn keep(texts: &mut String, text: &str) -> Span {
        match (u32::try_from(texts.len()), u32::try_from(text.len())) {
            (Ok(start), Ok(length)) => {
                texts.push_str(text);
                Span { start, length }
            }
            _ => NONE,
        }
    }

    fn insert<'t>(&mut self, key: &str, columns: impl Iterator<Item = Option<&'t str>>) {
        let hash = self.hasher.hash_one(key);
        if self.find_row(hash, key).is_some() {
            return;
        }
        let Ok(row) = u32::try_from(self.spans.len() / (self.width + 1)) else { return };
        let span = Lookup::keep(&mut self.texts, key);
        self.spans.push(span);
        for (text, interned) in columns.zip(&mut self.interned) {
            let span = match text {
                None => NONE,
                Some(text) => match interned.get(text) {
                    Some(span) => *span,
                    None => {
                        let span = Lookup::keep(&mut self.texts, text);
                        if interned.len() < INTERNED {
                            interned.insert(text.to_owned(), span);
                        }
                        span
                    }
                },
            };
            self.spans.push(span);
        }
        let Lookup { index, spans, texts, hasher, width, .. } = self;
        let key_of = |row: &u32| -> u64 {
            let span = spans.get(*row as usize * (*width + 1)).copied().unwrap_or(NONE);
            let start = span.start as usize;
            hasher.hash_one(texts.get(start..start.saturating_add(span.length as usize)).unwrap_or(""))
        };
        index.insert_unique(hash, row, key_of);
    }

    fn find_row(&self, hash: u64, key: &str) -> Option<u32> {
        self.index.find(hash, |row| self.text(self.span(*row, 0)) == Some(key)).copied()
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &str) -> Option<u32> {
        self.find_row(self.hasher.hash_one(key), key)
    }

    /// The text of a row's column.
    pub(crate) fn cell(&self, row: u32, column: usize) -> Option<&str> {
        self.text(self.span(row, column + 1))
    }
}

#[cfg(test)]
mod tests;
