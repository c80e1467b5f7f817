//! Going on with a trained model at one hospital, over its own patients alone, without noise: what comes of it is that hospital's, and stays there.
//!
//! Steps are along the mean gradient of all patients who are trained on. One that would make the objective larger is not taken, and the
//! next is half as long; one that is taken makes the next a little longer. So no rate makes it run away. A pull back to the released parameters
//! keeps what few patients can't say.

use summaries::{AccumulateError, Estimate, Lanes, MergedRelease, PatientBatch, Reporting, Statistic};

use super::evaluate::{At, Evaluation};
use super::gradient::{ClippedGradient, Group, Model};

/// No gradient of a sane model is longer: none is cut.
const LONG: f64 = 1e3;
/// By what a rate grows after a step that was taken.
const GROWTH: f64 = 1.2;

/// How a hospital goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Steps, each over all patients.
    pub steps: u32,
    /// The first step's rate.
    pub rate: f64,
    /// Half of it times the squared distance from the released parameters is added to the mean loss.
    pub pull: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The parameters, with what is frozen of the columns in front.
    pub parameters: Vec<f64>,
    /// The mean loss of the patients trained on, before the first step and after the last.
    pub loss: [f64; 2],
    /// How many they are.
    pub patients: usize,
}

fn misfit() -> AccumulateError {
    AccumulateError::Column { statistic: "tuning", wanted: "feature", place: 0 }
}

fn exact(statistic: &dyn Statistic, patients: &PatientBatch) -> Result<MergedRelease, AccumulateError> {
    let mut lanes = Lanes::zeros(statistic.layout().lanes);
    statistic.accumulate(patients, &mut lanes)?;
    Ok(MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 })
}

/// The parameters after a hospital's own steps.
///
/// # Errors
/// The batch or the parameters do not fit the model, or nobody is trained on.
pub fn tune(model: &Model, parameters: &[f64], patients: &PatientBatch, how: Tuning) -> Result<Tuned, AccumulateError> {
    let (frozen, start) = parameters.split_at_checked(model.frozen_numbers()).ok_or_else(misfit)?;
    let (model, _) = model.at(parameters).ok_or_else(misfit)?;
    let mut many = 0usize;
    model.blocks("tuning", Group::Training, patients, |_, outcomes| {
        many += outcomes.len();
        Ok(())
    })?;
    let n = many as f64;
    // Objective, its slope, and the mean loss alone.
    let at = |theta: &[f64]| -> Result<(f64, Vec<f64>, f64), AccumulateError> {
        let sum = ClippedGradient::new(model.clone(), theta.to_vec(), LONG).ok_or_else(misfit)?;
        let read = sum.read(&exact(&sum, patients)?);
        let away: Vec<f64> = theta.iter().zip(start).map(|(t, s)| t - s).collect();
        let slope = read.gradient.iter().zip(&away).map(|(g, a)| g / n - how.pull * a).collect();
        let loss = read.loss / n;
        Ok((loss + how.pull / 2.0 * away.iter().map(|a| a * a).sum::<f64>(), slope, loss))
    };
    if many == 0 {
        return Err(misfit());
    }
    let mut theta = start.to_vec();
    let mut here = at(&theta)?;
    let (first, mut rate) = (here.2, how.rate);
    for _ in 0..how.steps {
        let next: Vec<f64> = theta.iter().zip(&here.1).map(|(t, g)| t + rate * g).collect();
        let there = at(&next)?;
        if there.0 <= here.0 && next.iter().all(|t| t.is_finite()) {
            (theta, here) = (next, there);
            rate *= GROWTH;
        } else {
            rate /= 2.0;
        }
    }
    Ok(Tuned { parameters: [frozen, &theta].concat(), loss: [first, here.2], patients: many })
}

/// What parameters, with what is frozen in front of them, say of the patients of a batch who are held out; exact.
///
/// # Errors
/// The batch or the parameters do not fit the model.
pub fn judged(
    model: &Model,
    parameters: &[f64],
    patients: &PatientBatch,
    (thresholds, reporting): (&[f64], &Reporting),
) -> Result<Estimate, AccumulateError> {
    let (model, theta) = model.at(parameters).ok_or_else(misfit)?;
    let of = At::tested(model, theta.to_vec()).ok_or_else(misfit)?;
    let evaluation = Evaluation { of, thresholds };
    let parts =
        evaluation.work(&[]).iter().map(|w| exact(w.statistic.as_ref(), patients)).collect::<Result<Vec<_>, _>>()?;
    evaluation.estimate(&parts, reporting).ok_or_else(misfit)
}
