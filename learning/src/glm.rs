//! Generalised linear models by noisy Newton steps.
//!
//! Each round the sites release the gradient and the curvature at the current coefficients; the coordinator takes a step.
//! The last round releases a histogram of scores, or what the dispersion is told by. Without noise the steps go on until they vanish.
//!
//! The interval is that of a one-step estimator at the last round's coefficients θ: θ̂ = θ + H̃⁻¹ g̃, with H̃ = H + Z and
//! g̃ = g + z. To first order θ̂ − θ* = H⁻¹(score noise + z − Z·s), s the step, so
//! Var θ̂ = H⁻¹ + H⁻¹ (σ_g² I + Var(Z s)) H⁻¹: sampling, then privacy. With Z from a symmetric vector whose lanes have variance
//! σ_h² (upper triangle divided by √2), Var(Z s) = σ_h²/2 · (‖s‖² I + s sᵀ).

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use summaries::{
    Estimate, FIXED_POINT, Layout, MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Row,
    Statistic, Step,
};

use crate::design::Design;
use crate::dispersion::Dispersion;
use crate::family::Family;
use crate::newton::{Curvature, Gradient, matrix, triangle};
use crate::scores::ScoreHistogram;

/// The gradient gets this share of a step's charge, the curvature the rest: an error of the curvature is multiplied by the
/// step, which shrinks, an error of the gradient is not.
const GRADIENT_WEIGHT: f64 = 0.6;
/// The evaluation's weight, where a step has 1.
const EVALUATION_WEIGHT: f64 = 0.25;
/// Steps smaller than this, without noise, are the end.
const CONVERGED: f64 = 1e-11;
/// No step is longer, in coefficients of the unit-ball rows times the row norm.
const LONGEST_STEP: f64 = 10.0;

/// A generalised linear model.
pub struct Glm {
    design: Design,
    family: Family,
    columns: Vec<usize>,
    steps: u32,
    reporting: Reporting,
    curvatures: Vec<(DMatrix<f64>, f64)>,
    last: Option<Fit>,
}

/// What the last step said.
#[derive(Clone, Debug)]
enum Fit {
    /// Coefficients of the unit-ball rows, with the inverse of the curvature and the privacy's part of their covariance.
    Reached(Vec<f64>, DMatrix<f64>, DMatrix<f64>),
    /// Why there are none.
    Withheld(&'static str),
}

impl Glm {
    /// With so many Newton steps (at least 1). `columns` are the places of the design's terms and, last, what the family reads.
    pub fn new(design: Design, family: Family, columns: Vec<usize>, steps: u32, reporting: Reporting) -> Glm {
        Glm { design, family, columns, steps: steps.max(1), reporting, curvatures: Vec::new(), last: None }
    }

    fn parameters(&self, given: &[f64]) -> Result<(), ProgramError> {
        let needed = self.design.width();
        if given.len() == needed && given.iter().all(|p| p.is_finite()) {
            Ok(())
        } else {
            Err(ProgramError::Parameters { given: given.len(), needed })
        }
    }

    /// One step from θ. Returns the new θ and the fit there.
    fn step(&mut self, theta: &[f64], merged: &MergedRound) -> Result<(Vec<f64>, f64, Fit), ProgramError> {
        let d = self.design.width();
        let [gradient, curvature] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        if gradient.lanes.len() != d || curvature.lanes.len() != triangle(d) {
            return Err(ProgramError::Merged);
        }
        let layout = Layout { lanes: d, scale: FIXED_POINT };
        let g = DVector::from_iterator(d, (0..d).map(|lane| gradient.value(lane, &layout)));
        let h = matrix(d, (0..triangle(d)).map(|lane| curvature.value(lane, &layout)));
        let sigma_g = gradient.variance(&layout).sqrt();
        let (h, variance_h) = self.mean_curvature(h, curvature.variance(&layout));
        let sigma_h = variance_h.sqrt();
        // The spectral norm of the curvature's noise is about σ_h·√(2d)/√2·√2; eigenvalues below it are not known to be positive.
        let floor = (sigma_h * (2.0 * d as f64).sqrt()).max(1e-9 * h.diagonal().max().max(1e-300));
        if merged.exact() && h.diagonal().max() <= f64::MIN_POSITIVE {
            return Ok((theta.to_vec(), 0.0, Fit::Withheld("no complete patient, or the outcome never varies")));
        }
        let eigen = SymmetricEigen::new(h);
        let least = eigen.eigenvalues.min();
        let lifted = eigen.eigenvalues.map(|v| v.max(floor));
        let inverse = |power: i32| -> DMatrix<f64> {
            &eigen.eigenvectors
                * DMatrix::from_diagonal(&lifted.map(|v| v.powi(-power)))
                * eigen.eigenvectors.transpose()
        };
        let h1 = inverse(1);
        let mut step = &h1 * &g;
        let length = step.norm();
        let longest = LONGEST_STEP * self.design.norm();
        if length > longest {
            step *= longest / length;
        }
        let next: Vec<f64> = theta.iter().zip(step.iter()).map(|(t, s)| t + s).collect();
        let s2 = step.norm_squared();
        let noise = DMatrix::identity(d, d) * (sigma_g * sigma_g + sigma_h * sigma_h / 2.0 * s2)
            + &step * step.transpose() * (sigma_h * sigma_h / 2.0);
        let privacy = &h1 * noise * &h1;
        let reliable = least > 2.0 * floor || merged.exact() && least > floor;
        // A step that is long beside its own error has not arrived: too few steps, or an outcome that the features separate.
        let error = (h1.trace() / self.family.unit() + privacy.trace()).max(0.0).sqrt();
        let arrived = length <= 3.0 * error && length <= longest;
        let fit = match (reliable, arrived) {
            (true, true) => Fit::Reached(next.clone(), h1, privacy),
            (true, false) => {
                Fit::Withheld("not converged: more steps are needed, or the features separate the outcome")
            }
            (false, _) if merged.exact() => Fit::Withheld("the features are collinear, or one never varies"),
            (false, _) => Fit::Withheld("too noisy to report: the curvature is lost in the noise"),
        };
        Ok((next, length, fit))
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

    /// Coefficients and errors in the features' own units.
    fn rows(&self, dispersion: f64) -> Vec<Row> {
        let (theta, inverse, privacy) = match &self.last {
            Some(Fit::Reached(theta, inverse, privacy)) => (theta, inverse, privacy),
            other => {
                let why = if let Some(Fit::Withheld(why)) = other { why } else { "no step was taken" };
                return self.design.names().iter().map(|n| Row::withheld(n, "coefficient", why)).collect();
            }
        };
        let sampling = &(inverse * (dispersion / self.family.unit()));
        let map = self.design.to_own_units();
        let beta = &map * DVector::from_column_slice(theta);
        let z = self.reporting.z();
        let spread = |m: &DMatrix<f64>| -> Vec<f64> {
            (&map * m * map.transpose()).diagonal().iter().map(|v| v.max(0.0).sqrt()).collect()
        };
        let (sampling, privacy) = (spread(sampling), spread(privacy));
        let mut out = Vec::new();
        for (i, name) in self.design.names().iter().enumerate() {
            let (Some(b), Some(s), Some(p)) = (beta.get(i), sampling.get(i), privacy.get(i)) else { continue };
            out.push(Row::normal(name, "coefficient", *b, *s, *p, z));
            if i > 0 {
                let mut odds = Row::normal(name, self.family.ratio(), b.exp(), b.exp() * s, b.exp() * p, z);
                let half = z * s.hypot(*p);
                odds.lower = Some((b - half).exp());
                odds.upper = Some((b + half).exp());
                out.push(odds);
            }
        }
        out
    }
}

impl Program for Glm {
    fn rounds(&self) -> u32 {
        self.steps + 1
    }

    fn weight(&self, round: u32) -> f64 {
        if round < self.steps { 1.0 } else { EVALUATION_WEIGHT }
    }

    fn first(&self) -> Vec<f64> {
        vec![0.0; self.design.width()]
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.parameters(parameters)?;
        let part = |statistic: Box<dyn Statistic>, weight| PartWork {
            name: statistic.name().to_owned(),
            statistic,
            columns: self.columns.clone(),
            weight,
        };
        let (design, theta) = (self.design.clone(), parameters.to_vec());
        if round < self.steps {
            Ok(vec![
                part(Box::new(Gradient::new(design.clone(), self.family, theta.clone())), GRADIENT_WEIGHT),
                part(Box::new(Curvature::new(design, self.family, theta)), 1.0 - GRADIENT_WEIGHT),
            ])
        } else if round == self.steps {
            Ok(vec![part(self.evaluation(design, theta), 1.0)])
        } else {
            Err(ProgramError::Round { asked: round, planned: self.rounds() })
        }
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        self.parameters(parameters)?;
        if round < self.steps {
            let (theta, length, fit) = self.step(parameters, merged)?;
            self.last = Some(fit);
            let converged = merged.exact() && length < CONVERGED;
            let round = if converged { self.steps } else { round + 1 };
            return Ok(Step::Continue { round, parameters: theta });
        }
        let [scores] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        Ok(Step::Done(self.finish(parameters, scores)))
    }
}

impl Glm {
    fn evaluation(&self, design: Design, theta: Vec<f64>) -> Box<dyn Statistic> {
        match self.family {
            Family::Logistic => Box::new(ScoreHistogram::new(design, theta)),
            _ => Box::new(Dispersion::new(design, self.family, theta)),
        }
    }

    fn finish(&self, theta: &[f64], last: &MergedRelease) -> Estimate {
        let evaluation = self.evaluation(self.design.clone(), theta.to_vec()).estimate(last, &self.reporting);
        let told = |name: &str| evaluation.rows.iter().find(|r| r.statistic == name).and_then(|r| r.estimate);
        // A gamma's coefficients spread by its dispersion; a count's is told beside them.
        let dispersion = if self.family == Family::Gamma { told("dispersion").unwrap_or(1.0) } else { 1.0 };
        let mut rows = self.rows(dispersion);
        rows.extend(evaluation.rows);
        Estimate { rows, curves: evaluation.curves }
    }
}
