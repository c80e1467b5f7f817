//! Training over rounds: in each, the sites release one sum of clipped gradients, and the coordinator takes a step.
//!
//! * `start`: where parameters begin; `network`: linear models and perceptrons; `loss`: what they are fitted to.
//! * `prepare`: how features become inputs; `columns`: what is learned of them before; `pieces`: the
//!   same for other software.
//! * `gradient`: the statistic of a round; `complete`: the number of patients, where it is not public.
//! * `clip`: a clip that follows how long gradients are.
//! * `schedule`, `optimiser`: how long a step is, and where it goes.
//! * `robust`: how hospitals' ways are merged where one may be wrong.
//! * `local`: steps that each hospital takes by itself within a round; `hospitals`: what the coordinator knows of each then.
//! * `stopping`: when it is enough.
//! * `evaluate`: what it says of patients it has not seen.
//! * `told`: what a trained model says. `tune`: how one hospital goes on with it for itself.
//!
//! All of a hospital's patients are in every round (sampling would make the noise of few patients no smaller), so a round is one Gaussian
//! mechanism and costs its ρ like any other. Without noise it is gradient descent on all patients together, to the last bit, whatever the
//! number of sites: lanes are integers.
//!
//! Where there is a sampling rate, each patient is in each step by a coin, and all rounds are paid for at once. The sum is divided by how many are expected,
//! never by how many came: the mean is unbiased, without noise as well, and nobody learns who was in it.
//!
//! Features are scaled by their public bounds, or by moments that were released before: either way one patient moves no other's row.

mod clip;
mod columns;
mod complete;
pub mod evaluate;
pub mod gradient;
mod hospitals;
pub mod local;
pub mod loss;
pub mod network;
pub mod optimiser;
pub mod pieces;
pub mod prepare;
pub mod robust;
pub mod schedule;
pub mod start;
pub mod stopping;
mod told;
pub mod tune;

use summaries::{
    Curve, Estimate, MergedRelease, MergedRound, OfSite, PartWork, Population, Program, ProgramError, Reporting, Row,
    Statistic, Step, Toll, Walk,
};

pub use columns::Columns;
pub use complete::Complete;
pub use gradient::{ClippedGradient, Group, Groups, Model};
pub use local::{Control, Local, Weights};
pub use loss::Loss;
pub use network::{Activation, Network};
pub use optimiser::{Moments, Optimiser};
pub use prepare::{Learned, Missing, Prepared};
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

/// What a round's parameters say.
struct Given<'a> {
    /// The model, its columns prepared as was frozen.
    model: Model,
    /// What is frozen of the columns.
    frozen: &'a [f64],
    theta: &'a [f64],
    /// θ, and what hospitals need to know that take steps of their own, or the round's clip.
    rest: &'a [f64],
    clip: f64,
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
    /// Rounds whose sums are added up before a step, and the sum since the last one.
    accumulate: u32,
    gathered: Vec<f64>,
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
            accumulate: 1,
            gathered: Vec::new(),
            here: 0.0,
            model,
            setting,
            columns,
            reporting,
        })
    }

    /// The same with a step after so many rounds alone, along the sum of theirs. `None` where that is no divisor of the rounds, or hospitals are
    /// told apart.
    pub fn accumulating(mut self, rounds: u32) -> Option<Training> {
        let fits = rounds > 0 && self.setting.rounds.is_multiple_of(rounds) && (rounds == 1 || !self.apart());
        self.accumulate = rounds;
        self.gathered = if rounds > 1 { vec![0.0; self.averaged.len()] } else { Vec::new() };
        fits.then_some(self)
    }

    /// Whether patients are counted in the first round.
    fn counts(&self) -> bool {
        self.setting.patients.is_none() || self.setting.apart().is_some()
    }

    /// Rounds before the first step.
    fn before(&self) -> u32 {
        u32::from(self.counts() || self.model.plan().is_some())
    }

    /// The statistics of the first round, where it is before the first step, each with its weight.
    fn first_parts(&self) -> Vec<(Box<dyn Statistic>, f64)> {
        let mut out: Vec<(Box<dyn Statistic>, f64)> = Vec::new();
        if self.counts() {
            out.push((Box::new(Complete(self.model.clone())), COUNTING * f64::from(self.setting.rounds)));
        }
        let share = self.model.plan().map_or(0.0, |p| p.learned.share.clamp(0.0, 0.9));
        if let Some(columns) = Columns::new(self.model.clone()) {
            let counting = if self.counts() { COUNTING * f64::from(self.setting.rounds) } else { 0.0 };
            let later: f64 = (self.before()..self.rounds()).map(|r| self.weight(r)).sum();
            out.push((Box::new(columns), (counting + later) * share / (1.0 - share)));
        }
        out
    }

    /// The weights of these in their round.
    fn first_weights(&self) -> Vec<f64> {
        let weights: Vec<f64> = self.first_parts().into_iter().map(|(_, weight)| weight).collect();
        if weights.len() == 1 { vec![1.0] } else { weights }
    }

    fn given<'a>(&self, round: u32, given: &'a [f64]) -> Result<Given<'a>, ProgramError> {
        let d = self.model.network().parameters();
        let needed = self.model.frozen_numbers() + d;
        let wrong = || ProgramError::Parameters { given: given.len(), needed };
        let (frozen, rest) = given.split_at_checked(self.model.frozen_numbers()).ok_or_else(wrong)?;
        let long = match (&self.setting.local, self.setting.clip_quantile) {
            (Some(local), _) => Hospitals::fits(local, d, rest.len()),
            (None, Some(_)) => rest.len() == d + 1 && rest.last().is_some_and(|c| clip::is_clip(*c)),
            (None, None) => rest.len() == d,
        };
        let theta = rest.get(..d).filter(|_| long && given.iter().all(|p| p.is_finite())).ok_or_else(wrong)?;
        // Before the first round nothing is known of the columns.
        let model = if round < self.before() { Some(self.model.clone()) } else { self.model.at(frozen).map(|m| m.0) };
        let told = rest.last().copied().filter(|_| self.setting.clip_quantile.is_some());
        let clip = told.unwrap_or(self.setting.clip);
        Ok(Given { model: model.ok_or_else(wrong)?, frozen, theta, rest, clip })
    }

    /// A round's parameters with its clip, where that is none of the plan's.
    fn with_clip(&self, mut theta: Vec<f64>, clip: f64) -> Vec<f64> {
        theta.extend(self.setting.clip_quantile.map(|_| clip));
        theta
    }

    /// The way of the hospital that works here.
    fn walk(&self, local: &Local, step: u32, given: &Given<'_>) -> Result<LocalSteps, ProgramError> {
        let theta = given.theta.to_vec();
        let d = theta.len();
        let found = Hospitals::find(local, d, given.rest, self.here);
        let begin = Begin {
            theta,
            patients: found.patients,
            correction: found.correction,
            rate: local.schedule.rate(step, self.setting.rounds),
            seed: self.setting.seed.unwrap_or(0) ^ self.here.to_bits(),
            before: u64::from(step) * u64::from(local.steps),
        };
        let limits = (self.setting.clip, self.setting.penalty);
        let made = LocalSteps::new(given.model.clone(), local.clone(), limits, begin);
        made.ok_or(ProgramError::Parameters { given: d, needed: d })
    }

    fn gradient(&self, given: &Given<'_>) -> Result<ClippedGradient, ProgramError> {
        let d = given.theta.len();
        let made = ClippedGradient::new(given.model.clone(), given.theta.to_vec(), given.clip);
        made.ok_or(ProgramError::Parameters { given: d, needed: d })
    }

    /// What comes after a round that led to parameters: in front of steps that hospitals take by themselves, what each needs to know.
    fn go_on(&mut self, round: u32, (model, frozen): (&Model, &[f64]), theta: &[f64], clip: f64) -> Step {
        let enough = self.is_enough();
        let round = if enough { self.before() + self.setting.rounds - 1 } else { round };
        let taken = (round + 1).saturating_sub(self.before());
        if round + 1 >= self.rounds() {
            let theta = self.averaged_or(theta);
            let told = self.finish(model, &theta);
            self.trained = Some([frozen, &theta].concat());
            return Step::Done(told);
        }
        let own = match &self.setting.local {
            _ if taken == self.setting.rounds => self.averaged_or(theta),
            Some(local) => self.hospitals.parameters(local, theta, local.schedule.rate(taken, self.setting.rounds)),
            None => theta.to_vec(),
        };
        Step::Continue { round: round + 1, parameters: [frozen, &self.with_clip(own, clip)].concat() }
    }

    /// Moves parameters along the mean of the hospitals' ways.
    fn along(&mut self, step: u32, given: &Given<'_>, sites: &[OfSite]) -> Result<Vec<f64>, ProgramError> {
        let Some(local) = self.setting.apart() else { return Err(ProgramError::Merged) };
        let (sum, site_rate) = (self.gradient(given)?, local.schedule.rate(step, self.setting.rounds));
        let mut theta = given.theta.to_vec();
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
        let together = self.hospitals.together(&local, &theta, site_rate, &ways, merging);
        let mut together = together.ok_or(ProgramError::Merged)?;
        let rate = self.setting.schedule.rate(step, self.setting.rounds);
        if self.setting.local.is_none() {
            self.penalise(&mut together.way, &theta, (rate, self.patients[0].max(1.0)));
        }
        self.setting.optimiser.step(&mut self.memory, &mut theta, &together.way, rate);
        self.noise = together.noise[0];
        let [loss, cut, n] = together.beside;
        self.moved(step, &mut theta, ([loss / n, cut / n], [together.noise[1] / n, together.noise[2] / n]));
        Ok(theta)
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

    /// Moves parameters by a round's sum. Returns them, and the clip of the next.
    fn step(&mut self, step: u32, given: &Given<'_>, merged: &MergedRelease) -> Result<(Vec<f64>, f64), ProgramError> {
        let sum = self.gradient(given)?.read(merged);
        let mut theta = given.theta.to_vec();
        let all = self.patients[0].max(1.0);
        // As many as are expected to be in it: how many were is in nobody's account.
        let n = all * self.setting.sampling.unwrap_or(1.0);
        let clip = self.setting.clip_quantile.map_or(given.clip, |q| clip::next(given.clip, sum.cut / n, q));
        let [gradient, loss, cut] = sum.noise.map(|sd| sd / n);
        self.noise = gradient / f64::from(self.accumulate).sqrt();
        let course = ([sum.loss / n, sum.cut / n], [loss, cut]);
        let mut mean: Vec<f64> = sum.gradient.iter().map(|g| g / (n * f64::from(self.accumulate))).collect();
        if self.accumulate > 1 {
            mean.iter_mut().zip(&mut self.gathered).for_each(|(g, before)| *g += std::mem::take(before));
            if !(step + 1).is_multiple_of(self.accumulate) {
                self.gathered = mean;
                self.moved(step, &mut theta, course);
                return Ok((theta, clip));
            }
        }
        let rate = self.setting.schedule.rate(step, self.setting.rounds);
        self.penalise(&mut mean, &theta, (rate, all));
        self.setting.optimiser.step(&mut self.memory, &mut theta, &mean, rate);
        self.moved(step, &mut theta, course);
        Ok((theta, clip))
    }

    /// When a step's round looks at the loss of those who validate.
    fn looks(&self, step: u32) -> bool {
        self.setting.stopping.is_some_and(|s| step < self.setting.rounds && s.looks(step))
    }

    /// The loss of those who validate.
    fn look(given: &Given<'_>) -> Result<TestLoss, ProgramError> {
        let d = given.theta.len();
        let of = At::of(given.model.clone(), given.theta.to_vec(), Group::Validate);
        of.map(TestLoss::of).ok_or(ProgramError::Parameters { given: d, needed: d })
    }

    /// Takes the look that a round has beside its step.
    fn looked(&mut self, step: u32, given: &Given<'_>, parts: &[MergedRelease]) -> Result<(), ProgramError> {
        if !self.looks(step) {
            return if parts.len() == 1 { Ok(()) } else { Err(ProgramError::Merged) };
        }
        let [_, own] = parts else { return Err(ProgramError::Merged) };
        let look = Self::look(given)?;
        if own.lanes.len() != look.layout().lanes {
            return Err(ProgramError::Merged);
        }
        match look.mean(own) {
            Some(loss) => self.looks.take(loss, given.theta),
            None => self.looks.lose(self.model.loss().most()),
        }
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
        let (gathered, rest) = rest.split_at_checked(self.gathered.len())?;
        let optimiser = self.setting.optimiser.memory(rest, self.averaged.len())?;
        self.gathered = gathered.to_vec();
        let pair = |c: &[f64], at: usize| [c.get(at).copied().unwrap_or(0.0), c.get(at + 1).copied().unwrap_or(0.0)];
        self.losses = courses.chunks(4).map(|c| pair(c, 0)).collect();
        self.cut = courses.chunks(4).map(|c| pair(c, 2)).collect();
        (self.patients, self.noise) = ([*n, *sd], *noise);
        self.averaged = averaged.to_vec();
        self.memory = optimiser;
        Some(())
    }

    fn evaluation(&self, given: &Given<'_>) -> Result<Evaluation<'_>, ProgramError> {
        let d = given.theta.len();
        let of = At::tested(given.model.clone(), given.theta.to_vec());
        let of = of.ok_or(ProgramError::Parameters { given: d, needed: d })?;
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
                points: self.looks.told().map(point).collect(),
            });
        }
        out
    }

    fn finish(&self, model: &Model, theta: &[f64]) -> Estimate {
        let told = Told {
            model,
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
            out.rows.push(Row::test("training", "steps", self.losses.len() as f64, "taken before training stopped"));
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
            None => self.first_parts().iter().map(|(_, weight)| weight).sum(),
            Some(step) if step < self.setting.rounds => 1.0 + if self.looks(step) { LOOKING } else { 0.0 },
            Some(_) => EVALUATING * steps,
        }
    }

    fn tolls(&self, round: u32) -> Vec<Toll> {
        let Some(rate) = self.setting.sampling else { return Vec::new() };
        let all = |of, weight| Toll { of, weight, rate: 1.0, step: false };
        match round.checked_sub(self.before()) {
            None => self.first_weights().into_iter().map(|w| all(Population::Trained, w)).collect(),
            Some(step) if step < self.setting.rounds => {
                let own = |of, weight| Toll { of, weight, rate, step: true };
                let look = self.looks(step).then(|| own(Population::Validating, LOOKING));
                std::iter::once(own(Population::Trained, 1.0)).chain(look).collect()
            }
            Some(_) => evaluate::weights(self.model.loss()).into_iter().map(|w| all(Population::Tested, w)).collect(),
        }
    }

    fn first(&self) -> Vec<f64> {
        let start = start::start(self.model.network(), self.setting.seed);
        let start = self.with_clip(start, self.setting.clip);
        [vec![0.0; self.model.frozen_numbers()], start].concat()
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
        out.extend(&self.gathered);
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
            let told: Course = self.looks.told().map(|(_, look)| *look).collect();
            out.push(course("validation loss", &told));
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

    /// How good the model is at one hospital.
    fn own(&self, _: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let tests = self.model.has_holdout() && round + 1 == self.rounds();
        let given = self.given(round, parameters).ok().filter(|_| tests)?;
        let told = self.evaluation(&given).ok()?.estimate(&release.parts, &self.reporting)?;
        Some(Estimate { rows: told.rows, curves: Vec::new() })
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        let given = self.given(round, parameters)?;
        if round >= self.rounds() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        if round >= self.before() + self.setting.rounds {
            return Ok(self.evaluation(&given)?.work(&self.columns));
        }
        let part = |statistic: Box<dyn Statistic>, weight: f64| {
            let name = statistic.name().to_owned();
            PartWork { name, statistic, columns: self.columns.clone(), weight, walk: None, rate: None }
        };
        let Some(step) = round.checked_sub(self.before()) else {
            let parts = self.first_parts().into_iter().zip(self.first_weights());
            return Ok(parts.map(|((statistic, _), weight)| part(statistic, weight)).collect());
        };
        let mut own = part(Box::new(self.gradient(&given)?), 1.0);
        if let Some(local) = &self.setting.local {
            own.walk = Some(Box::new(self.walk(local, step, &given)?) as Box<dyn Walk>);
            "local_steps".clone_into(&mut own.name);
        }
        let mut out = vec![own];
        if self.looks(step) {
            let look = part(Box::new(Self::look(&given)?), LOOKING);
            out.push(PartWork { name: "validation_loss".to_owned(), ..look });
        }
        // Steps, and looks at how they do, are of a sample.
        out.iter_mut().for_each(|own| own.rate = self.setting.sampling);
        Ok(out)
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let given = self.given(round, parameters)?;
        if self.model.has_holdout() && round + 1 == self.rounds() {
            let told = self.evaluation(&given)?.estimate(&merged.parts, &self.reporting);
            let told = told.ok_or(ProgramError::Merged)?;
            self.trained = Some([given.frozen, given.theta].concat());
            let mut out = self.finish(&given.model, given.theta);
            // The evaluation is what one looks for first.
            out.rows.splice(0..0, told.rows);
            out.curves.splice(0..0, told.curves);
            return Ok(Step::Done(out));
        }
        let work = self.work(round, parameters)?;
        let fits = |(work, part): (&PartWork, &MergedRelease)| part.lanes.len() == work.layout().lanes;
        if work.len() != merged.parts.len() || !work.iter().zip(&merged.parts).all(fits) {
            return Err(ProgramError::Merged);
        }
        let [release, ..] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        let Some(step) = round.checked_sub(self.before()) else {
            if self.counts() {
                self.patients = counted(release);
            }
            let frozen = Columns::new(self.model.clone()).zip(merged.parts.last()).map(|(c, own)| c.read(own));
            let frozen = frozen.unwrap_or_default();
            let model = self.model.at(&frozen).ok_or(ProgramError::Merged)?.0;
            return Ok(self.go_on(round, (&model, &frozen), given.theta, given.clip));
        };
        self.looked(step, &given, &merged.parts)?;
        // The ways of hospitals are told apart.
        if self.apart() {
            return Err(ProgramError::Merged);
        }
        let (theta, clip) = self.step(step, &given, release)?;
        Ok(self.go_on(round, (&given.model, given.frozen), &theta, clip))
    }

    fn next_apart(
        &mut self,
        round: u32,
        parameters: &[f64],
        merged: &MergedRound,
        sites: &[OfSite],
    ) -> Result<Step, ProgramError> {
        let Some(local) = self.setting.apart() else { return self.next(round, parameters, merged) };
        let given = self.given(round, parameters)?;
        match round.checked_sub(self.before()) {
            None => {
                self.hospitals.count(sites, &local, given.theta);
                self.next(round, parameters, merged)
            }
            Some(step) if step < self.setting.rounds => {
                self.looked(step, &given, &merged.parts)?;
                let theta = self.along(step, &given, sites)?;
                Ok(self.go_on(round, (&given.model, given.frozen), &theta, given.clip))
            }
            Some(_) => self.next(round, parameters, merged),
        }
    }
}
