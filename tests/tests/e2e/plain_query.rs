//! A Table 1's counts are those of plain loops over the source files: OMOP tables, and FHIR resources.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::harness::simulated_here;
use crate::reference::near;
use insitu_tests::shared_data;

fn lines(path: &Path) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    BufReader::new(MultiGzDecoder::new(file)).lines().map(Result::unwrap)
}

/// Rows of a table of plain CSV, by the names of their columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut lines = lines(path);
    let head: Vec<String> = lines.next().unwrap().split(',').map(str::to_lowercase).collect();
    lines.map(|l| head.iter().cloned().zip(l.split(',').map(str::to_owned)).collect()).collect()
}

const HEAD: &str = r#"
id = "plain"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[rounds]
min_sites = 1
[suppression]
k = 0
[privacy]
epsilon = 1.0
[cohorts.target]
entry = { table = "patient" }
[features.sex]
kind = "sex"
levels = ["F", "M"]
[features.died]
kind = "has"
table = "death"
[features.visits]
kind = "count"
table = "visit"
max = 1000
[features.ill]
kind = "has"
table = "condition"
set = "illness"
"#;

/// Runs a study over one site of a format, and returns its results.
fn one_site(format: &str, data: &Path, study: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("sites/s-0");
    std::fs::create_dir_all(&home).unwrap();
    let toml = format!(
        "id = \"s-0\"\nname = \"Hospital\"\ncountry = \"US\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"x\"\nformat = \"{format}\"\n\
         path = \"{}\"\n",
        data.display()
    );
    std::fs::write(home.join("site.toml"), toml).unwrap();
    simulated_here(dir.path(), &format!("{HEAD}{study}"))
}

const TABLE: &str = "[[analysis]]\nkind = \"table1\"\nvariables = [\"sex\", \"died\", \"ill\", \"visits\"]\n";

#[test]
fn omop() {
    let Some(data) = shared_data("omop-synthea-1k") else { return };
    let table = |name: &str| rows(&data.join(format!("{name}.csv.gz")));
    let people: BTreeMap<String, String> =
        table("PERSON").into_iter().map(|r| (r["person_id"].clone(), r["gender_concept_id"].clone())).collect();
    let of = |gender: &str| people.values().filter(|g| *g == gender).count() as f64;
    let (conditions, visits) = (table("CONDITION_OCCURRENCE"), table("VISIT_OCCURRENCE"));
    // Impaired glucose tolerance: SNOMED 9414007 by the extract's own vocabulary.
    let ill: Vec<(String, String)> = conditions
        .iter()
        .filter(|c| c["condition_concept_id"] == "4311629")
        .map(|c| (c["person_id"].clone(), c["condition_start_date"].clone()))
        .collect();
    let who: BTreeSet<&String> = ill.iter().map(|(p, _)| p).collect();
    assert!(who.len() > 100);
    let study = format!("[concept_sets.illness]\nsnomed = [\"9414007\"]\n{TABLE}{PREVALENCE}{TOP}");
    let results = one_site("omop", &data, &study);
    near(&results, "table1", "sex=M", "n", of("8507"), 0.0);
    near(&results, "table1", "sex=F", "n", of("8532"), 0.0);
    near(&results, "table1", "ill=yes", "n", who.len() as f64, 0.0);
    near(&results, "table1", "visits", "n", people.len() as f64, 0.0);
    near(&results, "table1", "visits", "mean", visits.len() as f64 / people.len() as f64, 1e-6);

    // Who is observed on a day, and who of them has fallen ill by then.
    let periods = table("OBSERVATION_PERIOD");
    for year in [1990, 2000, 2010, 2015] {
        let day = format!("{year}-01-01");
        let observed: BTreeSet<&String> = periods
            .iter()
            .filter(|p| p["observation_period_start_date"] <= day && p["observation_period_end_date"] >= day)
            .map(|p| &p["person_id"])
            .collect();
        let cases: BTreeSet<&String> =
            ill.iter().filter(|(p, since)| observed.contains(p) && *since <= day).map(|(p, _)| p).collect();
        near(&results, "prevalence", &day, "n", observed.len() as f64, 0.0);
        near(&results, "prevalence", &day, "cases", cases.len() as f64, 0.0);
        near(&results, "prevalence", &day, "prevalence", cases.len() as f64 / observed.len() as f64, 1e-9);
    }

    let concepts: BTreeMap<String, (String, String)> = table("CONCEPT")
        .into_iter()
        .map(|c| (c["concept_id"].clone(), (c["vocabulary_id"].clone(), c["concept_code"].clone())))
        .collect();
    let mut by_code: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // A row has the source's concept and the standard one.
    for c in &conditions {
        for concept in ["condition_concept_id", "condition_source_concept_id"] {
            if let Some((_, code)) = concepts.get(&c[concept]).filter(|(system, _)| system == "SNOMED") {
                by_code.entry(code).or_default().insert(&c["person_id"]);
            }
        }
    }
    the_most_frequent(&results, &by_code.iter().map(|(c, p)| ((*c).to_owned(), p.len())).collect());
}

const PREVALENCE: &str = r#"
[[analysis]]
kind = "prevalence"
table = "condition"
set = "illness"
from = "1990-01-01"
to = "2015-12-31"
every = "year"
"#;

const TOP: &str = r#"
[[analysis]]
kind = "top_codes"
of = "conditions"
top = 5
length = 18
[features.conditions]
kind = "open_codes"
table = "condition"
system = "snomed"
per_patient = 1000
"#;

/// The codes told are those that most patients have, with how many have them.
fn the_most_frequent(results: &Value, patients: &BTreeMap<String, usize>) {
    let mut sizes: Vec<usize> = patients.values().copied().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let a = results["analyses"].as_array().unwrap().iter().find(|a| a["name"] == "top_codes").unwrap();
    let rows = a["estimate"]["rows"].as_array().unwrap();
    let told: Vec<usize> = rows.iter().map(|r| r["estimate"].as_f64().unwrap() as usize).collect();
    assert_eq!(told, sizes[..5], "{rows:?}");
    for (row, n) in rows.iter().zip(&told) {
        assert_eq!(patients.get(row["term"].as_str().unwrap()), Some(n));
    }
}

#[test]
fn fhir() {
    let Some(data) = shared_data("fhir-r4-ndjson-synthea") else { return };
    let resources = |name: &str| -> Vec<Value> {
        lines(&data.join(format!("{name}.ndjson.gz"))).map(|l| serde_json::from_str(&l).unwrap()).collect()
    };
    let people = resources("Patient");
    let sex = |word: &str| people.iter().filter(|p| p["gender"] == word).count() as f64;
    let died =
        people.iter().filter(|p| p["deceasedDateTime"].is_string() || p["deceasedBoolean"] == true).count() as f64;
    let ill: BTreeSet<String> = resources("Condition")
        .iter()
        .filter(|c| c["code"]["coding"][0]["code"] == "15777000")
        .map(|c| c["subject"]["reference"].to_string())
        .collect();
    let mut by_code: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for c in resources("Condition") {
        let coding = &c["code"]["coding"][0];
        by_code
            .entry(coding["code"].as_str().unwrap().to_owned())
            .or_default()
            .insert(c["subject"]["reference"].to_string());
    }
    let visits = resources("Encounter").len() as f64;
    assert!(!ill.is_empty() && died > 0.0);
    let study = format!("[concept_sets.illness]\nsnomed = [\"15777000\"]\n{TABLE}{TOP}");
    let results = one_site("fhir", &data, &study);
    near(&results, "table1", "sex=M", "n", sex("male"), 0.0);
    near(&results, "table1", "sex=F", "n", sex("female"), 0.0);
    near(&results, "table1", "died=yes", "n", died, 0.0);
    near(&results, "table1", "ill=yes", "n", ill.len() as f64, 0.0);
    near(&results, "table1", "visits", "mean", visits / people.len() as f64, 1e-6);
    the_most_frequent(&results, &by_code.iter().map(|(c, p)| (c.clone(), p.len())).collect());
}
