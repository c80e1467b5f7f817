//! Noise in shares: each of several sites adds a part, and the sum over them has what one central holder of the data would add.
//!
//! With a threshold of t sites, of which up to c may help the coordinator and know their own part, each adds σ/√(t − c) to its
//! lanes. Any t survivors then hide a patient behind σ, though c of them subtract what they know. Noise sized for all sites
//! would fall short as soon as one drops out.

/// How many sites the noise is sized for: the threshold less the colluders, at least one.
pub fn parties(threshold: usize, colluders: usize) -> usize {
    threshold.saturating_sub(colluders).max(1)
}

/// What the sum of `parties` discrete Gaussians of scale σ each costs at an L2 sensitivity, in zCDP, for `lanes` lanes; all in
/// grid units.
///
/// A sum of discrete Gaussians is not quite one: Kairouz, Liu, Steinke 2021, theorem 1: ½ε²-concentrated differential privacy with
/// ε = min(√(Δ²/nσ² + τd/2), Δ/√n σ + τ√d), τ = 10 Σ_{k<n} exp(−2π²σ² k/(k+1)), for σ ≥ ½. At σ ≥ 2 and 40 sites τ is below 1e-14.
pub fn sum_cost(sigma: f64, parties: usize, l2: f64, lanes: usize) -> f64 {
    if sigma < 0.5 {
        return f64::INFINITY;
    }
    let (n, d) = (parties as f64, lanes as f64);
    let term = |k: f64| (-2.0 * std::f64::consts::PI.powi(2) * sigma * sigma * k / (k + 1.0)).exp();
    let tau = 10.0 * (1..parties).map(|k| term(k as f64)).sum::<f64>();
    let central = l2 / (n.sqrt() * sigma);
    let epsilon = (central * central + tau * d / 2.0).sqrt().min(central + tau * d.sqrt());
    epsilon * epsilon / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Rho;
    use crate::mechanism::gaussian_sigma;

    fn covered(sigma: f64, parties: usize, l2: f64, lanes: usize, share: Rho) -> bool {
        sum_cost(sigma, parties, l2, lanes) <= share.value()
    }

    #[test]
    fn the_sum_costs_what_one_gaussian_does() {
        let rho = Rho::from_nano(28_000_000);
        let sigma = gaussian_sigma(64.0, rho) / 27f64.sqrt();
        assert!(covered(sigma, 27, 64.0, 1 << 20, rho));
        // Sized for forty where twenty-seven came through: found.
        assert!(!covered(gaussian_sigma(64.0, rho) / 40f64.sqrt(), 27, 64.0, 1, rho));
    }

    #[test]
    fn coarse_shares_cost_more_and_say_so() {
        let (fine, coarse) = (sum_cost(64.0, 40, 64.0, 1000), sum_cost(0.6, 40, 0.6, 1000));
        assert!(coarse > fine * 1.5 && sum_cost(0.4, 40, 1.0, 1) == f64::INFINITY);
        assert!((fine - 1.0 / 80.0).abs() < 1e-12);
    }

    #[test]
    fn sized_for_the_threshold_less_colluders() {
        assert_eq!((parties(27, 0), parties(27, 3), parties(3, 5)), (27, 24, 1));
    }
}
