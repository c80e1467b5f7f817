//! One privacy loss distribution on a grid, and what it means in ε and δ.

/// Relative room for the rounding of sums over up to four million points.
const ROOM: f64 = 2e-9;

/// Masses at the losses (`first` + i) · `interval`, and one at infinity. The masses are upper bounds, so that they
/// may sum to slightly more than 1.
#[derive(Clone, Debug)]
pub(super) struct Pmf {
    interval: f64,
    first: i64,
    masses: Vec<f64>,
    infinity: f64,
}

impl Pmf {
    pub(super) fn new(interval: f64, first: i64, masses: Vec<f64>, infinity: f64) -> Pmf {
        Pmf { interval, first, masses, infinity: if infinity <= 1.0 { infinity.max(0.0) } else { 1.0 } }
    }

    pub(super) fn interval(&self) -> f64 {
        self.interval
    }

    /// The index of the first loss on the grid.
    pub(super) fn first(&self) -> i64 {
        self.first
    }

    /// The index of the last loss on the grid.
    pub(super) fn last(&self) -> i64 {
        self.first.saturating_add_unsigned(self.masses.len() as u64).saturating_sub(1)
    }

    pub(super) fn masses(&self) -> &[f64] {
        &self.masses
    }

    pub(super) fn infinity(&self) -> f64 {
        self.infinity
    }

    /// The loss at an index, exactly rounded, so that it is the same wherever it is formed.
    fn loss(&self, offset: usize) -> f64 {
        self.first.saturating_add_unsigned(offset as u64) as f64 * self.interval
    }

    /// δ(ε) = mass at infinity + Σ over losses l above ε of (1 − e^{ε−l}) · mass.
    pub(super) fn delta(&self, epsilon: f64) -> f64 {
        if epsilon.is_nan() {
            return 1.0;
        }
        let mut sum = 0.0;
        for (offset, mass) in self.masses.iter().enumerate().rev() {
            let loss = self.loss(offset);
            if loss <= epsilon {
                break;
            }
            sum -= mass * (epsilon - loss).exp_m1();
        }
        (self.infinity + sum * (1.0 + ROOM)).min(1.0)
    }

    /// The smallest ε ≥ 0 with δ(ε) no more than wanted, rounded up.
    ///
    /// From the top down: with m the present loss and W the sum of e^{m−l} · mass over the losses l above m, the way
    /// down from the loss m + h to m adds W (e^h − 1) to δ. Every term is positive, so nothing cancels. Between two
    /// losses we have δ(ε) = δ(m) − W (e^{ε−m} − 1), which is solved for ε.
    pub(super) fn epsilon(&self, delta_wanted: f64) -> f64 {
        let wanted = (delta_wanted - self.infinity) / (1.0 + 2.0 * ROOM);
        if wanted.is_nan() || wanted <= 0.0 {
            return f64::INFINITY;
        }
        let (shrink, step) = ((-self.interval).exp(), self.interval.exp_m1());
        let (mut reached, mut weight, mut mass_above) = (0.0, 0.0, 0.0);
        for (offset, mass) in self.masses.iter().enumerate().rev() {
            weight = (weight + mass_above) * shrink;
            mass_above = *mass;
            reached += weight * step;
            let loss = self.loss(offset);
            if reached.is_nan() {
                return f64::INFINITY;
            }
            if reached > wanted {
                return (loss + ((reached - wanted) / weight).ln_1p()).max(0.0) * (1.0 + 1e-14);
            }
            if loss <= 0.0 {
                return 0.0;
            }
        }
        // Below the lowest loss, which is positive here, all the mass counts.
        let all = weight + mass_above;
        if all <= 0.0 {
            return 0.0;
        }
        let rise = (reached - wanted) / all;
        (self.loss(0) + rise.max(-1.0).ln_1p()).max(0.0) * (1.0 + 1e-14)
    }
}
