//! Analyses: which statistic or model, of which features, over which cohort.

use serde::{Deserialize, Serialize};

/// An analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Its name in results; the kind, where not given.
    #[serde(default)]
    pub name: String,
    /// The cohort.
    #[serde(default = "target")]
    pub cohort: String,
    /// Its share of the study's charge, relative to the others'.
    #[serde(default = "one")]
    pub share: f64,
    /// What to do.
    #[serde(flatten)]
    pub what: What,
}

fn target() -> String {
    "target".to_owned()
}
fn one() -> f64 {
    1.0
}

/// What an analysis does. To add a kind: a variant here, its check, and its line in `compile`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// How many patients; by the levels of features, where given.
    Count {
        /// Categories.
        #[serde(default)]
        by: Vec<String>,
    },
    /// Patients by the levels of categories.
    Crosstab {
        /// Categories.
        by: Vec<String>,
    },
    /// A histogram of a number.
    Histogram {
        /// The feature.
        of: String,
        /// How many equal intervals within the feature's bounds.
        bins: u32,
    },
    /// n, mean and variance of a number.
    Moments {
        /// The feature.
        of: String,
    },
    /// Quantiles of a number.
    Quantiles {
        /// The feature.
        of: String,
        /// At which probabilities.
        #[serde(default = "quartiles")]
        probabilities: Vec<f64>,
        /// Children of a node.
        #[serde(default = "four")]
        branching: u32,
        /// Levels below the root.
        #[serde(default = "five")]
        depth: u32,
    },
    /// Patients per code of a public list.
    Codes {
        /// The feature.
        of: String,
    },
    /// How many distinct patients at all hospitals together, by a keyed sketch of their linkage ids. Experimental; in secure rounds
    /// alone.
    Distinct {
        /// Buckets of the sketch, a power of two; more buckets, less error, more bytes.
        #[serde(default = "buckets")]
        buckets: u32,
    },
    /// A table of variables: mean, SD, median and quartiles of numbers; n and share of categories.
    Table1 {
        /// The features.
        variables: Vec<String>,
    },
    /// Logistic regression.
    Logistic {
        /// The outcome, a feature with the levels no and yes.
        outcome: String,
        /// The features.
        features: Vec<String>,
        /// Newton steps.
        #[serde(default = "steps")]
        steps: u32,
        /// Rows of scaled features `(1, x')`, each x' in [−1, 1], longer than this count for less. A smaller clip means less
        /// noise. None: no row is clipped.
        #[serde(default)]
        clip: Option<f64>,
    },
}

fn quartiles() -> Vec<f64> {
    vec![0.25, 0.5, 0.75]
}
fn four() -> u32 {
    4
}
fn five() -> u32 {
    5
}
fn buckets() -> u32 {
    summaries::distinct::Distinct::BUCKETS as u32
}
fn steps() -> u32 {
    4
}

impl What {
    /// The kind's word.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Count { .. } => "count",
            What::Crosstab { .. } => "crosstab",
            What::Histogram { .. } => "histogram",
            What::Moments { .. } => "moments",
            What::Quantiles { .. } => "quantiles",
            What::Codes { .. } => "codes",
            What::Distinct { .. } => "distinct",
            What::Table1 { .. } => "table1",
            What::Logistic { .. } => "logistic",
        }
    }

    /// The settings that the kind has, beside `kind`, `name`, `cohort` and `share`.
    pub fn settings(kind: &str) -> Option<&'static [&'static str]> {
        Some(match kind {
            "count" | "crosstab" => &["by"],
            "histogram" => &["of", "bins"],
            "moments" | "codes" => &["of"],
            "distinct" => &["buckets"],
            "quantiles" => &["of", "probabilities", "branching", "depth"],
            "table1" => &["variables"],
            "logistic" => &["outcome", "features", "steps", "clip"],
            _ => return None,
        })
    }

    /// The features it reads, in the order of its batch's columns.
    pub fn features(&self) -> Vec<String> {
        match self {
            What::Count { by } | What::Crosstab { by } => by.clone(),
            What::Histogram { of, .. } | What::Moments { of } | What::Quantiles { of, .. } | What::Codes { of } => {
                vec![of.clone()]
            }
            What::Distinct { .. } => Vec::new(),
            What::Table1 { variables } => variables.clone(),
            What::Logistic { outcome, features, .. } => {
                features.iter().chain(std::iter::once(outcome)).cloned().collect()
            }
        }
    }
}

impl Analysis {
    /// Its name in results.
    pub fn label(&self) -> String {
        if self.name.is_empty() { self.what.kind().to_owned() } else { self.name.clone() }
    }
}
