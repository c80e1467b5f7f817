//! Composition: the sum of independent losses, by the fast Fourier transform, with every error on the safe side.
//!
//! The masses of the sum are read off a circular convolution of N points. Three errors are charged:
//!
//! 1. **Cut tails.** The window holds all but e^[`LN_TAIL`] of the mass on each side (Chernoff). The lower tail is
//!    added to the first point, the upper one to the mass at infinity. What wraps around the circle only adds to the
//!    points of the window.
//! 2. **Rounding.** Each coefficient of a transform of masses with the sum s is wrong by at most e = γs, with
//!    γ = (8 log₂N + 16) u (u = 2^−53; Higham, "Accuracy and stability of numerical algorithms", 2002, section 24.1, with room for
//!    the radices of rustfft). A power of it is then wrong by at most (|p| + e)^T − |p|^T ≤ Te (|p| + e)^{T−1}, and a
//!    point of the result by at most the mean of that over all coefficients, plus γ times the mean of their size for
//!    the way back. This bound is added to every point, after negative values have been set to 0. δ grows with every
//!    mass, so the sum stays pessimistic. The bound on one coefficient is that of the literature for the algorithm,
//!    not a proof about the code of rustfft; the tests compare with sums by definition.
//! 3. **Small tails.** That bound is flat, and would drown a δ of 1e-12 after many rounds. So the masses are also
//!    composed with the weight e^{t·loss}, which is undone afterwards and takes the error down with it (Wilson and
//!    Keich, "Accurate pairwise convolutions of non-negative vectors via FFT", 2016). Each point keeps the smallest
//!    of its upper bounds.

use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::super::error::AccountError;
use super::chernoff::{Thin, ln_transform};
use super::loss::UNIT;
use super::pmf::Pmf;

/// The logarithm of the mass that is cut off on each side: 1e-18.
const LN_TAIL: f64 = -41.446_531_673_892_82;

/// The upper tails at which the tilted convolutions are most exact.
const LN_TILTS: [f64; 3] = [-11.0, -16.0, -23.0];

/// The most points of a composition.
const MOST_POINTS: u64 = 1 << 21;

/// All the parts, each so many rounds.
pub(super) fn compose(parts: &[(&Pmf, u64)]) -> Result<Pmf, AccountError> {
    let Some((one, _)) = parts.first() else { return Err(AccountError::Rounds) };
    if parts.iter().any(|(_, rounds)| *rounds == 0) {
        return Err(AccountError::Rounds);
    }
    if let Some((other, _)) = parts.iter().find(|(pmf, _)| pmf.interval() != one.interval()) {
        return Err(AccountError::Grids(one.interval(), other.interval()));
    }
    if let [(only, 1)] = parts {
        return Ok((*only).clone());
    }
    let finite: f64 = parts.iter().map(|(pmf, rounds)| *rounds as f64 * (-pmf.infinity()).ln_1p()).sum();
    let mut infinity = -finite.exp_m1() * (1.0 + 1e-12);
    if infinity.is_nan() || infinity >= 1.0 {
        return Ok(Pmf::new(one.interval(), 0, Vec::new(), 1.0));
    }

    let thin = Thin::new(parts);
    let (low, high) = (thin.tail(parts, LN_TAIL, -1.0), thin.tail(parts, LN_TAIL, 1.0));
    let edge = |of: fn(&Pmf) -> i64| parts.iter().map(|(pmf, rounds)| of(pmf) as f64 * *rounds as f64).sum::<f64>();
    let (lowest, highest) = (edge(Pmf::first), edge(Pmf::last));
    let (start, end) = (lowest.max(low.index), highest.min(high.index));
    let points = end - start + 1.0;
    if points.is_nan() || !(1.0..=MOST_POINTS as f64).contains(&points) || start.abs() > 1e15 {
        return Err(AccountError::TooLarge(points as u64, MOST_POINTS));
    }
    let window = Window::new(start as i64, points as usize);

    // Twice the mass, for the rounding of the bound.
    let mut masses = window.convolve(parts, 0.0);
    if start > lowest
        && let Some(bottom) = masses.first_mut()
    {
        *bottom += 2.0 * LN_TAIL.exp();
    }
    if end < highest {
        infinity += 2.0 * LN_TAIL.exp();
    }
    let bottom = masses.first().copied();
    for ln_mass in LN_TILTS {
        let tilted = window.convolve(parts, thin.tail(parts, ln_mass, 1.0).tilt);
        for (mass, other) in masses.iter_mut().zip(tilted) {
            // A NaN does not replace anything.
            if other < *mass {
                *mass = other;
            }
        }
    }
    if let (Some(first), Some(bottom)) = (masses.first_mut(), bottom) {
        *first = bottom;
    }
    Ok(Pmf::new(one.interval(), window.start, masses, infinity))
}

/// Consecutive points of the grid, and the transforms that are long enough for them.
struct Window {
    start: i64,
    points: usize,
    size: usize,
    forward: Arc<dyn Fft<f64>>,
    back: Arc<dyn Fft<f64>>,
    /// γ.
    rounding: f64,
}

impl Window {
    fn new(start: i64, points: usize) -> Window {
        let size = [1usize, 3, 5, 9].into_iter().map(|odd| odd * points.div_ceil(odd).next_power_of_two()).min();
        let size = size.unwrap_or(points.next_power_of_two());
        let mut planner = FftPlanner::new();
        Window {
            start,
            points,
            size,
            forward: planner.plan_fft_forward(size),
            back: planner.plan_fft_inverse(size),
            rounding: (8.0 * (size as f64).log2() + 16.0) * UNIT,
        }
    }

    /// Upper bounds on the masses of the sum at the points of the window, found with the weight e^{tilt·loss}.
    fn convolve(&self, parts: &[(&Pmf, u64)], tilt: f64) -> Vec<f64> {
        let size = self.size as f64;
        let mut product = vec![Complex::new(1.0, 0.0); self.size];
        // Of each coefficient: a bound on its size, and the relative part of that which is error.
        let mut bounds = vec![(1.0, 0.0); self.size];
        let (mut ln_scale, mut slack) = (0.0, 0.0);
        for (pmf, rounds) in parts {
            let scale = ln_transform(pmf, tilt);
            let times = *rounds as f64;
            let reach = (tilt * pmf.first() as f64).abs().max((tilt * pmf.last() as f64).abs());
            slack += times * UNIT * (4.0 * (reach + scale.abs()) + 16.0);
            ln_scale += times * scale;
            let (coefficients, sum) = self.transform(pmf, tilt, scale);
            let error = self.rounding * sum;
            for ((value, (bound, relative)), coefficient) in product.iter_mut().zip(&mut bounds).zip(coefficients) {
                let size = coefficient.norm() * (1.0 + 4.0 * UNIT) + error;
                *value *= power(coefficient, *rounds);
                *bound *= size.powf(times);
                *relative += times * (error / size + 8.0 * UNIT);
            }
        }
        let wrong: f64 = bounds.iter().map(|(bound, relative)| bound * relative).sum();
        let whole: f64 = product.iter().map(|value| value.norm()).sum();
        let flat = (wrong + self.rounding * (whole + wrong)) / size * (1.0 + 1e-6) + f64::MIN_POSITIVE;

        self.back.process(&mut product);
        let ends = [self.start, self.start.saturating_add_unsigned(self.points as u64)];
        let reach = ends.iter().map(|end| (tilt * *end as f64).abs()).fold(ln_scale.abs(), f64::max);
        slack += UNIT * (8.0 * reach + 64.0);
        let mut masses = Vec::with_capacity(self.points);
        let turn = self.place(self.start);
        let (tail, head) = product.split_at(turn);
        for (i, value) in head.iter().chain(tail).take(self.points).enumerate() {
            let index = self.start.saturating_add_unsigned(i as u64) as f64;
            let estimate = (value.re / size).max(0.0) + flat;
            masses.push(estimate * (ln_scale - tilt * index + slack).exp());
        }
        masses
    }

    /// The coefficients of the weighted masses, which are scaled to sum to about 1, and that sum. The masses are
    /// wound around the circle, so that a distribution may be longer than the window.
    fn transform(&self, pmf: &Pmf, tilt: f64, scale: f64) -> (Vec<Complex<f64>>, f64) {
        let mut values = vec![Complex::new(0.0, 0.0); self.size];
        let first = pmf.first() as f64;
        let mut sum = 0.0;
        let turn = self.place(pmf.first());
        let places = (turn..self.size).chain((0..self.size).cycle());
        for ((i, mass), place) in pmf.masses().iter().enumerate().zip(places) {
            let weighted = mass * (tilt * (first + i as f64) - scale).exp();
            sum += weighted;
            if let Some(value) = values.get_mut(place) {
                value.re += weighted;
            }
        }
        self.forward.process(&mut values);
        (values, sum * (1.0 + 1e-9))
    }

    /// Where an index of the grid lies on the circle.
    fn place(&self, index: i64) -> usize {
        index.rem_euclid(self.size as i64) as usize
    }
}

/// The power by repeated squaring.
fn power(mut base: Complex<f64>, mut exponent: u64) -> Complex<f64> {
    let mut result = Complex::new(1.0, 0.0);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}
