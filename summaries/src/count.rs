//! How many patients a cohort has. One lane; a patient adds 1, so every sensitivity is 1.

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, patients};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic};

/// The number of patients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl Statistic for Count {
    fn name(&self) -> &'static str {
        "count"
    }
    fn inputs(&self) -> Vec<Input> {
        Vec::new()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 1, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        let n = i64::try_from(patients.patients()).map_err(|_| AccumulateError::Overflow("count"))?;
        lanes.add("count", 0, n)
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let row = patients("cohort", merged.value(0, &layout), merged.variance(&layout).sqrt(), reporting);
        Estimate { rows: vec![row], curves: Vec::new() }
    }
}
