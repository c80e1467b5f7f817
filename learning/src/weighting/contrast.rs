//! Two arms' adjusted means, and what is between them.

use summaries::interval::noise_variance;
use summaries::{Reporting, Row};

use super::Outcome;

/// The rows of two arms' means and what is between them.
pub(super) struct Contrast<'a> {
    pub(super) term: &'a str,
    pub(super) how: &'static str,
    pub(super) outcome: Outcome,
    /// (mean, sampling variance) of the untreated and the treated, in [−1, 1].
    pub(super) arms: [(f64, f64); 2],
    /// The noise's variance of both means, their difference, and the logarithm of their ratio.
    pub(super) noise: [f64; 4],
}

impl Contrast<'_> {
    pub(super) fn rows(&self, reporting: &Reporting, treatment: usize, note: &str) -> Vec<Row> {
        let (z, (middle, half)) = (reporting.z(), self.outcome.scale());
        let (risk, yes) = (self.outcome == Outcome::YesNo, reporting.name(treatment));
        let mut out = Vec::new();
        let bounds = (middle - if risk { 0.0 } else { half }, middle + half);
        for (arm, ((mean, variance), noise)) in self.arms.iter().zip(self.noise).enumerate() {
            let term = format!("{}, {yes}={}", self.term, reporting.level(treatment, arm));
            let statistic = format!("{} {}", self.how, if risk { "risk" } else { "mean" });
            let row =
                Row::normal(&term, &statistic, middle + half * mean, half * variance.sqrt(), half * noise.sqrt(), z);
            out.push(row.within(bounds.0, bounds.1));
        }
        let [(m0, v0), (m1, v1)] = self.arms;
        let term =
            format!("{}, {yes}={} − {}", self.term, reporting.level(treatment, 1), reporting.level(treatment, 0));
        let statistic = format!("{} {} difference", self.how, if risk { "risk" } else { "mean" });
        let (sampling, noise) = (half * (v0 + v1).sqrt(), half * self.noise[2].sqrt());
        out.push(Row::normal(&term, &statistic, half * (m1 - m0), sampling, noise, z).note(note));
        if risk {
            let statistic = format!("{} risk ratio", self.how);
            let sampling = v0 / (m0 * m0) + v1 / (m1 * m1);
            let (log, all) = ((m1 / m0).ln(), sampling + self.noise[3]);
            out.push(if m0 > 0.0 && m1 > 0.0 && all.is_finite() {
                Row::ratio(&term, &statistic, log, sampling.sqrt(), self.noise[3].sqrt(), z).note(note)
            } else {
                Row::withheld(&term, &statistic, "a risk is 0, or lost in the noise")
            });
        }
        out
    }
}

/// The noise's variances of two means, their difference and the logarithm of their ratio, which `f` says of the lanes.
pub(super) fn noises(values: &[f64], v: f64, f: impl Fn(&[f64]) -> [f64; 2]) -> [f64; 4] {
    let of = |pick: fn([f64; 2]) -> f64| noise_variance(values, v, |x| pick(f(x)));
    [of(|m| m[0]), of(|m| m[1]), of(|m| m[1] - m[0]), of(|m| (m[1] / m[0]).ln())]
}
