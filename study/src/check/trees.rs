//! What is wrong with boosted trees: their outcome, their growth.

use learning::trees::{MOST_BINS, MOST_DEPTH, MOST_TREES};

use super::analyses::{Place, yes_no};
use super::{regressions, training};
use crate::analysis::What;
use crate::analysis::trees::{TreeFamily, Trees};
use crate::feature::Shape;

/// A round's histograms have no more numbers.
const MOST_LANES: usize = 4_000_000;
/// What a round's order may hold of trees.
const MOST_NUMBERS: usize = 1_500_000;

/// Says what is wrong with an analysis that grows trees.
pub(super) fn check(place: &mut Place<'_, '_>, what: &What) {
    let What::Trees(trees) = what else { return };
    if place.checker.study.stream.is_some() {
        place.say("kind", "a training can't be told by windows", "make a study of it that is told once");
    }
    features(place, trees);
    match trees.family {
        TreeFamily::Logistic => {
            let remedy = "use a feature of the kind has, or a measurement with above = ...";
            place.wants("outcome", &trees.outcome, yes_no, "no or yes", remedy);
        }
        TreeFamily::Multinomial => {
            let several = |s: &Shape| matches!(s, Shape::Level { levels } if (2..=100).contains(&levels.len()));
            place.wants("outcome", &trees.outcome, several, "a category of 2 to 100 levels", "give the feature levels");
        }
        TreeFamily::Linear | TreeFamily::Poisson | TreeFamily::Hazards => {
            let remedy = "give the feature bounds = [low, high]";
            place.wants("outcome", &trees.outcome, regressions::number, "a number with bounds", remedy);
        }
    }
    training::event(place, trees.family == TreeFamily::Hazards, trees.event.as_ref(), trees.horizon);
    training::within(place, &trees.outcome, trees.horizon);
    growth(place, trees);
    training::holdout(place, trees.holdout.as_ref());
    if trees.holdout.as_ref().is_some_and(|h| h.validate.is_some()) {
        place.say("holdout", "trees do not stop by a validation yet", "leave validate out");
    }
}

fn features(place: &mut Place<'_, '_>, t: &Trees) {
    if t.features.is_empty() {
        place.say("features", "trees need at least one feature", "name what they may ask for");
    }
    if t.features.contains(&t.outcome) {
        place.say("features", "the outcome is also a feature", "leave it out");
    }
    let asks = |s: &Shape| match s {
        Shape::Real { .. } => true,
        Shape::Level { levels } => levels.len() >= 2,
        _ => false,
    };
    for feature in &t.features {
        let remedy = "give it bounds, or two levels or more";
        place.wants("features", feature, asks, "a number with bounds or a category", remedy);
    }
}

fn growth(place: &mut Place<'_, '_>, t: &Trees) {
    if !(1..=MOST_TREES).contains(&t.trees) || !(1..=MOST_DEPTH).contains(&t.depth) {
        let remedy = "5 to 20 trees of a depth of 2 or 3 are usual under noise";
        place.say("trees", format!("trees must be 1 to {MOST_TREES}, and depth 1 to {MOST_DEPTH}"), remedy);
    }
    if !(2..=MOST_BINS as u32).contains(&t.bins) {
        place.say("bins", format!("bins must be 2 to {MOST_BINS}"), "8 to 32 are usual");
    }
    if !(t.learning_rate > 0.0 && t.learning_rate <= 1.0) {
        place.say("learning_rate", "learning_rate must be above 0 and at most 1", "0.1 to 0.5 is usual");
    }
    if !(0.0..=1e9).contains(&t.penalty) || !(0.0..=1e9).contains(&t.least) {
        place.say("penalty", "penalty and least must be 0 to a billion", "1 is usual");
    }
    if t.per_tree.is_some_and(|m| m == 0 || m as usize > t.features.len()) {
        place.say(
            "per_tree",
            "per_tree must be 1 or more, and no more than there are features",
            "leave it out for all",
        );
    }
    let width = |name: &String| match place.shape(name) {
        Some(Shape::Level { levels }) => levels.len() + 1,
        _ => t.bins as usize + 1,
    };
    let widths: usize = t.features.iter().map(width).sum();
    let outputs = match place.shape(&t.outcome) {
        Some(Shape::Level { levels }) if t.family == TreeFamily::Multinomial => levels.len(),
        _ => 1,
    };
    // A tree's places, each with a split's feature, bin, the side of whom it misses, and a leaf's value.
    let of_a_tree = (2usize << t.depth.min(MOST_DEPTH)).saturating_mul(4);
    if of_a_tree.saturating_mul(outputs).saturating_mul(t.trees as usize) > MOST_NUMBERS {
        place.say(
            "trees",
            format!("all trees together would have more than {MOST_NUMBERS} numbers"),
            "take fewer trees or less depth",
        );
    }
    if widths.saturating_mul(outputs << t.depth.min(MOST_DEPTH)) > MOST_LANES {
        place.say(
            "bins",
            format!("a round would have more than {MOST_LANES} numbers"),
            "take fewer bins or less depth",
        );
    }
}
