//! The parts that the proof stands on: exact decisions, error bounds, the uniform number, the formula.

use dashu_int::UBig;
use proptest::prelude::*;

use super::super::bernoulli::{INVERSE_E, exp_neg, quick};
use super::super::exact;
use super::super::gates::{Case, GAUSSIAN};
use super::super::proposal::spread;
use super::*;

#[test]
fn quick_and_exact_decisions_agree() {
    assert_eq!(quick::<0>(0.5, 0), None);
    gates::agree(quick::<MARGIN>, 100_000).unwrap();
}

/// From the same bits, the quick and the exact coins give the very same draws: the margin changes nothing but time.
#[test]
fn the_margin_does_not_change_a_draw() {
    for sigma in [0.3, 4.2247, 1e11] {
        assert_eq!(drawn::<0>(sigma, 5, uniform), drawn::<MARGIN>(sigma, 5, uniform)[..SOME]);
    }
}

/// Sums proposal times acceptance over all proposals: the formula of γ gives the law, to the precision of `f64`.
#[test]
fn the_acceptance_chance_gives_the_law() {
    for sigma in [0.01, 0.3, 1.0, 2.0, 4.2247, 20.0] {
        let scale = scale(sigma);
        let t = scale.width();
        let mut weights = vec![];
        for (v, u) in (0..45).flat_map(|v| (0..t).map(move |u| (v, u))) {
            weights.push((-(v as f64)).exp() * (-scale.gamma(u, u + t * v)).exp());
        }
        let whole = 2.0 * weights.iter().sum::<f64>() - weights[0];
        for (w, m) in weights.iter().zip(gates::masses(sigma, GAUSSIAN)) {
            assert!((w / whole - m).abs() < 1e-14, "σ = {sigma}");
        }
        let trials = 2.0 * t as f64 / (1.0 - (-1.0f64).exp()) / whole;
        assert!((2.08..3.30).contains(&trials), "{trials} at σ = {sigma}");
    }
}

/// Every word of eight bits, for every width: each number has as many words as any other.
#[test]
fn the_uniform_number_is_uniform() {
    for width in 1..=256u64 {
        let mut words = vec![0u64; width as usize];
        (0..256).filter_map(|word| spread::<8>(word, width)).for_each(|n| words[n as usize] += 1);
        assert!(words.iter().all(|n| *n == 256 / width), "width {width}: {words:?}");
    }
}

#[test]
fn the_chance_of_a_block_is_one_over_e() {
    let (low, high) = exact::enclose(&UBig::ONE, &UBig::ONE, 64 + 64);
    assert_eq!(low >> 64, UBig::from(INVERSE_E));
    assert_eq!(high >> 64, UBig::from(INVERSE_E));
}

/// The error bounds of the proof, on random coins over all scales.
#[test]
fn the_error_bounds_hold() {
    let mut rng = rng(10);
    for _ in 0..100_000 {
        let Case { gamma, num, den } = gates::case(&mut rng);
        // γ to 2^(−80), as an integer.
        let truth = (&num << 80) / &den;
        let computed = fixed(gamma, 80);
        let gap = if truth > computed { &truth - &computed } else { &computed - &truth };
        // (20γ + 6)·2^(−53), at the same scale; 1 for the division.
        assert!(gap <= ((&truth * 20u32 + (UBig::from(6u32) << 80)) >> 53) + UBig::ONE, "{gamma}");
        let (low, high) = exact::enclose(&num, &den, 80);
        let chance = fixed(exp_neg(gamma), 80);
        let room = UBig::ONE << (80 - 44);
        assert!(&chance + &room >= high && chance <= low + room, "{gamma}");
    }
}

/// ⌊x·2^bits⌋ of an `f64` above 0, exactly.
fn fixed(x: f64, bits: i32) -> UBig {
    let (mantissa, exponent) = ((x.to_bits() & ((1 << 52) - 1)) | (1 << 52), (x.to_bits() >> 52) as i32 - 1075 + bits);
    let mantissa = UBig::from(if x == 0.0 { 0 } else { mantissa });
    if exponent >= 0 { mantissa << exponent as usize } else { mantissa >> (-exponent) as usize }
}

/// Decides with the given words; the answer, and how many words it took.
fn decided(num: &UBig, den: &UBig, words: &[u64]) -> (bool, usize) {
    let mut taken = 1;
    let answer = exact::below(num, den, words[0], &mut || {
        taken += 1;
        words[taken - 1]
    });
    (answer, taken)
}

/// A uniform real that leaves the binary digits of e^(−γ) at a late word is decided by that word, or the one after it.
#[test]
fn the_exact_decision_reads_as_many_bits_as_it_takes() {
    let mut rng = rng(16);
    for _ in 0..200 {
        let Case { num, den, .. } = gates::case(&mut rng);
        let digits = exact::enclose(&num, &den, 400).0 >> 80;
        let word = |i: usize| u64::try_from((&digits >> (64 * (4 - i))) & UBig::from(u64::MAX)).unwrap();
        for i in 0..5 {
            for (below, filler) in [(true, u64::MAX), (false, 0)] {
                let Some(other) = (if below { word(i).checked_sub(1) } else { word(i).checked_add(1) }) else {
                    continue;
                };
                let words: Vec<u64> = (0..i).map(word).chain([other]).chain([filler; 4]).collect();
                let (answer, taken) = decided(&num, &den, &words);
                assert_eq!(answer, below);
                assert!(taken <= i + 2);
            }
        }
    }
}

/// A γ whose e^(−γ) is within 2^(−190) of a word: the words after it decide, whatever the first enclosures say.
#[test]
fn a_chance_beside_a_word_is_decided_rightly() {
    let mut rng = rng(17);
    for _ in 0..20 {
        let first = rng.next_u64() >> (rng.next_u64() % 20) | 1;
        let (den, target) = (UBig::ONE << 200, UBig::from(first) << 336);
        // The largest num with e^(−num/den) above the word.
        let (mut good, mut bad) = (UBig::ZERO, UBig::from(64u32) << 200);
        while &bad - &good > UBig::ONE {
            let middle = (&good + &bad) >> 1;
            if exact::enclose(&middle, &den, 400).0 > target { good = middle } else { bad = middle }
        }
        let at = |num: &UBig, next: u64| decided(num, &den, &[first, next, next, next, next, next]).0;
        assert!(at(&good, 0) && !at(&bad, 0) && !at(&good, u64::MAX) && !at(&bad, u64::MAX), "{first:#x}");
        let before = |num: &UBig| decided(num, &den, &[first - 1, u64::MAX, u64::MAX, 0, 0, 0]).0;
        assert!(before(&good) && before(&bad), "{first:#x}");
    }
}

proptest! {
    /// The enclosure at two precisions overlaps, is narrow, and holds what `f64::exp` says.
    #[test]
    fn the_enclosure_encloses(num in 0u64..1 << 40, den in 1u64..1 << 36) {
        let (n, d) = (UBig::from(num), UBig::from(den));
        let (low, high) = exact::enclose(&n, &d, 128);
        let (finer_low, finer_high) = exact::enclose(&n, &d, 400);
        prop_assert!(low <= high && &low + UBig::from(4u32) >= high);
        prop_assert!(low << 272 <= finer_high && finer_low <= high.clone() << 272);
        let chance = (-(num as f64) / den as f64).exp();
        prop_assert!((f64::from(u32::try_from(high >> 97).unwrap()) / 2f64.powi(31) - chance).abs() < 1e-9);
    }

    #[test]
    fn scales_are_checked(nano in any::<u128>(), num in any::<u64>(), den in any::<u64>()) {
        let good = (10_000_000..=100_000_000_000_000_000_000_000).contains(&nano);
        prop_assert_eq!(Scale::from_nano(nano).is_ok(), good);
        let _ = LaplaceScale::new(num, den);
    }
}
