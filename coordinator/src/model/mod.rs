//! Trained models as files for others.
//!
//! * `onnx`, `messages`: the same model for other software, from features in their own units to what is foretold.
//! * `boosted`: trees as a graph.
//! * `card`: for people: data, sites, privacy, how good it is, provenance.
//!
//! The file itself, and what it says of patients, is [`study::model`], which hospitals use too.

mod boosted;
pub mod card;
mod messages;
pub mod onnx;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use study::analysis::What;

pub use study::model::{Asked, Input, ModelError, Origin, Trained, safetensors};

use crate::results::{Provenance, Results};

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

/// The models of a study's results.
///
/// # Errors
/// Parameters do not fit the plan.
pub fn of_results(plan: &study::Plan, results: &Results, provenance: &Provenance) -> Result<Vec<Trained>, ModelError> {
    let mut out = Vec::new();
    for analysis in results.analyses.iter().filter(|a| !a.parameters.is_empty()) {
        let Some(planned) = plan.study.analysis.iter().find(|a| a.label() == analysis.name) else { continue };
        let (asked, features, outcome) = match &planned.what {
            What::Train(t) => (Asked::Train(t.clone()), &t.formula.features, &t.outcome),
            What::Trees(t) => (Asked::Trees(t.clone()), &t.features, &t.outcome),
            _ => continue,
        };
        let wrong = || ModelError::Parameters(analysis.name.clone());
        let rounds = provenance.rounds.iter().filter(|r| r.analysis == analysis.name);
        let sites = rounds.clone().flat_map(|r| &r.releases).map(|r| r.site.clone());
        let sites: std::collections::BTreeSet<String> = sites.collect();
        let study = study::Study { analysis: vec![planned.clone()], ..plan.study.clone() };
        let trained = Trained {
            format: 2,
            inputs: features.iter().map(|f| Input::of(&plan.study, f)).collect(),
            outcome: Input::of(&plan.study, outcome),
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
            plan: Some(Box::new(study)),
            tuned: None,
            parameters: decode(&analysis.parameters).ok_or_else(wrong)?,
        };
        trained.fits().map_err(|_| wrong())?;
        out.push(trained);
    }
    Ok(out)
}
