//! What the text of a cell could be. A guess is for people to check: a mapping says it, never a guess.

use chrono_tz::Tz;

use crate::time::DateFormat;

/// Formats of dates that are tried, the commonest first. Where two fit all cells, both are told.
pub(super) const DATES: &[&str] = &[
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%Y%m%d",
    "%Y%m%d%H%M%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y/%m/%d",
    "%d-%b-%Y",
    "%d %b %Y",
    "%d%b%Y",
    "%d-%b-%Y %H:%M",
    "%d-%b-%Y %H:%M:%S",
    "%b %d %Y %I:%M%p",
];

/// Numbers as `1,200.5`, and as `1.200,5`. What could be `1.200` of either is a number without thousands, unless others say more.
pub(super) const WITH_THOUSANDS: &str = "number with thousands";
pub(super) const COMMA_AND_THOUSANDS: &str = "number with a decimal comma and thousands";

/// What a text could be, and whether it is.
pub(super) type Shape = (&'static str, fn(&str) -> bool);

/// What a cell is tried for, apart from dates; the more particular come first.
pub(super) const SHAPES: &[Shape] = &[
    ("sex", sex),
    ("UUID", uuid),
    ("LOINC code", loinc),
    ("ATC code", atc),
    ("ICD-10 code", icd10),
    ("SNOMED CT code", snomed),
    ("unit", unit),
    ("whole number", whole),
    ("number", |t| number(t, '.')),
    ("number with a decimal comma", |t| number(t, ',')),
    (WITH_THOUSANDS, |t| grouped(t, '.', ',')),
    (COMMA_AND_THOUSANDS, |t| grouped(t, ',', '.')),
    ("number with a comparator", comparator),
    ("ICD-9 code", icd9),
];

pub(super) fn dates() -> Vec<(&'static str, DateFormat)> {
    DATES.iter().filter_map(|f| DateFormat::new(f).ok().map(|parsed| (*f, parsed))).collect()
}

/// Whether a text is a date of a format. The zone does not matter to that.
pub(super) fn is_date(format: &DateFormat, text: &str) -> bool {
    text.len() >= 8 && format.parse(text, Tz::UTC, 0).is_some()
}

fn sex(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "m",
        "f",
        "w",
        "d",
        "o",
        "u",
        "x",
        "male",
        "female",
        "männlich",
        "weiblich",
        "divers",
        "other",
        "unknown",
        "homme",
        "femme",
    ];
    WORDS.contains(&text.to_lowercase().as_str())
}

fn uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// `NNNN-C`, where C is the check digit modulo 10 (LOINC Users' Guide, appendix: mod 10 check digit).
fn loinc(text: &str) -> bool {
    let Some((number, check)) = text.split_once('-') else { return false };
    let digits: Option<Vec<u32>> = number.chars().map(|c| c.to_digit(10)).collect();
    let (Some(digits), Some(check)) = (digits.filter(|d| (1..=7).contains(&d.len())), check.parse::<u32>().ok()) else {
        return false;
    };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(i, d)| if i % 2 == 0 { d * 2 / 10 + d * 2 % 10 } else { *d }).sum();
    check == (10 - sum % 10) % 10
}

fn pattern(text: &str, pattern: &str) -> bool {
    // A: a letter, 9: a digit, X: either.
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
            b'A' => b.is_ascii_uppercase(),
            b'9' => b.is_ascii_digit(),
            b'X' => b.is_ascii_uppercase() || b.is_ascii_digit(),
            other => b == other,
        })
}

fn atc(text: &str) -> bool {
    pattern(text, "A99AA99")
}

fn icd10(text: &str) -> bool {
    let (head, tail) = text.split_at_checked(3).unwrap_or((text, ""));
    let tail = tail.strip_prefix('.').unwrap_or(tail);
    pattern(head, "A9X") && tail.len() <= 4 && tail.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn icd9(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| *c != '.').collect();
    let digits = bare.strip_prefix(['V', 'E']).unwrap_or(&bare);
    (3..=5).contains(&bare.len()) && digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// 6 to 18 digits with a Verhoeff check digit (SNOMED CT Technical Implementation Guide, SCTID check digit).
fn snomed(text: &str) -> bool {
    const D: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const P: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    if !(6..=18).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let at = |table: &[u8; 10], i: u8| table.get(usize::from(i)).copied().unwrap_or_default();
    let mut check = 0;
    for (place, b) in text.bytes().rev().enumerate() {
        let mut digit = b - b'0';
        (0..place % 8).for_each(|_| digit = at(&P, digit));
        check = D.get(usize::from(check)).map_or(0, |row| at(row, digit));
    }
    check == 0
}

fn unit(text: &str) -> bool {
    text.bytes().any(|b| !b.is_ascii_digit()) && schema::units::ucum(text).is_some()
}

fn whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn number(text: &str, decimal: char) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (before, after) = text.split_once(decimal).unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    digits(before) && digits(after)
}

/// Whether the whole part is of groups of three digits, or of one group.
fn grouped(text: &str, decimal: char, between: char) -> bool {
    let bare = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = bare.split_once(decimal).unwrap_or((bare, "0"));
    let mut groups = whole.split(between);
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let mut rest = groups.peekable();
    let parted = rest.peek().is_some();
    digits(fraction) && digits(first) && (!parted || first.len() <= 3) && rest.all(|g| g.len() == 3 && digits(g))
}

fn comparator(text: &str) -> bool {
    let bare = text.trim_start_matches(['<', '>', '=', '≤', '≥', '~']).trim();
    number(bare, '.') || number(bare, ',')
}
