//! The dispersion of a model: Pearson's χ² over its degrees of freedom. A patient adds (1, min(r², B)/B, min((r² − B)⁺, C)/C), r² their
//! squared Pearson residual, the second and the third times their weight's share of the most where there are weights: norm at most √3. A
//! patient of a gamma model whose outcome is not above 0 has no part in it and adds 1 to a lane of its own instead, so that the norm stays.
//!
//! What is above B is few patients' and would drown in noise of C's size: it is added where there is no noise, and left out where there is.
//! Degrees of freedom are the patients less the coefficients, of which each hospital's own baseline is one.
//!
//! Its sampling error would need the residuals' fourth moments, which are lost in the noise; the usual one supposes that they are normal. So
//! none is told.

use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use crate::design::Design;
use crate::family::Family;
use crate::likelihood::{Likelihood, others, tell};

/// B: squared Pearson residuals above this count as this under noise.
const MOST: f64 = 64.0;
/// C: what is above it counts as this at most.
const REST: f64 = 1e6;

/// What the patients of a gamma model are called whose outcome is not above 0.
pub(crate) const LEFT_OUT: &str = "left out";

/// Patients and their squared Pearson residuals at given coefficients.
pub struct Dispersion {
    design: Design,
    likelihood: Likelihood,
    theta: Vec<f64>,
    baselines: usize,
}

impl Dispersion {
    /// At coefficients of the unit-ball rows.
    pub fn new(design: Design, likelihood: impl Into<Likelihood>, theta: Vec<f64>) -> Dispersion {
        Dispersion { design, likelihood: likelihood.into(), theta, baselines: 1 }
    }

    /// The same of a model with so many intercepts.
    #[must_use]
    pub fn with_baselines(mut self, baselines: usize) -> Dispersion {
        self.baselines = baselines.max(1);
        self
    }

    /// Whether outcomes that are not above 0 are counted apart.
    fn counts_others(&self) -> bool {
        self.likelihood.family == Family::Gamma
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
        Layout { lanes: if self.counts_others() { 4 } else { 3 }, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        tell("dispersion", (&self.design, &self.likelihood, &self.theta), patients, |_, _, told| {
            let spread = self.likelihood.family.variance(told.mean);
            let squared = (told.outcome - told.mean).powi(2) / spread.max(f64::MIN_POSITIVE);
            let (most, rest) = (squared.min(MOST), (squared - MOST).clamp(0.0, REST));
            lanes.add("dispersion", 0, encode(1.0))?;
            lanes.add("dispersion", 1, encode(told.weight * most / MOST))?;
            lanes.add("dispersion", 2, encode(told.weight * rest / REST))
        })?;
        if !self.counts_others() {
            return Ok(());
        }
        others("dispersion", (&self.design, &self.likelihood), patients, || lanes.add("dispersion", 3, encode(1.0)))
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let heaviest = self.likelihood.weights.unwrap_or(1.0);
        let most = MOST * heaviest;
        let rest = if v > 0.0 { 0.0 } else { REST * heaviest * merged.value(2, &layout) };
        let (n, sum) = (merged.value(0, &layout), most * merged.value(1, &layout) + rest);
        let free = n - self.design.width() as f64 - (self.baselines - 1) as f64;
        let mut rows = vec![summaries::estimate::patients("model", n, v.sqrt(), reporting)];
        if free < 1.0 || n < 5.0 * v.sqrt() {
            rows.push(Row::withheld("model", "dispersion", "too few patients, or too noisy to report"));
        } else {
            let value = (sum / free).max(0.0);
            let noise = (v * (most * most + value * value)).sqrt() / free;
            let note = match self.likelihood.family {
                Family::Gamma => "Pearson's χ² over its degrees of freedom; the square of the coefficient of variation",
                _ => "Pearson's χ² over its degrees of freedom; above 1 a count varies more than a Poisson's",
            };
            let capped = "; squared residuals above 64 count as 64 under noise";
            let row = Row::test("model", "dispersion", value, &format!("{note}{}", if v > 0.0 { capped } else { "" }));
            rows.push(Row { dp_se: Some(noise), ..row });
        }
        if self.counts_others() {
            let left = merged.value(3, &layout);
            let row = summaries::estimate::patients("model", left, v.sqrt(), reporting);
            let row = Row { statistic: LEFT_OUT.to_owned(), ..row };
            rows.push(if row.suppressed { row } else { row.note("their outcome is not above 0, as a gamma's is") });
        }
        Estimate { rows, curves: Vec::new() }
    }
}
