//! A statistic by the levels of a category: each patient adds to the lanes of their own level alone, so that the sensitivity is that of the
//! statistic itself. Who has no level adds nothing.
//!
//! Between the first level and each other the standardised mean difference is told, the number that tables of balance have. Of a number or a
//! category of two levels it is (m₁ − m₀) / √((s₁² + s₀²)/2); of more levels √(T' S⁻¹ T), T the difference of the shares of all levels but the
//! first and S the mean of both covariances (Yang and Dalton 2012), which is never below 0. The sampling variance is
//! (n₁ + n₀)/(n₁ n₀) + d²/(2 (n₁ + n₀)) (Hedges and Olkin 1985, chapter 5); the noise's is the delta method's over the lanes.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, Row};
use crate::interval::noise_variance;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, level};

/// What the groups are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contrast {
    /// Nothing.
    None,
    /// The standardised difference of a number, whose first lanes are those of [`crate::moments`].
    Number,
    /// That of a category with so many levels, whose lanes are those of [`crate::crosstab`].
    Category(u32),
}

/// A statistic by group. The inputs are the statistic's, then the group.
#[derive(Clone)]
pub struct ByGroup {
    inner: Arc<dyn Statistic>,
    groups: u32,
    contrast: Contrast,
}

impl ByGroup {
    /// Of so many groups; `None` unless there are 2 to 1,000, and the lanes are those of the contrast.
    pub fn new(inner: Arc<dyn Statistic>, groups: u32, contrast: Contrast) -> Option<ByGroup> {
        let lanes = inner.layout().lanes;
        let fits = match contrast {
            Contrast::None => true,
            Contrast::Number => lanes >= 3,
            Contrast::Category(levels) => levels >= 2 && lanes > levels as usize,
        };
        (fits && (2..=1000).contains(&groups)).then_some(ByGroup { inner, groups, contrast })
    }

    /// What one group's patients say.
    fn part(&self, merged: &MergedRelease, group: usize) -> MergedRelease {
        let n = self.inner.layout().lanes;
        let lanes = merged.lanes.get(group * n..(group + 1) * n).unwrap_or_default().to_vec();
        MergedRelease { lanes, ..merged.clone() }
    }

    fn differences(&self, merged: &MergedRelease, names: (&str, &str), reporting: &Reporting) -> Vec<Row> {
        let layout = self.inner.layout();
        let count = match self.contrast {
            Contrast::None => return Vec::new(),
            Contrast::Number => 3,
            Contrast::Category(levels) => levels as usize,
        };
        let read = |group: usize| {
            let part = self.part(merged, group);
            (0..count).map(|lane| part.value(lane, &layout)).collect::<Vec<f64>>()
        };
        let by = self.inner.inputs().len();
        let v = merged.variance(&layout);
        let first = read(0);
        let one = |group: usize| {
            let term = format!("{}, {}={} − {}", names.0, names.1, reporting.level(by, group), reporting.level(by, 0));
            let values: Vec<f64> = first.iter().copied().chain(read(group)).collect();
            let told = self
                .standardised(&values, v)
                .filter(|(_, n1, n0)| n1.min(*n0) >= (reporting.min_cell as f64).max(2.0).max(5.0 * v.sqrt()));
            let Some((d, n1, n0)) = told else {
                return Row::withheld(
                    &term,
                    "smd",
                    "a group is too small, it never varies, or it is lost in the noise",
                );
            };
            let sampling = (n1 + n0) / (n1 * n0) + d * d / (2.0 * (n1 + n0));
            let noise = noise_variance(&values, v, |x| self.standardised(x, v).map_or(d, |(d, ..)| d));
            let row = Row::normal(&term, "smd", d, sampling.sqrt(), noise.sqrt(), reporting.z());
            match self.contrast {
                Contrast::Category(3..) => row
                    .within(0.0, f64::INFINITY)
                    .note("of more than two levels it is never below 0, and chance and noise alone lift it"),
                _ => row,
            }
        };
        (1..self.groups as usize).map(one).collect()
    }

    /// The standardised difference of two groups' lanes, and how many they are.
    fn standardised(&self, values: &[f64], v: f64) -> Option<(f64, f64, f64)> {
        let (x, y) = values.split_at_checked(values.len() / 2)?;
        if self.contrast == Contrast::Number {
            let ([n0, a0, b0, ..], [n1, a1, b1, ..]) = (x, y) else { return None };
            let spread = |n: f64, a: f64, b: f64| (b / n - (a / n).powi(2)) * n / (n - 1.0);
            let both = f64::midpoint(spread(*n0, *a0, *b0), spread(*n1, *a1, *b1));
            // A variance that the noise alone may have made is none.
            let floor = 4.0 * v.sqrt() / n0.min(*n1).max(1.0);
            return (both > floor.max(1e-12)).then(|| ((a1 / n1 - a0 / n0) / both.sqrt(), *n1, *n0));
        }
        let (n0, n1) = (x.iter().sum::<f64>(), y.iter().sum::<f64>());
        if n0 <= 0.0 || n1 <= 0.0 {
            return None;
        }
        let share =
            |v: &[f64], n: f64| DVector::from_iterator(v.len().saturating_sub(1), v.iter().skip(1).map(|c| c / n));
        let (p0, p1) = (share(x, n0), share(y, n1));
        let spread = |p: &DVector<f64>| DMatrix::from_diagonal(p) - p * p.transpose();
        let both = (spread(&p0) + spread(&p1)) / 2.0;
        let away = &p1 - &p0;
        if both.symmetric_eigenvalues().min() <= 1e-9 {
            return None;
        }
        let length = (away.transpose() * both.try_inverse()? * &away)[(0, 0)].max(0.0).sqrt();
        let sign = if away.len() == 1 && away.sum() < 0.0 { -1.0 } else { 1.0 };
        Some((sign * length, n1, n0))
    }
}

impl Statistic for ByGroup {
    fn name(&self) -> &'static str {
        "by_group"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.inner.inputs();
        out.push(Input::Level(self.groups));
        out
    }
    fn layout(&self) -> Layout {
        let own = self.inner.layout();
        Layout { lanes: own.lanes * self.groups as usize, scale: own.scale }
    }
    fn sensitivity(&self) -> Sensitivity {
        self.inner.sensitivity()
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "by_group";
        self.check(lanes)?;
        let groups = level(NAME, patients, self.inner.inputs().len())?;
        let n = self.inner.layout().lanes;
        for group in 0..self.groups {
            let places: Vec<usize> =
                groups.iter().enumerate().filter(|(_, g)| **g == group).map(|(place, _)| place).collect();
            let mut own = Lanes::zeros(n);
            self.inner.accumulate(&patients.rows(&places), &mut own)?;
            for (lane, value) in own.values().iter().enumerate().filter(|(_, v)| **v != 0) {
                lanes.add(NAME, group as usize * n + lane, *value)?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let by = self.inner.inputs().len();
        let mut out = Estimate::default();
        for group in 0..self.groups as usize {
            let own = self.inner.estimate(&self.part(merged, group), reporting);
            let name = |term: &str| format!("{term}, {}={}", reporting.name(by), reporting.level(by, group));
            out.rows.extend(own.rows.into_iter().map(|r| Row { term: name(&r.term), ..r }));
            out.curves.extend(own.curves.into_iter().map(|mut c| {
                c.title = name(&c.title);
                c
            }));
        }
        out.rows.extend(self.differences(merged, (reporting.name(0), reporting.name(by)), reporting));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crosstab::CrossTab;
    use crate::evidence::{Draws, levels, near, noise_is_as_said, numbers, release, reporting, table};
    use crate::moments::Moments;

    /// numpy on birthwt by smoke: means, SDs and shares, Yang and Dalton's distance of race.
    #[test]
    fn birthwt_by_smoke() {
        let Some(d) = table("regression-reference/birthwt.csv") else { return };
        let smoke = || levels(&d["smoke"], &["0", "1"]);
        let s = ByGroup::new(Arc::new(Moments::new(10.0, 50.0).unwrap()), 2, Contrast::Number).unwrap();
        let e = s.estimate(
            &release(&s, vec![numbers(&d["age"]), smoke()]),
            &reporting(&["age", "smoke"], &[&[], &["no", "yes"]]),
        );
        near(&e, "age, smoke=no", "mean", 23.426_086_96, 1e-8);
        near(&e, "age, smoke=yes", "sd", 5.047_424_11, 1e-7);
        near(&e, "age, smoke=yes − no", "smd", -0.091_250_98, 1e-8);
        let s = ByGroup::new(Arc::new(CrossTab::new(vec![3])), 2, Contrast::Category(3)).unwrap();
        let e = s.estimate(
            &release(&s, vec![levels(&d["race"], &["1", "2", "3"]), smoke()]),
            &reporting(&["race", "smoke"], &[&["1", "2", "3"], &["no", "yes"]]),
        );
        near(&e, "race=1, smoke=yes", "n", 52.0, 0.0);
        near(&e, "race, smoke=yes − no", "smd", 0.756_764_66, 1e-8);
    }

    /// Nobody at all, or sums that the noise has turned: a reason, and no number.
    #[test]
    fn what_is_empty_or_lost_is_withheld() {
        let s = ByGroup::new(Arc::new(CrossTab::new(vec![3])), 2, Contrast::Category(3)).unwrap();
        let names = reporting(&["race", "smoke"], &[&["1", "2", "3"], &["no", "yes"]]);
        for lanes in [vec![0; 8], vec![-5, 5, 0, 3, 4, -9, 5, 0]] {
            let release = MergedRelease { lanes, noise_variance: 100.0, unit: 1.0, sites: 1, shared: 1 };
            let e = s.estimate(&release, &names);
            assert!(e.rows.iter().any(|r| r.statistic == "smd" && r.suppressed));
        }
    }

    #[test]
    fn the_noise_does_what_is_said() {
        let mut draws = Draws(4);
        let x = (0..2_000).map(|i| 20.0 + 5.0 * draws.normal() + f64::from(i % 2)).collect();
        let s = ByGroup::new(Arc::new(Moments::new(0.0, 40.0).unwrap()), 2, Contrast::Number).unwrap();
        let arm = crate::batch::Column::Level((0..2_000).map(|i| i % 2).collect());
        let exact = release(&s, vec![crate::batch::Column::Real(x), arm]);
        let names = reporting(&["x", "arm"], &[&[], &["a", "b"]]);
        noise_is_as_said(&s, &exact, 6.0, &names, &[("x, arm=b − a", "smd"), ("x, arm=b", "mean")]);
    }
}
