//! Boosted trees: features in bins, growth from its settings.

use learning::training::Loss;
use learning::trees::{Boosting, Ensemble, Feature, Forest, Growth, Node};
use summaries::{PatientBatch, Program, Reporting};

use super::training::horizon;
use super::{bounds, levels, most, shape, yes_no};
use crate::analysis::trees::{EdgesWord, TreeFamily, Trees};
use crate::feature::Shape;
use crate::spec::Study;

/// A split, in the feature's own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The feature's place.
    pub feature: usize,
    /// Left are values up to this; of a category this level.
    pub at: f64,
    /// Whether it is of a category.
    pub is_level: bool,
    /// Whether who lacks the feature goes left.
    pub missing_left: bool,
}

/// An end, and the questions before it, each with whether it lies left of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// What is added to the score.
    pub value: f64,
    /// Places of questions.
    pub path: Vec<(usize, bool)>,
}

/// A tree that has grown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Its splits.
    pub questions: Vec<Question>,
    /// Its ends.
    pub leaves: Vec<Leaf>,
}

/// The score of everyone and the trees, for each of the loss' outputs.
pub type Grown = Vec<(f64, Vec<Tree>)>;

/// The trees of parameters; `None` where they are none.
pub fn grown(t: &Trees, forest: &Forest, parameters: &[f64]) -> Option<Grown> {
    let (forest, numbers) = forest.at(parameters)?;
    let features = forest.features();
    let trees = Ensemble::read(numbers, forest.shape(t.depth))?;
    let of = |nodes: &Vec<Node>| {
        let mut tree = Tree::default();
        let mut open = vec![(0usize, Vec::new())];
        while let Some((place, path)) = open.pop() {
            match *nodes.get(place)? {
                Node::Leaf(value) => tree.leaves.push(Leaf { value, path }),
                Node::Split { feature, bin, missing_left } => {
                    let own = features.get(feature)?;
                    let (at, is_level) = (own.edge(bin), !own.is_ordered());
                    let here = tree.questions.len();
                    tree.questions.push(Question { feature, at, is_level, missing_left });
                    for (next, left) in [(2 * place + 1, true), (2 * place + 2, false)] {
                        open.push((next, path.iter().copied().chain([(here, left)]).collect()));
                    }
                }
                Node::Empty => return None,
            }
        }
        Some(tree)
    };
    let of_output = |(output, base): (usize, &f64)| {
        let own = trees.trees().iter().skip(output).step_by(trees.outputs());
        let own = own.map(of).collect::<Option<Vec<Tree>>>()?;
        (own.len() == t.trees as usize).then_some((*base, own))
    };
    trees.base.iter().enumerate().map(of_output).collect()
}

/// Features and outcome.
///
/// # Errors
/// A feature has no shape that trees can ask for.
pub fn forest(study: &Study, t: &Trees) -> Result<Forest, String> {
    let of = |name: &String| match shape(study, name) {
        Some(Shape::Real { lower, upper }) => {
            let (name, bins) = (name.clone(), t.bins as usize);
            Ok(match t.edges {
                EdgesWord::Even => Feature::Real { name, lower, upper, bins },
                EdgesWord::Quantiles => Feature::Cut { name, lower, upper, bins, edges: Vec::new() },
            })
        }
        Some(Shape::Level { levels }) => Ok(Feature::Level { name: name.clone(), levels }),
        _ => Err(format!("'{name}' is neither a number with bounds nor a category")),
    };
    let features = t.features.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let loss = match t.family {
        TreeFamily::Linear => {
            let (lower, upper) = bounds(study, &t.outcome)?;
            Loss::Squared { lower, upper }
        }
        TreeFamily::Logistic => {
            yes_no(study, &t.outcome)?;
            Loss::Logistic
        }
        TreeFamily::Multinomial => Loss::Softmax(levels(study, &t.outcome)?),
        TreeFamily::Poisson => Loss::Poisson { most: most(study, &t.outcome)? },
        TreeFamily::Hazards => {
            Loss::Hazards { horizon: horizon(study, (&t.outcome, t.event.as_ref()), t.horizon)?, intervals: 1 }
        }
    };
    if let Some(split) = t.holdout.as_ref().and_then(|h| h.feature.as_ref()) {
        yes_no(study, split)?;
    }
    Forest::new(features, loss, t.holdout.is_some()).ok_or_else(|| "the features or the bins do not fit".to_owned())
}

/// The program of boosted trees.
pub(super) fn program(study: &Study, t: &Trees, reporting: Reporting) -> Result<Box<dyn Program>, String> {
    let growth = Growth {
        trees: t.trees,
        depth: t.depth,
        rate: t.learning_rate,
        penalty: t.penalty,
        least: t.least,
        per_tree: t.per_tree.map(|m| m as usize),
        seed: t.seed.unwrap_or(0),
        thresholds: t.holdout.as_ref().map(|h| h.thresholds.clone()).unwrap_or_default(),
    };
    let behind = usize::from(t.event.is_some()) + usize::from(t.holdout.is_some());
    let columns = (0..=t.features.len() + behind).collect();
    let boosting = Boosting::new(forest(study, t)?, growth, columns, reporting);
    Ok(Box::new(boosting.ok_or("the trees, their depth, the rate or the features of a tree are out of range")?))
}

/// What trees of parameters foretell of each patient of a batch with an outcome; of levels one number each.
///
/// # Errors
/// The features, the parameters or the batch do not fit.
pub fn predict(study: &Study, t: &Trees, parameters: &[f64], patients: &PatientBatch) -> Result<Vec<f64>, String> {
    let forest = forest(study, t)?;
    let none = "the parameters are no trees";
    let (forest, numbers) = forest.at(parameters).ok_or(none)?;
    let trees = Ensemble::read(numbers, forest.shape(t.depth)).ok_or(none)?;
    forest.predict(&trees, patients).map_err(|e| e.to_string())
}
