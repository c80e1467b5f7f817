//! Steps that hospitals take by themselves, against the same in plain numbers; and what they are where they are no different from one sum.
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
    Activation, Control, Decay, Local, Loss, Merging, Model, Moments, Network, Optimiser, Schedule, Setting, Training,
    Weights,
};
use learning::{Design, Term};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{Column, MergedRelease, MergedRound, OfSite, PatientBatch, Program, Step, walk};

const SGD: Optimiser = Optimiser::Sgd { momentum: 0.0 };

fn rate(start: f64) -> Schedule {
    Schedule { start, decay: Decay::Constant }
}

fn local(steps: u32, start: f64) -> Local {
    Local {
        steps,
        schedule: rate(start),
        optimiser: SGD,
        batch: None,
        proximal: 0.0,
        control: Control::None,
        weights: Weights::Patients,
        turns: false,
    }
}

fn setting(rounds: u32, local: Option<Local>) -> Setting {
    Setting {
        sampling: None,
        clip_quantile: None,
        rounds,
        clip: 100.0,
        schedule: rate(1.0),
        optimiser: SGD,
        average: false,
        penalty: 0.0,
        patients: None,
        seed: Some(3),
        thresholds: Vec::new(),
        local,
        merging: Merging::Mean,
        bound: None,
        stopping: None,
    }
}

fn training(setting: Setting) -> Training {
    let number = |name: &str| Term::Real { name: name.into(), lower: -1.0, upper: 1.0 };
    let network = Network::new(2, &[], 1, Activation::Tanh).unwrap();
    let model = Model::new(Design::new(vec![number("a"), number("b")]), network, Loss::Logistic).unwrap();
    Training::new(model, setting, vec![0, 1, 2], reporting()).unwrap()
}

type Rows = Vec<([f64; 3], f64)>;

/// Three hospitals of different sizes, whose patients differ.
fn hospitals() -> Vec<Rows> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let of = |(n, shift): (usize, f64)| -> Rows {
        let mut one = || {
            let (a, b) = (2.0 * uniform(&mut rng) - 1.0, 2.0 * uniform(&mut rng) - 1.0);
            let ill = 1.5 * a - b + shift + normal(&mut rng) > 0.0;
            ([1.0, a, b], f64::from(u8::from(ill)))
        };
        (0..n).map(|_| one()).collect()
    };
    [(150, 0.8), (60, -0.8), (20, 0.0)].map(of).to_vec()
}

fn batch(rows: &Rows) -> PatientBatch {
    let real = |j: usize| Column::Real(rows.iter().map(|r| r.0[j]).collect());
    let y = Column::Level(rows.iter().map(|r| r.1 as u32).collect());
    PatientBatch::new(rows.len(), vec![real(1), real(2), y]).unwrap()
}

/// Runs a training over the hospitals. With `again` the coordinator is a new one after every round. The last parameters.
fn run(setting: &Setting, hospitals: &[Rows], again: bool) -> Vec<f64> {
    spoilt(setting, hospitals, again, None)
}

/// The same, where the release of one hospital is what it would be times a factor.
fn spoilt(setting: &Setting, hospitals: &[Rows], again: bool, liar: Option<(usize, i64)>) -> Vec<f64> {
    let mut program = training(setting.clone());
    let (mut round, mut parameters) = (0, program.first());
    loop {
        let asked: Vec<usize> = match program.turn(round) {
            Some(turn) => vec![turn as usize % hospitals.len()],
            None => (0..hospitals.len()).collect(),
        };
        let mut sites = Vec::new();
        for h in asked {
            let mut there = training(setting.clone());
            there.at_site(&format!("h-{h}"));
            let mut work = there.work(round, &parameters).unwrap().remove(0);
            let own = batch(&hospitals[h]).select(&work.columns).unwrap();
            let lanes = match work.walk.as_deref_mut() {
                Some(w) => walk::rehearsed(w, &own, 1.0).unwrap(),
                None => {
                    let mut lanes = summaries::Lanes::zeros(work.layout().lanes);
                    work.statistic.accumulate(&own, &mut lanes).unwrap();
                    lanes.into_values()
                }
            };
            let factor = liar.filter(|(who, _)| *who == h && round > 0).map_or(1, |(_, f)| f);
            let lanes = lanes.into_iter().map(|v| v.saturating_mul(factor)).collect();
            let part = MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 };
            sites.push(OfSite { site: format!("h-{h}"), round: MergedRound { parts: vec![part], sites: 1 } });
        }
        let mut sum = sites[0].round.clone();
        for s in &sites[1..] {
            let all = sum.parts[0].lanes.iter_mut();
            all.zip(&s.round.parts[0].lanes).for_each(|(a, b)| *a = a.saturating_add(*b));
        }
        match program.next_apart(round, &parameters, &sum, &sites).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(_) => return program.model().unwrap().to_vec(),
        }
        if again {
            let memory = program.memory();
            program = training(setting.clone());
            program.remember(&memory);
        }
    }
}

fn gradient(rows: &Rows, theta: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; 3];
    for (x, y) in rows {
        let eta: f64 = x.iter().zip(theta).map(|(x, t)| x * t).sum();
        let r = y - 1.0 / (1.0 + (-eta).exp());
        out.iter_mut().zip(x).for_each(|(g, x)| *g += r * x / rows.len() as f64);
    }
    out
}

/// The same in plain numbers.
fn plain(setting: &Setting, hospitals: &[Rows]) -> Vec<f64> {
    let local = setting.local.clone().unwrap();
    let mut theta = training(setting.clone()).first();
    let k = hospitals.len();
    let (mut own, mut mean) = (vec![vec![0.0; 3]; k], vec![0.0; 3]);
    let mut ends = vec![theta.clone(); k];
    for round in 0..setting.rounds {
        let eta = local.schedule.rate(round, setting.rounds);
        let asked = if local.turns { vec![round as usize % k] } else { (0..k).collect() };
        let mut way = [0.0; 3];
        let weight = |h: usize| if local.weights == Weights::Patients { hospitals[h].len() as f64 } else { 1.0 };
        let whole: f64 = asked.iter().map(|h| weight(*h)).sum();
        let every: f64 = (0..k).map(weight).sum();
        let before = mean.clone();
        for h in asked {
            let mut x = theta.clone();
            for _ in 0..local.steps {
                let g = gradient(&hospitals[h], &x);
                for j in 0..3 {
                    let pull = local.proximal * (x[j] - theta[j]);
                    x[j] += eta * (g[j] - pull)
                        + match local.control {
                            Control::None => 0.0,
                            Control::Variates => eta * (before[j] - own[h][j]),
                            Control::Ends => (theta[j] - ends[h][j]) / f64::from(local.steps),
                        };
                }
            }
            for j in 0..3 {
                let moved = x[j] - theta[j];
                way[j] += weight(h) / whole * moved;
                let next = own[h][j] - before[j] + moved / (eta * f64::from(local.steps));
                mean[j] += weight(h) / every * (next - own[h][j]);
                own[h][j] = next;
            }
            ends[h] = x;
        }
        let server = setting.schedule.rate(round, setting.rounds);
        theta.iter_mut().zip(way).for_each(|(t, w)| *t += server * w);
    }
    theta
}

#[test]
fn every_strategy_is_the_one_in_plain_numbers() {
    let hospitals = hospitals();
    let base = local(7, 0.5);
    let falling = Schedule { start: 0.5, decay: Decay::InverseTime { factor: 0.3 } };
    let cases = [
        ("averaging", base.clone()),
        ("by hospital", Local { weights: Weights::Hospitals, ..base.clone() }),
        ("proximal", Local { proximal: 0.4, ..base.clone() }),
        ("variates", Local { control: Control::Variates, schedule: falling, ..base.clone() }),
        ("ends", Local { control: Control::Ends, ..base.clone() }),
        ("in turns", Local { turns: true, ..base.clone() }),
    ];
    let mut seen: Vec<Vec<f64>> = Vec::new();
    for (name, local) in cases {
        let setting = setting(6, Some(local));
        let got = run(&setting, &hospitals, false);
        for (a, b) in got.iter().zip(plain(&setting, &hospitals)) {
            assert!((a - b).abs() < 1e-7, "{name}: {a} and not {b}");
        }
        assert!(run(&setting, &hospitals, true) == got, "{name} does not go on from its memory");
        assert!(seen.iter().all(|s| s.iter().zip(&got).any(|(a, b)| (a - b).abs() > 1e-4)), "{name} does nothing");
        seen.push(got);
    }
}

/// One step a round over all patients, weighted by them, is a step along the gradient of all patients together.
#[test]
fn one_step_a_round_is_descent_on_all_patients() {
    let hospitals = hospitals();
    let together: Rows = hospitals.iter().flatten().copied().collect();
    let mut theta = training(setting(1, None)).first();
    for _ in 0..25 {
        let g = gradient(&together, &theta);
        theta.iter_mut().zip(g).for_each(|(t, g)| *t += 0.8 * g);
    }
    let got = run(&setting(25, Some(local(1, 0.8))), &hospitals, false);
    assert!(got.iter().zip(&theta).all(|(a, b)| (a - b).abs() < 1e-7), "{got:?} and not {theta:?}");
}

/// Where hospitals differ, many steps lead averaging astray, and variates back to where all patients together lead.
#[test]
fn variates_correct_the_drift() {
    let hospitals = hospitals();
    let together: Rows = hospitals.iter().flatten().copied().collect();
    let mut best = vec![0.0; 3];
    for _ in 0..5000 {
        let g = gradient(&together, &best);
        best.iter_mut().zip(g).for_each(|(t, g)| *t += 2.0 * g);
    }
    let off = |control: Control| {
        let local = Local { control, weights: Weights::Patients, ..local(30, 0.3) };
        let got = run(&setting(150, Some(local)), &hospitals, false);
        got.iter().zip(&best).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let (drift, corrected) = (off(Control::None), off(Control::Variates));
    assert!(drift > 0.02 && corrected < drift / 4.0, "{drift} and {corrected}");
}

/// An epoch of batches has every patient once, in another order in the next one; and the hospital's optimiser takes its steps.
#[test]
fn batches_go_through_all_patients() {
    let hospitals = hospitals();
    let adam = Optimiser::Adam(Moments { first: 0.9, second: 0.999, tau: 1e-8 });
    let of = |local: Local| {
        let setting = setting(2, Some(local));
        let mut program = training(setting);
        program.at_site("h-1");
        let theta = program.first();
        program.work(1, &theta).unwrap().remove(0).walk.unwrap()
    };
    let mut walk_of = of(Local { batch: Some(8), ..local(16, 0.1) });
    let own = batch(&hospitals[1]);
    let mut epochs: Vec<Vec<usize>> = vec![Vec::new(); 2];
    for step in 0..16 {
        let rows = walk_of.rows(60).unwrap();
        assert_eq!(rows.len(), if step % 8 == 7 { 4 } else { 8 });
        epochs[step / 8].extend(&rows);
        let statistic = walk_of.statistic();
        let mut lanes = summaries::Lanes::zeros(statistic.layout().lanes);
        statistic.accumulate(&own.rows(&rows), &mut lanes).unwrap();
        let sum = MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 };
        walk_of.take(&sum, Some(rows.len()));
    }
    assert!(epochs[0] != epochs[1]);
    for epoch in &mut epochs {
        epoch.sort_unstable();
        assert_eq!(*epoch, (0..60).collect::<Vec<_>>());
    }
    // The first step of Adam is as long as its rate in each parameter.
    let mut walk_of = of(Local { optimiser: adam, ..local(1, 0.1) });
    let lanes = walk::rehearsed(walk_of.as_mut(), &own, 1.0).unwrap();
    let by = 0.1 / 1.0 / walk_of.layout().scale;
    for lane in &lanes[..3] {
        let moved = *lane as f64 * by;
        assert!((moved.abs() - 0.1).abs() < 1e-4, "{moved}");
    }
}

/// Five hospitals that are alike, of which one sends a thousand times the opposite: the mean is lost, the others are not, with local steps and
/// with plain sums; and where nobody lies all of them are near.
#[test]
fn a_liar_moves_no_median() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut one = |_: usize| {
        let (a, b) = (2.0 * uniform(&mut rng) - 1.0, 2.0 * uniform(&mut rng) - 1.0);
        ([1.0, a, b], f64::from(u8::from(1.5 * a - b + normal(&mut rng) > 0.0)))
    };
    let hospitals: Vec<Rows> = (0..5).map(|_| (0..400).map(&mut one).collect()).collect();
    for steps in [None, Some(local(5, 0.2))] {
        let of = |merging: Merging, bound: Option<f64>, liar: Option<(usize, i64)>| {
            let setting = Setting { merging, bound, ..setting(40, steps.clone()) };
            let got = spoilt(&setting, &hospitals, true, liar);
            assert!(got == spoilt(&setting, &hospitals, false, liar), "it does not go on from its memory");
            got
        };
        let honest = of(Merging::Mean, None, None);
        let off = |got: &[f64]| got.iter().zip(&honest).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let lie = Some((2, -1000));
        assert!(off(&of(Merging::Mean, None, lie)) > 1.0);
        for (merging, bound) in [(Merging::Median, None), (Merging::Trimmed(0.2), None)] {
            let (told, calm) = (off(&of(merging, bound, lie)), off(&of(merging, bound, None)));
            assert!(told < 0.25 && calm < 0.25, "{merging:?}: {told} and {calm}");
        }
        let bounded = off(&of(Merging::Mean, Some(0.1), lie));
        assert!(bounded < 1.0, "{bounded}");
    }
}
