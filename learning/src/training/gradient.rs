//! The one statistic of training: the sum over patients of their gradients, each cut to a public length.
//!
//! A patient adds g·min(1, C/‖g‖), g the slope of the own log-likelihood at the round's parameters and C the clip; beside it the own loss, as a
//! share of the most that it counts for, and whether the own gradient was as long as the clip, both times a tenth of C. So the vector's norm
//! is at most C·√(1 + 2/100): half a per cent of noise for each of the two curves that tell how training goes.
//!
//! The norm is computed from the same factors that are written; what floating point may lose there is far below a part in 10⁹, by which the
//! cut is shorter. A gradient whose norm is no number, or beyond all numbers, counts for nothing.
//!
//! Patients are taken in blocks of [`BLOCK`], the last one filled up with rows of 0 that are not written: so what a patient adds does not
//! depend on who else is in the block, and the sum over sites and batches is the same to the last bit however patients are dealt out.

use ndarray::Array2;
use summaries::lanes::encode;
use summaries::statistic::level;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use super::loss::{Loss, Outcomes};
use super::network::Network;
use super::prepare::{Learned, Missing, Plan, Prepared};
use crate::design::Design;

/// Patients whose gradients are taken at once.
pub const BLOCK: usize = 128;

/// What the loss and the share of cut gradients weigh, beside the clip.
const BESIDE: f64 = 0.1;

/// How much shorter a gradient is cut, for what floating point may lose.
const MARGIN: f64 = 1e-9;

/// Who a sum is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Those trained on: all, or those of the first level of the last column.
    Training,
    /// Those held out: of its second level.
    Test,
    /// Those who say when to stop: of its third.
    Validate,
}

/// Who is in which group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Levels of the last column; without such a column 0, and everybody is trained on.
    pub levels: u32,
    /// Whether the second level is tested in the end.
    pub tested: bool,
}

impl Groups {
    /// Whether patients of a level, where there are levels, are in a group.
    pub(crate) fn has(group: Group, level: Option<u32>) -> bool {
        match (group, level) {
            (Group::Training, None | Some(0)) => true,
            (Group::Test, Some(level)) => level == 1,
            (Group::Validate, Some(level)) => level == 2,
            _ => false,
        }
    }
}

/// A model to train: features, a network of them, a loss; and whether some patients are held out.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    design: Design,
    network: Network,
    loss: Loss,
    groups: Groups,
    prepared: Prepared,
    /// What is learned of the columns before training, if anything.
    plan: Option<Plan>,
}

impl Model {
    /// Of a design's scaled columns, each within −1 and 1. `None` where the network does not have as many inputs, or the loss as many
    /// outputs.
    pub fn new(design: Design, network: Network, loss: Loss) -> Option<Model> {
        Model::learning(design, network, loss, None)
    }

    /// The same, of columns that are prepared by what is learned of them before. The network has an input more for each term where one says
    /// that it is missing.
    pub fn learning(design: Design, network: Network, loss: Loss, learned: Option<Learned>) -> Option<Model> {
        let design = design.without_intercept().clipped(None);
        let plan = learned.filter(Learned::is_needed).map(|l| Plan::new(&design, l));
        let inputs = design.width() + plan.as_ref().map_or(0, Plan::indicators);
        let fits = inputs == network.inputs() && loss.outputs() == network.outputs();
        let (groups, prepared) = (Groups::default(), Prepared::default());
        fits.then_some(Model { design, network, loss, groups, prepared, plan })
    }

    /// The same with columns that are prepared so.
    #[must_use]
    pub fn with_prepared(mut self, prepared: Prepared) -> Model {
        self.prepared = prepared;
        self
    }

    /// How columns are prepared.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// What is learned of columns before training.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Numbers in front of the network's parameters that say how columns are prepared: of each column of a term its mean and 1 over its
    /// standard deviation, or none.
    pub fn frozen_numbers(&self) -> usize {
        self.plan.as_ref().map_or(0, Plan::numbers)
    }

    /// The model whose columns are prepared as its parameters say, and the network's own parameters. `None` where they do not fit.
    pub fn at<'a>(&self, parameters: &'a [f64]) -> Option<(Model, &'a [f64])> {
        let Some(plan) = &self.plan else { return Some((self.clone(), parameters)) };
        let (frozen, theta) = parameters.split_at_checked(plan.numbers())?;
        let prepared = self.prepared.frozen(plan, frozen)?;
        Some((Model { prepared, ..self.clone() }, theta))
    }

    /// What each input of the network is called.
    pub fn input_names(&self) -> Vec<String> {
        let mut out = self.design.names();
        let indicators = self.plan.as_ref().map_or(0, Plan::indicators);
        out.extend(self.design.terms().into_iter().take(indicators).map(|t| format!("{t} missing")));
        out
    }

    /// The same with a last column of two levels, train and test. Who has neither is in no sum.
    #[must_use]
    pub fn with_holdout(self) -> Model {
        self.with_groups(Groups { levels: 2, tested: true })
    }

    /// The same with a last column of these groups. Who is in none is in no sum.
    #[must_use]
    pub fn with_groups(mut self, groups: Groups) -> Model {
        self.groups = groups;
        self
    }

    /// Whether some patients are tested in the end.
    pub fn has_holdout(&self) -> bool {
        self.groups.tested
    }

    /// Whether some patients say when to stop.
    pub fn validates(&self) -> bool {
        self.groups.levels > 2
    }

    /// The features.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// What it reads: the design's columns, the outcome, and who is held out.
    pub fn inputs(&self) -> Vec<Input> {
        let mut out = self.design.inputs();
        out.extend(self.loss.inputs());
        out.extend((self.groups.levels > 0).then_some(Input::Level(self.groups.levels)));
        out
    }

    /// Calls `f` with the place, the scaled columns of the terms, the terms that are missing, and the outcome of each patient of a group who has one.
    ///
    /// # Errors
    /// The batch does not fit, or `f` failed.
    pub(crate) fn members(
        &self,
        statistic: &'static str,
        group: Group,
        patients: &PatientBatch,
        mut f: impl FnMut(usize, &mut [f64], &[bool], f64) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        let members = Members::of(self, statistic, group, patients)?;
        self.design.each(statistic, patients, |patient, bases, lacks| match members.outcome(patient) {
            Some(y) => f(patient, bases, lacks, y),
            None => Ok(()),
        })
    }

    /// Calls `f` with the inputs and the outcomes of at most [`BLOCK`] patients of a group at a time; rows beyond them are 0.
    ///
    /// # Errors
    /// The batch does not fit, or `f` failed.
    pub(crate) fn blocks(
        &self,
        statistic: &'static str,
        group: Group,
        patients: &PatientBatch,
        f: impl FnMut(Array2<f64>, &[f64]) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        let mut block = Block::new(self.network.inputs(), f);
        if let Some(plan) = &self.plan {
            self.members(statistic, group, patients, |_, bases, lacks, y| {
                block.take(y, |row| self.prepared.complete(plan, bases, lacks, row))
            })?;
            return block.end();
        }
        let members = Members::of(self, statistic, group, patients)?;
        let scale = self.design.norm();
        self.design.rows(statistic, patients, |patient, row, _| {
            let Some(y) = members.outcome(patient) else { return Ok(()) };
            block.take(y, |own| {
                own.iter_mut().zip(row).for_each(|(slot, u)| *slot = u * scale);
                self.prepared.apply(own);
                true
            })
        })?;
        block.end()
    }

    /// What parameters, with what is frozen in front of them, foretell of each patient of a batch of the features alone, in order; `None` of who lacks a feature that is
    /// not filled in.
    ///
    /// # Errors
    /// The batch or the parameters do not fit.
    pub fn foretell(
        &self,
        parameters: &[f64],
        patients: &PatientBatch,
    ) -> Result<Vec<Option<Vec<f64>>>, AccumulateError> {
        const NAME: &str = "prediction";
        let misfit = || AccumulateError::Column { statistic: NAME, wanted: "feature", place: 0 };
        let (model, theta) = self.at(parameters).ok_or_else(misfit)?;
        let mut out = vec![None; patients.patients()];
        let mut block = Block::new(self.network.inputs(), |rows, places: &[f64]| {
            let tape = model.network.forward(theta, rows).ok_or_else(misfit)?;
            for (own, place) in tape.outputs.rows().into_iter().zip(places) {
                let told = model.loss.predict(own.to_slice().ok_or_else(misfit)?);
                out.iter_mut().skip(*place as usize).take(1).for_each(|slot| *slot = Some(told.clone()));
            }
            Ok(())
        });
        let nothing = Plan::new(&self.design, Learned { moments: false, missing: Missing::Drop, share: 0.0 });
        let plan = model.plan.as_ref().unwrap_or(&nothing);
        let prepared = &model.prepared;
        self.design.each(NAME, patients, |patient, bases, lacks| {
            block.take(patient as f64, |row| prepared.complete(plan, bases, lacks, row))
        })?;
        block.end()?;
        Ok(out)
    }

    /// What parameters foretell of each complete patient of a batch: the outcome, the probability of yes, of each level, or the mean count.
    ///
    /// # Errors
    /// The batch or the parameters do not fit.
    pub fn predict(&self, theta: &[f64], patients: &PatientBatch) -> Result<Vec<Vec<f64>>, AccumulateError> {
        let mut out = Vec::new();
        self.outputs("prediction", Group::Training, (theta, patients), |outputs, _| {
            out.push(self.loss.predict(outputs));
            Ok(())
        })?;
        Ok(out)
    }

    /// Calls `f` with the network's outputs at parameters and the outcome of each complete patient of a group.
    ///
    /// # Errors
    /// As [`Model::blocks`], or the parameters do not fit.
    pub(crate) fn outputs(
        &self,
        statistic: &'static str,
        group: Group,
        (theta, patients): (&[f64], &PatientBatch),
        mut f: impl FnMut(&[f64], f64) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        let misfit = || AccumulateError::Column { statistic, wanted: "feature", place: 0 };
        self.blocks(statistic, group, patients, |rows, outcomes| {
            let tape = self.network.forward(theta, rows).ok_or_else(misfit)?;
            for (own, y) in tape.outputs.rows().into_iter().zip(outcomes) {
                f(own.to_slice().ok_or_else(misfit)?, *y)?;
            }
            Ok(())
        })
    }
}

/// Who of a batch is in a group and has an outcome.
struct Members<'a> {
    groups: Option<&'a [u32]>,
    group: Group,
    outcomes: Outcomes<'a>,
}

impl<'a> Members<'a> {
    fn of(
        model: &Model,
        statistic: &'static str,
        group: Group,
        patients: &'a PatientBatch,
    ) -> Result<Members<'a>, AccumulateError> {
        let place = model.design.inputs().len();
        let behind = place + model.loss.inputs().len();
        let groups = (model.groups.levels > 0).then(|| level(statistic, patients, behind)).transpose()?;
        Ok(Members { groups, group, outcomes: model.loss.outcomes(statistic, patients, place)? })
    }

    /// The outcome of a patient of the group.
    fn outcome(&self, patient: usize) -> Option<f64> {
        let is_in = match self.groups {
            None => Groups::has(self.group, None),
            Some(g) => g.get(patient).is_some_and(|level| Groups::has(self.group, Some(*level))),
        };
        self.outcomes.of(patient).filter(|_| is_in)
    }
}

/// Rows on their way into a network, [`BLOCK`] at a time, each with a number beside it.
struct Block<F> {
    rows: Array2<f64>,
    beside: Vec<f64>,
    f: F,
}

impl<F: FnMut(Array2<f64>, &[f64]) -> Result<(), AccumulateError>> Block<F> {
    fn new(width: usize, f: F) -> Block<F> {
        Block { rows: Array2::zeros((BLOCK, width)), beside: Vec::with_capacity(BLOCK), f }
    }

    /// Takes a row that `fill` writes, if it does.
    fn take(&mut self, beside: f64, fill: impl FnOnce(&mut [f64]) -> bool) -> Result<(), AccumulateError> {
        let mut own = self.rows.row_mut(self.beside.len());
        if !own.as_slice_mut().is_some_and(fill) {
            return Ok(());
        }
        self.beside.push(beside);
        if self.beside.len() == BLOCK { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), AccumulateError> {
        let width = self.rows.ncols();
        let full = std::mem::replace(&mut self.rows, Array2::zeros((BLOCK, width)));
        (self.f)(full, &self.beside)?;
        self.beside.clear();
        Ok(())
    }

    fn end(&mut self) -> Result<(), AccumulateError> {
        if self.beside.is_empty() { Ok(()) } else { self.hand_on() }
    }
}

/// The sum at given parameters.
#[derive(Clone)]
pub struct ClippedGradient {
    model: Model,
    theta: Vec<f64>,
    clip: f64,
}

/// What a merged sum says.
pub(crate) struct Sum {
    /// The summed gradient, the network's parameters long.
    pub(crate) gradient: Vec<f64>,
    /// The summed loss.
    pub(crate) loss: f64,
    /// How many patients' gradients were cut.
    pub(crate) cut: f64,
    /// The noise's standard deviation of a lane, of the loss and of the number cut.
    pub(crate) noise: [f64; 3],
}

impl ClippedGradient {
    /// `None` where the parameters are not as many as the model's, or the clip is not above 0.
    pub fn new(model: Model, theta: Vec<f64>, clip: f64) -> Option<ClippedGradient> {
        let fits = theta.len() == model.network.parameters() && clip > 0.0 && clip.is_finite();
        fits.then_some(ClippedGradient { model, theta, clip })
    }

    /// At parameters that are as many as the model's.
    pub(crate) fn at(model: Model, theta: Vec<f64>, clip: f64) -> ClippedGradient {
        ClippedGradient { model, theta, clip }
    }

    /// The last two lanes of these sums of losses and of cut gradients.
    pub(crate) fn beside(&self, [loss, cut]: [f64; 2]) -> [f64; 2] {
        let beside = BESIDE * self.clip;
        [loss / self.model.loss.most() * beside, cut * beside]
    }

    /// What a merged release says.
    pub(crate) fn read(&self, merged: &MergedRelease) -> Sum {
        let (layout, d) = (self.layout(), self.theta.len());
        let beside = BESIDE * self.clip;
        let sd = merged.variance(&layout).sqrt();
        let most = self.model.loss.most();
        Sum {
            gradient: (0..d).map(|lane| merged.value(lane, &layout)).collect(),
            loss: merged.value(d, &layout) / beside * most,
            cut: merged.value(d + 1, &layout) / beside,
            noise: [sd, sd / beside * most, sd / beside],
        }
    }
}

impl Statistic for ClippedGradient {
    fn name(&self) -> &'static str {
        "clipped_gradient"
    }
    fn inputs(&self) -> Vec<Input> {
        self.model.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.theta.len() + 2, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        let norm = self.clip * (1.0 + 2.0 * BESIDE * BESIDE).sqrt();
        Sensitivity::fixed_point(self.layout().lanes, norm, self.clip)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "clipped_gradient";
        self.check(lanes)?;
        let (network, loss, d) = (&self.model.network, self.model.loss, self.theta.len());
        let misfit = || AccumulateError::Column { statistic: NAME, wanted: "feature", place: 0 };
        self.model.blocks(NAME, Group::Training, patients, |rows, outcomes| {
            let mut tape = network.forward(&self.theta, rows).ok_or_else(misfit)?;
            let mut slopes = std::mem::take(&mut tape.outputs);
            let losses = loss.turn_all(&mut slopes, outcomes);
            let factors = network.backward(&self.theta, tape, slopes).ok_or_else(misfit)?;
            for (patient, loss_of_one) in losses.iter().enumerate() {
                let norm = factors.norm2.get(patient).copied().unwrap_or(f64::NAN).sqrt();
                let share = (loss_of_one / loss.most()).clamp(0.0, 1.0);
                lanes.add(NAME, d, encode(BESIDE * self.clip * share))?;
                let is_cut = norm.is_nan() || norm >= self.clip * (1.0 - MARGIN);
                lanes.add(NAME, d + 1, encode(BESIDE * self.clip * f64::from(u8::from(is_cut))))?;
                if !norm.is_finite() {
                    continue;
                }
                let keep = if is_cut { self.clip / norm * (1.0 - MARGIN) } else { 1.0 };
                for (layer, a, delta) in &factors.layers {
                    let (Some(a), Some(delta)) = (a.row(patient).to_slice(), delta.row(patient).to_slice()) else {
                        return Err(misfit());
                    };
                    let largest = a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                    let starts = (layer.first..).step_by(layer.inputs + 1);
                    for (first, back) in starts.zip(delta) {
                        lanes.add(NAME, first, encode(keep * back))?;
                        lanes.add_scaled(NAME, first + 1, keep * back, (a, largest))?;
                    }
                }
            }
            Ok(())
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
