//! FHIR R4: NDJSON as bulk export writes it, and Bundles.
//!
//! A resource is read into partial structs: only the fields that the schema has a place for, borrowed from the line. Each
//! resource type has its own page; `wire` owns the structs that they share, `code` which coding a row keeps, `told` who a
//! reference means, `version` which of two versions is the newer, `quick` the lines that are like others. Resources of other types are skipped and counted by their kind.
//! `entered-in-error` becomes a retraction of the same record, and so does a DELETE entry, and what is counted as skipped though an
//! earlier version may have been more: what was not done after all, and resources with a `modifierExtension`, whose meaning is not
//! known here.
//!
//! ```text
//! survey: every file ──► index (identifiers, Medications, roles of diagnoses)
//! read:   .ndjson ──Lines──► line ──┐
//!         .json ──stream::Pieces──► entry or resource ──► resource() ──► rows
//! ```

mod code;
mod condition;
mod coverage;
mod death;
mod delete;
mod drug;
mod encounter;
mod immunization;
mod index;
mod manifest;
mod observation;
mod parts;
mod patient;
mod procedure;
mod quick;
mod report;
mod stream;
mod survey;
mod told;
mod version;
mod wire;
mod written;

pub(crate) use self::parts::{Part, Parts};
use std::borrow::Cow;
use std::cell::Cell;
use std::io::BufRead;
use std::sync::RwLock;

use schema::Record;
use serde::Deserialize;

use self::index::Index;
use self::quick::Quick;
use self::stream::{Piece, Pieces};
use self::told::{Last, LeftOut, Told};
use self::version::versioned;
use self::wire::{Text, of};
use crate::envelope::Envelope;
use crate::lines::{Line, Lines};
use crate::sink::{Adapter, AdapterError, Context, Extract, Out, Read, Reason};

/// How deep a Bundle may stand in a Bundle.
const NESTED_BUNDLES: u32 = 4;

/// Reads FHIR R4.
pub(crate) struct Fhir {
    /// The `system` of the identifiers that are linkage ids.
    linkage_system: Option<String>,
    index: RwLock<Index>,
}

impl Fhir {
    pub(crate) fn new(linkage_system: Option<&str>) -> Fhir {
        Fhir { linkage_system: linkage_system.map(str::to_owned), index: RwLock::default() }
    }
}

/// Why a resource gives no record.
pub(crate) enum No {
    /// It was understood, and the schema has no place for it. The kind is the resource's type where none is told.
    Skipped(String),
    /// The same, and what an earlier version gave is taken back.
    Gone { kind: String, rows: Vec<Record> },
    /// It is at fault.
    Bad(Reason, String),
}

impl No {
    fn skip() -> No {
        No::Skipped(String::new())
    }

    fn bad(reason: Reason, detail: impl Into<String>) -> No {
        No::Bad(reason, detail.into())
    }
}

/// The records of one resource.
pub(crate) type Rows = Result<Vec<Record>, No>;

/// Whether the name is that of lines of JSON; `None` for neither those nor one document.
fn has_lines(file: &str) -> Option<bool> {
    let lower = file.to_ascii_lowercase();
    let bare = lower.strip_suffix(".gz").unwrap_or(&lower);
    if bare.ends_with(".ndjson") || bare.ends_with(".jsonl") {
        return Some(true);
    }
    bare.ends_with(".json").then_some(false)
}

/// Whether a resource stands on each line: by the name and, where that does not say it or where the first line is no whole resource,
/// by the first bytes.
fn is_by_line(extract: &mut Extract<'_>) -> bool {
    let named = has_lines(extract.name);
    if named == Some(false) {
        return false;
    }
    // An error here comes again with the first line, which tells it.
    let Ok(bytes) = extract.reader.fill_buf() else { return named == Some(true) };
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
    match named {
        // Pretty-printed JSON, whatever its name.
        Some(true) => !matches!(first, b"{" | b"[") || first.len() == text.len(),
        _ => first.ends_with(b"}"),
    }
}

impl Adapter for Fhir {
    fn format(&self) -> &'static str {
        "fhir"
    }

    fn accepts(&self, file: &str) -> bool {
        has_lines(file).is_some()
    }

    fn takes(&self, kind: crate::profile::Kind) -> bool {
        matches!(
            kind,
            crate::profile::Kind::FhirNdjson | crate::profile::Kind::FhirBundle | crate::profile::Kind::FhirJson
        )
    }

    fn links(&self, _file: &str) -> bool {
        self.linkage_system.is_some()
    }

    fn surveys(&self, file: &str) -> bool {
        survey::wants(file)
    }

    fn survey(&self, extract: Extract<'_>) -> Result<(), AdapterError> {
        let mut index = self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = extract.name;
        let mut extract = extract;
        let by_line = is_by_line(&mut extract);
        survey::read(extract, by_line, &mut index).map_err(|source| AdapterError::Io { file: name.to_owned(), source })
    }

    fn surveyed(&self) -> String {
        self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner).doubts()
    }

    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn crate::Sink) -> Result<Read, AdapterError> {
        let index = self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let env = Envelope::new(ctx, "fhir-r4");
        let told = Told {
            env: &env,
            index: &index,
            file: extract.name,
            place: &Cell::new(0),
            exported: index.exported(extract.name),
            entry_id: None,
            in_bundle: false,
            linkage: self.linkage_system.as_deref(),
            last: &Last::default(),
            left_out: &LeftOut::default(),
        };
        let mut out = Out::new(sink, extract.name);
        let mut extract = extract;
        if is_by_line(&mut extract) {
            lines(extract, &told, &mut out)?;
        } else {
            pieces(Pieces::new(extract.reader), &told, &mut out, None)?;
        }
        Ok(out.tally)
    }
}

/// Reads lines of a resource each; a line may be a whole Bundle.
fn lines(extract: Extract<'_>, told: &Told<'_>, out: &mut Out<'_>) -> Result<(), AdapterError> {
    let mut lines = Lines::new(extract.reader);
    let mut quick = Quick::new();
    loop {
        let line = lines.advance().map_err(|e| out.io(e))?;
        if (out.tally.items & 0xff) == 0 {
            out.progress(lines.read_bytes());
        }
        let place = Place { line: lines.number(), entry: None, depth: 0, walked: false };
        match line {
            Line::End => break,
            Line::TooLong => {
                place.refuse(out, Reason::LineTooLong, "the line is over 8 MiB; export without embedded documents")?;
            }
            Line::Truncated => {
                place.refuse(out, Reason::Truncated, "the file breaks off here; copy it again and ingest it again")?;
            }
            Line::Here if lines.bytes().iter().all(u8::is_ascii_whitespace) => {}
            Line::Here if quick.take(lines.bytes(), told, out)? => {}
            Line::Here => {
                take(lines.bytes(), false, told, out, &place)?;
                quick.learn(lines.bytes(), told);
            }
        }
    }
    out.progress(lines.read_bytes());
    Ok(())
}

/// Reads Bundles and resources of any size. `around` is where they stand, where that is within something else.
fn pieces<R: BufRead>(
    mut pieces: Pieces<R>,
    told: &Told<'_>,
    out: &mut Out<'_>,
    around: Option<&Place>,
) -> Result<(), AdapterError> {
    let mut stated = None;
    loop {
        let piece = pieces.advance().map_err(|e| out.io(e))?;
        if around.is_none() && ((out.tally.items & 0xf) == 0 || piece == Piece::End) {
            out.progress(pieces.read_bytes());
        }
        let (line, depth) = around.map_or_else(|| (pieces.start_line(), 0), |a| (a.line, a.depth));
        let place = |entry| Place { line, entry, depth, walked: true };
        match piece {
            Piece::End => return Ok(()),
            Piece::Fault(entry, reason, detail) => place(entry).refuse(out, reason, detail)?,
            Piece::Whole => take(pieces.bytes(), false, told, out, &place(None))?,
            Piece::Entry(n) => {
                if n == 0 {
                    stated = timestamp(pieces.head());
                }
                let told = Told { exported: stated.or(told.exported), ..*told };
                take(pieces.bytes(), true, &told, out, &place(Some(n)))?;
            }
        }
    }
}

/// When a Bundle was put together, in microseconds since 1970, where that stands before its entries.
fn timestamp(head: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Stated<'a> {
        #[serde(borrow)]
        timestamp: Option<Text<'a>>,
    }
    let whole = [head, b"}"].concat();
    let stated: Stated<'_> = serde_json::from_slice(&whole).ok()?;
    of(&stated.timestamp).and_then(|t| crate::time::fhir(t, chrono_tz::UTC)).as_ref().map(version::micros)
}

/// Where a resource stands.
struct Place {
    line: u64,
    entry: Option<u64>,
    depth: u32,
    /// Whether a Bundle here has been walked through already, and had no entries.
    walked: bool,
}

impl Place {
    fn refuse(&self, out: &mut Out<'_>, reason: Reason, detail: &str) -> Result<(), AdapterError> {
        out.tally.items += 1;
        self.quarantine(out, reason, detail)
    }

    fn quarantine(&self, out: &mut Out<'_>, reason: Reason, detail: &str) -> Result<(), AdapterError> {
        match self.entry {
            Some(n) => out.quarantine(self.line, reason, format!("Bundle.entry[{n}]: {detail}")),
            None => out.quarantine(self.line, reason, detail),
        }
    }
}

/// What every resource begins with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow)]
    resource_type: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    transaction_time: Option<Text<'a>>,
    #[serde(borrow)]
    export_id: Option<Text<'a>>,
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
}

/// An entry of a Bundle, without what the resource holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    full_url: Option<Text<'a>>,
    #[serde(borrow)]
    resource: Option<Head<'a>>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(borrow)]
    last_modified: Option<Text<'a>>,
}

impl Entry<'_> {
    /// The resource's id: its own, else the one that `fullUrl` or the request gives it.
    fn id(&self, kind: &str) -> Option<&str> {
        let own = self.resource.as_ref().and_then(|r| of(&r.id));
        let requested = self.request.as_ref().filter(|r| of(&r.method) == Some("PUT")).and_then(|r| of(&r.url));
        own.or_else(|| of(&self.full_url).and_then(|u| told::id_of_url(u, kind)))
            .or_else(|| requested.and_then(|u| told::id_of_url(u, kind)))
    }
}

/// The resource of an entry.
#[derive(Deserialize)]
struct Holding<T> {
    resource: T,
}

/// The type where the line begins with it, as nearly every line does, so that most lines are parsed once.
fn leading_type(text: &str) -> Option<&str> {
    let (kind, _) = text.strip_prefix("{\"resourceType\":\"")?.split_once('"')?;
    Some(kind)
}

/// Takes one resource, or one entry that holds it.
fn take(bytes: &[u8], held: bool, told: &Told<'_>, out: &mut Out<'_>, place: &Place) -> Result<(), AdapterError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return place.refuse(out, Reason::NotUtf8, "not UTF-8, which FHIR requires; export it again");
    };
    if memchr::memchr(0, bytes).is_some() {
        return place.refuse(out, Reason::NotText, "it holds NUL bytes; is this FHIR as JSON?");
    }
    told.place.set(out.tally.items);
    let json = Json { text, held };
    let rows = match json.open(told) {
        Ok(Opened::Resource(kind)) => rows(&kind, &json, told),
        Ok(Opened::Entry(entry)) => {
            let kind = entry.resource.as_ref().and_then(|r| of(&r.resource_type));
            let inner = Told { entry_id: entry.id(kind.unwrap_or_default()), in_bundle: true, ..*told };
            let method = entry.request.as_ref().and_then(|r| of(&r.method));
            match kind {
                _ if method == Some("DELETE") => delete::rows(&entry, &inner),
                Some("Bundle") => return nested(bytes, told, out, place),
                Some(kind) => rows(kind, &json, &inner),
                None if entry.resource.is_some() => Err(no_type()),
                None => Err(No::Skipped("entry without a resource".to_owned())),
            }
        }
        Ok(Opened::Bundle) if !place.walked => {
            let place = Place { walked: true, ..*place };
            return pieces(Pieces::new(bytes), told, out, Some(&place));
        }
        Ok(Opened::Bundle) => Err(No::Skipped("Bundle".to_owned())),
        Ok(Opened::Manifest) => manifest::check(text).map_or(Err(No::Skipped("manifest".to_owned())), Err),
        Err(no) => Err(no),
    };
    out.tally.items += 1;
    let left_out = told.left_out.take();
    match rows {
        Ok(rows) => {
            rows.into_iter().try_for_each(|row| out.record(row, place.line))?;
            left_out.iter().try_for_each(|(reason, detail)| place.quarantine(out, *reason, detail))
        }
        Err(No::Skipped(kind)) => {
            out.skip(&kind);
            Ok(())
        }
        Err(No::Gone { kind, rows }) => {
            out.skip(&kind);
            rows.into_iter().try_for_each(|row| out.record(row, place.line))
        }
        Err(No::Bad(reason, detail)) => place.quarantine(out, reason, &detail),
    }
}

/// Reads a Bundle within an entry.
fn nested(entry: &[u8], told: &Told<'_>, out: &mut Out<'_>, place: &Place) -> Result<(), AdapterError> {
    let Some(bundle) = stream::member(entry, "resource").filter(|_| place.depth < NESTED_BUNDLES) else {
        return place.refuse(out, Reason::TooDeep, "Bundles in Bundles, more than 4 deep; export them apart");
    };
    let place = Place { line: place.line, entry: None, depth: place.depth + 1, walked: true };
    pieces(Pieces::new(bundle.as_slice()), told, out, Some(&place))
}

fn no_type() -> No {
    No::bad(Reason::NoResourceType, "there is no resourceType; is this FHIR?")
}

/// What a text turns out to be.
enum Opened<'t> {
    Resource(Cow<'t, str>),
    Entry(Entry<'t>),
    Bundle,
    Manifest,
}

/// The JSON of a resource, or of an entry that holds it.
pub(crate) struct Json<'t> {
    text: &'t str,
    held: bool,
}

impl<'t> Json<'t> {
    fn open(&self, told: &Told<'_>) -> Result<Opened<'t>, No> {
        if self.held {
            return Ok(Opened::Entry(parse(self.text)?));
        }
        if let Some(kind) = leading_type(self.text) {
            return Ok(if kind == "Bundle" { Opened::Bundle } else { Opened::Resource(Cow::Borrowed(kind)) });
        }
        let head: Head<'t> = parse(self.text)?;
        match head.resource_type {
            Some(kind) if &*kind == "Bundle" => Ok(Opened::Bundle),
            Some(kind) => Ok(Opened::Resource(kind.0)),
            // The log that a bulk export's client keeps beside the files.
            None if head.export_id.is_some() && head.event_id.is_some() => {
                Err(No::Skipped("log of the export".to_owned()))
            }
            None if head.transaction_time.is_some() && has_lines(told.file) == Some(false) => Ok(Opened::Manifest),
            None => Err(no_type()),
        }
    }

    /// The resource's own text.
    fn resource(&self) -> &'t str {
        if self.held { written::member(self.text, "resource").unwrap_or_default() } else { self.text }
    }

    /// Parses the resource.
    fn parse<T: Deserialize<'t>>(&self) -> Result<T, No> {
        if self.held { parse::<Holding<T>>(self.text).map(|h| h.resource) } else { parse(self.text) }
    }
}

/// The rows of a resource.
fn rows(kind: &str, json: &Json<'_>, told: &Told<'_>) -> Rows {
    match kind {
        "Patient" => {
            let r: patient::Patient<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, patient::rows(&r, told))
        }
        "Encounter" => {
            let r: encounter::Encounter<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, encounter::rows(&r, told))
        }
        "Condition" => {
            let r: condition::Condition<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, condition::rows(&r, told))
        }
        "Observation" => {
            let mut r: observation::Observation<'_> = json.parse()?;
            r.look_up(json.resource());
            versioned(r.meta.as_ref(), told, observation::rows(&r, told))
        }
        "MedicationRequest" => {
            let r: drug::Medication<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, drug::request(&r, told))
        }
        "MedicationDispense" => {
            let r: drug::Medication<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, drug::dispense(&r, told))
        }
        "MedicationAdministration" => {
            let r: drug::Medication<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, drug::administration(&r, told))
        }
        "MedicationStatement" => {
            let r: drug::Medication<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, drug::statement(&r, told))
        }
        "Immunization" => {
            let r: immunization::Immunization<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, immunization::rows(&r, told))
        }
        "Procedure" => {
            let r: procedure::Procedure<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, procedure::rows(&r, told))
        }
        "Coverage" => {
            let r: coverage::Coverage<'_> = json.parse()?;
            versioned(r.meta.as_ref(), told, coverage::rows(&r, told))
        }
        "DiagnosticReport" => {
            let r: report::Report<'_> = json.parse()?;
            let mut results = if r.has_results() { Some(json.parse::<report::Results<'_>>()?) } else { None };
            if let Some(results) = &mut results {
                results.look_up(json.resource());
            }
            versioned(r.meta.as_ref(), told, report::rows(&r, results, told))
        }
        // The kind is the sender's text; only one that can be a type is repeated.
        _ if kind.len() <= 40 && kind.bytes().all(|b| b.is_ascii_alphabetic()) => Err(No::Skipped(kind.to_owned())),
        _ => Err(no_type()),
    }
    .map_err(|no| match no {
        No::Skipped(why) if why.is_empty() => No::Skipped(kind.to_owned()),
        other => other,
    })
}

/// Parses JSON. The parser's own message may repeat a value, so only its kind, its field and its place are told.
fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, No> {
    serde_json::from_str(text).map_err(|e| {
        let column = e.column();
        let again = "export the resource again";
        match e.classify() {
            serde_json::error::Category::Data => {
                let mut parser = serde_json::Deserializer::from_str(text);
                let path = serde_path_to_error::deserialize::<_, T>(&mut parser).err().map(|e| e.path().to_string());
                let field = path.filter(|p| p != ".").unwrap_or_else(|| "a field".to_owned());
                No::bad(
                    Reason::BadJson,
                    format!("{field} has another type than in FHIR R4, at column {column}; {again}"),
                )
            }
            serde_json::error::Category::Eof => {
                No::bad(Reason::BadJson, format!("the JSON ends too early, at column {column}; {again}"))
            }
            _ if e.to_string().starts_with("recursion limit") => No::bad(
                Reason::TooDeep,
                format!("nested deeper than any FHIR resource is, at column {column}; {again}"),
            ),
            _ => No::bad(Reason::BadJson, format!("not JSON, at column {column}; {again}")),
        }
    })
}

#[cfg(test)]
mod tests;
