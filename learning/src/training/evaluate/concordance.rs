//! How well a model tells who has an event first: held-out patients by risk, time, and whether they had it. A patient is in one cell.
//!
//! Harrell's C is the share of pairs, of one who had an event and one who was still at risk after it, in which the first had the higher risk; equal
//! risks count half. Risks are in bins of an even width of the logarithm of the cumulative hazard, and times in twentieths of the horizon: pairs within
//! one bin of time are left out, and pairs within one bin of risk count as equal.

use std::sync::Arc;

use summaries::estimate::patients;
use summaries::{
    AccumulateError, Estimate, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row, Sensitivity,
    Statistic,
};

use super::functional::Cells;
use super::{At, Foretells};
use crate::training::gradient::Model;
use crate::training::loss::Loss;

/// Bins of risk.
const RISKS: usize = 40;
/// Bins of time.
const TIMES: usize = 20;
/// The logarithms of the cumulative hazard that the first bin begins and the last ends at.
const ENDS: [f64; 2] = [-6.0, 2.0];

/// The sums at given parameters.
#[derive(Clone)]
pub struct TestConcordance {
    of: Arc<dyn Foretells>,
    horizon: f64,
}

impl TestConcordance {
    /// `None` where the model is not of times to an event, or the parameters are not as many as its.
    pub fn new(model: Model, theta: Vec<f64>) -> Option<TestConcordance> {
        TestConcordance::of(At::tested(model, theta)?)
    }

    /// Of whatever foretells; `None` where it is not of times to an event.
    pub fn of(of: Arc<dyn Foretells>) -> Option<TestConcordance> {
        let Loss::Hazards { horizon, .. } = of.loss() else { return None };
        Some(TestConcordance { of, horizon })
    }
}

/// The lane of a risk, a time, and whether there was an event.
fn lane(risk: usize, time: usize, event: bool) -> usize {
    (usize::from(event) * TIMES + time) * RISKS + risk
}

/// Pairs that can be told apart, and those told rightly.
fn pairs(cells: &[f64]) -> [f64; 2] {
    let at = |risk, time, event| cells.get(lane(risk, time, event)).copied().unwrap_or(0.0);
    let mut later = [0.0; RISKS];
    let (mut all, mut right) = (0.0, 0.0);
    for time in (0..TIMES).rev() {
        let whole: f64 = later.iter().sum();
        let mut below = 0.0;
        for (risk, own) in later.iter().enumerate() {
            let events = at(risk, time, true);
            all += events * whole;
            right += events * (below + own / 2.0);
            below += own;
        }
        for (risk, own) in later.iter_mut().enumerate() {
            *own += at(risk, time, true) + at(risk, time, false);
        }
    }
    [all, right]
}

impl Statistic for TestConcordance {
    fn name(&self) -> &'static str {
        "test_concordance"
    }
    fn inputs(&self) -> Vec<Input> {
        self.of.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * RISKS * TIMES, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "test_concordance";
        self.check(lanes)?;
        let loss = self.of.loss();
        self.of.held_out(NAME, patients, &mut |outputs, y| {
            let p = loss.predict(outputs).first().copied().unwrap_or(0.0);
            let log = (-(-p).ln_1p()).max(1e-300).ln();
            let share = if log.is_nan() { 0.0 } else { ((log - ENDS[0]) / (ENDS[1] - ENDS[0])).clamp(0.0, 1.0) };
            let risk = ((share * RISKS as f64) as usize).min(RISKS - 1);
            let time = ((y.abs() / self.horizon * TIMES as f64) as usize).min(TIMES - 1);
            lanes.add(NAME, lane(risk, time, y.is_sign_positive() && y < self.horizon), 1)
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let (variance, z) = (merged.variance(&layout), reporting.z());
        let values: Vec<f64> = (0..layout.lanes).map(|lane| merged.value(lane, &layout)).collect();
        let half = RISKS * TIMES;
        let events: f64 = values.iter().skip(half).sum();
        let sd = (variance * half as f64).sqrt();
        let mut rows = vec![patients("test", events, sd, reporting)];
        rows.iter_mut().for_each(|r| "events".clone_into(&mut r.statistic));
        if events <= (3.0 * sd).max(1.0) {
            rows.push(Row::withheld("test", "c-index", "too few events to be told from the noise"));
            return Estimate { rows, curves: Vec::new() };
        }
        let cells = Cells { values, variance, z };
        let index = |c: &[f64]| {
            let [all, right] = pairs(c);
            right / all
        };
        rows.push(cells.row("c-index", [0.0, 1.0], index));
        Estimate { rows, curves: Vec::new() }
    }
}
