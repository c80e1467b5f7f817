//! Trainings against what defines them: gradients against differences of the loss, norms against the gradients themselves, sums to the last
//! bit whatever the blocks, descent against the same descent in plain numbers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod drawn;

use drawn::{normal, reporting, uniform};
use learning::training::{
    Activation, ClippedGradient, Decay, Loss, Model, Moments, Network, Optimiser, Schedule, Setting, Training,
};
use learning::{Design, Term};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{
    Column, Estimate, FIXED_POINT, Lanes, MergedRelease, MergedRound, PatientBatch, Program, Statistic, Step,
};

fn design() -> Design {
    let category = Term::Level { name: "c".into(), levels: vec!["x".into(), "y".into(), "z".into()] };
    let number = |name: &str| Term::Real { name: name.into(), lower: -1.0, upper: 3.0 };
    Design::new(vec![number("a"), category, number("b")])
}

const LOSSES: [Loss; 6] = [
    Loss::Squared { lower: -2.0, upper: 4.0 },
    Loss::Logistic,
    Loss::Softmax(3),
    Loss::Poisson { most: 9.0 },
    Loss::Hazards { horizon: 6.0, intervals: 1 },
    Loss::Hazards { horizon: 6.0, intervals: 3 },
];

fn model(loss: Loss, hidden: &[usize], activation: Activation) -> Model {
    Model::new(design(), Network::new(4, hidden, loss.outputs(), activation).unwrap(), loss).unwrap()
}

/// Patients whose outcome goes with a and c.
fn patients(loss: Loss, n: usize, rng: &mut ChaCha8Rng) -> PatientBatch {
    let (mut a, mut c, mut b) = (Vec::new(), Vec::new(), Vec::new());
    let (mut real, mut level) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let (x, l, z) = (4.0 * uniform(rng) - 1.0, (3.0 * uniform(rng)) as u32, 4.0 * uniform(rng) - 1.0);
        let eta = 0.6 * x - f64::from(l) + 0.3 * normal(rng);
        real.push(match loss {
            Loss::Poisson { .. } => (eta.exp() + uniform(rng)).floor().min(9.0),
            Loss::Hazards { .. } => -3.0 * uniform(rng).ln() * (-eta).exp(),
            _ => eta,
        });
        level.push(match loss {
            Loss::Softmax(_) => u32::from(eta > -0.8) + u32::from(eta > 0.2),
            _ => u32::from(eta > -0.3),
        });
        a.push(x);
        c.push(l);
        b.push(z);
    }
    let outcome =
        if matches!(loss, Loss::Logistic | Loss::Softmax(_)) { Column::Level(level) } else { Column::Real(real) };
    let mut columns = vec![Column::Real(a), Column::Level(c), Column::Real(b), outcome];
    if matches!(loss, Loss::Hazards { .. }) {
        columns.push(Column::Level((0..n).map(|_| u32::from(uniform(rng) < 0.7)).collect()));
    }
    PatientBatch::new(n, columns).unwrap()
}

fn lanes(statistic: &ClippedGradient, batch: &PatientBatch) -> Vec<i64> {
    let mut lanes = Lanes::zeros(statistic.layout().lanes);
    statistic.accumulate(batch, &mut lanes).unwrap();
    lanes.into_values()
}

fn theta(model: &Model, far: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..model.network().parameters()).map(|_| far * normal(rng)).collect()
}

fn models() -> Vec<Model> {
    let all = LOSSES.into_iter().flat_map(|loss| {
        [
            model(loss, &[], Activation::Tanh),
            model(loss, &[5], Activation::Tanh),
            model(loss, &[4, 3], Activation::Relu),
            model(loss, &[1, 2], Activation::Tanh),
        ]
    });
    all.collect()
}

const WIDE: f64 = 1000.0;

/// The loss that the lanes tell, to 13 digits.
fn loss_of(model: &Model, theta: &[f64], batch: &PatientBatch) -> f64 {
    let wide = ClippedGradient::new(model.clone(), theta.to_vec(), WIDE).unwrap();
    lanes(&wide, batch)[theta.len()] as f64 / FIXED_POINT / (0.1 * WIDE) * model.loss().most()
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for model in models() {
        let batch = patients(model.loss(), 3, &mut rng);
        let theta = theta(&model, 0.3, &mut rng);
        let wide = ClippedGradient::new(model.clone(), theta.clone(), WIDE).unwrap();
        let gradient = lanes(&wide, &batch);
        for k in 0..theta.len() {
            let at = |d: f64| {
                let mut moved = theta.clone();
                moved[k] += d;
                loss_of(&model, &moved, &batch)
            };
            let h = 1e-3;
            // The slope of the log-likelihood, by Richardson's differences.
            let slope = -(8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let own = gradient[k] as f64 / FIXED_POINT;
            assert!((slope - own).abs() < 1e-6 * (1.0 + own.abs()), "{model:?}, {k}: {own} and not {slope}");
        }
    }
}

/// A cut gradient is the whole one times C/‖g‖, so the norm that the factors give is that of the gradient itself.
#[test]
fn gradients_are_cut_at_their_own_norm() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for model in models() {
        for _ in 0..20 {
            let batch = patients(model.loss(), 1, &mut rng);
            let theta = theta(&model, 1.0, &mut rng);
            let of = |clip: f64| {
                let statistic = ClippedGradient::new(model.clone(), theta.clone(), clip).unwrap();
                let own = lanes(&statistic, &batch);
                own.into_iter().map(|v| v as f64 / FIXED_POINT).collect::<Vec<_>>()
            };
            let (whole, d) = (of(WIDE), theta.len());
            let norm = whole[..d].iter().map(|v| v * v).sum::<f64>().sqrt();
            let clip = 0.05;
            let cut = of(clip);
            let keep = (clip / norm).min(1.0);
            for k in 0..d {
                assert!((cut[k] - keep * whole[k]).abs() < 1e-9, "{model:?}: {} and not {}", cut[k], keep * whole[k]);
            }
            assert!(cut[..d].iter().map(|v| v * v).sum::<f64>().sqrt() <= clip + 1e-10);
            assert!((cut[d + 1] > 0.0) == (norm >= clip));
        }
    }
}

/// One by one, dealt out at random, or all together: the same integers.
#[test]
fn sums_do_not_depend_on_the_blocks() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for model in models() {
        let batch = patients(model.loss(), 300, &mut rng);
        let theta = theta(&model, 0.5, &mut rng);
        let statistic = ClippedGradient::new(model.clone(), theta, 0.4).unwrap();
        let together = lanes(&statistic, &batch);
        for parts in [2usize, 7, 300] {
            let mut of: Vec<Vec<usize>> = vec![Vec::new(); parts];
            for p in 0..300 {
                let to = if parts == 300 { p } else { (uniform(&mut rng) * parts as f64) as usize };
                of[to].push(p);
            }
            let mut sum = vec![0i64; together.len()];
            for rows in of {
                lanes(&statistic, &batch.rows(&rows)).iter().zip(&mut sum).for_each(|(v, s)| *s += v);
            }
            assert_eq!(sum, together, "{model:?} in {parts} parts");
        }
    }
}

fn setting(rounds: u32, rate: f64) -> Setting {
    Setting {
        sampling: None,
        clip_quantile: None,
        rounds,
        clip: 4.0,
        schedule: Schedule { start: rate, decay: Decay::Constant },
        optimiser: Optimiser::Sgd { momentum: 0.0 },
        average: false,
        penalty: 0.0,
        patients: None,
        seed: None,
        thresholds: vec![0.5],
        local: None,
        merging: learning::training::Merging::Mean,
        bound: None,
        stopping: None,
    }
}

fn run(training: Training, sites: &[PatientBatch]) -> (Vec<f64>, Estimate) {
    let mut program = training;
    let (mut round, mut parameters) = (0, program.first());
    loop {
        let merged = drawn::exact_round(&program, round, &parameters, sites);
        match program.next(round, &parameters, &merged).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return (parameters, estimate),
        }
    }
}

fn of_training(loss: Loss, hidden: &[usize], setting: Setting) -> Training {
    Training::new(model(loss, hidden, Activation::Tanh), setting, vec![0, 1, 2, 3], reporting()).unwrap()
}

/// Gradient descent over 1, 2, 4 sites is the same to the last bit, and that of all patients in plain numbers to 1e-10.
#[test]
fn full_batch_descent_is_the_pooled_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let batch = patients(Loss::Logistic, 500, &mut rng);
    let rounds = 60;
    let dealt = |sites: usize| -> Vec<PatientBatch> {
        (0..sites).map(|s| batch.rows(&(0..500).filter(|i| i % sites == s).collect::<Vec<_>>())).collect()
    };
    let all: Vec<(Vec<f64>, Estimate)> =
        [1, 2, 4].iter().map(|k| run(of_training(Loss::Logistic, &[], setting(rounds, 2.0)), &dealt(*k))).collect();
    assert!(all.iter().all(|(last, e)| *last == all[0].0 && *e == all[0].1));
    // In plain numbers.
    let [Column::Real(a), Column::Level(c), Column::Real(b), Column::Level(y)] = batch.columns() else { panic!() };
    let mut theta = [0.0f64; 5];
    for _ in 0..rounds - 1 {
        let mut mean = [0.0; 5];
        for i in 0..500 {
            let x = [
                1.0,
                (a[i] - 1.0) / 2.0,
                f64::from(u8::from(c[i] == 1)),
                f64::from(u8::from(c[i] == 2)),
                (b[i] - 1.0) / 2.0,
            ];
            let eta: f64 = x.iter().zip(&theta).map(|(x, t)| x * t).sum();
            let r = f64::from(y[i]) - 1.0 / (1.0 + (-eta).exp());
            x.iter().zip(&mut mean).for_each(|(x, m)| *m += r * x / 500.0);
        }
        theta.iter_mut().zip(mean).for_each(|(t, m)| *t += 2.0 * m);
    }
    for (got, wanted) in all[0].0.iter().zip(theta) {
        assert!((got - wanted).abs() < 1e-10, "{got} and not {wanted}");
    }
}

/// A training that is opened again after every round, from what it remembers alone, is the one that never stopped.
#[test]
fn a_training_goes_on_from_its_memory() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let batch = patients(Loss::Softmax(3), 200, &mut rng);
    let moments = Moments { first: 0.9, second: 0.99, tau: 1e-3 };
    for (optimiser, patients) in [
        (Optimiser::Sgd { momentum: 0.0 }, None),
        (Optimiser::Sgd { momentum: 0.8 }, Some(200.0)),
        (Optimiser::Adam(moments), None),
        (Optimiser::Adagrad(moments), Some(150.0)),
    ] {
        let setting = Setting { optimiser, patients, average: true, ..setting(9, 0.3) };
        // Without hidden layers what is told has the coefficients, which are the mean over the last half.
        let of = || of_training(Loss::Softmax(3), &[], setting.clone());
        let (last, whole) = run(of(), std::slice::from_ref(&batch));
        let mut program = of();
        let (mut round, mut parameters) = (0, program.first());
        let again = loop {
            let mut parts = Vec::new();
            for work in program.work(round, &parameters).unwrap() {
                let mut own = Lanes::zeros(work.statistic.layout().lanes);
                work.statistic.accumulate(&batch.select(&work.columns).unwrap(), &mut own).unwrap();
                let lanes = own.into_values();
                parts.push(MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 });
            }
            let step = program.next(round, &parameters, &MergedRound { parts, sites: 1 }).unwrap();
            let memory = program.memory();
            assert!(program.resumes());
            match step {
                Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
                Step::Done(estimate) => break estimate,
            }
            program = of();
            program.remember(&memory);
            assert_eq!(program.progress()[0].values.len() + usize::from(patients.is_none()), round as usize);
        };
        assert!(again == whole && parameters == last, "{optimiser:?}");
    }
}

/// Trained to the end a linear model is the regression's: the coefficients in own units of a line through the points.
#[test]
fn a_trained_linear_model_is_least_squares() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let n = 200;
    let x: Vec<f64> = (0..n).map(|_| 10.0 + 30.0 * uniform(&mut rng)).collect();
    let y: Vec<f64> = x.iter().map(|x| 3.0 - 0.2 * x + normal(&mut rng)).collect();
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n as f64;
    let (mx, my) = (mean(&x), mean(&y));
    let slope = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
        / x.iter().map(|x| (x - mx).powi(2)).sum::<f64>();
    let design = Design::new(vec![Term::Real { name: "x".into(), lower: 0.0, upper: 50.0 }]);
    let loss = Loss::Squared { lower: -20.0, upper: 20.0 };
    let model = Model::new(design, Network::new(1, &[], 1, Activation::Tanh).unwrap(), loss).unwrap();
    let setting = Setting { patients: Some(200.0), average: true, ..setting(1500, 1.0) };
    let training = Training::new(model, setting, vec![0, 1], reporting()).unwrap();
    let (_, e) = run(training, &[PatientBatch::new(n, vec![Column::Real(x), Column::Real(y)]).unwrap()]);
    let told = |term: &str| e.rows.iter().find(|r| r.term == term && r.statistic == "coefficient").unwrap().estimate;
    assert!((told("x").unwrap() - slope).abs() < 1e-6, "{:?} and not {slope}", told("x"));
    assert!((told("(intercept)").unwrap() - (my - slope * mx)).abs() < 1e-4);
}

/// What no line can tell, a hidden layer can, whatever the optimiser.
#[test]
fn a_perceptron_learns_what_no_line_can() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let n = 400;
    let number = |name: &str| Term::Real { name: name.into(), lower: -1.0, upper: 1.0 };
    let (x, z): (Vec<f64>, Vec<f64>) =
        (0..n).map(|_| (2.0 * uniform(&mut rng) - 1.0, 2.0 * uniform(&mut rng) - 1.0)).unzip();
    let y: Vec<u32> = x.iter().zip(&z).map(|(x, z)| u32::from(x * z > 0.0)).collect();
    let columns = vec![Column::Real(x), Column::Real(z), Column::Level(y)];
    let batch = [PatientBatch::new(n, columns).unwrap()];
    let moments = Moments { first: 0.9, second: 0.99, tau: 1e-3 };
    let last = |hidden: &[usize], optimiser: Optimiser, rate: f64| {
        let network = Network::new(2, hidden, 1, Activation::Tanh).unwrap();
        let model = Model::new(Design::new(vec![number("x"), number("z")]), network, Loss::Logistic).unwrap();
        let setting = Setting { optimiser, seed: Some(1), ..setting(300, rate) };
        let training = Training::new(model, setting, vec![0, 1, 2], reporting()).unwrap();
        run(training, &batch).1.curves[0].points.last().unwrap()[1]
    };
    assert!(last(&[], Optimiser::Sgd { momentum: 0.9 }, 1.0) > 0.6);
    for (optimiser, rate) in [
        (Optimiser::Sgd { momentum: 0.9 }, 1.0),
        (Optimiser::Adam(moments), 0.1),
        (Optimiser::Yogi(moments), 0.1),
        (Optimiser::Adagrad(moments), 0.5),
    ] {
        let loss = last(&[12], optimiser, rate);
        assert!(loss < 0.25, "{optimiser:?}: {loss}");
    }
}

/// Patients with something missing are in no sum, and steps that are far too long end in no error.
#[test]
fn what_is_missing_or_wild_is_borne() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let whole = patients(Loss::Logistic, 50, &mut rng);
    let mut columns = whole.columns().to_vec();
    for (place, column) in columns.iter_mut().enumerate() {
        match column {
            Column::Real(v) => v.extend([if place == 0 { f64::NAN } else { 0.5 }, 0.5]),
            Column::Level(v) => v.extend([1, if place == 3 { u32::MAX } else { 0 }]),
            _ => panic!(),
        }
    }
    let lacking = PatientBatch::new(52, columns).unwrap();
    let sum = |b: &PatientBatch| {
        let model = model(Loss::Logistic, &[3], Activation::Relu);
        lanes(&ClippedGradient::new(model.clone(), vec![0.3; model.network().parameters()], 1.0).unwrap(), b)
    };
    assert_eq!(sum(&whole), sum(&lacking));
    let wild = Setting { clip: 1000.0, ..setting(30, 1e6) };
    let (last, e) = run(
        of_training(Loss::Poisson { most: 9.0 }, &[3], wild),
        &[patients(Loss::Poisson { most: 9.0 }, 50, &mut rng)],
    );
    assert!(last.iter().all(|t| t.is_finite()) && !e.rows.is_empty());
}

/// At the start every patient's logistic loss is log 2: what is told of it under noise is off by what its row says.
#[test]
fn the_loss_is_as_uncertain_as_it_says() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let batch = patients(Loss::Logistic, 400, &mut rng);
    let runs = 300;
    let squares: f64 = (0..runs)
        .map(|_| {
            let setting = Setting { patients: Some(400.0), ..setting(1, 1.0) };
            let training = Box::new(of_training(Loss::Logistic, &[], setting));
            let e = drawn::run(training, &batch, 2.0, &mut rng);
            let row = e.rows.iter().find(|r| r.statistic == "loss").unwrap();
            ((row.estimate.unwrap() - std::f64::consts::LN_2) / row.dp_se.unwrap()).powi(2)
        })
        .sum();
    let spread = (squares / f64::from(runs)).sqrt();
    assert!((0.87..1.13).contains(&spread), "{spread}");
}
