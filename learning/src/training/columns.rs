//! What is learned of columns before training: of each column of a term, over the patients who are trained on, the sum and, where it is
//! standardised, the sum of squares; and how many these patients are.
//!
//! Columns are within −1 and 1. Where nobody who lacks a term is left out, each term has its own number of patients; else there is one. Of a
//! category at most one indicator is 1. So of t numbers of patients and terms with m columns (1 of a category), the squared norm is at most t + Σ m,
//! and as much more for squares.

use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use super::gradient::{Group, Model};
use super::prepare::{Missing, Plan};

/// A variance of a column below this counts as none: sums are rounded to 2⁻³⁶ of a patient's part.
const RESOLVED: f64 = 1e-9;
/// A variance counts as no smaller than so many standard deviations of its noise.
const FLOOR: f64 = 2.0;

/// The sums.
#[derive(Clone)]
pub struct Columns {
    model: Model,
    plan: Plan,
}

impl Columns {
    /// `None` where nothing is learned of the model's columns.
    pub fn new(model: Model) -> Option<Columns> {
        let plan = model.plan()?.clone();
        Some(Columns { model, plan })
    }

    /// Whether the sum of a column is needed: of a level only where it may stand for one that is missing.
    fn is_summed(&self, column: usize) -> bool {
        self.plan.is_standardised(column) || self.plan.learned.missing != Missing::Drop
    }

    /// How many numbers of patients.
    fn counts(&self) -> usize {
        if self.plan.learned.missing == Missing::Drop { 1 } else { self.plan.terms }
    }

    /// Of each column the lanes of its number of patients, of its sum and of its squares.
    fn lanes(&self) -> Vec<(usize, Option<usize>, Option<usize>)> {
        let mut next = self.counts();
        let mut take = |kept: bool| {
            next += usize::from(kept);
            kept.then(|| next - 1)
        };
        let of = |(column, (term, _)): (usize, &(usize, bool))| {
            let count = if self.counts() == 1 { 0 } else { *term };
            (count, take(self.is_summed(column)), take(self.plan.is_standardised(column)))
        };
        self.plan.columns.iter().enumerate().map(of).collect()
    }

    /// What is frozen of a merged sum: of each column its mean, and 1 over its standard deviation.
    pub(crate) fn read(&self, merged: &MergedRelease) -> Vec<f64> {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let mut out = Vec::with_capacity(self.plan.numbers());
        for (count, sum, squares) in self.lanes() {
            let n = merged.value(count, &layout).max(2.0 * v.sqrt()).max(1.0);
            let mean = sum.map_or(0.0, |lane| merged.value(lane, &layout) / n).clamp(-1.0, 1.0);
            let factor = squares.map_or(1.0, |lane| {
                let q = (merged.value(lane, &layout) / n).clamp(0.0, 1.0);
                // Over n − 1, as a standard deviation is told elsewhere.
                let variance = (q - mean * mean).max(0.0) * n / (n - 1.0).max(1.0);
                // What noise makes of q − mean², by the delta method: a smaller variance can't be told from it.
                let noise = (v * (1.0 + 4.0 * mean * mean + (2.0 * mean * mean - q).powi(2))).sqrt() / n;
                let variance = variance.max(FLOOR * noise);
                if variance > RESOLVED { 1.0 / variance.sqrt() } else { 1.0 }
            });
            out.extend([mean, factor]);
        }
        out
    }
}

impl Statistic for Columns {
    fn name(&self) -> &'static str {
        "columns"
    }
    fn inputs(&self) -> Vec<Input> {
        self.model.inputs()
    }
    fn layout(&self) -> Layout {
        let last = self.lanes().into_iter().flat_map(|(_, sum, squares)| [sum, squares]).flatten().max();
        Layout { lanes: last.map_or(self.counts(), |l| l + 1), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        let mut squared = self.counts() as f64;
        for term in 0..self.plan.terms {
            let own = || (0..).zip(&self.plan.columns).filter(move |(_, (t, _))| *t == term).map(|(c, _)| c);
            let most = self.model.design().most_of(term);
            squared += if own().any(|c| self.is_summed(c)) { most } else { 0.0 };
            squared += if own().any(|c| self.plan.is_standardised(c)) { most } else { 0.0 };
        }
        Sensitivity::fixed_point(self.layout().lanes, squared.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "columns";
        self.check(lanes)?;
        let (places, counts) = (self.lanes(), self.counts());
        let is_dropped = self.plan.learned.missing == Missing::Drop;
        self.model.members(NAME, Group::Training, patients, |_, bases, lacks, _| {
            if is_dropped && lacks.contains(&true) {
                return Ok(());
            }
            for (count, lacks) in (0..counts).zip(lacks) {
                if is_dropped || !lacks {
                    lanes.add(NAME, count, encode(1.0))?;
                }
            }
            for (((_, sum, squares), u), (term, _)) in places.iter().zip(bases.iter()).zip(&self.plan.columns) {
                if lacks.get(*term).copied().unwrap_or(true) {
                    continue;
                }
                if let Some(lane) = sum {
                    lanes.add(NAME, *lane, encode(*u))?;
                }
                if let Some(lane) = squares {
                    lanes.add(NAME, *lane, encode(u * u))?;
                }
            }
            Ok(())
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
