//! Kaplan and Meier's curve of one group, with what privacy noise adds to its error.
//!
//! With d events of n at risk in a cell, log S(t) = Σ log(1 − d/n). Its sampling variance is Greenwood's, Σ d / (n (n − d)). Every
//! cell of the histogram has independent noise of variance v; a censoring in the cell j moves n in all cells up to j, an event in it d
//! as well. So by the delta method the noise's variance is v Σ g², with g of a cell = Σ_{k ≤ min(j, t)} a_k, and b_j more for an event,
//! a = 1/(n − d) − 1/n and b = −1/(n − d). Intervals are on the scale of log S, as R's survfit has them by default.

use super::{Course, Grid};
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

/// A cell of the curve.
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

/// Slopes of log S within a cell: for the number at risk, and for the events.
struct Slope {
    risk: f64,
    event: f64,
}

impl Told<'_> {
    /// The curve up to where nobody is at risk, or too few to be told from noise.
    pub(super) fn points(&self) -> (Vec<Point>, Vec<f64>) {
        let (mut out, mut slopes) = (Vec::new(), Vec::<Slope>::new());
        let (mut log, mut greenwood) = (0.0f64, 0.0);
        let (mut reach, mut squares) = (0.0f64, 0.0);
        let cells = self.course.risk.len();
        let told = reached(&self.course.risk, 2.0 * self.variance);
        let mut luck = 0.0f64;
        for (cell, (n, d)) in self.course.risk.iter().zip(&self.course.events).enumerate().take(told.len()) {
            if *n <= 0.5 {
                break;
            }
            // Events below 0 are noise, and stay: cut off, the noise would lift every sum over cells.
            let rest = n - d;
            if rest > 1e-9 || self.variance > 0.0 {
                let rest = if self.variance > 0.0 { rest.max(0.5) } else { rest };
                log += (rest / n).ln();
                greenwood += d / (n * rest);
            } else {
                log = f64::NEG_INFINITY;
            }
            let rest = rest.max(0.5);
            let slope = Slope { risk: 1.0 / rest - 1.0 / n, event: -1.0 / rest };
            reach += slope.risk;
            luck = luck.max(reach * told.get(cell).copied().unwrap_or(0.0));
            // The two lanes of this cell, were they the last: those of later cells have the slope `reach` alone.
            squares += reach * reach + (reach + slope.event).powi(2);
            let later = 2.0 * (cells - cell - 1) as f64 * reach * reach;
            slopes.push(slope);
            out.push(Point {
                time: self.grid.time(cell),
                survival: log.exp(),
                greenwood: greenwood.max(0.0),
                noise: self.variance * (squares + later),
                luck,
            });
        }
        let areas = self.areas(&out, &slopes, &told);
        if self.variance > 0.0 {
            // Noise lets the curve rise: the closest that does not.
            let falling = ascending(out.iter().map(|p| -p.survival));
            for (p, s) in out.iter_mut().zip(falling) {
                p.survival = (-s).clamp(0.0, 1.0);
            }
        }
        (out, areas)
    }

    /// The restricted mean, its sampling variance and its noise's, and how much lower it may have to be, since it is told.
    fn areas(&self, points: &[Point], slopes: &[Slope], told: &[f64]) -> Vec<f64> {
        let Some(tau) = self.tau else { return Vec::new() };
        let reached = points.last().map_or(0.0, |p| p.time);
        let last_event = points.last().is_some_and(|p| p.survival <= 0.0);
        if reached < tau - 1e-9 && !last_event {
            return Vec::new();
        }
        // after[k]: the area behind the cell k, up to τ.
        let mut after = vec![0.0; points.len()];
        let mut area = 0.0;
        let mut end = tau;
        for (k, p) in points.iter().enumerate().rev() {
            if p.time < tau {
                area += p.survival * (end - p.time);
                end = p.time;
            }
            if let Some(slot) = after.get_mut(k) {
                *slot = area;
            }
        }
        let whole = area + end.min(tau);
        let (mut sampling, mut noise, mut reach) = (0.0, 0.0, 0.0);
        let (mut before, mut used) = (0.0, 0);
        let mut luck = 0.0f64;
        for (((p, slope), a), fewer) in points.iter().zip(slopes).zip(&after).zip(told) {
            if p.time <= tau {
                sampling += (a * a * (p.greenwood - before)).max(0.0);
                before = p.greenwood;
                reach += a * slope.risk;
                luck = luck.max(reach * fewer);
                noise += reach * reach + (reach + a * slope.event).powi(2);
                used += 1;
            }
        }
        // Every cell behind τ moves the numbers at risk before it.
        let later = self.course.risk.len().saturating_sub(used) as f64;
        noise += 2.0 * later * reach * reach;
        vec![whole, sampling, self.variance * noise, luck]
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
    let (points, areas) = told.points();
    let interval = |p: &Point| -> (f64, f64) {
        let half = z * (p.greenwood + p.noise).sqrt();
        (p.survival * (-half - p.luck).exp(), (p.survival * half.exp()).min(1.0))
    };
    for time in told.at {
        let cell = grid.reached(*time);
        let label = format!("{term}, time {time}");
        let left = course.risk.get(cell).copied().unwrap_or(0.0);
        let risk = patients(&label, left, (2.0 * (cells - cell as f64) * variance).sqrt(), reporting);
        out.rows.push(Row { statistic: "at risk".into(), ..risk });
        match points.get(cell) {
            Some(p) => {
                let (low, high) = interval(p);
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
    match crosses(&points, |p| p.survival) {
        Some(median) => {
            let row = Row::test(term, "median survival", median, "");
            let (low, high) = (crosses(&points, |p| interval(p).0), crosses(&points, |p| interval(p).1));
            out.rows.push(Row { lower: low, upper: high, ..row });
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
    // Steps alone, and the band's ends with them.
    let mut drawn = vec![[0.0, 1.0, 1.0, 1.0]];
    let mut last = 1.0;
    for (i, p) in points.iter().enumerate() {
        if (p.survival - last).abs() > 1e-12 || i + 1 == points.len() {
            let (low, high) = interval(p);
            drawn.push([p.time, p.survival, low, high]);
            last = p.survival;
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
