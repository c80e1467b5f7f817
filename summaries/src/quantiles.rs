//! Quantiles and the distribution function of a number, by a b-ary tree over fixed public bins.
//!
//! The tree has `depth` levels below the root, which is not released. A patient adds 1 to one node of each level:
//! L1 = depth, L2 = √depth, L∞ = 1 (a lane of its own counts the missing). Before reading, the tree is made consistent by
//! least squares: Hay, Rastogi, Miklau, Suciu, "Boosting the accuracy of differentially private histograms through
//! consistency", VLDB 2010. The variance of a prefix sum under that estimator is computed exactly, going up the tree.

use crate::batch::PatientBatch;
use crate::estimate::{Curve, Estimate, Reporting, Row, patients};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, real};

/// A tree of counts.
#[derive(Clone, Debug)]
pub struct Quantiles {
    lower: f64,
    upper: f64,
    branching: usize,
    depth: u32,
    probabilities: Vec<f64>,
    reports_n: bool,
}

/// Levels nearer than this are one.
const ALMOST: f64 = 1e-12;

/// Variance and covariance of a prefix sum P and the total T of a subtree, in units of the noise variance.
#[derive(Clone, Copy)]
struct Spread {
    prefix: f64,
    both: f64,
    total: f64,
}

impl Quantiles {
    /// Over `branching^depth` equal bins between public bounds, reporting the quantiles at `probabilities`. `None` unless
    /// the bounds ascend, 2 ≤ branching ≤ 64, 1 ≤ depth, bins ≤ 2^20, and the probabilities lie in (0, 1).
    pub fn new(lower: f64, upper: f64, branching: usize, depth: u32, probabilities: Vec<f64>) -> Option<Quantiles> {
        let sizes = (2..=64).contains(&branching) && (1..=20).contains(&depth);
        let bins = branching.checked_pow(depth)?;
        let bounds = lower < upper && lower.is_finite() && upper.is_finite();
        let inside = probabilities.iter().all(|p| *p > 0.0 && *p < 1.0);
        (sizes && bins <= 1 << 20 && bounds && inside).then_some(Quantiles {
            lower,
            upper,
            branching,
            depth,
            probabilities,
            reports_n: true,
        })
    }

    /// The same without a row for n, for a table that has n from elsewhere.
    #[must_use]
    pub fn without_n(mut self) -> Quantiles {
        self.reports_n = false;
        self
    }

    fn bins(&self) -> usize {
        self.branching.pow(self.depth)
    }

    fn nodes(&self) -> usize {
        (1..=self.depth).map(|l| self.branching.pow(l)).sum()
    }

    /// The first lane of a level, levels counted from 1.
    fn start(&self, level: u32) -> usize {
        (1..level).map(|l| self.branching.pow(l)).sum()
    }

    fn bin(&self, x: f64) -> usize {
        let bins = self.bins();
        let place = (x.clamp(self.lower, self.upper) - self.lower) / (self.upper - self.lower) * bins as f64;
        (place as usize).min(bins - 1)
    }

    /// The tree's least-squares estimate: level by level, the last level the bins.
    fn consistent(&self, raw: &[f64]) -> Vec<Vec<f64>> {
        let b = self.branching;
        let mut levels: Vec<Vec<f64>> =
            (1..=self.depth).map(|l| raw.iter().skip(self.start(l)).take(b.pow(l)).copied().collect()).collect();
        // Up: each inner node becomes the weighted mean of itself and the sum of its children, whose variance is V.
        let mut child_variance = 1.0;
        for l in (0..levels.len().saturating_sub(1)).rev() {
            let (upper, lower) = levels.split_at_mut(l + 1);
            let (Some(parents), Some(children)) = (upper.last_mut(), lower.first()) else { continue };
            let sum_variance = b as f64 * child_variance;
            let own_weight = sum_variance / (1.0 + sum_variance);
            for (parent, family) in parents.iter_mut().zip(children.chunks(b)) {
                *parent = own_weight * *parent + (1.0 - own_weight) * family.iter().sum::<f64>();
            }
            child_variance = own_weight;
        }
        // Down: the difference between a parent and its children is shared among them equally.
        for l in 1..levels.len() {
            let (upper, lower) = levels.split_at_mut(l);
            let (Some(parents), Some(children)) = (upper.last(), lower.first_mut()) else { continue };
            for (parent, family) in parents.iter().zip(children.chunks_mut(b)) {
                let share = (parent - family.iter().sum::<f64>()) / b as f64;
                family.iter_mut().for_each(|c| *c += share);
            }
        }
        levels
    }

    /// The exact spread of the sum of the first `prefix` bins and of the whole, under the least-squares estimator with
    /// unit noise. Going up: a subtree's (P, T) is the sum over independent children, then the node's own observation of T
    /// is taken in, as one step of a Kalman filter.
    fn spread(&self, prefix: usize) -> Spread {
        let b = self.branching;
        let mut node_total = 1.0; // the variance of the total of any node of this level
        // The node on the path: at the leaves the prefix ends before this leaf.
        let mut path = Spread { prefix: 0.0, both: 0.0, total: 1.0 };
        let mut place = prefix.min(self.bins());
        let whole = place == self.bins();
        if whole {
            place -= 1;
            path = Spread { prefix: 1.0, both: 1.0, total: 1.0 };
        }
        for level in 0..self.depth {
            let before = (place % b) as f64;
            place /= b;
            let sum = Spread {
                prefix: before * node_total + path.prefix,
                both: before * node_total + path.both,
                total: (b as f64 - 1.0) * node_total + path.total,
            };
            let total = b as f64 * node_total;
            if level + 1 == self.depth {
                return Spread { total, ..sum }; // the root has no observation of its own
            }
            let gain = sum.both / (sum.total + 1.0);
            path = Spread {
                prefix: sum.prefix - gain * sum.both,
                both: sum.both / (sum.total + 1.0),
                total: sum.total / (sum.total + 1.0),
            };
            node_total = total / (total + 1.0);
        }
        path
    }

    fn edge(&self, bins: f64) -> f64 {
        self.lower + (self.upper - self.lower) * bins / self.bins() as f64
    }

    /// The edges, counted in bins, of where the distribution function reaches a level: those of the bin in which it passes it, and up to the
    /// next bin with patients where it stays at it. A level that is none may be anywhere up to the bounds.
    fn reaches(&self, cdf: &[f64], level: f64) -> (f64, f64) {
        let all = cdf.len();
        let first = if level <= 0.0 { 0 } else { cdf.iter().position(|f| *f >= level - ALMOST).unwrap_or(all) };
        let last = if level >= 1.0 { all } else { cdf.iter().position(|f| *f > level + ALMOST).map_or(all, |i| i + 1) };
        (first as f64, last as f64)
    }

    /// Where the distribution function first reaches `p`, linear within a bin.
    fn invert(&self, cdf: &[f64], p: f64) -> f64 {
        let mut before = 0.0;
        for (i, f) in cdf.iter().enumerate() {
            if *f >= p {
                let step = f - before;
                let part = if step > 0.0 { ((p - before) / step).clamp(0.0, 1.0) } else { 0.5 };
                return self.edge(i as f64 + part);
            }
            before = *f;
        }
        self.upper
    }
}

/// The closest ascending sequence in squared distance (pool adjacent violators): noise is averaged out where it made the
/// distribution function fall, and not carried upward.
pub(crate) fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for value in values {
        let (mut mean, mut size) = (value, 1);
        while let Some((before, n)) = pools.pop() {
            if before <= mean {
                pools.push((before, n));
                break;
            }
            mean = (mean * size as f64 + before * n as f64) / (size + n) as f64;
            size += n;
        }
        pools.push((mean, size));
    }
    pools.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean, n)).collect()
}

impl Quantiles {
    /// Where the distribution function reaches each of the probabilities, in their order; `None` where the patients can't be told from the noise.
    pub fn told(&self, merged: &MergedRelease) -> Option<Vec<f64>> {
        let layout = self.layout();
        let raw: Vec<f64> = (0..self.nodes()).map(|i| merged.value(i, &layout)).collect();
        let leaves = self.consistent(&raw).pop()?;
        let n: f64 = leaves.iter().sum();
        let sd = (merged.variance(&layout) * self.branching as f64).sqrt();
        let cdf = self.distribution(&leaves, n);
        (n >= (3.0 * sd).max(2.0)).then(|| self.probabilities.iter().map(|p| self.invert(&cdf, *p)).collect())
    }

    /// The distribution function at the end of each bin, from the bins' numbers.
    fn distribution(&self, leaves: &[f64], n: f64) -> Vec<f64> {
        let mut sum = 0.0;
        let raw = leaves.iter().map(|leaf| {
            sum += leaf;
            sum / n
        });
        ascending(raw).into_iter().map(|f| f.clamp(0.0, 1.0)).collect()
    }
}

impl Statistic for Quantiles {
    fn name(&self) -> &'static str {
        "quantiles"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Real]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.nodes() + 1, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(self.depth as usize)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        for x in real("quantiles", patients, 0)? {
            if x.is_nan() {
                lanes.add("quantiles", self.nodes(), 1)?;
                continue;
            }
            let mut node = self.bin(*x);
            for level in (1..=self.depth).rev() {
                lanes.add("quantiles", self.start(level) + node, 1)?;
                node /= self.branching;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let z = reporting.z();
        let name = reporting.name(0);
        let raw: Vec<f64> = (0..self.nodes()).map(|i| merged.value(i, &layout)).collect();
        let leaves = self.consistent(&raw).pop().unwrap_or_default();
        let n: f64 = leaves.iter().sum();
        let n_row = patients(name, n, (v * self.spread(self.bins()).total).sqrt(), reporting);
        let mut rows: Vec<Row> = self.reports_n.then_some(n_row).into_iter().collect();
        let label = |p: f64| if (p - 0.5).abs() < 1e-12 { "median".to_owned() } else { format!("q{p}") };
        if n < reporting.min_cell.max(2) as f64 || n < 3.0 * (v * self.branching as f64).sqrt() {
            rows.extend(self.probabilities.iter().map(|p| Row::withheld(name, &label(*p), "too noisy to report")));
            return Estimate { rows, curves: Vec::new() };
        }
        let cdf = self.distribution(&leaves, n);
        let errors = |p: f64, bins: usize| -> (f64, f64) {
            let s = self.spread(bins);
            let noise = v * (s.prefix - 2.0 * p * s.both + p * p * s.total) / (n * n);
            ((p * (1.0 - p) / n).sqrt(), noise.max(0.0).sqrt())
        };
        for &p in &self.probabilities {
            let x = self.invert(&cdf, p);
            let (sampling, noise) = errors(p, self.bin(x));
            // Woodruff's interval: the levels p ± z·se, read back through the distribution function. Where in a bin its patients are is not
            // known, and all may have one value: so the interval ends at the bins' outer edges.
            let se = sampling.hypot(noise);
            let (lower, upper) =
                (self.edge(self.reaches(&cdf, p - z * se).0), self.edge(self.reaches(&cdf, p + z * se).1));
            let width = (upper - lower) / (2.0 * z);
            let share = if se > 0.0 { noise / se } else { 0.0 };
            rows.push(Row {
                term: name.to_owned(),
                statistic: label(p),
                estimate: Some(x),
                lower: Some(lower.max(self.lower)),
                upper: Some(upper.min(self.upper)),
                se: Some(width),
                sampling_se: Some(width * (1.0 - share * share).max(0.0).sqrt()),
                dp_se: Some(width * share),
                suppressed: false,
                note: String::new(),
            });
        }
        let step = (cdf.len() / 128).max(1);
        let points = cdf
            .iter()
            .enumerate()
            .filter(|(i, _)| (i + 1) % step == 0)
            .map(|(i, &p)| {
                let (sampling, noise) = errors(p, i + 1);
                let se = sampling.hypot(noise);
                [self.edge(i as f64 + 1.0), p, (p - z * se).max(0.0), (p + z * se).min(1.0)]
            })
            .collect();
        let curve = Curve {
            title: format!("{name}: distribution"),
            kind: "step".into(),
            x_label: name.to_owned(),
            y_label: "share of patients at or below".into(),
            points,
        };
        Estimate { rows, curves: vec![curve] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    #[test]
    fn pooled_where_it_falls() {
        assert_eq!(ascending([1.0, 3.0, 2.0, 2.0, 5.0].into_iter()), [1.0, 7.0 / 3.0, 7.0 / 3.0, 7.0 / 3.0, 5.0]);
        assert_eq!(ascending([3.0, 2.0, 1.0].into_iter()), [2.0, 2.0, 2.0]);
    }

    #[test]
    fn the_median_of_known_values() {
        let s = Quantiles::new(0.0, 1024.0, 4, 5, vec![0.25, 0.5]).unwrap();
        let xs: Vec<f64> = (0..1000).map(f64::from).collect();
        let mut lanes = Lanes::zeros(s.layout().lanes);
        s.accumulate(&PatientBatch::new(1000, vec![Column::Real(xs)]).unwrap(), &mut lanes).unwrap();
        let reporting = Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into()], levels: vec![vec![]] };
        let e = s.estimate(
            &MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 },
            &reporting,
        );
        let median = e.rows.iter().find(|r| r.statistic == "median").unwrap();
        assert!((median.estimate.unwrap() - 500.0).abs() <= 1.0);
        // Binomial order statistics: 500 ± 1.96·√(1000/4) = 469 … 531, and half a bin.
        assert!((median.lower.unwrap() - 469.0).abs() < 2.0 && (median.upper.unwrap() - 531.0).abs() < 2.0);
    }

    /// Whole numbers, many of them one, in bins that are not theirs: without noise the interval holds what the data say.
    #[test]
    fn the_interval_holds_the_exact_value_of_tied_numbers() {
        let reporting = Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into()], levels: vec![vec![]] };
        let probabilities = vec![0.05, 0.25, 0.5, 0.75, 0.9];
        for (upper, zeros) in [(84.0, 0.7), (100.0, 0.3), (11.0, 0.55), (37.5, 0.0)] {
            let s = Quantiles::new(0.0, upper, 4, 5, probabilities.clone()).unwrap();
            let n = 20_000usize;
            let place = |i: usize| (i as f64 + 0.5) * 2f64.sqrt() % 1.0;
            let value = |u: f64| if u < zeros { 0.0 } else { ((u - zeros) / (1.0 - zeros) * upper).floor() };
            let mut xs: Vec<f64> = (0..n).map(|i| value(place(i))).collect();
            let mut lanes = Lanes::zeros(s.layout().lanes);
            s.accumulate(&PatientBatch::new(n, vec![Column::Real(xs.clone())]).unwrap(), &mut lanes).unwrap();
            let merged =
                MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 };
            xs.sort_by(f64::total_cmp);
            for (p, row) in probabilities.iter().zip(s.estimate(&merged, &reporting).rows.iter().skip(1)) {
                let exact = xs[((p * n as f64).ceil() as usize).saturating_sub(1)];
                assert!(row.lower.unwrap() <= exact && exact <= row.upper.unwrap(), "{p}: {exact} {row:?}");
                assert!((row.estimate.unwrap() - exact).abs() <= upper / 1024.0, "{p}: {exact} {row:?}");
            }
        }
    }

    /// The variance recursion against the estimator itself: unit noise through `consistent`, a linear map, column by column.
    #[test]
    fn the_spread_is_that_of_the_estimator() {
        let s = Quantiles::new(0.0, 1.0, 3, 3, vec![]).unwrap();
        let nodes = s.nodes();
        let responses: Vec<Vec<f64>> = (0..nodes)
            .map(|i| {
                let mut raw = vec![0.0; nodes];
                raw[i] = 1.0;
                s.consistent(&raw).pop().unwrap()
            })
            .collect();
        for prefix in [0, 1, 4, 9, 13, 26, 27] {
            let (mut pp, mut pt, mut tt) = (0.0, 0.0, 0.0);
            for r in &responses {
                let p: f64 = r.iter().take(prefix).sum();
                let t: f64 = r.iter().sum();
                pp += p * p;
                pt += p * t;
                tt += t * t;
            }
            let spread = s.spread(prefix);
            assert!((spread.prefix - pp).abs() < 1e-9, "prefix {prefix}: {} against {pp}", spread.prefix);
            assert!((spread.both - pt).abs() < 1e-9 && (spread.total - tt).abs() < 1e-9);
        }
    }
}
