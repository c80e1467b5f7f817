//! Patients by intervals of a number, between public edges, with cells for below, above and missing. One cell a patient:
//! every sensitivity is 1.

use crate::batch::PatientBatch;
use crate::estimate::{Curve, Estimate, Reporting, patients};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, real};

/// A histogram over `[edges[i], edges[i+1])`; the last interval holds its upper edge.
#[derive(Clone, Debug)]
pub struct Histogram {
    edges: Vec<f64>,
}

impl Histogram {
    /// Over ascending edges; `None` with fewer than two, or where they do not ascend.
    pub fn new(edges: Vec<f64>) -> Option<Histogram> {
        let ascending = edges.windows(2).all(|w| matches!(w, [a, b] if a < b));
        (edges.len() >= 2 && ascending).then_some(Histogram { edges })
    }

    fn bins(&self) -> usize {
        self.edges.len() - 1
    }

    fn cell(&self, x: f64) -> usize {
        let bins = self.bins();
        if x.is_nan() {
            return bins + 2;
        }
        match (self.edges.first(), self.edges.last()) {
            (Some(lo), _) if x < *lo => bins,
            (_, Some(hi)) if x > *hi => bins + 1,
            _ => self.edges.partition_point(|e| *e <= x).saturating_sub(1).min(bins - 1),
        }
    }
}

impl Statistic for Histogram {
    fn name(&self) -> &'static str {
        "histogram"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Real]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.bins() + 3, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        for x in real("histogram", patients, 0)? {
            lanes.add("histogram", self.cell(*x), 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let se = merged.variance(&layout).sqrt();
        let z = reporting.z();
        let name = reporting.name(0);
        let mut rows = Vec::new();
        let mut points = Vec::new();
        for (i, pair) in self.edges.windows(2).enumerate() {
            let [lo, hi] = pair else { continue };
            let v = merged.value(i, &layout);
            let row = patients(&format!("{name} [{lo}, {hi})"), v, se, reporting);
            if !row.suppressed {
                points.push([f64::midpoint(*lo, *hi), v, (v - z * se).max(0.0), v + z * se]);
            }
            rows.push(row);
        }
        for (label, lane) in [("below", self.bins()), ("above", self.bins() + 1), ("missing", self.bins() + 2)] {
            rows.push(patients(&format!("{name} {label}"), merged.value(lane, &layout), se, reporting));
        }
        let curve = Curve {
            title: name.to_owned(),
            kind: "bars".into(),
            x_label: name.to_owned(),
            y_label: "patients".into(),
            points,
        };
        Estimate { rows, curves: vec![curve] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_and_the_odd_cells() {
        let h = Histogram::new(vec![0.0, 1.0, 2.0]).unwrap();
        let cells: Vec<_> = [0.0, 0.99, 1.0, 2.0, -0.1, 2.1, f64::NAN].map(|x| h.cell(x)).to_vec();
        assert_eq!(cells, [0, 0, 1, 1, 2, 3, 4]);
        assert!(Histogram::new(vec![1.0, 1.0]).is_none() && Histogram::new(vec![1.0]).is_none());
    }
}
