//! Kaplan and Meier's curve of one group, with what privacy noise adds to its error.
//!
//! With d events of n at risk in a cell, log S(t) = Σ log(1 − d/n). Its sampling variance is Greenwood's, Σ d / (n (n − d)). Every
//! cell of the histogram has independent noise of variance v; a censoring in the cell j moves n in all cells up to j, an event in it d
//! as well. So by the delta method the noise's variance is v Σ g², with g of a cell = Σ_{k ≤ min(j, t)} a_k, and b_j more for an event,
//! a = 1/(n − d) − 1/n and b = −1/(n − d). Intervals are on the scale of log S, as R's survfit has them by default.
//!
//! In wide cells n' = n − γ c of those at risk are so on average, with c censored in the cell (see the module above): n' is n in these formulas,
//! and a censoring has 1 − γ of its own cell's a. Within a cell the hazard is constant, so that log S is linear in time: the curve at a part f of
//! a cell has f of the cell's logarithm and its slopes. The restricted mean is the sum of the cells' areas (`area`), and the median is where the
//! curve crosses a half.

use super::{Course, Grid, area};
use crate::estimate::{Curve, Estimate, Reporting, Row, patients};
use crate::quantiles::ascending;

/// Numbers at risk below so many standard errors of their noise are too few.
const FAR_FROM_NOISE: f64 = 6.0;

/// The cells that a curve has, of the numbers at risk and the noise's variance that each cell adds to them: up to where nobody is at risk, or
/// too few to be told from noise. Of each: by how much those at risk may have to be fewer, since it is told.
///
/// Those at risk fall from cell to cell, so the noisy numbers are replaced by the closest falling ones before they are asked. Were the end
/// where they first seem too few, the curve would go on where the noise has made them many, and be too high there. The numbers must be so far
/// above their noise that it moves no hazard by much.
///
/// Of a cell that is only just told it is to be feared that it is told because the noise has made its number large. A number that is d standard
/// errors above the threshold, d below [`LUCK`], may have to be LUCK − d smaller, and lower ends allow for it: those that are further above are
/// told whatever the noise.
pub(crate) fn reached(risk: &[f64], variance: f64) -> Vec<f64> {
    if variance == 0.0 {
        return risk.iter().take_while(|n| **n > 0.5).map(|_| 0.0).collect();
    }
    let falling = ascending(risk.iter().map(|n| -n)).into_iter().map(|n| -n).enumerate();
    let mut out = Vec::new();
    for (cell, n) in falling {
        let noise = ((risk.len() - cell) as f64 * variance).sqrt();
        let above = n / noise - FAR_FROM_NOISE;
        if above <= 0.0 || n <= 0.5 {
            break;
        }
        out.push((LUCK - above).max(0.0) * noise);
    }
    out
}

/// A number further than this above the threshold, in standard errors, is not told by luck.
const LUCK: f64 = 2.5;

/// What is told of a group.
pub(super) struct Told<'a> {
    pub(super) term: &'a str,
    pub(super) grid: &'a Grid,
    pub(super) course: &'a Course,
    /// The noise's variance of a cell.
    pub(super) variance: f64,
    /// At which times.
    pub(super) at: &'a [f64],
    /// The end of the restricted mean.
    pub(super) tau: Option<f64>,
    pub(super) reporting: &'a Reporting,
}

/// A place of the curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    time: f64,
    survival: f64,
    /// Variances of log S.
    greenwood: f64,
    noise: f64,
    /// How far log S may have to be lower, since it is told.
    luck: f64,
}

/// Sums over the cells before a cell.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    greenwood: f64,
    /// How log S moves with one more at risk in all of them.
    reach: f64,
    /// The squared slopes of their lanes.
    squares: f64,
    luck: f64,
}

/// A cell of the curve.
struct Cell {
    before: Before,
    /// log(1 − d/n'), and its sampling variance.
    log: f64,
    greenwood: f64,
    /// Its slopes: for the number at risk, and for the events beside it.
    risk: f64,
    event: f64,
    /// The part of its censored that is not at risk.
    gone: f64,
    /// By how much those at risk may have to be fewer.
    fewer: f64,
    /// The lanes behind it.
    later: f64,
}

impl Cell {
    /// The sums up to a part of the cell, within which the hazard is constant.
    fn up_to(&self, part: f64) -> Before {
        let reach = self.before.reach + part * self.risk;
        // The two lanes of this cell, were they the last: those of later cells have the slope `reach` alone.
        let censoring = self.before.reach + part * (1.0 - self.gone) * self.risk;
        let event = reach + part * self.event;
        Before {
            greenwood: self.before.greenwood + part * part * self.greenwood,
            reach,
            squares: self.before.squares + censoring * censoring + event * event,
            luck: self.before.luck.max(reach * self.fewer),
        }
    }
}

/// A curve, cell by cell.
pub(super) struct Cells<'a> {
    told: &'a Told<'a>,
    cells: Vec<Cell>,
    /// The curve at each cell's end.
    survival: Vec<f64>,
}

impl Told<'_> {
    /// The curve up to where nobody is at risk, or too few to be told from noise.
    pub(super) fn cells(&self) -> Cells<'_> {
        let mut cells = Vec::new();
        let mut before = Before::default();
        let all = self.course.risk.len();
        let told = reached(&self.course.risk, 2.0 * self.variance);
        for (cell, (n, d)) in self.course.risk.iter().zip(&self.course.events).enumerate().take(self.grid.last() + 1) {
            let Some(fewer) = told.get(cell).copied() else { break };
            if *n <= 0.5 {
                break;
            }
            let exposed = self.course.exposed(cell);
            let exposed = if self.variance > 0.0 { exposed.max(0.5) } else { exposed };
            // Events below 0 are noise, and stay: cut off, the noise would lift every sum over cells.
            let rest = exposed - d;
            let (log, greenwood) = if rest > 1e-9 || self.variance > 0.0 {
                let rest = if self.variance > 0.0 { rest.max(0.5) } else { rest };
                ((rest / exposed).ln(), d / (exposed * rest))
            } else {
                (f64::NEG_INFINITY, 0.0)
            };
            let rest = rest.max(0.5);
            let (risk, event) = (1.0 / rest - 1.0 / exposed, -1.0 / rest);
            let later = 2.0 * (all - cell - 1) as f64;
            let own = Cell { before, log, greenwood, risk, event, gone: self.grid.gone(cell), fewer, later };
            before = own.up_to(1.0);
            cells.push(own);
        }
        let survival = logs(&cells).into_iter().map(f64::exp).collect();
        Cells { told: self, cells, survival }
    }
}

/// log S at each cell's end.
fn logs(cells: &[Cell]) -> Vec<f64> {
    let mut sum = 0.0;
    cells
        .iter()
        .map(|c| {
            sum += c.log;
            sum
        })
        .collect()
}

impl Cells<'_> {
    /// Noise lets the curve rise: the closest that does not.
    fn fall(&mut self) {
        if self.told.variance > 0.0 {
            let falling = ascending(self.survival.iter().map(|s| -s));
            self.survival = falling.into_iter().map(|s| (-s).clamp(0.0, 1.0)).collect();
        }
    }

    /// Where the curve is when a cell begins.
    fn start(&self, cell: usize) -> f64 {
        cell.checked_sub(1).map_or(Some(1.0), |c| self.survival.get(c).copied()).unwrap_or(0.0)
    }

    /// The curve at a part of a cell.
    fn point(&self, cell: usize, part: f64) -> Option<Point> {
        let (own, end) = (self.cells.get(cell)?, self.survival.get(cell).copied()?);
        let start = self.start(cell);
        let survival = match part {
            1.0 => end,
            // Where all have the event within the cell, no hazard is constant.
            f if end <= 0.0 => start * (1.0 - f),
            f => start.powf(1.0 - f) * end.powf(f),
        };
        let sums = own.up_to(part);
        Some(Point {
            time: self.told.grid.time(cell) - (1.0 - part) * (self.told.grid.time(1) - self.told.grid.time(0)),
            survival,
            greenwood: sums.greenwood.max(0.0),
            noise: self.told.variance * (sums.squares + own.later * sums.reach * sums.reach),
            luck: sums.luck,
        })
    }

    /// The curve at each cell's end.
    fn ends(&self) -> Vec<Point> {
        (0..self.cells.len()).filter_map(|c| self.point(c, 1.0)).collect()
    }

    /// The restricted mean, its sampling variance and its noise's, and how much lower it may have to be, since it is told.
    fn areas(&self) -> Vec<f64> {
        let Some(tau) = self.told.tau else { return Vec::new() };
        let grid = self.told.grid;
        let reached = self.cells.len().checked_sub(1).map_or(0.0, |c| grid.time(c));
        if reached < tau - 1e-9 && self.survival.last().is_none_or(|s| *s > 0.0) {
            return Vec::new();
        }
        // Of each cell its area, and the slope of it in the cell's own log(1 − d/n').
        let width = grid.time(1);
        let of = |(cell, own): (usize, &Cell)| {
            let days = if cell == 0 { 0.0 } else { (tau - grid.time(cell - 1)).clamp(0.0, width) };
            let (area, slope) = if grid.is_wide() { area::under(own.log, days, width) } else { (days, 0.0) };
            let start = self.start(cell);
            (start * area, start * slope)
        };
        let parts: Vec<(f64, f64)> = self.cells.iter().enumerate().map(of).collect();
        let whole: f64 = parts.iter().map(|p| p.0).sum();
        let (mut sampling, mut noise, mut reach, mut luck) = (0.0, 0.0, 0.0, 0.0f64);
        let (mut behind, mut used) = (whole, 0);
        for (cell, (own, (area, slope))) in self.cells.iter().zip(&parts).enumerate() {
            if cell > 0 && grid.time(cell - 1) >= tau {
                break;
            }
            behind -= area;
            let a = behind.max(0.0) + slope;
            sampling += (a * a * own.greenwood).max(0.0);
            let censoring = reach + a * (1.0 - own.gone) * own.risk;
            reach += a * own.risk;
            luck = luck.max(reach * own.fewer);
            noise += censoring * censoring + (reach + a * own.event).powi(2);
            used += 1;
        }
        // Every cell behind τ moves the numbers at risk before it.
        let later = self.told.course.risk.len().saturating_sub(used) as f64;
        noise += 2.0 * later * reach * reach;
        vec![whole, sampling, self.told.variance * noise, luck]
    }

    /// Where a line through the cells' ends is at a half: within a wide cell by a constant hazard, of others at the first end at or below it.
    fn crosses(&self, ends: &[Point], of: impl Fn(&Point) -> f64) -> Option<f64> {
        if !self.told.grid.is_wide() {
            return crosses(ends, of);
        }
        let at = ends.iter().position(|p| of(p) <= 0.5)?;
        let (here, width) = (ends.get(at)?, self.told.grid.time(1));
        let (low, high) = (of(here), at.checked_sub(1).and_then(|b| ends.get(b)).map_or(1.0, of));
        let part = if low > 0.0 { (high / 0.5).ln() / (high / low).ln() } else { (high - 0.5) / high };
        let back = if at == 0 || !part.is_finite() { 0.0 } else { 1.0 - part.clamp(0.0, 1.0) };
        Some(here.time - back * width)
    }
}

/// The term of a restricted mean of a group.
fn up_to(term: &str, tau: f64) -> String {
    format!("{term}, up to {tau}")
}

/// Where the restricted mean of a term ends.
pub(crate) fn end_of(term: &str) -> Option<f64> {
    term.rsplit_once(", up to ")?.1.parse().ok().filter(|t| *t > 0.0)
}

/// The first time at which a curve is at or below a half; midway to its next step where it is a half exactly, as R has it.
fn crosses(points: &[Point], of: impl Fn(&Point) -> f64) -> Option<f64> {
    let at = points.iter().position(|p| of(p) <= 0.5 + 1e-12)?;
    let first = points.get(at)?;
    if (of(first) - 0.5).abs() > 1e-12 {
        return Some(first.time);
    }
    let next = points.iter().skip(at).find(|p| of(p) < 0.5 - 1e-12);
    Some(next.map_or(first.time, |n| f64::midpoint(first.time, n.time)))
}

/// Tells a group's curve.
pub(super) fn tell(told: &Told<'_>, out: &mut Estimate) {
    let Told { term, grid, course, variance, reporting, .. } = told;
    let z = reporting.z();
    let first = course.risk.first().copied().unwrap_or(0.0);
    let cells = grid.cells() as f64;
    let n = patients(term, first, (2.0 * cells * variance).sqrt(), reporting);
    let shown = !n.suppressed;
    out.rows.push(n);
    let events = patients(term, course.events.iter().sum(), (cells * variance).sqrt(), reporting);
    out.rows.push(Row { statistic: "events".into(), ..events });
    if !shown {
        out.rows.push(Row::withheld(term, "survival", "too few patients"));
        return;
    }
    let mut cells = told.cells();
    let areas = cells.areas();
    cells.fall();
    let points = cells.ends();
    let interval = |p: &Point| -> (f64, f64) {
        let half = z * (p.greenwood + p.noise).sqrt();
        (p.survival * (-half - p.luck).exp(), (p.survival * half.exp()).min(1.0))
    };
    for time in told.at {
        let (cell, part) = grid.within(*time);
        let label = format!("{term}, time {time}");
        out.rows.push(at_risk(told, cell, *time, &label));
        match cells.point(cell, part) {
            Some(p) => {
                let (low, high) = interval(&p);
                let (s, d) = (p.survival * p.greenwood.sqrt(), p.survival * p.noise.sqrt());
                let row = Row::normal(&label, "survival", p.survival, s, d, z);
                out.rows.push(Row { lower: Some(low.clamp(0.0, 1.0)), upper: Some(high), ..row });
            }
            None if points.last().is_some_and(|p| p.survival <= 0.0) => {
                out.rows.push(Row::test(&label, "survival", 0.0, "all had the event before"));
            }
            None => {
                out.rows.push(Row::withheld(&label, "survival", "nobody, or too few to be told from noise, is at risk"))
            }
        }
    }
    match cells.crosses(&points, |p| p.survival) {
        Some(median) => {
            let note = if grid.is_wide() { "within its cell, by a constant hazard" } else { "" };
            let row = Row::test(term, "median survival", median, note);
            let low = cells.crosses(&points, |p| interval(p).0);
            out.rows.push(Row { lower: low, upper: cells.crosses(&points, |p| interval(p).1), ..row });
        }
        None => out.rows.push(Row::withheld(term, "median survival", "the curve does not reach one half")),
    }
    if let Some(tau) = told.tau {
        let label = up_to(term, tau);
        out.rows.push(match areas.as_slice() {
            [mean, sampling, noise, luck] => {
                let row = Row::normal(&label, "restricted mean", *mean, sampling.sqrt(), noise.sqrt(), z);
                Row { lower: row.lower.map(|l| l - luck), ..row }.within(0.0, tau)
            }
            _ => Row::withheld(&label, "restricted mean", "the curve does not reach so far"),
        });
    }
    // Steps alone, and the band's ends with them; of wide cells finer steps, so that none looks like a time of events.
    let parts = if grid.is_wide() { PARTS } else { 1 };
    let mut drawn = vec![[0.0, 1.0, 1.0, 1.0]];
    let mut last = 1.0;
    for cell in 0..points.len() {
        let from = if cell == 0 { parts } else { 1 };
        for p in (from..=parts).filter_map(|k| cells.point(cell, k as f64 / parts as f64)) {
            if (p.survival - last).abs() > 1e-12 || cell + 1 == points.len() {
                let (low, high) = interval(&p);
                drawn.push([p.time, p.survival, low, high]);
                last = p.survival;
            }
        }
    }
    out.curves.push(Curve {
        title: format!("survival: {term}"),
        kind: "step".into(),
        x_label: "time".into(),
        y_label: "survival".into(),
        points: drawn,
    });
}

/// Steps that a wide cell is drawn in.
const PARTS: usize = 6;

/// How many are at risk just before a time: of a wide cell those who have not left it by then, if they leave it evenly.
fn at_risk(told: &Told<'_>, cell: usize, time: f64, label: &str) -> Row {
    let Told { grid, course, variance, reporting, .. } = told;
    let at = |v: &[f64], i: usize| v.get(i).copied().unwrap_or(0.0);
    let (n, d, behind) = (at(&course.risk, cell), at(&course.events, cell), at(&course.risk, cell + 1));
    let (events, censored) = grid.left_before(cell, time);
    let left = n - events * d - censored * (n - behind - d);
    let lanes = 2.0 * (grid.cells() - cell - 1) as f64 + (1.0 - events).powi(2) + (1.0 - censored).powi(2);
    let row = patients(label, left, (lanes * variance).sqrt(), reporting);
    Row { statistic: "at risk".into(), ..row }
}
