//! The mean loss of the held-out patients.
//!
//! A patient adds 1, the own loss as a share s of the most that it counts for, and s²: each within 0 and 1, so that the norm is at most √3.

use std::sync::Arc;

use summaries::estimate::patients;
use summaries::interval::noise_variance;
use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use super::{At, Foretells};
use crate::training::gradient::Model;
use crate::training::loss::Loss;

/// The sums at given parameters.
#[derive(Clone)]
pub struct TestLoss {
    of: Arc<dyn Foretells>,
}

impl TestLoss {
    /// `None` where the parameters are not as many as the model's.
    pub fn new(model: Model, theta: Vec<f64>) -> Option<TestLoss> {
        At::tested(model, theta).map(TestLoss::of)
    }

    /// Of whatever foretells.
    pub fn of(of: Arc<dyn Foretells>) -> TestLoss {
        TestLoss { of }
    }
}

impl TestLoss {
    /// The mean loss and the noise's standard deviation of it; `None` where the patients are too few to be told from the noise.
    pub(crate) fn mean(&self, merged: &MergedRelease) -> Option<[f64; 2]> {
        let layout = self.layout();
        let values: Vec<f64> = (0..3).map(|lane| merged.value(lane, &layout)).collect();
        let variance = merged.variance(&layout);
        let [n, sum, ..] = *values.as_slice() else { return None };
        let of_mean = |v: &[f64]| if let [n, sum, ..] = v { sum / n } else { 0.0 };
        let noise = noise_variance(&values, variance, of_mean).sqrt();
        let most = self.of.loss().most();
        (n > (3.0 * variance.sqrt()).max(1.0)).then_some([(sum / n).max(0.0) * most, noise * most])
    }
}

impl Statistic for TestLoss {
    fn name(&self) -> &'static str {
        "test_loss"
    }
    fn inputs(&self) -> Vec<Input> {
        self.of.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 3, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(3, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "test_loss";
        self.check(lanes)?;
        let loss = self.of.loss();
        self.of.held_out(NAME, patients, &mut |outputs, y| {
            let mut own = outputs.to_vec();
            let share = (loss.turn(&mut own, y) / loss.most()).clamp(0.0, 1.0);
            // No number counts as the most.
            let share = if share.is_nan() { 1.0 } else { share };
            [1.0, share, share * share].into_iter().enumerate().try_for_each(|(i, v)| lanes.add(NAME, i, encode(v)))
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let values: Vec<f64> = (0..3).map(|lane| merged.value(lane, &layout)).collect();
        let variance = merged.variance(&layout);
        let (n, sum, squares) = match values.as_slice() {
            [n, sum, squares] => (*n, *sum, *squares),
            _ => return Estimate::default(),
        };
        let mut rows = vec![patients("test", n, variance.sqrt(), reporting)];
        let (loss, z) = (self.of.loss(), reporting.z());
        if n <= (3.0 * variance.sqrt()).max(1.0) {
            rows.push(Row::withheld("test", "loss", "too noisy to report"));
            return Estimate { rows, curves: Vec::new() };
        }
        let mean = (sum / n).max(0.0);
        let sampling = ((squares / n - mean * mean).max(0.0) / n).sqrt();
        let of_mean = |v: &[f64]| if let [n, sum, ..] = v { sum / n } else { 0.0 };
        let noise = noise_variance(&values, variance, of_mean).sqrt();
        let most = loss.most();
        let row = Row::normal("test", "loss", mean * most, sampling * most, noise * most, z);
        rows.push(row.note(loss.name()).within(0.0, most));
        if let Loss::Squared { lower, upper } = loss {
            let half = (upper - lower) / 2.0;
            let rmse = (2.0 * mean * most).sqrt();
            let slope = most / rmse.max(1e-9);
            let row = Row::normal("test", "rmse", rmse * half, slope * sampling * half, slope * noise * half, z);
            rows.push(row.note("the root of the mean squared error, in the outcome's unit").within(0.0, 2.0 * half));
        }
        Estimate { rows, curves: Vec::new() }
    }
}
