//! Real extracts: the Synthea FHIR export and the four hospitals of UCI Heart Disease, with their published counts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod given;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Instant;

use adapters::{Adapter, AdapterError, Context, Extract, Quarantined, Read, Sink};
use given::shared;
use schema::{Cell, Record, Table};

/// Counts; keeps the records of small files only.
#[derive(Default)]
struct Tally {
    tables: BTreeMap<&'static str, u64>,
    persons: HashSet<[u8; 16]>,
    male: u64,
    standardised: u64,
    units_without: BTreeMap<String, u64>,
    kept: Vec<Record>,
    keys: HashSet<[u8; 16]>,
    bad: Vec<Quarantined>,
}

impl Sink for Tally {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        assert_eq!(r.missing(), None);
        // What nothing says, such as that a living patient is dead, takes back what an older version said.
        if r.get("op") == &Cell::from("retract") {
            return Ok(());
        }
        // A death and its cause are told by two resources, of one record.
        if r.table() == Table::Death
            && let Cell::Key(k) = r.get("record_key")
            && self.keys.contains(k)
        {
            return Ok(());
        }
        *self.tables.entry(r.table().name()).or_default() += 1;
        if let Cell::Key(k) = r.get("person_key") {
            self.persons.insert(*k);
        }
        if let Cell::Key(k) = r.get("record_key") {
            assert!(self.keys.insert(*k), "a record key comes twice");
        }
        if r.table() == Table::Patient && r.get("sex") == &Cell::from("M") {
            self.male += 1;
        }
        if r.table() == Table::Measurement {
            match (r.get("value_std"), r.get("unit_src")) {
                (Cell::Real(_), _) => self.standardised += 1,
                (_, Cell::Text(unit)) => *self.units_without.entry(unit.to_string()).or_default() += 1,
                _ => {}
            }
        }
        if self.kept.len() < 20_000 {
            self.kept.push(r);
        }
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
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

fn read(adapter: &dyn Adapter, path: &Path, tally: &mut Tally) -> Read {
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(adapter.accepts(name), "{name}");
    let began = Instant::now();
    let extract = Extract { name, reader: adapters::reader(path).unwrap() };
    let read = adapter.read(&context(), extract, tally).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{name}: {read:?}, {:.0} items/s, {:.0} records/s",
        read.items as f64 / seconds,
        read.records as f64 / seconds
    );
    read
}

#[test]
fn four_hundred_synthea_patients() {
    let Some(folder) = shared("fhir-r4-ndjson-synthea") else { return };
    let adapter = adapters::open("fhir-ndjson", None, "").unwrap();
    let mut tally = Tally::default();
    for (file, items, skipped) in [
        ("Patient", 400, 0),
        ("Encounter", 11_158, 0),
        ("Condition", 2_894, 0),
        ("Procedure", 8_395, 0),
        ("MedicationRequest", 3_047, 0),
        ("Observation", 56_279, 0),
        ("Organization", 102, 102),
    ] {
        let got = read(adapter.as_ref(), &folder.join(format!("{file}.ndjson.gz")), &mut tally);
        assert_eq!((got.items, got.skipped, got.quarantined), (items, skipped, 0), "{file}");
    }
    assert_eq!(tally.bad, []);
    let want: BTreeMap<&str, u64> = [
        ("patient", 400),
        ("death", 74),
        ("visit", 11_158),
        ("condition", 2_894),
        ("procedure", 8_395),
        ("drug_exposure", 3_047),
        // 3,581 lines have components only, two each.
        ("measurement", 56_279 - 3_581 + 2 * 3_581),
    ]
    .into();
    assert_eq!(tally.tables, want);
    assert_eq!((tally.persons.len(), tally.male), (400, 222));
    println!("standardised {}; without: {:?}", tally.standardised, tally.units_without);
    assert!(tally.standardised > 40_000);
}

#[test]
fn visits_and_events_meet_by_their_keys() {
    let Some(folder) = shared("fhir-r4-ndjson-synthea") else { return };
    let adapter = adapters::open("fhir-ndjson", None, "").unwrap();
    let mut visits = Tally::default();
    read(adapter.as_ref(), &folder.join("Encounter.ndjson.gz"), &mut visits);
    let keys: HashSet<[u8; 16]> = visits.kept.iter().filter_map(|r| key(r, "visit_key")).collect();
    let mut events = Tally::default();
    read(adapter.as_ref(), &folder.join("Condition.ndjson.gz"), &mut events);
    assert!(events.kept.iter().all(|r| key(r, "visit_key").is_some_and(|k| keys.contains(&k))));
    let classes = |c: &str| visits.kept.iter().filter(|r| r.get("class") == &Cell::from(c)).count();
    assert_eq!((classes("OP"), classes("ER"), classes("IP")), (10_232, 570, 356));
}

fn key(r: &Record, column: &str) -> Option<[u8; 16]> {
    match r.get(column) {
        Cell::Key(k) => Some(*k),
        _ => None,
    }
}

#[test]
fn four_hospitals_of_heart_disease() {
    let Some(folder) = shared("uci-heart-disease") else { return };
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/heart-disease/sites");
    // Patients, and cells that are null, both as published.
    for (site, patients, null) in [
        ("cleveland", 303, 4 + 2),
        ("hungarian", 294, 1 + 23 + 8 + 1 + 1 + 1 + 190 + 291 + 266),
        ("switzerland", 123, 2 + 75 + 1 + 1 + 1 + 6 + 17 + 118 + 52),
        ("va", 200, 56 + 7 + 7 + 53 + 53 + 56 + 102 + 198 + 166),
    ] {
        let mapping = std::fs::read_to_string(examples.join(site).join("mapping.toml")).unwrap();
        let adapter = adapters::open("csv", Some(&mapping), "mapping.toml").unwrap();
        let mut tally = Tally::default();
        let got = read(adapter.as_ref(), &folder.join(format!("processed.{site}.data")), &mut tally);
        assert_eq!((got.items, got.quarantined, got.skipped), (patients, 0, 0));
        assert_eq!(tally.tables.get("patient"), Some(&patients));
        assert_eq!(tally.tables.get("measurement"), Some(&(patients * 13 - null)), "{site}");
        assert_eq!(tally.persons.len() as u64, patients);
        assert!(tally.units_without.is_empty(), "{:?}", tally.units_without);
        let zero_chol = tally
            .kept
            .iter()
            .filter(|r| r.get("code") == &Cell::from("2093-3") && r.get("value_num") == &Cell::Real(0.0))
            .count();
        assert_eq!(
            zero_chol,
            match site {
                "switzerland" => 123,
                "va" => 49,
                _ => 0,
            }
        );
        assert!(tally.kept.iter().all(|r| r.get("event_date") == &Cell::Null));
    }
}

#[test]
fn a_gzip_cut_in_the_middle_keeps_its_first_half() {
    let Some(folder) = shared("fhir-r4-ndjson-synthea") else { return };
    let bytes = std::fs::read(folder.join("Condition.ndjson.gz")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Condition.ndjson.gz");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let adapter = adapters::open("fhir-ndjson", None, "").unwrap();
    let mut tally = Tally::default();
    let got = read(adapter.as_ref(), &path, &mut tally);
    assert!(got.records > 500 && got.quarantined == 1, "{got:?}");
    assert_eq!(tally.bad[0].reason.code(), "truncated");
    assert_eq!(tally.bad[0].line, got.records + 1);
}

/// A larger file, to see how fast CSV is.
#[test]
fn a_long_laboratory_file() {
    use std::fmt::Write;
    let mapping = r#"
format = "csv"
[[file]]
match = "*.csv"
delimiter = ";"
decimal = ","
dates = ["%d.%m.%Y %H:%M"]
person = { column = "p" }
[[file.row]]
table = "measurement"
id = ["n"]
[file.row.set]
code_system = "loinc"
code = { column = "t", map = { HBA1C = "4548-4" } }
value_num = { column = "v" }
unit_src = { column = "u" }
event = { column = "d" }
"#;
    let mut text = "n;p;t;v;u;d\n".to_owned();
    for i in 0..50_000 {
        writeln!(text, "{i};P{};HBA1C;{},{};%;{:02}.03.2023 08:{:02}", i % 1000, 5 + i % 5, i % 10, 1 + i % 28, i % 60)
            .unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labor.csv");
    std::fs::write(&path, text).unwrap();
    let adapter = adapters::open("csv", Some(mapping), "mapping.toml").unwrap();
    let mut tally = Tally::default();
    let got = read(adapter.as_ref(), &path, &mut tally);
    assert_eq!(got, Read { items: 50_000, records: 50_000, quarantined: 0, skipped: 0 });
}
