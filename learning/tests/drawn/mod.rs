//! Drawn numbers, and a program run over drawn patients with drawn noise.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use summaries::interval::normal_quantile;
use summaries::{Estimate, Lanes, MergedRelease, MergedRound, PatientBatch, Program, Reporting, Step};

pub(crate) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.random::<u32>()) + 0.5) / 4_294_967_296.0
}

pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    normal_quantile(uniform(rng))
}

pub(crate) fn reporting() -> Reporting {
    Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into(); 9], levels: vec![vec![]; 9] }
}

/// What one site releases in a round, with noise of a standard deviation in units of one patient's longest part; with none, nothing is drawn.
pub(crate) fn released(
    program: &dyn Program,
    (round, parameters): (u32, &[f64]),
    batch: &PatientBatch,
    noise: f64,
    rng: &mut ChaCha8Rng,
) -> MergedRound {
    let mut parts = Vec::new();
    for work in program.work(round, parameters).unwrap() {
        let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
        work.statistic.accumulate(&batch.select(&work.columns).unwrap(), &mut lanes).unwrap();
        let sd = noise * work.statistic.sensitivity().l2;
        let mut noisy = |v: &i64| if sd > 0.0 { v + (sd * normal(rng)).round() as i64 } else { *v };
        let lanes = lanes.values().iter().map(&mut noisy).collect();
        parts.push(MergedRelease { lanes, noise_variance: sd * sd, unit: 1.0, sites: 1, shared: 1 });
    }
    MergedRound { parts, sites: 1 }
}

/// Runs a program with noise of a standard deviation, in units of one patient's longest part; with none, nothing is drawn.
pub(crate) fn run(mut program: Box<dyn Program>, batch: &PatientBatch, noise: f64, rng: &mut ChaCha8Rng) -> Estimate {
    let (mut round, mut parameters) = (0, program.first());
    loop {
        let merged = released(program.as_ref(), (round, &parameters), batch, noise, rng);
        match program.next(round, &parameters, &merged).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return estimate,
        }
    }
}

/// A round over sites without noise, merged.
#[allow(dead_code)] // each test has this file as a module of its own
pub(crate) fn exact_round(
    program: &dyn Program,
    round: u32,
    parameters: &[f64],
    sites: &[PatientBatch],
) -> MergedRound {
    let mut parts = Vec::new();
    for work in program.work(round, parameters).unwrap() {
        let mut sum = Lanes::zeros(work.statistic.layout().lanes);
        for site in sites {
            let mut own = Lanes::zeros(sum.len());
            work.statistic.accumulate(&site.select(&work.columns).unwrap(), &mut own).unwrap();
            assert!(sum.merge(own.values()));
        }
        parts.push(MergedRelease { lanes: sum.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 });
    }
    MergedRound { parts, sites: 1 }
}
