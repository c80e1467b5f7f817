//! How many patients a model is trained on: those with every feature and the outcome, but who is held out. The mean of a sum of gradients is over them.

use summaries::{
    AccumulateError, Estimate, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity, Statistic,
};

use super::gradient::{Group, Model};

/// The number of complete patients.
#[derive(Clone)]
pub struct Complete(pub Model);

impl Statistic for Complete {
    fn name(&self) -> &'static str {
        "complete"
    }
    fn inputs(&self) -> Vec<Input> {
        self.0.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 1, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        self.0.blocks("complete", Group::Training, patients, |_, outcomes| {
            lanes.add("complete", 0, outcomes.len() as i64)
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
