//! Negative binomial regression of a count, with the logarithm as its link and the variance μ + μ²/θ, θ estimated (as MASS's `glm.nb`;
//! Venables and Ripley 2002, section 7.4).
//!
//! Each round takes a Newton step of the coefficients at the current θ and one of τ = log θ at the current means: to first order the two
//! estimates are independent, so both arrive together. A patient's slope and curvature of the log-likelihood by τ are, with
//! A = Σ_{j<y} θ/(θ + j), B = θ log(1 + μ/θ):
//!
//! * slope: A − B + θ(μ − y)/(μ + θ),
//! * curvature: −[Σ_{j<y} θj/(θ + j)² − (B − θμ/(θ + μ)) + (μ − y)θμ/(θ + μ)²].
//!
//! For y and μ of at most M: A − θy/(μ + θ) lies in [−M, M] and B − θμ/(θ + μ) in [0, M], so the slope in [−2M, M]. The sums in the
//! curvature lie in [0, M/4], [0, M] and [−M/4, M/4], so it in [−3M/2, 3M/2]. Both are sent in units of 2M: norm at most √2.
//!
//! θ's interval is symmetric on the scale of τ; its sampling error is from the observed curvature, as that of MASS.

use summaries::interval::normal_quantile;
use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, MergedRound, PartWork, PatientBatch,
    Program, ProgramError, Reporting, Row, Sensitivity, Statistic, Step,
};

use crate::ascent::{Ascent, CONVERGED, Fit, steps_needed};
use crate::design::Design;
use crate::dispersion::Dispersion;
use crate::family::Family;
use crate::glm::{self, EVALUATION_WEIGHT, GRADIENT_WEIGHT};
use crate::level::leveled;
use crate::likelihood::{Likelihood, tell};
use crate::newton::{Curvature, Gradient};

/// A count's upper bound above this is refused: a patient's sums have so many terms.
pub const MOST: f64 = 10_000.0;
/// log θ stays within ± this: beyond it a count is a Poisson's, or says nothing.
const WIDEST: f64 = 12.0;
/// Why there is no θ yet.
const NOT_CONVERGED: &str = "not converged: more steps are needed";
/// The shape's share of a step's charge.
const SHAPE_WEIGHT: f64 = 0.2;

/// Slope and curvature of the log-likelihood by the logarithm of the negative binomial's θ. The inputs are the design's, then the
/// likelihood's.
pub struct SizeScore {
    design: Design,
    likelihood: Likelihood,
    theta: Vec<f64>,
}

impl SizeScore {
    /// At coefficients of the unit-ball rows. `None` where the family has no size, or too high a bound.
    pub fn new(design: Design, likelihood: impl Into<Likelihood>, theta: Vec<f64>) -> Option<SizeScore> {
        let likelihood = likelihood.into();
        let sized = matches!(likelihood.family, Family::NegativeBinomial { most, .. } if most <= MOST);
        sized.then_some(SizeScore { design, likelihood, theta })
    }

    fn size(&self) -> f64 {
        if let Family::NegativeBinomial { size, .. } = self.likelihood.family { size } else { 1.0 }
    }
}

/// A patient's slope and curvature by log θ.
fn by_size(y: f64, mean: f64, size: f64) -> (f64, f64) {
    let (mut first, mut slope) = (0.0, 0.0);
    for j in 0..y.max(0.0) as u64 {
        let below = size + j as f64;
        first += size / below;
        slope += size * j as f64 / (below * below);
    }
    let (both, log) = (size + mean, size * (mean / size).ln_1p());
    let score = first - log + size * (mean - y) / both;
    let second = slope - (log - size * mean / both) + (mean - y) * size * mean / (both * both);
    (score, -second)
}

impl Statistic for SizeScore {
    fn name(&self) -> &'static str {
        "size_score"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.design.inputs();
        out.extend(self.likelihood.inputs());
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(2, 2f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        let (size, unit) = (self.size(), 2.0 * self.likelihood.family.unit());
        tell("size_score", (&self.design, &self.likelihood, &self.theta), patients, |_, v, told| {
            let (slope, curvature) = by_size(told.outcome, told.mean, size);
            for (lane, x) in [slope, curvature].into_iter().enumerate() {
                lanes.add("size_score", lane, encode(v * (x / unit).clamp(-1.0, 1.0)))?;
            }
            Ok(())
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}

/// What the last step said of τ.
#[derive(Clone, Copy)]
enum Size {
    /// τ, its error from sampling and from the noise.
    Reached(f64, f64, f64),
    Withheld(&'static str),
}

/// A negative binomial regression over rounds.
pub struct NegativeBinomial {
    design: Design,
    likelihood: Likelihood,
    most: f64,
    columns: Vec<usize>,
    steps: u32,
    start: f64,
    reporting: Reporting,
    ascent: Ascent,
    last: Option<(Fit, Size)>,
}

impl NegativeBinomial {
    /// Of a family with a size, whatever it is, with so many steps (at least 1). `columns` are the places of the design's terms and, last,
    /// what the likelihood reads. `start` is the intercept of the first step. `None` where the most events do not lie between 1 and [`MOST`].
    pub fn new(
        design: Design,
        likelihood: impl Into<Likelihood>,
        columns: Vec<usize>,
        (steps, start): (u32, f64),
        reporting: Reporting,
    ) -> Option<NegativeBinomial> {
        let (steps, ascent, likelihood) = (steps.max(1), Ascent::default(), likelihood.into());
        let Family::NegativeBinomial { most, .. } = likelihood.family else { return None };
        (1.0..=MOST).contains(&most).then(|| NegativeBinomial {
            design,
            likelihood,
            most,
            columns,
            steps,
            start: if start.is_finite() { start } else { 0.0 },
            reporting,
            ascent,
            last: None,
        })
    }

    fn at(&self, tau: f64) -> Likelihood {
        let exposure = matches!(self.likelihood.family, Family::NegativeBinomial { exposure: true, .. });
        let size = tau.clamp(-WIDEST, WIDEST).exp();
        Likelihood { family: Family::NegativeBinomial { most: self.most, exposure, size }, ..self.likelihood }
    }

    /// The coefficients and τ.
    fn split<'a>(&self, given: &'a [f64]) -> Result<(&'a [f64], f64), ProgramError> {
        let needed = self.design.width() + 1;
        match given.split_last() {
            Some((tau, theta)) if given.len() == needed && given.iter().all(|p| p.is_finite()) => Ok((theta, *tau)),
            _ => Err(ProgramError::Parameters { given: given.len(), needed }),
        }
    }

    /// One step of τ: where it leads, its length, and what it says.
    fn size_step(&self, tau: f64, release: &MergedRelease) -> Result<(f64, f64, Size), ProgramError> {
        if release.lanes.len() != 2 {
            return Err(ProgramError::Merged);
        }
        let layout = Layout { lanes: 2, scale: FIXED_POINT };
        let (slope, curvature) = (release.value(0, &layout), release.value(1, &layout));
        let (variance, unit) = (release.variance(&layout), 2.0 * self.likelihood.unit());
        let known = curvature > (3.0 * variance.sqrt()).max(1e-12);
        // Where the likelihood is not yet concave, uphill.
        let wanted = if known { slope / curvature } else { slope.signum() * f64::from(u8::from(slope != 0.0)) };
        let step = wanted.clamp(-2.0, 2.0);
        let next = (tau + step).clamp(-WIDEST, WIDEST);
        let noise = (variance * (1.0 + step * step)).sqrt() / curvature.max(f64::MIN_POSITIVE);
        let sampling = (1.0 / (curvature * unit).max(f64::MIN_POSITIVE)).sqrt();
        let error = noise.hypot(sampling);
        let size = if next >= WIDEST - 1e-9 {
            Size::Withheld("the counts vary no more than a Poisson's: use poisson")
        } else if !known {
            Size::Withheld("too noisy to report: how much the counts vary is lost in the noise")
        } else if wanted.abs() > 3.0 * error || wanted.abs() > 2.0 {
            Size::Withheld(NOT_CONVERGED)
        } else {
            Size::Reached(next, sampling, noise)
        };
        Ok((next, next - tau, size))
    }
}

impl Program for NegativeBinomial {
    fn rounds(&self) -> u32 {
        self.steps + 1
    }

    fn weight(&self, round: u32) -> f64 {
        if round < self.steps { 1.0 } else { EVALUATION_WEIGHT }
    }

    fn first(&self) -> Vec<f64> {
        let mut out = self.design.intercept_alone(self.start);
        out.push(0.0);
        out
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        let (theta, tau) = self.split(parameters)?;
        let (design, at, theta) = (self.design.clone(), self.at(tau), theta.to_vec());
        let part = |statistic: Box<dyn Statistic>, weight| PartWork {
            name: statistic.name().to_owned(),
            statistic,
            columns: self.columns.clone(),
            weight,
            walk: None,
            rate: None,
        };
        if round < self.steps {
            let rest = 1.0 - SHAPE_WEIGHT;
            let gradient = Gradient::new(design.clone(), at, theta.clone());
            let mut parts = vec![
                part(Box::new(gradient), rest * GRADIENT_WEIGHT),
                part(Box::new(Curvature::new(design.clone(), at, theta.clone())), rest * (1.0 - GRADIENT_WEIGHT)),
            ];
            parts.extend(SizeScore::new(design, at, theta).map(|s| part(Box::new(s), SHAPE_WEIGHT)));
            Ok(parts)
        } else if round == self.steps {
            Ok(vec![part(Box::new(Dispersion::new(design, at, theta)), 1.0)])
        } else {
            Err(ProgramError::Round { asked: round, planned: self.rounds() })
        }
    }

    fn own(&self, _: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let [gradient, curvature, _] = release.parts.as_slice() else { return None };
        if round >= self.steps {
            return None;
        }
        let (theta, _) = self.split(parameters).ok()?;
        let unit = self.likelihood.unit();
        let sums = glm::sums(&self.design, &self.likelihood, gradient, curvature).ok()?;
        Some(glm::tell_alone(&self.design, theta, sums, (unit, 1.0), ("rate ratio", &self.reporting)))
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let (theta, tau) = self.split(parameters)?;
        if round < self.steps {
            let [gradient, curvature, shape] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            let mut sums = glm::sums(&self.design, &self.likelihood, gradient, curvature)?;
            let shift = leveled(&self.design, self.likelihood.family, &mut sums);
            let (mut next, length, fit) = self.ascent.step_from(theta, shift, sums);
            let (mut size, mut moved, said) = self.size_step(tau, shape)?;
            // What the counts vary about a mean that is far away says nothing of θ.
            if shift != 0.0 {
                (size, moved) = (tau, 0.0);
            }
            next.push(size);
            self.last = Some((fit, said));
            let converged = merged.exact() && length < CONVERGED && moved.abs() < CONVERGED;
            return Ok(Step::Continue { round: if converged { self.steps } else { round + 1 }, parameters: next });
        }
        let [last] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        let evaluation = Dispersion::new(self.design.clone(), self.at(tau), theta.to_vec());
        if last.lanes.len() != evaluation.layout().lanes {
            return Err(ProgramError::Merged);
        }
        // The coefficients' errors need θ, and θ the coefficients' means.
        let fit = match &self.last {
            Some((Fit::Reached(..), Size::Withheld(why))) if *why == NOT_CONVERGED => Some(Fit::Withheld(why)),
            Some((fit, _)) => Some(fit.clone()),
            None => None,
        };
        let unreached = glm::reached(&self.design, fit.as_ref()).err();
        let mut out =
            glm::tell(&self.design, fit.as_ref(), (self.likelihood.unit(), 1.0), "rate ratio", &self.reporting);
        let q = normal_quantile(0.5 + self.reporting.confidence / 2.0);
        out.rows.push(match self.last.as_ref().map(|(_, size)| *size) {
            _ if unreached.is_some() => Row::withheld("model", "theta", unreached.as_deref().unwrap_or_default()),
            Some(Size::Reached(tau, s, p)) => {
                Row::ratio("model", "theta", tau, s, p, q).note("the variance of a count of mean μ is μ + μ²/theta")
            }
            Some(Size::Withheld(why)) => Row::withheld("model", "theta", why),
            None => Row::withheld("model", "theta", "no step was taken"),
        });
        let mut evaluation = evaluation.estimate(last, &self.reporting);
        if let Some(why) = &unreached {
            evaluation = glm::unreached(evaluation, why);
        }
        out.rows.extend(evaluation.rows);
        out.curves.extend(evaluation.curves);
        out.rows.extend(merged.exact().then(|| steps_needed(self.ascent.long)));
        Ok(Step::Done(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// log of the density but for what θ does not move.
    fn log_density(y: f64, mean: f64, tau: f64) -> f64 {
        let size = tau.exp();
        let rising: f64 = (0..y as u64).map(|j| (size + j as f64).ln()).sum();
        rising - size * (mean / size).ln_1p() - y * (mean + size).ln()
    }

    proptest! {
        #[test]
        fn slope_and_curvature_are_the_derivatives_and_are_bounded(
            y in 0u32..60, mean in 0.0..60.0f64, tau in -4.0..5.0f64,
        ) {
            let (y, h) = (f64::from(y), 1e-4);
            let (slope, curvature) = by_size(y, mean, tau.exp());
            let at = |t: f64| log_density(y, mean, t);
            prop_assert!((slope - (at(tau + h) - at(tau - h)) / (2.0 * h)).abs() < 1e-5 * (1.0 + slope.abs()));
            let second = (at(tau + h) - 2.0 * at(tau) + at(tau - h)) / (h * h);
            prop_assert!((curvature + second).abs() < 1e-3 * (1.0 + curvature.abs()));
            let most = y.max(mean).max(1.0);
            prop_assert!(slope.abs() <= 2.0 * most && curvature.abs() <= 1.5 * most);
        }
    }
}
