//! Boosted trees as numbers: what a round's parameters are.
//!
//! A tree of depth D has a place for each of its 2^(D+1) − 1 nodes, the root first, the two below place i at 2i + 1 and 2i + 2. A place has four
//! numbers: what is there (0 nothing, 1 a leaf, 2 a split), the feature, the bin, doubled, plus 1 where who lacks the feature goes left,
//! and the leaf's value. In front stand the score of everyone and how many levels have grown.

/// Numbers of a place.
const NUMBERS: usize = 4;
/// Numbers in front.
const HEAD: usize = 2;

/// What is at a place of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Node {
    /// Nothing: no patient comes here.
    #[default]
    Empty,
    /// An end: what is added to the score.
    Leaf(f64),
    /// A question.
    Split {
        /// The feature.
        feature: usize,
        /// The bin: left are those up to it, of a category those in it.
        bin: usize,
        /// Whether who lacks the feature goes left.
        missing_left: bool,
    },
}

/// All trees so far, the last of which may be growing.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The score of everyone.
    pub base: f64,
    /// Levels that have grown, over all trees.
    pub levels: u32,
    /// Depth of each tree.
    depth: u32,
    /// The trees' nodes.
    trees: Vec<Vec<Node>>,
}

/// Places of a tree.
fn places(depth: u32) -> usize {
    (2usize << depth) - 1
}

impl Ensemble {
    /// Without a tree.
    pub fn new(base: f64, depth: u32) -> Ensemble {
        Ensemble { base, levels: 0, depth, trees: Vec::new() }
    }

    /// The trees' nodes.
    pub fn trees(&self) -> &[Vec<Node>] {
        &self.trees
    }

    /// Whether the next level is a new tree's first.
    pub fn begins_a_tree(&self) -> bool {
        self.levels.is_multiple_of(self.depth)
    }

    /// The level that grows next, from 0.
    pub fn level(&self) -> u32 {
        self.levels % self.depth
    }

    /// As numbers.
    pub fn numbers(&self) -> Vec<f64> {
        let mut out = vec![self.base, f64::from(self.levels)];
        for node in self.trees.iter().flatten() {
            out.extend(match node {
                Node::Empty => [0.0; NUMBERS],
                Node::Leaf(value) => [1.0, 0.0, 0.0, *value],
                Node::Split { feature, bin, missing_left } => {
                    [2.0, *feature as f64, (2 * bin + usize::from(*missing_left)) as f64, 0.0]
                }
            });
        }
        out
    }

    /// From numbers; `None` where they are no ensemble of that depth over so many features.
    pub fn read(numbers: &[f64], depth: u32, features: usize) -> Option<Ensemble> {
        let (head, rest) = numbers.split_at_checked(HEAD)?;
        let [base, levels] = *head else { return None };
        let whole = |x: f64, most: f64| (x >= 0.0 && x <= most && x.fract() == 0.0).then_some(x as usize);
        let per_tree = places(depth) * NUMBERS;
        let levels = whole(levels, 1e6)?;
        let fits = depth > 0
            && rest.len().is_multiple_of(per_tree)
            && rest.len() / per_tree == levels.div_ceil(depth as usize);
        if !fits || !numbers.iter().all(|x| x.is_finite()) {
            return None;
        }
        let node = |n: &[f64]| match *n {
            [1.0, _, _, value] => Some(Node::Leaf(value)),
            [2.0, feature, bin, _] => {
                let (feature, bin) = (whole(feature, 1e6)?, whole(bin, 1e6)?);
                let split = Node::Split { feature, bin: bin / 2, missing_left: bin % 2 == 1 };
                (feature < features).then_some(split)
            }
            [0.0, ..] => Some(Node::Empty),
            _ => None,
        };
        let tree = |t: &[f64]| t.chunks(NUMBERS).map(node).collect::<Option<Vec<Node>>>();
        let trees = rest.chunks(per_tree).map(tree).collect::<Option<Vec<_>>>()?;
        Some(Ensemble { base, levels: levels as u32, depth, trees })
    }

    /// A new tree, at whose root everyone is.
    pub(crate) fn plant(&mut self) {
        self.trees.push(vec![Node::Empty; places(self.depth)]);
    }

    /// Puts a node at a place of the last tree.
    pub(crate) fn put(&mut self, place: usize, node: Node) {
        if let Some(slot) = self.trees.last_mut().and_then(|t| t.get_mut(place)) {
            *slot = node;
        }
    }

    /// What is at a place of the last tree.
    pub(crate) fn at(&self, place: usize) -> Node {
        self.trees.last().and_then(|t| t.get(place)).copied().unwrap_or_default()
    }

    /// Where a patient with these bins ends in a tree: the place, and what is there. `goes_left` says it of a split.
    fn walk(tree: &[Node], goes_left: impl Fn(usize, usize, bool) -> bool) -> (usize, Node) {
        let mut place = 0;
        loop {
            match tree.get(place).copied().unwrap_or_default() {
                Node::Split { feature, bin, missing_left } => {
                    place = 2 * place + 1 + usize::from(!goes_left(feature, bin, missing_left));
                }
                node => return (place, node),
            }
        }
    }

    /// A patient's score, and the place in the growing tree, where one grows and the patient is not at its end.
    pub(crate) fn score(&self, goes_left: impl Fn(usize, usize, bool) -> bool) -> (f64, Option<usize>) {
        let (mut score, mut here) = (self.base, None);
        for tree in &self.trees {
            match Self::walk(tree, &goes_left) {
                (_, Node::Leaf(value)) => score += value,
                (place, _) => here = Some(place),
            }
        }
        (score, here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut e = Ensemble::new(-0.5, 2);
        e.plant();
        e.put(0, Node::Split { feature: 1, bin: 3, missing_left: true });
        e.put(1, Node::Leaf(0.25));
        e.levels = 1;
        let numbers = e.numbers();
        assert_eq!(Ensemble::read(&numbers, 2, 2), Some(e.clone()));
        assert!(Ensemble::read(&numbers, 2, 1).is_none() && Ensemble::read(&numbers, 3, 2).is_none());
        assert!(Ensemble::read(&numbers[..9], 2, 2).is_none());
        // Left is a leaf, right is where it grows.
        let score = |left: bool| e.score(|feature, bin, _| feature == 1 && bin == 3 && left);
        assert_eq!((score(true), score(false)), ((-0.25, None), (-0.5, Some(2))));
    }
}
