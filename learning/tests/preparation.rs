//! Preparation that is learned of the data in a private round: without noise the pooled moments, the same whatever the hospitals; with much noise no
//! division that explodes; a model that is trained on inputs that were prepared by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code
)]

mod drawn;

use drawn::{normal, released, reporting, uniform};
use learning::spline::Basis;
use learning::training::tune::{Tuning, judged, tune};
use learning::training::{
    Activation, Decay, Learned, Loss, Merging, Missing, Model, Network, Optimiser, Schedule, Setting, Training,
};
use learning::{Design, Term};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{Column, MISSING, PatientBatch, Program, Step};

const N: usize = 300;
const BOUNDS: [f64; 2] = [20.0, 180.0];

/// Two numbers and a category, each lacking here and there, and whether the first is high.
fn patients(rng: &mut ChaCha8Rng) -> PatientBatch {
    let (mut a, mut b, mut c, mut y) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..N {
        let x = 100.0 + 15.0 * normal(rng);
        y.push(u32::from(x + 10.0 * normal(rng) > 105.0));
        let lacks = |rng: &mut ChaCha8Rng| uniform(rng) < 0.15;
        a.push(if lacks(rng) { f64::NAN } else { x });
        b.push(if lacks(rng) { f64::NAN } else { 40.0 + 3.0 * normal(rng) });
        c.push(if lacks(rng) { MISSING } else { (3.0 * uniform(rng)) as u32 });
    }
    PatientBatch::new(N, vec![Column::Real(a), Column::Level(c), Column::Real(b), Column::Level(y)]).unwrap()
}

fn real(name: &str) -> Term {
    Term::Real { name: name.into(), lower: BOUNDS[0], upper: BOUNDS[1] }
}

fn model(learned: Learned, hidden: &[usize]) -> Model {
    let category = Term::Level { name: "c".into(), levels: vec!["x".into(), "y".into(), "z".into()] };
    let design =
        Design::new(vec![real("a"), category, real("b")]).with_interactions(vec![(0, 2), (0, 1)]).without_intercept();
    let indicators = if learned.missing == Missing::Indicator { 3 } else { 0 };
    let network = Network::new(design.width() + indicators, hidden, 1, Activation::Tanh).unwrap();
    Model::learning(design, network, Loss::Logistic, Some(learned)).unwrap()
}

fn setting(rounds: u32, rate: f64) -> Setting {
    Setting {
        rounds,
        clip: 100.0,
        schedule: Schedule { start: rate, decay: Decay::Constant },
        optimiser: Optimiser::Sgd { momentum: 0.0 },
        sampling: None,
        clip_quantile: None,
        average: false,
        penalty: 0.0,
        patients: None,
        seed: None,
        thresholds: Vec::new(),
        local: None,
        merging: Merging::Mean,
        bound: None,
        stopping: None,
    }
}

fn training(learned: Learned, hidden: &[usize], rounds: u32) -> Training {
    Training::new(model(learned, hidden), setting(rounds, 0.5), vec![0, 1, 2, 3], reporting()).unwrap()
}

/// The parameters that are left after a whole run over sites without noise.
fn run(mut program: Training, sites: &[PatientBatch]) -> Vec<f64> {
    let (mut round, mut parameters) = (0, program.first());
    loop {
        let merged = drawn::exact_round(&program, round, &parameters, sites);
        match program.next(round, &parameters, &merged).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(_) => return program.model().unwrap().to_vec(),
        }
    }
}

fn dealt(batch: &PatientBatch, sites: usize) -> Vec<PatientBatch> {
    (0..sites).map(|s| batch.rows(&(0..N).filter(|i| i % sites == s).collect::<Vec<_>>())).collect()
}

/// Mean and standard deviation of numbers within their bounds, scaled to −1 and 1.
fn moments(values: &[f64]) -> [f64; 2] {
    let u: Vec<f64> = values.iter().map(|x| (x.clamp(BOUNDS[0], BOUNDS[1]) - 100.0) / 80.0).collect();
    let (n, mean) = (u.len() as f64, u.iter().sum::<f64>() / u.len() as f64);
    [mean, (u.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()]
}

#[test]
fn without_noise_moments_are_the_pooled_ones_whatever_the_sites() {
    let batch = patients(&mut ChaCha8Rng::seed_from_u64(1));
    let [Column::Real(a), Column::Level(c), Column::Real(b), Column::Level(_)] = batch.columns() else { panic!() };
    for missing in [Missing::Drop, Missing::Mean, Missing::Indicator] {
        let learned = Learned { moments: true, missing, share: 0.1 };
        let all: Vec<Vec<f64>> = [1, 2, 5].iter().map(|k| run(training(learned, &[], 4), &dealt(&batch, *k))).collect();
        assert!(all.iter().all(|p| *p == all[0]), "to the last bit");
        let is_in = |i: &usize| missing != Missing::Drop || !(a[*i].is_nan() || b[*i].is_nan() || c[*i] == MISSING);
        let own = |v: &[f64]| (0..N).filter(is_in).map(|i| v[i]).filter(|x| !x.is_nan()).collect::<Vec<f64>>();
        let frozen = &all[0][..8];
        for (column, values) in [(0, own(a)), (3, own(b))] {
            let [mean, sd] = moments(&values);
            let [told, factor] = [frozen[2 * column], frozen[2 * column + 1]];
            assert!(
                (told - mean).abs() < 1e-10 && (1.0 / factor - sd).abs() < 1e-10,
                "{missing:?}: {told} {factor}, {mean} {sd}"
            );
        }
        // Of levels the shares, where they stand for what is missing.
        let known: Vec<u32> = c.iter().copied().filter(|l| *l != MISSING).collect();
        for level in 1..3u32 {
            let share = known.iter().filter(|l| **l == level).count() as f64 / known.len() as f64;
            let wanted = if missing == Missing::Drop { 0.0 } else { share };
            assert!((frozen[2 * level as usize] - wanted).abs() < 1e-10 && frozen[2 * level as usize + 1] == 1.0);
        }
    }
}

/// The same steps over inputs that were prepared by hand.
#[test]
fn a_model_is_trained_on_what_was_frozen() {
    let batch = patients(&mut ChaCha8Rng::seed_from_u64(2));
    let [Column::Real(a), Column::Level(c), Column::Real(b), Column::Level(y)] = batch.columns() else { panic!() };
    let learned = Learned { moments: true, missing: Missing::Indicator, share: 0.1 };
    let rounds = 25;
    let parameters = run(training(learned, &[], rounds), &dealt(&batch, 3));
    let known = |v: &[f64]| moments(&v.iter().copied().filter(|x| !x.is_nan()).collect::<Vec<_>>());
    let ready = |x: f64, [mean, sd]: [f64; 2]| if x.is_nan() { 0.0 } else { ((x - 100.0) / 80.0 - mean) / sd };
    let (of_a, of_b) = (known(a), known(b));
    let all = c.iter().filter(|l| **l != MISSING).count() as f64;
    let share = |level: u32| c.iter().filter(|l| **l == level).count() as f64 / all;
    let flag = |is: bool| f64::from(u8::from(is));
    let row = |i: usize| {
        let (x, z) = (ready(a[i], of_a), ready(b[i], of_b));
        let level = |l: u32| if c[i] == MISSING { share(l) } else { flag(c[i] == l) };
        let (p, q) = (level(1), level(2));
        [1.0, x, p, q, z, x * z, x * p, x * q, flag(a[i].is_nan()), flag(c[i] == MISSING), flag(b[i].is_nan())]
    };
    let rows: Vec<[f64; 11]> = (0..N).map(row).collect();
    let eta = |x: &[f64; 11], theta: &[f64]| x.iter().zip(theta).map(|(x, t)| x * t).sum::<f64>();
    let p = |eta: f64| 1.0 / (1.0 + (-eta).exp());
    let mut theta = vec![0.0; 11];
    for _ in 0..rounds {
        let mut mean = vec![0.0; 11];
        for (x, y) in rows.iter().zip(y) {
            let r = f64::from(*y) - p(eta(x, &theta));
            x.iter().zip(&mut mean).for_each(|(x, m)| *m += r * x / N as f64);
        }
        theta.iter_mut().zip(mean).for_each(|(t, m)| *t += 0.5 * m);
    }
    for (got, wanted) in parameters[8..].iter().zip(&theta) {
        assert!((got - wanted).abs() < 1e-9, "{got} and not {wanted}");
    }
    // What it foretells, of everybody, whether or not the outcome is there.
    let features = batch.select(&[0, 1, 2]).unwrap();
    let told = model(learned, &[]).foretell(&parameters, &features).unwrap();
    for (told, x) in told.iter().zip(&rows) {
        assert!((told.as_ref().unwrap()[0] - p(eta(x, &theta))).abs() < 1e-9);
    }
    let drop = Learned { missing: Missing::Drop, ..learned };
    let parameters = run(training(drop, &[3], 3), &dealt(&batch, 2));
    let told = model(drop, &[3]).foretell(&parameters, &features).unwrap();
    assert!(told.iter().enumerate().all(|(i, t)| t.is_some() != (a[i].is_nan() || b[i].is_nan() || c[i] == MISSING)));
}

/// Whatever noise does to the sums, inputs stay numbers of a sane size, and training ends.
#[test]
fn noise_does_not_make_a_division_explode() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let batch = patients(&mut rng);
    for noise in [1.0, 30.0, 1e4] {
        for _ in 0..20 {
            let learned = Learned { moments: true, missing: Missing::Indicator, share: 0.1 };
            let mut program = training(learned, &[4], 3);
            let (mut round, mut parameters) = (0, program.first());
            loop {
                let merged = released(&program, (round, &parameters), &batch, noise, &mut rng);
                match program.next(round, &parameters, &merged).unwrap() {
                    Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
                    Step::Done(_) => break,
                }
            }
            let parameters = program.model().unwrap();
            for pair in parameters[..8].chunks(2) {
                assert!(pair[0].abs() <= 1.0 && pair[1] > 0.0 && pair[1] < 1.0 / 1e-9f64.sqrt(), "{pair:?}");
            }
            // The more noise, the nearer factors are to 1: a variance is never told smaller than its noise.
            assert!(noise < 1e3 || parameters[1] < 1.5 && parameters[7] < 1.5, "{:?}", &parameters[..8]);
            assert!(parameters.iter().all(|p| p.is_finite()));
        }
    }
}

/// A column that never varies stays as it is.
#[test]
fn a_constant_is_no_division_by_nothing() {
    let model = || {
        let design = Design::new(vec![real("a")]);
        let network = Network::new(1, &[], 1, Activation::Tanh).unwrap();
        let learned = Learned { moments: true, missing: Missing::Drop, share: 0.1 };
        Model::learning(design, network, Loss::Logistic, Some(learned)).unwrap()
    };
    let training = Training::new(model(), setting(2, 0.5), vec![0, 1], reporting()).unwrap();
    let columns = vec![Column::Real(vec![90.0; N]), Column::Level(vec![1; N])];
    let parameters = run(training, &[PatientBatch::new(N, columns).unwrap()]);
    assert!((parameters[0] + 0.125).abs() < 1e-10 && parameters[1] == 1.0, "{parameters:?}");
}

/// The first round's part of the charge is its share of it, and frozen numbers are in all later rounds.
#[test]
fn the_round_before_has_its_share() {
    let learned = Learned { moments: true, missing: Missing::Mean, share: 0.2 };
    let program = training(learned, &[], 10);
    let weights: Vec<f64> = (0..program.rounds()).map(|r| program.weight(r)).collect();
    let parts = program.work(0, &program.first()).unwrap();
    let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
    assert_eq!((names, weights.len()), (vec!["complete", "columns"], 11));
    let columns = weights[0] * parts[1].weight / (parts[0].weight + parts[1].weight);
    assert!((columns / weights.iter().sum::<f64>() - 0.2).abs() < 1e-12, "{weights:?}");
    // A later round without them, or with a factor that is none, is refused.
    assert!(program.work(1, &program.first()).is_err());
    let mut good = program.first();
    good[..8].copy_from_slice(&[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    assert!(program.work(1, &good).is_ok() && program.work(1, &good[1..]).is_err());
    good[1] = -1.0;
    assert!(program.work(1, &good).is_err());
}

/// Coefficients are told in own units, products and all: they foretell what the model does.
#[test]
fn coefficients_are_in_own_units() {
    let batch = patients(&mut ChaCha8Rng::seed_from_u64(4));
    let [Column::Real(a), Column::Level(c), Column::Real(b), Column::Level(_)] = batch.columns() else { panic!() };
    let learned = Learned { moments: true, missing: Missing::Drop, share: 0.1 };
    let parameters = run(training(learned, &[], 30), std::slice::from_ref(&batch));
    let model = model(learned, &[]);
    let (frozen, theta) = model.at(&parameters).unwrap();
    let names = ["a", "c", "b"].map(str::to_owned).to_vec();
    let reporting = summaries::Reporting { names, ..reporting() };
    let told = learning::training::coefficients(&frozen, theta, &reporting).unwrap();
    let of = |name: &str| told.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} in {told:?}")).1;
    let foretold = model.foretell(&parameters, &batch.select(&[0, 1, 2]).unwrap()).unwrap();
    for i in (0..N).filter(|i| foretold[*i].is_some()) {
        let (x, z) = (a[i], b[i]);
        let mut eta = of("(intercept)") + of("a") * x + of("b") * z + of("a:b") * x * z;
        if let 1 | 2 = c[i] {
            let level = if c[i] == 1 { "y" } else { "z" };
            eta += of(&format!("c={level}")) + of(&format!("a:c={level}")) * x;
        }
        let p = foretold[i].as_ref().unwrap()[0];
        assert!(((p / (1.0 - p)).ln() - eta).abs() < 1e-8, "{eta}");
    }
}

/// Splines are bent by their knots, then standardised.
#[test]
fn a_spline_is_standardised_too() {
    let batch = patients(&mut ChaCha8Rng::seed_from_u64(5));
    let basis = Basis::new(BOUNDS[0], BOUNDS[1], &[80.0, 100.0, 120.0]).unwrap();
    let design = Design::new(vec![Term::Spline { name: "a".into(), basis: basis.clone() }]);
    let learned = Learned { moments: true, missing: Missing::Mean, share: 0.1 };
    let network = Network::new(2, &[], 1, Activation::Tanh).unwrap();
    let model = Model::learning(design, network, Loss::Logistic, Some(learned)).unwrap();
    let training = Training::new(model, setting(2, 0.5), vec![0, 1], reporting()).unwrap();
    let parameters = run(training, &[batch.select(&[0, 3]).unwrap()]);
    let Some(Column::Real(a)) = batch.column(0) else { panic!() };
    for column in 0..2 {
        let values: Vec<f64> = a.iter().filter(|x| !x.is_nan()).map(|x| basis.scaled(*x)[column]).collect();
        let (n, mean) = (values.len() as f64, values.iter().sum::<f64>() / values.len() as f64);
        let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        assert!((parameters[2 * column] - mean).abs() < 1e-10 && (1.0 / parameters[2 * column + 1] - sd).abs() < 1e-10);
    }
}

/// A hospital that goes on with a model over its own patients, who are otherwise than the others, foretells them better; the released model is left.
#[test]
fn a_hospital_goes_on_by_itself() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let learned = Learned { moments: true, missing: Missing::Mean, share: 0.1 };
    let before = run(training(learned, &[], 40), &[patients(&mut rng)]);
    // Here the outcome is of those who are low.
    let mut columns = patients(&mut rng).columns().to_vec();
    let Some(Column::Level(y)) = columns.last_mut() else { panic!() };
    y.iter_mut().for_each(|y| *y = 1 - *y);
    columns.push(Column::Level((0..N as u32).map(|i| u32::from(i % 4 == 0)).collect()));
    let own = PatientBatch::new(N, columns).unwrap();
    let model = model(learned, &[]).with_holdout();
    let how = Tuning { steps: 60, rate: 0.5, pull: 0.001 };
    let tuned = tune(&model, &before, &own, how).unwrap();
    assert!(tuned.patients == 225 && tuned.loss[1] < 0.7 * tuned.loss[0], "{:?}", tuned.loss);
    assert_eq!(tuned.parameters[..8], before[..8], "what is frozen stays");
    let of = |p: &[f64], what: &str| {
        let told = judged(&model, p, &own, (&[0.5], &reporting())).unwrap();
        told.rows.iter().find(|r| r.term == "test" && r.statistic == what).unwrap().estimate.unwrap()
    };
    assert!(of(&tuned.parameters, "loss") < 0.7 * of(&before, "loss"));
    assert!(of(&tuned.parameters, "auc") > 0.7 && of(&before, "auc") < 0.3);
    // However long the first step is, it ends where the loss is no larger; a strong pull leaves it near.
    let wild = tune(&model, &before, &own, Tuning { rate: 1e6, ..how }).unwrap();
    assert!(wild.loss[1] <= wild.loss[0] && wild.parameters.iter().all(|p| p.is_finite()));
    let held = tune(&model, &before, &own, Tuning { pull: 1e4, ..how }).unwrap();
    assert!(held.parameters.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-2));
    let nobody = own.rows(&(0..N).filter(|i| i % 4 == 0).collect::<Vec<_>>());
    assert!(tune(&model, &before, &nobody, how).is_err(), "nobody to train on");
}

/// The sums of some rounds, then one step: a round of each k at the same parameters, and without noise the steps of a shorter training.
#[test]
fn sums_of_rounds_are_gathered_before_a_step() {
    let batch = patients(&mut ChaCha8Rng::seed_from_u64(7));
    let learned = Learned { moments: true, missing: Missing::Mean, share: 0.1 };
    let of =
        |rounds: u32| Training::new(model(learned, &[]), setting(rounds, 0.5), vec![0, 1, 2, 3], reporting()).unwrap();
    let short = run(of(4), std::slice::from_ref(&batch));
    let long = run(of(12).accumulating(3).unwrap(), std::slice::from_ref(&batch));
    assert!(short.iter().zip(&long).all(|(a, b)| (a - b).abs() < 1e-12), "{short:?} {long:?}");
    assert!(of(12).accumulating(5).is_none() && of(12).accumulating(0).is_none());
    // From its memory alone, in the middle of what is gathered.
    let mut program = of(12).accumulating(3).unwrap();
    let (mut round, mut parameters) = (0, program.first());
    let last = loop {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let merged = released(&program, (round, &parameters), &batch, 0.0, &mut rng);
        let step = program.next(round, &parameters, &merged).unwrap();
        let memory = program.memory();
        match step {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(_) => break program.model().unwrap().to_vec(),
        }
        program = of(12).accumulating(3).unwrap();
        program.remember(&memory);
    };
    assert_eq!(last, long);
}
