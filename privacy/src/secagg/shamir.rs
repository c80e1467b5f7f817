//! Shamir's sharing of 32-byte secrets (Shamir 1979), over the field of 2^61 − 1.
//!
//! A secret is cut into five limbs of 56 bits (the last of 32), each shared by a polynomial of degree t − 1 of its own, whose
//! coefficients are uniform over the whole field, zero included: a leading coefficient that is never zero would bias the shares.

use zeroize::Zeroizing;

use super::field::Element;
use super::stream::Words;

const LIMBS: usize = 5;
const LIMB_BYTES: usize = 7;
/// The bytes of a share.
pub const SHARE_BYTES: usize = LIMBS * 8;

/// One party's share of a secret: five field elements, little-endian.
pub type Share = Zeroizing<[u8; SHARE_BYTES]>;

/// Shares that are no shares of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShamirError {
    /// Fewer shares than the threshold.
    #[error("{given} shares were given, and {needed} are needed")]
    TooFew {
        /// Given.
        given: usize,
        /// The threshold.
        needed: usize,
    },
    /// The shares do not lie on one polynomial, or are no field elements, or two are of one place.
    #[error("the shares do not belong together")]
    Inconsistent,
}

/// Shares of a secret for parties at `places`; any `threshold` of them give it back, fewer say nothing of it.
pub(crate) fn split(secret: &[u8; 32], threshold: usize, places: &[u32], words: &mut Words) -> Vec<(u32, Share)> {
    let mut limbs: Vec<Zeroizing<Vec<Element>>> = Vec::with_capacity(LIMBS);
    for chunk in secret.chunks(LIMB_BYTES) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        let constant = Element::new(u64::from_le_bytes(word)).unwrap_or_default();
        let mut coefficients = Zeroizing::new(Vec::with_capacity(threshold));
        coefficients.push(constant);
        coefficients.extend((1..threshold).map(|_| Element::uniform(|| words.next())));
        limbs.push(coefficients);
    }
    let share_at = |place: u32| {
        let x = Element::place(place);
        let mut share: Share = Zeroizing::new([0; SHARE_BYTES]);
        for (coefficients, out) in limbs.iter().zip(share.chunks_mut(8)) {
            let y = coefficients.iter().rev().fold(Element::ZERO, |sum, c| sum.times(x).plus(*c));
            out.copy_from_slice(&y.value().to_le_bytes());
        }
        (place, share)
    };
    places.iter().map(|place| share_at(*place)).collect()
}

/// The secret behind at least `threshold` shares. Shares beyond the threshold must lie on the same polynomials.
///
/// # Errors
/// There are too few, or they do not belong together.
pub fn combine(shares: &[(u32, Share)], threshold: usize) -> Result<Zeroizing<[u8; 32]>, ShamirError> {
    let (own, rest) = match shares.split_at_checked(threshold) {
        Some((own, rest)) if threshold > 0 => (own, rest),
        _ => return Err(ShamirError::TooFew { given: shares.len(), needed: threshold }),
    };
    let places: Vec<Element> = own.iter().map(|(place, _)| Element::place(*place)).collect();
    let twice = |i: usize| shares.iter().skip(i + 1).any(|(p, _)| shares.get(i).is_some_and(|(q, _)| p == q));
    if (0..shares.len()).any(twice) {
        return Err(ShamirError::Inconsistent);
    }
    let at_zero = weights(&places, Element::ZERO);
    let checks: Vec<_> = rest.iter().map(|(p, share)| (weights(&places, Element::place(*p)), share)).collect();
    let mut secret = Zeroizing::new([0; 32]);
    for (limb, out) in secret.chunks_mut(LIMB_BYTES).enumerate() {
        let values = own.iter().map(|(_, share)| element(share, limb)).collect::<Option<Vec<_>>>();
        let values = Zeroizing::new(values.ok_or(ShamirError::Inconsistent)?);
        for (weights, share) in &checks {
            if element(share, limb) != Some(weighted(weights, &values)) {
                return Err(ShamirError::Inconsistent);
            }
        }
        let word = Zeroizing::new(weighted(&at_zero, &values).value().to_le_bytes());
        let (low, high) = word.split_at_checked(out.len()).ok_or(ShamirError::Inconsistent)?;
        if high.iter().any(|b| *b != 0) {
            return Err(ShamirError::Inconsistent);
        }
        out.copy_from_slice(low);
    }
    Ok(secret)
}

fn element(share: &Share, limb: usize) -> Option<Element> {
    let bytes = share.get(limb * 8..limb * 8 + 8)?;
    Element::new(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn weighted(weights: &[Element], values: &[Element]) -> Element {
    weights.iter().zip(values).fold(Element::ZERO, |sum, (w, v)| sum.plus(w.times(*v)))
}

/// Lagrange's weights: the value at `x` of the polynomial through the places is the weighted sum of its values there.
fn weights(places: &[Element], x: Element) -> Vec<Element> {
    let one = Element::place(0);
    places
        .iter()
        .map(|own| {
            let others = places.iter().filter(|p| *p != own);
            let (above, below) = others.fold((one, one), |(a, b), p| (a.times(x.minus(*p)), b.times(own.minus(*p))));
            above.times(below.inverse())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_threshold_of_shares_gives_the_secret_and_fewer_give_none(
            secret in any::<[u8; 32]>(), seed in any::<[u8; 32]>(), n in 2usize..14, cut in 1usize..14, turn in 0usize..14,
        ) {
            let t = cut.min(n);
            let places: Vec<u32> = (0..n as u32).map(|p| p * 3).collect();
            let mut shares = split(&secret, t, &places, &mut Words::new(&seed));
            shares.rotate_left(turn % n);
            prop_assert_eq!(*combine(&shares[..t], t).unwrap(), secret);
            prop_assert_eq!(*combine(&shares, t).unwrap(), secret);
            let few = combine(&shares[..t - 1], t);
            prop_assert!(matches!(few, Err(ShamirError::TooFew { .. })), "too few");
        }

        #[test]
        fn a_changed_share_is_found_where_there_is_one_to_spare(
            secret in any::<[u8; 32]>(), seed in any::<[u8; 32]>(), at in 0usize..5, byte in 0usize..SHARE_BYTES, bit in 0u8..8,
        ) {
            let mut shares = split(&secret, 4, &[0, 1, 2, 3, 4], &mut Words::new(&seed));
            shares[at].1[byte] ^= 1 << bit;
            prop_assert_eq!(combine(&shares, 4).unwrap_err(), ShamirError::Inconsistent);
        }
    }

    #[test]
    fn one_place_twice_is_refused() {
        let shares = split(&[7; 32], 2, &[0, 1], &mut Words::new(&[1; 32]));
        let twice = [shares[0].clone(), shares[0].clone()];
        assert_eq!(combine(&twice, 2).unwrap_err(), ShamirError::Inconsistent);
    }

    /// With t − 1 shares every secret is equally likely: over many sharings of two secrets, the low byte of a share has the
    /// same distribution (χ² over 16 cells, false alarm 1e-6), and a share is never the secret's own limb by construction.
    #[test]
    fn a_share_says_nothing_of_the_secret() {
        let mut cells = [[0f64; 16]; 2];
        for (which, secret) in [[0u8; 32], [255; 32]].iter().enumerate() {
            let mut words = Words::new(&[which as u8; 32]);
            for _ in 0..8_000 {
                let shares = split(secret, 2, &[3], &mut words);
                cells[which][usize::from(shares[0].1[0] & 15)] += 1.0;
            }
        }
        let chi: f64 = cells[0].iter().zip(&cells[1]).map(|(a, b)| (a - b).powi(2) / (a + b)).sum();
        assert!(chi < 59.0, "χ² with 15 degrees of freedom: {chi}");
    }
}
