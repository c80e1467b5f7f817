//! What a fit says in the features' own units: coefficients, ratios and Wald's tests, each with both parts of the error, and the curves of
//! splines.
//!
//! The map from the coefficients of scaled rows to those in own units is linear, β = M θ, so a covariance C of θ is M C Mᵀ of β.
//! Wald's p is of β / se with the noise in se, so that the noise is no evidence; of several coefficients β together of β' C⁻¹ β, which is χ²
//! with as many degrees of freedom, or, where the residual's variance is estimated, F after division by them.

use nalgebra::{DMatrix, DVector};
use summaries::interval::{chi2_p, degrees_of_freedom, f_p, normal_p, normal_quantile, t_p, t_quantile};
use summaries::{Curve, Estimate, Reporting, Row, wald};

use crate::design::{Block, Design};
use crate::spline::Basis;

/// Points of a spline's curve.
const POINTS: usize = 40;

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

/// Coefficients in own units, and the covariance of each part of their error.
struct Own {
    beta: DVector<f64>,
    sampling: DMatrix<f64>,
    privacy: DMatrix<f64>,
}

impl Coefficients<'_> {
    /// All of it.
    pub(crate) fn tell(&self, reporting: &Reporting) -> Estimate {
        let (unit, middle) = self.outcome;
        let map = self.design.to_own_units() * unit;
        let mut own = Own {
            beta: &map * &self.theta,
            sampling: &map * &self.sampling * map.transpose(),
            privacy: &map * &self.privacy * map.transpose(),
        };
        if let Some(first) = own.beta.get_mut(0).filter(|_| self.design.is_intercept(0)) {
            *first += middle;
        }
        let q = 0.5 + reporting.confidence / 2.0;
        let q = self.free.map_or_else(|| normal_quantile(q), |free| t_quantile(q, free));
        let mut out = Estimate { rows: self.rows(&own, q), curves: Vec::new() };
        let blocks = self.design.blocks();
        for block in &blocks {
            let columns: Vec<usize> = block.columns.clone().collect();
            if columns.len() > 1 {
                out.rows.extend(self.together(&own, &block.name, &columns));
            }
            if let Some(basis) = &block.spline {
                let bent = columns.get(1..).unwrap_or_default();
                out.rows.extend(self.together(&own, &format!("{}, nonlinear", block.name), bent));
                // Where the spline interacts there is one curve for each value of the other.
                let interacts =
                    blocks.iter().any(|b| b.terms.len() > 1 && block.terms.iter().any(|t| b.terms.contains(t)));
                out.curves.extend((!interacts).then(|| self.curve(&own, block, basis, q)));
            }
        }
        out
    }

    fn rows(&self, own: &Own, q: f64) -> Vec<Row> {
        let note = match self.free {
            Some(free) => degrees_of_freedom(free),
            None => "Wald's, with the noise in its error".to_owned(),
        };
        let spread = |m: &DMatrix<f64>| m.diagonal().map(|v| v.max(0.0).sqrt());
        let (sampling, privacy) = (spread(&own.sampling), spread(&own.privacy));
        let mut out = Vec::new();
        for (i, name) in self.design.names().iter().enumerate() {
            let (Some(b), Some(s), Some(p)) = (own.beta.get(i), sampling.get(i), privacy.get(i)) else { continue };
            out.push(Row::normal(name, "coefficient", *b, *s, *p, q));
            let ratio = self.ratio.filter(|_| !self.design.is_intercept(i));
            out.extend(ratio.map(|r| Row::ratio(name, r, *b, *s, *p, q)));
            let error = s.hypot(*p);
            if error > 0.0 {
                let value = self.free.map_or_else(|| normal_p(b / error), |free| t_p(b / error, free));
                out.push(Row::test(name, "p", value, &note));
            }
        }
        out
    }

    /// Whether coefficients are all 0.
    fn together(&self, own: &Own, term: &str, columns: &[usize]) -> Vec<Row> {
        let pick = |m: &DMatrix<f64>| m.select_rows(columns).select_columns(columns);
        let beta = own.beta.select_rows(columns);
        let Some((chi2, rank)) = wald::chi2(&beta, &(pick(&own.sampling) + pick(&own.privacy))) else {
            return vec![Row::withheld(term, "wald p", "the coefficients have no error")];
        };
        let df = rank as f64;
        match self.free {
            None => {
                let note = degrees_of_freedom(df);
                vec![Row::test(term, "wald chi2", chi2, &note), Row::test(term, "wald p", chi2_p(chi2, df), &note)]
            }
            Some(free) => {
                let note = format!("{df} and {free:.0} degrees of freedom");
                let p = f_p(chi2 / df, df, free);
                vec![Row::test(term, "wald F", chi2 / df, &note), Row::test(term, "wald p", p, &note)]
            }
        }
    }

    /// A spline against its middle knot, over the public bounds.
    fn curve(&self, own: &Own, block: &Block, basis: &Basis, q: f64) -> Curve {
        let middle = basis.knots().get(basis.knots().len() / 2).copied().unwrap_or(0.0);
        let columns: Vec<usize> = block.columns.clone().collect();
        let pick = |m: &DMatrix<f64>| m.select_rows(&columns).select_columns(&columns);
        let (beta, spread) = (own.beta.select_rows(&columns), pick(&own.sampling) + pick(&own.privacy));
        let reference = DVector::from_vec(basis.own(middle));
        let (low, high) = basis.bounds();
        let point = |i: usize| {
            let x = low + (high - low) * i as f64 / POINTS as f64;
            let away = DVector::from_vec(basis.own(x)) - &reference;
            let (at, half) = (away.dot(&beta), q * (away.transpose() * &spread * &away)[(0, 0)].max(0.0).sqrt());
            let told = |v: f64| if self.ratio.is_some() { v.exp() } else { v };
            [x, told(at), told(at - half), told(at + half)]
        };
        let what = self.ratio.unwrap_or("difference");
        Curve {
            title: format!("{}: {what} against {middle}", block.name),
            kind: "line".into(),
            x_label: block.name.clone(),
            y_label: what.to_owned(),
            points: (0..=POINTS).map(point).collect(),
        }
    }
}

/// Every coefficient withheld, with the reason.
pub(crate) fn withheld(design: &Design, why: &str) -> Vec<Row> {
    design.names().iter().map(|n| Row::withheld(n, "coefficient", why)).collect()
}
