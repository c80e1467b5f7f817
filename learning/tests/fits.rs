//! What is said of a fit that was not reached, of features that can't be told apart, and how many steps a mean far from the first guess takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod drawn;

use drawn::{reporting, uniform};
use learning::cox::Model;
use learning::piecewise::Intervals;
use learning::{Cox, Design, Family, Glm, Linear, NegativeBinomial, PiecewiseExponential, Term, Ties};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::program::{OneShot, PartPlan};
use summaries::survival::Grid;
use summaries::{Column, Estimate, PatientBatch, Program, Row};

fn arm() -> Term {
    Term::Level { name: "arm".into(), levels: vec!["a".into(), "b".into()] }
}

fn design() -> Design {
    Design::new(vec![arm(), Term::Real { name: "x".into(), lower: 0.0, upper: 1.0 }])
}

fn run(program: Box<dyn Program>, columns: &[Column], noise: f64, rng: &mut ChaCha8Rng) -> Estimate {
    let batch = PatientBatch::new(columns[0].len(), columns.to_vec()).unwrap();
    drawn::run(program, &batch, noise, rng)
}

fn row<'a>(e: &'a Estimate, term: &str, statistic: &str) -> &'a Row {
    let found = e.rows.iter().find(|r| r.term == term && r.statistic == statistic);
    found.unwrap_or_else(|| panic!("no {statistic} of {term} in {:#?}", e.rows))
}

/// Arms, x and an outcome of them.
fn drawn(n: usize, rng: &mut ChaCha8Rng, outcome: impl Fn(&mut ChaCha8Rng, f64, f64) -> f64) -> Vec<Column> {
    let (mut arms, mut xs, mut ys) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let (arm, x) = (u32::from(uniform(rng) < 0.5), uniform(rng));
        ys.push(outcome(rng, f64::from(arm), x));
        arms.push(arm);
        xs.push(x);
    }
    vec![Column::Level(arms), Column::Real(xs), Column::Real(ys)]
}

/// A gamma of shape 2 and a mean.
fn gamma(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    -mean / 2.0 * (uniform(rng).ln() + uniform(rng).ln())
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

fn as_levels(columns: &[Column]) -> Vec<Column> {
    let Column::Real(ys) = &columns[2] else { panic!() };
    let mut out = columns.to_vec();
    out[2] = Column::Level(ys.iter().map(|y| *y as u32).collect());
    out
}

/// Whether a mean lies far above or far below the first guess, the default's four steps arrive, under noise as without: bounds say little of
/// a mean.
#[test]
fn a_mean_far_from_the_first_guess_is_reached() {
    for far in [0.003, 0.02, 30.0, 300.0] {
        for noise in [0.0, 1.0] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let columns = drawn(4_000, &mut rng, |rng, arm, x| gamma(rng, 100.0 * (0.4 * arm - 0.3 * x).exp()));
            let start = (100.0f64 / far).ln();
            // Without noise the note says how many were needed.
            // Ratios are clipped, so that a step upwards is at most 17-fold.
            let steps = if noise > 0.0 { if far > 17.0 { 5 } else { 4 } } else { 50 };
            let glm = Glm::new(design(), Family::Gamma, vec![0, 1, 2], steps, reporting()).starting_at(start);
            let e = run(Box::new(glm), &columns, noise, &mut rng);
            let b = row(&e, "arm=b", "coefficient");
            let (at, se) = (b.estimate.unwrap_or_else(|| panic!("{far} {noise}: {}", b.note)), b.se.unwrap());
            assert!((at - 0.4).abs() < 4.0 * se && se < 0.2, "{far} {noise}: {b:?}");
            if noise == 0.0 {
                let needed = row(&e, "model", "steps").estimate.unwrap();
                assert!(needed <= 6.0, "{far}: {needed} steps");
            }
        }
    }
}

/// The same of counts, whose first guess is the geometric middle between 1 and the most.
#[test]
fn counts_far_from_the_first_guess_are_reached() {
    for (most, mean) in [(50.0, 0.2), (400.0, 0.5), (200.0, 20.0), (1_000.0, 3.0)] {
        // An error as small as that of 20,000 means of 20 takes the fourth step.
        for steps in if mean < 10.0 { 3..=4 } else { 4..=4 } {
            let mut rng = ChaCha8Rng::seed_from_u64(8);
            let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| count(rng, mean * (0.4 * arm - 0.3 * x).exp());
            let columns = drawn(20_000, &mut rng, draw);
            let family = Family::Poisson { most, exposure: false };
            let start = most.sqrt().ln();
            let glm = Glm::new(design(), family, vec![0, 1, 2], steps, reporting()).starting_at(start);
            let e = run(Box::new(glm), &columns, 0.2, &mut rng);
            let b = row(&e, "arm=b", "coefficient");
            assert!(
                b.estimate.is_some_and(|at| (at - 0.4).abs() < 4.0 * b.se.unwrap()),
                "{most} {mean} {steps}: {b:?}"
            );

            // θ is a step behind the means.
            if steps < 4 {
                continue;
            }
            let draw = |rng: &mut ChaCha8Rng, arm: f64, x: f64| {
                let shape = gamma(rng, 1.0);
                count(rng, shape * mean * (0.4 * arm - 0.3 * x).exp())
            };
            let columns = drawn(20_000, &mut rng, draw);
            let family = Family::NegativeBinomial { most, exposure: false, size: 1.0 };
            let model = NegativeBinomial::new(design(), family, vec![0, 1, 2], (steps, start), reporting()).unwrap();
            let e = run(Box::new(model), &columns, 0.05, &mut rng);
            let b = row(&e, "arm=b", "coefficient");
            assert!(
                b.estimate.is_some_and(|at| (at - 0.4).abs() < 4.0 * b.se.unwrap()),
                "{most} {mean} {steps}: {b:?}"
            );
        }
    }
}

/// Dispersion, θ, AUC, accuracy and the calibration are of a fit: where it is not reached they are withheld with it, for its reason.
#[test]
fn what_stands_beside_a_fit_is_withheld_with_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let withheld = |e: &Estimate, names: &[&str]| {
        let why = row(e, "x", "coefficient").note.clone();
        let known = ["not converged", "lost in the noise", "separate the outcome"];
        assert!(known.iter().any(|k| why.contains(k)), "{why}");
        for name in names {
            let r = row(e, "model", name);
            assert!(r.suppressed && r.estimate.is_none() && r.note == why, "{r:?}");
        }
        assert!(e.curves.is_empty());
    };
    let columns = drawn(3_000, &mut rng, |rng, arm, _| gamma(rng, 50.0 + arm));
    for noise in [0.0, 0.5] {
        let glm = Glm::new(design(), Family::Gamma, vec![0, 1, 2], 1, reporting());
        let e = run(Box::new(glm), &columns, noise, &mut rng);
        withheld(&e, &["dispersion"]);
        assert!(!row(&e, "model", "n").suppressed);
    }
    // All of an arm have the outcome.
    let columns = as_levels(&drawn(3_000, &mut rng, |rng, arm, _| arm.max(f64::from(u8::from(uniform(rng) < 0.4)))));
    for noise in [0.0, 1.0] {
        let glm = Glm::new(design(), Family::Logistic, vec![0, 1, 2], if noise > 0.0 { 6 } else { 50 }, reporting());
        withheld(&run(Box::new(glm), &columns, noise, &mut rng), &["accuracy", "auc"]);
    }
    let columns = drawn(3_000, &mut rng, |rng, arm, _| count(rng, 20.0 + arm));
    let family = Family::NegativeBinomial { most: 60.0, exposure: false, size: 1.0 };
    let model = NegativeBinomial::new(design(), family, vec![0, 1, 2], (1, 0.0), reporting()).unwrap();
    withheld(&run(Box::new(model), &columns, 0.5, &mut rng), &["dispersion", "theta"]);
}

/// A level that nobody has, and two features that are one: named.
#[test]
fn collinear_features_are_named() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let sex = Term::Level { name: "sex".into(), levels: vec!["F".into(), "M".into()] };
    let twice = Term::Real { name: "twice".into(), lower: 0.0, upper: 2.0 };
    let x = Term::Real { name: "x".into(), lower: 0.0, upper: 1.0 };
    let n = 500;
    let xs: Vec<f64> = (0..n).map(|_| uniform(&mut rng)).collect();
    let doubled = Column::Real(xs.iter().map(|x| 2.0 * x).collect());
    let women = Column::Level(vec![0; n]);
    let yes: Vec<u32> = xs.iter().map(|x| u32::from(uniform(&mut rng) < 0.3 + 0.4 * x)).collect();
    let ys = Column::Real(xs.iter().map(|x| 3.0 + x + uniform(&mut rng)).collect());
    let times = Column::Real((0..n).map(|i| (i % 7) as f64 + 1.0).collect());
    let (xs, yes) = (Column::Real(xs), Column::Level(yes));
    for (other, column, says, not) in [(sex, women, "'sex=M' never varies", "x,"), (twice, doubled, "x, twice", "sex")]
    {
        let design = Design::new(vec![x.clone(), other]);
        let of = |outcome: &Column| vec![xs.clone(), column.clone(), outcome.clone()];
        let logistic = Glm::new(design.clone(), Family::Logistic, vec![0, 1, 2], 50, reporting());
        let linear = Linear::new(design.clone(), 0.0, 10.0).unwrap();
        let make = Box::new(move || Box::new(linear.clone()) as Box<dyn summaries::Statistic>);
        let plan =
            PartPlan { name: "linear".into(), make, columns: vec![0, 1, 2], weight: 1.0, reporting: reporting() };
        let grid = Grid::new(1.0, 7.0).unwrap();
        let model =
            Model { design: design.clone().without_intercept(), grid, strata: None, ties: Ties::Efron, cap: 50.0 };
        let cox = Cox::new(model, vec![0, 1, 2, 3], 50, reporting()).unwrap();
        let pieces = Intervals::new(design, vec![3.0, 7.0], 20.0).unwrap();
        let pieces = PiecewiseExponential::new(pieces, vec![0, 1, 2, 3], 50, reporting());
        let survival = vec![xs.clone(), column.clone(), times.clone(), yes.clone()];
        let all: Vec<(Box<dyn Program>, Vec<Column>)> = vec![
            (Box::new(logistic), of(&yes)),
            (Box::new(OneShot::new(vec![plan])), of(&ys)),
            (Box::new(cox), survival.clone()),
            (Box::new(pieces), survival),
        ];
        for (program, columns) in all {
            let e = run(program, &columns, 0.0, &mut rng);
            let note = &row(&e, "x", "coefficient").note;
            assert!(note.contains(says) && !note.contains(not), "{note}");
        }
    }
}

/// Outcomes of 0 are no gamma's: how many were left out is told.
#[test]
fn a_gammas_outcomes_of_nothing_are_counted() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let columns = drawn(2_000, &mut rng, |rng, _, x| if uniform(rng) < 0.25 { 0.0 } else { gamma(rng, 5.0 + x) });
    let Column::Real(ys) = &columns[2] else { panic!() };
    let zeros = ys.iter().filter(|y| **y == 0.0).count() as f64;
    let e = run(Box::new(Glm::new(design(), Family::Gamma, vec![0, 1, 2], 50, reporting())), &columns, 0.0, &mut rng);
    assert_eq!(row(&e, "model", "left out").estimate, Some(zeros));
    assert_eq!(row(&e, "model", "n").estimate, Some(2_000.0 - zeros));
    // No interval of a dispersion: it would suppose that the residuals are normal.
    let dispersion = row(&e, "model", "dispersion");
    assert!(dispersion.estimate.is_some() && dispersion.lower.is_none() && dispersion.se.is_none());
    let e = run(Box::new(Glm::new(design(), Family::Gamma, vec![0, 1, 2], 4, reporting())), &columns, 2.0, &mut rng);
    let told = row(&e, "model", "left out");
    assert!((told.estimate.unwrap() - zeros).abs() < 4.0 * told.dp_se.unwrap());
}

/// An event at time 0 counts in `piecewise`, in the first interval, as it does in `cox`.
#[test]
fn events_at_time_0_count() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let n = 600;
    let arms: Vec<u32> = (0..n).map(|i| i % 2).collect();
    let times: Vec<f64> =
        arms.iter().map(|a| if uniform(&mut rng) < 0.1 + 0.2 * f64::from(*a) { 0.0 } else { 5.0 }).collect();
    let events: Vec<u32> = times.iter().map(|t| u32::from(*t == 0.0 || uniform(&mut rng) < 0.3)).collect();
    let (all, of_b) = events.iter().zip(&arms).fold((0, 0), |(n, b), (e, a)| (n + e, b + e * a));
    let columns = vec![Column::Level(arms), Column::Real(times), Column::Level(events)];
    let design = Design::new(vec![arm()]);
    let pieces = Intervals::new(design.clone(), vec![5.0], 20.0).unwrap();
    let pieces = PiecewiseExponential::new(pieces, vec![0, 1, 2], 50, reporting());
    let e = run(Box::new(pieces), &columns, 0.0, &mut rng);
    assert_eq!(row(&e, "(0, 5]", "events").estimate, Some(f64::from(all)));
    // One hazard: the ratio of the crude rates.
    let Column::Real(times) = &columns[1] else { panic!() };
    let time = |arm: usize| times.iter().skip(arm).step_by(2).sum::<f64>();
    let wanted = (f64::from(of_b) / time(1)) / (f64::from(all - of_b) / time(0));
    assert!((row(&e, "arm=b", "hazard ratio").estimate.unwrap() - wanted).abs() < 1e-6);
    let grid = Grid::new(1.0, 5.0).unwrap();
    let model = Model { design: design.without_intercept(), grid, strata: None, ties: Ties::Efron, cap: 50.0 };
    let cox = Cox::new(model, vec![0, 1, 2], 50, reporting()).unwrap();
    let e = run(Box::new(cox), &columns, 0.0, &mut rng);
    assert_eq!(row(&e, "model", "events").estimate, Some(f64::from(all)));
}

/// An outcome that never varies has no slope and no residual to tell.
#[test]
fn an_outcome_that_never_varies_is_said_in_words() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let fitted = |y: fn(&mut ChaCha8Rng) -> f64, rng: &mut ChaCha8Rng| {
        let columns = drawn(2_000, rng, |rng, _, _| y(rng));
        let linear = Linear::new(design(), 0.0, 40.0).unwrap();
        let make = Box::new(move || Box::new(linear.clone()) as Box<dyn summaries::Statistic>);
        let plan =
            PartPlan { name: "linear".into(), make, columns: vec![0, 1, 2], weight: 1.0, reporting: reporting() };
        run(Box::new(OneShot::new(vec![plan])), &columns, 0.0, rng)
    };
    let e = fitted(|_| 5.0, &mut rng);
    assert_eq!(row(&e, "(intercept)", "coefficient").note, "the outcome never varies");
    assert!(e.rows.iter().all(|r| r.estimate.is_none()), "{:?}", e.rows);
    // One that varies little is told.
    let e = fitted(|rng| 5.0 + 0.002 * uniform(rng), &mut rng);
    assert!((row(&e, "model", "residual sd").estimate.unwrap() - 0.002 / 12f64.sqrt()).abs() < 2e-5);
}
