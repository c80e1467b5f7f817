//! The statistical gates of every statistic, by construction.
//!
//! * `sensitivity`: random patients, the impossible ones included: what one patient moves is within what is declared, and
//!   sums are sums.
//! * `worlds`: what a release tells of one patient's presence, against the bound of its charge.
//! * `aggregation`: the noise in a sum under secure aggregation with dropouts.
//! * `canary`: what an auditor proves from one run of a whole program, against the ε that was charged.
//! * `hospitals`: patients who are at several hospitals, against the ε that the study promises.
//! * `intervals`: how often intervals hold the truth.
//! * `sampler`: the noise that a statistic gets, against the exact mass function of the discrete Gaussian.
//!
//! The gates are functions that return what is wrong, so that faults can be planted: a gate that has never refused anything
//! is no evidence. Which statistics there are is read from the source tree, so a new one can't stay outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod aggregation;
mod canary;
mod hospitals;
mod intervals;
mod planted;
mod sampler;
mod sensitivity;
mod whole;
mod worlds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use learning::cox::{Model, RiskSums};
use learning::dispersion::Dispersion;
use learning::newton::{Curvature, Gradient};
use learning::scores::ScoreHistogram;
use learning::{Design, Family, Linear, Term, Ties};
use privacy::Rho;
use summaries::survival::Grid;
use summaries::{Statistic, registry};

/// A statistic under test, and what tells its instances apart.
pub(crate) struct Subject {
    pub(crate) label: String,
    pub(crate) statistic: Box<dyn Statistic>,
}

fn design() -> Design {
    Design::new(vec![
        Term::Real { name: "a".into(), lower: -3.0, upper: 7.0 },
        Term::Level { name: "b".into(), levels: vec!["x".into(), "y".into(), "z".into()] },
        Term::Real { name: "c".into(), lower: 0.0, upper: 100.0 },
    ])
}

/// Every statistic, the learning room's at several coefficients, among them ones that no sane model has, and several clips.
pub(crate) fn subjects() -> Vec<Subject> {
    let mut out: Vec<Subject> = registry::examples()
        .into_iter()
        .map(|statistic| Subject { label: statistic.name().to_owned(), statistic })
        .collect();
    let thetas: [(&str, [f64; 5]); 4] = [
        ("zero", [0.0; 5]),
        ("usual", [-0.7, 1.3, 0.2, -2.0, 0.4]),
        ("steep", [-900.0, 900.0, -900.0, 900.0, -900.0]),
        ("absurd", [1e308, -1e308, 1e308, -1e308, 1e308]),
    ];
    for (theta_name, theta) in thetas {
        for clip in [None, Some(1.5), Some(1e-3)] {
            let d = design().clipped(clip);
            let mut models: Vec<Box<dyn Statistic>> = vec![Box::new(ScoreHistogram::new(d.clone(), theta.to_vec()))];
            let counts = |exposure| Family::Poisson { most: 12.0, exposure };
            for family in [Family::Logistic, counts(false), counts(true), Family::Gamma] {
                models.push(Box::new(Gradient::new(d.clone(), family, theta.to_vec())));
                models.push(Box::new(Curvature::new(d.clone(), family, theta.to_vec())));
                models.push(Box::new(Dispersion::new(d.clone(), family, theta.to_vec())));
            }
            models.extend(Linear::new(d.clone(), 0.0, 12.0).map(|l| Box::new(l) as Box<dyn Statistic>));
            if clip.is_none() {
                let design = d.without_intercept();
                let grid = Grid::new(1.0, 12.0).expect("a grid");
                for strata in [None, Some(2)] {
                    let model = Model { design: design.clone(), grid, strata, ties: Ties::Efron, cap: 5.0 };
                    models.push(Box::new(RiskSums::new(model, theta.to_vec())));
                }
            }
            out.extend(models.into_iter().map(|statistic| Subject {
                label: format!("{} at {theta_name} coefficients, clip {clip:?}", statistic.name()),
                statistic,
            }));
        }
    }
    out
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
    assert_eq!(under_test, in_the_tree, "list the new statistic in summaries::registry, or in subjects() here");
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
