//! Which level a model takes for which: held-out patients by their own level and the likeliest. A patient is in one cell.

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

/// Cells of more levels than this are not told one by one.
const MOST_TOLD: usize = 12;

/// The sums at given parameters.
#[derive(Clone)]
pub struct TestConfusion {
    of: Arc<dyn Foretells>,
    levels: usize,
}

impl TestConfusion {
    /// `None` where the model is not of several levels, or the parameters are not as many as its.
    pub fn new(model: Model, theta: Vec<f64>) -> Option<TestConfusion> {
        TestConfusion::of(At::tested(model, theta)?)
    }

    /// Of whatever foretells; `None` where it is not of several levels.
    pub fn of(of: Arc<dyn Foretells>) -> Option<TestConfusion> {
        let Loss::Softmax(levels) = of.loss() else { return None };
        Some(TestConfusion { of, levels: levels as usize })
    }
}

impl Statistic for TestConfusion {
    fn name(&self) -> &'static str {
        "test_confusion"
    }
    fn inputs(&self) -> Vec<Input> {
        self.of.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.levels * self.levels, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "test_confusion";
        self.check(lanes)?;
        self.of.held_out(NAME, patients, &mut |outputs, y| {
            let likeliest = outputs.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
            lanes.add(NAME, (y as usize).min(self.levels - 1) * self.levels + likeliest, 1)
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let (layout, k) = (self.layout(), self.levels);
        let (variance, z) = (merged.variance(&layout), reporting.z());
        let values: Vec<f64> = (0..k * k).map(|lane| merged.value(lane, &layout)).collect();
        let cells = Cells { values, variance, z };
        let place = self.of.outcome();
        let label = |level: usize| reporting.level(place, level);
        let mut rows = Vec::new();
        let floor = (3.0 * (variance * (k * k) as f64).sqrt()).max(1.0);
        if cells.values.iter().sum::<f64>() <= floor {
            return Estimate {
                rows: vec![Row::withheld("test", "accuracy", "too noisy to report")],
                curves: Vec::new(),
            };
        }
        rows.push(cells.row("accuracy", [0.0, 1.0], |c| {
            (0..k).filter_map(|i| c.get(i * k + i)).sum::<f64>() / c.iter().sum::<f64>()
        }));
        for own in 0..k {
            let of = |c: &[f64]| c.iter().skip(own * k).take(k).sum::<f64>();
            let row = if of(&cells.values) > (3.0 * (variance * k as f64).sqrt()).max(1.0) {
                cells.row("sensitivity", [0.0, 1.0], |c| c.get(own * k + own).copied().unwrap_or(0.0) / of(c))
            } else {
                Row::withheld("", "sensitivity", "too few to be told from the noise")
            };
            rows.push(Row { term: format!("test, {}", label(own)), ..row });
        }
        for (i, n) in cells.values.iter().enumerate().filter(|_| k <= MOST_TOLD) {
            let row = patients(&format!("test, {}", label(i / k)), *n, variance.sqrt(), reporting);
            rows.push(Row { statistic: format!("taken for {}", label(i % k)), ..row });
        }
        Estimate { rows, curves: Vec::new() }
    }
}
