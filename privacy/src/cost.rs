//! What a release costs: the currency of the ledger.
//!
//! A cost is a curve of Rényi differential privacy with an additive δ beside it, in whole numbers, rounded up:
//!
//! * `rho`: the Gaussian part, which is αρ at every order α (zero-concentrated differential privacy, Bun and Steinke 2016);
//! * `rdp`: everything else, on the fixed grid of orders [`ORDERS`];
//! * `delta`: probabilities of failure that add up, such as a threshold's.
//!
//! Costs of adaptively chosen mechanisms add, order by order (Mironov 2017, proposition 1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounting::orders::{Curve, ORDERS};
use crate::accounting::{Delta, Epsilon, Rho, rdp};

/// A δ that adds up, in 10^-18, rounded up when it is a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeltaSlot(u64);

impl DeltaSlot {
    /// None.
    pub const ZERO: DeltaSlot = DeltaSlot(0);

    /// A cost: rounded up; NaN and what lies outside [0, 1] become the largest.
    pub fn cost(delta: f64) -> DeltaSlot {
        if (0.0..=1.0).contains(&delta) { DeltaSlot((delta * 1e18).ceil() as u64) } else { DeltaSlot(u64::MAX) }
    }

    /// An allowance: rounded down; NaN and what lies outside [0, 1] become nothing.
    pub fn allowance(delta: f64) -> DeltaSlot {
        if (0.0..=1.0).contains(&delta) { DeltaSlot((delta * 1e18).floor() as u64) } else { DeltaSlot::ZERO }
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e18
    }

    /// The sum; saturates.
    #[must_use]
    pub fn plus(self, other: DeltaSlot) -> DeltaSlot {
        DeltaSlot(self.0.saturating_add(other.0))
    }
}

/// What a release costs, or what was spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The Gaussian part, in billionths of ρ.
    pub rho: Rho,
    /// The other part, at each order of the grid, in billionths.
    #[serde(default, skip_serializing_if = "Curve::is_zero")]
    pub rdp: Curve,
    /// The additive part of δ, in 10^-18.
    #[serde(default, skip_serializing_if = "is_none")]
    pub delta: DeltaSlot,
}

fn is_none(d: &DeltaSlot) -> bool {
    *d == DeltaSlot::ZERO
}

impl Cost {
    /// Of Gaussian noise.
    pub fn gaussian(rho: Rho) -> Cost {
        Cost { rho, ..Cost::default() }
    }

    /// Of Laplace noise of scale `b` in units of the L1 sensitivity (Mironov 2017, proposition 6).
    pub fn laplace(b: f64) -> Cost {
        Cost { rdp: Curve::cost(|alpha| rdp::laplace(b, alpha)), ..Cost::default() }
    }

    /// Of a mechanism that is ε-differentially private (Bun and Steinke 2016, proposition 3.3).
    pub fn pure(epsilon: f64) -> Cost {
        Cost { rdp: Curve::cost(|alpha| rdp::pure(epsilon, alpha)), ..Cost::default() }
    }

    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Cost) -> Cost {
        Cost { rho: self.rho.plus(other.rho), rdp: self.rdp.plus(other.rdp), delta: self.delta.plus(other.delta) }
    }

    /// So many times the same. It saturates.
    #[must_use]
    pub fn times(&self, rounds: u64) -> Cost {
        let delta = DeltaSlot(self.delta.0.saturating_mul(rounds));
        Cost { rho: Rho::from_nano(self.rho.nano().saturating_mul(rounds)), rdp: self.rdp.times(rounds), delta }
    }

    /// At each order the larger of both: of mechanisms on disjoint patients, of which each patient is in one (parallel composition).
    #[must_use]
    pub fn larger(&self, other: &Cost) -> Cost {
        let delta = self.delta.max(other.delta);
        if self.rdp.is_zero() && other.rdp.is_zero() {
            return Cost { rho: self.rho.max(other.rho), delta, ..Cost::default() };
        }
        if self.covers(other) {
            return Cost { delta, ..self.clone() };
        }
        if other.covers(self) {
            return Cost { delta, ..other.clone() };
        }
        Cost { delta, ..Cost::curve(|i| self.at(i).max(other.at(i))) }
    }

    /// The same with its Gaussian part in the curve.
    #[must_use]
    pub fn in_the_curve(&self) -> Cost {
        Cost { delta: self.delta, ..Cost::curve(|i| self.at(i)) }
    }

    /// So much at each order of the grid, in billionths.
    fn curve(at: impl Fn(usize) -> u64) -> Cost {
        let mut order = 0..;
        let rdp = [0; ORDERS.len()].map(|_: u64| at(order.next().unwrap_or(ORDERS.len())));
        Cost { rdp: Curve::from_nano(rdp), ..Cost::default() }
    }

    /// Whether it is at least as much in each of its parts.
    pub fn covers(&self, other: &Cost) -> bool {
        self.rho >= other.rho && other.rdp.within(&self.rdp) && self.delta >= other.delta
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        *self == Cost::default()
    }

    /// The Rényi divergence at an order of the grid, in billionths, rounded up; saturates.
    pub fn at(&self, order: usize) -> u64 {
        let alpha = ORDERS.get(order).copied().unwrap_or(f64::INFINITY);
        let gaussian = (alpha * self.rho.nano() as f64).ceil() * (1.0 + 4.0 * f64::EPSILON);
        // `as` saturates, so infinity reads as spent.
        (gaussian.ceil() as u64).saturating_add(self.rdp.at(order))
    }

    /// What it means as ε at a δ, the additive part taken out of it. Where all is Gaussian the exact curve is taken, else the
    /// best order of the grid. Infinite where the additive part leaves nothing.
    pub fn epsilon(&self, delta: Delta) -> Epsilon {
        let left = delta.0 - self.delta.value();
        if left <= 0.0 {
            return Epsilon(f64::INFINITY);
        }
        if self.rdp.is_zero() {
            return crate::accounting::epsilon(self.rho, Delta(left));
        }
        let all: Vec<f64> = (0..ORDERS.len()).map(|i| (self.at(i) as f64 / 1e9).next_up()).collect();
        Epsilon(rdp::epsilon(&ORDERS, &all, left))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ρ {}", self.rho)?;
        if !self.rdp.is_zero() {
            write!(f, " and other noise")?;
        }
        if self.delta != DeltaSlot::ZERO {
            write!(f, ", δ {:.1e}", self.delta.value())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_never_round_down(parts in prop::collection::vec((0u64..50_000_000, 0.5f64..100.0), 1..20)) {
            let mut sum = Cost::default();
            for (nano, b) in &parts {
                sum = sum.plus(&Cost::gaussian(Rho::from_nano(*nano))).plus(&Cost::laplace(*b));
            }
            for (i, alpha) in ORDERS.iter().enumerate() {
                let truth: f64 = parts.iter().map(|(n, b)| alpha * *n as f64 / 1e9 + rdp::laplace(*b, *alpha)).sum();
                prop_assert!(sum.at(i) as f64 / 1e9 >= truth * (1.0 - 1e-12), "order {}", alpha);
            }
        }
    }

    #[test]
    fn the_default_caps_mean_what_the_design_says() {
        for (nano, epsilon) in [(20_000_000, 0.83), (100_000_000, 2.00), (500_000_000, 4.89)] {
            let e = Cost::gaussian(Rho::from_nano(nano)).epsilon(Delta(1e-6)).0;
            assert!((e - epsilon).abs() < 0.011, "{e} against {epsilon}");
        }
    }

    #[test]
    fn the_larger_of_two_is_at_no_order_below_either() {
        let (a, b) = (Cost::gaussian(Rho::from_nano(9_000_000)), Cost::laplace(3.0));
        let both = a.larger(&b);
        assert!((0..ORDERS.len()).all(|i| both.at(i) == a.at(i).max(b.at(i))));
        assert!((0..ORDERS.len()).any(|i| a.at(i) > b.at(i)) && (0..ORDERS.len()).any(|i| a.at(i) < b.at(i)));
        assert_eq!(a.larger(&Cost::gaussian(Rho::from_nano(5))), a);
        let more = a.plus(&b);
        assert_eq!((a.larger(&more), more.larger(&b)), (more.clone(), more));
        assert_eq!(b.times(3), b.plus(&b).plus(&b));
    }

    #[test]
    fn an_additive_delta_is_taken_out() {
        let with = Cost { delta: DeltaSlot::cost(5e-7), ..Cost::gaussian(Rho::from_nano(20_000_000)) };
        assert!(with.epsilon(Delta(1e-6)).0 > Cost::gaussian(Rho::from_nano(20_000_000)).epsilon(Delta(1e-6)).0);
        assert_eq!(with.epsilon(Delta(5e-7)).0, f64::INFINITY);
        assert_eq!(DeltaSlot::cost(f64::NAN).plus(DeltaSlot::cost(1.0)), DeltaSlot(u64::MAX));
    }

    #[test]
    fn a_gaussian_cost_is_short_in_the_ledger() {
        let text = serde_json::to_string(&Cost::gaussian(Rho::from_nano(7))).unwrap();
        assert_eq!(text, r#"{"rho":7}"#);
        let all = Cost { delta: DeltaSlot::cost(1e-9), ..Cost::pure(0.5) };
        assert_eq!(serde_json::from_str::<Cost>(&serde_json::to_string(&all).unwrap()).unwrap(), all);
    }
}
