//! What a patient says of a model: a family's outcome, beside it an offset and a weight.
//!
//! An offset, within public bounds, is added to the linear predictor. It moves no bound: what a family says of a patient is bounded whatever
//! the predictor.
//!
//! A weight w of at most W multiplies a patient's part of the log-likelihood. Patients count for w/W, so that sensitivities stay, and the
//! sums are in units of W: of two patients' noise, the one with the larger W is the larger. Who has a weight of 0, or none, is left out.

use summaries::statistic::{level, real};
use summaries::{AccumulateError, Input, MISSING, PatientBatch};

use crate::design::Design;
use crate::family::{Family, Told};

/// A family, with an offset and weights where there are any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// The family.
    pub family: Family,
    /// The offset's public bounds.
    pub offset: Option<[f64; 2]>,
    /// The most that a patient weighs.
    pub weights: Option<f64>,
}

impl From<Family> for Likelihood {
    fn from(family: Family) -> Likelihood {
        Likelihood { family, offset: None, weights: None }
    }
}

impl Likelihood {
    /// What the sums are divided by.
    pub fn unit(&self) -> f64 {
        self.family.unit() * self.weights.unwrap_or(1.0)
    }

    /// What it reads after the design's columns: the outcome, an exposure, an offset, a weight.
    pub fn inputs(&self) -> Vec<Input> {
        let mut out = self.family.inputs();
        out.extend(self.offset.map(|_| Input::Real));
        out.extend(self.weights.map(|_| Input::Real));
        out
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

enum Outcome<'a> {
    Level(&'a [u32]),
    Real(&'a [f64]),
}

/// Calls `f` for each patient who is complete but that the outcome is not above 0, as the family wants it.
pub(crate) fn others(
    statistic: &'static str,
    (design, likelihood): (&Design, &Likelihood),
    patients: &PatientBatch,
    mut f: impl FnMut() -> Result<(), AccumulateError>,
) -> Result<(), AccumulateError> {
    let place = design.inputs().len();
    let outcome = real(statistic, patients, place)?;
    let next = place + likelihood.family.inputs().len();
    let offsets = likelihood.offset.map(|_| real(statistic, patients, next)).transpose()?;
    let next = next + usize::from(likelihood.offset.is_some());
    let weights = likelihood.weights.map(|_| real(statistic, patients, next)).transpose()?;
    design.rows(statistic, patients, |patient, _, _| {
        let of =
            |column: Option<&[f64]>, none: f64| column.map_or(none, |c| c.get(patient).copied().unwrap_or(f64::NAN));
        let has_offset = !of(offsets, 0.0).is_nan();
        let complete = has_offset && of(weights, 1.0) > 0.0;
        if complete && of(Some(outcome), f64::NAN) <= 0.0 { f() } else { Ok(()) }
    })
}

/// Calls `f` with each complete patient's row, weight and what they say at coefficients of the unit-ball rows. The weight is the design's
/// times the patient's own, as a share of the most.
pub(crate) fn tell(
    statistic: &'static str,
    (design, likelihood, theta): (&Design, &Likelihood, &[f64]),
    patients: &PatientBatch,
    mut f: impl FnMut(&[f64], f64, Told) -> Result<(), AccumulateError>,
) -> Result<(), AccumulateError> {
    let family = likelihood.family;
    let mut place = design.inputs().len();
    let outcome = match family {
        Family::Logistic => Outcome::Level(level(statistic, patients, place)?),
        _ => Outcome::Real(real(statistic, patients, place)?),
    };
    let mut next = |there: bool| -> Result<Option<&[f64]>, AccumulateError> {
        if !there {
            return Ok(None);
        }
        place += 1;
        real(statistic, patients, place).map(Some)
    };
    let exposures = next(family.inputs().len() > 1)?;
    let (offsets, weights) = (next(likelihood.offset.is_some())?, next(likelihood.weights.is_some())?);
    let [low, high] = likelihood.offset.unwrap_or([0.0, 0.0]);
    let heaviest = likelihood.weights.unwrap_or(1.0);
    let positive = family == Family::Gamma;
    design.rows(statistic, patients, |patient, row, v| {
        let of =
            |column: Option<&[f64]>, none: f64| column.map_or(none, |c| c.get(patient).copied().unwrap_or(f64::NAN));
        let y = match &outcome {
            Outcome::Level(levels) => match levels.get(patient).copied().unwrap_or(MISSING) {
                l @ 0..=1 => f64::from(l),
                _ => f64::NAN,
            },
            Outcome::Real(values) => of(Some(values), f64::NAN),
        };
        let (exposure, offset, weight) = (of(exposures, 1.0), of(offsets, 0.0), of(weights, 1.0));
        let left_out = y.is_nan()
            || (positive && y <= 0.0)
            || !(exposure > 0.0 && exposure.is_finite())
            || offset.is_nan()
            || weight.is_nan()
            || weight <= 0.0;
        if left_out {
            return Ok(());
        }
        let weight = (weight / heaviest).min(1.0);
        let told = family.told(dot(row, theta) + offset.clamp(low, high), y, exposure);
        f(row, v * weight, Told { weight, ..told })
    })
}
