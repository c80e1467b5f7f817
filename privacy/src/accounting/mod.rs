//! The accountants: what a cost means in ε and δ.
//!
//! * here: ρ, the currency of Gaussian noise, and its exact meaning.
//! * [`gaussian`]: the exact curve of the Gaussian mechanism.
//! * [`orders`], [`rdp`]: Rényi differential privacy, on the ledger's grid and on any.
//! * [`pld`]: privacy loss distributions, for plans that are fixed beforehand.
//! * [`search`]: from noise to ε and back, by either accountant.

pub mod error;
pub mod gaussian;
mod normal;
pub mod orders;
pub mod pld;
pub mod rdp;
pub(crate) mod sampled_rdp;
pub mod search;

#[cfg(test)]
mod golden_tests;

pub use error::AccountError;
pub use orders::{Curve, ORDERS};
pub use pld::Pld;
pub use search::Accountant;

use std::fmt;

use serde::{Deserialize, Serialize};

/// ρ of zero-concentrated differential privacy, in billionths, so that sums are exact. Rounded up when it is a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rho(u64);

impl Rho {
    /// Nothing.
    pub const ZERO: Rho = Rho(0);

    /// From billionths.
    pub const fn from_nano(nano: u64) -> Rho {
        Rho(nano)
    }

    /// A cost: rounded up to a billionth. NaN and negative numbers become the largest cost, so that nothing passes.
    pub fn cost(rho: f64) -> Rho {
        if rho.is_nan() || rho < 0.0 {
            return Rho(u64::MAX);
        }
        Rho((rho * 1e9).ceil() as u64)
    }

    /// An allowance: rounded down to a billionth; NaN and negative numbers become nothing.
    pub fn allowance(rho: f64) -> Rho {
        if rho.is_nan() || rho < 0.0 { Rho::ZERO } else { Rho((rho * 1e9).floor() as u64) }
    }

    /// In billionths.
    pub fn nano(self) -> u64 {
        self.0
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The sum; saturates, so that an overflow reads as spent.
    #[must_use]
    pub fn plus(self, other: Rho) -> Rho {
        Rho(self.0.saturating_add(other.0))
    }

    /// What is left after `other`, nothing at the least.
    #[must_use]
    pub fn minus(self, other: Rho) -> Rho {
        Rho(self.0.saturating_sub(other.0))
    }

    /// A share `part / whole` of it, rounded down.
    #[must_use]
    pub fn share(self, part: f64, whole: f64) -> Rho {
        if whole > 0.0 && part >= 0.0 && part <= whole {
            Rho::allowance(self.value() * (part / whole) * (1.0 - 1e-12))
        } else {
            Rho::ZERO
        }
    }
}

impl fmt::Display for Rho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.value())
    }
}

/// ε of (ε, δ)-differential privacy.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epsilon(pub f64);

/// δ of (ε, δ)-differential privacy.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delta(pub f64);

/// The smallest δ that is accepted; below it the formulas lose their digits.
pub const LEAST_DELTA: f64 = 1e-12;

/// How much smaller a δ is taken than it was asked for, where the exact curve of the Gaussian stands for discrete Gaussians on a
/// grid of at least [`LEAST_GRID_SIGMA`](crate::mechanism::LEAST_GRID_SIGMA) steps a σ: their δ lies within a thousandth of the
/// curve's (tested against the exact sum over the lattice), and this is ten times that.
pub(crate) const LATTICE_MARGIN: f64 = 0.99;

/// The ε that Gaussian noise of a total ρ gives at δ: the exact curve of one Gaussian of μ = √(2ρ) (Balle and Wang 2018, theorem
/// 8). Gaussian mechanisms compose into one, adaptively, with the squares of μ adding up (Dong, Roth, Su 2022, corollary 3.3).
pub fn epsilon(rho: Rho, delta: Delta) -> Epsilon {
    if rho == Rho::ZERO {
        return Epsilon(0.0);
    }
    Epsilon(gaussian::epsilon((2.0 * rho.value()).sqrt(), delta.0.max(LEAST_DELTA) * LATTICE_MARGIN))
}

/// The largest ρ whose ε at δ is no more than asked.
pub fn rho(epsilon_wanted: Epsilon, delta: Delta) -> Rho {
    let (mut low, mut high) = (0u64, 1u64 << 50);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if epsilon(Rho(middle), delta).0 <= epsilon_wanted.0 {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Rho(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ε = 1, δ = 1e-6: σ = 4.2247 at sensitivity 1, and the margin of a hundredth of δ.
    #[test]
    fn reference_point() {
        let r = rho(Epsilon(1.0), Delta(1e-6)).value();
        let sigma = 1.0 / (2.0 * r).sqrt();
        assert!((4.2247..4.2347).contains(&sigma), "{sigma}");
    }

    /// The δ of one discrete Gaussian on the integers for a shift of a whole `shift`, summed over the lattice; its two directions
    /// are the same by symmetry.
    fn lattice_delta(sigma: f64, shift: f64, epsilon: f64) -> f64 {
        let exponent = |x: f64| -(x * x) / (2.0 * sigma * sigma);
        let far = (40.0 * sigma).ceil() as i64 + shift as i64;
        let whole: f64 = (-far..=far).map(|x| exponent(x as f64).exp()).sum();
        let over = |x: i64| {
            let own = exponent(x as f64);
            own.exp() * (-(epsilon + exponent(x as f64 + shift) - own).exp_m1()).max(0.0)
        };
        (-far..=far).map(over).sum::<f64>() / whole
    }

    /// On the grid that mechanisms use, the margin covers the lattice: for shifts of one patient's cell, from small ρ to large.
    #[test]
    fn the_margin_covers_the_lattice() {
        let mut worst = f64::NEG_INFINITY;
        for steps in [64.0, 71.3, 90.5, 127.9] {
            for over in [1.0, 4.0, 16.0, 64.0, 256.0] {
                // The sensitivity is a power of two in grid units: a cell times the grid.
                let mu: f64 = over / steps;
                for delta in [1e-4, 1e-6, 1e-9] {
                    let e = gaussian::epsilon(mu, delta);
                    if e > 0.0 && e < 300.0 {
                        worst = worst.max(lattice_delta(steps, over, e) / delta - 1.0);
                    }
                }
            }
        }
        println!("the lattice's δ exceeds the curve's by {worst:e} of it at most");
        assert!(worst < 1e-3, "{worst}");
    }

    /// A planted fault: on a coarse grid the curve of the continuous Gaussian is not an upper bound.
    #[test]
    fn a_coarse_grid_would_break_it() {
        let bad = (1..200).any(|i| {
            let e = f64::from(i) * 0.1;
            let delta = gaussian::delta(1.0 / 0.5, e);
            delta > 1e-9 && lattice_delta(0.5, 1.0, e) > delta * 1.05
        });
        assert!(bad);
    }

    proptest! {
        #[test]
        fn the_inverse_never_overspends(e in 0.01f64..20.0, log_delta in -11.0f64..-3.0) {
            let d = Delta(10f64.powf(log_delta));
            let r = rho(Epsilon(e), d);
            prop_assert!(epsilon(r, d).0 <= e);
            prop_assert!(epsilon(r.plus(Rho::cost(r.value() * 1e-3 + 2e-9)), d).0 > e * (1.0 - 1e-9));
        }

        #[test]
        fn shares_never_exceed_the_whole(nano in 0u64..1_000_000_000, parts in prop::collection::vec(0.0f64..10.0, 1..8)) {
            let whole: f64 = parts.iter().sum();
            prop_assume!(whole > 0.0);
            let sum: u64 = parts.iter().map(|p| Rho(nano).share(*p, whole).nano()).sum();
            prop_assert!(sum <= nano);
        }
    }

    #[test]
    fn nonsense_costs_everything() {
        assert_eq!(Rho::cost(f64::NAN), Rho(u64::MAX));
        assert_eq!(Rho::cost(-1.0), Rho(u64::MAX));
        assert_eq!(Rho::allowance(f64::NAN), Rho::ZERO);
    }
}
