//! What regressions have in common: a formula, and how it is fitted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::What;

/// The right side of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Formula {
    /// The features.
    pub features: Vec<String>,
    /// Pairs of features whose products are features too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<[String; 2]>,
    /// Numbers whose effect is a curve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splines: Vec<Spline>,
}

/// A restricted cubic spline of a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spline {
    /// The feature, a number with bounds.
    pub feature: String,
    /// Three to ten public knots within its bounds, ascending.
    pub knots: Vec<f64>,
}

/// What stands beside an outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    /// A number with bounds that is added to the linear predictor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// A number with bounds from 0: what a patient weighs. The noise grows with its upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

impl Beside {
    /// The features, in the order of the batch.
    pub(super) fn features(&self) -> impl Iterator<Item = &String> {
        self.offset.iter().chain(&self.weights)
    }
}

/// Newton steps and the length of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fitting {
    /// Newton steps.
    #[serde(default = "steps")]
    pub steps: u32,
    /// Rows of scaled features `(1, x')`, each x' in [−1, 1], longer than this count for less. A smaller clip means less
    /// noise. None: no row is clipped.
    #[serde(default)]
    pub clip: Option<f64>,
    /// A ridge penalty: half of it times the sum of the squared coefficients, in the features' own units and the intercept left out, is
    /// taken from the log-likelihood. Not of `negative_binomial`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub penalty: f64,
}

/// Whether a penalty is none.
pub(super) fn is_none(penalty: &f64) -> bool {
    *penalty == 0.0
}

pub(super) fn steps() -> u32 {
    4
}

/// A regression's parts that every kind has.
pub struct Regression<'a> {
    /// What is explained: the outcome, or the event.
    pub outcome: &'a str,
    /// By what.
    pub formula: &'a Formula,
    /// An offset and weights.
    pub beside: Beside,
    /// Newton steps; none of a model of one round.
    pub steps: Option<u32>,
    /// The clip.
    pub clip: Option<f64>,
    /// The ridge penalty; 0 is none.
    pub penalty: f64,
}

impl What {
    /// Without noise: no row is clipped, and steps go on until they vanish.
    pub fn exact(&mut self) {
        match self {
            What::Logistic { fitting, .. }
            | What::Poisson { fitting, .. }
            | What::NegativeBinomial { fitting, .. }
            | What::Gamma { fitting, .. } => {
                *fitting = Fitting { steps: fitting.steps.max(50), clip: None, ..*fitting };
            }
            What::Linear { clip, .. } => *clip = None,
            What::Train(train) => train.exact(),
            // Wide public bounds have a middle far from every patient.
            What::Cox { steps, cap, .. } => (*steps, *cap) = ((*steps).max(50), cap.max(1e3)),
            What::Propensity { steps, .. } => *steps = (*steps).max(50),
            What::PiecewiseExponential { steps, cap, .. } => {
                (*steps, *cap) = ((*steps).max(50), cap.max(50.0));
            }
            _ => {}
        }
    }

    /// Its parts, where it is a regression.
    pub fn regression(&self) -> Option<Regression<'_>> {
        let of = |outcome, formula, beside: &Beside, steps, clip| {
            Some(Regression { outcome, formula, beside: beside.clone(), steps, clip, penalty: 0.0 })
        };

        let told = match self {
            What::Linear { outcome, formula, weights, clip, .. } => {
                of(outcome, formula, &Beside { offset: None, weights: weights.clone() }, None, *clip)
            }
            What::Logistic { outcome, formula, beside, fitting, .. }
            | What::Gamma { outcome, formula, beside, fitting, .. }
            | What::NegativeBinomial { outcome, formula, beside, fitting, .. }
            | What::Poisson { outcome, formula, beside, fitting, .. } => {
                of(outcome, formula, beside, Some(fitting.steps), fitting.clip)
            }
            What::Cox { event, formula, steps, .. } | What::PiecewiseExponential { event, formula, steps, .. } => {
                of(event, formula, &Beside::default(), Some(*steps), None)
            }
            _ => None,
        };
        let penalty = match self {
            What::Logistic { fitting, .. }
            | What::Gamma { fitting, .. }
            | What::NegativeBinomial { fitting, .. }
            | What::Poisson { fitting, .. } => fitting.penalty,
            What::Cox { penalty, .. } => *penalty,
            _ => 0.0,
        };
        told.map(|r| Regression { penalty, ..r })
    }
}
