//! Made-up patients for a rehearsal. Public bounds are wider than what patients have, and models suppose what an outcome is like: so a number
//! is normal around the middle of its bounds with a sixth of their distance as its standard deviation, a time is spread evenly, a count is a
//! Poisson's or a negative binomial's about the geometric middle between one and its most, and what a gamma model is of is a gamma's. Categories
//! and codes are spread evenly.

use summaries::interval::normal_quantile;
use summaries::top_codes::key::key;
use summaries::{Column, PatientBatch};

use crate::analysis::training::FamilyWord;
use crate::analysis::trees::TreeFamily;
use crate::analysis::{Analysis, What};
use crate::compile;
use crate::feature::Shape;
use crate::spec::Study;

/// How many; their sums are scaled to the expected number.
pub(super) const GRID: usize = 997;

/// How a number is spread.
#[derive(Clone, Copy)]
enum Spread {
    Normal,
    Even,
    Poisson,
    /// θ is 1.5.
    NegativeBinomial,
    /// Of the shape 2.
    Gamma,
}

/// How an analysis' number is spread.
fn spread(what: &What, name: &str) -> Spread {
    match what {
        What::Survival { time, .. }
        | What::Competing { time, .. }
        | What::Cox { time, .. }
        | What::PiecewiseExponential { time, .. }
            if time == name =>
        {
            Spread::Even
        }
        What::Poisson { outcome, .. } if outcome == name => Spread::Poisson,
        What::Train(t) if t.outcome == name && t.model.family == FamilyWord::Poisson => Spread::Poisson,
        What::Trees(t) if t.outcome == name && t.family == TreeFamily::Poisson => Spread::Poisson,
        What::Train(t)
            if t.outcome == name && matches!(t.model.family, FamilyWord::Hazards | FamilyWord::PartialLikelihood) =>
        {
            Spread::Even
        }
        What::Trees(t) if t.outcome == name && t.family == TreeFamily::Hazards => Spread::Even,
        What::Rate { events, .. } if events == name => Spread::Poisson,
        What::NegativeBinomial { outcome, .. } if outcome == name => Spread::NegativeBinomial,
        What::Gamma { outcome, .. } if outcome == name => Spread::Gamma,
        _ => Spread::Normal,
    }
}

/// The patients of an analysis; `None` where a feature does not fit.
pub(super) fn patients(study: &Study, analysis: &Analysis) -> Option<PatientBatch> {
    let shapes = compile::columns(study, analysis)?;
    let names = analysis.what.features();
    // Multiples of irrational steps fill every margin evenly and keep the columns apart.
    let place = |column: usize, i: usize| {
        let step = (2.0 + column as f64 * 1.37).sqrt();
        (i as f64 + 0.5).mul_add(step, 0.1 * column as f64).fract()
    };
    let columns = shapes
        .iter()
        .enumerate()
        .map(|(c, shape)| match shape {
            Shape::Real { lower, upper } => {
                let spread = names.get(c).map_or(Spread::Normal, |n| spread(&analysis.what, n));
                Column::Real((0..GRID).map(|i| number(spread, (*lower, *upper), place(c, i))).collect())
            }
            Shape::Level { levels } => {
                Column::Level((0..GRID).map(|i| (place(c, i) * levels.len() as f64) as u32).collect())
            }
            // Few codes, so that one of them stands out.
            Shape::Keys { .. } => Column::Keys {
                offsets: (0..=GRID as u32).collect(),
                keys: (0..GRID).map(|i| key(&format!("{:02}", (place(c, i) * 20.0) as u32))).collect(),
            },
            Shape::Codes { codes, .. } => Column::Codes {
                offsets: (0..=GRID as u32).collect(),
                codes: (0..GRID).map(|i| (place(c, i) * codes.len() as f64) as u32).collect(),
            },
        })
        .collect();
    PatientBatch::new(GRID, columns).ok()
}

/// The number within bounds at a level of its distribution function.
fn number(spread: Spread, (lower, upper): (f64, f64), level: f64) -> f64 {
    let level = level.clamp(1e-6, 1.0 - 1e-6);
    let value = match spread {
        Spread::Even => lower + (upper - lower) * level,
        Spread::Normal => f64::midpoint(lower, upper) + (upper - lower) / 6.0 * normal_quantile(level),
        Spread::Poisson => count(expected(upper), f64::INFINITY, upper, level),
        Spread::NegativeBinomial => count(expected(upper), 1.5, upper, level),
        Spread::Gamma => {
            let mean = if lower > 0.0 { (lower * upper).sqrt() } else { upper / 4.0 };
            mean / 2.0 * erlang(level)
        }
    };
    value.clamp(lower, upper)
}

/// The mean of a count of at most so many.
fn expected(most: f64) -> f64 {
    most.max(1.0).sqrt().min(most / 2.0)
}

/// The quantile of a count of a mean and θ, which is infinite of a Poisson's: its probabilities one from the other.
fn count(mean: f64, theta: f64, most: f64, level: f64) -> f64 {
    let finite = theta.is_finite();
    let (ratio, log_none) =
        if finite { (mean / (mean + theta), -theta * (mean / theta).ln_1p()) } else { (mean, -mean) };
    let (mut k, mut log, mut below) = (0.0f64, log_none, log_none.exp());
    while below < level && k < most {
        log += (ratio * if finite { theta + k } else { 1.0 } / (k + 1.0)).ln();
        k += 1.0;
        below += log.exp();
    }
    k
}

/// The quantile of the sum of two exponentials of the mean 1, by halving.
fn erlang(level: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 40.0f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 1.0 - (-middle).exp() * (1.0 + middle) < level { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_models_suppose() {
        let of = |spread, bounds| (0..4000).map(|i| number(spread, bounds, (f64::from(i) + 0.5) / 4000.0)).collect();
        let moments = |all: Vec<f64>| {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            (mean, all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64)
        };
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| {
            assert!((a / c - 1.0).abs() < 0.03 && (b / d - 1.0).abs() < 0.06, "{a} {b} and not {c} {d}");
        };
        near(moments(of(Spread::Normal, (0.0, 60.0))), (30.0, 100.0));
        near(moments(of(Spread::Poisson, (0.0, 400.0))), (20.0, 20.0));
        near(moments(of(Spread::NegativeBinomial, (0.0, 900.0))), (30.0, 30.0 + 900.0 / 1.5));
        near(moments(of(Spread::Gamma, (1.0, 10_000.0))), (100.0, 5000.0));
    }
}
