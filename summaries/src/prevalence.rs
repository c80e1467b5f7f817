//! Prevalence over calendar time. On each day a patient is not observed, observed without the condition, or observed with it: of the two
//! cells of a day at most one takes 1. So L1 = d, L2 = √d, L∞ = 1 for d days.
//!
//! With b the cell of those with it and a of those without, prevalence = b/(a + b); its sampling variance is p(1 − p)/n, and the
//! noise's, of variance v in each cell, v((1 − p)² + p²)/n². Days share patients, so their estimates are correlated.

use crate::batch::{Column, PatientBatch};
use crate::estimate::{Curve, Estimate, Reporting, Row, patients};
use crate::interval::proportion;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic};

const NAME: &str = "prevalence";

/// The share of the observed who have a condition, on some days. Its inputs are two sets of days' places: when a patient is observed,
/// and when they have it.
#[derive(Clone, Debug)]
pub struct Prevalence {
    days: Vec<(String, f64)>,
}

impl Prevalence {
    /// On these days: what each is called, and its place on the axis of time, in years.
    pub fn new(days: Vec<(String, f64)>) -> Prevalence {
        Prevalence { days }
    }
}

/// A patient's places in a column of codes.
fn places(patients: &PatientBatch, column: usize, row: usize) -> Result<&[u32], AccumulateError> {
    match patients.column(column) {
        Some(Column::Codes { offsets, codes }) => {
            let at = |i: usize| offsets.get(i).map_or(0, |o| *o as usize);
            Ok(codes.get(at(row)..at(row + 1)).unwrap_or_default())
        }
        _ => Err(AccumulateError::Column { statistic: NAME, wanted: "codes", place: column }),
    }
}

impl Statistic for Prevalence {
    fn name(&self) -> &'static str {
        "prevalence"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Codes(self.days.len() as u32); 2]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * self.days.len(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(self.days.len())
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        // Once a day and no more, whatever came in.
        let mut state = vec![0u8; self.days.len()];
        for row in 0..patients.patients() {
            state.fill(0);
            for (column, bit) in [(0, 1), (1, 2)] {
                for place in places(patients, column, row)? {
                    if let Some(s) = state.get_mut(*place as usize) {
                        *s |= bit;
                    }
                }
            }
            for (day, s) in state.iter().enumerate() {
                // Who has it and is not observed is in no cell.
                if let 1 | 3 = s {
                    lanes.add(NAME, 2 * day + usize::from(*s == 3), 1)?;
                }
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let (mut rows, mut points) = (Vec::new(), Vec::new());
        for (i, (term, year)) in self.days.iter().enumerate() {
            let (without, with) = (merged.value(2 * i, &layout), merged.value(2 * i + 1, &layout));
            let all = patients(term, without + with, (2.0 * v).sqrt(), reporting);
            let cases = Row { statistic: "cases".into(), ..patients(term, with, v.sqrt(), reporting) };
            let few = all.suppressed || cases.suppressed;
            rows.extend([all, cases]);
            let n = without + with;
            // The denominator must be told from noise, or the share is anything.
            if few || n <= 0.0 || n < 3.0 * (2.0 * v).sqrt() {
                rows.push(Row::withheld(term, NAME, "too few patients, or too noisy to report"));
                continue;
            }
            let (p, sampling, noise) = proportion(with, n, v, 2.0 * v, v);
            let row = Row::share(term, NAME, (p, sampling, noise), n, reporting.z());
            points.push([*year, p, row.lower.unwrap_or(p), row.upper.unwrap_or(p)]);
            rows.push(row);
        }
        let curves = if points.len() < 2 {
            Vec::new()
        } else {
            vec![Curve {
                title: "Prevalence over calendar time".to_owned(),
                kind: "line".to_owned(),
                x_label: "year".to_owned(),
                y_label: NAME.to_owned(),
                points,
            }]
        };
        Estimate { rows, curves }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_observed_and_the_cases_of_each_day() {
        let s = Prevalence::new(vec![("2020".into(), 2020.0), ("2021".into(), 2021.0), ("2022".into(), 2022.0)]);
        // Seen twice on a day, a case who is not observed, a place that there is not, and nobody.
        let observed = Column::Codes { offsets: vec![0, 4, 6, 6, 9], codes: vec![0, 0, 1, 2, 1, 2, 0, 1, 9] };
        let cases = Column::Codes { offsets: vec![0, 2, 2, 3, 4], codes: vec![1, 2, 0, 1] };
        let mut lanes = Lanes::zeros(6);
        s.accumulate(&PatientBatch::new(4, vec![observed, cases]).unwrap(), &mut lanes).unwrap();
        assert_eq!(lanes.values(), [2, 0, 1, 2, 1, 1]);
        let reporting = Reporting { confidence: 0.95, min_cell: 0, names: vec![], levels: vec![] };
        let merged = |v: f64| MergedRelease {
            lanes: vec![900, 100, 600, 400, 0, 0],
            noise_variance: v,
            unit: 1.0,
            sites: 1,
            shared: 1,
        };
        let e = s.estimate(&merged(16.0), &reporting);
        let of = |term: &str, statistic: &str| {
            e.rows.iter().find(|r| r.term == term && r.statistic == statistic).unwrap().clone()
        };
        let row = of("2020", "prevalence");
        assert_eq!(row.estimate, Some(0.1));
        assert!((row.sampling_se.unwrap() - 0.009_486_833).abs() < 1e-9);
        // 4 √(0.9² + 0.1²) / 1000.
        assert!((row.dp_se.unwrap() - 0.003_622_154).abs() < 1e-9);
        assert!(of("2022", "prevalence").suppressed);
        assert_eq!(e.curves[0].points.len(), 2);
    }
}
