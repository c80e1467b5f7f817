//! How many patients have each code of a public vocabulary. A patient adds 1 to at most `k` distinct codes:
//! L1 = k, L2 = √k, L∞ = 1. Which k, where a patient has more, is chosen before this by a keyed hash.

use crate::batch::{Column, PatientBatch};
use crate::estimate::{Estimate, Reporting, patients};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic};

/// Patients per code.
#[derive(Clone, Copy, Debug)]
pub struct Codes {
    vocabulary: u32,
    per_patient: u32,
}

impl Codes {
    /// Over a vocabulary of so many codes, at most `per_patient` (at least 1) of them a patient.
    pub fn new(vocabulary: u32, per_patient: u32) -> Codes {
        Codes { vocabulary, per_patient: per_patient.clamp(1, vocabulary.max(1)) }
    }
}

impl Statistic for Codes {
    fn name(&self) -> &'static str {
        "codes"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Codes(self.vocabulary)]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.vocabulary as usize, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(self.per_patient as usize)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        let Some(Column::Codes { offsets, codes }) = patients.column(0) else {
            return Err(AccumulateError::Column { statistic: "codes", wanted: "codes", place: 0 });
        };
        let mut own: Vec<u32> = Vec::new();
        for pair in offsets.windows(2) {
            let [from, to] = pair else { continue };
            own.clear();
            own.extend(codes.get(*from as usize..*to as usize).unwrap_or_default());
            own.retain(|c| *c < self.vocabulary);
            // Distinct, and never more than the bound, whatever came in.
            let mut seen = 0;
            for i in 0..own.len() {
                let Some(code) = own.get(i).copied() else { continue };
                if own.iter().take(i).any(|c| *c == code) || seen == self.per_patient {
                    continue;
                }
                seen += 1;
                lanes.add("codes", code as usize, 1)?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let se = merged.variance(&layout).sqrt();
        let rows = (0..self.vocabulary as usize)
            .map(|i| patients(&reporting.level(0, i), merged.value(i, &layout), se, reporting))
            .collect();
        Estimate { rows, curves: Vec::new() }
    }
}
