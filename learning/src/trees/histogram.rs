//! The statistic of a level: for each node that grows, each feature that the tree may ask for, and each of its bins, the sums over patients of
//! the slopes and of the curvatures of their log-likelihoods at the trees so far.
//!
//! A patient is in one node and, of each of m features, in one bin, and adds there a slope and a curvature, each at most 1 as a share of its most:
//! so the vector moves by at most √(2m), and of a logistic model, where a long slope has a small curvature, by √(1.29 m). Of levels a patient does so in the
//! growing tree of each, and moves all of them by at most √(3.72 m). Numbers are rounded patient by patient, so that the sums are the same to the last bit however patients
//! are dealt out over hospitals, and a tree is the one of all patients together.

use std::sync::Arc;

use summaries::lanes::encode;
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use super::ensemble::Ensemble;
use super::forest::Forest;
use crate::training::Group;

/// The sums of the next level of the growing tree.
#[derive(Clone)]
pub struct TreeHistogram {
    forest: Arc<Forest>,
    trees: Ensemble,
    /// The features that the tree may ask for, in order.
    asked: Vec<usize>,
}

/// One node's sums of one feature: of each bin the slope and the curvature; the last is of those who lack it.
pub(crate) struct Cells {
    pub(crate) feature: usize,
    pub(crate) sums: Vec<[f64; 2]>,
}

impl TreeHistogram {
    /// Of the trees so far; `None` where a feature that is asked for is none of the forest's.
    pub fn new(forest: Arc<Forest>, trees: Ensemble, asked: Vec<usize>) -> Option<TreeHistogram> {
        let fits = !asked.is_empty() && asked.iter().all(|f| *f < forest.features().len());
        fits.then_some(TreeHistogram { forest, trees, asked })
    }

    /// Bins of a feature, with the one of those who lack it.
    fn width(&self, feature: usize) -> usize {
        self.forest.features().get(feature).map_or(0, |f| f.bins() + 1)
    }

    /// Bins of all features.
    fn stride(&self) -> usize {
        self.asked.iter().map(|f| self.width(*f)).sum()
    }

    /// The place of the level's first node.
    pub(crate) fn first(&self) -> usize {
        (1usize << self.trees.level()) - 1
    }

    /// Nodes of the level.
    pub(crate) fn nodes(&self) -> usize {
        1usize << self.trees.level()
    }

    /// A node's sums of an output, in the loss' own units.
    pub(crate) fn read(&self, merged: &MergedRelease, output: usize, node: usize) -> Vec<Cells> {
        let (layout, most) = (self.layout(), self.forest.most());
        let mut next = (output * self.nodes() + node) * self.stride();
        let of = |feature: &usize| {
            let first = next;
            next += self.width(*feature);
            let at = |bin: usize| {
                let lane = 2 * (first + bin);
                [merged.value(lane, &layout) * most[0], merged.value(lane + 1, &layout) * most[1]]
            };
            Cells { feature: *feature, sums: (0..self.width(*feature)).map(at).collect() }
        };
        self.asked.iter().map(of).collect()
    }
}

impl Statistic for TreeHistogram {
    fn name(&self) -> &'static str {
        "tree_histogram"
    }
    fn inputs(&self) -> Vec<Input> {
        self.forest.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * self.trees.outputs() * self.nodes() * self.stride(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        // A patient touches no more lanes than these.
        let asked = self.asked.len();
        Sensitivity::fixed_point(2 * self.trees.outputs() * asked, (asked as f64 * self.forest.squares()).sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "tree_histogram";
        self.check(lanes)?;
        let (first, nodes, stride) = (self.first(), self.nodes(), self.stride());
        let is_new = self.trees.begins_a_tree();
        let (mut scores, mut here, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
        self.forest.each(NAME, Group::Training, patients, |bins, y| {
            self.trees.scores(&mut scores, &mut here, |f, b, m| self.forest.goes_left(bins, f, b, m));
            self.forest.slopes(&mut scores, y, &mut slopes);
            for (output, (place, own)) in here.iter().zip(&slopes).enumerate() {
                let place = if is_new { Some(0) } else { *place };
                let Some(node) = place.and_then(|p| p.checked_sub(first)).filter(|n| *n < nodes) else { continue };
                let [g, h] = own.map(encode);
                let mut start = (output * nodes + node) * stride;
                for feature in &self.asked {
                    let width = self.width(*feature);
                    let bin = (bins.get(*feature).copied().unwrap_or(u32::MAX) as usize).min(width - 1);
                    lanes.add(NAME, 2 * (start + bin), g)?;
                    lanes.add(NAME, 2 * (start + bin) + 1, h)?;
                    start += width;
                }
            }
            Ok(())
        })
    }
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
