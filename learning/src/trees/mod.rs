//! Gradient-boosted trees by histograms: in each round the sites release, for one level of one tree, sums of slopes and curvatures by node, feature
//! and bin; everyone who has the sum comes to the same splits.
//!
//! * `feature`: bins; `forest`: features, outcome and loss; `ensemble`: trees as numbers.
//! * `prior`: the score that trees start from; `histogram`: the statistic of a level; `split`: what is made of it.
//! * `told`: what grown trees say.
//!
//! All patients are in every round, so that a round is one Gaussian mechanism and costs its ρ like any other: T trees of depth D are T·D rounds and one
//! before them. The bins are the plan's, so no patient's value decides where a split may lie.

mod ensemble;
mod feature;
mod forest;
mod histogram;
mod prior;
mod split;
mod told;

use std::sync::Arc;

use summaries::{MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Statistic, Step};

pub use ensemble::{Ensemble, Node};
pub use feature::{Feature, MOST_BINS};
pub use forest::Forest;
pub use histogram::TreeHistogram;
pub use prior::TreePrior;

use crate::training::evaluate::Evaluation;
use crate::training::start::SplitMix64;
use forest::Grown;
use split::Rule;

/// What the first round takes of the charge, beside 1 for all levels.
const COUNTING: f64 = 0.1;
/// What the evaluation takes, where patients are held out.
const EVALUATING: f64 = 0.25;
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

    fn ensemble(&self, round: u32, parameters: &[f64]) -> Result<Ensemble, ProgramError> {
        let read = Ensemble::read(parameters, self.growth.depth, self.forest.features().len());
        let fits = |e: &Ensemble| e.levels == round.saturating_sub(1).min(self.levels());
        let given = parameters.len();
        read.filter(fits).ok_or(ProgramError::Parameters { given, needed: given.max(2) })
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

    fn histogram(&self, trees: &Ensemble) -> Result<TreeHistogram, ProgramError> {
        let asked = self.asked(trees.levels / self.growth.depth);
        TreeHistogram::new(self.forest.clone(), trees.clone(), asked).ok_or(ProgramError::Merged)
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
        for node in 0..histogram.nodes() {
            let place = first + node;
            let above = place.checked_sub(1).map(|p| trees.at(p / 2));
            if !matches!(above, None | Some(Node::Split { .. })) {
                continue;
            }
            let cells = histogram.read(merged, node);
            let ordered = |f: usize| self.forest.features().get(f).is_some_and(Feature::is_ordered);
            let Some(found) = rule.best(&cells, ordered) else {
                trees.put(place, leaf(rule.value(Rule::whole(&cells))));
                continue;
            };
            let split = Node::Split { feature: found.feature, bin: found.bin, missing_left: found.missing_left };
            trees.put(place, split);
            if is_last {
                let [left, right] = found.values.map(leaf);
                trees.put(2 * place + 1, left);
                trees.put(2 * place + 2, right);
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

    fn evaluation(&self, trees: &Ensemble) -> Evaluation<'_> {
        let of = Arc::new(Grown { forest: self.forest.clone(), trees: trees.clone() });
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
            0 => COUNTING * levels,
            r if r <= self.levels() => 1.0,
            _ => EVALUATING * levels,
        }
    }

    fn first(&self) -> Vec<f64> {
        Ensemble::new(0.0, self.growth.depth).numbers()
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

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        if round >= self.rounds() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        let trees = self.ensemble(round, parameters)?;
        if round > self.levels() {
            return Ok(self.evaluation(&trees).work(&self.columns));
        }
        let statistic: Box<dyn Statistic> = match round {
            0 => Box::new(TreePrior(self.forest.clone())),
            _ => Box::new(self.histogram(&trees)?),
        };
        let name = statistic.name().to_owned();
        Ok(vec![PartWork { name, statistic, columns: self.columns.clone(), weight: 1.0, walk: None, rate: None }])
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let mut trees = self.ensemble(round, parameters)?;
        if round > self.levels() {
            let told = self.evaluation(&trees).estimate(&merged.parts, &self.reporting);
            let told = told.ok_or(ProgramError::Merged)?;
            let mut out = self.finish(&trees);
            out.rows.splice(0..0, told.rows);
            out.curves.splice(0..0, told.curves);
            return Ok(Step::Done(out));
        }
        let lanes = self.work(round, parameters)?.first().map_or(0, |w| w.layout().lanes);
        let [release] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        if release.lanes.len() != lanes {
            return Err(ProgramError::Merged);
        }
        if round == 0 {
            (self.patients, trees.base) = TreePrior(self.forest.clone()).read(release);
        } else {
            let histogram = self.histogram(&trees)?;
            self.grow(&mut trees, &histogram, release);
        }
        if round + 1 < self.rounds() {
            return Ok(Step::Continue { round: round + 1, parameters: trees.numbers() });
        }
        Ok(Step::Done(self.finish(&trees)))
    }
}
