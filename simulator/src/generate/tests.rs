//! The whole way round: what is generated is read by the adapters, and the truth comes out of the records.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use super::*;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use adapters::{AdapterError, Context, Extract, Quarantined, Sink};
use schema::record::Pseudonyms;
use schema::{Cell, Key, Record, Table};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("insitu-generate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the records say of one person.
#[derive(Default)]
struct Found {
    sex: String,
    birth_year: i64,
    died: bool,
    index: Option<i32>,
    failure: Vec<i32>,
    /// LOINC code, date, time, standard value.
    values: Vec<(String, i32, i64, f64)>,
}

#[derive(Default)]
struct Records {
    persons: HashMap<Key, Found>,
    records: u64,
    bad: Vec<Quarantined>,
    tables: BTreeMap<&'static str, u64>,
}

fn text(r: &Record, column: &str) -> String {
    match r.get(column) {
        Cell::Text(t) => t.to_string(),
        _ => String::new(),
    }
}

impl Sink for Records {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.records += 1;
        *self.tables.entry(r.table().name()).or_default() += 1;
        let Cell::Key(person) = r.get("person_key") else { panic!("no person") };
        let found = self.persons.entry(*person).or_default();
        let date = match r.get("event_date") {
            Cell::Date(d) => *d,
            _ => i32::MIN,
        };
        match r.table() {
            Table::Patient => {
                found.sex = text(&r, "sex");
                let Cell::Int(year) = r.get("birth_year") else { panic!("no birth") };
                found.birth_year = *year;
            }
            Table::Death => found.died = true,
            Table::Condition if text(&r, "code").starts_with("E11") => {
                found.index = Some(found.index.map_or(date, |d| d.min(date)));
            }
            Table::Condition if text(&r, "code").starts_with("I50") => found.failure.push(date),
            Table::Measurement => {
                let Cell::Real(value) = r.get("value_std") else { panic!("{} without a unit", text(&r, "code")) };
                let at = match r.get("t_event") {
                    Cell::Instant(at) => *at,
                    _ => 0,
                };
                found.values.push((text(&r, "code"), date, at, *value));
            }
            _ => {}
        }
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
}

impl Found {
    fn last(&self, codes: &[&str]) -> String {
        let index = self.index.unwrap();
        self.values
            .iter()
            .filter(|(code, date, _, _)| codes.contains(&code.as_str()) && *date <= index)
            .max_by_key(|(_, date, at, _)| (*date, *at))
            .map_or_else(String::new, |(_, _, _, v)| v.to_string())
    }

    /// The person's line of `truth.csv`, from the sex on.
    fn truth(&self) -> String {
        let Some(index) = self.index else { return format!("{},,0,,,,", self.sex) };
        let year = i64::from(chrono::Datelike::year(&chrono::NaiveDate::from_epoch_days(index).unwrap()));
        let outcome = self.failure.iter().any(|d| (1..=365).contains(&(d - index)));
        format!(
            "{},{},1,{},{},{},{}",
            self.sex,
            year - self.birth_year,
            self.last(&["4548-4", "59261-8"]),
            self.last(&["8480-6"]),
            self.last(&["2160-0", "14682-9"]),
            u8::from(outcome)
        )
    }
}

/// A value of `site.toml`, which the generator writes one a line.
fn setting(toml: &str, key: &str) -> String {
    let line = toml.lines().find(|l| l.starts_with(&format!("{key} = "))).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// Reads a site as its agent would.
fn read(root: &Path) -> (Records, String) {
    let site = fs::read_to_string(root.join("site.toml")).unwrap();
    let source = site.split("[[source]]").nth(1).unwrap();
    let source_system = setting(source, "name");
    let mapping = fs::read_to_string(root.join("mapping.toml")).ok();
    let adapter = adapters::open(&setting(source, "format"), mapping.as_deref(), "mapping.toml").unwrap();
    let context = Context {
        source_system: source_system.clone(),
        zone: setting(&site, "time_zone").parse().unwrap(),
        pseudonyms: Pseudonyms::new(&[5; 32]),
        linkage: None,
        ingest_micros: 0,
        revision: 1,
    };
    let mut records = Records::default();
    for entry in fs::read_dir(root.join("extract")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(adapter.accepts(name), "{name}");
        let extract = Extract { name, reader: adapters::reader(&path).unwrap() };
        adapter.read(&context, extract, &mut records).unwrap();
    }
    (records, source_system)
}

#[test]
fn the_truth_comes_out_of_the_records() {
    let folder = Folder::new("truth");
    let options = Options { sites: 16, patients: 200, seed: 7, out: folder.0.clone() };
    let summary = generate(&options, &mut |_, _| {}).unwrap();
    let truth = fs::read_to_string(folder.0.join("truth.csv")).unwrap();
    assert_eq!(truth.lines().count() as u64, summary.patients() + 1);
    let mut compared = 0u64;
    for site in &summary.sites {
        let (records, source) = read(&folder.0.join(&site.id));
        println!(
            "{} ({}): {} patients, {} rows, {} records, {} in quarantine; {:?}",
            site.id,
            site.dialect,
            site.patients,
            site.rows,
            records.records,
            records.bad.len(),
            records.tables
        );
        assert_eq!(records.bad.len() as u64, site.dirty, "{:?}", records.bad);
        assert_eq!(records.persons.len() as u64, site.patients);
        let pseudonyms = Pseudonyms::new(&[5; 32]);
        for line in truth.lines().filter(|l| l.starts_with(&format!("{},", site.id))) {
            let mut parts = line.splitn(3, ',');
            let (person, rest) = (parts.nth(1).unwrap(), parts.next().unwrap());
            let found = records.persons.get(&pseudonyms.key(&["person", &source, person])).unwrap();
            assert_eq!(found.truth(), rest, "{line}");
            compared += 1;
        }
        for table in ["patient", "visit", "condition", "measurement", "drug_exposure", "procedure"] {
            assert!(records.tables.get(table).is_some_and(|n| *n > 20), "{table} at {}", site.id);
        }
    }
    assert_eq!(compared, summary.patients());
    assert!(summary.dirty() > 0);
}

#[test]
fn the_world_is_as_described() {
    let folder = Folder::new("world");
    let options = Options { sites: 8, patients: 1000, seed: 3, out: folder.0.clone() };
    let summary = generate(&options, &mut |_, _| {}).unwrap();
    let truth = fs::read_to_string(folder.0.join("truth.csv")).unwrap();
    let rows: Vec<Vec<&str>> = truth.lines().skip(1).map(|l| l.split(',').collect()).collect();
    let cohort: Vec<_> = rows.iter().filter(|r| r[4] == "1").collect();
    let share = cohort.len() as f64 / rows.len() as f64;
    assert!((share - 0.8).abs() < 0.02, "{share}");
    let mean = |i: usize| {
        let values: Vec<f64> = cohort.iter().filter_map(|r| r[i].parse().ok()).collect();
        let missing = 1.0 - values.len() as f64 / cohort.len() as f64;
        (values.iter().sum::<f64>() / values.len() as f64, missing)
    };
    for (column, want, tolerance) in [(3, 66.0, 1.0), (5, 55.0, 0.7), (6, 135.0, 0.8), (7, 85.0, 1.2)] {
        let (got, missing) = mean(column);
        assert!((got - want).abs() < tolerance, "column {column}: {got}");
        assert!(column == 3 || (missing - 0.05).abs() < 0.015, "column {column}: {missing}");
    }
    let (outcome, _) = mean(8);
    assert!((0.1..0.3).contains(&outcome), "{outcome}");
    assert!(summary.sites.iter().all(|s| (500..=2000).contains(&s.patients)));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let (a, b, c) = (Folder::new("a"), Folder::new("b"), Folder::new("c"));
    for (folder, seed) in [(&a, 1), (&b, 1), (&c, 2)] {
        let options = Options { sites: 8, patients: 20, seed, out: folder.0.clone() };
        generate(&options, &mut |_, _| {}).unwrap();
    }
    let truth = |f: &Folder| fs::read(f.0.join("truth.csv")).unwrap();
    assert_eq!(truth(&a), truth(&b));
    assert_ne!(truth(&a), truth(&c));
    for file in ["de-01/extract/labor.csv", "gb-01/extract/Observation.ndjson", "fr-01/mapping.toml"] {
        assert_eq!(fs::read(a.0.join(file)).unwrap(), fs::read(b.0.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn forty_sites_are_quick() {
    let folder = Folder::new("forty");
    let began = Instant::now();
    let options = Options { sites: 40, patients: 1000, seed: 1, out: folder.0.clone() };
    let mut last = (0, 0);
    let summary = generate(&options, &mut |done, total| last = (done, total)).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    println!("40 sites, {} patients, {} rows in {seconds:.1} s", summary.patients(), summary.rows());
    assert_eq!(last, (summary.patients(), summary.patients()));
    let began = Instant::now();
    let mut total = 0;
    for site in &summary.sites {
        total += read(&folder.0.join(&site.id)).0.records;
    }
    println!("read: {total} records in {:.1} s", began.elapsed().as_secs_f64());
}
