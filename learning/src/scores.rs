//! Accuracy, AUC and the Brier score from a histogram of scores by outcome: one cell a patient, every sensitivity 1.

use summaries::interval::{proportion, score};
use summaries::{
    AccumulateError, Curve, Estimate, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Row, Sensitivity,
    Statistic,
};

use crate::design::Design;
use crate::family::Family;
use crate::likelihood::{Likelihood, tell};

/// Score bins over [0, 1]; an even number, so that ½ is an edge.
pub const BINS: usize = 50;

/// Patients by predicted probability and outcome.
pub struct ScoreHistogram {
    design: Design,
    likelihood: Likelihood,
    theta: Vec<f64>,
}

impl ScoreHistogram {
    /// Of a model with these coefficients of the unit-ball rows.
    pub fn new(design: Design, theta: Vec<f64>) -> ScoreHistogram {
        ScoreHistogram { design, likelihood: Family::Logistic.into(), theta }
    }

    /// The same with the model's offset. Each patient counts once, whatever their weight.
    #[must_use]
    pub fn of(mut self, likelihood: Likelihood) -> ScoreHistogram {
        self.likelihood = Likelihood { family: Family::Logistic, ..likelihood };
        self
    }
}

impl Statistic for ScoreHistogram {
    fn name(&self) -> &'static str {
        "scores"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.design.inputs();
        out.extend(self.likelihood.inputs());
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * BINS, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        tell("scores", (&self.design, &self.likelihood, &self.theta), patients, |_, _, told| {
            let bin = ((told.mean * BINS as f64) as usize).min(BINS - 1);
            lanes.add("scores", bin + if told.outcome > 0.5 { BINS } else { 0 }, 1)
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let variance = merged.variance(&layout);
        let z = reporting.z();
        let cell = |yes: bool, bin: usize| merged.value(bin + if yes { BINS } else { 0 }, &layout);
        let total = |yes| (0..BINS).map(|b| cell(yes, b)).sum::<f64>();
        let (no, yes) = (total(false), total(true));
        let noise = (variance * BINS as f64).sqrt();
        let withheld = |name: &str| Row::withheld("model", name, "too noisy to report");
        let mut rows = Vec::new();
        let floor = (3.0 * noise).max(1.0);
        // Accuracy: right answers among all.
        if no + yes > floor {
            let right: f64 = (0..BINS / 2).map(|b| cell(false, b)).sum::<f64>()
                + (BINS / 2..BINS).map(|b| cell(true, b)).sum::<f64>();
            let v = variance * BINS as f64;
            let told = proportion(right, no + yes, v, 2.0 * v, v);
            rows.push(Row::share("model", "accuracy", told, no + yes, z));
        } else {
            rows.push(withheld("accuracy"));
        }
        if no > floor && yes > floor {
            rows.push(auc(&cell, no, yes, variance, z));
        } else {
            rows.push(withheld("auc"));
        }
        let points = (0..BINS)
            .filter_map(|b| {
                let (n, y) = (cell(false, b) + cell(true, b), cell(true, b));
                (n >= (reporting.min_cell as f64).max(3.0 * (2.0 * variance).sqrt()).max(1.0)).then(|| {
                    let (p, _, noise) = proportion(y, n, variance, 2.0 * variance, variance);
                    let (low, high) = score(p, n, noise, z);
                    [(b as f64 + 0.5) / BINS as f64, p, low, high]
                })
            })
            .collect();
        let curve = Curve {
            title: "calibration".into(),
            kind: "line".into(),
            x_label: "predicted probability".into(),
            y_label: "observed share".into(),
            points,
        };
        Estimate { rows, curves: vec![curve] }
    }
}

/// The area under the ROC curve: the chance that a patient with the outcome scores higher, ties counting half. Sampling error
/// by Hanley and McNeil 1982; the noise's by the delta method over the cells.
pub(crate) fn auc(cell: &dyn Fn(bool, usize) -> f64, no: f64, yes: f64, variance: f64, z: f64) -> Row {
    let (mut below, mut sum) = (0.0, 0.0);
    for bin in 0..BINS {
        let (n, y) = (cell(false, bin), cell(true, bin));
        sum += y * (below + n / 2.0);
        below += n;
    }
    let area = (sum / (no * yes)).clamp(0.0, 1.0);
    let (mut below, mut above, mut gradients) = (0.0, yes, 0.0);
    for bin in 0..BINS {
        let (n, y) = (cell(false, bin), cell(true, bin));
        above -= y;
        let of_yes = (below + n / 2.0) / (no * yes) - area / yes;
        let of_no = (above + y / 2.0) / (no * yes) - area / no;
        gradients += of_yes * of_yes + of_no * of_no;
        below += n;
    }
    let (q1, q2) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let hanley = area * (1.0 - area) + (yes - 1.0) * (q1 - area * area) + (no - 1.0) * (q2 - area * area);
    let sampling = (hanley / (no * yes)).max(0.0).sqrt();
    Row::normal("model", "auc", area, sampling, (variance * gradients).sqrt(), z).within(0.0, 1.0)
}
