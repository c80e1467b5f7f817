//! Linear regression with an intercept of its own for each hospital, from the hospitals' releases apart.
//!
//! With a hospital's normal equations (H, g) split into the intercept's part (g₁, a, h) and the slopes' (g₂, B), the intercept drops out:
//! S = Σ (B − h hᵀ/a), r = Σ (g₂ − h g₁/a), and the slopes are S⁻¹ r. It is the step that a generalised linear model takes
//! (`glm::by_hospital`, where the noise's part is), from 0 and at once. The residual sum of squares is Σ (Σy² − g₁²/a) − 2βᵀr + βᵀSβ, with a
//! degree of freedom less for each hospital; noise lowers g₁²/a's part by σ²(1 + g₁²/a²)/a on average, which is added.

use nalgebra::{DMatrix, DVector};
use summaries::{Estimate, MergedRound, OfSite, PartWork, Program, ProgramError, Reporting, Row, Statistic, Step};

use super::{Fitted, Linear, Lost, Moments};
use crate::ascent::{Sums, every};
use crate::glm::{self, ONE_FOR_ALL, Part, constant_within};

/// A linear regression with an intercept for each hospital; one for all where these are lost in the noise.
pub struct LinearByHospital {
    linear: Linear,
    columns: Vec<usize>,
    reporting: Reporting,
}

/// A hospital's normal equations with the intercept taken out.
struct Hospital {
    part: Part,
    /// Σ (y − ȳ)².
    squares: f64,
    n: f64,
    variance: f64,
}

impl Hospital {
    /// `None` where the hospital has nobody, or too few to be told from the noise.
    fn of(moments: Moments, norm: f64) -> Option<Hospital> {
        let Moments { h, g, squares, n, variance } = moments;
        let (first, a) = (g.get(0).copied()?, h[(0, 0)]);
        let lanes = every(g.len());
        let sums = Sums {
            gradient: g,
            gradient_variance: variance,
            curvature: h,
            curvature_variance: variance,
            lanes,
            unit: 1.0,
            norm,
            groups: Vec::new(),
            ridge: None,
        };
        let part = Part::of(0.0, sums, 0.0)?;
        let squares = squares - first * first / a + variance / a * (1.0 + first * first / (a * a));
        Some(Hospital { part, squares, n, variance })
    }
}

impl LinearByHospital {
    /// `columns` are the places of what [`Linear`] reads.
    pub fn new(linear: Linear, columns: Vec<usize>, reporting: Reporting) -> LinearByHospital {
        LinearByHospital { linear, columns, reporting }
    }

    fn fits(&self, release: &MergedRound) -> Result<Moments, ProgramError> {
        match release.parts.as_slice() {
            [part] if part.lanes.len() == self.linear.layout().lanes => Ok(self.linear.moments(part)),
            _ => Err(ProgramError::Merged),
        }
    }

    fn apart_from(&self, hospitals: &[Hospital]) -> Result<Estimate, Lost> {
        let design = self.linear.design.clone().without_intercept();
        let p = self.linear.design.width() - 1;
        let sum = |of: fn(&Hospital) -> f64| hospitals.iter().map(of).sum::<f64>();
        let squares = sum(|k| k.squares);
        let fitted = Fitted {
            h: hospitals.iter().fold(DMatrix::zeros(p, p), |sum, k| sum + k.part.curvature()),
            g: hospitals.iter().fold(DVector::zeros(p), |sum, k| sum + k.part.gradient()),
            squares,
            whole: squares,
            noise_of_squares: sum(|k| k.variance),
            loud: hospitals.iter().map(|k| k.part.loud()).sum::<f64>() * 2.0 * p as f64,
            n: sum(|k| k.n),
            noise_of_n: sum(|k| k.variance),
            baselines: hospitals.len() as f64,
        };
        let noise = |slopes: &DVector<f64>| {
            hospitals.iter().fold(DMatrix::zeros(p, p), |sum, k| sum + k.part.noise(slopes, 1.0))
        };
        let of_residual = |slopes: &DVector<f64>| {
            let squared = |k: &Hospital| k.part.moves(slopes).powi(2) + slopes.norm_squared();
            hospitals.iter().map(|k| k.variance * (4.0 * squared(k) + squared(k).powi(2))).sum::<f64>()
        };
        let told = fitted.tell(&self.linear, &design, (&noise, &of_residual), &self.reporting);
        // One intercept would take what differs between hospitals for what such a feature does.
        told.map_err(|lost| match constant_within(hospitals.iter().map(|k| &k.part)) {
            columns if columns.is_empty() || !lost.by_noise => lost,
            columns => Lost { why: glm::collinear(&design, &columns, true), by_noise: false },
        })
    }
}

impl Program for LinearByHospital {
    fn rounds(&self) -> u32 {
        1
    }
    fn weight(&self, _: u32) -> f64 {
        1.0
    }
    fn first(&self) -> Vec<f64> {
        Vec::new()
    }
    fn apart(&self) -> bool {
        true
    }
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        if round != 0 {
            return Err(ProgramError::Round { asked: round, planned: 1 });
        }
        if !parameters.is_empty() {
            return Err(ProgramError::Parameters { given: parameters.len(), needed: 0 });
        }
        let statistic = Box::new(self.linear.clone());
        Ok(vec![PartWork {
            name: "linear".to_owned(),
            statistic,
            columns: self.columns.clone(),
            weight: 1.0,
            walk: None,
            rate: None,
        }])
    }
    /// A sum that can't be taken apart is of one hospital.
    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let one = OfSite { site: String::new(), round: merged.clone() };
        self.next_apart(round, parameters, merged, &[one])
    }
    fn next_apart(&mut self, _: u32, _: &[f64], merged: &MergedRound, sites: &[OfSite]) -> Result<Step, ProgramError> {
        self.fits(merged)?;
        let norm = self.linear.design.norm();
        let mut hospitals = Vec::with_capacity(sites.len());
        for s in sites {
            hospitals.extend(Hospital::of(self.fits(&s.round)?, norm));
        }
        let (many, left_out) = (hospitals.len(), sites.len() - hospitals.len());
        let mut row = Row::test("model", "baselines", many as f64, "an intercept for each hospital");
        if left_out > 0 {
            row.note += &format!("; {left_out} more have too few patients, or are lost in the noise");
        }
        let mut out = match self.apart_from(&hospitals) {
            Ok(estimate) => estimate,
            // The sum of all releases holds more than its parts.
            Err(lost) if lost.by_noise && sites.len() > 1 => {
                row = Row::test("model", "baselines", 1.0, ONE_FOR_ALL);
                match merged.parts.first() {
                    Some(part) => self.linear.estimate(part, &self.reporting),
                    None => return Err(ProgramError::Merged),
                }
            }
            Err(lost) => Estimate {
                rows: crate::coefficients::withheld(&self.linear.design.clone().without_intercept(), &lost.why),
                curves: Vec::new(),
            },
        };
        out.rows.push(row);
        Ok(Step::Done(out))
    }
    fn own(&self, _: &str, _: u32, _: &[f64], release: &MergedRound) -> Option<Estimate> {
        let part = release.parts.first().filter(|p| p.lanes.len() == self.linear.layout().lanes)?;
        Some(self.linear.estimate(part, &self.reporting))
    }
}

#[cfg(test)]
mod tests;
