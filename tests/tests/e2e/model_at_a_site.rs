//! A released model at a hospital: what it says of the patients there is what it says anywhere, and a hospital goes on with it for itself. Nothing leaves
//! for either, and nothing is charged.

use std::path::Path;

use serde_json::Value;
use study::model::{Asked, safetensors};
use summaries::{Column, MISSING, PatientBatch};

use crate::harness::{Federation, array, ledger, study, text};

const MODELS: &str = r#"
[[analysis]]
kind = "train"
name = "net"
outcome = "sex"
features = ["sbp", "high"]
interactions = [["sbp", "high"]]
[analysis.model]
family = "logistic"
hidden = [4]
[analysis.prepare]
scale = "moments"
missing = "indicator"
[analysis.strategy]
rounds = 5
learning_rate = 1
clip = 1
[[analysis]]
kind = "train"
name = "plain"
outcome = "sex"
features = ["sbp"]
[analysis.model]
family = "logistic"
[analysis.strategy]
rounds = 5
learning_rate = 4
clip = 0.5
[analysis.holdout]
test = 0.3
[[analysis]]
kind = "train"
name = "levels"
outcome = "sex"
features = ["sbp"]
[analysis.model]
family = "multinomial"
[analysis.strategy]
rounds = 3
learning_rate = 4
clip = 0.5
[[analysis]]
kind = "trees"
name = "trees"
outcome = "sex"
features = ["sbp"]
family = "logistic"
trees = 3
depth = 2
least = 0.1
"#;

/// So many patients; who is high is a woman, or at another hospital a man. Every ninth has no measurement.
fn extract(patients: usize, women_are_high: bool) -> (String, Vec<(u32, f64)>) {
    let mut csv = "id,sex,birth,sbp,day\n".to_owned();
    let mut own = Vec::new();
    for i in 0..patients {
        let sbp = 100 + (i * 37) % 80;
        let woman = (sbp > 140) == women_are_high;
        let lacks = i % 9 == 4;
        let sex = if woman { "f" } else { "m" };
        let shown = if lacks { String::new() } else { sbp.to_string() };
        csv += &format!("p{i},{sex},1950-03-04,{shown},2023-05-06\n");
        own.push((u32::from(!woman), if lacks { f64::NAN } else { sbp as f64 }));
    }
    (csv, own)
}

fn site(f: &mut Federation, id: &str, csv: &str) {
    f.make_site(id, 1, "[approval]\nmode = \"auto\"");
    std::fs::write(f.site_home(id).join("extract/patients.csv"), csv).unwrap();
    f.enroll(id);
    f.start_agent(id);
}

/// The columns of a CSV of predictions, sorted by row.
fn predictions(file: &Path) -> (Vec<String>, Vec<Vec<Option<f64>>>) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let names = lines.next().unwrap().split(',').map(str::to_owned).collect();
    let row = |line: &str| {
        let (key, cells) = line.split_once(',').unwrap();
        assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
        cells.split(',').map(|c| (!c.is_empty()).then(|| c.parse().unwrap())).collect::<Vec<Option<f64>>>()
    };
    let mut rows: Vec<_> = lines.map(row).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    (names, rows)
}

/// What the file's parameters say of the patients, by the study itself, sorted.
fn wanted(file: &Path, own: &[(u32, f64)]) -> Vec<Vec<Option<f64>>> {
    let model = safetensors::read(&std::fs::read(file).unwrap()).unwrap();
    let study = model.study().unwrap();
    let high = |x: f64| if x.is_nan() { MISSING } else { u32::from(x > 140.0) };
    let mut columns = vec![Column::Real(own.iter().map(|p| p.1).collect())];
    if model.inputs.len() > 1 {
        columns.push(Column::Level(own.iter().map(|p| high(p.1)).collect()));
    }
    let batch = PatientBatch::new(own.len(), columns).unwrap();
    let told: Vec<Option<Vec<f64>>> = match &model.asked {
        Asked::Train(t) => {
            let network = study::compile::training::model(study, t).unwrap();
            network.foretell(&model.parameters, &batch).unwrap()
        }
        Asked::Trees(t) => {
            let outcome = Column::Level(vec![0; own.len()]);
            let told = study::compile::trees::predict(study, t, &model.parameters, &batch.with(outcome).unwrap());
            told.unwrap().into_iter().map(|p| Some(vec![p])).collect()
        }
    };
    let width = model.names().len();
    let mut rows: Vec<Vec<Option<f64>>> =
        told.into_iter().map(|t| t.map_or(vec![None; width], |t| t.into_iter().map(Some).collect())).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

#[test]
fn it_is_used_and_gone_on_with_and_nothing_leaves() {
    let mut f = Federation::new();
    let (usual, _) = extract(90, true);
    let (other, own) = extract(140, false);
    site(&mut f, "s-1", &usual);
    site(&mut f, "s-2", &other);
    let submitted = f.submit(&study("models", "min_sites = 2\ngather_seconds = 30", MODELS));
    assert!(submitted.status.success(), "{}", text(&submitted));
    let status = f.over("models");
    assert_eq!(status["state"], "done", "{status:#}");
    f.results("models");
    let before = (ledger(&f, "s-2"), f.agent_json("s-2", &["releases", "list"]), f.status("models"));
    let path = |name: &str| f.path(name).to_str().unwrap().to_owned();
    for name in ["net", "plain", "levels", "trees"] {
        let (file, out) = (path(&format!("results/models/{name}.safetensors")), path(&format!("{name}.csv")));
        let said = f.agent_json("s-2", &["model", "predict", &file, "--out", &out]);
        let (names, rows) = predictions(Path::new(&out));
        let wanted = wanted(Path::new(&file), &own);
        assert_eq!(rows.len(), 140);
        for (got, want) in rows.iter().flatten().zip(wanted.iter().flatten()) {
            let close = got.zip(*want).is_none_or(|(a, b)| (a - b).abs() <= 1e-9);
            assert!(got.is_some() == want.is_some() && close, "{name}: {got:?} and not {want:?}");
        }
        let lacking = own.iter().filter(|p| p.1.is_nan()).count();
        let foretold = if ["net", "trees"].contains(&name) { 140 } else { 140 - lacking };
        assert_eq!(
            (said["foretold"].as_u64(), said["missing"]["sbp"].as_u64()),
            (Some(foretold as u64), Some(lacking as u64))
        );
        let columns =
            if name == "levels" { vec!["person", "\"p_F\"", "\"p_M\""] } else { vec!["person", "\"prediction\""] };
        assert_eq!(names, columns);
    }
    // Parquet too; the owner's alone.
    let (file, out) = (path("results/models/plain.safetensors"), path("plain.parquet"));
    let said = f.agent_command("s-2", &["model", "predict", &file, "--out", &out]);
    assert!(
        said.status.success() && text(&said).contains("nothing left this site, and nothing was charged"),
        "{}",
        text(&said)
    );
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The hospital goes on for itself: its own held-out patients are foretold better.
    let tuned = path("tuned.safetensors");
    let said = f.agent_json("s-2", &["model", "tune", &file, "--out", &tuned, "--steps", "80"]);
    let of = |what: &str, when: &str| {
        let row = array(&said, "judged").iter().find(|r| r["of"] == "test" && r["what"] == what).unwrap();
        row[when].as_f64().unwrap()
    };
    assert!(of("loss", "after") < of("loss", "before") - 0.05, "{said:#}");
    assert!(of("auc", "after") > 0.9, "{said:#}");
    assert_eq!(said["held_out_unseen"], true);
    let out = path("tuned.csv");
    assert!(f.agent_json("s-2", &["model", "predict", &tuned, "--out", &out])["foretold"].as_u64().unwrap() > 100);
    // Its file must stay there.
    let left = f.agent_command("s-1", &["model", "predict", &tuned, "--out", &out]);
    assert!(!left.status.success() && text(&left).contains("must not have left it"), "{}", text(&left));
    let exported = f.coordinator_command(&["model", "export", &tuned, "--out", &path("tuned.onnx")]);
    assert!(!exported.status.success() && text(&exported).contains("must not leave that site"), "{}", text(&exported));
    assert!(text(&f.coordinator_command(&["model", "show", &tuned])).contains("must not leave the site s-2"));
    let trees = f.agent_command("s-2", &["model", "tune", &path("results/models/trees.safetensors"), "--out", &tuned]);
    assert!(!trees.status.success() && text(&trees).contains("trees are not tuned"), "{}", text(&trees));
    // Nothing was sent or charged for any of it.
    let after = (ledger(&f, "s-2"), f.agent_json("s-2", &["releases", "list"]), f.status("models"));
    assert_eq!(before, after);
}

/// A hospital that has no value of a feature is told so by name, and gets no file; what is no model is refused.
#[test]
fn a_feature_that_a_site_lacks_is_named() {
    let mut f = Federation::new();
    let (usual, _) = extract(60, true);
    let without: String =
        usual.lines().map(|l| format!("{}\n", l.replace(l.split(',').nth(3).unwrap_or("-"), ""))).collect();
    let without = without.replacen("id,sex,birth,,day", "id,sex,birth,sbp,day", 1);
    site(&mut f, "s-1", &usual);
    site(&mut f, "s-2", &usual);
    let plain = MODELS.replace("name = \"net\"", "name = \"filled\"");
    assert!(f.submit(&study("models", "min_sites = 2\ngather_seconds = 30", &plain)).status.success());
    assert_eq!(f.over("models")["state"], "done");
    f.results("models");
    f.make_site("s-3", 1, "[approval]\nmode = \"auto\"");
    std::fs::write(f.site_home("s-3").join("extract/patients.csv"), without).unwrap();
    f.enroll("s-3");
    let path = |name: &str| f.path(name).to_str().unwrap().to_owned();
    let out = path("p.csv");
    let said = f.agent_command(
        "s-3",
        &["--json", "model", "predict", &path("results/models/plain.safetensors"), "--out", &out],
    );
    let answer: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{}", text(&said)));
    assert_eq!((said.status.code(), &answer["lacks"][0]), (Some(3), &Value::from("sbp")));
    assert!(!Path::new(&out).exists());
    let said = f.agent_command("s-3", &["model", "predict", &path("results/models/plain.safetensors"), "--out", &out]);
    assert!(text(&said).contains("nobody in the cohort 'target' has sbp"), "{}", text(&said));
    // One that fills in what is missing foretells everybody.
    let filled = f.agent_json("s-3", &["model", "predict", &path("results/models/filled.safetensors"), "--out", &out]);
    assert_eq!(filled["foretold"], 60);
    for (file, out, code, says) in [
        ("study.toml", "p.csv", 1, "this is no model of InSitu"),
        ("results/models/plain.safetensors", "p.txt", 1, "ends neither with .csv nor with .parquet"),
        ("none.safetensors", "p.csv", 1, "can't be read"),
    ] {
        let said = f.agent_command("s-3", &["model", "predict", &path(file), "--out", &path(out)]);
        assert_eq!(said.status.code(), Some(code), "{}", text(&said));
        assert!(text(&said).contains(says), "{}", text(&said));
    }
    assert_eq!(f.agent_command("s-3", &["model", "predict"]).status.code(), Some(2));
}
