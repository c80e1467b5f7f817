//! The exact (ε, δ) of the Gaussian mechanism, in both directions.
//!
//! Balle and Wang, "Improving the Gaussian mechanism for differential privacy", 2018, theorem 8: with μ = L2
//! sensitivity / σ, δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ). T rounds are one round with μ√T (Dong, Roth, Su,
//! "Gaussian differential privacy", 2019, corollary 3.3).
//!
//! The difference is not taken as it stands. With a = ε/μ − μ/2 and b = ε/μ + μ/2 we have φ(a) = e^ε φ(b), so that δ
//! = φ(a) (R(a) − R(b)), where R(x) = P(Z > x)/φ(x) is the ratio of Mills. Neither e^ε nor a small tail is ever
//! formed. When a and b are near each other, R(a) − R(b) is the integral of −R′(x) = 1 − x R(x).

use super::normal::{LN_ROOT_TAU, above, mills};

/// Below this μ the difference of ratios is taken as an integral.
const NEAR: f64 = 0.5;

/// Relative room for rounding: δ counts as reached only when it is this much below.
const ROOM: f64 = 1e-11;

/// Nodes and weights of Gauss and Legendre, ten points on [−1, 1], one half.
const NODES: [(f64, f64); 5] = [
    (0.148_874_338_981_631_2, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_35),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

/// The δ of the Gaussian mechanism with μ = L2 sensitivity / σ, at ε. A question without sense reads as no privacy: 1.
pub fn delta(mu: f64, epsilon: f64) -> f64 {
    if mu.is_nan() || epsilon.is_nan() || mu < 0.0 || mu == f64::INFINITY || epsilon == f64::NEG_INFINITY {
        return 1.0;
    }
    if epsilon < 0.0 {
        // The pair is symmetric: 1 − δ(−ε) = e^{−ε} (1 − δ(ε)).
        return (1.0 - epsilon.exp() * (1.0 - delta(mu, -epsilon))).clamp(0.0, 1.0);
    }
    if mu == 0.0 || epsilon == f64::INFINITY {
        return 0.0;
    }
    let (a, b) = (epsilon / mu - 0.5 * mu, epsilon / mu + 0.5 * mu);
    let density = (-0.5 * a * a - LN_ROOT_TAU).exp();
    if density == 0.0 && a > 0.0 {
        return 0.0;
    }
    let value = if mu < NEAR {
        density * fall(a, mu)
    } else if a > 0.0 {
        density * (mills(a) - mills(b))
    } else {
        above(a) - density * mills(b)
    };
    value.clamp(0.0, 1.0)
}

/// R(a) − R(a + width), for a small width.
fn fall(a: f64, width: f64) -> f64 {
    let slope = |x: f64| 1.0 - x * mills(x);
    let (middle, half) = (a + 0.5 * width, 0.5 * width);
    half * NODES
        .iter()
        .map(|(node, weight)| weight * (slope(middle - half * node) + slope(middle + half * node)))
        .sum::<f64>()
}

/// Whether δ holds at ε, with room for rounding.
fn holds(mu: f64, epsilon: f64, delta_wanted: f64) -> bool {
    delta(mu, epsilon) * (1.0 + ROOM) <= delta_wanted
}

/// The smallest ε ≥ 0 at which δ holds, rounded up. Infinite when there is none, or when the question has no sense.
pub fn epsilon(mu: f64, delta_wanted: f64) -> f64 {
    if delta_wanted.is_nan() || delta_wanted <= 0.0 {
        return if mu == 0.0 { 0.0 } else { f64::INFINITY };
    }
    if delta_wanted >= 1.0 || holds(mu, 0.0, delta_wanted) {
        return 0.0;
    }
    let mut high = 1.0;
    while !holds(mu, high, delta_wanted) {
        high *= 2.0;
        if high > 1e300 {
            return f64::INFINITY;
        }
    }
    let mut low = 0.0;
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(mu, middle, delta_wanted) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The largest μ whose δ at ε is no more than wanted, rounded down; the least noise is L2 sensitivity / μ. Nothing
/// when the question has no sense.
pub fn mu(epsilon: f64, delta_wanted: f64) -> f64 {
    if delta_wanted.is_nan() || epsilon.is_nan() || epsilon < 0.0 || delta_wanted <= 0.0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while holds(high, epsilon, delta_wanted) {
        low = high;
        high *= 2.0;
        if high > 1e150 {
            return low;
        }
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle, epsilon, delta_wanted) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::super::golden_tests::golden;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_sixty_digits() {
        let mut worst = 0.0f64;
        for v in &golden().gaussian {
            worst = worst.max((delta(v.mu, v.epsilon) / v.delta - 1.0).abs());
        }
        println!("analytic Gaussian: worst relative error of δ {worst:.2e} over {} points", golden().gaussian.len());
        assert!(worst < 1e-11);
    }

    #[test]
    fn figures_of_the_design() {
        for (sigma, rounds, d, expected) in [
            (1.0, 1.0f64, 1e-6, 4.886554),
            (2.0, 10.0, 1e-6, 8.306225),
            (10.0, 100.0, 1e-5, 4.377178),
            (5.0, 1.0, 1e-9, 1.104040),
        ] {
            assert!((epsilon(rounds.sqrt() / sigma, d) - expected).abs() < 1e-6);
        }
        assert!((1.0 / mu(1.0, 1e-6) - 4.2247).abs() < 5e-5);
    }

    #[test]
    fn nonsense_is_no_privacy() {
        assert_eq!(delta(f64::NAN, 1.0), 1.0);
        assert_eq!(delta(1.0, f64::NAN), 1.0);
        assert_eq!(epsilon(1.0, f64::NAN), f64::INFINITY);
        assert_eq!(epsilon(f64::INFINITY, 1e-6), f64::INFINITY);
        assert_eq!(epsilon(1.0, 0.0), f64::INFINITY);
        assert_eq!(mu(f64::NAN, 1e-6), 0.0);
        assert_eq!(mu(1.0, 0.0), 0.0);
        assert_eq!(epsilon(0.0, 1e-6), 0.0);
    }

    proptest! {
        #[test]
        fn there_and_back(log_epsilon in -3.0f64..3.0, log_delta in -12.0f64..-1.0) {
            let (e, d) = (10f64.powf(log_epsilon), 10f64.powf(log_delta));
            let m = mu(e, d);
            prop_assert!(delta(m, e) <= d);
            prop_assert!(delta(m * (1.0 + 1e-8), e) > d * (1.0 - 1e-9));
            let back = epsilon(m, d);
            prop_assert!(back <= e * (1.0 + 1e-9) && back >= e * (1.0 - 1e-8), "{} {}", back, e);
            prop_assert!(delta(m, back) <= d);
        }

        #[test]
        fn falls_with_epsilon_and_grows_with_mu(m in 1e-4f64..40.0, e in 0.0f64..1000.0, step in 0.001f64..1.0) {
            let here = delta(m, e);
            prop_assert!((0.0..=1.0).contains(&here));
            prop_assert!(delta(m, e + step) <= here * (1.0 + 1e-12));
            prop_assert!(delta(m * (1.0 + step), e) >= here * (1.0 - 1e-12));
        }
    }
}
