//! Rényi differential privacy of the mechanisms, and what a list of divergences means in ε and δ.

use super::orders::{Curve, ORDERS};
use super::sampled_rdp;

/// The orders of the accountant on the command line. The ledger has [`ORDERS`]. The same list as dp-accounting 0.6.0:
/// tenths from 1.1 to 10.9, whole numbers from 11 to 63, then 128, 256, 512 and 1024.
pub fn rich_orders() -> Vec<f64> {
    let tenths = (1..100u32).map(|x| 1.0 + f64::from(x) / 10.0);
    tenths.chain((11..64u32).map(f64::from)).chain([128.0, 256.0, 512.0, 1024.0]).collect()
}

/// The Gaussian mechanism of noise multiplier σ: α/2σ² (Mironov, "Rényi differential privacy", 2017, proposition 7).
pub fn gaussian(sigma: f64, alpha: f64) -> f64 {
    if !(sigma > 0.0 && alpha > 1.0) {
        return f64::INFINITY;
    }
    alpha / (2.0 * sigma * sigma)
}

/// The Gaussian mechanism on a Poisson sample of rate q (Mironov, Talwar, Zhang 2019). At α it is never above the
/// mechanism without sampling.
pub fn sampled_gaussian(sigma: f64, rate: f64, alpha: f64) -> f64 {
    if !(sigma > 0.0 && sigma.is_finite() && rate > 0.0 && rate <= 1.0 && alpha > 1.0 && alpha.is_finite()) {
        return f64::INFINITY;
    }
    let whole = gaussian(sigma, alpha);
    if rate == 1.0 {
        return whole;
    }
    let sampled = sampled_rdp::ln_moment(sigma, rate, alpha) / (alpha - 1.0);
    // A NaN is not taken for a small number.
    if sampled < whole { sampled } else { whole }
}

/// Laplace noise of the scale b on a sum of sensitivity 1 (Mironov 2017, proposition 6):
/// ln(α/(2α−1) e^{(α−1)/b} + (α−1)/(2α−1) e^{−α/b}) / (α−1), with e^{(α−1)/b} taken out of the logarithm.
pub fn laplace(scale: f64, alpha: f64) -> f64 {
    if !(scale > 0.0 && scale.is_finite() && alpha > 1.0 && alpha.is_finite()) {
        return f64::INFINITY;
    }
    let epsilon = 1.0 / scale;
    let inner = (alpha - 1.0) * (epsilon * (1.0 - 2.0 * alpha)).exp_m1() / (2.0 * alpha - 1.0);
    let exact = epsilon + inner.ln_1p() / (alpha - 1.0);
    // The difference loses digits when ε is small; the general bound takes over there.
    (exact + 4.0 * f64::EPSILON * epsilon * (1.0 + 1.0 / (alpha - 1.0))).min(pure(epsilon, alpha))
}

/// Any mechanism of pure ε-differential privacy: min(ε, αε²/2) (Bun and Steinke, "Concentrated differential privacy",
/// 2016, proposition 3.3).
pub fn pure(epsilon: f64, alpha: f64) -> f64 {
    if !(epsilon >= 0.0 && alpha > 1.0) {
        return f64::INFINITY;
    }
    epsilon.min(alpha * epsilon * epsilon / 2.0)
}

/// The ε at δ of a mechanism with these divergences at these orders; infinite when the question has no sense.
///
/// For each α > 1, δ = e^{(α−1)(r−ε)}/(α−1) · (1−1/α)^α (Canonne, Kamath, Steinke, "The discrete Gaussian for
/// differential privacy", 2020, proposition 12), so ε = r + ln(1−1/α) − ln(δα)/(α−1). When δ² ≥ 1 − e^{−r}, ε is 0,
/// for the total variation is at most √(1 − e^{−KL}) (Bretagnolle and Huber 1979) and KL is at most r.
pub fn epsilon(orders: &[f64], divergences: &[f64], delta: f64) -> f64 {
    if !(delta > 0.0 && delta < 1.0) {
        return f64::INFINITY;
    }
    let at = |(alpha, r): (&f64, &f64)| {
        if !(*alpha > 1.0 && alpha.is_finite() && *r >= 0.0) {
            f64::INFINITY
        } else if delta * delta >= -(-r).exp_m1() {
            0.0
        } else {
            let value = r + (-1.0 / alpha).ln_1p() - (delta * alpha).ln() / (alpha - 1.0);
            if value.is_nan() { f64::INFINITY } else { value.max(0.0) }
        }
    };
    orders.iter().zip(divergences).map(at).fold(f64::INFINITY, f64::min)
}

/// The ε at δ of what a ledger has spent.
pub fn epsilon_of(curve: &Curve, delta: f64) -> f64 {
    epsilon(&ORDERS, &curve.values(), delta)
}

#[cfg(test)]
mod tests {
    use super::super::golden_tests::{golden, rdp_epsilon};
    use super::*;

    #[test]
    fn agrees_with_dp_accounting_and_is_above_the_oracle() {
        let (mut excess, mut margin, mut shortfall) = (f64::MIN, f64::MAX, f64::MIN);
        for row in &golden().rows {
            let ours = rdp_epsilon(row);
            excess = excess.max(ours - row.rdp);
            shortfall = shortfall.max(row.rdp - ours);
            margin = margin.min(ours - row.lower());
            assert!(ours <= row.rdp + 1e-3, "{row:?}: {ours}");
            assert!(ours >= row.lower(), "{row:?}: {ours}");
        }
        println!(
            "RDP: most above dp-accounting {excess:.2e}, most below {shortfall:.2e}, least above the lower bound {margin:.2e}"
        );
    }

    #[test]
    fn laplace_by_its_formula() {
        for (b, alpha) in [(1.0, 2.0), (0.2, 1.5), (5.0, 30.0), (10.0, 1.25)] {
            let a: f64 = alpha;
            let first = a / (2.0 * a - 1.0) * ((a - 1.0) / b).exp();
            let plain = (first + (a - 1.0) / (2.0 * a - 1.0) * (-a / b).exp()).ln() / (a - 1.0);
            assert!((laplace(b, a) - plain).abs() < 1e-12);
        }
        for b in [0.1, 1.0, 100.0, 1e6, 1e9] {
            for alpha in ORDERS {
                let r = laplace(b, alpha);
                assert!(r > 0.0 && r <= pure(1.0 / b, alpha), "{b} {alpha}");
            }
        }
    }

    #[test]
    fn nonsense_is_infinite() {
        for bad in [f64::NAN, -1.0, 0.0] {
            assert_eq!(gaussian(bad, 2.0), f64::INFINITY);
            assert_eq!(sampled_gaussian(bad, 0.5, 2.0), f64::INFINITY);
            assert_eq!(sampled_gaussian(1.0, bad, 2.0), f64::INFINITY);
            assert_eq!(laplace(bad, 2.0), f64::INFINITY);
            assert_eq!(gaussian(1.0, bad), f64::INFINITY);
            assert_eq!(epsilon(&[2.0], &[0.1], bad), f64::INFINITY);
        }
        assert_eq!(pure(f64::NAN, 2.0), f64::INFINITY);
        assert_eq!(epsilon(&[2.0], &[f64::NAN], 1e-6), f64::INFINITY);
        assert_eq!(epsilon(&[f64::NAN, 0.5], &[0.1, 0.1], 1e-6), f64::INFINITY);
        assert_eq!(epsilon(&[], &[], 1e-6), f64::INFINITY);
        assert_eq!(epsilon_of(&Curve::ZERO, 1e-9), 0.0);
    }
}
