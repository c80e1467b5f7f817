//! Every statistic of this room at several coefficients, among them ones that no sane model has, and at several clips: so that each is
//! fuzzed for its sensitivity and its noise by being listed.

use std::sync::Arc;

use summaries::Statistic;
use summaries::survival::Grid;

use crate::cox::{Model, RiskSums, Ties};
use crate::design::{Design, Term};
use crate::dispersion::Dispersion;
use crate::family::Family;
use crate::likelihood::Likelihood;
use crate::linear::Linear;
use crate::negative_binomial::SizeScore;
use crate::newton::{Curvature, Gradient};
use crate::piecewise::{HazardCurvature, HazardGradient, Intervals, PersonTime};
use crate::scores::ScoreHistogram;
use crate::spline::Basis;
use crate::training::evaluate::concordance::TestConcordance;
use crate::training::evaluate::confusion::TestConfusion;
use crate::training::evaluate::loss::TestLoss;
use crate::training::evaluate::scores::TestScores;
use crate::training::{
    Activation, ClippedGradient, Columns, Complete, Learned, Loss, Missing, Model as Trained, Network,
};
use crate::trees::{Ensemble, Feature, Forest, TreeHistogram, TreePrior, TreeQuantiles};
use crate::weighting::{Balance, Kind, Outcome, Scores, Strata, Weighted};

/// A statistic, and what tells its instances apart.
pub struct Example {
    /// What it is at.
    pub label: String,
    /// The statistic.
    pub statistic: Box<dyn Statistic>,
}

fn design() -> Design {
    Design::new(vec![
        Term::Real { name: "a".into(), lower: -3.0, upper: 7.0 },
        Term::Level { name: "b".into(), levels: vec!["x".into(), "y".into(), "z".into()] },
        Term::Real { name: "c".into(), lower: 0.0, upper: 100.0 },
    ])
}

/// As many columns as the others, with a spline and an interaction.
fn bent() -> Option<Design> {
    let basis = Basis::new(-3.0, 7.0, &[-1.0, 2.0, 5.0])?;
    let level = Term::Level { name: "b".into(), levels: vec!["x".into(), "y".into()] };
    Some(Design::new(vec![Term::Spline { name: "a".into(), basis }, level]).with_interactions(vec![(0, 1)]))
}

fn counts(exposure: bool) -> Family {
    Family::Poisson { most: 12.0, exposure }
}

fn sized(exposure: bool, size: f64) -> Family {
    Family::NegativeBinomial { most: 12.0, exposure, size }
}

/// What generalised linear models release, with an offset and weights or without.
fn of_a_likelihood(out: &mut Vec<Box<dyn Statistic>>, design: &Design, theta: &[f64], beside: bool) {
    let sizes = [sized(false, 1e-5), sized(true, 0.7), sized(true, 1e5)];
    let families = [Family::Logistic, counts(false), counts(true), Family::Gamma];
    let plain = families.into_iter().chain(sizes).map(Likelihood::from).collect::<Vec<_>>();
    let more = plain.iter().map(|l| Likelihood { offset: Some([-2.0, 3.0]), weights: Some(20.0), ..*l });
    let all: Vec<Likelihood> = if beside { more.collect() } else { plain };
    for of in all {
        out.push(Box::new(Gradient::new(design.clone(), of, theta.to_vec())));
        out.push(Box::new(Curvature::new(design.clone(), of, theta.to_vec())));
        out.push(Box::new(Dispersion::new(design.clone(), of, theta.to_vec())));
        out.extend(SizeScore::new(design.clone(), of, theta.to_vec()).map(|s| Box::new(s) as Box<dyn Statistic>));
        if of.family == Family::Logistic {
            out.push(Box::new(ScoreHistogram::new(design.clone(), theta.to_vec()).of(of)));
        }
    }
    let linear = Linear::new(design.clone(), 0.0, 12.0).map(|l| l.weighted(beside.then_some(20.0)));
    out.extend(linear.map(|l| Box::new(l) as Box<dyn Statistic>));
}

/// What a propensity analysis releases at its scores.
fn of_scores(out: &mut Vec<Box<dyn Statistic>>, design: &Design, theta: &[f64]) {
    for (kind, cap) in [(Kind::Ate, 1.0), (Kind::Ate, 10.0), (Kind::Att, 10.0)] {
        let scores = Scores { design: design.clone(), theta: theta.to_vec(), kind, cap };
        out.push(Box::new(Balance::new(scores.clone())));
        for outcome in [Outcome::Number([-3.0, 7.0]), Outcome::YesNo] {
            out.push(Box::new(Weighted::new(scores.clone(), outcome)));
            out.push(Box::new(Strata::new(scores.clone(), outcome, vec![0.3, 0.6])));
        }
    }
}

/// What trainings release, of linear models and of networks, at clips that cut few and many.
fn of_training(out: &mut Vec<Box<dyn Statistic>>, design: &Design, theta: &[f64]) {
    let losses =
        [Loss::Squared { lower: 0.0, upper: 12.0 }, Loss::Logistic, Loss::Softmax(3), Loss::Poisson { most: 12.0 }];
    let hazards = [1, 4].map(|intervals| Loss::Hazards { horizon: 9.0, intervals });
    for loss in losses.into_iter().chain(hazards) {
        for (hidden, activation, clip) in
            [(vec![], Activation::Tanh, 0.3), (vec![3], Activation::Tanh, 4.0), (vec![2, 2], Activation::Relu, 1.0)]
        {
            let design = design.clone().without_intercept();
            let network = Network::new(design.width(), &hidden, loss.outputs(), activation);
            let Some(model) = network.and_then(|n| Trained::new(design, n, loss)) else { continue };
            let theta: Vec<f64> = theta.iter().copied().cycle().take(model.network().parameters()).collect();
            let held = model.clone().with_holdout();
            for model in [&model, &held] {
                out.push(Box::new(Complete(model.clone())));
            }
            out.extend(
                ClippedGradient::new(held.clone(), theta.clone(), clip).map(|s| Box::new(s) as Box<dyn Statistic>),
            );
            out.extend(TestLoss::new(held.clone(), theta.clone()).map(|s| Box::new(s) as Box<dyn Statistic>));
            out.extend(TestConfusion::new(held.clone(), theta.clone()).map(|s| Box::new(s) as Box<dyn Statistic>));
            let times = TestConcordance::new(held.clone(), theta.clone());
            out.extend(times.map(|s| Box::new(s) as Box<dyn Statistic>));
            let scores = TestScores::new(held, theta.clone(), vec![0.5]);
            out.extend(scores.map(|s| Box::new(s) as Box<dyn Statistic>));
            out.extend(ClippedGradient::new(model, theta, clip).map(|s| Box::new(s) as Box<dyn Statistic>));
        }
    }
}

/// What trainings release whose columns are prepared by what was released before: its moments, and gradients where it says whatever it says.
fn of_preparations(out: &mut Vec<Box<dyn Statistic>>, design: &Design, theta: &[f64]) {
    for (moments, missing) in
        [(true, Missing::Drop), (false, Missing::Mean), (true, Missing::Mean), (true, Missing::Indicator)]
    {
        let design = design.clone().without_intercept();
        let indicators = if missing == Missing::Indicator { design.inputs().len() } else { 0 };
        let network = Network::new(design.width() + indicators, &[], 1, Activation::Tanh);
        let learned = Learned { moments, missing, share: 0.1 };
        let made = network.and_then(|n| Trained::learning(design, n, Loss::Logistic, Some(learned)));
        for model in made.iter().flat_map(|m| [m.clone(), m.clone().with_holdout()]) {
            out.extend(Columns::new(model.clone()).map(|c| Box::new(c) as Box<dyn Statistic>));
            let (d, frozen) = (model.network().parameters(), model.frozen_numbers());
            let own: Vec<f64> = theta.iter().copied().cycle().take(d).collect();
            for pair in [[0.25, 7.0], [-1e300, 1e300]] {
                let numbers: Vec<f64> = pair.iter().copied().cycle().take(frozen).collect();
                let gradient = model.at(&numbers).and_then(|(m, _)| ClippedGradient::new(m, own.clone(), 0.7));
                out.extend(gradient.map(|g| Box::new(g) as Box<dyn Statistic>));
            }
        }
    }
}

/// What boosted trees release: of a new tree, and within one; of one feature and of all.
fn of_trees(out: &mut Vec<Box<dyn Statistic>>, theta: &[f64]) {
    let cut = || Feature::Cut { name: "c".into(), lower: 0.0, upper: 100.0, bins: 4, edges: Vec::new() };
    let features = |is_cut: bool| {
        let mut out = vec![
            Feature::Real { name: "a".into(), lower: -3.0, upper: 7.0, bins: 5 },
            Feature::Level { name: "b".into(), levels: vec!["x".into(), "y".into(), "z".into()] },
            Feature::Real { name: "c".into(), lower: 0.0, upper: 100.0, bins: 3 },
        ];
        if is_cut {
            out.pop();
            out.push(cut());
        }
        out
    };
    let values: Vec<f64> = theta.iter().map(|t| t.clamp(-1e300, 1e300)).collect();
    let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
    // One tree of depth 1 and the first level of another's two.
    let split = [2.0, 1.0, 3.0, 0.0];
    let whole = |forest: &Forest, depth_one: bool| {
        let shape = forest.shape(if depth_one { 1 } else { 2 });
        let mut numbers: Vec<f64> = (0..shape.outputs).map(at).collect();
        numbers.push(1.0);
        for _ in 0..shape.outputs {
            let nodes = [split, [1.0, 0.0, 0.0, at(1)], [1.0, 0.0, 0.0, at(2)]];
            numbers.extend(nodes.iter().flatten().filter(|_| depth_one));
            if !depth_one {
                numbers.extend(split.iter().chain(&[0.0; 24]));
            }
        }
        Ensemble::read(&numbers, shape)
    };
    let hazards = Loss::Hazards { horizon: 9.0, intervals: 1 };
    let losses = [Loss::Squared { lower: 0.0, upper: 12.0 }, Loss::Logistic, Loss::Poisson { most: 12.0 }, hazards];
    for loss in losses.into_iter().chain([2, 3, 5].map(Loss::Softmax)) {
        for holdout in [false, true] {
            let Some(forest) = Forest::new(features(holdout), loss, holdout) else { continue };
            // The edges as something told them.
            let edges = [-5.0, 20.0, 20.0];
            let Some((forest, _)) = forest.at(edges.get(..forest.frozen_numbers()).unwrap_or_default()) else {
                continue;
            };
            let forest = Arc::new(forest);
            out.push(Box::new(TreePrior(forest.clone())));
            out.extend(TreeQuantiles::new(forest.clone(), 2).map(|q| Box::new(q) as Box<dyn Statistic>));
            let whole = |depth_one| whole(&forest, depth_one);
            for (trees, asked) in [(whole(true), vec![0, 1, 2]), (whole(false), vec![1]), (whole(false), vec![0, 2])] {
                let made = trees.and_then(|t| TreeHistogram::new(forest.clone(), t, asked));
                out.extend(made.map(|h| Box::new(h) as Box<dyn Statistic>));
            }
        }
    }
}

/// What models of time release.
fn of_time(out: &mut Vec<Box<dyn Statistic>>, design: &Design, theta: &[f64]) {
    let Some(grid) = Grid::new(1.0, 12.0) else { return };
    for strata in [None, Some(2)] {
        let design = design.clone().without_intercept();
        let model = Model { design, grid, strata, ties: Ties::Efron, cap: 5.0 };
        out.push(Box::new(RiskSums::new(model, theta.to_vec())));
    }
    for cap in [1.0, 3.0] {
        let Some(model) = Intervals::new(design.clone(), vec![2.0, 10.0], cap) else { return };
        let theta: Vec<f64> = theta.iter().chain(&[0.3]).copied().collect();
        out.push(Box::new(PersonTime::new(model.clone())));
        out.push(Box::new(HazardGradient::new(model.clone(), theta.clone())));
        out.push(Box::new(HazardCurvature::new(model, theta)));
    }
}

/// Examples of each statistic of this room.
pub fn examples() -> Vec<Example> {
    let thetas: [(&str, [f64; 5]); 4] = [
        ("zero", [0.0; 5]),
        ("usual", [-0.7, 1.3, 0.2, -2.0, 0.4]),
        ("steep", [-900.0, 900.0, -900.0, 900.0, -900.0]),
        ("absurd", [1e308, -1e308, 1e308, -1e308, 1e308]),
    ];
    let mut out = Vec::new();
    for (name, theta) in thetas {
        for clip in [None, Some(1.5), Some(1e-3)] {
            let mut own = Vec::new();
            of_a_likelihood(&mut own, &design().clipped(clip), &theta, false);
            if let Some(bent) = bent().filter(|_| clip.is_none()) {
                let long: Vec<f64> = theta.iter().chain([&0.5]).copied().collect();
                of_a_likelihood(&mut own, &bent, &long, true);
            }
            if clip.is_none() {
                of_time(&mut own, &design(), &theta);
                of_scores(&mut own, &design(), &theta);
                of_training(&mut own, &design(), &theta);
                for design in std::iter::once(design()).chain(bent()) {
                    of_preparations(&mut own, &design, &theta);
                }
                of_trees(&mut own, &theta);
            }
            out.extend(own.into_iter().map(|statistic| Example {
                label: format!("{} at {name} coefficients, clip {clip:?}", statistic.name()),
                statistic,
            }));
        }
    }
    out
}
