//! The dispersion of a model: Pearson's χ² over its degrees of freedom. A patient adds (1, min(r², B)/B), r² their squared Pearson
//! residual, times their weight's share of the most where there are weights: norm at most √2.

use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use crate::design::Design;
use crate::likelihood::{Likelihood, tell};

/// Squared Pearson residuals above this count as this.
const MOST: f64 = 64.0;

/// Patients and their squared Pearson residuals at given coefficients.
pub struct Dispersion {
    design: Design,
    likelihood: Likelihood,
    theta: Vec<f64>,
}

impl Dispersion {
    /// At coefficients of the unit-ball rows.
    pub fn new(design: Design, likelihood: impl Into<Likelihood>, theta: Vec<f64>) -> Dispersion {
        Dispersion { design, likelihood: likelihood.into(), theta }
    }
}

impl Statistic for Dispersion {
    fn name(&self) -> &'static str {
        "dispersion"
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
        tell("dispersion", (&self.design, &self.likelihood, &self.theta), patients, |_, _, told| {
            let spread = self.likelihood.family.variance(told.mean);
            let squared = ((told.outcome - told.mean).powi(2) / spread.max(f64::MIN_POSITIVE)).min(MOST);
            lanes.add("dispersion", 0, encode(1.0))?;
            lanes.add("dispersion", 1, encode(told.weight * squared / MOST))
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let most = MOST * self.likelihood.weights.unwrap_or(1.0);
        let (n, sum) = (merged.value(0, &layout), most * merged.value(1, &layout));
        let free = n - self.design.width() as f64;
        let mut rows = vec![summaries::estimate::patients("model", n, v.sqrt(), reporting)];
        if free < 1.0 || n < 5.0 * v.sqrt() {
            rows.push(Row::withheld("model", "dispersion", "too few patients, or too noisy to report"));
        } else {
            let value = (sum / free).max(0.0);
            let noise = (v * (most * most + value * value)).sqrt() / free;
            let row = Row::normal("model", "dispersion", value, value * (2.0 / free).sqrt(), noise, reporting.z());
            rows.push(
                row.within(0.0, f64::INFINITY)
                    .note("Pearson's χ² over its degrees of freedom; above 1 a count varies more than a Poisson's"),
            );
        }
        Estimate { rows, curves: Vec::new() }
    }
}
