//! Linear regression in one round, from noisy sufficient statistics (Wang 2018, AdaSSP, has the idea of lifting the moments' small
//! eigenvalues above the noise).
//!
//! A patient with the row u of weight v and the outcome y, scaled to [−1, 1], adds v·(u uᵀ, u y, y², 1): with v‖u‖ ≤ 1 and v‖u‖² ≤ 1
//! the norm is at most 2. A weight of at most W multiplies all but the last by w/W; σ² is then that of a patient of weight W. With H̃ = H + Z and g̃ = g + z, to first order β̂ − β = H⁻¹(sampling + z − Z β), so
//! Var β̂ = s² H⁻¹ + H⁻¹ (σ² I + σ²/2 (‖β‖² I + β βᵀ)) H⁻¹.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use summaries::interval::t_quantile;
use summaries::statistic::real;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use crate::coefficients::{Coefficients, withheld};
use crate::design::Design;
use crate::newton::{matrix, outer, triangle};

/// The normal equations. The inputs are the design's, then the outcome.
#[derive(Clone)]
pub struct Linear {
    design: Design,
    lower: f64,
    upper: f64,
    heaviest: Option<f64>,
}

impl Linear {
    /// Of an outcome within public bounds; `None` unless lower < upper and both are finite.
    pub fn new(design: Design, lower: f64, upper: f64) -> Option<Linear> {
        (lower < upper && lower.is_finite() && upper.is_finite()).then_some(Linear {
            design,
            lower,
            upper,
            heaviest: None,
        })
    }

    /// The same with weights of at most so much, the input after the outcome.
    #[must_use]
    pub fn weighted(mut self, heaviest: Option<f64>) -> Linear {
        self.heaviest = heaviest;
        self
    }

    fn half(&self) -> f64 {
        (self.upper - self.lower) / 2.0
    }

    fn withheld(&self, why: &str) -> Estimate {
        Estimate { rows: withheld(&self.design, why), curves: Vec::new() }
    }
}

impl Statistic for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.design.inputs();
        out.push(Input::Real);
        out.extend(self.heaviest.map(|_| Input::Real));
        out
    }
    fn layout(&self) -> Layout {
        let d = self.design.width();
        Layout { lanes: triangle(d) + d + 2, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 2.0, 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "linear";
        self.check(lanes)?;
        let outcome = real(NAME, patients, self.design.inputs().len())?;
        let weights = self.heaviest.map(|_| real(NAME, patients, self.design.inputs().len() + 1)).transpose()?;
        let heaviest = self.heaviest.unwrap_or(1.0);
        let d = self.design.width();
        let mut part = Vec::with_capacity(lanes.len());
        self.design.rows(NAME, patients, |patient, row, v| {
            let y = outcome.get(patient).copied().unwrap_or(f64::NAN);
            let weight = weights.map_or(1.0, |w| w.get(patient).copied().unwrap_or(f64::NAN));
            if y.is_nan() || weight.is_nan() || weight <= 0.0 {
                return Ok(());
            }
            let w = v * (weight / heaviest).min(1.0);
            let y = ((y.clamp(self.lower, self.upper) - f64::midpoint(self.lower, self.upper)) / self.half())
                .clamp(-1.0, 1.0);
            let moments = row.iter().map(|u| u * y).chain([y * y]);
            part.clear();
            part.extend(outer(row).chain(moments).map(|x| w * x).chain([v]));
            debug_assert_eq!(row.len(), d);
            lanes.add_row(NAME, 0, &part)
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let (d, layout) = (self.design.width(), self.layout());
        let at = |lane: usize| merged.value(lane, &layout);
        let variance = merged.variance(&layout);
        let h = matrix(d, (0..triangle(d)).map(at));
        let g = DVector::from_iterator(d, (0..d).map(|i| at(triangle(d) + i)));
        let (squares, n) = (at(triangle(d) + d), at(triangle(d) + d + 1));
        let free = n - d as f64;
        if free < 1.0 - 1e-6 || n < 5.0 * variance.sqrt() || n < reporting.min_cell as f64 {
            return self.withheld("too few complete patients, or too noisy to report");
        }
        let floor = (variance.sqrt() * (2.0 * d as f64).sqrt()).max(1e-10 * h.diagonal().max());
        let eigen = SymmetricEigen::new(h.clone());
        if eigen.eigenvalues.min() <= if variance > 0.0 { 2.0 * floor } else { floor } {
            return self.withheld(match variance > 0.0 {
                true => "too noisy to report: the moments are lost in the noise, or the features are collinear",
                false => "the features are collinear, or one never varies",
            });
        }
        let inverse = &eigen.eigenvectors
            * DMatrix::from_diagonal(&eigen.eigenvalues.map(|e| 1.0 / e))
            * eigen.eigenvectors.transpose();
        let theta = &inverse * &g;
        // Without noise this is Σ(y − ŷ)²; under noise it may sink to nothing.
        let residual = squares - 2.0 * theta.dot(&g) + (theta.transpose() * &h * &theta)[(0, 0)];
        let noise_of_residual = (variance * (1.0 + 4.0 * theta.norm_squared() + theta.norm_squared().powi(2))).sqrt();
        if variance > 0.0 && residual < 2.0 * noise_of_residual {
            return self.withheld("too noisy to report: the residual is lost in the noise");
        }
        let sigma2 = residual.max(0.0) / free;
        let spread = DMatrix::identity(d, d) * (variance * (1.0 + theta.norm_squared() / 2.0))
            + &theta * theta.transpose() * (variance / 2.0);
        let all_weights = h[(0, 0)] * self.design.norm().powi(2);
        let h = self.half();
        let privacy = &inverse * spread * &inverse;
        let told = Coefficients {
            design: &self.design,
            theta,
            sampling: &inverse * sigma2,
            privacy,
            ratio: None,
            free: Some(free),
            outcome: (h, f64::midpoint(self.lower, self.upper)),
        };
        let q = t_quantile(0.5 + reporting.confidence / 2.0, free);
        let mut out = told.tell(reporting);
        out.rows.push(summaries::estimate::patients("model", n, variance.sqrt(), reporting));
        // Of a patient of the weight 1, as R's lm has it.
        let unit = h * self.heaviest.unwrap_or(1.0).sqrt();
        let sd = Row::normal(
            "model",
            "residual sd",
            unit * sigma2.sqrt(),
            unit * (sigma2 / (2.0 * free)).sqrt(),
            unit * noise_of_residual / (2.0 * (sigma2.sqrt() * free).max(1e-12)),
            q,
        );
        out.rows.push(sd.within(0.0, f64::INFINITY));
        // The first column of a row is 1/norm, so that its moment with y is the outcome's sum, and its own square that of the weights.
        let (norm, weights) = (self.design.norm(), all_weights);
        let mean = g.get(0).copied().unwrap_or(0.0) * norm / weights;
        let whole = squares - weights * mean * mean;
        if variance == 0.0 && whole > 0.0 {
            out.rows.push(Row::test("model", "R2", 1.0 - residual / whole, "in the sample"));
        }
        out
    }
}
