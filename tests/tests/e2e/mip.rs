//! The Medical Informatics Platform's federated results on ten hospitals' synthetic dementia patients: the same through a federation of
//! ours. Who lacks a variable of a case is left out, there as here.

use std::path::Path;

use serde_json::Value;

use crate::harness::array;
use crate::reference::{Table, feature, federation, near};
use insitu_tests::shared_data;

/// A case of an algorithm: its place in the file's list.
fn case(data: &Path, algorithm: &str, place: usize) -> Value {
    let text = std::fs::read_to_string(data.join("expected_cases.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[format!("{algorithm}_expected.json")][place].clone()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(|v| v.as_f64().unwrap()).collect()
}

/// The variables of a case, outcome first, over its hospitals' patients; F and M are 0 and 1.
fn patients(data: &Path, case: &Value) -> Table {
    let of = &case["input"]["inputdata"];
    let names = [texts(&of["y"]), texts(&of["x"])].concat();
    let mut rows = Vec::new();
    for hospital in texts(&of["datasets"]) {
        let text = std::fs::read_to_string(data.join(format!("{hospital}.csv"))).unwrap();
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap().split(',').collect();
        let at: Vec<usize> = names.iter().map(|n| head.iter().position(|h| h == n).unwrap()).collect();
        let plain = |cell: &str| match cell {
            "F" => "0".to_owned(),
            "M" => "1".to_owned(),
            other => other.to_owned(),
        };
        rows.extend(lines.map(|l| {
            let cells: Vec<&str> = l.split(',').collect();
            at.iter().map(|i| plain(cells[*i])).collect()
        }));
    }
    Table { names, rows }
}

/// Public bounds that hold all of the variables.
const BOUNDS: &str = "bounds = [-10, 100]";

#[test]
fn logistic_regression() {
    let Some(data) = shared_data("mip-dementia-synth") else { return };
    let case = case(&data, "logistic_regression", 0);
    let table = patients(&data, &case);
    let mut study = feature("gender", "levels = [0, 1]");
    study.extend(table.names.iter().skip(1).map(|n| feature(n, "bounds = [0, 20]")));
    study += &format!("[[analysis]]\nkind = \"logistic\"\noutcome = \"gender\"\nfeatures = {:?}\n", &table.names[1..]);
    let results = federation(&table, &study);
    let terms = [vec!["(intercept)".to_owned()], table.names[1..].to_vec()].concat();
    let told = &case["output"];
    for (term, wanted) in terms.iter().zip(numbers(&told["coefficients"])) {
        near(&results, "logistic", term, "coefficient", wanted, 1e-6);
    }
    let rows: Vec<&Value> = array(&results, "analyses").iter().flat_map(|a| array(&a["estimate"], "rows")).collect();
    for (i, term) in terms.iter().enumerate() {
        let row = rows.iter().find(|r| r["term"] == term.as_str() && r["statistic"] == "coefficient").unwrap();
        for (key, wanted) in [("se", "stderr"), ("lower", "lower_ci"), ("upper", "upper_ci")] {
            let wanted = told[wanted][i].as_f64().unwrap();
            assert!((row[key].as_f64().unwrap() - wanted).abs() < 1e-5, "{term}, {key}: {row} and not {wanted}");
        }
        near(&results, "logistic", term, "p", told["pvalues"][i].as_f64().unwrap(), 1e-6);
    }
}

#[test]
fn histogram() {
    let Some(data) = shared_data("mip-dementia-synth") else { return };
    let case = case(&data, "multiple_histograms", 0);
    let told = &case["output"]["histogram"][0];
    let edges = numbers(&told["bins"]);
    let mut table = patients(&data, &case);
    let name = table.names[0].clone();
    // There the last bin holds its upper edge, here a value on the upper bound is in no bin below it.
    let last = edges[edges.len() - 1];
    for row in &mut table.rows {
        if row[0].parse() == Ok(last) {
            row[0] = (last - 1e-9).to_string();
        }
    }
    let study = feature(&name, &format!("bounds = [{}, {last}]", edges[0]))
        + &format!("[[analysis]]\nkind = \"histogram\"\nof = \"{name}\"\nbins = {}\n", edges.len() - 1);
    let results = federation(&table, &study);
    let rows = array(&array(&results, "analyses")[0]["estimate"], "rows");
    let counts = told["counts"].as_array().unwrap();
    for (i, wanted) in counts.iter().enumerate() {
        let got = rows[i]["estimate"].as_f64().unwrap();
        assert_eq!(got, wanted.as_f64().unwrap_or(0.0), "bin {i}: {}", rows[i]);
    }
}

#[test]
fn principal_components() {
    let Some(data) = shared_data("mip-dementia-synth") else { return };
    let case = case(&data, "pca", 0);
    let table = patients(&data, &case);
    let mut study: String = table.names.iter().map(|n| feature(n, BOUNDS)).collect();
    study += &format!("[[analysis]]\nkind = \"pca\"\nof = {:?}\n", table.names);
    let results = federation(&table, &study);
    for (k, wanted) in numbers(&case["output"]["eigen_vals"]).iter().enumerate() {
        near(&results, "pca", &format!("component {}", k + 1), "eigenvalue", *wanted, 1e-5);
    }
    let first = numbers(&case["output"]["eigen_vecs"][0]);
    // A component's sign is free; here its largest loading is above 0.
    for (name, wanted) in table.names.iter().zip(first) {
        near(&results, "pca", &format!("component 1, {name}"), "loading", -wanted, 1e-5);
    }
}

/// t of a mean against a number, from the mean and its error.
#[test]
fn means_against_a_number() {
    let Some(data) = shared_data("mip-dementia-synth") else { return };
    for place in 0..3 {
        let case = case(&data, "ttest_onesample", place);
        let table = patients(&data, &case);
        let name = &table.names[0];
        let study = feature(name, "bounds = [0, 12]") + &format!("[[analysis]]\nkind = \"moments\"\nof = \"{name}\"\n");
        let results = federation(&table, &study);
        let told = &case["output"];
        let mean = told["mean_diff"].as_f64().unwrap();
        near(&results, "moments", name, "n", told["n_obs"].as_f64().unwrap(), 0.0);
        near(&results, "moments", name, "mean", mean, 1e-8);
        let rows = array(&array(&results, "analyses")[0]["estimate"], "rows");
        let row = rows.iter().find(|r| r["statistic"] == "mean").unwrap();
        let t = (mean - case["input"]["parameters"]["mu"].as_f64().unwrap()) / row["se"].as_f64().unwrap();
        let wanted = told["t_value"].as_f64().unwrap();
        assert!((t / wanted - 1.0).abs() < 1e-6, "{name}: {t} and not {wanted}");
    }
}

/// The difference of two variables of a patient is a feature in SQL; t is its mean over its error.
#[test]
fn paired_differences() {
    let Some(data) = shared_data("mip-dementia-synth") else { return };
    let case = case(&data, "ttest_paired", 0);
    let table = patients(&data, &case);
    let of = |name: &str| {
        format!("SELECT person_key, max(value_num) AS v FROM measurement WHERE code = '{name}' GROUP BY person_key")
    };
    let (y, x) = (of(&table.names[0]), of(&table.names[1]));
    let sql =
        format!("SELECT a.person_key, b.v - a.v AS value FROM ({y}) a JOIN ({x}) b ON a.person_key = b.person_key");
    let study = format!(
        "[features.difference]\nkind = \"sql\"\nbounds = [-10, 20]\nsql = \"{sql}\"\n[[analysis]]\nkind = \"moments\"\nof = \"difference\"\n"
    );
    let results = federation(&table, &study);
    let told = &case["output"];
    near(&results, "moments", "difference", "n", told["n_obs"].as_f64().unwrap(), 0.0);
    near(&results, "moments", "difference", "mean", told["mean_diff"][0].as_f64().unwrap(), 1e-8);
    let rows = array(&array(&results, "analyses")[0]["estimate"], "rows");
    let row = rows.iter().find(|r| r["statistic"] == "mean").unwrap();
    let t = row["estimate"].as_f64().unwrap() / row["se"].as_f64().unwrap();
    let wanted = told["statistic"][0].as_f64().unwrap();
    assert!((t / wanted - 1.0).abs() < 1e-6, "{t} and not {wanted}");
}

/// The correlation of two is the first eigenvalue of their correlations less 1, with the sign of their loadings' product.
#[test]
fn correlations() {
    let Some(data) = shared_data("mip-dementia-synth") else { return };
    let case = case(&data, "pearson_correlation", 0);
    let table = patients(&data, &case);
    let names = &table.names;
    let mut study: String = names.iter().map(|n| feature(n, BOUNDS)).collect();
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        study +=
            &format!("[[analysis]]\nkind = \"pca\"\nname = \"{a}{b}\"\nof = [\"{}\", \"{}\"]\n", names[a], names[b]);
    }
    let results = federation(&table, &study);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let wanted = case["output"]["correlations"][&names[a]][b].as_f64().unwrap();
        near(&results, &format!("{a}{b}"), "component 1", "eigenvalue", 1.0 + wanted.abs(), 1e-6);
    }
}
