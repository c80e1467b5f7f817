//! How a number of JSON is written: its decimals, which no parsed number has. `7.20` was measured more exactly than `7.2`.
//!
//! The text has been parsed before, so it is JSON; where it is none after all, nothing is found.

/// Where the value ends that begins here.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut depth, mut quoted) = (from, 0usize, false);
    loop {
        let byte = *bytes.get(at)?;
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The texts of an object's or a list's parts, between its brackets and its commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let mut at = 1;
    std::iter::from_fn(move || {
        let end = end(text.as_bytes(), at).filter(|end| *end > at)?;
        let part = text.get(at..end)?;
        at = end + 1;
        Some(part.trim())
    })
}

/// The text of an object's member.
pub(super) fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    parts(object).find_map(|part| {
        let rest = part.strip_prefix('"')?.strip_prefix(name)?.strip_prefix('"')?;
        rest.trim_start().strip_prefix(':').map(str::trim)
    })
}

/// The texts of a list's elements.
pub(super) fn elements(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.filter(|t| t.starts_with('[')).into_iter().flat_map(parts)
}

/// How many decimals a number is written with.
pub(super) fn decimals(number: &str) -> Option<i64> {
    crate::decimal::written(number).map(|(_, decimals)| decimals)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn members_and_elements_as_they_are_written() {
        let text = r#" { "a" : "}\",{", "b":[ {"value": 7.20 } , {"value":1e-3}, [] ], "value" : -12.50, "c":{} } "#;
        assert_eq!(member(text, "value").and_then(decimals), Some(2));
        let of = |e: &str| member(e, "value").and_then(decimals);
        assert_eq!(elements(member(text, "b")).map(of).collect::<Vec<_>>(), [Some(2), Some(3), None]);
        assert_eq!(
            (member(text, "c"), member(text, "d"), member("", "a"), member("{", "a")),
            (Some("{}"), None, None, None)
        );
        assert_eq!((elements(Some("[]")).count(), elements(Some("{}")).count(), elements(None).count()), (0, 0, 0));
    }
}
