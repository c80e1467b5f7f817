//! A ridge penalty: λ/2 times the sum of squared coefficients is taken from the log-likelihood (Hoerl and Kennard 1970; le Cessie and van
//! Houwelingen 1992), so that few patients and many features give a model that tells new patients better.
//!
//! The coefficients are those of the features in their own units, as the study reads them, the intercept left out: β = M θ of the scaled
//! rows' coefficients θ, so the penalty is θᵀ R θ / 2 with R = λ Mᵀ D M, D the identity but 0 for the intercept. It depends on no patient:
//! the sites release what they would without it, and it costs nothing.
//!
//! With P = (H + R)⁻¹ the spread of the penalised estimate is P H P = P − P R P from sampling and P N P from noise. It is around the
//! penalised truth, which is nearer to 0 than the truth: an interval that does not hold that bias is no test of anything, so none is told.

use nalgebra::{DMatrix, DVector};
use summaries::{Estimate, Row};

use crate::design::Design;

/// What is said of a coefficient.
const NOTE: &str = "shrunk by the penalty; the interval does not hold its bias";

/// A penalty in the coordinates of a design's scaled rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ridge {
    penalty: f64,
    /// R.
    pub(crate) matrix: DMatrix<f64>,
}

impl Ridge {
    /// Of this λ, in squared units of one over the features'. `None` where it is not above 0.
    pub(crate) fn of(design: &Design, penalty: f64) -> Option<Ridge> {
        if !(penalty > 0.0 && penalty.is_finite()) {
            return None;
        }
        let map = design.to_own_units();
        let mut told = map.clone();
        (0..told.nrows()).filter(|i| design.is_intercept(*i)).for_each(|i| told.row_mut(i).fill(0.0));
        Some(Ridge { penalty, matrix: map.transpose() * told * penalty })
    }

    /// The same for sums that were divided by a unit.
    pub(crate) fn per(&self, unit: f64) -> DMatrix<f64> {
        &self.matrix / unit
    }

    /// What a penalised fit says: the coefficients and their ratios with a note, no test, and the penalty.
    pub(crate) fn told(&self, estimate: &mut Estimate) {
        estimate.rows.retain(|r| r.suppressed || !(r.statistic == "p" || r.statistic.starts_with("wald")));
        for row in estimate.rows.iter_mut().filter(|r| r.se.is_some() && r.note.is_empty()) {
            NOTE.clone_into(&mut row.note);
        }
        let note = "half of it times the sum of squared coefficients, the intercept left out, is taken from the log-likelihood";
        estimate.rows.push(Row::test("model", "penalty", self.penalty, note));
    }
}

/// The slope with the penalty's part, at coefficients θ.
pub(crate) fn pulled(slope: &DVector<f64>, ridge: &DMatrix<f64>, theta: &[f64]) -> DVector<f64> {
    slope - ridge * DVector::from_column_slice(theta)
}

/// P H P, of the inverse P of a penalised curvature.
pub(crate) fn sampling(inverse: &DMatrix<f64>, ridge: &DMatrix<f64>) -> DMatrix<f64> {
    inverse - inverse * ridge * inverse
}
