//! The sketch as a statistic: how many of a site's patients set each cell. The mechanism asks only whether any does.

use crate::batch::{Column, PatientBatch};
use crate::distinct::{Distinct, zeros};
use crate::estimate::{Estimate, Reporting, Row};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic};

/// What stands beside every estimate.
pub const EXPERIMENTAL: &str = "experimental: the method has not been reviewed; one hospital that gives the linkage key away breaks it, and ids that are \
     written in several ways count several times";

/// The number of distinct patients of all hospitals together. Its lanes become private by the presence mechanism, not by noise
/// that is added to them.
#[derive(Clone, Copy, Debug)]
pub struct DistinctPatients {
    sketch: Distinct,
}

impl DistinctPatients {
    /// With a sketch whose ε is that of the mechanism.
    pub fn new(sketch: Distinct) -> DistinctPatients {
        DistinctPatients { sketch }
    }
}

impl Statistic for DistinctPatients {
    fn name(&self) -> &'static str {
        "distinct"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Tag]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.sketch.lanes(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        let Some(Column::Tags(tags)) = patients.column(0) else {
            return Err(AccumulateError::Column { statistic: "distinct", wanted: "tag", place: 0 });
        };
        for cell in tags.iter().filter_map(|t| self.sketch.cell_of(t)) {
            lanes.add("distinct", cell, 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let cells: Vec<u64> = merged.lanes.iter().map(|v| v.cast_unsigned()).collect();
        let term = "distinct patients";
        let row = match self.sketch.estimate(&zeros(&cells), merged.sites, merged.shared, reporting.z()) {
            Err(e) => Row::withheld(term, "n", &e.to_string()),
            Ok(d) if !d.estimate.is_finite() => {
                let why = format!("more than the sketch can tell apart, at least {:.0}; give it more buckets", d.lower);
                Row::withheld(term, "n", &why)
            }
            Ok(d) if d.estimate < reporting.min_cell as f64 => {
                Row::withheld(term, "n", &format!("fewer than {} (noisy)", reporting.min_cell))
            }
            Ok(d) => Row {
                lower: Some(d.lower),
                upper: Some(d.upper),
                ..Row::normal(term, "n", d.estimate, 0.0, d.se, reporting.z())
            },
        };
        let note = if row.note.is_empty() { EXPERIMENTAL.to_owned() } else { format!("{}; {EXPERIMENTAL}", row.note) };
        Estimate { rows: vec![row.note(&note)], curves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(person: u32) -> [u8; 32] {
        // Any well-mixed function will do here: splitmix64.
        let mut out = [0; 32];
        for (i, chunk) in out.chunks_mut(8).enumerate() {
            let mut z = (u64::from(person) << 8 | i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        out
    }

    fn reporting() -> Reporting {
        Reporting { confidence: 0.95, min_cell: 10, names: vec![], levels: vec![] }
    }

    #[test]
    fn a_person_at_two_hospitals_counts_once() {
        let sketch = Distinct::with_epsilon(8.0).unwrap();
        let statistic = DistinctPatients::new(sketch);
        let at = |people: std::ops::Range<u32>| {
            let mut lanes = Lanes::zeros(sketch.lanes());
            let tags: Vec<_> = people.clone().chain(people).map(tag).collect();
            let batch = PatientBatch::new(tags.len(), vec![Column::Tags(tags)]).unwrap();
            statistic.accumulate(&batch, &mut lanes).unwrap();
            lanes.into_values()
        };
        let (a, b) = (at(0..3000), at(1000..4000));
        let lanes = a.iter().zip(&b).map(|(x, y)| x + y).collect();
        let merged = MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 2, shared: 2 };
        let estimate = statistic.estimate(&merged, &reporting());
        let n = estimate.rows[0].estimate.unwrap();
        assert!((n / 4000.0 - 1.0).abs() < 0.1, "{n}");
        assert!(estimate.rows[0].note.contains("experimental"));
        let few = statistic.estimate(&MergedRelease { sites: 1, ..merged }, &reporting());
        assert!(few.rows[0].suppressed && few.rows[0].note.contains("experimental"));
    }
}
