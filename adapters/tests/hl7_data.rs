//! HL7 v2 messages as others wrote them: what is read of them, file by file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod given;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapters::{AdapterError, Context, Extract, Quarantined, Read, Sink};
use given::shared;
use schema::{Cell, Record};

#[derive(Default)]
struct Tally {
    tables: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<String, u64>,
    keys: std::collections::HashSet<[u8; 16]>,
    standardised: u64,
}

impl Sink for Tally {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        assert_eq!(r.missing(), None);
        // A result that is not there yet, a record that stands for others, and what a bare number may mean, are no rows.
        let is_none = ["unknown", "preliminary"].iter().any(|s| r.get("status") == &Cell::from(*s));
        if r.get("op") == &Cell::from("retract") && is_none {
            return Ok(());
        }
        *self.tables.entry(r.table().name()).or_default() += 1;
        if let Cell::Key(k) = r.get("record_key") {
            self.keys.insert(*k);
        }
        self.standardised += u64::from(matches!(r.get("value_std"), Cell::Real(_)));
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        let place = q.detail.split(": ").next().unwrap_or_default();
        let place = place.rsplit(", ").next().unwrap_or_default();
        let field: String =
            place.chars().filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '-' || *c == '[').collect();
        let field = field
            .split_once('[')
            .map_or(field.clone(), |(s, f)| format!("{s}-{}", f.rsplit('-').next().unwrap_or_default()));
        *self.reasons.entry(format!("{} {field}", q.reason.code())).or_default() += 1;
        Ok(())
    }
}

fn read(folder: &Path) -> (Tally, Read) {
    let ctx = Context {
        source_system: "test".to_owned(),
        zone: chrono_tz::Europe::London,
        pseudonyms: schema::record::Pseudonyms::new(&[9; 32]),
        linkage: None,
        ingest_micros: 1_900_000_000_000_000,
        revision: 1,
    };
    // Most of these messages were written for tests, and some say so.
    let settings = adapters::Settings::default();
    let adapter = adapters::open_with("hl7v2", None, "", settings).unwrap();
    let (mut tally, mut all) = (Tally::default(), Read::default());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let reader = adapters::reader(&path).unwrap();
        let read = adapter.read(&ctx, Extract { name: &name, reader }, &mut tally).unwrap();
        all.items += read.items;
        all.records += read.records;
        all.quarantined += read.quarantined;
        all.skipped += read.skipped;
    }
    println!(
        "{}: {all:?}\n  {:?}\n  {:?}\n  {} keys, {} standardised",
        folder.display(),
        tally.tables,
        tally.reasons,
        tally.keys.len(),
        tally.standardised
    );
    (tally, all)
}

#[test]
fn simhospital() {
    let Some(folder) = shared("hl7v2/simhospital") else { return };
    let (tally, all) = read(&folder);
    assert_eq!((all.items, all.quarantined, all.skipped), (744, 0, 0));
    let want: BTreeMap<&str, u64> = [("measurement", 2481), ("patient", 746), ("visit", 595)].into();
    assert_eq!(tally.tables, want);
    // A score out of `/10` has no unit.
    assert_eq!(tally.standardised, 692);
}

#[test]
fn microsoft() {
    let Some(folder) = shared("hl7v2/microsoft") else { return };
    let (tally, all) = read(&folder);
    // 18 messages without a row, and the observations of 31 that are no reports.
    assert_eq!((all.items, all.skipped), (93, 18 + 31));
    // An A45 does not say whose the visit was; one ORU and four OUL have observations of the patient, before every order.
    let want = [("bad_date ORC-15", 1), ("missing_id MRG-5", 1), ("missing_id OBX-3", 5)];
    assert_eq!(tally.reasons, want.map(|(reason, n)| (reason.to_owned(), n)).into());
    // Of the charges one diagnosis and three procedures are in no DG1 and no PR1 of their messages.
    for (table, rows) in
        [("condition", 34 + 1), ("drug_exposure", 11), ("measurement", 39), ("procedure", 17 + 3), ("visit", 30)]
    {
        assert_eq!(tally.tables.get(table), Some(&rows), "{table}");
    }
}

#[test]
fn the_others() {
    for folder in ["linuxforhealth", "hapi", "hl7-parser-rs", "python-hl7"] {
        let Some(folder) = shared(&format!("hl7v2/{folder}")) else { return };
        let (tally, all) = read(&folder);
        assert!(all.records > 0 && all.quarantined <= 10, "{:?}", tally.reasons);
    }
}
