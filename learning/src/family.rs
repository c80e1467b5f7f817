//! The families of generalised linear models: how an outcome bends the likelihood, within public bounds.
//!
//! A patient's gradient is r·u and their curvature w·u·uᵀ; each family says r and w divided by its `unit`, so that |r| ≤ 1.
//!
//! | family | link | r | w | unit | least upper bound of w |
//! |---|---|---|---|---|---|
//! | logistic | logit | y − p | p (1 − p) | 1 | 1/4 |
//! | Poisson | log | (y − μ) / M | μ / M | M, the most events | 1 |
//! | negative binomial | log | (y − μ) / (1 + μ/θ) / M | μ / (1 + μ/θ) / M | M | 1 |
//! | gamma | log | (y/μ − 1) / R | 1 / R | R, the longest ratio | 1/R |
//!
//! Counts are clipped to M, and so is μ; ratios y/μ − 1 to R. Where nothing is clipped the estimate is that of maximum likelihood. The
//! gamma's and the negative binomial's curvature is the expected one (McCullagh and Nelder 1989, chapter 8).

use summaries::Input;

pub use summaries::interval::logistic;

/// A ratio of a gamma outcome to its mean, less 1, above this is clipped.
pub const LONGEST_RATIO: f64 = 16.0;

/// A family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    /// An outcome of the levels no and yes.
    Logistic,
    /// A count of at most `most`; where `exposure` is set, the input after the outcome is what the mean is proportional to.
    Poisson {
        /// The most events.
        most: f64,
        /// Whether there is an exposure.
        exposure: bool,
    },
    /// A count of at most `most` that varies more than a Poisson's.
    NegativeBinomial {
        /// The most events.
        most: f64,
        /// Whether there is an exposure.
        exposure: bool,
        /// θ: the variance of a count of mean μ is μ + μ²/θ.
        size: f64,
    },
    /// A number above 0.
    Gamma,
}

/// What a patient says at given coefficients.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The outcome.
    pub outcome: f64,
    /// Its mean.
    pub mean: f64,
    /// r, in the family's unit.
    pub residual: f64,
    /// w, in the family's unit.
    pub curvature: f64,
    /// The patient's weight, as a share of the most.
    pub weight: f64,
}

impl Family {
    /// What r and w are divided by.
    pub fn unit(self) -> f64 {
        match self {
            Family::Logistic => 1.0,
            Family::Poisson { most, .. } | Family::NegativeBinomial { most, .. } => most,
            Family::Gamma => LONGEST_RATIO,
        }
    }

    /// The least upper bound of w.
    pub fn most_curvature(self) -> f64 {
        match self {
            Family::Logistic => 0.25,
            Family::Poisson { .. } | Family::NegativeBinomial { .. } => 1.0,
            Family::Gamma => 1.0 / LONGEST_RATIO,
        }
    }

    /// What an exponentiated coefficient is called.
    pub fn ratio(self) -> &'static str {
        match self {
            Family::Logistic => "odds ratio",
            Family::Poisson { .. } | Family::NegativeBinomial { .. } => "rate ratio",
            Family::Gamma => "mean ratio",
        }
    }

    /// What it reads after the design's columns.
    pub fn inputs(self) -> Vec<Input> {
        match self {
            Family::Logistic => vec![Input::Level(2)],
            Family::Poisson { exposure: true, .. } | Family::NegativeBinomial { exposure: true, .. } => {
                vec![Input::Real, Input::Real]
            }
            Family::Poisson { .. } | Family::NegativeBinomial { .. } | Family::Gamma => vec![Input::Real],
        }
    }

    /// The variance of an outcome of this mean, but for a dispersion.
    pub fn variance(self, mean: f64) -> f64 {
        match self {
            Family::Logistic => mean * (1.0 - mean),
            Family::Poisson { .. } => mean,
            Family::NegativeBinomial { size, .. } => mean + mean * mean / size,
            Family::Gamma => mean * mean,
        }
    }

    pub(crate) fn told(self, eta: f64, outcome: f64, exposure: f64) -> Told {
        match self {
            Family::Logistic => {
                let mean = logistic(eta);
                Told { outcome, mean, residual: outcome - mean, curvature: mean * (1.0 - mean), weight: 1.0 }
            }
            Family::Poisson { most, .. } => {
                let outcome = outcome.clamp(0.0, most);
                let mean = ((eta + exposure.ln()).exp()).min(most);
                Told { outcome, mean, residual: (outcome - mean) / most, curvature: mean / most, weight: 1.0 }
            }
            Family::NegativeBinomial { most, size, .. } => {
                let outcome = outcome.clamp(0.0, most).round();
                let mean = ((eta + exposure.ln()).exp()).min(most);
                let shrink = most * (1.0 + mean / size);
                Told { outcome, mean, residual: (outcome - mean) / shrink, curvature: mean / shrink, weight: 1.0 }
            }
            Family::Gamma => {
                let mean = eta.clamp(-700.0, 700.0).exp();
                let ratio = (outcome / mean - 1.0).clamp(-1.0, LONGEST_RATIO);
                Told { outcome, mean, residual: ratio / LONGEST_RATIO, curvature: 1.0 / LONGEST_RATIO, weight: 1.0 }
            }
        }
    }
}
