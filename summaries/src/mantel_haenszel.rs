//! Two groups' risks compared within strata: Mantel and Haenszel's odds ratio, risk ratio and risk difference, their test of no association,
//! and whether the strata's odds ratios are one. A patient is in one cell of exposure × outcome × stratum: every sensitivity is 1.
//!
//! Within a stratum a, b are the exposed with and without the outcome, c, d the others, n all, n₁ = a + b, n₀ = c + d, m = a + c.
//!
//! | measure | estimate | sampling variance |
//! |---|---|---|
//! | odds ratio | Σ ad/n / Σ bc/n | of its logarithm: Robins, Breslow and Greenland 1986 |
//! | risk ratio | Σ a n₀/n / Σ c n₁/n | of its logarithm: Greenland and Robins 1985 |
//! | risk difference | Σ (a n₀ − c n₁)/n / Σ n₁n₀/n | Greenland and Robins 1985 |
//!
//! The test is Σ(a − n₁m/n) squared over its hypergeometric variance, without a continuity correction. Homogeneity is Breslow and Day's
//! 1980 with Tarone's correction. The noise's variances are v times the sum of squared derivatives by the cells, which are differences
//! of the estimates themselves; they are added to the tests' variances, so that noise is no evidence.

use crate::batch::{MISSING, PatientBatch};
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::interval::{chi2_p, degrees_of_freedom, noise_variance};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, level};

/// Patients by exposure, outcome and stratum. The inputs are these.
#[derive(Clone, Copy, Debug)]
pub struct MantelHaenszel {
    strata: u32,
}

/// a, b, c, d of a stratum.
type Table = [f64; 4];

/// What Mantel and Haenszel say of some tables; the ratios as logarithms.
#[derive(Clone, Copy)]
struct Measures {
    odds: f64,
    risk: f64,
    difference: f64,
    /// Σ(a − E a).
    excess: f64,
}

fn sizes([a, b, c, d]: Table) -> (f64, f64, f64, f64) {
    (a + b, c + d, a + c, a + b + c + d)
}

fn sum(tables: &[Table], f: impl Fn(Table) -> f64) -> f64 {
    tables.iter().map(|t| f(*t)).sum()
}

fn measures(tables: &[Table]) -> Measures {
    let of = |f: fn(Table) -> f64| sum(tables, f);
    let odds = of(|t| t[0] * t[3] / sizes(t).3) / of(|t| t[1] * t[2] / sizes(t).3);
    let (exposed, others) = (of(|t| t[0] * sizes(t).1 / sizes(t).3), of(|t| t[2] * sizes(t).0 / sizes(t).3));
    let weights = of(|t| sizes(t).0 * sizes(t).1 / sizes(t).3);
    Measures {
        odds: odds.ln(),
        risk: (exposed / others).ln(),
        difference: (exposed - others) / weights,
        excess: of(|t| t[0] - sizes(t).0 * sizes(t).2 / sizes(t).3),
    }
}

/// The noise's variance of a measure.
fn noise(tables: &[Table], v: f64, f: impl Fn(&Measures) -> f64) -> f64 {
    noise_variance(&tables.concat(), v, |cells| {
        let tables: Vec<Table> = cells.chunks_exact(4).filter_map(|t| Table::try_from(t).ok()).collect();
        f(&measures(&tables))
    })
}

/// The sampling variance of the logarithm of the odds ratio.
fn of_odds(tables: &[Table]) -> f64 {
    let (mut r, mut s, mut pr, mut both, mut qs) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for t @ [a, b, c, d] in tables.iter().copied() {
        let n = sizes(t).3;
        let (p, q, x, y) = ((a + d) / n, (b + c) / n, a * d / n, b * c / n);
        r += x;
        s += y;
        pr += p * x;
        both += p * y + q * x;
        qs += q * y;
    }
    pr / (2.0 * r * r) + both / (2.0 * r * s) + qs / (2.0 * s * s)
}

/// That of the logarithm of the risk ratio.
fn of_risk(tables: &[Table]) -> f64 {
    let of = |f: fn(Table) -> f64| sum(tables, f);
    let above = of(|t| {
        let (n1, n0, m, n) = sizes(t);
        (n1 * n0 * m - t[0] * t[2] * n) / (n * n)
    });
    above / (of(|t| t[0] * sizes(t).1 / sizes(t).3) * of(|t| t[2] * sizes(t).0 / sizes(t).3))
}

/// That of the risk difference.
fn of_difference(tables: &[Table]) -> f64 {
    let of = |f: fn(Table) -> f64| sum(tables, f);
    let above = of(|t| {
        let (n1, n0, _, n) = sizes(t);
        (t[0] * t[1] * n0.powi(3) + t[2] * t[3] * n1.powi(3)) / (n1 * n0 * n * n)
    });
    above / of(|t| sizes(t).0 * sizes(t).1 / sizes(t).3).powi(2)
}

/// The exposed with the outcome that a table with these margins has where its odds ratio is ψ, and their variance.
fn expected(t: Table, odds: f64) -> Option<(f64, f64)> {
    let (n1, n0, m, _) = sizes(t);
    // a (n0 − m + a) = ψ (n1 − a)(m − a).
    let (x, y, z) = (1.0 - odds, n0 - m + odds * (n1 + m), -odds * n1 * m);
    let root = (y * y - 4.0 * x * z).max(0.0).sqrt();
    let all = if x.abs() < 1e-9 { [-z / y, -z / y] } else { [(-y + root) / (2.0 * x), (-y - root) / (2.0 * x)] };
    let a = all.into_iter().find(|a| *a > (m - n0).max(0.0) && *a < n1.min(m))?;
    let variance = 1.0 / (1.0 / a + 1.0 / (n1 - a) + 1.0 / (m - a) + 1.0 / (n0 - m + a));
    Some((a, variance))
}

impl MantelHaenszel {
    /// Within so many strata; `None` unless there are 1 to 100,000.
    pub fn new(strata: u32) -> Option<MantelHaenszel> {
        (1..=100_000).contains(&strata).then_some(MantelHaenszel { strata })
    }

    fn table(&self, merged: &MergedRelease, stratum: usize) -> Table {
        let layout = self.layout();
        [3, 2, 1, 0].map(|cell| merged.value(4 * stratum + cell, &layout))
    }

    /// Homogeneity of the odds ratios.
    fn homogeneity(tables: &[Table], odds: f64, v: f64, term: &str) -> Vec<Row> {
        let parts: Option<Vec<(f64, f64)>> =
            tables.iter().map(|t| expected(*t, odds).map(|(e, var)| (t[0] - e, var))).collect();
        let parts = parts.filter(|p| p.len() > 1 && odds.is_finite() && odds > 0.0);
        let Some(parts) = parts else {
            return vec![Row::withheld(term, "homogeneity p", "there are fewer than two strata, or a margin is empty")];
        };
        // To first order a − E a is its variance times the distance of the logarithm of the odds ratio, whose derivatives are ±1/cell.
        let noise = |t: &Table, var: f64| v * t.iter().map(|x| (var / x.max(1.0)).powi(2)).sum::<f64>();
        let all: Vec<(f64, f64, f64)> =
            parts.iter().zip(tables).map(|((r, var), t)| (*r, *var, var + noise(t, *var))).collect();
        let day: f64 = all.iter().map(|(r, _, whole)| r * r / whole).sum();
        let tarone =
            all.iter().map(|(r, ..)| r).sum::<f64>().powi(2) / all.iter().map(|(_, _, whole)| whole).sum::<f64>();
        let (chi2, df) = ((day - tarone).max(0.0), (tables.len() - 1) as f64);
        let note = format!("Breslow and Day's with Tarone's correction, {}", degrees_of_freedom(df));
        vec![
            Row::test(term, "homogeneity chi2", chi2, &note),
            Row::test(term, "homogeneity p", chi2_p(chi2, df), &note),
        ]
    }
}

impl Statistic for MantelHaenszel {
    fn name(&self) -> &'static str {
        "mantel_haenszel"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Level(2), Input::Level(2), Input::Level(self.strata)]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 4 * self.strata as usize + 1, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "mantel_haenszel";
        self.check(lanes)?;
        let (outcome, stratum) = (level(NAME, patients, 1)?, level(NAME, patients, 2)?);
        for (row, e) in level(NAME, patients, 0)?.iter().enumerate() {
            let at = |column: &[u32]| column.get(row).copied().unwrap_or(MISSING);
            let (e, o, s) = (*e, at(outcome), at(stratum));
            let known = e < 2 && o < 2 && s < self.strata;
            let lane = if known { 4 * s as usize + 2 * e as usize + o as usize } else { self.layout().lanes - 1 };
            lanes.add(NAME, lane, 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let term = format!("{} by {}, within {}", reporting.name(1), reporting.name(0), reporting.name(2));
        let missing = patients(&term, merged.value(layout.lanes - 1, &layout), v.sqrt(), reporting);
        let mut rows = vec![Row { statistic: "missing".into(), ..missing }];
        let all: Vec<Table> = (0..self.strata as usize).map(|s| self.table(merged, s)).collect();
        // A stratum without one of the groups says nothing, nor does one that is lost in the noise.
        let floor = (5.0 * (2.0 * v).sqrt()).max(0.5);
        let tables: Vec<Table> = all.iter().copied().filter(|t| sizes(*t).0 > floor && sizes(*t).1 > floor).collect();
        let n = patients(&term, sum(&tables, |t| sizes(t).3), (4.0 * v * tables.len() as f64).sqrt(), reporting);
        let shown = !n.suppressed;
        let left = all.len() - tables.len();
        rows.push(n.note(&format!(
            "{left} of {} strata are without one of the groups, or too small to be told from noise",
            all.len()
        )));
        if !shown || tables.is_empty() {
            rows.push(Row::withheld(&term, "odds ratio", "too few patients, or too noisy to report"));
            return Estimate { rows, curves: Vec::new() };
        }
        let m = measures(&tables);
        let z = reporting.z();
        let ratio = |statistic: &str, log: f64, sampling: f64, noise: f64| {
            if !(log.is_finite() && sampling >= 0.0 && sampling.is_finite() && noise.is_finite()) {
                return Row::withheld(
                    &term,
                    statistic,
                    "a group has nobody with the outcome, or nobody without, or it is lost in the noise",
                );
            }
            Row::ratio(&term, statistic, log, sampling.sqrt(), noise.sqrt(), z)
        };
        rows.push(ratio("odds ratio", m.odds, of_odds(&tables), noise(&tables, v, |m| m.odds)));
        rows.push(ratio("risk ratio", m.risk, of_risk(&tables), noise(&tables, v, |m| m.risk)));
        let (sampling, of_noise) = (of_difference(&tables).max(0.0), noise(&tables, v, |m| m.difference));
        let row = Row::normal(&term, "risk difference", m.difference, sampling.sqrt(), of_noise.sqrt(), z);
        rows.push(row.within(-1.0, 1.0));
        let hyper = sum(&tables, |t| {
            let (n1, n0, m, n) = sizes(t);
            (n1 * n0 * m * (n - m) / (n * n * (n - 1.0).max(1.0))).max(0.0)
        });
        let whole = hyper + noise(&tables, v, |m| m.excess);
        if whole > 0.0 {
            let chi2 = m.excess * m.excess / whole;
            let note = "1 degree of freedom, without a continuity correction";
            rows.push(Row::test(&term, "mantel-haenszel chi2", chi2, note));
            rows.push(Row::test(&term, "mantel-haenszel p", chi2_p(chi2, 1.0), note));
        } else {
            rows.push(Row::withheld(&term, "mantel-haenszel p", "the outcome never varies"));
        }
        rows.extend(Self::homogeneity(&tables, m.odds.exp(), v, &term));
        Estimate { rows, curves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::evidence::{Draws, get, levels, near, noise_is_as_said, release, reporting, table};

    const TERM: &str = "low by smoke, within race";

    fn named() -> Reporting {
        reporting(&["smoke", "low", "race"], &[&["no", "yes"], &["no", "yes"], &["1", "2", "3"]])
    }

    /// R 4.2.2's mantelhaen.test for the odds ratio and the test; the others by their formulas in numpy; Breslow and Day's as statsmodels'
    /// StratifiedTable has it.
    #[test]
    fn birthwt_by_race_is_what_r_says() {
        let Some(d) = table("regression-reference/birthwt.csv") else { return };
        let s = MantelHaenszel::new(3).unwrap();
        let columns = vec![
            levels(&d["smoke"], &["0", "1"]),
            levels(&d["low"], &["0", "1"]),
            levels(&d["race"], &["1", "2", "3"]),
        ];
        let e = s.estimate(&release(&s, columns), &named());
        near(&e, TERM, "odds ratio", 3.086_381, 6e-7);
        let row = get(&e, TERM, "odds ratio");
        assert!((row.lower.unwrap() - 1.490_740).abs() < 6e-7 && (row.upper.unwrap() - 6.389_949).abs() < 6e-7);
        near(&e, TERM, "mantel-haenszel chi2", 9.4134, 5e-5);
        near(&e, TERM, "mantel-haenszel p", 0.002_154, 5e-7);
        near(&e, TERM, "risk ratio", 2.151_391_764, 2e-9);
        assert!((get(&e, TERM, "risk ratio").lower.unwrap() - 1.292_761_035).abs() < 2e-9);
        near(&e, TERM, "risk difference", 0.221_730_558, 2e-9);
        assert!((get(&e, TERM, "risk difference").se.unwrap() - 0.068_242_386).abs() < 2e-9);
        near(&e, TERM, "homogeneity chi2", 3.125_007_783, 2e-9);
    }

    /// Three strata of 900 with a common odds ratio of `odds`.
    fn drawn(draws: &mut Draws, odds: f64) -> Vec<Column> {
        let (mut e, mut o, mut s) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..2_700u32 {
            let (exposed, stratum) = (u32::from(draws.uniform() < 0.4), i % 3);
            let base = [0.2, 0.5, 1.0][stratum as usize] * if exposed == 1 { odds } else { 1.0 };
            e.push(exposed);
            o.push(u32::from(draws.uniform() < base / (1.0 + base)));
            s.push(stratum);
        }
        vec![Column::Level(e), Column::Level(o), Column::Level(s)]
    }

    #[test]
    fn the_noise_does_what_is_said() {
        let s = MantelHaenszel::new(3).unwrap();
        let exact = release(&s, drawn(&mut Draws(3), 2.0));
        let rows = [(TERM, "odds ratio"), (TERM, "risk ratio"), (TERM, "risk difference")];
        noise_is_as_said(&s, &exact, 8.0, &named(), &rows);
    }

    /// False alarms of both tests under noise: 1,000 draws, each rate within 3.5 standard errors of 5 %.
    #[test]
    fn noise_is_no_evidence() {
        let s = MantelHaenszel::new(3).unwrap();
        let (mut draws, mut alarms, mut uneven) = (Draws(9), 0u32, 0u32);
        for _ in 0..1_000 {
            let exact = release(&s, drawn(&mut draws, 1.0));
            let e = s.estimate(&draws.noisy(&s, &exact, 10.0), &named());
            alarms += u32::from(get(&e, TERM, "mantel-haenszel p").estimate.unwrap() < 0.05);
            uneven += u32::from(get(&e, TERM, "homogeneity p").estimate.unwrap() < 0.05);
        }
        let allowed = 3.5 * (0.05f64 * 0.95 / 1_000.0).sqrt();
        for (what, n) in [("association", alarms), ("homogeneity", uneven)] {
            let rate = f64::from(n) / 1_000.0;
            assert!((rate - 0.05).abs() < allowed, "{what}: {rate}");
        }
    }
}
