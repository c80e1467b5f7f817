//! Where the mass of a composition lies, by the bound of Chernoff: for every t > 0, P(Σ loss ≥ x) ≤ e^{−tx} Π
//! E[e^{t·loss}]. Losses are counted in steps of the grid here.

use super::pmf::Pmf;

/// How many blocks the search for t looks at. The bound itself takes every point.
const BLOCKS: usize = 2048;

/// A tail that is cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// The exponent t that gave the bound; negative for the lower tail.
    pub(super) tilt: f64,
    /// The last index that stays.
    pub(super) index: f64,
}

/// ln E[e^{t·loss}] of the finite part, in steps of the grid.
pub(super) fn ln_transform(pmf: &Pmf, tilt: f64) -> f64 {
    let first = pmf.first() as f64;
    let points = pmf.masses().iter().enumerate().map(|(i, mass)| (first + i as f64, *mass));
    ln_sum(points, tilt, (tilt * first).max(tilt * pmf.last() as f64))
}

fn ln_sum(points: impl Iterator<Item = (f64, f64)>, tilt: f64, most: f64) -> f64 {
    points.map(|(index, mass)| mass * (tilt * index - most).exp()).sum::<f64>().ln() + most
}

/// The distributions, and how many rounds of each, thinned out for the search.
pub(super) struct Thin(Vec<(Vec<(f64, f64)>, f64)>);

impl Thin {
    pub(super) fn new(parts: &[(&Pmf, u64)]) -> Thin {
        let thin = |(pmf, rounds): &(&Pmf, u64)| {
            let size = pmf.masses().len().div_ceil(BLOCKS).max(1);
            let start = pmf.first() as f64 + 0.5 * (size - 1) as f64;
            let blocks = pmf.masses().chunks(size).enumerate();
            (blocks.map(|(i, block)| (start + (i * size) as f64, block.iter().sum())).collect(), *rounds as f64)
        };
        Thin(parts.iter().map(thin).collect())
    }

    fn bound(&self, tilt: f64, ln_mass: f64) -> f64 {
        let transform = |(points, rounds): &(Vec<(f64, f64)>, f64)| {
            let most = points.iter().map(|(index, _)| tilt * index).fold(f64::NEG_INFINITY, f64::max);
            rounds * ln_sum(points.iter().copied(), tilt, most)
        };
        (self.0.iter().map(transform).sum::<f64>() - ln_mass) / tilt
    }

    /// The upper tail of a mass of at most e^`ln_mass`, or the lower one when `sign` is −1. Any t gives a valid
    /// bound, so an imperfect minimum is still safe.
    pub(super) fn tail(&self, parts: &[(&Pmf, u64)], ln_mass: f64, sign: f64) -> Tail {
        // One minimum in ln t: golden section.
        let height = |ln_tilt: f64| {
            let value = sign * self.bound(sign * ln_tilt.exp(), ln_mass);
            if value.is_nan() { f64::INFINITY } else { value }
        };
        let (mut low, mut high) = (-25.0f64, 4.0f64);
        let ratio = (5f64.sqrt() - 1.0) / 2.0;
        let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
        let (mut at_a, mut at_b) = (height(a), height(b));
        for _ in 0..32 {
            if at_a < at_b {
                (high, b, at_b) = (b, a, at_a);
                a = high - ratio * (high - low);
                at_a = height(a);
            } else {
                (low, a, at_a) = (a, b, at_b);
                b = low + ratio * (high - low);
                at_b = height(b);
            }
        }
        let tilt = sign * f64::midpoint(low, high).exp();
        let exact: f64 = parts.iter().map(|(pmf, rounds)| *rounds as f64 * ln_transform(pmf, tilt)).sum();
        let index = (exact - ln_mass) / tilt;
        Tail { tilt, index: if sign > 0.0 { index.ceil() + 1.0 } else { index.floor() - 1.0 } }
    }
}
