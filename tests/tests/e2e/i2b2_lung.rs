//! R's figures of the lung cancer trial, from the star tables of i2b2: the diagnosis is the entry, death's modifiers are the event and
//! its censoring.

use std::collections::BTreeMap;

use crate::harness::simulated_here;
use crate::reference::near;
use insitu_tests::shared_data;

const STUDY: &str = r#"
id = "lung"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[code_systems]
x = "urn:insitu:i2b2"
m = "urn:insitu:i2b2-modifier"
[concept_sets.diagnosed]
x = ["A168"]
[concept_sets.died]
m = ["A125#126:1"]
[cohorts.target]
entry = { table = "measurement", set = "diagnosed" }
[features.time]
kind = "follow_up"
table = "measurement"
set = "died"
horizon = 1100
[features.status]
kind = "followed_by"
table = "measurement"
set = "died"
horizon = 1100
[features.sex]
kind = "sex"
levels = ["M", "F"]
[[analysis]]
kind = "survival"
time = "time"
event = "status"
by = "sex"
at = [100, 365, 730]
[[analysis]]
kind = "cox"
time = "time"
event = "status"
features = ["sex"]
ties = "efron"
[[analysis]]
kind = "attrition"
[suppression]
k = 0
[privacy]
epsilon = 1.0
"#;

#[test]
fn lung_from_the_star() {
    let Some(data) = shared_data("i2b2-star-lung228") else { return };
    let dir = tempfile::tempdir().unwrap();
    for site in 0..3u32 {
        let home = dir.path().join(format!("sites/s-{site}"));
        std::fs::create_dir_all(home.join("extract")).unwrap();
        for file in ["patient_dimension", "visit_dimension", "observation_fact"] {
            let csv = std::fs::read_to_string(data.join(format!("{file}.csv"))).unwrap();
            let mut lines = csv.lines();
            let head = lines.next().unwrap();
            let place = head.split(',').position(|c| c.trim_matches('"') == "PATIENT_NUM").unwrap();
            let own = lines.filter(|l| {
                let patient = l.split(',').nth(place).unwrap().trim_matches('"');
                patient.parse::<u32>().unwrap() % 3 == site
            });
            let own: Vec<&str> = std::iter::once(head).chain(own).collect();
            std::fs::write(home.join(format!("extract/{file}.csv")), own.join("\n") + "\n").unwrap();
        }
        let toml = format!(
            "id = \"s-{site}\"\nname = \"Hospital {site}\"\ncountry = \"US\"\ntime_zone = \"America/Chicago\"\n[[source]]\nname = \"star\"\n\
             format = \"i2b2\"\npath = \"extract\"\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
    }
    let results = simulated_here(dir.path(), STUDY);
    // EXPECTED.txt of the survival package's lung, survival 3.5-3: the same trial.
    let survival: BTreeMap<&str, f64> = [
        ("sex=M, time 100", 0.826_087),
        ("sex=M, time 365", 0.336_088),
        ("sex=M, time 730", 0.078_124),
        ("sex=F, time 100", 0.922_088),
        ("sex=F, time 365", 0.526_463),
        ("sex=F, time 730", 0.187_232),
    ]
    .into();
    for (term, wanted) in survival {
        near(&results, "survival", term, "survival", wanted, 6e-7);
    }
    near(&results, "survival", "sex=M", "median survival", 270.0, 0.0);
    near(&results, "survival", "sex=F", "median survival", 426.0, 0.0);
    near(&results, "survival", "sex", "log-rank chi2", 10.326_742, 6e-7);
    near(&results, "survival", "sex", "log-rank p", 0.001_311_164_5, 1e-10);
    near(&results, "cox", "model", "events", 165.0, 0.0);
    near(&results, "attrition", "0. first measurement diagnosed", "n", 228.0, 0.0);
}
