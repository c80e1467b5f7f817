//! The stability histogram: counts of keys that nobody knows beforehand (Korolova, Kenthapadi, Mishra, Ntoulas 2009; Bun, Nissim,
//! Stemmer 2016).
//!
//! A key that no patient has is not in the data, so its absence shows. It is released where its noisy count reaches
//! τ = 1 + σΦ⁻¹((1 − δ)^{1/k}): a patient who alone brings k keys is seen with probability δ at most. OpenDP's own threshold
//! mechanism understates its δ by taking τ for the largest value that is withheld (upstream #2922); here the δ that is charged
//! is that of a count of one reaching τ exactly: P[1 + noise ≥ τ], summed over the lattice.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF as _, Normal};
use summaries::Sensitivity;

use crate::accounting::Rho;
use crate::cost::{Cost, DeltaSlot};
use crate::discrete_gaussian::DiscreteGaussian;
use crate::filter::Charge;
use crate::mechanism::{Mechanism as _, MechanismError, Scale, gaussian_sigma, grid, grid_bits};
use crate::sensitive::{Released, Sensitive};

/// Counts by key, at most `keys_per_patient` keys a patient.
#[derive(Clone, Copy, Debug)]
pub struct StabilityHistogram {
    keys_per_patient: u32,
    rho: Rho,
    delta: f64,
}

impl StabilityHistogram {
    /// `None` unless the patient has at least one key, ρ is positive, and δ is within [1e-12, 0.1].
    pub fn new(keys_per_patient: u32, rho: Rho, delta: f64) -> Option<StabilityHistogram> {
        let fits = keys_per_patient > 0 && rho > Rho::ZERO && (1e-12..=0.1).contains(&delta);
        fits.then_some(StabilityHistogram { keys_per_patient, rho, delta })
    }

    fn k(&self) -> f64 {
        f64::from(self.keys_per_patient)
    }

    /// The noise's scale in patients.
    pub fn sigma(&self) -> f64 {
        gaussian_sigma(self.k().sqrt().next_up(), self.rho)
    }

    fn scale(&self) -> Scale {
        let bits = grid_bits(self.sigma());
        Scale { lanes: 0, sigma_nano: (self.sigma() * grid(bits) * 1e9).ceil() as u128, grid_bits: bits }
    }

    /// The threshold in grid units, and the probability that a lone patient's keys show at it: the least threshold whose
    /// probability is within δ.
    fn threshold(&self) -> (i64, f64) {
        let scale = self.scale();
        let (sigma, one) = (scale.sigma_nano as f64 / 1e9, grid(scale.grid_bits));
        let level = ((-self.delta).ln_1p() / self.k()).exp();
        let mut tau = (one + sigma * Normal::standard().inverse_cdf(level)).floor() as i64;
        loop {
            let shown = tail(tau - one as i64, sigma);
            let any = -(self.k() * (-shown).ln_1p()).exp_m1();
            if any <= self.delta {
                return (tau, any);
            }
            tau += 1;
        }
    }

    /// The threshold in patients.
    pub fn tau(&self) -> f64 {
        self.threshold().0 as f64 / grid(self.scale().grid_bits)
    }

    /// What a release costs: ρ, and the corrected δ in its own slot.
    pub fn cost(&self) -> Cost {
        Cost { delta: DeltaSlot::cost(self.threshold().1), ..Cost::gaussian(self.rho) }
    }

    /// The keys whose noisy count reaches the threshold, with that count, in patients.
    ///
    /// # Errors
    /// The charge does not cover the cost, or the sampler fails.
    pub fn release(
        &self,
        counts: Sensitive<BTreeMap<String, u64>>,
        charge: &Charge,
    ) -> Result<Released<Vec<(String, f64)>>, MechanismError> {
        let (own, paid) = (self.cost(), charge.cost());
        if own.rho > paid.rho || own.delta > paid.delta {
            return Err(MechanismError::Sampler("the charge does not cover the stability histogram".to_owned()));
        }
        let (scale, tau) = (self.scale(), self.threshold().0);
        let (keys, counts): (Vec<String>, Vec<u64>) = counts.open().into_iter().filter(|(_, n)| *n > 0).unzip();
        let to_grid = |n: u64| i64::try_from(n).ok().and_then(|n| n.checked_mul(1 << scale.grid_bits));
        let lanes = counts.into_iter().map(to_grid).collect::<Option<Vec<i64>>>();
        let mut lanes =
            lanes.ok_or_else(|| MechanismError::Sampler("a count leaves the range of the grid".to_owned()))?;
        let sensitivity = Sensitivity::cells(self.keys_per_patient as usize);
        DiscreteGaussian.noise(&mut lanes, &scale, &sensitivity, 1, self.rho)?;
        let shown = keys.into_iter().zip(lanes).filter(|(_, n)| *n >= tau);
        Ok(Released::new(shown.map(|(key, n)| (key, n as f64 / grid(scale.grid_bits))).collect()))
    }
}

/// P[X ≥ from] for the discrete Gaussian of scale σ on the integers, rounded up.
fn tail(from: i64, sigma: f64) -> f64 {
    let weight = |x: f64| (-(x * x) / (2.0 * sigma * sigma)).exp();
    let far = (sigma * 40.0).ceil() as i64;
    let above: f64 = (from..=far.max(from)).rev().map(|x| weight(x as f64)).sum();
    // The whole mass is σ√2π to far below a rounding at this grid (Poisson summation).
    above / (sigma * (2.0 * std::f64::consts::PI).sqrt()) * (1.0 + 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Caps, PrivacyFilter, Spent};

    fn charge(cost: Cost) -> Charge {
        let caps = Caps::flat(Rho::from_nano(10_000_000_000));
        PrivacyFilter::new(caps).admit(cost, &[(2020, Spent::default())]).unwrap()
    }

    /// At ε = 1, δ = 1e-6: about 22 patients for one key.
    #[test]
    fn thresholds_are_the_designs() {
        let rho = Rho::cost(1.0 / (2.0 * 4.2247f64 * 4.2247));
        let h = StabilityHistogram::new(1, rho, 1e-6).unwrap();
        assert!((h.tau() - 21.08).abs() < 0.1, "{}", h.tau());
        assert!(h.cost().delta <= DeltaSlot::cost(1e-6) && h.cost().delta > DeltaSlot::cost(0.9e-6));
    }

    /// The gate of the threshold: how often a key of one patient is shown. `shown` of `keys` under a δ that is charged: an exact
    /// binomial bound with false alarm 1e-6 by Chernoff.
    fn within(shown: f64, keys: f64, delta: f64) -> bool {
        let mean = keys * delta;
        shown <= mean + (2.0 * mean * 13.9).sqrt() + 13.9
    }

    /// 2e5 keys of one patient each at δ = 0.01: the rate is no more than charged, and a threshold that is one patient too low
    /// (the planted off-by-one) is found.
    #[test]
    fn singletons_are_shown_no_more_often_than_is_charged() {
        let h = StabilityHistogram::new(1, Rho::from_nano(100_000_000), 0.01).unwrap();
        let keys = 200_000;
        let counts: BTreeMap<String, u64> = (0..keys).map(|i| (format!("k{i}"), 1)).collect();
        let charge = charge(h.cost());
        let out = h.release(Sensitive::new(counts), &charge).unwrap();
        let shown = out.get().len() as f64;
        assert!(within(shown, f64::from(keys), h.cost().delta.value()), "{shown} of {keys}");
        assert!(shown > f64::from(keys) * 0.008, "and not far less: {shown}");
        // Two patients a key: what the same threshold shows where the count is one too high, as if τ were one lower.
        let counts: BTreeMap<String, u64> = (0..keys).map(|i| (format!("k{i}"), 2)).collect();
        let shown = h.release(Sensitive::new(counts), &charge).unwrap().get().len() as f64;
        assert!(!within(shown, f64::from(keys), h.cost().delta.value()), "the gate sees the off-by-one: {shown}");
    }

    #[test]
    fn a_charge_without_the_delta_is_refused() {
        let h = StabilityHistogram::new(5, Rho::from_nano(20_000_000), 1e-6).unwrap();
        let counts = || Sensitive::new(BTreeMap::from([("a".to_owned(), 900u64), ("b".to_owned(), 0)]));
        assert!(h.release(counts(), &charge(Cost::gaussian(Rho::from_nano(20_000_000)))).is_err());
        let out = h.release(counts(), &charge(h.cost())).unwrap();
        assert_eq!(out.get().len(), 1, "and a key that nobody has is not in it");
        assert!((out.get()[0].1 - 900.0).abs() < 100.0);
    }
}
