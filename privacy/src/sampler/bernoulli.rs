//! Coins of chance e^(−γ): by `f64` where a proved margin allows it, else by `exact`.

use std::f64::consts::{LN_2, LOG2_E};

use dashu_int::UBig;
use rand_core::CryptoRng;

use super::exact;

/// `f64` decides a coin only farther than 2^(−MARGIN) from e^(−γ). The error is proved to be below 2^(−44).
pub(super) const MARGIN: u32 = 36;

/// ⌊2^64 / e⌋.
pub(super) const INVERSE_E: u64 = 6_786_177_901_268_885_274;

const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// Beyond this, e^(−γ) is below 2^(−64).
const FAR: f64 = 45.0;

/// 1/k! for k = 0 to 11.
const TAYLOR: [f64; 12] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
];

/// e^(−γ) for γ ≥ 0, off by less than 2^(−45). Sums, products and conversions only, which IEEE 754 rounds correctly: what
/// `f64::exp` returns depends on the platform.
///
/// With k the integer nearest to γ/ln 2 and r = k·ln 2 − γ, |r| < 0.35: e^(−γ) = 2^(−k)·e^r.
#[inline]
pub(super) fn exp_neg(gamma: f64) -> f64 {
    if gamma >= FAR {
        return 0.0;
    }
    let k = (gamma * LOG2_E + 0.5) as u64;
    let r = k as f64 * LN_2 - gamma;
    // Estrin's order: pairs, then pairs of pairs.
    let [c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11] = TAYLOR;
    let (r2, r4) = (r * r, (r * r) * (r * r));
    let low = (c0 + c1 * r) + (c2 + c3 * r) * r2;
    let mid = (c4 + c5 * r) + (c6 + c7 * r) * r2;
    let high = (c8 + c9 * r) + (c10 + c11 * r) * r2;
    let power = f64::from_bits((1023 - k) << 52);
    (low + (mid + high * r4) * r4) * power
}

/// Whether u < e^(−γ) for every uniform real u that starts with these 64 bits, if the margin allows an answer.
#[inline]
pub(super) fn quick<const MARGIN: u32>(gamma: f64, word: u64) -> Option<bool> {
    let margin = const { f64::from_bits((1023 - MARGIN as u64) << 52) };
    let chance = exp_neg(gamma);
    // Conversion to u64 cuts towards zero and saturates, so word < low means (word + 1)/2^64 ≤ chance − margin, and
    // word > high means word/2^64 > chance + margin.
    let low = ((chance - margin) * TWO_64) as u64;
    let high = ((chance + margin) * TWO_64) as u64;
    if word < low {
        Some(true)
    } else if word > high {
        Some(false)
    } else {
        None
    }
}

/// A coin of chance e^(−num/den), where `gamma` is num/den up to the error that the proof allows and `exact` gives
/// (num, den).
#[inline]
pub(super) fn coin<const MARGIN: u32, R: CryptoRng>(
    rng: &mut R,
    gamma: f64,
    exact: impl FnOnce() -> (UBig, UBig),
) -> bool {
    let word = rng.next_u64();
    quick::<MARGIN>(gamma, word).unwrap_or_else(|| {
        let (num, den) = exact();
        exact::below(&num, &den, word, &mut || rng.next_u64())
    })
}

/// A coin of chance 1/e.
#[inline]
pub(super) fn coin_e<const MARGIN: u32, R: CryptoRng>(rng: &mut R) -> bool {
    let margin = const { if MARGIN == 0 { u64::MAX } else { 1 << (64 - MARGIN) } };
    let word = rng.next_u64();
    if word < INVERSE_E.saturating_sub(margin) {
        true
    } else if word > INVERSE_E.saturating_add(margin) {
        false
    } else {
        exact::below(&UBig::ONE, &UBig::ONE, word, &mut || rng.next_u64())
    }
}
