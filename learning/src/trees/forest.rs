//! What is asked of a patient: features in bins, an outcome, a loss; and the slopes of the loss at the trees so far.

use std::sync::Arc;

use summaries::statistic::level;
use summaries::{AccumulateError, Input, PatientBatch};

use super::ensemble::Ensemble;
use super::feature::Feature;
use crate::training::evaluate::{Each, Foretells};
use crate::training::loss::MOST_HAZARD;
use crate::training::{Group, Loss};

/// Features and an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    features: Vec<Feature>,
    loss: Loss,
    holdout: bool,
}

impl Forest {
    /// `None` where there is no feature, one has too few or too many bins, or the loss has several outputs.
    pub fn new(features: Vec<Feature>, loss: Loss, holdout: bool) -> Option<Forest> {
        let fits = |f: &Feature| match f {
            Feature::Real { lower, upper, bins, .. } => lower < upper && (2..=super::feature::MOST_BINS).contains(bins),
            Feature::Level { levels, .. } => levels.len() >= 2,
        };
        let all = !features.is_empty() && features.iter().all(fits) && loss.outputs() == 1;
        all.then_some(Forest { features, loss, holdout })
    }

    /// The features.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Whether some patients are held out.
    pub fn has_holdout(&self) -> bool {
        self.holdout
    }

    /// What it reads: the features, the outcome, and who is held out.
    pub fn inputs(&self) -> Vec<Input> {
        let mut out: Vec<Input> = self.features.iter().map(Feature::input).collect();
        out.extend(self.loss.inputs());
        out.extend(self.holdout.then_some(Input::Level(2)));
        out
    }

    /// The most that a slope and a curvature of a patient's loss in the score are.
    pub(crate) fn most(&self) -> [f64; 2] {
        match self.loss {
            Loss::Squared { .. } => [2.0, 1.0],
            Loss::Poisson { most } => [most.max(1.0), most.max(1.0)],
            Loss::Hazards { .. } => [MOST_HAZARD, MOST_HAZARD],
            _ => [1.0, 0.25],
        }
    }

    /// The most that the squares of both shares of [`Forest::slopes`] add up to. Of a logistic model with the slope x the curvature's share is
    /// 4x(1 − x), and x² + 16x²(1 − x)² is largest at x = (6 − √2)/8, 1.28636.
    pub(crate) fn squares(&self) -> f64 {
        if self.loss == Loss::Logistic { 1.2864 } else { 2.0 }
    }

    /// The slope of a patient's log-likelihood at a score, and the curvature, each as a share of its most.
    pub(crate) fn slopes(&self, score: f64, y: f64) -> [f64; 2] {
        let mut slope = [score];
        self.loss.turn(&mut slope, y);
        let [g] = slope;
        let h = match self.loss {
            Loss::Squared { .. } => 1.0,
            // The outcome less the slope is the mean.
            Loss::Poisson { .. } => y - g,
            Loss::Hazards { horizon, .. } => f64::from(u8::from(y.is_sign_positive() && y < horizon)) - g,
            _ => (y - g) * (1.0 - (y - g)),
        };
        let [most_g, most_h] = self.most();
        let share = |x: f64, low: f64| if x.is_nan() { 0.0 } else { x.clamp(low, 1.0) };
        [share(g / most_g, -1.0), share(h / most_h, 0.0)]
    }

    /// Calls `f` with the bins of each patient of a group who has an outcome, and the outcome.
    ///
    /// # Errors
    /// The batch does not fit, or `f` failed.
    pub(crate) fn each(
        &self,
        statistic: &'static str,
        group: Group,
        patients: &PatientBatch,
        mut f: impl FnMut(&[u32], f64) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        let place = self.features.len();
        let bins = self.features.iter().enumerate().map(|(i, own)| own.of(statistic, patients, i));
        let bins = bins.collect::<Result<Vec<_>, _>>()?;
        let groups = self.holdout.then(|| level(statistic, patients, place + self.loss.inputs().len())).transpose()?;
        let of = self.loss.outcomes(statistic, patients, place)?;
        let mut own = vec![0u32; place];
        for patient in 0..patients.patients() {
            let is_in = match groups {
                None => group == Group::Training,
                Some(g) => g.get(patient).copied() == Some(u32::from(group == Group::Test)),
            };
            let Some(y) = of.of(patient).filter(|_| is_in) else { continue };
            for (slot, column) in own.iter_mut().zip(&bins) {
                *slot = column.get(patient).copied().unwrap_or(u32::MAX);
            }
            f(&own, y)?;
        }
        Ok(())
    }

    /// Which way a patient with these bins goes at a split.
    pub(crate) fn goes_left(&self, bins: &[u32], feature: usize, bin: usize, missing_left: bool) -> bool {
        let (Some(own), Some(of)) = (bins.get(feature), self.features.get(feature)) else { return false };
        match *own as usize {
            lacks if lacks >= of.bins() => missing_left,
            own if of.is_ordered() => own <= bin,
            own => own == bin,
        }
    }

    /// What trees foretell of each patient of a batch with an outcome: the outcome, the probability of yes, the mean count, or the
    /// probability of an event up to the horizon.
    ///
    /// # Errors
    /// The batch does not fit.
    pub fn predict(&self, trees: &Ensemble, patients: &PatientBatch) -> Result<Vec<f64>, AccumulateError> {
        let mut out = Vec::new();
        self.each("prediction", Group::Training, patients, |bins, _| {
            let (score, _) = trees.score(|f, b, m| self.goes_left(bins, f, b, m));
            out.extend(self.loss.predict(&[score]));
            Ok(())
        })?;
        Ok(out)
    }
}

/// Trees that have grown.
pub(crate) struct Grown {
    pub(crate) forest: Arc<Forest>,
    pub(crate) trees: Ensemble,
}

impl Foretells for Grown {
    fn loss(&self) -> Loss {
        self.forest.loss
    }
    fn inputs(&self) -> Vec<Input> {
        self.forest.inputs()
    }
    fn outcome(&self) -> usize {
        self.forest.features.len()
    }
    fn held_out(&self, statistic: &'static str, patients: &PatientBatch, f: Each<'_>) -> Result<(), AccumulateError> {
        self.forest.each(statistic, Group::Test, patients, |bins, y| {
            let (score, _) = self.trees.score(|f, b, m| self.forest.goes_left(bins, f, b, m));
            f(&[score], y)
        })
    }
}
