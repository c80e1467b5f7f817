//! Training that stops by the loss of patients who validate: when it is no longer smaller, at the model of the smallest, and the same after restarts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code
)]

mod drawn;

use drawn::{normal, reporting, uniform};
use learning::training::{
    Activation, Control, Decay, Groups, Local, Loss, Merging, Model, Moments, Network, Optimiser, Schedule, Setting,
    Stopping, Training, Weights,
};
use learning::{Design, Term};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{Column, Estimate, Lanes, MergedRelease, MergedRound, OfSite, PatientBatch, Program, Step, walk};

fn setting(rounds: u32, stopping: Option<Stopping>, local: Option<Local>) -> Setting {
    Setting {
        sampling: None,
        clip_quantile: None,
        rounds,
        clip: 100.0,
        schedule: Schedule { start: if local.is_some() { 1.0 } else { 0.1 }, decay: Decay::Constant },
        optimiser: match local {
            Some(_) => Optimiser::Sgd { momentum: 0.0 },
            None => Optimiser::Adam(Moments { first: 0.9, second: 0.99, tau: 1e-3 }),
        },
        average: true,
        penalty: 0.0,
        patients: None,
        seed: Some(3),
        thresholds: vec![0.5],
        local,
        merging: Merging::Mean,
        bound: None,
        stopping,
    }
}

fn training(setting: &Setting) -> Training {
    let number = |name: &str| Term::Real { name: name.into(), lower: -1.0, upper: 1.0 };
    let network = Network::new(2, &[16], 1, Activation::Tanh).unwrap();
    let model = Model::new(Design::new(vec![number("a"), number("b")]), network, Loss::Logistic).unwrap();
    let groups = if setting.stopping.is_some() { 3 } else { 2 };
    let model = model.with_groups(Groups { levels: groups, tested: true });
    Training::new(model, setting.clone(), vec![0, 1, 2, 3], reporting()).unwrap()
}

/// Sixty patients to train on, with outcomes that are half chance; of the others there are many.
fn patients() -> PatientBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(31);
    let (mut a, mut b, mut y, mut g) = (vec![], vec![], vec![], vec![]);
    for i in 0..2060 {
        let (x, z) = (2.0 * uniform(&mut rng) - 1.0, 2.0 * uniform(&mut rng) - 1.0);
        y.push(u32::from(x + 0.5 * z + 0.9 * normal(&mut rng) > 0.0));
        g.push(if i < 60 { 0 } else { 1 + i as u32 % 2 });
        a.push(x);
        b.push(z);
    }
    PatientBatch::new(2060, vec![Column::Real(a), Column::Real(b), Column::Level(y), Column::Level(g)]).unwrap()
}

/// The model, what is told, and the rounds that were asked.
fn run(setting: &Setting, batch: &PatientBatch, again: bool) -> (Vec<f64>, Estimate, Vec<u32>) {
    let mut program = training(setting);
    let (mut round, mut parameters, mut rounds) = (0, program.first(), Vec::new());
    loop {
        rounds.push(round);
        let mut there = training(setting);
        there.at_site("h");
        let mut parts = Vec::new();
        for mut work in there.work(round, &parameters).unwrap() {
            let own = batch.select(&work.columns).unwrap();
            let lanes = match work.walk.as_deref_mut() {
                Some(w) => walk::rehearsed(w, &own, 1.0).unwrap(),
                None => {
                    let mut lanes = Lanes::zeros(work.layout().lanes);
                    work.statistic.accumulate(&own, &mut lanes).unwrap();
                    lanes.into_values()
                }
            };
            parts.push(MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 });
        }
        let merged = MergedRound { parts, sites: 1 };
        let sites = [OfSite { site: "h".into(), round: merged.clone() }];
        let next = if program.apart() {
            program.next_apart(round, &parameters, &merged, &sites)
        } else {
            program.next(round, &parameters, &merged)
        };
        match next.unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(e) => return (program.model().unwrap().to_vec(), e, rounds),
        }
        if again {
            let memory = program.memory();
            program = training(setting);
            program.remember(&memory);
        }
    }
}

fn told(e: &Estimate, term: &str, statistic: &str) -> f64 {
    let row = e.rows.iter().find(|r| r.term == term && r.statistic == statistic);
    row.and_then(|r| r.estimate).unwrap_or_else(|| panic!("no {statistic} of {term} in {:?}", e.rows))
}

#[test]
fn training_stops_where_it_no_longer_helps() {
    let batch = patients();
    let stopping = Stopping { every: 10, patience: 3 };
    let far = setting(400, Some(stopping), None);
    let (model, e, rounds) = run(&far, &batch, false);
    assert!(run(&far, &batch, true).0 == model, "it does not go on from its memory");
    let steps = told(&e, "training", "steps");
    assert!(steps < 200.0 && rounds.len() < 203, "{steps}");
    // The test is the last round, which is asked at once.
    assert_eq!(rounds.last(), Some(&401));
    let (_, to_the_end, _) = run(&setting(400, None, None), &batch, false);
    let losses = [told(&e, "test", "loss"), told(&to_the_end, "test", "loss"), told(&e, "training", "validation loss")];
    assert!(losses[0] < losses[1] - 0.05 && (losses[0] - losses[2]).abs() < 0.08, "{losses:?}");
    let curve = e.curves.iter().find(|c| c.title.contains("validate")).unwrap();
    assert_eq!(curve.points.len(), (steps as usize - 1) / 10);
    let least = curve.points.iter().map(|p| p[1]).fold(f64::INFINITY, f64::min);
    assert!((least - losses[2]).abs() < 1e-12);
    // A look takes a part of its round's charge, and no other round's.
    let program = training(&far);
    assert!(program.weight(11) > program.weight(10) && program.weight(12) == program.weight(10));
    assert_eq!(program.progress().len(), 3);
}

#[test]
fn local_steps_stop_as_well() {
    let batch = patients();
    let local = Local {
        steps: 20,
        schedule: Schedule { start: 0.5, decay: Decay::Constant },
        optimiser: Optimiser::Sgd { momentum: 0.0 },
        batch: None,
        proximal: 0.0,
        control: Control::None,
        weights: Weights::Patients,
        turns: false,
    };
    let far = setting(300, Some(Stopping { every: 5, patience: 3 }), Some(local));
    let (model, e, rounds) = run(&far, &batch, false);
    assert!(run(&far, &batch, true).0 == model, "it does not go on from its memory");
    assert!(rounds.len() < 250 && told(&e, "training", "steps") < 250.0, "{}", rounds.len());
}
