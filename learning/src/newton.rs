//! Gradient and curvature of a generalised linear model's likelihood at given coefficients, one patient at a time.
//!
//! With rows u of weight v, v‖u‖ ≤ 1 and v‖u‖² ≤ 1, a patient's gradient v·r·u has norm at most 1 for |r| ≤ 1. The curvature
//! v·w·u·uᵀ has Frobenius norm at most w's bound; it is sent as the symmetric vector (diagonal, and √2 times the upper triangle), which keeps that norm.

use nalgebra::DMatrix;
use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use crate::design::Design;
use crate::likelihood::{Likelihood, tell};

/// The gradient. The inputs are the design's, then the likelihood's.
pub struct Gradient {
    design: Design,
    likelihood: Likelihood,
    theta: Vec<f64>,
}

impl Gradient {
    /// At coefficients of the unit-ball rows.
    pub fn new(design: Design, likelihood: impl Into<Likelihood>, theta: Vec<f64>) -> Gradient {
        Gradient { design, likelihood: likelihood.into(), theta }
    }
}

fn inputs(design: &Design, likelihood: &Likelihood) -> Vec<Input> {
    let mut out = design.inputs();
    out.extend(likelihood.inputs());
    out
}

impl Statistic for Gradient {
    fn name(&self) -> &'static str {
        "gradient"
    }
    fn inputs(&self) -> Vec<Input> {
        inputs(&self.design, &self.likelihood)
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.design.width(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.design.width(), 1.0, 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        tell("gradient", (&self.design, &self.likelihood, &self.theta), patients, |row, v, told| {
            lanes.add_scaled("gradient", 0, v * told.residual, (row, largest(row)))
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}

/// The curvature: minus the Hessian of the log-likelihood.
pub struct Curvature {
    design: Design,
    likelihood: Likelihood,
    theta: Vec<f64>,
}

impl Curvature {
    /// At coefficients of the unit-ball rows.
    pub fn new(design: Design, likelihood: impl Into<Likelihood>, theta: Vec<f64>) -> Curvature {
        Curvature { design, likelihood: likelihood.into(), theta }
    }
}

/// The largest absolute value of a row.
fn largest(row: &[f64]) -> f64 {
    row.iter().fold(0.0, |most: f64, u| most.max(u.abs()))
}

/// The symmetric matrix that a vector stands for: the diagonal, and √2 times the upper triangle.
pub(crate) fn matrix(d: usize, mut lanes: impl Iterator<Item = f64>) -> DMatrix<f64> {
    let mut h = DMatrix::zeros(d, d);
    for i in 0..d {
        for j in i..d {
            let v = lanes.next().unwrap_or(0.0) / if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
            h[(i, j)] = v;
            h[(j, i)] = v;
        }
    }
    h
}

/// The lanes of x·xᵀ in that order.
pub(crate) fn outer(x: &[f64]) -> impl Iterator<Item = f64> + '_ {
    x.iter().enumerate().flat_map(move |(i, a)| {
        let double = move |j: usize| if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
        x.iter().enumerate().skip(i).map(move |(j, b)| double(j) * a * b)
    })
}

/// Lanes of a symmetric d × d matrix.
pub fn triangle(d: usize) -> usize {
    d * (d + 1) / 2
}

impl Statistic for Curvature {
    fn name(&self) -> &'static str {
        "curvature"
    }
    fn inputs(&self) -> Vec<Input> {
        inputs(&self.design, &self.likelihood)
    }
    fn layout(&self) -> Layout {
        Layout { lanes: triangle(self.design.width()), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        // An off-diagonal lane holds √2·w·uᵢuⱼ with 2v|uᵢuⱼ| ≤ v‖u‖² ≤ 1, so every lane is at most w's bound.
        let most = self.likelihood.family.most_curvature();
        Sensitivity::fixed_point(triangle(self.design.width()), most, most)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        tell("curvature", (&self.design, &self.likelihood, &self.theta), patients, |row, v, told| {
            let weight = v * told.curvature;
            let largest = largest(row);
            let mut lane = 0;
            for (i, a) in row.iter().enumerate() {
                lanes.add("curvature", lane, encode(weight * a * a))?;
                let rest = row.get(i + 1..).unwrap_or_default();
                lanes.add_scaled("curvature", lane + 1, weight * a * std::f64::consts::SQRT_2, (rest, largest))?;
                lane += 1 + rest.len();
            }
            Ok(())
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
