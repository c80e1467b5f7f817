//! A FHIR extract split by organisation into sites: the federated counts are the extract's.

use std::path::Path;
use std::process::Command;

use crate::harness::{array, program, run, simulated, text};
use insitu_tests::shared_data;

#[test]
fn the_counts_of_the_extract() {
    let Some(data) = shared_data("fhir-r4-ndjson-synthea") else { return };
    let dir = tempfile::tempdir().unwrap();
    let sites = dir.path().join("sites");
    let mut split = Command::new(program("simulator"));
    split.args(["split", "--sites", "4", "--from"]).arg(&data).arg("--out").arg(&sites);
    let out = run(split);
    assert!(out.status.success(), "{}", text(&out));
    let study = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/synthea/study.toml");
    let results = simulated(&study, dir.path(), "off");
    let value = |analysis: &str, term: &str, statistic: &str| {
        array(&results, "analyses")
            .iter()
            .filter(|a| a["name"] == analysis)
            .flat_map(|a| array(&a["estimate"], "rows"))
            .find(|r| r["term"] == term && r["statistic"] == statistic)
            .and_then(|r| r["estimate"].as_f64())
    };
    assert_eq!(value("patients", "cohort", "n"), Some(400.0));
    assert_eq!(value("table 1", "sex=M", "n"), Some(222.0));
    assert_eq!(value("table 1", "sex=F", "n"), Some(178.0));
    assert_eq!(value("table 1", "died=yes", "n"), Some(74.0));
}
