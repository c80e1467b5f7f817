//! Training over rounds: in each, the sites release one sum of clipped gradients, and the coordinator takes a step.
//!
//! * `start`: where parameters begin; `network`: linear models and perceptrons; `loss`: what they are fitted to.
//! * `prepare`: how features become inputs.
//! * `gradient`: the statistic of a round; `complete`: the number of patients, where it is not public.
//! * `clip`: a clip that follows how long gradients are.
//! * `schedule`, `optimiser`: how long a step is, and where it goes.
//! * `robust`: how hospitals' ways are merged where one may be wrong.
//! * `local`: steps that each hospital takes by itself within a round; `hospitals`: what the coordinator knows of each then.
//! * `stopping`: when it is enough.
//! * `evaluate`: what it says of patients it has not seen.
//! * `told`: what a trained model says.
//!
//! All of a hospital's patients are in every round (sampling would make the noise of few patients no smaller), so a round is one Gaussian
//! mechanism and costs its ρ like any other. Without noise it is gradient descent on all patients together, to the last bit, whatever the
//! number of sites: lanes are integers.
//!
//! Where there is a sampling rate, each patient is in each step by a coin, and all rounds are paid for at once. The sum is divided by how many are expected,
//! never by how many came: the mean is unbiased, without noise as well, and nobody learns who was in it.
//!
//! Features are scaled by their public bounds alone, so that no moments have to be paid for and one patient moves no other's row.

mod clip;
mod complete;
pub mod evaluate;
pub mod gradient;
mod hospitals;
pub mod local;
pub mod loss;
pub mod network;
pub mod optimiser;
pub mod prepare;
pub mod robust;
pub mod schedule;
pub mod start;
pub mod stopping;
mod told;

use summaries::{
    Curve, Estimate, MergedRelease, MergedRound, OfSite, PartWork, Population, Program, ProgramError, Reporting, Row,
    Statistic, Step, Toll, Walk,
};

pub use complete::Complete;
pub use gradient::{ClippedGradient, Group, Groups, Model};
pub use local::{Control, Local, Weights};
pub use loss::Loss;
pub use network::{Activation, Network};
pub use optimiser::{Moments, Optimiser};
pub use prepare::Prepared;
pub use robust::Merging;
pub use schedule::{Decay, Schedule};
pub use stopping::Stopping;
pub use told::coefficients;

use evaluate::loss::TestLoss;
use evaluate::{At, Evaluation};
use hospitals::{Hospitals, counted};
use local::{Begin, LocalSteps, Way};
use optimiser::Memory;
use robust::bounded;
use stopping::Looks;
use told::{Course, Told};

/// What the number of patients takes of the charge, where it is not public, beside 1 for all steps.
const COUNTING: f64 = 0.1;
/// What the evaluation takes, where patients are held out.
const EVALUATING: f64 = 0.25;
/// What a look at the loss of those who validate takes, beside 1 for the step of its round.
const LOOKING: f64 = 0.35;

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
    /// Where patients are sampled: with which probability each is in a step.
    pub sampling: Option<f64>,
    /// Where the clip follows how long gradients are: the share of them that is not to be cut.
    pub clip_quantile: Option<f64>,
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
    /// Steps that hospitals take by themselves in a round; then the step of the round is along their mean way.
    pub local: Option<Local>,
    /// How hospitals' ways are merged, or where there are none, their own mean gradients.
    pub merging: Merging,
    /// No hospital's way, or mean gradient, is longer.
    pub bound: Option<f64>,
    /// When to stop, where some patients validate.
    pub stopping: Option<Stopping>,
}

impl Setting {
    /// What hospitals do where their releases are told apart.
    fn apart(&self) -> Option<Local> {
        let robust = self.merging != Merging::Mean || self.bound.is_some();
        self.local.clone().or_else(|| robust.then(Local::one_step))
    }
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
    hospitals: Hospitals,
    looks: Looks,
    /// The hospital that works here, as a number.
    here: f64,
}

impl Training {
    /// `columns` are the places of the design's terms and, last, of the outcome. `None` where a setting is out of range.
    pub fn new(model: Model, setting: Setting, columns: Vec<usize>, reporting: Reporting) -> Option<Training> {
        let finite = [setting.clip, setting.schedule.start, setting.penalty].iter().all(|x| x.is_finite());
        let fits = finite && setting.rounds > 0 && setting.clip > 0.0 && setting.penalty >= 0.0;
        let trims = match setting.merging {
            Merging::Trimmed(share) => (0.0..0.5).contains(&share),
            _ => true,
        };
        let apart = setting.apart().is_some();
        let sampled = setting.sampling.is_none_or(|q| q > 0.0 && q <= 1.0 && !apart);
        let follows = |q: f64| q > 0.0 && q < 1.0 && clip::is_clip(setting.clip) && !apart;
        let fits = fits
            && sampled
            && setting.clip_quantile.is_none_or(follows)
            && setting.stopping.is_none_or(|_| model.validates())
            && trims
            && setting.bound.is_none_or(|b| b > 0.0 && b.is_finite());
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
            hospitals: Hospitals::default(),
            looks: Looks::default(),
            here: 0.0,
            model,
            setting,
            columns,
            reporting,
        })
    }

    /// Rounds before the first step.
    fn before(&self) -> u32 {
        u32::from(self.setting.patients.is_none() || self.setting.apart().is_some())
    }

    /// θ of a round's parameters; behind it there may be what hospitals need to know that take steps of their own, or the round's clip.
    fn parameters<'a>(&self, given: &'a [f64]) -> Result<&'a [f64], ProgramError> {
        let needed = self.model.network().parameters();
        let long = match (&self.setting.local, self.setting.clip_quantile) {
            (Some(local), _) => Hospitals::fits(local, needed, given.len()),
            (None, Some(_)) => given.len() == needed + 1 && given.last().is_some_and(|c| clip::is_clip(*c)),
            (None, None) => given.len() == needed,
        };
        let theta = given.get(..needed).filter(|_| long && given.iter().all(|p| p.is_finite()));
        theta.ok_or(ProgramError::Parameters { given: given.len(), needed })
    }

    /// The clip of a round's parameters.
    fn clip(&self, given: &[f64]) -> f64 {
        match self.setting.clip_quantile {
            Some(_) => given.last().copied().unwrap_or(self.setting.clip),
            None => self.setting.clip,
        }
    }

    /// A round's parameters with its clip, where that is none of the plan's.
    fn with_clip(&self, mut theta: Vec<f64>, clip: f64) -> Vec<f64> {
        theta.extend(self.setting.clip_quantile.map(|_| clip));
        theta
    }

    /// The way of the hospital that works here.
    fn walk(&self, local: &Local, step: u32, given: &[f64]) -> Result<LocalSteps, ProgramError> {
        let theta = self.parameters(given)?.to_vec();
        let d = theta.len();
        let found = Hospitals::find(local, d, given, self.here);
        let begin = Begin {
            theta,
            patients: found.patients,
            correction: found.correction,
            rate: local.schedule.rate(step, self.setting.rounds),
            seed: self.setting.seed.unwrap_or(0) ^ self.here.to_bits(),
            before: u64::from(step) * u64::from(local.steps),
        };
        let (given, needed) = (given.len(), d);
        let made = LocalSteps::new(self.model.clone(), local.clone(), (self.setting.clip, self.setting.penalty), begin);
        made.ok_or(ProgramError::Parameters { given, needed })
    }

    fn gradient(&self, theta: &[f64], clip: f64) -> Result<ClippedGradient, ProgramError> {
        let (given, needed) = (theta.len(), self.model.network().parameters());
        let made = ClippedGradient::new(self.model.clone(), theta.to_vec(), clip);
        made.ok_or(ProgramError::Parameters { given, needed })
    }

    /// What comes after a round that led to parameters: in front of steps that hospitals take by themselves, what each needs to know.
    fn go_on(&mut self, round: u32, theta: &[f64], clip: f64) -> Step {
        let enough = self.is_enough();
        let round = if enough { self.before() + self.setting.rounds - 1 } else { round };
        let taken = (round + 1).saturating_sub(self.before());
        if round + 1 >= self.rounds() {
            let theta = self.averaged_or(theta);
            let told = self.finish(&theta);
            self.trained = Some(theta);
            return Step::Done(told);
        }
        let parameters = match &self.setting.local {
            _ if taken == self.setting.rounds => self.averaged_or(theta),
            Some(local) => self.hospitals.parameters(local, theta, local.schedule.rate(taken, self.setting.rounds)),
            None => theta.to_vec(),
        };
        Step::Continue { round: round + 1, parameters: self.with_clip(parameters, clip) }
    }

    /// Moves parameters along the mean of the hospitals' ways.
    fn along(&mut self, step: u32, theta: &mut [f64], sites: &[OfSite]) -> Result<(), ProgramError> {
        let Some(local) = self.setting.apart() else { return Err(ProgramError::Merged) };
        let (sum, site_rate) =
            (self.gradient(theta, self.setting.clip)?, local.schedule.rate(step, self.setting.rounds));
        let mut ways = Vec::with_capacity(sites.len());
        for s in sites {
            let [own, ..] = s.round.parts.as_slice() else { return Err(ProgramError::Merged) };
            let n = self.hospitals.patients(&s.site);
            let way = match &self.setting.local {
                Some(local) => Way::read(&sum, local, (site_rate, n), own),
                None => Way::of_sum(&sum, n, own),
            };
            let mut way = way.ok_or(ProgramError::Merged)?;
            bounded(&mut way.way, self.setting.bound);
            ways.push((s.site.clone(), n, way));
        }
        let merging = self.setting.merging;
        let together = self.hospitals.together(&local, theta, site_rate, &ways, merging);
        let mut together = together.ok_or(ProgramError::Merged)?;
        let rate = self.setting.schedule.rate(step, self.setting.rounds);
        if self.setting.local.is_none() {
            self.penalise(&mut together.way, theta, (rate, self.patients[0].max(1.0)));
        }
        self.setting.optimiser.step(&mut self.memory, theta, &together.way, rate);
        self.noise = together.noise[0];
        let [loss, cut, n] = together.beside;
        self.moved(step, theta, ([loss / n, cut / n], [together.noise[1] / n, together.noise[2] / n]));
        Ok(())
    }

    /// What is kept of a step that was taken: how it went, and where it led.
    fn moved(&mut self, step: u32, theta: &mut [f64], ([loss, cut], [of_loss, of_cut]): ([f64; 2], [f64; 2])) {
        // Steps that are far too long must not end the study: they are held where numbers are still numbers.
        theta.iter_mut().for_each(|t| *t = if t.is_nan() { 0.0 } else { t.clamp(-FARTHEST, FARTHEST) });
        self.losses.push([loss, of_loss]);
        self.cut.push([cut, of_cut]);
        if step >= self.setting.rounds / 2 {
            self.averaged.iter_mut().zip(theta.iter()).for_each(|(a, t)| *a += t);
        }
    }

    /// Takes the penalty's part off a mean gradient over so many patients.
    fn penalise(&self, mean: &mut [f64], theta: &[f64], (rate, n): (f64, f64)) {
        let network = self.model.network();
        for (place, (g, t)) in mean.iter_mut().zip(theta.iter()).enumerate() {
            let penalty = if network.is_bias(place) { 0.0 } else { self.setting.penalty / n };
            // The penalty's own step is taken at where it leads, θ ← (θ + ηg)/(1 + ηλ), so that no rate makes it run away; it comes to
            // rest where the plain one does, at g = λθ.
            *g = (*g - penalty * t) / (1.0 + rate * penalty);
        }
    }

    /// Moves parameters by a round's sum. Returns the clip of the next.
    fn step(
        &mut self,
        step: u32,
        (theta, clip): (&mut [f64], f64),
        merged: &MergedRelease,
    ) -> Result<f64, ProgramError> {
        let sum = self.gradient(theta, clip)?.read(merged);
        let all = self.patients[0].max(1.0);
        // As many as are expected to be in it: how many were is in nobody's account.
        let n = all * self.setting.sampling.unwrap_or(1.0);
        let mut mean: Vec<f64> = sum.gradient.iter().map(|g| g / n).collect();
        let rate = self.setting.schedule.rate(step, self.setting.rounds);
        self.penalise(&mut mean, theta, (rate, all));
        self.setting.optimiser.step(&mut self.memory, theta, &mean, rate);
        let [gradient, loss, cut] = sum.noise.map(|sd| sd / n);
        self.noise = gradient;
        self.moved(step, theta, ([sum.loss / n, sum.cut / n], [loss, cut]));
        Ok(self.setting.clip_quantile.map_or(clip, |quantile| clip::next(clip, sum.cut / n, quantile)))
    }

    /// When a step's round looks at the loss of those who validate.
    fn looks(&self, step: u32) -> bool {
        self.setting.stopping.is_some_and(|s| step < self.setting.rounds && s.looks(step))
    }

    /// The loss of those who validate.
    fn look(&self, theta: &[f64]) -> Result<TestLoss, ProgramError> {
        let (given, needed) = (theta.len(), self.model.network().parameters());
        let of = At::of(self.model.clone(), theta.to_vec(), Group::Validate);
        of.map(TestLoss::of).ok_or(ProgramError::Parameters { given, needed })
    }

    /// Takes the look that a round has beside its step.
    fn looked(&mut self, step: u32, theta: &[f64], parts: &[MergedRelease]) -> Result<(), ProgramError> {
        if !self.looks(step) {
            return if parts.len() == 1 { Ok(()) } else { Err(ProgramError::Merged) };
        }
        let [_, own] = parts else { return Err(ProgramError::Merged) };
        let look = self.look(theta)?;
        if own.lanes.len() != look.layout().lanes {
            return Err(ProgramError::Merged);
        }
        // Too few to be told from the noise: as bad as a loss may be.
        let loss = look.mean(own).unwrap_or([self.model.loss().most(), 0.0]);
        self.looks.take(loss, theta);
        Ok(())
    }

    /// Whether no step follows a round's.
    fn is_enough(&self) -> bool {
        self.setting.stopping.is_some_and(|s| self.looks.is_over(s))
    }

    /// The model after the last step.
    fn averaged_or(&self, last: &[f64]) -> Vec<f64> {
        if let Some(best) = self.looks.best() {
            return best.to_vec();
        }
        if !self.setting.average || self.setting.stopping.is_some() {
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
        let rest = match self.setting.stopping {
            Some(_) => {
                let (looks, rest) = Looks::read(rest, self.averaged.len())?;
                self.looks = looks;
                rest
            }
            None => rest,
        };
        let rest = match self.setting.apart() {
            Some(local) => {
                let (hospitals, rest) = Hospitals::read(&local, self.averaged.len(), rest)?;
                self.hospitals = hospitals;
                rest
            }
            None => rest,
        };
        let optimiser = self.setting.optimiser.memory(rest, self.averaged.len())?;
        let pair = |c: &[f64], at: usize| [c.get(at).copied().unwrap_or(0.0), c.get(at + 1).copied().unwrap_or(0.0)];
        self.losses = courses.chunks(4).map(|c| pair(c, 0)).collect();
        self.cut = courses.chunks(4).map(|c| pair(c, 2)).collect();
        (self.patients, self.noise) = ([*n, *sd], *noise);
        self.averaged = averaged.to_vec();
        self.memory = optimiser;
        Some(())
    }

    fn evaluation(&self, theta: &[f64]) -> Result<Evaluation<'_>, ProgramError> {
        let (given, needed) = (theta.len(), self.model.network().parameters());
        let of = At::tested(self.model.clone(), theta.to_vec()).ok_or(ProgramError::Parameters { given, needed })?;
        Ok(Evaluation { of, thresholds: &self.setting.thresholds })
    }

    /// How the loss, the share of cut gradients, and the loss of those who validate went.
    fn curves(&self) -> Vec<Curve> {
        let mut out = told::curves(&self.model, &self.losses, &self.cut, &self.reporting);
        if let Some(stopping) = self.setting.stopping {
            let z = self.reporting.z();
            let point =
                |(look, [v, sd]): (u32, &[f64; 2])| [f64::from(look * stopping.every), *v, v - z * sd, v + z * sd];
            out.push(Curve {
                title: "Loss of the patients who validate".into(),
                kind: "line".into(),
                x_label: "round".into(),
                y_label: self.model.loss().name().to_owned(),
                points: (1u32..).zip(&self.looks.course).map(point).collect(),
            });
        }
        out
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
        let mut out = told.tell();
        out.curves = self.curves();
        if let Some([loss, sd]) = self.looks.smallest() {
            let row = Row::normal("training", "validation loss", loss, 0.0, sd, self.reporting.z());
            out.rows.push(
                row.note("the smallest that was looked at; of the model that is told, and flattering by the choice"),
            );
            let stopped = Row::test("training", "steps", self.losses.len() as f64, "taken before training stopped");
            out.rows.push(stopped);
        }
        out
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
            Some(step) if step < self.setting.rounds => 1.0 + if self.looks(step) { LOOKING } else { 0.0 },
            Some(_) => EVALUATING * steps,
        }
    }

    fn tolls(&self, round: u32) -> Vec<Toll> {
        let Some(rate) = self.setting.sampling else { return Vec::new() };
        let all = |of, weight| Toll { of, weight, rate: 1.0, step: false };
        match round.checked_sub(self.before()) {
            None => vec![all(Population::Trained, 1.0)],
            Some(step) if step < self.setting.rounds => {
                let own = |of, weight| Toll { of, weight, rate, step: true };
                let look = self.looks(step).then(|| own(Population::Validating, LOOKING));
                std::iter::once(own(Population::Trained, 1.0)).chain(look).collect()
            }
            Some(_) => evaluate::weights(self.model.loss()).into_iter().map(|w| all(Population::Tested, w)).collect(),
        }
    }

    fn first(&self) -> Vec<f64> {
        self.with_clip(start::start(self.model.network(), self.setting.seed), self.setting.clip)
    }

    fn resumes(&self) -> bool {
        true
    }

    fn apart(&self) -> bool {
        self.setting.apart().is_some()
    }

    fn at_site(&mut self, site: &str) {
        self.here = crate::glm::tag(site);
    }

    fn turn(&self, round: u32) -> Option<u32> {
        let turns = self.setting.local.as_ref().is_some_and(|l| l.turns);
        round.checked_sub(self.before()).filter(|step| turns && *step < self.setting.rounds)
    }

    fn memory(&self) -> Vec<f64> {
        let mut out = vec![self.patients[0], self.patients[1], self.noise, self.losses.len() as f64];
        out.extend(self.losses.iter().zip(&self.cut).flat_map(|(l, c)| l.iter().chain(c)));
        out.extend(&self.averaged);
        if self.setting.stopping.is_some() {
            out.extend(self.looks.numbers());
        }
        if self.apart() {
            out.extend(self.hospitals.numbers());
        }
        out.extend(self.setting.optimiser.numbers(&self.memory));
        out
    }

    fn remember(&mut self, memory: &[f64]) {
        let _ = self.read(memory);
    }

    fn progress(&self) -> Vec<summaries::Course> {
        let course = |name: &str, values: &Course| summaries::Course { name: name.to_owned(), values: values.clone() };
        let mut out = vec![course("loss", &self.losses), course("cut", &self.cut)];
        if self.setting.stopping.is_some() {
            out.push(course("validation loss", &self.looks.course));
        }
        out
    }

    fn model(&self) -> Option<&[f64]> {
        self.trained.as_deref()
    }

    /// The courses of loss and cut; there is no model yet.
    fn so_far(&self) -> Option<Estimate> {
        let curves = self.curves();
        (!self.losses.is_empty()).then(|| Estimate { rows: Vec::new(), curves })
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        let theta = self.parameters(parameters)?;
        if round >= self.rounds() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        if round >= self.before() + self.setting.rounds {
            return Ok(self.evaluation(theta)?.work(&self.columns));
        }
        let statistic: Box<dyn Statistic> = if round < self.before() {
            Box::new(Complete(self.model.clone()))
        } else {
            Box::new(self.gradient(theta, self.clip(parameters))?)
        };
        let mut looks = Vec::new();
        if round.checked_sub(self.before()).is_some_and(|step| self.looks(step)) {
            looks.push(PartWork {
                name: "validation_loss".to_owned(),
                statistic: Box::new(self.look(theta)?),
                columns: self.columns.clone(),
                weight: LOOKING,
                walk: None,
                rate: self.setting.sampling,
            });
        }
        let walk: Option<Box<dyn Walk>> = match (&self.setting.local, round.checked_sub(self.before())) {
            (Some(local), Some(step)) => Some(Box::new(self.walk(local, step, parameters)?)),
            _ => None,
        };
        let name = if walk.is_some() { "local_steps" } else { statistic.name() }.to_owned();
        let rate = self.setting.sampling.filter(|_| round >= self.before());
        let step = PartWork { name, statistic, columns: self.columns.clone(), weight: 1.0, walk, rate };
        Ok(std::iter::once(step).chain(looks).collect())
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let theta = self.parameters(parameters)?;
        if self.model.has_holdout() && round + 1 == self.rounds() {
            let told = self.evaluation(theta)?.estimate(&merged.parts, &self.reporting);
            let told = told.ok_or(ProgramError::Merged)?;
            self.trained = Some(theta.to_vec());
            let mut out = self.finish(theta);
            // The evaluation is what one looks for first.
            out.rows.splice(0..0, told.rows);
            out.curves.splice(0..0, told.curves);
            return Ok(Step::Done(out));
        }
        let lanes = self.work(round, parameters)?.first().map_or(0, |w| w.layout().lanes);
        let [release, ..] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        if release.lanes.len() != lanes {
            return Err(ProgramError::Merged);
        }
        let (mut theta, mut clip) = (theta.to_vec(), self.clip(parameters));
        if let Some(step) = round.checked_sub(self.before()) {
            self.looked(step, &theta, &merged.parts)?;
        }
        match round.checked_sub(self.before()) {
            None => self.patients = counted(release),
            // The ways of hospitals are told apart.
            Some(_) if self.apart() => return Err(ProgramError::Merged),
            Some(step) => clip = self.step(step, (&mut theta, clip), release)?,
        }
        Ok(self.go_on(round, &theta, clip))
    }

    fn next_apart(
        &mut self,
        round: u32,
        parameters: &[f64],
        merged: &MergedRound,
        sites: &[OfSite],
    ) -> Result<Step, ProgramError> {
        let Some(local) = self.setting.apart() else { return self.next(round, parameters, merged) };
        let mut theta = self.parameters(parameters)?.to_vec();
        match round.checked_sub(self.before()) {
            None => {
                self.hospitals.count(sites, &local, &theta);
                self.next(round, parameters, merged)
            }
            Some(step) if step < self.setting.rounds => {
                self.looked(step, &theta, &merged.parts)?;
                self.along(step, &mut theta, sites)?;
                Ok(self.go_on(round, &theta, self.setting.clip))
            }
            Some(_) => self.next(round, parameters, merged),
        }
    }
}
