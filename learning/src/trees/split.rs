//! Where a node is split: by the gain of the log-likelihood's quadratic (Chen and Guestrin 2016, "XGBoost"), with those who lack the feature on the
//! side that gains more.
//!
//! With G and H the sums of slopes and curvatures and λ the penalty, a leaf's value is G/(H + λ) and the gain of a split is
//! G_l²/(H_l + λ) + G_r²/(H_r + λ) − G²/(H + λ). Noise of variance s² in each bin adds its own part to each square; what it adds on average is
//! taken off, so that a split is not made for noise alone.

use super::histogram::Cells;

/// What a split or a leaf must satisfy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    /// λ.
    pub(crate) penalty: f64,
    /// The least sum of curvatures on either side.
    pub(crate) least: f64,
    /// The noise's variance of a slope of one bin.
    pub(crate) noise: f64,
}

/// A split that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) feature: usize,
    pub(crate) bin: usize,
    pub(crate) missing_left: bool,
    pub(crate) gain: f64,
    /// The values of the leaves left and right.
    pub(crate) values: [f64; 2],
}

impl Rule {
    /// A leaf's value. A curvature that noise made negative counts as none.
    pub(crate) fn value(&self, [g, h]: [f64; 2]) -> f64 {
        g / (h.max(0.0) + self.penalty).max(1e-9)
    }

    fn square(&self, [g, h]: [f64; 2], bins: usize) -> f64 {
        (g * g - self.noise * bins as f64) / (h.max(0.0) + self.penalty).max(1e-9)
    }

    /// The sum of all patients of a node: the mean of what its features say, each of which says it with noise of its own.
    pub(crate) fn whole(cells: &[Cells]) -> [f64; 2] {
        let n = cells.len().max(1) as f64;
        let sums = cells.iter().map(|c| c.sums.iter().fold([0.0; 2], |[a, b], [g, h]| [a + g, b + h]));
        sums.fold([0.0; 2], |[a, b], [g, h]| [a + g / n, b + h / n])
    }

    /// The best split of a node; of equal ones the first. `None` where none gains.
    pub(crate) fn best(&self, cells: &[Cells], is_ordered: impl Fn(usize) -> bool) -> Option<Found> {
        let mut best: Option<Found> = None;
        for own in cells {
            let Some((missing, sums)) = own.sums.split_last() else { continue };
            let all = own.sums.iter().fold([0.0; 2], |[a, b], [g, h]| [a + g, b + h]);
            let (bins, ordered) = (own.sums.len(), is_ordered(own.feature));
            let before = self.square(all, bins);
            let mut left = [0.0; 2];
            let last = if ordered { sums.len().saturating_sub(1) } else { sums.len() };
            for (bin, [g, h]) in sums.iter().enumerate().take(last) {
                left = if ordered { [left[0] + g, left[1] + h] } else { [*g, *h] };
                let in_left = if ordered { bin + 1 } else { 1 };
                for missing_left in [true, false] {
                    let add = if missing_left { *missing } else { [0.0; 2] };
                    let l = [left[0] + add[0], left[1] + add[1]];
                    let r = [all[0] - l[0], all[1] - l[1]];
                    if l[1] < self.least || r[1] < self.least {
                        continue;
                    }
                    let of_left = in_left + usize::from(missing_left);
                    let gain = self.square(l, of_left) + self.square(r, bins - of_left) - before;
                    if gain > best.map_or(0.0, |b| b.gain) {
                        let values = [self.value(l), self.value(r)];
                        best = Some(Found { feature: own.feature, bin, missing_left, gain, values });
                    }
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(sums: &[[f64; 2]]) -> Vec<Cells> {
        vec![Cells { feature: 0, sums: sums.to_vec() }]
    }

    #[test]
    fn the_best_split_is_the_one_by_hand() {
        let rule = Rule { penalty: 1.0, least: 0.5, noise: 0.0 };
        // Slopes −4, 1, 3 and none who lacks it: after the first bin 16/3 + 16/5 − 0.
        let node = cells(&[[-4.0, 2.0], [1.0, 2.0], [3.0, 2.0], [0.0, 0.0]]);
        let found = rule.best(&node, |_| true).unwrap();
        assert!((found.bin, found.missing_left) == (0, true) && (found.gain - (16.0 / 3.0 + 16.0 / 5.0)).abs() < 1e-12);
        assert!((found.values[0] + 4.0 / 3.0).abs() < 1e-12 && (found.values[1] - 0.8).abs() < 1e-12);
        // As levels: the last one against the others gains 9/3 + 9/5, the first still more.
        assert_eq!(rule.best(&node, |_| false).unwrap().bin, 0);
        // Those who lack it go where they fit.
        let node = cells(&[[-4.0, 2.0], [4.0, 2.0], [6.0, 2.0]]);
        assert!(!rule.best(&node, |_| true).unwrap().missing_left);
        assert!(Rule { least: 3.0, ..rule }.best(&cells(&[[-4.0, 2.0], [4.0, 2.0], [0.0, 0.0]]), |_| true).is_none());
        // Noise as large as the slopes leaves no gain.
        assert!(Rule { noise: 100.0, ..rule }.best(&node, |_| true).is_none());
    }
}
