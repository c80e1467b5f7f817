//! Decides "a uniform real is below e^(−γ)" by integers alone, for γ a rational. Slow, and asked once in 2^35 coins.

use dashu_int::UBig;

/// Whether u < e^(−num/den), for the uniform real u of [0, 1) whose first 64 bits are `first` and whose further bits are
/// drawn from `more`, as many as it takes. Needs `den` > 0.
///
/// After k words, W/2^64k ≤ u < (W + 1)/2^64k, so both answers below hold for every u that starts with these bits.
#[cold]
#[inline(never)]
pub(super) fn below(num: &UBig, den: &UBig, first: u64, more: &mut dyn FnMut() -> u64) -> bool {
    if num.is_zero() {
        return true; // e^0 = 1, and u < 1.
    }
    let unit = UBig::ONE << 64;
    let mut uniform = UBig::from(first);
    let mut bits = 64;
    loop {
        let (low, high) = enclose(num, den, bits + 64);
        let from = &uniform << 64;
        if &from + &unit <= low {
            return true;
        }
        if from >= high {
            return false;
        }
        uniform = (uniform << 64) + UBig::from(more());
        bits += 64;
    }
}

/// Integers (l, h) with l ≤ e^(−num/den) · 2^bits ≤ h, at most a few apart. Needs `den` > 0.
///
/// With y = γ/2^j ≤ 1/2, e^(−y) lies between neighbouring partial sums of Σ (−y)^k/k!, an alternating series of falling
/// terms (Leibniz), and e^(−γ) is e^(−y) squared j times. Every lower bound is rounded down and every upper bound up.
pub(super) fn enclose(num: &UBig, den: &UBig, bits: usize) -> (UBig, UBig) {
    if num >= &(den * UBig::from(bits)) {
        return (UBig::ZERO, UBig::ONE); // γ ≥ bits, so e^(−γ) < 2^(−bits).
    }
    let mut halvings = 0;
    let mut scaled_den = den.clone();
    while num << 1 > scaled_den {
        scaled_den <<= 1;
        halvings += 1;
    }
    let guard = 2 * halvings + bits.ilog2() as usize + 16;
    let q = bits + guard;
    let y_low = (num << q) / &scaled_den;
    let y_high = &y_low + UBig::ONE;

    // a ≤ y^k/k! · 2^q ≤ b, for k = 0, 1, 2, … The sums of even and of odd terms are kept apart, so that nothing is ever
    // negative: the even ones are at least 2^q, the odd ones at most sinh(1/2)·2^q and a few units.
    let (mut a, mut b) = (UBig::ONE << q, UBig::ONE << q);
    let (mut even_a, mut even_b) = (a.clone(), b.clone());
    let (mut odd_a, mut odd_b) = (UBig::ZERO, UBig::ZERO);
    let mut k = 0u32;
    let (mut low, mut high) = loop {
        (a, b) = next_term(&a, &b, &y_low, &y_high, k + 1, q);
        odd_a += &a;
        odd_b += &b;
        let low = &even_a - &odd_b;
        (a, b) = next_term(&a, &b, &y_low, &y_high, k + 2, q);
        even_a += &a;
        even_b += &b;
        k += 2;
        if b <= UBig::ONE {
            break (low, &even_b - &odd_a);
        }
    };
    for _ in 0..halvings {
        low = (&low * &low) >> q;
        high = shift_up(&high * &high, q);
    }
    (low >> guard, shift_up(high, guard))
}

/// The bounds of the k-th term from those of the term before: times y/k, rounded down and up.
fn next_term(a: &UBig, b: &UBig, y_low: &UBig, y_high: &UBig, k: u32, q: usize) -> (UBig, UBig) {
    let k = UBig::from(k);
    (((a * y_low) >> q) / &k, (shift_up(b * y_high, q) + &k - UBig::ONE) / &k)
}

/// x / 2^bits, rounded up.
fn shift_up(x: UBig, bits: usize) -> UBig {
    (x + ((UBig::ONE << bits) - UBig::ONE)) >> bits
}
