//! A study: from `study.toml` to a typed plan, its canonical bytes, its hash, and the programs it means.
//!
//! ```text
//!   study.toml ──read──► Study ──check──► Plan ──canonical──► bytes ──► hash ──► signature
//!                                          │
//!                                          └─compile──► Program (the same at the coordinator and at every site)
//! ```
//!
//! * [`spec`], [`cohort`], [`criterion`], [`feature`], [`analysis`]: what a study may say. [`subgroup`]: what it declares in advance.
//! * [`read`]: TOML to types, with the line of what is wrong.
//! * [`quality`]: the checks that a study's gate may ask a site's data to pass.
//! * [`check`]: what is wrong beyond the form: columns, units, codes, references.
//! * [`template`]: studies to begin with. [`schema_of`]: the form of `study.toml` for editors.
//! * [`stream`], [`schedule`]: the windows of a continuous study, and when each is told.
//! * [`plan`]: canonical bytes and hash.
//! * [`budget`]: how the study's ρ is split over analyses and rounds.
//! * [`compile`]: programs from analyses. [`model`]: what was trained, as a file.
//! * [`secure`]: the terms of a secure round, the same at all sides.
//! * [`question`]: equal questions have equal hashes.
//! * [`planner`]: cost and expected error before anything is spent.

pub mod analysis;
pub mod budget;
pub mod check;
pub mod cohort;
pub mod compile;
pub mod criterion;
pub mod feature;
pub mod model;
pub mod plan;
pub mod planner;
pub mod quality;
pub mod question;
pub mod read;
pub mod schedule;
pub mod schema_of;
pub mod secure;
pub mod spec;
pub mod stream;
pub mod subgroup;
pub mod template;

pub use check::Problem;
pub use plan::Plan;
pub use spec::Study;
