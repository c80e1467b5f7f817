//! The daemon inside the hospital.
//!
//! ```text
//!   extracts ─► lake (bronze, silver, gold) ─► engine (cohort, features) ─► statistics ─► mechanism
//!                                                                                     │ charge
//!   coordinator ◄─ uplink (dials out, one stream) ◄─ releases (sealed bytes) ◄─ ledger ┘
//!                         ▲
//!                  studies + policy (the site may always refuse)
//! ```
//!
//! * [`config`]: the site's settings.
//! * [`consent`]: whose data a study may read now.
//! * [`pull`]: tables of a PostgreSQL server to files, which the lake reads as an extract.
//! * [`lake`]: extracts to Parquet, exactly once.
//! * [`feed`]: live HL7 v2, the one port that an agent may open.
//! * [`quality`], [`coverage`]: what gold is worth, and how far its codes are mapped; for the site's own staff.
//! * [`lookup`]: codes that no mapping file has, asked of the hospital's terminology server.
//! * [`engine`]: cohorts and features by DataFusion. [`model`]: trained models used here, for the site's own people.
//! * [`studies`], [`policy`]: plans, their checks, their approval.
//! * [`ledger`], [`releases`]: what was spent and what left.
//! * [`identity`], [`secure`]: the site's key, the keys that it has pinned, its part in secure rounds.
//! * [`linkage`]: the federation's linkage key at this site.
//! * [`agent`]: all of it in one place.
//! * [`uplink`]: the stream to the coordinator.
//! * [`control`]: commands to a running agent over a local socket.
//! * [`cli`], [`show`]: the command line.

pub mod agent;
pub mod cli;
pub mod config;
pub mod consent;
pub mod control;
pub mod coverage;
pub mod engine;
pub mod enroll;
pub mod feed;
pub mod identity;
pub mod lake;
pub mod ledger;
pub mod linkage;
pub mod lookup;
pub mod model;
pub mod policy;
pub mod preview;
pub mod pull;
pub mod quality;
pub mod releases;
pub mod secure;
pub mod show;
mod source;
pub mod streaming;
pub mod studies;
pub mod uplink;
