//! Models over rounds: each round is a sum over patients of clipped contributions, as every other statistic.
//!
//! To add a model: one file with its per-patient contribution (a [`summaries::Statistic`]), one with its rounds (a
//! [`summaries::Program`]), and a line in `study`'s compiler.
//!
//! * [`design`]: from features to bounded design rows.
//! * [`family`]: logistic, Poisson, gamma.
//! * [`newton`]: gradient and curvature of a likelihood, one patient at a time.
//! * [`glm`]: the rounds of a generalised linear model and its intervals; [`dispersion`] of counts and ratios.
//! * [`linear`]: linear regression, in one round.
//! * [`cox`]: proportional hazards, by sums over the cells of time.
//! * [`scores`]: accuracy and AUC from a histogram of scores.

pub mod cox;
pub mod design;
pub mod dispersion;
pub mod family;
pub mod glm;
pub mod linear;
pub mod newton;
pub mod scores;

pub use cox::{Cox, Ties};
pub use design::{Design, Term};
pub use family::Family;
pub use glm::Glm;
pub use linear::Linear;
