//! How a study's ρ is split: over analyses by their shares, over rounds by the program's weights. A function of the plan alone,
//! so that every site charges the same without being told.

mod sampled;

use privacy::accounting::rho;
use privacy::{Continual, Cost, Delta, Epsilon, Prepaid, Rho};
pub use sampled::{Sampled, Sampling, sampled, samples};

use crate::analysis::Analysis;
use crate::compile;
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::spec::{Aggregation, Study};

/// The study's ρ at each site. Where a patient may be in m hospitals, each site spends an m-th of what the ε allows with local
/// noise, where costs add, and an m²-th under secure aggregation, where such a patient moves one sum by m times as much.
pub fn total(plan: &Plan) -> Rho {
    whole(&plan.study)
}

/// An analysis' part of it.
pub(crate) fn of(study: &Study, analysis: &Analysis) -> Rho {
    whole(study).share(analysis.share, study.analysis.iter().map(|a| a.share).sum())
}

fn whole(study: &Study) -> Rho {
    let p = &study.privacy;
    let m = f64::from(p.hospitals_per_patient.max(1));
    let whole = rho(Epsilon(p.epsilon), Delta(p.delta));
    match p.aggregation {
        _ if m <= 1.0 => whole,
        Aggregation::Local => whole.share(1.0, m),
        Aggregation::Secure => whole.share(1.0, m * m),
    }
}

/// What all windows of a continuous study cost: the part of an analysis that is alone.
fn of_windows(study: &Study) -> Rho {
    whole(study).share(1.0, 1.0)
}

/// How the noises of a continuous study's windows hang together, where they do.
pub fn series(study: &Study) -> Option<Continual> {
    let stream = study.stream.as_ref().filter(|s| s.emit.len() == 1)?;
    let (correlation, most) = (stream.noise.correlation()?, stream.windows_per_patient?);
    Continual::new(correlation, Schedule::of(study)?.windows(), most)
}

/// By how much the noise of a round is larger than one that is drawn: 1 but in a series whose noises hang together.
pub fn factor(study: &Study, round: u32) -> f64 {
    series(study).map_or(1.0, |series| series.window_factor(round))
}

/// How the windows of a continuous study are paid for, where a patient is in some of them alone: at once.
pub fn prepaid(study: &Study) -> Option<Prepaid> {
    let stream = study.stream.as_ref()?;
    let all = of_windows(study);
    if stream.noise.correlation().is_some() {
        return Some(Prepaid::series(all, series(study)?));
    }
    let tellings = u32::try_from(stream.emit.len()).ok()?;
    let most = stream.windows_per_patient?.checked_mul(tellings)?;
    Some(Prepaid::new(all, most))
}

/// How many analyses have rounds of their own. Those of a continuous study are told together, in the rounds of the first.
pub fn apart(study: &Study) -> usize {
    if study.stream.is_some() { study.analysis.len().min(1) } else { study.analysis.len() }
}

/// An analysis' part of the study's ρ: what it costs a patient over all its rounds, but where it samples patients ([`sampled`]).
pub fn cost_of(study: &Study, analysis: usize, rounds: &[Rho]) -> Rho {
    match (prepaid(study), study.analysis.get(analysis)) {
        (Some(prepaid), _) => prepaid.cost().rho,
        (None, Some(a)) if samples(study, analysis) => of(study, a),
        (None, _) => rounds.iter().fold(Rho::ZERO, |a, b| a.plus(*b)),
    }
}

/// What all of a study costs a patient at each site, as its ledger has it.
///
/// # Errors
/// No noise keeps to what is asked.
pub fn whole_cost(plan: &Plan) -> Result<Cost, String> {
    let sampling = sampled(&plan.study)?;
    if sampling.analyses().is_empty() {
        return Ok(Cost::gaussian(total(plan)));
    }
    let of = |(i, a): (usize, &Analysis)| match sampling.analyses().get(&i) {
        Some(own) => own.plan().cost_from(0),
        None => Cost::gaussian(of(&plan.study, a)),
    };
    Ok(plan.study.analysis.iter().enumerate().map(of).fold(Cost::default(), |sum, cost| sum.plus(&cost)))
}

/// What all of a study means at a δ, at each site.
///
/// # Errors
/// No noise keeps to what is asked, or δ is out of range.
pub fn epsilon(plan: &Plan, delta: Delta) -> Result<Epsilon, String> {
    let sampling = sampled(&plan.study)?;
    if sampling.analyses().is_empty() {
        return Ok(privacy::accounting::epsilon(total(plan), delta));
    }
    sampling.epsilon(delta)
}

/// For each analysis, for each planned round, the ρ of its noise. What a patient's rounds cost together is at most [`total`], but where patients are
/// sampled: a round then costs less than its noise says.
///
/// # Errors
/// A round would get less than a billionth of ρ, or an analysis does not compile.
pub fn allocate(plan: &Plan) -> Result<Vec<Vec<Rho>>, String> {
    let mut out = Vec::with_capacity(plan.study.analysis.len());
    for (i, analysis) in plan.study.analysis.iter().enumerate() {
        let windows = plan.study.stream.is_some();
        if windows && i > 0 {
            // It is told in the rounds of the first.
            out.push(Vec::new());
            continue;
        }
        let own = if windows { of_windows(&plan.study) } else { of(&plan.study, analysis) };
        let program = compile::program(&plan.study, i).map_err(|e| e.to_string())?;
        let correlated = plan.study.stream.as_ref().is_some_and(|s| s.noise.correlation().is_some());
        if correlated && prepaid(&plan.study).is_none() {
            return Err("the windows' noises can't hang together as the plan says".to_owned());
        }
        if let Some(prepaid) = prepaid(&plan.study) {
            out.push(vec![prepaid.noise(); program.rounds() as usize]);
            continue;
        }
        if let Some(own) = sampled(&plan.study)?.analyses().get(&i) {
            out.push((0..program.rounds()).map(|r| own.plan().noise(r)).collect());
            continue;
        }
        let weights: Vec<f64> = (0..program.rounds()).map(|r| program.weight(r)).collect();
        let sum: f64 = weights.iter().sum();
        let rounds: Vec<Rho> = weights.iter().map(|w| own.share(*w, sum)).collect();
        if rounds.contains(&Rho::ZERO) {
            return Err(format!("the analysis '{}' has a round without budget", analysis.label()));
        }
        out.push(rounds);
    }
    Ok(out)
}
