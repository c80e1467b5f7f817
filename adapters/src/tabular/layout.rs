//! How a file is laid out: its name, its delimiter, quote and encoding, its columns, its null tokens.

use encoding_rs::Encoding;

use super::toml_doc::Section;
use crate::sink::AdapterError;

/// The layout of files of one kind.
pub(crate) struct Layout {
    pub(crate) patterns: Vec<String>,
    /// Whether upper and lower case are one, in names of files and of columns.
    pub(crate) ignore_case: bool,
    /// One, or several of which the first line decides.
    pub(crate) delimiters: Vec<char>,
    /// `None` where the layout leaves it open, `Some(None)` where nothing is quoted.
    pub(crate) quote: Option<Option<char>>,
    pub(crate) header: bool,
    /// The names of the columns, where the file has no header.
    pub(crate) columns: Vec<String>,
    pub(crate) encoding: &'static Encoding,
    pub(crate) null: Vec<String>,
    /// Columns of whole numbers, such as identifiers, with `*` and `?`: `1.0` there is `1`.
    pub(crate) integers: Vec<String>,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout {
            patterns: Vec::new(),
            ignore_case: false,
            delimiters: vec![','],
            quote: None,
            header: true,
            columns: Vec::new(),
            encoding: encoding_rs::UTF_8,
            null: vec![String::new()],
            integers: Vec::new(),
        }
    }
}

/// The keys that a layout reads; they may stand at the top for all files.
pub(crate) const KEYS: &[&str] = &["delimiter", "quote", "encoding", "null", "ignore_case", "prefixes", "integers"];

/// The endings that stand behind a name without one.
const ENDINGS: &[&str] = &["csv", "tsv", "txt", "psv", "parquet", "pgcopy"];

impl Layout {
    /// Reads a layout from a section; a key that is missing there is taken from `top`.
    pub(crate) fn parse(section: &Section<'_, '_>, top: &Section<'_, '_>) -> Result<Layout, AdapterError> {
        let doc = section.doc;
        let from = |key: &str| if section.get(key).is_some() { section } else { top };
        let header = section.flag("header", true)?;
        let columns: Vec<String> = section.texts("columns")?.iter().map(|t| t.text.to_owned()).collect();
        if header != columns.is_empty() {
            let message = if header {
                "a file with a header has its names there; remove columns, or write header = false"
            } else {
                "a file without a header needs columns = [\"...\"], one name for each column"
            };
            return Err(doc.error(section.at, message));
        }
        if let Some(twice) = columns.iter().enumerate().find(|(i, c)| columns.iter().take(*i).any(|d| d == *c)) {
            return Err(doc.error(section.at, format!("columns names \"{}\" twice", twice.1)));
        }
        let mut delimiters = Vec::new();
        for text in from("delimiter").one_or_more("delimiter")? {
            delimiters.push(one_character(&text, "delimiter", doc)?);
        }
        if delimiters.is_empty() {
            delimiters.push(',');
        }
        let quote = match from("quote").text("quote")? {
            None => None,
            Some(t) if t.text.is_empty() => Some(None),
            Some(t) => Some(Some(one_character(&t, "quote", doc)?)),
        };
        if let Some(Some(quote)) = quote
            && delimiters.contains(&quote)
        {
            return Err(doc.error(section.at, "delimiter and quote are the same character"));
        }
        let mut null: Vec<String> = from("null").texts("null")?.iter().map(|t| t.text.to_owned()).collect();
        null.push(String::new());
        let ignore_case = from("ignore_case").flag("ignore_case", false)?;
        let prefixes = from("prefixes").texts("prefixes")?;
        let prefixes: Vec<&str> = prefixes.iter().map(|t| t.text).collect();
        let names = section.one_or_more("match")?;
        if names.is_empty() {
            return Err(doc.error(section.at, "\"match\" is missing here; write the file's name, with * and ?"));
        }
        let mut patterns = Vec::new();
        for name in names {
            patterns.extend(expand(name.text, &prefixes));
        }
        let mut integers: Vec<String> = from("integers").texts("integers")?.iter().map(|t| t.text.to_owned()).collect();
        if ignore_case {
            integers.iter_mut().for_each(|p| *p = p.to_lowercase());
            patterns.iter_mut().for_each(|p| *p = p.to_lowercase());
        }
        Ok(Layout {
            patterns,
            ignore_case,
            delimiters,
            quote,
            header,
            columns,
            encoding: encoding(from("encoding"))?,
            null,
            integers,
        })
    }

    /// Whether a file is of this kind: by its name without folders and without `.gz`, or by its path where the pattern has a
    /// folder.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let folded;
        let path = match self.ignore_case {
            true => {
                folded = path.to_lowercase();
                folded.as_str()
            }
            false => path,
        };
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let bare = name.strip_suffix(".gz").unwrap_or(name);
        self.patterns.iter().any(|p| match p.contains('/') {
            true => glob(p, path) || glob(&format!("*/{p}"), path),
            false => glob(p, bare) || glob(p, name),
        })
    }

    /// Whether a column holds whole numbers, which may be written `1.0`.
    pub(crate) fn is_whole(&self, column: &str) -> bool {
        let is = |name: &str| self.integers.iter().any(|p| glob(p, name));
        if self.ignore_case { is(&column.to_lowercase()) } else { is(column) }
    }

    /// Whether two names of columns are one.
    pub(crate) fn same(&self, a: &str, b: &str) -> bool {
        if self.ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
    }
}

/// A whole number that was written as a real one, as programs do where a column has gaps, without its fraction.
pub(crate) fn whole(text: &str) -> &str {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((head, tail))
            if digits(head.strip_prefix('-').unwrap_or(head))
                && !tail.is_empty()
                && tail.bytes().all(|b| b == b'0') =>
        {
            head
        }
        _ => text,
    }
}

/// A name with an ending stands for itself. One without stands for the files of that name, after any of the prefixes or
/// after `anything.`, and for the files in a folder of that name.
fn expand(name: &str, prefixes: &[&str]) -> Vec<String> {
    if name.contains(['.', '*', '?', '/']) {
        return vec![name.to_owned()];
    }
    let mut out = Vec::new();
    for ending in ENDINGS {
        out.push(format!("{name}.{ending}"));
        out.push(format!("*.{name}.{ending}"));
        out.push(format!("{name}/*.{ending}"));
        out.extend(prefixes.iter().map(|prefix| format!("{prefix}{name}.{ending}")));
    }
    out
}

fn one_character(
    t: &super::toml_doc::Text<'_>,
    key: &str,
    doc: super::toml_doc::Doc<'_>,
) -> Result<char, AdapterError> {
    let mut chars = t.text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !matches!(c, '\n' | '\r' | '\0') => Ok(c),
        _ => Err(doc.error(t.at, format!("\"{key}\" is one character, such as \";\" or \"\\t\""))),
    }
}

/// One character of a section, if it is there.
pub(crate) fn character(section: &Section<'_, '_>, key: &str) -> Result<Option<char>, AdapterError> {
    section.text(key)?.map(|t| one_character(&t, key, section.doc)).transpose()
}

fn encoding(section: &Section<'_, '_>) -> Result<&'static Encoding, AdapterError> {
    let Some(label) = section.text("encoding")? else { return Ok(encoding_rs::UTF_8) };
    Encoding::for_label(label.text.as_bytes()).ok_or_else(|| {
        let message = format!(
            "encoding \"{}\" is not known; write utf-8, windows-1252, iso-8859-15, utf-16le, or another WHATWG label",
            label.text
        );
        section.doc.error(label.at, message)
    })
}

/// Whether a name fits a pattern of `*` and `?`.
pub fn glob(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < n.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == '?' || Some(c) == n.get(j) => {
                i += 1;
                j += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    i = at + 1;
                    j = taken + 1;
                }
                None => return false,
            },
        }
    }
    p.iter().skip(i).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, fits) in [
            ("*.csv", "a.csv", true),
            ("lab?.csv", "lab1.csv", true),
            ("lab?.csv", "lab.csv", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxbxxa", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_without_an_ending_stands_for_its_spellings() {
        let layout = Layout { patterns: expand("person", &["cdm_"]), ignore_case: true, ..Layout::default() };
        for name in ["PERSON.csv", "person.csv.gz", "a/b/Person.parquet", "cdm_person.tsv", "omop.person.csv.gz"] {
            assert!(layout.fits(name), "{name}");
        }
        assert!(layout.fits("x/person/part-0001.parquet"));
        for name in ["personal.csv", "dim_person.csv", "person.json", "person"] {
            assert!(!layout.fits(name), "{name}");
        }
    }
}
