//! The statistical gates of every statistic, by construction.
//!
//! * `sensitivity`: random patients, the impossible ones included: what one patient moves is within what is declared, and
//!   sums are sums.
//! * `worlds`: what a release tells of one patient's presence, against the bound of its charge.
//! * `aggregation`: the noise in a sum under secure aggregation with dropouts.
//! * `canary`: what an auditor proves from one run of a whole program, against the ε that was charged.
//! * `heart`: models trained with privacy, against the published ones at the same ε.
//! * `hospitals`: patients who are at several hospitals, against the ε that the study promises.
//! * `intervals`: how often intervals hold the truth.
//! * `sampled`: what a round on a sample tells of one patient's presence.
//! * `training_audit`: what an auditor proves from one training, on all patients and on samples.
//! * `sampler`: the noise that a statistic gets, against the exact mass function of the discrete Gaussian.
//!
//! The gates are functions that return what is wrong, so that faults can be planted: a gate that has never refused anything
//! is no evidence. Which statistics there are is read from the source tree, so a new one can't stay outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod aggregation;
mod canary;
mod heart;
mod hospitals;
mod intervals;
mod planted;
mod sampled;
mod sampler;
mod sensitivity;
mod training_audit;
mod whole;
mod worlds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use privacy::Rho;
use summaries::{Statistic, registry};

/// A statistic under test, and what tells its instances apart.
pub(crate) struct Subject {
    pub(crate) label: String,
    pub(crate) statistic: Box<dyn Statistic>,
}

/// Every statistic, the learning room's at several coefficients and clips.
pub(crate) fn subjects() -> Vec<Subject> {
    let summaries = registry::examples().into_iter();
    let models = learning::registry::examples().into_iter();
    summaries
        .map(|statistic| Subject { label: statistic.name().to_owned(), statistic })
        .chain(models.map(|e| Subject { label: e.label, statistic: e.statistic }))
        .collect()
}

/// The names that the source tree's statistics give themselves: what stands after `impl Statistic for`.
fn named_in_the_tree() -> BTreeSet<String> {
    fn walk(folder: &Path, out: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["target", "tests"].contains(&name.as_str()) && !name.starts_with('.') {
                walk(&path, out);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                for (at, _) in text.match_indices("impl Statistic for ") {
                    let after = text[at..].split("fn name(").nth(1).unwrap_or_default();
                    out.insert(after.split('"').nth(1).unwrap_or("(no name)").to_owned());
                }
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."), &mut out);
    out
}

#[test]
fn every_statistic_of_the_tree_goes_through_the_gates() {
    let under_test: BTreeSet<String> = subjects().iter().map(|s| s.statistic.name().to_owned()).collect();
    let in_the_tree = named_in_the_tree();
    assert_eq!(under_test, in_the_tree, "list the new statistic in summaries::registry or in learning::registry");
}

#[test]
fn one_patient_moves_no_statistic_further_than_it_declares() {
    for s in subjects() {
        sensitivity::declared(s.statistic.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", s.label));
        sensitivity::fuzz(s.statistic.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", s.label));
    }
}

#[test]
fn a_batch_of_the_wrong_shape_is_an_error_and_never_a_panic() {
    for s in subjects() {
        sensitivity::misfits(s.statistic.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", s.label));
    }
}

#[test]
fn the_noise_of_every_statistic_has_its_mass_function() {
    let mut seen = BTreeSet::new();
    for s in subjects() {
        // One instance a layout and sensitivity: coefficients do not change the noise.
        let declared = s.statistic.sensitivity();
        if !seen.insert((s.statistic.name(), declared.l2.to_bits())) {
            continue;
        }
        let (draws, rhos): (usize, &[u64]) = match s.statistic.name() {
            "count" => (sampler::many(), &[28_000_000, 500_000_000, 5_000_000_000]),
            _ => (sampler::some(), &[28_000_000]),
        };
        for nano in rhos {
            let rho = Rho::from_nano(*nano);
            let (values, reported) = sampler::draw(declared, rho, draws).unwrap();
            let sigma = sampler::due(declared.l2, rho);
            assert!((reported / sigma - 1.0).abs() < 1e-6, "{}: says σ {reported}, owes {sigma}", s.label);
            sampler::gate(&values, sigma).unwrap_or_else(|e| panic!("{} at ρ = {rho}: {e}", s.label));
            println!("{}: σ = {sigma:.4}, {draws} draws", s.label);
        }
    }
}

#[test]
fn no_statistic_tells_two_worlds_further_apart_than_its_charge_allows() {
    let mut seen = BTreeSet::new();
    for s in subjects() {
        let declared = s.statistic.sensitivity();
        if seen.insert((s.statistic.name(), declared.l2.to_bits())) {
            let found = worlds::gate(declared, declared, Rho::from_nano(500_000_000));
            println!("{}: μ = {:.3} of 1", s.label, found.unwrap_or_else(|e| panic!("{}: {e}", s.label)));
        }
    }
}
