//! A measured value: comparator, bounds, unit, and its standard form.

use schema::Record;
use schema::units;

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

    /// Takes a comparator off the front of a value's text.
    pub(crate) fn strip(text: &str) -> (Comparator, &str) {
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
    record.set("value_num", value);
    match comparator {
        Comparator::Eq => {}
        Comparator::Lt | Comparator::Le => {
            record.set("value_hi", value);
        }
        Comparator::Gt | Comparator::Ge => {
            record.set("value_lo", value);
        }
    }
    let Some(text) = unit else { return };
    let (system, code) = (text_of(record, "code_system"), text_of(record, "code"));
    let Ok(standard) = units::standardise(system, code, value, text) else { return };
    record.set("value_std", standard.value);
    record.set("unit_std", &*standard.unit);
    record.set("conv_id", standard.conv_id);
    if !standard.plausible {
        record.set("flag", "implausible");
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
