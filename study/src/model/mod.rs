//! A trained model as a file that stands alone: parameters, how features become numbers, the study that says what a feature is, and where it comes
//! from. The coordinator's analyst writes it, and a hospital uses it.
//!
//! * `safetensors`: the file itself; what is not a tensor is in its metadata, as JSON.
//! * `pieces`: how features become inputs, for other software.
//! * `foretell`: what the model says of patients' features. `tune`: how a hospital goes on with it for itself.

pub mod foretell;
pub mod pieces;
pub mod safetensors;
pub mod tune;

use learning::training::Model;
use learning::trees::Forest;
use proto::Hash;
use serde::{Deserialize, Serialize};
use summaries::Row;

use crate::analysis::What;
use crate::analysis::training::{ActivationWord, FamilyWord, ScaleWord, Train};
use crate::analysis::trees::{TreeFamily, Trees};
use crate::compile::trees::{Grown, grown};
use crate::feature::Shape;
use crate::spec::Study;

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
    /// Of a feature of a study.
    pub fn of(study: &Study, name: &str) -> Input {
        let (bounds, levels) = match crate::compile::shape(study, name) {
            Some(Shape::Real { lower, upper }) => (Some([lower, upper]), Vec::new()),
            Some(Shape::Level { levels }) => (None, levels),
            _ => (None, Vec::new()),
        };
        Input { name: name.to_owned(), bounds, levels }
    }

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

/// What a site made of a model with its own patients, without noise: the file stays there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The site.
    pub site: String,
    /// Steps over its patients.
    pub steps: u32,
    /// The hash of the released parameters.
    pub from: Hash,
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
    /// The study, with this analysis alone: what features and the cohort are. Files of format 1 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Study>>,
    /// Where a site has gone on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
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
    /// It can't be used here.
    #[error("the model can't be used: {0}")]
    Use(String),
    /// No JSON.
    #[error("the model can't be put as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One layer: its weights, units × inputs, row by row, and its biases.
pub struct Layer {
    /// Numbers that come in.
    pub inputs: usize,
    /// Units.
    pub outputs: usize,
    /// Weights.
    pub weights: Vec<f64>,
    /// Biases.
    pub biases: Vec<f64>,
}

impl Trained {
    /// What the outcome is.
    pub fn family(&self) -> FamilyWord {
        match &self.asked {
            Asked::Train(t) => t.model.family,
            Asked::Trees(t) => match t.family {
                TreeFamily::Linear => FamilyWord::Linear,
                TreeFamily::Logistic => FamilyWord::Logistic,
                TreeFamily::Multinomial => FamilyWord::Multinomial,
                TreeFamily::Poisson => FamilyWord::Poisson,
                TreeFamily::Hazards => FamilyWord::Hazards,
            },
        }
    }

    /// How many numbers come out of its last layer.
    pub fn outputs(&self) -> usize {
        match (&self.asked, self.family()) {
            (_, FamilyWord::Multinomial) => self.outcome.levels.len(),
            (Asked::Train(t), FamilyWord::Hazards) => t.model.intervals.unwrap_or(1) as usize,
            _ => 1,
        }
    }

    /// How many numbers it foretells.
    pub fn foretold(&self) -> usize {
        if self.family() == FamilyWord::Multinomial { self.outputs() } else { 1 }
    }

    /// Whether hidden units are hyperbolic tangents.
    pub fn is_tanh(&self) -> bool {
        matches!(&self.asked, Asked::Train(t) if t.model.activation == ActivationWord::Tanh)
    }

    /// Units of hidden layers.
    pub fn hidden(&self) -> Vec<usize> {
        let Asked::Train(t) = &self.asked else { return Vec::new() };
        t.model.hidden.iter().map(|n| *n as usize).collect()
    }

    /// What numbers are divided by.
    pub fn scale(&self) -> ScaleWord {
        if let Asked::Train(t) = &self.asked { t.prepare.scale } else { ScaleWord::None }
    }

    /// The hash of the parameters, as their bytes, little end first.
    pub fn parameters_hash(&self) -> Hash {
        Hash::of(&self.parameters.iter().flat_map(|p| p.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// The study that says what features and the cohort are.
    ///
    /// # Errors
    /// The file has none, or one that asks for something else.
    pub fn study(&self) -> Result<&Study, ModelError> {
        let none = "the file does not say what its features are; it was written by an older version: fetch the study's results again";
        let study = self.plan.as_deref().ok_or_else(|| ModelError::Use(none.to_owned()))?;
        let own = match (study.analysis.first().map(|a| &a.what), &self.asked) {
            (Some(What::Train(a)), Asked::Train(b)) => a == b,
            (Some(What::Trees(a)), Asked::Trees(b)) => a == b,
            _ => false,
        };
        if own { Ok(study) } else { Err(ModelError::Use("its study asks for another model".to_owned())) }
    }

    /// The network, whose features are prepared as in training.
    ///
    /// # Errors
    /// The file does not say what its features are, or it is of trees.
    pub fn network(&self) -> Result<Model, ModelError> {
        let study = self.study()?;
        let Asked::Train(t) = &self.asked else { return Err(ModelError::Use("it is of trees".to_owned())) };
        crate::compile::training::model(study, t).map_err(ModelError::Use)
    }

    /// The features and the loss of trees.
    ///
    /// # Errors
    /// The file does not say what its features are, or it is no trees.
    pub fn forest(&self) -> Result<Forest, ModelError> {
        let study = self.study()?;
        let Asked::Trees(t) = &self.asked else { return Err(ModelError::Use("it is no trees".to_owned())) };
        crate::compile::trees::forest(study, t).map_err(ModelError::Use)
    }

    /// Whether the parameters are as many as the model has.
    ///
    /// # Errors
    /// They are not.
    pub fn fits(&self) -> Result<(), ModelError> {
        match &self.asked {
            Asked::Train(_) => self.layers().map(|_| ()),
            // A file of format 1 does not say what they ask for.
            Asked::Trees(_) if self.plan.is_none() => Ok(()),
            Asked::Trees(t) => self.boosted(t).map(|_| ()),
        }
    }

    /// Numbers in front of the layers' that say how features are prepared: of each column its mean and 1 over its standard deviation.
    pub fn frozen_numbers(&self) -> usize {
        self.network().map_or(0, |n| n.frozen_numbers())
    }

    /// The sizes of layers, from the columns that come in to what comes out. Of a file that does not say what its features are, a model with
    /// interactions or splines has as many columns as its parameters say.
    fn sizes(&self) -> Vec<usize> {
        let behind: Vec<usize> = self.hidden().into_iter().chain([self.outputs()]).collect();
        let later: usize = behind.windows(2).map(|w| if let [a, b] = w { (a + 1) * b } else { 0 }).sum();
        let first = behind.first().copied().unwrap_or(1).max(1);
        let columns = match self.network() {
            Ok(network) => network.network().inputs(),
            Err(_) if self.bent => (self.parameters.len().saturating_sub(later) / first).saturating_sub(1),
            Err(_) => self.inputs.iter().map(Input::columns).sum(),
        };
        std::iter::once(columns).chain(behind).collect()
    }

    /// The layers.
    ///
    /// # Errors
    /// The parameters are not as many as the layers have.
    pub fn layers(&self) -> Result<Vec<Layer>, ModelError> {
        let sizes = self.sizes();
        let mut rest = self.parameters.get(self.frozen_numbers()..).unwrap_or_default();
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

    /// The trees of each output, in the features' own units.
    ///
    /// # Errors
    /// The parameters are none, or the file does not say what its features are.
    pub fn boosted(&self, asked: &Trees) -> Result<Grown, ModelError> {
        grown(asked, &self.forest()?, &self.parameters)
            .ok_or_else(|| ModelError::Parameters(self.origin.analysis.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = "id = \"a\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
        [cohorts.target]\nentry = { table = \"patient\" }\n[features.x]\nkind = \"measurement\"\ncode = \"loinc:8480-6\"\nunit = \"mm[Hg]\"\n\
        bounds = [80, 200]\n[features.sex]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n[privacy]\nepsilon = 0.8\n[[analysis]]\nkind = \"train\"\n\
        outcome = \"sex\"\nfeatures = [\"x\"]\n[analysis.model]\nfamily = \"logistic\"\n[analysis.prepare]\nscale = \"moments\"\n\
        [analysis.strategy]\nrounds = 4\nlearning_rate = 1\nclip = 1\n";

    fn trained(text: &str, parameters: Vec<f64>) -> Trained {
        let study: Study = toml::from_str(text).unwrap();
        let asked = match &study.analysis[0].what {
            What::Train(t) => Asked::Train(t.clone()),
            What::Trees(t) => Asked::Trees(t.clone()),
            _ => panic!("neither"),
        };
        let none = String::new;
        let origin = Origin {
            study: none(),
            version: none(),
            analysis: "a".into(),
            cohort: "target".into(),
            plan_hash: none(),
            signer: none(),
            federation: none(),
            sites: Vec::new(),
            rounds: 4,
            merged: Vec::new(),
            epsilon: [0.8; 2],
            delta: 1e-6,
            unit: none(),
            aggregation: none(),
            private: true,
            metrics: Vec::new(),
        };
        let (inputs, outcome) = (vec![Input::of(&study, "x")], Input::of(&study, "sex"));
        let plan = Some(Box::new(study));
        Trained { format: 2, inputs, outcome, bent: false, asked, origin, plan, tuned: None, parameters }
    }

    #[test]
    fn a_file_comes_back_and_says_the_same() {
        // Mean and 1 over the standard deviation, then bias and weight.
        let model = trained(STUDY, vec![0.25, 4.0, -0.5, 2.0]);
        let read = safetensors::read(&safetensors::write(&model).unwrap()).unwrap();
        assert_eq!(read, model);
        let batch = summaries::PatientBatch::new(2, vec![summaries::Column::Real(vec![140.0, f64::NAN])]).unwrap();
        let told = read.foretell(&batch).unwrap();
        // 140 is the middle: (0 − 0.25) · 4 · 2 − 0.5.
        let wanted = 1.0 / (1.0 + 2.5f64.exp());
        assert!((told[0].as_ref().unwrap()[0] - wanted).abs() < 1e-12 && told[1].is_none());
        assert!(trained(STUDY, vec![0.25, 4.0, -0.5]).fits().is_err());
        assert_ne!(model.parameters_hash(), trained(STUDY, vec![0.25, 4.0, -0.5, 2.1]).parameters_hash());
    }

    /// A file of an older version is read, and not used: it does not say what its features are. Nor is one whose study asks for something else.
    #[test]
    fn an_older_file_is_read_and_no_more() {
        let plain = STUDY.replace("[analysis.prepare]\nscale = \"moments\"\n", "");
        let old = Trained { format: 1, plan: None, ..trained(&plain, vec![-0.5, 2.0]) };
        let read = safetensors::read(&safetensors::write(&old).unwrap()).unwrap();
        assert_eq!(read, old);
        let none = summaries::PatientBatch::new(0, vec![summaries::Column::Real(Vec::new())]).unwrap();
        assert!(read.foretell(&none).unwrap_err().to_string().contains("fetch the study's results again"));
        let trees =
            "kind = \"trees\"\noutcome = \"sex\"\nfeatures = [\"x\"]\nfamily = \"logistic\"\ntrees = 1\ndepth = 1\n";
        let trees = format!("{}{trees}", STUDY.split("kind = \"train\"").next().unwrap());
        let grown = vec![0.0, 1.0, 2.0, 0.0, 6.0, 0.0, 1.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 1.0];
        let old = Trained { format: 1, plan: None, ..trained(&trees, grown.clone()) };
        assert_eq!(safetensors::read(&safetensors::write(&old).unwrap()).unwrap(), old);
        assert!(trained(&trees, grown).fits().is_ok());
        let other = Trained { plan: trained(&trees, Vec::new()).plan, ..trained(STUDY, vec![0.25, 4.0, -0.5, 2.0]) };
        assert!(other.foretell(&none).unwrap_err().to_string().contains("asks for another model"));
    }
}
