//! Outcomes that nobody or everybody of a level has, or that never vary: no fit is told, under noise as without, whatever the draw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod drawn;

use drawn::{reporting, run, uniform};
use learning::cox::Model;
use learning::glm::ByHospital;
use learning::piecewise::Intervals;
use learning::{Cox, Design, Family, Glm, NegativeBinomial, PiecewiseExponential, Term, Ties};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::survival::Grid;
use summaries::{Column, Estimate, PatientBatch, Program, Row};

const PATIENTS: usize = 2_000;
const SEEDS: u64 = 25;

fn design() -> Design {
    Design::new(vec![
        Term::Level { name: "sex".into(), levels: vec!["F".into(), "M".into()] },
        Term::Real { name: "x".into(), lower: -3.0, upper: 3.0 },
    ])
}

/// Sex, x, and what an outcome is of them.
fn patients(
    rng: &mut ChaCha8Rng,
    outcome: impl Fn(&mut ChaCha8Rng, u32, f64) -> u32,
) -> (Vec<u32>, Vec<f64>, Vec<u32>) {
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PATIENTS {
        let (sex, x) = (u32::from(uniform(rng) < 0.5), 6.0 * uniform(rng) - 3.0);
        out.2.push(outcome(rng, sex, x));
        out.0.push(sex);
        out.1.push(x);
    }
    out
}

fn row<'a>(e: &'a Estimate, term: &str) -> &'a Row {
    let found = e.rows.iter().find(|r| r.term == term && r.statistic == "coefficient");
    found.unwrap_or_else(|| panic!("no {term} in {:#?}", e.rows))
}

/// The model of each kind, with a common intercept and with the hospital's own.
fn models(steps: u32) -> Vec<(&'static str, Box<dyn Program>, bool)> {
    let glm = |family: Family| Glm::new(design(), family, vec![0, 1, 2], steps, reporting());
    let count = Family::Poisson { most: 5.0, exposure: false };
    let sized = Family::NegativeBinomial { most: 5.0, exposure: false, size: 1.0 };
    let nb = NegativeBinomial::new(design(), sized, vec![0, 1, 2], (steps, 0.0), reporting()).unwrap();
    vec![
        ("logistic", Box::new(glm(Family::Logistic)), true),
        ("logistic by hospital", Box::new(ByHospital::new(glm(Family::Logistic))), true),
        ("poisson", Box::new(glm(count)), false),
        ("poisson by hospital", Box::new(ByHospital::new(glm(count))), false),
        ("negative binomial", Box::new(nb), false),
    ]
}

fn batch((sex, x, y): &(Vec<u32>, Vec<f64>, Vec<u32>), level: bool) -> PatientBatch {
    let outcome =
        if level { Column::Level(y.clone()) } else { Column::Real(y.iter().map(|y| f64::from(*y)).collect()) };
    PatientBatch::new(PATIENTS, vec![Column::Level(sex.clone()), Column::Real(x.clone()), outcome]).unwrap()
}

/// Nobody of one sex has the outcome: four steps lead to a coefficient of 4 or 5 with a small error, which is none.
#[test]
fn a_level_without_the_outcome_has_no_coefficient_in_any_draw() {
    for (of, sex_without) in [("'sex=F'", 0u32), ("'sex=M'", 1)] {
        for noise in [0.0, 0.5, 2.0] {
            for seed in 0..if noise > 0.0 { SEEDS } else { 1 } {
                let steps = if noise > 0.0 { 4 + (seed % 5) as u32 } else { 50 };
                for (name, model, level) in models(steps) {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    let data = patients(&mut rng, |rng, sex, _| u32::from(sex != sex_without && uniform(rng) < 0.4));
                    let e = run(model, &batch(&data, level), noise, &mut rng);
                    let r = row(&e, "sex=M");
                    let here = format!("{name}, {of}, noise {noise}, seed {seed}, {steps} steps: {r:?}");
                    assert!(r.suppressed, "{here}");
                    assert!(r.note.contains("separate") || noise > 0.0 && r.note.contains("noise"), "{here}");
                    if noise == 0.0 {
                        assert!(r.note.contains(of), "{here}");
                    }
                }
            }
        }
    }
}

/// An outcome that nobody has, or everybody.
#[test]
fn an_outcome_that_never_varies_has_no_model_in_any_draw() {
    for outcome in [0u32, 1] {
        for noise in [0.0, 0.5, 2.0] {
            for seed in 0..if noise > 0.0 { SEEDS } else { 1 } {
                let steps = if noise > 0.0 { 4 + (seed % 5) as u32 } else { 50 };
                // Counts that are all 1 have a mean, and that is their model.
                for (name, model, level) in models(steps).into_iter().filter(|m| outcome == 0 || m.2) {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    let data = patients(&mut rng, |_, _, _| outcome);
                    let e = run(model, &batch(&data, level), noise, &mut rng);
                    let r = row(&e, "x");
                    let here = format!("{name} of {outcome}, noise {noise}, seed {seed}: {r:?}");
                    assert!(r.suppressed, "{here}");
                    // Steps in noise alone may lead a level anywhere.
                    assert!(
                        r.note.contains("the outcome never varies") || noise > 0.0 && r.note.contains("noise"),
                        "{here}"
                    );
                }
            }
        }
    }
}

/// One in thirty of a level with the outcome is told, with intervals that hold.
#[test]
fn a_rare_outcome_that_is_there_is_told() {
    let (mut told, mut held, mut all) = (0u32, 0u32, 0u32);
    let truth = (0.03f64 / 0.97).ln() - (0.3f64 / 0.7).ln();
    for seed in 0..SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let data = patients(&mut rng, |rng, sex, _| u32::from(uniform(rng) < [0.3, 0.03][sex as usize]));
        for (_, model, level) in models(7).into_iter().take(2) {
            let e = run(model, &batch(&data, level), 0.5, &mut rng);
            let r = row(&e, "sex=M");
            all += 1;
            told += u32::from(!r.suppressed);
            if r.suppressed {
                println!("{}", r.note);
            }
            held += u32::from(r.lower.is_some_and(|l| l <= truth) && r.upper.is_some_and(|u| truth <= u));
        }
    }
    assert!(told * 10 >= all * 9, "{told} of {all} told");
    assert!(held * 100 >= told * 85, "{held} of {told} hold");
}

/// A count of the events without any: the piecewise model says that there is none.
#[test]
fn hazards_without_an_event_are_said_to_have_none() {
    for noise in [0.0, 0.5] {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let data = patients(&mut rng, |_, _, _| 0);
        let time: Vec<f64> = (0..PATIENTS).map(|i| 1.0 + (i % 90) as f64).collect();
        let columns = vec![Column::Level(data.0), Column::Real(data.1), Column::Real(time), Column::Level(data.2)];
        let model = Intervals::new(design().without_intercept(), vec![30.0, 90.0], 3.0).unwrap();
        let model = PiecewiseExponential::new(model, vec![0, 1, 2, 3], 4, reporting());
        let e = run(Box::new(model), &PatientBatch::new(PATIENTS, columns).unwrap(), noise, &mut rng);
        let r = row(&e, "x");
        assert!(r.suppressed && r.note.contains("no event"), "noise {noise}: {r:?}");
    }
}

/// Nobody of a sex has the event: no hazard ratio, in any draw.
#[test]
fn a_level_without_events_has_no_hazard_ratio() {
    for noise in [0.0, 0.2, 1.0] {
        for seed in 0..if noise > 0.0 { SEEDS } else { 1 } {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let data = patients(&mut rng, |rng, sex, _| u32::from(sex == 0 && uniform(rng) < 0.5));
            let time: Vec<f64> = (0..PATIENTS).map(|_| 1.0 + (90.0 * uniform(&mut rng)).floor()).collect();
            let columns = vec![Column::Level(data.0), Column::Real(data.1), Column::Real(time), Column::Level(data.2)];
            let grid = Grid::new(10.0, 100.0).unwrap();
            let design = design().without_intercept();
            let model = Model { design, grid, strata: None, ties: Ties::Efron, cap: 5.0 };
            let cox = Cox::new(model, vec![0, 1, 2, 3], if noise > 0.0 { 4 } else { 50 }, reporting()).unwrap();
            let e = run(Box::new(cox), &PatientBatch::new(PATIENTS, columns).unwrap(), noise, &mut rng);
            let r = row(&e, "sex=M");
            assert!(r.suppressed, "noise {noise}, seed {seed}: {r:?}");
            assert!(r.note.contains("separate") || noise > 0.0 && r.note.contains("nois"), "noise {noise}: {r:?}");
        }
    }
}
