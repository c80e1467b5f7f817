//! The hospitals' own estimates beside the common one: those of each hospital's patients alone, and their meta-analysis.

use std::fmt::Write as _;

use insitu_tests::shared_data;
use serde_json::Value;

use crate::harness::{array, simulated_here};

/// Four hospitals' heart disease: age, sex and blood pressure of the common columns.
const COLUMNS: [(&str, usize); 4] = [("age", 0), ("sex", 1), ("trestbps", 3), ("num", 13)];

/// The coefficients of age and sex in a logistic regression of each hospital's own file.
const OWN: [(&str, f64, Option<f64>); 4] = [
    ("cleveland", 0.065_711_557_431, Some(1.498_872_057_451)),
    ("hungarian", 0.045_600_106_793, Some(1.531_433_776_337)),
    ("switzerland", 0.007_783_036_546, None),
    ("va", 0.055_649_871_137, Some(1.070_921_737_308)),
];

fn run_study(study: &str) -> Option<(Value, String)> {
    let data = shared_data("uci-heart-disease")?;
    let dir = tempfile::tempdir().unwrap();
    let mut mapping = "format = \"csv\"\n[[file]]\nmatch = \"*.csv\"\nperson = { column = \"row\" }\n".to_owned();
    mapping += "[[file.row]]\ntable = \"patient\"\n[file.row.set]\nsex = \"U\"\n";
    for (name, _) in COLUMNS {
        let _ = writeln!(
            mapping,
            "[[file.row]]\ntable = \"measurement\"\nrequire = [\"{name}\"]\n[file.row.set]\ncode_system = \"urn:insitu:reference\"\n\
             code = \"{name}\"\nvalue_num = {{ column = \"{name}\" }}\nunit_src = \"1\""
        );
    }
    for site in ["cleveland", "hungarian", "switzerland", "va"] {
        let home = dir.path().join(format!("sites/{site}"));
        std::fs::create_dir_all(home.join("extract")).unwrap();
        std::fs::write(home.join("mapping.toml"), &mapping).unwrap();
        let toml = format!(
            "id = \"{site}\"\nname = \"{site}\"\ncountry = \"US\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"x\"\nformat = \"csv\"\n\
             path = \"extract\"\nmapping = \"mapping.toml\"\n[disclosure]\nown_estimates = \"allow\"\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
        let rows = std::fs::read_to_string(data.join(format!("processed.{site}.data"))).unwrap();
        let mut csv = "row,age,sex,trestbps,num\n".to_owned();
        for (i, row) in rows.lines().enumerate() {
            let cells: Vec<&str> = row.split(',').collect();
            let cell = |place: usize| cells[place].trim_end_matches(".0").replace('?', "");
            let sick = if cell(13) == "0" { "0" } else { "1" };
            let _ = writeln!(csv, "{i},{},{},{},{sick}", cell(0), cell(1), cell(3));
        }
        std::fs::write(home.join("extract/rows.csv"), csv).unwrap();
    }
    let head = "id = \"between\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
                [code_systems]\nr = \"urn:insitu:reference\"\n[cohorts.target]\nentry = { table = \"patient\" }\n[suppression]\nk = 0\n\
                [privacy]\nepsilon = 1.0\n";
    let feature = |name: &str, shape: &str| {
        format!("[features.{name}]\nkind = \"measurement\"\ncode = \"r:{name}\"\nunit = \"1\"\n{shape}\n")
    };
    let features = feature("age", "bounds = [20, 90]")
        + &feature("sex", "levels = [0, 1]")
        + &feature("trestbps", "bounds = [80, 220]")
        + &feature("num", "levels = [0, 1]");
    let results = simulated_here(dir.path(), &format!("{head}{features}{study}"));
    let report = std::fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    Some((results, report))
}

fn of<'v>(rows: &'v [Value], term: &str, statistic: &str) -> &'v Value {
    let found = rows.iter().find(|r| r["term"] == term && r["statistic"] == statistic);
    found.unwrap_or_else(|| panic!("no {statistic} of {term} in {rows:#?}"))
}

#[test]
fn each_hospitals_own_mean_and_coefficients() {
    let study = "[[analysis]]\nkind = \"moments\"\nof = \"age\"\nby_hospital = true\n\
                 [[analysis]]\nkind = \"logistic\"\noutcome = \"num\"\nfeatures = [\"age\", \"sex\"]\nby_hospital = true\n";
    let Some((results, report)) = run_study(study) else { return };
    let [moments, logistic] = array(&results, "analyses").as_slice() else { panic!("{results}") };
    // The means of the source files' first column.
    for (site, mean) in
        [("cleveland", 54.438_944), ("hungarian", 47.826_531), ("switzerland", 55.317_073), ("va", 59.35)]
    {
        let hospital = array(moments, "hospitals").iter().find(|h| h["site"] == site).unwrap();
        let told = of(array(hospital, "rows"), "age", "mean")["estimate"].as_f64().unwrap();
        assert!((told - mean).abs() < 1e-6, "{site}: {told}");
    }
    let meta = array(moments, "meta");
    let random = of(meta, "age", "mean, random effects");
    let value = |row: &Value, key: &str| row[key].as_f64().unwrap();
    assert!((value(random, "estimate") - 54.2).abs() < 1.0, "{random}");
    assert!(value(random, "upper") - value(random, "lower") > 5.0, "four hospitals that differ: {random}");
    assert!(value(of(meta, "age", "mean, I2"), "estimate") > 0.9);
    assert!(of(meta, "age", "mean, without va")["estimate"].as_f64().unwrap() < value(random, "estimate"));
    // Switzerland has nearly everyone ill; each of the others has its own coefficients, and the meta-analysis is near the common one.
    assert!(array(logistic, "hospitals").len() == 4, "{logistic}");
    let common = of(array(&logistic["estimate"], "rows"), "age", "coefficient")["estimate"].as_f64().unwrap();
    let fixed = of(array(logistic, "meta"), "age", "coefficient, fixed effect")["estimate"].as_f64().unwrap();
    assert!((common - fixed).abs() < 0.03, "{common} {fixed}");
    // Without noise a hospital goes on to its own maximum: a fit of its own file, by Newton's steps in double precision elsewhere.
    // In Switzerland all women are ill, so that sex has no coefficient there.
    for (site, age, sex) in OWN {
        let hospital = array(logistic, "hospitals").iter().find(|h| h["site"] == site).unwrap();
        for (term, wanted) in [("age", Some(age)), ("sex=1", sex)] {
            let told = of(array(hospital, "rows"), term, "coefficient")["estimate"].as_f64();
            let same = told.zip(wanted).map_or(told == wanted, |(t, w)| (t - w).abs() < 1e-6);
            assert!(same, "{site} {term}: {told:?}, not {wanted:?}");
        }
    }
    for part in ["Between hospitals", "cleveland", "random effects", "by hospital with"] {
        assert!(report.contains(part), "{part}");
    }
}
