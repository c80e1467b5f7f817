//! `study check` finds an unknown column, unit or code system, with the line and what would fit.

use crate::harness::{COUNT, Federation, study, text};

fn problems(change: impl Fn(String) -> String) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("study.toml");
    std::fs::write(&file, change(study("wrong", "min_sites = 1", COUNT))).unwrap();
    let mut c = std::process::Command::new(crate::harness::program("coordinator"));
    c.args(["study", "check"]).arg(&file);
    let out = crate::harness::run(c);
    (out.status.code(), text(&out))
}

#[test]
fn each_problem_has_its_line_and_its_remedy() {
    let (code, out) = problems(|s| s);
    assert_eq!(code, Some(0), "{out}");

    let (code, out) = problems(|s| {
        s.replace("entry = { table = \"patient\" }", "entry = { table = \"visit\", where = { klass = [\"ER\"] } }")
    });
    assert_eq!(code, Some(3));
    assert!(out.contains("line 9:") && out.contains("no column 'klass'") && out.contains("class"), "{out}");

    let (code, out) = problems(|s| s.replacen("unit = \"mm[Hg]\"", "unit = \"mg/dL\"", 1));
    assert_eq!(code, Some(3));
    assert!(out.contains("line 13:") && out.contains("does not fit loinc:8480-6") && out.contains("mm[Hg]"), "{out}");

    let (code, out) = problems(|s| s.replacen("unit = \"mm[Hg]\"", "unit = \"furlong\"", 1));
    assert_eq!(code, Some(3));
    assert!(out.contains("no known unit") && out.contains("use one of mm[Hg], kPa"), "{out}");

    let (code, out) = problems(|s| s.replacen("code = \"loinc:8480-6\"", "code = \"lionc:8480-6\"", 1));
    assert_eq!(code, Some(3));
    assert!(out.contains("line 12:") && out.contains("'lionc' is no code system"), "{out}");

    let (code, out) = problems(|s| s.replace("purpose = \"research\"", "purpose = \"curiosity\"\nsurprise = 1"));
    assert_eq!(code, Some(3));
    assert!(out.contains("line 5") && out.contains("surprise"), "{out}");

    let (code, out) = problems(|s| s.replace(">=1.1,<2", ">=2"));
    assert_eq!(code, Some(3));
    assert!(out.contains("line 3:"), "{out}");
}

#[test]
fn the_plan_prints_cost_and_error_before_anything_is_spent() {
    let f = Federation::new();
    let file = f.write_study("study.toml", &study("cost", "min_sites = 1", COUNT));
    let cost = f.coordinator_json(&["study", "plan", file.to_str().unwrap(), "--sites", "40", "--patients", "5000"]);
    let half = cost["analyses"][0]["expected"][0]["half_width_privacy"].as_f64().unwrap();
    // One count, ε 0.8: σ = 1/√(2ρ) at each of 40 sites.
    let rho = cost["rho"].as_f64().unwrap() / 1e9;
    assert!((half - 1.96 * (40.0 / (2.0 * rho)).sqrt()).abs() / half < 1e-3, "{cost:#}");
}
