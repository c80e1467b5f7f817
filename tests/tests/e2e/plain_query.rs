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
    let results = one_site("omop", &data, &format!("[concept_sets.illness]\nsnomed = [\"44054006\"]\n{TABLE}"));
    near(&results, "table1", "sex=M", "n", of("8507"), 0.0);
    near(&results, "table1", "sex=F", "n", of("8532"), 0.0);
    near(&results, "table1", "visits", "n", people.len() as f64, 0.0);
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
    let visits = resources("Encounter").len() as f64;
    assert!(!ill.is_empty() && died > 0.0);
    let study = format!("[concept_sets.illness]\nsnomed = [\"15777000\"]\n{TABLE}");
    let results = one_site("fhir", &data, &study);
    near(&results, "table1", "sex=M", "n", sex("male"), 0.0);
    near(&results, "table1", "sex=F", "n", sex("female"), 0.0);
    near(&results, "table1", "died=yes", "n", died, 0.0);
    near(&results, "table1", "ill=yes", "n", ill.len() as f64, 0.0);
    near(&results, "table1", "visits", "mean", visits / people.len() as f64, 1e-6);
}
