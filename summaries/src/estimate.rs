//! What a merged release says: rows with honest intervals, and curves to draw.

use serde::{Deserialize, Serialize};

use crate::interval;

/// How estimates are reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reporting {
    /// The level of the intervals, such as 0.95.
    pub confidence: f64,
    /// Numbers of patients below this (on the noisy value) are not shown.
    pub min_cell: u64,
    /// The name of each input, in order.
    pub names: Vec<String>,
    /// For each input its levels' labels; empty for reals.
    pub levels: Vec<Vec<String>>,
}

impl Reporting {
    /// The name of an input.
    pub fn name(&self, input: usize) -> &str {
        self.names.get(input).map_or("?", String::as_str)
    }

    /// The label of a level of an input; the level after the last is `missing`.
    pub fn level(&self, input: usize, level: usize) -> String {
        self.levels.get(input).and_then(|l| l.get(level)).cloned().unwrap_or_else(|| "missing".to_owned())
    }

    /// The normal quantile of the interval's level.
    pub fn z(&self) -> f64 {
        interval::normal_quantile(0.5 + self.confidence / 2.0)
    }
}

/// The quantities that compare two by a ratio; 1 is no difference. Rows of [`Row::ratio`].
pub const RATIOS: &[&str] = &["odds ratio", "hazard ratio", "rate ratio", "risk ratio", "mean ratio"];

/// The quantities whose error is symmetric on the scale of the logarithm.
pub fn is_logarithmic(statistic: &str) -> bool {
    RATIOS.iter().any(|r| statistic.ends_with(r)) || matches!(statistic, "incidence rate" | "rate" | "hazard")
}

/// One estimate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is about: a variable, a level, a coefficient.
    pub term: String,
    /// Which number: `n`, `proportion`, `mean`, `sd`, `median`, `coefficient`, …
    pub statistic: String,
    /// The estimate; `None` where suppressed.
    pub estimate: Option<f64>,
    /// The interval's lower end.
    pub lower: Option<f64>,
    /// The interval's upper end.
    pub upper: Option<f64>,
    /// The standard error, sampling and noise together.
    pub se: Option<f64>,
    /// The sampling part; 0 for a number of patients, which is not a sample.
    pub sampling_se: Option<f64>,
    /// The part that the privacy noise adds.
    pub dp_se: Option<f64>,
    /// Whether the value is withheld.
    pub suppressed: bool,
    /// Why it is withheld, or what to know.
    pub note: String,
}

impl Row {
    /// A row with a symmetric interval around the estimate from both parts of the error.
    pub fn normal(term: &str, statistic: &str, estimate: f64, sampling_se: f64, dp_se: f64, z: f64) -> Row {
        let se = sampling_se.hypot(dp_se);
        Row {
            term: term.to_owned(),
            statistic: statistic.to_owned(),
            estimate: Some(estimate),
            lower: Some(estimate - z * se),
            upper: Some(estimate + z * se),
            se: Some(se),
            sampling_se: Some(sampling_se),
            dp_se: Some(dp_se),
            suppressed: false,
            note: String::new(),
        }
    }

    /// A row of a ratio or a rate: its interval and both parts of its error are those of the logarithm, `log`, and the errors are told
    /// on the scale of the value by the delta method.
    pub fn ratio(term: &str, statistic: &str, log: f64, sampling_se: f64, dp_se: f64, z: f64) -> Row {
        let (value, half) = (log.exp(), z * sampling_se.hypot(dp_se));
        let row = Row::normal(term, statistic, value, value * sampling_se, value * dp_se, z);
        Row { lower: Some((log - half).exp()), upper: Some((log + half).exp()), ..row }
    }

    /// A row of a proportion of so many patients, from [`crate::interval::proportion`], with the score's interval.
    pub fn share(term: &str, statistic: &str, (p, sampling, noise): (f64, f64, f64), whole: f64, z: f64) -> Row {
        let (low, high) = crate::interval::score(p, whole, noise, z);
        Row { lower: Some(low), upper: Some(high), ..Row::normal(term, statistic, p, sampling, noise, z) }
    }

    /// A row whose value is withheld, with the reason.
    pub fn withheld(term: &str, statistic: &str, note: &str) -> Row {
        Row {
            term: term.to_owned(),
            statistic: statistic.to_owned(),
            estimate: None,
            lower: None,
            upper: None,
            se: None,
            sampling_se: None,
            dp_se: None,
            suppressed: true,
            note: note.to_owned(),
        }
    }

    /// A statistic of a test: a number without an interval.
    pub fn test(term: &str, statistic: &str, value: f64, note: &str) -> Row {
        Row {
            term: term.to_owned(),
            statistic: statistic.to_owned(),
            estimate: Some(value),
            lower: None,
            upper: None,
            se: None,
            sampling_se: None,
            dp_se: None,
            suppressed: false,
            note: note.to_owned(),
        }
    }

    /// The same row with its interval cut to a range, such as [0, 1] for a proportion. An estimate that noise has put out of the range is
    /// withheld; one that rounding has, is at its end.
    #[must_use]
    pub fn within(mut self, low: f64, high: f64) -> Row {
        let out = self.estimate.is_some_and(|e| !(low..=high).contains(&e));
        if out && self.dp_se.is_some_and(|noise| noise > 0.0) {
            return Row::withheld(&self.term, &self.statistic, "too noisy to report");
        }
        self.estimate = self.estimate.map(|v| v.clamp(low, high));
        self.lower = self.lower.map(|v| v.clamp(low, high));
        self.upper = self.upper.map(|v| v.clamp(low, high));
        self
    }

    /// Whether it is a number of patients that is withheld since it is small, and not for another one's sake.
    pub fn is_small(&self) -> bool {
        self.suppressed && self.note.starts_with(SMALL)
    }

    /// The same row with a note.
    #[must_use]
    pub fn note(mut self, note: &str) -> Row {
        note.clone_into(&mut self.note);
        self
    }
}

/// How the note of a small number begins.
const SMALL: &str = "fewer than";

/// A number of patients: withheld where the noisy value is below the least cell, or lost in the noise.
pub fn patients(term: &str, value: f64, dp_se: f64, reporting: &Reporting) -> Row {
    if value < 0.0 && reporting.min_cell == 0 {
        return Row::withheld(term, "n", "fewer than none, by the noise");
    }
    if value < reporting.min_cell as f64 {
        return Row::withheld(term, "n", &format!("{SMALL} {} (noisy)", reporting.min_cell));
    }
    // No number of patients is written -0.
    let mut row = Row::normal(term, "n", value + 0.0, 0.0, dp_se, reporting.z());
    row.lower = row.lower.map(|l| l.max(0.0));
    row
}

/// Points to draw, with their band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// What it shows.
    pub title: String,
    /// `bars`, `step` or `line`.
    pub kind: String,
    /// The axis below.
    pub x_label: String,
    /// The axis beside.
    pub y_label: String,
    /// The points: x, y, lower, upper.
    pub points: Vec<[f64; 4]>,
}

/// What an analysis says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The numbers.
    pub rows: Vec<Row>,
    /// The drawings.
    pub curves: Vec<Curve>,
}
