//! A trained model as a file that stands alone: parameters, the preparation of features, and where it comes from.
//!
//! * `safetensors`: the file itself; what is not a tensor is in its metadata, as JSON.
//! * `boosted`: trees in the features' own units, and as a graph.
//! * `onnx`, `messages`: the same model for other software, from features in their own units to what is foretold.
//! * `card`: for people: data, sites, privacy, how good it is, provenance.

mod boosted;
mod card;
mod messages;
pub mod onnx;
pub mod safetensors;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use study::analysis::What;
use study::analysis::training::{ActivationWord, FamilyWord, ScaleWord, Train};
use study::analysis::trees::{TreeFamily, Trees};
use study::feature::Shape;
use summaries::Row;

use crate::results::{Provenance, Results};

/// A feature, and how it becomes numbers between −1 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its name in the study.
    pub name: String,
    /// The bounds of a number: it is clipped to them, and they become −1 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f64; 2]>,
    /// The levels of a category; each but the first becomes an indicator. A model's input is the place of the level, from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
}

impl Input {
    /// How many numbers it becomes.
    pub fn columns(&self) -> usize {
        if self.bounds.is_some() { 1 } else { self.levels.len().saturating_sub(1) }
    }
}

/// Where a model comes from, and what was told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The study and its version.
    pub study: String,
    /// Its version.
    pub version: String,
    /// The analysis.
    pub analysis: String,
    /// The cohort.
    pub cohort: String,
    /// The hash of the plan that was signed.
    pub plan_hash: String,
    /// Who signed it.
    pub signer: String,
    /// The federation.
    pub federation: String,
    /// The sites whose sums are in it.
    pub sites: Vec<String>,
    /// Rounds.
    pub rounds: u32,
    /// The hashes of the summed releases, round by round.
    pub merged: Vec<String>,
    /// ε of the training alone, of the study, and δ.
    pub epsilon: [f64; 2],
    /// δ.
    pub delta: f64,
    /// Who is protected.
    pub unit: String,
    /// How sums met: `local` or `secure`.
    pub aggregation: String,
    /// Whether there was noise.
    pub private: bool,
    /// What was told of the training and of patients held out.
    pub metrics: Vec<Row>,
}

/// What was asked of the sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A network in clipped steps.
    Train(Box<Train>),
    /// Boosted trees.
    Trees(Box<Trees>),
}

/// A trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The form of this description.
    pub format: u32,
    /// The features, in order.
    pub inputs: Vec<Input>,
    /// The outcome.
    pub outcome: Input,
    /// Whether it has interactions or splines, which stand in `asked`.
    pub bent: bool,
    /// What was asked.
    #[serde(flatten)]
    pub asked: Asked,
    /// Where it comes from.
    pub origin: Origin,
    /// The parameters; in the file they are tensors.
    #[serde(skip)]
    pub parameters: Vec<f64>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The parameters do not fit the plan.
    #[error("the parameters of '{0}' are not those of its model")]
    Parameters(String),
    /// The file is none.
    #[error("this is no model of InSitu: {0}")]
    File(String),
    /// It can't be put so.
    #[error("the model can't be exported: {0}")]
    Export(String),
    /// No JSON.
    #[error("the model can't be put as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One layer: its weights, units × inputs, row by row, and its biases.
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) weights: Vec<f64>,
    pub(crate) biases: Vec<f64>,
}

/// Parameters as text: their bytes, little end first, in base64, so that no bit is lost.
pub fn encode(parameters: &[f64]) -> String {
    STANDARD.encode(parameters.iter().flat_map(|p| p.to_le_bytes()).collect::<Vec<u8>>())
}

/// The same back; `None` where it is none.
pub fn decode(text: &str) -> Option<Vec<f64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().map(|b| f64::from_le_bytes(*b)).collect())
}

fn input(plan: &study::Plan, name: &str) -> Input {
    let (bounds, levels) = match study::compile::shape(&plan.study, name) {
        Some(Shape::Real { lower, upper }) => (Some([lower, upper]), Vec::new()),
        Some(Shape::Level { levels }) => (None, levels),
        _ => (None, Vec::new()),
    };
    Input { name: name.to_owned(), bounds, levels }
}

/// The models of a study's results.
///
/// # Errors
/// Parameters do not fit the plan.
pub fn of_results(plan: &study::Plan, results: &Results, provenance: &Provenance) -> Result<Vec<Trained>, ModelError> {
    let mut out = Vec::new();
    for analysis in results.analyses.iter().filter(|a| !a.parameters.is_empty()) {
        let planned = plan.study.analysis.iter().find(|a| a.label() == analysis.name);
        let (asked, features, outcome) = match planned.map(|a| &a.what) {
            Some(What::Train(t)) => (Asked::Train(t.clone()), &t.formula.features, &t.outcome),
            Some(What::Trees(t)) => (Asked::Trees(t.clone()), &t.features, &t.outcome),
            _ => continue,
        };
        let wrong = || ModelError::Parameters(analysis.name.clone());
        let rounds = provenance.rounds.iter().filter(|r| r.analysis == analysis.name);
        let sites = rounds.clone().flat_map(|r| &r.releases).map(|r| r.site.clone());
        let sites: std::collections::BTreeSet<String> = sites.collect();
        let trained = Trained {
            format: 1,
            inputs: features.iter().map(|f| input(plan, f)).collect(),
            outcome: input(plan, outcome),
            bent: match &asked {
                Asked::Train(t) => !(t.formula.interactions.is_empty() && t.formula.splines.is_empty()),
                Asked::Trees(_) => false,
            },
            asked,
            origin: Origin {
                study: results.study.clone(),
                version: results.version.clone(),
                analysis: analysis.name.clone(),
                cohort: analysis.cohort.clone(),
                plan_hash: provenance.plan_hash.clone(),
                signer: provenance.signer.clone(),
                federation: provenance.federation.clone(),
                sites: sites.into_iter().collect(),
                rounds: analysis.rounds,
                merged: rounds.map(|r| r.merged_hash.clone()).collect(),
                epsilon: [analysis.epsilon, provenance.epsilon].map(|e| if e.is_finite() { e } else { -1.0 }),
                delta: provenance.delta,
                unit: provenance.unit.clone(),
                aggregation: provenance.aggregation.clone(),
                private: provenance.private,
                metrics: analysis
                    .estimate
                    .rows
                    .iter()
                    .filter(|r| r.term == "training" || r.term.starts_with("test"))
                    .cloned()
                    .collect(),
            },
            parameters: decode(&analysis.parameters).ok_or_else(wrong)?,
        };
        trained.fits().map_err(|_| wrong())?;
        out.push(trained);
    }
    Ok(out)
}

impl Trained {
    /// What the outcome is.
    pub fn family(&self) -> FamilyWord {
        match &self.asked {
            Asked::Train(t) => t.model.family,
            Asked::Trees(t) => match t.family {
                TreeFamily::Linear => FamilyWord::Linear,
                TreeFamily::Logistic => FamilyWord::Logistic,
                TreeFamily::Poisson => FamilyWord::Poisson,
                TreeFamily::Hazards => FamilyWord::Hazards,
            },
        }
    }

    /// How many numbers come out of its last layer.
    pub(crate) fn outputs(&self) -> usize {
        match (&self.asked, self.family()) {
            (_, FamilyWord::Multinomial) => self.outcome.levels.len(),
            (Asked::Train(t), FamilyWord::Hazards) => t.model.intervals.unwrap_or(1) as usize,
            _ => 1,
        }
    }

    /// How many numbers it foretells.
    pub(crate) fn foretold(&self) -> usize {
        if self.family() == FamilyWord::Multinomial { self.outputs() } else { 1 }
    }

    /// Whether hidden units are hyperbolic tangents.
    pub(crate) fn is_tanh(&self) -> bool {
        matches!(&self.asked, Asked::Train(t) if t.model.activation == ActivationWord::Tanh)
    }

    /// Units of hidden layers.
    pub(crate) fn hidden(&self) -> Vec<usize> {
        let Asked::Train(t) = &self.asked else { return Vec::new() };
        t.model.hidden.iter().map(|n| *n as usize).collect()
    }

    /// What numbers are divided by.
    pub(crate) fn scale(&self) -> ScaleWord {
        if let Asked::Train(t) = &self.asked { t.prepare.scale } else { ScaleWord::None }
    }

    /// Whether the parameters are as many as the model has.
    pub(crate) fn fits(&self) -> Result<(), ModelError> {
        match &self.asked {
            Asked::Train(_) => self.layers().map(|_| ()),
            Asked::Trees(t) => self.boosted(t).map(|_| ()),
        }
    }

    /// The sizes of layers, from the columns that come in to what comes out. A model with interactions or splines has more columns than its
    /// features, as many as its parameters say.
    fn sizes(&self) -> Vec<usize> {
        let behind: Vec<usize> = self.hidden().into_iter().chain([self.outputs()]).collect();
        let later: usize = behind.windows(2).map(|w| if let [a, b] = w { (a + 1) * b } else { 0 }).sum();
        let first = behind.first().copied().unwrap_or(1).max(1);
        let own: usize = self.inputs.iter().map(Input::columns).sum();
        let columns =
            if self.bent { (self.parameters.len().saturating_sub(later) / first).saturating_sub(1) } else { own };
        std::iter::once(columns).chain(behind).collect()
    }

    /// The layers.
    ///
    /// # Errors
    /// The parameters are not as many as the layers have.
    pub(crate) fn layers(&self) -> Result<Vec<Layer>, ModelError> {
        let sizes = self.sizes();
        let mut rest = self.parameters.as_slice();
        let mut out = Vec::with_capacity(sizes.len());
        for pair in sizes.windows(2) {
            let [inputs, outputs] = *pair else { continue };
            let (mut weights, mut biases) = (Vec::with_capacity(inputs * outputs), Vec::with_capacity(outputs));
            for _ in 0..outputs {
                let own = rest.split_at_checked(inputs + 1).and_then(|(own, more)| {
                    rest = more;
                    own.split_first()
                });
                let (bias, own) = own.ok_or_else(|| ModelError::Parameters(self.origin.analysis.clone()))?;
                biases.push(*bias);
                weights.extend(own);
            }
            out.push(Layer { inputs, outputs, weights, biases });
        }
        if rest.is_empty() { Ok(out) } else { Err(ModelError::Parameters(self.origin.analysis.clone())) }
    }

    /// The card, as Markdown.
    pub fn card(&self) -> String {
        card::text(self)
    }
}
