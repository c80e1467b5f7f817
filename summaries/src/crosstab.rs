//! Patients by the levels of one or more variables, with a level for missing in each. The keys are known beforehand, and
//! a patient falls into one cell: L1 = L2 = L∞ = 1.

use crate::batch::{MISSING, PatientBatch};
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::interval::proportion;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, level};

/// Patients by levels. The number of cells is the product of each variable's levels plus one.
#[derive(Clone, Debug)]
pub struct CrossTab {
    levels: Vec<u32>,
}

impl CrossTab {
    /// Over variables with so many levels each.
    pub fn new(levels: Vec<u32>) -> CrossTab {
        CrossTab { levels }
    }

    fn cells(&self) -> usize {
        self.levels.iter().map(|l| *l as usize + 1).product()
    }

    /// The levels of a cell, one a variable; the missing level is the last.
    fn unravel(&self, mut cell: usize) -> Vec<usize> {
        let mut out = vec![0; self.levels.len()];
        for (slot, levels) in out.iter_mut().zip(&self.levels).rev() {
            let size = *levels as usize + 1;
            *slot = cell % size;
            cell /= size;
        }
        out
    }
}

impl Statistic for CrossTab {
    fn name(&self) -> &'static str {
        "crosstab"
    }
    fn inputs(&self) -> Vec<Input> {
        self.levels.iter().map(|l| Input::Level(*l)).collect()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.cells(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        let columns = (0..self.levels.len()).map(|i| level("crosstab", patients, i)).collect::<Result<Vec<_>, _>>()?;
        for row in 0..patients.patients() {
            let mut cell = 0usize;
            for (column, levels) in columns.iter().zip(&self.levels) {
                let value = column.get(row).copied().unwrap_or(MISSING).min(*levels);
                cell = cell * (*levels as usize + 1) + value as usize;
            }
            lanes.add("crosstab", cell, 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let variance = merged.variance(&layout);
        let cells = self.cells();
        let whole: f64 = (0..cells).map(|c| merged.value(c, &layout)).sum();
        let whole_variance = variance * cells as f64;
        let mut rows = Vec::with_capacity(2 * cells);
        let few = |cell: &usize| merged.value(*cell, &layout) < reporting.min_cell as f64;
        // Of one hidden cell the others and the whole would tell: the least that is shown is hidden as well. Who has no value is no
        // small group of anything.
        let missing = |cell: usize| self.unravel(cell).iter().zip(&self.levels).any(|(at, l)| *at >= *l as usize);
        let hidden: Vec<usize> = (0..cells).filter(few).collect();
        let beside = matches!(hidden.as_slice(), [one] if !missing(*one))
            .then(|| {
                let shown = (0..cells).filter(|c| !few(c));
                shown.min_by(|a, b| merged.value(*a, &layout).total_cmp(&merged.value(*b, &layout)))
            })
            .flatten();
        for cell in 0..cells {
            let at = self.unravel(cell);
            let term = at
                .iter()
                .enumerate()
                .map(|(i, l)| format!("{}={}", reporting.name(i), reporting.level(i, *l)))
                .collect::<Vec<_>>()
                .join(", ");
            let value = merged.value(cell, &layout);
            let n = if beside == Some(cell) {
                Row::withheld(&term, "n", "it would tell of the one cell that is not shown")
            } else {
                patients(&term, value, variance.sqrt(), reporting)
            };
            let shown = !n.suppressed;
            rows.push(n);
            if !shown || whole <= 0.0 {
                rows.push(Row::withheld(&term, "proportion", "too few patients"));
                continue;
            }
            let told = proportion(value, whole, variance, whole_variance, variance);
            rows.push(Row::share(&term, "proportion", told, whole, reporting.z()));
        }
        if let [r, c] = self.levels.as_slice() {
            // Of those with both.
            let (r, c) = (*r as usize, *c as usize);
            let table = nalgebra::DMatrix::from_fn(r, c, |i, j| merged.value(i * (c + 1) + j, &layout));
            let term = format!("{} by {}", reporting.name(0), reporting.name(1));
            rows.extend(crate::independence::test(&term, &table, variance));
        }
        Estimate { rows, curves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    #[test]
    fn two_by_two_with_missing() {
        let s = CrossTab::new(vec![2, 2]);
        let batch =
            PatientBatch::new(4, vec![Column::Level(vec![0, 1, 1, MISSING]), Column::Level(vec![1, 1, 1, 0])]).unwrap();
        let mut lanes = Lanes::zeros(9);
        s.accumulate(&batch, &mut lanes).unwrap();
        assert_eq!(lanes.values(), [0, 1, 0, 0, 2, 0, 1, 0, 0]);
        assert_eq!(s.unravel(4), [1, 1]);
        let reporting = Reporting {
            confidence: 0.95,
            min_cell: 2,
            names: vec!["a".into(), "b".into()],
            levels: vec![vec!["x".into(), "y".into()]; 2],
        };
        let e = s.estimate(
            &MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 },
            &reporting,
        );
        let shown: Vec<_> = e.rows.iter().filter(|r| !r.suppressed).map(|r| r.term.as_str()).collect();
        assert_eq!(shown, ["a=y, b=y", "a=y, b=y"]);
    }

    /// An unknown level counts as missing instead of falling into a neighbour's cell.
    #[test]
    fn a_level_out_of_range_is_missing() {
        let s = CrossTab::new(vec![2]);
        let mut lanes = Lanes::zeros(3);
        s.accumulate(&PatientBatch::new(1, vec![Column::Level(vec![7])]).unwrap(), &mut lanes).unwrap();
        assert_eq!(lanes.values(), [0, 0, 1]);
    }
}
