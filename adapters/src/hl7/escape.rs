//! Escapes: `\F\ \S\ \T\ \R\ \E\` for the separators, `\X..\` for bytes, `\.br\` for a line break.
//!
//! Highlighting (`\H\ \N\`), layout (`\.in+2\`) and changes of the character set (`\C..\ \M..\`) are no text and go.
//! What is no escape stays as it was written: a backslash in a text that nobody escaped.

use std::borrow::Cow;

use super::scan::Separators;

/// The longest escape that is looked for.
const LONGEST: usize = 4096;

/// A text without its escapes; borrowed where it has none.
pub(crate) fn unescape<'t>(text: &'t str, seps: &Separators) -> Cow<'t, str> {
    let mark = char::from(seps.escape);
    if seps.escape == 0 || memchr::memchr(seps.escape, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        out.push_str(before);
        match after.split_once(mark) {
            Some((code, behind)) if code.len() <= LONGEST && meaning(code, seps, &mut out) => rest = behind,
            _ => {
                out.push(mark);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Writes what an escape stands for; false where it is none.
fn meaning(code: &str, seps: &Separators, out: &mut String) -> bool {
    let own = |separator: u8, usual: char| if separator == 0 { usual } else { char::from(separator) };
    match code {
        "F" => out.push(own(seps.field, '|')),
        "S" => out.push(own(seps.component, '^')),
        "T" => out.push(own(seps.sub, '&')),
        "R" => out.push(own(seps.repetition, '~')),
        "E" => out.push(own(seps.escape, '\\')),
        "P" => out.push('#'),
        "H" | "N" => {}
        ".br" | ".sp" | ".ce" => out.push('\n'),
        _ => {
            let mut letters = code.chars();
            let first = letters.next();
            let rest = letters.as_str();
            match first {
                Some('X') => return hexadecimal(rest, out),
                Some('.') => {
                    let word = rest.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ' '));
                    match word {
                        "br" | "sp" | "ce" => out.push('\n'),
                        "in" | "ti" | "fi" | "nf" | "sk" => {}
                        _ => return false,
                    }
                }
                Some('C' | 'M') if rest.len() >= 4 && rest.bytes().all(|b| b.is_ascii_hexdigit()) => {}
                Some('Z') if rest.bytes().all(|b| b.is_ascii_alphanumeric()) => {}
                _ => return false,
            }
        }
    }
    true
}

/// `\Xdd..\`: bytes; text where they are UTF-8, else Latin-1.
fn hexadecimal(digits: &str, out: &mut String) -> bool {
    let digits = digits.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let value = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or_default();
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0u8, |v, b| (v << 4) | value(*b))).collect();
    match std::str::from_utf8(&bytes) {
        Ok(text) => out.push_str(text),
        Err(_) => out.extend(bytes.iter().map(|b| char::from(*b))),
    }
    true
}

/// A text with its separators escaped, and its line breaks.
#[cfg(test)]
pub(crate) fn escape(text: &str, seps: &Separators) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let code = match u8::try_from(c) {
            Ok(b) if b == seps.field => "F",
            Ok(b) if b == seps.component => "S",
            Ok(b) if b == seps.sub => "T",
            Ok(b) if b == seps.repetition => "R",
            Ok(b) if b == seps.escape => "E",
            Ok(b'\r') => "X0D",
            Ok(b'\n') => "X0A",
            _ => {
                out.push(c);
                continue;
            }
        };
        let mark = char::from(seps.escape);
        out.push(mark);
        out.push_str(code);
        out.push(mark);
    }
    out
}
