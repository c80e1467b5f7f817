//! The rounds of a piecewise exponential regression: crude rates, then Newton's steps from them.

use nalgebra::{DMatrix, DVector};
use summaries::interval::normal_quantile;
use summaries::{
    Estimate, Layout, MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Row, Statistic, Step,
};

use super::{HazardCurvature, HazardGradient, Intervals, PersonTime};
use crate::ascent::{Ascent, CONVERGED, Fit, Sums, steps_needed};
use crate::coefficients::{Coefficients, withheld};
use crate::glm::{self, EVALUATION_WEIGHT, GRADIENT_WEIGHT};
use crate::support;

/// A piecewise exponential regression over rounds.
pub struct PiecewiseExponential {
    model: Intervals,
    columns: Vec<usize>,
    steps: u32,
    reporting: Reporting,
    ascent: Ascent,
    crude: Vec<Row>,
    /// Intervals without an event, as the data without noise say: their hazard is 0, and no step is taken in them.
    empty: Vec<usize>,
}

/// The logarithm of a hazard that is nothing.
const NO_HAZARD: f64 = -50.0;

impl PiecewiseExponential {
    /// With so many Newton steps (at least 1). `columns` are the places of the design's terms, the time and the event.
    pub fn new(model: Intervals, columns: Vec<usize>, steps: u32, reporting: Reporting) -> PiecewiseExponential {
        let (steps, ascent) = (steps.max(1), Ascent::default());
        PiecewiseExponential { model, columns, steps, reporting, ascent, crude: Vec::new(), empty: Vec::new() }
    }

    fn parameters(&self, round: u32, given: &[f64]) -> Result<(), ProgramError> {
        let needed = if round == 0 { 0 } else { self.model.width() };
        let fits = given.len() == needed && given.iter().all(|p| p.is_finite());
        if fits { Ok(()) } else { Err(ProgramError::Parameters { given: given.len(), needed }) }
    }

    /// Of columns, the first of which are the intervals'.
    fn collinear(&self, columns: &[usize]) -> String {
        let n = self.model.ends.len();
        let own: Vec<usize> = columns.iter().filter_map(|c| c.checked_sub(n)).collect();
        glm::collinear(&self.model.design, &own, false)
    }

    fn finish(&self, fit: Fit) -> Estimate {
        let n = self.model.ends.len();
        let design = &self.model.design;
        let mut rows = self.crude.clone();
        let (theta, inverse, privacy) = match fit {
            Fit::Reached(theta, inverse, privacy) => (DVector::from_vec(theta), inverse / self.model.cap, privacy),
            other => {
                let why = match other {
                    Fit::Collinear(columns) => self.collinear(&columns),
                    Fit::Constant(_) => "no event, or too few to be told from the noise".to_owned(),
                    Fit::Moving(column) => {
                        glm::moving(&self.model.design, column.and_then(|c| c.checked_sub(self.model.ends.len())))
                    }
                    other => glm::reached(&self.model.design, Some(&other)).err().unwrap_or_default(),
                };
                let intervals = (0..n).map(|j| Row::withheld(&self.model.name(j), "hazard", &why));
                rows.extend(intervals.chain(withheld(design, &why)));
                return Estimate { rows, curves: Vec::new() };
            }
        };
        let z = normal_quantile(0.5 + self.reporting.confidence / 2.0);
        // To where all numbers are 0, from the middle of their bounds.
        let mut shift = DMatrix::identity(self.model.width(), self.model.width());
        for (k, s) in design.shift().into_iter().enumerate() {
            (0..n).for_each(|j| shift[(j, n + k)] = s);
        }
        let own = &shift * &theta;
        let spread = |m: &DMatrix<f64>| m.diagonal().map(|v| v.max(0.0).sqrt());
        let errors = (spread(&inverse), spread(&privacy));
        let shifted =
            (spread(&(&shift * &inverse * shift.transpose())), spread(&(&shift * &privacy * shift.transpose())));
        for j in 0..n {
            let term = self.model.name(j);
            if self.empty.contains(&j) {
                rows.push(Row::withheld(&term, "hazard", "no event"));
                continue;
            }
            let row = Row::ratio(&term, "hazard", theta[j], errors.0[j], errors.1[j], z);
            rows.push(row.note("in the middle of all bounds and at all reference levels"));
            let row = Row::normal(&term, "coefficient", own[j], shifted.0[j], shifted.1[j], z);
            rows.push(row.note("the logarithm of the hazard where all numbers are 0"));
        }
        let d = design.width();
        let last = |m: &DMatrix<f64>| m.view((n, n), (d, d)).into_owned();
        let told = Coefficients {
            design,
            theta: theta.rows(n, d).into_owned(),
            sampling: last(&inverse),
            privacy: last(&privacy),
            ratio: Some("hazard ratio"),
            free: None,
            outcome: (1.0, 0.0),
        };
        let told = told.tell(&self.reporting);
        rows.extend(told.rows);
        Estimate { rows, curves: told.curves }
    }
}

impl Program for PiecewiseExponential {
    fn rounds(&self) -> u32 {
        self.steps + 1
    }

    fn weight(&self, round: u32) -> f64 {
        if round == 0 { EVALUATION_WEIGHT } else { 1.0 }
    }

    fn first(&self) -> Vec<f64> {
        Vec::new()
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.parameters(round, parameters)?;
        let part = |statistic: Box<dyn Statistic>, weight| PartWork {
            name: statistic.name().to_owned(),
            statistic,
            columns: self.columns.clone(),
            weight,
            walk: None,
            rate: None,
        };
        let (model, theta) = (self.model.clone(), parameters.to_vec());
        match round {
            0 => Ok(vec![part(Box::new(PersonTime::new(model)), 1.0)]),
            r if r <= self.steps => Ok(vec![
                part(Box::new(HazardGradient::new(model.clone(), theta.clone())), GRADIENT_WEIGHT),
                part(Box::new(HazardCurvature::new(model, theta)), 1.0 - GRADIENT_WEIGHT),
            ]),
            _ => Err(ProgramError::Round { asked: round, planned: self.rounds() }),
        }
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        self.parameters(round, parameters)?;
        let fits = |release: &MergedRelease, layout: Layout| release.lanes.len() == layout.lanes;
        if round == 0 {
            let statistic = PersonTime::new(self.model.clone());
            let [release] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            if !fits(release, statistic.layout()) {
                return Err(ProgramError::Merged);
            }
            self.crude = statistic.estimate(release, &self.reporting).rows;
            if let Some(why) = statistic.nothing(release) {
                return Ok(Step::Done(self.finish(Fit::Withheld(why))));
            }
            let mut start = statistic.start(release);
            if merged.exact() {
                self.empty = statistic.without_events(release);
                for j in &self.empty {
                    if let Some(slot) = start.get_mut(*j) {
                        *slot = NO_HAZARD;
                    }
                }
            }
            return Ok(Step::Continue { round: 1, parameters: start });
        }
        let [gradient, curvature] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        let slope = HazardGradient::new(self.model.clone(), parameters.to_vec());
        let bend = HazardCurvature::new(self.model.clone(), parameters.to_vec());
        if !fits(gradient, slope.layout()) || !fits(curvature, bend.layout()) {
            return Err(ProgramError::Merged);
        }
        let layout = slope.layout();
        let intervals: Vec<(usize, f64)> = (0..self.model.ends.len()).map(|j| (j, 1.0)).collect();
        let sums = Sums {
            gradient: DVector::from_iterator(layout.lanes, (0..layout.lanes).map(|l| gradient.value(l, &layout))),
            gradient_variance: gradient.variance(&layout),
            curvature: bend.read(curvature),
            curvature_variance: curvature.variance(&bend.layout()),
            lanes: bend.entries(),
            unit: self.model.cap,
            norm: self.model.design.norm(),
            groups: support::groups(&self.model.design, &intervals, false),
            ridge: None,
        };
        let mut sums = sums;
        let largest = sums.curvature.diagonal().max();
        for j in &self.empty {
            sums.gradient[*j] = 0.0;
            sums.curvature.row_mut(*j).fill(0.0);
            sums.curvature.column_mut(*j).fill(0.0);
            sums.curvature[(*j, *j)] = largest;
        }
        let (theta, length, fit) = self.ascent.step_from(parameters, 0.0, sums);
        if round == self.steps || (merged.exact() && length < CONVERGED) {
            let mut out = self.finish(fit);
            out.rows.extend(merged.exact().then(|| steps_needed(self.ascent.long)));
            return Ok(Step::Done(out));
        }
        Ok(Step::Continue { round: round + 1, parameters: theta })
    }
}
