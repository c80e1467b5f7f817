//! Whether intervals hold the truth when noise is on: drawn data and drawn noise, seed by seed. The allowed distance from 95 % is 3.5
//! standard errors, a false alarm in two thousand for each model; `INSITU_NIGHTLY=1` draws five times as many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod drawn;

use drawn::{normal, reporting, run, uniform};
use learning::cox::Model;
use learning::piecewise::Intervals;
use learning::propensity::{Cuts, Plan, Propensity};
use learning::weighting::{Kind, Outcome};
use learning::{Cox, Design, Family, Glm, Linear, NegativeBinomial, PiecewiseExponential, Term, Ties};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::program::{OneShot, PartPlan};
use summaries::survival::Grid;
use summaries::{Column, PatientBatch, Program, Reporting};

const PATIENTS: usize = 3_000;

fn design() -> Design {
    Design::new(vec![
        Term::Level { name: "arm".into(), levels: vec!["a".into(), "b".into()] },
        Term::Real { name: "x".into(), lower: 0.0, upper: 1.0 },
    ])
}

/// The share of seeds whose interval of a coefficient holds the truth.
fn coverage(
    what: &str,
    (term, truth): (&str, f64),
    noise: f64,
    program: impl Fn() -> Box<dyn Program>,
    draw: impl Fn(&mut ChaCha8Rng, f64, f64) -> Vec<Column>,
    join: impl Fn(Vec<Vec<Column>>) -> Vec<Column>,
) {
    let seeds = if std::env::var_os("INSITU_NIGHTLY").is_some() { 1_000 } else { 200 };
    let (mut held, mut told, mut wider) = (0u32, 0u32, 0.0);
    for seed in 0..seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows: Vec<Vec<Column>> = (0..PATIENTS)
            .map(|_| {
                let (arm, x) = (f64::from(u8::from(uniform(&mut rng) < 0.5)), uniform(&mut rng));
                let mut out = vec![Column::Level(vec![arm as u32]), Column::Real(vec![x])];
                out.extend(draw(&mut rng, arm, x));
                out
            })
            .collect();
        let batch = PatientBatch::new(PATIENTS, join(rows)).unwrap();
        let rows = run(program(), &batch, noise, &mut rng).rows;
        let row = rows.iter().find(|r| r.term == term && r.statistic == "coefficient").unwrap();
        if let (Some(low), Some(high), Some(se), Some(sampling)) = (row.lower, row.upper, row.se, row.sampling_se) {
            told += 1;
            held += u32::from(low <= truth && truth <= high);
            wider += se / sampling;
        }
    }
    let share = f64::from(held) / f64::from(told);
    let allowed = 3.5 * (0.95f64 * 0.05 / f64::from(told)).sqrt();
    assert!(u64::from(told) * 10 >= seeds * 9, "{what}: {told} of {seeds} were told at all");
    assert!((share - 0.95).abs() <= allowed, "{what}: {share} of {told} intervals hold the truth");
    // The noise must matter, or the test says nothing of it.
    assert!(wider / f64::from(told) > 1.2, "{what}: the noise widens by {} alone", wider / f64::from(told));
}

fn join(rows: Vec<Vec<Column>>) -> Vec<Column> {
    let width = rows[0].len();
    (0..width)
        .map(|c| match &rows[0][c] {
            Column::Real(_) => Column::Real(
                rows.iter().map(|r| if let Column::Real(v) = &r[c] { v[0] } else { panic!("mixed") }).collect(),
            ),
            _ => Column::Level(
                rows.iter().map(|r| if let Column::Level(v) = &r[c] { v[0] } else { panic!("mixed") }).collect(),
            ),
        })
        .collect()
}

#[test]
fn linear() {
    let program = || -> Box<dyn Program> {
        let statistic = Linear::new(design(), -10.0, 10.0).unwrap();
        let make = Box::new(move || Box::new(statistic.clone()) as Box<dyn summaries::Statistic>);
        let plan =
            PartPlan { name: "linear".into(), make, columns: vec![0, 1, 2], weight: 1.0, reporting: reporting() };
        Box::new(OneShot::new(vec![plan]))
    };
    let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| vec![Column::Real(vec![0.5 * arm - x + normal(rng)])];
    coverage("linear", ("arm=b", 0.5), 3.0, program, draw, join);
}

#[test]
fn logistic() {
    let program =
        || -> Box<dyn Program> { Box::new(Glm::new(design(), Family::Logistic, vec![0, 1, 2], 4, reporting())) };
    let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| {
        let p = learning::family::logistic(0.7 * arm - x);
        vec![Column::Level(vec![u32::from(uniform(rng) < p)])]
    };
    coverage("logistic", ("arm=b", 0.7), 6.0, program, draw, join);
}

/// A Poisson count, by Knuth's product of uniforms.
fn count(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    let (limit, mut product, mut count) = ((-mean).exp(), uniform(rng), 0.0);
    while product > limit {
        product *= uniform(rng);
        count += 1.0;
    }
    count
}

#[test]
fn poisson() {
    let family = Family::Poisson { most: 12.0, exposure: false };
    let program = || -> Box<dyn Program> { Box::new(Glm::new(design(), family, vec![0, 1, 2], 5, reporting())) };
    let draw =
        |rng: &mut ChaCha8Rng, arm: f64, x: f64| vec![Column::Real(vec![count(rng, (0.4 * arm + 0.3 * x).exp())])];
    coverage("poisson", ("arm=b", 0.4), 2.0, program, draw, join);
}

#[test]
fn cox() {
    let program = || -> Box<dyn Program> {
        let model = Model {
            design: design().without_intercept(),
            grid: Grid::new(0.1, 1.0).unwrap(),
            strata: None,
            ties: Ties::Efron,
            cap: 4.0,
        };
        Box::new(Cox::new(model, vec![0, 1, 2, 3], 4, reporting()).unwrap())
    };
    let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| {
        // Times of the grid itself, so that grouping biases nothing: the chance of a cell by the hazard in it.
        let hazard = 0.02 * (0.5 * arm + 0.3 * x).exp();
        let cell = (1..=10).find(|_| uniform(rng) < 1.0 - (-hazard).exp());
        let time = f64::from(cell.unwrap_or(10)) / 10.0;
        vec![Column::Real(vec![time]), Column::Level(vec![u32::from(cell.is_some())])]
    };
    coverage("cox", ("arm=b", 0.5), 2.0, program, draw, join);
}

/// A hazard of 0.2 a cell: Breslow's ties take a log ratio of 0.5 for 0.43 there.
#[test]
fn cox_in_wide_cells() {
    let model = |ties| -> Box<dyn Program> {
        let grid = Grid::new(0.25, 1.0).unwrap();
        let model = Model { design: design().without_intercept(), grid, strata: None, ties, cap: 4.0 };
        Box::new(Cox::new(model, vec![0, 1, 2, 3], 4, reporting()).unwrap())
    };
    let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| {
        let hazard = 0.2 * (0.5 * arm + 0.3 * x).exp();
        let cell = (1..=4).find(|_| uniform(rng) < 1.0 - (-hazard).exp());
        let time = f64::from(cell.unwrap_or(4)) / 4.0;
        vec![Column::Real(vec![time]), Column::Level(vec![u32::from(cell.is_some())])]
    };
    coverage("cox in wide cells", ("arm=b", 0.5), 1.0, || model(Ties::Efron), draw, join);
}

#[test]
fn negative_binomial() {
    let program = || -> Box<dyn Program> {
        let family = Family::NegativeBinomial { most: 30.0, exposure: false, size: 1.0 };
        Box::new(NegativeBinomial::new(design(), family, vec![0, 1, 2], (6, 1.0), reporting()).unwrap())
    };
    let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| {
        // θ = 2: a Poisson whose mean is multiplied by the mean of two exponentials.
        let shape = -(uniform(rng).ln() + uniform(rng).ln()) / 2.0;
        vec![Column::Real(vec![count(rng, shape * (0.4 * arm + 0.3 * x).exp())])]
    };
    coverage("negative binomial", ("arm=b", 0.4), 1.0, program, draw, join);
}

#[test]
fn piecewise_exponential() {
    let program = || -> Box<dyn Program> {
        let model = Intervals::new(design(), vec![0.3, 1.0], 2.0).unwrap();
        Box::new(PiecewiseExponential::new(model, vec![0, 1, 2, 3], 3, reporting()))
    };
    let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| {
        let time = -uniform(rng).ln() / (0.5 * (0.5 * arm + 0.3 * x).exp());
        vec![Column::Real(vec![time.min(1.0)]), Column::Level(vec![u32::from(time <= 1.0)])]
    };
    coverage("piecewise exponential", ("arm=b", 0.5), 4.0, program, draw, join);
}

/// The effect is 0.5 in everyone; those with larger x are treated more often and do better.
#[test]
fn propensity_weights_and_strata() {
    let program = |kind| -> Box<dyn Program> {
        let design = Design::new(vec![Term::Real { name: "x".into(), lower: 0.0, upper: 1.0 }]);
        let outcomes = vec![("y".to_owned(), Outcome::Number([-5.0, 8.0]))];
        let plan = Plan { design, kind, cap: 10.0, strata: 10, cuts: Cuts::Quantiles, outcomes };
        let names = ["x", "arm", "y"].map(str::to_owned).to_vec();
        let levels = vec![vec![], vec!["a".into(), "b".into()], vec![]];
        let reporting = Reporting { names, levels, ..reporting() };
        Box::new(Propensity::new(plan, vec![0, 1, 2], 3, reporting).unwrap())
    };
    let seeds = if std::env::var_os("INSITU_NIGHTLY").is_some() { 1_000 } else { 200 };
    for kind in [Kind::Ate, Kind::Att] {
        let mut held = 0u32;
        for seed in 0..seeds {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut xs, mut arms, mut ys) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..PATIENTS {
                let x = uniform(&mut rng);
                let arm = u32::from(uniform(&mut rng) < learning::family::logistic(2.0 * x - 1.0));
                ys.push(0.5 * f64::from(arm) + 2.0 * x + normal(&mut rng));
                xs.push(x);
                arms.push(arm);
            }
            let batch =
                PatientBatch::new(PATIENTS, vec![Column::Real(xs), Column::Level(arms), Column::Real(ys)]).unwrap();
            let rows = run(program(kind), &batch, 2.0, &mut rng).rows;
            let row = rows.iter().find(|r| r.statistic == "weighted mean difference").unwrap();
            held += u32::from(row.lower.unwrap() <= 0.5 && 0.5 <= row.upper.unwrap());
        }
        // Weights that are known but estimated make intervals too wide: they hold the truth at least as often as they say.
        let share = f64::from(held) / seeds as f64;
        let allowed = 3.5 * (0.95f64 * 0.05 / seeds as f64).sqrt();
        assert!(share >= 0.95 - allowed, "{kind:?}: {share} of intervals hold the truth");
    }
}
