//! C-CDA R2.1 and 1.1, and CDA documents of other countries as far as their entries carry the same templates: one
//! clinical document a file.
//!
//! A document is read as a stream. Of its header and of one entry at a time a small tree is kept, with only the elements
//! and attributes that are read; narrative and embedded files are passed over, however long. DTDs are refused, so that
//! no entity is ever expanded and nothing outside the file is ever opened.
//!
//! * `text`: bytes to UTF-8. `xml`: the stream and its bounds. `element`: what is kept of an entry.
//! * `document`: header, sections, entries, and the identity of records. `leaves`, `template`: which statements there
//!   are in an entry.
//! * `patient`, `encounter`, `problem`, `measurement`, `value`, `medication`, `procedure`: a statement to a row.
//! * `code`, `when`: code systems by OID, and HL7's time stamps.
//!
//! The same statement comes again in every later document of a patient. Its record key is made of the patient, the
//! statement's id and its code; its revision is the time of the document, so that the newest document wins in whatever
//! order the files come. Where one document uses an id and a code for several facts, as many do, the time of the fact
//! tells them apart. A statement without an id is known by what it says, apart from when it ended and how it stands.
//!
//! A document that replaces another one (`relatedDocument`, RPLC) takes back all that the other one states, also where the other
//! one comes later. What it denies (`negationInd`) takes back the statement of that id and code.

mod code;
mod document;
mod element;
mod encounter;
mod leaves;
mod measurement;
mod medication;
mod patient;
mod problem;
mod procedure;
mod template;
mod text;
mod value;
mod walk;
mod when;
mod xml;

pub(crate) use self::walk::{Walked, walk};
use std::io;

use schema::Record;

use self::document::Document;
use self::text::Text;
use self::xml::Xml;
use crate::envelope::Envelope;
use crate::sink::{Adapter, AdapterError, Context, Extract, Out, Read, Reason};

/// Reads clinical documents.
pub(crate) struct Ccda {
    /// The root of the patient's ids that are linkage ids.
    linkage_root: Option<String>,
}

impl Ccda {
    /// `linkage_system` is an OID, with or without `urn:oid:`.
    pub(crate) fn new(linkage_system: Option<&str>) -> Ccda {
        let root = |system: &str| system.strip_prefix("urn:oid:").unwrap_or(system).to_owned();
        Ccda { linkage_root: linkage_system.map(root) }
    }
}

/// Why a statement gives no record.
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

/// The record of one statement, still without its identity.
pub(crate) type Row = Result<Record, No>;

/// Why the reading of a document stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The disk.
    Io(io::Error),
    /// The document: what is wrong with it, and the remedy.
    Bad(Reason, String),
    /// The site could not store what was read.
    Sink(AdapterError),
}

impl Fault {
    fn bad(reason: Reason, detail: impl Into<String>) -> Fault {
        Fault::Bad(reason, detail.into())
    }
}

impl From<AdapterError> for Fault {
    fn from(e: AdapterError) -> Fault {
        Fault::Sink(e)
    }
}

impl Adapter for Ccda {
    fn format(&self) -> &'static str {
        "ccda"
    }

    fn accepts(&self, file: &str) -> bool {
        let lower = file.to_ascii_lowercase();
        let bare = lower.strip_suffix(".gz").unwrap_or(&lower);
        [".xml", ".cda", ".ccda", ".ccd"].iter().any(|end| bare.ends_with(end))
    }

    fn takes(&self, kind: crate::profile::Kind) -> bool {
        kind == crate::profile::Kind::Cda
    }

    fn links(&self, _file: &str) -> bool {
        self.linkage_root.is_some()
    }

    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn crate::Sink) -> Result<Read, AdapterError> {
        let mut out = Out::new(sink, extract.name);
        let text = match Text::new(extract.reader) {
            Ok(text) => text,
            Err(fault) => {
                out.tally.items += 1;
                return refuse(&mut out, fault, 1, "").map(|()| out.tally);
            }
        };
        let mut xml = Xml::new(text);
        let mut document = Document::new(Envelope::new(ctx, "ccda"), self.linkage_root.as_deref());
        if let Err(fault) = document.read(&mut xml, &mut out) {
            // What was read before the fault stands; the fault is an item of its own.
            out.tally.items += 1;
            refuse(&mut out, fault, xml.line(), &document.place())?;
        }
        out.progress(xml.read_bytes());
        Ok(out.tally)
    }
}

/// Puts what stopped a document into quarantine, or hands on what is no fault of the document.
fn refuse(out: &mut Out<'_>, fault: Fault, line: u64, place: &str) -> Result<(), AdapterError> {
    match fault {
        Fault::Io(e) => Err(out.io(e)),
        Fault::Sink(e) => Err(e),
        Fault::Bad(reason, detail) if place.is_empty() => out.quarantine(line, reason, detail),
        Fault::Bad(reason, detail) => out.quarantine(line, reason, format!("{place}: {detail}")),
    }
}

#[cfg(test)]
mod tests;
