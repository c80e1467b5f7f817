//! From features to design rows that are bounded by construction.
//!
//! A number is clipped to its public bounds and mapped to [−1, 1]; a category becomes indicators of its levels but the
//! first. A row is `x = (1, x')`; with m terms ‖x‖² is at most 1 + m, since at most one indicator of a category is 1. An interaction
//! of two terms adds the products of their columns, which are bounded in the same way, and counts as one more term.
//!
//! A design has a clip c, √(1 + m) or less. A row is given as u = x / c with a weight v = min(1, c²/‖x‖²), so that v·‖u‖ ≤ 1
//! and v·‖u‖² ≤ 1. The weight depends on the features alone, never on the outcome, so a likelihood weighted by v has the same
//! true coefficients: long rows count for less, and nothing is biased.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use summaries::statistic::{level, real};
use summaries::{AccumulateError, Input, MISSING, PatientBatch};

/// One feature of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Term {
    /// A number within public bounds.
    Real {
        /// Its name.
        name: String,
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// A category; the first level is the reference.
    Level {
        /// Its name.
        name: String,
        /// The levels' labels.
        levels: Vec<String>,
    },
}

/// The features of a model, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    terms: Vec<Term>,
    interactions: Vec<(usize, usize)>,
    intercept: bool,
    clip: Option<f64>,
}

impl Design {
    /// Of these terms, without a clip: every row has the weight 1.
    pub fn new(terms: Vec<Term>) -> Design {
        Design { terms, interactions: Vec::new(), intercept: true, clip: None }
    }

    /// The same with interactions: places of two different terms each. One that names no terms is left out.
    #[must_use]
    pub fn with_interactions(mut self, pairs: Vec<(usize, usize)>) -> Design {
        self.interactions = pairs.into_iter().filter(|(a, b)| a != b && a.max(b) < &self.terms.len()).collect();
        self
    }

    /// The same without an intercept, for models whose baseline takes it.
    #[must_use]
    pub fn without_intercept(mut self) -> Design {
        self.intercept = false;
        self
    }

    /// The same with a clip, in units of the scaled row `(1, x')`; one that no row exceeds, or that is not above 0, is none.
    #[must_use]
    pub fn clipped(mut self, clip: Option<f64>) -> Design {
        self.clip = clip.filter(|c| *c > 0.0 && *c < self.longest());
        self
    }

    fn longest(&self) -> f64 {
        (f64::from(u8::from(self.intercept)) + (self.terms.len() + self.interactions.len()) as f64).sqrt().max(1.0)
    }

    /// The columns of a term: a suffix of its name, and (middle, half range).
    fn columns(term: &Term) -> Vec<(String, f64, f64)> {
        match term {
            Term::Real { name, lower, upper } => {
                vec![(name.clone(), f64::midpoint(*lower, *upper), (upper - lower) / 2.0)]
            }
            Term::Level { name, levels } => levels.iter().skip(1).map(|l| (format!("{name}={l}"), 0.0, 1.0)).collect(),
        }
    }

    /// The place of each term's first column in a row.
    fn starts(&self) -> Vec<usize> {
        let mut next = usize::from(self.intercept);
        let mut out = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            out.push(next);
            next += Self::columns(term).len();
        }
        out
    }

    /// What the design reads: its terms' columns.
    pub fn inputs(&self) -> Vec<Input> {
        self.terms
            .iter()
            .map(|t| match t {
                Term::Real { .. } => Input::Real,
                Term::Level { levels, .. } => Input::Level(levels.len() as u32),
            })
            .collect()
    }

    /// The names of the coefficients, the intercept first.
    pub fn names(&self) -> Vec<String> {
        let mut out = if self.intercept { vec!["(intercept)".to_owned()] } else { Vec::new() };
        let columns: Vec<Vec<(String, f64, f64)>> = self.terms.iter().map(Self::columns).collect();
        out.extend(columns.iter().flatten().map(|(name, ..)| name.clone()));
        for (a, b) in &self.interactions {
            for (x, ..) in columns.get(*a).into_iter().flatten() {
                out.extend(columns.get(*b).into_iter().flatten().map(|(y, ..)| format!("{x}:{y}")));
            }
        }
        out
    }

    /// Columns of a row, the intercept included.
    pub fn width(&self) -> usize {
        self.names().len()
    }

    /// Whether the coefficient at a place is the intercept.
    pub fn is_intercept(&self, place: usize) -> bool {
        self.intercept && place == 0
    }

    /// The coefficients of rows u, as [`Design::rows`] gives them, that stand for this linear predictor where every scaled feature is 0:
    /// in the middle of all bounds and at all reference levels.
    pub fn intercept_alone(&self, eta: f64) -> Vec<f64> {
        let at = |place: usize| if self.is_intercept(place) { eta * self.norm() } else { 0.0 };
        (0..self.width()).map(at).collect()
    }

    /// What rows are divided by.
    pub fn norm(&self) -> f64 {
        self.clip.unwrap_or_else(|| self.longest())
    }

    /// The matrix that takes the coefficients θ of rows u, as [`Design::rows`] gives them, to those of the features in their own
    /// units: β = M θ. A scaled column is (x − m) / h, and a product of two such columns is
    /// (x y − m_y x − m_x y + m_x m_y) / (h_x h_y).
    pub fn to_own_units(&self) -> DMatrix<f64> {
        let d = self.width();
        let mut map = DMatrix::zeros(d, d);
        let norm = self.norm();
        let mut add = |row: usize, column: usize, value: f64| {
            if row < d && column < d {
                map[(row, column)] += value / norm;
            }
        };
        // Without an intercept, what would go into it goes into the baseline.
        let base = if self.intercept { Some(0) } else { None };
        if let Some(base) = base {
            add(base, base, 1.0);
        }
        let columns: Vec<Vec<(String, f64, f64)>> = self.terms.iter().map(Self::columns).collect();
        let starts = self.starts();
        let mut next = usize::from(self.intercept);
        for (_, m, h) in columns.iter().flatten() {
            add(next, next, 1.0 / h);
            if let Some(base) = base {
                add(base, next, -m / h);
            }
            next += 1;
        }
        for (a, b) in &self.interactions {
            let start = |t: &usize| starts.get(*t).copied().unwrap_or(d);
            for (i, (_, mx, hx)) in columns.get(*a).into_iter().flatten().enumerate() {
                for (j, (_, my, hy)) in columns.get(*b).into_iter().flatten().enumerate() {
                    let h = hx * hy;
                    add(next, next, 1.0 / h);
                    add(start(a) + i, next, -my / h);
                    add(start(b) + j, next, -mx / h);
                    if let Some(base) = base {
                        add(base, next, mx * my / h);
                    }
                    next += 1;
                }
            }
        }
        map
    }

    /// Calls `f` with the place, the row u and the weight v of each patient who has no missing feature.
    ///
    /// # Errors
    /// The batch does not fit the design, or `f` failed.
    pub fn rows(
        &self,
        statistic: &'static str,
        patients: &PatientBatch,
        mut f: impl FnMut(usize, &[f64], f64) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        enum View<'a> {
            Real(&'a [f64], f64, f64),
            Level(&'a [u32], u32),
        }
        let mut views = Vec::with_capacity(self.terms.len());
        for (place, t) in self.terms.iter().enumerate() {
            views.push(match t {
                Term::Real { lower, upper, .. } => View::Real(real(statistic, patients, place)?, *lower, *upper),
                Term::Level { levels, .. } => View::Level(level(statistic, patients, place)?, levels.len() as u32),
            });
        }
        let shrink = 1.0 / self.norm();
        let starts = self.starts();
        let widths: Vec<usize> = self.terms.iter().map(|t| Self::columns(t).len()).collect();
        let mut row: Vec<f64> = Vec::with_capacity(self.width());
        'patients: for patient in 0..patients.patients() {
            row.clear();
            if self.intercept {
                row.push(shrink);
            }
            for view in &views {
                match view {
                    View::Real(values, lower, upper) => {
                        let x = values.get(patient).copied().unwrap_or(f64::NAN);
                        if x.is_nan() {
                            continue 'patients;
                        }
                        let scaled =
                            (x.clamp(*lower, *upper) - f64::midpoint(*lower, *upper)) / ((upper - lower) / 2.0);
                        row.push(scaled.clamp(-1.0, 1.0) * shrink);
                    }
                    View::Level(values, levels) => {
                        let l = values.get(patient).copied().unwrap_or(MISSING);
                        if l >= *levels {
                            continue 'patients;
                        }
                        row.extend((1..*levels).map(|i| if i == l { shrink } else { 0.0 }));
                    }
                }
            }
            for (a, b) in &self.interactions {
                let at = |t: usize| (starts.get(t).copied().unwrap_or(0), widths.get(t).copied().unwrap_or(0));
                let ((from_a, n_a), (from_b, n_b)) = (at(*a), at(*b));
                for i in from_a..from_a + n_a {
                    for j in from_b..from_b + n_b {
                        let product = row.get(i).copied().unwrap_or(0.0) * row.get(j).copied().unwrap_or(0.0);
                        row.push(product / shrink);
                    }
                }
            }
            let squared: f64 = row.iter().map(|u| u * u).sum();
            f(patient, &row, if squared > 1.0 { 1.0 / squared } else { 1.0 })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use summaries::Column;

    #[test]
    fn rows_are_within_the_unit_ball_and_the_incomplete_are_left_out() {
        let d = Design::new(vec![
            Term::Real { name: "a".into(), lower: 0.0, upper: 10.0 },
            Term::Level { name: "c".into(), levels: vec!["x".into(), "y".into(), "z".into()] },
        ]);
        assert_eq!(d.names(), ["(intercept)", "a", "c=y", "c=z"]);
        let batch = PatientBatch::new(
            4,
            vec![Column::Real(vec![10.0, f64::NAN, 1e300, 0.0]), Column::Level(vec![2, 1, 0, MISSING])],
        )
        .unwrap();
        for design in [d.clone(), d.clipped(Some(1.2))] {
            let mut seen = Vec::new();
            design
                .rows("t", &batch, |i, row, v| {
                    let squared: f64 = row.iter().map(|x| x * x).sum();
                    assert!(v * squared <= 1.0 + 1e-12 && v * squared.sqrt() <= 1.0 + 1e-12);
                    seen.push(i);
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen, [0, 2]);
        }
    }
}
