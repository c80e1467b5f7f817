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

/// A real number in fixed point, rounded to the nearest; the caller has clipped it. NaN becomes 0.
pub fn encode(x: f64) -> i64 {
    (x * FIXED_POINT).round() as i64
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
