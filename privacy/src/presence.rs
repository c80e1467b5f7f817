//! The presence mechanism: the OR of the sites' cells, made private by cells that are set falsely, under secure aggregation alone.
//!
//! A site sets each cell falsely with probability q_k, and gives a uniform word for a set cell and 0 for another; the masked sum is 0
//! where no site set the cell. The bound, at ε-DP for a patient of however many hospitals, is proved in [`summaries::distinct`]; its
//! other half, that a patient is kept with probability 1 − e^−ε, is in the statistic there.
//!
//! # What it costs
//! The ledger reads ρ as the curve of a Gaussian mechanism of μ = √(2ρ). An ε-DP mechanism is no worse than that where
//! ε = ln(Φ(μ/2)/Φ(−μ/2)): randomised response with ε is the worst of them (Kairouz, Oh, Viswanath 2015), its trade-off
//! function is made of two straight lines through (c, c) with c = 1/(1 + e^ε), and the Gaussian's (Dong, Roth, Su 2022) is convex,
//! ends in the same points, and goes through (c, c) where Φ(−μ/2) = c; so it lies below. Composition of Gaussian curves holds for
//! whatever they bound. The Rényi curve αρ covers it too, since ε²/2 < ρ (Bun and Steinke 2016, proposition 1.4).

use statrs::distribution::{ContinuousCDF as _, Normal};
use summaries::Sensitivity;
use summaries::distinct::{Distinct, mask_values};
use zeroize::Zeroizing;

use crate::Charge;
use crate::accounting::Rho;
use crate::discrete_gaussian::seeds;
use crate::mechanism::{Mechanism, MechanismError, MechanismName, Part, ReleasedPart, Scale};
use crate::secagg::words;
use crate::sensitive::Released;

/// The ε that a charge buys, a hair less so that rounding never costs privacy; 0 for none.
pub fn epsilon(share: Rho) -> f64 {
    let half = (2.0 * share.value()).sqrt() / 2.0;
    match Normal::new(0.0, 1.0) {
        Ok(normal) if half > 0.0 => (normal.cdf(half) / normal.cdf(-half)).ln() * (1.0 - 1e-9),
        _ => 0.0,
    }
}

/// The sketch that a charge buys.
///
/// # Errors
/// The buckets are not a power of two up to 2^20, or the ε is not 0.01 to 16.
pub fn sketch(share: Rho, buckets: usize) -> Result<Distinct, summaries::distinct::DistinctError> {
    Distinct::new(buckets, Distinct::LEVELS, epsilon(share))
}

/// The presence mechanism.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence;

impl Mechanism for Presence {
    fn name(&self) -> MechanismName {
        MechanismName::Presence
    }

    fn sigma(&self, _: &Sensitivity, _: Rho) -> f64 {
        0.0
    }

    /// Cells, 0 or not, become words. `parties` sites together owe the false cells.
    fn noise(
        &self,
        lanes: &mut [i64],
        _: &Scale,
        _: &Sensitivity,
        parties: usize,
        share: Rho,
    ) -> Result<(), MechanismError> {
        // Of the sketch its ε alone matters here, not its size.
        let sketch = Distinct::with_epsilon(epsilon(share)).map_err(|_| MechanismError::Charge(share))?;
        let mut seed = Zeroizing::new([0; 32]);
        seeds(seed.as_mut_slice()).map_err(MechanismError::Sampler)?;
        let mut random = words(&seed);
        let mut cells = Zeroizing::new(lanes.iter().map(|l| *l != 0).collect::<Vec<bool>>());
        sketch.randomise(&mut cells, parties, &mut random);
        let masked = Zeroizing::new(mask_values(&cells, &mut random));
        lanes.iter_mut().zip(masked.iter()).for_each(|(to, from)| *to = from.cast_signed());
        Ok(())
    }

    /// Never: a site's own cells are not private.
    fn release(&self, _: Vec<Part>, _: Charge) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        Err(MechanismError::Sampler("cells are private in a secure round alone".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::epsilon as gaussian;
    use crate::{Caps, Cost, Delta, PrivacyFilter, Sensitive, Spent};
    use summaries::Lanes;

    /// The trade-off of the Gaussian of the charge lies nowhere above that of the ε it buys: its exact (ε', δ') is never below.
    #[test]
    fn the_charge_covers_the_epsilon() {
        for nano in [50_000, 5_000_000, 20_000_000, 500_000_000, 3_000_000_000u64] {
            let rho = Rho::from_nano(nano);
            let own = epsilon(rho);
            assert!(own * own / 2.0 < rho.value());
            for delta in [1e-3, 1e-6, 1e-9f64] {
                // Randomised response: δ(ε') = (e^ε − e^ε')/(1 + e^ε), so ε'(δ) = ln(e^ε − δ(1 + e^ε)).
                let left = own.exp() - delta * (1.0 + own.exp());
                let response = if left > 1.0 { left.ln() } else { 0.0 };
                assert!(gaussian(rho, Delta(delta)).0 >= response, "ρ {rho}, δ {delta}");
            }
        }
        // μ = 1: ln(Φ(0.5)/Φ(−0.5)), with Φ(0.5) = 0.6914625.
        assert!((epsilon(Rho::from_nano(500_000_000)) - (0.691_462_5f64 / 0.308_537_5).ln()).abs() < 1e-6);
    }

    fn share(cells: Vec<i64>, parties: usize) -> Vec<i64> {
        let rho = Rho::from_nano(500_000_000);
        let charge =
            PrivacyFilter::new(Caps::flat(rho)).admit(Cost::gaussian(rho), &[(2020, Spent::default())]).unwrap();
        let part =
            Part { lanes: Sensitive::new(Lanes::from_values(cells)), sensitivity: Sensitivity::cells(1), weight: 1.0 };
        Presence.share(vec![part], charge, parties).unwrap().lanes.open().into_values()
    }

    /// The false cells of t sites together leave a cell clear with probability 1 − q, whatever t; false alarm 1e-6 a case. Planted:
    /// false cells for twice as many sites leave 0.72 clear instead of 0.69 (seen failing).
    #[test]
    fn so_many_sites_together_owe_the_false_cells() {
        let lanes = 100_000;
        let q = 1.0 / (1.0 + epsilon(Rho::from_nano(500_000_000)).exp());
        for t in [1, 3, 27] {
            let mut sum = vec![0u64; lanes];
            for _ in 0..t {
                sum.iter_mut().zip(share(vec![0; lanes], t)).for_each(|(s, v)| *s = s.wrapping_add(v.cast_unsigned()));
            }
            let clear = sum.iter().filter(|v| **v == 0).count() as f64 / lanes as f64;
            let sd = (q * (1.0 - q) / lanes as f64).sqrt();
            assert!((clear - (1.0 - q)).abs() < 4.9 * sd, "{t} sites: {clear} clear, {} expected", 1.0 - q);
        }
    }

    #[test]
    fn a_set_cell_is_a_uniform_word_and_nothing_leaves_without_a_mask() {
        let words = share(vec![1; 4000], 5);
        let ones: u32 = words.iter().map(|w| w.count_ones()).sum();
        // 128,000 of 256,000 expected; false alarm 1e-6.
        assert!((f64::from(ones) - 128_000.0).abs() < 4.9 * 253.0, "{ones}");
        let rho = Rho::from_nano(500_000_000);
        let charge =
            PrivacyFilter::new(Caps::flat(rho)).admit(Cost::gaussian(rho), &[(2020, Spent::default())]).unwrap();
        assert!(Presence.release(Vec::new(), charge).is_err());
    }
}
