//! What regressions have in common: a formula, and how it is fitted.

use serde::{Deserialize, Serialize};

use super::What;

/// The right side of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Formula {
    /// The features.
    pub features: Vec<String>,
    /// Pairs of features whose products are features too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<[String; 2]>,
}

/// Newton steps and the length of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitting {
    /// Newton steps.
    #[serde(default = "steps")]
    pub steps: u32,
    /// Rows of scaled features `(1, x')`, each x' in [−1, 1], longer than this count for less. A smaller clip means less
    /// noise. None: no row is clipped.
    #[serde(default)]
    pub clip: Option<f64>,
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
    /// Newton steps; none of a model of one round.
    pub steps: Option<u32>,
    /// The clip.
    pub clip: Option<f64>,
}

impl What {
    /// Without noise: no row is clipped, and steps go on until they vanish.
    pub fn exact(&mut self) {
        match self {
            What::Logistic { fitting, .. }
            | What::Poisson { fitting, .. }
            | What::NegativeBinomial { fitting, .. }
            | What::Gamma { fitting, .. } => {
                *fitting = Fitting { steps: fitting.steps.max(50), clip: None };
            }
            What::Linear { clip, .. } => *clip = None,
            What::Cox { steps, .. } => *steps = (*steps).max(50),
            _ => {}
        }
    }

    /// Its parts, where it is a regression.
    pub fn regression(&self) -> Option<Regression<'_>> {
        let (outcome, formula, steps, clip) = match self {
            What::Linear { outcome, formula, clip } => (outcome, formula, None, *clip),
            What::Logistic { outcome, formula, fitting }
            | What::Gamma { outcome, formula, fitting }
            | What::NegativeBinomial { outcome, formula, fitting, .. }
            | What::Poisson { outcome, formula, fitting, .. } => (outcome, formula, Some(fitting.steps), fitting.clip),
            What::Cox { event, formula, steps, .. } => (event, formula, Some(*steps), None),
            _ => return None,
        };
        Some(Regression { outcome, formula, steps, clip })
    }
}
