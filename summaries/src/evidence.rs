//! What tests of statistics share: tables of the reference data, exact and noisy releases, and whether an error that the noise is said to
//! make is the one that it makes.

use std::collections::HashMap;
use std::path::Path;

use crate::batch::{Column, MISSING, PatientBatch};
use crate::estimate::{Estimate, Reporting, Row};
use crate::interval::normal_quantile;
use crate::lanes::{Lanes, MergedRelease};
use crate::statistic::Statistic;

/// The columns of a table of the reference data, as texts; `None` where they are not here.
pub(crate) fn table(name: &str) -> Option<HashMap<String, Vec<String>>> {
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

pub(crate) fn numbers(column: &[String]) -> Column {
    Column::Real(column.iter().map(|c| c.parse().unwrap_or(f64::NAN)).collect())
}

pub(crate) fn levels(column: &[String], names: &[&str]) -> Column {
    Column::Level(column.iter().map(|c| names.iter().position(|n| n == c).map_or(MISSING, |p| p as u32)).collect())
}

pub(crate) fn reporting(names: &[&str], levels: &[&[&str]]) -> Reporting {
    let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let levels = levels.iter().map(|l| own(l)).collect();
    Reporting { confidence: 0.95, min_cell: 0, names: own(names), levels }
}

/// The sum over patients, without noise.
pub(crate) fn release(s: &dyn Statistic, columns: Vec<Column>) -> MergedRelease {
    let n = columns[0].len();
    let mut lanes = Lanes::zeros(s.layout().lanes);
    s.accumulate(&PatientBatch::new(n, columns).unwrap(), &mut lanes).unwrap();
    MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 }
}

pub(crate) fn get<'a>(e: &'a Estimate, term: &str, statistic: &str) -> &'a Row {
    let found = e.rows.iter().find(|r| r.term == term && r.statistic == statistic);
    found.unwrap_or_else(|| {
        let all: Vec<_> = e.rows.iter().map(|r| format!("{}: {}", r.term, r.statistic)).collect();
        panic!("no {statistic} of {term} among {all:#?}")
    })
}

pub(crate) fn near(e: &Estimate, term: &str, statistic: &str, wanted: f64, tolerance: f64) {
    let row = get(e, term, statistic);
    let got = row.estimate.unwrap_or_else(|| panic!("{term}, {statistic}: {}", row.note));
    assert!((got - wanted).abs() <= tolerance, "{term}, {statistic}: {got} and not {wanted}");
}

/// Numbers drawn from a seed.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// A release with noise of a standard deviation, in units of the statistic's own.
    pub(crate) fn noisy(&mut self, s: &dyn Statistic, exact: &MergedRelease, sd: f64) -> MergedRelease {
        let sd = sd * s.layout().scale;
        let lanes = exact.lanes.iter().map(|v| v + (sd * self.normal()).round() as i64).collect();
        MergedRelease { lanes, noise_variance: sd * sd, ..exact.clone() }
    }
}

/// That what the noise does to some rows is what their `dp_se` says: 600 draws, of which the standard error of an SD is 3 %; 15 % is five
/// of them.
pub(crate) fn noise_is_as_said(
    s: &dyn Statistic,
    exact: &MergedRelease,
    sd: f64,
    reporting: &Reporting,
    rows: &[(&str, &str)],
) {
    let mut draws = Draws(7);
    let mut seen: Vec<Vec<(f64, f64)>> = vec![Vec::new(); rows.len()];
    for _ in 0..600 {
        let e = s.estimate(&draws.noisy(s, exact, sd), reporting);
        for (own, (term, statistic)) in seen.iter_mut().zip(rows) {
            let row = get(&e, term, statistic);
            if let (Some(at), Some(said)) = (row.estimate, row.dp_se) {
                own.push((at, said));
            }
        }
    }
    for (own, (term, statistic)) in seen.iter().zip(rows) {
        let n = own.len() as f64;
        assert!(n >= 570.0, "{term}, {statistic}: told in {n} of 600 draws alone");
        let mean = own.iter().map(|v| v.0).sum::<f64>() / n;
        let spread = (own.iter().map(|v| (v.0 - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let said = own.iter().map(|v| v.1).sum::<f64>() / n;
        assert!((said / spread - 1.0).abs() < 0.15, "{term}, {statistic}: the noise does {spread}, and {said} is said");
    }
}
