//! What a model's outputs are, and how well they fit an outcome.
//!
//! | loss | outputs | outcome | slope of the log-likelihood in the output | the most that a patient's loss counts for |
//! |---|---|---|---|---|
//! | squared | the outcome, its bounds at −1 and 1 | a number, clipped to its bounds | y − η | 2 |
//! | logistic | the logit | no or yes | y − p | 4 ln 2 |
//! | multinomial | a logit for each level | a level | 1 − p of the own level, −p of others | 4 ln k |
//! | Poisson | the logarithm of the mean | a count of at most M | y − μ, μ at most M | M |
//!
//! The losses are −log p, half the squared error, and half the deviance. Slopes of patients whose gradient is longer than the clip are cut
//! with it, so that none of them has to be bounded for privacy.

use summaries::interval::logistic;
use summaries::{Column, Input, MISSING};

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Half the squared error of a number within public bounds.
    Squared {
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },
    /// −log p of no or yes.
    Logistic,
    /// −log p of one of so many levels.
    Softmax(u32),
    /// Half the deviance of a count.
    Poisson {
        /// The most events.
        most: f64,
    },
}

impl Loss {
    /// How many outputs a model has.
    pub fn outputs(self) -> usize {
        if let Loss::Softmax(levels) = self { levels as usize } else { 1 }
    }

    /// What the outcome is.
    pub fn input(self) -> Input {
        match self {
            Loss::Squared { .. } | Loss::Poisson { .. } => Input::Real,
            Loss::Logistic => Input::Level(2),
            Loss::Softmax(levels) => Input::Level(levels),
        }
    }

    /// The most that a patient's loss counts for.
    pub fn most(self) -> f64 {
        match self {
            Loss::Squared { .. } => 2.0,
            Loss::Logistic => 4.0 * std::f64::consts::LN_2,
            Loss::Softmax(levels) => 4.0 * f64::from(levels.max(2)).ln(),
            Loss::Poisson { most } => most.max(1.0),
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Squared { .. } => "half squared error, of bounds at -1 and 1",
            Loss::Logistic | Loss::Softmax(_) => "log loss",
            Loss::Poisson { .. } => "half deviance",
        }
    }

    /// A patient's outcome out of a column, as the loss has it; `None` where it is missing.
    pub(crate) fn outcome(self, column: &Column, patient: usize) -> Option<f64> {
        match (column, self) {
            (Column::Real(values), Loss::Squared { lower, upper }) => {
                let y = values.get(patient).copied().filter(|y| !y.is_nan())?;
                let half = (upper - lower) / 2.0;
                Some(((y.clamp(lower, upper) - f64::midpoint(lower, upper)) / half).clamp(-1.0, 1.0))
            }
            (Column::Real(values), Loss::Poisson { most }) => {
                values.get(patient).copied().filter(|y| !y.is_nan()).map(|y| y.clamp(0.0, most))
            }
            (Column::Level(values), Loss::Logistic | Loss::Softmax(_)) => {
                let levels = if let Loss::Softmax(levels) = self { levels } else { 2 };
                values.get(patient).copied().filter(|l| *l != MISSING && *l < levels).map(f64::from)
            }
            _ => None,
        }
    }

    /// A patient's loss at outputs η, which become the slope of the log-likelihood in them.
    pub(crate) fn turn(self, outputs: &mut [f64], y: f64) -> f64 {
        match (self, outputs) {
            (Loss::Squared { .. }, [eta]) => {
                let residual = y - *eta;
                *eta = residual;
                residual * residual / 2.0
            }
            (Loss::Logistic, [eta]) => {
                let signed = if y > 0.5 { -*eta } else { *eta };
                *eta = y - logistic(*eta);
                // log(1 + e^s), where e^s may be beyond all numbers.
                signed.max(0.0) + (-signed.abs()).exp().ln_1p()
            }
            (Loss::Softmax(_), etas) => {
                let own = y as usize;
                let highest = etas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = etas.iter().map(|e| (e - highest).exp()).sum();
                let loss = highest + sum.ln() - etas.get(own).copied().unwrap_or(f64::NAN);
                for (level, eta) in etas.iter_mut().enumerate() {
                    *eta = f64::from(u8::from(level == own)) - (*eta - highest).exp() / sum;
                }
                loss
            }
            (Loss::Poisson { most }, [eta]) => {
                let mean = eta.exp().min(most);
                *eta = y - mean;
                if y > 0.0 { y * (y / mean).ln() - (y - mean) } else { mean }
            }
            _ => f64::NAN,
        }
    }

    /// What outputs mean: the outcome, a probability, the levels' probabilities, a mean.
    pub fn predict(self, outputs: &[f64]) -> Vec<f64> {
        match (self, outputs) {
            (Loss::Squared { lower, upper }, [eta]) => {
                vec![f64::midpoint(lower, upper) + eta * (upper - lower) / 2.0]
            }
            (Loss::Logistic, [eta]) => vec![logistic(*eta)],
            (Loss::Softmax(_), etas) => {
                let highest = etas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = etas.iter().map(|e| (e - highest).exp()).sum();
                etas.iter().map(|e| (e - highest).exp() / sum).collect()
            }
            (Loss::Poisson { most }, [eta]) => vec![eta.exp().min(most)],
            _ => Vec::new(),
        }
    }
}
