//! Gate 3: two worlds. The same release with and without one patient who moves it as far as is declared; how well the best test
//! tells them apart is bounded by the Gaussian's trade-off curve of μ = √(2ρ) (Dong, Roth, Su 2022). Finds a σ that is 10 % off.

use privacy::Rho;
use statrs::distribution::{ContinuousCDF, Normal};
use summaries::Sensitivity;

use crate::sampler;

/// Runs of each world.
fn runs() -> usize {
    insitu_tests::sized(40_000, 400_000)
}

/// The μ that the test at the middle between the worlds shows, and the μ that is due. `worlds` is the noise of both worlds, in runs of
/// `lanes` lanes; the patient adds `step` to each.
fn shown(worlds: (&[i64], &[i64]), lanes: usize, step: f64, middle: f64) -> f64 {
    let rate = |noise: &[i64], shift: f64| {
        let over = |run: &&[i64]| run.iter().map(|v| *v as f64 + shift).sum::<f64>() > middle;
        noise.chunks_exact(lanes).filter(over).count() as f64 / (noise.len() / lanes) as f64
    };
    let z = |p: f64| Normal::standard().inverse_cdf(p.clamp(1e-9, 1.0 - 1e-9));
    z(rate(worlds.1, step)) - z(rate(worlds.0, 0.0))
}

/// Refuses a mechanism whose noise for `drawn` tells the worlds of `declared` further apart than ρ allows. False alarms: 1e-6.
pub(crate) fn gate(declared: Sensitivity, drawn: Sensitivity, rho: Rho) -> Result<f64, String> {
    // A patient of k cells moves k lanes by one; one of a fixed-point statistic moves one lane by the whole.
    let cells = declared.linf <= 1.0;
    let lanes = if cells { declared.l1.round() as usize } else { 1 };
    let (first, _) = sampler::draw(drawn, rho, runs() * lanes)?;
    let (second, _) = sampler::draw(drawn, rho, runs() * lanes)?;
    let due = (2.0 * rho.value()).sqrt();
    // In grid steps, as the declared sensitivity moves it.
    let grid = privacy::mechanism::grid(privacy::mechanism::grid_bits(drawn.l2 / due));
    let step = if cells { grid } else { declared.l2 * grid };
    let found = shown((&first, &second), lanes, step, step * lanes as f64 / 2.0);
    // Two binomial rates at Φ(±μ/2), each with the delta method through Φ⁻¹.
    let p = Normal::standard().cdf(due / 2.0);
    let density = (-(due / 2.0).powi(2) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let error = (2.0 * p * (1.0 - p) / runs() as f64).sqrt() / density;
    if found <= due + 4.9 * error {
        Ok(found)
    } else {
        Err(format!("the worlds are μ = {found:.3} apart, and {due:.3} is allowed"))
    }
}
