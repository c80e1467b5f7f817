//! Cumulative incidence of competing causes (Aalen and Johansen 1978), on a grid of time: one cell a patient, so that L1 = L2 = L∞ = 1 for
//! the curves of all causes.
//!
//! With d_k of n at risk having the cause k in a cell, d of all causes, and S the chance of being free of all before it,
//! I_k += S d_k/n and S ← S (1 − d/n). The sampling variance is the delta method's over the cells' multinomials (Gaynor and others 1993),
//! which is also that of the infinitesimal jackknife, as R's survfit has it. With I_j the incidence after the cell j, I(t) moves
//!
//! * by S/n − (I(t) − I_j)/(n − d) for one more of the cause, by −(I(t) − I_j)/(n − d) for one of another,
//! * by −S d_k/n² + (I(t) − I_j) d/(n (n − d)) for one more at risk, whom every patient of this cell or a later one is.
//!
//! All are a + I(t) b with a and b of the cell alone, so that both variances of the whole curve take one pass. The noise's is v times the sum
//! of the squares over all lanes. In wide cells n is that of the life table, n − γ c (see `survival`), and a censoring has 1 − γ of its own cell's
//! slope; within a cell hazards are constant, and shares of its events follow. Intervals are on the scale of log(−log I) (Kalbfleisch and Prentice 2002, section 8.2).

use crate::batch::PatientBatch;
use crate::estimate::{Curve, Estimate, Reporting, Row, patients};
use crate::interval::normal_p;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::quantiles::ascending;
use crate::statistic::{AccumulateError, Input, Statistic, level, real};
use crate::survival::curve::reached;
use crate::survival::log_rank::{Weight, test};
use crate::survival::{Course, Grid};

/// Patients by how and when they left. The inputs are the time, the cause, whose first level is "still free of all", and the group where
/// there is one.
#[derive(Clone, Debug)]
pub struct Competing {
    grid: Grid,
    levels: u32,
    groups: Option<u32>,
    at: Vec<f64>,
}

/// What one group did.
struct History {
    /// By level, in each cell; the first is censored.
    left: Vec<Vec<f64>>,
    /// At risk when each cell began.
    risk: Vec<f64>,
}

/// A cause's curve at a cell.
#[derive(Clone, Copy, Default)]
struct Point {
    incidence: f64,
    sampling: f64,
    noise: f64,
}

/// Sums of squares of a + I b.
#[derive(Clone, Copy, Default)]
struct Squares {
    aa: f64,
    ab: f64,
    bb: f64,
}

impl Squares {
    fn add(&mut self, (a, b): (f64, f64), times: f64) {
        self.aa += times * a * a;
        self.ab += times * a * b;
        self.bb += times * b * b;
    }

    fn at(self, i: f64) -> f64 {
        (self.aa + 2.0 * i * self.ab + i * i * self.bb).max(0.0)
    }
}

/// A cell of a cause's curve: the sums before it, and what is in it.
#[derive(Clone, Copy)]
struct Cell {
    before: f64,
    sampling: Squares,
    noise: Squares,
    reach: (f64, f64),
    free: f64,
    own: f64,
    all: f64,
    n: f64,
    gone: f64,
    /// Lanes behind it.
    later: f64,
    end: Point,
}

impl Cell {
    /// The share of the cell's events that are within a part of it, by constant hazards.
    fn share(&self, part: f64) -> f64 {
        let left = 1.0 - self.all / self.n;
        if left > 0.0 && (1.0 - left).abs() > 1e-9 { (1.0 - left.powf(part)) / (1.0 - left) } else { part }
    }

    /// The curve where a share of the cell's events have been. Of this cell, the last, only those of the cause move the incidence.
    fn point(&self, share: f64, (incidence, variance, levels): (f64, f64, f64)) -> Point {
        let at = self.before + share * self.free * self.own / self.n;
        let event = (share * self.free / self.n, 0.0);
        let risk = -event.0 * self.own / self.n;
        let (mut sampling, mut noise) = (self.sampling, self.noise);
        sampling.add(event, self.own - self.own * self.own / self.n);
        let moved = |by: f64| (self.reach.0 + by, self.reach.1);
        noise.add(moved((1.0 - self.gone) * risk), 1.0);
        noise.add(moved(risk + event.0), 1.0);
        noise.add(moved(risk), levels - 2.0 + self.later);
        Point { incidence, sampling: sampling.at(at), noise: variance * noise.at(at) }
    }
}

impl Competing {
    /// On a grid, of a cause with so many levels, by so many groups. `None` with fewer than three levels (two are a `survival`'s), or
    /// where there would be more than a million cells.
    pub fn new(grid: Grid, levels: u32, groups: Option<u32>, at: Vec<f64>) -> Option<Competing> {
        let s = Competing { grid, levels, groups, at };
        ((3..=1000).contains(&levels) && s.lanes() < 1 << 20).then_some(s)
    }

    fn groups(&self) -> usize {
        self.groups.map_or(1, |g| g as usize)
    }

    fn lanes(&self) -> usize {
        self.groups().saturating_mul(self.levels as usize).saturating_mul(self.grid.cells()).saturating_add(1)
    }

    fn lane(&self, group: usize, level: usize, cell: usize) -> usize {
        (group * self.levels as usize + level) * self.grid.cells() + cell
    }

    fn history(&self, merged: &MergedRelease, group: usize) -> History {
        let (layout, cells) = (self.layout(), self.grid.cells());
        let of = |level| (0..cells).map(|c| merged.value(self.lane(group, level, c), &layout)).collect::<Vec<_>>();
        let left: Vec<Vec<f64>> = (0..self.levels as usize).map(of).collect();
        let mut risk = vec![0.0; cells];
        let mut all = 0.0;
        for (cell, slot) in risk.iter_mut().enumerate().rev() {
            all += left.iter().filter_map(|l| l.get(cell)).sum::<f64>();
            *slot = all;
        }
        History { left, risk }
    }

    /// The curve of a cause up to where nobody is at risk, or too few to be told from noise.
    fn curve(&self, history: &History, cause: usize, variance: f64) -> Vec<Cell> {
        let (cells, levels) = (self.grid.cells(), f64::from(self.levels));
        let mut out = Vec::with_capacity(cells);
        let (mut free, mut incidence) = (1.0f64, 0.0f64);
        let (mut sampling, mut noise) = (Squares::default(), Squares::default());
        let mut reach = (0.0f64, 0.0f64);
        let end = reached(&history.risk, levels * variance).len().min(self.grid.last() + 1);
        for (cell, n) in history.risk.iter().copied().enumerate().take(end) {
            if n <= 0.5 {
                break;
            }
            let at = |level: &Vec<f64>| level.get(cell).copied().unwrap_or(0.0);
            let gone = self.grid.gone(cell);
            // In wide cells those at risk on average.
            let n = if gone > 0.0 { (n - gone * history.left.first().map_or(0.0, at)).max(0.5) } else { n };
            let own = history.left.get(cause).map_or(0.0, at);
            let all: f64 = history.left.iter().skip(1).map(at).sum();
            // Events below 0 are noise, and stay: cut off, the noise would lift every sum over cells.
            let all = all.min(n);
            let later = levels * (cells - cell - 1) as f64;
            let here = Cell {
                before: incidence,
                sampling,
                noise,
                reach,
                free,
                own,
                all,
                n,
                gone,
                later,
                end: Point::default(),
            };
            let rest = (n - all).max(0.5);
            incidence += free * own / n;
            let event = incidence / rest;
            let of_own = (free / n + event, -1.0 / rest);
            let of_other = (event, -1.0 / rest);
            let of_risk = (-free * own / (n * n) - incidence * all / (n * rest), all / (n * rest));
            let others = all - own;
            sampling.add(of_own, own);
            sampling.add(of_other, others);
            sampling.add((of_own.0 * own + of_other.0 * others, of_own.1 * own + of_other.1 * others), -1.0 / n);
            noise.add((reach.0 + (1.0 - gone) * of_risk.0, reach.1 + (1.0 - gone) * of_risk.1), 1.0);
            reach = (reach.0 + of_risk.0, reach.1 + of_risk.1);
            noise.add((reach.0 + of_own.0, reach.1 + of_own.1), 1.0);
            noise.add((reach.0 + of_other.0, reach.1 + of_other.1), levels - 2.0);
            out.push(Cell { end: here.point(1.0, (incidence, variance, levels)), ..here });
            free *= 1.0 - all / n;
        }
        if variance > 0.0 {
            // Noise lets the curve fall: the closest that does not.
            let rising = ascending(out.iter().map(|c| c.end.incidence));
            for (c, i) in out.iter_mut().zip(rising) {
                c.end.incidence = i.clamp(0.0, 1.0);
            }
        }
        out
    }

    /// A cause's curve at a time.
    fn at(&self, cells: &[Cell], time: f64, variance: f64) -> Option<Point> {
        let (cell, part) = self.grid.within(time);
        let here = cells.get(cell)?;
        if part >= 1.0 {
            return Some(here.end);
        }
        let start = cell.checked_sub(1).and_then(|c| cells.get(c)).map_or(0.0, |c| c.end.incidence);
        let share = here.share(part);
        let incidence = start + share * (here.end.incidence - start);
        Some(here.point(share, (incidence, variance, f64::from(self.levels))))
    }

    fn term(&self, reporting: &Reporting, group: usize) -> String {
        match self.groups {
            None => "all".to_owned(),
            Some(_) => format!("{}={}", reporting.name(2), reporting.level(2, group)),
        }
    }
}

/// The interval on the scale of log(−log I); at 0 and 1, which that scale does not have, on the plain one.
fn interval(p: &Point, z: f64) -> (f64, f64) {
    let (i, half) = (p.incidence, z * (p.sampling + p.noise).sqrt());
    if i <= 0.0 || i >= 1.0 {
        return ((i - half).max(0.0), (i + half).min(1.0));
    }
    let half = half / (i * i.ln().abs());
    (i.powf(half.exp()), i.powf((-half).exp()))
}

impl Statistic for Competing {
    fn name(&self) -> &'static str {
        "competing"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = vec![Input::Real, Input::Level(self.levels)];
        out.extend(self.groups.map(Input::Level));
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.lanes(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "competing";
        self.check(lanes)?;
        let (time, cause) = (real(NAME, patients, 0)?, level(NAME, patients, 1)?);
        let groups = self.groups.map(|_| level(NAME, patients, 2)).transpose()?;
        for (row, (t, c)) in time.iter().zip(cause).enumerate() {
            let group = groups.map_or(Some(0), |g| g.get(row).map(|l| *l as usize)).filter(|g| *g < self.groups());
            let place = self.grid.place(*t, *c > 0).filter(|_| *c < self.levels);
            let lane = match (place, group) {
                // Who is followed beyond the horizon is free of all there.
                (Some((cell, within)), Some(g)) => self.lane(g, if within { *c as usize } else { 0 }, cell),
                _ => self.lanes() - 1,
            };
            lanes.add(NAME, lane, 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let mut out = Estimate::default();
        let missing = patients("all", merged.value(self.lanes() - 1, &layout), v.sqrt(), reporting);
        out.rows.push(Row { statistic: "missing".into(), ..missing });
        let histories: Vec<History> = (0..self.groups()).map(|g| self.history(merged, g)).collect();
        let mut curves = Vec::new();
        for (group, history) in histories.iter().enumerate() {
            curves.push(self.tell(history, &self.term(reporting, group), v, reporting, &mut out));
        }
        if self.groups() > 1 {
            for cause in 1..self.levels as usize {
                self.compare(&curves, (cause, v), reporting, &mut out.rows);
                let courses = histories.iter().map(|h| Course {
                    events: h.left.get(cause).cloned().unwrap_or_default(),
                    risk: h.risk.clone(),
                    gone: (0..self.grid.cells()).map(|c| self.grid.gone(c)).collect(),
                });
                let term = format!("{}, {}={}", reporting.name(2), reporting.name(1), reporting.level(1, cause));
                let others = f64::from(self.levels) - 1.0;
                out.rows.extend(test(&[courses.collect()], v, others, Weight::LogRank, &term));
            }
        }
        out
    }
}

impl Competing {
    /// Tells a group; its causes' curves, none where there are too few patients.
    fn tell(&self, history: &History, term: &str, v: f64, reporting: &Reporting, out: &mut Estimate) -> Vec<Vec<Cell>> {
        let (cells, levels) = (self.grid.cells() as f64, f64::from(self.levels));
        let n = patients(term, history.risk.first().copied().unwrap_or(0.0), (levels * cells * v).sqrt(), reporting);
        let shown = !n.suppressed;
        out.rows.push(n);
        if !shown {
            out.rows.push(Row::withheld(term, "cumulative incidence", "too few patients"));
            return Vec::new();
        }
        let mut curves = Vec::new();
        for (cause, own) in history.left.iter().enumerate().skip(1) {
            let label = format!("{term}, {}={}", reporting.name(1), reporting.level(1, cause));
            let events = patients(&label, own.iter().sum(), (cells * v).sqrt(), reporting);
            out.rows.push(Row { statistic: "events".into(), ..events });
            let points = self.curve(history, cause, v);
            for time in &self.at {
                let label = format!("{label}, time {time}");
                out.rows.push(match self.at(&points, *time, v) {
                    Some(p) => {
                        let (low, high) = interval(&p, reporting.z());
                        let (s, d) = (p.sampling.sqrt(), p.noise.sqrt());
                        let row = Row::normal(&label, "cumulative incidence", p.incidence, s, d, reporting.z());
                        Row { lower: Some(low), upper: Some(high), ..row }
                    }
                    None => Row::withheld(
                        &label,
                        "cumulative incidence",
                        "nobody, or too few to be told from noise, is at risk",
                    ),
                });
            }
            let mut drawn = vec![[0.0; 4]];
            let mut last = 0.0;
            for (cell, Cell { end: p, .. }) in points.iter().enumerate() {
                if (p.incidence - last).abs() > 1e-12 || cell + 1 == points.len() {
                    let (low, high) = interval(p, reporting.z());
                    drawn.push([self.grid.time(cell), p.incidence, low, high]);
                    last = p.incidence;
                }
            }
            out.curves.push(Curve {
                title: format!("cumulative incidence: {label}"),
                kind: "step".into(),
                x_label: "time".into(),
                y_label: "cumulative incidence".into(),
                points: drawn,
            });
            curves.push(points);
        }
        curves
    }

    /// Every group against the first, at the times that are told.
    fn compare(&self, curves: &[Vec<Vec<Cell>>], (cause, v): (usize, f64), reporting: &Reporting, rows: &mut Vec<Row>) {
        let at = |group: usize, time: f64| {
            let points = curves.get(group).and_then(|g| g.get(cause - 1));
            points.and_then(|p| self.at(p, time, v))
        };
        for group in 1..self.groups() {
            for time in &self.at {
                let (Some(a), Some(b)) = (at(0, *time), at(group, *time)) else { continue };
                let term = format!(
                    "{} − {}, {}={}, time {time}",
                    self.term(reporting, group),
                    reporting.level(2, 0),
                    reporting.name(1),
                    reporting.level(1, cause)
                );
                let (s, d) = ((a.sampling + b.sampling).sqrt(), (a.noise + b.noise).sqrt());
                let difference = b.incidence - a.incidence;
                rows.push(Row::normal(&term, "difference", difference, s, d, reporting.z()).within(-1.0, 1.0));
                if s.hypot(d) > 0.0 {
                    rows.push(Row::test(&term, "p", normal_p(difference / s.hypot(d)), "of this time alone"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
