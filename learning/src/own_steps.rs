//! Each hospital's own maximum, beside the common one: Newton steps that every hospital takes with its own sums, from where the common
//! coefficients end.
//!
//! One step from the common coefficients tells what a hospital says only where it differs little from the others. These rounds go on from
//! there, each hospital at its own coefficients, so that a meta-analysis of them is of maxima, as if each hospital had fitted the model by
//! itself. A round costs what a step costs, and is one release for all hospitals.
//!
//! The rounds stand before the last common one. Their parameters: how many common numbers there are, these, and for each hospital that has
//! taken a step its tag and its coefficients.

use summaries::{Estimate, MergedRound, OfSite, PartWork, Program, ProgramError, Step};

use crate::glm::{ONE_STEP, tag};

/// A model of which one hospital's sums lead further.
pub trait Alone: Send {
    /// How many coefficients a hospital has.
    fn width(&self) -> usize;
    /// Those that a hospital, by its tag, begins with, from the parameters of a common round.
    ///
    /// # Errors
    /// The parameters do not fit.
    fn begin_at(&self, parameters: &[f64], tag: f64) -> Result<Vec<f64>, ProgramError>;
    /// What a step asks of a hospital at its coefficients.
    ///
    /// # Errors
    /// The coefficients do not fit.
    fn parts(&self, own: &[f64]) -> Result<Vec<PartWork>, ProgramError>;
    /// Where a hospital's sums lead from its coefficients, and how far that is; `None` where they lead nowhere. In the first steps, which are
    /// not `late`, a hospital may be far from where it goes.
    fn ahead(&self, own: &[f64], release: &MergedRound, late: bool) -> Option<(Vec<f64>, f64)>;
    /// What they say.
    fn told(&self, own: &[f64], release: &MergedRound) -> Option<Estimate>;
}

/// A model with own steps of its hospitals.
pub struct OwnSteps {
    common: Box<dyn Program>,
    alone: Box<dyn Alone>,
    steps: u32,
    site: f64,
}

/// By this own round a hospital is near where it goes, but for what goes on for ever.
const LATE: u32 = 4;
/// Without noise, steps shorter than this are the end: the next one would be its square, below what rounding leaves.
const CONVERGED: f64 = 1e-8;
/// Without noise a step longer than this, beside the coefficients, has not arrived.
const STILL: f64 = 1e-6;

/// The common parameters, and the coefficients of those hospitals that have taken a step.
struct Places<'a> {
    common: &'a [f64],
    own: Vec<(f64, &'a [f64])>,
}

impl OwnSteps {
    /// Of a model whose hospitals then take so many steps, at least one.
    pub fn new(common: Box<dyn Program>, alone: Box<dyn Alone>, steps: u32) -> OwnSteps {
        OwnSteps { common, alone, steps: steps.max(1), site: 0.0 }
    }

    /// The common rounds before the hospitals' own.
    fn before(&self) -> u32 {
        self.common.rounds().saturating_sub(1)
    }

    /// The common round that a round is; `None` of the hospitals' own.
    fn common_round(&self, round: u32) -> Option<u32> {
        match round.checked_sub(self.before()) {
            None => Some(round),
            Some(behind) => behind.checked_sub(self.steps).map(|after| self.before() + after),
        }
    }

    fn places<'a>(&self, parameters: &'a [f64]) -> Result<Places<'a>, ProgramError> {
        let wrong = || ProgramError::Parameters { given: parameters.len(), needed: 1 };
        let (count, rest) = parameters.split_first().ok_or_else(wrong)?;
        let (common, own) = rest.split_at_checked(*count as usize).ok_or_else(wrong)?;
        let width = self.alone.width() + 1;
        if own.len() % width != 0 || parameters.iter().any(|p| !p.is_finite()) {
            let needed = 1 + common.len() + own.len().next_multiple_of(width);
            return Err(ProgramError::Parameters { given: parameters.len(), needed });
        }
        let own = own.chunks(width).filter_map(|c| c.split_first().map(|(tag, theta)| (*tag, theta))).collect();
        Ok(Places { common, own })
    }

    /// Where a hospital is.
    fn at(&self, places: &Places<'_>, tag: f64) -> Result<Vec<f64>, ProgramError> {
        match places.own.iter().find(|(t, _)| t.to_bits() == tag.to_bits()) {
            Some((_, theta)) => Ok(theta.to_vec()),
            None => self.alone.begin_at(places.common, tag),
        }
    }

    /// The parameters of the first own round.
    fn begin(&self, common: Vec<f64>) -> Step {
        let parameters = std::iter::once(common.len() as f64).chain(common).collect();
        Step::Continue { round: self.before(), parameters }
    }

    /// What comes after a common round.
    fn after(&self, round: u32, parameters: &[f64], exact: bool, step: Step) -> Step {
        match step {
            Step::Continue { round: next, parameters } if next >= self.before() => self.begin(parameters),
            // What converged early is told once more, behind the hospitals' own rounds. What failed under noise spends no more.
            Step::Done(_) if exact && round < self.before() => self.begin(parameters.to_vec()),
            other => other,
        }
    }
}

impl Program for OwnSteps {
    fn rounds(&self) -> u32 {
        self.common.rounds() + self.steps
    }

    fn weight(&self, round: u32) -> f64 {
        self.common_round(round).map_or(1.0, |r| self.common.weight(r))
    }

    fn first(&self) -> Vec<f64> {
        match self.before() {
            0 => std::iter::once(self.common.first().len() as f64).chain(self.common.first()).collect(),
            _ => self.common.first(),
        }
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        match self.common_round(round) {
            Some(round) => self.common.work(round, parameters),
            None => self.alone.parts(&self.at(&self.places(parameters)?, self.site)?),
        }
    }

    /// The common rounds are gone through again after a restart; the hospitals' own are in the parameters.
    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        match self.common_round(round) {
            Some(r) => {
                let step = self.common.next(r, parameters, merged)?;
                Ok(self.after(round, parameters, merged.exact(), step))
            }
            None => Ok(Step::Continue { round: round + 1, parameters: parameters.to_vec() }),
        }
    }

    fn apart(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        self.common.resumes()
    }

    fn memory(&self) -> Vec<f64> {
        self.common.memory()
    }

    fn remember(&mut self, memory: &[f64]) {
        self.common.remember(memory);
    }

    fn at_site(&mut self, site: &str) {
        self.site = tag(site);
        self.common.at_site(site);
    }

    fn next_apart(
        &mut self,
        round: u32,
        parameters: &[f64],
        merged: &MergedRound,
        sites: &[OfSite],
    ) -> Result<Step, ProgramError> {
        if let Some(r) = self.common_round(round) {
            let step = match self.common.apart() {
                true => self.common.next_apart(r, parameters, merged, sites)?,
                false => self.common.next(r, parameters, merged)?,
            };
            return Ok(self.after(round, parameters, merged.exact(), step));
        }
        let places = self.places(parameters)?;
        let mut next: Vec<f64> =
            std::iter::once(places.common.len() as f64).chain(places.common.iter().copied()).collect();
        let late = round >= self.before() + LATE;
        let mut longest = 0.0f64;
        // A hospital that is out of this round stays where it is.
        let here: Vec<f64> = sites.iter().map(|s| tag(&s.site)).collect();
        for (tag, theta) in places.own.iter().filter(|(t, _)| !here.contains(t)) {
            next.push(*tag);
            next.extend_from_slice(theta);
        }
        for (site, tag) in sites.iter().zip(here) {
            let theta = self.at(&places, tag)?;
            let (theta, length) = self.alone.ahead(&theta, &site.round, late).unwrap_or((theta, 0.0));
            longest = longest.max(length);
            next.push(tag);
            next.extend(theta);
        }
        let last = self.before() + self.steps;
        if (merged.exact() && longest < CONVERGED) || round + 1 == last {
            return Ok(Step::Continue { round: last, parameters: places.common.to_vec() });
        }
        Ok(Step::Continue { round: round + 1, parameters: next })
    }

    fn so_far(&self) -> Option<Estimate> {
        self.common.so_far()
    }

    fn own(&self, site: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        if let Some(r) = self.common_round(round) {
            // The last common round says less of a hospital than its own rounds did.
            return if round < self.before() { self.common.own(site, r, parameters, release) } else { None };
        }
        let theta = self.at(&self.places(parameters).ok()?, tag(site)).ok()?;
        let mut told = self.alone.told(&theta, release)?;
        let far = self.alone.ahead(&theta, release, true).is_none_or(|(_, length)| {
            let size = theta.iter().map(|t| t * t).sum::<f64>().sqrt();
            release.exact() && length > STILL * (1.0 + size)
        });
        let more =
            if far { "; not arrived: more own_steps are needed, or its features separate the outcome" } else { "" };
        let note = format!("the hospital's own maximum by own steps{more}");
        for row in told.rows.iter_mut().filter(|r| r.note == ONE_STEP) {
            row.note.clone_from(&note);
        }
        Some(told)
    }
}
