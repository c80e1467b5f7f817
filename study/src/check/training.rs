//! What is wrong with a training: its outcome, its model, its steps.

use learning::training::gradient::BLOCK;

use super::analyses::{Place, yes_no};
use super::regressions;
use crate::analysis::training::{
    ControlWord, DecayWord, FamilyWord, Holdout, LearningRate, MergeWord, OptimiserWord, ScaleWord, StrategySpec, Train,
};
use crate::analysis::{Analysis, What};
use crate::feature::Shape;
use crate::spec::Aggregation;

/// No smaller noise is taken, over how far one patient moves a step's sum.
pub(crate) const LEAST_MULTIPLIER: f64 = 0.5;

/// Analyses of a study that may sample.
const MOST_SAMPLED: usize = 4;

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
    local(place, train);
    robust(place, &train.strategy);
    sampling(place, &train.strategy);
    accumulate(place, &train.strategy);
    stop(place, train);
    if train.prepare.share.is_some_and(|s| !(0.001..=0.5).contains(&s)) {
        place.say("prepare", "share must be 0.001 to 0.5", "0.1 is usual");
    }
    if train.prepare.scale == ScaleWord::None
        && !(train.formula.interactions.is_empty() && train.formula.splines.is_empty())
    {
        place.say("prepare", "splines and interactions have no unit of their own", "leave scale out: they are scaled");
    }
    if train.strategy.patients.is_some() && train.holdout.as_ref().is_some_and(|h| h.feature.is_none()) {
        let says = "patients must be those that are trained on, which nobody knows where some are held out by chance";
        place.say("strategy", says, "leave it out: they are counted");
    }
    holdout(place, train.holdout.as_ref());
}

/// Who is held out.
pub(super) fn holdout(place: &mut Place<'_, '_>, given: Option<&Holdout>) {
    let Some(h) = given else { return };
    if (h.test.is_some() || h.validate.is_some()) == h.feature.is_some() {
        place.say(
            "holdout",
            "who is held out is a share, or what a feature says",
            "write test = 0.2, or feature = \"split\"",
        );
    }
    if h.test.is_some_and(|t| !(t > 0.0 && t < 1.0)) {
        place.say("holdout", "test must lie between 0 and 1", "0.2 is usual");
    }
    if h.validate.is_some_and(|v| !(v > 0.0 && v < 1.0 - h.test.unwrap_or(0.0))) {
        place.say("holdout", "validate must be above 0, and leave patients to train on", "0.1 is usual");
    }
    if let Some(feature) = &h.feature {
        place.wants(
            "holdout",
            feature,
            |s| matches!(s, Shape::Level { levels } if levels.len() == 2 || levels.len() == 3),
            "a feature of two or three levels",
            "its first level is trained on, its second held out; a third validates",
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
        FamilyWord::Linear | FamilyWord::Poisson | FamilyWord::Hazards | FamilyWord::PartialLikelihood => {
            let remedy = "give the feature bounds = [low, high]";
            place.wants("outcome", outcome, regressions::number, "a number with bounds", remedy);
        }
    }
    let hazards = train.model.family == FamilyWord::Hazards;
    let timed = hazards || train.model.family == FamilyWord::PartialLikelihood;
    event(place, timed, train.event.as_ref(), train.model.horizon);
    within(place, outcome, train.model.horizon);
    partial_likelihood(place, train);
    if !hazards && train.model.intervals.is_some() || train.model.intervals.is_some_and(|n| n == 0 || n > 100) {
        place.say("model", "intervals are of hazards, and 1 to 100", "leave them out: 1 is usual where events are few");
    }
}

/// What a partial likelihood, whose parts are no patient's own, can't have.
fn partial_likelihood(place: &mut Place<'_, '_>, train: &Train) {
    if train.model.family != FamilyWord::PartialLikelihood {
        return;
    }
    let batch = train.strategy.local.as_ref().and_then(|l| l.batch);
    if !batch.is_some_and(|b| (2..=BLOCK as u32).contains(&b)) {
        let says = format!(
            "a partial likelihood is of patients who are in one batch of local steps, of 2 to {BLOCK} rows, in simulations without noise"
        );
        place.say(
            "model",
            says,
            "take family = \"hazards\", or an analysis of the kind cox; or give the local steps a batch",
        );
    }
    if train.holdout.is_some() || train.model.horizon.is_some() {
        let remedy = "leave them out, or take family = \"hazards\"";
        place.say("model", "a partial likelihood has no horizon, and judges nobody who is held out", remedy);
    }
}

/// Whether a time ended with an event, and how far it is looked at.
pub(super) fn event(place: &mut Place<'_, '_>, hazards: bool, event: Option<&String>, horizon: Option<f64>) {
    match event {
        None if hazards => {
            place.say("event", "hazards need an event", "name a feature that says whether there was one")
        }
        Some(_) if !hazards => {
            place.say("event", "an event is of hazards", "leave it out, or take family = \"hazards\"")
        }
        Some(name) => place.wants("event", name, yes_no, "no or yes", "use a feature of two levels"),
        None => {}
    }
    if horizon.is_some_and(|h| !(hazards && h > 0.0 && h.is_finite())) {
        place.say("model", "a horizon is of hazards, and above 0", "leave it out for the time's upper bound");
    }
}

/// A horizon beyond the time's bounds has intervals that nobody is at risk in.
pub(super) fn within(place: &mut Place<'_, '_>, time: &str, horizon: Option<f64>) {
    let Some(Shape::Real { upper, .. }) = place.shape(time) else { return };
    if horizon.is_some_and(|h| h > upper) {
        let says = format!("the horizon lies beyond {upper}, the upper bound of '{time}': nobody is seen there");
        place.say("model", says, "leave it out for the upper bound");
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
    rate(place, s.learning_rate);
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

/// Patients who are in a step by chance, and a clip that follows them.
fn sampling(place: &mut Place<'_, '_>, s: &StrategySpec) {
    let apart = s.local.is_some() || s.merge != MergeWord::Mean || s.bound.is_some();
    if let Some(quantile) = s.clip_quantile {
        if !(quantile > 0.0 && quantile < 1.0) {
            place.say(
                "strategy",
                "clip_quantile must lie between 0 and 1",
                "0.5 is usual: half of all gradients are cut",
            );
        }
        if apart {
            let says = "a clip follows the gradients of one sum a round";
            place.say(
                "strategy",
                says,
                "leave clip_quantile out with local steps, and where hospitals' own releases are merged",
            );
        }
    }
    let Some(rate) = s.sampling else {
        if s.noise_multiplier.is_some() {
            place.say("strategy", "noise_multiplier is of sampling", "write sampling = 0.05, or leave it out");
        }
        return;
    };
    if !(rate > 0.0 && rate <= 1.0) {
        let remedy = "0.01 to 0.1 is usual where patients are many; 1 is all of them, and best where they are few";
        place.say("strategy", "sampling must be above 0, and 1 at the most", remedy);
    }
    if s.noise_multiplier.is_some_and(|z| !(LEAST_MULTIPLIER..=1e4).contains(&z)) {
        let message = format!("noise_multiplier must be {LEAST_MULTIPLIER} to 10000");
        place.say("strategy", message, "leave it out: the least that keeps to epsilon is found");
    }
    if apart {
        let says = "sampling is of rounds of one sum: steps of a hospital's own, and merges of hospitals' releases, are over all patients";
        place.say("strategy", says, "leave sampling out, or local, merge and bound");
    }
    let study = place.checker.study;
    if study.privacy.hospitals_per_patient > 1 {
        let says = "a patient of several hospitals would be in a step by several coins, and what that costs is not proved here";
        place.say("strategy", says, "leave sampling out, or hospitals_per_patient");
    }
    let sampled = |a: &&Analysis| matches!(&a.what, What::Train(t) if t.strategy.sampling.is_some());
    if study.analysis.iter().filter(sampled).count() > MOST_SAMPLED {
        let says = format!(
            "at most {MOST_SAMPLED} analyses of a study sample patients: each is searched for beside all the others"
        );
        place.say("strategy", says, "make a study of the others");
    }
}

fn rate(place: &mut Place<'_, '_>, given: LearningRate) {
    let start = match given {
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
}

/// Merges that look at each hospital's own release.
fn robust(place: &mut Place<'_, '_>, s: &StrategySpec) {
    if s.trim.is_some_and(|t| s.merge != MergeWord::Trimmed || !(0.0..0.5).contains(&t)) {
        place.say("strategy", "trim is of merge = \"trimmed\", and 0 to below 0.5", "0.2 is usual");
    }
    if s.bound.is_some_and(|b| !(b > 0.0 && b.is_finite())) {
        place.say("strategy", "bound must be above 0", "leave it out for none");
    }
    if s.merge == MergeWord::Mean && s.bound.is_none() {
        return;
    }
    if place.checker.study.privacy.aggregation == Aggregation::Secure {
        let says = "a median, a trimmed mean and a bound look at each hospital's own step, and a secure sum has none";
        place.say("strategy", says, "take aggregation = \"local\", or leave them out");
    }
    if s.patients.is_some() {
        place.say(
            "strategy",
            "each hospital's patients are counted where steps are looked at one by one",
            "leave patients out",
        );
    }
    if s.local.as_ref().is_some_and(|l| l.turns) {
        place.say("strategy", "a round of one hospital has nothing to merge", "leave merge and bound out");
    }
}

/// Rounds whose sums are added up before a step.
fn accumulate(place: &mut Place<'_, '_>, s: &StrategySpec) {
    let Some(k) = s.accumulate else { return };
    if k < 2 || !s.rounds.is_multiple_of(k) {
        place.say(
            "strategy",
            "accumulate must be 2 or more, and rounds so many times a whole number",
            "leave it out for 1",
        );
    }
    if s.local.is_some() || s.merge != MergeWord::Mean || s.bound.is_some() {
        let says = "hospitals that are looked at one by one take a step in each round";
        place.say("strategy", says, "leave accumulate out");
    }
}

/// When training stops.
fn stop(place: &mut Place<'_, '_>, train: &Train) {
    let h = train.holdout.as_ref();
    let of_feature = h.and_then(|h| h.feature.as_ref()).and_then(|f| place.shape(f));
    let third = matches!(of_feature, Some(Shape::Level { levels }) if levels.len() == 3);
    let validates = h.is_some_and(|h| h.validate.is_some()) || third;
    let Some(s) = train.strategy.stop else {
        if validates {
            let remedy = "write stop = { every = 5, patience = 3 } in the strategy, or leave validate out";
            place.say("holdout", "patients validate, and nobody asks them", remedy);
        }
        return;
    };
    if !validates {
        place.say("strategy", "stop needs patients who validate", "write validate = 0.1 in the holdout");
    }
    if s.every == 0 || s.every >= train.strategy.rounds || s.patience == 0 {
        place.say(
            "strategy",
            "stop needs every of 1 to below the rounds, and a patience of 1 or more",
            "every = 5, patience = 3",
        );
    }
    if train.strategy.local.as_ref().is_some_and(|l| l.turns) {
        let says = "in turns each look is of the patients of one hospital, and not to be compared with the one before";
        place.say("strategy", says, "leave stop and validate out");
    }
    if train.strategy.accumulate.is_some_and(|k| k > 0 && s.every % k != 0) {
        let says = "between two steps the parameters are the same: stop's every must be a multiple of accumulate";
        place.say("strategy", says, "every = accumulate, or several times as much");
    }
}

/// Steps of a round altogether that are no mistake.
const MOST_STEPS: u32 = 100_000;

/// Steps that hospitals take by themselves.
fn local(place: &mut Place<'_, '_>, train: &Train) {
    let Some(l) = &train.strategy.local else { return };
    if !(1..=MOST_STEPS).contains(&l.steps) {
        place.say(
            "strategy",
            format!("local steps must be 1 to {MOST_STEPS}"),
            "2 to 10 are usual where there is noise",
        );
    }
    rate(place, l.learning_rate);
    if place.checker.study.privacy.aggregation == Aggregation::Secure {
        let says = "local steps each have a hospital's own noise: adding them up in secret hides no patient better";
        place.say(
            "strategy",
            says,
            "leave [analysis.strategy.local] out, where each round is one sum; or aggregation = \"local\"",
        );
    }
    if train.strategy.patients.is_some() {
        place.say(
            "strategy",
            "each hospital's patients are counted where it takes steps by itself",
            "leave patients out",
        );
    }
    if !(0.0..=1e6).contains(&l.proximal) {
        place.say("strategy", "proximal must be 0 to a million", "0.01 is usual; 0 is none");
    }
    if l.turns && l.control != ControlWord::None {
        place.say(
            "strategy",
            "a hospital that goes on with the model of another has no drift to correct",
            "leave control out",
        );
    }
    if l.batch == Some(0) {
        place.say("strategy", "a batch has at least one row", "leave it out: a step is over all patients");
    }
}
