//! Programs from analyses. The one place that knows which kind means which statistic.

mod propensity;
mod regression;
pub(crate) mod stream;
pub mod training;
pub mod trees;

use std::sync::Arc;

use summaries::by_group::{ByGroup, Contrast};
use summaries::program::{OneShot, PartPlan};
use summaries::survival::{Grid, Survival};
use summaries::top_codes::{Alphabet, TopCodes};
use summaries::{Program, Reporting, Statistic};

use crate::analysis::What;
use crate::budget;
use crate::feature::{Feature, Shape};
use crate::spec::Study;

/// An analysis that can't be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the analysis '{analysis}' can't be compiled: {reason}")]
pub struct CompileError {
    /// Its label.
    pub analysis: String,
    /// Why.
    pub reason: String,
}

/// What each column of an analysis' batch is: its features, or the steps of its cohort. `None` where one has no shape.
pub fn columns(study: &Study, a: &crate::analysis::Analysis) -> Option<Vec<Shape>> {
    if matches!(a.what, What::Attrition {}) {
        return Some(vec![Shape::Level { levels: study.cohorts.get(&a.cohort)?.steps() }]);
    }
    if let What::Prevalence { calendar, .. } = &a.what {
        let days: Vec<String> = calendar.days()?.iter().map(ToString::to_string).collect();
        let on = Shape::Codes { per_patient: days.len() as u32, codes: days };
        return Some(vec![on.clone(), on]);
    }
    let mut columns = a.columns().iter().map(|n| shape(study, n)).collect::<Option<Vec<_>>>()?;
    // Not out of the data.
    columns.extend(a.what.holdout().map(|[_, validate]| {
        let all = ["train", "test", "validate"].map(str::to_owned);
        Shape::Level { levels: all.into_iter().take(if validate > 0.0 { 3 } else { 2 }).collect() }
    }));
    Some(columns)
}

/// The shape of a feature by name.
pub fn shape(study: &Study, name: &str) -> Option<Shape> {
    study.features.get(name).and_then(Feature::shape)
}

fn reporting(study: &Study, names: &[String]) -> Reporting {
    let levels = names
        .iter()
        .map(|n| match shape(study, n) {
            Some(Shape::Level { levels }) => levels,
            Some(Shape::Codes { codes, .. }) => codes,
            _ => Vec::new(),
        })
        .collect();
    Reporting { confidence: study.report.confidence, min_cell: study.suppression.k, names: names.to_vec(), levels }
}

type Make = Box<dyn Fn() -> Box<dyn Statistic> + Send + Sync>;

fn made<S: Statistic + Clone + Sync + 'static>(statistic: S) -> Make {
    Box::new(move || Box::new(statistic.clone()))
}

/// A statistic of one variable, by arm where there are arms.
fn by_arm<S: Statistic + Clone + Sync + 'static>(
    statistic: S,
    arms: Option<u32>,
    contrast: Contrast,
) -> Result<Make, String> {
    let Some(arms) = arms else { return Ok(made(statistic)) };
    let by_arm = ByGroup::new(Arc::new(statistic), arms, contrast);
    Ok(made(by_arm.ok_or("the arms need 2 to 1,000 levels")?))
}

fn crosstab(study: &Study, by: &[String]) -> Result<Make, String> {
    let sizes = by
        .iter()
        .map(|n| match shape(study, n) {
            Some(Shape::Level { levels }) => Ok(levels.len() as u32),
            _ => Err(format!("'{n}' is no category")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let cells = sizes.iter().try_fold(1usize, |n, l| n.checked_mul(*l as usize + 1)).filter(|n| *n <= 1 << 20);
    cells.ok_or_else(|| "the table has more than a million cells".to_owned())?;
    Ok(made(summaries::crosstab::CrossTab::new(sizes)))
}

fn bounds(study: &Study, of: &str) -> Result<(f64, f64), String> {
    match shape(study, of) {
        Some(Shape::Real { lower, upper }) => Ok((lower, upper)),
        _ => Err(format!("'{of}' is no number with bounds")),
    }
}

fn levels(study: &Study, name: &str) -> Result<u32, String> {
    match shape(study, name) {
        Some(Shape::Level { levels }) => Ok(levels.len() as u32),
        _ => Err(format!("'{name}' is no category")),
    }
}

fn yes_no(study: &Study, name: &str) -> Result<(), String> {
    match levels(study, name)? {
        2 => Ok(()),
        _ => Err(format!("'{name}' is not no or yes")),
    }
}

/// The grid of a time, up to a horizon or its upper bound.
fn grid(study: &Study, time: &str, width: f64, horizon: Option<f64>) -> Result<Grid, String> {
    let (lower, upper) = bounds(study, time)?;
    if lower < 0.0 {
        return Err(format!("the time '{time}' has a lower bound below 0"));
    }
    let horizon = horizon.unwrap_or(upper);
    let most = summaries::survival::MOST_CELLS;
    Grid::new(width, horizon).ok_or_else(|| {
        format!(
            "a width of {width} up to {horizon} gives no grid of at most {most} cells; widen it, or shorten the horizon"
        )
    })
}

/// A count's upper bound, of a number with bounds from 0.
fn most(study: &Study, name: &str) -> Result<f64, String> {
    match bounds(study, name)? {
        (lower, upper) if lower >= 0.0 => Ok(upper),
        _ => Err(format!("'{name}' has a lower bound below 0")),
    }
}

/// The program of the analysis at a place; of a continuous study, for each window.
///
/// # Errors
/// The features do not fit.
pub fn program(study: &Study, analysis: usize) -> Result<Box<dyn Program>, CompileError> {
    match &study.stream {
        Some(_) => stream::program(study, analysis),
        None => of_one(study, analysis),
    }
}

/// The program of the analysis at a place by itself.
pub(crate) fn of_one(study: &Study, analysis: usize) -> Result<Box<dyn Program>, CompileError> {
    let Some(a) = study.analysis.get(analysis) else {
        return Err(CompileError { analysis: analysis.to_string(), reason: "the plan has no such analysis".into() });
    };
    let wrong = |reason: String| CompileError { analysis: a.label(), reason };
    let names = a.what.features();
    let one = |name: &str, make: Make, columns: Vec<usize>| PartPlan {
        name: name.to_owned(),
        reporting: reporting(study, &columns.iter().filter_map(|c| names.get(*c).cloned()).collect::<Vec<_>>()),
        make,
        columns,
        weight: 1.0,
    };
    let all: Vec<usize> = (0..names.len()).collect();
    let bad = |what: &str| wrong(format!("the {what} has bounds or settings that do not fit"));
    let moments = |of: &str| -> Result<Make, CompileError> {
        let (lower, upper) = bounds(study, of).map_err(wrong)?;
        Ok(made(summaries::moments::Moments::new(lower, upper).ok_or_else(|| bad("mean"))?))
    };
    let quantiles = |of: &str, p: &[f64], branching: u32, depth: u32| {
        let (lower, upper) = bounds(study, of).map_err(wrong)?;
        let tree = summaries::quantiles::Quantiles::new(lower, upper, branching as usize, depth, p.to_vec());
        tree.ok_or_else(|| bad("quantile tree"))
    };
    let parts = match &a.what {
        What::Count { by } if by.is_empty() => {
            vec![one("count", made(summaries::count::Count), Vec::new())]
        }
        What::Attrition {} => {
            let cohort =
                study.cohorts.get(&a.cohort).ok_or_else(|| wrong(format!("there is no cohort '{}'", a.cohort)))?;
            vec![one("attrition", made(summaries::attrition::Attrition::new(cohort.steps())), vec![0])]
        }
        What::Count { by } | What::Crosstab { by } => {
            vec![one("crosstab", crosstab(study, by).map_err(wrong)?, all)]
        }
        What::Histogram { of, bins } => {
            let (lower, upper) = bounds(study, of).map_err(wrong)?;
            let edges = (0..=*bins).map(|i| lower + (upper - lower) * f64::from(i) / f64::from(*bins)).collect();
            let h = summaries::histogram::Histogram::new(edges).ok_or_else(|| bad("histogram"))?;
            vec![one("histogram", made(h), all)]
        }
        What::Moments { of } => vec![one("moments", moments(of)?, all)],
        What::Quantiles { of, probabilities, branching, depth } => {
            vec![one("quantiles", made(quantiles(of, probabilities, *branching, *depth)?), all)]
        }
        What::Codes { of } => match shape(study, of) {
            Some(Shape::Codes { codes, per_patient }) => {
                vec![one("codes", made(summaries::codes::Codes::new(codes.len() as u32, per_patient)), all)]
            }
            _ => return Err(wrong(format!("'{of}' is no feature of the kind codes"))),
        },
        What::Distinct { buckets } => {
            let sketch = privacy::presence::sketch(budget::of(study, a).share(1.0, 1.0), *buckets as usize);
            let sketch = sketch.map_err(|e| wrong(e.to_string()))?;
            vec![one("distinct", made(summaries::distinct::DistinctPatients::new(sketch)), vec![0])]
        }
        What::Table1 { variables, by } => {
            let arms = by.as_ref().map(|b| levels(study, b)).transpose().map_err(wrong)?;
            let columns = |i: usize| if by.is_some() { vec![i, variables.len()] } else { vec![i] };
            let mut parts = Vec::new();
            if let Some(by) = by {
                let make = crosstab(study, std::slice::from_ref(by)).map_err(wrong)?;
                parts.push(one(&format!("crosstab:{by}"), make, vec![variables.len()]));
            }
            for (i, v) in variables.iter().enumerate() {
                match shape(study, v) {
                    Some(Shape::Real { lower, upper }) => {
                        let moments = summaries::moments::Moments::new(lower, upper).ok_or_else(|| bad("mean"))?;
                        let make = by_arm(moments, arms, Contrast::Number).map_err(wrong)?;
                        parts.push(one(&format!("moments:{v}"), make, columns(i)));
                        let tree = quantiles(v, &[0.25, 0.5, 0.75], 4, 5)?.without_n();
                        let make = by_arm(tree, arms, Contrast::None).map_err(wrong)?;
                        parts.push(one(&format!("quantiles:{v}"), make, columns(i)));
                    }
                    Some(Shape::Level { levels }) => {
                        let n = levels.len() as u32;
                        let table = summaries::crosstab::CrossTab::new(vec![n]);
                        let make = by_arm(table, arms, Contrast::Category(n)).map_err(wrong)?;
                        parts.push(one(&format!("crosstab:{v}"), make, columns(i)));
                    }
                    _ => return Err(wrong(format!("'{v}' is neither a number nor a category"))),
                }
            }
            parts
        }
        What::TopCodes { of, top, length } => {
            let Some(Shape::Keys { per_patient }) = shape(study, of) else {
                return Err(wrong(format!("'{of}' is no feature of open codes")));
            };
            let digits = |system: &str| ["snomed", "rxnorm", "cvx"].contains(&system);
            let alphabet = match study.features.get(of) {
                Some(Feature::OpenCodes { system, .. }) if digits(system) => Alphabet::Digits,
                _ => Alphabet::Letters,
            };
            let (top, length) = (*top as usize, *length as usize);
            let p = TopCodes::new(top, length, alphabet, per_patient as usize, reporting(study, &names));
            return p.map(|p| Box::new(p) as Box<dyn Program>).ok_or_else(|| bad("codes"));
        }
        What::Prevalence { calendar, .. } => {
            let days = calendar.days().ok_or_else(|| bad("calendar"))?;
            let days = days.into_iter().map(|d| (d.to_string(), crate::analysis::year(d))).collect();
            vec![one("prevalence", made(summaries::prevalence::Prevalence::new(days)), vec![0, 1])]
        }
        What::MantelHaenszel { exposure, outcome, strata } => {
            yes_no(study, exposure).and_then(|()| yes_no(study, outcome)).map_err(wrong)?;
            let strata = levels(study, strata).map_err(wrong)?;
            let m = summaries::mantel_haenszel::MantelHaenszel::new(strata).ok_or_else(|| bad("strata"))?;
            vec![one("mantel_haenszel", made(m), all)]
        }
        What::Propensity { .. } => {
            return propensity::program(study, &a.what, reporting(study, &names)).map_err(wrong);
        }
        What::Pca { of, scale } => {
            let bounds = of.iter().map(|f| bounds(study, f).map(|(low, high)| [low, high]));
            let bounds = bounds.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
            let pca = summaries::pca::Pca::new(bounds, *scale);
            let pca = pca.ok_or_else(|| wrong("components are of 2 to 50 numbers with bounds".to_owned()))?;
            vec![one("pca", made(pca), all)]
        }
        What::Survival { time, event, by, strata, width, horizon, at, tau, weight } => {
            yes_no(study, event).map_err(wrong)?;
            let of = |name: &Option<String>| name.as_ref().map(|n| levels(study, n)).transpose().map_err(wrong);
            let grid = grid(study, time, *width, *horizon).map_err(wrong)?;
            let at = if at.is_empty() { grid.quarters() } else { at.clone() };
            let s = Survival::new(grid, of(by)?, of(strata)?);
            let s = s.ok_or_else(|| wrong("the curves have more than a million cells; widen them".to_owned()))?;
            vec![one("survival", made(s.told(at, *tau, *weight)), all)]
        }
        What::Competing { time, cause, by, width, horizon, at } => {
            let grid = grid(study, time, *width, *horizon).map_err(wrong)?;
            let causes = levels(study, cause).map_err(wrong)?;
            let groups = by.as_ref().map(|n| levels(study, n)).transpose().map_err(wrong)?;
            let c = summaries::competing::Competing::new(grid, causes, groups, at.clone());
            let c =
                c.ok_or_else(|| wrong("there are fewer than two causes, or more than a million cells".to_owned()))?;
            vec![one("competing", made(c), all)]
        }
        What::Rate { events, time, by, per } => {
            let groups = by.as_ref().map(|n| levels(study, n)).transpose().map_err(wrong)?;
            let longest = most(study, time).map_err(wrong)?;
            let once = matches!(shape(study, events), Some(Shape::Level { .. }));
            if once {
                yes_no(study, events).map_err(wrong)?;
            }
            let most_events = if once { 1.0 } else { most(study, events).map_err(wrong)? };
            let rate = summaries::rate::Rate::new(most_events, longest, groups, *per).ok_or_else(|| bad("rate"))?;
            let rate = if once { rate.once() } else { rate };
            vec![one("rate", made(rate), all)]
        }
        What::Compare { of, by } => {
            let (lower, upper) = bounds(study, of).map_err(wrong)?;
            let groups = levels(study, by).map_err(wrong)?;
            let c = summaries::compare::Compare::new(lower, upper, groups).ok_or_else(|| bad("comparison"))?;
            vec![one("compare", made(c), all)]
        }
        What::RankSum { of, by, bins } => {
            let (lower, upper) = bounds(study, of).map_err(wrong)?;
            yes_no(study, by).map_err(|_| wrong(format!("'{by}' has not two levels")))?;
            let r = summaries::rank_sum::RankSum::new(lower, upper, *bins).ok_or_else(|| bad("rank-sum test"))?;
            vec![one("rank_sum", made(r), all)]
        }
        What::Train(train) => {
            return training::program(study, train, reporting(study, &names)).map_err(wrong);
        }
        What::Trees(t) => {
            return trees::program(study, t, reporting(study, &names)).map_err(wrong);
        }
        What::Linear { .. }
        | What::Logistic { .. }
        | What::Poisson { .. }
        | What::NegativeBinomial { .. }
        | What::Gamma { .. }
        | What::PiecewiseExponential { .. }
        | What::Cox { .. } => {
            let own = (reporting(study, &names), a.own_steps);
            let program = regression::program(study, &a.what, &names, own).map_err(wrong)?;
            return program.ok_or_else(|| bad("regression"));
        }
    };
    Ok(Box::new(OneShot::new(parts)))
}
