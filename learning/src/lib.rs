//! Models over rounds: each round is a sum over patients of clipped contributions, as every other statistic.
//!
//! To add a model: one file with its per-patient contribution (a [`summaries::Statistic`]), one with its rounds (a
//! [`summaries::Program`]), and a line in `study`'s compiler.
//!
//! * [`design`]: from features to bounded design rows.
//! * [`spline`]: restricted cubic splines whose columns are bounded.
//! * [`family`]: logistic, Poisson, negative binomial, gamma.
//! * [`likelihood`]: a family with an offset and weights.
//! * [`newton`]: gradient and curvature of a likelihood, one patient at a time.
//! * `ascent`: one noisy Newton step and how well the place it reaches is known; `coefficients`: what a fit says in own units.
//! * `support`: whether an outcome and its levels have events to tell anything by.
//! * `level`: the intercept on the logarithm's scale, where the first guess of a mean is far away.
//! * [`glm`]: the rounds of a generalised linear model; [`dispersion`] of counts and ratios.
//! * [`negative_binomial`]: counts that vary more than a Poisson's.
//! * [`linear`]: linear regression, in one round, with one intercept or one for each hospital.
//! * [`cox`]: proportional hazards, by sums over the cells of time.
//! * [`piecewise`]: hazards constant within intervals.
//! * [`propensity`]: treatment effects by weights and strata of the score; [`weighting`]: what is compared.
//! * [`own_steps`]: rounds in which each hospital goes on to its own maximum.
//! * `ridge`: a penalty on long coefficients.
//! * [`training`]: linear models and perceptrons in clipped steps.
//! * [`trees`]: boosted trees by histograms.
//! * [`registry`]: an example of every statistic, for the tests that hold for each.
//! * [`scores`]: accuracy and AUC from a histogram of scores.

mod ascent;
mod coefficients;
pub mod cox;
pub mod design;
pub mod dispersion;
pub mod family;
pub mod glm;
mod level;
pub mod likelihood;
pub mod linear;
pub mod negative_binomial;
pub mod newton;
pub mod own_steps;
pub mod piecewise;
pub mod propensity;
pub mod registry;
mod ridge;
pub mod scores;
pub mod spline;
mod support;
pub mod training;
pub mod trees;
pub mod weighting;

pub use cox::{Cox, Ties};
pub use design::{Design, Term};
pub use family::Family;
pub use glm::Glm;
pub use likelihood::Likelihood;
pub use linear::{Linear, LinearByHospital};
pub use negative_binomial::NegativeBinomial;
pub use own_steps::OwnSteps;
pub use piecewise::PiecewiseExponential;
pub use propensity::Propensity;
