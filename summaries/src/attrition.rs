//! Attrition: how many patients are left after each criterion of a cohort, in order.
//!
//! A patient is in one cell, the number of criteria passed before the first that fails; so L1 = L2 = L∞ = 1, however many criteria
//! there are. Who is left after k criteria is the sum of the cells from k on, and its noise the sum of theirs. Counting each step by
//! itself would move √(steps) of the vector, and be no better for any step.
//!
//! A step that few are excluded by is told with the next, or with the one before where it is the last: two numbers beside each other would tell of the few by their difference.

use crate::batch::{MISSING, PatientBatch};
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::interval::proportion;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, level};

/// Patients by the number of criteria that they pass.
#[derive(Clone, Debug)]
pub struct Attrition {
    /// What each step is called; the first is the entry.
    steps: Vec<String>,
}

impl Attrition {
    /// Of the entry and criteria of these names, in order.
    pub fn new(steps: Vec<String>) -> Attrition {
        Attrition { steps }
    }
}

impl Statistic for Attrition {
    fn name(&self) -> &'static str {
        "attrition"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Level(self.steps.len() as u32)]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.steps.len(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        for passed in level("attrition", patients, 0)?.iter().filter(|p| **p != MISSING) {
            let cell = *passed as usize;
            if cell < self.steps.len() {
                lanes.add("attrition", cell, 1)?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let variance = merged.variance(&layout);
        let left = |step: usize| (step..self.steps.len()).map(|c| merged.value(c, &layout)).sum::<f64>();
        let noise = |step: usize| variance * (self.steps.len() - step) as f64;
        let entered = left(0);
        let mut rows = Vec::with_capacity(3 * self.steps.len());
        // Who is left at the end matters most: a step that would tell of few by its distance from that gives way to it.
        let (end, few) = (self.steps.len().saturating_sub(1), |n: f64| n < reporting.min_cell as f64);
        let told = !few(left(end)) && !few(entered - left(end));
        // The last step of which the number is shown. A number is not shown whose distance from it would tell of few.
        let mut before = 0;
        for (step, name) in self.steps.iter().enumerate() {
            let term = format!("{step}. {name}");
            let n = left(step);
            let row = patients(&term, n, noise(step).sqrt(), reporting);
            if step == 0 {
                rows.push(row);
                continue;
            }
            let gone = (before..step).map(|c| merged.value(c, &layout)).sum::<f64>();
            let mut excluded = patients(&term, gone, (variance * (step - before) as f64).sqrt(), reporting);
            "excluded".clone_into(&mut excluded.statistic);
            if step < end && told && few(n - left(end)) && !row.suppressed && !excluded.suppressed {
                let to = self.steps.last().map_or("", String::as_str);
                let why = format!("fewer than {} (noisy) are excluded from here to '{to}'", reporting.min_cell);
                rows.push(Row::withheld(&term, "n", &why));
                rows.push(Row::withheld(&term, "excluded", &why));
                continue;
            }
            let shown = !row.suppressed && !excluded.suppressed;
            if excluded.suppressed && !row.suppressed {
                let since = self.steps.get(before).map_or("", String::as_str);
                let why = format!("fewer than {} (noisy) are excluded since '{since}'", reporting.min_cell);
                rows.push(Row::withheld(&term, "n", &why));
            } else {
                rows.push(row);
            }
            if shown && step - before > 1 {
                "with those of the steps before that are not shown".clone_into(&mut excluded.note);
            }
            rows.push(excluded);
            if shown {
                before = step;
            }
            if shown && entered > 0.0 {
                let told = proportion(n, entered, noise(step), noise(0), noise(step));
                rows.push(Row::share(&term, "proportion", told, entered, reporting.z()));
            }
        }
        Estimate { rows, curves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    #[test]
    fn who_is_left_is_the_sum_of_who_passed_as_many_or_more() {
        let s = Attrition::new(vec!["entry".into(), "adults".into(), "no cancer".into()]);
        let batch = PatientBatch::new(6, vec![Column::Level(vec![0, 2, 2, 1, 2, 2])]).unwrap();
        let mut lanes = Lanes::zeros(3);
        s.accumulate(&batch, &mut lanes).unwrap();
        assert_eq!(lanes.values(), [1, 1, 4]);
        let reporting = Reporting { confidence: 0.95, min_cell: 0, names: vec![], levels: vec![] };
        let release = MergedRelease { lanes: lanes.into_values(), noise_variance: 4.0, unit: 1.0, sites: 1, shared: 1 };
        let e = s.estimate(&release, &reporting);
        let of = |term: &str, quantity: &str| {
            e.rows.iter().find(|r| r.term == term && r.statistic == quantity).map(|r| (r.estimate, r.dp_se)).unwrap()
        };
        assert_eq!(of("0. entry", "n"), (Some(6.0), Some(12.0f64.sqrt())));
        assert_eq!(of("1. adults", "n"), (Some(5.0), Some(8.0f64.sqrt())));
        assert_eq!(of("1. adults", "excluded").0, Some(1.0));
        assert_eq!(of("2. no cancer", "n"), (Some(4.0), Some(2.0)));
        assert_eq!(of("2. no cancer", "excluded").0, Some(1.0));
    }

    /// No two numbers that are shown are closer than the least cell.
    #[test]
    fn few_who_are_excluded_are_told_with_the_next_step() {
        let s = Attrition::new(["entry", "a", "b", "c", "d"].map(str::to_owned).to_vec());
        let reporting = Reporting { confidence: 0.95, min_cell: 11, names: vec![], levels: vec![] };
        let lanes = vec![30, 5, 8, 3, 60];
        let e = s.estimate(&MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 }, &reporting);
        let of = |term: &str, what: &str| {
            e.rows.iter().find(|r| r.term == term && r.statistic == what).and_then(|r| r.estimate)
        };
        let n: Vec<_> = ["0. entry", "1. a", "2. b", "3. c", "4. d"].iter().map(|t| of(t, "n")).collect();
        assert_eq!(n, [Some(106.0), Some(76.0), None, None, Some(60.0)]);
        assert_eq!((of("2. b", "excluded"), of("3. c", "excluded"), of("4. d", "excluded")), (None, None, Some(16.0)));
    }
}
