//! The piecewise exponential model: hazards that are constant within fixed intervals of time, times e^{βx} (Friedman 1982). Its likelihood is
//! that of Poisson counts of the events in each interval, with the time at risk in it as exposure, so that the estimate is a Poisson
//! regression's on data that are split at the cuts.
//!
//! A patient at risk for τ_j of the interval j has there the expected events μ_j = τ_j e^{α_j + βx} and at most one event d_j, in their last.
//! Where Σμ is above a cap C, all are made smaller by one factor so that it is C. With rows u, ‖u‖ ≤ 1, r_j = d_j − μ_j and C ≥ 1:
//!
//! * slope: r_j for α_j, (Σr) u for β. Σr² ≤ 1 + C² and |Σr| ≤ C, so in units of C its norm is at most √(2 + 1/C²).
//! * curvature: μ_j for (α_j, α_j), μ_j u for (α_j, β), (Σμ) u uᵀ for β, entries beside the diagonal times √2. Two α's have none. Its squared
//!   norm is at most Σμ² + 2 Σμ² + (Σμ)² ≤ 4 C², so in units of C the norm is at most 2, and a lane at most √2.
//! * person-time, in the first round: one event, and τ_j as a share of the horizon. The shares sum to at most 1: norm at most √2.
//!
//! The first round's crude rates are told, and are where Newton's steps begin; `rounds` has both.

mod rounds;

use nalgebra::DMatrix;
use summaries::lanes::encode;
use summaries::statistic::{level, real};
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MISSING, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use crate::design::Design;
use crate::newton::{matrix, outer, triangle};

pub use rounds::PiecewiseExponential;

/// What a model is of.
#[derive(Clone)]
pub struct Intervals {
    design: Design,
    ends: Vec<f64>,
    cap: f64,
}

/// One patient's time, by interval.
struct Pieces {
    /// The interval and the time at risk in it.
    at_risk: Vec<(usize, f64)>,
    /// The interval of the event.
    event: Option<usize>,
}

impl Intervals {
    /// Of features without an intercept, with the ends of the intervals, the last of which is the horizon; expected events of a patient
    /// above `cap` count as the cap. `None` unless there are 1 to 200 ascending ends above 0 and the cap is 1 or more.
    pub fn new(design: Design, ends: Vec<f64>, cap: f64) -> Option<Intervals> {
        let ascend = ends.windows(2).all(|w| matches!(w, [a, b] if a < b));
        let fit = ends.first().is_some_and(|e| *e > 0.0) && ends.iter().all(|e| e.is_finite()) && ends.len() <= 200;
        (ascend && fit && cap >= 1.0 && cap.is_finite()).then(|| Intervals {
            design: design.without_intercept(),
            ends,
            cap,
        })
    }

    fn width(&self) -> usize {
        self.ends.len() + self.design.width()
    }

    fn horizon(&self) -> f64 {
        self.ends.last().copied().unwrap_or(1.0)
    }

    fn name(&self, interval: usize) -> String {
        let from = interval.checked_sub(1).and_then(|i| self.ends.get(i)).copied().unwrap_or(0.0);
        format!("({from}, {}]", self.ends.get(interval).copied().unwrap_or(f64::NAN))
    }

    fn inputs(&self) -> Vec<Input> {
        let mut out = self.design.inputs();
        out.extend([Input::Real, Input::Level(2)]);
        out
    }

    fn split(&self, time: f64, event: bool) -> Pieces {
        let mut out = Pieces { at_risk: Vec::new(), event: None };
        let mut from = 0.0;
        if time <= 0.0 {
            // Without time at risk an event is of the first interval, as `cox` has it in the first cell.
            out.event = event.then_some(0);
            out.at_risk.extend(event.then_some((0, 0.0)));
            return out;
        }
        for (j, end) in self.ends.iter().enumerate() {
            if time > from {
                out.at_risk.push((j, time.min(*end) - from));
                if event && time <= *end {
                    out.event = Some(j);
                }
            }
            from = *end;
        }
        out
    }

    /// Calls `f` with the row and the pieces of each complete patient of a time.
    fn patients(
        &self,
        statistic: &'static str,
        patients: &PatientBatch,
        mut f: impl FnMut(&[f64], &Pieces) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        let at = self.design.inputs().len();
        let (times, events) = (real(statistic, patients, at)?, level(statistic, patients, at + 1)?);
        self.design.rows(statistic, patients, |patient, row, _| {
            let time = times.get(patient).copied().unwrap_or(f64::NAN);
            match events.get(patient).copied().unwrap_or(MISSING) {
                e @ 0..=1 if time >= 0.0 => f(row, &self.split(time, e == 1)),
                _ => Ok(()),
            }
        })
    }

    /// Expected events by interval, and their sum.
    fn expected(&self, row: &[f64], pieces: &Pieces, theta: &[f64]) -> (Vec<(usize, f64)>, f64) {
        let beta = theta.get(self.ends.len()..).unwrap_or_default();
        let eta: f64 = row.iter().zip(beta).map(|(u, b)| u * b).sum();
        let mean = |(j, time): &(usize, f64)| {
            let alpha = theta.get(*j).copied().unwrap_or(0.0);
            (*j, (alpha + eta + time.ln()).clamp(-600.0, 600.0).exp())
        };
        let mut out: Vec<(usize, f64)> = pieces.at_risk.iter().map(mean).collect();
        let all: f64 = out.iter().map(|(_, m)| m).sum();
        // Two opposite infinities make no number: nothing is expected then.
        let shrink = if all.is_nan() { 0.0 } else { (self.cap / all).min(1.0) };
        out.iter_mut().for_each(|(_, m)| *m = if shrink > 0.0 { *m * shrink } else { 0.0 });
        let all = out.iter().map(|(_, m)| m).sum();
        (out, all)
    }
}

/// Events and time at risk by interval.
pub struct PersonTime(Intervals);

impl PersonTime {
    /// Of a model.
    pub fn new(model: Intervals) -> PersonTime {
        PersonTime(model)
    }
}

impl Statistic for PersonTime {
    fn name(&self) -> &'static str {
        "person_time"
    }
    fn inputs(&self) -> Vec<Input> {
        self.0.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * self.0.ends.len(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 2f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "person_time";
        self.check(lanes)?;
        let (intervals, horizon) = (self.0.ends.len(), self.0.horizon());
        self.0.patients(NAME, patients, |_, pieces| {
            pieces.event.map_or(Ok(()), |j| lanes.add(NAME, j, encode(1.0)))?;
            let mut times = pieces.at_risk.iter();
            times.try_for_each(|(j, t)| lanes.add(NAME, intervals + j, encode((t / horizon).clamp(0.0, 1.0))))
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let z = reporting.z();
        let mut rows = Vec::new();
        for (j, (events, time, v)) in self.read(merged).into_iter().enumerate() {
            let term = self.0.name(j);
            let n = summaries::estimate::patients(&term, events, v.sqrt(), reporting);
            let shown = !n.suppressed;
            rows.push(Row { statistic: "events".into(), ..n });
            let noise = v.sqrt() * self.0.horizon();
            rows.push(Row::normal(&term, "person-time", time, 0.0, noise, z).within(0.0, f64::INFINITY));
            if !shown || events < (3.0 * v.sqrt()).max(0.5) || time <= 3.0 * noise {
                rows.push(Row::withheld(&term, "rate", "no event, or too few to be told from noise"));
                continue;
            }
            let error = ((1.0 / events).sqrt(), (v.sqrt() / events).hypot(noise / time));
            let row = Row::ratio(&term, "rate", (events / time).ln(), error.0, error.1, z);
            rows.push(row.note("events by time at risk, of whatever features"));
        }
        Estimate { rows, curves: Vec::new() }
    }
}

impl PersonTime {
    /// Events and time at risk of each interval, and the noise's variance of the events.
    fn read(&self, merged: &MergedRelease) -> Vec<(f64, f64, f64)> {
        let (layout, intervals) = (self.layout(), self.0.ends.len());
        let of = |j: usize| {
            let time = self.0.horizon() * merged.value(intervals + j, &layout);
            (merged.value(j, &layout), time, merged.variance(&layout))
        };
        (0..intervals).map(of).collect()
    }

    /// The intervals in which nobody has the event.
    fn without_events(&self, merged: &MergedRelease) -> Vec<usize> {
        let read = self.read(merged).into_iter().enumerate();
        read.filter(|(_, (events, ..))| *events < 0.5).map(|(j, _)| j).collect()
    }

    /// Why there is nothing to fit: no event, or no time at risk. Under noise, where all intervals together are lost in it.
    fn nothing(&self, merged: &MergedRelease) -> Option<&'static str> {
        let all = self.read(merged);
        let (events, time, variance) = all.iter().fold((0.0, 0.0, 0.0), |s, r| (s.0 + r.0, s.1 + r.1, s.2 + r.2));
        let noise = 3.0 * variance.sqrt();
        match merged.noise_variance > 0.0 {
            false if events < 0.5 => Some("no event"),
            false if time <= 1e-9 * self.0.horizon() => Some("no time at risk: every time is 0"),
            true if events <= noise => Some("no event, or too few to be told from the noise"),
            true if time <= noise * self.0.horizon() => {
                Some("no time at risk, or too little to be told from the noise")
            }
            _ => None,
        }
    }

    /// Where Newton's steps begin: the logarithms of the crude rates.
    fn start(&self, merged: &MergedRelease) -> Vec<f64> {
        let horizon = self.0.horizon();
        let log = |(events, time, v): (f64, f64, f64)| {
            let least = v.sqrt().max(0.5);
            (events.max(least) / time.max(least * horizon / self.0.ends.len() as f64)).ln()
        };
        let mut out: Vec<f64> = self.read(merged).into_iter().map(log).collect();
        out.resize(self.0.width(), 0.0);
        out
    }
}

/// The slope of the log-likelihood at given coefficients.
pub struct HazardGradient {
    model: Intervals,
    theta: Vec<f64>,
}

impl HazardGradient {
    /// At the logarithms of the hazards and the coefficients of the unit-ball rows.
    pub fn new(model: Intervals, theta: Vec<f64>) -> HazardGradient {
        HazardGradient { model, theta }
    }
}

impl Statistic for HazardGradient {
    fn name(&self) -> &'static str {
        "hazard_gradient"
    }
    fn inputs(&self) -> Vec<Input> {
        self.model.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.model.width(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        let cap = self.model.cap;
        Sensitivity::fixed_point(self.model.width(), (2.0 + 1.0 / (cap * cap)).sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "hazard_gradient";
        self.check(lanes)?;
        let (intervals, cap) = (self.model.ends.len(), self.model.cap);
        self.model.patients(NAME, patients, |row, pieces| {
            let (means, all) = self.model.expected(row, pieces, &self.theta);
            for (j, mean) in means {
                let died = f64::from(u8::from(pieces.event == Some(j)));
                lanes.add(NAME, j, encode((died - mean) / cap))?;
            }
            let rest = (f64::from(u8::from(pieces.event.is_some())) - all) / cap;
            row.iter().enumerate().try_for_each(|(k, u)| lanes.add(NAME, intervals + k, encode(rest * u)))
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}

/// Minus the second derivative of the log-likelihood at given coefficients.
pub struct HazardCurvature {
    model: Intervals,
    theta: Vec<f64>,
}

impl HazardCurvature {
    /// At the logarithms of the hazards and the coefficients of the unit-ball rows.
    pub fn new(model: Intervals, theta: Vec<f64>) -> HazardCurvature {
        HazardCurvature { model, theta }
    }

    /// The entries that have a lane, in order: the hazards' own, each hazard with each coefficient, the coefficients'.
    fn entries(&self) -> Vec<(usize, usize)> {
        let (n, all) = (self.model.ends.len(), self.model.width());
        let own = (0..n).map(|j| (j, j));
        let cross = (0..n).flat_map(|j| (n..all).map(move |k| (j, k)));
        own.chain(cross).chain((n..all).flat_map(|i| (i..all).map(move |j| (i, j)))).collect()
    }

    /// The matrix that the lanes stand for.
    fn read(&self, merged: &MergedRelease) -> DMatrix<f64> {
        let (n, d, layout) = (self.model.ends.len(), self.model.design.width(), self.layout());
        let mut out = DMatrix::zeros(n + d, n + d);
        for (lane, (i, j)) in self.entries().into_iter().enumerate().take(n + n * d) {
            let value = merged.value(lane, &layout) / if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
            out[(i, j)] = value;
            out[(j, i)] = value;
        }
        let last = matrix(d, (n + n * d..layout.lanes).map(|lane| merged.value(lane, &layout)));
        out.view_mut((n, n), (d, d)).copy_from(&last);
        out
    }
}

impl Statistic for HazardCurvature {
    fn name(&self) -> &'static str {
        "hazard_curvature"
    }
    fn inputs(&self) -> Vec<Input> {
        self.model.inputs()
    }
    fn layout(&self) -> Layout {
        let (n, d) = (self.model.ends.len(), self.model.design.width());
        Layout { lanes: n + n * d + triangle(d), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 2.0, std::f64::consts::SQRT_2)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "hazard_curvature";
        self.check(lanes)?;
        let (n, d, cap) = (self.model.ends.len(), self.model.design.width(), self.model.cap);
        self.model.patients(NAME, patients, |row, pieces| {
            let (means, all) = self.model.expected(row, pieces, &self.theta);
            for (j, mean) in means {
                lanes.add(NAME, j, encode(mean / cap))?;
                for (k, u) in row.iter().enumerate() {
                    lanes.add(NAME, n + j * d + k, encode(std::f64::consts::SQRT_2 * mean / cap * u))?;
                }
            }
            let mut last = outer(row).enumerate();
            last.try_for_each(|(lane, x)| lanes.add(NAME, n + n * d + lane, encode(all / cap * x)))
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
