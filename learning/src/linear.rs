//! Linear regression in one round, from noisy sufficient statistics (Wang 2018, AdaSSP, has the idea of lifting the moments' small
//! eigenvalues above the noise).
//!
//! A patient with the row u of weight v and the outcome y, scaled to [−1, 1], adds v·(u uᵀ, u y, y², 1): with v‖u‖ ≤ 1 and v‖u‖² ≤ 1
//! the norm is at most 2. A weight of at most W multiplies all but the last by w/W; σ² is then that of a patient of weight W. With H̃ = H + Z and g̃ = g + z, to first order β̂ − β = H⁻¹(sampling + z − Z β), so
//! Var β̂ = s² H⁻¹ + H⁻¹ (σ² I + σ²/2 (‖β‖² I + β βᵀ)) H⁻¹.

mod by_hospital;

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use summaries::statistic::real;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use crate::ascent::flat;
use crate::coefficients::{Coefficients, withheld};
use crate::design::Design;
use crate::glm;
use crate::newton::{matrix, outer, triangle};

pub use by_hospital::LinearByHospital;

/// What rounding to fixed point can make of a patient's squared distance from the mean, in squares of half the outcome's range: an
/// outcome that varies by less never varies.
const ROUNDING: f64 = 8.0 / FIXED_POINT;

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

    fn moments(&self, merged: &MergedRelease) -> Moments {
        let (d, layout) = (self.design.width(), self.layout());
        let at = |lane: usize| merged.value(lane, &layout);
        Moments {
            h: matrix(d, (0..triangle(d)).map(at)),
            g: DVector::from_iterator(d, (0..d).map(|i| at(triangle(d) + i))),
            squares: at(triangle(d) + d),
            n: at(triangle(d) + d + 1),
            variance: merged.variance(&layout),
        }
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
        let moments = self.moments(merged);
        let fitted = Fitted {
            // The first column of a row is 1/norm, so that its moment with y is the outcome's sum, and its own square that of the weights.
            whole: moments.squares
                - moments.g.get(0).map_or(0.0, |sum| sum * sum) / moments.h[(0, 0)].max(f64::MIN_POSITIVE),
            squares: moments.squares,
            noise_of_squares: moments.variance,
            loud: moments.variance * 2.0 * self.design.width() as f64,
            n: moments.n,
            noise_of_n: moments.variance,
            baselines: 0.0,
            h: moments.h,
            g: moments.g,
        };
        let variance = moments.variance;
        let noise = |theta: &DVector<f64>| {
            let d = theta.len();
            DMatrix::identity(d, d) * (variance * (1.0 + theta.norm_squared() / 2.0))
                + theta * theta.transpose() * (variance / 2.0)
        };
        let of_residual = |theta: &DVector<f64>| variance * (4.0 * theta.norm_squared() + theta.norm_squared().powi(2));
        match fitted.tell(self, &self.design, (&noise, &of_residual), reporting) {
            Ok(estimate) => estimate,
            Err(Lost { why, .. }) => self.withheld(&why),
        }
    }
}

/// What a release says: the normal equations, Σ y², how many patients, and the noise's variance of each.
struct Moments {
    h: DMatrix<f64>,
    g: DVector<f64>,
    squares: f64,
    n: f64,
    variance: f64,
}

/// Normal equations to be solved; of a baseline for each hospital, those of what is left within hospitals.
struct Fitted {
    h: DMatrix<f64>,
    g: DVector<f64>,
    /// Σ y², and the noise's variance of it.
    squares: f64,
    noise_of_squares: f64,
    /// Σ (y − ȳ)².
    whole: f64,
    /// The squared spectral norm of the noise of h.
    loud: f64,
    n: f64,
    noise_of_n: f64,
    /// Coefficients beside those of h.
    baselines: f64,
}

/// Why nothing is told, and whether the noise is the reason.
struct Lost {
    why: String,
    by_noise: bool,
}

/// The noise's covariance of g − h θ, and its variance of the residual sum of squares beside that of Σ y².
type Noise<'a> = (&'a dyn Fn(&DVector<f64>) -> DMatrix<f64>, &'a dyn Fn(&DVector<f64>) -> f64);

impl Fitted {
    fn tell(&self, of: &Linear, design: &Design, noise: Noise<'_>, reporting: &Reporting) -> Result<Estimate, Lost> {
        let exact = self.loud == 0.0;
        let lost = |why: &str| Lost { why: why.to_owned(), by_noise: !exact };
        let free = self.n - self.g.len() as f64 - self.baselines;
        if free < 1.0 - 1e-6 || self.n < 5.0 * self.noise_of_n.sqrt() || self.n < reporting.min_cell as f64 {
            return Err(lost("too few complete patients, or too noisy to report"));
        }
        let floor = self.loud.sqrt().max(1e-10 * self.h.diagonal().max());
        let eigen = SymmetricEigen::new(self.h.clone());
        if eigen.eigenvalues.min() <= if exact { floor } else { 2.0 * floor } {
            let named = glm::collinear(design, &flat(&eigen, floor), self.baselines > 0.0);
            return Err(lost(&match exact {
                true => named,
                false => format!("too noisy to report: the moments are lost in the noise, or {named}"),
            }));
        }
        let inverse = &eigen.eigenvectors
            * DMatrix::from_diagonal(&eigen.eigenvalues.map(|e| 1.0 / e))
            * eigen.eigenvectors.transpose();
        let theta = &inverse * &self.g;
        // Without noise this is Σ(y − ŷ)²; under noise it may sink to nothing.
        let residual = self.squares - 2.0 * theta.dot(&self.g) + (theta.transpose() * &self.h * &theta)[(0, 0)];
        let noise_of_residual = (self.noise_of_squares + noise.1(&theta)).sqrt();
        if !exact && residual < 2.0 * noise_of_residual {
            return Err(lost("too noisy to report: the residual is lost in the noise"));
        }
        if exact && self.whole <= ROUNDING * self.n {
            return Err(lost("the outcome never varies"));
        }
        let sigma2 = residual.max(0.0) / free;
        let half = of.half();
        // Rows without an intercept are divided by another number.
        let scale = design.norm() / of.design.norm();
        let privacy = &inverse * noise.0(&theta) * &inverse;
        let told = Coefficients {
            design,
            theta: &theta * scale,
            sampling: &inverse * (sigma2 * scale * scale),
            privacy: privacy * (scale * scale),
            ratio: None,
            free: Some(free),
            outcome: (half, f64::midpoint(of.lower, of.upper)),
        };
        let mut out = told.tell(reporting);
        out.rows.push(summaries::estimate::patients("model", self.n, self.noise_of_n.sqrt(), reporting));
        // Of a patient of the weight 1, as R's lm has it. An interval would suppose that residuals are normal.
        let unit = half * of.heaviest.unwrap_or(1.0).sqrt();
        let sd = Row::test("model", "residual sd", unit * sigma2.sqrt(), "");
        let noise_of_sd = unit * noise_of_residual / (2.0 * (sigma2.sqrt() * free).max(1e-12));
        out.rows.push(Row { dp_se: Some(noise_of_sd), ..sd });
        if exact {
            let note = if self.baselines > 0.0 { "in the sample, within hospitals" } else { "in the sample" };
            out.rows.push(Row::test("model", "R2", 1.0 - residual / self.whole, note));
        }
        Ok(out)
    }
}
