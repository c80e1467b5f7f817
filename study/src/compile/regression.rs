//! Regressions: their designs from features, their families from outcomes.

use learning::cox::Model;
use learning::glm::ByHospital;
use learning::piecewise::Intervals;
use learning::spline::Basis;
use learning::{
    Cox, Design, Family, Glm, Likelihood, Linear, LinearByHospital, NegativeBinomial, OwnSteps, PiecewiseExponential,
    Term,
};
use summaries::program::{OneShot, PartPlan};
use summaries::{Program, Reporting};

use super::{bounds, grid, levels, made, most, shape, yes_no};
use crate::analysis::{Baseline, Beside, Formula, What};
use crate::feature::{Feature, Shape};
use crate::spec::{Aggregation, Study};

/// A feature as a term of a model, by a spline where the formula has one of it.
fn term(study: &Study, formula: &Formula, name: &str) -> Result<Term, String> {
    let spline = formula.splines.iter().find(|s| s.feature == name);
    match (shape(study, name), spline) {
        (Some(Shape::Real { lower, upper }), Some(spline)) => {
            let basis = Basis::new(lower, upper, &spline.knots);
            let basis = basis.ok_or_else(|| format!("the knots of '{name}' do not fit its bounds"))?;
            Ok(Term::Spline { name: name.to_owned(), basis })
        }
        (_, Some(_)) => Err(format!("the spline of '{name}' needs a number with bounds")),
        (Some(Shape::Real { lower, upper }), None) => Ok(Term::Real { name: name.to_owned(), lower, upper }),
        (Some(Shape::Level { levels }), None) => Ok(Term::Level { name: name.to_owned(), levels }),
        _ => Err(format!("'{name}' is neither a number with bounds nor a category")),
    }
}

/// The design of a formula.
pub(super) fn design(study: &Study, formula: &Formula, clip: Option<f64>) -> Result<Design, String> {
    let features = &formula.features;
    if let Some(s) = formula.splines.iter().find(|s| !features.contains(&s.feature)) {
        return Err(format!("the spline names '{}', which is not among the features", s.feature));
    }
    let terms = features.iter().map(|f| term(study, formula, f)).collect::<Result<_, _>>()?;
    let place = |name: &String| {
        let found = features.iter().position(|f| f == name);
        found.ok_or_else(|| format!("the interaction names '{name}', which is not among the features"))
    };
    let pairs = formula.interactions.iter();
    let pairs = pairs.map(|[a, b]| Ok((place(a)?, place(b)?))).collect::<Result<Vec<_>, String>>()?;
    if let Some((a, _)) = pairs.iter().find(|(a, b)| a == b) {
        return Err(format!("'{}' interacts with itself", features.get(*a).map_or("", String::as_str)));
    }
    Ok(Design::new(terms).with_interactions(pairs).clipped(clip))
}

/// A family with the offset and the weights of the analysis.
fn beside(study: &Study, family: Family, beside: &Beside) -> Result<Likelihood, String> {
    let offset = beside.offset.as_ref().map(|o| bounds(study, o)).transpose()?;
    let weights = beside.weights.as_ref().map(|w| most(study, w)).transpose()?;
    Ok(Likelihood { family, offset: offset.map(|(low, high)| [low, high]), weights })
}

/// The logarithm of a mean to begin with, from public bounds: the geometric middle between one and the most, by the middle of the exposure.
fn start(study: &Study, most: f64, exposure: Option<&String>) -> Result<f64, String> {
    let middle = match exposure {
        Some(e) => {
            let (lower, upper) = bounds(study, e)?;
            f64::midpoint(lower, upper)
        }
        None => 1.0,
    };
    if middle > 0.0 { Ok((most.max(1.0).sqrt() / middle).ln()) } else { Err("an exposure must be above 0".to_owned()) }
}

/// The program of a regression; `None` where the analysis is none.
pub(super) fn program(
    study: &Study,
    what: &What,
    names: &[String],
    (reporting, own_steps): (Reporting, u32),
) -> Result<Option<Box<dyn Program>>, String> {
    let Some(parts) = what.regression() else { return Ok(None) };
    let all: Vec<usize> = (0..names.len()).collect();
    let steps = parts.steps.unwrap_or(1);
    let design = design(study, parts.formula, parts.clip)?;
    let likelihood = |family| beside(study, family, &parts.beside);
    let glm = |design, of: Likelihood, start: f64| {
        let offset = of.offset.map_or(0.0, |[low, high]| f64::midpoint(low, high));
        let glm = Glm::new(design, of, all.clone(), steps, reporting.clone());
        glm.starting_at(start - offset).penalised(parts.penalty)
    };
    // A secure sum can't be taken apart, and a feature that names the hospitals has taken the baselines already.
    let has_hospital = names.iter().any(|n| matches!(study.features.get(n), Some(Feature::Hospital { .. })));
    // Windows are told of the sum.
    let apart = study.privacy.aggregation == Aggregation::Local && !has_hospital && study.stream.is_none();
    let of = |glm: Glm, baseline: Baseline| -> Box<dyn Program> {
        let alone = (own_steps > 0).then(|| ByHospital::new(glm.clone()));
        let common: Box<dyn Program> =
            if apart && baseline.is_hospital() { Box::new(ByHospital::new(glm)) } else { Box::new(glm) };
        match alone {
            Some(alone) => Box::new(OwnSteps::new(common, Box::new(alone), own_steps)),
            None => common,
        }
    };
    let bad = || "the bounds or settings of the regression do not fit".to_owned();
    Ok(Some(match what {
        What::Linear { outcome, baseline, .. } => {
            let (lower, upper) = bounds(study, outcome)?;
            let heaviest = parts.beside.weights.as_ref().map(|w| most(study, w)).transpose()?;
            let linear = Linear::new(design, lower, upper).ok_or_else(bad)?.weighted(heaviest);
            if apart && baseline.is_hospital() {
                return Ok(Some(Box::new(LinearByHospital::new(linear, all, reporting))));
            }
            let plan = PartPlan { name: "linear".into(), make: made(linear), columns: all, weight: 1.0, reporting };
            Box::new(OneShot::new(vec![plan]))
        }
        What::Poisson { outcome, exposure, baseline, .. } => {
            let most = most(study, outcome)?;
            let family = Family::Poisson { most, exposure: exposure.is_some() };
            of(glm(design, likelihood(family)?, start(study, most, exposure.as_ref())?), *baseline)
        }
        What::NegativeBinomial { .. } if parts.penalty != 0.0 => {
            return Err("a negative binomial regression has no penalty".to_owned());
        }
        What::NegativeBinomial { outcome, exposure, .. } => {
            let most = most(study, outcome)?;
            let of = likelihood(Family::NegativeBinomial { most, exposure: exposure.is_some(), size: 1.0 })?;
            let offset = of.offset.map_or(0.0, |[low, high]| f64::midpoint(low, high));
            let start = start(study, most, exposure.as_ref())? - offset;
            let model = NegativeBinomial::new(design, of, all, (steps, start), reporting);
            Box::new(model.ok_or_else(|| format!("the upper bound of '{outcome}' is not one of a count"))?)
        }
        What::Gamma { outcome, baseline, .. } => {
            let (lower, upper) = bounds(study, outcome)?;
            let middle = if lower > 0.0 { (lower * upper).sqrt() } else { upper / 2.0 };
            of(glm(design, likelihood(Family::Gamma)?, if middle > 0.0 { middle.ln() } else { 0.0 }), *baseline)
        }
        What::Logistic { outcome, baseline, .. } => {
            yes_no(study, outcome)?;
            of(glm(design, likelihood(Family::Logistic)?, 0.0), *baseline)
        }
        What::PiecewiseExponential { time, event, cuts, horizon, cap, .. } => {
            yes_no(study, event)?;
            let last = horizon.unwrap_or(most(study, time)?);
            let ends = cuts.iter().copied().chain([last]).collect();
            let model = Intervals::new(design, ends, *cap);
            let model =
                model.ok_or("the cuts do not ascend from above 0 to below the horizon, or the cap is below 1")?;
            Box::new(PiecewiseExponential::new(model, all, steps, reporting))
        }
        What::Cox { time, event, strata, width, horizon, ties, steps, cap, baseline, .. } => {
            yes_no(study, event)?;
            let model = Model {
                design: design.without_intercept(),
                grid: grid(study, time, *width, *horizon)?,
                strata: strata.as_ref().map(|n| levels(study, n)).transpose()?,
                ties: *ties,
                cap: *cap,
            };
            let make = || {
                let cox = Cox::new(model.clone(), all.clone(), *steps, reporting.clone());
                let cox = cox.ok_or("the risk sets have more than four million lanes; widen the cells")?;
                Ok::<_, String>(cox.with_own_baselines(apart && baseline.is_hospital()).penalised(parts.penalty))
            };
            match own_steps {
                0 => Box::new(make()?),
                steps => Box::new(OwnSteps::new(Box::new(make()?), Box::new(make()?), steps)),
            }
        }
        _ => return Ok(None),
    }))
}
