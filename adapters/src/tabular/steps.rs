//! What is done to the text of a made column, one step after the other.

use std::collections::HashMap;

use super::columns::Columns;
use super::toml_doc::Section;
use crate::sink::AdapterError;

/// The keys of the steps.
pub(crate) const KEYS: &[&str] = &[
    "null", "before", "after", "last", "like", "token", "label", "number", "case", "map", "unmapped", "dots", "prefix",
    "present",
];

/// What is done to the text; [`Steps::apply`] has the order.
#[derive(Default, PartialEq)]
pub(crate) struct Steps {
    null: Vec<String>,
    before: Option<String>,
    after: Option<String>,
    last: Option<String>,
    like: Vec<String>,
    token: bool,
    label: bool,
    number: Option<Number>,
    case: Option<Case>,
    map: Option<HashMap<String, String>>,
    keep_unmapped: bool,
    dots: Option<Dots>,
    prefix: Option<String>,
    present: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Lower,
    Upper,
}

/// Which texts are kept by what they are as numbers.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    /// Numbers, with and without a comparator.
    Any,
    /// Numbers behind a comparator.
    Bound,
    /// What is no number.
    No,
}

impl Number {
    fn takes(self, text: &str) -> bool {
        match (self, crate::measurement::in_words(text)) {
            (Number::Any, found) => found.is_some(),
            (Number::Bound, found) => found.is_some_and(|(sign, ..)| sign != crate::measurement::Comparator::Eq),
            (Number::No, found) => found.is_none(),
        }
    }
}

/// Where a code that was written without its dot has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dots {
    /// ICD-9-CM diagnoses: behind the third character, behind the fourth in an E code.
    Icd9Cm,
    /// ICD-9-CM procedures: behind the second.
    Icd9Proc,
    /// ICD-10 diagnoses: behind the third.
    Icd10,
}

/// A longer text is no code.
const LONGEST_TOKEN: usize = 64;

/// Whether a text has a form: `#` stands for a digit, `@` for a letter, `*` at the end for anything.
fn like(form: &str, text: &str) -> bool {
    let mut rest = text.chars();
    for wanted in form.chars() {
        let fits = match (wanted, rest.next()) {
            ('*', _) => return true,
            ('#', Some(c)) => c.is_ascii_digit(),
            ('@', Some(c)) => c.is_ascii_alphabetic(),
            (c, Some(d)) => c == d,
            (_, None) => false,
        };
        if !fits {
            return false;
        }
    }
    rest.next().is_none()
}

impl Dots {
    /// Appends the code with its dot.
    fn write(self, code: &str, out: &mut String) {
        let at = match self {
            Dots::Icd9Cm if code.starts_with(['E', 'e']) => 4,
            Dots::Icd9Cm | Dots::Icd10 => 3,
            Dots::Icd9Proc => 2,
        };
        match code.split_at_checked(at) {
            Some((head, tail)) if !tail.is_empty() && !code.contains('.') => {
                out.push_str(head);
                out.push('.');
                out.push_str(tail);
            }
            _ => out.push_str(code),
        }
    }
}

/// What came of a text.
pub(crate) enum Stepped<'t> {
    Null,
    Same,
    Text(&'t str),
    /// What was written.
    Own,
}

impl Steps {
    pub(crate) fn parse<'d, 't>(section: &Section<'d, 't>, columns: &Columns<'d, 't>) -> Result<Steps, AdapterError> {
        let text = |key: &str| Ok::<_, AdapterError>(section.text(key)?.map(|t| t.text.to_owned()));
        let of = |key: &str, known: &[&str]| -> Result<Option<usize>, AdapterError> {
            let Some(t) = section.text(key)? else { return Ok(None) };
            match known.iter().position(|k| *k == t.text) {
                Some(at) => Ok(Some(at)),
                None => Err(section.doc.error(t.at, format!("{key} is one of: {}", known.join(", ")))),
            }
        };
        let map = match section.get("map") {
            None => None,
            Some(value) => {
                let mut map = HashMap::new();
                for (from, to) in columns.map(value)?.entries() {
                    map.insert(from.text.to_owned(), to.text(from.text)?.text.to_owned());
                }
                Some(map)
            }
        };
        Ok(Steps {
            null: section.texts("null")?.iter().map(|t| t.text.to_owned()).collect(),
            before: text("before")?,
            after: text("after")?,
            last: text("last")?,
            like: section.texts("like")?.iter().map(|t| t.text.to_owned()).collect(),
            token: section.flag("token", false)?,
            label: section.flag("label", false)?,
            number: match of("number", &["any", "bound", "none"])? {
                None => None,
                Some(0) => Some(Number::Any),
                Some(1) => Some(Number::Bound),
                Some(_) => Some(Number::No),
            },
            case: match of("case", &["lower", "upper"])? {
                None => None,
                Some(0) => Some(Case::Lower),
                Some(_) => Some(Case::Upper),
            },
            map,
            keep_unmapped: of("unmapped", &["null", "keep"])? == Some(1),
            dots: match of("dots", &["icd9cm", "icd9proc", "icd10"])? {
                None => None,
                Some(0) => Some(Dots::Icd9Cm),
                Some(1) => Some(Dots::Icd9Proc),
                Some(_) => Some(Dots::Icd10),
            },
            prefix: text("prefix")?,
            present: text("present")?,
        })
    }

    /// Whether nothing is done to a text.
    pub(crate) fn is_none(&self) -> bool {
        *self == Steps::default()
    }

    /// Does them to a text; what is written goes to `out`.
    pub(crate) fn apply<'t>(&'t self, whole: &str, out: &mut String) -> Stepped<'t> {
        if self.null.iter().any(|n| n == whole) {
            return Stepped::Null;
        }
        let mut text = whole;
        if let Some(mark) = &self.before {
            match text.split_once(mark.as_str()) {
                Some((head, _)) => text = head.trim(),
                None => return Stepped::Null,
            }
        }
        if let Some(mark) = &self.after {
            match text.split_once(mark.as_str()) {
                Some((_, tail)) => text = tail.trim(),
                None => return Stepped::Null,
            }
        }
        if let Some(mark) = &self.last {
            match text.rsplit_once(mark.as_str()) {
                Some((_, tail)) => text = tail.trim(),
                None => return Stepped::Null,
            }
        }
        let long = (self.token || self.label) && text.len() > LONGEST_TOKEN;
        let odd = long
            || (self.token && text.contains(char::is_whitespace))
            || (self.label && text.contains(char::is_control));
        if text.is_empty() || odd || !(self.like.is_empty() || self.like.iter().any(|p| like(p, text))) {
            return Stepped::Null;
        }
        if self.number.is_some_and(|number| !number.takes(text)) {
            return Stepped::Null;
        }
        let cased;
        match self.case {
            None => {}
            Some(case) => {
                cased = match case {
                    Case::Lower => text.to_lowercase(),
                    Case::Upper => text.to_uppercase(),
                };
                text = &cased;
            }
        }
        if let Some(map) = &self.map {
            match map.get(text) {
                Some(to) => return Stepped::Text(to),
                None if !self.keep_unmapped => return Stepped::Null,
                None => {}
            }
        }
        if let Some(present) = &self.present {
            return Stepped::Text(present);
        }
        if let Some(prefix) = &self.prefix {
            out.push_str(prefix);
        }
        match self.dots {
            Some(dots) => dots.write(text, out),
            None if self.prefix.is_none() && text.len() == whole.len() && self.case.is_none() => return Stepped::Same,
            None => out.push_str(text),
        }
        Stepped::Own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (form, text, fits) in [
            ("###*", "401.9", true),
            ("###*", "401", true),
            ("###*", "40", false),
            ("E###*", "E878.8", true),
            ("E###*", "E11.9", false),
            ("@##.*", "E11.9", true),
            ("@##", "I10", true),
            ("@##", "I101", false),
        ] {
            assert_eq!(like(form, text), fits, "{form} {text}");
        }
    }

    #[test]
    fn dots_stand_where_the_classification_has_them() {
        for (dots, code, want) in [
            (Dots::Icd9Cm, "42731", "427.31"),
            (Dots::Icd9Cm, "486", "486"),
            (Dots::Icd9Cm, "V5861", "V58.61"),
            (Dots::Icd9Cm, "E8788", "E878.8"),
            (Dots::Icd9Cm, "427.31", "427.31"),
            (Dots::Icd9Proc, "3605", "36.05"),
            (Dots::Icd10, "I2510", "I25.10"),
            (Dots::Icd10, "I10", "I10"),
            (Dots::Icd10, "é", "é"),
        ] {
            let mut out = String::new();
            dots.write(code, &mut out);
            assert_eq!(out, want);
        }
    }
}
