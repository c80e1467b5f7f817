//! Numbers as programs write most of them: digits, and a point with digits. What is written in any other way is none here, and its
//! format's own reader says what it is.

/// The most digits of which every number, and every power of ten that they may need, is a whole double.
const EXACT: usize = 15;
/// The longest number that is taken.
const LONGEST: usize = 24;

/// The length of the number that a text begins with. One with an exponent is none.
pub(crate) fn length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.iter().skip(from).take(LONGEST + 1).take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    let whole = digits(sign);
    if whole == 0 || (whole > 1 && text.get(sign) == Some(&b'0')) {
        return None;
    }
    let mut end = sign + whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    (end <= LONGEST && !matches!(text.get(end), Some(b'e' | b'E' | b'.'))).then_some(end)
}

/// The value of a whole text and its decimals, where it is a number of few enough digits that every sound parser gives the same.
pub(crate) fn exact(text: &str) -> Option<(f64, i64)> {
    const POWERS: [f64; EXACT + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    if text.len() > EXACT || length(text.as_bytes()) != Some(text.len()) {
        return None;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mut whole, mut behind, mut point) = (0u64, 0usize, false);
    for byte in digits.bytes() {
        if byte == b'.' {
            point = true;
            continue;
        }
        whole = whole * 10 + u64::from(byte.wrapping_sub(b'0'));
        behind += usize::from(point);
    }
    #[allow(clippy::cast_precision_loss)]
    let value = whole as f64 / POWERS.get(behind)?;
    Some((if digits.len() < text.len() { -value } else { value }, i64::try_from(behind).ok()?))
}

/// A number and its decimals: digits with a point, and no thousands. Nothing else is a number.
pub(crate) fn written(text: &str) -> Option<(f64, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (text, None),
    };
    let digits = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if !all(whole) || !all(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    // What is behind the point once the number is written out: none of 1.5e2, three of 1e-3.
    let mut behind = i64::try_from(fraction.len()).unwrap_or(0);
    if let Some(e) = exponent {
        let bare = e.strip_prefix(['-', '+']).unwrap_or(e);
        if bare.is_empty() || bare.len() > 3 || !all(bare) {
            return None;
        }
        behind = (behind - e.parse::<i64>().ok()?).max(0);
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some((value, behind))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_plain_number_is_none() {
        for wrong in ["", "-", "01", "1.", ".5", "1e3", "1.5E2", "-x", "1.2.3", "1234567890123456789012345"] {
            assert_eq!(length(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!((length(b"0,"), length(b"-12.50}"), length(b"0.7")), (Some(1), Some(6), Some(3)));
        assert_eq!((exact("-12.50"), exact("7 "), exact("1234567890.123456")), (Some((-12.5, 2)), None, None));
    }

    #[test]
    fn decimals_are_those_of_the_number_written_out() {
        let decimals = |text: &str| written(text).map(|(_, decimals)| decimals);
        let got = ["7.20", "1.5e2", "15e1", "1e-3", "2.50E-2", "1e", "1e9999"].map(decimals);
        assert_eq!(got, [Some(2), Some(0), Some(0), Some(3), Some(4), None, None]);
    }

    proptest! {
        #[test]
        fn values_are_those_of_the_slow_parsers(text in "-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,14})?") {
            if let Some((value, _)) = exact(&text) {
                let json: f64 = serde_json::from_str(&text).unwrap();
                let plain: f64 = text.parse().unwrap();
                prop_assert_eq!((value.to_bits(), value.to_bits()), (json.to_bits(), plain.to_bits()));
            }
        }
    }
}
