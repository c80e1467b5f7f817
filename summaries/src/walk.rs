//! Steps that a site takes by itself within one round.
//!
//! Each step is a sum over patients at parameters that the site alone has come to. Where one step's sum moved the next step's parameters, one
//! patient moves all later sums: so each step has noise of its own, as if it were a round, and what leaves is made of noised sums alone. A
//! round of E steps costs what E rounds cost, and adding the sites' answers up in secret makes it no cheaper.

use crate::batch::PatientBatch;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Statistic};

/// A site's way through the steps of a round.
pub trait Walk: Send {
    /// How many steps; each pays the same share of the round.
    fn steps(&self) -> u32;
    /// The sum of the next step.
    fn statistic(&self) -> Box<dyn Statistic>;
    /// The rows that the next step is over, of so many; all where `None`. Whoever chooses some by an order of the rows can have no noise added
    /// that protects them, and is refused where noise is asked for.
    fn rows(&self, patients: usize) -> Option<Vec<usize>> {
        let _ = patients;
        None
    }
    /// Takes a step, by its sum with its noise; over so many rows where they were chosen.
    fn take(&mut self, sum: &MergedRelease, chosen: Option<usize>);
    /// What leaves after the last step.
    fn layout(&self) -> Layout;
    /// The numbers that leave, in the layout's unit.
    fn released(&self) -> Vec<f64>;
}

/// How far a patient moves what leaves, were each step's parameters given: the steps' own sensitivities added up, in units of what leaves. Noise of
/// a round's charge on this is what the steps' noises add up to, where what leaves is the sum of their sums.
pub fn sensitivity(walk: &dyn Walk) -> Sensitivity {
    let statistic = walk.statistic();
    let one = statistic.sensitivity();
    let by = f64::from(walk.steps().max(1)) * walk.layout().scale / statistic.layout().scale;
    Sensitivity { l1: one.l1 * by, l2: one.l2 * by, linf: one.linf * by }
}

/// No lane that leaves a walk is larger.
const MOST: f64 = (1u64 << 56) as f64;

/// What leaves, as integers on a grid of so many units in one lane unit.
pub fn encoded(walk: &dyn Walk, unit: f64) -> Vec<i64> {
    let scale = walk.layout().scale * unit;
    walk.released().into_iter().map(|v| (v * scale).clamp(-MOST, MOST).round() as i64).collect()
}

/// The walk without noise over patients each of whom stands for so many: for rehearsals.
///
/// # Errors
/// The batch does not fit.
pub fn rehearsed(walk: &mut dyn Walk, patients: &PatientBatch, each: f64) -> Result<Vec<i64>, AccumulateError> {
    for _ in 0..walk.steps() {
        let statistic = walk.statistic();
        let rows = walk.rows(patients.patients());
        let chosen = rows.as_ref().map(|r| patients.rows(r));
        let mut lanes = Lanes::zeros(statistic.layout().lanes);
        statistic.accumulate(chosen.as_ref().unwrap_or(patients), &mut lanes)?;
        let lanes = lanes.values().iter().map(|v| (*v as f64 * each) as i64).collect();
        let sum = MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 };
        walk.take(&sum, rows.map(|r| r.len()));
    }
    Ok(encoded(walk, 1.0))
}
