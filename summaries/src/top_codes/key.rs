//! Codes as strings of few symbols.

/// A code: symbols from 1, and 0 after its end.
pub type Key = [u8; LONGEST];

/// The longest code, in characters.
pub const LONGEST: usize = 24;

/// The characters of symbols 1 to 39. A character that is none of them is the last.
const CHARACTERS: &[u8; 39] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-?";

/// Which symbols a system's codes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Digits alone, as SNOMED CT and RxNorm.
    Digits,
    /// Digits, letters without their case, full stop, hyphen, and one symbol for any other.
    Letters,
}

impl Alphabet {
    /// How many symbols, the end among them.
    pub fn size(self) -> usize {
        match self {
            Alphabet::Digits => 11,
            Alphabet::Letters => 1 + CHARACTERS.len(),
        }
    }

    /// How many symbols a round finds out: about 1,500 ways to go on.
    pub fn step(self) -> usize {
        match self {
            Alphabet::Digits => 3,
            Alphabet::Letters => 2,
        }
    }
}

/// A code as a key; what is behind the longest length is left off.
pub fn key(code: &str) -> Key {
    let mut out = [0; LONGEST];
    for (slot, c) in out.iter_mut().zip(code.trim().chars()) {
        let c = c.to_ascii_uppercase();
        let place = CHARACTERS.iter().position(|k| char::from(*k) == c).unwrap_or(CHARACTERS.len() - 1);
        *slot = place as u8 + 1;
    }
    out
}

/// A beginning as text, with `*` behind it where its end is not known.
pub fn text(beginning: &[u8]) -> String {
    let known = beginning.iter().take_while(|s| **s != 0);
    let mut out: String =
        known.map(|s| CHARACTERS.get(usize::from(*s).wrapping_sub(1)).map_or('?', |c| char::from(*c))).collect();
    if !beginning.contains(&0) && beginning.len() < LONGEST {
        out.push('*');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_comes_back(code in "[0-9A-Z.-]{0,23}") {
            prop_assert_eq!(text(&key(&code)), code);
        }

        #[test]
        fn any_text_is_a_key(code in any::<String>()) {
            prop_assert!(key(&code).iter().all(|s| usize::from(*s) < Alphabet::Letters.size()));
        }
    }

    #[test]
    fn beginnings() {
        assert_eq!(text(&key("e11.9")[..4]), "E11.*");
        assert_eq!(text(&key("E11")[..4]), "E11");
        assert_eq!(text(&key("a/b")), "A?B");
        assert_eq!(Alphabet::Digits.size(), 11);
        assert!(key("0123456789").iter().all(|s| usize::from(*s) < Alphabet::Digits.size()));
    }
}
