//! The words between an adapter and the site: what it is told, what it reads, what it hands over.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::linkage::LinkageKey;
use schema::record::Pseudonyms;

/// What a site tells every adapter.
pub struct Context {
    /// The name of the source, as the site's configuration has it.
    pub source_system: String,
    /// The site's IANA time zone, for times that come without an offset.
    pub zone: chrono_tz::Tz,
    /// The site's pseudonym key.
    pub pseudonyms: Pseudonyms,
    /// The federation's linkage key; without it linkage ids are not read.
    pub linkage: Option<Arc<LinkageKey>>,
    /// When this run took the data, in microseconds since 1970-01-01T00:00:00Z.
    pub ingest_micros: i64,
    /// The revision of the rows of this run.
    pub revision: u32,
}

/// One file on its way into an adapter.
pub struct Extract<'a> {
    /// The file's path relative to the source.
    pub name: &'a str,
    /// Its bytes, already decompressed (see [`crate::reader`]).
    pub reader: Box<dyn BufRead + 'a>,
}

/// Another file of the source, which a file is read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its path relative to the source.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What changes with its bytes, such as their hash.
    pub version: String,
}

/// Where an extract lies, and what lies beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The file, for formats that are not read from their beginning to their end.
    pub path: Option<&'a Path>,
    /// The files that [`Adapter::beside`] asked for.
    pub beside: &'a [Neighbour],
}

/// One item that could not be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The file's path relative to the source.
    pub file: String,
    /// The line, from 1; in a Bundle the line that the entry begins on, and the detail names the entry.
    pub line: u64,
    /// The kind of fault.
    pub reason: Reason,
    /// The field and the remedy. Never a value.
    pub detail: String,
}

/// Why an item is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The bytes are not text in the encoding that was declared.
    NotUtf8,
    /// The line holds NUL bytes: a binary file, or a damaged one.
    NotText,
    /// The line is longer than 8 MiB.
    LineTooLong,
    /// The compressed stream ends early or is damaged.
    Truncated,
    /// The line is not JSON, or a field has another type than FHIR R4 gives it.
    BadJson,
    /// The document is not well-formed XML.
    BadXml,
    /// The document has a DTD, which could declare entities.
    DtdForbidden,
    /// The elements are nested deeper than in any real document.
    TooDeep,
    /// A tag, a value or an entry is larger than is read.
    TooLarge,
    /// The file is XML, and no clinical document.
    NotCda,
    /// The JSON is without `resourceType`.
    NoResourceType,
    /// One id stands for two people.
    IdReused,
    /// The item has no identity.
    MissingId,
    /// The item names no patient.
    MissingPatient,
    /// The item has no code, where its table needs one.
    MissingCode,
    /// A date or a time that does not parse, or does not exist.
    BadDate,
    /// A number that does not parse.
    BadNumber,
    /// The row has more or fewer columns than the header or the mapping.
    WrongColumns,
    /// A quoted field that is never closed.
    OpenQuote,
    /// The header cannot be read, so that no row can be.
    NoHeader,
    /// A value that the mapping's `map` does not list.
    Unmapped,
    /// A value outside the schema's closed set.
    UnknownLevel,
    /// A code system that is neither an alias, nor a URI, nor an OID known here.
    UnknownCodeSystem,
    /// A column that the schema requires is empty.
    Incomplete,
    /// Text outside any HL7 message, or a message header that can't be read.
    NotHl7,
    /// A column whose first values contradict what the mapping says of its dates or numbers.
    Contradiction,
    /// An HL7 message, or a segment of it, is longer than is taken.
    MessageTooLong,
    /// A character set that is not known here.
    UnknownCharset,
    /// A patient's number of an authority that is not the source's.
    OtherAuthority,
}

impl Reason {
    /// The stable code, as it is stored and counted.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::NotUtf8 => "not_utf8",
            Reason::NotText => "not_text",
            Reason::LineTooLong => "line_too_long",
            Reason::Truncated => "truncated",
            Reason::BadJson => "bad_json",
            Reason::BadXml => "bad_xml",
            Reason::DtdForbidden => "dtd_forbidden",
            Reason::TooDeep => "too_deep",
            Reason::TooLarge => "too_large",
            Reason::NotCda => "not_cda",
            Reason::NoResourceType => "no_resource_type",
            Reason::IdReused => "id_reused",
            Reason::MissingId => "missing_id",
            Reason::MissingPatient => "missing_patient",
            Reason::MissingCode => "missing_code",
            Reason::BadDate => "bad_date",
            Reason::BadNumber => "bad_number",
            Reason::WrongColumns => "wrong_columns",
            Reason::OpenQuote => "open_quote",
            Reason::NoHeader => "no_header",
            Reason::Unmapped => "unmapped",
            Reason::UnknownLevel => "unknown_level",
            Reason::UnknownCodeSystem => "unknown_code_system",
            Reason::Incomplete => "incomplete",
            Reason::NotHl7 => "not_hl7",
            Reason::Contradiction => "contradiction",
            Reason::MessageTooLong => "message_too_long",
            Reason::UnknownCharset => "unknown_charset",
            Reason::OtherAuthority => "other_authority",
        }
    }
}

/// Where an adapter puts what it reads.
pub trait Sink {
    /// Takes a record.
    ///
    /// # Errors
    /// The site could not store it; the adapter stops.
    fn record(&mut self, record: schema::Record) -> Result<(), AdapterError>;

    /// Takes a record that its adapter fills anew for the next row. A sink that copies what it takes anyway needs no record
    /// of its own.
    ///
    /// # Errors
    /// As [`Sink::record`].
    fn row(&mut self, record: &schema::Record) -> Result<(), AdapterError> {
        self.record(record.clone())
    }

    /// The columns that the rows of a table go to, for an adapter that fills them without a record between. None where the sink
    /// takes records alone; it is then asked no more. Who puts rows there tells [`Sink::filled`].
    ///
    /// # Errors
    /// As [`Sink::record`].
    fn columns(&mut self, _table: schema::Table) -> Result<Option<&mut schema::BatchBuilder>, AdapterError> {
        Ok(None)
    }

    /// Hears that rows were put into the columns of a table.
    ///
    /// # Errors
    /// As [`Sink::record`].
    fn filled(&mut self, _table: schema::Table) -> Result<(), AdapterError> {
        Ok(())
    }

    /// Takes a quarantined item.
    ///
    /// # Errors
    /// The site could not store it; the adapter stops.
    fn quarantine(&mut self, item: Quarantined) -> Result<(), AdapterError>;

    /// Hears that an item was understood and has no place in the schema, and its kind, such as a resource's type.
    fn skipped(&mut self, _kind: &str) {}

    /// Hears how many bytes of the decoded input have been read so far.
    fn progress(&mut self, _bytes: u64) {}
}

/// A reader of one format.
pub trait Adapter: Send + Sync {
    /// The format's name in a site's configuration.
    fn format(&self) -> &'static str;

    /// Whether this adapter reads the file of that name.
    fn accepts(&self, file: &str) -> bool;

    /// Whether this adapter reads a file that looks like that, whatever its name.
    fn takes(&self, _kind: crate::profile::Kind) -> bool {
        false
    }

    /// Whether the settings name linkage ids in the file of that name. Such a file is not copied: the ids are never stored.
    fn links(&self, file: &str) -> bool;

    /// Whether the file of that name says what other files of the source need, so that it is to be surveyed first.
    fn surveys(&self, _file: &str) -> bool {
        false
    }

    /// Looks through one extract for what other files of the source need: who an identifier is, which drug a reference means.
    /// Every file that [`Adapter::surveys`] names goes through here before any is read, also one whose rows are there already.
    ///
    /// # Errors
    /// The disk.
    fn survey(&self, _extract: Extract<'_>) -> Result<(), AdapterError> {
        Ok(())
    }

    /// The same, with the extract's place.
    ///
    /// # Errors
    /// As [`Adapter::survey`].
    fn survey_at(&self, extract: Extract<'_>, _place: Place<'_>) -> Result<(), AdapterError> {
        self.survey(extract)
    }

    /// What surveying found that decides which rows of any file are taken, as a short text: a file that was read when it was another
    /// is to be read again. Empty where nothing does.
    fn surveyed(&self) -> String {
        String::new()
    }

    /// Reads one extract to its end.
    ///
    /// # Errors
    /// The disk, the sink, or a file that contradicts its mapping. Bad items are no errors: they are quarantined.
    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn Sink) -> Result<Read, AdapterError>;

    /// Whether the file of that name is read with another one of the source, such as a code dictionary. What was read of it
    /// depends on both.
    fn beside(&self, _file: &str, _other: &str) -> bool {
        false
    }

    /// Whether any file is read with the file of that name: what [`Adapter::beside`] may say yes to.
    fn lends(&self, _file: &str) -> bool {
        false
    }

    /// Whether it reads a column of the file of that name, be it for rows or for a dictionary that other files are read with. A
    /// source that can be asked for single columns is asked for no others.
    fn reads(&self, file: &str, _column: &str) -> bool {
        self.accepts(file)
    }

    /// Reads one extract to its end, with its place: the file itself, and what lies beside it.
    ///
    /// # Errors
    /// As [`Adapter::read`]; or a file beside it is missing, too large or cannot be read.
    fn read_at(
        &self,
        ctx: &Context,
        extract: Extract<'_>,
        _place: Place<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Read, AdapterError> {
        self.read(ctx, extract, sink)
    }
}

/// What became of one extract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Items of the source: lines or rows.
    pub items: u64,
    /// Records handed over.
    pub records: u64,
    /// Items, or parts of an item, in quarantine.
    pub quarantined: u64,
    /// Items that were understood and have no place in the schema.
    pub skipped: u64,
}

/// Why an adapter could not be opened, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file could not be read.
    #[error("{file}: {source}; check the file and the disk, then ingest again")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The mapping is wrong, or the file contradicts it.
    #[error("{file}, line {line}: {message}")]
    Mapping {
        /// The mapping's name.
        file: String,
        /// The line in the mapping, from 1.
        line: usize,
        /// What is wrong and what would fit.
        message: String,
    },
    /// A format that needs a mapping was opened without one.
    #[error("format \"{format}\" needs a mapping; name it in the source: mapping = \"mapping.toml\"")]
    NoMapping {
        /// The format.
        format: String,
    },
    /// A format whose linkage ids are named elsewhere.
    #[error(
        "format \"{format}\" takes no linkage_system; for csv write linkage = {{ column = \"...\" }} in the mapping"
    )]
    NoLinkageSystem {
        /// The format.
        format: String,
    },
    /// A setting that is for HL7 v2 alone.
    #[error("format \"{format}\" takes no {setting}; it is for hl7v2")]
    OfHl7 {
        /// The format.
        format: String,
        /// The setting's name.
        setting: &'static str,
    },
    /// There is no such format.
    #[error("format \"{format}\" is not known; there are: {known}")]
    UnknownFormat {
        /// What was asked for.
        format: String,
        /// What there is.
        known: String,
    },
    /// The sink refused; the text is the sink's own.
    #[error("the records could not be stored: {0}")]
    Sink(String),
}

/// Sixteen hexadecimal digits of SHA-256 over texts in order, each with its length before it; empty for none.
pub(crate) fn digest<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut any = false;
    for text in texts {
        any = true;
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    let hash = hash.finish();
    let digits = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}"));
    if any { digits.collect() } else { String::new() }
}

/// Brings what has several spellings into one: a drug's NDC has eleven digits.
pub(crate) fn tidy(record: &mut schema::Record) {
    if let (schema::Cell::Text(system), schema::Cell::Text(code)) = (record.get("code_system"), record.get("code"))
        && let Some(tidied) = schema::codes::tidied(system, code)
    {
        record.set("code", tidied);
    }
}

/// The sink with a tally, for one extract.
pub(crate) struct Out<'a> {
    sink: &'a mut dyn Sink,
    file: &'a str,
    /// What was counted so far.
    pub(crate) tally: Read,
}

impl<'a> Out<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink, file: &'a str) -> Out<'a> {
        Out { sink, file, tally: Read::default() }
    }

    /// Hands a record over; one that lacks a required column is quarantined instead.
    pub(crate) fn record(&mut self, mut record: schema::Record, line: u64) -> Result<(), AdapterError> {
        if record.table() == schema::Table::DrugExposure {
            tidy(&mut record);
        }
        if let Some(column) = record.missing() {
            let table = record.table().name();
            return self.quarantine(line, Reason::Incomplete, format!("{table}.{column} is empty; it is required"));
        }
        self.tally.records += 1;
        self.sink.record(record)
    }

    /// The same for a record that stays with the adapter.
    pub(crate) fn row(&mut self, record: &schema::Record, line: u64) -> Result<(), AdapterError> {
        if let Some(column) = record.missing() {
            let table = record.table().name();
            return self.quarantine(line, Reason::Incomplete, format!("{table}.{column} is empty; it is required"));
        }
        self.tally.records += 1;
        self.sink.row(record)
    }

    /// The columns of a table, where the sink has any: see [`Sink::columns`].
    pub(crate) fn columns(&mut self, table: schema::Table) -> Result<Option<&mut schema::BatchBuilder>, AdapterError> {
        self.sink.columns(table)
    }

    /// Counts whole rows that were put into the columns of a table.
    pub(crate) fn filled(&mut self, table: schema::Table, rows: u64) -> Result<(), AdapterError> {
        self.tally.records += rows;
        self.sink.filled(table)
    }

    pub(crate) fn quarantine(
        &mut self,
        line: u64,
        reason: Reason,
        detail: impl Into<String>,
    ) -> Result<(), AdapterError> {
        self.tally.quarantined += 1;
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(240) {
            detail.truncate(end);
        }
        self.sink.quarantine(Quarantined { file: self.file.to_owned(), line, reason, detail })
    }

    /// Counts an item of a kind that has no place in the schema.
    pub(crate) fn skip(&mut self, kind: &str) {
        self.tally.skipped += 1;
        self.sink.skipped(kind);
    }

    pub(crate) fn progress(&mut self, bytes: u64) {
        self.sink.progress(bytes);
    }

    pub(crate) fn io(&self, source: io::Error) -> AdapterError {
        AdapterError::Io { file: self.file.to_owned(), source }
    }
}
