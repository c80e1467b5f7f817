//! Real extracts under the shipped mappings, against counts that DuckDB gave over the same files. Each test names the query.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod given;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use adapters::{Adapter, AdapterError, Context, Extract, Neighbour, Place, Quarantined, Read, Sink};
use given::shared;
use schema::{Cell, Record, Table};

/// Everything that a folder becomes, with the rows of one identity kept once, as gold keeps them.
#[derive(Default)]
struct Gold {
    read: BTreeMap<String, Read>,
    ignored: BTreeSet<String>,
    keys: HashSet<[u8; 16]>,
    tables: BTreeMap<&'static str, u64>,
    persons: HashSet<[u8; 16]>,
    /// How often a column of a table has a value, for the columns that [`KEEP`] names.
    values: BTreeMap<(&'static str, &'static str), BTreeMap<String, u64>>,
    rows: Vec<Record>,
    bad: Vec<Quarantined>,
}

const KEEP: &[(Table, &str)] = &[
    (Table::Patient, "sex"),
    (Table::Patient, "age_capped"),
    (Table::Visit, "class"),
    (Table::Visit, "open"),
    (Table::Condition, "code_system"),
    (Table::Condition, "std_system"),
    (Table::Condition, "role"),
    (Table::Measurement, "code_system"),
    (Table::Measurement, "comparator"),
    (Table::Measurement, "t_prec"),
    (Table::Measurement, "unit_ucum"),
    (Table::DrugExposure, "code_system"),
    (Table::DrugExposure, "kind"),
    (Table::DrugExposure, "end_kind"),
    (Table::Procedure, "code_system"),
    (Table::Death, "death_source"),
];

fn show(cell: &Cell) -> String {
    match cell {
        Cell::Text(t) => t.clone(),
        Cell::Flag(f) => f.to_string(),
        Cell::Null => "null".to_owned(),
        other => format!("{other:?}"),
    }
}

impl Sink for Gold {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        assert_eq!(r.missing(), None);
        let Cell::Key(key) = r.get("record_key") else { panic!("no key") };
        if let Cell::Key(k) = r.get("person_key") {
            self.persons.insert(*k);
        }
        if !self.keys.insert(*key) {
            return Ok(());
        }
        let table = r.table();
        *self.tables.entry(table.name()).or_default() += 1;
        for (_, column) in KEEP.iter().filter(|(t, _)| *t == table) {
            *self.values.entry((table.name(), column)).or_default().entry(show(r.get(column))).or_default() += 1;
        }
        if table == Table::Measurement {
            for (column, there) in [
                ("value_num", r.get("value_num") != &Cell::Null),
                ("value_std", r.get("value_std") != &Cell::Null),
                ("value_code", r.get("value_code") != &Cell::Null),
            ] {
                let count = self.values.entry((table.name(), column)).or_default();
                *count.entry(there.to_string()).or_default() += 1;
            }
        }
        self.rows.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
}

impl Gold {
    fn count(&self, table: Table, column: &str, value: &str) -> u64 {
        self.values
            .iter()
            .find(|((t, c), _)| *t == table.name() && *c == column)
            .and_then(|(_, v)| v.get(value).copied())
            .unwrap_or(0)
    }

    fn of(&self, table: Table) -> impl Iterator<Item = &Record> {
        self.rows.iter().filter(move |r| r.table() == table)
    }

    fn tables(&self) -> Vec<(&'static str, u64)> {
        self.tables.iter().map(|(t, n)| (*t, *n)).collect()
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

fn folder_files(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    out.sort();
    out
}

fn take(format: &str, mapping: Option<&str>, folder: &Path) -> Gold {
    let adapter = adapters::open(format, mapping, "m.toml").unwrap();
    take_with(adapter.as_ref(), folder)
}

fn take_with(adapter: &dyn Adapter, folder: &Path) -> Gold {
    let mut gold = Gold::default();
    let files = folder_files(folder);
    let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
    for path in &files {
        let file = name(path);
        if !adapter.accepts(&file) {
            gold.ignored.insert(file);
            continue;
        }
        let beside: Vec<Neighbour> = files
            .iter()
            .filter(|p| adapter.beside(&file, &name(p)))
            .map(|p| Neighbour { name: name(p), path: p.clone(), version: String::new() })
            .collect();
        let extract = Extract { name: &file, reader: adapters::reader(path).unwrap() };
        let place = Place { path: Some(path), beside: &beside };
        let read = adapter.read_at(&context(), extract, place, &mut gold).unwrap();
        println!("{file}: {read:?}");
        gold.read.insert(file, read);
    }
    println!("{:#?}", gold.tables);
    println!("{:#?}", gold.values);
    let mut reasons: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for q in &gold.bad {
        *reasons.entry((&q.file, q.reason.code(), &q.detail)).or_default() += 1;
    }
    println!("{reasons:#?}");
    gold
}

#[test]
fn omop_csv() {
    let Some(folder) = shared("omop-synthea-1k") else { return };
    let gold = take("omop", None, &folder);
    assert_eq!(gold.persons.len(), 1);
}
#[test]
fn omop_parquet() {
    let Some(folder) = shared("omop-synthea27nj-parquet") else { return };
    let gold = take("omop", None, &folder);
    assert_eq!(gold.persons.len(), 1);
}
#[test]
fn i2b2() {
    let Some(folder) = shared("i2b2-star-lung228") else { return };
    let gold = take("i2b2", None, &folder);
    assert_eq!(gold.persons.len(), 1);
}
#[test]
fn mimic_iii() {
    let Some(folder) = shared("mimic-iii-demo") else { return };
    let gold = take("mimic-iii", None, &folder);
    assert_eq!(gold.persons.len(), 1);
}
#[test]
fn eicu() {
    let Some(folder) = shared("eicu-crd-demo") else { return };
    let gold = take("eicu", None, &folder);
    assert_eq!(gold.persons.len(), 1);
}
#[test]
fn synthea() {
    let Some(folder) = shared("synthea-csv-ca50") else { return };
    let gold = take("synthea-csv", None, &folder);
    assert_eq!(gold.persons.len(), 1);
}
