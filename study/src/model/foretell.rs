//! What a model says of patients: of each one of a batch, whether or not the outcome is known.

use learning::trees::Ensemble;
use summaries::{Column, MISSING, PatientBatch};

use super::{Asked, ModelError, Trained};
use crate::analysis::training::{FamilyWord, MissingWord};

impl Trained {
    /// What it says of each patient of a batch, whose columns are the features in order: the outcome, the probability of yes, of each level, the
    /// mean count, or the probability of an event up to the horizon. `None` of who lacks a feature that the model can't do without.
    ///
    /// # Errors
    /// The file does not say what its features are, or the batch does not fit.
    pub fn foretell(&self, patients: &PatientBatch) -> Result<Vec<Option<Vec<f64>>>, ModelError> {
        let wrong = |e: summaries::AccumulateError| ModelError::Use(e.to_string());
        match &self.asked {
            Asked::Train(_) => self.network()?.foretell(&self.parameters, patients).map_err(wrong),
            Asked::Trees(t) => {
                let none = || ModelError::Parameters(self.origin.analysis.clone());
                let forest = self.forest()?;
                let (forest, numbers) = forest.at(&self.parameters).ok_or_else(none)?;
                let trees = Ensemble::read(numbers, forest.shape(t.depth)).ok_or_else(none)?;
                let told = forest.foretell(&trees, patients).map_err(wrong)?;
                Ok(told.into_iter().map(Some).collect())
            }
        }
    }

    /// What each number that it foretells is called: `prediction`, or of levels `p_` and the level.
    pub fn names(&self) -> Vec<String> {
        if self.family() == FamilyWord::Multinomial {
            self.outcome.levels.iter().map(|l| format!("p_{l}")).collect()
        } else {
            vec!["prediction".to_owned()]
        }
    }

    /// Whether who lacks a feature is foretold all the same.
    pub fn does_without(&self) -> bool {
        match &self.asked {
            Asked::Train(t) => t.prepare.missing != MissingWord::Drop,
            Asked::Trees(_) => true,
        }
    }
}

/// How many patients of a batch lack each of its columns.
pub fn lacking(patients: &PatientBatch) -> Vec<usize> {
    let of = |column: &Column| match column {
        Column::Real(v) => v.iter().filter(|x| x.is_nan()).count(),
        Column::Level(v) => v.iter().filter(|l| **l == MISSING).count(),
        _ => 0,
    };
    patients.columns().iter().map(of).collect()
}
