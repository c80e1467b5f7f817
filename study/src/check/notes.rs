//! What is no mistake but should be known before a study is sent.

use super::Problem;
use crate::analysis::{Analysis, What};
use crate::compile;
use crate::feature::{Feature, Shape};
use crate::spec::Study;

/// The notes of a study that has no problems.
pub fn notes(study: &Study) -> Vec<Problem> {
    let each = study.analysis.iter().enumerate();
    each.flat_map(|(i, a)| {
        let index = i.to_string();
        [of_one(study, a, &index), censored(study, a, &index), score(study, a, &index)].into_iter().flatten()
    })
    .collect()
}

/// The features of yes and no that an analysis takes for outcomes, with the setting.
fn outcomes(what: &What) -> Vec<(&'static str, &str)> {
    match what {
        What::Propensity { outcomes, .. } => outcomes.iter().map(|o| ("outcomes", o.as_str())).collect(),
        What::MantelHaenszel { outcome, .. } | What::Logistic { outcome, .. } => vec![("outcome", outcome)],
        What::Crosstab { by } => by.iter().map(|f| ("by", f.as_str())).collect(),
        _ => Vec::new(),
    }
}

/// Whether the end of a follow-up is taken for a yes or no, whoever was lost before.
fn censored(study: &Study, a: &Analysis, index: &str) -> Option<Problem> {
    let is_end = |f: &str| matches!(study.features.get(f), Some(Feature::FollowedBy { .. } | Feature::FirstOf { .. }));
    let (setting, name) = outcomes(&a.what).into_iter().find(|(_, f)| is_end(f))?;
    let message = format!(
        "whoever leaves before the horizon without '{name}' counts as without it: where groups are followed for different times, they \
         differ by that"
    );
    let remedy = "use survival, cox or rate; or a feature of the kind has in a cohort that is observed throughout its window \
                  (after_obs_days), without an exit";
    Some(Problem::at(&["analysis", index, setting], message, remedy))
}

/// Whether a score is of all hospitals as one.
fn score(study: &Study, a: &Analysis, index: &str) -> Option<Problem> {
    let What::Propensity { formula, .. } = &a.what else { return None };
    let named = formula.features.iter().any(|f| matches!(study.features.get(f), Some(Feature::Hospital { .. })));
    let message = "the score has one intercept for all hospitals: where they treat differently and their patients fare differently, that \
                   is taken for the treatment";
    let remedy = "add a feature of the kind hospital, whose levels name the sites, to features";
    (!named).then(|| Problem::at(&["analysis", index, "features"], message, remedy))
}

/// What a training that samples patients costs, and how much noise its steps have.
fn sampled(study: &Study, index: &str) -> Option<Problem> {
    let sampling = crate::budget::sampled(study).ok()?;
    let own = sampling.analyses().get(&index.parse().ok()?)?;
    let message = format!(
        "each patient is in each of {} steps with probability {}: a step has noise of {:.4} times what a patient moves its sum by, and \
         all rounds cost ε {:.3}, paid at once",
        own.steps(),
        own.rate(),
        own.multiplier(),
        own.epsilon().0
    );
    let remedy = "study plan says how many patients a step has then, and the noise of the mean gradient";
    Some(Problem::at(&["analysis", index, "strategy"], message, remedy))
}

fn of_one(study: &Study, a: &Analysis, index: &str) -> Option<Problem> {
    match &a.what {
        What::Gamma { outcome, .. } => {
            let Some(Shape::Real { lower, .. }) = compile::shape(study, outcome) else { return None };
            let message = format!("patients whose '{outcome}' is not above 0 are left out; how many is told");
            let remedy =
                "give it a lower bound above 0, or model whether it is above 0 by a logistic analysis of its own";
            (lower <= 0.0).then(|| Problem::at(&["analysis", index, "outcome"], message, remedy))
        }
        What::Prevalence { table, set, filter, lookback: None, .. } => {
            let entered = study.cohorts.get(&a.cohort).and_then(|c| c.entry.as_ref())?;
            let by_it = entered.table == *table && entered.set == *set && entered.filter == *filter;
            let message = format!(
                "the patients of '{}' enter by the event itself: from then on each has had it, and the prevalence is 1",
                a.cohort
            );
            let remedy = "take a cohort of all patients, entry = { table = \"patient\" }, or give a lookback";
            by_it.then(|| Problem::at(&["analysis", index, "cohort"], message, remedy))
        }
        What::Train(train) => {
            let message = "batches of local steps are protected by no noise: a site with noise refuses the study";
            let remedy = "leave batch out; it is for simulations without noise";
            let batch = train.strategy.local.as_ref().and_then(|l| l.batch);
            if let Some(sampled) = sampled(study, index) {
                return Some(sampled);
            }
            batch.map(|_| Problem::at(&["analysis", index, "strategy"], message, remedy))
        }
        _ => None,
    }
}
