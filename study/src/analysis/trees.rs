//! Boosted trees, and how they grow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::training::Holdout;

/// What an outcome is, to trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TreeFamily {
    /// A number with bounds, by least squares.
    Linear,
    /// No or yes.
    Logistic,
    /// One of several levels, each with trees of its own that grow in the same rounds.
    Multinomial,
    /// A count with bounds from 0.
    Poisson,
    /// A time to an event.
    Hazards,
}

/// Where the bins of numbers lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgesWord {
    /// Evenly between their bounds.
    #[default]
    Even,
    /// Between quantiles, which are told in the first round for a part of the charge.
    Quantiles,
}

impl EdgesWord {
    fn is_even(&self) -> bool {
        *self == EdgesWord::Even
    }
}

/// Gradient-boosted trees by private histograms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trees {
    /// The outcome: a number with bounds, no and yes, a category, a count, or a time, as the family wants it.
    pub outcome: String,
    /// Of hazards: whether the time ended with an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Of hazards: times from here on count as this, without an event; the time's upper bound, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<f64>,
    /// The features: numbers with bounds, and categories. Who lacks one is not left out.
    pub features: Vec<String>,
    /// What the outcome is.
    pub family: TreeFamily,
    /// How many trees.
    pub trees: u32,
    /// Questions one after the other in a tree; each is a round, and all rounds share the charge.
    #[serde(default = "depth", skip_serializing_if = "is_depth")]
    pub depth: u32,
    /// What of a leaf's value is taken.
    #[serde(default = "rate", skip_serializing_if = "is_rate")]
    pub learning_rate: f64,
    /// Bins of a number.
    #[serde(default = "bins", skip_serializing_if = "is_bins")]
    pub bins: u32,
    /// Where these bins lie.
    #[serde(default, skip_serializing_if = "EdgesWord::is_even")]
    pub edges: EdgesWord,
    /// λ, which is added to each sum of curvatures: the more, the nearer leaves are to 0.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub penalty: f64,
    /// The least sum of curvatures on either side of a split; of a logistic model a patient has at most a quarter.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub least: f64,
    /// Features that a tree may ask for, chosen by the seed; all, where not given. Fewer are less noise in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_tree: Option<u32>,
    /// Chooses the features of each tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Patients whom no tree has seen, and of whom the trees are judged in a last round, for a fifth of the charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
}

fn depth() -> u32 {
    3
}
fn is_depth(given: &u32) -> bool {
    *given == depth()
}
fn rate() -> f64 {
    0.3
}
fn is_rate(given: &f64) -> bool {
    *given == rate()
}
fn bins() -> u32 {
    Trees::USUAL_BINS
}
fn is_bins(given: &u32) -> bool {
    *given == bins()
}
fn one() -> f64 {
    1.0
}
fn is_one(given: &f64) -> bool {
    *given == one()
}

/// The settings.
pub(super) const SETTINGS: &[&str] = &[
    "outcome",
    "event",
    "horizon",
    "features",
    "family",
    "trees",
    "depth",
    "learning_rate",
    "bins",
    "edges",
    "penalty",
    "least",
    "per_tree",
    "seed",
    "holdout",
];

impl Trees {
    /// Bins of a number, where none are given.
    pub(crate) const USUAL_BINS: u32 = 16;

    /// The features, in the order of the batch.
    pub(super) fn features(&self) -> Vec<String> {
        let split = self.holdout.as_ref().and_then(|h| h.feature.as_ref());
        let outcome = std::iter::once(&self.outcome).chain(&self.event);
        self.features.iter().chain(outcome).chain(split).cloned().collect()
    }
}
