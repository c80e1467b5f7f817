//! How well a model tells no from yes: held-out patients by predicted probability and outcome. A patient is in one cell.
//!
//! The area under precision and recall is by trapezoids over the bins, from the highest down; the Brier score takes a patient for the middle of
//! the bin, which misses it by a hundredth at most, and by far less on average. A threshold lies at the nearest edge of a bin.

use std::sync::Arc;

use summaries::estimate::patients;
use summaries::interval::{proportion, score};
use summaries::{
    AccumulateError, Curve, Estimate, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row, Sensitivity,
    Statistic,
};

use super::functional::Cells;
use super::{At, Foretells};
use crate::scores::{BINS, auc};
use crate::training::gradient::Model;
use crate::training::loss::Loss;

/// So many standard deviations of the noise tell a number of patients well.
const CLEAR: f64 = 8.0;

/// The sums at given parameters.
#[derive(Clone)]
pub struct TestScores {
    of: Arc<dyn Foretells>,
    thresholds: Vec<f64>,
}

impl TestScores {
    /// `None` where the model is not of no and yes, or the parameters are not as many as its.
    pub fn new(model: Model, theta: Vec<f64>, thresholds: Vec<f64>) -> Option<TestScores> {
        TestScores::of(At::tested(model, theta)?, thresholds)
    }

    /// Of whatever foretells; `None` where it is not of no and yes.
    pub fn of(of: Arc<dyn Foretells>, thresholds: Vec<f64>) -> Option<TestScores> {
        (of.loss() == Loss::Logistic).then_some(TestScores { of, thresholds })
    }
}

/// The middle of a bin.
fn middle(bin: usize) -> f64 {
    (bin as f64 + 0.5) / BINS as f64
}

/// Patients of an outcome whose score is in the bins from a first one on.
fn from(cells: &[f64], yes: bool, first: usize) -> f64 {
    let start = if yes { BINS } else { 0 };
    cells.iter().skip(start + first).take(BINS - first).sum()
}

fn all(cells: &[f64]) -> f64 {
    cells.iter().sum()
}

/// Whether the first step of [`precision_recall`] is of many scores and of more than a fifth of those with the outcome: then the highest scores, which it
/// hangs on, are lost in the noise, and what is left lies far too low.
fn begins_late(cells: &[f64], sd: f64) -> bool {
    let (yes, mut found, mut both) = (from(cells, true, 0), 0.0, 0.0);
    for (bins, bin) in (0..BINS).rev().enumerate() {
        let more = cells.get(BINS + bin).copied().unwrap_or(0.0);
        found += more;
        both += more + cells.get(bin).copied().unwrap_or(0.0);
        if both > CLEAR * sd * (2.0 * (bins + 1) as f64).sqrt() {
            return sd > 0.0 && bins > 0 && found > 0.2 * yes;
        }
    }
    true
}

/// The area under precision over recall, of cells with noise of a standard deviation. The highest scores are few: until so many are together that
/// their number is well told from the noise, they are one step.
fn precision_recall(cells: &[f64], sd: f64) -> f64 {
    let yes = from(cells, true, 0);
    let (mut found, mut false_ones, mut area, mut step) = (0.0, 0.0, 0.0, 0.0);
    let mut before: Option<f64> = None;
    for (bins, bin) in (0..BINS).rev().enumerate() {
        let more = cells.get(BINS + bin).copied().unwrap_or(0.0);
        found += more;
        step += more;
        false_ones += cells.get(bin).copied().unwrap_or(0.0);
        let noise = sd * (2.0 * (bins + 1) as f64).sqrt();
        // All patients together are the last step, however few.
        if found + false_ones <= if bin > 0 { CLEAR * noise } else { 0.0 } {
            continue;
        }
        let precision = (found / (found + false_ones)).clamp(0.0, 1.0);
        area += step / yes * f64::midpoint(precision, before.unwrap_or(precision));
        step = 0.0;
        before = Some(precision);
    }
    area
}

impl Statistic for TestScores {
    fn name(&self) -> &'static str {
        "test_scores"
    }
    fn inputs(&self) -> Vec<Input> {
        self.of.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * BINS, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "test_scores";
        self.check(lanes)?;
        self.of.held_out(NAME, patients, &mut |outputs, y| {
            let p = Loss::Logistic.predict(outputs).first().copied().unwrap_or(0.5);
            let bin = ((p * BINS as f64) as usize).min(BINS - 1);
            lanes.add(NAME, bin + if y > 0.5 { BINS } else { 0 }, 1)
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let (variance, z) = (merged.variance(&layout), reporting.z());
        let values: Vec<f64> = (0..2 * BINS).map(|lane| merged.value(lane, &layout)).collect();
        let cells = Cells { values, variance, z };
        let (no, yes) = (from(&cells.values, false, 0), from(&cells.values, true, 0));
        let floor = (3.0 * (variance * BINS as f64).sqrt()).max(1.0);
        if no <= floor || yes <= floor {
            let why = "too few with one of the outcomes to be told from the noise";
            let names = ["accuracy", "auc", "pr auc", "brier score", "mean error"];
            let rows = names.iter().map(|n| Row::withheld("test", n, why)).collect();
            return Estimate { rows, curves: Vec::new() };
        }
        let cell = |yes: bool, bin: usize| cells.values.get(bin + if yes { BINS } else { 0 }).copied().unwrap_or(0.0);
        let half = BINS / 2;
        let mut rows = vec![
            cells.row("accuracy", [0.0, 1.0], |c| {
                (from(c, false, 0) - from(c, false, half) + from(c, true, half)) / all(c)
            }),
            Row { term: "test".into(), ..auc(&cell, no, yes, variance, z) },
            match begins_late(&cells.values, variance.sqrt()) {
                true => Row::withheld("test", "pr auc", "too noisy to report"),
                false => cells
                    .row("pr auc", [0.0, 1.0], |c| precision_recall(c, variance.sqrt()))
                    .note("the area under precision over recall; of a model that knows nothing it is the share of yes"),
            },
            cells.row("brier score", [0.0, 1.0], |c| {
                let off = |(i, n): (usize, &f64)| n * (f64::from(u8::from(i >= BINS)) - middle(i % BINS)).powi(2);
                c.iter().enumerate().map(off).sum::<f64>() / all(c)
            }),
            cells
                .row("mean error", [-1.0, 1.0], |c| {
                    let off = |(i, n): (usize, &f64)| n * (f64::from(u8::from(i >= BINS)) - middle(i % BINS));
                    c.iter().enumerate().map(off).sum::<f64>() / all(c)
                })
                .note("the share of yes less the mean of what was foretold: calibration in the large"),
        ];
        for threshold in &self.thresholds {
            rows.extend(self.at(*threshold, &cells, reporting));
        }
        Estimate { rows, curves: vec![calibration(&cell, variance, reporting)] }
    }
}

impl TestScores {
    /// The confusion matrix at a threshold, and what is made of it.
    fn at(&self, threshold: f64, cells: &Cells, reporting: &Reporting) -> Vec<Row> {
        let first = ((threshold * BINS as f64).round() as usize).min(BINS);
        let edge = first as f64 / BINS as f64;
        let term = |row: Row| Row { term: format!("test, yes from {edge} on"), ..row };
        let above = |c: &[f64], yes: bool| from(c, yes, first);
        let below = |c: &[f64], yes: bool| from(c, yes, 0) - from(c, yes, first);
        let mut rows = Vec::new();
        for (name, many, bins) in [
            ("rightly yes", above(&cells.values, true), BINS - first),
            ("falsely yes", above(&cells.values, false), BINS - first),
            ("rightly no", below(&cells.values, false), first),
            ("falsely no", below(&cells.values, true), first),
        ] {
            let row = patients("", many, (cells.variance * bins as f64).sqrt(), reporting);
            rows.push(term(Row { statistic: name.to_owned(), ..row }));
        }
        rows.push(term(cells.row("sensitivity", [0.0, 1.0], |c| above(c, true) / from(c, true, 0))));
        rows.push(term(cells.row("specificity", [0.0, 1.0], |c| below(c, false) / from(c, false, 0))));
        rows.push(term(cells.row("precision", [0.0, 1.0], |c| above(c, true) / (above(c, true) + above(c, false)))));
        rows
    }
}

/// The observed share at each predicted probability.
fn calibration(cell: &dyn Fn(bool, usize) -> f64, variance: f64, reporting: &Reporting) -> Curve {
    let least = (reporting.min_cell as f64).max(3.0 * (2.0 * variance).sqrt()).max(1.0);
    let point = |b: usize| {
        let (n, y) = (cell(false, b) + cell(true, b), cell(true, b));
        (n >= least).then(|| {
            let (p, _, noise) = proportion(y, n, variance, 2.0 * variance, variance);
            let (low, high) = score(p, n, noise, reporting.z());
            [middle(b), p, low, high]
        })
    };
    Curve {
        title: "Calibration, of patients held out".into(),
        kind: "line".into(),
        x_label: "predicted probability".into(),
        y_label: "observed share".into(),
        points: (0..BINS).filter_map(point).collect(),
    }
}
