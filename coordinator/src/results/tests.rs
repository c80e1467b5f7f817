//! Tests of the files as a whole.

use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, UInt32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use summaries::{Curve, Estimate, Row};

use super::*;

pub(super) fn plan() -> study::Plan {
    let text = "id = \"s\"\nversion = \"1\"\nschema = \">=1\"\npurpose = \"research\"\nexpires = \"2099-01-01\"\n\
                analysis = []\n[cohorts]\n[privacy]\nepsilon = 1.0\n";
    let study = study::read::study(text).unwrap();
    study::Plan { format: study::plan::FORMAT.to_owned(), federation: "f".to_owned(), study }
}

pub(super) fn analysis(name: &str, kind: &str, rows: Vec<Row>, curves: Vec<Curve>) -> AnalysisResult {
    AnalysisResult {
        name: name.into(),
        kind: kind.into(),
        cohort: "target".into(),
        rounds: 1,
        sites: 3,
        rho: 0.01,
        epsilon: 0.5,
        estimate: Estimate { rows, curves },
        hospitals: vec![],
        meta: vec![],
        parameters: String::new(),
        failed: None,
    }
}

fn curve(kind: &str, points: Vec<[f64; 4]>) -> Curve {
    Curve { title: kind.into(), kind: kind.into(), x_label: "x <i>".into(), y_label: "y".into(), points }
}

/// A suppressed row that by mistake still holds its number.
fn leaky() -> Row {
    Row { suppressed: true, note: "few".into(), ..Row::normal("sex=X", "n", 7654.0, 0.0, 7654.0, 0.0) }
}

pub(super) fn results(simulation: bool) -> Results {
    let n = |term: &str, v| Row::normal(term, "n", v, 0.0, 4.0, 2.0);
    let mut odds = Row::normal("age", "odds ratio", 1.5, 0.2, 0.1, 1.96);
    odds.upper = Some(5e6);
    let model = vec![
        Row::normal("age", "coefficient", 0.4, 0.1, 0.05, 1.96),
        odds,
        Row::normal("model", "auc", 0.8, 0.02, 0.01, 1.96),
    ];
    let calibration = vec![[0.1, 0.2, 0.1, 0.3], [0.9, 0.8, 0.7, 0.9], [0.5, f64::NAN, 0.0, 1.0]];
    let bars = vec![[5.0, 30.0, 20.0, 40.0], [15.0, 50.0, 40.0, 60.0]];
    let mut failed = analysis("later", "moments", vec![], vec![]);
    failed.failed = Some("too few sites".into());
    Results {
        study: "s".into(),
        version: "1".into(),
        title: "<script>alert(1)</script>".into(),
        analyses: vec![
            analysis("by sex", "crosstab", vec![n("sex=F", 1234.0), n("sex=\"M\"", 99.0), leaky()], vec![]),
            analysis(
                "t1",
                "table1",
                vec![n("age", 500.0), n("sex=F", 250.0), leaky()],
                vec![curve("step", bars.clone())],
            ),
            analysis("model", "logistic", model, vec![curve("line", calibration)]),
            analysis("ages", "histogram", vec![], vec![curve("bars", bars), curve("bars", vec![])]),
            failed,
        ],
        simulation,
    }
}

pub(super) fn provenance(private: bool) -> Provenance {
    let hash = "ab".repeat(32);
    let release =
        ReleaseProvenance { site: "north".into(), release: hash.clone(), payload_hash: hash.clone(), rho: 0.01 };
    let site = |id: &str, decision: &str| SiteProvenance {
        id: id.into(),
        country: "FI".into(),
        decision: decision.into(),
        reason: "<script>policy</script>".into(),
        rho: 0.01,
        epsilon: 0.5,
    };
    Provenance {
        federation: "f".into(),
        study: "s".into(),
        plan_hash: hash.clone(),
        signer: "an analyst".into(),
        signer_certificate_serial: "01".into(),
        signature_hex: "00".into(),
        epsilon: if private { 1.0 } else { f64::INFINITY },
        delta: 1e-6,
        rho: 0.02,
        unit: "patient at a hospital".into(),
        aggregation: "local".into(),
        burned: 0,
        mechanism: "discrete Gaussian".into(),
        schema: "1.0".into(),
        started: "2030-01-01".into(),
        finished: "2030-01-02".into(),
        software: "0.1.0".into(),
        private,
        sites: vec![site("north", "approved"), site("south", "refused")],
        rounds: vec![RoundProvenance {
            analysis: "by sex".into(),
            round: 0,
            sites: 1,
            parameters_hash: hash.clone(),
            merged_hash: hash,
            started: "2030-01-01".into(),
            finished: "2030-01-01".into(),
            releases: vec![release],
        }],
    }
}

fn page(private: bool) -> String {
    report::html(&results(!private), &provenance(private), &plan())
}

#[test]
fn texts_are_escaped_and_nothing_runs() {
    let page = page(true);
    assert!(
        !page.contains("<script") && !page.contains("<i>") && !page.contains("http://") && !page.contains("https://")
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("&lt;script&gt;policy"));
    assert!(!page.contains("NaN") && !page.contains("inf\""));
    assert_eq!(page.matches("<svg").count(), 5);
}

#[test]
fn the_banner_is_there_without_noise_alone() {
    assert!(!page(true).contains("NOT PRIVATE"));
    assert!(page(false).contains("NOT PRIVATE: simulation without noise"));
    // Either mark is enough.
    assert!(report::html(&results(true), &provenance(true), &plan()).contains("NOT PRIVATE"));
    assert!(report::html(&results(false), &provenance(false), &plan()).contains("NOT PRIVATE"));
}

#[test]
fn a_suppressed_row_never_shows_its_number() {
    let page = page(true);
    assert!(page.contains("suppressed</td><td>few</td>"));
    assert!(!page.contains("7654") && !page.contains("7\u{202f}654"));
    assert!(!tables::csv(&tables::flat(&results(false), &provenance(true))).contains("7654"));
    assert!(!serde_json::to_string(&results(false).clean()).unwrap().contains("7654"));
}

#[test]
fn csv_has_every_row() {
    let csv = tables::csv(&tables::flat(&results(false), &provenance(true)));
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 3 + 3 + 3 + 1);
    assert_eq!(
        lines.get(2).copied(),
        Some("by sex,crosstab,target,\"sex=\"\"M\"\"\",n,99,91,107,4,0,4,3,0.5,1e-6,discrete Gaussian,false,,true,")
    );
    assert_eq!(
        lines.get(3).copied(),
        Some("by sex,crosstab,target,sex=X,n,,,,,,,3,0.5,1e-6,discrete Gaussian,true,few,true,")
    );
    assert!(
        csv.ends_with("later,moments,target,,failed,,,,,,,3,0.5,1e-6,discrete Gaussian,false,too few sites,true,\r\n")
    );
}

#[test]
fn the_files_read_back() {
    let dir: PathBuf = std::env::temp_dir().join(format!("insitu-results-{}", std::process::id()));
    let paths = write(&dir, &results(true), &provenance(false), &plan()).unwrap();
    assert_eq!(paths.len(), 5);
    let back: Results = serde_json::from_slice(&std::fs::read(dir.join("estimates.json")).unwrap()).unwrap();
    let clean = results(true).clean();
    assert_eq!((back.analyses.len(), back.simulation, &back.title), (5, true, &clean.title));
    assert_eq!(back.analyses.first(), clean.analyses.first());
    let back: Provenance = serde_json::from_slice(&std::fs::read(dir.join("provenance.json")).unwrap()).unwrap();
    assert_eq!(back, provenance(false));
    let file = std::fs::File::open(dir.join("estimates.parquet")).unwrap();
    let batches: Vec<_> =
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect();
    let [batch] = batches.as_slice() else { panic!("one batch") };
    let schema = batch.schema();
    assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), tables::COLUMNS);
    assert_eq!(schema.field_with_name("estimate").unwrap().data_type(), &DataType::Float64);
    let column = |name: &str| batch.column_by_name(name).unwrap();
    assert_eq!(batch.num_rows(), 10);
    let estimate = column("estimate").as_primitive::<Float64Type>();
    assert_eq!((estimate.value(0), estimate.is_null(2)), (1234.0, true));
    assert_eq!(column("n_sites").as_primitive::<UInt32Type>().value(0), 3);
    assert_eq!(column("term").as_string::<i32>().value(1), "sex=\"M\"");
    assert!(column("suppressed").as_boolean().value(2) && !column("private").as_boolean().value(0));
    assert_eq!(column("epsilon").null_count(), 10);
    std::fs::remove_dir_all(&dir).unwrap();
}
