//! From features to design rows that are bounded by construction.
//!
//! A number is clipped to its public bounds and mapped to [−1, 1]; a category becomes indicators of its levels but the
//! first. A row is `x = (1, x')`; with m terms ‖x‖² is at most 1 + m, since at most one indicator of a category is 1.
//!
//! A design has a clip c, √(1 + m) or less. A row is given as u = x / c with a weight v = min(1, c²/‖x‖²), so that v·‖u‖ ≤ 1
//! and v·‖u‖² ≤ 1. The weight depends on the features alone, never on the outcome, so a likelihood weighted by v has the same
//! true coefficients: long rows count for less, and nothing is biased.

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
    clip: Option<f64>,
}

impl Design {
    /// Of these terms, without a clip: every row has the weight 1.
    pub fn new(terms: Vec<Term>) -> Design {
        Design { terms, clip: None }
    }

    /// The same with a clip, in units of the scaled row `(1, x')`; one that no row exceeds, or that is not above 0, is none.
    #[must_use]
    pub fn clipped(mut self, clip: Option<f64>) -> Design {
        self.clip = clip.filter(|c| *c > 0.0 && *c < self.longest());
        self
    }

    fn longest(&self) -> f64 {
        (1.0 + self.terms.len() as f64).sqrt()
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
        let mut out = vec!["(intercept)".to_owned()];
        for t in &self.terms {
            match t {
                Term::Real { name, .. } => out.push(name.clone()),
                Term::Level { name, levels } => {
                    out.extend(levels.iter().skip(1).map(|l| format!("{name}={l}")));
                }
            }
        }
        out
    }

    /// Columns of a row, the intercept included.
    pub fn width(&self) -> usize {
        self.names().len()
    }

    /// What rows are divided by.
    pub fn norm(&self) -> f64 {
        self.clip.unwrap_or_else(|| self.longest())
    }

    /// For each coefficient of a scaled column (middle, half range): x' = (x − middle) / half. Indicators and the intercept
    /// have (0, 1).
    pub fn scales(&self) -> Vec<(f64, f64)> {
        let mut out = vec![(0.0, 1.0)];
        for t in &self.terms {
            match t {
                Term::Real { lower, upper, .. } => {
                    out.push((f64::midpoint(*lower, *upper), (upper - lower) / 2.0));
                }
                Term::Level { levels, .. } => out.extend(levels.iter().skip(1).map(|_| (0.0, 1.0))),
            }
        }
        out
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
        let mut row = Vec::with_capacity(self.width());
        'patients: for patient in 0..patients.patients() {
            row.clear();
            row.push(shrink);
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
