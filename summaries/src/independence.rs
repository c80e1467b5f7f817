//! Whether two categories are independent: Pearson's χ² with the noise in its variance, and Fisher's exact test where there is none.
//!
//! The residuals O − R C / N of all rows and columns but the last have, for independent categories, the covariance J diag(E) Jᵀ, J
//! their derivatives by the cells; with it the quadratic form is Pearson's χ². Noise of variance v in each cell adds v J Jᵀ, so that it
//! is no evidence (the idea of Gaboardi and others, ICML 2016).

use nalgebra::{DMatrix, DVector};

use crate::estimate::Row;
use crate::interval::{chi2_p, degrees_of_freedom};
use crate::wald;

/// The rows of the tests on a table of counts, by row and column, with the noise's variance of a cell.
pub(crate) fn test(term: &str, table: &DMatrix<f64>, variance: f64) -> Vec<Row> {
    let (r, c) = table.shape();
    let rows: Vec<f64> = table.row_iter().map(|x| x.sum()).collect();
    let columns: Vec<f64> = table.column_iter().map(|x| x.sum()).collect();
    let n: f64 = rows.iter().sum();
    let floor = 3.0 * (variance * (r.max(c)) as f64).sqrt();
    if r < 2 || c < 2 {
        return Vec::new();
    }
    if n <= 0.0 || rows.iter().chain(&columns).any(|m| *m <= floor.max(0.5)) {
        return vec![Row::withheld(term, "chi2 p", "a level has no patients, or too few to be told from noise")];
    }
    let residual = |i: usize, j: usize| table[(i, j)] - rows[i] * columns[j] / n;
    let free: Vec<(usize, usize)> = (0..r - 1).flat_map(|i| (0..c - 1).map(move |j| (i, j))).collect();
    let z = DVector::from_iterator(free.len(), free.iter().map(|(i, j)| residual(*i, *j)));
    let slopes = DMatrix::from_fn(free.len(), r * c, |at, cell| {
        let ((i, j), (k, l)) = (free[at], (cell / c, cell % c));
        let same = |a: usize, b: usize| if a == b { 1.0 } else { 0.0 };
        same(i, k) * same(j, l) - (same(i, k) * columns[j] + same(j, l) * rows[i]) / n + rows[i] * columns[j] / (n * n)
    });
    let spread =
        DMatrix::from_diagonal(&DVector::from_fn(r * c, |cell, _| rows[cell / c] * columns[cell % c] / n + variance));
    let Some((chi2, rank)) = wald::chi2(&z, &(&slopes * spread * slopes.transpose())) else {
        return vec![Row::withheld(term, "chi2 p", "the table has no free cell")];
    };
    let df = rank as f64;
    let least = (0..r * c).map(|cell| rows[cell / c] * columns[cell % c] / n).fold(f64::INFINITY, f64::min);
    let mut note = degrees_of_freedom(df);
    if least < 5.0 {
        note += &format!("; the least expected count is {least:.1}, so that the test is rough");
    }
    let mut out = vec![Row::test(term, "chi2", chi2, &note), Row::test(term, "chi2 p", chi2_p(chi2, df), &note)];
    if variance == 0.0 && (r, c) == (2, 2) && n <= 10_000.0 {
        let p = fisher([table[(0, 0)], table[(0, 1)], table[(1, 0)], table[(1, 1)]]);
        out.push(Row::test(term, "fisher p", p, "exact, two-sided"));
    }
    out
}

/// The two-sided p-value of Fisher's exact test: the tables with the same margins that are no likelier than the one seen.
fn fisher([a, b, c, d]: [f64; 4]) -> f64 {
    let [a, b, c, d] = [a, b, c, d].map(|x| x.round().max(0.0) as u64);
    let (row, column, n) = (a + b, a + c, a + b + c + d);
    let mut logs = vec![0.0];
    for i in 1..=n {
        logs.push(logs.last().copied().unwrap_or(0.0) + (i as f64).ln());
    }
    let log = |k: u64| logs.get(k as usize).copied().unwrap_or(0.0);
    let choose = |n: u64, k: u64| log(n) - log(k) - log(n - k);
    let chance = |x: u64| (choose(row, x) + choose(n - row, column - x) - choose(n, column)).exp();
    let seen = chance(a);
    let (low, high) = ((row + column).saturating_sub(n), row.min(column));
    // As R: what is equal but for rounding counts as equal.
    (low..=high).map(chance).filter(|p| *p <= seen * (1.0 + 1e-7)).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(rows: &[Row], statistic: &str) -> f64 {
        rows.iter().find(|r| r.statistic == statistic).and_then(|r| r.estimate).unwrap()
    }

    /// birthwt of MASS: low by race and low by smoke, R 4.2.2.
    #[test]
    fn birthwt_is_what_r_says() {
        let race = DMatrix::from_row_slice(2, 3, &[73.0, 15.0, 42.0, 23.0, 11.0, 25.0]);
        let rows = test("t", &race, 0.0);
        assert!((value(&rows, "chi2") - 5.0048).abs() < 5e-5 && (value(&rows, "chi2 p") - 0.08189).abs() < 5e-6);
        let smoke = DMatrix::from_row_slice(2, 2, &[86.0, 44.0, 29.0, 30.0]);
        assert!((value(&test("t", &smoke, 0.0), "fisher p") - 0.03618).abs() < 5e-6);
    }

    /// Under noise the same table says less, and a table of noise alone says nothing.
    #[test]
    fn noise_is_no_evidence() {
        let table = DMatrix::from_row_slice(2, 2, &[860.0, 440.0, 290.0, 300.0]);
        let p = |v| value(&test("t", &table, v), "chi2 p");
        assert!(p(0.0) < p(100.0) && p(100.0) < p(1_000.0));
        let empty = DMatrix::from_row_slice(2, 2, &[20.0, -30.0, 10.0, 25.0]);
        assert!(test("t", &empty, 400.0).iter().all(|r| r.suppressed));
        assert!(test("t", &table, 1.0).iter().all(|r| r.statistic != "fisher p"));
    }

    /// False alarms of independent categories under noise: 2,000 tables, the rate within 3.5 standard errors of 5 %.
    #[test]
    fn the_rate_of_false_alarms_holds_under_noise() {
        let mut seed = 11u64;
        let mut normal = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            crate::interval::normal_quantile(((seed >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
        };
        let (tables, v) = (2_000, 400.0f64);
        let mut alarms = 0;
        for _ in 0..tables {
            // Poisson counts by their normal limit: means of 300 and more.
            let cells = [600.0, 300.0, 400.0, 800.0, 400.0, 1600.0 / 3.0];
            let table = DMatrix::from_row_slice(2, 3, &cells.map(|m: f64| m + (m + v).sqrt() * normal()));
            alarms += u32::from(value(&test("t", &table, v), "chi2 p") < 0.05);
        }
        let rate = f64::from(alarms) / f64::from(tables);
        assert!((rate - 0.05).abs() < 3.5 * (0.05f64 * 0.95 / f64::from(tables)).sqrt(), "{rate}");
    }
}
