//! One noisy Newton step towards the likeliest coefficients, and how well the place it reaches is known.
//!
//! The interval is that of a one-step estimator at the last round's coefficients θ: θ̂ = θ + H̃⁻¹ g̃, with H̃ = H + Z and
//! g̃ = g + z. To first order θ̂ − θ* = H⁻¹(score noise + z − Z·s), s the step, so
//! Var θ̂ = H⁻¹ + H⁻¹ (σ_g² I + Var(Z s)) H⁻¹: sampling, then privacy. Z is symmetric; a lane of it holds an entry of the diagonal, or √2
//! times one above it. So the lane (i, j) moves Z s by eᵢ sᵢ or by (eᵢ sⱼ + eⱼ sᵢ)/√2, and Var(Z s) is σ_h² times the sum of their squares:
//! σ_h²/2 · (‖s‖² I + s sᵀ) where every entry has a lane.

use std::collections::BTreeSet;

use nalgebra::{DMatrix, DVector, Dyn, SymmetricEigen};
use summaries::Row;

use crate::ridge::{pulled, sampling};
use crate::support::{Group, Lack, Seen, mask};

/// Steps smaller than this, without noise, are the end.
pub(crate) const CONVERGED: f64 = 1e-11;
/// Without noise a last step longer than this, beside the coefficients, has not arrived.
pub(crate) const STILL: f64 = 1e-6;
/// A log-likelihood that the last step still raises by more than this, and more than noise does, has not arrived: separated outcomes
/// raise it step by step without end, while every step is short beside an error that grows as well.
const STILL_RISING: f64 = 0.5;
/// Coefficients of scaled features as long as this mean that the likelihood is flat, since the outcome is separated.
pub(crate) const FAR: f64 = 15.0;
/// No step is longer, in coefficients of the unit-ball rows times the row norm.
pub(crate) const LONGEST_STEP: f64 = 10.0;

/// What a round's sums say.
#[derive(Clone)]
pub(crate) struct Sums {
    /// The slope of the log-likelihood.
    pub(crate) gradient: DVector<f64>,
    /// The noise's variance of a lane of it.
    pub(crate) gradient_variance: f64,
    /// Minus the second derivative.
    pub(crate) curvature: DMatrix<f64>,
    /// The noise's variance of a lane of it.
    pub(crate) curvature_variance: f64,
    /// Which entries have a lane, row first.
    pub(crate) lanes: Vec<(usize, usize)>,
    /// What both were divided by.
    pub(crate) unit: f64,
    /// The norm of the rows that the coefficients are of.
    pub(crate) norm: f64,
    /// The sums over each level, and over all.
    pub(crate) groups: Vec<Group>,
    /// A penalty's second derivative, divided by the same.
    pub(crate) ridge: Option<DMatrix<f64>>,
}

/// What the last step said.
#[derive(Clone, Debug)]
pub(crate) enum Fit {
    /// Coefficients of the unit-ball rows, with the sampling's part of their covariance, in units of that of the curvature's inverse, and
    /// the privacy's part.
    Reached(Vec<f64>, DMatrix<f64>, DMatrix<f64>),
    /// Why there are none.
    Withheld(&'static str),
    /// There are none, since these columns are, but for a factor, a sum of others, or never vary.
    Collinear(Vec<usize>),
    /// There are none, since the outcome is separated by these levels (see `support`), as far as noise tells where there is any.
    Separated(Vec<usize>, bool),
    /// There are none, since the outcome never varies, as far as noise tells where there is any.
    Constant(bool),
    /// The steps have not arrived. The coefficient that the last of them has moved most.
    Moving(Option<usize>),
}

impl Fit {
    /// That of what lacks.
    pub(crate) fn without(lack: Lack, exact: bool) -> Fit {
        match lack {
            Lack::Outcome => Fit::Constant(!exact),
            Lack::Levels(levels) => Fit::Separated(levels, !exact),
        }
    }

    /// That of steps that have not arrived.
    pub(crate) fn moving(step: &DVector<f64>) -> Fit {
        let furthest = |a: (usize, f64), b: (usize, f64)| if b.1 > a.1 { b } else { a };
        let (most, _) = step.iter().map(|s| s.abs()).enumerate().fold((0, 0.0), furthest);
        Fit::Moving(Some(most))
    }
}

/// A column whose part of a vector is less than this, beside the largest, is none of it.
const PART: f64 = 0.1;

/// The columns that make up the directions of no curvature: eigenvectors whose eigenvalue is at most a floor, or of them the least.
pub(crate) fn flat(eigen: &SymmetricEigen<f64, Dyn>, floor: f64) -> Vec<usize> {
    let floor = eigen.eigenvalues.min().max(floor);
    let mut columns = BTreeSet::new();
    for (value, vector) in eigen.eigenvalues.iter().zip(eigen.eigenvectors.column_iter()) {
        let least = PART * vector.amax();
        if *value <= floor {
            columns.extend(vector.iter().enumerate().filter(|(_, v)| v.abs() > least).map(|(i, _)| i));
        }
    }
    columns.into_iter().collect()
}

/// Every entry of a symmetric matrix on and above its diagonal, row by row.
pub(crate) fn every(d: usize) -> Vec<(usize, usize)> {
    (0..d).flat_map(|i| (i..d).map(move |j| (i, j))).collect()
}

/// A step longer than this, beside the coefficients, still matters.
const LONG: f64 = 1e-3;

/// Whether a step still matters.
pub(crate) fn is_long(length: f64, from: f64) -> bool {
    length > LONG * (1.0 + from)
}

/// How many steps were needed, of a fit without noise: as many are to be planned with it.
pub(crate) fn steps_needed(long: u32) -> Row {
    let note = "Newton steps until the coefficients moved by less than a thousandth; with noise, plan as many";
    Row::test("model", "steps", f64::from(long) + 1.0, note)
}

/// The steps so far.
#[derive(Clone, Default)]
pub(crate) struct Ascent {
    /// How many of them still mattered.
    pub(crate) long: u32,
    curvatures: Vec<(DMatrix<f64>, f64)>,
    /// How much the noise of the step before is expected to leave for the next to gain.
    left: f64,
}

impl Ascent {
    /// One step from θ: the place it reaches, its length, and the fit there.
    pub(crate) fn step(&mut self, theta: &[f64], sums: Sums) -> (Vec<f64>, f64, Fit) {
        self.go(theta, sums, false)
    }

    /// One step from θ with its first coefficient moved, and the sums as they are there. The move is part of the step's length.
    pub(crate) fn step_from(&mut self, theta: &[f64], shift: f64, sums: Sums) -> (Vec<f64>, f64, Fit) {
        let mut from = theta.to_vec();
        if let Some(first) = from.first_mut() {
            *first += shift;
        }
        let (next, length, fit) = self.step(&from, sums);
        let moved = length.max(shift.abs());
        self.long += u32::from(is_long(moved, norm_of(theta)));
        match (shift == 0.0, fit) {
            // A place that was far away has not been stepped from at its own curvature.
            (false, Fit::Reached(..)) => (next, moved, Fit::Moving(None)),
            (_, fit) => (next, moved, fit),
        }
    }

    /// The fit that one step leads to from coefficients that others share. It may be further away than its own error: that is how
    /// hospitals differ.
    ///
    /// The columns beside it are those of levels that nobody there is of, or nobody or everybody there has the outcome of: they are not told,
    /// and the others are.
    pub(crate) fn alone(theta: &[f64], sums: Sums) -> (Fit, Vec<usize>) {
        match Ascent::masked(sums, true) {
            Some((sums, untold)) => (Ascent::default().go(theta, sums, true).2, untold),
            None => (Fit::Withheld(ONE_CLASS), Vec::new()),
        }
    }

    /// Where that step leads and how long it is, no longer than the longest; `None` where it leads nowhere that is told. The first steps, which
    /// are not `late`, may come from afar.
    pub(crate) fn ahead_alone(theta: &[f64], sums: Sums, late: bool) -> Option<(Vec<f64>, f64)> {
        let (next, length, fit) = Ascent::default().go(theta, Ascent::masked(sums, late)?.0, true);
        matches!(fit, Fit::Reached(..) | Fit::Moving(_)).then_some((next, length))
    }

    /// A hospital's sums without the columns of levels that nobody there is of, and the columns that are not told; `None` where its
    /// outcome never varies.
    fn masked(mut sums: Sums, late: bool) -> Option<(Sums, Vec<usize>)> {
        let seen = Seen::of(&sums);
        if if late { seen.has_one_class(&sums.groups, true) } else { seen.says_nothing(&sums.groups) } {
            return None;
        }
        let absent = seen.absent(&sums.groups);
        mask(&absent, &mut sums.gradient, &mut sums.curvature);
        let mut untold = absent;
        untold.extend(seen.untold(&sums.groups));
        sums.groups.clear();
        Some((sums, untold))
    }

    fn go(&mut self, theta: &[f64], sums: Sums, differs: bool) -> (Vec<f64>, f64, Fit) {
        let d = theta.len();
        let exact = sums.gradient_variance == 0.0 && sums.curvature_variance == 0.0;
        // A penalty holds what a separated outcome would let run away.
        let lack = Seen::of(&sums).lack(&sums.groups, theta).filter(|_| sums.ridge.is_none());
        let (h, variance_h) = self.mean_curvature(sums.curvature, sums.curvature_variance);
        // The spectral norm of the curvature's noise is about σ_h·√(2d); eigenvalues below it are not known to be positive.
        let floor = (variance_h * 2.0 * d as f64).sqrt().max(1e-9 * h.diagonal().max().max(1e-300));
        let far = norm_of(theta) > FAR * sums.norm;
        if exact && h.diagonal().max() <= f64::MIN_POSITIVE {
            let fit = match lack {
                Some(lack) => Fit::without(lack, exact),
                None if far => Fit::Moving(None),
                None => Fit::Withheld("no complete patient, or the outcome never varies"),
            };
            return (theta.to_vec(), 0.0, fit);
        }
        let (h, gradient) = match &sums.ridge {
            Some(r) => (h + r, pulled(&sums.gradient, r, theta)),
            None => (h, sums.gradient.clone()),
        };
        let eigen = SymmetricEigen::new(h);
        let least = eigen.eigenvalues.min();
        let lifted = eigen.eigenvalues.map(|v| 1.0 / v.max(floor));
        let inverse = &eigen.eigenvectors * DMatrix::from_diagonal(&lifted) * eigen.eigenvectors.transpose();
        let mut step = &inverse * &gradient;
        let length = step.norm();
        let longest = LONGEST_STEP * sums.norm;
        if length > longest {
            step *= longest / length;
        }
        let next: Vec<f64> = theta.iter().zip(step.iter()).map(|(t, s)| t + s).collect();
        let noise_of_gradient =
            DMatrix::identity(d, d) * sums.gradient_variance + spread(&step, &sums.lanes) * variance_h;
        let privacy = &inverse * &noise_of_gradient * &inverse;
        let reliable = least > 2.0 * floor || exact && least > floor;
        // A step that is long beside its own error has not arrived: too few steps, or an outcome that the features separate.
        let error = (inverse.trace() / sums.unit + privacy.trace()).max(0.0).sqrt();
        let by_noise = sums.unit * (&noise_of_gradient * &inverse).trace();
        let rises = is_rising(sums.unit * gradient.dot(&step), by_noise + self.left);
        self.left = by_noise;
        let arrived =
            differs || if exact { length <= STILL * (1.0 + norm_of(theta)) } else { length <= 3.0 * error && !rises };
        let arrived = arrived && length <= longest;
        let moving = || Fit::moving(&step);
        let fit = match (reliable, arrived) {
            _ if lack.is_some() => lack.map_or(Fit::Moving(None), |l| Fit::without(l, exact)),
            (true, true) => {
                let sampling = sums.ridge.as_ref().map(|r| sampling(&inverse, r));
                Fit::Reached(next.clone(), sampling.unwrap_or(inverse), privacy)
            }
            (true, false) => moving(),
            (false, _) if exact && far => moving(),
            (false, _) if exact => Fit::Collinear(flat(&eigen, floor)),
            (false, _) => Fit::Withheld("too noisy to report: the curvature is lost in the noise"),
        };
        (next, length, fit)
    }

    /// The mean over the rounds after the first, and its noise's variance; without noise the newest alone.
    fn mean_curvature(&mut self, newest: DMatrix<f64>, variance: f64) -> (DMatrix<f64>, f64) {
        if variance == 0.0 {
            return (newest, 0.0);
        }
        self.curvatures.push((newest, variance));
        let later = self.curvatures.get(1..).filter(|l| !l.is_empty()).unwrap_or(&self.curvatures);
        let n = later.len() as f64;
        let Some((first, rest)) = later.split_first() else { return (DMatrix::zeros(0, 0), 0.0) };
        let sum = rest.iter().fold(first.0.clone(), |sum, (h, _)| sum + h);
        let variances: f64 = later.iter().map(|(_, v)| v).sum();
        (sum / n, variances / (n * n))
    }
}

fn norm_of(theta: &[f64]) -> f64 {
    theta.iter().map(|t| t * t).sum::<f64>().sqrt()
}

/// Whether the last step still raises the log-likelihood, by more than what the noise of it and of the step before are expected to.
pub(crate) fn is_rising(gain: f64, by_noise: f64) -> bool {
    gain > STILL_RISING + 6.0 * by_noise
}

/// Why a hospital has no estimate of its own.
const ONE_CLASS: &str = "nobody or everybody of the hospital has the outcome, too few to be told from the noise where there is any, or its own \
                         estimate is not near the common one";

/// The curvature over the rounds after the first, whose mean has less noise than the newest. It is written as numbers, to be taken up after
/// a restart.
#[derive(Default)]
pub(crate) struct Past {
    sum: Option<DMatrix<f64>>,
    rounds: f64,
    /// The sum of the squared spectral norms of their noise.
    loud: f64,
    /// How much the noise of the step before is expected to leave for the next to gain.
    pub(crate) left: f64,
}

impl Past {
    /// The mean with the newest, its noise's squared norm, and of how many rounds it is. The first round's is of the start, and is
    /// left out later.
    pub(crate) fn mean(&mut self, round: u32, newest: DMatrix<f64>, loud: f64) -> (DMatrix<f64>, f64, f64) {
        if round == 0 {
            return (newest, loud, 1.0);
        }
        let sum = match self.sum.take() {
            Some(before) if before.shape() == newest.shape() => before + newest,
            _ => {
                (self.rounds, self.loud) = (0.0, 0.0);
                newest
            }
        };
        self.rounds += 1.0;
        self.loud += loud;
        let mean = &sum / self.rounds;
        self.sum = Some(sum);
        (mean, self.loud / (self.rounds * self.rounds), self.rounds)
    }

    /// As numbers, of a matrix of p rows.
    pub(crate) fn numbers(&self, p: usize) -> Vec<f64> {
        let mut out = vec![self.rounds, self.loud, self.left];
        match &self.sum {
            Some(sum) => out.extend(sum.iter()),
            None => out.resize(3 + p * p, 0.0),
        }
        out
    }

    /// From the first of some numbers, and the others.
    pub(crate) fn of(numbers: &[f64], p: usize) -> Option<(Past, &[f64])> {
        let (own, rest) = numbers.split_at_checked(3 + p * p)?;
        let [rounds, loud, left, sum @ ..] = own else { return None };
        let sum = (*rounds > 0.0).then(|| DMatrix::from_column_slice(p, p, sum));
        Some((Past { sum, rounds: *rounds, loud: *loud, left: *left }, rest))
    }
}

/// Var(Z s) where each lane of Z has the variance 1.
pub(crate) fn spread(s: &DVector<f64>, lanes: &[(usize, usize)]) -> DMatrix<f64> {
    let d = s.len();
    let mut out = DMatrix::zeros(d, d);
    for (i, j) in lanes {
        let (Some(a), Some(b)) = (s.get(*i), s.get(*j)) else { continue };
        if i == j {
            out[(*i, *i)] += a * a;
        } else {
            out[(*i, *i)] += b * b / 2.0;
            out[(*j, *j)] += a * a / 2.0;
            out[(*i, *j)] += a * b / 2.0;
            out[(*j, *i)] += a * b / 2.0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_a_full_matrix_is_what_the_formula_says() {
        let s = DVector::from_vec(vec![1.0, -2.0, 0.5]);
        let wanted = (DMatrix::identity(3, 3) * s.norm_squared() + &s * s.transpose()) / 2.0;
        assert!((spread(&s, &every(3)) - wanted).norm() < 1e-12);
    }
}
