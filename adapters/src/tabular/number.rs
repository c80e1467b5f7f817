//! Numbers as a mapping says they are written. Nothing is guessed from their looks.

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) decimal: char,
    pub(crate) thousands: Option<char>,
}

/// As programs write them.
pub(crate) const PLAIN: Numbers = Numbers { decimal: '.', thousands: None };

impl Numbers {
    /// The number a text names, and its decimals; `None` where the text is not of this kind.
    pub(crate) fn parse(&self, text: &str) -> Option<(f64, i64)> {
        let mut plain = String::with_capacity(text.len());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, Some(e)),
            None => (text, None),
        };
        let digits = match mantissa.strip_prefix(['-', '−']) {
            Some(rest) => {
                plain.push('-');
                rest
            }
            None => mantissa.strip_prefix('+').unwrap_or(mantissa),
        };
        let (whole, fraction) = match digits.split_once(self.decimal) {
            Some((w, f)) => (w, f),
            None => (digits, ""),
        };
        self.grouped(whole, &mut plain)?;
        if !fraction.bytes().all(|b| b.is_ascii_digit()) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        plain.push('.');
        plain.push_str(fraction);
        if let Some(e) = exponent {
            let bare = e.strip_prefix(['-', '+']).unwrap_or(e);
            if bare.is_empty() || bare.len() > 3 || !bare.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            plain.push('e');
            plain.push_str(e);
        }
        let value: f64 = if plain == "." || plain == "-." { return None } else { plain.parse().ok()? };
        value.is_finite().then_some((value, i64::try_from(fraction.len()).unwrap_or(0)))
    }

    /// Whole digits, with the thousands apart or not at all.
    fn grouped(&self, whole: &str, plain: &mut String) -> Option<()> {
        let Some(separator) = self.thousands.filter(|t| whole.contains(*t)) else {
            plain.push_str(whole);
            return whole.bytes().all(|b| b.is_ascii_digit()).then_some(());
        };
        for (i, group) in whole.split(separator).enumerate() {
            let fits = if i == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
            if !fits || !group.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            plain.push_str(group);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const GERMAN: Numbers = Numbers { decimal: ',', thousands: Some('.') };

    #[test]
    fn german_and_plain() {
        assert_eq!(GERMAN.parse("1.234,5"), Some((1234.5, 1)));
        assert_eq!(GERMAN.parse("1234,50"), Some((1234.5, 2)));
        assert_eq!(GERMAN.parse("7"), Some((7.0, 0)));
        for wrong in ["1,234.5", "1.23,4", "12.34", "", ",", "-", "1,2,3", "abc", "1.2345"] {
            assert_eq!(GERMAN.parse(wrong), None, "{wrong}");
        }
        assert_eq!(PLAIN.parse(".7"), Some((0.7, 1)));
        assert_eq!(PLAIN.parse("63.0"), Some((63.0, 1)));
        assert_eq!(PLAIN.parse("-1.5e-3"), Some((-0.0015, 1)));
        for wrong in ["1,5", "1e", "NaN", "inf", "1e999", "0x10", "1 000", "--1"] {
            assert_eq!(PLAIN.parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,30}") {
            let _ = (GERMAN.parse(&text), PLAIN.parse(&text));
        }
        #[test]
        fn round_trip(v in -1e9f64..1e9) {
            let text = format!("{v:.3}");
            let want: f64 = text.parse().unwrap();
            prop_assert_eq!(PLAIN.parse(&text).unwrap().0, want);
            prop_assert_eq!(GERMAN.parse(&text.replace('.', ",")).unwrap().0, want);
        }
    }
}
