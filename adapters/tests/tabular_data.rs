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
        Cell::Text(t) => t.to_string(),
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

fn number(r: &Record, column: &str) -> f64 {
    match r.get(column) {
        Cell::Real(v) => *v,
        Cell::Int(v) => *v as f64,
        Cell::Date(v) => f64::from(*v),
        _ => f64::NAN,
    }
}

fn days(r: &Record, from: &str, to: &str) -> f64 {
    number(r, to) - number(r, from)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6 * b.abs().max(1.0)
}

/// The code systems: `SELECT CASE WHEN s.vocabulary_id IN (those named by the mapping) THEN s.vocabulary_id WHEN d.vocabulary_id IN
/// (...) THEN d.vocabulary_id WHEN x_concept_id <> 0 OR x_source_concept_id <> 0 THEN 'concept' ELSE 'source' END, count(*) FROM x LEFT
/// JOIN CONCEPT s ON x_source_concept_id = s.concept_id LEFT JOIN CONCEPT d ON x_concept_id = d.concept_id GROUP BY 1`.
#[test]
fn omop_as_csv() {
    let Some(folder) = shared("omop-synthea-1k") else { return };
    let gold = take("omop", None, &folder);
    assert_eq!(gold.bad, []);
    let want = [
        ("condition", 7_900),
        ("drug_exposure", 29_518),
        ("measurement", 199_514 + 8_518),
        ("observation_period", 1_126),
        ("patient", 1_130),
        ("procedure", 17_333),
        ("visit", 32_153),
    ];
    assert_eq!(gold.tables(), want);
    assert_eq!(gold.persons.len(), 1_130);
    let ignored: Vec<&str> = gold.ignored.iter().map(String::as_str).collect();
    assert_eq!(ignored, ["CONCEPT.csv.gz", "CONDITION_ERA.csv.gz", "DRUG_ERA.csv.gz", "SOURCE.md"]);
    let of = |t, c, v| gold.count(t, c, v);
    assert_eq!((of(Table::Patient, "sex", "M"), of(Table::Patient, "sex", "F")), (572, 558));
    assert_eq!(["IP", "ER", "OP"].map(|c| of(Table::Visit, "class", c)), [1_001, 1_809, 29_343]);
    let systems = ["http://loinc.org", "http://snomed.info/sct", "urn:insitu:omop-concept", "urn:insitu:omop-source"];
    assert_eq!(
        systems.map(|s| of(Table::Measurement, "code_system", s)),
        [169_656, 24_216 + 8_203, 5_497 + 314, 145 + 1]
    );
    let drugs =
        ["http://hl7.org/fhir/sid/cvx", "http://www.nlm.nih.gov/research/umls/rxnorm", "http://snomed.info/sct"];
    assert_eq!(drugs.map(|s| of(Table::DrugExposure, "code_system", s)), [13_799, 7_808, 7_584]);
    assert_eq!(of(Table::DrugExposure, "end_kind", "explicit"), 24_293);
    assert_eq!(["dispensed", "ordered"].map(|k| of(Table::DrugExposure, "kind", k)), [21_698, 7_820]);
    // Times at midnight are days; an operator of 0 is "equal"; units are empty everywhere.
    assert_eq!(of(Table::Measurement, "t_prec", "day"), 208_032);
    assert_eq!(of(Table::Measurement, "comparator", "eq"), 208_032);
    assert_eq!(of(Table::Measurement, "value_num", "true"), 199_514);
}

/// `SELECT count(*), avg(value_as_number) FROM measurement JOIN concept ON measurement_concept_id = concept_id WHERE concept_code =
/// '8480-6'`, `SELECT sum(visit_end_date - visit_start_date) FROM visit_occurrence`, and so on.
#[test]
fn omop_as_parquet() {
    let Some(folder) = shared("omop-synthea27nj-parquet") else { return };
    let gold = take("omop", None, &folder);
    assert_eq!(gold.bad, []);
    let want = [
        ("condition", 470),
        ("death", 3),
        ("drug_exposure", 883),
        ("measurement", 10_040 + 8_099),
        ("observation_period", 28),
        ("patient", 28),
        ("procedure", 1_649),
        ("visit", 1_791),
    ];
    assert_eq!(gold.tables(), want);
    assert_eq!(gold.count(Table::Measurement, "code_system", "http://loinc.org"), 9_155 + 7_649);
    assert_eq!(gold.count(Table::Measurement, "code_system", "http://snomed.info/sct"), 885 + 450);
    assert_eq!(gold.count(Table::Measurement, "value_num", "true"), 9_107);
    let pressures: Vec<f64> = gold
        .of(Table::Measurement)
        .filter(|r| r.get("code") == &Cell::from("8480-6") && r.get("unit_std") == &Cell::from("mm[Hg]"))
        .map(|r| number(r, "value_std"))
        .collect();
    assert_eq!(pressures.len(), 726);
    assert!(close(pressures.iter().sum::<f64>() / 726.0, 120.706_611_570_247_93));
    let sum = |t, f: &dyn Fn(&Record) -> f64| gold.of(t).map(f).sum::<f64>();
    assert!(close(sum(Table::Visit, &|r| days(r, "start_date", "end_date")), 131.0));
    assert!(close(sum(Table::Patient, &|r| number(r, "birth_year")), 55_546.0));
    assert!(close(sum(Table::Patient, &|r| number(r, "birth_month")), 204.0));
    assert!(close(sum(Table::ObservationPeriod, &|r| days(r, "start_date", "end_date")), 293_940.0));
    assert_eq!(gold.count(Table::DrugExposure, "kind", "dispensed"), 883);
}

/// Text and Parquet of one extract, and every spelling of a file's name, give the same records.
#[test]
fn omop_is_the_same_in_every_spelling() {
    let Some(folder) = shared("omop-synthea-1k") else { return };
    use std::io::Read as _;
    let mut text = String::new();
    adapters::reader(&folder.join("CONDITION_OCCURRENCE.csv.gz")).unwrap().read_to_string(&mut text).unwrap();
    let tabs = text.replace(',', "\t");
    let lower = text.replacen(text.lines().next().unwrap(), &text.lines().next().unwrap().to_uppercase(), 1);
    let read = |name: &str, text: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::copy(folder.join("CONCEPT.csv.gz"), dir.path().join("concept.csv.gz")).unwrap();
        take("omop", None, dir.path()).rows
    };
    let want = read("condition_occurrence.csv", &text);
    assert_eq!(want.len(), 7_900);
    for (name, text) in [
        ("cdm_condition_occurrence.tsv", &tabs),
        ("Condition_Occurrence.CSV", &lower),
        ("omop.condition_occurrence.txt", &text.replace(',', "|")),
    ] {
        assert!(read(name, text) == want, "{name}");
    }
}

/// The days, the events and the sexes are those of `lung.csv`, so that its Kaplan-Meier, log-rank and Cox answers are reached.
#[test]
fn i2b2_is_the_lung_data() {
    let (Some(folder), Some(survival)) = (shared("i2b2-star-lung228"), shared("survival")) else { return };
    let gold = take("i2b2", None, &folder);
    assert_eq!(gold.bad, []);
    let want = [("death", 165), ("measurement", 1_140), ("patient", 228), ("visit", 684)];
    assert_eq!(gold.tables(), want);
    #[derive(Default)]
    struct Person {
        male: bool,
        start: f64,
        end: f64,
        died: bool,
    }
    let mut persons: BTreeMap<[u8; 16], Person> = BTreeMap::new();
    for r in &gold.rows {
        let Cell::Key(key) = r.get("person_key") else { panic!("no person") };
        let person = persons.entry(*key).or_default();
        match (r.table(), show(r.get("code")).as_str()) {
            (Table::Patient, _) => person.male = r.get("sex") == &Cell::from("M"),
            (Table::Measurement, "A168") => person.start = number(r, "event_date"),
            (Table::Measurement, "A125") => person.end = number(r, "event_date"),
            (Table::Measurement, "A125#126:1") => person.died = true,
            _ => {}
        }
    }
    let mut got: Vec<(i64, bool, bool)> =
        persons.values().map(|p| ((p.end - p.start) as i64, p.died, p.male)).collect();
    let lung = std::fs::read_to_string(survival.join("lung.csv")).unwrap();
    let mut want: Vec<(i64, bool, bool)> = lung
        .lines()
        .skip(1)
        .map(|l| l.split(',').collect::<Vec<_>>())
        .map(|f| (f[1].parse().unwrap(), f[2] == "2", f[4] == "1"))
        .collect();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want);
}

/// `SELECT count(*) FILTER (valid number or comparator with number) FROM labevents`, `SELECT count(*), sum(valuenum) FROM labevents
/// JOIN d_labitems USING (itemid) WHERE loinc_code = '2160-0' AND TRY_CAST(value AS DOUBLE) IS NOT NULL`, and so on.
#[test]
fn mimic_iii() {
    let Some(folder) = shared("mimic-iii-demo") else { return };
    let gold = take("mimic-iii", None, &folder);
    assert_eq!(gold.bad, []);
    let want = [
        ("condition", 1_761),
        ("death", 100),
        // 599 rows of inputevents_cv have neither amount nor rate.
        ("drug_exposure", 10_398 + 34_799 - 599 + 13_224 - 2_910),
        ("measurement", 76_074 + 11_320),
        ("patient", 100),
        ("procedure", 506 + 753 - 26),
        ("visit", 129 + 136),
    ];
    assert_eq!(gold.tables(), want);
    assert_eq!(gold.count(Table::Measurement, "code_system", "http://loinc.org"), 72_984);
    // By their signs, and as `LESS THAN 5` and `GREATER THAN 50`:
    // `SELECT count(*) FILTER (value SIMILAR TO '(?i)less than [0-9.]+') FROM labevents`.
    assert_eq!(["lt", "gt", "le"].map(|c| gold.count(Table::Measurement, "comparator", c)), [148 + 39, 45 + 17, 1]);
    assert_eq!(gold.count(Table::DrugExposure, "code_system", "http://hl7.org/fhir/sid/ndc"), 8_920);
    assert_eq!(gold.count(Table::Condition, "role", "primary"), 129);
    assert_eq!(gold.count(Table::Patient, "age_capped", "true"), 8);
    let fibrillation =
        gold.of(Table::Condition).filter(|r| ["427.31", "428.0"].contains(&show(r.get("code")).as_str()));
    assert_eq!(fibrillation.count(), 87);
    let sum = |t, f: &dyn Fn(&Record) -> f64| gold.of(t).map(f).sum::<f64>();
    assert!(close(sum(Table::Patient, &|r| number(r, "birth_year")), 207_837.0));
    let stays = gold.of(Table::Visit).filter(|r| r.get("class") == &Cell::from("IP"));
    assert!(close(stays.map(|r| days(r, "start_date", "end_date")).sum(), 1_205.0));
    let creatinine: Vec<f64> = gold
        .of(Table::Measurement)
        .filter(|r| r.get("code") == &Cell::from("2160-0") && r.get("comparator") == &Cell::from("eq"))
        .map(|r| number(r, "value_num"))
        .filter(|v| v.is_finite())
        .collect();
    assert_eq!(creatinine.len(), 2_174);
    assert!(close(creatinine.iter().sum(), 3_476.4));
}

/// `SELECT count(noninvasivesystolic), ... FROM vitalaperiodic`, `SELECT count(DISTINCT uniquepid) FROM patient WHERE age = '> 89'`,
/// `SELECT sum(hospitaldischargeoffset - hospitaladmitoffset) FROM (SELECT DISTINCT ON (patienthealthsystemstayid) * FROM patient)`.
#[test]
fn eicu() {
    let Some(folder) = shared("eicu-crd-demo") else { return };
    let gold = take("eicu", None, &folder);
    assert_eq!(gold.bad, []);
    let vitals = 162_515 + 162_526 + 163_303 + 115 + 14_042;
    let want = [
        ("condition", 15_821 + 1_509),
        ("death", 126),
        ("drug_exposure", 48_996 + 5_402 + 22_315),
        ("measurement", vitals + 1_640 + 1_584 + 770 + 2_390 + 2_390 + 24),
        ("patient", 1_251),
        ("procedure", 26_531),
        ("visit", 1_468 + 1_677),
    ];
    assert_eq!(gold.tables(), want);
    assert_eq!(gold.persons.len(), 1_251);
    assert_eq!(gold.count(Table::Condition, "code_system", "http://hl7.org/fhir/sid/icd-9-cm"), 13_191);
    assert_eq!(gold.count(Table::Patient, "age_capped", "true"), 56);
    // No event has an instant, since only the year is known; days within a stay are right to the minute's rounding.
    assert_eq!(gold.count(Table::Measurement, "t_prec", "year"), gold.tables["measurement"]);
    assert!(gold.rows.iter().all(|r| r.get("t_event") == &Cell::Null));
    let stays = gold.of(Table::Visit).filter(|r| r.get("parent_visit_key") == &Cell::Null);
    let stayed: f64 = stays.map(|r| days(r, "start_date", "end_date")).sum();
    // Midnights passed differ from minutes by less than a day a stay.
    assert!((stayed - 13_513_755.0 / 1_440.0).abs() < 1_468.0 / 2.0, "{stayed}");
}

/// `SELECT count(*) FROM ...`, `SELECT count(*), sum(VALUE) FROM observations WHERE CODE = '8480-6'`.
#[test]
fn synthea() {
    let Some(folder) = shared("synthea-csv-ca50") else { return };
    let gold = take("synthea-csv", None, &folder);
    assert_eq!(gold.bad, []);
    let want = [
        ("condition", 1_534),
        ("death", 9),
        ("drug_exposure", 1_772 + 891),
        ("measurement", 21_697),
        ("patient", 59),
        ("procedure", 4_637),
        ("visit", 2_590),
    ];
    assert_eq!(gold.tables(), want);
    assert_eq!(gold.count(Table::Measurement, "code_system", "urn:synthea:score"), 1_512);
    let pressure: Vec<f64> = gold
        .of(Table::Measurement)
        .filter(|r| r.get("code") == &Cell::from("8480-6"))
        .map(|r| number(r, "value_std"))
        .collect();
    assert!(pressure.len() == 635 && close(pressure.iter().sum(), 80_461.0));
    let born: f64 = gold.of(Table::Patient).map(|r| number(r, "birth_year")).sum();
    assert!(close(born, 116_780.0));
    // Every event with an encounter meets a visit.
    let visits: HashSet<_> = gold.of(Table::Visit).map(|r| show(r.get("visit_key"))).collect();
    let others = gold.rows.iter().filter(|r| r.table() != Table::Visit && r.get("visit_key") != &Cell::Null);
    assert!(others.map(|r| show(r.get("visit_key"))).all(|k| visits.contains(&k)));
}

/// One row an encounter, many facts: diagnoses, a result in classes, an age in classes, `?` for nothing.
const DIABETES: &str = r#"
format = "csv"
null = ["?"]
[map.hba1c]
">7" = "7"
">8" = "8"
[[file]]
match = "diabetic_data"
person = { column = "patient_nbr" }
[file.column]
hba1c = { column = "A1Cresult", map = "hba1c" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "gender", map = { Female = "F", Male = "M" } }
[[file.row]]
table = "visit"
may_be_open = false
[file.row.set]
class = "IP"
visit = { column = "encounter_id" }
discharge_to = { column = "discharge_disposition_id" }
[[file.row]]
table = "condition"
require = ["diag_1"]
id = ["encounter_id"]
[file.row.set]
code_system = "icd9cm"
code = { column = "diag_1" }
role = "primary"
visit = { column = "encounter_id" }
[[file.row]]
table = "measurement"
only = { A1Cresult = [">7", ">8"] }
id = ["encounter_id"]
[file.row.set]
code_system = "loinc"
code = "4548-4"
value_num = { column = "hba1c" }
comparator = "gt"
unit_src = "%"
visit = { column = "encounter_id" }
"#;

/// `SELECT count(*), count(DISTINCT patient_nbr), count(*) FILTER (diag_1 <> '?') FROM diabetic_data`.
#[test]
fn a_wide_table_of_a_hundred_thousand_encounters() {
    let Some(folder) = shared("diabetes-130-us-hospitals") else { return };
    let gold = take("csv", Some(DIABETES), &folder);
    // Three patients are of both sexes: `SELECT patient_nbr GROUP BY 1 HAVING count(DISTINCT gender) > 1`, without Unknown.
    assert!(gold.bad.len() == 3 && gold.bad.iter().all(|q| q.reason == adapters::Reason::IdReused), "{:?}", gold.bad);
    // What else their rows say is not of the first who had the id.
    let want = [("condition", 101_742), ("measurement", 3_812 + 8_216 - 1), ("patient", 71_518), ("visit", 101_763)];
    assert_eq!(gold.tables(), want);
    let above = gold.of(Table::Measurement).all(|r| {
        r.get("comparator") == &Cell::from("gt")
            && r.get("value_lo") == r.get("value_num")
            && number(r, "value_std") > 50.0
    });
    assert!(above);
}

/// Days from a day that is nobody's: a trial's table without a calendar.
#[test]
fn days_from_a_constant_anchor() {
    let Some(folder) = shared("fed-tcga-brca") else { return };
    let mapping = r#"
format = "csv"
[anchor.diagnosis]
day = "2000-01-01"
unit = "days"
[[file]]
match = "brca.csv"
person = { column = "pid" }
[file.column]
zero = { constant = "0" }
died = { column = "E", map = { "1.0" = "1" } }
[[file.row]]
table = "patient"
[[file.row]]
table = "visit"
may_be_open = false
[file.row.set]
class = "OP"
visit = { column = "pid" }
start = { offset = "zero", anchor = "diagnosis" }
end = { offset = "T", anchor = "diagnosis" }
[[file.row]]
table = "death"
require = ["died"]
[file.row.set]
event = { offset = "T", anchor = "diagnosis" }
"#;
    let gold = take("csv", Some(mapping), &folder);
    assert_eq!(gold.bad, []);
    assert_eq!(gold.tables(), [("death", 151), ("patient", 1_096), ("visit", 1_096)]);
    let text = std::fs::read_to_string(folder.join("brca.csv")).unwrap();
    let want: f64 = text.lines().skip(1).map(|l| l.rsplit(',').next().unwrap().parse::<f64>().unwrap()).sum();
    let got: f64 = gold.of(Table::Visit).map(|r| days(r, "start_date", "end_date")).sum();
    assert!(close(got, want), "{got} {want}");
}

/// A shipped mapping that a site copies and changes takes the shipped one's place, under the same format.
#[test]
fn a_shipped_mapping_can_be_copied() {
    for name in adapters::SHIPPED {
        let text = adapters::shipped(name).unwrap();
        assert!(adapters::FORMATS.contains(name));
        let adapter = adapters::open(name, Some(text), "mine.toml").unwrap();
        assert_eq!(adapter.format(), *name);
        let error = adapters::open("csv", Some(text), "mine.toml").err().unwrap().to_string();
        assert!(error.contains("format is \"csv\" or \"parquet\" here"), "{error}");
    }
    assert!(adapters::shipped("csv").is_none());
}

fn written(format: &str, files: &[(&str, &str)]) -> Gold {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    take(format, None, dir.path())
}

fn cells(gold: &Gold, table: Table, columns: &[&str]) -> Vec<String> {
    let mut rows: Vec<String> =
        gold.of(table).map(|r| columns.iter().map(|c| show(r.get(c))).collect::<Vec<_>>().join(" ")).collect();
    rows.sort();
    rows
}

/// MIMIC-IV is not among the shared data: its columns, as its documentation has them.
#[test]
fn mimic_iv() {
    let gold = written(
        "mimic-iv",
        &[
            (
                "patients.csv",
                "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n1,F,52,2180,2014 - 2016,2182-03-04\n2,M,91,2150,2008 - 2010,\n",
            ),
            (
                "admissions.csv",
                "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,admission_location,discharge_location\n\
                 1,20,2180-05-06 22:23:00,2180-05-07 17:15:00,,URGENT,P1,TRANSFER FROM HOSPITAL,HOME\n\
                 2,21,2150-06-26 18:27:00,2150-06-27 18:49:00,,EU OBSERVATION,P1,EMERGENCY ROOM,\n",
            ),
            (
                "icustays.csv",
                "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los\n1,20,30,MICU,MICU,2180-05-06 23:00:00,2180-05-07 08:00:00,0.4\n",
            ),
            ("diagnoses_icd.csv", "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,20,1,I2510,10\n1,20,2,42731,9\n"),
            (
                "procedures_icd.csv",
                "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version\n1,20,1,2180-05-07,0B110F4,10\n",
            ),
            ("d_labitems.csv", "itemid,label,fluid,category\n50912,Creatinine,Blood,Chemistry\n"),
            (
                "labevents.csv",
                "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,priority,comments\n\
                 1,1,20,9,50912,,2180-05-07 06:00:00,2180-05-07 07:10:00,1.1,1.1,mg/dL,0.4,1.1,,ROUTINE,\n\
                 2,1,20,9,50912,,2180-05-07 06:00:00,2180-05-07 07:10:00,___,,mg/dL,,,,ROUTINE,___\n",
            ),
            (
                "omr.csv",
                "subject_id,chartdate,seq_num,result_name,result_value\n1,2180-04-27,1,Blood Pressure,110/65\n1,2180-04-27,1,Weight (Lbs),150\n",
            ),
            (
                "prescriptions.csv",
                "subject_id,hadm_id,pharmacy_id,poe_id,poe_seq,starttime,stoptime,drug_type,drug,formulary_drug_cd,gsn,ndc,dose_val_rx,dose_unit_rx,route\n\
                 1,20,5,1-1,1,2180-05-07 00:00:00,2180-05-08 22:00:00,MAIN,Furosemide,FURO40,8209,51079007320,40,mg,PO\n\
                 1,20,6,1-2,2,2180-05-07 00:00:00,,BASE,Bag,BAG,,0,1,BAG,IV\n",
            ),
            (
                "emar.csv",
                "subject_id,hadm_id,emar_id,emar_seq,charttime,medication,event_txt,storetime\n1,20,1-1,1,2180-05-07 09:00:00,Furosemide,Administered,\n1,20,1-2,2,2180-05-07 10:00:00,Furosemide,Not Given,\n",
            ),
        ],
    );
    assert_eq!(gold.bad, []);
    let born = cells(&gold, Table::Patient, &["sex", "birth_year", "age_capped"]);
    assert_eq!(born, ["F Int(2128) false", "M Int(2059) true"]);
    assert_eq!(cells(&gold, Table::Visit, &["class", "open"]), ["ICU false", "IP false", "OBS false"]);
    let icd = cells(&gold, Table::Condition, &["code_system", "code", "role"]);
    let want =
        ["http://hl7.org/fhir/sid/icd-10-cm I25.10 primary", "http://hl7.org/fhir/sid/icd-9-cm 427.31 secondary"];
    assert_eq!(icd, want);
    assert_eq!(cells(&gold, Table::Procedure, &["code"]), ["0B110F4"]);
    let drugs = cells(&gold, Table::DrugExposure, &["code_system", "code", "kind"]);
    let want = [
        "http://hl7.org/fhir/sid/ndc 51079007320 ordered",
        "urn:mimic:drug Furosemide given",
        "urn:mimic:formulary BAG ordered",
    ];
    assert_eq!(drugs, want);
    let values = cells(&gold, Table::Measurement, &["code", "value_num", "unit_ucum"]);
    let want = [
        "29463-7 Real(150.0) [lb_av]",
        "50912 Real(1.1) mg/dL",
        "50912 null mg/dL",
        "8462-4 Real(65.0) mm[Hg]",
        "8480-6 Real(110.0) mm[Hg]",
    ];
    assert_eq!(values, want);
    assert_eq!(gold.tables["death"], 1);
}

/// PCORnet's value sets: types of codes, modifiers of results, kinds of encounters, and null in three words.
#[test]
fn pcornet() {
    let gold = written(
        "pcornet",
        &[
            ("demographic.csv", "PATID,BIRTH_DATE,BIRTH_TIME,SEX\n1,1950-03-04,,F\n2,NI,,UN\n"),
            (
                "ENCOUNTER.csv",
                "ENCOUNTERID,PATID,ADMIT_DATE,ADMIT_TIME,DISCHARGE_DATE,DISCHARGE_TIME,ENC_TYPE\n1,1,2020-01-02,08:00,,,IP\n2,1,2020-03-02,,,,AV\n3,1,2020-04-02,,,,NI\n",
            ),
            (
                "DIAGNOSIS.csv",
                "DIAGNOSISID,PATID,ENCOUNTERID,ADMIT_DATE,DX_DATE,DX,DX_TYPE,DX_SOURCE,PDX,DX_POA\n\
                 1,1,1,2020-01-02,,I2510,10,FI,P,Y\n2,1,1,2020-01-02,2020-01-03,427.31,09,FI,S,NI\n3,1,1,2020-01-02,,X1,OT,FI,S,NI\n",
            ),
            (
                "CONDITION.csv",
                "CONDITIONID,PATID,ENCOUNTERID,REPORT_DATE,CONDITION,CONDITION_TYPE\n1,1,,2020-05-01,E119,10\n",
            ),
            (
                "PROCEDURES.csv",
                "PROCEDURESID,PATID,ENCOUNTERID,ADMIT_DATE,PX_DATE,PX,PX_TYPE\n1,1,1,2020-01-02,,99213,CH\n2,1,1,2020-01-02,,J1885,CH\n3,1,1,2020-01-02,,3605,09\n",
            ),
            (
                "LAB_RESULT_CM.csv",
                "LAB_RESULT_CM_ID,PATID,ENCOUNTERID,LAB_LOINC,SPECIMEN_DATE,SPECIMEN_TIME,RESULT_DATE,RESULT_TIME,RESULT_QUAL,RESULT_NUM,RESULT_MODIFIER,RESULT_UNIT,NORM_RANGE_LOW,NORM_RANGE_HIGH\n\
                 1,1,1,1988-5,2020-01-03,07:15,2020-01-03,09:00,NI,5,LT,mg/L,0,5\n2,1,1,5778-6,2020-01-03,,2020-01-03,,YELLOW,,TX,NI,<1,NI\n",
            ),
            (
                "MED_ADMIN.csv",
                "MEDADMINID,PATID,ENCOUNTERID,MEDADMIN_START_DATE,MEDADMIN_START_TIME,MEDADMIN_STOP_DATE,MEDADMIN_STOP_TIME,MEDADMIN_TYPE,MEDADMIN_CODE\n1,1,1,2020-01-03,10:00,2020-01-03,10:30,RX,4603\n",
            ),
            ("DISPENSING.csv", "DISPENSINGID,PATID,DISPENSE_DATE,NDC,DISPENSE_SUP\n1,1,2020-02-01,00006494300,30\n"),
            (
                "IMMUNIZATION.csv",
                "IMMUNIZATIONID,PATID,ENCOUNTERID,VX_ADMIN_DATE,VX_CODE_TYPE,VX_CODE,VX_STATUS\n1,1,1,2020-01-03,CX,140,CP\n2,1,1,2020-01-03,CX,140,ND\n",
            ),
            ("ENROLLMENT.csv", "PATID,ENR_START_DATE,ENR_END_DATE,CHART,ENR_BASIS\n1,2019-01-01,2020-12-31,Y,E\n"),
            ("DEATH.csv", "PATID,DEATH_DATE,DEATH_SOURCE\n1,2021-01-01,S\n"),
        ],
    );
    // A code in a system that has no name here is skipped, not quarantined.
    assert_eq!(gold.bad, []);
    assert_eq!(gold.read["DIAGNOSIS.csv"].skipped, 1);
    assert_eq!(cells(&gold, Table::Patient, &["sex", "birth_year"]), ["F Int(1950)", "U null"]);
    assert_eq!(cells(&gold, Table::Visit, &["class", "open"]), ["IP true", "OP false", "OP false"]);
    assert_eq!(
        cells(&gold, Table::Condition, &["code", "role", "present_on_admission"]),
        ["427.31 secondary null", "E11.9 problem null", "I25.10 primary Y"]
    );
    let procedures = cells(&gold, Table::Procedure, &["code_system", "code"]);
    let want = [
        "http://www.ama-assn.org/go/cpt 99213",
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets J1885",
        "urn:oid:2.16.840.1.113883.6.104 36.05",
    ];
    assert_eq!(procedures, want);
    let results =
        cells(&gold, Table::Measurement, &["code", "comparator", "value_hi", "value_code", "t_prec", "ref_lo"]);
    assert_eq!(results, ["1988-5 lt Real(5.0) null minute Real(0.0)", "5778-6 eq null YELLOW day null"]);
    let drugs = cells(&gold, Table::DrugExposure, &["code", "kind", "days_supply", "end_kind"]);
    assert_eq!(drugs, ["00006494300 dispensed Int(30) null", "140 given null null", "4603 given null explicit"]);
    assert_eq!(cells(&gold, Table::Death, &["death_source"]), ["registry"]);
    assert_eq!(gold.tables["observation_period"], 1);
}
