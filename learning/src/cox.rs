//! Proportional hazards (Cox 1972) by sums over the cells of a grid of time.
//!
//! The partial likelihood's slope and curvature at β need, at each time with events, the sums over those at risk of e^{βx}(1, x, x xᵀ).
//! Those are sums behind the time of what each patient adds in the one cell where they leave: so a patient moves one cell, and no site
//! needs another's risk sets. With one cell a day and times in whole days it is Breslow's or Efron's estimate of all sites' patients
//! together; wider cells are the grouped form, with all events of a cell tied, and those censored in it leave it evenly, as in a life table
//! (see `summaries::survival`).
//!
//! Lanes, for each stratum and cell: events; and, once for those with the event and once for the others, w(1, u, u uᵀ) with
//! w = min(e^{βu}, C)/C; at the end, once, Σ u of those with events. With ‖u‖ ≤ 1 a patient's part has norm at most √(1 + 3 + 1) = √5.
//! Sums over those at risk of a patient whose relative hazard is above C, the cap, count it as C.
//!
//! The noise's part of the variance is that of the slope less the curvature times the last step, by its derivative for each lane, between
//! two inverses of the curvature.

mod levels;
mod ties;

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};
use summaries::interval::{chi2_p, degrees_of_freedom};
use summaries::lanes::encode;
use summaries::statistic::{level, real};
use summaries::survival::Grid;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MISSING, MergedRelease, MergedRound, OfSite,
    PartWork, PatientBatch, Program, ProgramError, Reporting, Row, Sensitivity, Statistic, Step,
};

use crate::ascent::{Past, every, flat, is_long, is_rising, spread, steps_needed};
use crate::coefficients::{Coefficients, withheld};
use crate::design::Design;
use crate::glm;
use crate::newton::{matrix, outer, triangle};
use crate::own_steps::Alone;
use crate::ridge::{self, Ridge};
use crate::support;

pub use ties::Ties;

/// What a Cox model is of.
#[derive(Clone)]
pub struct Model {
    /// The features, without an intercept.
    pub design: Design,
    /// The grid of time.
    pub grid: Grid,
    /// Levels of the stratum, where there is one.
    pub strata: Option<u32>,
    /// Ties.
    pub ties: Ties,
    /// Relative hazards above this count as this.
    pub cap: f64,
}

/// The sums at given coefficients. The inputs are the design's, the time, the event, and the stratum where there is one.
#[derive(Clone)]
pub struct RiskSums {
    model: Model,
    theta: Vec<f64>,
}

impl RiskSums {
    /// At coefficients of the unit-ball rows.
    pub fn new(model: Model, theta: Vec<f64>) -> RiskSums {
        RiskSums { model, theta }
    }

    /// Lanes of one group of a cell.
    fn group(&self) -> usize {
        let d = self.model.design.width();
        1 + d + triangle(d)
    }

    fn strata(&self) -> usize {
        self.model.strata.map_or(1, |s| s as usize)
    }

    fn cell(&self, stratum: usize, cell: usize) -> usize {
        (stratum * self.model.grid.cells() + cell) * (1 + 2 * self.group())
    }
}

impl Statistic for RiskSums {
    fn name(&self) -> &'static str {
        "risk_sums"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.model.design.inputs();
        out.extend([Input::Real, Input::Level(2)]);
        out.extend(self.model.strata.map(Input::Level));
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.cell(self.strata(), 0) + self.model.design.width(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 5f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "risk_sums";
        self.check(lanes)?;
        let at = self.model.design.inputs().len();
        let (time, event) = (real(NAME, patients, at)?, level(NAME, patients, at + 1)?);
        let stratum = self.model.strata.map(|_| level(NAME, patients, at + 2)).transpose()?;
        let ends = self.cell(self.strata(), 0);
        let mut part = Vec::with_capacity(self.group());
        self.model.design.rows(NAME, patients, |patient, row, _| {
            let t = time.get(patient).copied().unwrap_or(f64::NAN);
            let e = event.get(patient).copied().filter(|e| *e < 2 && *e != MISSING);
            let s = stratum.map_or(Some(0), |s| s.get(patient).map(|l| *l as usize)).filter(|s| *s < self.strata());
            let place = e.and_then(|e| self.model.grid.place(t, e == 1));
            let (Some((cell, event)), Some(s)) = (place, s) else { return Ok(()) };
            let eta: f64 = row.iter().zip(&self.theta).map(|(u, b)| u * b).sum();
            let w = eta.exp().min(self.model.cap) / self.model.cap;
            let first = self.cell(s, cell);
            if event {
                lanes.add(NAME, first, encode(1.0))?;
                lanes.add_row(NAME, ends, row)?;
            }
            let group = first + 1 + if event { 0 } else { self.group() };
            part.clear();
            part.extend(std::iter::once(1.0).chain(row.iter().copied()).chain(outer(row)).map(|x| w * x));
            lanes.add_row(NAME, group, &part)
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}

/// Sums of w(1, u, u uᵀ).
#[derive(Clone)]
struct Sums {
    s0: f64,
    s1: DVector<f64>,
    s2: DMatrix<f64>,
}

/// The partial likelihood's slope and curvature.
struct Score {
    log_likelihood: f64,
    slope: DVector<f64>,
    curvature: DMatrix<f64>,
    events: f64,
    /// Σ u of those with events.
    ends: DVector<f64>,
    /// By stratum and release, the cells that are used, and the noise's variance of a lane.
    used: Vec<(BTreeMap<usize, Used>, f64)>,
    /// The noise's variance of a lane of the sum over those with events.
    variance: f64,
    /// Cells of the grid.
    cells: usize,
}

/// A cell that is used.
struct Used {
    events: f64,
    /// S₀, S₁/S₀ and S₂/S₀ of those at risk; with Efron's ties their mean over the events.
    risk: f64,
    mean: DVector<f64>,
    second: DMatrix<f64>,
}

impl RiskSums {
    fn score(&self, merged: &MergedRelease) -> Score {
        let (d, layout) = (self.model.design.width(), self.layout());
        let variance = merged.variance(&layout);
        let at = |lane: usize| merged.value(lane, &layout);
        let sums = |first: usize| Sums {
            s0: at(first),
            s1: DVector::from_fn(d, |i, _| at(first + 1 + i)),
            s2: matrix(d, (0..triangle(d)).map(|i| at(first + 1 + d + i))),
        };
        let ends = self.cell(self.strata(), 0);
        let mut out = Score {
            log_likelihood: 0.0,
            slope: DVector::from_fn(d, |i, _| at(ends + i)),
            curvature: DMatrix::zeros(d, d),
            events: 0.0,
            ends: DVector::from_fn(d, |i, _| at(ends + i)),
            used: Vec::new(),
            variance,
            cells: self.model.grid.cells(),
        };
        // Events of cells whose risk sets are lost in the noise.
        let mut lost = 0.0;
        // β'Σu of those with events, and each event's w is divided by the cap.
        let theta = DVector::from_column_slice(&self.theta);
        out.log_likelihood += out.slope.dot(&theta);
        for s in 0..self.strata() {
            let cells = self.model.grid.cells();
            let zero = Sums { s0: 0.0, s1: DVector::zeros(d), s2: DMatrix::zeros(d, d) };
            let mut risk = zero.clone();
            // From the last cell to the first: those at risk grow.
            let mut used: BTreeMap<usize, Used> = BTreeMap::new();
            for cell in (0..cells).rev() {
                let first = self.cell(s, cell);
                let (died, others) = (sums(first + 1), sums(first + 1 + self.group()));
                risk.s0 += died.s0 + others.s0;
                risk.s1 += &died.s1 + &others.s1;
                risk.s2 += &died.s2 + &others.s2;
                let events = at(first);
                let floor = 3.0 * (2.0 * (cells - cell) as f64 * variance).sqrt();
                if risk.s0 <= floor.max(1e-9) || (variance == 0.0 && events < 0.5) {
                    lost += if risk.s0 <= floor.max(1e-9) { events } else { 0.0 };
                    continue;
                }
                out.events += events;
                let mut here = Used { events, risk: 0.0, mean: DVector::zeros(d), second: DMatrix::zeros(d, d) };
                let parts = self.model.ties.parts(events, variance > 0.0);
                let share = 1.0 / parts.len() as f64;
                for left in parts {
                    let many = events * share;
                    let gone = self.model.ties.gone(left, self.model.grid.gone(cell));
                    let s0 = risk.s0 - left * died.s0 - gone * others.s0;
                    let s2 = &risk.s2 - &died.s2 * left - &others.s2 * gone;
                    let mean = (&risk.s1 - &died.s1 * left - &others.s1 * gone) / s0;
                    out.slope -= &mean * many;
                    out.curvature += (&s2 / s0 - &mean * mean.transpose()) * many;
                    out.log_likelihood -= many * (s0 * self.model.cap).ln();
                    here.risk += s0 * share;
                    here.second += s2 / s0 * share;
                    here.mean += mean * share;
                }
                if variance > 0.0 {
                    used.insert(cell, here);
                }
            }
            out.used.push((used, variance));
        }
        // What those of the lost cells have is in the sum of all with events, and leaves it in proportion.
        let all = out.events + lost;
        if lost > 0.0 && all > 0.0 {
            let whole = DVector::from_fn(d, |i, _| at(ends + i));
            out.slope -= whole * (lost / all).min(1.0);
        }
        out
    }
}

impl Score {
    /// Of two likelihoods, each with its own baseline.
    fn plus(mut self, other: Score) -> Score {
        self.log_likelihood += other.log_likelihood;
        self.slope += other.slope;
        self.curvature += other.curvature;
        self.events += other.events;
        self.ends += other.ends;
        self.used.extend(other.used);
        self.variance += other.variance;
        self
    }

    /// The covariance that the lanes' noise gives the slope less the curvature times a step s.
    ///
    /// With d events, m = S₁/S₀ and Q = S₂/S₀ of a cell: an event moves the slope by −m and the curvature by Q − m mᵀ. A lane of S of a
    /// cell moves all cells up to it; with b = Σ d/S₀, q = Σ d m/S₀ and A = Σ d (2 m mᵀ − Q)/S₀ over these, S₀ moves the slope by q and
    /// the curvature by A, an entry i of S₁ by −b eᵢ and −(eᵢ qᵀ + q eᵢᵀ), and one of S₂ the curvature alone, by b. Both groups of a cell
    /// move S.
    fn noise(&self, s: &DVector<f64>) -> DMatrix<f64> {
        let d = s.len();
        let one = DMatrix::<f64>::identity(d, d);
        // Of the sum over those with events.
        let mut out = &one * self.variance;
        let spread_of_step = spread(s, &every(d));
        for (used, variance) in &self.used {
            let (mut b, mut q, mut a) = (0.0, DVector::<f64>::zeros(d), DMatrix::<f64>::zeros(d, d));
            // Those who leave behind the last cell that is used are at risk in all.
            for cell in 0..self.cells {
                if let Some(Used { events, risk, mean, second }) = used.get(&cell) {
                    let outer = mean * mean.transpose();
                    let event = mean + (second - &outer) * s;
                    out += &event * event.transpose() * *variance;
                    b += events / risk;
                    q += mean * (events / risk);
                    a += (outer * 2.0 - second) * (events / risk);
                }
                let by_zeroth = &q - &a * s;
                let along = q.dot(s) - b;
                let by_first = &one * (along * along)
                    + (s * q.transpose() + &q * s.transpose()) * along
                    + &q * q.transpose() * s.norm_squared();
                out += (&by_zeroth * by_zeroth.transpose() + by_first + &spread_of_step * (b * b)) * (2.0 * variance);
            }
        }
        out
    }

    /// The variance of a lane of the curvature, by the lanes of S₂.
    fn variance_of_curvature(&self) -> f64 {
        let mut out = 0.0;
        for (used, variance) in &self.used {
            let mut b = 0.0;
            for cell in 0..self.cells {
                b += used.get(&cell).map_or(0.0, |u| u.events / u.risk);
                out += 2.0 * variance * b * b;
            }
        }
        out
    }
}

/// A Cox regression over rounds.
pub struct Cox {
    model: Model,
    columns: Vec<usize>,
    steps: u32,
    reporting: Reporting,
    own_baselines: bool,
    /// How many baselines there are, where it is told: of those with their own, 1 where these were lost in the noise.
    baselines: Option<usize>,
    null: Option<(f64, f64)>,
    ridge: Option<Ridge>,
    past: Past,
    /// How many steps still mattered.
    long: u32,
}

/// What is remembered of a model that has gone on with one baseline.
const ONE_FOR_ALL: [f64; 1] = [-1.0];

/// The place of the entry that is furthest from 0, and how far it is.
fn furthest(v: &DVector<f64>) -> (usize, f64) {
    v.iter().map(|s| s.abs()).enumerate().fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a })
}

/// Steps smaller than this, without noise, are the end.
const CONVERGED: f64 = 1e-10;
/// Without noise a last step longer than this has not arrived.
const STILL: f64 = 1e-6;
/// No step is longer, in coefficients of the unit-ball rows.
const LONGEST_STEP: f64 = 6.0;

impl Cox {
    /// With so many Newton steps (at least 1). `columns` are the places of what [`RiskSums`] reads. `None` where a round would have
    /// more than four million lanes, or the cap is below 1.
    pub fn new(model: Model, columns: Vec<usize>, steps: u32, reporting: Reporting) -> Option<Cox> {
        let lanes = RiskSums::new(model.clone(), Vec::new()).layout().lanes;
        (lanes <= 1 << 22 && model.cap >= 1.0 && model.cap.is_finite()).then(|| Cox {
            model,
            columns,
            steps: steps.max(1),
            reporting,
            own_baselines: false,
            baselines: None,
            null: None,
            ridge: None,
            past: Past::default(),
            long: 0,
        })
    }

    /// The same with a baseline for each hospital, where their releases are apart: the hazards of two hospitals need have nothing in
    /// common, and only patients of one are compared. It costs nothing, since every hospital releases its own sums anyway.
    #[must_use]
    pub fn with_own_baselines(mut self, own: bool) -> Cox {
        self.own_baselines = own;
        self
    }

    /// The same with a ridge penalty λ on the coefficients in the features' own units; 0 is none.
    #[must_use]
    pub fn penalised(mut self, penalty: f64) -> Cox {
        self.ridge = Ridge::of(&self.model.design, penalty);
        self
    }

    fn parameters(&self, given: &[f64]) -> Result<(), ProgramError> {
        let needed = self.model.design.width();
        let fits = given.len() == needed && given.iter().all(|p| p.is_finite());
        if fits { Ok(()) } else { Err(ProgramError::Parameters { given: given.len(), needed }) }
    }

    fn withheld(&self, why: &str) -> Estimate {
        Estimate { rows: withheld(&self.model.design, why), curves: Vec::new() }
    }

    /// The coefficients with their ratios and tests.
    fn coefficients(&self, theta: &[f64], noise: &DMatrix<f64>, inverse: &DMatrix<f64>) -> Estimate {
        let told = Coefficients {
            design: &self.model.design,
            theta: DVector::from_column_slice(theta),
            sampling: self.ridge.as_ref().map_or_else(|| inverse.clone(), |r| ridge::sampling(inverse, &r.matrix)),
            privacy: inverse * noise * inverse,
            ratio: Some("hazard ratio"),
            free: None,
            outcome: (1.0, 0.0),
        };
        let mut out = told.tell(&self.reporting);
        if let Some(ridge) = &self.ridge {
            ridge.told(&mut out);
        }
        out
    }

    fn finish(&self, theta: &[f64], solved: &Solved, exact: bool) -> Estimate {
        let score = &solved.score;
        let mut out = self.coefficients(theta, &solved.noise, &solved.inverse);
        if let Some(n) = self.baselines {
            let note = if self.own_baselines { "a hazard for each hospital" } else { glm::ONE_FOR_ALL };
            out.rows.push(Row::test("model", "baselines", n as f64, note));
        }
        out.rows.push(Row::test("model", "events", score.events, "events in the risk sets that were used"));
        if let (true, Some((null, chi2))) = (exact, self.null) {
            let df = theta.len() as f64;
            let likelihood = 2.0 * (score.log_likelihood - null);
            out.rows.push(steps_needed(self.long));
            out.rows.push(Row::test("model", "log likelihood", score.log_likelihood, ""));
            // The tests are of a fit without a penalty.
            if self.ridge.is_some() {
                return out;
            }
            out.rows.push(Row::test("model", "likelihood ratio chi2", likelihood, &degrees_of_freedom(df)));
            out.rows.push(Row::test("model", "likelihood ratio p", chi2_p(likelihood, df), ""));
            out.rows.push(Row::test("model", "score chi2", chi2, &degrees_of_freedom(df)));
        }
        out
    }
}

impl Program for Cox {
    fn rounds(&self) -> u32 {
        self.steps
    }

    fn weight(&self, _: u32) -> f64 {
        1.0
    }

    fn first(&self) -> Vec<f64> {
        vec![0.0; self.model.design.width()]
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.parameters(parameters)?;
        if round >= self.steps {
            return Err(ProgramError::Round { asked: round, planned: self.steps });
        }
        let statistic = RiskSums::new(self.model.clone(), parameters.to_vec());
        let name = statistic.name().to_owned();
        Ok(vec![PartWork {
            name,
            statistic: Box::new(statistic),
            columns: self.columns.clone(),
            weight: 1.0,
            walk: None,
            rate: None,
        }])
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        self.after(round, parameters, merged.exact(), std::slice::from_ref(merged))
    }

    fn apart(&self) -> bool {
        self.own_baselines
    }

    fn memory(&self) -> Vec<f64> {
        match (self.own_baselines, self.null) {
            (false, _) => ONE_FOR_ALL.to_vec(),
            (true, Some((a, b))) => {
                let mut out = self.past.numbers(self.model.design.width());
                out.extend([a, b, f64::from(self.long)]);
                out
            }
            (true, None) => Vec::new(),
        }
    }

    fn remember(&mut self, memory: &[f64]) {
        if self.own_baselines && memory == ONE_FOR_ALL {
            (self.own_baselines, self.baselines) = (false, Some(1));
        }
        if let Some((past, [a, b, long])) = Past::of(memory, self.model.design.width()) {
            (self.past, self.null, self.long) = (past, Some((*a, *b)), *long as u32);
        }
    }

    fn next_apart(
        &mut self,
        round: u32,
        parameters: &[f64],
        merged: &MergedRound,
        sites: &[OfSite],
    ) -> Result<Step, ProgramError> {
        let releases: Vec<MergedRound> = sites.iter().map(|s| s.round.clone()).collect();
        self.baselines = Some(releases.len());
        // The sum of all releases holds more than its parts.
        let lost = |s: &Cox| {
            let solved = s.solved(parameters, &releases, (merged.exact(), false), (0, &mut Past::default()))?;
            // Later rounds are averaged.
            let later = f64::from(s.steps.max(2) - 1).sqrt();
            Ok::<_, ProgramError>(!solved.is_ok_and(|s| s.least > 2.0 * s.floor / later))
        };
        if round == 0 && releases.len() > 1 && !merged.exact() && lost(self)? {
            // One hazard would take what differs between hospitals for what such a feature does.
            let constant = self.constant_within(parameters, &releases, merged)?;
            if !constant.is_empty() {
                return Ok(Step::Done(self.withheld(&glm::collinear(&self.model.design, &constant, true))));
            }
            (self.own_baselines, self.baselines) = (false, Some(1));
            return self.next(round, parameters, merged);
        }
        self.after(round, parameters, merged.exact(), &releases)
    }

    fn own(&self, _: &str, _: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let own = std::slice::from_ref(release);
        let told = match self.solved(parameters, own, (release.exact(), true), (0, &mut Past::default())).ok()? {
            Ok(solved) if !release.exact() && solved.least <= 2.0 * solved.floor => {
                self.withheld("too noisy to report: the curvature is lost in the noise")
            }
            Ok(solved) if solved.step.norm() <= LONGEST_STEP => {
                let mut out = self.coefficients(&solved.theta(parameters), &solved.noise, &solved.inverse);
                glm::one_step(&self.model.design, &solved.absent, &mut out);
                out
            }
            Ok(_) => self.withheld("the hospital's own estimate is not near the common one"),
            Err(why) => self.withheld(&why),
        };
        Some(told)
    }
}

impl Alone for Cox {
    fn width(&self) -> usize {
        self.model.design.width()
    }
    fn begin_at(&self, parameters: &[f64], _: f64) -> Result<Vec<f64>, ProgramError> {
        self.parameters(parameters)?;
        Ok(parameters.to_vec())
    }
    fn parts(&self, own: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.work(0, own)
    }
    fn ahead(&self, own: &[f64], release: &MergedRound, _: bool) -> Option<(Vec<f64>, f64)> {
        let releases = std::slice::from_ref(release);
        let solved = self.solved(own, releases, (release.exact(), true), (0, &mut Past::default())).ok()?.ok()?;
        let told = release.exact() || solved.least > 2.0 * solved.floor;
        told.then(|| (solved.theta(own), solved.step.norm()))
    }
    fn told(&self, own: &[f64], release: &MergedRound) -> Option<Estimate> {
        self.own("", 0, own, release)
    }
}

/// A Newton step that the sums lead to.
struct Solved {
    score: Score,
    inverse: DMatrix<f64>,
    step: DVector<f64>,
    /// The noise's covariance of the slope less the curvature times the step.
    noise: DMatrix<f64>,
    /// The curvature's least eigenvalue, and the spectral norm of its noise.
    least: f64,
    floor: f64,
    /// Of one hospital, the columns of levels that nobody is of, or nobody with the event.
    absent: Vec<usize>,
}

impl Solved {
    /// Where it leads; no further than the longest step.
    fn theta(&self, from: &[f64]) -> Vec<f64> {
        let length = self.step.norm();
        let scale = if length > LONGEST_STEP { LONGEST_STEP / length } else { 1.0 };
        from.iter().zip(self.step.iter()).map(|(t, s)| t + scale * s).collect()
    }

    /// The length of the coefficients' error.
    fn error(&self) -> f64 {
        (self.inverse.trace() + (&self.inverse * &self.noise * &self.inverse).trace()).max(0.0).sqrt()
    }
}

impl Cox {
    /// What comes after a round of these releases, each with a baseline of its own.
    fn after(
        &mut self,
        round: u32,
        parameters: &[f64],
        exact: bool,
        releases: &[MergedRound],
    ) -> Result<Step, ProgramError> {
        let d = self.model.design.width();
        let mut past = std::mem::take(&mut self.past);
        let solved = self.solved(parameters, releases, (exact, false), (round, &mut past));
        self.past = past;
        let solved = match solved? {
            Ok(solved) => solved,
            Err(why) => return Ok(Step::Done(self.withheld(&why))),
        };
        if self.null.is_none() {
            self.null = Some((solved.score.log_likelihood, solved.score.slope.dot(&solved.step)));
        }
        let theta = solved.theta(parameters);
        let length = solved.step.norm();
        self.long += u32::from(is_long(length, 0.0));
        let by_noise = (&solved.noise * &solved.inverse).trace();
        let rises = is_rising(
            solved.score.slope.dot(&solved.step),
            by_noise + std::mem::replace(&mut self.past.left, by_noise),
        );
        let done = (exact && length < CONVERGED) || round + 1 == self.steps;
        if !done {
            return Ok(Step::Continue { round: round + 1, parameters: theta });
        }
        if !exact && solved.least <= 2.0 * solved.floor {
            return Ok(Step::Done(self.withheld("too noisy to report: the curvature is lost in the noise")));
        }
        let arrived = if exact { length <= STILL } else { length <= 3.0 * solved.error() * (d as f64).sqrt() };
        let without = self.without_events(&solved.score, exact);
        if !without.is_empty() {
            let named = support::named(&self.model.design, &without);
            let why = match exact {
                true => format!("the features separate who has the event: nobody with {named} has it"),
                false => format!(
                    "the features separate who has the event, as far as the noise tells: nobody with {named} has it, or too few to be told"
                ),
            };
            return Ok(Step::Done(self.withheld(&why)));
        }
        if !arrived || length > LONGEST_STEP || (!exact && (rises || self.is_at_cap(&theta))) {
            let (most, _) = furthest(&solved.step);
            let names = self.model.design.names();
            let named = names.get(most).map(|n| format!("; '{n}' moves most")).unwrap_or_default();
            return Ok(Step::Done(self.withheld(&format!(
                "not converged: more steps are needed, or the features separate who has the event{named}"
            ))));
        }
        Ok(Step::Done(self.finish(&theta, &solved, exact)))
    }

    /// The step from coefficients; why there is none, where there is none.
    fn solved(
        &self,
        parameters: &[f64],
        releases: &[MergedRound],
        (exact, alone): (bool, bool),
        (round, past): (u32, &mut Past),
    ) -> Result<Result<Solved, String>, ProgramError> {
        self.parameters(parameters)?;
        let sums = RiskSums::new(self.model.clone(), parameters.to_vec());
        let mut score: Option<Score> = None;
        for merged in releases {
            let [release] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            if release.lanes.len() != sums.layout().lanes {
                return Err(ProgramError::Merged);
            }
            let one = sums.score(release);
            score = Some(match score {
                None => one,
                Some(before) => before.plus(one),
            });
        }
        let Some(mut score) = score else { return Err(ProgramError::Merged) };
        if score.events < 1.0 - 1e-6 {
            return Ok(Err("no event, or too few at risk to be told from noise".to_owned()));
        }
        // The spectral norm of the curvature's noise is about that of a lane times √(2d).
        let loud = score.variance_of_curvature() * 2.0 * score.slope.len() as f64;
        let mut newest = score.curvature.clone();
        let absent = if alone { self.absent(&score, exact) } else { Vec::new() };
        support::mask(&absent, &mut score.slope, &mut newest);
        let (curvature, loud) = if exact {
            (newest, 0.0)
        } else {
            let (mean, loud, _) = past.mean(round, newest, loud);
            (mean, loud)
        };
        let curvature = match &self.ridge {
            Some(r) => {
                score.slope = ridge::pulled(&score.slope, &r.matrix, parameters);
                curvature + &r.matrix
            }
            None => curvature,
        };
        let floor = loud.sqrt().max(1e-9 * curvature.diagonal().max().max(f64::MIN_POSITIVE));
        let eigen = curvature.symmetric_eigen();
        let least = eigen.eigenvalues.min();
        if exact && least <= floor {
            let named = glm::collinear(&self.model.design, &flat(&eigen, floor), self.own_baselines);
            return Ok(Err(format!("{named}, or they separate who has the event")));
        }
        let inverse = &eigen.eigenvectors
            * DMatrix::from_diagonal(&eigen.eigenvalues.map(|e| 1.0 / e.max(floor)))
            * eigen.eigenvectors.transpose();
        let step = &inverse * &score.slope;
        let noise = score.noise(&step);
        Ok(Ok(Solved { score, inverse, step, noise, least, floor, absent }))
    }
}
