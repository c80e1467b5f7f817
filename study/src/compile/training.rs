//! Trainings: networks from families, schedules and optimisers from their words.

use learning::training::gradient::BLOCK;
use learning::training::{
    Activation, Control, Decay, Groups, Local, Loss, Merging, Model, Moments, Network, Optimiser, Prepared, Schedule,
    Setting, Stopping, Training, Weights,
};
use summaries::{Program, Reporting};

use super::{bounds, levels, most, regression, yes_no};
use crate::analysis::training::{
    ActivationWord, ControlWord, DecayWord, FamilyWord, LearningRate, LocalSpec, MergeWord, MissingWord, OptimiserWord,
    ScaleWord, StrategySpec, Train, WeightsWord,
};
use crate::spec::Study;

/// Parameters of a model whose hospitals' steps are corrected: forty times as many numbers are within what a site takes in one message.
const MOST_CORRECTED: usize = 150_000;

/// The schedule of a rate; what a falling one needs and was not given is as the check says.
fn schedule(rate: LearningRate) -> Schedule {
    match rate {
        LearningRate::Fixed(start) => Schedule { start, decay: Decay::Constant },
        LearningRate::Falling(f) => {
            let factor = f.factor.unwrap_or(0.5);
            let decay = match f.decay {
                DecayWord::Constant => Decay::Constant,
                DecayWord::Step => Decay::Step { every: f.every.unwrap_or(1), factor },
                DecayWord::Cosine => Decay::Cosine,
                DecayWord::InverseTime => Decay::InverseTime { factor },
            };
            Schedule { start: f.start, decay }
        }
    }
}

/// The horizon of times to an event.
///
/// # Errors
/// The time has no bounds, or the event is not yes or no.
pub(super) fn horizon(
    study: &Study,
    (time, event): (&str, Option<&String>),
    given: Option<f64>,
) -> Result<f64, String> {
    let (_, upper) = bounds(study, time)?;
    yes_no(study, event.ok_or("hazards need event = a feature that says whether there was one")?)?;
    let horizon = given.unwrap_or(upper);
    if horizon > 0.0 && horizon.is_finite() { Ok(horizon) } else { Err("the horizon must be above 0".to_owned()) }
}

/// The model of a training.
///
/// # Errors
/// Features or settings do not fit.
pub fn model(study: &Study, t: &Train) -> Result<Model, String> {
    let design = regression::design(study, &t.formula, None)?.without_intercept();
    let loss = match t.model.family {
        FamilyWord::Linear => {
            let (lower, upper) = bounds(study, &t.outcome)?;
            Loss::Squared { lower, upper }
        }
        FamilyWord::Logistic => {
            yes_no(study, &t.outcome)?;
            Loss::Logistic
        }
        FamilyWord::Multinomial => Loss::Softmax(levels(study, &t.outcome)?),
        FamilyWord::Poisson => Loss::Poisson { most: most(study, &t.outcome)? },
        FamilyWord::Hazards => {
            let intervals = t.model.intervals.unwrap_or(1).max(1);
            Loss::Hazards { horizon: horizon(study, (&t.outcome, t.event.as_ref()), t.model.horizon)?, intervals }
        }
        FamilyWord::PartialLikelihood => {
            horizon(study, (&t.outcome, t.event.as_ref()), None)?;
            let batch = t.strategy.local.as_ref().and_then(|l| l.batch);
            // What is summed at once is at most a block.
            if batch.is_none_or(|b| b as usize > BLOCK) || t.holdout.is_some() {
                return Err(format!(
                    "a partial likelihood is of batches of at most {BLOCK} rows, and holds nobody out"
                ));
            }
            Loss::Partial
        }
    };
    let activation = match t.model.activation {
        ActivationWord::Tanh => Activation::Tanh,
        ActivationWord::Relu => Activation::Relu,
    };
    let hidden: Vec<usize> = t.model.hidden.iter().map(|n| *n as usize).collect();
    let learned = t.prepare.learned();
    let indicators = if t.prepare.missing == MissingWord::Indicator { t.formula.features.len() } else { 0 };
    let network = Network::new(design.width() + indicators, &hidden, loss.outputs(), activation);
    let network =
        network.ok_or("a hidden layer has no unit, or the model has more than a million and a half parameters")?;
    let corrected = t.strategy.local.as_ref().is_some_and(|l| l.control != ControlWord::None);
    if corrected && network.parameters() > MOST_CORRECTED {
        return Err(
            "control sends a round the corrections of all hospitals: the model may have at most 150000 parameters"
                .to_owned(),
        );
    }
    let prepared = match t.prepare.scale {
        ScaleWord::Bounds | ScaleWord::Moments => Prepared::default(),
        ScaleWord::None => Prepared::own_units(&design).ok_or("splines and interactions have no unit of their own")?,
    };
    let model = Model::learning(design, network, loss, learned).ok_or("the features do not fit the model")?;
    let model = model.with_prepared(prepared);
    let Some(holdout) = &t.holdout else { return Ok(model) };
    let groups = match &holdout.feature {
        Some(feature) => levels(study, feature)?,
        None => 2 + u32::from(holdout.validate.is_some()),
    };
    Ok(model.with_groups(Groups { levels: groups, tested: holdout.feature.is_some() || holdout.test.is_some() }))
}

fn optimiser(word: OptimiserWord, s: &StrategySpec, momentum: f64) -> Optimiser {
    let moments = Moments { first: s.betas[0], second: s.betas[1], tau: s.tau };
    match word {
        OptimiserWord::Sgd => Optimiser::Sgd { momentum },
        OptimiserWord::Adam => Optimiser::Adam(moments),
        OptimiserWord::Yogi => Optimiser::Yogi(moments),
        OptimiserWord::Adagrad => Optimiser::Adagrad(moments),
    }
}

fn local(l: &LocalSpec, s: &StrategySpec) -> Local {
    Local {
        steps: l.steps,
        schedule: schedule(l.learning_rate),
        optimiser: optimiser(l.optimiser, s, 0.0),
        batch: l.batch,
        proximal: l.proximal,
        control: match l.control {
            ControlWord::None => Control::None,
            ControlWord::Variates => Control::Variates,
            ControlWord::Ends => Control::Ends,
        },
        weights: match l.weights {
            WeightsWord::Patients => Weights::Patients,
            WeightsWord::Hospitals => Weights::Hospitals,
        },
        turns: l.turns,
    }
}

/// The program of a training.
pub(super) fn program(study: &Study, t: &Train, reporting: Reporting) -> Result<Box<dyn Program>, String> {
    let s = &t.strategy;
    let setting = Setting {
        rounds: s.rounds,
        clip: s.clip,
        schedule: schedule(s.learning_rate),
        optimiser: optimiser(s.optimiser, s, s.momentum),
        sampling: s.sampling,
        clip_quantile: s.clip_quantile,
        average: s.average,
        penalty: t.model.penalty,
        patients: s.patients.map(|n| n as f64),
        seed: t.model.seed,
        thresholds: t.holdout.as_ref().map(|h| h.thresholds.clone()).unwrap_or_default(),
        local: s.local.as_ref().map(|l| local(l, s)),
        merging: match s.merge {
            MergeWord::Mean => Merging::Mean,
            MergeWord::Median => Merging::Median,
            MergeWord::Trimmed => Merging::Trimmed(s.trim.unwrap_or(0.2)),
        },
        bound: s.bound,
        stopping: s.stop.map(|s| Stopping { every: s.every, patience: s.patience }),
    };
    let behind = usize::from(t.event.is_some()) + usize::from(t.holdout.is_some());
    let columns = (0..=t.formula.features.len() + behind).collect();
    let training = Training::new(model(study, t)?, setting, columns, reporting);
    let training = training.and_then(|training| training.accumulating(s.accumulate.unwrap_or(1)));
    let training = training.ok_or("the rounds, the clip, the rate or the number of patients is out of range")?;
    Ok(Box::new(training))
}
