//! What a trained model says of patients it has not seen: private statistics over the held-out ones, in one last round.
//!
//! * [`loss`]: their mean loss, of every model.
//! * [`scores`]: of no and yes: accuracy, AUC, the area under precision and recall, the Brier score, calibration, confusion at thresholds.
//! * [`confusion`]: of several levels, which is taken for which.
//! * `functional`: both parts of the error of a number that many cells make.

pub mod confusion;
mod functional;
pub mod loss;
pub mod scores;

use summaries::{Estimate, MergedRelease, PartWork, Reporting, Statistic};

use super::gradient::Model;
use super::loss::Loss;
use confusion::TestConfusion;
use loss::TestLoss;
use scores::TestScores;

/// The mean loss' share of the round's charge; the rest is for the tables, where there is one.
const LOSS_SHARE: f64 = 0.3;

/// The evaluation of a model at its last parameters.
pub(crate) struct Evaluation<'a> {
    pub(crate) model: &'a Model,
    pub(crate) theta: &'a [f64],
    /// Probabilities from which on a patient counts as yes.
    pub(crate) thresholds: &'a [f64],
}

impl Evaluation<'_> {
    /// The statistics, each with its weight.
    fn statistics(&self) -> Option<Vec<(Box<dyn Statistic>, f64)>> {
        let (model, theta) = (self.model.clone(), self.theta.to_vec());
        let table: Option<Box<dyn Statistic>> = match model.loss() {
            Loss::Logistic => Some(Box::new(TestScores::new(model.clone(), theta.clone(), self.thresholds.to_vec())?)),
            Loss::Softmax(_) => Some(Box::new(TestConfusion::new(model.clone(), theta.clone())?)),
            _ => None,
        };
        let weight = if table.is_some() { LOSS_SHARE } else { 1.0 };
        let loss: Box<dyn Statistic> = Box::new(TestLoss::new(model, theta)?);
        Some(std::iter::once((loss, weight)).chain(table.map(|t| (t, 1.0 - LOSS_SHARE))).collect())
    }

    /// The work of the round; `None` where the parameters do not fit.
    pub(crate) fn work(&self, columns: &[usize]) -> Option<Vec<PartWork>> {
        let part = |(statistic, weight): (Box<dyn Statistic>, f64)| {
            let name = statistic.name().to_owned();
            PartWork { name, statistic, columns: columns.to_vec(), weight }
        };
        Some(self.statistics()?.into_iter().map(part).collect())
    }

    /// What its sums say; `None` where they do not fit.
    pub(crate) fn estimate(&self, parts: &[MergedRelease], reporting: &Reporting) -> Option<Estimate> {
        let statistics = self.statistics()?;
        if statistics.len() != parts.len() {
            return None;
        }
        let mut out = Estimate::default();
        for ((statistic, _), part) in statistics.iter().zip(parts) {
            if part.lanes.len() != statistic.layout().lanes {
                return None;
            }
            let one = statistic.estimate(part, reporting);
            out.rows.extend(one.rows);
            out.curves.extend(one.curves);
        }
        Some(out)
    }
}
