//! Texts for people: numbers, escaping, and how wide a label is.

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A number of patients: whole, thousands apart.
    Count,
    /// An estimate: four significant digits.
    Value,
    /// A tick or a setting: at most four significant digits, without zeros at the end.
    Plain,
}

/// A number for people. The one function that writes numbers into reports.
pub(super) fn number(x: f64, style: Style) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "–"
        } else if x > 0.0 {
            "∞"
        } else {
            "−∞"
        }
        .to_owned();
    }
    let scientific = format!("{:.3e}", x.abs());
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let rounded: f64 = scientific.parse().unwrap_or(x.abs());
    let decimals = usize::try_from(3 - exponent).unwrap_or(0);
    let body = if x == 0.0 {
        "0".to_owned()
    } else if exponent > 15 || (style != Style::Count && !(-4..=5).contains(&exponent)) {
        format!("{}×10{}", trim(digits), superscript(exponent))
    } else {
        match style {
            Style::Count => group(&format!("{:.0}", x.abs()), 4),
            Style::Value => group(&format!("{rounded:.decimals$}"), 5),
            Style::Plain => group(trim(&format!("{rounded:.decimals$}")), 5),
        }
    };
    if x < 0.0 && body != "0" { format!("−{body}") } else { body }
}

fn trim(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// Thousands apart by a thin space that does not break, where the whole part has at least so many digits.
fn group(digits: &str, least: usize) -> String {
    let (whole, rest) = digits.find('.').map_or((digits, ""), |dot| digits.split_at(dot));
    if whole.len() < least {
        return digits.to_owned();
    }
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out + rest
}

fn superscript(exponent: i32) -> String {
    let raised = |c| match c {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        _ => '⁹',
    };
    exponent.to_string().chars().map(raised).collect()
}

/// Text made safe for HTML, within elements and quoted attributes. Control characters, and those that turn the direction of
/// writing, are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The first 12 characters of a hash.
pub(super) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// How wide a text is at 12 units a line, on the safe side.
pub(super) fn width(text: &str) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | ';' | '|' | '\'' | ' ' | '\u{202f}' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '×' | '=' | '+' | '<' | '>' | '~' => 0.95,
        c if c.is_uppercase() => 0.75,
        c if c < '\u{1100}' => 0.6,
        '\u{2000}'..='\u{2bff}' => 0.75,
        _ => 1.1,
    };
    text.chars().map(of).sum::<f64>() * 12.0
}

/// The text, cut with an ellipsis where it is wider than that.
pub(super) fn clip(text: &str, most: f64) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if width(&out) + width(&c.to_string()) + 9.0 > most {
            break;
        }
        out.push(c);
    }
    out + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(1_234_567.0, Style::Count), "1\u{202f}234\u{202f}567");
        assert_eq!(number(999.6, Style::Count), "1\u{202f}000");
        assert_eq!(number(0.5, Style::Value), "0.5000");
        assert_eq!(number(0.5, Style::Plain), "0.5");
        assert_eq!(number(-63.2168, Style::Value), "−63.22");
        assert_eq!(number(9.9999, Style::Value), "10.00");
        assert_eq!(number(1e-6, Style::Plain), "1×10⁻⁶");
        assert_eq!(number(0.1 + 0.2, Style::Plain), "0.3");
        assert_eq!(number(100.0, Style::Plain), "100");
        assert_eq!(number(-0.2, Style::Count), "0");
        assert_eq!(number(f64::INFINITY, Style::Value), "∞");
    }

    #[test]
    fn a_cut_label_fits() {
        let cut = clip("a very long label of a variable with many words", 100.0);
        assert!(cut.ends_with('…') && width(&cut) <= 105.0);
    }
}
