//! Features in bins that the plan alone fixes: equal parts of a number's public bounds, the levels of a category, and one bin for whoever lacks the
//! feature.

use summaries::{AccumulateError, Column, Input, MISSING, PatientBatch};

/// No number has more bins.
pub const MOST_BINS: usize = 256;

/// One feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Feature {
    /// A number within public bounds, in so many bins of one width.
    Real {
        /// Its name.
        name: String,
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
        /// Bins, 2 to [`MOST_BINS`].
        bins: usize,
    },
    /// A number within public bounds, whose bins lie between quantiles that were told with noise.
    Cut {
        /// Its name.
        name: String,
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
        /// Bins, 2 to [`MOST_BINS`].
        bins: usize,
        /// The edges between them, in order, one fewer than bins; none before they are known.
        edges: Vec<f64>,
    },
    /// A category: a bin for each level.
    Level {
        /// Its name.
        name: String,
        /// The levels' labels.
        levels: Vec<String>,
    },
}

impl Feature {
    /// Edges that are to be told.
    pub(crate) fn unknown(&self) -> usize {
        if let Feature::Cut { bins, .. } = self { bins - 1 } else { 0 }
    }

    /// The same with edges that were told; `None` where they are not in order.
    pub(crate) fn with_edges(&self, told: &[f64]) -> Option<Feature> {
        let mut own = self.clone();
        if let Feature::Cut { edges, .. } = &mut own {
            *edges = told.to_vec();
        }
        let ascend = told.windows(2).all(|w| matches!(w, [a, b] if a <= b)) && told.iter().all(|e| e.is_finite());
        (told.len() == self.unknown() && ascend).then_some(own)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Feature::Real { name, .. } | Feature::Cut { name, .. } | Feature::Level { name, .. } => name,
        }
    }

    /// What it reads.
    pub fn input(&self) -> Input {
        match self {
            Feature::Real { .. } | Feature::Cut { .. } => Input::Real,
            Feature::Level { levels, .. } => Input::Level(levels.len() as u32),
        }
    }

    /// Bins of patients who have it.
    pub fn bins(&self) -> usize {
        match self {
            Feature::Real { bins, .. } | Feature::Cut { bins, .. } => *bins,
            Feature::Level { levels, .. } => levels.len(),
        }
    }

    /// Whether its bins are in order, so that a split takes all up to one; of a category it takes one level.
    pub fn is_ordered(&self) -> bool {
        !matches!(self, Feature::Level { .. })
    }

    /// The upper edge of a bin, in the feature's unit. Of a category the bin itself.
    pub fn edge(&self, bin: usize) -> f64 {
        match self {
            Feature::Real { lower, upper, bins, .. } => lower + (upper - lower) * (bin + 1) as f64 / *bins as f64,
            Feature::Cut { upper, edges, .. } => edges.get(bin).copied().unwrap_or(*upper),
            Feature::Level { .. } => bin as f64,
        }
    }

    /// A number's bin; values at an upper edge are in the bin below it.
    fn bin_of(&self, x: f64) -> usize {
        if let Feature::Cut { bins, edges, .. } = self {
            return if x.is_nan() { *bins } else { edges.partition_point(|edge| *edge < x) };
        }
        let Feature::Real { lower, upper, bins, .. } = self else { return 0 };
        if x.is_nan() {
            return *bins;
        }
        let at = ((x - lower) / (upper - lower) * *bins as f64).ceil() - 1.0;
        // The edges themselves decide, as they stand in a model, and not the division.
        let mut bin = (at.max(0.0) as usize).min(bins - 1);
        while bin > 0 && x <= self.edge(bin - 1) {
            bin -= 1;
        }
        while bin + 1 < *bins && x > self.edge(bin) {
            bin += 1;
        }
        bin
    }

    /// The bin of each patient; the one after the last is of those who lack it.
    ///
    /// # Errors
    /// The column is of another kind.
    pub(crate) fn of(
        &self,
        statistic: &'static str,
        patients: &PatientBatch,
        place: usize,
    ) -> Result<Vec<u32>, AccumulateError> {
        let most = self.bins() as u32;
        match (self, patients.column(place)) {
            (Feature::Real { .. } | Feature::Cut { .. }, Some(Column::Real(v))) => {
                Ok(v.iter().map(|x| self.bin_of(*x) as u32).collect())
            }
            (Feature::Level { .. }, Some(Column::Level(v))) => {
                Ok(v.iter().map(|l| if *l == MISSING { most } else { (*l).min(most) }).collect())
            }
            _ => Err(AccumulateError::Column { statistic, wanted: "feature", place }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_bin_between_its_edges() {
        let f = Feature::Real { name: "a".into(), lower: -0.1, upper: 0.7, bins: 7 };
        for i in 0..=1000 {
            let x = -0.3 + 1.2 * f64::from(i) / 1000.0;
            let bin = f.bin_of(x);
            assert!(bin < 7 && (bin == 0 || x > f.edge(bin - 1)) && (bin == 6 || x <= f.edge(bin)), "{x} in {bin}");
        }
        for bin in 0..7 {
            assert_eq!(f.bin_of(f.edge(bin)), bin);
        }
        assert_eq!((f.bin_of(f64::NAN), f.bin_of(f64::INFINITY), f.bin_of(f64::NEG_INFINITY)), (7, 6, 0));
    }

    #[test]
    fn told_edges_are_the_bins() {
        let f = Feature::Cut { name: "a".into(), lower: 0.0, upper: 9.0, bins: 4, edges: Vec::new() };
        // Two that are the same leave a bin empty.
        let f = f.with_edges(&[1.0, 3.0, 3.0]).unwrap();
        let bins = [-5.0, 1.0, 1.1, 3.0, 3.5, 99.0, f64::NAN].map(|x| f.bin_of(x));
        assert_eq!((bins, f.edge(1), f.edge(3)), ([0, 0, 1, 1, 3, 3, 4], 3.0, 9.0));
        assert!(f.with_edges(&[3.0, 1.0, 2.0]).is_none() && f.with_edges(&[1.0]).is_none());
    }
}
