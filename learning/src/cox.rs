//! Proportional hazards (Cox 1972) by sums over the cells of a grid of time.
//!
//! The partial likelihood's slope and curvature at β need, at each time with events, the sums over those at risk of e^{βx}(1, x, x xᵀ).
//! Those are sums behind the time of what each patient adds in the one cell where they leave: so a patient moves one cell, and no site
//! needs another's risk sets. With one cell a day and times in whole days it is Breslow's or Efron's estimate of all sites' patients
//! together; wider cells are the grouped form, with all events of a cell tied.
//!
//! Lanes, for each stratum and cell: events; and, once for those with the event and once for the others, w(1, u, u uᵀ) with
//! w = min(e^{βu}, C)/C; at the end, once, Σ u of those with events. With ‖u‖ ≤ 1 a patient's part has norm at most √(1 + 3 + 1) = √5.
//! Sums over those at risk of a patient whose relative hazard is above C, the cap, count it as C.
//!
//! The noise's part of the variance is that of the slope, by its derivative for each cell, between two inverses of the curvature.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};
use summaries::interval::chi2_p;
use summaries::lanes::encode;
use summaries::statistic::{level, real};
use summaries::survival::Grid;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MISSING, MergedRelease, MergedRound, PartWork,
    PatientBatch, Program, ProgramError, Reporting, Row, Sensitivity, Statistic, Step,
};

use crate::coefficients::{Coefficients, withheld};
use crate::design::Design;
use crate::newton::{matrix, outer, triangle};

/// What events of one cell are to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Efron's: each of them leaves a part of the others behind. The default, as in R.
    #[default]
    Efron,
    /// Breslow's: all are at risk for each.
    Breslow,
}

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
                for (i, u) in row.iter().enumerate() {
                    lanes.add(NAME, ends + i, encode(*u))?;
                }
            }
            let group = first + 1 + if event { 0 } else { self.group() };
            let moments = std::iter::once(1.0).chain(row.iter().copied()).chain(outer(row));
            moments.enumerate().try_for_each(|(lane, x)| lanes.add(NAME, group + lane, encode(w * x)))
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
    /// The noise's covariance of the slope.
    noise: DMatrix<f64>,
    events: f64,
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
            noise: DMatrix::identity(d, d) * variance,
            events: 0.0,
        };
        // β'Σu of those with events, and each event's w is divided by the cap.
        let theta = DVector::from_column_slice(&self.theta);
        out.log_likelihood += out.slope.dot(&theta);
        for s in 0..self.strata() {
            let cells = self.model.grid.cells();
            let zero = Sums { s0: 0.0, s1: DVector::zeros(d), s2: DMatrix::zeros(d, d) };
            let mut risk = zero.clone();
            // From the last cell to the first: those at risk grow.
            let mut used: BTreeMap<usize, (f64, DVector<f64>, f64)> = BTreeMap::new();
            for cell in (0..cells).rev() {
                let first = self.cell(s, cell);
                let (died, others) = (sums(first + 1), sums(first + 1 + self.group()));
                risk.s0 += died.s0 + others.s0;
                risk.s1 += &died.s1 + &others.s1;
                risk.s2 += &died.s2 + &others.s2;
                let events = at(first);
                let floor = 3.0 * (2.0 * (cells - cell) as f64 * variance).sqrt();
                if risk.s0 <= floor.max(1e-9) || (variance == 0.0 && events < 0.5) {
                    continue;
                }
                out.events += events;
                // Events and their parts: under noise, or with Breslow's ties, all at once.
                let each = self.model.ties == Ties::Efron && variance == 0.0;
                let steps = if each { events.round() as usize } else { 1 };
                for k in 0..steps.max(1) {
                    let (left, many) = if each { (k as f64 / events, 1.0) } else { (0.0, events) };
                    let s0 = risk.s0 - left * died.s0;
                    let mean = (&risk.s1 - &died.s1 * left) / s0;
                    out.slope -= &mean * many;
                    out.curvature += ((&risk.s2 - &died.s2 * left) / s0 - &mean * mean.transpose()) * many;
                    out.log_likelihood -= many * (s0 * self.model.cap).ln();
                    if variance > 0.0 {
                        used.insert(cell, (s0, mean, many));
                    }
                }
            }
            if variance > 0.0 {
                self.noise(s, &used, variance, &mut out.noise);
            }
        }
        out
    }

    /// Adds the covariance that the lanes' noise gives the slope −Σ d S₁/S₀: by the events of a cell −S₁/S₀, by S₁ of a cell
    /// −Σ d/S₀ over the cells up to it, by S₀ of a cell Σ d S₁/S₀² over them. Both groups of a cell move S.
    fn noise(&self, _: usize, used: &BTreeMap<usize, (f64, DVector<f64>, f64)>, variance: f64, out: &mut DMatrix<f64>) {
        let d = self.model.design.width();
        let (mut by_first, mut by_second) = (DVector::<f64>::zeros(d), 0.0f64);
        for cell in 0..self.model.grid.cells() {
            if let Some((s0, mean, events)) = used.get(&cell) {
                *out += mean * mean.transpose() * variance;
                by_first += mean * (events / s0);
                by_second += events / s0;
            }
            *out += (&by_first * by_first.transpose() + DMatrix::identity(d, d) * (by_second * by_second))
                * (2.0 * variance);
        }
    }
}

/// A Cox regression over rounds.
pub struct Cox {
    model: Model,
    columns: Vec<usize>,
    steps: u32,
    reporting: Reporting,
    null: Option<(f64, f64)>,
}

/// Steps smaller than this, without noise, are the end.
const CONVERGED: f64 = 1e-10;
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
            null: None,
        })
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
    fn coefficients(&self, theta: &[f64], score: &Score, inverse: &DMatrix<f64>) -> Estimate {
        let told = Coefficients {
            design: &self.model.design,
            theta: DVector::from_column_slice(theta),
            sampling: inverse.clone(),
            privacy: inverse * &score.noise * inverse,
            ratio: Some("hazard ratio"),
            free: None,
            outcome: (1.0, 0.0),
        };
        told.tell(&self.reporting)
    }

    fn finish(&self, theta: &[f64], score: &Score, inverse: &DMatrix<f64>, exact: bool) -> Estimate {
        let mut out = self.coefficients(theta, score, inverse);
        out.rows.push(Row::test("model", "events", score.events, "events in the risk sets that were used"));
        if let (true, Some((null, chi2))) = (exact, self.null) {
            let df = theta.len() as f64;
            let likelihood = 2.0 * (score.log_likelihood - null);
            out.rows.push(Row::test("model", "log likelihood", score.log_likelihood, ""));
            out.rows.push(Row::test("model", "likelihood ratio chi2", likelihood, &format!("{df} degrees of freedom")));
            out.rows.push(Row::test("model", "likelihood ratio p", chi2_p(likelihood, df), ""));
            out.rows.push(Row::test("model", "score chi2", chi2, &format!("{df} degrees of freedom")));
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
        Ok(vec![PartWork { name, statistic: Box::new(statistic), columns: self.columns.clone(), weight: 1.0 }])
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let (exact, d) = (merged.exact(), self.model.design.width());
        let solved = match self.solved(parameters, merged)? {
            Ok(solved) => solved,
            Err(why) => return Ok(Step::Done(self.withheld(why))),
        };
        if self.null.is_none() {
            self.null = Some((solved.score.log_likelihood, solved.score.slope.dot(&solved.step)));
        }
        let theta = solved.theta(parameters);
        let length = solved.step.norm();
        let done = (exact && length < CONVERGED) || round + 1 == self.steps;
        if !done {
            return Ok(Step::Continue { round: round + 1, parameters: theta });
        }
        let error = solved.error();
        if length > LONGEST_STEP || length > 3.0 * error * (d as f64).sqrt() {
            return Ok(Step::Done(
                self.withheld("not converged: more steps are needed, or the features separate who has the event"),
            ));
        }
        Ok(Step::Done(self.finish(&theta, &solved.score, &solved.inverse, exact)))
    }

    fn own(&self, _: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let told = match self.solved(parameters, release).ok()? {
            Ok(solved) if solved.step.norm() <= LONGEST_STEP => {
                self.coefficients(&solved.theta(parameters), &solved.score, &solved.inverse)
            }
            Ok(_) => self.withheld("the hospital's own estimate is not near the common one"),
            Err(why) => self.withheld(why),
        };
        Some(told)
    }
}

/// A Newton step that the sums lead to.
struct Solved {
    score: Score,
    inverse: DMatrix<f64>,
    step: DVector<f64>,
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
        (self.inverse.trace() + (&self.inverse * &self.score.noise * &self.inverse).trace()).max(0.0).sqrt()
    }
}

impl Cox {
    /// The step from coefficients; why there is none, where there is none.
    fn solved(&self, parameters: &[f64], merged: &MergedRound) -> Result<Result<Solved, &'static str>, ProgramError> {
        self.parameters(parameters)?;
        let sums = RiskSums::new(self.model.clone(), parameters.to_vec());
        let [release] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        if release.lanes.len() != sums.layout().lanes {
            return Err(ProgramError::Merged);
        }
        let score = sums.score(release);
        if score.events < 1.0 - 1e-6 {
            return Ok(Err("no event, or too few at risk to be told from noise"));
        }
        let eigen = score.curvature.clone().symmetric_eigen();
        let floor = 1e-9 * score.curvature.diagonal().max().max(f64::MIN_POSITIVE);
        if eigen.eigenvalues.min() <= floor {
            return Ok(Err(match merged.exact() {
                true => "the features are collinear, one never varies, or they separate who has the event",
                false => "too noisy to report: the curvature is lost in the noise",
            }));
        }
        let inverse = &eigen.eigenvectors
            * DMatrix::from_diagonal(&eigen.eigenvalues.map(|e| 1.0 / e))
            * eigen.eigenvectors.transpose();
        let step = &inverse * &score.slope;
        Ok(Ok(Solved { score, inverse, step }))
    }
}
