//! What is wrong with a training: its outcome, its model, its steps.

use super::analyses::{Place, yes_no};
use super::regressions;
use crate::analysis::What;
use crate::analysis::training::{DecayWord, FamilyWord, LearningRate, OptimiserWord, StrategySpec, Train};
use crate::feature::Shape;

/// More rounds would each have next to no charge.
const MOST_ROUNDS: u32 = 10_000;

/// Says what is wrong with an analysis that trains a model.
pub(super) fn check(place: &mut Place<'_, '_>, what: &What) {
    let What::Train(train) = what else { return };
    if place.checker.study.stream.is_some() {
        place.say("kind", "a training can't be told by windows", "make a study of it that is told once");
    }
    outcome(place, train);
    regressions::formula(place, &train.formula);
    let m = &train.model;
    if m.hidden.len() > 8 || m.hidden.iter().any(|n| *n == 0 || *n > 4096) {
        place.say("model", "hidden layers have 1 to 4096 units, and there are at most 8", "[16] is usual");
    }
    if !(0.0..=1e9).contains(&m.penalty) {
        place.say("model", "penalty must be 0 to a billion", "0 is none");
    }
    steps(place, &train.strategy);
    holdout(place, train);
}

fn holdout(place: &mut Place<'_, '_>, train: &Train) {
    let Some(h) = &train.holdout else { return };
    if train.strategy.patients.is_some() && h.feature.is_none() {
        let says = "patients must be those that are trained on, which nobody knows where some are held out by chance";
        place.say("strategy", says, "leave it out: they are counted");
    }
    if h.test.is_some() == h.feature.is_some() {
        place.say(
            "holdout",
            "who is held out is a share, or what a feature says",
            "write test = 0.2, or feature = \"split\"",
        );
    }
    if h.test.is_some_and(|t| !(t > 0.0 && t < 1.0)) {
        place.say("holdout", "test must lie between 0 and 1", "0.2 is usual");
    }
    if let Some(feature) = &h.feature {
        place.wants(
            "holdout",
            feature,
            yes_no,
            "a feature of two levels",
            "its first level is trained on, its second held out",
        );
    }
    if h.thresholds.len() > 20 || h.thresholds.iter().any(|t| !(*t > 0.0 && *t < 1.0)) {
        place.say("holdout", "thresholds must lie between 0 and 1, and be at most 20", "write them like [0.2, 0.5]");
    }
}

fn outcome(place: &mut Place<'_, '_>, train: &Train) {
    let outcome = &train.outcome;
    if train.formula.features.is_empty() {
        place.say("features", "a model needs at least one feature", "name what it is to learn from");
    }
    if train.formula.features.contains(outcome) {
        place.say("features", "the outcome is also a feature", "leave it out");
    }
    match train.model.family {
        FamilyWord::Logistic => {
            let remedy =
                "use a feature of the kind has, or a measurement with above = ...; or family = \"multinomial\"";
            place.wants("outcome", outcome, yes_no, "no or yes", remedy);
        }
        FamilyWord::Multinomial => {
            let several = |s: &Shape| matches!(s, Shape::Level { levels } if (2..=1000).contains(&levels.len()));
            place.wants("outcome", outcome, several, "a category of 2 to 1000 levels", "give the feature levels");
        }
        FamilyWord::Linear | FamilyWord::Poisson => {
            let remedy = "give the feature bounds = [low, high]";
            place.wants("outcome", outcome, regressions::number, "a number with bounds", remedy);
        }
    }
}

fn steps(place: &mut Place<'_, '_>, s: &StrategySpec) {
    if !(1..=MOST_ROUNDS).contains(&s.rounds) {
        let remedy = "5 to 20 are usual where patients are few, 50 to 200 where they are many";
        place.say("strategy", format!("rounds must be 1 to {MOST_ROUNDS}"), remedy);
    }
    if !(s.clip >= 1e-3 && s.clip <= 1e3) {
        place.say("strategy", "clip must be 0.001 to 1000", "0.3 to 1 is usual");
    }
    let start = match s.learning_rate {
        LearningRate::Fixed(rate) => rate,
        LearningRate::Falling(f) => {
            if f.decay == DecayWord::Step && f.every.is_none_or(|e| e == 0) {
                place.say("strategy", "a rate that falls by steps needs every = so many rounds", "write every = 10");
            }
            let needed = matches!(f.decay, DecayWord::Step | DecayWord::InverseTime);
            if needed && !f.factor.is_some_and(|x| x > 0.0 && x <= 1e6) {
                place.say("strategy", "this decay needs a factor above 0", "write factor = 0.5");
            }
            f.start
        }
    };
    if !(start > 0.0 && start <= 1e6) {
        let remedy =
            "1 to 10 is usual for sgd, as features are scaled and gradients are means; 0.01 to 0.1 for the others";
        place.say("strategy", "learning_rate must be above 0", remedy);
    }
    if !(0.0..1.0).contains(&s.momentum) {
        place.say("strategy", "momentum must be 0 or more and below 1", "0.9 is usual; 0 is none");
    }
    if s.momentum > 0.0 && s.optimiser != OptimiserWord::Sgd {
        place.say("strategy", "momentum is of sgd; the other optimisers have betas", "leave it out");
    }
    if s.betas.iter().any(|b| !(0.0..1.0).contains(b)) || !(s.tau > 0.0 && s.tau.is_finite()) {
        place.say("strategy", "betas must be below 1, and tau above 0", "leave them out: [0.9, 0.99] and 0.001");
    }
    if s.patients.is_some_and(|n| n == 0 || n > 1 << 40) {
        place.say("strategy", "patients must be 1 or more", "leave it out: they are counted");
    }
}
