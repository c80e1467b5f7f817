//! FHIR R4 as NDJSON: one resource a line, as bulk export writes it.
//!
//! A resource is read into partial structs: only the fields that the schema has a place for. Each resource type
//! has its own page (`patient`, `encounter`, `condition`, `observation`, `medication`, `procedure`); `wire` owns
//! the structs that they share. Resources of other types, and resources with a `modifierExtension`, whose meaning
//! is not known here, are skipped and counted. `entered-in-error` becomes a retraction of the same record.

mod condition;
mod encounter;
mod medication;
mod observation;
mod patient;
mod procedure;
mod wire;

use schema::{Cell, Key, Record, Table, codes};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::wire::{CodeableConcept, Coding, Reference};
use crate::envelope::Envelope;
use crate::lines::{Line, Lines};
use crate::sink::{Adapter, AdapterError, Context, Extract, Out, Read, Reason};
use crate::time::{self, When};

/// Reads FHIR R4 NDJSON.
pub(crate) struct Fhir {
    /// The `system` of the identifiers that are linkage ids.
    linkage_system: Option<String>,
}

impl Fhir {
    pub(crate) fn new(linkage_system: Option<&str>) -> Fhir {
        Fhir { linkage_system: linkage_system.map(str::to_owned) }
    }
}

/// Why a resource gives no record.
pub(crate) enum No {
    /// It was understood, and the schema has no place for it.
    Skipped,
    /// It is at fault.
    Bad(Reason, String),
}

impl No {
    fn bad(reason: Reason, detail: impl Into<String>) -> No {
        No::Bad(reason, detail.into())
    }
}

/// The records of one resource.
pub(crate) type Rows = Result<Vec<Record>, No>;

impl Adapter for Fhir {
    fn format(&self) -> &'static str {
        "fhir-ndjson"
    }

    fn accepts(&self, file: &str) -> bool {
        let lower = file.to_ascii_lowercase();
        let bare = lower.strip_suffix(".gz").unwrap_or(&lower);
        bare.ends_with(".ndjson") || bare.ends_with(".jsonl")
    }

    fn links(&self, _file: &str) -> bool {
        self.linkage_system.is_some()
    }

    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn crate::Sink) -> Result<Read, AdapterError> {
        let mut out = Out::new(sink, extract.name);
        let mut lines = Lines::new(extract.reader);
        let envelope = Envelope::new(ctx, "fhir-r4");
        loop {
            let line = lines.advance().map_err(|e| out.io(e))?;
            if (out.tally.items & 0xff) == 0 {
                out.progress(lines.read_bytes());
            }
            let number = lines.number();
            let rows = match line {
                Line::End => break,
                Line::TooLong => {
                    Err(No::bad(Reason::LineTooLong, "the line is over 8 MiB; export without embedded documents"))
                }
                Line::Truncated => {
                    Err(No::bad(Reason::Truncated, "the file breaks off here; copy it again and ingest it again"))
                }
                Line::Here if lines.bytes().iter().all(u8::is_ascii_whitespace) => continue,
                Line::Here => resource(lines.bytes(), &envelope, self.linkage_system.as_deref()),
            };
            out.tally.items += 1;
            match rows {
                Ok(rows) => {
                    for row in rows {
                        out.record(row, number)?;
                    }
                }
                Err(No::Skipped) => out.tally.skipped += 1,
                Err(No::Bad(reason, detail)) => out.quarantine(number, reason, detail)?,
            }
        }
        out.progress(lines.read_bytes());
        Ok(out.tally)
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
}

/// The type where the line begins with it, as nearly every line does, so that most lines are parsed once.
fn leading_type(text: &str) -> Option<&str> {
    let (kind, _) = text.strip_prefix("{\"resourceType\":\"")?.split_once('"')?;
    Some(kind)
}

fn resource(bytes: &[u8], envelope: &Envelope<'_>, linkage: Option<&str>) -> Rows {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(No::bad(Reason::NotUtf8, "the line is not UTF-8, which FHIR requires; export it again"));
    };
    if bytes.contains(&0) {
        return Err(No::bad(Reason::NotText, "the line holds NUL bytes; is this an NDJSON file?"));
    }
    if let Some(rows) = leading_type(text).and_then(|kind| typed(kind, text, envelope, linkage)) {
        return rows;
    }
    let head: Head = parse(text)?;
    match head.resource_type {
        None => Err(No::bad(Reason::NoResourceType, "the line has no resourceType; is this FHIR NDJSON?")),
        Some(kind) => typed(&kind, text, envelope, linkage).unwrap_or(Err(No::Skipped)),
    }
}

/// The rows of a resource of that type, or `None` for a type without a place in the schema.
fn typed(kind: &str, text: &str, envelope: &Envelope<'_>, linkage: Option<&str>) -> Option<Rows> {
    Some(match kind {
        "Patient" => parse(text).and_then(|r| patient::rows(&r, envelope, linkage)),
        "Encounter" => parse(text).and_then(|r| encounter::rows(&r, envelope)),
        "Condition" => parse(text).and_then(|r| condition::rows(&r, envelope)),
        "Observation" => parse(text).and_then(|r| observation::rows(&r, envelope)),
        "MedicationRequest" => parse(text).and_then(|r| medication::rows(&r, envelope)),
        "Procedure" => parse(text).and_then(|r| procedure::rows(&r, envelope)),
        _ => return None,
    })
}

/// Parses JSON. The parser's own message may repeat a value, so only its kind and place are told.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, No> {
    serde_json::from_str(text).map_err(|e| {
        let what = match e.classify() {
            serde_json::error::Category::Data => "a field has another type than in FHIR R4",
            serde_json::error::Category::Eof => "the JSON ends too early",
            _ => "not JSON",
        };
        No::bad(Reason::BadJson, format!("{what}, at column {}; export the resource again", e.column()))
    })
}

/// The resource's own id.
fn own_id<'r>(id: &'r Option<String>, kind: &str) -> Result<&'r str, No> {
    match id.as_deref() {
        Some(id) if !id.is_empty() => Ok(id),
        _ => Err(No::bad(Reason::MissingId, format!("{kind}.id is missing; export with resource ids"))),
    }
}

/// The patient that a reference names.
fn person(subject: &Option<Reference>, field: &str, envelope: &Envelope<'_>) -> Result<Key, No> {
    let id = subject.as_ref().and_then(|r| r.id("Patient"));
    id.map(|id| envelope.person(id)).ok_or_else(|| {
        No::bad(Reason::MissingPatient, format!("{field} does not refer to a Patient by its id; export references"))
    })
}

/// A date field.
fn date(text: &Option<String>, field: &str, envelope: &Envelope<'_>) -> Result<Option<When>, No> {
    let Some(text) = text.as_deref() else { return Ok(None) };
    match time::fhir(text, envelope.zone()) {
        Some(when) => Ok(Some(when)),
        None => Err(No::bad(Reason::BadDate, format!("{field} is not a FHIR date of this world; correct it"))),
    }
}

/// The coding to keep: the first of a system known here, else the first that has a code.
fn choose(concept: &CodeableConcept) -> Option<(&Coding, Option<String>)> {
    let coded = || concept.coding.iter().filter(|c| c.code.as_deref().is_some_and(|c| !c.is_empty()));
    let system = |c: &Coding| c.system.as_deref().and_then(codes::canonical);
    let known = |uri: &Option<String>| uri.as_ref().is_some_and(|u| codes::SYSTEMS.iter().any(|s| s.uri == u));
    coded().map(|c| (c, system(c))).find(|(_, uri)| known(uri)).or_else(|| coded().next().map(|c| (c, system(c))))
}

/// Sets the code of a row.
fn set_code(row: &mut Record, concept: &Option<CodeableConcept>, field: &str) -> Result<(), No> {
    let Some((coding, system)) = concept.as_ref().and_then(choose) else {
        return Err(No::bad(Reason::MissingCode, format!("{field} has no coding with a code; map it at the source")));
    };
    row.set("code", coding.code.as_deref().map(Cell::from).unwrap_or_default());
    row.set("code_system", system);
    Ok(())
}

/// The code of a concept, for columns that hold a bare code.
fn bare_code(concept: &Option<CodeableConcept>) -> Option<String> {
    choose(concept.as_ref()?).and_then(|(coding, _)| coding.code.clone())
}

/// Sets the visit of a row.
fn set_visit(row: &mut Record, encounter: &Option<Reference>, envelope: &Envelope<'_>) {
    if let Some(id) = encounter.as_ref().and_then(|r| r.id("Encounter")) {
        row.set("visit_key", envelope.visit(id));
    }
}

/// Sets when the row became known.
fn set_known(row: &mut Record, when: &Option<When>) {
    if let Some(when) = when {
        row.set("t_known", when.instant_cell());
    }
}

/// Sets the status; `error` retracts the record.
fn set_status(row: &mut Record, status: &'static str) {
    row.set("status", status);
    if status == "error" {
        row.set("op", "retract");
    }
}

/// The record's identity from the resource's.
fn key(envelope: &Envelope<'_>, table: Table, id: &str) -> Key {
    envelope.record(table, &[id])
}

#[cfg(test)]
mod tests;
