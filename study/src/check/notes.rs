//! What is no mistake but should be known before a study is sent.

use super::Problem;
use crate::analysis::{Analysis, What};
use crate::compile;
use crate::feature::Shape;
use crate::spec::Study;

/// The notes of a study that has no problems.
pub fn notes(study: &Study) -> Vec<Problem> {
    study.analysis.iter().enumerate().flat_map(|(i, a)| of_one(study, a, &i.to_string())).collect()
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
            batch.map(|_| Problem::at(&["analysis", index, "strategy"], message, remedy))
        }
        _ => None,
    }
}
