//! Both parts of the error of a number that is made of the numbers of patients in many cells.
//!
//! By the delta method: with g the derivatives, the noise's variance is that of a cell times Σ g², and sampling's, of patients who fall into
//! cells independently, Σ n g² − (Σ n g)²/N.

use summaries::Row;

/// The cells, and the noise's variance of one.
pub(crate) struct Cells {
    pub(crate) values: Vec<f64>,
    pub(crate) variance: f64,
    pub(crate) z: f64,
}

impl Cells {
    /// The row of a number within a range.
    pub(crate) fn row(&self, statistic: &str, range: [f64; 2], f: impl Fn(&[f64]) -> f64) -> Row {
        const TERM: &str = "test";
        let value = f(&self.values);
        if !value.is_finite() {
            return Row::withheld(TERM, statistic, "too noisy to report");
        }
        let mut own = self.values.clone();
        let all: f64 = self.values.iter().map(|v| v.max(0.0)).sum();
        let (mut squares, mut spread, mut along) = (0.0, 0.0, 0.0);
        for (i, n) in self.values.iter().enumerate() {
            let h = 1e-3 * n.abs().max(1.0);
            let mut at = |to: f64| {
                if let Some(slot) = own.get_mut(i) {
                    *slot = to;
                }
                f(&own)
            };
            let slope = (at(n + h) - at(n - h)) / (2.0 * h);
            at(*n);
            squares += slope * slope;
            spread += n.max(0.0) * slope * slope;
            along += n.max(0.0) * slope;
        }
        let sampling = (spread - along * along / all.max(1.0)).max(0.0).sqrt();
        let noise = (self.variance * squares).sqrt();
        Row::normal(TERM, statistic, value, sampling, noise, self.z).within(range[0], range[1])
    }
}
