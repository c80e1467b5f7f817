//! Analyses: which statistic or model, of which features, over which cohort.

mod asked;
mod baseline;
mod calendar;
mod regression;
pub mod training;
pub mod trees;

use learning::Ties;
use learning::propensity::Cuts;
use learning::weighting::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use summaries::pca::Scale;
use summaries::survival::log_rank::Weight;

use crate::cohort::Where;

pub use baseline::Baseline;
pub use calendar::{Calendar, Every, MOST_DAYS, day, year};
pub use regression::{Beside, Fitting, Formula, Regression, Spline};

/// An analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Analysis {
    /// Its name in results; the kind, where not given.
    #[serde(default)]
    pub name: String,
    /// The cohort.
    #[serde(default = "target")]
    pub cohort: String,
    /// Its share of the study's charge, relative to the others'.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub share: f64,
    /// Subgroups, declared in `[subgroups]`, in each of which the analysis is done as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subgroups: Vec<String>,
    /// Whether each hospital's own private estimate is told as well, with a meta-analysis of them. The hospitals must allow it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hospital: bool,
    /// With `by_hospital`, of a model: so many Newton steps that each hospital then takes by itself, to its own maximum. Each costs as much as
    /// a common step. With 0 a hospital's own estimate is one step from the common coefficients.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(max = 100))]
    pub own_steps: u32,
    /// Features that other analyses of the same round read of the same patients: columns behind its own. Never written.
    #[serde(skip)]
    pub beside: Vec<String>,
    /// What to do.
    #[serde(flatten)]
    pub what: What,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn words(list: &[&str]) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "enum": list })
}
fn ties(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    words(&["efron", "breslow"])
}
fn scales(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    words(&["sd", "bounds"])
}
fn effects(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    words(&["ate", "att"])
}
fn cuts(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    words(&["equal", "quantiles"])
}
fn weights(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    words(&["log_rank", "gehan", "peto"])
}
fn target() -> String {
    "target".to_owned()
}
fn one() -> f64 {
    1.0
}

/// What an analysis does. To add a kind: a variant here, its check, and its line in `compile`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// How many patients; by the levels of features, where given.
    Count {
        /// Categories.
        #[serde(default)]
        by: Vec<String>,
    },
    /// How many patients are left after each criterion of the cohort, in order.
    Attrition {},
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
    /// The most frequent codes of a system, found without a list of them.
    TopCodes {
        /// A feature of the kind `open_codes`.
        of: String,
        /// How many codes are told.
        #[serde(default = "twenty")]
        top: u32,
        /// How many characters of a code are found out; longer codes that begin alike are one.
        #[serde(default = "eight")]
        length: u32,
    },
    /// How many distinct patients at all hospitals together, by a keyed sketch of their linkage ids. Experimental; in secure rounds
    /// alone.
    Distinct {
        /// Buckets of the sketch, a power of two; more buckets, less error, more bytes.
        #[serde(default = "buckets")]
        buckets: u32,
    },
    /// Prevalence over calendar time: of the patients of the cohort who are observed on a day, the share who have had an event by then.
    Prevalence {
        /// A table of the common schema.
        table: String,
        /// A concept set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<String>,
        /// Conditions on columns.
        #[serde(default, rename = "where", skip_serializing_if = "Where::is_empty")]
        filter: Where,
        /// On which days.
        #[serde(flatten)]
        calendar: Calendar,
        /// The event was at most so many days ago, the day itself included; ever before, where not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lookback: Option<u32>,
    },
    /// A table of variables: mean, SD, median and quartiles of numbers; n and share of categories.
    Table1 {
        /// The features.
        variables: Vec<String>,
        /// Arms: each variable by arm, with the standardised differences of the others from the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Two groups' risks within strata: Mantel and Haenszel's ratios and difference, their test, and the strata's homogeneity.
    MantelHaenszel {
        /// The exposure, of the levels no and yes.
        exposure: String,
        /// The outcome, of the levels no and yes.
        outcome: String,
        /// The strata.
        strata: String,
    },
    /// What a treatment does to outcomes, by weights and strata of the propensity to have it.
    Propensity {
        /// The treatment, of the levels no and yes.
        treatment: String,
        /// The covariates.
        #[serde(flatten)]
        formula: Formula,
        /// The outcomes: numbers with bounds, or features with the levels no and yes.
        outcomes: Vec<String>,
        /// Whom the effect is of: `ate`, all, or `att`, the treated.
        #[serde(default)]
        #[schemars(schema_with = "effects")]
        effect: Kind,
        /// No patient weighs more.
        #[serde(default = "ten")]
        cap: f64,
        /// How many strata of the score.
        #[serde(default = "five")]
        strata: u32,
        /// Where they are cut: at `equal` distances or at `quantiles` of the noisy histogram of scores.
        #[serde(default)]
        #[schemars(schema_with = "cuts")]
        cuts: Cuts,
        /// Newton steps of the score's model.
        #[serde(default = "regression::steps")]
        steps: u32,
    },
    /// Principal components of numbers.
    Pca {
        /// The features, numbers with bounds.
        of: Vec<String>,
        /// What they are divided by.
        #[serde(default)]
        #[schemars(schema_with = "scales")]
        scale: Scale,
    },
    /// Survival: Kaplan–Meier curves with at-risk numbers, medians, restricted means; the log-rank test between groups.
    Survival {
        /// The time, a number with bounds from 0.
        time: String,
        /// Whether it ended with the event, a feature with the levels no and yes.
        event: String,
        /// Groups to compare.
        #[serde(default)]
        by: Option<String>,
        /// Strata within which they are compared.
        #[serde(default)]
        strata: Option<String>,
        /// The width of a cell of time; 1 loses nothing of whole days.
        #[serde(default = "unit")]
        width: f64,
        /// The last time; the time's upper bound, where not given.
        #[serde(default)]
        horizon: Option<f64>,
        /// At which times the curve is told, with the numbers at risk; at the quarters of the horizon, where not given.
        #[serde(default)]
        at: Vec<f64>,
        /// The end of the restricted mean; none is told without.
        #[serde(default)]
        tau: Option<f64>,
        /// The weight of the log-rank test.
        #[serde(default)]
        #[schemars(schema_with = "weights")]
        weight: Weight,
    },
    /// Cumulative incidence of competing causes (Aalen and Johansen), and log-rank tests of each cause between groups.
    Competing {
        /// The time, a number with bounds from 0.
        time: String,
        /// How it ended, a category: its first level is "free of all causes", the others are the causes.
        cause: String,
        /// Groups to compare.
        #[serde(default)]
        by: Option<String>,
        /// The width of a cell of time; 1 loses nothing of whole days.
        #[serde(default = "unit")]
        width: f64,
        /// The last time; the time's upper bound, where not given.
        #[serde(default)]
        horizon: Option<f64>,
        /// At which times the curves are told, and groups compared.
        #[serde(default)]
        at: Vec<f64>,
    },
    /// Incidence rates: events by person-time.
    Rate {
        /// The events, a number with bounds from 0, or no and yes.
        events: String,
        /// The time in days, a number with bounds from 0.
        time: String,
        /// Groups to compare.
        #[serde(default)]
        by: Option<String>,
        /// Per how much time; a thousand years, where not given.
        #[serde(default = "thousand_years")]
        per: f64,
    },
    /// A number compared between groups: means, t tests, analysis of variance.
    Compare {
        /// The number.
        of: String,
        /// The groups; the first is the reference.
        by: String,
    },
    /// Wilcoxon's rank-sum test (Mann and Whitney's) of a number between two groups.
    RankSum {
        /// The number.
        of: String,
        /// The groups.
        by: String,
        /// How many equal intervals within the number's bounds.
        #[serde(default = "thousand")]
        bins: u32,
    },
    /// Linear regression, in one round.
    Linear {
        /// The outcome, a number with bounds.
        outcome: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// As in [`Beside`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<String>,
        /// As in [`Fitting`].
        #[serde(default)]
        clip: Option<f64>,
        /// A baseline for each hospital, or one for all.
        #[serde(default, skip_serializing_if = "Baseline::is_hospital")]
        baseline: Baseline,
    },
    /// Poisson regression of a count, with the logarithm as its link.
    Poisson {
        /// The outcome, a number with bounds from 0; its upper bound is the most events that count.
        outcome: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// What the mean is proportional to, such as the time at risk: a number above 0.
        #[serde(default)]
        exposure: Option<String>,
        /// An offset and weights.
        #[serde(flatten)]
        beside: Beside,
        /// How it is fitted.
        #[serde(flatten)]
        fitting: Fitting,
        /// A baseline for each hospital, or one for all.
        #[serde(default, skip_serializing_if = "Baseline::is_hospital")]
        baseline: Baseline,
    },
    /// Negative binomial regression of a count that varies more than a Poisson's, with the logarithm as its link.
    NegativeBinomial {
        /// The outcome, a number with bounds from 0; its upper bound is the most events that count.
        outcome: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// What the mean is proportional to, such as the time at risk: a number above 0.
        #[serde(default)]
        exposure: Option<String>,
        /// An offset and weights.
        #[serde(flatten)]
        beside: Beside,
        /// How it is fitted.
        #[serde(flatten)]
        fitting: Fitting,
    },
    /// Gamma regression of a number above 0, with the logarithm as its link.
    Gamma {
        /// The outcome.
        outcome: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// An offset and weights.
        #[serde(flatten)]
        beside: Beside,
        /// How it is fitted.
        #[serde(flatten)]
        fitting: Fitting,
        /// A baseline for each hospital, or one for all.
        #[serde(default, skip_serializing_if = "Baseline::is_hospital")]
        baseline: Baseline,
    },
    /// Hazards that are constant within fixed intervals of time, and their ratios.
    PiecewiseExponential {
        /// The time, a number with bounds from 0.
        time: String,
        /// Whether it ended with the event, a feature with the levels no and yes.
        event: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// Where one hazard ends and the next begins, ascending, above 0 and before the horizon.
        cuts: Vec<f64>,
        /// The last time; the time's upper bound, where not given.
        #[serde(default)]
        horizon: Option<f64>,
        /// Newton steps, beside the round of crude rates.
        #[serde(default = "regression::steps")]
        steps: u32,
        /// Expected events of one patient above this count as this.
        #[serde(default = "three")]
        cap: f64,
    },
    /// Proportional hazards (Cox).
    Cox {
        /// The time, a number with bounds from 0.
        time: String,
        /// Whether it ended with the event, a feature with the levels no and yes.
        event: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// Strata with baselines of their own.
        #[serde(default)]
        strata: Option<String>,
        /// The width of a cell of time; 1 loses nothing of whole days, wider cells take less noise.
        #[serde(default = "unit")]
        width: f64,
        /// The last time; the time's upper bound, where not given.
        #[serde(default)]
        horizon: Option<f64>,
        /// What events of one cell are to each other.
        #[serde(default)]
        #[schemars(schema_with = "ties")]
        ties: Ties,
        /// Newton steps.
        #[serde(default = "regression::steps")]
        steps: u32,
        /// Relative hazards above this, beside a patient in the middle of all bounds, count as this. The noise grows with it.
        #[serde(default = "cap")]
        cap: f64,
        /// As in [`Fitting`].
        #[serde(default, skip_serializing_if = "regression::is_none")]
        penalty: f64,
        /// A baseline for each hospital, or one for all.
        #[serde(default, skip_serializing_if = "Baseline::is_hospital")]
        baseline: Baseline,
    },
    /// A model trained in clipped steps.
    Train(Box<training::Train>),
    /// Gradient-boosted trees by private histograms.
    Trees(Box<trees::Trees>),
    /// Logistic regression.
    Logistic {
        /// The outcome, a feature with the levels no and yes.
        outcome: String,
        /// By what.
        #[serde(flatten)]
        formula: Formula,
        /// An offset and weights.
        #[serde(flatten)]
        beside: Beside,
        /// How it is fitted.
        #[serde(flatten)]
        fitting: Fitting,
        /// A baseline for each hospital, or one for all.
        #[serde(default, skip_serializing_if = "Baseline::is_hospital")]
        baseline: Baseline,
    },
}

fn quartiles() -> Vec<f64> {
    vec![0.25, 0.5, 0.75]
}
fn four() -> u32 {
    4
}
fn twenty() -> u32 {
    20
}
fn eight() -> u32 {
    8
}
fn five() -> u32 {
    5
}
fn buckets() -> u32 {
    summaries::distinct::Distinct::BUCKETS as u32
}
fn unit() -> f64 {
    1.0
}
fn thousand() -> u32 {
    1000
}
fn thousand_years() -> f64 {
    365_250.0
}
fn ten() -> f64 {
    10.0
}
fn three() -> f64 {
    3.0
}
fn cap() -> f64 {
    5.0
}

impl What {
    /// The kind's word.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Count { .. } => "count",
            What::Attrition {} => "attrition",
            What::Crosstab { .. } => "crosstab",
            What::Histogram { .. } => "histogram",
            What::Moments { .. } => "moments",
            What::Quantiles { .. } => "quantiles",
            What::Codes { .. } => "codes",
            What::TopCodes { .. } => "top_codes",
            What::Distinct { .. } => "distinct",
            What::Prevalence { .. } => "prevalence",
            What::Table1 { .. } => "table1",
            What::MantelHaenszel { .. } => "mantel_haenszel",
            What::Propensity { .. } => "propensity",
            What::Pca { .. } => "pca",
            What::Survival { .. } => "survival",
            What::Competing { .. } => "competing",
            What::Rate { .. } => "rate",
            What::Compare { .. } => "compare",
            What::RankSum { .. } => "rank_sum",
            What::Linear { .. } => "linear",
            What::Poisson { .. } => "poisson",
            What::NegativeBinomial { .. } => "negative_binomial",
            What::Gamma { .. } => "gamma",
            What::PiecewiseExponential { .. } => "piecewise_exponential",
            What::Cox { .. } => "cox",
            What::Logistic { .. } => "logistic",
            What::Train(_) => "train",
            What::Trees(_) => "trees",
        }
    }

    /// The settings that the kind has, beside `kind`, `name`, `cohort` and `share`.
    pub fn settings(kind: &str) -> Option<&'static [&'static str]> {
        Some(match kind {
            "attrition" => &[],
            "count" | "crosstab" => &["by"],
            "histogram" => &["of", "bins"],
            "moments" | "codes" => &["of"],
            "top_codes" => &["of", "top", "length"],
            "distinct" => &["buckets"],
            "quantiles" => &["of", "probabilities", "branching", "depth"],
            "prevalence" => &["table", "set", "where", "from", "to", "every", "lookback"],
            "table1" => &["variables", "by"],
            "mantel_haenszel" => &["exposure", "outcome", "strata"],
            "pca" => &["of", "scale"],
            "propensity" => &[
                "treatment",
                "features",
                "interactions",
                "splines",
                "outcomes",
                "effect",
                "cap",
                "strata",
                "cuts",
                "steps",
            ],
            "survival" => &["time", "event", "by", "strata", "width", "horizon", "at", "tau", "weight"],
            "competing" => &["time", "cause", "by", "width", "horizon", "at"],
            "rate" => &["events", "time", "by", "per"],
            "compare" => &["of", "by"],
            "rank_sum" => &["of", "by", "bins"],
            "linear" => &["outcome", "features", "interactions", "splines", "weights", "baseline", "clip"],
            "negative_binomial" => {
                &["outcome", "features", "interactions", "splines", "exposure", "offset", "weights", "steps", "clip"]
            }
            "poisson" => &[
                "outcome",
                "features",
                "interactions",
                "splines",
                "exposure",
                "offset",
                "weights",
                "baseline",
                "steps",
                "clip",
                "penalty",
            ],
            "gamma" | "logistic" => &[
                "outcome",
                "features",
                "interactions",
                "splines",
                "offset",
                "weights",
                "baseline",
                "steps",
                "clip",
                "penalty",
            ],
            "train" => {
                &["outcome", "event", "features", "interactions", "splines", "model", "prepare", "strategy", "holdout"]
            }
            "trees" => trees::SETTINGS,
            "piecewise_exponential" => {
                &["time", "event", "features", "interactions", "splines", "cuts", "horizon", "steps", "cap"]
            }
            "cox" => &[
                "time",
                "event",
                "features",
                "interactions",
                "splines",
                "strata",
                "baseline",
                "width",
                "horizon",
                "ties",
                "steps",
                "cap",
                "penalty",
            ],
            _ => return None,
        })
    }

    /// Whether no noise protects it, so that it is for simulations alone.
    pub fn is_for_simulations(&self) -> bool {
        matches!(self, What::Train(train) if train.is_for_simulations())
    }

    /// The shares of each hospital's patients who are tested and who validate, by a keyed hash: the batch has a last column of the levels train and
    /// test, and validate where some do.
    pub fn holdout(&self) -> Option<[f64; 2]> {
        match self {
            What::Train(train) => train.holdout.as_ref()?.shares(),
            What::Trees(trees) => trees.holdout.as_ref()?.shares(),
            _ => None,
        }
    }

    /// The features it reads, in the order of its batch's columns.
    pub fn features(&self) -> Vec<String> {
        match self {
            What::Count { by } | What::Crosstab { by } => by.clone(),
            What::Histogram { of, .. }
            | What::Moments { of }
            | What::Quantiles { of, .. }
            | What::Codes { of }
            | What::TopCodes { of, .. } => {
                vec![of.clone()]
            }
            What::Distinct { .. } | What::Attrition {} | What::Prevalence { .. } => Vec::new(),
            What::Table1 { variables, by } => variables.iter().chain(by).cloned().collect(),
            What::MantelHaenszel { exposure, outcome, strata } => {
                vec![exposure.clone(), outcome.clone(), strata.clone()]
            }
            What::Pca { of, .. } => of.clone(),
            What::Propensity { treatment, formula, outcomes, .. } => {
                formula.features.iter().chain(std::iter::once(treatment)).chain(outcomes).cloned().collect()
            }
            What::Survival { time, event, by, strata, .. } => {
                [time, event].into_iter().chain(by).chain(strata).cloned().collect()
            }
            What::Competing { time, cause, by, .. } => [time, cause].into_iter().chain(by).cloned().collect(),
            What::Rate { events, time, by, .. } => [events, time].into_iter().chain(by).cloned().collect(),
            What::Compare { of, by } | What::RankSum { of, by, .. } => vec![of.clone(), by.clone()],
            What::Poisson { outcome, formula, exposure, beside, .. }
            | What::NegativeBinomial { outcome, formula, exposure, beside, .. } => {
                let more = exposure.iter().chain(beside.features());
                formula.features.iter().chain(std::iter::once(outcome)).chain(more).cloned().collect()
            }
            What::PiecewiseExponential { time, event, formula, .. } => {
                formula.features.iter().chain([time, event]).cloned().collect()
            }
            What::Cox { time, event, formula, strata, .. } => {
                formula.features.iter().chain([time, event]).chain(strata).cloned().collect()
            }
            What::Logistic { outcome, formula, beside, .. } | What::Gamma { outcome, formula, beside, .. } => {
                formula.features.iter().chain(std::iter::once(outcome)).chain(beside.features()).cloned().collect()
            }
            What::Train(train) => train.features(),
            What::Trees(trees) => trees.features(),
            What::Linear { outcome, formula, weights, .. } => {
                formula.features.iter().chain(std::iter::once(outcome)).chain(weights).cloned().collect()
            }
        }
    }
}
