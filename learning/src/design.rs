//! From features to design rows that are bounded by construction.
//!
//! A number is clipped to its public bounds and mapped to [−1, 1]; a category becomes indicators of its levels but the
//! first. A row is `x = (1, x')`; with m terms ‖x‖² is at most 1 + m, since at most one indicator of a category is 1. An interaction
//! of two terms adds the products of their columns, which are bounded in the same way, and counts as one more term. A spline of k knots
//! has k − 1 columns within [−1, 1] and counts as so many terms; an interaction with it too.
//!
//! A design has a clip c, √(1 + m) or less. A row is given as u = x / c with a weight v = min(1, c²/‖x‖²), so that v·‖u‖ ≤ 1
//! and v·‖u‖² ≤ 1. The weight depends on the features alone, never on the outcome, so a likelihood weighted by v has the same
//! true coefficients: long rows count for less, and nothing is biased.

use nalgebra::DMatrix;
use summaries::statistic::{level, real};
use summaries::{AccumulateError, Input, MISSING, PatientBatch};

use crate::spline::Basis;

/// Patients whose rows are made at once.
const BLOCK: usize = 128;

/// One feature of a model.
#[derive(Clone, Debug, PartialEq)]
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
    /// A number within public bounds, by a spline.
    Spline {
        /// Its name.
        name: String,
        /// The columns.
        basis: Basis,
    },
    /// A category; the first level is the reference.
    Level {
        /// Its name.
        name: String,
        /// The levels' labels.
        levels: Vec<String>,
    },
}

impl Term {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Term::Real { name, .. } | Term::Spline { name, .. } | Term::Level { name, .. } => name,
        }
    }

    /// The names of its columns.
    fn columns(&self) -> Vec<String> {
        match self {
            Term::Real { name, .. } => vec![name.clone()],
            Term::Spline { name, basis } => (0..basis.columns()).map(|i| format!("{name}{}", "'".repeat(i))).collect(),
            Term::Level { name, levels } => levels.iter().skip(1).map(|l| format!("{name}={l}")).collect(),
        }
    }

    /// The most that its columns add to the squared norm of a row.
    fn most(&self) -> f64 {
        if let Term::Spline { basis, .. } = self { basis.columns() as f64 } else { 1.0 }
    }

    /// The scaled columns of a value, of a category the place of its level; `false` where it is none.
    fn scaled(&self, x: f64, out: &mut [f64]) -> bool {
        if x.is_nan() {
            return false;
        }
        match self {
            Term::Real { lower, upper, .. } => {
                let u = (x.clamp(*lower, *upper) - f64::midpoint(*lower, *upper)) / ((upper - lower) / 2.0);
                out.iter_mut().for_each(|slot| *slot = u.clamp(-1.0, 1.0));
            }
            Term::Spline { basis, .. } => out.iter_mut().zip(basis.scaled(x)).for_each(|(slot, b)| *slot = b),
            Term::Level { levels, .. } if x < levels.len() as f64 => {
                out.iter_mut().zip(1u32..).for_each(|(slot, l)| *slot = f64::from(u8::from(f64::from(l) == x)));
            }
            Term::Level { .. } => return false,
        }
        true
    }

    /// The map from (1, columns in own units) to (1, scaled columns).
    fn scaling(&self) -> DMatrix<f64> {
        match self {
            Term::Real { lower, upper, .. } => {
                let half = (upper - lower) / 2.0;
                DMatrix::from_row_slice(2, 2, &[1.0, 0.0, -f64::midpoint(*lower, *upper) / half, 1.0 / half])
            }
            Term::Spline { basis, .. } => basis.map().clone(),
            Term::Level { levels, .. } => DMatrix::identity(levels.len().max(1), levels.len().max(1)),
        }
    }
}

/// Columns that belong together: of a term, or of an interaction.
pub(crate) struct Block {
    /// What it is called.
    pub(crate) name: String,
    /// The places of its columns in a row.
    pub(crate) columns: std::ops::Range<usize>,
    /// The spline, where it is one.
    pub(crate) spline: Option<Basis>,
    /// The terms that it is of.
    pub(crate) terms: Vec<usize>,
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

    /// The same with an intercept.
    #[must_use]
    pub fn with_intercept(mut self) -> Design {
        self.intercept = true;
        self
    }

    /// The same with a clip, in units of the scaled row `(1, x')`; one that no row exceeds, or that is not above 0, is none.
    #[must_use]
    pub fn clipped(mut self, clip: Option<f64>) -> Design {
        self.clip = clip.filter(|c| *c > 0.0 && *c < self.longest());
        self
    }

    fn longest(&self) -> f64 {
        let most = |t: usize| self.terms.get(t).map_or(1.0, Term::most);
        let terms: f64 = self.terms.iter().map(Term::most).sum();
        let products: f64 = self.interactions.iter().map(|(a, b)| most(*a) * most(*b)).sum();
        (f64::from(u8::from(self.intercept)) + terms + products).sqrt().max(1.0)
    }

    /// The place of each term's first column in a row.
    fn starts(&self) -> Vec<usize> {
        let mut next = usize::from(self.intercept);
        let mut out = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            out.push(next);
            next += term.columns().len();
        }
        out
    }

    /// What the design reads: its terms' columns.
    pub fn inputs(&self) -> Vec<Input> {
        self.terms
            .iter()
            .map(|t| match t {
                Term::Real { .. } | Term::Spline { .. } => Input::Real,
                Term::Level { levels, .. } => Input::Level(levels.len() as u32),
            })
            .collect()
    }

    /// The names of the coefficients, the intercept first.
    pub fn names(&self) -> Vec<String> {
        let mut out = if self.intercept { vec!["(intercept)".to_owned()] } else { Vec::new() };
        let columns: Vec<Vec<String>> = self.terms.iter().map(Term::columns).collect();
        out.extend(columns.iter().flatten().cloned());
        for (a, b) in &self.interactions {
            for x in columns.get(*a).into_iter().flatten() {
                out.extend(columns.get(*b).into_iter().flatten().map(|y| format!("{x}:{y}")));
            }
        }
        out
    }

    /// The columns of each term and each interaction.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut next = usize::from(self.intercept);
        let mut block = |name: String, width: usize, spline: Option<Basis>, terms: Vec<usize>| {
            next += width;
            Block { name, columns: next - width..next, spline, terms }
        };
        let mut out = Vec::new();
        for (place, t) in self.terms.iter().enumerate() {
            let spline = if let Term::Spline { basis, .. } = t { Some(basis.clone()) } else { None };
            out.push(block(t.name().to_owned(), t.columns().len(), spline, vec![place]));
        }
        for (a, b) in &self.interactions {
            if let (Some(x), Some(y)) = (self.terms.get(*a), self.terms.get(*b)) {
                let width = x.columns().len() * y.columns().len();
                out.push(block(format!("{}:{}", x.name(), y.name()), width, None, vec![*a, *b]));
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

    /// Whether the coefficient at a place is of a level of a category.
    pub fn is_indicator(&self, place: usize) -> bool {
        let of = |(t, start): (&Term, usize)| {
            matches!(t, Term::Level { .. }) && (start..start + t.columns().len()).contains(&place)
        };
        self.terms.iter().zip(self.starts()).any(of)
    }

    /// The places of the columns of each category's levels.
    pub(crate) fn categories(&self) -> Vec<std::ops::Range<usize>> {
        let is_category = |(t, _): &(&Term, usize)| matches!(t, Term::Level { .. });
        let places = self.terms.iter().zip(self.starts()).filter(is_category);
        places.map(|(t, start)| start..start + t.columns().len()).collect()
    }

    /// How the reference level of a category is called.
    pub(crate) fn reference(&self, category: usize) -> Option<String> {
        let named = |t: &Term| match t {
            Term::Level { name, levels } => Some(format!("{name}={}", levels.first()?)),
            _ => None,
        };
        self.terms.iter().filter_map(named).nth(category)
    }

    /// The least, the value of 0 and that of 1 of a scaled column, in the feature's own unit; of a level the value is its share. `None` of a spline's columns and of interactions'.
    pub(crate) fn own_unit(&self, column: &str) -> Option<[f64; 3]> {
        self.terms.iter().find_map(|t| match t {
            Term::Real { name, lower, upper } if name == column => {
                Some([*lower, f64::midpoint(*lower, *upper), *upper])
            }
            Term::Level { .. } if t.columns().iter().any(|c| c == column) => Some([0.0, 0.0, 1.0]),
            _ => None,
        })
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
    /// units: β = M θ. The scaled columns b of a term are an affine map of its own columns f, (1, b) = A (1, f), so a product of two
    /// terms' columns is a sum of products of 1, their own columns, and these columns' products.
    pub fn to_own_units(&self) -> DMatrix<f64> {
        let d = self.width();
        let mut map = DMatrix::zeros(d, d);
        let norm = self.norm();
        // Without an intercept, what would go into it goes into the baseline.
        let mut add = |row: Option<usize>, column: usize, value: f64| {
            if let Some(row) = row.filter(|r| r.max(&column) < &d) {
                map[(row, column)] += value / norm;
            }
        };
        let base = self.intercept.then_some(0);
        if self.intercept {
            add(base, 0, 1.0);
        }
        let scalings: Vec<DMatrix<f64>> = self.terms.iter().map(Term::scaling).collect();
        let starts = self.starts();
        // The place of a term's own column; the place 0 of a term is 1.
        let own = |t: usize, p: usize| if p == 0 { base } else { starts.get(t).map(|s| s + p - 1) };
        for (t, scaling) in scalings.iter().enumerate() {
            for (i, start) in (1..scaling.nrows()).zip(starts.get(t).copied().unwrap_or(d)..) {
                (0..scaling.ncols()).for_each(|p| add(own(t, p), start, scaling[(i, p)]));
            }
        }
        let mut next = d.saturating_sub(self.products());
        for (a, b) in &self.interactions {
            let (Some(x), Some(y)) = (scalings.get(*a), scalings.get(*b)) else { continue };
            let (first, width) = (next, y.nrows() - 1);
            for i in 1..x.nrows() {
                for j in 1..y.nrows() {
                    for p in 0..x.ncols() {
                        for q in 0..y.ncols() {
                            let row = match (p, q) {
                                (p, 0) => own(*a, p),
                                (0, q) => own(*b, q),
                                (p, q) => Some(first + (p - 1) * width + q - 1),
                            };
                            add(row, next, x[(i, p)] * y[(j, q)]);
                        }
                    }
                    next += 1;
                }
            }
        }
        map
    }

    /// What one unit of each coefficient θ adds to a baseline of its own, told where all features are 0 in their own units: the first row of
    /// [`Design::to_own_units`] with an intercept, for a design without.
    pub fn shift(&self) -> Vec<f64> {
        let with = Design { intercept: true, clip: None, ..self.clone() };
        let (map, scale) = (with.to_own_units(), with.norm() / self.norm());
        (1..map.ncols()).map(|k| map[(0, k)] * scale).collect()
    }

    /// Columns of all interactions.
    fn products(&self) -> usize {
        let width = |t: usize| self.terms.get(t).map_or(0, |t| t.columns().len());
        self.interactions.iter().map(|(a, b)| width(*a) * width(*b)).sum()
    }

    /// How many columns the terms have, without the intercept and interactions.
    pub(crate) fn bases(&self) -> usize {
        self.terms.iter().map(|t| t.columns().len()).sum()
    }

    /// Of each column of the terms, its term; and whether it is of a level of a category.
    pub(crate) fn base_terms(&self) -> Vec<(usize, bool)> {
        let of = |(place, t): (usize, &Term)| vec![(place, matches!(t, Term::Level { .. })); t.columns().len()];
        self.terms.iter().enumerate().flat_map(of).collect()
    }

    /// The most that the scaled columns of a term add to the squared norm of a row.
    pub(crate) fn most_of(&self, term: usize) -> f64 {
        self.terms.get(term).map_or(0.0, Term::most)
    }

    /// The terms.
    pub(crate) fn all(&self) -> &[Term] {
        &self.terms
    }

    /// The names of the terms.
    pub(crate) fn terms(&self) -> Vec<&str> {
        self.terms.iter().map(Term::name).collect()
    }

    /// Of each interaction's column, the two columns of terms that it is the product of, as [`Design::bases`] counts them.
    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        let starts = self.clone().without_intercept().starts();
        let width = |t: usize| self.terms.get(t).map_or(0, |t| t.columns().len());
        let at = |t: usize| starts.get(t).copied().unwrap_or(0);
        let of = |(a, b): &(usize, usize)| {
            let (b, from) = (*b, at(*a));
            (from..from + width(*a)).flat_map(move |i| (at(b)..at(b) + width(b)).map(move |j| (i, j))).collect()
        };
        self.interactions.iter().flat_map(|pair| -> Vec<(usize, usize)> { of(pair) }).collect()
    }

    /// Calls `f` with the place of each patient, the scaled columns of the terms, and which terms the patient lacks: their columns are 0.
    ///
    /// # Errors
    /// The batch does not fit the design, or `f` failed.
    pub(crate) fn each(
        &self,
        statistic: &'static str,
        patients: &PatientBatch,
        mut f: impl FnMut(usize, &mut [f64], &[bool]) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        enum Values<'a> {
            Real(&'a [f64]),
            Level(&'a [u32]),
        }
        let mut values = Vec::with_capacity(self.terms.len());
        for (place, t) in self.terms.iter().enumerate() {
            values.push(match t {
                Term::Real { .. } | Term::Spline { .. } => Values::Real(real(statistic, patients, place)?),
                Term::Level { .. } => Values::Level(level(statistic, patients, place)?),
            });
        }
        let widths: Vec<usize> = self.terms.iter().map(|t| t.columns().len()).collect();
        let (mut row, mut lacks) = (vec![0.0; self.bases()], vec![false; self.terms.len()]);
        for patient in 0..patients.patients() {
            row.fill(0.0);
            let mut rest = row.as_mut_slice();
            for (((t, v), width), lack) in self.terms.iter().zip(&values).zip(&widths).zip(&mut lacks) {
                let (own, more) = rest.split_at_mut_checked(*width).unwrap_or_default();
                rest = more;
                *lack = !t.scaled(
                    match v {
                        Values::Real(v) => v.get(patient).copied().unwrap_or(f64::NAN),
                        Values::Level(v) => {
                            v.get(patient).filter(|l| **l != MISSING).map_or(f64::NAN, |l| f64::from(*l))
                        }
                    },
                    own,
                );
            }
            f(patient, &mut row, &lacks)?;
        }
        Ok(())
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
            Spline(&'a [f64], &'a Basis),
            Level(&'a [u32], u32),
        }
        let mut views = Vec::with_capacity(self.terms.len());
        for (place, t) in self.terms.iter().enumerate() {
            views.push(match t {
                Term::Real { lower, upper, .. } => View::Real(real(statistic, patients, place)?, *lower, *upper),
                Term::Spline { basis, .. } => View::Spline(real(statistic, patients, place)?, basis),
                Term::Level { levels, .. } => View::Level(level(statistic, patients, place)?, levels.len() as u32),
            });
        }
        let shrink = 1.0 / self.norm();
        let starts = self.starts();
        let widths: Vec<usize> = self.terms.iter().map(|t| t.columns().len()).collect();
        let width = self.width() - self.products();
        let mut block = vec![0.0; BLOCK * width];
        let mut lacks = [false; BLOCK];
        let mut row: Vec<f64> = Vec::with_capacity(self.width());
        let all = patients.patients();
        for patient in 0..all {
            let within = patient % BLOCK;
            if within == 0 {
                // Column by column, for so many patients at once.
                let many = BLOCK.min(all - patient);
                lacks.fill(false);
                if self.intercept {
                    block.iter_mut().step_by(width.max(1)).for_each(|u| *u = shrink);
                }
                for (view, start) in views.iter().zip(&starts) {
                    let rows = block.chunks_exact_mut(width.max(1)).filter_map(|r| r.get_mut(*start..)).take(many);
                    match view {
                        View::Real(values, lower, upper) => {
                            let (middle, half) = (f64::midpoint(*lower, *upper), (upper - lower) / 2.0);
                            let own = values.get(patient..).unwrap_or_default();
                            if own.len() < many {
                                lacks.iter_mut().skip(own.len()).for_each(|l| *l = true);
                            }
                            for ((r, x), lack) in rows.zip(own).zip(&mut lacks) {
                                *lack |= x.is_nan();
                                if let Some(u) = r.first_mut() {
                                    *u = ((x.clamp(*lower, *upper) - middle) / half).clamp(-1.0, 1.0) * shrink;
                                }
                            }
                        }
                        View::Spline(values, basis) => {
                            for (i, r) in rows.enumerate() {
                                let x = values.get(patient + i).copied().unwrap_or(f64::NAN);
                                if x.is_nan() {
                                    lacks.iter_mut().skip(i).take(1).for_each(|l| *l = true);
                                    continue;
                                }
                                r.iter_mut().zip(basis.scaled(x)).for_each(|(u, b)| *u = b * shrink);
                            }
                        }
                        View::Level(values, levels) => {
                            for (i, r) in rows.enumerate() {
                                let l = values.get(patient + i).copied().unwrap_or(MISSING);
                                if l >= *levels {
                                    lacks.iter_mut().skip(i).take(1).for_each(|l| *l = true);
                                    continue;
                                }
                                for (u, level) in r.iter_mut().zip(1..*levels) {
                                    *u = if level == l { shrink } else { 0.0 };
                                }
                            }
                        }
                    }
                }
            }
            if lacks.get(within).copied().unwrap_or(true) {
                continue;
            }
            row.clear();
            row.extend(block.get(within * width..(within + 1) * width).unwrap_or_default());
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
