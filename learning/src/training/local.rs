//! Steps that each hospital takes by itself between two rounds (McMahan and others 2017, "federated averaging"), and what keeps them together:
//! a pull back to the round's parameters (Li and others 2020, "FedProx"), or a correction of each hospital's own drift.
//!
//! With ḡ the mean gradient at the hospital's own θ, η its rate, μ the pull, c the correction, a step is θ ← θ + η(ḡ − μ(θ − θ₀)) + c, or
//! along an optimiser of its own in place of ηḡ. What leaves is n(θ − θ₀)/η with n what its sums are divided by: of plain steps over all
//! patients the sum of all steps' gradients.
//!
//! Each step has noise of its own (`summaries::walk`), so E steps a round cost E rounds: few steps of many patients under noise, many of few
//! without. Batches of so many rows in a shuffled order are for simulations alone.

use summaries::{FIXED_POINT, Layout, MergedRelease, Statistic, Walk};

use super::gradient::{ClippedGradient, Model};
use super::optimiser::{Memory, Optimiser};
use super::schedule::{Decay, Schedule};
use super::start::SplitMix64;

/// Units of what leaves: a sum of many steps must fit, and no noise is as small.
const UNITS: f64 = (1u64 << 24) as f64;

/// What corrects a hospital's drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing.
    None,
    /// Control variates (Karimireddy and others 2020, "SCAFFOLD", option II): a hospital's mean gradient of its last round is taken off, and
    /// the mean of all hospitals', each for what it counts, is added.
    Variates,
    /// The way from where the hospital ended last to where the round begins, spread over the steps: as FLamby has SCAFFOLD.
    Ends,
}

/// What a hospital's way counts for in the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// As many as its patients.
    Patients,
    /// One.
    Hospitals,
}

impl Weights {
    /// Of a hospital with so many patients.
    pub(crate) fn of(self, patients: f64) -> f64 {
        if self == Weights::Patients { patients } else { 1.0 }
    }
}

/// Steps between two rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// How many in a round.
    pub steps: u32,
    /// Their rate, by round.
    pub schedule: Schedule,
    /// Where they go.
    pub optimiser: Optimiser,
    /// Rows of a step, in a shuffled order; all where `None`.
    pub batch: Option<u32>,
    /// μ.
    pub proximal: f64,
    /// What corrects drift.
    pub control: Control,
    /// What a hospital counts for.
    pub weights: Weights,
    /// Whether one hospital after the other goes on with the model, and not all at once.
    pub turns: bool,
}

impl Local {
    /// One step along each hospital's own sum, for rounds that are told apart without steps of their own.
    pub(crate) fn one_step() -> Local {
        Local {
            steps: 1,
            schedule: Schedule { start: 1.0, decay: Decay::Constant },
            optimiser: Optimiser::Sgd { momentum: 0.0 },
            batch: None,
            proximal: 0.0,
            control: Control::None,
            weights: Weights::Patients,
            turns: false,
        }
    }
}

/// What a hospital's way begins with.
pub(crate) struct Begin {
    /// θ₀.
    pub(crate) theta: Vec<f64>,
    /// What sums are divided by, and the number of all patients.
    pub(crate) patients: [f64; 2],
    /// c, where there is one.
    pub(crate) correction: Vec<f64>,
    /// The rate.
    pub(crate) rate: f64,
    /// The hospital's own order of rows.
    pub(crate) seed: u64,
    /// Steps of the rounds before.
    pub(crate) before: u64,
}

/// The way of one hospital through one round.
pub(crate) struct LocalSteps {
    model: Model,
    local: Local,
    clip: f64,
    penalty: f64,
    begin: Begin,
    theta: Vec<f64>,
    memory: Memory,
    step: u32,
    /// Losses and cut gradients of the steps so far.
    beside: [f64; 2],
}

impl LocalSteps {
    /// `None` where the parameters do not fit the model.
    pub(crate) fn new(model: Model, local: Local, (clip, penalty): (f64, f64), begin: Begin) -> Option<LocalSteps> {
        ClippedGradient::new(model.clone(), begin.theta.clone(), clip)?;
        let d = begin.theta.len();
        let fits = begin.correction.is_empty() || begin.correction.len() == d;
        fits.then(|| LocalSteps {
            theta: begin.theta.clone(),
            memory: Memory::new(d),
            step: 0,
            beside: [0.0; 2],
            model,
            local,
            clip,
            penalty,
            begin,
        })
    }

    fn sum(&self) -> ClippedGradient {
        ClippedGradient::at(self.model.clone(), self.theta.clone(), self.clip)
    }
}

impl Walk for LocalSteps {
    fn steps(&self) -> u32 {
        self.local.steps
    }

    fn statistic(&self) -> Box<dyn Statistic> {
        Box::new(self.sum())
    }

    fn rows(&self, patients: usize) -> Option<Vec<usize>> {
        let size = self.local.batch? as usize;
        let batches = patients.div_ceil(size.max(1)).max(1) as u64;
        let step = self.begin.before + u64::from(self.step);
        let mut order: Vec<usize> = (0..patients).collect();
        SplitMix64::of(self.begin.seed ^ (step / batches).wrapping_mul(0x9e37_79b9)).shuffle(&mut order);
        Some(order.into_iter().skip((step % batches) as usize * size).take(size).collect())
    }

    fn take(&mut self, sum: &MergedRelease, chosen: Option<usize>) {
        let sum = self.sum().read(sum);
        let of = chosen.map_or(self.begin.patients[0], |n| n as f64).max(1.0);
        let all = self.begin.patients[1].max(1.0);
        let (rate, mu) = (self.begin.rate, self.local.proximal);
        let network = self.model.network();
        let mut mean: Vec<f64> = sum.gradient.iter().map(|g| g / of).collect();
        for (place, (g, (t, start))) in mean.iter_mut().zip(self.theta.iter().zip(&self.begin.theta)).enumerate() {
            let penalty = if network.is_bias(place) { 0.0 } else { self.penalty / all };
            *g -= penalty * t + mu * (t - start);
        }
        let rate = rate * self.local.optimiser.unbiased(self.step + 1);
        self.local.optimiser.step(&mut self.memory, &mut self.theta, &mean, rate);
        self.theta.iter_mut().zip(&self.begin.correction).for_each(|(t, c)| *t += c);
        self.theta
            .iter_mut()
            .for_each(|t| *t = if t.is_nan() { 0.0 } else { t.clamp(-super::FARTHEST, super::FARTHEST) });
        self.beside[0] += sum.loss / of;
        self.beside[1] += sum.cut / of;
        self.step += 1;
    }

    fn layout(&self) -> Layout {
        Layout { lanes: self.theta.len() + 2, scale: UNITS }
    }

    fn released(&self) -> Vec<f64> {
        let n = self.begin.patients[0];
        let by = n / self.begin.rate;
        let way = self.theta.iter().zip(&self.begin.theta).map(|(t, start)| (t - start) * by);
        way.chain(self.sum().beside(self.beside.map(|b| b * n))).collect()
    }
}

/// What a hospital's release of a round says.
pub(crate) struct Way {
    /// θ − θ₀.
    pub(crate) way: Vec<f64>,
    /// The sums of losses and of cut gradients, a step's.
    pub(crate) beside: [f64; 2],
    /// The noise's standard deviation of a parameter, of the loss and of the number cut.
    pub(crate) noise: [f64; 3],
}

impl Way {
    /// Of a plain sum: its mean gradient.
    pub(crate) fn of_sum(sum: &ClippedGradient, n: f64, own: &MergedRelease) -> Option<Way> {
        if own.lanes.len() != sum.layout().lanes {
            return None;
        }
        let read = sum.read(own);
        let way = read.gradient.iter().map(|g| g / n.max(1.0)).collect();
        Some(Way {
            way,
            beside: [read.loss, read.cut],
            noise: [read.noise[0] / n.max(1.0), read.noise[1], read.noise[2]],
        })
    }

    /// Of a release; `None` where it has other lanes.
    pub(crate) fn read(
        sum: &ClippedGradient,
        local: &Local,
        (rate, n): (f64, f64),
        own: &MergedRelease,
    ) -> Option<Way> {
        let layout = Layout { lanes: sum.layout().lanes, scale: UNITS };
        if own.lanes.len() != layout.lanes {
            return None;
        }
        // The same numbers in the units of a step's sum.
        let as_sum = MergedRelease { unit: own.unit * UNITS / FIXED_POINT, ..own.clone() };
        let read = sum.read(&as_sum);
        let steps = f64::from(local.steps.max(1));
        let by = rate / n.max(1.0);
        Some(Way {
            way: read.gradient.iter().map(|g| g * by).collect(),
            beside: [read.loss / steps, read.cut / steps],
            noise: [read.noise[0] * by, read.noise[1] / steps, read.noise[2] / steps],
        })
    }
}
