//! What is told of held-out patients: the numbers that their definitions give, intervals that hold the truth under noise, and nobody who was
//! trained on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod drawn;

use drawn::{normal, reporting, uniform};
use learning::training::evaluate::confusion::TestConfusion;
use learning::training::evaluate::loss::TestLoss;
use learning::training::evaluate::scores::TestScores;
use learning::training::{
    Activation, ClippedGradient, Decay, Loss, Model, Network, Optimiser, Schedule, Setting, Training,
};
use learning::{Design, Term};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{Column, Estimate, Lanes, MISSING, MergedRelease, PatientBatch, Row, Statistic};

fn model(loss: Loss) -> Model {
    let design = Design::new(vec![Term::Real { name: "x".into(), lower: -1.0, upper: 1.0 }]);
    Model::new(design, Network::new(1, &[], loss.outputs(), Activation::Tanh).unwrap(), loss).unwrap().with_holdout()
}

/// The model tells 0.4 + 2 x for a logit, where 0.1 + 2.6 x is the truth.
const THETA: [f64; 2] = [0.4, 2.0];

struct Person {
    x: f64,
    yes: bool,
}

fn person(rng: &mut ChaCha8Rng) -> Person {
    let x = 2.0 * uniform(rng) - 1.0;
    Person { x, yes: uniform(rng) < 1.0 / (1.0 + (-(0.1 + 2.6 * x)).exp()) }
}

fn score(p: &Person) -> f64 {
    1.0 / (1.0 + (-(THETA[0] + THETA[1] * p.x)).exp())
}

/// As many trained on, at the far end and all of them no, and some of neither group.
fn batch(test: &[Person]) -> PatientBatch {
    let n = test.len();
    let x = test.iter().map(|p| p.x).chain(vec![-1.0; n + 3]).collect();
    let y = test.iter().map(|p| u32::from(p.yes)).chain(vec![0; n + 3]).collect();
    let group = std::iter::repeat_n(1, n).chain(vec![0; n]).chain([MISSING; 3]).collect();
    PatientBatch::new(2 * n + 3, vec![Column::Real(x), Column::Level(y), Column::Level(group)]).unwrap()
}

fn told(statistic: &dyn Statistic, batch: &PatientBatch, sd: f64, rng: &mut ChaCha8Rng) -> Estimate {
    let layout = statistic.layout();
    let mut lanes = Lanes::zeros(layout.lanes);
    statistic.accumulate(batch, &mut lanes).unwrap();
    // Noise on a grid of 64 a patient.
    let (unit, sd) = (64.0, sd * statistic.sensitivity().l2 * 64.0);
    let lanes = lanes.values().iter().map(|v| v * 64 + (sd * normal(rng)).round() as i64).collect();
    let merged = MergedRelease { lanes, noise_variance: sd * sd, unit, sites: 1, shared: 1 };
    statistic.estimate(&merged, &reporting())
}

fn row<'a>(e: &'a Estimate, statistic: &str) -> &'a Row {
    e.rows.iter().find(|r| r.statistic == statistic).unwrap_or_else(|| panic!("{statistic} in {:#?}", e.rows))
}

/// From every patient's own score; the area under precision and recall by steps of one patient.
fn by_definition(all: &[Person]) -> [(&'static str, f64); 7] {
    let n = all.len() as f64;
    let yes = all.iter().filter(|p| p.yes).count() as f64;
    let mean = |f: &dyn Fn(&Person) -> f64| all.iter().map(f).sum::<f64>() / n;
    let of = |p: &Person| f64::from(u8::from(p.yes));
    let mut sorted: Vec<&Person> = all.iter().collect();
    sorted.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let (mut found, mut area, mut below) = (0.0, 0.0, 0.0);
    for (i, p) in sorted.iter().enumerate() {
        if p.yes {
            found += 1.0;
            area += found / (i + 1) as f64 / yes;
            below += (n - yes) - (i as f64 + 1.0 - found);
        }
    }
    let at_half = |p: &Person| score(p) >= 0.5;
    [
        ("accuracy", mean(&|p| f64::from(u8::from(at_half(p) == p.yes)))),
        ("auc", below / (yes * (n - yes))),
        ("pr auc", area),
        ("brier score", mean(&|p| (score(p) - of(p)).powi(2))),
        ("mean error", mean(&|p| of(p) - score(p))),
        ("sensitivity", all.iter().filter(|p| p.yes && at_half(p)).count() as f64 / yes),
        ("specificity", all.iter().filter(|p| !p.yes && !at_half(p)).count() as f64 / (n - yes)),
    ]
}

#[test]
fn numbers_are_those_of_their_definitions() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let all: Vec<Person> = (0..20_000).map(|_| person(&mut rng)).collect();
    let scores = TestScores::new(model(Loss::Logistic), THETA.to_vec(), vec![0.5]).unwrap();
    let e = told(&scores, &batch(&all), 0.0, &mut rng);
    for (name, wanted) in by_definition(&all) {
        let got = row(&e, name).estimate.unwrap();
        assert!((got - wanted).abs() < 1.5e-3, "{name}: {got} and not {wanted}");
    }
    let right = |f: &dyn Fn(&Person) -> bool| all.iter().filter(|p| f(p)).count() as f64;
    assert_eq!(row(&e, "rightly yes").estimate, Some(right(&|p| p.yes && score(p) >= 0.5)));
    assert_eq!(row(&e, "falsely no").estimate, Some(right(&|p| p.yes && score(p) < 0.5)));
    let loss = told(&TestLoss::new(model(Loss::Logistic), THETA.to_vec()).unwrap(), &batch(&all), 0.0, &mut rng);
    let own = |p: &Person| -(if p.yes { score(p) } else { 1.0 - score(p) }).ln();
    let wanted = all.iter().map(own).sum::<f64>() / 20_000.0;
    assert!((row(&loss, "loss").estimate.unwrap() - wanted).abs() < 1e-6);
    assert_eq!(row(&loss, "n").estimate, Some(20_000.0));
}

/// Of 300 studies of 1,500 patients with noise, intervals of 95 % hold the truth in 90 % or more. A right one fails once in 10,000.
#[test]
fn intervals_hold_the_truth_under_noise() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let many: Vec<Person> = (0..400_000).map(|_| person(&mut rng)).collect();
    let truth = by_definition(&many);
    let scores = TestScores::new(model(Loss::Logistic), THETA.to_vec(), vec![0.5]).unwrap();
    let losses = TestLoss::new(model(Loss::Logistic), THETA.to_vec()).unwrap();
    let own = |p: &Person| -(if p.yes { score(p) } else { 1.0 - score(p) }).ln();
    let mean = many.iter().map(own).sum::<f64>() / 400_000.0;
    let mut held = vec![0; truth.len() + 1];
    let (runs, mut withheld) = (300, 0);
    for _ in 0..runs {
        let all: Vec<Person> = (0..1500).map(|_| person(&mut rng)).collect();
        let batch = batch(&all);
        let e = told(&scores, &batch, 3.0, &mut rng);
        for (i, (name, wanted)) in truth.iter().enumerate() {
            let r = row(&e, name);
            // The area under precision over recall is withheld where the highest scores are lost in the noise.
            match r.lower.zip(r.upper) {
                Some((lower, upper)) => held[i] += u32::from(lower <= *wanted && *wanted <= upper),
                None => {
                    assert_eq!(*name, "pr auc");
                    withheld += 1;
                }
            }
        }
        let e = told(&losses, &batch, 3.0, &mut rng);
        let r = row(&e, "loss");
        held[truth.len()] += u32::from(r.lower.unwrap() <= mean && mean <= r.upper.unwrap());
    }
    println!("{held:?} of {runs}, {withheld} withheld");
    let of = |i: usize| runs - if truth.get(i).is_some_and(|(name, _)| *name == "pr auc") { withheld } else { 0 };
    assert!(held.iter().enumerate().all(|(i, h)| f64::from(*h) >= 0.9 * f64::from(of(i))), "{held:?}, {withheld}");
    assert!(withheld < runs / 2, "{withheld}");
}

/// A number that the noise hides is withheld.
#[test]
fn few_patients_are_not_told() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let all: Vec<Person> = (0..40).map(|_| person(&mut rng)).collect();
    let scores = TestScores::new(model(Loss::Logistic), THETA.to_vec(), vec![0.5]).unwrap();
    let e = told(&scores, &batch(&all), 30.0, &mut rng);
    assert!(e.rows.iter().all(|r| r.suppressed), "{:?}", e.rows);
}

#[test]
fn who_is_held_out_is_not_trained_on() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let all: Vec<Person> = (0..200).map(|_| person(&mut rng)).collect();
    let both = batch(&all);
    let gradient = ClippedGradient::new(model(Loss::Logistic), THETA.to_vec(), 5.0).unwrap();
    let sum = |b: &PatientBatch| {
        let mut lanes = Lanes::zeros(gradient.layout().lanes);
        gradient.accumulate(b, &mut lanes).unwrap();
        lanes.into_values()
    };
    let trained: Vec<usize> = (200..400).collect();
    assert_eq!(sum(&both), sum(&both.rows(&trained)));
    assert_ne!(sum(&both), sum(&both.rows(&(0..200).collect::<Vec<_>>())));
    // A whole training tells of both, each of its own.
    let setting = Setting {
        sampling: None,
        clip_quantile: None,
        rounds: 3,
        clip: 4.0,
        schedule: Schedule { start: 1.0, decay: Decay::Constant },
        optimiser: Optimiser::Sgd { momentum: 0.0 },
        average: true,
        penalty: 0.0,
        patients: None,
        seed: None,
        thresholds: vec![0.25],
        local: None,
        merging: learning::training::Merging::Mean,
        bound: None,
        stopping: None,
    };
    let training = Training::new(model(Loss::Logistic), setting, vec![0, 1, 2], reporting()).unwrap();
    let e = drawn::run(Box::new(training), &both, 0.0, &mut rng);
    assert_eq!((row(&e, "patients").estimate, row(&e, "n").estimate), (Some(200.0), Some(200.0)));
    assert!(e.rows.iter().any(|r| r.term.contains("0.26") || r.term.contains("0.24")), "the nearest edge");
}

#[test]
fn levels_are_taken_for_the_likeliest() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let x: Vec<f64> = (0..300).map(|i| f64::from(i % 3) - 1.0).collect();
    let y: Vec<u32> = (0..300).map(|i| if i < 30 { 0 } else { i % 3 }).collect();
    let batch = PatientBatch::new(300, vec![Column::Real(x), Column::Level(y), Column::Level(vec![1; 300])]).unwrap();
    // The likeliest level is the place of x.
    let confusion = TestConfusion::new(model(Loss::Softmax(3)), vec![0.0, -9.0, 1.0, 0.0, 0.0, 9.0]).unwrap();
    let e = told(&confusion, &batch, 0.0, &mut rng);
    assert!((row(&e, "accuracy").estimate.unwrap() - 280.0 / 300.0).abs() < 1e-12);
    let sensitivity: Vec<f64> =
        e.rows.iter().filter(|r| r.statistic == "sensitivity").filter_map(|r| r.estimate).collect();
    assert!((sensitivity[0] - 100.0 / 120.0).abs() < 1e-12 && sensitivity[1..] == [1.0, 1.0], "{sensitivity:?}");
}
