//! What a statistic is.

use crate::batch::{Column, PatientBatch};
use crate::estimate::{Estimate, Reporting};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};

/// What a statistic reads of a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A real number, NaN where missing.
    Real,
    /// One of so many levels.
    Level(u32),
    /// A set of codes out of a public vocabulary of so many.
    Codes(u32),
    /// A set of codes that no list names.
    Keys,
    /// A keyed tag of the patient.
    Tag,
}

/// Why a batch could not be accumulated. The text names columns of the plan, never a patient's value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccumulateError {
    /// The batch lacks a column, or the column has another type.
    #[error("the statistic '{statistic}' finds no {wanted} column at place {place} of the batch")]
    Column {
        /// The statistic.
        statistic: &'static str,
        /// What was wanted.
        wanted: &'static str,
        /// The place, from 0.
        place: usize,
    },
    /// The lanes have another length than the layout.
    #[error("the statistic '{statistic}' was given {given} lanes and needs {needed}")]
    Lanes {
        /// The statistic.
        statistic: &'static str,
        /// Lanes given.
        given: usize,
        /// Lanes needed.
        needed: usize,
    },
    /// A sum left the range of a 64-bit integer.
    #[error("the statistic '{0}' overflowed a 64-bit lane")]
    Overflow(&'static str),
}

/// One statistic: what one patient may contribute, and what the sum says.
///
/// Privacy rests on two promises that every implementation is fuzzed for: `accumulate` is additive over patients,
/// and one patient's contribution is within [`Statistic::sensitivity`] in each norm.
pub trait Statistic: Send + Sync {
    /// A short name, such as `moments`.
    fn name(&self) -> &'static str;
    /// The columns it reads, in the order of the batch.
    fn inputs(&self) -> Vec<Input>;
    /// Its lanes.
    fn layout(&self) -> Layout;
    /// How far one patient moves the vector, in lane units, under adding or removing that patient.
    fn sensitivity(&self) -> Sensitivity;
    /// Adds the patients to the lanes.
    ///
    /// # Errors
    /// The batch or the lanes do not fit, or a lane overflows.
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError>;
    /// What the merged sum says; the error bars hold sampling and noise.
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate;

    /// Checks the lanes' length against the layout.
    ///
    /// # Errors
    /// They differ.
    fn check(&self, lanes: &Lanes) -> Result<(), AccumulateError> {
        let needed = self.layout().lanes;
        if lanes.len() == needed {
            Ok(())
        } else {
            Err(AccumulateError::Lanes { statistic: self.name(), given: lanes.len(), needed })
        }
    }
}

/// The real column at a place.
///
/// # Errors
/// There is none.
pub fn real<'a>(
    statistic: &'static str,
    patients: &'a PatientBatch,
    place: usize,
) -> Result<&'a [f64], AccumulateError> {
    match patients.column(place) {
        Some(Column::Real(v)) => Ok(v),
        _ => Err(AccumulateError::Column { statistic, wanted: "real", place }),
    }
}

/// The level column at a place.
///
/// # Errors
/// There is none.
pub fn level<'a>(
    statistic: &'static str,
    patients: &'a PatientBatch,
    place: usize,
) -> Result<&'a [u32], AccumulateError> {
    match patients.column(place) {
        Some(Column::Level(v)) => Ok(v),
        _ => Err(AccumulateError::Column { statistic, wanted: "level", place }),
    }
}
