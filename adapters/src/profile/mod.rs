//! What is in a file that nobody has described yet: its format, its columns, and a guess at each. It is read where it lies, and
//! what is found is for the hospital's own staff.
//!
//! * `kind`: the format, by the first bytes. `guess`: what a cell could be. `column`: what all cells of a column could be.
//! * `draft`: the beginning of a mapping.
//! * `contents`: what resources, messages and documents hold; `fhir`, `hl7`, `cda`: how it is found.

mod cda;
mod column;
mod contents;
mod draft;
mod fhir;
mod guess;
mod hl7;
mod kind;

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;

use crate::fhir::{Part, Parts};
use crate::hl7::{Bounds, Frame, Frames, Separators, message_type};
use crate::sink::{Adapter, Place};
use crate::tabular::{Layout, Next, Opened, SHIPPED, open_rows};

use self::contents::Contents;
pub use column::ColumnProfile;
pub use contents::{ContentProfile, FieldProfile, KindProfile};
pub use draft::draft;
pub use kind::Kind;

/// Delimiters that are tried.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// What a file holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileProfile {
    /// Its name, as it was given.
    pub file: String,
    /// Why it can't be read at all.
    pub failed: Option<String>,
    /// Its format.
    pub kind: Kind,
    /// Character encoding, of text: `utf-8`, or `windows-1252` where it is not UTF-8.
    pub encoding: Option<&'static str>,
    /// What stands between the cells, of delimited text.
    pub delimiter: Option<char>,
    /// Rows, lines, messages or documents that were looked at.
    pub items: u64,
    /// Whether that is all of them.
    pub whole: bool,
    /// Those that could not be read.
    pub unreadable: u64,
    /// The columns, of a table.
    pub columns: Vec<ColumnProfile>,
    /// Whether the first line looks like data; the columns are numbered then.
    pub no_header: bool,
    /// Resource types or message types, with how many of each.
    pub holds: BTreeMap<String, u64>,
    /// What they hold: fields, coding systems, units, dates.
    pub contents: Option<ContentProfile>,
    /// Formats whose shipped mapping reads a file of that name.
    pub shipped: Vec<&'static str>,
}

/// The mappings that are shipped, each read once.
fn shipped() -> &'static [(&'static str, Box<dyn Adapter>)] {
    static OPEN: OnceLock<Vec<(&str, Box<dyn Adapter>)>> = OnceLock::new();
    OPEN.get_or_init(|| SHIPPED.iter().filter_map(|f| crate::open(f, None, "").ok().map(|a| (*f, a))).collect())
}

/// Endings of files that may look like extracts and are none: stylesheets and schemas, pages, programs.
const OTHERS: &[&str] = &["xsl", "xslt", "xsd", "sch", "html", "htm", "xhtml", "md", "sql", "py", "r", "log", "toml"];

/// The format of a file by its first bytes, also behind gzip; `None` where its ending says that it is no extract, or where it can't be
/// read.
pub fn kind(path: &Path) -> Option<Kind> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    if ending.is_some_and(|e| OTHERS.contains(&e.as_str())) {
        return None;
    }
    let mut reader = crate::reader(path).ok()?;
    kind::of(&mut *reader).ok().map(|(kind, _)| kind)
}

/// Whether the names of columns look like the cells of a row, so that they may be a patient's: two or more are numbers or dates.
pub(crate) fn looks_like_data<N: AsRef<str>>(names: &[N]) -> bool {
    let is_value = |name: &&N| {
        let name = name.as_ref();
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        let odd =
            name.bytes().any(|b| !b.is_ascii_digit() && !matches!(b, b'.' | b',' | b'-' | b'/' | b':' | b' ' | b'T'));
        digits > 0 && !odd
    };
    let values = names.iter().filter(is_value).count();
    values >= 2 || (values == 1 && names.len() <= 2)
}

/// What is said in the place of names that may be a patient's values.
pub const NO_HEADER: &str =
    "the first line looks like data, not like names of columns: write header = false and columns = [\"...\"]";

/// The names of the columns of a table; none of what is no table, or whose first line looks like data.
///
/// # Errors
/// The file can't be opened or read.
pub fn columns(path: &Path) -> io::Result<Vec<String>> {
    let mut out = FileProfile::default();
    let mut reader = crate::reader(path)?;
    (out.kind, out.encoding) = kind::of(&mut *reader)?;
    if matches!(out.kind, Kind::Delimited | Kind::Parquet) {
        table(&mut out, reader, path, 0, &mut |_| {})?;
    }
    let names: Vec<String> = out.columns.into_iter().map(|c| c.name).collect();
    Ok(if looks_like_data(&names) { Vec::new() } else { names })
}

/// Looks at the first `most` items of a file. `hear` is told the bytes read so far.
///
/// # Errors
/// The file can't be opened or read.
pub fn profile(path: &Path, name: &str, most: u64, hear: &mut dyn FnMut(u64)) -> io::Result<FileProfile> {
    let mut reader = crate::reader(path)?;
    let (mut kind, encoding) = kind::of(&mut *reader)?;
    // What says by its name that it is JSON is no table, however it begins.
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_suffix(".gz").unwrap_or(&lower);
    if kind == Kind::Delimited && [".json", ".ndjson", ".jsonl"].iter().any(|end| bare.ends_with(end)) {
        kind = Kind::Json;
    }
    let takes = shipped().iter().filter(|(_, adapter)| adapter.accepts(name));
    let shipped = takes.map(|(format, _)| *format).collect();
    let mut out = FileProfile { file: name.to_owned(), kind, encoding, shipped, whole: true, ..FileProfile::default() };
    match kind {
        Kind::Delimited | Kind::Parquet => table(&mut out, reader, path, most, hear)?,
        Kind::FhirNdjson => resources(&mut out, Parts::of_lines(reader), most, hear)?,
        Kind::FhirBundle | Kind::FhirJson => resources(&mut out, Parts::of_pieces(reader), most, hear)?,
        Kind::Hl7v2 => messages(&mut out, reader, most, hear)?,
        Kind::Cda => document(&mut out, reader),
        Kind::Json | Kind::Xml | Kind::Binary | Kind::Empty => {}
    }
    Ok(out)
}

/// Where the file breaks off, what came before stands.
fn unless_broken<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if crate::lines::broken(&e) => Ok(None),
        other => other.map(Some),
    }
}

fn table<'a>(
    out: &mut FileProfile,
    reader: Box<dyn BufRead + 'a>,
    path: &Path,
    most: u64,
    hear: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let encoding = out.encoding.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
    let layout = Layout {
        delimiters: DELIMITERS.to_vec(),
        encoding: encoding.unwrap_or(encoding_rs::UTF_8),
        ..Layout::default()
    };
    let place = Place { path: Some(path), beside: &[] };
    let mut rows = match open_rows(reader, place, &layout, &|_| true)? {
        Opened::Rows(rows) => rows,
        Opened::Unreadable(_) => {
            out.unreadable = 1;
            return Ok(());
        }
    };
    out.delimiter = rows.delimiter();
    let mut names: Option<Vec<String>> = rows.columns().map(<[String]>::to_vec);
    let mut columns: Vec<column::Column> = Vec::new();
    loop {
        let Some(next) = unless_broken(rows.advance())? else {
            out.unreadable += 1;
            break;
        };
        match next {
            Next::End => break,
            Next::Bad(..) => out.unreadable += 1,
            Next::Row(_) => {
                let fields = rows.fields();
                let cells = || (0..fields.len()).map(|i| fields.get(i).unwrap_or_default());
                let Some(names) = &names else {
                    names = Some(cells().map(str::to_owned).collect());
                    continue;
                };
                if out.items >= most {
                    out.whole = false;
                    break;
                }
                out.items += 1;
                if fields.len() != names.len() {
                    out.unreadable += 1;
                    continue;
                }
                columns.resize_with(names.len(), column::Column::default);
                columns.iter_mut().zip(cells()).for_each(|(column, cell)| column.take(cell));
                if out.items.is_multiple_of(1024) {
                    hear(rows.read_bytes());
                }
            }
        }
    }
    let mut names = names.unwrap_or_default();
    if most > 0 && rows.columns().is_none() && looks_like_data(&names) {
        out.no_header = true;
        names = (1..=names.len()).map(|n| format!("column {n}")).collect();
    }
    columns.resize_with(names.len(), column::Column::default);
    out.columns = names.into_iter().zip(&columns).map(|(name, column)| column.profile(name)).collect();
    hear(rows.read_bytes());
    Ok(())
}

fn resources(out: &mut FileProfile, mut parts: Parts<'_>, most: u64, hear: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut contents = Contents::default();
    loop {
        match parts.advance()? {
            Part::End => break,
            Part::Bad => out.unreadable += 1,
            Part::Resource(value) => {
                if out.items >= most {
                    out.whole = false;
                    break;
                }
                match fhir::take(&value, &mut contents) {
                    Some(kind) => {
                        out.count(&kind, most);
                    }
                    None => out.unreadable += 1,
                }
            }
        }
        if out.items.is_multiple_of(1024) {
            hear(parts.read_bytes());
        }
    }
    out.contents = contents.profile();
    hear(parts.read_bytes());
    Ok(())
}

fn document(out: &mut FileProfile, reader: Box<dyn BufRead + '_>) {
    let mut contents = Contents::default();
    out.items = 1;
    out.unreadable = u64::from(!cda::take(reader, &mut contents));
    out.contents = contents.profile();
}

fn messages<'a>(
    out: &mut FileProfile,
    reader: Box<dyn BufRead + 'a>,
    most: u64,
    hear: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut frames = Frames::new(reader, Bounds::default());
    let mut contents = Contents::default();
    loop {
        match frames.advance()? {
            Frame::End => break,
            Frame::Message => {
                let (bytes, spans) = frames.message();
                let header = spans.first().and_then(|s| bytes.get(s.start..s.end)).unwrap_or_default();
                let kind = message_type(header);
                if !out.count(kind.as_deref().unwrap_or("other"), most) {
                    break;
                }
                match Separators::of(header) {
                    Some(seps) => {
                        hl7::take(spans.iter().filter_map(|s| bytes.get(s.start..s.end)), seps, &mut contents);
                    }
                    None => out.unreadable += 1,
                }
            }
            Frame::Stray | Frame::Over(_) | Frame::Truncated => out.unreadable += 1,
        }
        if frames.number().is_multiple_of(1024) {
            hear(frames.read_bytes());
        }
    }
    out.contents = contents.profile();
    hear(frames.read_bytes());
    Ok(())
}

impl FileProfile {
    /// Counts an item of a kind; `false` where it is one more than are looked at. A kind is a word of the standard's; whatever else
    /// stands there is one kind.
    fn count(&mut self, kind: &str, most: u64) -> bool {
        if self.items >= most {
            self.whole = false;
            return false;
        }
        self.items += 1;
        let word = kind.len() <= 40 && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'^' || b == b'_');
        *self.holds.entry(if word { kind } else { "other" }.to_owned()).or_default() += 1;
        true
    }
}

#[cfg(test)]
mod tests;
