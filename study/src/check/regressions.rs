//! What is wrong with a regression: its outcome, its formula, how it is fitted.

use super::analyses::{Place, yes_no};
use crate::analysis::What;
use crate::feature::Shape;

/// Says what is wrong with an analysis that is a regression.
pub(super) fn check(place: &mut Place<'_, '_>, what: &What) {
    let Some(r) = what.regression() else { return };
    if r.clip.is_some_and(|c| !(c >= 1.0 && c.is_finite())) {
        place.say("clip", "clip must be at least 1", "1.5 to 2 is usual");
    }
    if r.steps.is_some_and(|s| s == 0 || s > 100) {
        place.say("steps", "steps must be 1 to 100", "3 or 4 are usual");
    }
    if r.formula.features.iter().any(|f| f == r.outcome) {
        place.say("features", "the outcome is also a feature", "leave it out");
    }
    let remedy = "use a feature of the kind has, or a measurement with above = ...";
    match what {
        What::Logistic { .. } => place.wants("outcome", r.outcome, yes_no, "no or yes", remedy),
        What::Cox { .. } => place.wants("event", r.outcome, yes_no, "no or yes", remedy),
        What::NegativeBinomial { .. } => {
            let most = learning::negative_binomial::MOST;
            if let Some(Shape::Real { upper, .. }) = place.shape(r.outcome)
                && !(1.0..=most).contains(&upper)
            {
                let message = format!("the counts' upper bound, {upper}, does not lie between 1 and {most}");
                place.say("outcome", message, "give the feature bounds = [0, 50] or what a patient may have at most");
            }
        }
        _ => {}
    }
}
