//! The two questions of a plan: what ε does this noise give, and what noise does this ε need.

use super::error::AccountError;
use super::pld::{DEFAULT_INTERVAL, Pld};
use super::{gaussian, rdp};

/// The smallest δ that is accepted; below it the accountants lose their digits.
pub const LEAST_DELTA: f64 = 1e-12;

/// The noise multiplier is searched in steps of this.
const STEP: f64 = 1e-4;

/// The least noise multiplier that is considered, 0.01, in steps.
const LEAST_NOISE: u64 = 100;

/// The largest noise multiplier that is considered, a million, in steps.
const MOST_NOISE: u64 = 10_000_000_000;

/// How rounds are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accountant {
    /// Rényi differential privacy at [`rdp::rich_orders`]: fast, some per cent too high.
    Rdp,
    /// Privacy loss distributions: tight. Without sampling, the exact formula of the Gaussian.
    Pld,
}

/// The ε at δ of so many rounds of the Gaussian mechanism, each on a Poisson sample, one patient added or removed.
/// Never below the true one.
pub fn epsilon(
    accountant: Accountant,
    noise_multiplier: f64,
    sampling_rate: f64,
    rounds: u64,
    delta: f64,
) -> Result<f64, AccountError> {
    check(sampling_rate, rounds, delta)?;
    check_noise(noise_multiplier)?;
    match accountant {
        Accountant::Rdp => Ok(rdp_epsilon(noise_multiplier, sampling_rate, rounds, delta)),
        Accountant::Pld if sampling_rate == 1.0 => {
            let mu = (rounds as f64).sqrt() / noise_multiplier * (1.0 + 4.0 * f64::EPSILON);
            Ok(gaussian::epsilon(mu, delta))
        }
        Accountant::Pld => pld_epsilon(noise_multiplier, sampling_rate, rounds, delta),
    }
}

fn rdp_epsilon(sigma: f64, rate: f64, rounds: u64, delta: f64) -> f64 {
    let orders = rdp::rich_orders();
    let divergences: Vec<f64> =
        orders.iter().map(|alpha| rounds as f64 * rdp::sampled_gaussian(sigma, rate, *alpha)).collect();
    rdp::epsilon(&orders, &divergences, delta)
}

/// On the default grid, or on a coarser one when the losses are too many. A coarser grid says more, never less.
fn pld_epsilon(sigma: f64, rate: f64, rounds: u64, delta: f64) -> Result<f64, AccountError> {
    let mut interval = DEFAULT_INTERVAL;
    loop {
        let composed = Pld::sampled_gaussian(sigma, rate, interval).and_then(|pld| pld.self_compose(rounds));
        match composed {
            Err(AccountError::TooLarge(..)) if interval * 4.0 <= 1.0 => interval *= 4.0,
            other => return other?.epsilon(delta),
        }
    }
}

/// The smallest noise multiplier whose ε at δ is no more than asked, rounded up to 1e-4. It is 0.01 at the least.
pub fn noise_multiplier(
    accountant: Accountant,
    epsilon: f64,
    sampling_rate: f64,
    rounds: u64,
    delta: f64,
) -> Result<f64, AccountError> {
    check(sampling_rate, rounds, delta)?;
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(AccountError::Epsilon(epsilon));
    }
    let unreachable = || AccountError::Unreachable { epsilon, rounds, most: MOST_NOISE as f64 * STEP };
    let at = |steps: u64| match self::epsilon(accountant, noise(steps), sampling_rate, rounds, delta) {
        // Far too little noise.
        Err(AccountError::TooLarge(..)) => Ok(f64::INFINITY),
        other => other,
    };

    // The noise without sampling is enough with it, and so is what the looser accountant says.
    let whole = (rounds as f64).sqrt() / gaussian::mu(epsilon, delta) / STEP;
    let guess = match accountant {
        Accountant::Pld if sampling_rate < 1.0 => {
            noise_multiplier(Accountant::Rdp, epsilon, sampling_rate, rounds, delta).map_or(whole, |sigma| sigma / STEP)
        }
        _ => whole,
    };
    if guess.is_nan() {
        return Err(unreachable());
    }
    // `high` is enough, `low` is not, or is too little to be considered.
    let mut high = (guess.ceil() as u64).clamp(LEAST_NOISE, MOST_NOISE);
    let mut at_high = at(high)?;
    let (mut low, mut at_low) = (LEAST_NOISE - 1, f64::INFINITY);
    while at_high > epsilon {
        (low, at_low) = (high, at_high);
        if high >= MOST_NOISE {
            return Err(unreachable());
        }
        high = high.saturating_mul(2).min(MOST_NOISE);
        at_high = at(high)?;
    }
    let (mut turn, mut beside) = (0u32, None);
    while high - low > 1 {
        turn += 1;
        let try_at = match beside.take() {
            Some(steps) => steps,
            None if turn.is_multiple_of(5) => ((low as f64) * (high as f64)).sqrt() as u64,
            None => interpolate((low, at_low), (high, at_high), epsilon),
        };
        let steps = try_at.clamp(low + 1, high - 1);
        let value = at(steps)?;
        if value <= epsilon {
            (high, at_high) = (steps, value);
            beside = Some(steps - 1);
        } else {
            (low, at_low) = (steps, value);
            beside = Some(steps + 1);
        }
        // A neighbour is worth a try only when the guess came close.
        if (value / epsilon - 1.0).abs() > 2.0 / steps as f64 {
            beside = None;
        }
    }
    Ok(noise(high))
}

/// So many steps, as the number that is written with four decimals.
fn noise(steps: u64) -> f64 {
    steps as f64 / 1e4
}

/// Where the straight line through the logarithms crosses the ε that is wanted.
fn interpolate(low: (u64, f64), high: (u64, f64), wanted: f64) -> u64 {
    let (x, ratio) = ((high.0 as f64).ln(), (wanted / high.1.max(1e-300)).ln());
    let slope = if low.1.is_finite() {
        (x - (low.0 as f64).ln()) / (low.1 / high.1.max(1e-300)).ln()
    } else {
        // The noise is about in proportion to 1/ε; a little more, so that the next point is below.
        1.0
    };
    (x - slope * ratio).exp().ceil() as u64
}

fn check(rate: f64, rounds: u64, delta: f64) -> Result<(), AccountError> {
    check_rate(rate)?;
    check_delta(delta)?;
    if rounds == 0 { Err(AccountError::Rounds) } else { Ok(()) }
}

/// σ, or a scale: positive and finite.
pub(crate) fn check_noise(noise: f64) -> Result<(), AccountError> {
    if noise > 0.0 && noise.is_finite() { Ok(()) } else { Err(AccountError::Noise(noise)) }
}

/// q in (0, 1].
pub(crate) fn check_rate(rate: f64) -> Result<(), AccountError> {
    if rate > 0.0 && rate <= 1.0 { Ok(()) } else { Err(AccountError::SamplingRate(rate)) }
}

/// δ in [1e-12, 1).
pub(crate) fn check_delta(delta: f64) -> Result<(), AccountError> {
    if (LEAST_DELTA..1.0).contains(&delta) { Ok(()) } else { Err(AccountError::Delta(delta)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_nonsense() {
        use AccountError as E;
        for accountant in [Accountant::Rdp, Accountant::Pld] {
            for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
                assert!(matches!(epsilon(accountant, bad, 0.5, 1, 1e-6), Err(E::Noise(_))));
                assert!(matches!(epsilon(accountant, 1.0, bad, 1, 1e-6), Err(E::SamplingRate(_))));
                assert!(matches!(epsilon(accountant, 1.0, 0.5, 1, bad), Err(E::Delta(_))));
                assert!(matches!(noise_multiplier(accountant, bad, 0.5, 1, 1e-6), Err(E::Epsilon(_))));
            }
            assert!(matches!(epsilon(accountant, 1.0, 1.1, 1, 1e-6), Err(E::SamplingRate(_))));
            assert!(matches!(epsilon(accountant, 1.0, 0.5, 0, 1e-6), Err(E::Rounds)));
            assert!(matches!(epsilon(accountant, 1.0, 0.5, 1, 9.9e-13), Err(E::Delta(_))));
            assert!(matches!(epsilon(accountant, 1.0, 0.5, 1, 1.0), Err(E::Delta(_))));
            let tiny = noise_multiplier(accountant, 1e-12, 1.0, 1 << 60, 1e-12);
            assert!(matches!(tiny, Err(E::Unreachable { .. })), "{tiny:?}");
        }
    }

    #[test]
    fn extremes_are_answered() {
        for accountant in [Accountant::Rdp, Accountant::Pld] {
            for (sigma, rate, rounds) in [
                (0.02, 0.5, 3),
                (1.0, 1e-9, 1),
                (1e4, 0.5, 1),
                (0.3, 0.9, 1_000),
                (1.0, 1e-6, 100_000_000),
                (1e6, 1e-9, 1),
            ] {
                let e = epsilon(accountant, sigma, rate, rounds, 1e-9).unwrap();
                println!("{accountant:?} σ {sigma} q {rate} T {rounds}: ε {e}");
                assert!(e >= 0.0 && e.is_finite());
                let without = gaussian::epsilon((rounds as f64).sqrt() / sigma, 1e-9);
                assert!(accountant == Accountant::Rdp || e <= without * 1.001 + 0.01, "sampling never costs");
            }
            assert_eq!(noise_multiplier(accountant, 1e9, 1.0, 1, 1e-6).unwrap(), 0.01);
        }
    }

    #[test]
    fn the_noise_of_the_design() {
        assert_eq!(noise_multiplier(Accountant::Pld, 1.0, 1.0, 1, 1e-6).unwrap(), 4.2247);
        let start = std::time::Instant::now();
        let sigma = noise_multiplier(Accountant::Pld, 2.3818, 256.0 / 60000.0, 14063, 1e-5).unwrap();
        println!("PLD search of the noise: σ {sigma} in {:?}", start.elapsed());
        assert!((1.0999..=1.1001).contains(&sigma), "{sigma}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn the_search_never_overspends(e in 0.2f64..8.0, log_q in -2.5f64..0.0, log_t in 0.0f64..3.5, log_delta in -10.0f64..-3.0, pld: bool) {
            let accountant = if pld { Accountant::Pld } else { Accountant::Rdp };
            let (q, t, d) = (10f64.powf(log_q), 10f64.powf(log_t) as u64, 10f64.powf(log_delta));
            let sigma = noise_multiplier(accountant, e, q, t, d).unwrap();
            prop_assert!(epsilon(accountant, sigma, q, t, d).unwrap() <= e);
            if sigma > 0.0101 {
                prop_assert!(epsilon(accountant, sigma - STEP, q, t, d).unwrap() > e);
            }
        }
    }
}
