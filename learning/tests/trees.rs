//! Boosted trees against the same trees grown in plain numbers over all patients together, whatever the number of sites; and under noise.
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
use learning::training::Loss;
use learning::trees::{Boosting, Ensemble, Feature, Forest, Growth, Node, Shape};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{Column, Lanes, MergedRelease, MergedRound, PatientBatch, Program, Step};

const LOSSES: [Loss; 4] = [
    Loss::Logistic,
    Loss::Squared { lower: -4.0, upper: 4.0 },
    Loss::Poisson { most: 9.0 },
    Loss::Hazards { horizon: 5.0, intervals: 1 },
];

fn features() -> Vec<Feature> {
    vec![
        Feature::Real { name: "a".into(), lower: -1.0, upper: 1.0, bins: 8 },
        Feature::Level { name: "c".into(), levels: vec!["x".into(), "y".into(), "z".into()] },
        Feature::Real { name: "b".into(), lower: 0.0, upper: 10.0, bins: 5 },
    ]
}

/// A patient's bins, as a plain reader has them, and the outcome in the loss' scale.
struct Person {
    bins: [usize; 3],
    y: f64,
}

fn patients(loss: Loss, n: usize, seed: u64) -> (PatientBatch, Vec<Person>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut a, mut c, mut b, mut yes, mut real) = (vec![], vec![], vec![], vec![], vec![]);
    let mut events = Vec::new();
    let mut people = Vec::new();
    for _ in 0..n {
        let (x, l, z) = (2.4 * uniform(&mut rng) - 1.2, (3.0 * uniform(&mut rng)) as u32, 10.0 * uniform(&mut rng));
        let lacks = uniform(&mut rng) < 0.1;
        let eta = if lacks { 1.0 } else { 1.5 * (x * z / 5.0) } - f64::from(u8::from(l == 1)) + 0.3 * normal(&mut rng);
        let y = match loss {
            Loss::Poisson { .. } => (eta.exp() * uniform(&mut rng) * 2.0).floor().min(9.0),
            Loss::Logistic => f64::from(u8::from(eta > 0.2)),
            Loss::Hazards { .. } => -4.0 * uniform(&mut rng).ln() * (-eta).exp(),
            _ => eta.clamp(-4.0, 4.0),
        };
        let of = |x: f64, low: f64, width: f64, bins: usize| {
            (((x - low) / width).ceil().max(1.0) as usize - 1).min(bins - 1)
        };
        let first = if lacks { 8 } else { of(x, -1.0, 0.25, 8) };
        let event = uniform(&mut rng) < 0.8;
        let scaled = match loss {
            Loss::Squared { .. } => y / 4.0,
            Loss::Hazards { .. } if !event => -y,
            _ => y,
        };
        events.push(u32::from(event));
        people.push(Person { bins: [first, l as usize, of(z, 0.0, 2.0, 5)], y: scaled });
        a.push(if lacks { f64::NAN } else { x });
        c.push(l);
        b.push(z);
        yes.push(y as u32);
        real.push(y);
    }
    let outcome = if loss == Loss::Logistic { Column::Level(yes) } else { Column::Real(real) };
    let mut columns = vec![Column::Real(a), Column::Level(c), Column::Real(b), outcome];
    if matches!(loss, Loss::Hazards { .. }) {
        columns.push(Column::Level(events));
    }
    (PatientBatch::new(n, columns).unwrap(), people)
}

fn shape(depth: u32) -> Shape {
    Shape { depth, features: 3, outputs: 1 }
}

fn growth(trees: u32, depth: u32) -> Growth {
    Growth { trees, depth, rate: 0.4, penalty: 1.0, least: 0.5, per_tree: None, seed: 0, thresholds: Vec::new() }
}

/// Runs the rounds over sites; with `again` the coordinator is a new one after each. `noise` in units of a patient's most.
fn run(loss: Loss, growth: &Growth, sites: &[PatientBatch], again: bool, noise: f64) -> Ensemble {
    let made = || {
        let forest = Forest::new(features(), loss, false).unwrap();
        let columns = if matches!(loss, Loss::Hazards { .. }) { (0..5).collect() } else { (0..4).collect() };
        Boosting::new(forest, growth.clone(), columns, reporting()).unwrap()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    let mut program = made();
    let (mut round, mut parameters) = (0, program.first());
    loop {
        let work = program.work(round, &parameters).unwrap().remove(0);
        let mut sum = Lanes::zeros(work.layout().lanes);
        for site in sites {
            let mut own = Lanes::zeros(sum.len());
            work.statistic.accumulate(&site.select(&work.columns).unwrap(), &mut own).unwrap();
            assert!(sum.merge(own.values()));
        }
        let sigma = noise * work.sensitivity().l2;
        let lanes = sum.into_values().into_iter().map(|v| v + (sigma * normal(&mut rng)) as i64).collect();
        let part = MergedRelease { lanes, noise_variance: sigma * sigma, unit: 1.0, sites: 1, shared: 1 };
        match program.next(round, &parameters, &MergedRound { parts: vec![part], sites: 1 }).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(e) => {
                assert!(e.rows.iter().any(|r| r.statistic == "share of gain"));
                return Ensemble::read(program.model().unwrap(), shape(growth.depth)).unwrap();
            }
        }
        if again {
            let memory = program.memory();
            program = made();
            program.remember(&memory);
        }
    }
}

/// A tree in plain numbers.
enum Plain {
    Leaf(f64),
    Split { feature: usize, bin: usize, missing_left: bool, below: Box<[Plain; 2]> },
}

fn left(p: &Person, feature: usize, bin: usize, missing_left: bool) -> bool {
    match (feature, p.bins[feature]) {
        (0, 8) => missing_left,
        (1, own) => own == bin,
        (_, own) => own <= bin,
    }
}

fn grow(people: &[(&Person, f64, f64)], g: &Growth, depth: u32) -> Plain {
    let sum = |of: &dyn Fn(&Person) -> bool| {
        people.iter().filter(|(p, _, _)| of(p)).fold((0.0, 0.0), |(a, b), (_, g, h)| (a + g, b + h))
    };
    let square = |(a, b): (f64, f64)| a * a / (b + g.penalty);
    let value = |(a, b): (f64, f64)| g.rate * a / (b + g.penalty);
    let all = sum(&|_| true);
    let mut best = (1e-9, None);
    for (feature, bins) in [(0usize, 7usize), (1, 3), (2, 4)] {
        for bin in 0..bins {
            for missing_left in [true, false] {
                let l = sum(&|p| left(p, feature, bin, missing_left));
                let r = (all.0 - l.0, all.1 - l.1);
                if l.1 < g.least || r.1 < g.least {
                    continue;
                }
                let gain = square(l) + square(r) - square(all);
                if gain > best.0 + 1e-9 {
                    best = (gain, Some((feature, bin, missing_left, value(l), value(r))));
                }
            }
        }
    }
    match best.1 {
        Some((feature, bin, missing_left, a, b)) => {
            let (one, two): (Vec<_>, Vec<_>) =
                people.iter().copied().partition(|(p, _, _)| left(p, feature, bin, missing_left));
            let below = if depth == 1 {
                [Plain::Leaf(a), Plain::Leaf(b)]
            } else {
                [grow(&one, g, depth - 1), grow(&two, g, depth - 1)]
            };
            Plain::Split { feature, bin, missing_left, below: Box::new(below) }
        }
        None => Plain::Leaf(value(all)),
    }
}

fn says(tree: &Plain, p: &Person) -> f64 {
    match tree {
        Plain::Leaf(v) => *v,
        Plain::Split { feature, bin, missing_left, below } => {
            says(&below[usize::from(!left(p, *feature, *bin, *missing_left))], p)
        }
    }
}

/// That the tree with numbers at a place is the plain one.
fn same(tree: &[Node], place: usize, plain: &Plain) {
    match (tree[place], plain) {
        (Node::Leaf(a), Plain::Leaf(b)) => assert!((a - b).abs() < 1e-9, "{a} and not {b}"),
        (Node::Split { feature: f, bin: b, missing_left: m }, Plain::Split { feature, bin, missing_left, below }) => {
            assert_eq!((f, b, m), (*feature, *bin, *missing_left), "at {place}");
            same(tree, 2 * place + 1, &below[0]);
            same(tree, 2 * place + 2, &below[1]);
        }
        (node, _) => panic!("{node:?} at {place}"),
    }
}

/// Over 1, 2 and 5 sites the trees are the same to the last bit, and those of all patients in plain numbers: the same splits, leaves to 1e-9.
#[test]
fn trees_are_those_of_all_patients_together() {
    let g = growth(6, 3);
    for loss in LOSSES {
        let (batch, people) = patients(loss, 700, 3);
        let dealt = |k: usize| -> Vec<PatientBatch> {
            (0..k).map(|s| batch.rows(&(0..700).filter(|i| i % k == s).collect::<Vec<_>>())).collect()
        };
        let got = run(loss, &g, &dealt(1), false, 0.0);
        assert!([2, 5].iter().all(|k| run(loss, &g, &dealt(*k), true, 0.0) == got), "{loss:?}");
        let n = people.len() as f64;
        let mean = people.iter().map(|p| p.y).sum::<f64>() / n;
        // Of times: horizons at risk, and events before it.
        let at_risk = |p: &Person| (f64::from(u8::from(p.y > 0.0 && p.y < 5.0)), p.y.abs().min(5.0) / 5.0);
        let base = match loss {
            Loss::Hazards { .. } => {
                let sums = people.iter().map(at_risk).fold((0.0, 0.0), |(a, b), (d, t)| (a + d, b + t));
                (sums.0 / sums.1).ln()
            }
            Loss::Logistic => (mean / (1.0 - mean)).ln(),
            Loss::Poisson { .. } => mean.ln(),
            _ => mean,
        };
        assert!((got.base[0] - base).abs() < 1e-9, "{:?} and not {base}", got.base);
        let mut scores = vec![base; people.len()];
        for tree in got.trees() {
            let slopes = |(p, f): (&Person, &f64)| match loss {
                Loss::Logistic => {
                    let q = 1.0 / (1.0 + (-f).exp());
                    (p.y - q, q * (1.0 - q))
                }
                Loss::Poisson { most } => (p.y - f.exp().min(most), f.exp().min(most)),
                Loss::Hazards { .. } => {
                    let (d, t) = at_risk(p);
                    let t = if d > 0.0 { t.max(1e-3) } else { t };
                    (d - t * f.exp().min(4.0), t * f.exp().min(4.0))
                }
                _ => (p.y - f, 1.0),
            };
            let with: Vec<_> = people.iter().zip(&scores).map(|(p, f)| (p, slopes((p, f)))).collect();
            let with: Vec<_> = with.into_iter().map(|(p, (g, h))| (p, g, h)).collect();
            let plain = grow(&with, &g, 3);
            same(tree, 0, &plain);
            scores.iter_mut().zip(&people).for_each(|(f, p)| *f += says(&plain, p));
        }
        // What it foretells is what the scores mean.
        let forest = Forest::new(features(), loss, false).unwrap();
        let told = forest.predict(&got, &batch).unwrap();
        for (t, f) in told.iter().zip(&scores) {
            let wanted = loss.predict(&[*f])[0];
            assert!((t - wanted).abs() < 1e-7, "{t} and not {wanted}");
        }
    }
}

fn error(trees: &Ensemble, seed: u64) -> f64 {
    let (batch, people) = patients(Loss::Logistic, 4000, seed);
    let forest = Forest::new(features(), Loss::Logistic, false).unwrap();
    let told = forest.predict(trees, &batch).unwrap();
    let wrong = told.iter().zip(&people).filter(|(t, p)| (**t > 0.5) != (p.y > 0.5)).count();
    wrong as f64 / people.len() as f64
}

/// Trees tell new patients what no single split does; with little noise hardly worse, and with much of it they make few splits.
#[test]
fn noise_makes_trees_worse_and_fewer_splits() {
    let (batch, _) = patients(Loss::Logistic, 6000, 5);
    let of = |g: &Growth, noise: f64| run(Loss::Logistic, g, std::slice::from_ref(&batch), false, noise);
    let splits = |e: &Ensemble| e.trees().iter().flatten().filter(|n| matches!(n, Node::Split { .. })).count();
    let deep = growth(12, 3);
    let (stump, exact, noisy, loud) = (of(&growth(1, 1), 0.0), of(&deep, 0.0), of(&deep, 3.0), of(&deep, 3000.0));
    let errors = [&stump, &exact, &noisy].map(|e| error(e, 6));
    assert!(errors[1] < errors[0] - 0.05 && errors[2] < errors[0] && errors[2] >= errors[1] - 0.01, "{errors:?}");
    assert!(splits(&loud) < splits(&exact), "{} of {}", splits(&loud), splits(&exact));
}

/// A tree asks for no more features than it may, other trees for others, and everybody chooses the same.
#[test]
fn a_tree_asks_for_few_features() {
    let (batch, _) = patients(Loss::Logistic, 700, 8);
    let g = Growth { per_tree: Some(1), seed: 5, ..growth(12, 3) };
    let got = run(Loss::Logistic, &g, std::slice::from_ref(&batch), true, 0.0);
    let mut all = std::collections::BTreeSet::new();
    for tree in got.trees() {
        let asked: std::collections::BTreeSet<usize> = tree
            .iter()
            .filter_map(|n| if let Node::Split { feature, .. } = n { Some(*feature) } else { None })
            .collect();
        assert!(asked.len() <= 1, "{asked:?}");
        all.extend(asked);
    }
    assert_eq!(all.len(), 3);
}
