//! Boosted trees as numbers: what a round's parameters are.
//!
//! A tree of depth D has a place for each of its 2^(D+1) − 1 nodes, the root first, the two below place i at 2i + 1 and 2i + 2. A place has four
//! numbers: what is there (0 nothing, 1 a leaf, 2 a split), the feature, the bin, doubled, plus 1 where who lacks the feature goes left,
//! and the leaf's value. In front stand the score of everyone, one for each of the loss' outputs, and how many levels have grown. Of several
//! outputs each has a tree of its own, and these grow at the same time: they follow one another, and then come the next ones.

/// Numbers of a place.
const NUMBERS: usize = 4;

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

/// How many of what an ensemble has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Depth of each tree.
    pub depth: u32,
    /// Features that it may ask for.
    pub features: usize,
    /// Outputs, each with trees of its own.
    pub outputs: usize,
}

/// All trees so far, the last of which may be growing.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The score of everyone, of each output.
    pub base: Vec<f64>,
    /// Levels that have grown, over all trees of one output.
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
    pub fn new(base: Vec<f64>, depth: u32) -> Ensemble {
        Ensemble { base, levels: 0, depth, trees: Vec::new() }
    }

    /// The trees' nodes: of each output one, then the next ones.
    pub fn trees(&self) -> &[Vec<Node>] {
        &self.trees
    }

    /// Outputs.
    pub fn outputs(&self) -> usize {
        self.base.len()
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
        let mut out = self.base.clone();
        out.push(f64::from(self.levels));
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

    /// From numbers; `None` where they are no ensemble of that shape.
    pub fn read(numbers: &[f64], shape: Shape) -> Option<Ensemble> {
        let Shape { depth, features, outputs } = shape;
        let (base, rest) = numbers.split_at_checked(outputs)?;
        let (levels, rest) = rest.split_first()?;
        let whole = |x: f64, most: f64| (x >= 0.0 && x <= most && x.fract() == 0.0).then_some(x as usize);
        let per_tree = places(depth) * NUMBERS;
        let levels = whole(*levels, 1e6)?;
        let fits = depth > 0
            && outputs > 0
            && rest.len().is_multiple_of(per_tree)
            && rest.len() / per_tree == levels.div_ceil(depth as usize) * outputs;
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
        Some(Ensemble { base: base.to_vec(), levels: levels as u32, depth, trees })
    }

    /// A new tree for each output, at whose root everyone is.
    pub(crate) fn plant(&mut self) {
        let grown = self.trees.len() + self.outputs();
        self.trees.resize(grown, vec![Node::Empty; places(self.depth)]);
    }

    /// The place of an output's last tree.
    fn last(&self, output: usize) -> Option<usize> {
        (self.trees.len() + output).checked_sub(self.outputs())
    }

    /// Puts a node at a place of an output's last tree.
    pub(crate) fn put(&mut self, output: usize, place: usize, node: Node) {
        let last = self.last(output);
        if let Some(slot) = last.and_then(|l| self.trees.get_mut(l)).and_then(|t| t.get_mut(place)) {
            *slot = node;
        }
    }

    /// What is at a place of an output's last tree.
    pub(crate) fn at(&self, output: usize, place: usize) -> Node {
        let tree = self.last(output).and_then(|l| self.trees.get(l));
        tree.and_then(|t| t.get(place)).copied().unwrap_or_default()
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

    /// A patient's score of each output, by the trees that have grown, and the place in the output's growing tree, where one grows and the
    /// patient is not at its end. An end of a tree that grows still is in no score: of several outputs all trees grow from the same scores.
    pub(crate) fn scores(
        &self,
        scores: &mut Vec<f64>,
        here: &mut Vec<Option<usize>>,
        goes_left: impl Fn(usize, usize, bool) -> bool,
    ) {
        scores.clone_from(&self.base);
        here.clear();
        here.resize(self.outputs(), None);
        let grown = self.levels / self.depth;
        for (round, trees) in (0u32..).zip(self.trees.chunks(self.outputs())) {
            for ((tree, score), here) in trees.iter().zip(scores.iter_mut()).zip(here.iter_mut()) {
                match Self::walk(tree, &goes_left) {
                    (_, Node::Leaf(value)) => *score += if round < grown { value } else { 0.0 },
                    (place, _) => *here = Some(place),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(depth: u32, features: usize, outputs: usize) -> Shape {
        Shape { depth, features, outputs }
    }

    #[test]
    fn numbers_come_back() {
        let mut e = Ensemble::new(vec![-0.5], 2);
        e.plant();
        e.put(0, 0, Node::Split { feature: 1, bin: 3, missing_left: true });
        e.put(0, 1, Node::Leaf(0.25));
        e.levels = 1;
        let numbers = e.numbers();
        assert_eq!(Ensemble::read(&numbers, shape(2, 2, 1)), Some(e.clone()));
        assert!(
            Ensemble::read(&numbers, shape(2, 1, 1)).is_none() && Ensemble::read(&numbers, shape(3, 2, 1)).is_none()
        );
        assert!(Ensemble::read(&numbers[..9], shape(2, 2, 1)).is_none());
        // Left is an end, which counts once the tree has grown; right is where it grows.
        let score = |e: &Ensemble, left: bool| {
            let (mut scores, mut here) = (Vec::new(), Vec::new());
            e.scores(&mut scores, &mut here, |feature, bin, _| feature == 1 && bin == 3 && left);
            (scores[0], here[0])
        };
        assert_eq!((score(&e, true), score(&e, false)), ((-0.5, None), (-0.5, Some(2))));
        e.levels = 2;
        assert_eq!(score(&e, true), (-0.25, None));
    }

    #[test]
    fn each_output_has_trees_of_its_own() {
        let mut e = Ensemble::new(vec![0.5, -1.0, 2.0], 1);
        for (round, value) in [(1u32, 10.0), (2, 100.0)] {
            e.plant();
            for output in 0..3 {
                assert_eq!(e.at(output, 0), Node::Empty);
                e.put(output, 0, Node::Leaf(value * (output + 1) as f64));
            }
            e.levels = round;
        }
        let numbers = e.numbers();
        assert_eq!(Ensemble::read(&numbers, shape(1, 1, 3)), Some(e.clone()));
        assert!(Ensemble::read(&numbers, shape(1, 1, 2)).is_none());
        let (mut scores, mut here) = (Vec::new(), Vec::new());
        e.scores(&mut scores, &mut here, |_, _, _| true);
        assert_eq!((scores, here), (vec![110.5, 219.0, 332.0], vec![None; 3]));
    }
}
