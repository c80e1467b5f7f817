//! Trainings: networks from families, schedules and optimisers from their words.

use learning::training::{Activation, Decay, Loss, Model, Moments, Network, Optimiser, Schedule, Setting, Training};
use summaries::{Program, Reporting};

use super::{bounds, levels, most, regression, yes_no};
use crate::analysis::training::{ActivationWord, DecayWord, FamilyWord, LearningRate, OptimiserWord, Train};
use crate::spec::Study;

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
    };
    let activation = match t.model.activation {
        ActivationWord::Tanh => Activation::Tanh,
        ActivationWord::Relu => Activation::Relu,
    };
    let hidden: Vec<usize> = t.model.hidden.iter().map(|n| *n as usize).collect();
    let network = Network::new(design.width(), &hidden, loss.outputs(), activation);
    let network = network.ok_or("a hidden layer has no unit, or the model has more than half a million parameters")?;
    let model = Model::new(design, network, loss).ok_or("the features do not fit the model")?;
    let Some(holdout) = &t.holdout else { return Ok(model) };
    if let Some(feature) = &holdout.feature {
        yes_no(study, feature)?;
    }
    Ok(model.with_holdout())
}

/// The program of a training.
pub(super) fn program(study: &Study, t: &Train, reporting: Reporting) -> Result<Box<dyn Program>, String> {
    let s = &t.strategy;
    let moments = Moments { first: s.betas[0], second: s.betas[1], tau: s.tau };
    let setting = Setting {
        rounds: s.rounds,
        clip: s.clip,
        schedule: schedule(s.learning_rate),
        optimiser: match s.optimiser {
            OptimiserWord::Sgd => Optimiser::Sgd { momentum: s.momentum },
            OptimiserWord::Adam => Optimiser::Adam(moments),
            OptimiserWord::Yogi => Optimiser::Yogi(moments),
            OptimiserWord::Adagrad => Optimiser::Adagrad(moments),
        },
        average: s.average,
        penalty: t.model.penalty,
        patients: s.patients.map(|n| n as f64),
        seed: t.model.seed,
        thresholds: t.holdout.as_ref().map(|h| h.thresholds.clone()).unwrap_or_default(),
    };
    let columns = (0..=t.formula.features.len() + usize::from(t.holdout.is_some())).collect();
    let training = Training::new(model(study, t)?, setting, columns, reporting);
    let training = training.ok_or("the rounds, the clip, the rate or the number of patients is out of range")?;
    Ok(Box::new(training))
}
