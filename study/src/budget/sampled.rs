//! What trainings that sample patients cost, and the noise that they need. Their rounds are paid for at once.
//!
//! An analysis' part of the study's ρ is split as ever over what is no step: how many patients there are, and what the model says of those who
//! were held out. These are other patients than those who are trained on, and each pays for the own rounds. The steps have the least noise with
//! which
//!
//! * the study keeps to its ε at its δ, by the composed privacy loss distributions of everything in it that one patient may be in; and
//! * the analysis' cost keeps to its part of the study's ρ at the one order of Rényi's that a cap of that ρ watches, so that a site whose
//!   ledger holds the study without sampling holds it with. At the orders that larger caps watch, which are smaller, it takes less of them.
//!
//! Several of them are searched for one after the other, each beside those before it and beside the full part of those behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use privacy::sampled::{Aim, Mechanisms, Release, multiplier, noise_of, solve};
use privacy::{Cap, Delta, Epsilon, FixedPlan, Rho};
use proto::Hash;
use summaries::{Population, Program, Toll};

use super::{of, whole};
use crate::analysis::What;
use crate::check::LEAST_MULTIPLIER;
use crate::compile;
use crate::spec::Study;

/// Ways in which a patient may be in several such analyses that are looked at, at the most.
const MOST_WAYS: usize = 8;

/// A training that samples patients, as it is paid for.
#[derive(Clone, Debug)]
pub struct Sampled {
    plan: Arc<FixedPlan>,
    rate: f64,
    steps: u32,
    noise: Rho,
    epsilon: Epsilon,
}

impl Sampled {
    /// Its rounds.
    pub fn plan(&self) -> &Arc<FixedPlan> {
        &self.plan
    }

    /// With which probability a patient is in a step.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How many steps.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The noise of a step over how far one patient moves its sum.
    pub fn multiplier(&self) -> f64 {
        multiplier(self.noise)
    }

    /// What the analysis means by itself at the study's δ.
    pub fn epsilon(&self) -> Epsilon {
        self.epsilon
    }
}

/// A study's trainings that sample patients.
#[derive(Clone, Debug, Default)]
pub struct Sampling {
    analyses: BTreeMap<usize, Sampled>,
    /// Everything that one patient may be in, way by way.
    ways: Vec<Mechanisms>,
    /// The ε of these at δs that were asked before.
    known: Arc<Mutex<BTreeMap<u64, Epsilon>>>,
}

impl Sampling {
    /// By the analyses' places.
    pub fn analyses(&self) -> &BTreeMap<usize, Sampled> {
        &self.analyses
    }

    /// What all of the study means at a δ.
    pub(super) fn epsilon(&self, delta: Delta) -> Result<Epsilon, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(e) = known.get(&delta.0.to_bits()) {
            return Ok(*e);
        }
        let mut most = Epsilon(0.0);
        for way in &self.ways {
            let e = way.epsilon(delta).map_err(|e| e.to_string())?;
            most = if e.0 <= most.0 { most } else { e };
        }
        known.insert(delta.0.to_bits(), most);
        Ok(most)
    }
}

/// Whether an analysis samples patients, and so is paid for at once.
pub fn samples(study: &Study, analysis: usize) -> bool {
    matches!(study.analysis.get(analysis).map(|a| &a.what), Some(What::Train(t)) if t.strategy.sampling.is_some())
}

/// The trainings of a study that sample patients. A study is searched once.
///
/// # Errors
/// An analysis does not compile, or no noise keeps to what is asked.
pub fn sampled(study: &Study) -> Result<Arc<Sampling>, String> {
    type Known = BTreeMap<Hash, Result<Arc<Sampling>, String>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    /// As many studies as are held.
    const HELD: usize = 64;
    if !(0..study.analysis.len()).any(|i| samples(study, i)) {
        return Ok(Arc::default());
    }
    let text = serde_json::to_vec(study).map_err(|e| e.to_string())?;
    let key = Hash::of(&text);
    if let Some(known) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return known.clone();
    }
    let found = search(study).map(Arc::new);
    let mut held = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if held.len() >= HELD {
        held.clear();
    }
    held.insert(key, found.clone());
    found
}

fn search(study: &Study) -> Result<Sampling, String> {
    let all = whole(study);
    let (epsilon, delta) = (Epsilon(study.privacy.epsilon), Delta(study.privacy.delta));
    let order = Cap::new(all, 0.0).order();
    let own = |i: usize| study.analysis.get(i).map_or(Rho::ZERO, |a| of(study, a));
    let every = 0..study.analysis.len();
    // The Gaussian parts of those that were not searched for yet.
    let mut rest = every.clone().fold(Rho::ZERO, |sum, i| sum.plus(own(i)));
    // What one patient may be in of those that were.
    let mut before = vec![Mechanisms::default()];
    let mut analyses = BTreeMap::new();
    for (i, analysis) in study.analysis.iter().enumerate() {
        let What::Train(train) = &analysis.what else { continue };
        let Some(rate) = train.strategy.sampling else { continue };
        rest = rest.minus(own(i));
        let program = compile::program(study, i).map_err(|e| e.to_string())?;
        let make = |noise: Rho| made(program.as_ref(), own(i), noise);
        let beside: Vec<Mechanisms> = before.iter().map(|m| m.plus(&Mechanisms::gaussian(rest))).collect();
        let aim = Aim { beside, epsilon, delta, within: (order, own(i)), floor: LEAST_MULTIPLIER };
        let label = analysis.label();
        let least = || solve(&aim, make).map_err(|e| format!("the analysis '{label}' finds no noise: {e}"));
        let noise = match train.strategy.noise_multiplier {
            None => least()?,
            Some(asked) => {
                let noise = noise_of(asked);
                let plan = make(noise).ok_or_else(|| format!("the analysis '{label}' has a round without budget"))?;
                if !aim.holds(&plan).map_err(|e| e.to_string())? {
                    let needed = (multiplier(least()?) * 1e4).ceil() / 1e4;
                    return Err(format!(
                        "the noise_multiplier {asked} of '{label}' is too small for its part of the study's budget, which takes {needed}"
                    ));
                }
                noise
            }
        };
        let plan = make(noise).ok_or_else(|| format!("the analysis '{label}' has a round without budget"))?;
        let alone = Aim { beside: vec![Mechanisms::default()], ..aim };
        let epsilon = alone.epsilon(&plan).map_err(|e| e.to_string())?;
        before = before.iter().flat_map(|m| plan.of_patients().into_iter().map(|p| p.plus(m))).collect();
        if before.len() > MOST_WAYS {
            return Err("too many analyses that sample patients hold some of them out; make a study of some".to_owned());
        }
        let sampled = Sampled { plan: Arc::new(plan), rate, steps: train.strategy.rounds, noise, epsilon };
        analyses.insert(i, sampled);
    }
    let ways = before.iter().map(|m| m.plus(&Mechanisms::gaussian(rest))).collect();
    Ok(Sampling { analyses, ways, known: Arc::default() })
}

/// What is kept back of an analysis' part, for the rounding of sums.
const KEPT: Rho = Rho::from_nano(1_000);

/// A program's rounds with this noise of a step.
fn made(program: &dyn Program, own: Rho, noise: Rho) -> Option<FixedPlan> {
    let own = own.minus(KEPT);
    let rounds: Vec<(f64, Vec<Toll>)> = (0..program.rounds()).map(|r| (program.weight(r), program.tolls(r))).collect();
    let sum = |tolls: &[Toll]| tolls.iter().map(|t| t.weight).sum::<f64>();
    // What a population's rounds weigh together, those that are for all of them included.
    let weigh = |of: Population| -> f64 {
        let one = |(weight, tolls): &(f64, Vec<Toll>)| {
            let own: f64 = tolls.iter().filter(|t| t.of.meets(of)).map(|t| t.weight).sum();
            weight * own / sum(tolls)
        };
        rounds.iter().map(one).sum()
    };
    let weights: BTreeMap<Population, f64> =
        [Population::All].into_iter().chain(Population::APART).map(|of| (of, weigh(of))).collect();
    let round = |(weight, tolls): &(f64, Vec<Toll>)| {
        let part = |t: &Toll| {
            let noise = match t.step {
                true => Rho::allowance(noise.value() * t.weight),
                false => own.share(weight * t.weight / sum(tolls), weights.get(&t.of).copied().unwrap_or(0.0)),
            };
            Release { of: t.of, noise, rate: t.rate }
        };
        tolls.iter().map(part).collect()
    };
    FixedPlan::new(rounds.iter().map(round).collect())
}
