//! What a trained model says of patients it has not seen: private statistics over the held-out ones, in one last round.
//!
//! * [`loss`]: their mean loss, of every model.
//! * [`scores`]: of no and yes: accuracy, AUC, the area under precision and recall, the Brier score, calibration, confusion at thresholds.
//! * [`concordance`]: of times to an event, how often the one with the higher risk has it first.
//! * [`confusion`]: of several levels, which is taken for which.
//! * `functional`: both parts of the error of a number that many cells make.

pub mod concordance;
pub mod confusion;
mod functional;
pub mod loss;
pub mod scores;

use std::sync::Arc;

use summaries::{AccumulateError, Estimate, Input, MergedRelease, PartWork, PatientBatch, Reporting, Statistic};

use super::gradient::{Group, Model};
use super::loss::Loss;
use concordance::TestConcordance;
use confusion::TestConfusion;
use loss::TestLoss;
use scores::TestScores;

/// What is done with the outputs and the outcome of one patient.
pub(crate) type Each<'e> = &'e mut dyn FnMut(&[f64], f64) -> Result<(), AccumulateError>;

/// A model at its last parameters, of whatever kind: what it foretells of patients who are held out.
pub trait Foretells: Send + Sync {
    /// The loss, which says what outputs mean.
    fn loss(&self) -> Loss;
    /// The columns that it reads.
    fn inputs(&self) -> Vec<Input>;
    /// The outcome's place among them.
    fn outcome(&self) -> usize;
    /// Calls `f` with the outputs and the outcome of each complete patient who is held out.
    ///
    /// # Errors
    /// The batch does not fit, or `f` failed.
    fn held_out(&self, statistic: &'static str, patients: &PatientBatch, f: Each<'_>) -> Result<(), AccumulateError>;
}

/// A network at parameters.
pub(crate) struct At {
    model: Model,
    theta: Vec<f64>,
    group: Group,
}

impl At {
    /// `None` where the parameters are not as many as the model's.
    pub(crate) fn tested(model: Model, theta: Vec<f64>) -> Option<Arc<dyn Foretells>> {
        At::of(model, theta, Group::Test)
    }

    /// Of those of a group in place of those who are tested.
    pub(crate) fn of(model: Model, theta: Vec<f64>, group: Group) -> Option<Arc<dyn Foretells>> {
        let fits = theta.len() == model.network().parameters();
        fits.then(|| Arc::new(At { model, theta, group }) as Arc<dyn Foretells>)
    }
}

impl Foretells for At {
    fn loss(&self) -> Loss {
        self.model.loss()
    }
    fn inputs(&self) -> Vec<Input> {
        self.model.inputs()
    }
    fn outcome(&self) -> usize {
        self.model.design().inputs().len()
    }
    fn held_out(&self, statistic: &'static str, patients: &PatientBatch, f: Each<'_>) -> Result<(), AccumulateError> {
        self.model.outputs(statistic, self.group, (&self.theta, patients), f)
    }
}

/// The mean loss' share of the round's charge; the rest is for the tables, where there is one.
const LOSS_SHARE: f64 = 0.3;

/// The weights of an evaluation's parts.
pub(crate) fn weights(loss: Loss) -> Vec<f64> {
    match loss {
        Loss::Logistic | Loss::Softmax(_) | Loss::Hazards { .. } => vec![LOSS_SHARE, 1.0 - LOSS_SHARE],
        Loss::Squared { .. } | Loss::Poisson { .. } | Loss::Partial => vec![1.0],
    }
}

/// The evaluation of a model.
pub(crate) struct Evaluation<'a> {
    pub(crate) of: Arc<dyn Foretells>,
    /// Probabilities from which on a patient counts as yes.
    pub(crate) thresholds: &'a [f64],
}

impl Evaluation<'_> {
    /// The statistics, each with its weight.
    fn statistics(&self) -> Vec<(Box<dyn Statistic>, f64)> {
        let scores =
            TestScores::of(self.of.clone(), self.thresholds.to_vec()).map(|s| Box::new(s) as Box<dyn Statistic>);
        let levels = || TestConfusion::of(self.of.clone()).map(|s| Box::new(s) as Box<dyn Statistic>);
        let times = || TestConcordance::of(self.of.clone()).map(|s| Box::new(s) as Box<dyn Statistic>);
        let table = scores.or_else(levels).or_else(times);
        let weight = if table.is_some() { LOSS_SHARE } else { 1.0 };
        let loss: Box<dyn Statistic> = Box::new(TestLoss::of(self.of.clone()));
        std::iter::once((loss, weight)).chain(table.map(|t| (t, 1.0 - LOSS_SHARE))).collect()
    }

    /// The work of the round.
    pub(crate) fn work(&self, columns: &[usize]) -> Vec<PartWork> {
        let part = |(statistic, weight): (Box<dyn Statistic>, f64)| {
            let name = statistic.name().to_owned();
            PartWork { name, statistic, columns: columns.to_vec(), weight, walk: None, rate: None }
        };
        self.statistics().into_iter().map(part).collect()
    }

    /// What its sums say; `None` where they do not fit.
    pub(crate) fn estimate(&self, parts: &[MergedRelease], reporting: &Reporting) -> Option<Estimate> {
        let statistics = self.statistics();
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
