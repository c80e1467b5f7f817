//! How a scaled column of a design becomes an input of the network: less a shift, times a factor. Both are public, or were released with
//! noise; so one patient moves no other's row.

use crate::design::Design;

/// A shift and a factor for each column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared(Vec<[f64; 2]>);

impl Prepared {
    /// Columns of numbers in their own units, though within their bounds still. `None` where a design has splines or interactions.
    pub fn own_units(design: &Design) -> Option<Prepared> {
        let names = design.clone().without_intercept().names();
        let of = |name: &String| {
            let [_, middle, upper] = design.own_unit(name)?;
            Some([-middle / (upper - middle), upper - middle])
        };
        names.iter().map(of).collect::<Option<Vec<_>>>().map(Prepared)
    }

    /// One row of scaled columns, ready.
    pub(crate) fn apply(&self, row: &mut [f64]) {
        row.iter_mut().zip(&self.0).for_each(|(x, [shift, factor])| *x = (*x - shift) * factor);
    }

    /// A unit's bias and weights, as those of scaled columns.
    pub(crate) fn of_scaled(&self, unit: &[f64]) -> Vec<f64> {
        let mut out = unit.to_vec();
        let Some((bias, weights)) = out.split_first_mut() else { return out };
        for (w, [shift, factor]) in weights.iter_mut().zip(&self.0) {
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

    #[test]
    fn own_units_come_back() {
        let levels = vec!["x".into(), "y".into()];
        let design = Design::new(vec![
            Term::Real { name: "a".into(), lower: 10.0, upper: 30.0 },
            Term::Level { name: "c".into(), levels },
        ]);
        let prepared = Prepared::own_units(&design).unwrap();
        // 25 lies halfway from the middle to the upper bound.
        let mut row = [0.5, 1.0];
        prepared.apply(&mut row);
        assert_eq!(row, [25.0, 1.0]);
        // The same predictor: 3 + 2·25 − 4 = 49.
        let of = prepared.of_scaled(&[3.0, 2.0, -4.0]);
        assert!((of[0] + 0.5 * of[1] + of[2] - 49.0).abs() < 1e-12, "{of:?}");
    }
}
