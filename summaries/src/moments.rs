//! How many, mean and variance of a number within public bounds.
//!
//! A value is clipped to its bounds and mapped to y in [−1, 1]; a patient adds (1, y, y²), or 1 to the lane of the
//! missing. The norm is at most √3 (and 1 for the missing), the maximum 1; the lanes are in fixed point.

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::lanes::{FIXED_POINT, Lanes, Layout, MergedRelease, Sensitivity, encode};
use crate::statistic::{AccumulateError, Input, Statistic, real};

/// A variance below so many standard errors of its noise is not told: one that is told only where the noise has made it large is too large.
const FAR_FROM_NOISE: f64 = 5.0;

/// A variance of y below this is not told. y and y² are rounded to 2⁻³⁶ of a patient's part, so that the variance may be wrong by 3·2⁻³⁷;
/// this is a hundred times as much, and its root one of half a percent.
const RESOLVED: f64 = 300.0 / (1u64 << 37) as f64;

/// n, mean and variance.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    lower: f64,
    upper: f64,
}

impl Moments {
    /// With public bounds; `None` unless lower < upper and both are finite.
    pub fn new(lower: f64, upper: f64) -> Option<Moments> {
        (lower < upper && lower.is_finite() && upper.is_finite()).then_some(Moments { lower, upper })
    }

    fn half_range(&self) -> f64 {
        (self.upper - self.lower) / 2.0
    }

    fn middle(&self) -> f64 {
        f64::midpoint(self.lower, self.upper)
    }
}

impl Statistic for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Real]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 4, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(4, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        for x in real("moments", patients, 0)? {
            if x.is_nan() {
                lanes.add("moments", 3, encode(1.0))?;
                continue;
            }
            let y = ((x.clamp(self.lower, self.upper) - self.middle()) / self.half_range()).clamp(-1.0, 1.0);
            for (lane, value) in [1.0, y, y * y].into_iter().enumerate() {
                lanes.add("moments", lane, encode(value))?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let z = reporting.z();
        let name = reporting.name(0);
        let n = merged.value(0, &layout);
        let mut rows = vec![patients(name, n, v.sqrt(), reporting)];
        let missing = patients(name, merged.value(3, &layout), v.sqrt(), reporting);
        rows.push(Row { statistic: "missing".into(), ..missing });
        if n < reporting.min_cell.max(2) as f64 || n < 3.0 * v.sqrt() {
            for statistic in ["mean", "sd"] {
                rows.push(Row::withheld(name, statistic, "too noisy to report"));
            }
            return Estimate { rows, curves: Vec::new() };
        }
        let y = (merged.value(1, &layout) / n).clamp(-1.0, 1.0);
        let q = (merged.value(2, &layout) / n).clamp(0.0, 1.0);
        // The unbiased variance, n/(n−1).
        let variance = (q - y * y).max(0.0) * n / (n - 1.0);
        let mean_noise = (v * (1.0 + y * y)).sqrt() / n;
        let h = self.half_range();
        rows.push(
            Row::normal(name, "mean", self.middle() + h * y, h * (variance / n).sqrt(), h * mean_noise, z)
                .within(self.lower, self.upper),
        );
        // Delta method for q − y²: ∂/∂a₂ = 1/n, ∂/∂a₁ = −2y/n, ∂/∂a₀ = (2y² − q)/n. Sampling would need the fourth moment; the normal's 2σ⁴/n is
        // wrong for what is not normal, so that no interval is told.
        let gradient = 1.0 + 4.0 * y * y + (2.0 * y * y - q).powi(2);
        let variance_noise = (v * gradient).sqrt() / n;
        let sd = variance.sqrt();
        if variance > 0.0 && variance < RESOLVED {
            let why = "it never varies, or its bounds are too wide for how little it does: values are told from each other by a 10,000th of them";
            rows.push(Row::withheld(name, "sd", why));
        } else if sd > 0.0 && variance > FAR_FROM_NOISE * variance_noise {
            let row = Row::test(name, "sd", h * sd, "");
            rows.push(Row { dp_se: Some(h * variance_noise / (2.0 * sd)), ..row });
        } else if v == 0.0 {
            rows.push(Row { dp_se: Some(0.0), ..Row::test(name, "sd", 0.0, "") });
        } else {
            rows.push(Row::withheld(name, "sd", "too noisy to report"));
        }
        Estimate { rows, curves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    /// An SD that only much noise has made large is withheld, and no interval of it is told: it would suppose a normal distribution.
    #[test]
    fn an_sd_has_to_stand_out_of_its_noise() {
        let s = Moments::new(-1.0, 1.0).unwrap();
        let reporting = Reporting { confidence: 0.95, min_cell: 0, names: vec!["x".into()], levels: vec![vec![]] };
        let (n, sd) = (1000.0, 8.0);
        let told = |variance: f64| {
            let lanes = vec![encode(n), 0, encode(n * variance), 0];
            let noise_variance = (sd * FIXED_POINT).powi(2);
            let e = s.estimate(&MergedRelease { lanes, noise_variance, unit: 1.0, sites: 1, shared: 1 }, &reporting);
            e.rows.into_iter().find(|r| r.statistic == "sd").unwrap()
        };
        // The noise's error of the variance is near 8/1000.
        assert!(told(0.025).suppressed && !told(0.045).suppressed);
        let row = told(0.09);
        assert!((row.estimate.unwrap() - 0.3).abs() < 1e-3 && row.dp_se.unwrap() > 0.0);
        assert!(row.lower.is_none() && row.upper.is_none() && row.se.is_none());
    }

    #[test]
    fn exact_without_noise() {
        let s = Moments::new(0.0, 200.0).unwrap();
        let xs = vec![120.0, 135.5, 99.25, f64::NAN, 250.0];
        let mut lanes = Lanes::zeros(4);
        s.accumulate(&PatientBatch::new(5, vec![Column::Real(xs)]).unwrap(), &mut lanes).unwrap();
        let reporting = Reporting { confidence: 0.95, min_cell: 0, names: vec!["sbp".into()], levels: vec![vec![]] };
        let e = s.estimate(
            &MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 },
            &reporting,
        );
        let get = |name: &str| e.rows.iter().find(|r| r.statistic == name).and_then(|r| r.estimate).unwrap();
        assert_eq!(get("n"), 4.0);
        assert_eq!(get("missing"), 1.0);
        let xs: [f64; 4] = [120.0, 135.5, 99.25, 200.0];
        let mean = xs.iter().sum::<f64>() / 4.0;
        let sd = (xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
        assert!((get("mean") - mean).abs() < 1e-8 && (get("sd") - sd).abs() < 1e-7);
    }
}
