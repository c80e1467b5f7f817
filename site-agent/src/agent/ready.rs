//! What a round asks for, ready for its noise: sums, or steps that are noised one by one.

use privacy::mechanism::{MechanismError, Part, ReleasedPart, Share};
use privacy::{Charge, Mechanism, MechanismName, Released, Sensitive};
use study::Plan;
use summaries::{Lanes, PartWork, PatientBatch, Walk};

use super::Refused;
use crate::policy::Objection;

/// A round's work over the site's patients.
pub enum Ready {
    /// Closed sums.
    Sums(Vec<Part>),
    /// Steps of the site's own with their weight, the patients they are over, and the sums beside them.
    Walk(Box<dyn Walk>, f64, PatientBatch, Vec<Part>),
}

impl Ready {
    /// Sums a round's statistics, or gets its steps ready. Each part that is over a sample has one of its own: `draw` chooses rows of so many with a rate.
    ///
    /// # Errors
    /// A statistic does not fit the batch, or nothing can be drawn.
    pub fn sampled(
        work: Vec<PartWork>,
        batch: &PatientBatch,
        draw: impl FnMut(f64, usize) -> Result<Vec<usize>, String>,
    ) -> Result<Ready, String> {
        if work.iter().all(|w| w.rate.is_none_or(|rate| rate >= 1.0)) {
            return Ready::over(work, batch);
        }
        if work.iter().any(|w| w.walk.is_some()) {
            return Err("steps of a site's own are over no sample".to_owned());
        }
        sampled(work, batch, draw).map(Ready::Sums)
    }

    fn over(mut work: Vec<PartWork>, batch: &PatientBatch) -> Result<Ready, String> {
        if work.iter().all(|w| w.walk.is_none()) {
            return accumulate(work, batch).map(Ready::Sums);
        }
        let beside = accumulate(work.split_off(1), batch)?;
        let own = work.pop().and_then(|w| Some((w.walk?, w.weight, batch.select(&w.columns)?)));
        let own = own.ok_or("the features do not fit the statistic")?;
        Ok(Ready::Walk(own.0, own.1, own.2, beside))
    }

    /// How many numbers are noised; that is the plan's, and no patient's.
    pub fn lanes(&self) -> usize {
        match self {
            Ready::Sums(parts) => parts.iter().map(Part::len).sum(),
            Ready::Walk(walk, _, _, beside) => {
                walk.layout().lanes * walk.steps() as usize + beside.iter().map(Part::len).sum::<usize>()
            }
        }
    }

    /// With noise, fit to leave.
    ///
    /// # Errors
    /// As [`Mechanism::release`] and [`privacy::walk::release`].
    pub fn release(
        self,
        mechanism: &dyn Mechanism,
        charge: Charge,
    ) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        match self {
            Ready::Sums(parts) => mechanism.release(parts, charge),
            Ready::Walk(mut walk, weight, patients, beside) => {
                privacy::walk::release(mechanism, (walk.as_mut(), weight), &patients, beside, charge)
            }
        }
    }

    /// With the noise of a window, where the noises of windows hang together.
    ///
    /// # Errors
    /// As [`Mechanism::release_window`]; steps are of no window.
    pub(super) fn release_window(
        self,
        mechanism: &dyn Mechanism,
        window: &mut super::correlated::Window,
        charge: Charge,
    ) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        match self {
            Ready::Sums(parts) => window.release(mechanism, parts, charge),
            Ready::Walk(..) => Err(MechanismError::Series),
        }
    }

    /// With a part of the noise that so many sites share.
    ///
    /// # Errors
    /// As [`Mechanism::share`]; steps can't share noise.
    pub fn share(self, mechanism: &dyn Mechanism, charge: Charge, parties: usize) -> Result<Share, MechanismError> {
        match self {
            Ready::Sums(parts) => mechanism.share(parts, charge, parties),
            Ready::Walk(..) => Err(MechanismError::Batches),
        }
    }
}

/// A plan that no noise protects is refused where there is noise: before anything is charged.
pub(super) fn can_be_noised(plan: &Plan, mechanism: MechanismName) -> Result<(), Refused> {
    if mechanism == MechanismName::None || !plan.study.analysis.iter().any(|a| a.what.is_for_simulations()) {
        return Ok(());
    }
    Err(Objection::new("plan_invalid", "batches of local steps are for simulations without noise"))
}

/// Sums a round's statistics over the patients. What comes out is closed.
///
/// # Errors
/// A statistic does not fit the batch.
pub fn accumulate(work: Vec<PartWork>, batch: &PatientBatch) -> Result<Vec<Part>, String> {
    sampled(work, batch, |_, _| Err("the round is over a sample, and none is drawn".to_owned()))
}

/// The same, with a sample for each part that is over one: `draw` chooses rows of so many with a rate.
///
/// # Errors
/// A statistic does not fit the batch, or nothing can be drawn.
pub fn sampled(
    work: Vec<PartWork>,
    batch: &PatientBatch,
    mut draw: impl FnMut(f64, usize) -> Result<Vec<usize>, String>,
) -> Result<Vec<Part>, String> {
    work.into_iter()
        .map(|w| {
            let own = batch.select(&w.columns).ok_or("the features do not fit the statistic")?;
            let own = match w.rate.filter(|rate| *rate < 1.0) {
                Some(rate) => own.rows(&draw(rate, own.patients())?),
                None => own,
            };
            let mut lanes = Lanes::zeros(w.statistic.layout().lanes);
            w.statistic.accumulate(&own, &mut lanes).map_err(|e| e.to_string())?;
            Ok(Part { lanes: Sensitive::new(lanes), sensitivity: w.statistic.sensitivity(), weight: w.weight })
        })
        .collect()
}
