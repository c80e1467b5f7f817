//! The statistics.
//!
//! A statistic is a map from one patient's bounded columns to a vector of integers (its *lanes*), with a proved
//! bound on how far one patient can move the vector, and with what the noised sum over patients and sites says.
//! To add one: one file in this room that implements [`Statistic`], and one line in [`registry`].
//!
//! This room knows no clock, no input, no wire, and draws no randomness.
//!
//! ```text
//!   PatientBatch ──accumulate──► Lanes ──(noise, sum over sites: elsewhere)──► MergedRelease ──estimate──► Estimate
//! ```

pub mod alarm;
pub mod attrition;
pub mod batch;
pub mod by_group;
pub mod codes;
pub mod compare;
pub mod competing;
pub mod count;
pub mod crosstab;
pub mod distinct;
pub mod estimate;
#[cfg(test)]
mod evidence;
pub mod histogram;
mod independence;
pub mod interval;
pub mod joint;
pub mod lanes;
pub mod mantel_haenszel;
pub mod meta;
pub mod moments;
pub mod pca;
pub mod prevalence;
pub mod program;
pub mod quantiles;
pub mod rank_sum;
pub mod rate;
pub mod registry;
pub mod statistic;
pub mod survival;
pub mod toll;
pub mod top_codes;
pub mod wald;
pub mod walk;
pub mod windowed;

pub use batch::{Column, MISSING, PatientBatch};
pub use estimate::{Curve, Estimate, Reporting, Row};
pub use lanes::{FIXED_POINT, Lanes, Layout, MergedRelease, Sensitivity};
pub use program::{Course, MergedRound, OfSite, PartWork, Program, ProgramError, Step};
pub use statistic::{AccumulateError, Input, Statistic};
pub use toll::{Population, Toll};
pub use walk::Walk;
