//! The currency of the ledger: Rényi differential privacy on a fixed grid of orders, in billionths, so that sums are
//! exact.

use serde::{Deserialize, Serialize};

/// How many orders there are.
pub const COUNT: usize = 32;

/// The orders α of the ledger. They are dense from 1.75 to 65, where the ε of ρ between 0.005 and 10 at δ between
/// 1e-5 and 1e-9 has its minimum, near α = 1 + √(ln(1/δ)/ρ). The grid costs less than 0.7 % of ε there. Never change
/// it: the ledgers that were written with it would lose their meaning.
pub const ORDERS: [f64; COUNT] = [
    1.25, 1.5, 1.75, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 13.0, 15.0, 18.0, 21.0,
    25.0, 29.0, 34.0, 40.0, 47.0, 55.0, 65.0, 100.0, 180.0, 320.0, 512.0,
];

/// A bound on the Rényi divergence at each of [`ORDERS`], in billionths, rounded up. The largest number reads as
/// infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curve([u64; COUNT]);

impl Curve {
    /// Nothing.
    pub const ZERO: Curve = Curve([0; COUNT]);

    /// From billionths, one for each of [`ORDERS`].
    pub const fn from_nano(nano: [u64; COUNT]) -> Curve {
        Curve(nano)
    }

    /// A cost: the divergence at each order, rounded up to a billionth. NaN, negative and infinite ones become the
    /// largest cost, so that nothing passes.
    pub fn cost(divergence: impl Fn(f64) -> f64) -> Curve {
        Curve(ORDERS.map(|alpha| {
            let value = divergence(alpha);
            if value.is_finite() && value >= 0.0 { (value * 1e9).ceil() as u64 } else { u64::MAX }
        }))
    }

    /// The sum, order by order (Mironov, "Rényi differential privacy", 2017, proposition 1). It saturates, so that an
    /// overflow reads as spent.
    #[must_use]
    pub fn plus(self, other: Curve) -> Curve {
        let mut sum = self.0;
        for (mine, theirs) in sum.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
        Curve(sum)
    }

    /// So many times the same. It saturates.
    #[must_use]
    pub fn times(self, rounds: u64) -> Curve {
        Curve(self.0.map(|nano| nano.saturating_mul(rounds)))
    }

    /// Whether nothing was spent at any order.
    pub fn is_zero(&self) -> bool {
        *self == Curve::ZERO
    }

    /// Whether no order is above that of `other`.
    pub fn within(&self, other: &Curve) -> bool {
        self.0.iter().zip(other.0).all(|(mine, theirs)| *mine <= theirs)
    }

    /// In billionths, at the order with this index; the largest cost where there is no such order.
    pub fn at(&self, order_index: usize) -> u64 {
        self.0.get(order_index).copied().unwrap_or(u64::MAX)
    }

    /// The divergences as numbers, rounded up; infinite where the sum has saturated.
    pub fn values(&self) -> [f64; COUNT] {
        self.0.map(|nano| match nano {
            0 => 0.0,
            u64::MAX => f64::INFINITY,
            _ => (nano as f64 / 1e9).next_up(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::rdp;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grid_grows() {
        assert!(ORDERS.is_sorted_by(|a, b| a < b) && ORDERS.iter().all(|a| *a > 1.0));
    }

    /// Against the minimum over all orders.
    #[test]
    fn the_grid_costs_little() {
        let fine: Vec<f64> = (0..2200).map(|i| 1.0 + (f64::from(i) * 0.005 - 4.0).exp()).collect();
        let mut worst = 0.0f64;
        for delta in [1e-5, 1e-6, 1e-7, 1e-8, 1e-9] {
            for k in 0..60 {
                let rho = 0.005 * 2000f64.powf(f64::from(k) / 59.0);
                let all: Vec<f64> = fine.iter().map(|alpha| alpha * rho).collect();
                let best = rdp::epsilon(&fine, &all, delta);
                worst = worst.max(rdp::epsilon_of(&Curve::cost(|alpha| alpha * rho), delta) / best - 1.0);
            }
        }
        println!("grid of orders: worst excess of ε {:.3} %", worst * 100.0);
        assert!(worst < 0.01);
    }

    #[test]
    fn nonsense_costs_everything() {
        for bad in [f64::NAN, -1e-300, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Curve::cost(|_| bad), Curve([u64::MAX; COUNT]));
        }
        assert!(Curve::cost(|_| 0.0).is_zero());
        assert_eq!(Curve::ZERO.at(COUNT), u64::MAX);
        assert_eq!(rdp::epsilon_of(&Curve::cost(|_| f64::NAN), 1e-6), f64::INFINITY);
    }

    #[test]
    fn is_written_as_an_array() {
        let curve = Curve::cost(|alpha| 0.001 * alpha);
        let text = serde_json::to_string(&curve).unwrap();
        assert!(text.starts_with("[1250000,1500000,"), "{text}");
        assert_eq!(serde_json::from_str::<Curve>(&text).unwrap(), curve);
        assert!(serde_json::from_str::<Curve>("[1,2]").is_err());
    }

    proptest! {
        #[test]
        fn rounds_up_and_saturates(a in prop::array::uniform32(any::<u64>()), b in prop::array::uniform32(any::<u64>()), v in 0.0f64..1e6) {
            let sum = Curve(a).plus(Curve(b));
            for i in 0..COUNT {
                prop_assert_eq!(u128::from(sum.at(i)), (u128::from(a[i]) + u128::from(b[i])).min(u128::from(u64::MAX)));
            }
            prop_assert!(Curve(a).within(&sum) && Curve(b).within(&sum));
            let cost = Curve::cost(|alpha| v * alpha);
            for (alpha, value) in ORDERS.iter().zip(cost.values()) {
                prop_assert!(value >= v * alpha && value <= v * alpha + 2e-9 + v * alpha * 1e-15);
            }
            prop_assert_eq!(cost.times(3), cost.plus(cost).plus(cost));
        }
    }
}
