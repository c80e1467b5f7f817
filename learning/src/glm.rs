//! Generalised linear models by noisy Newton steps.
//!
//! Each round the sites release the gradient and the curvature at the current coefficients; the coordinator takes a step (see
//! `ascent`). The last round releases a histogram of scores, or what the dispersion is told by. Without noise the steps go on until they
//! vanish.

mod by_hospital;

use nalgebra::{DMatrix, DVector};
use summaries::{
    Estimate, FIXED_POINT, Layout, MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Row,
    Statistic, Step,
};

use crate::ascent::{Ascent, CONVERGED, Fit, Sums, every, steps_needed};
use crate::coefficients::{Coefficients, withheld};
use crate::design::Design;
use crate::dispersion::Dispersion;
use crate::family::Family;
use crate::level::leveled;
use crate::likelihood::Likelihood;
use crate::newton::{Curvature, Gradient, matrix, triangle};
use crate::ridge::Ridge;
use crate::scores::ScoreHistogram;
use crate::support::{self, FARTHEST};

pub use by_hospital::ByHospital;
pub(crate) use by_hospital::{ONE_FOR_ALL, Part, constant_within, tag};

/// The gradient gets this share of a step's charge, the curvature the rest: an error of the curvature is multiplied by the
/// step, which shrinks, an error of the gradient is not.
pub(crate) const GRADIENT_WEIGHT: f64 = 0.6;
/// The evaluation's weight, where a step has 1.
pub(crate) const EVALUATION_WEIGHT: f64 = 0.25;

/// A generalised linear model.
#[derive(Clone)]
pub struct Glm {
    design: Design,
    likelihood: Likelihood,
    columns: Vec<usize>,
    steps: u32,
    start: f64,
    reporting: Reporting,
    ascent: Ascent,
    ridge: Option<Ridge>,
    last: Option<Fit>,
}

impl Glm {
    /// With so many Newton steps (at least 1). `columns` are the places of the design's terms and, last, what the likelihood reads.
    pub fn new(
        design: Design,
        likelihood: impl Into<Likelihood>,
        columns: Vec<usize>,
        steps: u32,
        reporting: Reporting,
    ) -> Glm {
        let (steps, ascent, likelihood) = (steps.max(1), Ascent::default(), likelihood.into());
        Glm { design, likelihood, columns, steps, start: 0.0, reporting, ascent, ridge: None, last: None }
    }

    /// The same, whose first step is from this intercept; from public bounds, so that fewer steps are needed.
    #[must_use]
    pub fn starting_at(mut self, intercept: f64) -> Glm {
        self.start = if intercept.is_finite() { intercept } else { 0.0 };
        self
    }

    /// The same with a ridge penalty λ on the coefficients in the features' own units; 0 is none.
    #[must_use]
    pub fn penalised(mut self, penalty: f64) -> Glm {
        self.ridge = Ridge::of(&self.design, penalty);
        self
    }

    /// What a round's gradient and curvature say, with the penalty.
    fn read(&self, gradient: &MergedRelease, curvature: &MergedRelease) -> Result<Sums, ProgramError> {
        let ridge = self.ridge.as_ref().map(|r| r.per(self.likelihood.unit()));
        Ok(Sums { ridge, ..sums(&self.design, &self.likelihood, gradient, curvature)? })
    }

    fn parameters(&self, given: &[f64]) -> Result<(), ProgramError> {
        let needed = self.design.width();
        if given.len() == needed && given.iter().all(|p| p.is_finite()) {
            Ok(())
        } else {
            Err(ProgramError::Parameters { given: given.len(), needed })
        }
    }
}

/// What a gradient and a curvature of a design say.
pub(crate) fn sums(
    design: &Design,
    likelihood: &Likelihood,
    gradient: &MergedRelease,
    curvature: &MergedRelease,
) -> Result<Sums, ProgramError> {
    let d = design.width();
    if gradient.lanes.len() != d || curvature.lanes.len() != triangle(d) {
        return Err(ProgramError::Merged);
    }
    let layout = Layout { lanes: d, scale: FIXED_POINT };
    Ok(Sums {
        gradient: DVector::from_iterator(d, (0..d).map(|lane| gradient.value(lane, &layout))),
        gradient_variance: gradient.variance(&layout),
        curvature: matrix(d, (0..triangle(d)).map(|lane| curvature.value(lane, &layout))),
        curvature_variance: curvature.variance(&layout),
        lanes: every(d),
        unit: likelihood.unit(),
        norm: design.norm(),
        groups: support::groups(design, &[(0, design.norm())], likelihood.family == Family::Logistic),
        ridge: None,
    })
}

/// Coefficients, the inverse of their curvature and the noise's covariance.
type Arrived<'a> = (&'a [f64], &'a DMatrix<f64>, &'a DMatrix<f64>);

/// What a fit has reached; why there is none, where there is none.
pub(crate) fn reached<'a>(design: &Design, fit: Option<&'a Fit>) -> Result<Arrived<'a>, String> {
    match fit {
        Some(Fit::Reached(theta, inverse, privacy)) => {
            // Under noise a separated outcome is not told by its steps alone.
            let own = usize::from(design.is_intercept(0));
            let is_far = |(i, t): (usize, &f64)| design.is_indicator(i) && (t / design.norm()).abs() > FARTHEST;
            let far: Vec<usize> =
                theta.iter().enumerate().filter(|c| privacy.amax() > 0.0 && is_far(*c)).map(|(i, _)| i - own).collect();
            if far.is_empty() { Ok((theta, inverse, privacy)) } else { Err(separated(design, &far, true)) }
        }
        Some(Fit::Withheld(why)) => Err((*why).to_owned()),
        Some(Fit::Collinear(columns)) => Err(collinear(design, columns, !design.is_intercept(0))),
        Some(Fit::Separated(levels, noisy)) => Err(separated(design, levels, *noisy)),
        Some(Fit::Constant(false)) => Err("the outcome never varies".to_owned()),
        Some(Fit::Constant(true)) => {
            Err("the outcome never varies, or too few have it, or lack it, to be told from the noise".to_owned())
        }
        Some(Fit::Moving(column)) => Err(moving(design, *column)),
        None => Err("no step was taken".to_owned()),
    }
}

/// That levels separate the outcome, with their names.
pub(crate) fn separated(design: &Design, levels: &[usize], noisy: bool) -> String {
    let named = support::named(design, levels);
    match noisy {
        false => format!("the features separate the outcome: nobody, or everybody, with {named} has it"),
        true => format!(
            "the features separate the outcome, as far as the noise tells: nobody, everybody, or too few to be told from it with {named} have it"
        ),
    }
}

/// That the steps have not arrived, with the name of what moves most.
pub(crate) fn moving(design: &Design, column: Option<usize>) -> String {
    let name = column.filter(|c| !design.is_intercept(*c)).and_then(|c| design.names().get(c).cloned());
    let more = "not converged: more steps are needed, or";
    match name {
        Some(name) => format!("{more} the features separate the outcome; '{name}' moves most"),
        None => format!("{more} the features separate the outcome"),
    }
}

/// That features are collinear, with their names; with a baseline for each hospital, within the hospitals.
pub(crate) fn collinear(design: &Design, columns: &[usize], within: bool) -> String {
    let varies = if within { "never varies within a hospital" } else { "never varies" };
    let names = design.names();
    let named: Vec<&str> = columns
        .iter()
        .filter(|c| !design.is_intercept(**c))
        .filter_map(|c| names.get(*c).map(String::as_str))
        .collect();
    match named.as_slice() {
        [] => format!("the features are collinear, or one {varies}"),
        [one] if within => format!(
            "'{one}' {varies}, as far as can be told, so that a baseline for each hospital takes all of it; baseline = \"common\" compares \
             hospitals"
        ),
        [one] => format!("'{one}' {varies}"),
        some => format!("the features are collinear, or one {varies}: {}", some.join(", ")),
    }
}

/// What an evaluation at coefficients that were not reached says: how many patients are in the model, and of the rest why it says nothing.
pub(crate) fn unreached(evaluation: Estimate, why: &str) -> Estimate {
    let told = |r: Row| if is_a_number_of_patients(&r) { r } else { Row::withheld(&r.term, &r.statistic, why) };
    Estimate { rows: evaluation.rows.into_iter().map(told).collect(), curves: Vec::new() }
}

fn is_a_number_of_patients(row: &Row) -> bool {
    row.statistic == "n" || row.statistic == crate::dispersion::LEFT_OUT
}

/// The rows of a fit whose curvature was divided by a unit, of an outcome with a dispersion.
pub(crate) fn tell(
    design: &Design,
    fit: Option<&Fit>,
    (unit, dispersion): (f64, f64),
    ratio: &'static str,
    reporting: &Reporting,
) -> Estimate {
    let (theta, inverse, privacy) = match reached(design, fit) {
        Ok(reached) => reached,
        Err(why) => return Estimate { rows: withheld(design, &why), curves: Vec::new() },
    };
    let told = Coefficients {
        design,
        theta: DVector::from_column_slice(theta),
        sampling: inverse * (dispersion / unit),
        privacy: privacy.clone(),
        ratio: Some(ratio),
        free: None,
        outcome: (1.0, 0.0),
    };
    told.tell(reporting)
}

/// A hospital's own estimate: one Newton step from the common coefficients with its own sums. What it has nobody of is not told, and the rest
/// is.
pub(crate) fn tell_alone(
    design: &Design,
    theta: &[f64],
    sums: Sums,
    unit: (f64, f64),
    (ratio, reporting): (&'static str, &Reporting),
) -> Estimate {
    let (fit, untold) = Ascent::alone(theta, sums);
    let mut out = tell(design, Some(&fit), unit, ratio, reporting);
    one_step(design, &untold, &mut out);
    out
}

/// Says of a hospital's own rows that they are of one step, and withholds those of some columns.
pub(crate) fn one_step(design: &Design, untold: &[usize], out: &mut Estimate) {
    let names = design.names();
    let gone: Vec<&str> = untold.iter().filter_map(|c| names.get(*c).map(String::as_str)).collect();
    let blocks = design.blocks();
    let of_gone = |term: &str| blocks.iter().any(|b| b.name == term && b.columns.clone().any(|c| untold.contains(&c)));
    let is_gone =
        |term: &str| gone.iter().any(|g| term == *g || term.split(':').any(|part| part == *g)) || of_gone(term);
    out.curves.clear();
    out.rows.retain(|r| r.statistic == "coefficient" || !is_gone(&r.term));
    for row in out.rows.iter_mut().filter(|r| !r.suppressed) {
        if is_gone(&row.term) {
            *row = Row::withheld(
                &row.term,
                &row.statistic,
                "nobody of the hospital is of this level, or nobody or everybody of it has the outcome, or too few to be told",
            );
        } else if row.note.is_empty() {
            row.note = ONE_STEP.to_owned();
        }
    }
}

/// What a hospital's own estimate is.
pub(crate) const ONE_STEP: &str = "one Newton step from the common coefficients with the hospital's own sums";

impl Program for Glm {
    fn rounds(&self) -> u32 {
        self.steps + 1
    }

    fn weight(&self, round: u32) -> f64 {
        if round < self.steps { 1.0 } else { EVALUATION_WEIGHT }
    }

    fn first(&self) -> Vec<f64> {
        self.design.intercept_alone(self.start)
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.parameters(parameters)?;
        let part = |statistic: Box<dyn Statistic>, weight| PartWork {
            name: statistic.name().to_owned(),
            statistic,
            columns: self.columns.clone(),
            weight,
            walk: None,
            rate: None,
        };
        let (design, theta) = (self.design.clone(), parameters.to_vec());
        if round < self.steps {
            Ok(vec![
                part(Box::new(Gradient::new(design.clone(), self.likelihood, theta.clone())), GRADIENT_WEIGHT),
                part(Box::new(Curvature::new(design, self.likelihood, theta)), 1.0 - GRADIENT_WEIGHT),
            ])
        } else if round == self.steps {
            Ok(vec![part(self.evaluation(design, theta, 1), 1.0)])
        } else {
            Err(ProgramError::Round { asked: round, planned: self.rounds() })
        }
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        self.parameters(parameters)?;
        if round < self.steps {
            let [gradient, curvature] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            let mut sums = self.read(gradient, curvature)?;
            let shift = leveled(&self.design, self.likelihood.family, &mut sums);
            let (theta, length, fit) = self.ascent.step_from(parameters, shift, sums);
            self.last = Some(fit);
            let converged = merged.exact() && length < CONVERGED;
            let round = if converged { self.steps } else { round + 1 };
            return Ok(Step::Continue { round, parameters: theta });
        }
        let [scores] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        Ok(Step::Done(self.finish(parameters, scores)))
    }

    /// One step from the common coefficients with the hospital's own sums. A gamma's error needs the dispersion, which another round
    /// tells.
    fn own(&self, _: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let [gradient, curvature] = release.parts.as_slice() else { return None };
        if round >= self.steps || self.likelihood.family == Family::Gamma {
            return None;
        }
        Some(self.alone(parameters, self.read(gradient, curvature).ok()?))
    }
}

impl Glm {
    fn evaluation(&self, design: Design, theta: Vec<f64>, baselines: usize) -> Box<dyn Statistic> {
        match self.likelihood.family {
            Family::Logistic => Box::new(ScoreHistogram::new(design, theta).of(self.likelihood)),
            _ => Box::new(Dispersion::new(design, self.likelihood, theta).with_baselines(baselines)),
        }
    }

    /// What the coefficients' spread is multiplied by: a gamma's by its dispersion, which may be lost in the noise; a count's is told
    /// beside them.
    fn dispersion(&self, evaluation: &Estimate) -> Option<f64> {
        if self.likelihood.family != Family::Gamma {
            return Some(1.0);
        }
        let row = evaluation.rows.iter().find(|r| r.statistic == "dispersion")?;
        row.estimate.filter(|d| *d > 3.0 * row.dp_se.unwrap_or(0.0))
    }

    fn without_dispersion(&self, design: &Design) -> Estimate {
        let why = "too noisy to report: the dispersion, which their errors need, is lost in the noise";
        Estimate { rows: withheld(design, why), curves: Vec::new() }
    }

    /// What one hospital's sums at common coefficients say by themselves.
    fn alone(&self, theta: &[f64], sums: Sums) -> Estimate {
        let (unit, of) = ((self.likelihood.unit(), 1.0), (self.likelihood.family.ratio(), &self.reporting));
        self.penalty_told(tell_alone(&self.design, theta, sums, unit, of))
    }

    fn penalty_told(&self, mut estimate: Estimate) -> Estimate {
        if let Some(ridge) = &self.ridge {
            ridge.told(&mut estimate);
        }
        estimate
    }

    /// A fit, and the evaluation at its coefficients.
    fn beside(&self, design: &Design, fit: Option<&Fit>, evaluation: Estimate) -> Estimate {
        let tell = |d: f64| {
            let unit = (self.likelihood.unit(), d);
            self.penalty_told(tell(design, fit, unit, self.likelihood.family.ratio(), &self.reporting))
        };
        let (mut out, evaluation) = match (reached(design, fit), self.dispersion(&evaluation)) {
            (Err(why), _) => (tell(1.0), unreached(evaluation, &why)),
            (Ok(_), Some(d)) => (tell(d), evaluation),
            (Ok(_), None) => (self.without_dispersion(design), evaluation),
        };
        out.rows.extend(evaluation.rows);
        out.curves.extend(evaluation.curves);
        out
    }

    fn finish(&self, theta: &[f64], last: &MergedRelease) -> Estimate {
        let evaluation = self.evaluation(self.design.clone(), theta.to_vec(), 1).estimate(last, &self.reporting);
        let mut out = self.beside(&self.design, self.last.as_ref(), evaluation);
        let arrived = reached(&self.design, self.last.as_ref()).is_ok();
        out.rows.extend((last.noise_variance == 0.0 && arrived).then(|| steps_needed(self.ascent.long)));
        out
    }
}
