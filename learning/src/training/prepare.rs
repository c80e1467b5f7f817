//! How a scaled column of a design becomes an input of the network: less a shift, times a factor. Both are public, or were released with
//! noise; so one patient moves no other's row.
//!
//! What was released is frozen: it stands in front of the parameters of every later round, and of the model. These are, of each column of a
//! term, its mean and 1 over its standard deviation, or 1 where it is not standardised. Products of columns (interactions) are of columns that are
//! ready, and have no moments of their own. Who lacks a term has its columns' means, and may have an indicator of that as one more input.

use crate::design::Design;

/// What becomes of patients who lack a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// They are left out.
    #[default]
    Drop,
    /// They have the mean of those who have it; of a category the levels' shares.
    Mean,
    /// The same, and an input beside it that says so.
    Indicator,
}

/// What is learned of columns before training begins, in a round of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Whether numbers are standardised by their mean and standard deviation.
    pub moments: bool,
    /// Who lacks a feature.
    pub missing: Missing,
    /// The round's share of the charge, between 0 and 1.
    pub share: f64,
}

impl Learned {
    /// Whether a round is needed.
    pub fn is_needed(&self) -> bool {
        self.moments || self.missing != Missing::Drop
    }
}

/// What is released of a design's columns, and how many numbers are frozen of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) learned: Learned,
    /// Of each column of a term its term, and whether it is of a level of a category.
    pub(crate) columns: Vec<(usize, bool)>,
    /// Terms.
    pub(crate) terms: usize,
    /// Of each product the two columns.
    pairs: Vec<(usize, usize)>,
}

impl Plan {
    pub(crate) fn new(design: &Design, learned: Learned) -> Plan {
        Plan { learned, columns: design.base_terms(), terms: design.terms().len(), pairs: design.pairs() }
    }

    /// Numbers in front of the parameters.
    pub(crate) fn numbers(&self) -> usize {
        2 * self.columns.len()
    }

    /// Inputs beside the design's columns.
    pub(crate) fn indicators(&self) -> usize {
        if self.learned.missing == Missing::Indicator { self.terms } else { 0 }
    }

    /// Whether a column is standardised.
    pub(crate) fn is_standardised(&self, column: usize) -> bool {
        self.learned.moments && self.columns.get(column).is_some_and(|(_, is_level)| !is_level)
    }
}

/// How columns become inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    /// A shift and a factor for each column of a term; none where they stay as they are.
    affine: Vec<[f64; 2]>,
    /// What the columns of a term are that a patient lacks.
    fill: Vec<f64>,
    missing: Missing,
    pairs: Vec<(usize, usize)>,
}

impl Prepared {
    /// Columns of numbers in their own units, though within their bounds still. `None` where a design has splines or interactions.
    pub fn own_units(design: &Design) -> Option<Prepared> {
        let names = design.clone().without_intercept().names();
        let of = |name: &String| {
            let [_, middle, upper] = design.own_unit(name)?;
            Some([-middle / (upper - middle), upper - middle])
        };
        let affine = names.iter().map(of).collect::<Option<Vec<_>>>()?;
        Some(Prepared { affine, ..Prepared::default() })
    }

    /// The same with what was frozen; `None` where that does not fit the plan.
    pub(crate) fn frozen(&self, plan: &Plan, numbers: &[f64]) -> Option<Prepared> {
        let fits = numbers.len() == plan.numbers() && numbers.iter().all(|x| x.is_finite());
        let (pairs, _) = numbers.as_chunks::<2>();
        let known = |column: usize| self.affine.get(column).copied().unwrap_or([0.0, 1.0]);
        let own = |(column, [mean, factor]): (usize, &[f64; 2])| {
            if plan.is_standardised(column) { [*mean, *factor] } else { known(column) }
        };
        let affine: Vec<[f64; 2]> = pairs.iter().enumerate().map(own).collect();
        let fill = pairs.iter().zip(&affine).map(|([mean, _], [shift, factor])| (mean - shift) * factor).collect();
        let out = Prepared { affine, fill, missing: plan.learned.missing, pairs: plan.pairs.clone() };
        (fits && pairs.iter().all(|[_, factor]| *factor > 0.0)).then_some(out)
    }

    /// The shift and the factor of a column of a term, and what it is, ready, where the term is missing.
    pub(crate) fn of_column(&self, column: usize) -> ([f64; 2], Option<f64>) {
        let fill = self.fill.get(column).copied().filter(|_| self.missing != Missing::Drop);
        (self.affine.get(column).copied().unwrap_or([0.0, 1.0]), fill)
    }

    /// One row of scaled columns, ready.
    pub(crate) fn apply(&self, row: &mut [f64]) {
        row.iter_mut().zip(&self.affine).for_each(|(x, [shift, factor])| *x = (*x - shift) * factor);
    }

    /// Inputs from the scaled columns of the terms, of a patient who lacks some of these; `false` where the patient is left out.
    pub(crate) fn complete(&self, plan: &Plan, bases: &mut [f64], lacks: &[bool], out: &mut [f64]) -> bool {
        if plan.learned.missing == Missing::Drop && lacks.contains(&true) {
            return false;
        }
        self.apply(bases);
        for ((x, fill), (term, _)) in bases.iter_mut().zip(&self.fill).zip(&plan.columns) {
            if lacks.get(*term).copied().unwrap_or(false) {
                *x = *fill;
            }
        }
        let at = |column: &usize| bases.get(*column).copied().unwrap_or(0.0);
        let products = plan.pairs.iter().map(|(a, b)| at(a) * at(b));
        let indicators = lacks.iter().take(plan.indicators()).map(|l| f64::from(u8::from(*l)));
        let all = bases.iter().copied().chain(products).chain(indicators);
        out.iter_mut().zip(all).for_each(|(slot, x)| *slot = x);
        true
    }

    /// A unit's bias and weights, as those of scaled columns.
    pub(crate) fn of_scaled(&self, unit: &[f64]) -> Vec<f64> {
        let mut out = unit.to_vec();
        let affine = |column: usize| self.affine.get(column).copied().unwrap_or([0.0, 1.0]);
        let first = 1 + self.affine.len();
        let mut add = |place: usize, value: f64| {
            if let Some(slot) = out.get_mut(place) {
                *slot += value;
            }
        };
        // (a − s)f (b − t)g = fg (ab − ta − sb + st).
        for ((a, b), (place, w)) in self.pairs.iter().zip(unit.iter().enumerate().skip(first)) {
            let ([s, f], [t, g]) = (affine(*a), affine(*b));
            let scaled = w * f * g;
            add(place, scaled - w);
            // In units of the column that is ready, since its own factor comes below.
            add(1 + a, -scaled * t / f);
            add(1 + b, -scaled * s / g);
            add(0, -scaled * s * t);
        }
        let Some((bias, weights)) = out.split_first_mut() else { return out };
        for (w, [shift, factor]) in weights.iter_mut().zip(&self.affine) {
            *w *= factor;
            *bias -= *w * shift;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::Term;

    fn design() -> Design {
        let levels = vec!["x".into(), "y".into()];
        Design::new(vec![
            Term::Real { name: "a".into(), lower: 10.0, upper: 30.0 },
            Term::Level { name: "c".into(), levels },
        ])
    }

    #[test]
    fn own_units_come_back() {
        let prepared = Prepared::own_units(&design()).unwrap();
        // 25 lies halfway from the middle to the upper bound.
        let mut row = [0.5, 1.0];
        prepared.apply(&mut row);
        assert_eq!(row, [25.0, 1.0]);
        // The same predictor: 3 + 2·25 − 4 = 49.
        let of = prepared.of_scaled(&[3.0, 2.0, -4.0]);
        assert!((of[0] + 0.5 * of[1] + of[2] - 49.0).abs() < 1e-12, "{of:?}");
    }

    #[test]
    fn what_is_frozen_is_applied_and_taken_back() {
        let real = |name: &str| Term::Real { name: name.into(), lower: -1.0, upper: 1.0 };
        let design = Design::new(vec![real("a"), real("b")]).with_interactions(vec![(0, 1)]).without_intercept();
        let plan = Plan::new(&design, Learned { moments: true, missing: Missing::Indicator, share: 0.1 });
        let prepared = Prepared::default().frozen(&plan, &[0.2, 4.0, -0.1, 5.0]).unwrap();
        let inputs = |a: Option<f64>, b: Option<f64>| {
            let mut out = [0.0; 5];
            let mut bases = [a.unwrap_or(0.0), b.unwrap_or(0.0)];
            assert!(prepared.complete(&plan, &mut bases, &[a.is_none(), b.is_none()], &mut out));
            out
        };
        let [a, b, product, ..] = inputs(Some(0.7), Some(0.3));
        assert!((a - 2.0).abs() < 1e-12 && (b - 2.0).abs() < 1e-12 && (product - 4.0).abs() < 1e-12);
        let own = inputs(None, Some(0.3));
        assert!(own[0] == 0.0 && own[2] == 0.0 && own[3..] == [1.0, 0.0], "the mean is 0, and the indicator says so");
        // The same predictor of scaled columns and their product.
        let unit = [0.5, 1.0, -2.0, 3.0, 7.0, 8.0];
        let ready = unit[0] + 2.0 * unit[1] + 2.0 * unit[2] + 4.0 * unit[3];
        let of = prepared.of_scaled(&unit);
        let scaled = of[0] + 0.7 * of[1] + 0.3 * of[2] + 0.21 * of[3];
        assert!((scaled - ready).abs() < 1e-12, "{scaled} and not {ready}");
        for bad in [[0.2, 0.0, -0.1, 5.0], [f64::NAN, 4.0, -0.1, 5.0], [0.2, -4.0, -0.1, 5.0]] {
            assert!(Prepared::default().frozen(&plan, &bad).is_none());
        }
        let drop = Plan::new(&design, Learned { moments: true, missing: Missing::Drop, share: 0.1 });
        assert!(!prepared.complete(&drop, &mut [0.0, 0.0], &[true, false], &mut [0.0; 3]));
    }
}
