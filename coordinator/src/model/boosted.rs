//! Boosted trees of a file: their questions in the features' own units, and the same as a graph of matrix products, in 64-bit floating point
//! throughout, since ONNX's own trees compare in 32 bits.
//!
//! Of a tree with S splits and L leaves the answers (1 for left) times an S × L matrix that has 1 where a leaf is left of a split, −1 where it is
//! right of it, are for the one leaf that a patient comes to as many as the leaf has splits that it is left of, and fewer for every other.

use study::compile::trees::{Question, Tree};

use super::onnx::Builder;

/// What a comparison with it never finds.
const NEVER: f64 = f64::NEG_INFINITY;

impl Builder {
    /// The scores of trees, a column for each output.
    pub(super) fn trees(&mut self, grown: &[(f64, Vec<Tree>)]) -> String {
        let scores: Vec<String> = grown.iter().map(|(base, trees)| self.score(*base, trees)).collect();
        let all: Vec<&str> = scores.iter().map(String::as_str).collect();
        if let [one] = all.as_slice() { (*one).to_owned() } else { self.node("Concat", &all, &[("axis", 1)]) }
    }

    fn score(&mut self, base: f64, trees: &[Tree]) -> String {
        let mut score = self.constant(&[1, 1], &[base]);
        // So that a score has a row for each patient, whatever the trees.
        let first = self.places(&[0]);
        let own = self.node("Gather", &["features", &first], &[("axis", 1)]);
        let is = self.node("IsNaN", &[&own], &[]);
        let is = self.as_numbers(&is);
        let nothing = self.constant(&[1], &[0.0]);
        let none = self.node("Mul", &[&is, &nothing], &[]);
        score = self.node("Add", &[&none, &score], &[]);
        for tree in trees {
            let own = self.tree(tree);
            score = self.node("Add", &[&score, &own], &[]);
        }
        score
    }

    fn tree(&mut self, tree: &Tree) -> String {
        let (s, l) = (tree.questions.len(), tree.leaves.len());
        if s == 0 {
            return self.constant(&[1, 1], &[tree.leaves.first().map_or(0.0, |leaf| leaf.value)]);
        }
        let places = self.places(&tree.questions.iter().map(|q| q.feature).collect::<Vec<_>>());
        let own = self.node("Gather", &["features", &places], &[("axis", 1)]);
        let of = |f: &dyn Fn(&Question) -> f64| tree.questions.iter().map(f).collect::<Vec<_>>();
        let most = self.constant(&[1, s], &of(&|q| if q.is_level { NEVER } else { q.at }));
        let level = self.constant(&[1, s], &of(&|q| if q.is_level { q.at } else { NEVER }));
        let lacking = self.constant(&[1, s], &of(&|q| f64::from(u8::from(q.missing_left))));
        let up_to = self.node("LessOrEqual", &[&own, &most], &[]);
        let up_to = self.as_numbers(&up_to);
        let is = self.node("Equal", &[&own, &level], &[]);
        let is = self.as_numbers(&is);
        let lacks = self.node("IsNaN", &[&own], &[]);
        let lacks = self.as_numbers(&lacks);
        let lacks = self.node("Mul", &[&lacks, &lacking], &[]);
        let left = self.node("Add", &[&up_to, &is], &[]);
        let left = self.node("Add", &[&left, &lacks], &[]);
        let mut sides = vec![0.0; s * l];
        for (j, leaf) in tree.leaves.iter().enumerate() {
            for (i, is_left) in &leaf.path {
                if let Some(side) = sides.get_mut(i * l + j) {
                    *side = if *is_left { 1.0 } else { -1.0 };
                }
            }
        }
        let sides = self.constant(&[s, l], &sides);
        let lefts = |leaf: &study::compile::trees::Leaf| leaf.path.iter().filter(|(_, left)| *left).count() as f64;
        let lefts = self.constant(&[1, l], &tree.leaves.iter().map(lefts).collect::<Vec<_>>());
        let values = self.constant(&[l, 1], &tree.leaves.iter().map(|leaf| leaf.value).collect::<Vec<_>>());
        let answers = self.node("MatMul", &[&left, &sides], &[]);
        let at = self.node("Equal", &[&answers, &lefts], &[]);
        let at = self.as_numbers(&at);
        self.node("MatMul", &[&at, &values], &[])
    }
}
