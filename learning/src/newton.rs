//! Gradient and curvature of the logistic likelihood at given coefficients, one patient at a time.
//!
//! With rows u of weight v, v‖u‖ ≤ 1 and v‖u‖² ≤ 1, a patient's gradient v·(y − p)·u has norm below 1. The curvature
//! v·p(1−p)·u·uᵀ has Frobenius norm at most ¼; it is sent as the symmetric vector (diagonal, and √2 times the upper triangle), which keeps that norm.

use summaries::lanes::encode;
use summaries::statistic::level;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MISSING, MergedRelease, PatientBatch, Reporting,
    Sensitivity, Statistic,
};

use crate::design::Design;

/// 1 / (1 + e^(−z)), without overflow.
pub fn logistic(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The gradient. The inputs are the design's, then the outcome (levels no, yes).
pub struct Gradient {
    design: Design,
    theta: Vec<f64>,
}

impl Gradient {
    /// At coefficients of the unit-ball rows.
    pub fn new(design: Design, theta: Vec<f64>) -> Gradient {
        Gradient { design, theta }
    }
}

fn inputs(design: &Design) -> Vec<Input> {
    let mut out = design.inputs();
    out.push(Input::Level(2));
    out
}

/// Calls `f` with each complete patient's row, weight, outcome and predicted probability.
pub(crate) fn predictions(
    statistic: &'static str,
    design: &Design,
    theta: &[f64],
    patients: &PatientBatch,
    mut f: impl FnMut(&[f64], f64, bool, f64) -> Result<(), AccumulateError>,
) -> Result<(), AccumulateError> {
    let outcome = level(statistic, patients, design.inputs().len())?;
    design.rows(statistic, patients, |patient, row, v| match outcome.get(patient).copied().unwrap_or(MISSING) {
        0 => f(row, v, false, logistic(dot(row, theta))),
        1 => f(row, v, true, logistic(dot(row, theta))),
        _ => Ok(()),
    })
}

impl Statistic for Gradient {
    fn name(&self) -> &'static str {
        "gradient"
    }
    fn inputs(&self) -> Vec<Input> {
        inputs(&self.design)
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.design.width(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.design.width(), 1.0, 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        predictions("gradient", &self.design, &self.theta, patients, |row, v, yes, p| {
            let residual = v * (f64::from(u8::from(yes)) - p);
            row.iter().enumerate().try_for_each(|(i, u)| lanes.add("gradient", i, encode(residual * u)))
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}

/// The curvature: minus the Hessian of the log-likelihood.
pub struct Curvature {
    design: Design,
    theta: Vec<f64>,
}

impl Curvature {
    /// At coefficients of the unit-ball rows.
    pub fn new(design: Design, theta: Vec<f64>) -> Curvature {
        Curvature { design, theta }
    }
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
        inputs(&self.design)
    }
    fn layout(&self) -> Layout {
        Layout { lanes: triangle(self.design.width()), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        // An off-diagonal lane holds √2·¼·uᵢuⱼ with 2v|uᵢuⱼ| ≤ v‖u‖² ≤ 1, so every lane is at most ¼.
        Sensitivity::fixed_point(triangle(self.design.width()), 0.25, 0.25)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        predictions("curvature", &self.design, &self.theta, patients, |row, v, _, p| {
            let weight = v * p * (1.0 - p);
            let mut lane = 0;
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row.iter().enumerate().skip(i) {
                    let double = if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
                    lanes.add("curvature", lane, encode(double * weight * a * b))?;
                    lane += 1;
                }
            }
            Ok(())
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
