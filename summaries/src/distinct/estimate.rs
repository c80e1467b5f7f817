//! From the cells that no site set to the number of distinct patients.
//!
//! Model: the cells are independent, and a cell of level l is 0 with probability (1−q)·e^(−π n p_l), where n is the
//! number of patients, p_l = 2^−(l+1)/buckets, the last level takes the rest, and q = 1 − (1−q_k)^sites for the sites
//! that did take part. This is exact for a Poisson number of patients of mean n. For a fixed n the factor is
//! (1 − π p_l)^n, which is the same up to n·(π p_l)²/2, and the cells are weakly dependent, since each kept patient
//! is in one cell only. The estimate is the same; only its variance is smaller, by n: see [`Distinct::estimate`].

use crate::distinct::{Distinct, DistinctError};

/// The number of distinct patients. All of it is after the noise and holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistinctEstimate {
    /// The most likely number; infinite if every cell is set.
    pub estimate: f64,
    /// Its standard error; infinite if every cell is set.
    pub se: f64,
    /// The lower end of the interval, at least 0.
    pub lower: f64,
    /// The upper end of the interval; infinite if every cell is set.
    pub upper: f64,
}

/// What is seen of one level.
struct Level {
    /// π p_l.
    rate: f64,
    zeros: f64,
    ones: f64,
}

/// P(0) and P(1) of a cell, with P(1) = q + (1−q)(1 − e^(−π n p)) free of cancellation.
fn probabilities(background: f64, rate: f64, n: f64) -> (f64, f64) {
    let clear = 1.0 - background;
    (clear * (-rate * n).exp(), background - clear * (-rate * n).exp_m1())
}

/// Where a falling function passes 0: 0 if it begins there or below. Doubling, then bisection.
fn crossing(falling: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    if falling(low) <= 0.0 {
        return low;
    }
    while falling(high) > 0.0 && high < 1e30 {
        (low, high) = (high, high * 2.0);
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if falling(middle) > 0.0 { low = middle } else { high = middle }
    }
    high
}

impl Distinct {
    /// The maximum-likelihood number of distinct patients, of a sum over `sites` sites whose false cells were made for
    /// `t`. `zero` says of each cell whether the sum is 0; `z` is the normal quantile of the interval, at least 0.
    ///
    /// With g = P(0), the score is Σ π p_l (ones·g/(1−g) − zeros) over levels. It falls in n, so the maximum is the
    /// only one; it is 0 if the score begins below 0, as it does without any set cell. The Fisher information is I = Σ
    /// buckets·(π p_l)²·g/(1−g) (differentiate P(1); P(1)' = π p_l g). Its inverse holds the variance n/π of a Poisson
    /// number of kept patients, on the scale of n. For a fixed n that number is binomial, with n(1−π)/π: so the
    /// variance is 1/I − n. This is at least n(1−π)/π, as no sketch knows more than the number kept.
    ///
    /// The interval is estimate ± z·se, cut at 0. If every cell is set there is no finite maximum: the lower end is
    /// then the n where −2 ln P(all set) = z², the likelihood-ratio bound, and the rest is infinite.
    ///
    /// # Errors
    /// There are fewer sites than `t`, or another number of cells than lanes.
    pub fn estimate(&self, zero: &[bool], sites: usize, t: usize, z: f64) -> Result<DistinctEstimate, DistinctError> {
        if sites < t.max(1) {
            return Err(DistinctError::Sites { sites, threshold: t.max(1) });
        }
        if zero.len() != self.lanes() {
            return Err(DistinctError::Cells { given: zero.len(), needed: self.lanes() });
        }
        let buckets = self.buckets as f64;
        let background = self.background_of(sites, t);
        let levels: Vec<Level> = zero
            .chunks(self.buckets)
            .enumerate()
            .map(|(l, cells)| {
                let zeros = cells.iter().filter(|z| **z).count() as f64;
                Level { rate: self.rate(l), zeros, ones: buckets - zeros }
            })
            .collect();
        if levels.iter().all(|l| l.zeros == 0.0) {
            let log_likelihood =
                |n: f64| levels.iter().map(|l| l.ones * probabilities(background, l.rate, n).1.ln()).sum::<f64>();
            let lower = crossing(|n| -2.0 * log_likelihood(n) - z * z);
            return Ok(DistinctEstimate { estimate: f64::INFINITY, se: f64::INFINITY, lower, upper: f64::INFINITY });
        }
        let score = |n: f64| {
            let of = |l: &Level| {
                let (p0, p1) = probabilities(background, l.rate, n);
                l.rate * (l.ones * p0 / p1 - l.zeros)
            };
            levels.iter().map(of).sum::<f64>()
        };
        let estimate = crossing(score);
        let se = self.standard_error(estimate, sites, t);
        Ok(DistinctEstimate { estimate, se, lower: (estimate - z * se).max(0.0), upper: estimate + z * se })
    }

    /// The standard error of an estimate of n patients from a sum over `sites` sites whose false cells were made for `t`; see
    /// [`Distinct::estimate`].
    pub fn standard_error(&self, n: f64, sites: usize, t: usize) -> f64 {
        let background = self.background_of(sites, t);
        let information: f64 = (0..self.levels)
            .map(|l| {
                let rate = self.rate(l);
                let (p0, p1) = probabilities(background, rate, n);
                self.buckets as f64 * rate * rate * p0 / p1
            })
            .sum();
        let least = n * (1.0 - self.keep()) / self.keep();
        (1.0 / information - n).max(least).sqrt()
    }

    /// π p_l of a level; the last level takes the rest, 2^−l instead of 2^−(l+1).
    fn rate(&self, level: usize) -> f64 {
        let exponent = if level + 1 < self.levels { level + 1 } else { level };
        self.keep() * (-(exponent as f64)).exp2() / self.buckets as f64
    }
}
