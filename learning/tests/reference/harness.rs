//! Tables of the reference data, and programs run over them without noise.

use std::collections::HashMap;
use std::path::Path;

use learning::Term;
use summaries::{
    Column, Estimate, Lanes, MISSING, MergedRelease, MergedRound, PatientBatch, Program, Reporting, Row, Step,
};

pub(crate) type Data = HashMap<String, Vec<String>>;

/// The columns of a table of the reference data; `None` where they are not here.
pub(crate) fn table(name: &str) -> Option<Data> {
    let root = std::env::var_os("INSITU_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), Into::into);
    let Ok(text) = std::fs::read_to_string(root.join(name)) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is missing; set INSITU_SHARED_DATA");
        println!("skipped: {name} is not here; set INSITU_SHARED_DATA to run this test");
        return None;
    };
    let mut lines = text.lines().map(|l| l.split(',').map(|c| c.trim_matches('"').to_owned()).collect::<Vec<_>>());
    let names = lines.next()?;
    let rows: Vec<Vec<String>> = lines.collect();
    Some(names.into_iter().enumerate().map(|(i, n)| (n, rows.iter().map(|r| r[i].clone()).collect())).collect())
}

pub(crate) fn real(data: &Data, name: &str) -> Column {
    Column::Real(data[name].iter().map(|c| c.parse().unwrap_or(f64::NAN)).collect())
}

pub(crate) fn level(data: &Data, name: &str, levels: &[&str]) -> Column {
    let place = |c: &String| levels.iter().position(|n| n == c).map_or(MISSING, |p| p as u32);
    Column::Level(data[name].iter().map(place).collect())
}

pub(crate) fn number(name: &str, lower: f64, upper: f64) -> Term {
    Term::Real { name: name.to_owned(), lower, upper }
}

pub(crate) fn category(name: &str, levels: &[&str]) -> Term {
    Term::Level { name: name.to_owned(), levels: levels.iter().map(|l| (*l).to_owned()).collect() }
}

pub(crate) fn reporting() -> Reporting {
    Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into(); 20], levels: vec![vec![]; 20] }
}

/// Every third patient.
pub(crate) fn site(columns: &[Column], which: usize) -> PatientBatch {
    let rows: Vec<usize> = (0..columns[0].len()).filter(|i| i % 3 == which).collect();
    let own = columns.iter().map(|c| match c {
        Column::Real(v) => Column::Real(rows.iter().map(|i| v[*i]).collect()),
        Column::Level(v) => Column::Level(rows.iter().map(|i| v[*i]).collect()),
        _ => panic!("no such column here"),
    });
    PatientBatch::new(rows.len(), own.collect()).unwrap()
}

/// Runs a program over three sites without noise.
pub(crate) fn run(mut program: Box<dyn Program>, columns: Vec<Column>) -> Estimate {
    let sites: Vec<PatientBatch> = (0..3).map(|w| site(&columns, w)).collect();
    let (mut round, mut parameters) = (0, program.first());
    for _ in 0..200 {
        let mut parts = Vec::new();
        for work in program.work(round, &parameters).unwrap() {
            let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
            for site in &sites {
                let mut own = Lanes::zeros(lanes.len());
                work.statistic.accumulate(&site.select(&work.columns).unwrap(), &mut own).unwrap();
                assert!(lanes.merge(own.values()));
            }
            parts.push(MergedRelease {
                lanes: lanes.into_values(),
                noise_variance: 0.0,
                unit: 1.0,
                sites: 3,
                shared: 1,
            });
        }
        match program.next(round, &parameters, &MergedRound { parts, sites: 3 }).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return estimate,
        }
    }
    panic!("no end");
}

pub(crate) fn get<'a>(e: &'a Estimate, term: &str, statistic: &str) -> &'a Row {
    let found = e.rows.iter().find(|r| r.term == term && r.statistic == statistic);
    found.unwrap_or_else(|| {
        panic!(
            "no {statistic} of {term} among {:?}",
            e.rows.iter().map(|r| (&r.term, &r.statistic)).collect::<Vec<_>>()
        )
    })
}

/// Coefficients and errors as printed by R. R's glm has its errors from the step before the last, so that their fifth digit differs.
pub(crate) fn agree(e: &Estimate, expected: &[(&str, f64, f64)], tolerance: f64) {
    for (term, coefficient, se) in expected {
        let row = get(e, term, "coefficient");
        let (got, spread) = (row.estimate.unwrap_or_else(|| panic!("{term}: {}", row.note)), row.sampling_se.unwrap());
        assert!((got - coefficient).abs() <= tolerance, "{term}: {got} and not {coefficient}");
        assert!((spread - se).abs() <= tolerance.max(5e-5 * se), "{term}: an error of {spread} and not {se}");
    }
}

pub(crate) fn columns(program: usize) -> Vec<usize> {
    (0..program).collect()
}
