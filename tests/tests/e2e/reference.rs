//! A trial's statistics through a whole federation of three sites, without noise: what R says of all patients together.

use std::fmt::Write as _;
use std::path::Path;

use crate::harness::{array, simulated};
use insitu_tests::shared_data;
use serde_json::Value;

/// A table of numbers: words become their place in a list.
pub(crate) struct Table {
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

pub(crate) fn table(folder: &str, file: &str, words: &[&[&str]]) -> Option<Table> {
    let text = std::fs::read_to_string(shared_data(folder)?.join(file)).unwrap();
    let plain = |cell: &str| {
        let cell = cell.trim_matches('"');
        words.iter().find_map(|w| w.iter().position(|x| *x == cell)).map_or_else(|| cell.to_owned(), |p| p.to_string())
    };
    let mut lines = text.lines();
    let names = lines.next()?.split(',').map(|n| n.trim_matches('"').replace('.', "_")).collect();
    Some(Table { names, rows: lines.map(|l| l.split(',').map(plain).collect()).collect() })
}

/// Runs a study over the table's rows, dealt out to three sites, and returns its results.
pub(crate) fn federation(table: &Table, study: &str) -> Value {
    federated(table, study, "off")
}

/// The same, with noise `on` or `off`.
pub(crate) fn federated(table: &Table, study: &str, noise: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    federated_in(dir.path(), table, study, noise)
}

/// The same in a folder, whose folder `out` has the results.
pub(crate) fn federated_in(dir: &Path, table: &Table, study: &str, noise: &str) -> Value {
    federated_at(dir, table, study, noise, (3, &|row| row % 3))
}

/// Writes the folders of so many sites below `sites`, each with the rows that are said to be its own. An empty cell is no measurement.
pub(crate) fn write_sites(dir: &Path, table: &Table, (sites, site_of): (usize, &dyn Fn(usize) -> usize)) {
    let mut mapping = "format = \"csv\"\n[[file]]\nmatch = \"*.csv\"\nperson = { column = \"row\" }\n".to_owned();
    mapping += "[[file.row]]\ntable = \"patient\"\n[file.row.set]\nsex = \"U\"\n";
    for name in &table.names {
        let _ = writeln!(
            mapping,
            "[[file.row]]\ntable = \"measurement\"\nrequire = [\"{name}\"]\n[file.row.set]\ncode_system = \"urn:insitu:reference\"\n\
             code = \"{name}\"\nvalue_num = {{ column = \"{name}\" }}\nunit_src = \"1\""
        );
    }
    for site in 0..sites {
        let home = dir.join(format!("sites/s-{site}"));
        std::fs::create_dir_all(home.join("extract")).unwrap();
        std::fs::write(home.join("mapping.toml"), &mapping).unwrap();
        let toml = format!(
            "id = \"s-{site}\"\nname = \"Hospital {site}\"\ncountry = \"DE\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"x\"\n\
             format = \"csv\"\npath = \"extract\"\nmapping = \"mapping.toml\"\n[disclosure]\nsql = \"allow\"\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
        let mut csv = format!("row,{}\n", table.names.join(","));
        for (i, row) in table.rows.iter().enumerate().filter(|(i, _)| site_of(*i) == site) {
            let _ = writeln!(csv, "{i},{}", row.join(","));
        }
        std::fs::write(home.join("extract/rows.csv"), csv).unwrap();
    }
}

/// The same at so many sites, each with the rows that are said to be its own.
pub(crate) fn federated_at(
    dir: &Path,
    table: &Table,
    study: &str,
    noise: &str,
    sites: (usize, &dyn Fn(usize) -> usize),
) -> Value {
    write_sites(dir, table, sites);
    let head = "id = \"reference\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
                [code_systems]\nr = \"urn:insitu:reference\"\n[cohorts.target]\nentry = { table = \"patient\" }\n[suppression]\nk = 0\n\
                [privacy]\nepsilon = 1.0\n";
    // R's answers are of all patients as one hospital's.
    let mut study = study.to_owned();
    for kind in ["linear", "logistic", "poisson", "gamma", "cox"] {
        let line = format!("kind = \"{kind}\"\n");
        study = study.replace(&line, &format!("{line}baseline = \"common\"\n"));
    }
    let file = dir.join("study.toml");
    std::fs::write(&file, format!("{head}{study}")).unwrap();
    simulated(&file, dir, noise)
}

pub(crate) fn feature(name: &str, shape: &str) -> String {
    format!("[features.{name}]\nkind = \"measurement\"\ncode = \"r:{name}\"\nunit = \"1\"\n{shape}\n")
}

pub(crate) fn near(results: &Value, analysis: &str, term: &str, statistic: &str, wanted: f64, tolerance: f64) {
    let rows: Vec<&Value> = array(results, "analyses")
        .iter()
        .filter(|a| a["name"] == analysis)
        .flat_map(|a| array(&a["estimate"], "rows"))
        .collect();
    let row = rows.iter().find(|r| r["term"] == term && r["statistic"] == statistic);
    let row = row.unwrap_or_else(|| panic!("{analysis}: no {statistic} of {term} in {rows:#?}"));
    let got = row["estimate"].as_f64().unwrap_or_else(|| panic!("{analysis}: {row}"));
    assert!((got - wanted).abs() <= tolerance, "{analysis}, {term}, {statistic}: {got} and not {wanted}");
}

#[test]
fn lung_curves_log_rank_and_cox() {
    let Some(lung) = table("survival", "lung.csv", &[]) else { return };
    let study = [
        feature("time", "bounds = [0, 1100]"),
        feature("status", "levels = [1, 2]"),
        feature("sex", "levels = [1, 2]"),
        feature("age", "bounds = [30, 90]"),
        feature("ph_ecog", "bounds = [0, 4]"),
        "[features.female]\nkind = \"measurement\"\ncode = \"r:sex\"\nunit = \"1\"\nbounds = [1, 2]\n".to_owned(),
        "[[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"status\"\nby = \"sex\"\nat = [100, 365]\ntau = 500\n".to_owned(),
        "[[analysis]]\nkind = \"cox\"\ntime = \"time\"\nevent = \"status\"\nfeatures = [\"age\", \"female\", \"ph_ecog\"]\n".to_owned(),
    ];
    let results = federation(&lung, &study.concat());
    // EXPECTED.txt, survival 3.5-3.
    near(&results, "survival", "sex=1, time 100", "survival", 0.826_087, 6e-7);
    near(&results, "survival", "sex=2, time 365", "survival", 0.526_463, 6e-7);
    near(&results, "survival", "sex=2, time 365", "at risk", 30.0, 0.0);
    near(&results, "survival", "sex=1", "median survival", 270.0, 0.0);
    near(&results, "survival", "sex", "log-rank chi2", 10.326_742, 6e-7);
    near(&results, "survival", "sex", "log-rank p", 0.001_311_164_5, 1e-10);
    near(&results, "cox", "age", "coefficient", 0.011_067, 6e-7);
    near(&results, "cox", "female", "coefficient", -0.552_612, 6e-7);
    near(&results, "cox", "ph_ecog", "coefficient", 0.463_728, 6e-7);
    near(&results, "cox", "model", "log likelihood", -729.230_121, 1e-6);
}

#[test]
fn birthwt_regressions_and_tests() {
    let Some(birthwt) = table("regression-reference", "birthwt.csv", &[]) else { return };
    let mut study = [
        feature("low", "levels = [0, 1]"),
        feature("age", "bounds = [10, 50]"),
        feature("lwt", "bounds = [50, 300]"),
        feature("race", "levels = [1, 2, 3]"),
        feature("smoke", "levels = [0, 1]"),
        feature("ptl", "bounds = [0, 5]"),
        feature("ht", "levels = [0, 1]"),
        feature("ui", "levels = [0, 1]"),
        feature("ftv", "bounds = [0, 10]"),
        feature("bwt", "bounds = [0, 6000]"),
    ]
    .concat();
    study += "[[analysis]]\nkind = \"logistic\"\noutcome = \"low\"\nfeatures = [\"age\", \"lwt\", \"race\", \"smoke\", \"ptl\", \"ht\", \"ui\", \"ftv\"]\n";
    study += "[[analysis]]\nkind = \"logistic\"\nname = \"bent\"\noutcome = \"low\"\nfeatures = [\"age\", \"race\", \"smoke\"]\n\
              [[analysis.splines]]\nfeature = \"age\"\nknots = [18, 23, 30]\n";
    study += "[[analysis]]\nkind = \"linear\"\nname = \"weighted\"\noutcome = \"bwt\"\nfeatures = [\"age\", \"smoke\"]\nweights = \"lwt_0\"\n";
    study += &feature("lwt_0", "bounds = [0, 300]").replace("r:lwt_0", "r:lwt");
    study += "[[analysis]]\nkind = \"linear\"\noutcome = \"bwt\"\nfeatures = [\"age\", \"lwt\", \"race\", \"smoke\", \"ht\", \"ui\"]\n";
    study += "[[analysis]]\nkind = \"compare\"\nof = \"bwt\"\nby = \"smoke\"\n";
    study += "[[analysis]]\nkind = \"compare\"\nname = \"by race\"\nof = \"bwt\"\nby = \"race\"\n";
    study += "[[analysis]]\nkind = \"rank_sum\"\nof = \"bwt\"\nby = \"smoke\"\nbins = 6000\n";
    study += "[[analysis]]\nkind = \"crosstab\"\nby = [\"low\", \"race\"]\n";
    study += "[[analysis]]\nkind = \"crosstab\"\nname = \"smokers\"\nby = [\"low\", \"smoke\"]\n";
    study += "[[analysis]]\nkind = \"table1\"\nvariables = [\"age\", \"race\"]\nby = \"smoke\"\n";
    study += "[[analysis]]\nkind = \"mantel_haenszel\"\nexposure = \"smoke\"\noutcome = \"low\"\nstrata = \"race\"\n";
    study += "[[analysis]]\nkind = \"pca\"\nof = [\"age\", \"lwt\", \"ftv\", \"bwt\"]\n";
    study += "[[analysis]]\nkind = \"propensity\"\ntreatment = \"smoke\"\nfeatures = [\"age\", \"lwt\", \"race\"]\noutcomes = [\"bwt_500\"]\ncap = 4\n";
    study += &feature("bwt_500", "bounds = [500, 6000]").replace("r:bwt_500", "r:bwt");
    let results = federation(&birthwt, &study);
    near(&results, "propensity", "bwt_500, smoke=1 − 0", "weighted mean difference", -362.385_895_50, 1e-4);
    near(&results, "propensity", "bwt_500, smoke=1 − 0", "stratified mean difference", -350.892_228_60, 1e-4);
    near(&results, "propensity", "age", "smd after", -0.001_622_70, 1e-7);
    // As the statistics' own tests have them.
    near(&results, "table1", "age, smoke=1 − 0", "smd", -0.091_250_98, 1e-7);
    near(&results, "table1", "race, smoke=1 − 0", "smd", 0.756_764_66, 1e-7);
    near(&results, "mantel_haenszel", "low by smoke, within race", "odds ratio", 3.086_381, 6e-7);
    near(&results, "mantel_haenszel", "low by smoke, within race", "mantel-haenszel p", 0.002_154, 5e-7);
    near(&results, "pca", "component 1", "eigenvalue", 1.442_891_043, 1e-7);
    for (term, coefficient) in [
        ("(intercept)", 0.480_623_2),
        ("age", -0.029_549_0),
        ("race=2", 1.272_259_8),
        ("ht=1", 1.863_302_9),
        ("ftv", 0.065_301_8),
    ] {
        near(&results, "logistic", term, "coefficient", coefficient, 6e-8);
    }
    for (term, coefficient) in [("(intercept)", 2_933.465_930), ("lwt", 4.395_576), ("ui=1", -528.534_221)] {
        near(&results, "linear", term, "coefficient", coefficient, 2e-6);
    }
    // As learning's reference tests have them.
    near(&results, "bent", "age'", "coefficient", -0.162_174_061_7, 1e-7);
    near(&results, "bent", "age, nonlinear", "wald chi2", 1.852_430_50, 1e-6);
    near(&results, "bent", "race", "wald chi2", 7.853_897_96, 1e-6);
    near(&results, "weighted", "smoke=1", "coefficient", -285.838_630_582_1, 2e-6);
    let difference = "bwt, smoke=1 − 0";
    near(&results, "compare", difference, "welch t", -2.7299, 5e-5);
    near(&results, "compare", difference, "welch p", 0.007_003, 5e-7);
    near(&results, "compare", difference, "student p", 0.008_667, 5e-7);
    near(&results, "by race", "bwt by race", "anova F", 4.9125, 5e-5);
    near(&results, "by race", "bwt by race", "anova p", 0.008_336, 5e-7);
    // R's W counts the pairs in which the first group's is larger; U those of the second: 115 · 74 − 5249.5.
    near(&results, "rank_sum", "bwt by smoke", "U", 115.0 * 74.0 - 5_249.5, 0.0);
    near(&results, "rank_sum", "bwt by smoke", "rank-sum p", 0.006_768, 5e-7);
    near(&results, "crosstab", "low by race", "chi2", 5.0048, 5e-5);
    near(&results, "smokers", "low by smoke", "fisher p", 0.036_18, 5e-6);
}

#[test]
fn warpbreaks_counts() {
    let words: [&[&str]; 2] = [&["A", "B"], &["L", "M", "H"]];
    let Some(breaks) = table("regression-reference", "warpbreaks.csv", &words) else { return };
    let mut study = [
        feature("breaks", "bounds = [0, 100]"),
        feature("wool", "levels = [0, 1]"),
        feature("tension", "levels = [0, 1, 2]"),
    ]
    .concat();
    study += "[[analysis]]\nkind = \"poisson\"\noutcome = \"breaks\"\nfeatures = [\"wool\", \"tension\"]\ninteractions = [[\"wool\", \"tension\"]]\n";
    study += "[[analysis]]\nkind = \"negative_binomial\"\noutcome = \"breaks\"\nfeatures = [\"wool\", \"tension\"]\ninteractions = [[\"wool\", \"tension\"]]\n";
    let results = federation(&breaks, &study);
    // As learning's reference tests have it.
    near(&results, "negative_binomial", "wool=1:tension=1", "coefficient", 0.638_176_81, 6e-8);
    near(&results, "negative_binomial", "model", "theta", 12.082_164_62, 1e-6);
    for (term, coefficient) in [
        ("(intercept)", 3.796_736_8),
        ("wool=1", -0.456_627_2),
        ("tension=2", -0.595_798_7),
        ("wool=1:tension=1", 0.638_176_8),
        ("wool=1:tension=2", 0.188_363_2),
    ] {
        near(&results, "poisson", term, "coefficient", coefficient, 6e-8);
    }
}

#[test]
fn melanoma_competing_causes() {
    let Some(melanoma) = table("regression-reference", "melanoma.csv", &[]) else { return };
    let study = [
        feature("time", "bounds = [0, 6000]"),
        feature("status", "levels = [2, 1, 3]"),
        feature("sex", "levels = [0, 1]"),
        "[[analysis]]\nkind = \"competing\"\ntime = \"time\"\ncause = \"status\"\nby = \"sex\"\nat = [1000, 3000]\n"
            .to_owned(),
    ];
    let results = federation(&melanoma, &study.concat());
    // As the statistic's own tests have it.
    near(&results, "competing", "sex=0, status=1, time 3000", "cumulative incidence", 0.235_651_694, 2e-8);
    near(&results, "competing", "sex=1, status=1, time 3000", "cumulative incidence", 0.424_535_869, 2e-8);
    near(&results, "competing", "sex=1, status=3, time 1000", "cumulative incidence", 0.038_141_239, 2e-8);
}

#[test]
fn veteran_hazards_by_interval() {
    let words: [&[&str]; 1] = [&["squamous", "smallcell", "adeno", "large"]];
    let Some(veteran) = table("survival", "veteran.csv", &words) else { return };
    let study = [
        feature("time", "bounds = [0, 1000]"),
        feature("status", "levels = [0, 1]"),
        feature("trt", "bounds = [1, 2]"),
        feature("karno", "bounds = [0, 100]"),
        feature("celltype", "levels = [0, 1, 2, 3]"),
        "[[analysis]]\nkind = \"piecewise_exponential\"\ntime = \"time\"\nevent = \"status\"\n\
         features = [\"trt\", \"karno\", \"celltype\"]\ncuts = [30, 90, 180]\n"
            .to_owned(),
    ];
    let results = federation(&veteran, &study.concat());
    // As learning's reference tests have it.
    near(&results, "piecewise_exponential", "trt", "coefficient", 0.240_001_851, 1e-7);
    near(&results, "piecewise_exponential", "karno", "coefficient", -0.029_987_385, 1e-7);
    near(&results, "piecewise_exponential", "(30, 90]", "coefficient", -4.006_091_465, 1e-6);
}
