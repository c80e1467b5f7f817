//! What is trained, and how.

use learning::training::{Learned, Missing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Formula;
use super::regression::is_none;

/// A model trained in clipped steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Train {
    /// The outcome: a number with bounds, no and yes, a category, a count, or a time, as the family wants it.
    pub outcome: String,
    /// Of hazards: whether the time ended with an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// By what.
    #[serde(flatten)]
    pub formula: Formula,
    /// The model.
    pub model: ModelSpec,
    /// How features become inputs.
    #[serde(default, skip_serializing_if = "Prepare::is_usual")]
    pub prepare: Prepare,
    /// The steps.
    pub strategy: StrategySpec,
    /// Patients who are not trained on, and of whom the model is judged in a last round, for a fifth of the charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
}

/// How features become inputs of a model. What is learned for it of the data is told in a private round before the first, and frozen then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// What numbers are divided by.
    #[serde(default, skip_serializing_if = "ScaleWord::is_bounds")]
    pub scale: ScaleWord,
    /// What becomes of patients who lack a feature.
    #[serde(default, skip_serializing_if = "MissingWord::is_drop")]
    pub missing: MissingWord,
    /// The share of the analysis' charge that the round before the first takes, where there is one; a tenth, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// What the round of moments takes of the charge.
const MOMENTS_SHARE: f64 = 0.1;

impl Prepare {
    fn is_usual(&self) -> bool {
        *self == Prepare::default()
    }

    /// What is learned of the data.
    pub(crate) fn learned(&self) -> Option<Learned> {
        let missing = match self.missing {
            MissingWord::Drop => Missing::Drop,
            MissingWord::Mean => Missing::Mean,
            MissingWord::Indicator => Missing::Indicator,
        };
        let share = self.share.unwrap_or(MOMENTS_SHARE);
        let learned = Learned { moments: self.scale == ScaleWord::Moments, missing, share };
        Some(learned).filter(Learned::is_needed)
    }
}

/// What becomes of patients who lack a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingWord {
    /// They are left out.
    #[default]
    Drop,
    /// They have the mean of those who have it; of a category the shares of its levels.
    Mean,
    /// The same, and for each feature an input that says whether it is missing.
    Indicator,
}

impl MissingWord {
    fn is_drop(&self) -> bool {
        *self == MissingWord::Drop
    }
}

/// What numbers are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleWord {
    /// Their bounds, which become −1 and 1.
    #[default]
    Bounds,
    /// Their standard deviation, less their mean, as told in a private round before the first.
    Moments,
    /// Nothing: they are clipped to their bounds and stay in their own units.
    None,
}

impl ScaleWord {
    fn is_bounds(&self) -> bool {
        *self == ScaleWord::Bounds
    }
}

/// Who is held out: a share of each hospital's patients, or who a feature names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Holdout {
    /// The share, chosen by a keyed hash: the same patients of a hospital in all rounds and studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
    /// The share that validates: the loss on them is told every so many rounds, and says when to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<f64>,
    /// A feature of two levels: the first is trained on, the second held out. Of three the third validates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Of no and yes: probabilities from which on a patient counts as yes, for tables of who is told rightly.
    #[serde(default = "half", skip_serializing_if = "is_half")]
    pub thresholds: Vec<f64>,
}

impl Holdout {
    /// The shares of those who are tested and who validate, where a hash chooses them.
    pub(super) fn shares(&self) -> Option<[f64; 2]> {
        if self.feature.is_some() || (self.test.is_none() && self.validate.is_none()) {
            return None;
        }
        Some([self.test.unwrap_or(0.0), self.validate.unwrap_or(0.0)])
    }
}

fn half() -> Vec<f64> {
    vec![0.5]
}
fn is_half(given: &[f64]) -> bool {
    given == [0.5]
}

/// What an outcome is, to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FamilyWord {
    /// A number with bounds, by least squares.
    Linear,
    /// No or yes.
    Logistic,
    /// One of several levels.
    Multinomial,
    /// A count with bounds from 0.
    Poisson,
    /// A time to an event, by hazards that are constant within intervals.
    Hazards,
    /// A time to an event, by the partial likelihood within each batch of local steps: for simulations without noise alone.
    PartialLikelihood,
}

/// What a hidden unit does with its weighted sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivationWord {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// Itself, between 0 and 8.
    Relu,
}

impl ActivationWord {
    fn is_tanh(&self) -> bool {
        *self == ActivationWord::Tanh
    }
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// What the outcome is.
    pub family: FamilyWord,
    /// Units of each hidden layer; none is a linear predictor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<u32>,
    /// What hidden units do.
    #[serde(default, skip_serializing_if = "ActivationWord::is_tanh")]
    pub activation: ActivationWord,
    /// The start: without one zero, or 0 where there are hidden layers, which can't begin at zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Of hazards: intervals of one width up to the horizon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<u32>,
    /// Of hazards: times from here on count as this, without an event; the time's upper bound, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<f64>,
    /// Half of it times the sum of squared weights of scaled features, biases left out, is taken from the log-likelihood.
    #[serde(default, skip_serializing_if = "is_none")]
    pub penalty: f64,
}

/// Where steps go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserWord {
    /// Along the gradient, with momentum where it is given.
    #[default]
    Sgd,
    /// Adam.
    Adam,
    /// Yogi.
    Yogi,
    /// Adagrad.
    Adagrad,
}

impl OptimiserWord {
    fn is_sgd(&self) -> bool {
        *self == OptimiserWord::Sgd
    }
}

/// How the rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecayWord {
    /// It does not.
    Constant,
    /// Times `factor` after every so many rounds.
    Step,
    /// Half a wave down to nothing.
    Cosine,
    /// Divided by 1 + `factor` · round.
    InverseTime,
}

/// A rate: a number, or one that falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LearningRate {
    /// The same in all rounds.
    Fixed(f64),
    /// One that falls.
    Falling(Falling),
}

/// A rate that falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Falling {
    /// The first round's.
    pub start: f64,
    /// How it falls.
    pub decay: DecayWord,
    /// Rounds of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// Of steps, and of inverse time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

/// The steps of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrategySpec {
    /// How many; each is a round, and they share the charge.
    pub rounds: u32,
    /// How long a step is.
    pub learning_rate: LearningRate,
    /// No patient's gradient counts for more than this length. The noise is in proportion to it.
    pub clip: f64,
    /// The share of gradients that are not to be cut: then the clip follows it from round to round, and `clip` is the first round's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_quantile: Option<f64>,
    /// With which probability each patient is in a step, by a coin of the own that nobody sees; 1 is all of them. With it, all rounds are paid for at
    /// once, and patients pay for those alone that they may be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<f64>,
    /// With `sampling`: the noise of a step, over how far one patient moves its sum; without it the least that the charge allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// Where steps go.
    #[serde(default, skip_serializing_if = "OptimiserWord::is_sgd")]
    pub optimiser: OptimiserWord,
    /// Of sgd: how much of a step goes on in the next.
    #[serde(default, skip_serializing_if = "is_none")]
    pub momentum: f64,
    /// β₁ and β₂ of the adaptive optimisers.
    #[serde(default = "betas", skip_serializing_if = "are_usual_betas")]
    pub betas: [f64; 2],
    /// τ of the adaptive optimisers: how small a gradient counts as none.
    #[serde(default = "tau", skip_serializing_if = "is_usual_tau")]
    pub tau: f64,
    /// Whether the model is the mean over the last half of the rounds, which has less noise than the last.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub average: bool,
    /// About how many patients there are, where that is public; counted at a tenth of the charge, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patients: Option<u64>,
    /// How hospitals' steps are merged.
    #[serde(default, skip_serializing_if = "MergeWord::is_mean")]
    pub merge: MergeWord,
    /// Of a trimmed mean: the share of hospitals that is left out at either end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim: Option<f64>,
    /// No hospital's mean gradient, or way of local steps, counts for more than this length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// So many rounds are at the same parameters, and their sums are added up before a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<u32>,
    /// When to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopSpec>,
    /// Steps that each hospital takes by itself in a round. Then `learning_rate` and the optimiser are those of the way they lead together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalSpec>,
}

/// When training stops, by the loss of patients who validate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopSpec {
    /// Every so many rounds the loss is told, for a third of a round's charge.
    pub every: u32,
    /// After so many times without a loss that is smaller by more than its noise. The model is that of the smallest.
    pub patience: u32,
}

/// How hospitals' steps are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeWord {
    /// As one sum over all patients.
    #[default]
    Mean,
    /// By the median of each parameter.
    Median,
    /// By a mean of each parameter that leaves out both ends.
    Trimmed,
}

impl MergeWord {
    fn is_mean(&self) -> bool {
        *self == MergeWord::Mean
    }
}

/// What corrects the drift of a hospital's own steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControlWord {
    /// Nothing.
    #[default]
    None,
    /// Control variates: SCAFFOLD.
    Variates,
    /// The way from where the hospital ended last, spread over its steps.
    Ends,
}

impl ControlWord {
    fn is_none(&self) -> bool {
        *self == ControlWord::None
    }
}

/// What a hospital counts for in the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsWord {
    /// As many as its patients.
    #[default]
    Patients,
    /// One.
    Hospitals,
}

impl WeightsWord {
    fn is_patients(&self) -> bool {
        *self == WeightsWord::Patients
    }
}

/// Steps of a hospital's own: each has noise of its own, so that so many of them cost as many rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalSpec {
    /// How many in a round.
    pub steps: u32,
    /// How long a step is, by round.
    pub learning_rate: LearningRate,
    /// Where they go; begun anew in each round.
    #[serde(default, skip_serializing_if = "OptimiserWord::is_sgd")]
    pub optimiser: OptimiserWord,
    /// How much a step is pulled back to where the round began: FedProx.
    #[serde(default, skip_serializing_if = "is_none")]
    pub proximal: f64,
    /// What corrects drift.
    #[serde(default, skip_serializing_if = "ControlWord::is_none")]
    pub control: ControlWord,
    /// What a hospital counts for in the mean.
    #[serde(default, skip_serializing_if = "WeightsWord::is_patients")]
    pub weights: WeightsWord,
    /// Whether one hospital after the other goes on with the model, a round each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turns: bool,
    /// Rows of a step, in a shuffled order, in place of all. No noise protects that: for simulations without noise alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
}

/// Settings of the adaptive optimisers, where none are given.
pub(crate) struct Usual {
    pub(crate) betas: [f64; 2],
    pub(crate) tau: f64,
}

impl StrategySpec {
    pub(crate) fn usual() -> Usual {
        Usual { betas: betas(), tau: tau() }
    }
}

fn betas() -> [f64; 2] {
    [0.9, 0.99]
}
fn are_usual_betas(given: &[f64; 2]) -> bool {
    *given == betas()
}
fn tau() -> f64 {
    1e-3
}
fn is_usual_tau(given: &f64) -> bool {
    *given == tau()
}
fn yes() -> bool {
    true
}
fn is_yes(given: &bool) -> bool {
    *given
}

/// What a unit of the activation `relu` says at most.
pub const RELU_CUT: f64 = learning::training::network::CUT;

/// No hazard of an interval is larger.
pub const MOST_HAZARD: f64 = learning::training::loss::MOST_HAZARD;

/// Without noise gradients as long as this are not cut: no patient's of a sane model is longer.
const LONG: f64 = 100.0;

impl Train {
    /// The features, in the order of the batch.
    pub(super) fn features(&self) -> Vec<String> {
        let split = self.holdout.as_ref().and_then(|h| h.feature.as_ref());
        let outcome = std::iter::once(&self.outcome).chain(&self.event);
        self.formula.features.iter().chain(outcome).chain(split).cloned().collect()
    }

    /// Whether no noise protects it.
    pub(super) fn is_for_simulations(&self) -> bool {
        self.strategy.local.as_ref().is_some_and(|l| l.batch.is_some())
    }

    /// Without noise: no gradient is cut. Patients are sampled as ever: the mean is unbiased.
    pub(super) fn exact(&mut self) {
        self.strategy.clip = self.strategy.clip.max(LONG);
        self.strategy.clip_quantile = None;
    }
}
