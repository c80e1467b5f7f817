//! A trained model leaves as a file that other software reads: ONNX Runtime foretells the same of the same patients, for every family.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use coordinator::model::{Asked, safetensors};
use serde_json::{Value, json};
use summaries::{Column, PatientBatch};

use crate::harness::{program, text};
use crate::reference::{Table, feature, federated_in};

/// Python with onnxruntime, safetensors and numpy: that of INSITU_PYTHON, or the usual one. `None` where it lacks them.
#[allow(clippy::print_stdout)] // A test reads it.
fn python() -> Option<String> {
    let name = std::env::var("INSITU_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&name).args(["-c", "import onnxruntime, safetensors, numpy"]).output();
    if has.is_ok_and(|o| o.status.success()) {
        return Some(name);
    }
    println!("skipped: {name} has no onnxruntime, safetensors and numpy; set INSITU_PYTHON to one that has");
    None
}

/// What stands for a prediction that is no number.
const NONE: f64 = 1e300;

/// What ONNX Runtime says of rows, and whether the tensors of a file are as many as it says.
fn foretold(python: &str, onnx: &str, tensors: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    const SCRIPT: &str = "import sys, json, numpy, onnxruntime, safetensors.numpy\n\
        ask = json.load(sys.stdin)\n\
        own = safetensors.numpy.load_file(ask['tensors'])\n\
        assert sum(t.size for t in own.values()) > 0 and all(t.dtype == numpy.float64 for t in own.values())\n\
        s = onnxruntime.InferenceSession(ask['onnx'], providers=['CPUExecutionProvider'])\n\
        rows = [[numpy.nan if v is None else v for v in r] for r in ask['rows']]\n\
        out = s.run(['prediction'], {'features': numpy.array(rows, dtype=numpy.float64)})[0]\n\
        json.dump(numpy.where(numpy.isnan(out), 1e300, out).tolist(), sys.stdout)\n";
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ask = json!({ "onnx": onnx, "tensors": tensors, "rows": rows }).to_string();
    child.stdin.take().unwrap().write_all(ask.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The outcome of each analysis, and its settings.
const MODELS: [(&str, &str, &str); 4] = [
    ("yes", "y2", "family = \"logistic\"\nhidden = [5, 3]\nseed = 4"),
    ("levels", "y3", "family = \"multinomial\"\nhidden = [4]\nactivation = \"relu\"\nseed = 5"),
    ("count", "n", "family = \"poisson\""),
    ("number", "v", "family = \"linear\"\nseed = 6"),
];

fn row(i: usize) -> [f64; 6] {
    let i = i as f64;
    let (x, c, z) = ((i * 7.3) % 50.0, (i * 1.7).floor() % 3.0, (i * 3.1) % 9.0 - 4.0);
    let level = if x > 25.0 { 1.0 } else { 0.0 };
    [x, c, level, (c + level) % 3.0, (x / 10.0).floor(), 2.0 * z + x / 5.0]
}

#[test]
fn onnx_runtime_foretells_the_same() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let names = ["x", "c", "y2", "y3", "n", "v"].map(str::to_owned).to_vec();
    let rows = (0..120).map(|i| row(i).iter().map(|v| format!("{v}")).collect()).collect();
    let mut study = [
        feature("x", "bounds = [0, 40]"),
        feature("c", "levels = [0, 1, 2]"),
        feature("y2", "levels = [0, 1]"),
        feature("y3", "levels = [0, 1, 2]"),
        feature("n", "bounds = [0, 6]"),
        feature("v", "bounds = [-10, 20]"),
    ]
    .concat();
    for (name, outcome, model) in MODELS {
        write!(
            study,
            "[[analysis]]\nkind = \"train\"\nname = \"{name}\"\noutcome = \"{outcome}\"\nfeatures = [\"x\", \"c\"]\n\
             [analysis.model]\n{model}\n[analysis.strategy]\nrounds = 8\nlearning_rate = 0.8\nclip = 2\n[analysis.holdout]\ntest = 0.25\n"
        )
        .unwrap();
    }
    let results = federated_in(dir.path(), &Table { names, rows }, &study, "off");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let coordinator = |args: &[&str]| {
        let out = Command::new(program("coordinator")).args(args).output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
        text(&out)
    };
    assert_eq!(coordinator(&["model", "list", &path("out")]).lines().count(), 4);
    // Within the bounds, at their ends and beyond them.
    let asked: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i) * 1.6 - 8.0, f64::from(i % 3)]).collect();
    for (name, _, _) in MODELS {
        let (file, onnx) = (path(&format!("out/models/{name}.safetensors")), path(&format!("{name}.onnx")));
        coordinator(&["model", "export", &file, "--format", "onnx", "--out", &onnx]);
        let card = coordinator(&["model", "show", &file]);
        assert!(
            card.contains("NOT PRIVATE") && card.contains("| test |") && card.contains("clipped to 0 to 40"),
            "{card}"
        );
        let trained = safetensors::read(&std::fs::read(&file).unwrap()).unwrap();
        let study = study::read::checked(&std::fs::read_to_string(path("study.toml")).unwrap()).unwrap();
        let Asked::Train(train) = &trained.asked else { panic!("{name} is no network") };
        let own = study::compile::training::model(&study, train).unwrap();
        let n = asked.len();
        let outcome =
            if matches!(name, "yes" | "levels") { Column::Level(vec![0; n]) } else { Column::Real(vec![0.0; n]) };
        let columns = vec![
            Column::Real(asked.iter().map(|r| r[0]).collect()),
            Column::Level(asked.iter().map(|r| r[1] as u32).collect()),
            outcome,
            Column::Level(vec![0; n]),
        ];
        let wanted = own.predict(&trained.parameters, &PatientBatch::new(n, columns).unwrap()).unwrap();
        let told = foretold(&python, &onnx, &file, &asked);
        assert_eq!((told.len(), told[0].len()), (n, wanted[0].len()));
        for (a, b) in told.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{name}: {a} and not {b}");
        }
        // Models that differ from patient to patient.
        assert!(wanted.iter().any(|w| (w[0] - wanted[0][0]).abs() > 1e-6), "{name}: {wanted:?}");
    }
    let first: Vec<&Value> = results["analyses"].as_array().unwrap().iter().collect();
    for a in first {
        assert!(a["parameters"].as_str().is_some_and(|p| !p.is_empty()));
        // Everybody is trained on or held out, the same in every analysis.
        let of = |term: &str, statistic: &str| {
            let rows = a["estimate"]["rows"].as_array().unwrap();
            rows.iter().find(|r| r["term"] == term && r["statistic"] == statistic).unwrap()["estimate"]
                .as_f64()
                .unwrap()
        };
        let (trained, held) = (of("training", "patients"), of("test", "n"));
        assert!(trained + held == 120.0 && (15.0..=48.0).contains(&held), "{trained} and {held}");
    }
}

/// Boosted trees of every family, with categories and with features that patients lack: ONNX Runtime comes to the same leaves.
#[test]
fn onnx_runtime_grows_the_same_trees() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let names = ["x", "c", "y2", "n", "v"].map(str::to_owned).to_vec();
    let cells = |i: usize| {
        let [x, c, y2, _, n, v] = row(i).map(|v| format!("{v}"));
        // Every ninth lacks x, every seventh c.
        let lacks = |every: usize, cell: String| if i.is_multiple_of(every) { String::new() } else { cell };
        vec![lacks(9, x), lacks(7, c), y2, n, v]
    };
    let mut study = [
        feature("x", "bounds = [0, 40]"),
        feature("c", "levels = [0, 1, 2]"),
        feature("y2", "levels = [0, 1]"),
        feature("n", "bounds = [0, 6]"),
        feature("v", "bounds = [-10, 20]"),
        feature("three", "levels = [0, 1, 2]").replace("r:three", "r:n"),
    ]
    .concat();
    let models = [
        ("yes", "y2", "logistic"),
        ("count", "n", "poisson"),
        ("number", "v", "linear\"\nedges = \"quantiles"),
        ("levels", "three", "multinomial\"\nedges = \"quantiles"),
    ];
    for (name, outcome, family) in models {
        write!(
            study,
            "[[analysis]]\nkind = \"trees\"\nname = \"{name}\"\noutcome = \"{outcome}\"\nfeatures = [\"x\", \"c\"]\n\
             family = \"{family}\"\ntrees = 5\ndepth = 3\nbins = 10\nleast = 0.2\n[analysis.holdout]\ntest = 0.25\n"
        )
        .unwrap();
    }
    let table = Table { names, rows: (0..160).map(cells).collect() };
    let results = federated_in(dir.path(), &table, &study, "off");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let asked: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i) * 1.6 - 8.0, f64::from(i % 3)]).collect();
    let asked: Vec<Vec<f64>> = asked.into_iter().chain([vec![f64::NAN, 1.0], vec![12.0, f64::NAN]]).collect();
    for (name, outcome, _) in models {
        let (file, onnx) = (path(&format!("out/models/{name}.safetensors")), path(&format!("{name}.onnx")));
        let coordinator = |args: &[&str]| {
            let out = Command::new(program("coordinator")).args(args).output().unwrap();
            assert!(out.status.success(), "{}", text(&out));
            text(&out)
        };
        coordinator(&["model", "export", &file, "--format", "onnx", "--out", &onnx]);
        assert!(coordinator(&["model", "show", &file]).contains("of 5 boosted trees of a depth of 3"));
        let trained = safetensors::read(&std::fs::read(&file).unwrap()).unwrap();
        let Asked::Trees(trees) = &trained.asked else { panic!("{name} is no tree") };
        let study = study::read::checked(&std::fs::read_to_string(path("study.toml")).unwrap()).unwrap();
        let n = asked.len();
        let is_level = matches!(outcome, "y2" | "three");
        let column = if is_level { Column::Level(vec![0; n]) } else { Column::Real(vec![0.0; n]) };
        let level = |v: f64| if v.is_nan() { summaries::MISSING } else { v as u32 };
        let columns = vec![
            Column::Real(asked.iter().map(|r| r[0]).collect()),
            Column::Level(asked.iter().map(|r| level(r[1])).collect()),
            column,
            Column::Level(vec![0; n]),
        ];
        let wanted =
            study::compile::trees::predict(&study, trees, &trained.parameters, &PatientBatch::new(n, columns).unwrap());
        let wanted = wanted.unwrap();
        let told = foretold(&python, &onnx, &file, &asked);
        assert_eq!((told.len(), told.len() * told[0].len()), (n, wanted.len()));
        for (a, b) in told.iter().flatten().zip(&wanted) {
            assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{name}: {a} and not {b}");
        }
        assert!(wanted.iter().any(|w| (w - wanted[0]).abs() > 1e-3), "{name}: {wanted:?}");
    }
    for a in results["analyses"].as_array().unwrap() {
        let rows = a["estimate"]["rows"].as_array().unwrap();
        assert!(rows.iter().any(|r| r["term"] == "test" && r["statistic"] == "loss"), "{a}");
    }
}

/// Features that are bent, multiplied, standardised by what was learned of them, and filled in where a patient lacks them: ONNX Runtime prepares
/// them alike, and says nothing of whom the training left out.
#[test]
fn onnx_runtime_prepares_the_same() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let names = ["x", "c", "z", "y2", "y3", "n"].map(str::to_owned).to_vec();
    let cells = |i: usize| {
        let [x, c, y2, y3, n, v] = row(i).map(|v| format!("{v}"));
        let lacks = |every: usize, cell: String| if i % every == 5 { String::new() } else { cell };
        vec![lacks(9, x), lacks(7, c), lacks(8, v), y2, y3, n]
    };
    let mut study = [
        feature("x", "bounds = [0, 40]"),
        feature("c", "levels = [0, 1, 2]"),
        feature("z", "bounds = [-10, 20]"),
        feature("y2", "levels = [0, 1]"),
        feature("y3", "levels = [0, 1, 2]"),
        feature("n", "bounds = [0, 6]"),
    ]
    .concat();
    let products = "interactions = [[\"x\", \"c\"], [\"z\", \"x\"]]\n";
    let spline = "[[analysis.splines]]\nfeature = \"x\"\nknots = [8, 15, 22, 33]\n";
    let models = [
        ("bent", "y2", "family = \"logistic\"\nhidden = [3]", format!("{products}{spline}"), ""),
        ("moments", "n", "family = \"poisson\"", products.to_owned(), "scale = \"moments\"\nmissing = \"mean\""),
        (
            "indicator",
            "y3",
            "family = \"multinomial\"\nhidden = [4]",
            format!("{products}{spline}"),
            "scale = \"moments\"\nmissing = \"indicator\"",
        ),
        ("own", "y2", "family = \"logistic\"", String::new(), "scale = \"none\"\nmissing = \"indicator\"\nshare = 0.2"),
    ];
    for (name, outcome, model, formula, prepare) in &models {
        let rate = if *name == "own" { 0.001 } else { 0.3 };
        write!(
            study,
            "[[analysis]]\nkind = \"train\"\nname = \"{name}\"\noutcome = \"{outcome}\"\nfeatures = [\"x\", \"c\", \"z\"]\n{formula}\
             [analysis.model]\n{model}\n[analysis.prepare]\n{prepare}\n[analysis.strategy]\nrounds = 8\nlearning_rate = {rate}\nclip = 2\n"
        )
        .unwrap();
    }
    let table = Table { names, rows: (0..150).map(cells).collect() };
    federated_in(dir.path(), &table, &study, "off");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let asked: Vec<Vec<f64>> =
        (0..40).map(|i| vec![f64::from(i) * 1.6 - 8.0, f64::from(i % 3), f64::from(i % 11)]).collect();
    let lacking = [[f64::NAN, 1.0, 4.0], [12.0, f64::NAN, 3.0], [30.0, 7.0, 1.0], [9.0, 2.0, f64::NAN], [f64::NAN; 3]];
    let asked: Vec<Vec<f64>> = asked.into_iter().chain(lacking.map(|r| r.to_vec())).collect();
    for (name, ..) in &models {
        let (file, onnx) = (path(&format!("out/models/{name}.safetensors")), path(&format!("{name}.onnx")));
        let coordinator = |args: &[&str]| {
            let out = Command::new(program("coordinator")).args(args).output().unwrap();
            assert!(out.status.success(), "{}", text(&out));
            text(&out)
        };
        coordinator(&["model", "export", &file, "--format", "onnx", "--out", &onnx]);
        let card = coordinator(&["model", "show", &file]);
        assert!(card.contains("Steps of sgd in 8 rounds") && card.contains("SHA-256"), "{card}");
        assert_eq!(card.contains("standardised: mean"), matches!(*name, "moments" | "indicator"), "{card}");
        assert_eq!(card.contains("knots at [8.0, 15.0, 22.0, 33.0]"), matches!(*name, "bent" | "indicator"), "{card}");
        let trained = safetensors::read(&std::fs::read(&file).unwrap()).unwrap();
        let n = asked.len();
        let level = |v: f64| if v.is_nan() || v > 2.0 { summaries::MISSING } else { v as u32 };
        let columns = vec![
            Column::Real(asked.iter().map(|r| r[0]).collect()),
            Column::Level(asked.iter().map(|r| level(r[1])).collect()),
            Column::Real(asked.iter().map(|r| r[2]).collect()),
        ];
        let wanted = trained.foretell(&PatientBatch::new(n, columns).unwrap()).unwrap();
        let width = trained.names().len();
        let told = foretold(&python, &onnx, &file, &asked);
        for (a, b) in told.iter().zip(&wanted) {
            let b = b.clone().unwrap_or_else(|| vec![NONE; width]);
            assert!(
                a.len() == width && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + b.abs())),
                "{name}: {a:?} and not {b:?}"
            );
        }
        assert_eq!(wanted.iter().filter(|w| w.is_none()).count(), if *name == "bent" { 5 } else { 0 });
        let first = wanted[0].as_ref().unwrap()[0];
        assert!(wanted.iter().flatten().any(|w| (w[0] - first).abs() > 1e-6), "{name}: {wanted:?}");
    }
}
