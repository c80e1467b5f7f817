//! Trees of several levels, and trees whose bins lie between private quantiles: without noise those of all patients together, whatever the hospitals.
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
use learning::training::Loss;
use learning::trees::{Boosting, Ensemble, Feature, Forest, Growth, Node};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::{Column, Lanes, MergedRelease, MergedRound, PatientBatch, Program, Step};

const N: usize = 600;
const BINS: usize = 6;

/// A skewed number, a category, and one of three levels that goes with both. Every tenth lacks the number.
fn patients(seed: u64) -> PatientBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut a, mut c, mut y) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..N {
        let x = (1.5 * normal(&mut rng)).exp();
        let l = (3.0 * uniform(&mut rng)) as u32;
        let score = x.ln() - f64::from(u8::from(l == 1)) + 0.5 * normal(&mut rng);
        y.push(u32::from(score > -0.8) + u32::from(score > 0.6));
        a.push(if i % 10 == 3 { f64::NAN } else { x });
        c.push(l);
    }
    PatientBatch::new(N, vec![Column::Real(a), Column::Level(c), Column::Level(y)]).unwrap()
}

fn forest(loss: Loss, cut: bool) -> Forest {
    let (name, lower, upper, bins) = ("a".to_owned(), 0.0, 200.0, BINS);
    let number = match cut {
        true => Feature::Cut { name, lower, upper, bins, edges: Vec::new() },
        false => Feature::Real { name, lower, upper, bins },
    };
    let category = Feature::Level { name: "c".into(), levels: ["x", "y", "z"].map(str::to_owned).to_vec() };
    Forest::new(vec![number, category], loss, false).unwrap()
}

fn growth() -> Growth {
    Growth { trees: 4, depth: 2, rate: 0.4, penalty: 1.0, least: 0.3, per_tree: None, seed: 0, thresholds: Vec::new() }
}

fn program(loss: Loss, cut: bool) -> Boosting {
    Boosting::new(forest(loss, cut), growth(), vec![0, 1, 2], reporting()).unwrap()
}

/// The parameters of trees that have grown over sites without noise, the coordinator a new one after each round.
fn run(loss: Loss, cut: bool, sites: &[PatientBatch]) -> Vec<f64> {
    let mut own = program(loss, cut);
    let (mut round, mut parameters) = (0, own.first());
    loop {
        let mut parts = Vec::new();
        for work in own.work(round, &parameters).unwrap() {
            let mut sum = Lanes::zeros(work.layout().lanes);
            for site in sites {
                let mut lanes = Lanes::zeros(sum.len());
                work.statistic.accumulate(&site.select(&work.columns).unwrap(), &mut lanes).unwrap();
                assert!(sum.merge(lanes.values()));
            }
            parts.push(MergedRelease { lanes: sum.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 });
        }
        match own.next(round, &parameters, &MergedRound { parts, sites: 1 }).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(_) => return own.model().unwrap().to_vec(),
        }
        let memory = own.memory();
        own = program(loss, cut);
        own.remember(&memory);
    }
}

fn dealt(batch: &PatientBatch, sites: usize) -> Vec<PatientBatch> {
    (0..sites).map(|s| batch.rows(&(0..N).filter(|i| i % sites == s).collect::<Vec<_>>())).collect()
}

/// A patient's bins of both features, as a plain reader has them.
type Bins = [usize; 2];

fn goes_left(bins: &Bins, feature: usize, bin: usize, missing_left: bool) -> bool {
    match (feature, bins[feature]) {
        (0, BINS) => missing_left,
        (1, own) => own == bin,
        (_, own) => own <= bin,
    }
}

/// Grows a tree in plain numbers, and says what it adds for each patient.
fn grow(tree: &[Node], place: usize, people: &[(usize, Bins, [f64; 2])], depth: u32, out: &mut [f64]) {
    let g = growth();
    let total = |of: &dyn Fn(&Bins) -> bool| {
        people.iter().filter(|p| of(&p.1)).fold([0.0; 2], |[a, b], (_, _, [g, h])| [a + g, b + h])
    };
    let gain = |[a, b]: [f64; 2]| a * a / (b + g.penalty);
    let all = total(&|_| true);
    let mut best = (1e-9, None);
    for (feature, bins) in [(0usize, BINS - 1), (1, 3)] {
        for bin in 0..bins {
            for missing_left in [true, false] {
                let l = total(&|b| goes_left(b, feature, bin, missing_left));
                let r = [all[0] - l[0], all[1] - l[1]];
                let own = gain(l) + gain(r) - gain(all);
                if l[1] >= g.least && r[1] >= g.least && own > best.0 + 1e-9 {
                    best = (own, Some((feature, bin, missing_left)));
                }
            }
        }
    }
    match (best.1.filter(|_| depth > 0), tree[place]) {
        (None, Node::Leaf(value)) => {
            let wanted = g.rate * all[0] / (all[1] + g.penalty);
            assert!((value - wanted).abs() < 1e-7, "{value} and not {wanted}");
            people.iter().for_each(|(i, _, _)| out[*i] += wanted);
        }
        (Some((feature, bin, missing_left)), Node::Split { feature: f, bin: b, missing_left: m }) => {
            assert_eq!((f, b, m), (feature, bin, missing_left));
            let (left, right): (Vec<_>, Vec<_>) =
                people.iter().copied().partition(|p| goes_left(&p.1, feature, bin, missing_left));
            grow(tree, 2 * place + 1, &left, depth - 1, out);
            grow(tree, 2 * place + 2, &right, depth - 1, out);
        }
        (wanted, got) => panic!("{got:?} and not {wanted:?}"),
    }
}

/// The trees are those of all patients together, with these bins of each.
fn is_pooled(trees: &Ensemble, bins: &[Bins], y: &[u32], loss: Loss) {
    let outputs = trees.outputs();
    let softmax = |f: &[f64]| {
        let sum: f64 = f.iter().map(|f| f.exp()).sum();
        f.iter().map(|f| f.exp() / sum).collect::<Vec<f64>>()
    };
    let share = |level: usize| y.iter().filter(|y| **y as usize == level).count() as f64 / y.len() as f64;
    let base: Vec<f64> = match loss {
        Loss::Logistic => vec![(share(1) / (1.0 - share(1))).ln()],
        _ => (0..outputs).map(|level| share(level).ln()).collect(),
    };
    assert!(trees.base.iter().zip(&base).all(|(a, b)| (a - b).abs() < 1e-9), "{:?} and not {base:?}", trees.base);
    let mut scores = vec![base; y.len()];
    for round in trees.trees().chunks(outputs) {
        let mut moves = vec![vec![0.0; y.len()]; outputs];
        for (output, tree) in round.iter().enumerate() {
            let one = |(i, f): (usize, &Vec<f64>)| {
                let (p, is) = match loss {
                    Loss::Logistic => (1.0 / (1.0 + (-f[0]).exp()), y[i] == 1),
                    _ => (softmax(f)[output], y[i] as usize == output),
                };
                (i, bins[i], [f64::from(u8::from(is)) - p, p * (1.0 - p)])
            };
            let people: Vec<_> = scores.iter().enumerate().map(one).collect();
            grow(tree, 0, &people, growth().depth, &mut moves[output]);
        }
        for (output, moves) in moves.iter().enumerate() {
            scores.iter_mut().zip(moves).for_each(|(f, m)| f[output] += m);
        }
    }
}

fn columns(batch: &PatientBatch) -> (&[f64], &[u32], &[u32]) {
    let [Column::Real(a), Column::Level(c), Column::Level(y)] = batch.columns() else { panic!() };
    (a, c, y)
}

#[test]
fn each_level_has_the_trees_of_all_patients_together() {
    let batch = patients(1);
    let loss = Loss::Softmax(3);
    let all: Vec<Vec<f64>> = [1, 2, 5].iter().map(|k| run(loss, false, &dealt(&batch, *k))).collect();
    assert!(all.iter().all(|p| *p == all[0]), "to the last bit");
    let forest = forest(loss, false);
    let trees = Ensemble::read(&all[0], forest.shape(2)).unwrap();
    assert_eq!((trees.outputs(), trees.trees().len()), (3, 12));
    let (a, c, y) = columns(&batch);
    let width = 200.0 / BINS as f64;
    let bin = |x: f64| if x.is_nan() { BINS } else { ((x / width).ceil().max(1.0) as usize - 1).min(BINS - 1) };
    let bins: Vec<Bins> = a.iter().zip(c).map(|(x, l)| [bin(*x), *l as usize]).collect();
    is_pooled(&trees, &bins, y, loss);
    // Probabilities of all levels, of everybody.
    let told = forest.foretell(&trees, &batch.select(&[0, 1]).unwrap()).unwrap();
    assert!(told.iter().all(|p| p.len() == 3 && (p.iter().sum::<f64>() - 1.0).abs() < 1e-12));
}

#[test]
fn bins_lie_between_quantiles_and_trees_are_the_pooled_ones() {
    let batch = patients(2);
    let (a, c, y) = columns(&batch);
    for loss in [Loss::Softmax(3), Loss::Logistic] {
        let yes: Vec<u32> = y.iter().map(|y| if loss == Loss::Logistic { u32::from(*y > 1) } else { *y }).collect();
        let columns = vec![Column::Real(a.to_vec()), Column::Level(c.to_vec()), Column::Level(yes.clone())];
        let batch = PatientBatch::new(N, columns).unwrap();
        let all: Vec<Vec<f64>> = [1, 2, 5].iter().map(|k| run(loss, true, &dealt(&batch, *k))).collect();
        assert!(all.iter().all(|p| *p == all[0]), "to the last bit");
        let forest = forest(loss, true);
        let (forest, numbers) = forest.at(&all[0]).unwrap();
        let edges = &all[0][..BINS - 1];
        // A sixth of those who have it are below each, to a cell of the 1,024 between the bounds.
        let mut known: Vec<f64> = a.iter().copied().filter(|x| !x.is_nan()).collect();
        known.sort_by(f64::total_cmp);
        for (i, edge) in edges.iter().enumerate() {
            let wanted = known[known.len() * (i + 1) / BINS];
            assert!((edge - wanted).abs() < 2.0 * 200.0 / 1024.0, "{edges:?}: {edge} and not {wanted}");
        }
        let bin = |x: f64| if x.is_nan() { BINS } else { edges.iter().filter(|e| **e < x).count() };
        let bins: Vec<Bins> = a.iter().zip(c).map(|(x, l)| [bin(*x), *l as usize]).collect();
        is_pooled(&Ensemble::read(numbers, forest.shape(2)).unwrap(), &bins, &yes, loss);
    }
}

/// Under any noise edges are in order and trees grow to their end; where it drowns the counts, bins are even.
#[test]
fn noise_leaves_edges_in_order() {
    let batch = patients(3);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for noise in [0.5, 20.0, 1e5] {
        let mut own = program(Loss::Softmax(3), true);
        let (mut round, mut parameters) = (0, own.first());
        loop {
            let merged = released(&own, (round, &parameters), &batch, noise, &mut rng);
            match own.next(round, &parameters, &merged).unwrap() {
                Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
                Step::Done(_) => break,
            }
        }
        let edges = &own.model().unwrap()[..BINS - 1];
        assert!(edges.windows(2).all(|w| w[0] <= w[1]) && edges.iter().all(|e| (0.0..=200.0).contains(e)), "{edges:?}");
        if noise > 1e4 {
            assert!(
                edges.iter().enumerate().all(|(i, e)| (e - 200.0 * (i + 1) as f64 / 6.0).abs() < 1e-9),
                "{edges:?}"
            );
        }
        // A round whose edges are out of order is refused.
        let mut bad = parameters.clone();
        bad[0] = 1e9;
        assert!(own.work(round, &bad).is_err());
    }
}

/// What bins cost is a part of the charge that does not grow with their number.
#[test]
fn quantiles_take_a_part_of_the_charge() {
    let (cut, even) = (program(Loss::Logistic, true), program(Loss::Logistic, false));
    assert_eq!((cut.rounds(), even.rounds()), (9, 9));
    assert!((cut.weight(0) - even.weight(0) - 0.15 * 8.0).abs() < 1e-12);
    let parts = cut.work(0, &cut.first()).unwrap();
    assert_eq!(parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["tree_prior", "tree_quantiles"]);
}
