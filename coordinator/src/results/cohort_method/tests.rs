//! The tables of a comparative study.

use summaries::{Curve, Estimate, Row};

use super::super::tests::{analysis, provenance, results};
use super::*;

const STUDY: &str = r#"
id = "s"
version = "1"
schema = ">=1"
purpose = "research"
expires = "2099-01-01"
[cohorts.target]
entry = { table = "condition" }
[subgroups.women]
inclusion = [{ sex = ["F"] }]
[features.drug]
kind = "has"
table = "drug_exposure"
window = [0, 0]
[features.age]
kind = "age"
bounds = [18, 100]
[features.died]
kind = "has"
table = "death"
window = [1, 365]
[features.days]
kind = "follow_up"
table = "condition"
horizon = 365
[features.falls]
kind = "count"
table = "condition"
window = [1, 365]
max = 5
[[analysis]]
kind = "logistic"
outcome = "died"
features = ["drug", "age"]
interactions = [["drug", "age"]]
subgroups = ["women"]
[[analysis]]
kind = "propensity"
treatment = "drug"
features = ["age"]
outcomes = ["died"]
[[analysis]]
kind = "rate"
events = "falls"
time = "days"
by = "drug"
[privacy]
epsilon = 1.0
"#;

fn told() -> Vec<Table> {
    let study = study::subgroup::expanded(&study::read::study(STUDY).unwrap());
    let n = |term: &str, v| Row::normal(term, "n", v, 0.0, 4.0, 2.0);
    let odds = |log: f64| {
        vec![
            Row::normal("drug=yes", "coefficient", log, 0.2, 0.1, 1.96),
            Row::ratio("drug=yes", "odds ratio", log, 0.2, 0.1, 1.96),
            Row::test("drug=yes", "p", 0.04, ""),
        ]
    };
    let mean =
        |arm: &str, when: &str, v| Row::normal(&format!("age, drug={arm}"), &format!("mean {when}"), v, 0.5, 0.1, 1.96);
    let mut scores = vec![
        n("drug=no", 400.0),
        n("drug=yes", 300.0),
        Row::normal("age", "smd before", 0.4, 0.05, 0.01, 1.96),
        Row::normal("age", "smd after", 0.02, 0.05, 0.01, 1.96),
        Row::ratio("died, drug=yes − no", "weighted risk ratio", 0.3, 0.1, 0.05, 1.96),
    ];
    for (arm, when, v) in
        [("yes", "before", 70.0), ("no", "before", 64.0), ("yes", "after", 67.0), ("no", "after", 66.5)]
    {
        scores.push(mean(arm, when, v));
    }
    let rates = vec![n("drug=no", 400.0), Row::ratio("drug=yes / drug=no", "rate ratio", 0.5, 0.2, 0.1, 1.96)];
    let all = vec![
        analysis("logistic", "logistic", odds(0.7), Vec::<Curve>::new()),
        AnalysisResult { cohort: "target: women".into(), ..analysis("logistic: women", "logistic", odds(0.2), vec![]) },
        analysis("propensity", "propensity", scores, vec![]),
        analysis("rate", "rate", rates, vec![]),
    ];
    let whole = Results { analyses: all, ..results(false) };
    assert!(whole.analyses.iter().all(|a| a.estimate != Estimate::default()));
    let plan = Plan { format: study::plan::FORMAT.to_owned(), federation: "f".to_owned(), study };
    tables(&whole, &provenance(true), &plan)
}

/// A column of a table.
fn column(tables: &[Table], table: &str, name: &str) -> Vec<Cell> {
    let t = tables.iter().find(|t| t.name == table).unwrap();
    let at = t.columns.iter().position(|c| *c == name).unwrap_or_else(|| panic!("{table} has no {name}"));
    t.rows.iter().map(|r| r[at].clone()).collect()
}

#[test]
fn every_effect_has_its_row_and_every_id_a_name() {
    let tables = told();
    let all = |name: &str| column(&tables, "cm_result", name);
    assert_eq!(all("rr").len(), 4, "two regressions, a weighted effect and a rate ratio");
    let Cell::Float(Some(se)) = all("se_log_rr")[2] else { panic!() };
    assert!((se - 0.1f64.hypot(0.05)).abs() < 1e-12, "{se}");
    assert!(matches!(all("log_rr")[3], Cell::Float(Some(v)) if (v - 0.5).abs() < 1e-12));
    // A subgroup's target is a cohort of its own; the other analyses share theirs.
    let targets = all("target_id");
    assert_ne!(targets[0], targets[1]);
    assert_eq!((&targets[0], &targets[0]), (&targets[2], &targets[3]));
    assert_eq!(all("target_subjects")[0], Cell::Int(Some(300)));
    assert!(matches!(&all("effect_of")[0], Cell::Text(t) if t.contains("age")));
    assert!(matches!(&all("effect_of")[3], Cell::Text(t) if t.is_empty()));
    for empty in [
        "calibrated_rr",
        "calibrated_ci_95_lb",
        "calibrated_ci_95_ub",
        "calibrated_p",
        "calibrated_log_rr",
        "calibrated_se_log_rr",
    ] {
        assert!(all(empty).iter().all(|c| *c == Cell::Float(None)), "{empty}");
    }
    let known = column(&tables, "cg_cohort_definition", "cohort_definition_id");
    for table in &tables {
        for key in ["target_id", "comparator_id", "outcome_id"].into_iter().filter(|k| table.columns.contains(k)) {
            assert!(column(&tables, table.name, key).iter().all(|id| known.contains(id)), "{} {key}", table.name);
        }
        assert!(table.rows.iter().all(|r| r.len() == table.columns.len()), "{}", table.name);
    }
    let balance = |name: &str| column(&tables, "cm_covariate_balance", name);
    for (name, wanted) in [
        ("target_mean_before", 70.0),
        ("comparator_mean_before", 64.0),
        ("target_mean_after", 67.0),
        ("comparator_mean_after", 66.5),
        ("std_diff_after", 0.02),
    ] {
        assert_eq!(balance(name), [Cell::Float(Some(wanted))], "{name}");
    }
}
