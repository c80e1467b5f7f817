//! Rényi differential privacy of the Poisson-sampled Gaussian mechanism, one patient added or removed.
//!
//! Mironov, Talwar, Zhang, "Rényi differential privacy of the sampled Gaussian mechanism", 2019, section 3: with A_α
//! = E_{z~N(0,σ²)}[(1 − q + q e^{(2z−1)/2σ²})^α], the divergence of order α is at most ln A_α / (α − 1) in both
//! directions.
//!
//! Every figure here is rounded up. Where the series loses digits, the convexity of ln A_α in α (Hölder) bounds it.

use super::normal::ln_above;

/// How many terms of a series are summed at the most before the rest is bounded.
const TERMS: u32 = 1000;

/// A bound on the rounding of ln A_α by the two series, which sum to about 1.
const ROUNDING: f64 = 1e-13;

/// ln A_α, rounded up, for α ≥ 1, σ > 0 and 0 < q < 1.
pub(crate) fn ln_moment(sigma: f64, rate: f64, alpha: f64) -> f64 {
    if alpha.fract() == 0.0 {
        return at_integer(sigma, rate, alpha);
    }
    let (below, over) = (alpha.floor(), alpha.ceil());
    let share = alpha - below;
    let chord = (1.0 - share) * at_integer(sigma, rate, below) + share * at_integer(sigma, rate, over);
    chord.min(two_series(sigma, rate, alpha))
}

/// The divergence of order α > 1, from moments at whole orders alone: they are the same on a lattice (see [`crate::sampled`]). Between them the
/// logarithm of the moment is below its chord. Never above that without sampling; infinite where σ or q are out of range.
pub(crate) fn at_whole_orders(sigma: f64, rate: f64, alpha: f64) -> f64 {
    if !(sigma > 0.0 && sigma.is_finite() && rate > 0.0 && rate < 1.0 && alpha > 1.0 && alpha.is_finite()) {
        return f64::INFINITY;
    }
    let (below, over) = (alpha.floor(), alpha.ceil());
    let share = alpha - below;
    let chord = match share > 0.0 {
        true => (1.0 - share) * at_integer(sigma, rate, below) + share * at_integer(sigma, rate, over),
        false => at_integer(sigma, rate, alpha),
    };
    // The order 1 has the moment 1.
    let (sampled, whole) = (chord / (alpha - 1.0), alpha / (2.0 * sigma * sigma));
    if sampled < whole { sampled } else { whole }
}

/// Section 3.3, whole α: A_α = Σ C(α,k) (1−q)^{α−k} q^k e^{(k²−k)/2σ²}. The binomial weights sum to 1, so A_α − 1 is
/// the same sum with e^x − 1 in the place of e^x: its terms from k = 2 are positive, and a small A_α − 1 keeps its
/// digits.
fn at_integer(sigma: f64, rate: f64, alpha: f64) -> f64 {
    let (ln_q, ln_rest) = (rate.ln(), (-rate).ln_1p());
    let (mut ln_choose, mut ln_sum, mut k) = (0.0, f64::NEG_INFINITY, 0.0);
    while k < alpha {
        ln_choose += ((alpha - k) / (k + 1.0)).ln();
        k += 1.0;
        if k > 1.0 {
            let exponent = (k * k - k) / (2.0 * sigma * sigma);
            let ln_growth = if exponent > 30.0 { exponent } else { exponent.exp_m1().ln() };
            ln_sum = ln_plus(ln_sum, ln_choose + k * ln_q + (alpha - k) * ln_rest + ln_growth);
        }
    }
    let ln_moment = if ln_sum > 30.0 { ln_sum + (-ln_sum).exp() } else { ln_sum.exp().ln_1p() };
    ln_moment * (1.0 + 1e-12)
}

/// Section 3.3, the two series for fractional α, on both sides of z₀ = ½ + σ² ln(1/q − 1). Past k = α the signs of
/// C(α,k), and so of both terms, alternate, and their sizes fall: each is |C(α,k)| times the ratio of Mills at a
/// point that grows with k. So what is left after term k is no larger than that term, which is added.
fn two_series(sigma: f64, rate: f64, alpha: f64) -> f64 {
    let (ln_q, ln_rest) = (rate.ln(), (-rate).ln_1p());
    let split = 0.5 + sigma * sigma * (ln_rest - ln_q);
    let growth = |k: f64| (k * k - k) / (2.0 * sigma * sigma);
    let (mut plus, mut minus) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let (mut ln_choose, mut positive, mut last) = (0.0, true, f64::INFINITY);
    for i in 0..TERMS {
        let k = f64::from(i);
        let j = alpha - k;
        let left = ln_choose + k * ln_q + j * ln_rest + growth(k) + ln_above((k - split) / sigma);
        let right = ln_choose + j * ln_q + k * ln_rest + growth(j) + ln_above((split - j) / sigma);
        last = ln_plus(left, right);
        let sum = if positive { &mut plus } else { &mut minus };
        *sum = ln_plus(*sum, last);
        if k > alpha && last < plus - 40.0 {
            break;
        }
        positive = positive == (j > 0.0);
        ln_choose += (j / (k + 1.0)).abs().ln();
    }
    let over = ln_plus(plus, last);
    let total = over + (-(minus - over).exp()).ln_1p();
    if total.is_nan() || alpha >= f64::from(TERMS) { f64::INFINITY } else { total.max(0.0) * (1.0 + 1e-12) + ROUNDING }
}

/// ln(e^a + e^b).
fn ln_plus(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simpson's rule on the definition, with A_α − 1 taken by itself.
    fn by_quadrature(sigma: f64, rate: f64, alpha: f64) -> f64 {
        let (low, high, steps) = (-12.0 * sigma, 12.0 * sigma + alpha + 1.0, 400_000u32);
        let h = (high - low) / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|i| {
                let z = low + h * f64::from(i);
                let weight = if i == 0 || i == steps { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
                let loss = (rate * ((2.0 * z - 1.0) / (2.0 * sigma * sigma)).exp_m1()).ln_1p();
                let ln_density = -0.5 * (z / sigma).powi(2) - (sigma * std::f64::consts::TAU.sqrt()).ln();
                let much = alpha * loss > 30.0;
                let rise =
                    if much { (alpha * loss + ln_density).exp() } else { (alpha * loss).exp_m1() * ln_density.exp() };
                weight * (rise - alpha * loss.exp_m1() * ln_density.exp())
            })
            .sum();
        (sum * h / 3.0).ln_1p()
    }

    #[test]
    fn agrees_with_quadrature_and_is_not_below() {
        let mut worst = 0.0f64;
        for (sigma, rate) in [(1.0, 0.01), (0.7, 0.5), (2.0, 0.9), (5.0, 0.001), (0.6, 0.001), (1.1, 0.004), (3.0, 0.1)]
        {
            for alpha in [1.1, 1.25, 1.5, 2.0, 2.3, 2.6, 3.5, 4.5, 5.0, 8.7, 10.9, 13.0, 25.0] {
                let (ours, truth) = (ln_moment(sigma, rate, alpha), by_quadrature(sigma, rate, alpha));
                assert!(ours >= truth * (1.0 - 1e-9), "σ {sigma} q {rate} α {alpha}: {ours} {truth}");
                worst = worst.max((ours - truth) / (alpha - 1.0));
                if alpha.fract() == 0.0 {
                    assert!(ours <= truth * (1.0 + 1e-7), "σ {sigma} q {rate} α {alpha}: {ours} {truth}");
                }
            }
        }
        println!("sampled Gaussian: worst excess of the divergence at a fractional order {worst:.2e}");
        assert!(worst < 1e-8);
    }

    #[test]
    fn is_convex_and_never_lost() {
        for (sigma, rate) in [(1.0, 1e-8), (1000.0, 1e-6), (1000.0, 0.999), (0.05, 0.5), (0.3, 1e-4), (40.0, 0.3)] {
            let mut last = 0.0;
            for tenth in 11..600u32 {
                let alpha = f64::from(tenth) / 10.0;
                let divergence = ln_moment(sigma, rate, alpha) / (alpha - 1.0);
                assert!(divergence.is_finite() && divergence > 0.0, "σ {sigma} q {rate} α {alpha}");
                if alpha.fract() == 0.0 {
                    assert!(divergence >= last, "σ {sigma} q {rate} α {alpha}");
                    last = divergence;
                }
                assert!(divergence <= alpha / (2.0 * sigma * sigma) * (1.0 + 1e-9) + 1e-11, "sampling never costs");
            }
        }
    }
}
