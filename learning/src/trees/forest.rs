//! What is asked of a patient: features in bins, an outcome, a loss; and the slopes of the loss at the trees so far.

use std::sync::Arc;

use summaries::statistic::level;
use summaries::{AccumulateError, Input, PatientBatch};

use super::ensemble::{Ensemble, Shape};
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
    /// `None` where there is no feature, one has too few or too many bins, or the loss has several outputs that are no levels.
    pub fn new(features: Vec<Feature>, loss: Loss, holdout: bool) -> Option<Forest> {
        let fits = |f: &Feature| match f {
            Feature::Real { lower, upper, bins, .. } | Feature::Cut { lower, upper, bins, .. } => {
                lower < upper && (2..=super::feature::MOST_BINS).contains(bins)
            }
            Feature::Level { levels, .. } => levels.len() >= 2,
        };
        let all = !features.is_empty()
            && features.iter().all(fits)
            && (loss.outputs() == 1 || matches!(loss, Loss::Softmax(_)));
        all.then_some(Forest { features, loss, holdout })
    }

    /// The features.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// What an ensemble over its features has, of trees of a depth.
    pub fn shape(&self, depth: u32) -> Shape {
        Shape { depth, features: self.features.len(), outputs: self.loss.outputs() }
    }

    /// Numbers in front of the trees: edges of bins that are told before they grow.
    pub fn frozen_numbers(&self) -> usize {
        self.features.iter().map(Feature::unknown).sum()
    }

    /// The forest whose bins lie as parameters say, and the numbers of its trees. `None` where they do not fit.
    pub fn at<'a>(&self, parameters: &'a [f64]) -> Option<(Forest, &'a [f64])> {
        let mut rest = parameters;
        let mut features = Vec::with_capacity(self.features.len());
        for feature in &self.features {
            let (own, more) = rest.split_at_checked(feature.unknown())?;
            features.push(feature.with_edges(own)?);
            rest = more;
        }
        Some((Forest { features, ..self.clone() }, rest))
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

    /// The most that the squares of all shares of [`Forest::slopes`] add up to. Of a logistic model with the slope x the curvature's share is
    /// 4x(1 − x), and x² + 16x²(1 − x)² is largest at x = (6 − √2)/8, 1.28636.
    ///
    /// Of levels with the probabilities p, a = 1 − p of the own one: it adds a² + 16a²(1 − a)², and each other p² + 16p²(1 − p)², which is at most
    /// 2.72p. The others' sum is a, so all is at most a² + 16a²(1 − a)² + 2.72a, which is largest at 1: 3.72.
    pub(crate) fn squares(&self) -> f64 {
        match self.loss {
            Loss::Logistic => 1.2864,
            Loss::Softmax(_) => 3.72,
            _ => 2.0,
        }
    }

    /// The slope of a patient's log-likelihood in each score, and the curvature, each as a share of its most. The scores become slopes.
    pub(crate) fn slopes(&self, scores: &mut [f64], y: f64, out: &mut Vec<[f64; 2]>) {
        self.loss.turn(scores, y);
        let [most_g, most_h] = self.most();
        let share = |x: f64, low: f64| if x.is_nan() { 0.0 } else { x.clamp(low, 1.0) };
        out.clear();
        for (output, g) in scores.iter().enumerate() {
            // The outcome less the slope is what was foretold.
            let h = match self.loss {
                Loss::Squared { .. } => 1.0,
                Loss::Poisson { .. } => y - g,
                Loss::Hazards { horizon, .. } => f64::from(u8::from(y.is_sign_positive() && y < horizon)) - g,
                Loss::Softmax(_) => {
                    let p = f64::from(u8::from(output as f64 == y)) - g;
                    p * (1.0 - p)
                }
                _ => (y - g) * (1.0 - (y - g)),
            };
            out.push([share(g / most_g, -1.0), share(h / most_h, 0.0)]);
        }
    }

    /// The places of a group's patients who have an outcome, and the outcome.
    ///
    /// # Errors
    /// The batch does not fit.
    pub(crate) fn members(
        &self,
        statistic: &'static str,
        group: Group,
        patients: &PatientBatch,
    ) -> Result<Vec<(usize, f64)>, AccumulateError> {
        let place = self.features.len();
        let groups = self.holdout.then(|| level(statistic, patients, place + self.loss.inputs().len())).transpose()?;
        let of = self.loss.outcomes(statistic, patients, place)?;
        let is_in = |patient: &usize| match groups {
            None => group == Group::Training,
            Some(g) => g.get(*patient).copied() == Some(u32::from(group == Group::Test)),
        };
        Ok((0..patients.patients()).filter(is_in).filter_map(|p| Some((p, of.of(p)?))).collect())
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
        let mut own = vec![0u32; place];
        for (patient, y) in self.members(statistic, group, patients)? {
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

    /// What trees foretell of each patient of a batch of the features alone, in order, as the loss has it.
    ///
    /// # Errors
    /// The batch does not fit.
    pub fn foretell(&self, trees: &Ensemble, patients: &PatientBatch) -> Result<Vec<Vec<f64>>, AccumulateError> {
        let bins = self.features.iter().enumerate().map(|(i, own)| own.of("prediction", patients, i));
        let bins = bins.collect::<Result<Vec<_>, _>>()?;
        let of = |patient: usize| {
            let own: Vec<u32> = bins.iter().map(|b| b.get(patient).copied().unwrap_or(u32::MAX)).collect();
            let (mut scores, mut here) = (Vec::new(), Vec::new());
            trees.scores(&mut scores, &mut here, |f, b, m| self.goes_left(&own, f, b, m));
            self.loss.predict(&scores)
        };
        Ok((0..patients.patients()).map(of).collect())
    }

    /// What trees foretell of each patient of a batch with an outcome: the outcome, the probability of yes, of each level one after the other, the mean count, or the
    /// probability of an event up to the horizon.
    ///
    /// # Errors
    /// The batch does not fit.
    pub fn predict(&self, trees: &Ensemble, patients: &PatientBatch) -> Result<Vec<f64>, AccumulateError> {
        let (mut out, mut scores, mut here) = (Vec::new(), Vec::new(), Vec::new());
        self.each("prediction", Group::Training, patients, |bins, _| {
            trees.scores(&mut scores, &mut here, |f, b, m| self.goes_left(bins, f, b, m));
            out.extend(self.loss.predict(&scores));
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
        let (mut scores, mut here) = (Vec::new(), Vec::new());
        self.forest.each(statistic, Group::Test, patients, |bins, y| {
            self.trees.scores(&mut scores, &mut here, |f, b, m| self.forest.goes_left(bins, f, b, m));
            f(&scores, y)
        })
    }
}
