//! Gate 7: a patient who is at m hospitals. Where a study declares m, the two worlds with and without such a patient are no further apart
//! than its ε allows; where it declares 1, they are, and the gate sees it. With local noise the patient moves m vectors, each with
//! noise of its own; under secure aggregation one sum, by m, whose noise is one holder's.

use privacy::accounting::rho;
use privacy::{Delta, Epsilon, Rho};
use statrs::distribution::{ContinuousCDF, Normal};
use study::Plan;
use summaries::Sensitivity;

use crate::{sampler, whole};

/// Large, so that a world is told from the other in few runs.
const EPSILON: f64 = 8.0;

fn plan(hospitals: u32, aggregation: &str) -> Plan {
    let privacy = format!("epsilon = {EPSILON}\nhospitals_per_patient = {hospitals}\naggregation = \"{aggregation}\"");
    whole::plan(&privacy, "[[analysis]]\nkind = \"count\"\n")
}

/// How far apart the worlds of a patient at `truly` hospitals are, as a Gaussian's μ, where each site spends what the plan says. Refuses
/// more than the study's ε allows. False alarms: 1e-6.
fn gate(plan: &Plan, truly: u32, secure: bool) -> Result<f64, String> {
    let own: Rho = study::budget::allocate(plan)?[0][0];
    let runs = insitu_tests::sized(40_000, 400_000);
    // Under secure aggregation the sum has the noise of one holder; locally every hospital's vector has its own.
    let vectors = if secure { 1 } else { truly as usize };
    let world = |present: bool| -> Result<f64, String> {
        let (noise, _) = sampler::draw(Sensitivity::cells(1), own, runs * vectors)?;
        let step = sampler::due(1.0, own) * (2.0 * own.value()).sqrt();
        let shift = if present { f64::from(truly) * step } else { 0.0 };
        let middle = f64::from(truly) * step / 2.0;
        let over = |run: &&[i64]| run.iter().map(|v| *v as f64).sum::<f64>() + shift > middle;
        Ok(noise.chunks_exact(vectors).filter(over).count() as f64 / runs as f64)
    };
    let normal = Normal::standard();
    let z = |p: f64| normal.inverse_cdf(p.clamp(1e-9, 1.0 - 1e-9));
    let found = z(world(true)?) - z(world(false)?);
    let due = (2.0 * rho(Epsilon(EPSILON), Delta(1e-6)).value()).sqrt();
    // Two binomial rates at Φ(±μ/2), each with the delta method through Φ⁻¹.
    let (p, density) = (normal.cdf(due / 2.0), (-(due / 2.0).powi(2) / 2.0).exp() / std::f64::consts::TAU.sqrt());
    let error = (2.0 * p * (1.0 - p) / runs as f64).sqrt() / density;
    if found <= due + 4.9 * error {
        Ok(found)
    } else {
        Err(format!("the worlds are μ = {found:.3} apart, and {due:.3} is allowed"))
    }
}

#[test]
fn a_patient_at_several_hospitals_is_within_the_studys_epsilon() {
    for (aggregation, secure) in [("local", false), ("secure", true)] {
        for hospitals in [1, 2, 3, 5] {
            let found = gate(&plan(hospitals, aggregation), hospitals, secure).unwrap();
            println!("{aggregation}, at {hospitals} hospitals: μ = {found:.3}");
        }
    }
}

/// Planted: a study that says 1 about patients who are at 3.
#[test]
fn an_overlap_that_is_not_declared_is_found() {
    for (aggregation, secure) in [("local", false), ("secure", true)] {
        let said = gate(&plan(1, aggregation), 3, secure).unwrap_err();
        assert!(said.contains("apart"), "{said}");
    }
}

/// Planted: sums are budgeted as if noise were local (ρ/m in place of ρ/m²).
#[test]
fn a_sum_that_is_charged_as_local_noise_is_found() {
    assert!(gate(&plan(3, "local"), 3, true).unwrap_err().contains("apart"));
}
