//! FHIR files as they come: counts that were made apart from this code, and the same patients in both shapes.
//!
//! The counts are by a Python script over the same files: for each resource the rows that its type gives, an Observation one
//! row a component, and one for itself where it has a `value[x]` or no component.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod given;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use adapters::{Adapter, AdapterError, Context, Extract, Quarantined, Read, Sink};
use given::shared;
use schema::{Cell, Record};

#[derive(Default)]
struct Kept {
    records: Vec<Record>,
    bad: Vec<Quarantined>,
    skipped: BTreeMap<String, u64>,
}

impl Sink for Kept {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        assert_eq!(r.missing(), None);
        self.records.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
    fn skipped(&mut self, kind: &str) {
        *self.skipped.entry(kind.to_owned()).or_default() += 1;
    }
}

impl Kept {
    fn tables(&self) -> BTreeMap<&'static str, u64> {
        // A death and its cause are told apart, and are one row in the end.
        let rows: BTreeSet<(&str, String)> =
            self.told().map(|r| (r.table().name(), format!("{:?}", r.get("record_key")))).collect();
        let mut out = BTreeMap::new();
        for (table, _) in rows {
            *out.entry(table).or_default() += 1;
        }
        out
    }

    fn persons(&self) -> HashSet<[u8; 16]> {
        self.told().filter_map(person).collect()
    }

    /// The rows that are not taken back.
    fn told(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|r| r.get("op") == &Cell::from("upsert"))
    }
}

fn person(r: &Record) -> Option<[u8; 16]> {
    match r.get("person_key") {
        Cell::Key(k) => Some(*k),
        _ => None,
    }
}

fn context() -> Context {
    Context {
        source_system: "test".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[9; 32]),
        linkage: None,
        ingest_micros: 0,
        revision: 1,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.is_file());
    all.sort();
    all
}

/// Reads a folder as a site does: what others need first, then each file.
fn folder(path: &Path) -> (Kept, Vec<(String, Read)>) {
    let adapter = adapters::open("fhir", None, "").unwrap();
    let (mut kept, mut reads) = (Kept::default(), Vec::new());
    let named = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
    let all: Vec<PathBuf> = files(path).into_iter().filter(|p| adapter.accepts(&named(p))).collect();
    for path in all.iter().filter(|p| adapter.surveys(&named(p))) {
        let extract = Extract { name: &named(path), reader: adapters::reader(path).unwrap() };
        adapter.survey(extract).unwrap();
    }
    for path in &all {
        reads.push((named(path), read(adapter.as_ref(), path, &mut kept)));
    }
    (kept, reads)
}

fn read(adapter: &dyn Adapter, path: &Path, kept: &mut Kept) -> Read {
    let name = path.file_name().unwrap().to_str().unwrap();
    adapter.read(&context(), Extract { name, reader: adapters::reader(path).unwrap() }, kept).unwrap()
}

#[test]
fn bundles_and_lines_of_the_same_patients_give_the_same_rows() {
    let (Some(bundles), Some(lines)) = (shared("fhir-r4-bundles-synthea"), shared("fhir-r4-ndjson-synthea")) else {
        return;
    };
    let (bundles, reads) = folder(&bundles);
    assert_eq!(bundles.bad, []);
    assert_eq!(reads.iter().map(|(_, r)| r.items).sum::<u64>(), 6_093);
    let want: BTreeMap<&str, u64> = [
        ("patient", 25),
        ("death", 5),
        ("visit", 568),
        ("condition", 164),
        ("measurement", 2_860),
        ("drug_exposure", 423),
        ("procedure", 644),
    ]
    .into();
    assert_eq!(bundles.tables(), want);
    let (lines, _) = folder(&lines);
    assert_eq!(lines.bad, []);
    let persons = bundles.persons();
    assert_eq!(persons.len(), 25);
    // Where in its file a row stands is another thing.
    let text = |r: &Record| format!("{:?} {:?}", r.table(), r.cells());
    let sorted = |all: &Kept| -> BTreeSet<String> {
        all.told().filter(|r| person(r).is_some_and(|p| persons.contains(&p))).map(text).collect()
    };
    let (a, b) = (sorted(&bundles), sorted(&lines));
    assert_eq!(a.len(), bundles.told().count());
    assert!(a == b, "{} and {} rows; the first apart: {:?}", a.len(), b.len(), a.symmetric_difference(&b).next());
}

#[test]
fn every_line_of_synthea_by_its_kind() {
    let Some(path) = shared("fhir-r4-ndjson-synthea") else { return };
    let (kept, reads) = folder(&path);
    assert_eq!(reads.iter().map(|(_, r)| r.items).sum::<u64>(), 93_365);
    let want: BTreeMap<&str, u64> = [
        ("patient", 400),
        ("death", 74),
        ("visit", 11_158),
        ("condition", 2_894),
        ("measurement", 59_860),
        ("drug_exposure", 3_047 + 4_779),
        ("procedure", 8_395),
    ]
    .into();
    assert_eq!(kept.tables(), want);
    let skipped: BTreeMap<String, u64> = [
        ("AllergyIntolerance", 231),
        ("CarePlan", 1_080),
        ("DiagnosticReport", 3_970),
        ("Goal", 731),
        ("ImagingStudy", 197),
        ("Organization", 102),
        ("Practitioner", 102),
    ]
    .map(|(kind, n)| (kind.to_owned(), n))
    .into();
    assert_eq!(kept.skipped, skipped);
}

#[test]
fn a_bulk_export_by_its_files() {
    let Some(path) = shared("fhir-r4-bulk-export-10") else { return };
    let (kept, reads) = folder(&path);
    assert_eq!(kept.bad, []);
    let got: BTreeMap<&str, (u64, u64, u64)> =
        reads.iter().map(|(name, r)| (name.split('.').next().unwrap(), (r.items, r.records, r.skipped))).collect();
    let want = [
        ("AllergyIntolerance", (11, 0, 11)),
        ("Condition", (555, 555, 0)),
        ("Device", (16, 0, 16)),
        ("DocumentReference", (1_215, 0, 1_215)),
        ("Encounter", (1_215, 1_215, 0)),
        ("Immunization", (161, 161, 0)),
        ("Location", (44, 0, 44)),
        ("MedicationRequest", (1_745, 1_745, 0)),
        ("Organization", (43, 0, 43)),
        // Each with a death, or that there is none: three of the thirteen have died.
        ("Patient", (13, 26, 0)),
        ("Practitioner", (43, 0, 43)),
        ("PractitionerRole", (43, 0, 43)),
        ("Procedure", (2_056, 2_056, 0)),
        ("log", (4, 0, 4)),
    ]
    .into();
    assert_eq!(got, want);
    assert_eq!(kept.persons().len(), 13);
    // Every Encounter names its place by a search, which holds an identifier.
    let wards =
        kept.records.iter().filter(|r| r.table() == schema::Table::Visit && r.get("ward") != &Cell::Null).count();
    assert_eq!(wards, 1_215);
}

#[test]
fn the_files_of_another_server() {
    let Some(path) = shared("fhir-r4-ndjson-pathling") else { return };
    let (kept, reads) = folder(&path);
    assert_eq!(kept.bad, []);
    assert_eq!(reads.len(), 6);
    let want: BTreeMap<&str, u64> =
        [("patient", 109), ("death", 4), ("visit", 3_697), ("condition", 639 + 71), ("measurement", 1_585)].into();
    assert_eq!(kept.tables(), want);
    assert_eq!(kept.persons().len(), 109);
}
