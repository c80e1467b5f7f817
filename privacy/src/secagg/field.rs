//! Arithmetic modulo the Mersenne prime 2^61 − 1, for the sharing of secrets.
//!
//! No branch and no memory access depends on a value, but for the inverse, which is taken of public places alone.

use zeroize::Zeroize;

/// The prime, 2^61 − 1.
pub(crate) const PRIME: u64 = (1 << 61) - 1;

/// A number below [`PRIME`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Zeroize)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Element(u64);

/// `x` modulo the prime, for any `x` below 2^62.
const fn reduced(x: u64) -> u64 {
    let folded = (x & PRIME) + (x >> 61);
    // Subtract the prime where it fits, without a branch.
    let less = folded.wrapping_sub(PRIME);
    let borrowed = (less >> 63).wrapping_neg();
    (folded & borrowed) | (less & !borrowed)
}

impl Element {
    pub(crate) const ZERO: Element = Element(0);

    /// A number that must be below the prime.
    pub(crate) fn new(x: u64) -> Option<Element> {
        (x < PRIME).then_some(Element(x))
    }

    /// The place of a party: never zero, where the secret lies.
    pub(crate) fn place(place: u32) -> Element {
        Element(u64::from(place) + 1)
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// A uniform element, zero included: 61 random bits, drawn anew for the one value that is no element.
    pub(crate) fn uniform(mut word: impl FnMut() -> u64) -> Element {
        loop {
            if let Some(e) = Element::new(word() & PRIME) {
                return e;
            }
        }
    }

    pub(crate) fn plus(self, other: Element) -> Element {
        Element(reduced(self.0 + other.0))
    }

    pub(crate) fn minus(self, other: Element) -> Element {
        Element(reduced(self.0 + PRIME - other.0))
    }

    pub(crate) fn times(self, other: Element) -> Element {
        let wide = u128::from(self.0) * u128::from(other.0);
        // wide < 2^122: the low 61 bits and the high 61 bits, each below 2^61.
        let (low, high) = ((wide as u64) & PRIME, (wide >> 61) as u64);
        Element(reduced(low + high))
    }

    /// The inverse by Fermat's little theorem; zero has none and gives zero.
    pub(crate) fn inverse(self) -> Element {
        let (mut out, mut base, mut exponent) = (Element(1), self, PRIME - 2);
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = out.times(base);
            }
            base = base.times(base);
            exponent >>= 1;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(a: u64, b: u64) -> u64 {
        (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64
    }

    proptest! {
        #[test]
        fn agrees_with_wide_division(a in 0..PRIME, b in 0..PRIME) {
            let (x, y) = (Element(a), Element(b));
            prop_assert_eq!(x.times(y).0, slow(a, b));
            prop_assert_eq!(x.plus(y).0, ((u128::from(a) + u128::from(b)) % u128::from(PRIME)) as u64);
            prop_assert_eq!(x.minus(y).plus(y), x);
            if a != 0 {
                prop_assert_eq!(x.inverse().times(x), Element(1));
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let top = Element(PRIME - 1);
        assert_eq!(top.plus(Element(1)), Element::ZERO);
        assert_eq!(top.times(top), Element(1));
        assert_eq!(Element::ZERO.minus(Element(1)), top);
        assert!(Element::new(PRIME).is_none());
    }

    #[test]
    fn the_one_word_that_is_no_element_is_drawn_again() {
        let mut words = [PRIME, u64::MAX, 5].into_iter();
        assert_eq!(Element::uniform(|| words.next().unwrap()), Element(5));
    }
}
