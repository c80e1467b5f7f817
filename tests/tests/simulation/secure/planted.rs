//! Faults that are planted in secure rounds, each of which an oracle must find.

use super::disk::Flaw;
use super::world::World;

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// A site forgets which survivors it signed when its process dies.
    ForgetsSurvivors,
    /// A site forgets which keys it answered when its process dies.
    ForgetsKeys,
    /// A site masks anew after its process died, with new noise.
    Redraws,
    /// The charge is not in the transaction that seals.
    ChargesApart,
    /// A site's disk says that it synced and did not.
    SiteDiskLies,
    /// A site does not compare its ledger with what the coordinator has seen.
    NeverCompares,
    /// The coordinator tells what it has frozen before that is durable.
    TellsEarly,
    /// After a start, sites that were not seen yet count as gone.
    UnseenAreGone,
    /// An attempt that came to nothing is gone on with after a start.
    KeepsAbandoned,
}

impl Fault {
    pub(super) fn of_coordinator(self) -> Flaw {
        match self {
            Fault::TellsEarly => Flaw::Lies(Some("study/secure")),
            Fault::KeepsAbandoned => Flaw::KeepsAbandoned,
            _ => Flaw::None,
        }
    }

    /// Whether it shows only where somebody forges.
    pub(super) fn needs_forger(self) -> bool {
        matches!(self, Fault::ForgetsSurvivors | Fault::ForgetsKeys)
    }
}

fn found(fault: Fault, words: &[&str]) {
    crate::oracle_finds(fault, words, |seed| World::new(seed, fault).run());
}

#[test]
fn a_site_that_forgets_what_it_signed_is_found() {
    found(Fault::ForgetsSurvivors, &["signed another set of survivors", "revealed"]);
}

#[test]
fn a_site_that_forgets_which_keys_it_answered_is_found() {
    found(Fault::ForgetsKeys, &["answered another list of keys"]);
}

#[test]
fn a_masked_input_that_is_drawn_again_is_found() {
    found(Fault::Redraws, &["sent other masked bytes"]);
}

#[test]
fn a_charge_apart_from_the_seal_is_found() {
    found(Fault::ChargesApart, &["has no entry", "releases and"]);
}

#[test]
fn a_site_whose_disk_does_not_sync_in_secure_rounds_is_found() {
    found(Fault::SiteDiskLies, &["than before", "has no entry", "revealed", "does not go on", "ledger_behind"]);
}

#[test]
fn a_site_that_does_not_compare_its_ledger_is_found() {
    found(Fault::NeverCompares, &["sent other masked bytes", "has no entry", "can't be recovered"]);
}

#[test]
fn a_coordinator_that_tells_before_it_is_durable_is_found() {
    found(Fault::TellsEarly, &["the coordinator told other", "goes on with attempt"]);
}

#[test]
fn a_coordinator_that_takes_the_unseen_for_gone_is_found() {
    found(Fault::UnseenAreGone, &["gave up attempt"]);
}

#[test]
fn an_attempt_that_is_gone_on_with_is_found() {
    found(Fault::KeepsAbandoned, &["goes on with attempt"]);
}
