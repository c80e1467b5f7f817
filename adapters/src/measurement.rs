//! A measured value: comparator, bounds, unit, and its standard form.

use schema::units::{self, Conversion};
use schema::{IMPLAUSIBLE, Record};

/// How a value stands to what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Comparator {
    #[default]
    Eq,
    Lt,
    Le,
    Ge,
    Gt,
}

impl Comparator {
    /// The schema's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Comparator::Eq => "eq",
            Comparator::Lt => "lt",
            Comparator::Le => "le",
            Comparator::Ge => "ge",
            Comparator::Gt => "gt",
        }
    }

    /// FHIR's sign, or the schema's word.
    pub(crate) fn parse(text: &str) -> Option<Comparator> {
        Some(match text {
            "=" | "eq" => Comparator::Eq,
            "<" | "lt" => Comparator::Lt,
            "<=" | "≤" | "le" => Comparator::Le,
            ">=" | "≥" | "ge" => Comparator::Ge,
            ">" | "gt" => Comparator::Gt,
            _ => return None,
        })
    }

    /// How one over the value stands to one over what was measured.
    pub(crate) fn flipped(self) -> Comparator {
        match self {
            Comparator::Eq => Comparator::Eq,
            Comparator::Lt => Comparator::Gt,
            Comparator::Le => Comparator::Ge,
            Comparator::Ge => Comparator::Le,
            Comparator::Gt => Comparator::Lt,
        }
    }

    /// Takes a comparator off the front of a value's text: a sign, or the words for one.
    pub(crate) fn strip(text: &str) -> (Comparator, &str) {
        if matches!(text.as_bytes().first(), Some(b'g' | b'G' | b'l' | b'L')) {
            for (words, comparator) in [("greater than ", Comparator::Gt), ("less than ", Comparator::Lt)] {
                if let Some((head, rest)) = text.split_at_checked(words.len())
                    && head.eq_ignore_ascii_case(words)
                {
                    return (comparator, rest.trim_start());
                }
            }
        }
        for sign in ["<=", ">=", "≤", "≥", "<", ">", "="] {
            if let (Some(rest), Some(comparator)) = (text.strip_prefix(sign), Comparator::parse(sign)) {
                return (comparator, rest.trim_start());
            }
        }
        (Comparator::Eq, text)
    }
}

/// Fills a measurement's value columns. `<5` keeps 5 as the value and as the upper bound, for the study to choose
/// between the bound, half of it, and censoring. A unit that is not known keeps the row, without a standard value.
/// An implausible value keeps the row too, flagged.
pub(crate) fn fill(record: &mut Record, value: Option<f64>, comparator: Comparator, unit: Option<&str>) {
    record.set("comparator", comparator.name());
    let unit = unit.map(str::trim).filter(|u| !u.is_empty());
    let ucum = unit.and_then(units::ucum);
    if let Some(text) = unit {
        record.set("unit_src", text);
        record.set("unit_ucum", ucum.as_deref());
    }
    let Some(value) = value.filter(|v| v.is_finite()) else { return };
    let scale = Scale::new(text_of(record, "code_system"), text_of(record, "code"), comparator, unit);
    let scaled = scale.of(value);
    record.set("value_num", value);
    if scaled.hi.is_some() {
        record.set("value_hi", scaled.hi);
    }
    if scaled.lo.is_some() {
        record.set("value_lo", scaled.lo);
    }
    let Some(how) = &scale.how else { return };
    record.set("value_std", scaled.standard);
    record.set("unit_std", &*how.unit);
    record.set("conv_id", how.id());
    if !scaled.plausible {
        record.set("flag", IMPLAUSIBLE);
    }
}

/// The number that a text is, with its comparator and its decimals; the same in every format whose numbers are written with a point.
pub(crate) fn in_words(text: &str) -> Option<(Comparator, f64, i64)> {
    let (comparator, rest) = Comparator::strip(text);
    crate::decimal::written(rest).map(|(value, decimals)| (comparator, value, decimals))
}

/// What a ratio is as a number: 1:128 is 1/128.
pub(crate) fn quotient(over: f64, under: f64) -> Option<f64> {
    (under > 0.0).then_some(over / under).filter(|v| v.is_finite())
}

/// The unit of a quotient; a titre has none.
pub(crate) fn unit_of_quotient(over: Option<&str>, under: Option<&str>) -> Option<String> {
    match (over, under.filter(|u| *u != "1")) {
        (None | Some("1"), None) => None,
        (Some(over), None) => Some(over.to_owned()),
        (over, Some(under)) => Some(format!("{}/{under}", over.filter(|u| *u != "1").unwrap_or_default())),
    }
}

/// What becomes of the values of one code, in one unit, under one comparator.
pub(crate) struct Scale {
    comparator: Comparator,
    how: Option<Conversion>,
}

/// A value as a row has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scaled {
    /// The lower bound, where the value is one.
    pub(crate) lo: Option<f64>,
    /// The upper bound, where the value is one.
    pub(crate) hi: Option<f64>,
    /// The value in its standard unit.
    pub(crate) standard: Option<f64>,
    /// Whether it lies in its analyte's plausible range.
    pub(crate) plausible: bool,
}

impl Scale {
    /// Of a code and a unit's text; no unit has no standard form.
    pub(crate) fn new(system: &str, code: &str, comparator: Comparator, unit: Option<&str>) -> Scale {
        Scale { comparator, how: unit.and_then(|text| units::conversion(system, code, text).ok()) }
    }

    /// A finite value.
    #[inline]
    pub(crate) fn of(&self, value: f64) -> Scaled {
        let standard = self.how.as_ref().map(|how| how.map.apply(value));
        let plausible = self.how.as_ref().zip(standard).is_none_or(|(how, standard)| how.plausible(standard));
        let (lo, hi) = match self.comparator {
            Comparator::Eq => (None, None),
            Comparator::Lt | Comparator::Le => (None, Some(value)),
            Comparator::Gt | Comparator::Ge => (Some(value), None),
        };
        Scaled { lo, hi, standard, plausible }
    }
}

fn text_of<'r>(record: &'r Record, column: &str) -> &'r str {
    match record.get(column) {
        schema::Cell::Text(t) => t.as_str(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Cell, Table};

    fn row(code: &str, value: f64, comparator: Comparator, unit: Option<&str>) -> Record {
        let mut r = Record::new(Table::Measurement).with("code_system", "http://loinc.org").with("code", code);
        fill(&mut r, Some(value), comparator, unit);
        r
    }

    #[test]
    fn seven_percent_hba1c_is_53() {
        let r = row("4548-4", 7.0, Comparator::Eq, Some("%"));
        assert_eq!(r.get("value_std"), &Cell::Real(7.0 * 10.93 - 23.5));
        assert_eq!(r.get("unit_std"), &Cell::from("mmol/mol"));
        assert_eq!(r.get("conv_id"), &Cell::from("HbA1c:%>mmol/mol"));
        assert_eq!(r.get("flag"), &Cell::Null);
    }

    #[test]
    fn a_bound_is_kept_as_a_bound() {
        let r = row("1988-5", 5.0, Comparator::Lt, Some("mg/L"));
        assert_eq!((r.get("value_hi"), r.get("value_lo")), (&Cell::Real(5.0), &Cell::Null));
        assert_eq!(Comparator::strip("<= 5"), (Comparator::Le, "5"));
        assert_eq!(Comparator::strip("≥5"), (Comparator::Ge, "5"));
        assert_eq!(Comparator::strip("GREATER THAN 10"), (Comparator::Gt, "10"));
        assert_eq!(Comparator::strip("Less than 0.5"), (Comparator::Lt, "0.5"));
        assert_eq!(Comparator::strip("less"), (Comparator::Eq, "less"));
    }

    #[test]
    fn unknown_and_missing_units_keep_the_row_and_guess_nothing() {
        let r = row("2345-7", 90.0, Comparator::Eq, Some("furlong"));
        assert_eq!((r.get("value_std"), r.get("unit_src")), (&Cell::Null, &Cell::from("furlong")));
        let r = row("2345-7", 90.0, Comparator::Eq, None);
        assert_eq!((r.get("value_std"), r.get("value_num")), (&Cell::Null, &Cell::Real(90.0)));
    }

    #[test]
    fn implausible_values_are_flagged() {
        assert_eq!(row("8480-6", 1200.0, Comparator::Eq, Some("mmHg")).get("flag"), &Cell::from("implausible"));
    }
}
