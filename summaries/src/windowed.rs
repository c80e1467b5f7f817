//! One statistic, told window after window: each round is a window's telling, in the order in which they fall due.
//!
//! A round asks what a study of that window alone would ask, with no parameters. What was told before is kept, so that the series as far
//! as it goes can be read at any time. A round that too few sites answered is a gap.

mod cumulative;

pub use cumulative::Rows;

use cumulative::Cumulative;

use crate::alarm::Alarm;
use crate::estimate::{Curve, Estimate, Row};
use crate::program::{MergedRound, PartWork, Program, ProgramError, Step};

/// Drawings of a series, at most.
const MOST_CURVES: usize = 12;

/// What a round tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// Which window, from 0.
    pub window: u32,
    /// The window, for people.
    pub label: String,
    /// Its last day, for people.
    pub last: String,
    /// Where it lies on an axis of years.
    pub year: f64,
    /// `preliminary`, `final` or `correction`.
    pub word: &'static str,
}

/// A program of one round, told for each window.
pub struct Windowed {
    inner: Box<dyn Program>,
    tellings: Vec<Telling>,
    /// What was told in each round; an estimate without rows where too few sites answered.
    told: Vec<Option<(Estimate, usize)>>,
    alarm: Option<Alarm>,
    /// Who answers the round that comes next to be merged.
    sites: Vec<String>,
    /// The sums of the windows so far, after each round, where their noises hang together.
    cumulative: Option<Cumulative>,
    so_far: Vec<(u32, Estimate, usize)>,
}

impl Windowed {
    /// Of a program of one round. `None` where it has more, or there is nothing to tell.
    pub fn new(inner: Box<dyn Program>, tellings: Vec<Telling>, alarm: Option<Alarm>) -> Option<Windowed> {
        let whole = inner.rounds() == 1 && !tellings.is_empty() && u32::try_from(tellings.len()).is_ok();
        let told = vec![None; tellings.len()];
        let (sites, cumulative, so_far) = (Vec::new(), None, Vec::new());
        whole.then_some(Windowed { inner, tellings, told, alarm, sites, cumulative, so_far })
    }

    /// The same, which tells after each window the sum of all so far as well. The windows' noises are made as the rows say, one a window;
    /// each window must be told once.
    #[must_use]
    pub fn with_sums(mut self, rows: Option<Rows>) -> Windowed {
        self.cumulative = rows.filter(|rows| rows.len() == self.tellings.len()).map(Cumulative::new);
        self
    }

    /// The last telling of each window so far, in the order of the windows.
    fn latest(&self) -> Vec<(&Telling, &Estimate, usize)> {
        let mut out: Vec<(&Telling, &Estimate, usize)> = Vec::new();
        for (telling, told) in self.tellings.iter().zip(&self.told) {
            let Some((estimate, sites)) = told else { continue };
            match out.iter_mut().find(|(t, ..)| t.window == telling.window) {
                // A gap takes nothing back that was told before.
                Some(_) if *sites == 0 => {}
                Some(before) => *before = (telling, estimate, *sites),
                None => out.push((telling, estimate, *sites)),
            }
        }
        out.sort_by_key(|(t, ..)| t.window);
        out
    }

    fn series(&self) -> Estimate {
        let latest = self.latest();
        let mut rows = Vec::new();
        for (telling, estimate, sites) in &latest {
            if *sites == 0 {
                rows.push(Row::withheld(&telling.label, "window", "too few sites answered by the deadline"));
            }
            for row in &estimate.rows {
                let mut row = row.clone();
                row.term = format!("{}: {}", telling.label, row.term);
                let said = [row.note.as_str(), if telling.word == "final" { "" } else { telling.word }];
                let said: Vec<&str> = said.into_iter().filter(|s| !s.is_empty()).collect();
                row.note = [said, vec![&*format!("{sites} sites")]].concat().join("; ");
                rows.push(row);
            }
        }
        if let Some(alarm) = &self.alarm {
            let finals: Vec<_> = latest.iter().filter(|(t, _, n)| t.word != "preliminary" && *n > 0).collect();
            let windows: Vec<(u32, &str, &[Row])> =
                finals.iter().map(|(t, e, _)| (t.window, t.label.as_str(), e.rows.as_slice())).collect();
            rows.extend(alarm.rows(&windows));
        }
        let mut drawn = curves(latest.iter().map(|(t, e, _)| (t.year, *e)), "");
        let sums = self.so_far.iter().filter_map(|(w, e, n)| Some((self.tellings.get(*w as usize)?, e, *n)));
        for (telling, estimate, windows) in sums.clone() {
            for row in &estimate.rows {
                let mut row = row.clone();
                row.term = format!("all until {}: {}", telling.last, row.term);
                let said = format!("{windows} windows");
                row.note = if row.note.is_empty() { said } else { format!("{}; {said}", row.note) };
                rows.push(row);
            }
        }
        drawn.extend(curves(sums.map(|(t, e, _)| (t.year, e)), "all until the day, "));
        Estimate { rows, curves: drawn }
    }
}

/// The series of each number that every window tells.
fn curves<'e>(told: impl Iterator<Item = (f64, &'e Estimate)>, before: &str) -> Vec<Curve> {
    let mut out: Vec<Curve> = Vec::new();
    for (year, estimate) in told {
        for row in &estimate.rows {
            let (Some(y), Some(lower), Some(upper)) = (row.estimate, row.lower, row.upper) else { continue };
            let title = format!("{before}{}: {}", row.term, row.statistic);
            let point = [year, y, lower, upper];
            let room = out.len() < MOST_CURVES;
            match out.iter_mut().find(|c| c.title == title) {
                Some(curve) => curve.points.push(point),
                None if room => out.push(Curve {
                    title,
                    kind: "line".to_owned(),
                    x_label: "day".to_owned(),
                    y_label: row.statistic.clone(),
                    points: vec![point],
                }),
                None => {}
            }
        }
    }
    out.retain(|c| c.points.len() > 1);
    out
}

impl Program for Windowed {
    fn rounds(&self) -> u32 {
        self.tellings.len() as u32
    }
    fn weight(&self, _: u32) -> f64 {
        1.0
    }
    fn first(&self) -> Vec<f64> {
        Vec::new()
    }
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        if round >= self.rounds() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        self.inner.work(0, parameters)
    }
    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let gap = merged.sites == 0 && merged.parts.is_empty();
        let estimate = match gap {
            true => Estimate::default(),
            false => match self.inner.next(0, parameters, merged)? {
                Step::Done(estimate) => estimate,
                Step::Continue { .. } => return Err(ProgramError::Merged),
            },
        };
        if let Some(cumulative) = self.cumulative.as_mut().filter(|_| !gap) {
            let sum = cumulative.add(round, &self.sites, merged)?;
            let Step::Done(estimate) = self.inner.next(0, parameters, &sum)? else { return Err(ProgramError::Merged) };
            self.so_far.push((round, estimate, self.so_far.len() + 1));
        }
        let planned = self.rounds();
        let place = self.told.get_mut(round as usize).ok_or(ProgramError::Round { asked: round, planned })?;
        *place = Some((estimate, merged.sites));
        match round.checked_add(1).filter(|r| *r < planned) {
            Some(round) => Ok(Step::Continue { round, parameters: Vec::new() }),
            None => Ok(Step::Done(self.series())),
        }
    }
    fn answered_by(&mut self, sites: &[String]) {
        self.sites = sites.to_vec();
    }
    fn so_far(&self) -> Option<Estimate> {
        self.told.iter().any(Option::is_some).then(|| self.series())
    }
}

#[cfg(test)]
mod tests;
