//! Four real hospitals: without noise the federated fit is the pooled maximum-likelihood fit; with noise the intervals hold it.

use std::path::Path;
use std::process::Command;

use crate::harness::{array, run, simulated};
use insitu_tests::shared_data;
use serde_json::Value;

/// The coefficients and standard errors over all 740 rows.
const FIT: &[(&str, f64, f64)] = &[
    ("(intercept)", -2.197833, 1.356412),
    ("age", 0.021330, 0.012618),
    ("sex=M", 1.299613, 0.256907),
    ("trestbps", 0.006164, 0.005725),
    ("chol", -0.001943, 0.001165),
    ("fbs=yes", 0.526597, 0.292557),
    ("thalach", -0.014009, 0.004557),
    ("exang=yes", 1.008121, 0.231108),
    ("oldpeak", 0.628537, 0.114646),
    ("cp=2", -0.418834, 0.487646),
    ("cp=3", -0.014581, 0.452003),
    ("cp=4", 1.431577, 0.440324),
    ("restecg=1", -0.078208, 0.302903),
    ("restecg=2", 0.256040, 0.253436),
];

fn federation(study: &str, data: &Path, noise: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/heart-disease");
    let mut prepare = Command::new(examples.join("prepare"));
    prepare.arg(data).arg(dir.path().join("sites"));
    assert!(run(prepare).status.success());
    simulated(&examples.join(study), dir.path(), noise)
}

fn row<'a>(results: &'a Value, kind: &str, term: &str, statistic: &str) -> &'a Value {
    array(results, "analyses")
        .iter()
        .filter(|a| a["kind"] == kind)
        .flat_map(|a| array(&a["estimate"], "rows"))
        .find(|r| r["term"] == term && r["statistic"] == statistic)
        .unwrap_or_else(|| panic!("no {statistic} of {term}"))
}

#[test]
fn without_noise_it_is_the_pooled_fit() {
    let Some(data) = shared_data("uci-heart-disease") else { return };
    let results = federation("study.toml", &data, "off");
    assert_eq!(results["simulation"], true, "marked as not private");
    for (term, coefficient, se) in FIT {
        let r = row(&results, "logistic", term, "coefficient");
        assert!((r["estimate"].as_f64().unwrap() - coefficient).abs() < 1e-6, "{term}: {r}");
        assert!((r["se"].as_f64().unwrap() - se).abs() < 1e-6, "{term}: {r}");
    }
    // Table 1: 920 patients, 726 men, 30 without cholesterol.
    assert_eq!(row(&results, "table1", "sex=M", "n")["estimate"], 726.0);
    assert_eq!(row(&results, "table1", "chol", "missing")["estimate"], 30.0);
    assert_eq!(row(&results, "table1", "disease=yes", "n")["estimate"], 509.0);
}

/// With noise: the intervals of Table 1 and of a model hold what the same study says without noise. About 60 intervals of
/// 95 %: fewer than 80 % inside has a chance below 1e-5 where the intervals are right.
#[test]
fn with_noise_the_intervals_hold_it() {
    let Some(data) = shared_data("uci-heart-disease") else { return };
    let exact = federation("study-noise.toml", &data, "off");
    let noisy = federation("study-noise.toml", &data, "on");
    let (mut inside, mut all, mut coefficients) = (0, 0, 0);
    for a in array(&noisy, "analyses") {
        let kind = a["kind"].as_str().unwrap();
        for r in array(&a["estimate"], "rows").iter().filter(|r| r["suppressed"] == false) {
            let t = row(&exact, kind, r["term"].as_str().unwrap(), r["statistic"].as_str().unwrap());
            if let (Some(t), Some(l), Some(u)) = (t["estimate"].as_f64(), r["lower"].as_f64(), r["upper"].as_f64()) {
                all += 1;
                inside += usize::from(l <= t && t <= u);
                coefficients += usize::from(r["statistic"] == "coefficient");
            }
        }
    }
    assert!(all >= 40 && coefficients == 5, "{all} intervals, {coefficients} coefficients");
    assert!(inside * 5 >= all * 4, "{inside} of {all} intervals hold the figure without noise");
}
