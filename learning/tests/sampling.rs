//! Trainings that sample patients: the mean is unbiased, what a round asks is what its tolls say, and a clip follows its quantile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use learning::training::{
    Activation, Decay, Groups, Loss, Merging, Model, Network, Optimiser, Schedule, Setting, Stopping, Training,
};
use learning::{Design, Term};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use summaries::{Column, Lanes, MergedRelease, MergedRound, PatientBatch, Population, Program, Reporting, Step, Toll};

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.random::<u32>()) + 0.5) / 4_294_967_296.0
}

fn reporting() -> Reporting {
    Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into(); 9], levels: vec![vec![]; 9] }
}

fn model(loss: Loss, levels: u32) -> Model {
    let design = Design::new(vec![Term::Real { name: "x".into(), lower: -1.0, upper: 1.0 }]);
    let network = Network::new(1, &[], loss.outputs(), Activation::Tanh).unwrap();
    Model::new(design, network, loss).unwrap().with_groups(Groups { levels, tested: levels > 1 })
}

fn setting(rounds: u32) -> Setting {
    Setting {
        sampling: Some(0.2),
        clip_quantile: None,
        rounds,
        clip: 4.0,
        schedule: Schedule { start: 0.5, decay: Decay::Constant },
        optimiser: Optimiser::Sgd { momentum: 0.0 },
        average: false,
        penalty: 0.0,
        patients: None,
        seed: None,
        thresholds: vec![0.5],
        local: None,
        merging: Merging::Mean,
        bound: None,
        stopping: None,
    }
}

fn training(loss: Loss, levels: u32, setting: Setting) -> Option<Training> {
    let columns = (0..2 + usize::from(levels > 0)).collect();
    Training::new(model(loss, levels), setting, columns, reporting())
}

fn patients(n: usize, rng: &mut ChaCha8Rng) -> PatientBatch {
    let x: Vec<f64> = (0..n).map(|_| 2.0 * uniform(rng) - 1.0).collect();
    let y = x.iter().map(|x| u32::from(2.0 * uniform(rng) - 1.0 < *x)).collect();
    PatientBatch::new(n, vec![Column::Real(x), Column::Level(y)]).unwrap()
}

/// One round over the patients that coins choose.
fn round(program: &mut Training, number: u32, parameters: &[f64], batch: &PatientBatch, rng: &mut ChaCha8Rng) -> Step {
    let mut parts = Vec::new();
    for work in program.work(number, parameters).unwrap() {
        let rate = work.rate.unwrap_or(1.0);
        let rows: Vec<usize> = (0..batch.patients()).filter(|_| uniform(rng) < rate).collect();
        let own = batch.select(&work.columns).unwrap().rows(&rows);
        let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
        work.statistic.accumulate(&own, &mut lanes).unwrap();
        let lanes = lanes.into_values();
        parts.push(MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 });
    }
    program.next(number, parameters, &MergedRound { parts, sites: 1 }).unwrap()
}

/// Over many samples a step leads on average where the step over all leads. Divided by how many were drawn it would too; but then an empty sample has no
/// mean, and how many there were is in nobody's account: a sample of half the expected size leads half as far.
#[test]
fn the_mean_is_unbiased_and_divides_by_the_expected_number() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let batch = patients(400, &mut rng);
    let step = |rate: Option<f64>, batch: &PatientBatch, rng: &mut ChaCha8Rng| {
        let setting = Setting { sampling: rate, patients: Some(400.0), ..setting(2) };
        let mut program = training(Loss::Logistic, 0, setting).unwrap();
        let first = program.first();
        match round(&mut program, 0, &first, batch, rng) {
            Step::Continue { parameters, .. } => parameters,
            Step::Done(_) => panic!(),
        }
    };
    let all = step(None, &batch, &mut rng);
    let (mut sum, samples) = (vec![0.0; all.len()], 3_000);
    for _ in 0..samples {
        sum.iter_mut().zip(step(Some(0.2), &batch, &mut rng)).for_each(|(s, t)| *s += t / f64::from(samples));
    }
    for (mean, truth) in sum.iter().zip(&all) {
        // A gradient is at most ½·√2; a mean of 3,000 samples of about 80.
        assert!((mean - truth).abs() < 6.0 * 0.5 * 0.5 / (80.0f64 * f64::from(samples)).sqrt(), "{mean} {truth}");
    }
    // The rate is 1 in all but the name: the sum is over half of the patients, and is divided by all.
    let half = batch.rows(&(0..200).collect::<Vec<_>>());
    let (few, many) = (step(Some(1.0), &half, &mut rng), step(None, &half, &mut rng));
    assert_eq!(few, many);
    let only = {
        let setting = Setting { sampling: None, patients: Some(200.0), ..setting(2) };
        let mut program = training(Loss::Logistic, 0, setting).unwrap();
        let first = program.first();
        let Step::Continue { parameters, .. } = round(&mut program, 0, &first, &half, &mut rng) else { panic!() };
        parameters
    };
    for (f, o) in few.iter().zip(only) {
        assert!((2.0 * f - o).abs() < 1e-12, "{f} {o}");
    }
}

/// What is paid for is what is asked: of every round the tolls have the rates and the weights of the work. The charge hangs on it.
#[test]
fn tolls_are_those_of_the_work() {
    let losses = [
        Loss::Logistic,
        Loss::Softmax(3),
        Loss::Squared { lower: 0.0, upper: 1.0 },
        Loss::Poisson { most: 9.0 },
        Loss::Hazards { horizon: 5.0, intervals: 2 },
    ];
    for loss in losses {
        for levels in [0, 2, 3] {
            let stopping = (levels == 3).then_some(Stopping { every: 2, patience: 3 });
            let of = |sampling| Setting { sampling, stopping, ..setting(6) };
            let program = training(loss, levels, of(Some(0.2))).unwrap();
            let plain = training(loss, levels, of(None)).unwrap();
            let mut populations = std::collections::BTreeSet::new();
            for round in 0..program.rounds() {
                let work = program.work(round, &program.first()).unwrap();
                let tolls = program.tolls(round);
                assert_eq!(tolls.len(), work.len(), "{loss:?} {levels} {round}");
                for (toll, work) in tolls.iter().zip(&work) {
                    assert_eq!((toll.weight, toll.rate), (work.weight, work.rate.unwrap_or(1.0)));
                    assert_eq!(toll.step, work.rate.is_some());
                    populations.insert(toll.of);
                }
                assert!(
                    plain.tolls(round).is_empty()
                        && plain.work(round, &plain.first()).unwrap().iter().all(|w| w.rate.is_none())
                );
            }
            assert_eq!(populations.len(), levels.max(1) as usize);
        }
    }
}

/// A part's sum is over the population that its toll names and nobody else: who is not of it moves nothing.
#[test]
fn no_toll_is_of_others_than_its_sum() {
    let stopping = Some(Stopping { every: 1, patience: 3 });
    let program = training(Loss::Logistic, 3, Setting { stopping, ..setting(3) }).unwrap();
    for round in 0..program.rounds() {
        for (toll, work) in program.tolls(round).iter().zip(program.work(round, &program.first()).unwrap()) {
            for (level, population) in
                [Population::Trained, Population::Tested, Population::Validating].iter().enumerate()
            {
                let columns = vec![Column::Real(vec![0.3]), Column::Level(vec![1]), Column::Level(vec![level as u32])];
                let one = PatientBatch::new(1, columns).unwrap();
                let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
                work.statistic.accumulate(&one.select(&work.columns).unwrap(), &mut lanes).unwrap();
                let moves = lanes.values().iter().any(|v| *v != 0);
                let Toll { of, .. } = toll;
                assert_eq!(moves, of == population, "round {round}, {}: {population:?}", work.name);
            }
        }
    }
}

/// From a clip that is far too long, and one far too short, half of the gradients are cut after some rounds.
#[test]
fn a_clip_follows_its_quantile() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let batch = patients(600, &mut rng);
    for clip in [50.0, 0.01] {
        let setting = Setting { clip, clip_quantile: Some(0.5), sampling: Some(0.5), ..setting(80) };
        let mut program = training(Loss::Logistic, 0, setting).unwrap();
        let (mut number, mut parameters) = (0, program.first());
        assert_eq!(parameters, [0.0, 0.0, clip]);
        while let Step::Continue { round: r, parameters: p } =
            round(&mut program, number, &parameters, &batch, &mut rng)
        {
            (number, parameters) = (r, p);
        }
        let cut = program.progress()[1].values.clone();
        let last = cut[60..].iter().map(|c| c[0]).sum::<f64>() / 20.0;
        assert!((last - 0.5).abs() < 0.1, "{last} are cut at a clip of {}", parameters[2]);
        assert!(cut[0][0] == 0.0 || cut[0][0] > 0.8);
        assert_eq!(program.model().map(<[f64]>::len), Some(2), "the clip is no part of the model");
        for wrong in [vec![0.0, 0.0], vec![0.0, 0.0, 0.0], vec![0.0, 0.0, -1.0], vec![0.0, 0.0, f64::NAN]] {
            assert!(program.work(1, &wrong).is_err(), "{wrong:?}");
        }
    }
}

#[test]
fn nonsense_is_no_training() {
    for sampling in [0.0, -0.1, 1.1, f64::NAN] {
        assert!(training(Loss::Logistic, 0, Setting { sampling: Some(sampling), ..setting(3) }).is_none());
    }
    for quantile in [0.0, 1.0, f64::NAN] {
        assert!(training(Loss::Logistic, 0, Setting { clip_quantile: Some(quantile), ..setting(3) }).is_none());
    }
    assert!(training(Loss::Logistic, 0, Setting { merging: Merging::Median, ..setting(3) }).is_none());
    assert!(training(Loss::Logistic, 0, Setting { bound: Some(1.0), ..setting(3) }).is_none());
}
