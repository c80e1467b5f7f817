//! How many patients there are, and the mean of their outcomes: the score that all trees start from. Of times to an event, how long patients are
//! at risk, as shares of the horizon, and how many events there are.

use std::sync::Arc;

use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use super::forest::Forest;
use crate::training::loss::MOST_HAZARD;
use crate::training::{Group, Loss};

/// The number of patients with an outcome, and the sum of these as shares of the most.
#[derive(Clone)]
pub struct TreePrior(pub Arc<Forest>);

impl TreePrior {
    /// Means that are told beside the number of patients.
    fn means(&self) -> usize {
        self.0.loss().outputs()
    }

    /// Of a patient, what the mean is of: the outcome, or events and time at risk.
    fn share(&self, y: f64) -> [f64; 2] {
        match self.0.loss() {
            Loss::Poisson { most } => [1.0, (y / most.max(1.0)).clamp(0.0, 1.0)],
            Loss::Hazards { horizon, .. } => {
                let event = f64::from(u8::from(y.is_sign_positive() && y < horizon));
                [(y.abs() / horizon).clamp(0.0, 1.0), event]
            }
            _ => [1.0, y.clamp(-1.0, 1.0)],
        }
    }

    /// The number of patients with the noise's standard deviation, and the score of everyone, of each output.
    pub(crate) fn read(&self, merged: &MergedRelease) -> ([f64; 2], Vec<f64>) {
        let layout = self.layout();
        let sd = merged.variance(&layout).sqrt();
        let n = merged.value(0, &layout).max(2.0 * sd).max(1.0);
        let score = |mean: f64| match self.0.loss() {
            // Shares of levels, of which the logarithms are scores.
            Loss::Softmax(_) => mean.clamp(0.5 / n, 1.0).ln(),
            Loss::Poisson { most } => (mean * most).clamp(0.5 / n, most).ln(),
            // n is of whole times at risk, and the mean is the hazard.
            Loss::Hazards { .. } => mean.clamp(0.5 / n, MOST_HAZARD).ln(),
            Loss::Squared { .. } => mean.clamp(-1.0, 1.0),
            _ => {
                let p = mean.clamp(0.5 / n.max(1.0), 1.0 - 0.5 / n.max(1.0));
                (p / (1.0 - p)).ln()
            }
        };
        ([n, sd], (1..=self.means()).map(|lane| score(merged.value(lane, &layout) / n)).collect())
    }
}

impl Statistic for TreePrior {
    fn name(&self) -> &'static str {
        "tree_prior"
    }
    fn inputs(&self) -> Vec<Input> {
        self.0.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 1 + self.means(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(2, 2f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "tree_prior";
        self.check(lanes)?;
        self.0.each(NAME, Group::Training, patients, |_, y| {
            if let Loss::Softmax(levels) = self.0.loss() {
                // A patient is in one level.
                let level = (y as usize).min(levels as usize - 1);
                lanes.add(NAME, 0, encode(1.0))?;
                return lanes.add(NAME, 1 + level, encode(1.0));
            }
            let [whole, part] = self.share(y);
            lanes.add(NAME, 0, encode(whole))?;
            lanes.add(NAME, 1, encode(part))
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
