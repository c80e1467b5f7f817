//! What an ingestion would make of the sources, without making it: nothing is written, no key is made or used.

use std::collections::BTreeMap;

use adapters::{Adapter, AdapterError, Context, Extract, Place, Quarantined, Sink};
use platform::{Clock, Entropy};
use schema::record::{Cell, Pseudonyms};
use schema::{Record, Table};
use serde::Serialize;

use super::ingest::OpenSource;
use super::{LakeError, data_error};
use crate::config::{Config, Source};

/// Why an item would be rejected: how many, and the first.
#[derive(Clone, Debug, Serialize)]
pub struct Rejected {
    /// How many items.
    pub items: u64,
    /// The line of the first.
    pub line: u64,
    /// Its field and the remedy. Never a value.
    pub detail: String,
}

/// How many have something that is understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Understood {
    /// It is there and understood.
    pub known: u64,
    /// It is there and not understood: it is kept as it is, and no study can use it.
    pub unknown: u64,
    /// It is not there.
    pub missing: u64,
}

/// What a file would become.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileRehearsal {
    /// The source.
    pub source: String,
    /// The file, relative to it.
    pub file: String,
    /// Whether it was read to its end.
    pub whole: bool,
    /// Why it can't be read at all, or that nothing of it was taken.
    pub failed: Option<String>,
    /// Rows that were taken, also those that take others back.
    #[serde(skip)]
    taken: u64,
    /// Records, by table.
    pub records: BTreeMap<&'static str, u64>,
    /// Items that were understood and have no place in the schema, of a file that was read to its end.
    pub skipped: u64,
    /// The same by their kind, where they have one: a type of resource, or of message.
    pub left_out: BTreeMap<String, u64>,
    /// Items that would be rejected, by reason.
    pub rejected: BTreeMap<&'static str, Rejected>,
    /// Codes of records: of a code system that is known here, of another, or none.
    pub codes: Understood,
    /// Units of numbers: a unit of UCUM, another text, or none.
    pub units: Understood,
    /// Columns of the file that the mapping does not read.
    pub unread: Vec<String>,
}

/// What all sources would become.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rehearsal {
    /// One a file.
    pub files: Vec<FileRehearsal>,
    /// Files that no adapter of their source reads.
    pub ignored: Vec<String>,
    /// Sources that can't be read, and why.
    pub failed: Vec<super::Failed>,
    /// Sources of which no file is read.
    pub empty: Vec<String>,
}

impl Rehearsal {
    /// Whether there is a file that can't be read, or an item that would be rejected.
    pub fn has_faults(&self) -> bool {
        !self.failed.is_empty()
            || !self.empty.is_empty()
            || self.files.iter().any(|f| f.failed.is_some() || !f.rejected.is_empty())
    }
}

/// Said by the sink when it has seen enough.
const ENOUGH: &str = "enough was seen";

struct Counter<'a> {
    out: &'a mut FileRehearsal,
    left: u64,
    hear: &'a mut dyn FnMut(u64),
}

impl Counter<'_> {
    fn one_less(&mut self) -> Result<(), AdapterError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| AdapterError::Sink(ENOUGH.to_owned()))?;
        Ok(())
    }
}

impl Sink for Counter<'_> {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.row(&record)
    }

    fn row(&mut self, record: &Record) -> Result<(), AdapterError> {
        self.one_less()?;
        self.out.taken += 1;
        // What is taken back is no row of a table, and has no code to be understood.
        if matches!(record.get("op"), Cell::Text(op) if op == "retract") {
            return Ok(());
        }
        let there = |column: &str| !matches!(record.get(column), Cell::Null);
        let count = |into: &mut Understood, text: bool, known: bool| match (text, known) {
            (_, true) => into.known += 1,
            (true, false) => into.unknown += 1,
            (false, false) => into.missing += 1,
        };
        *self.out.records.entry(record.table().name()).or_default() += 1;
        if record.table().columns().any(|c| c.name == "code") {
            let system = match record.get("code_system") {
                Cell::Text(uri) => schema::codes::canonical(uri).is_some(),
                _ => false,
            };
            count(&mut self.out.codes, there("code"), there("code") && system);
        }
        if record.table() == Table::Measurement && there("value_num") {
            count(&mut self.out.units, there("unit_src"), there("unit_ucum"));
        }
        Ok(())
    }

    fn quarantine(&mut self, item: Quarantined) -> Result<(), AdapterError> {
        // A file of which nothing was taken yet is read on: whether anything is, is what is asked.
        if self.out.taken > 0 {
            self.one_less()?;
        }
        let rejected = self.out.rejected.entry(item.reason.code());
        rejected.and_modify(|r| r.items += 1).or_insert_with(|| Rejected {
            items: 1,
            line: item.line,
            detail: item.detail.clone(),
        });
        Ok(())
    }

    fn skipped(&mut self, kind: &str) {
        // Words of a standard: what else stands there is one kind.
        let room = self.out.left_out.len() < 64 || self.out.left_out.contains_key(kind);
        let kind = if room && kind.len() <= 40 { kind } else { "other" };
        *self.out.left_out.entry(kind.to_owned()).or_default() += 1;
    }

    fn progress(&mut self, bytes: u64) {
        (self.hear)(bytes);
    }
}

/// Reads the sources, or one of them, and says what would become of each file. Of a file no more than `most` records and rejected
/// items are looked at. `progress` is told the file, the bytes read of it, and its size.
///
/// # Errors
/// A source is not there, or its mapping is wrong: the line and the remedy are named. A file that can't be read is no error.
pub fn rehearse(
    config: &Config,
    only: Option<&str>,
    most: Option<u64>,
    (clock, entropy): (&dyn Clock, &dyn Entropy),
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> Result<Rehearsal, LakeError> {
    let sources: Vec<&Source> = config.sources.iter().filter(|s| only.is_none_or(|o| o == s.name)).collect();
    if sources.is_empty() {
        let names: Vec<&str> = config.sources.iter().map(|s| s.name.as_str()).collect();
        let which = only.map_or_else(
            || "site.toml has no [[source]]".to_owned(),
            |o| format!("there is no source '{o}'; site.toml has: {}", names.join(", ")),
        );
        return Err(data_error("looking for sources", &which));
    }
    let mut out = Rehearsal::default();
    // The real key is neither made nor read: what it would give is thrown away.
    let secret = entropy.secret()?;
    for source in sources {
        let opened = OpenSource::open(config, source).and_then(|open| {
            let all = open.files()?;
            open.survey(&all);
            Ok((open, all))
        });
        let (open, all) = match opened {
            Ok(opened) => opened,
            // What is wrong with one source stops no other.
            Err(error) => {
                out.failed.push(super::Failed { source: source.name.clone(), reason: error.to_string() });
                continue;
            }
        };
        let before = out.files.len();
        let lent = open.lent(&all);
        for path in &all {
            let name = open.name_of(path);
            if !open.accepts(&name, path) {
                if !open.adapter.lends(&name) {
                    out.ignored.push(name);
                }
                continue;
            }
            let mut file =
                FileRehearsal { source: source.name.clone(), file: name.clone(), ..FileRehearsal::default() };
            let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or_default();
            let context = Context {
                source_system: source.name.clone(),
                zone: config.zone().map_err(|e| data_error("reading the time zone", &e))?,
                pseudonyms: Pseudonyms::new(&secret),
                linkage: None,
                ingest_micros: clock.now().0,
                revision: 1,
            };
            let beside = open.neighbours(&name, &lent);
            let place = Place { path: Some(path), beside: &beside };
            let mut hear = |bytes: u64| progress(&name, bytes, size);
            let mut sink = Counter { out: &mut file, left: most.unwrap_or(u64::MAX), hear: &mut hear };
            let reader = match open.reader(path) {
                Ok(reader) => reader,
                Err(e) => {
                    file.failed = Some(e.to_string());
                    out.files.push(file);
                    continue;
                }
            };
            match open.adapter.read_at(&context, Extract { name: &name, reader }, place, &mut sink) {
                Ok(read) => (file.whole, file.skipped) = (true, read.skipped),
                Err(AdapterError::Sink(why)) if why == ENOUGH => {}
                Err(e) => file.failed = Some(e.to_string()),
            }
            if let (None, Some((reason, first))) = (&file.failed, file.rejected.iter().next())
                && super::is_unread(file.taken, file.skipped, 1)
            {
                file.failed =
                    Some(format!("nothing of it is taken; {reason} in line {}: {}", first.line, first.detail));
            }
            file.unread = unread(path, &name, open.adapter.as_ref());
            out.files.push(file);
        }
        if out.files.len() == before && source.kind == crate::config::SourceKind::Files {
            out.empty.push(source.name.clone());
        }
    }
    Ok(out)
}

/// The columns of a table that nothing reads; none of a file that can't be read, which is told elsewhere.
fn unread(path: &std::path::Path, name: &str, adapter: &dyn Adapter) -> Vec<String> {
    let columns = adapters::profile::columns(path).unwrap_or_default();
    columns.into_iter().filter(|column| !adapter.reads(name, column)).collect()
}
