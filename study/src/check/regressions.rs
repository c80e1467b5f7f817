//! What is wrong with a regression: its outcome, its formula, how it is fitted.

use super::analyses::{Place, yes_no};
use crate::analysis::{Beside, Formula, What};
use crate::feature::Shape;

/// A larger penalty would leave nothing of any effect.
const MOST_PENALTY: f64 = 1e9;

/// Says what is wrong with an analysis that is a regression.
pub(super) fn check(place: &mut Place<'_, '_>, what: &What) {
    let Some(r) = what.regression() else { return };
    if r.clip.is_some_and(|c| !(c >= 1.0 && c.is_finite())) {
        place.say("clip", "clip must be at least 1", "1.5 to 2 is usual");
    }
    if r.steps.is_some_and(|s| s == 0 || s > 100) {
        place.say("steps", "steps must be 1 to 100", "3 or 4 are usual");
    }
    if !(0.0..=MOST_PENALTY).contains(&r.penalty) {
        place.say(
            "penalty",
            "penalty must be 0 to a billion",
            "0 is none; 1 to 10 is usual where numbers are of the size of 1",
        );
    }
    if r.formula.features.iter().any(|f| f == r.outcome) {
        place.say("features", "the outcome is also a feature", "leave it out");
    }
    if r.formula.features.is_empty() {
        let remedy = "name one or more; for a rate alone use the kind rate, for a curve survival";
        place.say("features", "the model has no features", remedy);
    }
    formula(place, r.formula);
    beside(place, &r.beside);
    let remedy = "use a feature of the kind has, or a measurement with above = ...";
    match what {
        What::Logistic { .. } => place.wants("outcome", r.outcome, yes_no, "no or yes", remedy),
        What::Cox { .. } => place.wants("event", r.outcome, yes_no, "no or yes", remedy),
        What::PiecewiseExponential { time, cuts, horizon, cap, .. } => {
            place.wants("event", r.outcome, yes_no, "no or yes", remedy);
            let upper = if let Some(Shape::Real { upper, .. }) = place.shape(time) { Some(upper) } else { None };
            let last = horizon.or(upper).unwrap_or(f64::INFINITY);
            let ascend = cuts.windows(2).all(|w| matches!(w, [a, b] if a < b));
            if !ascend || cuts.iter().any(|c| !(*c > 0.0 && *c < last)) {
                let message = format!("the cuts do not ascend between 0 and the horizon, {last}");
                place.say("cuts", message, "give times such as [30, 90, 180]; the last interval ends with the horizon");
            }
            if !(*cap >= 1.0 && *cap <= 1000.0) {
                place.say(
                    "cap",
                    "cap must be 1 to 1000",
                    "3 is usual: a patient who is expected to have 3 events or more is rare",
                );
            }
        }
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
    for (i, [a, b]) in formula.interactions.iter().enumerate() {
        if formula.interactions.iter().take(i).any(|[c, d]| (a, b) == (c, d) || (a, b) == (d, c)) {
            place.say("interactions", format!("the interaction of '{a}' and '{b}' is named twice"), "leave one");
        }
    }
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
            let message = match spline.knots.len() {
                3..=10 => format!("the knots of '{name}' do not ascend within its bounds, {lower} to {upper}"),
                n => format!("the spline of '{name}' has {n} knots, and a spline has three to ten"),
            };
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

/// Says what is wrong with a propensity analysis.
pub(super) fn propensity(place: &mut Place<'_, '_>, what: &What) {
    let What::Propensity { treatment, formula: covariates, outcomes, cap, strata, steps, .. } = what else { return };
    let remedy = "use a feature of the kind has, or a measurement with above = ...";
    place.wants("treatment", treatment, yes_no, "no or yes", remedy);
    formula(place, covariates);
    if covariates.features.is_empty() || outcomes.is_empty() {
        place.say("", "there are no covariates, or no outcomes", "name features = [...] and outcomes = [...]");
    }
    for o in outcomes {
        let fits = |s: &Shape| number(s) || yes_no(s);
        place.wants(
            "outcomes",
            o,
            fits,
            "a number with bounds, nor no or yes",
            "give bounds, or use a feature of the kind has",
        );
    }
    if !(*cap >= 1.0 && *cap <= 1000.0) {
        place.say("cap", "cap must be 1 to 1000", "10 is usual; a smaller one means less noise and less balance");
    }
    if !(2..=50).contains(strata) {
        place.say("strata", "strata must be 2 to 50", "5 is usual");
    }
    if *steps == 0 || *steps > 100 {
        place.say("steps", "steps must be 1 to 100", "3 or 4 are usual");
    }
}
