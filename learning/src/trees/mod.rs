//! Gradient-boosted trees by histograms: in each round the sites release, for one level of one tree, sums of slopes and curvatures by node, feature
//! and bin; everyone who has the sum comes to the same splits.
//!
//! * `feature`: bins; `forest`: features, outcome and loss; `ensemble`: trees as numbers.
//! * `prior`: the score that trees start from; `quantile`: where bins lie, where that is learned; `histogram`: the statistic of a level; `split`: what is made of it.
//! * `told`: what grown trees say.
//!
//! All patients are in every round, so that a round is one Gaussian mechanism and costs its ρ like any other: T trees of depth D are T·D rounds and one
//! before them. The bins are the plan's, or
//! lie between quantiles that were told with noise; either way no patient's own value decides where a split may lie.

mod ensemble;
mod feature;
mod forest;
mod histogram;
mod prior;
mod quantile;
mod split;
mod told;

use std::sync::Arc;

use summaries::{MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Statistic, Step};

pub use ensemble::{Ensemble, Node, Shape};
pub use feature::{Feature, MOST_BINS};
pub use forest::Forest;
pub use histogram::TreeHistogram;
pub use prior::TreePrior;
pub use quantile::TreeQuantiles;

use crate::training::evaluate::Evaluation;
use crate::training::start::SplitMix64;
use forest::Grown;
use split::Rule;

/// What the first round takes of the charge, beside 1 for all levels.
const COUNTING: f64 = 0.1;
/// What the evaluation takes, where patients are held out.
const EVALUATING: f64 = 0.25;
/// What the quantiles of all features take together, where bins lie between them.
const CUTTING: f64 = 0.15;
/// No tree is deeper: its last level has 2^(D−1) nodes.
pub const MOST_DEPTH: u32 = 8;
/// No ensemble has more trees.
pub const MOST_TREES: u32 = 2_000;
/// No leaf is farther from 0: a score beyond it says the same.
const FARTHEST: f64 = 20.0;

/// How trees grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// How many.
    pub trees: u32,
    /// Questions one after the other in a tree.
    pub depth: u32,
    /// What of a leaf's value is taken.
    pub rate: f64,
    /// λ, which is added to each sum of curvatures.
    pub penalty: f64,
    /// The least sum of curvatures on either side of a split.
    pub least: f64,
    /// Features that a tree may ask for, chosen by the seed; all where `None`. Fewer are less noise in each.
    pub per_tree: Option<usize>,
    /// Chooses the features of each tree.
    pub seed: u64,
    /// Probabilities from which on a patient counts as yes, for the evaluation.
    pub thresholds: Vec<f64>,
}

/// The rounds of boosted trees.
pub struct Boosting {
    forest: Arc<Forest>,
    growth: Growth,
    columns: Vec<usize>,
    reporting: Reporting,
    patients: [f64; 2],
    /// The gain of each feature's splits.
    importance: Vec<f64>,
    /// The gain of each tree's splits.
    gains: Vec<f64>,
    /// The noise's standard deviation of a slope of one bin, in the last round.
    noise: f64,
    trained: Option<Vec<f64>>,
}

impl Boosting {
    /// `columns` are the places of the features, the outcome, and of who is held out. `None` where a setting is out of range.
    pub fn new(forest: Forest, growth: Growth, columns: Vec<usize>, reporting: Reporting) -> Option<Boosting> {
        let many = (1..=MOST_TREES).contains(&growth.trees) && (1..=MOST_DEPTH).contains(&growth.depth);
        let positive = growth.rate > 0.0 && growth.rate <= 1.0 && growth.penalty >= 0.0 && growth.least >= 0.0;
        let finite = growth.penalty.is_finite() && growth.least.is_finite();
        let per_tree = growth.per_tree.is_none_or(|m| (1..=forest.features().len()).contains(&m));
        (many && positive && finite && per_tree).then(|| Boosting {
            importance: vec![0.0; forest.features().len()],
            gains: Vec::new(),
            patients: [0.0; 2],
            noise: 0.0,
            trained: None,
            forest: Arc::new(forest),
            growth,
            columns,
            reporting,
        })
    }

    /// Rounds of levels.
    fn levels(&self) -> u32 {
        self.growth.trees * self.growth.depth
    }

    /// The forest whose bins lie as the parameters say, and the trees so far. Before the first round nothing is known of either.
    fn ensemble(&self, round: u32, parameters: &[f64]) -> Result<(Arc<Forest>, Ensemble), ProgramError> {
        let frozen = self.forest.frozen_numbers();
        let given = parameters.len();
        let wrong = || ProgramError::Parameters { given, needed: given.max(frozen + 2) };
        let numbers = parameters.get(frozen..).ok_or_else(wrong)?;
        let forest = match self.forest.at(parameters) {
            Some((forest, _)) if frozen > 0 && round > 0 => Arc::new(forest),
            None if round > 0 => return Err(wrong()),
            _ => self.forest.clone(),
        };
        let read = Ensemble::read(numbers, forest.shape(self.growth.depth));
        let fits = |e: &Ensemble| e.levels == round.saturating_sub(1).min(self.levels());
        Ok((forest, read.filter(fits).ok_or_else(wrong)?))
    }

    /// The places of features whose bins lie between quantiles.
    fn cut(&self) -> Vec<usize> {
        (0..self.forest.features().len())
            .filter(|f| self.forest.features().get(*f).is_some_and(|f| f.unknown() > 0))
            .collect()
    }

    /// The statistics of the first round, each with its weight.
    fn first_parts(&self) -> Vec<(Box<dyn Statistic>, f64)> {
        let levels = f64::from(self.levels());
        let cut = self.cut();
        let each = CUTTING * levels / cut.len().max(1) as f64;
        let mut out: Vec<(Box<dyn Statistic>, f64)> =
            vec![(Box::new(TreePrior(self.forest.clone())), COUNTING * levels)];
        let quantiles = cut.into_iter().filter_map(|f| TreeQuantiles::new(self.forest.clone(), f));
        out.extend(quantiles.map(|q| (Box::new(q) as Box<dyn Statistic>, each)));
        out
    }

    /// The features that a tree may ask for.
    fn asked(&self, tree: u32) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.forest.features().len()).collect();
        if let Some(m) = self.growth.per_tree.filter(|m| *m < all.len()) {
            SplitMix64::of(self.growth.seed ^ (u64::from(tree) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .shuffle(&mut all);
            all.truncate(m);
            all.sort_unstable();
        }
        all
    }

    fn histogram(&self, forest: &Arc<Forest>, trees: &Ensemble) -> Result<TreeHistogram, ProgramError> {
        let asked = self.asked(trees.levels / self.growth.depth);
        TreeHistogram::new(forest.clone(), trees.clone(), asked).ok_or(ProgramError::Merged)
    }

    /// Grows a level from its sums.
    fn grow(&mut self, trees: &mut Ensemble, histogram: &TreeHistogram, merged: &MergedRelease) {
        let layout = histogram.layout();
        let variance = merged.variance(&layout) * self.forest.most()[0].powi(2);
        let rule = Rule { penalty: self.growth.penalty, least: self.growth.least, noise: variance };
        self.noise = variance.sqrt();
        let (rate, is_last) = (self.growth.rate, trees.level() + 1 == self.growth.depth);
        let leaf = |value: f64| Node::Leaf((rate * value).clamp(-FARTHEST, FARTHEST));
        if trees.begins_a_tree() {
            trees.plant();
            self.gains.push(0.0);
        }
        let first = histogram.first();
        let all = (0..trees.outputs()).flat_map(|output| (0..histogram.nodes()).map(move |node| (output, node)));
        for (output, node) in all {
            let place = first + node;
            let above = place.checked_sub(1).map(|p| trees.at(output, p / 2));
            if !matches!(above, None | Some(Node::Split { .. })) {
                continue;
            }
            let cells = histogram.read(merged, output, node);
            let ordered = |f: usize| self.forest.features().get(f).is_some_and(Feature::is_ordered);
            let Some(found) = rule.best(&cells, ordered) else {
                trees.put(output, place, leaf(rule.value(Rule::whole(&cells))));
                continue;
            };
            let split = Node::Split { feature: found.feature, bin: found.bin, missing_left: found.missing_left };
            trees.put(output, place, split);
            if is_last {
                let [left, right] = found.values.map(leaf);
                trees.put(output, 2 * place + 1, left);
                trees.put(output, 2 * place + 2, right);
            }
            if let Some(own) = self.importance.get_mut(found.feature) {
                *own += found.gain;
            }
            if let Some(own) = self.gains.last_mut() {
                *own += found.gain;
            }
        }
        trees.levels += 1;
    }

    fn evaluation(&self, forest: &Arc<Forest>, trees: &Ensemble) -> Evaluation<'_> {
        let of = Arc::new(Grown { forest: forest.clone(), trees: trees.clone() });
        Evaluation { of, thresholds: &self.growth.thresholds }
    }

    fn read(&mut self, memory: &[f64]) -> Option<()> {
        let (head, rest) = memory.split_at_checked(3)?;
        let (importance, gains) = rest.split_at_checked(self.importance.len())?;
        let [n, sd, noise] = *head else { return None };
        (self.patients, self.noise) = ([n, sd], noise);
        (self.importance, self.gains) = (importance.to_vec(), gains.to_vec());
        Some(())
    }
}

impl Program for Boosting {
    fn rounds(&self) -> u32 {
        1 + self.levels() + u32::from(self.forest.has_holdout())
    }

    fn weight(&self, round: u32) -> f64 {
        let levels = f64::from(self.levels());
        match round {
            0 => self.first_parts().iter().map(|(_, weight)| weight).sum(),
            r if r <= self.levels() => 1.0,
            _ => EVALUATING * levels,
        }
    }

    fn first(&self) -> Vec<f64> {
        let outputs = self.forest.loss().outputs();
        let trees = Ensemble::new(vec![0.0; outputs], self.growth.depth).numbers();
        [vec![0.0; self.forest.frozen_numbers()], trees].concat()
    }

    fn resumes(&self) -> bool {
        true
    }

    fn memory(&self) -> Vec<f64> {
        let head = [self.patients[0], self.patients[1], self.noise];
        head.iter().chain(&self.importance).chain(&self.gains).copied().collect()
    }

    fn remember(&mut self, memory: &[f64]) {
        let _ = self.read(memory);
    }

    fn progress(&self) -> Vec<summaries::Course> {
        let values = self.gains.iter().map(|g| [*g, 0.0]).collect();
        vec![summaries::Course { name: "gain".to_owned(), values }]
    }

    fn model(&self) -> Option<&[f64]> {
        self.trained.as_deref()
    }

    /// How good the trees are at one hospital.
    fn own(&self, _: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<summaries::Estimate> {
        let (forest, trees) = self.ensemble(round, parameters).ok().filter(|_| round > self.levels())?;
        let told = self.evaluation(&forest, &trees).estimate(&release.parts, &self.reporting)?;
        Some(summaries::Estimate { rows: told.rows, curves: Vec::new() })
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        if round >= self.rounds() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        let (forest, trees) = self.ensemble(round, parameters)?;
        if round > self.levels() {
            return Ok(self.evaluation(&forest, &trees).work(&self.columns));
        }
        let part = |statistic: Box<dyn Statistic>, weight: f64| {
            let name = statistic.name().to_owned();
            PartWork { name, statistic, columns: self.columns.clone(), weight, walk: None, rate: None }
        };
        if round == 0 {
            let parts = self.first_parts();
            let alone = parts.len() == 1;
            return Ok(parts.into_iter().map(|(s, weight)| part(s, if alone { 1.0 } else { weight })).collect());
        }
        Ok(vec![part(Box::new(self.histogram(&forest, &trees)?), 1.0)])
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let (forest, mut trees) = self.ensemble(round, parameters)?;
        let mut frozen = parameters.get(..self.forest.frozen_numbers()).unwrap_or_default().to_vec();
        if round > self.levels() {
            let told = self.evaluation(&forest, &trees).estimate(&merged.parts, &self.reporting);
            let told = told.ok_or(ProgramError::Merged)?;
            let mut out = self.finish(&frozen, &trees);
            out.rows.splice(0..0, told.rows);
            out.curves.splice(0..0, told.curves);
            return Ok(Step::Done(out));
        }
        let work = self.work(round, parameters)?;
        let fits = |(work, part): (&PartWork, &MergedRelease)| part.lanes.len() == work.layout().lanes;
        if work.len() != merged.parts.len() || !work.iter().zip(&merged.parts).all(fits) {
            return Err(ProgramError::Merged);
        }
        let [release, quantiles @ ..] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        if round == 0 {
            (self.patients, trees.base) = TreePrior(self.forest.clone()).read(release);
            let cut = self.cut().into_iter().filter_map(|f| TreeQuantiles::new(self.forest.clone(), f));
            frozen = cut.zip(quantiles).flat_map(|(q, own)| q.read(own)).collect();
        } else {
            let histogram = self.histogram(&forest, &trees)?;
            self.grow(&mut trees, &histogram, release);
        }
        if round + 1 < self.rounds() {
            return Ok(Step::Continue { round: round + 1, parameters: [frozen, trees.numbers()].concat() });
        }
        Ok(Step::Done(self.finish(&frozen, &trees)))
    }
}
