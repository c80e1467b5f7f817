//! End to end: real processes, real mutual TLS, real noise, real disks. One promise a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod agent_killed;
mod approval;
mod bad_extract;
mod between_hospitals;
mod budget_spent;
mod check_problems;
mod cohorts;
mod coordinator_killed;
mod demo;
mod distinct;
mod equal_question;
mod feed_killed;
mod harness;
mod heart_disease;
mod i2b2_lung;
mod ingested_twice;
mod invitation_withdrawn;
mod ledger_changed;
mod linkage;
mod no_way_to_no_noise;
mod old_backup;
mod plain_query;
mod plan_changed;
mod plan_refused;
mod postgres;
mod quality_gate;
mod reference;
mod renewal;
mod resent;
mod revoked;
mod secure_round;
mod source;
mod synthea;
mod trials;
mod what_else_leaves;
