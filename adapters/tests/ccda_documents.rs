//! Real and realistic documents: HL7's and NIST's samples, and 300 synthetic CCDs, with counts of their entries taken
//! by another program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, HashSet};
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use adapters::{AdapterError, Context, Extract, Quarantined, Read, Reason, Sink};
use schema::{Cell, Record, Table};

#[derive(Default)]
struct Tally {
    tables: BTreeMap<&'static str, u64>,
    persons: HashSet<[u8; 16]>,
    keys: HashSet<[u8; 16]>,
    kept: Vec<Record>,
    bad: Vec<Quarantined>,
    read: Read,
}

impl Sink for Tally {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        assert_eq!(r.missing(), None);
        // What is denied or replaced is no row.
        if r.get("op") == &Cell::from("retract") {
            return Ok(());
        }
        *self.tables.entry(r.table().name()).or_default() += 1;
        for (column, into) in [("person_key", &mut self.persons), ("record_key", &mut self.keys)] {
            if let Cell::Key(k) = r.get(column) {
                into.insert(*k);
            }
        }
        self.kept.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
}

impl Tally {
    fn take(&mut self, name: &str, bytes: Vec<u8>) {
        let adapter = adapters::open("ccda", None, "").unwrap();
        assert!(adapter.accepts(name), "{name}");
        let context = Context {
            source_system: "test".to_owned(),
            zone: chrono_tz::America::New_York,
            pseudonyms: schema::record::Pseudonyms::new(&[9; 32]),
            linkage: None,
            ingest_micros: 1_700_000_000_000_000,
            revision: 1,
        };
        let before = self.keys.len() as u64;
        let read = adapter.read(&context, Extract { name, reader: Box::new(Cursor::new(bytes)) }, self).unwrap();
        let new = self.keys.len() as u64 - before;
        println!("{name}: {read:?}, {new} new");
        self.read.items += read.items;
        self.read.records += read.records;
        self.read.quarantined += read.quarantined;
        self.read.skipped += read.skipped;
    }

    /// Whether these are the rows of each table.
    fn says<const N: usize>(&self, want: [(&'static str, u64); N]) {
        assert_eq!(self.tables, BTreeMap::from(want));
    }

    /// Whether this is what was quarantined; and no message holds a time or a number of the documents.
    fn refused<const N: usize>(&self, want: [(Reason, u64); N]) {
        let mut got = BTreeMap::new();
        for q in &self.bad {
            *got.entry(q.reason).or_insert(0) += 1;
            assert!(!q.detail.contains("2001") && q.line > 0, "{}", q.detail);
        }
        assert_eq!(got, BTreeMap::from(want));
    }
}

fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INSITU_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join("ccda").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing; set INSITU_SHARED_DATA", path.display());
    println!("skipped: {} is not here; set INSITU_SHARED_DATA to run this test", path.display());
    None
}

fn folder(path: &str) -> Option<Tally> {
    let folder = shared(path)?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut tally = Tally::default();
    for path in paths {
        tally.take(path.file_name().unwrap().to_str().unwrap(), std::fs::read(&path).unwrap());
    }
    Some(tally)
}

/// The files of a zip archive, by its central directory.
fn unzip(path: &Path) -> Vec<(String, Vec<u8>)> {
    let zip = std::fs::read(path).unwrap();
    let word = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let long = |at: usize| word(at) + (word(at + 2) << 16);
    let end = zip.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let mut at = long(end + 16);
    let mut out = Vec::new();
    for _ in 0..word(end + 10) {
        let (packed, name, extra, comment) = (long(at + 20), word(at + 28), word(at + 30), word(at + 32));
        let text = String::from_utf8(zip[at + 46..at + 46 + name].to_vec()).unwrap();
        let local = long(at + 42);
        let from = local + 30 + word(local + 26) + word(local + 28);
        let mut bytes = Vec::new();
        let body = &zip[from..from + packed];
        match word(at + 10) {
            0 => bytes.extend_from_slice(body),
            _ => {
                flate2::read::DeflateDecoder::new(body).read_to_end(&mut bytes).unwrap();
            }
        }
        if !text.ends_with('/') {
            out.push((text, bytes));
        }
        at += 46 + name + extra + comment;
    }
    out
}

#[test]
fn the_documents_of_hl7() {
    let Some(tally) = folder("hl7-examples/documents") else { return };
    // 46 problems, of which four are told twice and one has a broken date; 106 results, of which one has a broken date.
    tally.says([
        ("condition", 41),
        ("drug_exposure", 26),
        ("measurement", 105),
        ("patient", 20),
        ("procedure", 21),
        ("visit", 7),
    ]);
    // Five files are fragments without a recordTarget.
    tally.refused([(Reason::BadDate, 3), (Reason::MissingPatient, 5)]);
}

#[test]
fn the_documents_of_microsofts_converter() {
    let Some(tally) = folder("microsoft") else { return };
    // 53 problems, of which four are told twice and one has a broken date.
    tally.says([
        ("condition", 48),
        ("drug_exposure", 38),
        ("measurement", 144),
        ("patient", 22),
        ("procedure", 30),
        ("visit", 14),
    ]);
    tally.refused([(Reason::BadDate, 2), (Reason::UnknownLevel, 1)]);
}

#[test]
fn the_documents_of_nist() {
    let Some(tally) = folder("nist-hl7-samples") else { return };
    // 20 problems, of which three are told twice in the same words.
    tally.says([
        ("condition", 17),
        ("drug_exposure", 40),
        ("measurement", 80),
        ("patient", 11),
        ("procedure", 12),
        ("visit", 8),
    ]);
    tally.refused([]);
}

#[test]
fn three_hundred_synthetic_documents() {
    let Some(path) = shared("emerge-300.zip") else { return };
    let mut tally = Tally::default();
    for (name, bytes) in unzip(&path) {
        tally.take(&name, bytes);
    }
    // Told twice in the same document: 13 procedures, 4 results, 2 problems.
    tally.says([
        ("condition", 1126 - 2),
        ("drug_exposure", 1400),
        ("measurement", 4328 - 4),
        ("patient", 300),
        ("procedure", 1064 - 13),
        ("visit", 1581),
    ]);
    // Visits whose only code is one of a place or of a service; they are kept as outpatients'.
    tally.refused([(Reason::UnknownLevel, 274)]);
    // All 300 name the same patient, as they were made from one pattern.
    assert_eq!(tally.persons.len(), 1);
    assert!(tally.kept.iter().all(|r| r.table() != Table::Death));
}
