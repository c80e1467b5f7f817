//! The log-rank test between groups, within strata, plain or weighted (Fleming and Harrington 1991, chapter 7), with the noise in its
//! variance.
//!
//! z_g = Σ w (d_g − n_g d / n) over the cells and strata; its variance is the hypergeometric one, V, and that of the noise, N, by the
//! delta method with the weights held fixed. χ² = z' (V + N)⁻¹ z over all groups but the last. Without noise N is 0 and the test is the
//! usual one; with noise the naive test would call noise a difference. In wide cells those at risk are the life table's, n − γ c of each group, so
//! that groups that are censored differently within cells are not told apart by it.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::Course;
use crate::estimate::Row;
use crate::interval::{chi2_p, degrees_of_freedom};
use crate::wald;

/// What a difference counts for at each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The same at every time.
    #[default]
    LogRank,
    /// As many as are at risk (Gehan and Breslow's generalised Wilcoxon).
    Gehan,
    /// The curve of all before the time (Peto and Peto, Prentice).
    Peto,
}

impl Weight {
    fn name(self) -> &'static str {
        match self {
            Weight::LogRank => "log-rank",
            Weight::Gehan => "gehan",
            Weight::Peto => "peto",
        }
    }
}

/// The rows of the test: observed and expected events of each group, χ² and p. `courses` by stratum and group; `variance` is the
/// noise's of one cell, `others` how many lanes a cell and group have beside that of the events.
pub(crate) fn test(courses: &[Vec<Course>], variance: f64, others: f64, weight: Weight, term: &str) -> Vec<Row> {
    let groups = courses.first().map_or(0, Vec::len);
    let mut difference = DVector::<f64>::zeros(groups);
    let (mut sampling, mut noise) = (DMatrix::<f64>::zeros(groups, groups), DMatrix::<f64>::zeros(groups, groups));
    let mut events = 0.0;
    for stratum in courses {
        let cells = stratum.first().map_or(0, |c| c.risk.len());
        let mut all = 1.0f64;
        // slopes[g, h]: how z_g moves with one more of the group h at risk, in all cells so far.
        let mut slopes = DMatrix::<f64>::zeros(groups, groups);
        for cell in 0..cells {
            let at = |v: &Vec<f64>| v.get(cell).copied().unwrap_or(0.0);
            let risk: Vec<f64> = stratum.iter().map(|c| c.exposed(cell).max(0.0)).collect();
            let died: Vec<f64> = stratum.iter().map(|c| at(&c.events)).collect();
            let (n, d) = (risk.iter().sum::<f64>(), died.iter().sum::<f64>());
            let lanes = (1.0 + others) * (groups * (cells - cell)) as f64;
            let enough = n > 0.5 && n > 3.0 * (lanes * variance).sqrt();
            let w = match weight {
                _ if !enough => 0.0,
                Weight::LogRank => 1.0,
                Weight::Gehan => n,
                Weight::Peto => all,
            };
            let before = slopes.clone();
            if enough {
                events += d;
                // Peto and Peto's estimate of the common curve, which is never 0.
                all *= 1.0 - d.clamp(0.0, n) / (n + 1.0);
                let hyper = if n > 1.0 { d.clamp(0.0, n) * (n - d.clamp(0.0, n)) / (n - 1.0) } else { 0.0 };
                for (g, (n_g, d_g)) in risk.iter().zip(&died).enumerate() {
                    difference[g] += w * (d_g - n_g * d / n);
                    for (h, n_h) in risk.iter().enumerate() {
                        let same = if g == h { 1.0 } else { 0.0 };
                        sampling[(g, h)] += w * w * hyper * (n_g / n) * (same - n_h / n);
                        slopes[(g, h)] -= w * (same * d / n - n_g * d / (n * n));
                    }
                }
            }
            if variance > 0.0 {
                // The lanes of this cell: censorings of the group h, and an event of it.
                let gone = stratum.first().map_or(0.0, |c| at(&c.gone));
                for h in 0..groups {
                    let mut event = slopes.column(h).into_owned();
                    let censoring = &event - (&event - before.column(h)) * gone;
                    if enough {
                        for (g, n_g) in risk.iter().enumerate() {
                            event[g] += w * (if g == h { 1.0 } else { 0.0 } - n_g / n);
                        }
                    }
                    noise += (&censoring * censoring.transpose() * others + &event * event.transpose()) * variance;
                }
            }
        }
    }
    let name = weight.name();
    let withheld = |why: &str| vec![Row::withheld(term, &format!("{name} p"), why)];
    if groups < 2 || events <= 0.0 {
        return withheld("no event");
    }
    // A group that is never at risk while there are events is no group; of the others the last follows from the rest.
    let both = &sampling + &noise;
    let floor = 1e-12 * both.diagonal().max();
    let mut used: Vec<usize> = (0..groups).filter(|g| both[(*g, *g)] > floor).collect();
    used.pop();
    let pick = |m: &DMatrix<f64>| m.select_rows(&used).select_columns(&used);
    let Some((chi2, rank)) =
        (!used.is_empty()).then(|| wald::chi2(&difference.select_rows(&used), &pick(&both))).flatten()
    else {
        return withheld("a group has nobody at risk while there are events");
    };
    let df = rank as f64;
    let part = (pick(&noise).trace() / pick(&both).trace()).max(0.0);
    let note = match variance > 0.0 {
        true => format!("{}; the noise is {:.0} % of the variance", degrees_of_freedom(df), 100.0 * part),
        false => degrees_of_freedom(df),
    };
    vec![
        Row::test(term, &format!("{name} chi2"), chi2, &note),
        Row::test(term, &format!("{name} p"), chi2_p(chi2, df), &note),
    ]
}
