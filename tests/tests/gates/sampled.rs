//! Gate 9: rounds on Poisson samples. The release with and without one patient, through the agent's own sums, coins of the operating system, the real
//! mechanism and the charge of a fixed plan: how far apart the worlds are is bounded, at each ε, by the δ that the plan's accountant says. Noise that is half
//! of what is due is found, and so is a sample that is none.

use platform::OsEntropy;
use privacy::mechanism::grid;
use privacy::sampled::{Mechanisms, Release, noise_of};
use privacy::{DiscreteGaussian, FixedPlan, Mechanism};
use summaries::count::Count;
use summaries::{PartWork, PatientBatch, Population};

/// ε at which the worlds are compared.
const EPSILONS: [f64; 4] = [0.0, 0.2, 0.5, 1.0];

/// Runs of each world.
fn runs() -> usize {
    insitu_tests::sized(40_000, 400_000)
}

/// What one round says of so many patients: their number with noise.
fn told(plan: &FixedPlan, patients: usize, rate: f64, divided: f64) -> Result<f64, String> {
    let charge = plan.charge(0, &[(2020, 0, plan.cost_from(0))]).ok_or("the round was not paid for")?;
    let work = PartWork {
        name: "count".to_owned(),
        statistic: Box::new(Count),
        columns: Vec::new(),
        weight: 1.0,
        walk: None,
        rate: Some(rate),
    };
    let batch = PatientBatch::new(patients, Vec::new()).map_err(|e| e.to_string())?;
    let draw = |rate, of| site_agent::agent::sample::poisson(&OsEntropy, rate, of);
    let mut parts = site_agent::agent::sampled(vec![work], &batch, draw)?;
    parts.iter_mut().for_each(|p| p.sensitivity.l2 /= divided);
    let released = DiscreteGaussian.release(parts, charge).map_err(|e| e.to_string())?;
    let [part] = released.get().as_slice() else { return Err("one part".to_owned()) };
    Ok(part.lanes.first().map_or(0.0, |v| *v as f64) / grid(part.scale.grid_bits))
}

/// Refuses a mechanism that tells the worlds further apart than the plan's δ at any of the ε, by the likelihood's own regions. False alarms: 1e-6 each.
/// `drawn` is the rate with which patients are sampled.
fn gate(z: f64, rate: f64, drawn: f64, divided: f64) -> Result<(), String> {
    let one = Release { of: Population::Trained, noise: noise_of(z), rate };
    let plan = FixedPlan::new(vec![vec![one]]).ok_or("no plan")?;
    let mut own = Mechanisms::default();
    own.add(&one, 1);
    let deltas = own.deltas(&EPSILONS).map_err(|e| e.to_string())?;
    let world = |patients| (0..runs()).map(|_| told(&plan, patients, drawn, divided)).collect::<Result<Vec<f64>, _>>();
    let (without, with) = (world(0)?, world(1)?);
    let n = runs() as f64;
    let share = |of: &[f64], f: &dyn Fn(f64) -> bool| of.iter().filter(|x| f(**x)).count() as f64 / n;
    for (epsilon, delta) in EPSILONS.iter().zip(deltas) {
        // Where the likelihood of the world with the patient is e^ε times the other's, and the other way round.
        let at = |ratio: f64| 0.5 + z * z * ((ratio - 1.0 + rate) / rate).ln();
        let over = at(epsilon.exp());
        let below = if (-epsilon).exp() > 1.0 - rate { at((-epsilon).exp()) } else { f64::NEG_INFINITY };
        let (removed, added) = (|x: f64| x > over, |x: f64| x < below);
        for (name, p, q) in [
            ("removed", share(&with, &removed), share(&without, &removed)),
            ("added", share(&without, &added), share(&with, &added)),
        ] {
            let error = ((p * (1.0 - p) + (2.0 * epsilon).exp() * q * (1.0 - q)) / n).sqrt();
            let found = p - epsilon.exp() * q;
            if found > delta + 4.9 * error.max(1.0 / n) {
                return Err(format!("{name}, ε {epsilon}: δ is {found:.4} at least, and {delta:.4} was told"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_sample_tells_no_more_of_a_patient_than_was_told() {
    for (z, rate) in [(1.0, 0.3), (0.8, 0.05), (2.0, 0.7)] {
        gate(z, rate, rate, 1.0).unwrap();
    }
}

/// Planted: the noise is half of what is due; and the patient is in each round.
#[test]
fn half_the_noise_and_no_sample_are_found() {
    let said = gate(1.0, 0.3, 0.3, 2.0).unwrap_err();
    assert!(said.contains("was told"), "{said}");
    let said = gate(1.0, 0.3, 0.999, 1.0).unwrap_err();
    assert!(said.contains("was told"), "{said}");
}
