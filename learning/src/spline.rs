//! Restricted (natural) cubic splines with fixed knots, as in Harrell, Regression Modeling Strategies, section 2.4.5.
//!
//! With knots t₁ < … < t_k the columns of a number x are x itself and, for j = 1 … k − 2,
//!
//! f_j(x) = [(x − t_j)³₊ − c_j (x − t_{k−1})³₊ + (c_j − 1)(x − t_k)³₊] / (t_k − t₁)²,  c_j = (t_k − t_j)/(t_k − t_{k−1}),
//!
//! straight lines below t₁ and above t_k, in the unit of x. These are the columns x, x', x'' of R's `rms::rcs`.
//!
//! A model works on b = L f + c instead: the same functions made orthogonal to one another and to 1 over an even spread on the public
//! bounds (Gram and Schmidt), each scaled so that it stays within [−1, 1]. That is a fixed linear map of the public bounds and knots
//! alone, it keeps the noise from drowning columns that are nearly alike, and the coefficients are told of f.

use nalgebra::DMatrix;

/// Points of the even spread.
const POINTS: usize = 2_000;
/// Between two points a column may rise above both; and no column is exactly 1.
const SLACK: f64 = 1.0 + 1e-3;

/// A spline basis within public bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    lower: f64,
    upper: f64,
    knots: Vec<f64>,
    /// The map from (1, f) to (1, b), lower triangular.
    map: DMatrix<f64>,
}

fn cube(x: f64) -> f64 {
    x.max(0.0).powi(3)
}

/// x and its nonlinear columns.
fn natural(knots: &[f64], x: f64) -> Vec<f64> {
    let mut out = vec![x];
    if let (Some(first), [.., before, last]) = (knots.first(), knots) {
        let (unit, width) = ((last - first).powi(2), last - before);
        for t in knots.iter().take(knots.len() - 2) {
            let c = (last - t) / width;
            out.push((cube(x - t) - c * cube(x - before) + (c - 1.0) * cube(x - last)) / unit);
        }
    }
    out
}

impl Basis {
    /// Between public bounds with three to ten ascending knots within them; `None` where they do not fit.
    pub fn new(lower: f64, upper: f64, knots: &[f64]) -> Option<Basis> {
        let bounds = lower < upper && lower.is_finite() && upper.is_finite();
        let ascend = knots.windows(2).all(|w| matches!(w, [a, b] if a < b));
        let inside = knots.iter().all(|k| *k >= lower && *k <= upper);
        if !(bounds && ascend && inside && (3..=10).contains(&knots.len())) {
            return None;
        }
        let mut basis = Basis { lower, upper, knots: knots.to_vec(), map: DMatrix::identity(1, 1) };
        basis.map = basis.orthogonal()?;
        Some(basis)
    }

    /// The knots.
    pub fn knots(&self) -> &[f64] {
        &self.knots
    }

    /// The public bounds.
    pub fn bounds(&self) -> (f64, f64) {
        (self.lower, self.upper)
    }

    /// How many columns: one less than knots.
    pub fn columns(&self) -> usize {
        self.knots.len() - 1
    }

    /// The map from (1, f) to (1, b).
    pub fn map(&self) -> &DMatrix<f64> {
        &self.map
    }

    /// f(x), of x within the bounds.
    pub fn own(&self, x: f64) -> Vec<f64> {
        natural(&self.knots, x.clamp(self.lower, self.upper))
    }

    /// b(x), each within [−1, 1].
    pub fn scaled(&self, x: f64) -> Vec<f64> {
        let own = self.own(x);
        let with_one = |j: usize| if j == 0 { 1.0 } else { own.get(j - 1).copied().unwrap_or(0.0) };
        let row = |i: usize| (0..=i).map(|j| self.map[(i, j)] * with_one(j)).sum::<f64>().clamp(-1.0, 1.0);
        (1..=self.columns()).map(row).collect()
    }

    fn orthogonal(&self) -> Option<DMatrix<f64>> {
        let n = self.columns() + 1;
        let spread = (0..POINTS).map(|i| self.lower + (self.upper - self.lower) * (i as f64 + 0.5) / POINTS as f64);
        // The ends too: there columns are largest.
        let points: Vec<Vec<f64>> =
            spread.chain([self.lower, self.upper]).map(|x| std::iter::once(1.0).chain(self.own(x)).collect()).collect();
        let mut map = DMatrix::<f64>::identity(n, n);
        let mut values: Vec<Vec<f64>> = vec![vec![1.0; points.len()]];
        for i in 1..n {
            let column: Vec<f64> = points.iter().map(|p| p.get(i).copied().unwrap_or(0.0)).collect();
            let size = column.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let mut own = column;
            // Twice, so that what rounding left of the first time goes too.
            for _ in 0..2 {
                for (k, other) in values.iter().enumerate() {
                    let dot: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
                    let share = dot / other.iter().map(|b| b * b).sum::<f64>();
                    own.iter_mut().zip(other).for_each(|(a, b)| *a -= share * b);
                    for j in 0..=k {
                        let other = map[(k, j)];
                        map[(i, j)] -= share * other;
                    }
                }
            }
            let most = own.iter().fold(0.0f64, |m, v| m.max(v.abs())) * SLACK;
            if most.is_nan() || most <= 1e-9 * size {
                return None;
            }
            own.iter_mut().for_each(|a| *a /= most);
            for j in 0..=i {
                map[(i, j)] /= most;
            }
            values.push(own);
        }
        Some(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_harrells() {
        // rms::rcs(x, c(40, 55, 70)) at 60: (20³ − 2·5³ + 0) / 30²; at 80: (40³ − 2·25³ + 10³) / 30².
        let b = Basis::new(18.0, 100.0, &[40.0, 55.0, 70.0]).unwrap();
        assert!((b.own(60.0)[1] - (8_000.0 - 250.0) / 900.0).abs() < 1e-12);
        assert!((b.own(80.0)[1] - (64_000.0 - 31_250.0 + 1_000.0) / 900.0).abs() < 1e-12);
        assert_eq!(b.own(30.0), [30.0, 0.0]);
        // Straight beyond the last knot.
        let bent = b.own(100.0)[1] - 2.0 * b.own(90.0)[1] + b.own(80.0)[1];
        assert!(bent.abs() < 1e-9);
        for bad in [&[40.0, 55.0][..], &[40.0, 40.0, 55.0], &[10.0, 40.0, 55.0]] {
            assert!(Basis::new(18.0, 100.0, bad).is_none());
        }
    }

    proptest! {
        #[test]
        fn scaled_columns_are_within_one_and_are_the_map_of_own(
            mut knots in prop::collection::vec(20.0..95.0f64, 3..7), x in -1e3..1e3f64,
        ) {
            knots.sort_by(f64::total_cmp);
            prop_assume!(knots.windows(2).all(|w| w[1] - w[0] > 2.0));
            let b = Basis::new(18.0, 100.0, &knots).unwrap();
            let (own, scaled) = (b.own(x), b.scaled(x));
            for (i, s) in scaled.iter().enumerate() {
                prop_assert!(s.abs() <= 1.0);
                let by_hand = b.map()[(i + 1, 0)] + (0..=i).map(|j| b.map()[(i + 1, j + 1)] * own[j]).sum::<f64>();
                // The clamp takes nothing but rounding away.
                prop_assert!((s - by_hand).abs() < 1e-9, "{s} {by_hand}");
            }
        }
    }
}
