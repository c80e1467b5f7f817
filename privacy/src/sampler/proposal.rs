//! What both samplers propose: a uniform U in [0, t), a geometric V, a fair sign; all independent.

use rand_core::CryptoRng;

use super::bernoulli::coin_e;

/// Random bits of a word that the uniform number uses; the last one is the sign.
const BITS: u32 = 63;

/// One proposal. |Y| = U + t·V.
#[derive(Clone, Copy)]
pub(super) struct Proposal {
    /// Uniform in [0, t).
    pub(super) uniform: u64,
    /// At least k with chance e^(−k).
    pub(super) blocks: u64,
    /// Fair.
    pub(super) negative: bool,
}

/// Draws a proposal. `uniform` is [`uniform`] but in a test that plants a fault.
#[inline]
pub(super) fn propose<const MARGIN: u32, R: CryptoRng>(
    rng: &mut R,
    width: u64,
    uniform: impl Fn(&mut R, u64) -> (u64, bool),
) -> Proposal {
    let (uniform, negative) = uniform(rng, width);
    let mut blocks = 0;
    while coin_e::<MARGIN, R>(rng) {
        blocks += 1;
    }
    Proposal { uniform, blocks, negative }
}

/// A uniform number in [0, width) and a fair coin, independent. Needs 1 ≤ `width` ≤ 2^63.
#[inline]
pub(super) fn uniform<R: CryptoRng>(rng: &mut R, width: u64) -> (u64, bool) {
    loop {
        let word = rng.next_u64();
        if let Some(number) = spread::<BITS>(word >> 1, width) {
            return (number, word & 1 == 1);
        }
    }
}

/// Maps a word of `BITS` uniform bits to [0, width), or refuses it, so that each number has exactly ⌊2^BITS/width⌋ words.
/// Lemire, "Fast Random Integer Generation in an Interval" (2019). Needs 1 ≤ `width` ≤ 2^BITS.
///
/// Number v takes the multiples of `width` from v·2^BITS + (2^BITS mod width) up to (v + 1)·2^BITS: that length is a
/// multiple of `width`.
#[inline]
pub(super) fn spread<const BITS: u32>(word: u64, width: u64) -> Option<u64> {
    let product = u128::from(word) * u128::from(width);
    let rest = product & ((1 << BITS) - 1);
    if rest < u128::from(width) && rest < (1 << BITS) % u128::from(width) {
        return None;
    }
    Some((product >> BITS) as u64)
}
