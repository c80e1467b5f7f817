//! Survival of the literature's trials through a whole federation of three sites, without noise: the figures of R's survival package,
//! and two hospitals' breast cancers with a baseline for each.

use std::fmt::Write as _;

use crate::reference::{Table, feature, federation, near, table};

const TIME: &str = "[features.time]\nkind = \"measurement\"\ncode = \"r:time\"\nunit = \"1\"\nbounds = [0, ";

fn time(most: u32) -> String {
    format!("{TIME}{most}]\n")
}

fn coefficients(results: &serde_json::Value, analysis: &str, wanted: &[(&str, f64)], log_likelihood: f64) {
    for (term, coefficient) in wanted {
        near(results, analysis, term, "coefficient", *coefficient, 1e-6);
    }
    near(results, analysis, "model", "log likelihood", log_likelihood, 1e-5);
}

#[test]
fn lung_within_institutions() {
    let Some(lung) = table("survival", "lung.csv", &[]) else { return };
    let study = [
        time(1100),
        feature("status", "levels = [1, 2]"),
        feature("sex", "levels = [1, 2]"),
        feature("inst", "levels = [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 15, 16, 21, 22, 26, 32, 33]"),
        feature("age", "bounds = [30, 90]"),
        feature("ph_ecog", "bounds = [0, 4]"),
        "[[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"status\"\nby = \"sex\"\nstrata = \"inst\"\n".to_owned(),
        "[[analysis]]\nkind = \"cox\"\ntime = \"time\"\nevent = \"status\"\nfeatures = [\"age\", \"sex\", \"ph_ecog\"]\nstrata = \"inst\"\n"
            .to_owned(),
    ];
    let results = federation(&lung, &study.concat());
    near(&results, "survival", "sex", "log-rank chi2", 8.524_467, 6e-7);
    near(&results, "survival", "sex", "log-rank p", 0.003_504_032_9, 1e-10);
    let wanted = [("age", 0.009_561), ("sex=2", -0.547_357), ("ph_ecog", 0.597_253)];
    coefficients(&results, "cox", &wanted, -311.249_569);
}

#[test]
fn veterans_by_cell_type_with_either_ties() {
    let words: [&[&str]; 1] = [&["squamous", "smallcell", "adeno", "large"]];
    let Some(veteran) = table("survival", "veteran.csv", &words) else { return };
    let mut study = [
        time(1000),
        feature("status", "levels = [0, 1]"),
        feature("celltype", "levels = [0, 1, 2, 3]"),
        feature("trt", "bounds = [1, 2]"),
        feature("karno", "bounds = [0, 100]"),
        feature("diagtime", "bounds = [0, 100]"),
        feature("age", "bounds = [30, 90]"),
        feature("prior", "bounds = [0, 10]"),
        "[[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"status\"\nby = \"celltype\"\n".to_owned(),
    ]
    .concat();
    for ties in ["efron", "breslow"] {
        let _ = writeln!(
            study,
            "[[analysis]]\nname = \"{ties}\"\nkind = \"cox\"\ntime = \"time\"\nevent = \"status\"\nties = \"{ties}\"\n\
             features = [\"trt\", \"celltype\", \"karno\", \"diagtime\", \"age\", \"prior\"]"
        );
    }
    let results = federation(&veteran, &study);
    near(&results, "survival", "celltype", "log-rank chi2", 25.403_700, 6e-7);
    near(&results, "survival", "celltype", "log-rank p", 1.271_245_9e-5, 1e-12);
    let efron = [
        ("trt", 0.294_603),
        ("celltype=1", 0.861_560),
        ("celltype=2", 1.196_066),
        ("celltype=3", 0.401_292),
        ("karno", -0.032_815),
        ("age", -0.008_706),
        ("prior", 0.007_159),
    ];
    coefficients(&results, "efron", &efron, -474.397_112);
    let breslow = [("trt", 0.289_936), ("celltype=2", 1.188_299), ("karno", -0.032_622), ("diagtime", -0.000_092)];
    coefficients(&results, "breslow", &breslow, -475.179_399);
}

/// Adds a column made from others; empty where it can't be.
fn with(table: &mut Table, name: &str, of: &[&str], make: impl Fn(&[f64]) -> f64) {
    let places: Vec<usize> = of.iter().map(|o| table.names.iter().position(|n| n == o).unwrap()).collect();
    table.names.push(name.to_owned());
    for row in &mut table.rows {
        let values: Option<Vec<f64>> = places.iter().map(|p| row[*p].parse().ok()).collect();
        row.push(values.map(|v| make(&v)).filter(|v| v.is_finite()).map_or_else(String::new, |v| v.to_string()));
    }
}

#[test]
fn primary_biliary_cirrhosis() {
    let Some(mut pbc) = table("survival", "pbc.csv", &[&["f", "m"]]) else { return };
    with(&mut pbc, "died", &["status"], |v| f64::from(v[0] == 2.0));
    for name in ["bili", "protime", "albumin"] {
        with(&mut pbc, &format!("log_{name}"), &[name], |v| v[0].ln());
    }
    let study = [
        time(5000),
        feature("died", "levels = [0, 1]"),
        feature("trt", "levels = [1, 2]"),
        feature("age", "bounds = [20, 90]"),
        feature("edema", "bounds = [0, 1]"),
        feature("log_bili", "bounds = [-2, 4]"),
        feature("log_protime", "bounds = [2, 3]"),
        feature("log_albumin", "bounds = [0, 2]"),
        "[[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"died\"\nby = \"trt\"\nat = [365, 1000, 2000, 3000]\n".to_owned(),
        "[[analysis]]\nkind = \"cox\"\ntime = \"time\"\nevent = \"died\"\nties = \"efron\"\n\
         features = [\"age\", \"edema\", \"log_bili\", \"log_protime\", \"log_albumin\"]\n"
            .to_owned(),
    ];
    let results = federation(&pbc, &study.concat());
    for (term, survival, risk) in [
        ("trt=1, time 365", 0.943_038, 149.0),
        ("trt=1, time 3000", 0.541_710, 31.0),
        ("trt=2, time 1000", 0.797_897, 120.0),
        ("trt=2, time 2000", 0.705_203, 70.0),
    ] {
        near(&results, "survival", term, "survival", survival, 6e-7);
        near(&results, "survival", term, "at risk", risk, 0.0);
    }
    near(&results, "survival", "trt=1", "median survival", 3282.0, 0.0);
    near(&results, "survival", "trt=2", "median survival", 3428.0, 0.0);
    near(&results, "survival", "trt", "log-rank chi2", 0.101_705, 6e-7);
    near(&results, "survival", "trt", "log-rank p", 0.749_792_52, 1e-8);
    let wanted = [
        ("age", 0.039_609),
        ("edema", 0.896_311),
        ("log_bili", 0.863_551),
        ("log_protime", 2.386_839),
        ("log_albumin", -2.506_923),
    ];
    coefficients(&results, "cox", &wanted, -751.469_744);
}

/// Everybody of one group has the event; ties; few patients.
#[test]
fn small_trials() {
    if let Some(aml) = table("survival", "aml.csv", &[&["Maintained", "Nonmaintained"]]) {
        let study = [
            time(200),
            feature("status", "levels = [0, 1]"),
            feature("x", "levels = [0, 1]"),
            "[[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"status\"\nby = \"x\"\nat = [9, 23, 34, 48]\n".to_owned(),
        ];
        let results = federation(&aml, &study.concat());
        near(&results, "survival", "x=0, time 48", "survival", 0.184_091, 6e-7);
        near(&results, "survival", "x=1, time 34", "survival", 0.194_444, 6e-7);
        near(&results, "survival", "x=1, time 48", "survival", 0.0, 0.0);
        near(&results, "survival", "x=0", "median survival", 31.0, 0.0);
        near(&results, "survival", "x", "log-rank chi2", 3.396_389, 6e-7);
        near(&results, "survival", "x", "log-rank p", 0.065_339_322, 1e-9);
    }
    if let Some(mut ovarian) = table("survival", "ovarian.csv", &[]) {
        with(&mut ovarian, "time", &["futime"], |v| v[0]);
        let study = [
            time(1300),
            feature("fustat", "levels = [0, 1]"),
            feature("rx", "bounds = [1, 2]"),
            feature("age", "bounds = [30, 90]"),
            "[[analysis]]\nkind = \"cox\"\ntime = \"time\"\nevent = \"fustat\"\nfeatures = [\"rx\", \"age\"]\nties = \"efron\"\n".to_owned(),
        ];
        let results = federation(&ovarian, &study.concat());
        coefficients(&results, "cox", &[("rx", -0.803_973), ("age", 0.147_327)], -27.041_899);
    }
}

/// The columns that both hospitals' tables of breast cancers have.
const BREAST: [&str; 7] = ["age", "meno", "grade", "nodes", "pgr", "er", "hormon"];

#[test]
fn two_hospitals_of_breast_cancer_with_a_baseline_each() {
    let (Some(mut rotterdam), Some(mut gbsg)) =
        (table("survival", "rotterdam.csv", &[]), table("survival", "gbsg.csv", &[]))
    else {
        return;
    };
    with(&mut rotterdam, "time", &["recur", "rtime", "dtime"], |v| if v[0] == 1.0 { v[1] } else { v[2] });
    with(&mut rotterdam, "event", &["recur", "death"], |v| v[0].max(v[1]));
    with(&mut rotterdam, "site", &["pid"], |_| 1.0);
    with(&mut gbsg, "time", &["rfstime"], |v| v[0]);
    with(&mut gbsg, "event", &["status"], |v| v[0]);
    with(&mut gbsg, "site", &["pid"], |_| 0.0);
    let names: Vec<String> = BREAST.iter().chain(&["time", "event", "site"]).map(|n| (*n).to_owned()).collect();
    let columns = |t: &Table| -> Vec<Vec<String>> {
        let places: Vec<usize> = names.iter().map(|n| t.names.iter().position(|m| m == n).unwrap()).collect();
        t.rows.iter().map(|r| places.iter().map(|p| r[*p].clone()).collect()).collect()
    };
    let both = Table { rows: [columns(&rotterdam), columns(&gbsg)].concat(), names: names.clone() };
    let mut study = [
        time(7100),
        feature("event", "levels = [0, 1]"),
        feature("site", "levels = [0, 1]"),
        "[features.treated]\nkind = \"measurement\"\ncode = \"r:hormon\"\nunit = \"1\"\nlevels = [0, 1]\n".to_owned(),
    ]
    .concat();
    for (name, bounds) in BREAST.iter().zip(["20, 100", "0, 1", "1, 3", "0, 60", "0, 6000", "0, 4000", "0, 1"]) {
        study += &feature(name, &format!("bounds = [{bounds}]"));
    }
    let list = BREAST.map(|n| format!("\"{n}\"")).join(", ");
    let _ = writeln!(
        study,
        "[[analysis]]\nname = \"breslow by site\"\nkind = \"cox\"\ntime = \"time\"\nevent = \"event\"\nfeatures = [{list}]\n\
         ties = \"breslow\"\nstrata = \"site\""
    );
    study +=
        "[[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"event\"\nby = \"treated\"\nstrata = \"site\"\n";
    let results = federation(&both, &study);
    let wanted = |v: [f64; 7]| BREAST.into_iter().zip(v).collect::<Vec<_>>();
    let by_site = [0.005_472, 0.038_974, 0.382_288, 0.076_046, -0.000_242, -0.000_007, -0.148_844];
    coefficients(&results, "breslow by site", &wanted(by_site), -14_361.834_348);
    near(&results, "survival", "treated", "log-rank chi2", 1.749_484, 6e-7);
}

#[test]
fn gbsg_alone() {
    let Some(mut gbsg) = table("survival", "gbsg.csv", &[]) else { return };
    with(&mut gbsg, "time", &["rfstime"], |v| v[0]);
    let mut study = [
        time(2700),
        feature("status", "levels = [0, 1]"),
        "[features.treated]\nkind = \"measurement\"\ncode = \"r:hormon\"\nunit = \"1\"\nlevels = [0, 1]\n".to_owned(),
    ]
    .concat();
    let names = ["age", "meno", "size", "grade", "nodes", "pgr", "er", "hormon"];
    for (name, bounds) in names.iter().zip(["20, 100", "0, 1", "0, 200", "1, 3", "0, 60", "0, 3000", "0, 2000", "0, 1"])
    {
        study += &feature(name, &format!("bounds = [{bounds}]"));
    }
    let list = names.map(|n| format!("\"{n}\"")).join(", ");
    let _ = writeln!(
        study,
        "[[analysis]]\nkind = \"cox\"\ntime = \"time\"\nevent = \"status\"\nfeatures = [{list}]\nties = \"efron\"\n\
         [[analysis]]\nkind = \"survival\"\ntime = \"time\"\nevent = \"status\"\nby = \"treated\"\nat = [365, 1826]"
    );
    let results = federation(&gbsg, &study);
    let wanted = [-0.009_392, 0.267_277, 0.007_716, 0.280_289, 0.049_894, -0.002_238, 0.000_167, -0.337_203];
    coefficients(&results, "cox", &names.into_iter().zip(wanted).collect::<Vec<_>>(), -1_737.174_490);
    near(&results, "survival", "treated", "log-rank chi2", 8.564_781, 6e-7);
    near(&results, "survival", "treated=0, time 1826", "survival", 0.436_806, 6e-7);
    near(&results, "survival", "treated=1", "median survival", 2018.0, 0.0);
}
