//! What a trained model says: its coefficients where it is linear, how training went, and how much noise each step had.

use nalgebra::DVector;
use summaries::{Curve, Estimate, Reporting, Row};

use super::gradient::Model;
use super::loss::Loss;

/// What stands beside a coefficient.
const NOTE: &str = "trained in clipped steps under noise: there is no interval";

/// A number of every round: a value and the noise's standard deviation.
pub(crate) type Course = Vec<[f64; 2]>;

/// The coefficients in the features' own units, of a model without hidden layers; for each level of a multinomial one. `None` for others.
pub fn coefficients(model: &Model, theta: &[f64], reporting: &Reporting) -> Option<Vec<(String, f64)>> {
    let network = model.network();
    if !network.is_linear() {
        return None;
    }
    let with = model.design().clone().with_intercept();
    let names = with.names();
    // θ is of scaled features, which are rows u times the design's norm.
    let map = with.to_own_units() * with.norm();
    let place = model.design().inputs().len();
    let (middle, half) = match model.loss() {
        Loss::Squared { lower, upper } => (f64::midpoint(lower, upper), (upper - lower) / 2.0),
        _ => (0.0, 1.0),
    };
    let mut out = Vec::new();
    for (unit, own) in theta.chunks(network.inputs() + 1).enumerate() {
        let mut scaled = model.prepared().of_scaled(own);
        // Behind the design's columns those that say that a feature is missing, which have no unit.
        let indicators = scaled.split_off(names.len().min(scaled.len()));
        let mut beta = &map * DVector::from_vec(scaled) * half;
        if let Some(first) = beta.get_mut(0) {
            *first += middle;
        }
        let of = match model.loss() {
            Loss::Hazards { horizon, intervals } if intervals > 1 => {
                let width = horizon / f64::from(intervals);
                format!("[{}, {}): ", unit as f64 * width, (unit + 1) as f64 * width)
            }
            Loss::Softmax(_) => format!("{}={}: ", reporting.name(place), reporting.level(place, unit)),
            _ => String::new(),
        };
        out.extend(names.iter().zip(beta.iter()).map(|(n, b)| (format!("{of}{n}"), *b)));
        let missing = model.input_names().into_iter().skip(names.len() - 1).zip(&indicators);
        out.extend(missing.map(|(n, w)| (format!("{of}{n}"), w * half)));
    }
    Some(out)
}

/// The rows and curves of a finished training.
pub(crate) struct Told<'a> {
    pub(crate) model: &'a Model,
    pub(crate) theta: &'a [f64],
    /// The mean loss of each round, before its step.
    pub(crate) losses: &'a Course,
    /// The share of patients whose gradient was cut.
    pub(crate) cut: &'a Course,
    /// How many patients the steps were divided by, and the noise of that number.
    pub(crate) patients: [f64; 2],
    /// The noise's standard deviation of a parameter of the last mean gradient.
    pub(crate) noise: f64,
    pub(crate) reporting: &'a Reporting,
}

impl Told<'_> {
    pub(crate) fn tell(&self) -> Estimate {
        let mut rows = Vec::new();
        for (name, value) in coefficients(self.model, self.theta, self.reporting).unwrap_or_default() {
            rows.push(Row::test(&name, "coefficient", value, if self.noise > 0.0 { NOTE } else { "trained" }));
        }
        let z = self.reporting.z();
        let [n, sd] = self.patients;
        rows.push(Row::normal("training", "patients", n, 0.0, sd, z).note("what sums of gradients are divided by"));
        rows.push(Row::test("training", "parameters", self.theta.len() as f64, ""));
        let noise = "the noise's standard deviation of one parameter of a round's mean gradient";
        rows.push(Row::test("training", "noise", self.noise, noise));
        if let Some([loss, sd]) = self.losses.last() {
            let note = format!("{}, of the patients trained on, before the last step", self.model.loss().name());
            rows.push(Row::normal("training", "loss", *loss, 0.0, *sd, z).note(&note));
        }
        if let Some([cut, sd]) = self.cut.last() {
            let row = Row::normal("training", "cut", *cut, 0.0, *sd, z);
            rows.push(row.note("the share of patients whose gradient was longer than the clip, in the last round"));
        }
        let curves = curves(self.model, self.losses, self.cut, self.reporting);
        Estimate { rows, curves }
    }
}

/// How the loss and the share of cut gradients went.
pub(crate) fn curves(model: &Model, losses: &Course, cut: &Course, reporting: &Reporting) -> Vec<Curve> {
    let z = reporting.z();
    let curve = |title: &str, y: &str, course: &Course| Curve {
        title: title.to_owned(),
        kind: "line".into(),
        x_label: "round".into(),
        y_label: y.to_owned(),
        points: (1u32..).zip(course).map(|(round, [v, sd])| [f64::from(round), *v, v - z * sd, v + z * sd]).collect(),
    };
    vec![
        curve("Loss over the rounds", model.loss().name(), losses),
        curve("Share of patients whose gradient was cut", "share", cut),
    ]
}
