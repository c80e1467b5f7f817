//! Planted faults: each gate finds what it is for.

use dashu_int::UBig;
use rand_core::CryptoRng;

use super::super::bernoulli::{coin, exp_neg};
use super::super::gates::GAUSSIAN;
use super::*;

const TWO_64: f64 = 18_446_744_073_709_551_616.0;

#[test]
fn a_margin_with_the_wrong_sign_is_caught() {
    let wrong = |gamma: f64, word: u64| {
        let (chance, margin) = (exp_neg(gamma), (0.5f64).powi(MARGIN as i32));
        let (low, high) = (((chance + margin) * TWO_64) as u64, ((chance - margin) * TWO_64) as u64);
        if word < low {
            Some(true)
        } else if word > high {
            Some(false)
        } else {
            None
        }
    };
    gates::agree(wrong, 100_000).unwrap_err();
}

#[test]
fn a_missing_margin_is_caught() {
    gates::agree(|gamma, word| Some(word < (exp_neg(gamma) * TWO_64) as u64), 100_000).unwrap_err();
}

#[test]
fn a_crude_exponential_is_caught_by_the_law() {
    let (scale, mut rng) = (scale(4.2247), rng(6));
    let wrong = |rng: &mut ChaCha20Rng| loop {
        // Acceptance by (1 − γ/8)^8 in place of e^(−γ).
        let ((u, negative), v) = (uniform(rng, 5), geometric(rng));
        let gamma = scale.gamma(u, u + 5 * v);
        let accepted = (rng.next_u64() as f64) < (1.0 - gamma / 8.0).max(0.0).powi(8) * TWO_64;
        if accepted && !(negative && u + v == 0) {
            return if negative { -((u + 5 * v) as i64) } else { (u + 5 * v) as i64 };
        }
    };
    let out: Vec<i64> = (0..MANY).map(|_| wrong(&mut rng)).collect();
    gates::mass(&out, 4.2247, GAUSSIAN).unwrap_err();
}

fn geometric(rng: &mut impl CryptoRng) -> u64 {
    (0..).take_while(|_| coin::<MARGIN, _>(rng, 1.0, || (UBig::ONE, UBig::ONE))).count() as u64
}

#[test]
fn a_uniform_number_that_is_not_is_caught() {
    // The remainder of six bits: 0 has 4 of 64, the others 3.
    let remainder = |rng: &mut ChaCha20Rng, width| ((rng.next_u64() & 63) % width, rng.next_u64() & 1 == 1);
    gates::mass(&drawn::<MARGIN>(20.0, 7, remainder), 20.0, GAUSSIAN).unwrap_err();
    // The last number is never drawn.
    let short = |rng: &mut ChaCha20Rng, width| uniform(rng, width - 1);
    gates::mass(&drawn::<MARGIN>(4.2247, 7, short), 4.2247, GAUSSIAN).unwrap_err();
    // The sign hangs on the number.
    let signed = |rng: &mut ChaCha20Rng, width| {
        let (u, _) = uniform(rng, width);
        (u, u % 2 == 1)
    };
    gates::mass(&drawn::<MARGIN>(4.2247, 7, signed), 4.2247, GAUSSIAN).unwrap_err();
}

#[test]
fn a_scale_two_percent_off_is_caught() {
    for (sigma, factor) in [(1.0, 1.02), (4.2247, 0.98), (4.2247, 1.02), (1e3, 0.98), (1e11, 1.02)] {
        let out = drawn::<MARGIN>(sigma * factor, 8, uniform);
        gates::gaussian(&out, sigma).unwrap_err();
    }
}

#[test]
fn zero_with_two_signs_is_caught() {
    let mut out = drawn::<MARGIN>(2.0, 9, uniform);
    let zeros: Vec<i64> = out.iter().copied().filter(|x| *x == 0).collect();
    out.extend(zeros);
    gates::mass(&out, 2.0, GAUSSIAN).unwrap_err();
}
