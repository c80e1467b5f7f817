//! Vectors of integers, and how far one patient moves them.

use serde::{Deserialize, Serialize};

use crate::statistic::AccumulateError;

/// Lanes that carry real numbers hold `round(x · 2^36)`. The rounding error of a sum over a million patients is then
/// below 1e-5 of one patient, far under any noise, and 2^27 patients fit a 64-bit lane.
pub const FIXED_POINT: f64 = (1u64 << 36) as f64;

/// A sum over patients: one integer a lane.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Lanes(Vec<i64>);

impl Lanes {
    /// All zero.
    pub fn zeros(lanes: usize) -> Lanes {
        Lanes(vec![0; lanes])
    }

    /// From values.
    pub fn from_values(values: Vec<i64>) -> Lanes {
        Lanes(values)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values.
    pub fn values(&self) -> &[i64] {
        &self.0
    }

    /// The values, owned.
    pub fn into_values(self) -> Vec<i64> {
        self.0
    }

    /// Adds to one lane.
    ///
    /// # Errors
    /// There is no such lane, or it overflows.
    pub fn add(&mut self, statistic: &'static str, lane: usize, value: i64) -> Result<(), AccumulateError> {
        let needed = self.0.len();
        let slot = self.0.get_mut(lane).ok_or(AccumulateError::Lanes { statistic, given: lane, needed })?;
        *slot = slot.checked_add(value).ok_or(AccumulateError::Overflow(statistic))?;
        Ok(())
    }

    /// Adds real numbers in fixed point, each as [`encode`] has it, to as many lanes from a first one on. A loop without branches, for the
    /// long rows of regressions.
    ///
    /// # Errors
    /// There are not so many lanes, or one overflows.
    pub fn add_row(&mut self, statistic: &'static str, first: usize, values: &[f64]) -> Result<(), AccumulateError> {
        let needed = self.0.len();
        let last = first.saturating_add(values.len());
        let slots = self.0.get_mut(first..last).ok_or(AccumulateError::Lanes { statistic, given: last, needed })?;
        // Bits of the sign where a sum left its range.
        let mut over = 0i64;
        let small = values.iter().fold(true, |all, x| all & ((x * FIXED_POINT).abs() < MAGIC / 4.0));
        for (slot, x) in slots.iter_mut().zip(values) {
            let value = if small { rounded(x * FIXED_POINT) } else { encode(*x) };
            let sum = slot.wrapping_add(value);
            over |= (*slot ^ sum) & (value ^ sum);
            *slot = sum;
        }
        if over < 0 { Err(AccumulateError::Overflow(statistic)) } else { Ok(()) }
    }

    /// Adds a multiple of real numbers, none of them larger than `largest` in absolute value, in fixed point to as many lanes from a first
    /// one on: what the inner loop of a curvature does.
    ///
    /// # Errors
    /// There are not so many lanes, or one overflows.
    pub fn add_scaled(
        &mut self,
        statistic: &'static str,
        first: usize,
        scale: f64,
        (values, largest): (&[f64], f64),
    ) -> Result<(), AccumulateError> {
        let needed = self.0.len();
        let last = first.saturating_add(values.len());
        let slots = self.0.get_mut(first..last).ok_or(AccumulateError::Lanes { statistic, given: last, needed })?;
        let units = scale * FIXED_POINT;
        let small = (units * largest).abs() < MAGIC / 4.0;
        let mut over = 0i64;
        for (slot, x) in slots.iter_mut().zip(values) {
            let value = if small { rounded(units * x) } else { encode(scale * x) };
            let sum = slot.wrapping_add(value);
            over |= (*slot ^ sum) & (value ^ sum);
            *slot = sum;
        }
        if over < 0 { Err(AccumulateError::Overflow(statistic)) } else { Ok(()) }
    }

    /// Adds another vector of the same length; `false` (and nothing added) where the lengths differ or a lane overflows.
    #[must_use]
    pub fn merge(&mut self, other: &[i64]) -> bool {
        if other.len() != self.0.len() || self.0.iter().zip(other).any(|(a, b)| a.checked_add(*b).is_none()) {
            return false;
        }
        for (a, b) in self.0.iter_mut().zip(other) {
            *a = a.wrapping_add(*b);
        }
        true
    }
}

/// 1.5 · 2^52: a number of at most a quarter of it, added to it, has its nearest integer in the last bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// The nearest integer, of two the even one, of a number of at most a quarter of [`MAGIC`].
fn rounded(y: f64) -> i64 {
    (y + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i64
}

/// A real number in fixed point, rounded to the nearest, of two to the even one; the caller has clipped it. NaN becomes 0.
pub fn encode(x: f64) -> i64 {
    let y = x * FIXED_POINT;
    if y.abs() < MAGIC / 4.0 { rounded(y) } else { y.round() as i64 }
}

/// How many lanes, and how many integer units one unit of the statistic is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Lanes.
    pub lanes: usize,
    /// Integer units in one: 1 for counts, [`FIXED_POINT`] for real lanes.
    pub scale: f64,
}

/// How far one patient, added or removed, moves the vector, in integer units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Sum of absolute changes.
    pub l1: f64,
    /// Root of the sum of squared changes.
    pub l2: f64,
    /// The largest change of a lane.
    pub linf: f64,
}

impl Sensitivity {
    /// For a patient who adds 1 to each of at most `k` distinct lanes: L1 = k, L2 = √k, L∞ = 1.
    pub fn cells(k: usize) -> Sensitivity {
        let k = k as f64;
        Sensitivity { l1: k, l2: k.sqrt().next_up(), linf: 1.0 }
    }

    /// For a real vector of `d` lanes within an L2 ball of `norm` and a box of `bound` a lane, in fixed point. Rounding to
    /// the nearest moves each lane by at most ½, so the L2 norm by at most √d/2, which is added.
    pub fn fixed_point(d: usize, norm: f64, bound: f64) -> Sensitivity {
        let d = d as f64;
        let l2 = (norm * FIXED_POINT + d.sqrt() / 2.0).next_up();
        let linf = (bound * FIXED_POINT + 0.5).next_up();
        Sensitivity { l1: (d * linf).min(d.sqrt() * l2).next_up(), l2, linf }
    }
}

/// The sum over the sites of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergedRelease {
    /// One integer a lane.
    pub lanes: Vec<i64>,
    /// The variance of the summed noise of one lane, in squared integer units; 0 without noise.
    pub noise_variance: f64,
    /// Integer units in one lane unit: noise may lie on a finer grid than the lanes.
    pub unit: f64,
    /// How many sites are in.
    pub sites: usize,
    /// So many sites together owe the noise that makes the sum private: 1 where each site's own release is.
    pub shared: usize,
}

impl MergedRelease {
    /// A lane in the statistic's unit; 0 where there is no such lane.
    pub fn value(&self, lane: usize, layout: &Layout) -> f64 {
        self.lanes.get(lane).map_or(0.0, |v| *v as f64 / (layout.scale * self.unit))
    }

    /// The noise variance of a lane in the statistic's unit.
    pub fn variance(&self, layout: &Layout) -> f64 {
        self.noise_variance / (layout.scale * self.unit).powi(2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A row is what its numbers are one by one, whatever they are.
        #[test]
        fn a_row_is_its_numbers(values in prop::collection::vec(prop_oneof![8 => -2.0f64..2.0, 1 => any::<f64>()], 1..20)) {
            let (mut one, mut row) = (Lanes::zeros(25), Lanes::zeros(25));
            let added = values.iter().enumerate().try_for_each(|(i, x)| one.add("t", 3 + i, encode(*x)));
            prop_assert!(added.is_ok() && row.add_row("t", 3, &values).is_ok());
            prop_assert!(one == row);
        }

        /// A multiple is what its products are one by one, but for their rounding.
        #[test]
        fn a_multiple_is_its_products(values in prop::collection::vec(-2.0f64..2.0, 1..20), scale in prop_oneof![-2.0f64..2.0, any::<f64>()]) {
            let mut row = Lanes::zeros(20);
            let added = row.add_scaled("t", 0, scale, (&values, 2.0));
            prop_assume!(added.is_ok());
            for (x, lane) in values.iter().zip(row.values()) {
                prop_assert!(lane.abs_diff(encode(scale * x)) as f64 <= 1.0 + (scale * x * FIXED_POINT).abs() * 1e-15);
            }
        }

        #[test]
        fn the_nearest_integer(x in -1e4f64..1e4) {
            prop_assert!((encode(x) as f64 - x * FIXED_POINT).abs() <= 0.5);
        }
    }

    #[test]
    fn a_sum_that_leaves_its_range_is_an_error() {
        let half = 1.0 / FIXED_POINT;
        assert_eq!((encode(0.5 * half), encode(1.5 * half), encode(-2.5 * half)), (0, 2, -2));
        assert_eq!((encode(f64::NAN), encode(f64::INFINITY)), (0, i64::MAX));
        let mut full = Lanes::from_values(vec![0, i64::MAX, 0]);
        assert_eq!(full.add_row("t", 0, &[0.0, half, 0.0]), Err(AccumulateError::Overflow("t")));
        assert!(Lanes::zeros(2).add_row("t", 1, &[0.0, 0.0]).is_err());
        let mut low = Lanes::from_values(vec![i64::MIN]);
        assert!(low.add_row("t", 0, &[half]).is_ok());
        assert!(low.add_row("t", 0, &[-2.0 * half]).is_err());
    }
}
