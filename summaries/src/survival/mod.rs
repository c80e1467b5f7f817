//! Survival: events and censorings on a grid of time, one cell a patient, so that L1 = L2 = L∞ = 1 for the whole curve.
//!
//! Times are taken to be whole units, such as days. A patient with the event at t is in the cell ⌈t / width⌉. With a width of 1 nothing is
//! lost: who is censored at t is in the same cell and at risk in it, and the curve is Kaplan and Meier's. Whoever is followed beyond the
//! horizon is censored there.
//!
//! Wider cells make a life table (Berkson and Gage 1950; Kalbfleisch and Prentice 2002, section 1.4). Who is censored at t is in the cell
//! ⌊t / width⌋ + 1, whose first day they leave before: those who are all censored at a cell's end, as at the end of a study, were at risk
//! during the whole cell and in none after it. Of the others in a cell of w days, censored on its days 0 to w − 1 evenly, the part
//! (1 + 1/w)/2 is not at risk on average, and n' = n − c (1 + 1/w)/2 are. Within a cell the hazard is taken to be constant.
//!
//! * [`curve`]: Kaplan–Meier or the life table, its median and its restricted mean.
//! * `area`: the integral of a constant hazard over a cell.
//! * [`log_rank`]: the test between groups, within strata, weighted.

mod area;
pub mod curve;
#[cfg(test)]
mod late;
pub mod log_rank;
#[cfg(test)]
mod sparse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wide;

use serde::{Deserialize, Serialize};

use crate::batch::{MISSING, PatientBatch};
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, level, real};
use log_rank::Weight;

/// More cells of time than this are refused.
pub const MOST_CELLS: usize = 1 << 16;

/// A grid of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    width: f64,
    last: usize,
}

impl Grid {
    /// Of cells of a width up to a horizon; `None` unless both are above 0 and there are at most [`MOST_CELLS`] cells.
    pub fn new(width: f64, horizon: f64) -> Option<Grid> {
        let last = (horizon / width).ceil();
        (width > 0.0 && horizon > 0.0 && last.is_finite() && last < MOST_CELLS as f64)
            .then_some(Grid { width, last: last as usize })
    }

    /// How many cells; the first is time 0 alone. Where cells are wide, the last holds those who were at risk up to the grid's end.
    pub fn cells(&self) -> usize {
        self.last + 1 + usize::from(self.is_wide())
    }

    /// The last cell in which an event can be.
    pub fn last(&self) -> usize {
        self.last
    }

    /// Whether a cell holds several of the time's units.
    pub fn is_wide(&self) -> bool {
        self.width > 1.0
    }

    /// The part of a cell's censored that is not at risk in it, on average.
    pub fn gone(&self, cell: usize) -> f64 {
        match cell {
            0 => 0.0,
            _ if !self.is_wide() => 0.0,
            // On the days 1 to w − 1: those of time 0 are in the cell before.
            1 => 0.5,
            _ => 0.5 + 0.5 / self.width,
        }
    }

    /// Which parts of a cell's events and of its censored have left before a time in it.
    pub(crate) fn left_before(&self, cell: usize, time: f64) -> (f64, f64) {
        if !self.is_wide() || cell == 0 {
            return (0.0, 0.0);
        }
        let day = (time - self.time(cell - 1)).clamp(0.0, self.width);
        let events = (day - 1.0).max(0.0) / self.width;
        (events, if cell == 1 { (day - 1.0).max(0.0) / (self.width - 1.0).max(1.0) } else { day / self.width })
    }

    /// The cell of a time, for reading a curve there, and how far into it the time is, 1 at its end.
    pub(crate) fn within(&self, time: f64) -> (usize, f64) {
        if !self.is_wide() {
            return (self.reached(time), 1.0);
        }
        let cell = (time / self.width - 1e-9).ceil().max(0.0);
        if cell > self.last as f64 || cell < 1.0 {
            return ((cell as usize).min(self.last), 1.0);
        }
        (cell as usize, (time / self.width - (cell - 1.0)).clamp(0.0, 1.0))
    }

    /// The time of a cell: its end.
    pub fn time(&self, cell: usize) -> f64 {
        cell as f64 * self.width
    }

    /// The ends of its four quarters, as far as cells part them: where a curve is told for which no times are asked.
    pub fn quarters(&self) -> Vec<f64> {
        let mut cells: Vec<usize> = (1..=4).map(|k| self.last * k / 4).filter(|c| *c > 0).collect();
        cells.dedup();
        cells.into_iter().map(|c| self.time(c)).collect()
    }

    /// The cell that is reached at a time, for reading a curve there.
    pub fn reached(&self, time: f64) -> usize {
        ((time / self.width + 1e-9).floor().max(0.0) as usize).min(self.last)
    }

    /// The cell of a patient and whether the event was within the horizon; `None` for a time that is none.
    pub fn place(&self, time: f64, event: bool) -> Option<(usize, bool)> {
        if time.is_nan() || time < 0.0 {
            return None;
        }
        let end = self.cells() - 1;
        let cell = (time / self.width - 1e-9).ceil().max(0.0);
        if cell > self.last as f64 {
            return Some((end, false));
        }
        let whole = (time / self.width + 1e-9).floor();
        let leaves_next = !event && self.is_wide() && time > 0.0;
        Some((if leaves_next { (whole as usize + 1).min(end) } else { cell as usize }, event))
    }
}

/// What one group did: events and censorings in each cell, and how many were at risk when it began.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Events.
    pub events: Vec<f64>,
    /// At risk.
    pub risk: Vec<f64>,
    /// The part of each cell's others that is not at risk in it, on average; none where cells are not wide.
    pub gone: Vec<f64>,
}

impl Course {
    /// Those at risk during a cell, on average.
    pub(crate) fn exposed(&self, cell: usize) -> f64 {
        let at = |v: &[f64], i: usize| v.get(i).copied().unwrap_or(0.0);
        let n = at(&self.risk, cell);
        match at(&self.gone, cell) {
            0.0 => n,
            gone => n - gone * (n - at(&self.risk, cell + 1) - at(&self.events, cell)),
        }
    }
}

/// Events and censorings by cell, group and stratum. The inputs are the time, the event (levels no, yes), and the group and the
/// stratum where there are any.
#[derive(Clone, Debug)]
pub struct Survival {
    grid: Grid,
    groups: Option<u32>,
    strata: Option<u32>,
    at: Vec<f64>,
    tau: Option<f64>,
    weight: Weight,
}

impl Survival {
    /// On a grid, by so many groups in so many strata. `None` where there would be more than a million cells.
    pub fn new(grid: Grid, groups: Option<u32>, strata: Option<u32>) -> Option<Survival> {
        let s = Survival { grid, groups, strata, at: Vec::new(), tau: None, weight: Weight::LogRank };
        (s.cells() < 1 << 20).then_some(s)
    }

    /// With the times at which the curve is told, and the end of the restricted mean.
    #[must_use]
    pub fn told(mut self, at: Vec<f64>, tau: Option<f64>, weight: Weight) -> Survival {
        (self.at, self.tau, self.weight) = (at, tau, weight);
        self
    }

    fn groups(&self) -> usize {
        self.groups.map_or(1, |g| g as usize)
    }

    fn strata(&self) -> usize {
        self.strata.map_or(1, |s| s as usize)
    }

    fn cells(&self) -> usize {
        self.groups().saturating_mul(self.strata()).saturating_mul(2 * self.grid.cells()).saturating_add(1)
    }

    /// The lane of a cell.
    pub(crate) fn lane(&self, stratum: usize, group: usize, event: bool, cell: usize) -> usize {
        ((stratum * self.groups() + group) * 2 + usize::from(event)) * self.grid.cells() + cell
    }

    fn gone(&self) -> Vec<f64> {
        (0..self.grid.cells()).map(|c| self.grid.gone(c)).collect()
    }

    /// The course of a group in a stratum.
    fn course(&self, merged: &MergedRelease, stratum: usize, group: usize) -> Course {
        let layout = self.layout();
        let cells = self.grid.cells();
        let mut out = Course { events: vec![0.0; cells], risk: vec![0.0; cells], gone: self.gone() };
        let mut left = 0.0;
        for cell in (0..cells).rev() {
            let value = |event| merged.value(self.lane(stratum, group, event, cell), &layout);
            left += value(true) + value(false);
            if let (Some(e), Some(r)) = (out.events.get_mut(cell), out.risk.get_mut(cell)) {
                (*e, *r) = (value(true), left);
            }
        }
        out
    }

    /// The course of a group in all strata.
    fn all_strata(&self, courses: &[Vec<Course>], group: usize) -> Course {
        let cells = self.grid.cells();
        let mut out = Course { events: vec![0.0; cells], risk: vec![0.0; cells], gone: self.gone() };
        for one in courses.iter().filter_map(|s| s.get(group)) {
            out.events.iter_mut().zip(&one.events).for_each(|(a, b)| *a += b);
            out.risk.iter_mut().zip(&one.risk).for_each(|(a, b)| *a += b);
        }
        out
    }
}

impl Statistic for Survival {
    fn name(&self) -> &'static str {
        "survival"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = vec![Input::Real, Input::Level(2)];
        out.extend(self.groups.map(Input::Level));
        out.extend(self.strata.map(Input::Level));
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.cells(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "survival";
        self.check(lanes)?;
        let (time, event) = (real(NAME, patients, 0)?, level(NAME, patients, 1)?);
        let mut next = 2;
        let mut column = |levels: Option<u32>| -> Result<Option<&[u32]>, AccumulateError> {
            let Some(_) = levels else { return Ok(None) };
            next += 1;
            level(NAME, patients, next - 1).map(Some)
        };
        let (group, stratum) = (column(self.groups)?, column(self.strata)?);
        let of = |column: Option<&[u32]>, row: usize, levels: usize| match column {
            None => Some(0),
            Some(c) => c.get(row).map(|l| *l as usize).filter(|l| *l < levels),
        };
        for row in 0..patients.patients() {
            let t = time.get(row).copied().unwrap_or(f64::NAN);
            let e = event.get(row).copied().filter(|e| *e < 2 && *e != MISSING);
            let place = e.and_then(|e| self.grid.place(t, e == 1));
            let lane = match (place, of(group, row, self.groups()), of(stratum, row, self.strata())) {
                (Some((cell, event)), Some(g), Some(s)) => self.lane(s, g, event, cell),
                _ => self.cells() - 1,
            };
            lanes.add(NAME, lane, 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let courses: Vec<Vec<Course>> =
            (0..self.strata()).map(|s| (0..self.groups()).map(|g| self.course(merged, s, g)).collect()).collect();
        let mut out = Estimate::default();
        let missing = patients("all", merged.value(self.cells() - 1, &layout), v.sqrt(), reporting);
        out.rows.push(Row { statistic: "missing".into(), ..missing });
        for group in 0..self.groups() {
            let term = match self.groups {
                None => "all".to_owned(),
                Some(_) => format!("{}={}", reporting.name(2), reporting.level(2, group)),
            };
            let course = self.all_strata(&courses, group);
            curve::tell(
                &curve::Told {
                    term: &term,
                    grid: &self.grid,
                    course: &course,
                    variance: v * self.strata() as f64,
                    at: &self.at,
                    tau: self.tau,
                    reporting,
                },
                &mut out,
            );
        }
        if self.groups() > 1 {
            out.rows.extend(log_rank::test(&courses, v, 1.0, self.weight, reporting.name(2)));
        }
        out
    }
}
