//! From the noises that were drawn to the noise of a window, exactly.

use dashu_int::IBig;

use super::{Continual, Correlation, WHOLE_BITS, coefficients, tree_row};

/// The noise of a window for each lane: the row of C⁻¹ times the noises of this window and of all before, to the nearest integer. `None`
/// where one is missing, or a lane leaves its range.
pub(crate) fn unfolded(series: &Continual, window: u32, noises: &[&[i64]]) -> Option<Vec<i64>> {
    let lanes = noises.get(window as usize)?.len();
    let own = noises.get(..=window as usize)?;
    if own.iter().any(|noise| noise.len() != lanes) {
        return None;
    }
    match series.strategy() {
        Correlation::Tree => tree(window, own, lanes),
        Correlation::Toeplitz => toeplitz(window, own, lanes),
    }
}

fn tree(window: u32, noises: &[&[i64]], lanes: usize) -> Option<Vec<i64>> {
    let mut out = vec![0i64; lanes];
    for (place, sign) in tree_row(window) {
        let noise = noises.get(place as usize)?;
        for (sum, n) in out.iter_mut().zip(*noise) {
            *sum = sum.checked_add(n.checked_mul(i64::from(sign))?)?;
        }
    }
    Some(out)
}

/// With dₖ the inverse's coefficients, dₖ·1024^(k+1) are integers Dₖ: D₀ = 1, Dₖ = −Σⱼ cⱼ·1024^(j−1)·Dₖ₋ⱼ.
fn numerators(windows: usize) -> Vec<IBig> {
    let c = coefficients(u32::try_from(windows).unwrap_or(u32::MAX));
    let bits = WHOLE_BITS as usize;
    let mut d: Vec<IBig> = Vec::with_capacity(windows);
    for k in 0..windows {
        let mut next = IBig::from(u8::from(k == 0));
        // Horner: ((c_k·D_0·1024 + c_{k−1}·D_1)·1024 + ...) + c_1·D_{k−1}.
        let mut sum = IBig::ZERO;
        for (before, coefficient) in d.iter().zip(c.iter().take(k + 1).skip(1).rev()) {
            sum = (sum << bits) + before * IBig::from(*coefficient);
        }
        next -= sum;
        d.push(next);
    }
    d
}

fn toeplitz(window: u32, noises: &[&[i64]], lanes: usize) -> Option<Vec<i64>> {
    let d = numerators(window as usize + 1);
    let bits = WHOLE_BITS as usize * (window as usize + 1);
    let half = IBig::ONE << (bits - 1);
    let mut out = Vec::with_capacity(lanes);
    for lane in 0..lanes {
        // Over 1024^(t+1): Σ Dₖ·1024^(t−k)·n_(t−k), the oldest noise with the last numerator.
        let mut sum = IBig::ZERO;
        for (numerator, noise) in d.iter().zip(noises.iter().rev()) {
            sum = (sum << WHOLE_BITS as usize) + numerator * IBig::from(*noise.get(lane)?);
        }
        // A shift to the right rounds down, so that this is ⌊z + ½⌋, which moves with whole steps of the grid.
        out.push(i64::try_from((sum + &half) >> bits).ok()?);
    }
    Some(out)
}
