//! Settings of trainings and trees that say nothing beside the others: who wrote one expects something of it, and would not get it.

use super::analyses::Place;
use crate::analysis::What;
use crate::analysis::training::{
    ActivationWord, DecayWord, FamilyWord, Holdout, LearningRate, MergeWord, MissingWord, OptimiserWord, ScaleWord,
    StrategySpec, Train, WeightsWord,
};
use crate::analysis::trees::{EdgesWord, TreeFamily, Trees};
use crate::feature::Shape;

/// Says which settings of an analysis that trains or grows trees are of no use.
pub(super) fn check(place: &mut Place<'_, '_>, what: &What) {
    match what {
        What::Train(t) => train(place, t),
        What::Trees(t) => trees(place, t),
        _ => {}
    }
}

fn train(place: &mut Place<'_, '_>, t: &Train) {
    if t.model.hidden.is_empty() && t.model.activation != ActivationWord::Tanh {
        place.say("model", "activation is of hidden units, and there are none", "leave it out, or write hidden = [16]");
    }
    let learned = t.prepare.scale == ScaleWord::Moments || t.prepare.missing != MissingWord::Drop;
    if t.prepare.share.is_some() && !learned {
        let says = "share is of the round before the first, and there is none";
        place.say("prepare", says, "leave it out, or write scale = \"moments\" or missing = \"mean\"");
    }
    thresholds(place, t.holdout.as_ref(), t.model.family == FamilyWord::Logistic);
    strategy(place, &t.strategy);
}

/// Thresholds of an outcome that is no yes or no, or of nobody.
fn thresholds(place: &mut Place<'_, '_>, holdout: Option<&Holdout>, logistic: bool) {
    let Some(h) = holdout.filter(|h| h.thresholds != [0.5]) else { return };
    if !logistic {
        place.say("holdout", "thresholds are of no and yes: family = \"logistic\"", "leave them out");
    } else if h.feature.is_none() && h.test.is_none() {
        place.say(
            "holdout",
            "thresholds are of patients who are tested, and nobody is",
            "write test = 0.2, or leave them out",
        );
    }
}

fn strategy(place: &mut Place<'_, '_>, s: &StrategySpec) {
    let local = s.local.as_ref();
    let adaptive = |o: OptimiserWord| o != OptimiserWord::Sgd;
    let usual = StrategySpec::usual();
    if !adaptive(s.optimiser) && !local.is_some_and(|l| adaptive(l.optimiser)) {
        for (name, is_given) in [("betas", s.betas != usual.betas), ("tau", s.tau != usual.tau)] {
            if is_given {
                let says = format!("{name} is of adam, yogi and adagrad, and the steps are of sgd");
                place.say("strategy", says, "leave it out, or name the optimiser");
            }
        }
    }
    if s.optimiser == OptimiserWord::Adagrad
        && local.is_none_or(|l| !adaptive(l.optimiser))
        && s.betas[1] != usual.betas[1]
    {
        place.say("strategy", "adagrad has no second beta: it forgets no square", "write betas = [0.9, 0.99]");
    }
    falls(place, s.learning_rate);
    let Some(l) = local else { return };
    falls(place, l.learning_rate);
    if l.steps == 1 && l.proximal > 0.0 {
        let says = "proximal pulls back to where a round began, and with one local step nothing has left from there";
        place.say("strategy", says, "leave it out, or take more steps");
    }
    if l.weights == WeightsWord::Hospitals && (l.turns || s.merge != MergeWord::Mean) {
        let says = if l.turns {
            "in turns a hospital is alone"
        } else {
            "in a median and a trimmed mean a hospital counts for one"
        };
        place.say("strategy", format!("weights are of a mean, and {says}"), "leave weights out");
    }
}

/// What a rate's decay has no use for.
fn falls(place: &mut Place<'_, '_>, given: LearningRate) {
    let LearningRate::Falling(f) = given else { return };
    if f.every.is_some() && f.decay != DecayWord::Step {
        place.say("strategy", "every is of decay = \"step\"", "leave it out");
    }
    if f.factor.is_some() && matches!(f.decay, DecayWord::Constant | DecayWord::Cosine) {
        place.say("strategy", "factor is of decay = \"step\" and \"inverse_time\"", "leave it out");
    }
}

fn trees(place: &mut Place<'_, '_>, t: &Trees) {
    if t.seed.is_some() && t.per_tree.is_none() {
        place.say(
            "seed",
            "seed chooses the features of a tree, and every tree may ask for all",
            "leave it out, or write per_tree",
        );
    }
    let is_number = |name: &String| matches!(place.shape(name), Some(Shape::Real { .. }));
    let numbers = t.features.iter().any(is_number);
    for (setting, is_given) in [("bins", t.bins != Trees::USUAL_BINS), ("edges", t.edges != EdgesWord::Even)] {
        if is_given && !numbers {
            place.say(setting, format!("{setting} are of numbers, and all features are categories"), "leave it out");
        }
    }
    thresholds(place, t.holdout.as_ref(), t.family == TreeFamily::Logistic);
}

#[cfg(test)]
mod tests {
    use crate::spec::Study;

    const HEAD: &str = "id = \"a\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
        [cohorts.target]\nentry = { table = \"patient\" }\n[features.x]\nkind = \"measurement\"\ncode = \"loinc:8480-6\"\nunit = \"mm[Hg]\"\n\
        bounds = [80, 200]\n[features.sex]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n[privacy]\nepsilon = 0.8\n[[analysis]]\n";
    const TRAIN: &str =
        "kind = \"train\"\noutcome = \"sex\"\nfeatures = [\"x\"]\n[analysis.model]\nfamily = \"logistic\"\n";
    const STEPS: &str = "[analysis.strategy]\nrounds = 4\nlearning_rate = 1\nclip = 1\n";
    const LOCAL: &str = "[analysis.strategy.local]\nsteps = 1\nlearning_rate = 1\n";
    const TREES: &str = "kind = \"trees\"\noutcome = \"x\"\nfeatures = [\"sex\"]\nfamily = \"linear\"\ntrees = 3\n";

    fn said(analysis: &str) -> Vec<String> {
        let study: Study = toml::from_str(&format!("{HEAD}{analysis}")).unwrap_or_else(|e| panic!("{e}: {analysis}"));
        crate::check::check(&study).iter().map(|p| p.to_string()).collect()
    }

    #[test]
    fn what_says_nothing_is_refused_by_name() {
        let plain = format!("{TRAIN}{STEPS}");
        assert_eq!(said(&plain), [""; 0]);
        assert_eq!(said(TREES), [""; 0]);
        let of = |more: &str| format!("{plain}{more}");
        let falling = |rate: &str| plain.replace("learning_rate = 1", &format!("learning_rate = {rate}"));
        for (analysis, word) in [
            (of("betas = [0.8, 0.99]\n"), "betas"),
            (of("tau = 0.1\n"), "tau"),
            (of("optimiser = \"adagrad\"\nbetas = [0.9, 0.5]\n"), "second beta"),
            (of("[analysis.prepare]\nshare = 0.2\n"), "share"),
            (
                of("[analysis.holdout]\nfeature = \"sex\"\n")
                    .replace("\"logistic\"", "\"logistic\"\nactivation = \"relu\""),
                "activation",
            ),
            (of(&format!("{LOCAL}proximal = 0.1\n")), "proximal"),
            (of(&format!("{LOCAL}weights = \"hospitals\"\nturns = true\n")), "weights"),
            (of(&format!("merge = \"median\"\n{LOCAL}weights = \"hospitals\"\n")), "weights"),
            (falling("{ start = 1, decay = \"cosine\", factor = 0.5 }"), "factor"),
            (falling("{ start = 1, decay = \"inverse_time\", factor = 0.5, every = 2 }"), "every"),
            (
                of("[analysis.holdout]\ntest = 0.2\nthresholds = [0.2]\n")
                    .replace("sex", "x")
                    .replace("logistic", "linear"),
                "thresholds",
            ),
            (format!("{TREES}seed = 4\n"), "seed"),
            (format!("{TREES}bins = 8\n"), "bins"),
            (format!("{TREES}edges = \"quantiles\"\n"), "edges"),
        ] {
            let problems = said(&analysis);
            assert!(problems.iter().any(|p| p.contains(word)), "{word} is not among {problems:?} of {analysis}");
        }
        assert_eq!(said(&of("optimiser = \"adam\"\nbetas = [0.8, 0.95]\ntau = 0.1\n")), [""; 0]);
        let own = format!("betas = [0.8, 0.95]\n{LOCAL}optimiser = \"adam\"\n");
        assert_eq!(said(&of(&own)), [""; 0], "the hospitals' own steps have them");
    }
}
