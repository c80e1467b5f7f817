//! A whole federation on one machine: the real coordinator and the real agents, as processes of their own, over mutual TLS on
//! loopback.
//!
//! * [`generate`]: synthetic hospitals and the truth about them.
//! * [`split`]: one FHIR extract of many organisations into sites.
//! * [`local`]: starts a federation over folders of sites, runs a study, cleans up.
//! * [`truth`]: what the study would find with every row in one place.
//! * [`dropping`]: a site that drops out of every secure round.
//! * [`demo`], [`mod@bench`], [`cli`]: the commands.
//!
//! The program is also the coordinator and the agent: it starts itself with their command lines. Noise can be switched off here
//! and nowhere else.

pub mod bench;
pub mod cli;
pub mod demo;
pub mod dropping;
pub mod generate;
pub mod local;
pub mod split;
pub mod truth;
