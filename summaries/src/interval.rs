//! The quantiles that intervals are made of.

use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor, Normal, StudentsT};

/// The quantile of the standard normal distribution at `p` in (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The distribution function of the standard normal distribution.
pub fn normal_cdf(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

/// With more degrees of freedom Student's t is the normal distribution, to 1e-5 of its quantiles: its own are computed without end, or
/// wrongly.
const AS_NORMAL: f64 = 1e5;

/// The quantile of Student's t distribution at `p` with so many degrees of freedom; the normal's where they are none, or above 100,000.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if df.is_nan() || df > AS_NORMAL {
        return normal_quantile(p);
    }
    StudentsT::new(0.0, 1.0, df).map_or_else(|_| normal_quantile(p), |t| t.inverse_cdf(p))
}

/// The two-sided p-value of a t statistic.
pub fn t_p(t: f64, df: f64) -> f64 {
    if df.is_nan() || df > AS_NORMAL {
        return normal_p(t);
    }
    StudentsT::new(0.0, 1.0, df).map_or_else(|_| normal_p(t), |d| (2.0 * d.sf(t.abs())).min(1.0))
}

/// The two-sided p-value of a standard normal statistic.
pub fn normal_p(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

/// 1 / (1 + e^(−z)), without overflow.
pub fn logistic(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// Degrees of freedom in words, without a fraction.
pub fn degrees_of_freedom(df: f64) -> String {
    format!("{df:.0} degree{} of freedom", if df.round() == 1.0 { "" } else { "s" })
}

/// The upper tail of χ² with so many degrees of freedom.
pub fn chi2_p(x: f64, df: f64) -> f64 {
    ChiSquared::new(df).map_or(f64::NAN, |d| d.sf(x.max(0.0)))
}

/// The upper tail of F.
pub fn f_p(x: f64, df1: f64, df2: f64) -> f64 {
    FisherSnedecor::new(df1, df2).map_or(f64::NAN, |d| d.sf(x.max(0.0)))
}

/// A proportion from two noisy numbers of patients, `part` of `whole`, with the standard error of sampling and of noise.
/// The noise's by the delta method: Var(a/b) ≈ (v_a + p² v_b − 2 p c) / b², where `covariance` is that of part and whole.
pub fn proportion(part: f64, whole: f64, part_var: f64, whole_var: f64, covariance: f64) -> (f64, f64, f64) {
    let p = (part / whole).clamp(0.0, 1.0);
    let sampling = (p * (1.0 - p) / whole).max(0.0).sqrt();
    let noise = ((part_var + p * p * whole_var - 2.0 * p * covariance) / (whole * whole)).max(0.0).sqrt();
    (p, sampling, noise)
}

/// The interval of the score of a proportion p of `whole` patients (Wilson 1927), with the noise's standard error: the shares q that lie no further
/// from p than z of their own errors, (p − q)² ≤ z² (q (1 − q)/n + noise²). Unlike p ± z errors it holds small shares and large ones, and is
/// none of no width where nobody, or everybody, was seen.
pub fn score(p: f64, whole: f64, noise: f64, z: f64) -> (f64, f64) {
    let by = z * z / whole.max(1.0);
    let (a, b, c) = (1.0 + by, 2.0 * p + by, p * p - z * z * noise * noise);
    let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
    (((b - root) / (2.0 * a)).clamp(0.0, p), ((b + root) / (2.0 * a)).clamp(p, 1.0))
}

/// The variance that independent noise in some values gives a function of them, to first order: its variance times the sum of the squared
/// derivatives, which are central differences.
pub fn noise_variance(values: &[f64], variance: f64, f: impl Fn(&[f64]) -> f64) -> f64 {
    if variance == 0.0 {
        return 0.0;
    }
    let mut own = values.to_vec();
    let mut squares = 0.0;
    for (i, at) in values.iter().enumerate() {
        let h = 1e-4 * at.abs().max(1.0);
        let mut moved = |to: f64| {
            if let Some(slot) = own.get_mut(i) {
                *slot = to;
            }
            f(&own)
        };
        let slope = (moved(at + h) - moved(at - h)) / (2.0 * h);
        moved(*at);
        squares += slope * slope;
    }
    variance * squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scores_interval_is_wilsons() {
        // R's prop.test(5, 100, correct = FALSE) and prop.test(0, 20, correct = FALSE).
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-6 && (b - d).abs() < 1e-6;
        assert!(
            near(score(0.05, 100.0, 0.0, 1.959_963_985), (0.021_543_68, 0.111_750_47)),
            "{:?}",
            score(0.05, 100.0, 0.0, 1.96)
        );
        assert!(near(score(0.0, 20.0, 0.0, 1.959_963_985), (0.0, 0.161_125_16)));
        let (low, high) = score(0.5, 1e12, 0.01, 2.0);
        assert!((low - 0.48).abs() < 1e-6 && (high - 0.52).abs() < 1e-6, "noise alone");
    }

    #[test]
    fn known_values() {
        assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-8);
        assert!((normal_cdf(1.0) - 0.841_344_746).abs() < 1e-8);
        let (p, s, n) = proportion(25.0, 100.0, 0.0, 0.0, 0.0);
        assert!((p - 0.25).abs() < 1e-12 && (s - 0.043_301_27).abs() < 1e-8 && n == 0.0);
    }
}
