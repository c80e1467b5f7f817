//! Where a number's bins lie, where the plan does not say: at quantiles that a private tree of counts tells, in the round before the first tree.
//!
//! It is over the patients who are trained on and have an outcome, and a patient is in one count of each of its levels. What comes of it is frozen: it
//! stands in front of the trees in every later round, and in the model.

use std::sync::Arc;

use summaries::quantiles::Quantiles;
use summaries::{
    AccumulateError, Column, Estimate, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use super::feature::Feature;
use super::forest::Forest;
use crate::training::Group;

/// The counts have so many children a node, and so many levels: 1,024 cells between the bounds.
const BRANCHING: usize = 4;
const DEPTH: u32 = 5;

/// The counts of one feature.
#[derive(Clone)]
pub struct TreeQuantiles {
    forest: Arc<Forest>,
    feature: usize,
    tree: Quantiles,
}

impl TreeQuantiles {
    /// Of the feature at a place; `None` where its bins are the plan's.
    pub fn new(forest: Arc<Forest>, feature: usize) -> Option<TreeQuantiles> {
        let Some(Feature::Cut { lower, upper, bins, .. }) = forest.features().get(feature) else { return None };
        let between = (1..*bins).map(|i| i as f64 / *bins as f64).collect();
        let tree = Quantiles::new(*lower, *upper, BRANCHING, DEPTH, between)?;
        Some(TreeQuantiles { forest, feature, tree })
    }

    /// The edges between bins, in order; evenly between the bounds, where the counts can't be told from their noise.
    pub(crate) fn read(&self, merged: &MergedRelease) -> Vec<f64> {
        let even = || {
            let Some(feature @ Feature::Cut { lower, upper, bins, .. }) = self.forest.features().get(self.feature)
            else {
                return Vec::new();
            };
            let at = |bin: usize| lower + (upper - lower) * (bin + 1) as f64 / *bins as f64;
            (0..feature.bins() - 1).map(at).collect()
        };
        self.tree.told(merged).unwrap_or_else(even)
    }
}

impl Statistic for TreeQuantiles {
    fn name(&self) -> &'static str {
        "tree_quantiles"
    }
    fn inputs(&self) -> Vec<Input> {
        self.forest.inputs()
    }
    fn layout(&self) -> Layout {
        self.tree.layout()
    }
    fn sensitivity(&self) -> Sensitivity {
        self.tree.sensitivity()
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "tree_quantiles";
        let misfit = || AccumulateError::Column { statistic: NAME, wanted: "feature", place: self.feature };
        // All of them: what is refused does not hang on which feature is counted.
        for (place, input) in self.inputs().iter().enumerate() {
            let fits = match input {
                Input::Real => matches!(patients.columns().get(place), Some(Column::Real(_))),
                _ => matches!(patients.columns().get(place), Some(Column::Level(_))),
            };
            if !fits {
                return Err(AccumulateError::Column { statistic: NAME, wanted: "feature of another kind", place });
            }
        }
        let places: Vec<usize> =
            self.forest.members(NAME, Group::Training, patients)?.into_iter().map(|(place, _)| place).collect();
        let own = patients.rows(&places).select(&[self.feature]).ok_or_else(misfit)?;
        self.tree.accumulate(&own, lanes)
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
