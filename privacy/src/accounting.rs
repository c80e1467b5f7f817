//! The currency, and what it means in ε and δ.

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

/// The ε that ρ-zCDP gives at δ, by the tight conversion: for every α > 1,
/// δ = exp((α−1)(αρ−ε))/(α−1) · (1−1/α)^α. (Canonne, Kamath, Steinke, "The discrete Gaussian for differential privacy",
/// 2020, proposition 12.) Any α gives a valid bound, so an imperfect minimum is still safe.
pub fn epsilon(rho: Rho, delta: Delta) -> Epsilon {
    let (rho, delta) = (rho.value(), delta.0.max(LEAST_DELTA));
    if rho == 0.0 {
        return Epsilon(0.0);
    }
    let bound = |log_excess: f64| {
        let excess = log_excess.exp();
        let alpha = 1.0 + excess;
        alpha * rho + (alpha * (-(1.0 / alpha)).ln_1p() - delta.ln() - excess.ln()) / excess
    };
    // One minimum in log(α − 1): golden section.
    let (mut low, mut high) = (-12.0f64, 25.0f64);
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..200 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if bound(a) < bound(b) {
            high = b;
        } else {
            low = a;
        }
    }
    Epsilon(bound(f64::midpoint(low, high)).max(0.0))
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

    /// σ, T, δ and the tight zCDP figure.
    #[test]
    fn reference_vectors() {
        for (sigma, rounds, delta, expected) in
            [(1.0, 1.0, 1e-6, 5.2215), (2.0, 10.0, 1e-6, 8.8459), (10.0, 100.0, 1e-5, 4.7284), (5.0, 1.0, 1e-9, 1.1633)]
        {
            let r = Rho::cost(rounds / (2.0 * sigma * sigma));
            let e = epsilon(r, Delta(delta)).0;
            assert!((e - expected).abs() < 2e-4, "{e} against {expected}");
        }
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
