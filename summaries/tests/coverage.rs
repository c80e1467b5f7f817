//! Whether intervals of a proportion, a mean and a median hold the truth when noise is on: drawn patients and drawn noise, seed by seed.
//!
//! The short form draws 200 seeds, the long one (`INSITU_NIGHTLY=1`) 1,000. The share of intervals that hold the truth may fall short of 95 % by
//! 3.5 standard errors and, for normal approximations, half a percentage point: a right interval fails about once in 4,000 runs of each estimate
//! and size, and there are nine. An interval that forgets the noise is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use summaries::crosstab::CrossTab;
use summaries::interval::normal_quantile;
use summaries::moments::Moments;
use summaries::quantiles::Quantiles;
use summaries::{Column, Lanes, MergedRelease, PatientBatch, Reporting, Row, Statistic};

/// Numbers from a seed.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }
}

/// A statistic, its patients, and the truth of one of its numbers.
struct Case {
    statistic: Box<dyn Statistic>,
    levels: Vec<String>,
    patient: fn(&mut Draws) -> f64,
    row: (&'static str, &'static str),
    truth: f64,
    /// The noise's standard deviation in units of one patient's longest part.
    noise: f64,
}

fn proportion() -> Case {
    Case {
        statistic: Box::new(CrossTab::new(vec![2])),
        levels: vec!["no".into(), "yes".into()],
        patient: |d| f64::from(u8::from(d.uniform() < 0.3)),
        row: ("x=yes", "proportion"),
        truth: 0.3,
        noise: 8.0,
    }
}

fn mean() -> Case {
    Case {
        statistic: Box::new(Moments::new(0.0, 100.0).unwrap()),
        levels: Vec::new(),
        patient: |d| 100.0 * d.uniform(),
        row: ("x", "mean"),
        truth: 50.0,
        noise: 8.0,
    }
}

/// Of a skewed number: its bounds are far from its median.
fn median() -> Case {
    Case {
        statistic: Box::new(Quantiles::new(0.0, 100.0, 4, 5, vec![0.5]).unwrap()),
        levels: Vec::new(),
        patient: |d| (-20.0 * d.uniform().ln()).min(100.0),
        row: ("x", "median"),
        truth: 20.0 * 2f64.ln(),
        noise: 3.0,
    }
}

fn seeds() -> u32 {
    if std::env::var("INSITU_NIGHTLY").is_ok_and(|v| v == "1") { 1_000 } else { 200 }
}

/// In how many of the seeds the number is told, in how many of those its interval holds the truth, and how much the noise widens it.
fn covered(case: &Case, n: usize, interval: fn(&Row) -> Option<(f64, f64)>) -> (u32, u32) {
    let reporting =
        Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into()], levels: vec![case.levels.clone()] };
    let (mut told, mut held) = (0, 0);
    for seed in 0..seeds() {
        let mut draws = Draws(u64::from(seed) * 7_919 + n as u64);
        let values: Vec<f64> = (0..n).map(|_| (case.patient)(&mut draws)).collect();
        let column = if case.levels.is_empty() {
            Column::Real(values)
        } else {
            Column::Level(values.iter().map(|v| *v as u32).collect())
        };
        let mut lanes = Lanes::zeros(case.statistic.layout().lanes);
        case.statistic.accumulate(&PatientBatch::new(n, vec![column]).unwrap(), &mut lanes).unwrap();
        let sd = case.noise * case.statistic.sensitivity().l2;
        let noisy = lanes.values().iter().map(|v| v + (sd * draws.normal()).round() as i64).collect();
        let release = MergedRelease { lanes: noisy, noise_variance: sd * sd, unit: 1.0, sites: 1, shared: 1 };
        let rows = case.statistic.estimate(&release, &reporting).rows;
        let row = rows.iter().find(|r| (r.term.as_str(), r.statistic.as_str()) == case.row);
        let row = row.unwrap_or_else(|| panic!("no {:?} in {rows:?}", case.row));
        if let Some((low, high)) = interval(row) {
            told += 1;
            held += u32::from(low <= case.truth && case.truth <= high);
        }
    }
    (told, held)
}

/// Refuses intervals that hold the truth less often than they say.
fn gate(case: &Case, n: usize, interval: fn(&Row) -> Option<(f64, f64)>) -> Result<(), String> {
    let (told, held) = covered(case, n, interval);
    if told * 2 < seeds() {
        return Err(format!("{:?} of {n} is told in {told} of {} seeds alone", case.row, seeds()));
    }
    let share = f64::from(held) / f64::from(told);
    let allowed = 0.005 + 3.5 * (0.95 * 0.05 / f64::from(told)).sqrt();
    if share >= 0.95 - allowed {
        Ok(())
    } else {
        Err(format!("{:?} of {n}: {share} of intervals hold the truth", case.row))
    }
}

#[test]
fn intervals_hold_the_truth() {
    for case in [proportion(), mean(), median()] {
        for n in [300, 1_000, 5_000] {
            gate(&case, n, |r| Some((r.lower?, r.upper?))).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// Planted: the sampling error alone, where the noise is as large or larger.
#[test]
fn intervals_that_forget_the_noise_are_refused() {
    let sampling = |r: &Row| Some((r.estimate? - 1.96 * r.sampling_se?, r.estimate? + 1.96 * r.sampling_se?));
    for case in [proportion(), mean(), median()] {
        let said = gate(&case, 300, sampling).unwrap_err();
        assert!(said.contains("hold the truth"), "{said}");
    }
}
