//! Models over rounds: each round is a sum over patients of clipped contributions, as every other statistic.
//!
//! To add a model: one file with its per-patient contribution (a [`summaries::Statistic`]), one with its rounds (a
//! [`summaries::Program`]), and a line in `study`'s compiler.
//!
//! * [`design`]: from features to bounded design rows.
//! * [`newton`]: gradient and curvature of the logistic likelihood, one patient at a time.
//! * [`logistic`]: the rounds of a logistic regression and its intervals.
//! * [`scores`]: accuracy and AUC from a histogram of scores.

pub mod design;
pub mod logistic;
pub mod newton;
pub mod scores;

pub use design::{Design, Term};
pub use logistic::Logistic;
