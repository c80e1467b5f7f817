//! Going on with a model at one hospital, for that hospital alone.

pub use learning::training::tune::Tuning;
use learning::training::tune::{judged, tune};
use proto::SiteId;
use summaries::{Estimate, PatientBatch, Reporting};

use super::{Asked, ModelError, Trained, Tuned};
use crate::analysis::What;
use crate::analysis::training::Holdout;
use crate::spec::Study;

/// The share of a hospital's patients by which it judges, where the study held nobody out.
const TEST: f64 = 0.2;

/// A model that a hospital has gone on with.
#[derive(Clone, Debug)]
pub struct OfSite {
    /// The model; it stays there.
    pub model: Trained,
    /// Patients that it was trained on.
    pub patients: usize,
    /// Their mean loss before and after.
    pub loss: [f64; 2],
    /// What the released model and this one say of the hospital's own patients who are held out.
    pub judged: [Estimate; 2],
}

impl Trained {
    /// The study whose one analysis reads what tuning needs: features, outcome, and who is held out; and whether the released model has not seen
    /// those either.
    ///
    /// # Errors
    /// The file does not say what its features are, or it is of trees.
    pub fn to_tune(&self) -> Result<(Study, bool), ModelError> {
        let mut study = self.study()?.clone();
        let Some(What::Train(t)) = study.analysis.first_mut().map(|a| &mut a.what) else {
            let why = "trees are not tuned: their leaves would be of few patients; grow them anew with a study of this hospital";
            return Err(ModelError::Use(why.to_owned()));
        };
        let unseen = t.holdout.as_ref().is_some_and(|h| h.test.is_some() || h.feature.is_some());
        if !unseen {
            let validate = t.holdout.as_ref().and_then(|h| h.validate);
            t.holdout = Some(Holdout { test: Some(TEST), validate, feature: None, thresholds: vec![0.5] });
        }
        Ok((study, unseen))
    }

    /// Goes on with the model over a hospital's patients, as [`Trained::to_tune`] reads them.
    ///
    /// # Errors
    /// The batch does not fit, nobody is trained on, or a setting is out of range.
    pub fn tuned(&self, site: &SiteId, patients: &PatientBatch, how: Tuning) -> Result<OfSite, ModelError> {
        let fits = how.steps > 0 && how.rate > 0.0 && how.rate.is_finite() && how.pull >= 0.0 && how.pull.is_finite();
        if !fits {
            return Err(ModelError::Use("steps and rate must be above 0, and pull 0 or more".to_owned()));
        }
        let (study, _) = self.to_tune()?;
        let Some(What::Train(t)) = study.analysis.first().map(|a| &a.what) else {
            return Err(ModelError::Use("it is no network".to_owned()));
        };
        let network = crate::compile::training::model(&study, t).map_err(ModelError::Use)?;
        let wrong = |e: summaries::AccumulateError| ModelError::Use(e.to_string());
        let done = tune(&network, &self.parameters, patients, how).map_err(wrong)?;
        let names = study.analysis.first().map(|a| a.what.features()).unwrap_or_default();
        let levels = names.iter().map(|n| super::Input::of(&study, n).levels).collect();
        let reporting = Reporting { confidence: study.report.confidence, min_cell: 0, names, levels };
        let thresholds = t.holdout.as_ref().map(|h| h.thresholds.clone()).unwrap_or_default();
        let of = |p: &[f64]| judged(&network, p, patients, (&thresholds, &reporting)).map_err(wrong);
        let judged = [of(&self.parameters)?, of(&done.parameters)?];
        let tuned = Tuned { site: site.to_string(), steps: how.steps, from: self.parameters_hash() };
        let model = Trained { parameters: done.parameters, tuned: Some(tuned), ..self.clone() };
        let Asked::Train(_) = &model.asked else { return Err(ModelError::Use("it is no network".to_owned())) };
        Ok(OfSite { model, patients: done.patients, loss: done.loss, judged })
    }
}
