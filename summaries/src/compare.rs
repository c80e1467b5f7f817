//! A number compared between groups: means and their differences, Welch's and Student's t, Welch's and the classical analysis of
//! variance, all with the noise in their errors.
//!
//! A patient of a group adds (1, y, y²) to the group's lanes, y the value mapped to [−1, 1], or 1 to the lane of the missing: the norm
//! is at most √3, the maximum 1.
//!
//! With noise of variance v a lane, a mean's variance is s²/n + v (1 + y²)/n². Welch's t and its F (Welch 1951) use these, so that the
//! noise is no evidence; Student's t and the classical F, which suppose one variance, are told without noise alone.

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::interval::{degrees_of_freedom, f_p, t_p, t_quantile};
use crate::lanes::{FIXED_POINT, Lanes, Layout, MergedRelease, Sensitivity, encode};
use crate::statistic::{AccumulateError, Input, Statistic, level, real};

/// A number by group. The inputs are the number and the group.
#[derive(Clone, Copy, Debug)]
pub struct Compare {
    lower: f64,
    upper: f64,
    groups: u32,
}

/// What one group's lanes say, in the number's own unit.
#[derive(Clone, Copy)]
struct Group {
    n: f64,
    mean: f64,
    variance: f64,
    /// The mean's variance from sampling, and from noise.
    sampling: f64,
    noise: f64,
}

impl Compare {
    /// With public bounds, between so many groups; `None` unless lower < upper, both finite, and two groups or more.
    pub fn new(lower: f64, upper: f64, groups: u32) -> Option<Compare> {
        (lower < upper && lower.is_finite() && upper.is_finite() && (2..=1000).contains(&groups)).then_some(Compare {
            lower,
            upper,
            groups,
        })
    }

    fn half(&self) -> f64 {
        (self.upper - self.lower) / 2.0
    }

    fn group(&self, merged: &MergedRelease, group: usize, least: u64) -> Option<Group> {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let at = |lane: usize| merged.value(3 * group + lane, &layout);
        let n = at(0);
        if n < least.max(2) as f64 - 1e-6 || n < 5.0 * v.sqrt() {
            return None;
        }
        let (y, q) = ((at(1) / n).clamp(-1.0, 1.0), (at(2) / n).clamp(0.0, 1.0));
        let h = self.half();
        // The noise of q and y² may lift or sink it; below 0 it says nothing.
        let variance = (q - y * y).max(0.0) * n / (n - 1.0) * h * h;
        Some(Group {
            n,
            mean: f64::midpoint(self.lower, self.upper) + h * y,
            variance,
            sampling: variance / n,
            noise: h * h * v * (1.0 + y * y) / (n * n),
        })
    }
}

impl Statistic for Compare {
    fn name(&self) -> &'static str {
        "compare"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Real, Input::Level(self.groups)]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 3 * self.groups as usize + 1, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "compare";
        self.check(lanes)?;
        let groups = level(NAME, patients, 1)?;
        for (x, g) in real(NAME, patients, 0)?.iter().zip(groups) {
            if x.is_nan() || *g >= self.groups {
                lanes.add(NAME, self.layout().lanes - 1, encode(1.0))?;
                continue;
            }
            let y = ((x.clamp(self.lower, self.upper) - f64::midpoint(self.lower, self.upper)) / self.half())
                .clamp(-1.0, 1.0);
            for (lane, value) in [1.0, y, y * y].into_iter().enumerate() {
                lanes.add(NAME, 3 * *g as usize + lane, encode(value))?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let (of, by) = (reporting.name(0), reporting.name(1));
        let label = |g: usize| format!("{of}, {by}={}", reporting.level(1, g));
        let mut rows = Vec::new();
        let missing = patients(of, merged.value(layout.lanes - 1, &layout), v.sqrt(), reporting);
        rows.push(Row { statistic: "missing".into(), ..missing });
        let groups: Vec<Option<Group>> =
            (0..self.groups as usize).map(|g| self.group(merged, g, reporting.min_cell)).collect();
        for (g, group) in groups.iter().enumerate() {
            let term = label(g);
            rows.push(patients(&term, merged.value(3 * g, &layout), v.sqrt(), reporting));
            rows.push(match group {
                Some(m) => Row::normal(
                    &term,
                    "mean",
                    m.mean,
                    m.sampling.sqrt(),
                    m.noise.sqrt(),
                    quantile(reporting, m.n - 1.0),
                )
                .within(self.lower, self.upper),
                None => Row::withheld(&term, "mean", "too few patients, or too noisy to report"),
            });
        }
        let known: Vec<Group> = groups.iter().flatten().copied().collect();
        if known.len() < groups.len() {
            rows.push(Row::withheld(of, "p", "a group is too small, or too noisy to report"));
            return Estimate { rows, curves: Vec::new() };
        }
        // Every group against the first.
        if let Some((first, rest)) = known.split_first() {
            for (i, other) in rest.iter().enumerate() {
                let term = format!("{} − {}", label(i + 1), reporting.level(1, 0));
                rows.extend(welch(&term, first, other, reporting));
                if v == 0.0 && known.len() == 2 {
                    rows.extend(student(&term, first, other));
                }
            }
        }
        if known.len() > 2 {
            rows.extend(welch_f(&format!("{of} by {by}"), &known));
            if v == 0.0 {
                rows.extend(classical_f(&format!("{of} by {by}"), &known));
            }
        }
        Estimate { rows, curves: Vec::new() }
    }
}

fn quantile(reporting: &Reporting, df: f64) -> f64 {
    t_quantile(0.5 + reporting.confidence / 2.0, df)
}

/// The degrees of freedom of Welch and Satterthwaite. The noise's part of a variance is known, and has infinitely many.
fn satterthwaite(a: &Group, b: &Group) -> f64 {
    let all = a.sampling + a.noise + b.sampling + b.noise;
    let part = |g: &Group| g.sampling * g.sampling / (g.n - 1.0);
    let below = part(a) + part(b);
    if below > 0.0 { all * all / below } else { f64::INFINITY }
}

fn welch(term: &str, a: &Group, b: &Group, reporting: &Reporting) -> Vec<Row> {
    let (sampling, noise) = (a.sampling + b.sampling, a.noise + b.noise);
    let difference = b.mean - a.mean;
    if sampling + noise <= 0.0 {
        let why = "the number never varies within the groups";
        return vec![Row::test(term, "difference", difference, why), Row::withheld(term, "welch p", why)];
    }
    let df = satterthwaite(a, b);
    let t = difference / (sampling + noise).sqrt();
    let note = format!("{df:.1} degrees of freedom");
    vec![
        Row::normal(term, "difference", difference, sampling.sqrt(), noise.sqrt(), quantile(reporting, df)),
        Row::test(term, "welch t", t, &note),
        Row::test(term, "welch p", t_p(t, df), &note),
    ]
}

fn student(term: &str, a: &Group, b: &Group) -> Vec<Row> {
    let df = a.n + b.n - 2.0;
    let pooled = ((a.n - 1.0) * a.variance + (b.n - 1.0) * b.variance) / df;
    if pooled.is_nan() || pooled <= 0.0 {
        return Vec::new();
    }
    let t = (b.mean - a.mean) / (pooled * (1.0 / a.n + 1.0 / b.n)).sqrt();
    let note = degrees_of_freedom(df);
    vec![Row::test(term, "student t", t, &note), Row::test(term, "student p", t_p(t, df), &note)]
}

fn welch_f(term: &str, groups: &[Group]) -> Vec<Row> {
    let k = groups.len() as f64;
    let weights: Vec<f64> = groups.iter().map(|g| 1.0 / (g.sampling + g.noise)).collect();
    let whole: f64 = weights.iter().sum();
    if !whole.is_finite() {
        return vec![Row::withheld(term, "welch anova p", "the number never varies within a group")];
    }
    let mean = weights.iter().zip(groups).map(|(w, g)| w * g.mean).sum::<f64>() / whole;
    let between = weights.iter().zip(groups).map(|(w, g)| w * (g.mean - mean).powi(2)).sum::<f64>() / (k - 1.0);
    // The share of a group's variance that is sampled, and so estimated.
    let loose: f64 = weights
        .iter()
        .zip(groups)
        .map(|(w, g)| ((1.0 - w / whole) * g.sampling / (g.sampling + g.noise)).powi(2) / (g.n - 1.0))
        .sum();
    let f = between / (1.0 + 2.0 * (k - 2.0) / (k * k - 1.0) * loose);
    let df = (k * k - 1.0) / (3.0 * loose);
    let note = format!("{} and {df:.1} degrees of freedom", k - 1.0);
    vec![Row::test(term, "welch anova F", f, &note), Row::test(term, "welch anova p", f_p(f, k - 1.0, df), &note)]
}

fn classical_f(term: &str, groups: &[Group]) -> Vec<Row> {
    let k = groups.len() as f64;
    let n: f64 = groups.iter().map(|g| g.n).sum();
    let mean = groups.iter().map(|g| g.n * g.mean).sum::<f64>() / n;
    let between = groups.iter().map(|g| g.n * (g.mean - mean).powi(2)).sum::<f64>() / (k - 1.0);
    let within = groups.iter().map(|g| (g.n - 1.0) * g.variance).sum::<f64>() / (n - k);
    if within.is_nan() || within <= 0.0 {
        return vec![Row::withheld(term, "anova p", "the number never varies within the groups")];
    }
    let f = between / within;
    let note = format!("{} and {:.0} degrees of freedom", k - 1.0, n - k);
    vec![Row::test(term, "anova F", f, &note), Row::test(term, "anova p", f_p(f, k - 1.0, n - k), &note)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::evidence::{get, release, reporting};

    /// A number that is at its bound in everybody: no difference that could be told from chance, and no quantile without end.
    #[test]
    fn a_constant_column_is_said_to_be_one() {
        let s = Compare::new(0.0, 600.0, 2).unwrap();
        let columns = vec![Column::Real(vec![0.0; 40]), Column::Level((0..40).map(|i| i % 2).collect())];
        let exact = release(&s, columns);
        let names = reporting(&["chol", "arm"], &[&[], &["a", "b"]]);
        for noise_variance in [0.0, 1e-6] {
            let e = s.estimate(&MergedRelease { noise_variance, ..exact.clone() }, &names);
            assert_eq!(get(&e, "chol, arm=b − a", "difference").estimate, Some(0.0));
        }
        assert!((t_quantile(0.975, 1e7) - 1.959_964).abs() < 1e-6);
        assert!((t_quantile(0.975, f64::INFINITY) - 1.959_964).abs() < 1e-6);
    }
}
