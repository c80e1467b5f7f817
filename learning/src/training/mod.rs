//! Training over rounds: in each, the sites release one sum of clipped gradients, and the coordinator takes a step.
//!
//! * `start`: where parameters begin; `network`: linear models and perceptrons; `loss`: what they are fitted to.
//! * `gradient`: the statistic of a round; `complete`: the number of patients, where it is not public.
//! * `schedule`, `optimiser`: how long a step is, and where it goes.
//! * `evaluate`: what it says of patients it has not seen.
//! * `told`: what a trained model says.
//!
//! All of a hospital's patients are in every round (sampling would make the noise of few patients no smaller), so a round is one Gaussian
//! mechanism and costs its ρ like any other. Without noise it is gradient descent on all patients together, to the last bit, whatever the
//! number of sites: lanes are integers.
//!
//! Features are scaled by their public bounds alone, so that no moments have to be paid for and one patient moves no other's row.

mod complete;
pub mod evaluate;
pub mod gradient;
pub mod loss;
pub mod network;
pub mod optimiser;
pub mod schedule;
pub mod start;
mod told;

use summaries::{
    Estimate, Layout, MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Statistic, Step,
};

pub use complete::Complete;
pub use gradient::{ClippedGradient, Group, Model};
pub use loss::Loss;
pub use network::{Activation, Network};
pub use optimiser::{Moments, Optimiser};
pub use schedule::{Decay, Schedule};
pub use told::coefficients;

use evaluate::Evaluation;
use optimiser::Memory;
use told::{Course, Told};

/// What the number of patients takes of the charge, where it is not public, beside 1 for all steps.
const COUNTING: f64 = 0.1;
/// What the evaluation takes, where patients are held out.
const EVALUATING: f64 = 0.25;

/// How a model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Steps.
    pub rounds: u32,
    /// The clip: no patient's gradient counts for more, in the units of scaled features.
    pub clip: f64,
    /// How long steps are.
    pub schedule: Schedule,
    /// Where they go.
    pub optimiser: Optimiser,
    /// Whether the model is the mean of the last half of the rounds' parameters.
    pub average: bool,
    /// Half of it times the sum of squared weights, biases left out, is taken from the log-likelihood.
    pub penalty: f64,
    /// A public number of patients; counted, at a cost, where there is none.
    pub patients: Option<f64>,
    /// As in [`start::start`].
    pub seed: Option<u64>,
    /// Probabilities from which on a patient counts as yes, for the evaluation.
    pub thresholds: Vec<f64>,
}

/// The rounds of a training.
pub struct Training {
    model: Model,
    setting: Setting,
    columns: Vec<usize>,
    reporting: Reporting,
    memory: Memory,
    /// The sum of the last half's parameters.
    averaged: Vec<f64>,
    patients: [f64; 2],
    losses: Course,
    cut: Course,
    noise: f64,
    trained: Option<Vec<f64>>,
}

impl Training {
    /// `columns` are the places of the design's terms and, last, of the outcome. `None` where a setting is out of range.
    pub fn new(model: Model, setting: Setting, columns: Vec<usize>, reporting: Reporting) -> Option<Training> {
        let finite = [setting.clip, setting.schedule.start, setting.penalty].iter().all(|x| x.is_finite());
        let fits = finite && setting.rounds > 0 && setting.clip > 0.0 && setting.penalty >= 0.0;
        let known = setting.patients.is_none_or(|n| n >= 1.0 && n.is_finite());
        let d = model.network().parameters();
        (fits && known).then(|| Training {
            memory: Memory::new(d),
            averaged: vec![0.0; d],
            patients: [setting.patients.unwrap_or(0.0), 0.0],
            losses: Course::new(),
            cut: Course::new(),
            noise: 0.0,
            trained: None,
            model,
            setting,
            columns,
            reporting,
        })
    }

    /// Rounds before the first step.
    fn before(&self) -> u32 {
        u32::from(self.setting.patients.is_none())
    }

    fn parameters(&self, given: &[f64]) -> Result<(), ProgramError> {
        let needed = self.model.network().parameters();
        let fits = given.len() == needed && given.iter().all(|p| p.is_finite());
        if fits { Ok(()) } else { Err(ProgramError::Parameters { given: given.len(), needed }) }
    }

    fn gradient(&self, theta: &[f64]) -> Result<ClippedGradient, ProgramError> {
        let (given, needed) = (theta.len(), self.model.network().parameters());
        let made = ClippedGradient::new(self.model.clone(), theta.to_vec(), self.setting.clip);
        made.ok_or(ProgramError::Parameters { given, needed })
    }

    /// How many patients sums are divided by: never fewer than the noise of their number may hide.
    fn count(&mut self, merged: &MergedRelease) {
        let layout = Layout { lanes: 1, scale: 1.0 };
        let sd = merged.variance(&layout).sqrt();
        self.patients = [merged.value(0, &layout).max(2.0 * sd).max(1.0), sd];
    }

    /// Moves parameters by a round's sum.
    fn step(&mut self, step: u32, theta: &mut [f64], merged: &MergedRelease) -> Result<(), ProgramError> {
        let sum = self.gradient(theta)?.read(merged);
        let n = self.patients[0].max(1.0);
        let network = self.model.network();
        let mut mean: Vec<f64> = sum.gradient.iter().map(|g| g / n).collect();
        let rate = self.setting.schedule.rate(step, self.setting.rounds);
        for (place, (g, t)) in mean.iter_mut().zip(theta.iter()).enumerate() {
            let penalty = if network.is_bias(place) { 0.0 } else { self.setting.penalty / n };
            // The penalty's own step is taken at where it leads, θ ← (θ + ηg)/(1 + ηλ), so that no rate makes it run away; it comes to
            // rest where the plain one does, at g = λθ.
            *g = (*g - penalty * t) / (1.0 + rate * penalty);
        }
        self.setting.optimiser.step(&mut self.memory, theta, &mean, rate);
        // Steps that are far too long must not end the study: they are held where numbers are still numbers.
        theta.iter_mut().for_each(|t| *t = if t.is_nan() { 0.0 } else { t.clamp(-FARTHEST, FARTHEST) });
        let [gradient, loss, cut] = sum.noise.map(|sd| sd / n);
        self.noise = gradient;
        self.losses.push([sum.loss / n, loss]);
        self.cut.push([sum.cut / n, cut]);
        if step >= self.setting.rounds / 2 {
            self.averaged.iter_mut().zip(theta.iter()).for_each(|(a, t)| *a += t);
        }
        Ok(())
    }

    /// The model after the last step.
    fn averaged_or(&self, last: &[f64]) -> Vec<f64> {
        if !self.setting.average {
            return last.to_vec();
        }
        let many = f64::from(self.setting.rounds - self.setting.rounds / 2);
        self.averaged.iter().map(|a| a / many).collect()
    }

    /// What [`Program::memory`] has: the patients, the noise, the courses, the sum of the last half, the optimiser's.
    fn read(&mut self, memory: &[f64]) -> Option<()> {
        let [n, sd, noise, rounds, rest @ ..] = memory else { return None };
        let rounds = *rounds as usize;
        let (courses, rest) = rest.split_at_checked(4 * rounds)?;
        let (averaged, rest) = rest.split_at_checked(self.averaged.len())?;
        let optimiser = self.setting.optimiser.memory(rest, self.averaged.len())?;
        let pair = |c: &[f64], at: usize| [c.get(at).copied().unwrap_or(0.0), c.get(at + 1).copied().unwrap_or(0.0)];
        self.losses = courses.chunks(4).map(|c| pair(c, 0)).collect();
        self.cut = courses.chunks(4).map(|c| pair(c, 2)).collect();
        (self.patients, self.noise) = ([*n, *sd], *noise);
        self.averaged = averaged.to_vec();
        self.memory = optimiser;
        Some(())
    }

    fn evaluation<'a>(&'a self, theta: &'a [f64]) -> Evaluation<'a> {
        Evaluation { model: &self.model, theta, thresholds: &self.setting.thresholds }
    }

    fn finish(&self, theta: &[f64]) -> Estimate {
        let told = Told {
            model: &self.model,
            theta,
            losses: &self.losses,
            cut: &self.cut,
            patients: self.patients,
            noise: self.noise,
            reporting: &self.reporting,
        };
        told.tell()
    }
}

/// No parameter is farther from 0.
const FARTHEST: f64 = 1e6;

impl Program for Training {
    fn rounds(&self) -> u32 {
        self.before() + self.setting.rounds + u32::from(self.model.has_holdout())
    }

    fn weight(&self, round: u32) -> f64 {
        let steps = f64::from(self.setting.rounds);
        match round.checked_sub(self.before()) {
            None => COUNTING * steps,
            Some(step) if step < self.setting.rounds => 1.0,
            Some(_) => EVALUATING * steps,
        }
    }

    fn first(&self) -> Vec<f64> {
        start::start(self.model.network(), self.setting.seed)
    }

    fn resumes(&self) -> bool {
        true
    }

    fn memory(&self) -> Vec<f64> {
        let mut out = vec![self.patients[0], self.patients[1], self.noise, self.losses.len() as f64];
        out.extend(self.losses.iter().zip(&self.cut).flat_map(|(l, c)| l.iter().chain(c)));
        out.extend(&self.averaged);
        out.extend(self.setting.optimiser.numbers(&self.memory));
        out
    }

    fn remember(&mut self, memory: &[f64]) {
        let _ = self.read(memory);
    }

    fn progress(&self) -> Vec<summaries::Course> {
        let course = |name: &str, values: &Course| summaries::Course { name: name.to_owned(), values: values.clone() };
        vec![course("loss", &self.losses), course("cut", &self.cut)]
    }

    fn model(&self) -> Option<&[f64]> {
        self.trained.as_deref()
    }

    /// The courses of loss and cut; there is no model yet.
    fn so_far(&self) -> Option<Estimate> {
        let curves = told::curves(&self.model, &self.losses, &self.cut, &self.reporting);
        (!self.losses.is_empty()).then(|| Estimate { rows: Vec::new(), curves })
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.parameters(parameters)?;
        if round >= self.rounds() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        if round >= self.before() + self.setting.rounds {
            let wrong = ProgramError::Parameters { given: parameters.len(), needed: parameters.len() };
            return self.evaluation(parameters).work(&self.columns).ok_or(wrong);
        }
        let statistic: Box<dyn Statistic> = if round < self.before() {
            Box::new(Complete(self.model.clone()))
        } else {
            Box::new(self.gradient(parameters)?)
        };
        let name = statistic.name().to_owned();
        Ok(vec![PartWork { name, statistic, columns: self.columns.clone(), weight: 1.0 }])
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        if self.model.has_holdout() && round + 1 == self.rounds() {
            let told = self.evaluation(parameters).estimate(&merged.parts, &self.reporting);
            let told = told.ok_or(ProgramError::Merged)?;
            self.trained = Some(parameters.to_vec());
            let mut out = self.finish(parameters);
            // The evaluation is what one looks for first.
            out.rows.splice(0..0, told.rows);
            out.curves.splice(0..0, told.curves);
            return Ok(Step::Done(out));
        }
        let lanes = self.work(round, parameters)?.first().map_or(0, |w| w.statistic.layout().lanes);
        let [release] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        if release.lanes.len() != lanes {
            return Err(ProgramError::Merged);
        }
        let mut theta = parameters.to_vec();
        match round.checked_sub(self.before()) {
            None => self.count(release),
            Some(step) => self.step(step, &mut theta, release)?,
        }
        if round + 1 < self.rounds() {
            let is_last = round + 1 == self.before() + self.setting.rounds;
            let parameters = if is_last { self.averaged_or(&theta) } else { theta };
            return Ok(Step::Continue { round: round + 1, parameters });
        }
        let theta = self.averaged_or(&theta);
        let told = self.finish(&theta);
        self.trained = Some(theta);
        Ok(Step::Done(told))
    }
}
