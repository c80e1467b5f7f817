//! Attrition: how many patients are left after each criterion of a cohort, in order.
//!
//! A patient is in one cell, the number of criteria passed before the first that fails; so L1 = L2 = L∞ = 1, however many criteria
//! there are. Who is left after k criteria is the sum of the cells from k on, and its noise the sum of theirs. Counting each step by
//! itself would move √(steps) of the vector, and be no better for any step.

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
        for (step, name) in self.steps.iter().enumerate() {
            let term = format!("{step}. {name}");
            let n = left(step);
            let row = patients(&term, n, noise(step).sqrt(), reporting);
            let shown = !row.suppressed;
            rows.push(row);
            if step == 0 {
                continue;
            }
            // Who goes at this step is one cell, and that one is not shown where it could tell of few.
            let gone = merged.value(step - 1, &layout);
            let mut row = patients(&term, gone, variance.sqrt(), reporting);
            "excluded".clone_into(&mut row.statistic);
            rows.push(row);
            if shown && entered > 0.0 {
                let (p, sampling, dp) = proportion(n, entered, noise(step), noise(0), noise(step));
                rows.push(Row::normal(&term, "proportion", p, sampling, dp, reporting.z()).within(0.0, 1.0));
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
}
