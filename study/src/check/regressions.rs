//! What is wrong with a regression: its outcome, its formula, how it is fitted.

use super::analyses::{Place, yes_no};
use crate::analysis::{Beside, Formula, What};
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
    formula(place, r.formula);
    beside(place, &r.beside);
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

pub(super) fn number(shape: &Shape) -> bool {
    matches!(shape, Shape::Real { .. })
}

/// Says what is wrong with a formula's splines; interactions are said by the compiler.
pub(super) fn formula(place: &mut Place<'_, '_>, formula: &Formula) {
    for (i, spline) in formula.splines.iter().enumerate() {
        let name = &spline.feature;
        if !formula.features.contains(name) {
            place.say(
                "splines",
                format!("the spline names '{name}', which is no feature of the model"),
                "list it there too",
            );
        }
        if formula.splines.iter().take(i).any(|s| s.feature == *name) {
            place.say("splines", format!("'{name}' has two splines"), "leave one");
        }
        let bent = "a number with bounds, and a spline needs one";
        place.wants("splines", name, number, bent, "give the feature bounds, or leave the spline out");
        if let Some(Shape::Real { lower, upper }) = place.shape(name)
            && learning::spline::Basis::new(lower, upper, &spline.knots).is_none()
        {
            let message = format!("the knots of '{name}' do not ascend within its bounds, {lower} to {upper}");
            place.say(
                "splines",
                message,
                "give three to ten, such as the 10th, 50th and 90th percentiles known from elsewhere",
            );
        }
    }
}

/// Says what is wrong with an offset or weights.
fn beside(place: &mut Place<'_, '_>, beside: &Beside) {
    if let Some(offset) = &beside.offset {
        place.wants("offset", offset, number, "a number with bounds", "give the feature bounds = [low, high]");
    }
    let Some(weights) = &beside.weights else { return };
    place.wants("weights", weights, number, "a number with bounds", "give the feature bounds = [0, high]");
    if let Some(Shape::Real { lower, .. }) = place.shape(weights)
        && lower < 0.0
    {
        let remedy = "give bounds = [0, high]; the noise grows with high";
        place.say("weights", format!("the weights '{weights}' have a lower bound below 0"), remedy);
    }
}
