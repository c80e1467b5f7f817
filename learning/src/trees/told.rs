//! What grown trees say: how much each feature's questions gained, how training went, and how much noise each sum had.

use summaries::{Curve, Estimate, Row};

use super::Boosting;
use super::ensemble::{Ensemble, Node};
use crate::training::Loss;

impl Boosting {
    /// The rows and curves of trees that have grown.
    pub(super) fn finish(&mut self, frozen: &[f64], trees: &Ensemble) -> Estimate {
        self.trained = Some([frozen, &trees.numbers()].concat());
        let whole: f64 = self.importance.iter().sum();
        let mut rows = Vec::new();
        for (feature, gain) in self.forest.features().iter().zip(&self.importance) {
            let share = if whole > 0.0 { gain / whole } else { 0.0 };
            rows.push(Row::test(feature.name(), "share of gain", share, "of all splits' gain"));
        }
        let [n, sd] = self.patients;
        let what = if matches!(self.forest.loss(), Loss::Hazards { .. }) { "horizons at risk" } else { "patients" };
        rows.push(Row::normal("training", what, n, 0.0, sd, self.reporting.z()));
        rows.push(Row::test("training", "trees", trees.trees().len() as f64, ""));
        let splits = trees.trees().iter().flatten().filter(|n| matches!(n, Node::Split { .. })).count();
        rows.push(Row::test("training", "splits", splits as f64, ""));
        let note = "the noise's standard deviation of the sum of slopes in one bin";
        rows.push(Row::test("training", "noise", self.noise, note));
        let points = (1u32..).zip(&self.gains).map(|(tree, g)| [f64::from(tree), *g, *g, *g]).collect();
        let curve = Curve {
            title: "Gain over the trees".into(),
            kind: "line".into(),
            x_label: "tree".into(),
            y_label: "gain".into(),
            points,
        };
        Estimate { rows, curves: vec![curve] }
    }
}
