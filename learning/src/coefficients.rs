//! What a fit says in the features' own units: coefficients, ratios and Wald's p, each with both parts of the error.
//!
//! The map from the coefficients of scaled rows to those in own units is linear, β = M θ, so a covariance C of θ is M C Mᵀ of β.
//! Wald's p is of β / se with the noise in se, so that the noise is no evidence.

use nalgebra::{DMatrix, DVector};
use summaries::interval::{normal_p, normal_quantile, t_p, t_quantile};
use summaries::{Reporting, Row};

use crate::design::Design;

/// A fit of a design's scaled rows.
pub(crate) struct Coefficients<'a> {
    pub(crate) design: &'a Design,
    /// The coefficients of scaled rows.
    pub(crate) theta: DVector<f64>,
    /// Their covariance from sampling.
    pub(crate) sampling: DMatrix<f64>,
    /// Their covariance from the noise.
    pub(crate) privacy: DMatrix<f64>,
    /// What an exponentiated coefficient is called; `None` where it means nothing.
    pub(crate) ratio: Option<&'static str>,
    /// Degrees of freedom of the error; `None` where it is known.
    pub(crate) free: Option<f64>,
    /// How many units of the outcome are one of the scaled outcome, and what is added to the intercept.
    pub(crate) outcome: (f64, f64),
}

impl Coefficients<'_> {
    /// The rows of every coefficient.
    pub(crate) fn rows(&self, reporting: &Reporting) -> Vec<Row> {
        let (unit, middle) = self.outcome;
        let map = self.design.to_own_units() * unit;
        let mut beta = &map * &self.theta;
        if let Some(first) = beta.get_mut(0) {
            *first += middle;
        }
        let (sampling, privacy) = (&map * &self.sampling * map.transpose(), &map * &self.privacy * map.transpose());
        let spread = |m: &DMatrix<f64>| m.diagonal().map(|v| v.max(0.0).sqrt());
        let (sampling, privacy) = (spread(&sampling), spread(&privacy));
        let q = 0.5 + reporting.confidence / 2.0;
        let (q, note) = match self.free {
            Some(free) => (t_quantile(q, free), format!("{free:.0} degrees of freedom")),
            None => (normal_quantile(q), "Wald's, with the noise in its error".to_owned()),
        };
        let mut out = Vec::new();
        for (i, name) in self.design.names().iter().enumerate() {
            let (Some(b), Some(s), Some(p)) = (beta.get(i), sampling.get(i), privacy.get(i)) else { continue };
            out.push(Row::normal(name, "coefficient", *b, *s, *p, q));
            let ratio = self.ratio.filter(|_| !self.design.is_intercept(i));
            out.extend(ratio.map(|r| exponential(name, r, (*b, *s, *p), q)));
            let error = s.hypot(*p);
            if error > 0.0 {
                let value = self.free.map_or_else(|| normal_p(b / error), |free| t_p(b / error, free));
                out.push(Row::test(name, "p", value, &note));
            }
        }
        out
    }
}

/// e^b with an interval that is symmetric on the scale of b.
pub(crate) fn exponential(term: &str, statistic: &str, (b, s, p): (f64, f64, f64), q: f64) -> Row {
    let half = q * s.hypot(p);
    let row = Row::normal(term, statistic, b.exp(), b.exp() * s, b.exp() * p, q);
    Row { lower: Some((b - half).exp()), upper: Some((b + half).exp()), ..row }
}

/// Every coefficient withheld, with the reason.
pub(crate) fn withheld(design: &Design, why: &str) -> Vec<Row> {
    design.names().iter().map(|n| Row::withheld(n, "coefficient", why)).collect()
}
