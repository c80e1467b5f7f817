//! An analysis over rounds. A one-shot statistic has one round; an iterative model has several, each with parameters that
//! the coordinator computes from the last merged release.
//!
//! What a round asks of a site is a function of the plan, the round's number and the parameters alone, so a site derives
//! the statistics and their cost for itself and never takes them from the coordinator.

use serde::{Deserialize, Serialize};

use crate::estimate::{Estimate, Reporting};
use crate::lanes::{Layout, MergedRelease, Sensitivity};
use crate::statistic::Statistic;
use crate::toll::Toll;
use crate::walk::Walk;

/// One statistic of a round.
pub struct PartWork {
    /// Its name in manifests.
    pub name: String,
    /// The statistic.
    pub statistic: Box<dyn Statistic>,
    /// Which columns of the analysis' batch it reads, in order.
    pub columns: Vec<usize>,
    /// Its weight in the round's charge.
    pub weight: f64,
    /// Where a site takes steps by itself: then it is the round's first part, the only one of its kind, and its statistic that of the first step.
    pub walk: Option<Box<dyn Walk>>,
    /// Where it is over a sample: with which probability each patient is in it. A site draws who is, and tells nobody.
    pub rate: Option<f64>,
}

impl PartWork {
    /// What leaves a site.
    pub fn layout(&self) -> Layout {
        self.walk.as_ref().map_or_else(|| self.statistic.layout(), |w| w.layout())
    }

    /// How far a patient moves it; of steps as [`crate::walk::sensitivity`] says.
    pub fn sensitivity(&self) -> Sensitivity {
        self.walk.as_ref().map_or_else(|| self.statistic.sensitivity(), |w| crate::walk::sensitivity(w.as_ref()))
    }
}

/// The merged releases of a round, one a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergedRound {
    /// One a part, in order.
    pub parts: Vec<MergedRelease>,
    /// How many sites are in.
    pub sites: usize,
}

impl MergedRound {
    /// Whether no part has noise.
    pub fn exact(&self) -> bool {
        self.parts.iter().all(|p| p.noise_variance == 0.0)
    }
}

/// What comes after a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Another round, with these parameters.
    Continue {
        /// Its number; never less than the last one's plus one.
        round: u32,
        /// What the sites need to know.
        parameters: Vec<f64>,
    },
    /// The analysis is done.
    Done(Estimate),
}

/// Why a round's work could not be derived, or its result not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProgramError {
    /// There is no such round in the plan.
    #[error("the analysis has {planned} rounds, and round {asked} was asked")]
    Round {
        /// Asked, from 0.
        asked: u32,
        /// Planned.
        planned: u32,
    },
    /// The parameters do not fit.
    #[error("the round needs {needed} finite parameters, and {given} were given or one is not finite")]
    Parameters {
        /// Given.
        given: usize,
        /// Needed.
        needed: usize,
    },
    /// The merged release does not fit.
    #[error("the merged release does not have the parts and lanes of the round")]
    Merged,
}

/// An analysis.
pub trait Program: Send {
    /// How many rounds the plan pays for.
    fn rounds(&self) -> u32;
    /// A round's weight in the analysis' charge.
    fn weight(&self, round: u32) -> f64;
    /// Of an analysis that is paid for at once: what each of a round's parts is over, in the order of [`Program::work`]. Of any other nothing.
    fn tolls(&self, round: u32) -> Vec<Toll> {
        let _ = round;
        Vec::new()
    }
    /// The parameters of the first round.
    fn first(&self) -> Vec<f64>;
    /// What a round asks of a site.
    ///
    /// # Errors
    /// There is no such round, or the parameters do not fit.
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError>;
    /// What comes after a round.
    ///
    /// # Errors
    /// As [`Program::work`], or the merged release does not fit.
    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError>;
    /// Whether what comes after a round is told from each site's release apart, where they can be had: a likelihood with something of
    /// its own for each hospital.
    fn apart(&self) -> bool {
        false
    }
    /// What a program whose sites are apart knows beside the parameters, for [`Program::remember`] after a restart: the releases it
    /// came from are not kept.
    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }
    /// Whether [`Program::remember`] brings it to where it stood after a restart, with no need of the sums before: where releases were told
    /// apart, and where there are too many rounds to go through again.
    fn resumes(&self) -> bool {
        self.apart()
    }
    /// Where one site alone is asked a round: the how-manieth in a cycle over those that can answer, from 0.
    fn turn(&self, round: u32) -> Option<u32> {
        let _ = round;
        None
    }
    /// Numbers of the rounds so far that tell how it goes, for those who watch: for each name what every round said, the oldest first. They
    /// are made of what was released.
    fn progress(&self) -> Vec<Course> {
        Vec::new()
    }
    /// After the last round, the parameters of what was trained, where that is a model to use.
    fn model(&self) -> Option<&[f64]> {
        None
    }
    /// Takes up what [`Program::memory`] said; what is none is left out.
    fn remember(&mut self, _: &[f64]) {}
    /// Which site works: what a round asks of it may depend on its name. Its layout and its cost never do.
    fn at_site(&mut self, _: &str) {}
    /// What comes after a round, from each site's release. Without a part for each hospital it is [`Program::next`] of the sum.
    ///
    /// # Errors
    /// As [`Program::next`].
    fn next_apart(
        &mut self,
        round: u32,
        parameters: &[f64],
        merged: &MergedRound,
        sites: &[OfSite],
    ) -> Result<Step, ProgramError> {
        let _ = sites;
        self.next(round, parameters, merged)
    }
    /// Whose releases are in the round that [`Program::next`] is given after, where the program tells by that.
    fn answered_by(&mut self, _: &[String]) {}
    /// What can be told already, of a program whose rounds are told one by one.
    fn so_far(&self) -> Option<Estimate> {
        None
    }
    /// What one hospital's own release of a round says by itself: its own statistic, or where one step from the common parameters
    /// leads with its own sums alone. `None` where the round says nothing of that kind.
    fn own(&self, site: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let _ = (site, round, parameters, release);
        None
    }
}

/// A number over the rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// What it is, such as `loss`.
    pub name: String,
    /// Each round's value and the noise's standard deviation, the oldest first.
    pub values: Vec<[f64; 2]>,
}

/// A site's own release of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct OfSite {
    /// Its name in the federation.
    pub site: String,
    /// What it released.
    pub round: MergedRound,
}

/// A statistic of one round.
pub struct PartPlan {
    /// Its name.
    pub name: String,
    /// How to make it.
    pub make: Box<dyn Fn() -> Box<dyn Statistic> + Send + Sync>,
    /// Columns it reads.
    pub columns: Vec<usize>,
    /// Its weight.
    pub weight: f64,
    /// How its estimates are written.
    pub reporting: Reporting,
}

/// One round, one or more statistics.
pub struct OneShot {
    parts: Vec<PartPlan>,
}

impl OneShot {
    /// Of these statistics.
    pub fn new(parts: Vec<PartPlan>) -> OneShot {
        OneShot { parts }
    }
}

impl Program for OneShot {
    fn rounds(&self) -> u32 {
        1
    }
    fn weight(&self, _: u32) -> f64 {
        1.0
    }
    fn first(&self) -> Vec<f64> {
        Vec::new()
    }
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        if round != 0 {
            return Err(ProgramError::Round { asked: round, planned: 1 });
        }
        if !parameters.is_empty() {
            return Err(ProgramError::Parameters { given: parameters.len(), needed: 0 });
        }
        Ok(self
            .parts
            .iter()
            .map(|p| PartWork {
                name: p.name.clone(),
                statistic: (p.make)(),
                columns: p.columns.clone(),
                weight: p.weight,
                walk: None,
                rate: None,
            })
            .collect())
    }
    fn next(&mut self, _: u32, _: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        self.read(merged).map(Step::Done)
    }
    fn own(&self, _: &str, _: u32, _: &[f64], release: &MergedRound) -> Option<Estimate> {
        self.read(release).ok()
    }
}

impl OneShot {
    fn read(&self, merged: &MergedRound) -> Result<Estimate, ProgramError> {
        if merged.parts.len() != self.parts.len() {
            return Err(ProgramError::Merged);
        }
        let mut out = Estimate::default();
        for (plan, release) in self.parts.iter().zip(&merged.parts) {
            let statistic = (plan.make)();
            if release.lanes.len() != statistic.layout().lanes {
                return Err(ProgramError::Merged);
            }
            let one = statistic.estimate(release, &plan.reporting);
            out.rows.extend(one.rows);
            out.curves.extend(one.curves);
        }
        Ok(out)
    }
}
