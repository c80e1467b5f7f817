//! The coordinator: it invites sites, takes signed plans, runs their rounds, merges, checkpoints and reports. It never sees a
//! row, and it can only narrow what a site allows.
//!
//! ```text
//!   analyst ─ study.toml ─ plan ─ signature ─► server ─► conductor ─► round (pure) ─► orders ─► sites
//!                                                  ▲                     │
//!                                                  └── releases ◄────────┘ merge ─► checkpoint ─► next
//! ```
//!
//! * [`federation`], [`registry`], [`operations`]: the authority, who is in, and what an operator may do.
//! * [`round`]: the pure state machine of a study's rounds.
//! * [`merge`]: sums of releases.
//! * [`secure`]: the messages of a secure round.
//! * [`anchors`]: what is kept of the sites' ledgers.
//! * [`journal`]: what is durable of a study.
//! * [`conductor`]: the one writer.
//! * [`server`]: mutual TLS and the services.
//! * [`collect`]: results and provenance of a study out of the journal.
//! * [`results`]: tables, provenance, report.
//! * [`model`]: trained models as files.
//! * [`analyst`], [`cli`]: the command line.

pub mod analyst;
pub mod anchors;
pub mod cli;
pub mod collect;
pub mod conductor;
pub mod federation;
pub mod journal;
pub mod merge;
pub mod model;
pub mod operations;
pub mod registry;
pub mod results;
pub mod round;
pub mod secure;
pub mod server;
