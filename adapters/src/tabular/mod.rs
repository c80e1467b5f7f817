//! Tables of any hospital, as delimited text, Parquet or chunks of PostgreSQL tables, described by a TOML mapping.
//!
//! ```toml
//! format = "csv"                       # the source's format
//! [[file]]
//! match = "labor*.csv"                 # the first [[file]] that fits the name is used; * and ?
//! delimiter = ";"                      # default ","
//! encoding = "windows-1252"            # default utf-8; a byte order mark goes first
//! decimal = ","                        # default "."
//! thousands = "."                      # default none
//! dates = ["%d.%m.%Y %H:%M", "%d.%m.%Y"]
//! null = ["?", "NA"]                   # an empty cell is always null
//! person = { column = "PatNr" }        # or { row_number = true }
//! [[file.row]]                         # a row becomes up to one record for each of these
//! table = "measurement"
//! require = ["Wert"]                   # no record where one of these is null
//! require_any = ["Wert", "Text"]       # no record where all of these are null
//! only = { Art = ["LAB"] }             # no record unless the cell is one of these
//! id = ["AuftragNr", "Test"]           # the record's identity; default: all columns that it reads
//! [file.row.set]
//! code_system = "loinc"
//! code = { column = "Test", map = { HBA1C = "4548-4" }, unmapped = "skip" }
//! value_num = { column = "Wert" }      # "<5" sets the comparator and the bound
//! unit_src = { column = "Einheit" }
//! event = { column = "Datum" }         # date, time, precision and zone at once
//! # in a row of table = "patient": linkage = { column = "VersNr" }   # a national or insurance number, for linkage_tag
//! ```
//!
//! `docs/tabular.md` teaches the language. What is shipped for OMOP, i2b2, PCORnet, MIMIC, eICU and Synthea is such a mapping.
//!
//! ```text
//! file ──rows (delimited, parquet, pgcopy)──► Fields ──derive (lookups)──► Cells ──build (setters, anchors)──► Record
//! ```
//!
//! * `mapping`, `layout`, `columns`, `setters`: the language and its checks; `toml_doc`: TOML with lines; `shipped`.
//! * `rows`, `delimited`, `parquet`, `pgcopy`: files to rows. `cells`, `derive`, `steps`, `lookup`, `anchor`: cells that a mapping
//!   makes.
//! * `number`: numbers; `build`, `maker`: a row to records; `quick`: rows like others; `reused`, `survey`: ids of two people.

mod anchor;
mod build;
mod cells;
mod columns;
pub(crate) mod delimited;
mod derive;
pub(crate) mod layout;
mod lookup;
mod maker;
mod mapping;
mod number;
mod parquet;
mod pgcopy;
mod quick;
mod reused;
pub(crate) mod rows;
mod setters;
mod shipped;
mod steps;
mod survey;
mod toml_doc;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use schema::Table;

use self::build::Builder;
use self::columns::Origin;
pub(crate) use self::layout::Layout;
pub use self::layout::glob as fits_glob;
use self::lookup::Lookup;
use self::maker::Found;
use self::mapping::{FileMap, Mapping, Person};
use self::reused::{Doubtful, Watch};
use self::rows::{Fields, Rows};
pub(crate) use self::rows::{Next, Opened, open as open_rows};
pub use self::shipped::{SHIPPED, shipped};
use crate::envelope::Envelope;
use crate::sink::{Adapter, AdapterError, Context, Extract, Neighbour, Out, Place, Read, Reason};

/// Rows that are looked at before the first record is made.
const SAMPLE: usize = 1000;

/// Bytes of rows that wait for that at most.
const SAMPLE_BYTES: usize = 8 << 20;

/// Reads tables under a mapping.
pub(crate) struct Tabular {
    format: &'static str,
    mapping: Mapping,
    /// Lookups that were loaded, with the versions of their files.
    loaded: Mutex<HashMap<String, (String, Arc<Lookup>)>>,
    /// The ids that stand for two people.
    doubtful: Doubtful,
}

/// The formats of a mapping that a site writes itself. A file shows by itself whether it is text or Parquet.
const OWN: &[&str] = &["csv", "parquet"];

impl Tabular {
    /// Under a mapping of that format, which is one of the site's own or one of those shipped.
    pub(crate) fn new(format: &str, text: &str, name: &str) -> Result<Tabular, AdapterError> {
        let known = OWN.iter().chain(SHIPPED.iter()).find(|f| **f == format).copied();
        let formats: &[&str] = if OWN.contains(&format) { OWN } else { &[format] };
        let mapping = Mapping::parse(text, name, formats)?;
        Ok(Tabular {
            format: known.unwrap_or("csv"),
            mapping,
            loaded: Mutex::new(HashMap::new()),
            doubtful: Doubtful::default(),
        })
    }

    fn contradiction(&self, line: usize, message: String) -> AdapterError {
        AdapterError::Mapping { file: self.mapping.name.clone(), line, message }
    }

    /// Where each column that the mapping reads stands in the file.
    fn find(&self, map: &FileMap, names: &[&str], file: &str, rows: &Rows<'_>) -> Result<Found, AdapterError> {
        let mut positions = Vec::new();
        for (slot, (column, line, origin)) in map.slots.all().iter().enumerate() {
            if *origin != Origin::File {
                positions.push(None);
                continue;
            }
            let mut places = names.iter().enumerate().filter(|(_, n)| map.layout.same(n, column)).map(|(i, _)| i);
            match (places.next(), places.next()) {
                (Some(at), None) => positions.push(Some(at)),
                (None, _) if map.optional(slot) => positions.push(None),
                (None, _) => {
                    if names.len() > 1 && crate::profile::looks_like_data(names) {
                        let message = format!("{file}: {}", crate::profile::NO_HEADER);
                        return Err(self.contradiction(*line, message));
                    }
                    let near = match names.iter().any(|n| n.eq_ignore_ascii_case(column)) {
                        true => "one differs only in upper and lower case",
                        false => "compare the names, the delimiter and the encoding",
                    };
                    let message =
                        format!("column \"{column}\" is not among the {} columns of {file}; {near}", names.len());
                    return Err(self.contradiction(*line, message));
                }
                _ => {
                    let message = format!("column \"{column}\" stands twice in {file}; rename one");
                    return Err(self.contradiction(*line, message));
                }
            }
        }
        let typed = positions.iter().map(|at| at.is_some_and(|at| rows.typed(at))).collect();
        Ok(Found { positions, typed })
    }

    /// The lookups that a file is read with. Those of others are empty.
    fn lookups(&self, map: &FileMap, beside: &[Neighbour]) -> Result<Vec<Arc<Lookup>>, AdapterError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        for (at, lookup) in self.mapping.lookups.iter().enumerate() {
            if !map.reads_lookup(at) {
                out.push(Arc::new(Lookup::none()));
                continue;
            }
            let files: Vec<&Neighbour> = beside.iter().filter(|n| lookup.fits(&n.name)).collect();
            let version: String = files.iter().map(|f| format!("{}\0{}\0", f.name, f.version)).collect();
            if let Some((known, table)) = loaded.get(&lookup.name)
                && *known == version
            {
                out.push(table.clone());
                continue;
            }
            // The old one goes first: two of them could be too much.
            loaded.remove(&lookup.name);
            let table = Arc::new(lookup.load(&self.mapping.name, &files)?);
            loaded.insert(lookup.name.clone(), (version, table.clone()));
            out.push(table);
        }
        Ok(out)
    }
}

impl Adapter for Tabular {
    fn format(&self) -> &'static str {
        self.format
    }

    fn accepts(&self, file: &str) -> bool {
        self.mapping.file(file).is_some()
    }

    fn links(&self, file: &str) -> bool {
        self.mapping.file(file).is_some_and(FileMap::links)
    }

    fn beside(&self, file: &str, other: &str) -> bool {
        let Some(map) = self.mapping.file(file) else { return false };
        self.mapping.lookups.iter().enumerate().any(|(at, l)| map.reads_lookup(at) && l.fits(other))
    }

    fn lends(&self, file: &str) -> bool {
        self.mapping.lookups.iter().any(|l| l.fits(file))
    }

    fn reads(&self, file: &str, column: &str) -> bool {
        self.mapping.file(file).is_some_and(|map| map.reads(column))
            || self.mapping.lookups.iter().any(|l| l.fits(file) && l.reads(column))
    }

    fn surveys(&self, file: &str) -> bool {
        let column = |map: &&FileMap| matches!(map.person, Person::Column(_));
        let map = self.mapping.file(file).filter(column);
        map.is_some_and(|map| map.rows.iter().any(|row| row.table == Table::Patient))
    }

    fn survey_at(&self, extract: Extract<'_>, place: Place<'_>) -> Result<(), AdapterError> {
        self.look_through(extract, place)
    }

    fn surveyed(&self) -> String {
        let ids = self.doubtful.ids();
        crate::sink::digest(ids.iter().map(|id| &**id))
    }

    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn crate::Sink) -> Result<Read, AdapterError> {
        self.read_at(ctx, extract, Place::default(), sink)
    }

    fn read_at(
        &self,
        ctx: &Context,
        extract: Extract<'_>,
        place: Place<'_>,
        sink: &mut dyn crate::Sink,
    ) -> Result<Read, AdapterError> {
        let Extract { name, reader } = extract;
        let Some(map) = self.mapping.file(name) else {
            return Err(self.contradiction(1, format!("no [[file]] matches {name}; add one, or move the file away")));
        };
        let lookups = self.lookups(map, place.beside)?;
        let mut out = Out::new(sink, name);
        for (lookup, definition) in lookups.iter().zip(&self.mapping.lookups) {
            if let Some((faults, first)) = lookup.faults() {
                let detail =
                    format!("lookup \"{}\": {faults} rows could not be read, the first is {first}", definition.name);
                out.quarantine(0, Reason::Incomplete, detail)?;
            }
        }
        let rows = match rows::open(reader, place, &map.layout, &|column| map.reads(column)).map_err(|e| out.io(e))? {
            Opened::Rows(rows) => rows,
            Opened::Unreadable(detail) => {
                out.tally.items += 1;
                out.quarantine(0, Reason::Truncated, detail)?;
                return Ok(out.tally);
            }
        };
        let envelope = Envelope::new(ctx, self.format);
        let reading =
            Reading { tabular: self, map, name, envelope, lookups: &lookups, watch: Watch::refuse(&self.doubtful) };
        for column in rows.nested() {
            let detail =
                format!("column \"{column}\" holds lists or structures, which no cell can be; write one value a row");
            out.quarantine(0, Reason::Contradiction, detail)?;
        }
        reading.rows(rows, &mut out)?;
        Ok(out.tally)
    }
}

/// One file while it is read.
struct Reading<'a> {
    tabular: &'a Tabular,
    map: &'a FileMap,
    name: &'a str,
    envelope: Envelope<'a>,
    lookups: &'a [Arc<Lookup>],
    watch: Watch,
}

impl Reading<'_> {
    /// Reads all rows, and gives back the ids of two people that were noted on the way.
    fn rows(self, mut rows: Rows<'_>, out: &mut Out<'_>) -> Result<HashSet<Box<str>>, AdapterError> {
        let Reading { tabular, map, name, .. } = self;
        let given: Option<Vec<String>> = match rows.columns() {
            Some(columns) => Some(columns.to_vec()),
            None if map.layout.header => None,
            None => Some(map.layout.columns.clone()),
        };
        let mut row_number = 0;
        let found = match given {
            Some(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Some((tabular.find(map, &names, name, &rows)?, names.len()))
            }
            None => self.header(&mut rows, out, &mut row_number)?,
        };
        let Some((found, width)) = found else {
            self.without_header(&mut rows, out)?;
            return Ok(HashSet::new());
        };
        let builder = Builder::new(map, &found, self.envelope, name, self.lookups, self.watch);
        let mut taker = Taker { builder, width, row_number };
        // The first rows wait until all of them are known.
        let (mut waiting, mut held): (Option<Vec<Item>>, usize) = (Some(Vec::new()), 0);
        loop {
            let next = rows.advance().map_err(|e| out.io(e))?;
            if (out.tally.items & 0xff) == 0 {
                out.progress(rows.read_bytes());
            }
            if let Some(items) = &mut waiting {
                match next {
                    Next::End => break,
                    Next::Bad(line, reason, detail) => items.push(Err((line, reason, detail))),
                    Next::Row(line) => {
                        let fields = rows.fields();
                        held += (0..fields.len()).filter_map(|i| fields.get(i)).map(str::len).sum::<usize>();
                        items.push(Ok((line, fields.clone())));
                    }
                }
                if items.len() >= SAMPLE || held >= SAMPLE_BYTES {
                    taker.all(&waiting.take().unwrap_or_default(), out)?;
                }
                continue;
            }
            match next {
                Next::End => break,
                Next::Bad(line, reason, detail) => taker.bad(line, reason, &detail, out)?,
                Next::Row(line) => taker.row(rows.fields(), line, out)?,
            }
        }
        taker.all(&waiting.unwrap_or_default(), out)?;
        out.progress(rows.read_bytes());
        Ok(taker.builder.noted())
    }

    /// Reads the header. `None` where there is none that can be read.
    fn header(
        &self,
        rows: &mut Rows<'_>,
        out: &mut Out<'_>,
        row_number: &mut u64,
    ) -> Result<Option<(Found, usize)>, AdapterError> {
        match rows.advance().map_err(|e| out.io(e))? {
            Next::End => {
                out.tally.items += 1;
                out.quarantine(0, Reason::NoHeader, "the file is empty, without even a header; export it again")?;
                Ok(None)
            }
            // Without its header the rest of the file says nothing.
            Next::Bad(line, reason, detail) => {
                out.tally.items += 1;
                *row_number += 1;
                out.quarantine(line, reason, detail)?;
                Ok(None)
            }
            Next::Row(line) => {
                let fields = rows.fields();
                let names: Vec<&str> = (0..fields.len()).filter_map(|i| fields.get(i)).collect();
                if names.iter().any(|n| n.chars().any(char::is_control)) {
                    out.tally.items += 1;
                    let why = match names.iter().any(|n| n.contains('\r')) {
                        true => "its lines end with a carriage return alone; convert them, as with: tr '\\r' '\\n'",
                        false => "the header is not text; is this a text file?",
                    };
                    out.quarantine(line, Reason::NoHeader, why)?;
                    return Ok(None);
                }
                Ok(Some((self.tabular.find(self.map, &names, self.name, rows)?, names.len())))
            }
        }
    }

    fn without_header(&self, rows: &mut Rows<'_>, out: &mut Out<'_>) -> Result<(), AdapterError> {
        loop {
            let (line, reason, detail) = match rows.advance().map_err(|e| out.io(e))? {
                Next::End => return Ok(()),
                Next::Bad(line, reason, detail) => (line, reason, detail),
                Next::Row(line) => {
                    let detail = "the file's header could not be read; export the file again";
                    (line, Reason::NoHeader, detail.to_owned())
                }
            };
            out.tally.items += 1;
            out.quarantine(line, reason, detail)?;
        }
    }
}

/// A row with its line, or a line that is none.
type Item = Result<(u64, Fields), (u64, Reason, String)>;

/// Takes the rows of a file, one after the other.
struct Taker<'a> {
    builder: Builder<'a>,
    width: usize,
    row_number: u64,
}

impl Taker<'_> {
    /// Takes what waited, after a look at all of it.
    fn all(&mut self, items: &[Item], out: &mut Out<'_>) -> Result<(), AdapterError> {
        let whole = |item: &'_ Item| item.as_ref().is_ok_and(|(_, f)| f.len() == self.width);
        let sample = items.iter().filter(|i| whole(i)).filter_map(|i| i.as_ref().ok().map(|(_, f)| f));
        let sample: Vec<&Fields> = sample.collect();
        self.builder.judge(&sample);
        for item in items {
            match item {
                Ok((line, fields)) => self.row(fields, *line, out)?,
                Err((line, reason, detail)) => self.bad(*line, *reason, detail, out)?,
            }
        }
        Ok(())
    }

    fn bad(&mut self, line: u64, reason: Reason, detail: &str, out: &mut Out<'_>) -> Result<(), AdapterError> {
        out.tally.items += 1;
        self.row_number += 1;
        out.quarantine(line, reason, detail)
    }

    fn row(&mut self, fields: &Fields, line: u64, out: &mut Out<'_>) -> Result<(), AdapterError> {
        out.tally.items += 1;
        self.row_number += 1;
        if fields.len() != self.width {
            let detail = format!("{} columns where {} belong; fix the row or the quoting", fields.len(), self.width);
            return out.quarantine(line, Reason::WrongColumns, detail);
        }
        self.builder.row(fields, line, self.row_number, out)
    }
}

#[cfg(test)]
mod tests;
