//! Coordinator and sites through thousands of seeded schedules, with oracles that know every patient.
//!
//! What is under test is the code that runs: the coordinator's pure rounds, its merge and its journal; the sites' releases and
//! ledgers; the real mechanism; each over a store that loses what was not synced. What is played is the network, the clock,
//! the power and the people.
//!
//! ```text
//!   world ──happenings──► conductor (Run, Merge, Journal) ◄──messages──► hospitals (Releases, Ledger)
//!     │                                │                                        │
//!     └────────── seed                 └──────────► evidence ──► oracles ◄──────┘
//! ```
//!
//! Secure rounds have a simulation of their own, in [`secure`], which drives the conductor itself.
//!
//! `INSITU_NIGHTLY=1` runs 20,000 in place of 2,000, `INSITU_SIMULATION_SEEDS=100000` any number; `INSITU_SIMULATION_SEED=17` runs one. The noise is the operating system's and
//! no oracle depends on it, so a seed that fails fails again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::too_many_arguments,
    clippy::type_complexity,
    clippy::wrong_self_convention
)]

mod conductor;
mod hospital;
mod machine;
mod oracles;
mod secure;
mod study;
mod world;

use std::fmt::Debug;
use std::time::Instant;

use world::{Fault, Tally, World};

const SEEDS: u64 = 2_000;
const NIGHTLY_SEEDS: u64 = 20_000;
/// A planted fault must show within so many schedules.
const PLANTED: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The schedules to run: so many, or so many in the long gates, where the environment does not say.
fn seeds(short: u64, long: u64) -> std::ops::Range<u64> {
    match number("INSITU_SIMULATION_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("INSITU_SIMULATION_SEEDS").unwrap_or_else(|| insitu_tests::sized(short, long)),
    }
}

fn add(a: Tally, b: Tally) -> Tally {
    Tally {
        schedules: a.schedules + b.schedules,
        messages: a.messages + b.messages,
        dropped: a.dropped + b.dropped,
        repeated: a.repeated + b.repeated,
        site_crashes: a.site_crashes + b.site_crashes,
        coordinator_crashes: a.coordinator_crashes + b.coordinator_crashes,
        died_at_a_commit: a.died_at_a_commit + b.died_at_a_commit,
        budget_refusals: a.budget_refusals + b.budget_refusals,
        pauses: a.pauses + b.pauses,
        checkpoints: a.checkpoints + b.checkpoints,
        partial_checkpoints: a.partial_checkpoints + b.partial_checkpoints,
        done: a.done + b.done,
        failed: a.failed + b.failed,
        open: a.open + b.open,
    }
}

#[test]
fn no_schedule_breaks_a_promise() {
    let seeds = seeds(SEEDS, NIGHTLY_SEEDS);
    let many = seeds.end - seeds.start > 1;
    let started = Instant::now();
    let mut tally = Tally::default();
    let (mut broken, mut had_to_end) = (Vec::new(), 0);
    for seed in seeds {
        let world = World::new(seed, Fault::None);
        had_to_end += u64::from(world.must_end);
        match world.run() {
            Ok(t) => tally = add(tally, t),
            Err(e) => broken.push(format!("seed {seed}: {e}")),
        }
    }
    println!("{tally:#?}\n{had_to_end} schedules had to end; {:.1} s", started.elapsed().as_secs_f64());
    let again = "run one again with INSITU_SIMULATION_SEED";
    assert!(
        broken.is_empty(),
        "{} schedules broke; {again}\n{}",
        broken.len(),
        broken[..broken.len().min(20)].join("\n")
    );
    // The schedules do what they are for.
    if many {
        let n = tally.schedules;
        assert!(had_to_end > n / 3 && tally.done > n / 2 && tally.failed > 0, "few schedules end");
        assert!(
            tally.site_crashes > n && tally.coordinator_crashes > n && tally.died_at_a_commit > n / 2,
            "few crashes"
        );
        assert!(tally.dropped > n && tally.repeated > n && tally.budget_refusals > n / 10, "a calm network");
        assert!(tally.partial_checkpoints > n / 10, "every site is always in");
    }
}

/// One machine dies at its first commit, at its second, and so on to the last of the study, before it is written and after.
#[test]
fn a_death_at_any_commit_changes_nothing() {
    for (victim, least) in [(None, 8), (Some(0), 12)] {
        for written in [false, true] {
            let mut commits = 0;
            loop {
                let what = format!("victim {victim:?}, after {commits} commits, written: {written}");
                let t = World::quiet(victim, commits, written).run().unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(t.done == 1 && t.checkpoints == 8, "{what}: {t:?}");
                if t.died_at_a_commit == 0 {
                    break;
                }
                commits += 1;
            }
            println!("victim {victim:?}, written {written}: died at each of {commits} commits");
            assert!(commits >= least, "the study has more commits than {commits}");
        }
    }
}

#[test]
fn a_seed_is_a_schedule() {
    for seed in [1, 7, 20] {
        let run = || World::new(seed, Fault::None).run();
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// Runs schedules with a fault until an oracle speaks, which must be with these words.
fn oracle_finds<T>(fault: impl Debug, words: &[&str], run: impl Fn(u64) -> Result<T, String>) {
    for seed in 0..PLANTED {
        if let Err(said) = run(seed) {
            println!("{fault:?} was found by seed {seed}: {said}");
            assert!(words.iter().any(|w| said.contains(w)), "another oracle spoke: {said}");
            return;
        }
    }
    panic!("{fault:?} was not found in {PLANTED} schedules");
}

fn found(fault: Fault, words: &[&str]) {
    oracle_finds(fault, words, |seed| World::new(seed, fault).run());
}

#[test]
fn a_site_that_draws_noise_again_is_found() {
    found(Fault::SiteRedraws, &["sent other bytes", "paid for other bytes"]);
}

#[test]
fn a_ledger_that_refunds_is_found() {
    found(Fault::LedgerRefunds, &["no entry", "releases and", "ledger"]);
}

#[test]
fn a_site_whose_disk_does_not_sync_is_found() {
    found(Fault::SiteDiskLies, &["sent other bytes", "no entry", "never sent"]);
}

#[test]
fn a_duplicate_that_counts_twice_is_found() {
    found(Fault::CountsTwice, &["not the sum", "times, and should be"]);
}

#[test]
fn an_acknowledgement_before_the_disk_is_found() {
    found(Fault::AcknowledgesEarly, &["before it was durable"]);
}

#[test]
fn a_coordinator_whose_disk_does_not_sync_is_found() {
    found(Fault::CoordinatorDiskLies, &["gone", "changed", "other parameters", "can't answer", "ended as"]);
}
