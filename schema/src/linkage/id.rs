//! How a linkage id is read, however a hospital typed it.

use icu_normalizer::ComposingNormalizerBorrowed;

/// What stands between the parts of an id and says nothing: white space, `-`, `.`, `/`, and the other dashes that programs put
/// in the place of a hyphen.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '.' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The one spelling of an id: Unicode NFKC, upper case, NFKC again, without separators; `None` where nothing is left.
///
/// It mends how an id is typed and not what was typed: a wrong digit gives another person, and makes a count too high. A word
/// that stands for "unknown" in many rows gives all of them one tag; name it in the `null` of the mapping.
pub fn normalised(raw: &str) -> Option<String> {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let upper = nfkc.normalize(raw).to_uppercase();
    let id: String = nfkc.normalize(&upper).chars().filter(|c| !is_separator(*c)).collect();
    (!id.is_empty()).then_some(id)
}
