//! HL7 v2: files and batches of messages, whatever lies between them.
//!
//! ```text
//! bytes ──framing──► message ──charset──► header ──walk──► patient, visit, diagnosis, result, drug ──► rows
//! ```
//!
//! * `framing`: messages out of any bytes. `charset`: MSH-18. `scan`: fields and their parts. `escape`: their escapes.
//! * `message`: the kind of a message, and its place in time, which is the revision of its rows. `dtm`: times.
//! * `identity`: whose number an identifier is, and what one without an authority may mean.
//! * `segment`: a segment that can say where it is. `code`, `value`: coded elements and observed values.
//! * [`ack`]: what a listener answers.
//! * `walk`: the segments in order. `patient`, `visit`, `diagnosis`, `result`, `drug`: what each becomes. `quick`: results like others.
//!
//! A field that is empty says nothing; `""` deletes. An ADT message is a snapshot, so both leave the column empty: what a
//! later snapshot does not repeat is gone. Segments of no place in the schema, Z-segments among them, are passed over, and
//! messages that give no row are counted as skipped, and so are the observations of a message that is no report, as one.

pub mod ack;
mod charset;
mod code;
mod diagnosis;
mod drug;
mod dtm;
mod escape;
mod framing;
mod identity;
mod message;
mod patient;
mod quick;
mod result;
mod scan;
mod segment;
mod value;
mod visit;
mod walk;

use self::charset::Charset;
pub(crate) use self::dtm::Times;
use self::framing::Span;
pub(crate) use self::framing::{Bounds, Frame, Frames};
use self::identity::{Authorities, Plain};
use self::message::{Header, Told};
use self::quick::Results;
use self::scan::Fields;
pub(crate) use self::scan::Separators;
use self::segment::{Raw, Segment};
use self::walk::Walk;
use crate::envelope::Envelope;
use crate::sink::{Adapter, AdapterError, Context, Extract, Out, Read, Reason};

/// Reads HL7 v2.
pub(crate) struct Hl7 {
    /// The authority or the type of the identifiers that are linkage ids.
    linkage_system: Option<String>,
    /// Whose numbers are the patients' and the visits'.
    authorities: Authorities,
    /// Whether messages of training and debugging are left out.
    production_only: bool,
}

impl Hl7 {
    pub(crate) fn new(linkage_system: Option<&str>, authorities: &[String], production_only: bool) -> Hl7 {
        Hl7 {
            linkage_system: linkage_system.map(str::to_owned),
            authorities: Authorities::new(authorities),
            production_only,
        }
    }
}

impl Adapter for Hl7 {
    fn format(&self) -> &'static str {
        "hl7v2"
    }

    fn accepts(&self, file: &str) -> bool {
        let lower = file.to_ascii_lowercase();
        let bare = lower.strip_suffix(".gz").unwrap_or(&lower);
        [".hl7", ".hl7v2", ".mllp", ".er7"].iter().any(|end| bare.ends_with(end))
    }

    fn takes(&self, kind: crate::profile::Kind) -> bool {
        kind == crate::profile::Kind::Hl7v2
    }

    fn links(&self, _file: &str) -> bool {
        self.linkage_system.is_some()
    }

    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn crate::Sink) -> Result<Read, AdapterError> {
        let mut out = Out::new(sink, extract.name);
        let mut frames = Frames::new(extract.reader, Bounds::default());
        let envelope = Envelope::new(ctx, "hl7v2");
        let mut results = Results::default();
        let plain = Plain::default();
        loop {
            let frame = frames.advance().map_err(|e| out.io(e))?;
            if (out.tally.items & 0xff) == 0 {
                out.progress(frames.read_bytes());
            }
            let (number, line) = (frames.number(), frames.began());
            let fault = match frame {
                Frame::End => break,
                Frame::Message => {
                    out.tally.items += 1;
                    if let Some(line) = frames.left_out() {
                        let what = "a document is over 8 MiB, and is left out; send documents by reference";
                        out.quarantine(line, Reason::MessageTooLong, format!("message {number}: {what}"))?;
                    }
                    let (bytes, spans) = frames.message();
                    self.message((bytes, spans), number, (&envelope, &plain), &mut results, &mut out)?;
                    continue;
                }
                Frame::Stray => (Reason::NotHl7, "text that belongs to no message; is this an HL7 v2 file?".to_owned()),
                Frame::Over(limit) => {
                    out.tally.items += 1;
                    (Reason::MessageTooLong, format!("message {number}: {limit}; send documents by reference"))
                }
                Frame::Truncated => {
                    out.tally.items += 1;
                    let remedy = "the file breaks off here; copy it again and ingest it again";
                    (Reason::Truncated, format!("message {number}: {remedy}"))
                }
            };
            out.quarantine(line, fault.0, fault.1)?;
        }
        out.progress(frames.read_bytes());
        Ok(out.tally)
    }
}

/// A message's bytes in another character set than they came in, and its segments there.
type Decoded = (Vec<u8>, Vec<Span>);

/// A message in UTF-8, or in ASCII with what nobody reads. One in another character set is decoded segment by segment.
fn decoded(bytes: &[u8], spans: &[Span], charset: Charset) -> Result<Option<Decoded>, (Reason, &'static str)> {
    if memchr::memchr(0, bytes).is_some() {
        return Err((Reason::NotText, "the message holds NUL bytes; is the file in UTF-16, or damaged?"));
    }
    let encoding = match charset {
        Charset::Plain => return Ok(None),
        Charset::Decode(encoding) => encoding,
        Charset::Unknown => {
            let remedy = "a character set that is not known here; have the sender use UNICODE UTF-8";
            return Err((Reason::UnknownCharset, remedy));
        }
    };
    let mut out = (Vec::with_capacity(bytes.len()), Vec::with_capacity(spans.len()));
    for span in spans {
        let (text, broken) = encoding.decode_without_bom_handling(bytes.get(span.start..span.end).unwrap_or_default());
        if broken {
            return Err((
                Reason::NotUtf8,
                "the message is not in the character set that is named; have the sender correct it",
            ));
        }
        let start = out.0.len();
        out.0.extend_from_slice(text.as_bytes());
        out.1.push(Span { start, end: out.0.len(), line: span.line });
    }
    Ok(Some(out))
}

impl Hl7 {
    /// Reads one message.
    fn message(
        &self,
        (bytes, spans): (&[u8], &[Span]),
        number: u64,
        (envelope, plain): (&Envelope<'_>, &Plain),
        results: &mut Results,
        out: &mut Out<'_>,
    ) -> Result<(), AdapterError> {
        let line = spans.first().map_or(0, |s| s.line);
        let head = spans.first().and_then(|s| bytes.get(s.start..s.end)).unwrap_or_default();
        let Some(seps) = Separators::of(head) else {
            let detail = format!(
                "message {number}, MSH[1]-2: the separators are not told apart; have the sender correct MSH-1 and MSH-2"
            );
            return out.quarantine(line, Reason::NotHl7, detail);
        };
        let declared = Fields::<19>::of(head, seps).get(18);
        let declared = charset::of_all(declared.repetitions().map(|r| r.component(1).bytes()));
        let other = match decoded(bytes, spans, declared) {
            Ok(other) => other,
            Err((reason, remedy)) => {
                return out.quarantine(line, reason, format!("message {number}, MSH[1]-18: {remedy}"));
            }
        };
        let (bytes, spans) = other.as_ref().map_or((bytes, spans), |(bytes, spans)| (bytes, spans));
        let raws = || (0..spans.len()).map(|at| Raw { bytes, spans, at });
        let Some(first) = raws().next() else { return Ok(()) };
        let msh: Segment<'_, 19> = first.fields(seps);
        if self.production_only
            && let Some(kind) = processing(msh.field(11).component(1).bytes())
        {
            out.skip(kind);
            return Ok(());
        }
        let evn: Option<Segment<'_, 8>> = raws().find(|r| r.name() == b"EVN").map(|r| r.fields(seps));
        let header = match Header::read(&msh, evn.as_ref(), envelope) {
            Ok(Some(header)) => header,
            Ok(None) => {
                out.tally.skipped += 1;
                return Ok(());
            }
            Err(no) => return out.quarantine(no.line, no.reason, format!("message {number}, {}", no.detail)),
        };
        if !raws().any(|r| r.name() == b"PID") {
            let one_line =
                memchr::memmem::find(bytes, b"\\rPID").is_some() || memchr::memmem::find(bytes, b"\\nPID").is_some();
            let detail = match one_line {
                true => format!(
                    "message {number}: its segments stand between a backslash and a letter, where a carriage return belongs; \
                     have whoever wrote the file write carriage returns"
                ),
                false => format!("message {number}, PID[1]-3: the message names no patient; have the sender add PID"),
            };
            return out.quarantine(line, Reason::MissingPatient, detail);
        }
        // The rest of it tells of the patient who stays, and would be taken for an update.
        if header.merges() && !raws().any(|r| r.name() == b"MRG") {
            let detail = format!(
                "message {number}, MRG[1]-1: a merge that does not say of whom; have the sender add MRG and send it again"
            );
            return out.quarantine(line, Reason::MissingPatient, detail);
        }
        let linkage = self.linkage_system.as_deref();
        let told = Told { env: envelope, authorities: &self.authorities, plain, header };
        let mut walk = Walk { told, seps, linkage, number, out, results };
        if !walk.run(raws())? {
            out.tally.skipped += 1;
        }
        Ok(())
    }
}

/// What the words begin with that messages of training and debugging are counted under.
const PROCESSING: &str = "MSH-11";

/// What a message is counted as that is of no patient: one of training or debugging, by MSH-11.
/// Each such word begins with [`PROCESSING`].
fn processing(id: &[u8]) -> Option<&'static str> {
    match id {
        b"T" | b"t" => Some("MSH-11 = T (training)"),
        b"D" | b"d" => Some("MSH-11 = D (debugging)"),
        _ => None,
    }
}

/// The fields of a segment, its name first. MSH-1 is the separator itself, so MSH's are numbered one higher.
pub(crate) fn fields_of(segment: &[u8], seps: Separators) -> impl Iterator<Item = &[u8]> {
    let first = segment.starts_with(b"MSH").then_some(b"".as_slice());
    let mut parts = segment.split(move |b| *b == seps.field);
    parts.next().into_iter().chain(first).chain(parts)
}

/// The type of a message by its header, as `ADT^A01`; `None` where there is none.
pub(crate) fn message_type(header: &[u8]) -> Option<String> {
    let seps = Separators::of(header)?;
    let field = header.split(|b| *b == seps.field).nth(8)?;
    let mut parts = field.split(|b| *b == seps.component).map(|p| String::from_utf8_lossy(p).trim().to_owned());
    match (parts.next().filter(|p| !p.is_empty())?, parts.next().filter(|p| !p.is_empty())) {
        (code, Some(trigger)) => Some(format!("{code}^{trigger}")),
        (code, None) => Some(code),
    }
}

#[cfg(test)]
mod tests;
