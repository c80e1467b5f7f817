//! Readmission within 30 days of 69,973 patients at forty hospitals (Diabetes-130): logistic regression, a perceptron and boosted trees, without noise and under it, beside
//! scikit-learn and XGBoost on the pooled rows (`tests/reference/diabetes.json`, made by the script beside it). All models are judged on the same test patients, by the parameters
//! that the federation tells; what it tells itself of the test patients, with noise, stands beside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{array, program, run, text};
use crate::reference::{Table, feature, write_sites};
use insitu_tests::diabetes::{LEVELS, NUMBERS, Patient, SITES, auc, patients};
use insitu_tests::{shared_data, sized};
use study::analysis::What;
use summaries::{Column, PatientBatch};

fn names() -> Vec<&'static str> {
    NUMBERS.iter().map(|n| n.0).chain(LEVELS.iter().map(|l| l.0)).collect()
}

/// The rows, with the outcome, who is tested, and the outcome of those alone who are trained on, for models that know of no split.
fn table(all: &[Patient]) -> Table {
    let flag = |is: bool| u8::from(is).to_string();
    let row = |p: &Patient| {
        let known = if p.tested { String::new() } else { flag(p.readmitted) };
        p.columns.iter().map(f64::to_string).chain([flag(p.readmitted), flag(p.tested), known]).collect()
    };
    let names = names().into_iter().chain(["readmitted", "split", "known"]).map(str::to_owned).collect();
    Table { names, rows: all.iter().map(row).collect() }
}

/// A study of these analyses.
fn study(id: &str, privacy: &str, analyses: &str) -> String {
    let mut out = format!(
        "id = \"{id}\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
         [code_systems]\nr = \"urn:insitu:reference\"\n[cohorts.target]\nentry = {{ table = \"patient\" }}\n[privacy]\n{privacy}\n"
    );
    for (name, [low, high]) in NUMBERS {
        out += &feature(name, &format!("bounds = [{low}, {high}]"));
    }
    for (name, levels) in LEVELS.into_iter().chain([("readmitted", 2), ("split", 2), ("known", 2)]) {
        out += &feature(name, &format!("levels = {:?}", (0..levels).collect::<Vec<_>>()));
    }
    out + analyses
}

const SPLIT: &str = "[analysis.holdout]\nfeature = \"split\"\n";

/// By Newton steps, whose curvature a sum of 820 lanes tells.
fn newton() -> String {
    let features = names();
    format!(
        "[[analysis]]\nkind = \"logistic\"\nname = \"newton\"\nbaseline = \"common\"\noutcome = \"known\"\nfeatures = {features:?}\n"
    )
}

/// In clipped steps with momentum. The sum is divided by the number of those trained on, which the split makes public.
fn steps(name: &str, model: &str, (rounds, rate, clip): (u32, f64, f64), trained: usize) -> String {
    let features = names();
    format!(
        "[[analysis]]\nkind = \"train\"\nname = \"{name}\"\noutcome = \"readmitted\"\nfeatures = {features:?}\n\
         [analysis.model]\nfamily = \"logistic\"\n{model}\n[analysis.strategy]\nrounds = {rounds}\nclip = {clip:?}\nmomentum = 0.9\n\
         learning_rate = {{ start = {rate:?}, decay = \"cosine\" }}\npatients = {trained}\n{SPLIT}"
    )
}

const PERCEPTRON: &str = "hidden = [16]\nseed = 42";

fn trees(name: &str, trees: u32, depth: u32, more: &str) -> String {
    let features = names();
    format!(
        "[[analysis]]\nkind = \"trees\"\nname = \"{name}\"\noutcome = \"readmitted\"\nfeatures = {features:?}\nfamily = \"logistic\"\n\
         trees = {trees}\ndepth = {depth}\n{more}\n{SPLIT}"
    )
}

/// Runs studies one after the other over the sites of a folder; the file and the results of each.
#[allow(clippy::print_stdout)] // The table is what the test is for.
fn run_all(dir: &Path, studies: &[String], noise: &str) -> Vec<(String, Value)> {
    let files: Vec<PathBuf> = (0..studies.len()).map(|i| dir.join(format!("study-{noise}-{i}.toml"))).collect();
    let mut c = Command::new(program("simulator"));
    c.args(["run", "--json", "--noise", noise]);
    for (file, study) in files.iter().zip(studies) {
        std::fs::write(file, study).unwrap();
        c.arg("--study").arg(file);
    }
    let folder = dir.join(format!("out-{noise}"));
    let begun = Instant::now();
    let out = run({
        c.arg("--sites").arg(dir.join("sites")).arg("--out").arg(&folder);
        c
    });
    assert!(out.status.success(), "{}", text(&out));
    println!(
        "{} studies, noise {noise}: {:.0} s with enrolment and ingestion",
        studies.len(),
        begun.elapsed().as_secs_f64()
    );
    let results = |text: &String| {
        let id = study::read::checked(text).unwrap().id.to_string();
        let own = if studies.len() == 1 { folder.clone() } else { folder.join(id) };
        serde_json::from_slice(&std::fs::read(own.join("estimates.json")).unwrap()).unwrap()
    };
    studies.iter().map(|s| (s.clone(), results(s))).collect()
}

/// The linear predictor of a regression's coefficients.
fn eta(analysis: &Value, p: &Patient) -> f64 {
    let rows = array(&analysis["estimate"], "rows");
    let of = |term: &str| {
        let row = rows.iter().find(|r| r["term"] == term && r["statistic"] == "coefficient");
        row.and_then(|r| r["estimate"].as_f64()).unwrap_or_else(|| panic!("no coefficient of {term} in {rows:#?}"))
    };
    let (numbers, levels) = p.columns.split_at(NUMBERS.len());
    let linear: f64 = NUMBERS.iter().zip(numbers).map(|(n, x)| of(n.0) * x).sum();
    let places = LEVELS.iter().zip(levels).filter(|(_, l)| **l > 0.0);
    of("(intercept)") + linear + places.map(|((name, _), l)| of(&format!("{name}={l}"))).sum::<f64>()
}

/// What a model of a study says of patients: a score each.
fn scores(study: &str, analysis: &Value, of: &[&Patient]) -> Vec<f64> {
    let Some(parameters) = analysis["parameters"].as_str().filter(|p| !p.is_empty()) else {
        return of.iter().map(|p| eta(analysis, p)).collect();
    };
    let parameters = coordinator::model::decode(parameters).unwrap();
    let study = study::read::checked(study).unwrap();
    let column = |j: usize| match j < NUMBERS.len() {
        true => Column::Real(of.iter().map(|p| p.columns[j]).collect()),
        false => Column::Level(of.iter().map(|p| p.columns[j] as u32).collect()),
    };
    // Behind the features an outcome and a group that say nothing here.
    let none = || Column::Level(vec![0; of.len()]);
    let columns = (0..names().len()).map(column).chain([none(), none()]).collect();
    let batch = PatientBatch::new(of.len(), columns).unwrap();
    let what = &study.analysis.iter().find(|a| analysis["name"] == a.label()).unwrap().what;
    match what {
        What::Trees(t) => study::compile::trees::predict(&study, t, &parameters, &batch).unwrap(),
        What::Train(t) => {
            let model = study::compile::training::model(&study, t).unwrap();
            model.predict(&parameters, &batch).unwrap().into_iter().map(|p| p[0]).collect()
        }
        _ => panic!("{} has no parameters of its own", analysis["name"]),
    }
}

/// The AUC of each analysis of a study on the test patients, printed beside what the federation tells of it.
#[allow(clippy::print_stdout)] // The table is what the test is for.
fn judged((study, results): &(String, Value), test: &[&Patient]) -> Vec<f64> {
    let one = |analysis: &Value| {
        let scored: Vec<(f64, bool)> =
            scores(study, analysis, test).into_iter().zip(test.iter().map(|p| p.readmitted)).collect();
        let area = auc(&scored);
        let told = array(&analysis["estimate"], "rows").iter().find(|r| r["term"] == "test" && r["statistic"] == "auc");
        let told = told.map_or(String::new(), |r| {
            r["estimate"].as_f64().map_or_else(
                || format!(", not told: {}", r["note"]),
                |v| format!(", told {v:.4} [{:.4}, {:.4}]", r["lower"].as_f64().unwrap(), r["upper"].as_f64().unwrap()),
            )
        });
        println!(
            "{}, {}: AUC {area:.4}{told}; {} rounds, epsilon {}",
            results["study"], analysis["name"], analysis["rounds"], analysis["epsilon"]
        );
        area
    };
    array(results, "analyses").iter().map(one).collect()
}

fn reference() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/diabetes.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The rows are the reference's own: as many, with the same sums.
fn same_rows(all: &[Patient], reference: &Value) {
    let count = |of: &dyn Fn(&&Patient) -> bool| all.iter().filter(of).count();
    let got = [all.len(), count(&|p| p.tested), count(&|p| p.readmitted), count(&|p| p.readmitted && p.tested)];
    let wanted = ["patients", "tested", "readmitted", "readmitted_of_tested"].map(|k| reference[k].as_u64().unwrap());
    assert_eq!(got.map(|n| n as u64), wanted);
    let sums: Vec<f64> = (0..names().len()).map(|j| all.iter().map(|p| p.columns[j]).sum()).collect();
    let wanted: Vec<f64> = array(reference, "sum_of_columns").iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(sums, wanted);
}

/// Settings of trees under noise: stumps over a few features each, whose histograms have little noise, and leaves that are drawn to 0.
const NOISY: &str = "bins = 8\nper_tree = 5\nseed = 42\npenalty = 50\nleast = 50";

#[test]
fn readmission_beside_pooled_models() {
    let Some(data) = shared_data("diabetes-130-us-hospitals") else { return };
    let (sites, said) = sized((8, "first eight sites"), (SITES, "forty sites"));
    let all: Vec<Patient> = patients(&data).into_iter().filter(|p| p.site < sites).collect();
    let reference = &reference()[said];
    same_rows(&all, reference);
    let test: Vec<&Patient> = all.iter().filter(|p| p.tested).collect();
    let trained = all.len() - test.len();
    let dir = tempfile::tempdir().unwrap();
    write_sites(dir.path(), &table(&all), (sites, &|row| all[row].site));
    // Without noise: the pooled models.
    let pooled = &reference["auc"];
    let grown = |n: u32, depth: u32| trees(&format!("{n} of depth {depth}"), n, depth, "");
    let mut analyses = newton() + &grown(10, 2);
    if sites == SITES {
        analyses += &steps("logistic", "", (300, 2.0, 9.0), trained);
        analyses += &(steps("perceptron", PERCEPTRON, (200, 1.0, 9.0), trained) + &grown(20, 3) + &grown(50, 3));
    }
    let off = run_all(dir.path(), &[study("exact", "epsilon = 1.0", &analyses)], "off");
    let areas = judged(&off[0], &test);
    for (analysis, area) in array(&off[0].1, "analyses").iter().zip(areas) {
        let (wanted, most) = match analysis["name"].as_str().unwrap() {
            "newton" => (pooled["logistic"].as_f64().unwrap(), 2e-4),
            "logistic" => (pooled["logistic"].as_f64().unwrap(), 3e-3),
            "perceptron" => (pooled["perceptron"]["mean"].as_f64().unwrap(), 0.01),
            boosted => (pooled["trees"][boosted].as_f64().unwrap(), 2e-4),
        };
        assert!((area - wanted).abs() < most, "{}: {area:.5} and not {wanted:.5} ± {most}", analysis["name"]);
    }
    // Under noise, in secure rounds, each model alone with all of ε.
    let private = |epsilon: f64| format!("epsilon = {epsilon:?}\ndelta = 1e-5\naggregation = \"secure\"");
    let logistic = |rounds: u32| steps("logistic", "", (rounds, 2.0, 3.0), trained);
    let models = sized(
        vec![("logistic", logistic(30), [0.0, 0.56])],
        vec![
            ("logistic", logistic(100), [0.60, 0.61]),
            ("perceptron", steps("perceptron", PERCEPTRON, (100, 1.0, 4.0), trained), [0.58, 0.60]),
            ("stumps", trees("stumps", 20, 1, NOISY), [0.56, 0.60]),
        ],
    );
    let mut asked = Vec::new();
    for (place, epsilon) in sized(vec![(1, 5.0)], vec![(0, 1.0), (1, 5.0)]) {
        for (name, analysis, least) in &models {
            let id = format!("{name}-{epsilon}");
            asked.push((study(&id, &private(epsilon), analysis), epsilon, least[place]));
        }
    }
    let studies: Vec<String> = asked.iter().map(|(s, ..)| s.clone()).collect();
    for (own, (_, epsilon, least)) in run_all(dir.path(), &studies, "on").iter().zip(asked) {
        let area = judged(own, &test)[0];
        let analysis = &array(&own.1, "analyses")[0];
        assert!(area > least, "{}: {area:.4} and not above {least}", analysis["name"]);
        assert!((analysis["epsilon"].as_f64().unwrap() - epsilon).abs() < 1e-3 * epsilon, "{}", analysis["epsilon"]);
    }
}
