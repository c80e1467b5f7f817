//! A measured value of any of HL7's data types.

use schema::Record;

use super::element::Element;
use super::{No, code};
use crate::measurement::{self, Comparator};
use crate::sink::Reason;

/// A number as XML writes it, and its decimals.
fn number(text: &str) -> Option<(f64, i64)> {
    let value: f64 = text.trim().parse().ok().filter(|v: &f64| v.is_finite())?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let decimals = mantissa.split_once('.').map_or(0, |(_, d)| d.trim().len());
    Some((value, i64::try_from(decimals).ok()?))
}

/// A number in a text. `1.234` and `1,5` are left: which mark is the decimal one is not told there.
fn in_text(text: &str) -> Option<(f64, i64)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let thousands = rest.len() == 3 && whole.len() <= 3 && whole != "0";
    let plain = !whole.is_empty() && all(whole) && all(rest) && !digits.ends_with('.') && !thousands;
    plain.then(|| number(text)).flatten()
}

/// The number of an element's `value`; null where it has none.
fn quantity(element: Option<&Element>, path: &str) -> Result<Option<(f64, i64)>, No> {
    let text = element.filter(|e| e.null().is_none()).and_then(|e| e.get("value"));
    let Some(text) = text else { return Ok(None) };
    let no = || No::bad(Reason::BadNumber, format!("{path}/@value is not a number; write digits and a point"));
    number(text).map(Some).ok_or_else(no)
}

/// Whether a bound belongs to the interval; it does unless the document says otherwise.
fn inclusive(bound: &Element) -> bool {
    bound.get("inclusive") != Some("false")
}

/// The data type; where `xsi:type` is missing, the one that the attributes have.
fn data_type(value: &Element) -> &str {
    match value.data_type() {
        Some(named) => named,
        None if value.get("code").is_some() || value.child("translation").is_some() => "CD",
        None if value.child("low").is_some() || value.child("high").is_some() => "IVL_PQ",
        None if value.get("value").is_some() => "PQ",
        None => "ST",
    }
}

/// Fills the value columns of a measurement.
pub(super) fn set(row: &mut Record, observation: &Element) -> Result<(), No> {
    row.set("flag", code::bare(observation, "interpretationCode"));
    if let Some(range) = observation.at(&["referenceRange", "observationRange", "value"]) {
        let path = "referenceRange/observationRange/value";
        row.set("ref_lo", quantity(range.child("low"), &format!("{path}/low"))?.map(|(v, _)| v));
        row.set("ref_hi", quantity(range.child("high"), &format!("{path}/high"))?.map(|(v, _)| v));
    }
    let Some(value) = observation.child("value") else {
        measurement::fill(row, None, Comparator::Eq, None);
        return Ok(());
    };
    match data_type(value) {
        "PQ" | "INT" | "REAL" | "MO" => {
            let read = match (infinite(value), value.get("value")) {
                (Some(_), Some(text)) => number(text),
                _ => quantity(Some(value), "value")?,
            };
            row.set("value_scale", read.map(|(_, decimals)| decimals));
            let comparator = infinite(value).unwrap_or_default();
            measurement::fill(row, read.map(|(v, _)| v), comparator, value.get("unit"));
        }
        "RTO" | "RTO_PQ_PQ" | "RTO_INT_INT" | "RTO_REAL_REAL" | "RTO_MO_PQ" => ratio(row, value)?,
        "IVL_PQ" | "IVL_INT" | "IVL_REAL" => interval(row, value)?,
        "CD" | "CE" | "CO" | "CV" | "CS" => {
            row.set("value_code", code::choose(value).map(|c| c.code));
            measurement::fill(row, None, Comparator::Eq, None);
        }
        "BL" => {
            row.set(
                "value_code",
                match value.get("value") {
                    Some("true" | "1") => Some("true"),
                    Some("false" | "0") => Some("false"),
                    _ => None,
                },
            );
            measurement::fill(row, None, Comparator::Eq, None);
        }
        "ST" | "ED" => {
            let (comparator, rest) = Comparator::strip(value.text.trim());
            match in_text(rest.trim()) {
                Some((v, decimals)) => {
                    row.set("value_scale", decimals);
                    measurement::fill(row, Some(v), comparator, None);
                }
                None => {
                    measurement::fill(row, None, Comparator::Eq, None);
                    row.set("flag", "text");
                }
            }
        }
        // Times, and whatever else has no column.
        _ => {
            measurement::fill(row, None, Comparator::Eq, None);
            row.set("flag", "unsupported");
        }
    }
    let coded = ["value_code", "value_num"].iter().any(|column| row.get(column) != &schema::Cell::Null);
    if let Some(null) = value.null().filter(|_| !coded) {
        row.set("flag", format!("absent:{null}"));
    }
    Ok(())
}

/// The comparator of a value that is beyond what could be measured: above or below every number.
fn infinite(value: &Element) -> Option<Comparator> {
    match value.null() {
        Some("PINF") => Some(Comparator::Gt),
        Some("NINF") => Some(Comparator::Lt),
        _ => None,
    }
}

/// A titre of 1:128 is 1/128.
fn ratio(row: &mut Record, value: &Element) -> Result<(), No> {
    let (over, under) = (value.child("numerator"), value.child("denominator"));
    let parts = quantity(over, "value/numerator")?.zip(quantity(under, "value/denominator")?);
    let Some(number) = parts.and_then(|((over, _), (under, _))| measurement::quotient(over, under)) else {
        measurement::fill(row, None, Comparator::Eq, None);
        row.set("flag", "unsupported");
        return Ok(());
    };
    let unit = |part: Option<&Element>| part.and_then(|p| p.get("unit")).map(str::to_owned);
    let unit = measurement::unit_of_quotient(unit(over).as_deref(), unit(under).as_deref());
    measurement::fill(row, Some(number), Comparator::Eq, unit.as_deref());
    Ok(())
}

/// One bound is a comparator; two are a range.
fn interval(row: &mut Record, value: &Element) -> Result<(), No> {
    let low = quantity(value.child("low"), "value/low")?;
    let high = quantity(value.child("high"), "value/high")?;
    let bound = |name: &str| value.child(name).filter(|b| b.null().is_none());
    let unit = bound("low").or(bound("high")).and_then(|b| b.get("unit"));
    match (low, high) {
        (Some((v, decimals)), None) => {
            let comparator = if bound("low").is_some_and(inclusive) { Comparator::Ge } else { Comparator::Gt };
            row.set("value_scale", decimals);
            measurement::fill(row, Some(v), comparator, unit);
        }
        (None, Some((v, decimals))) => {
            let comparator = if bound("high").is_some_and(inclusive) { Comparator::Le } else { Comparator::Lt };
            row.set("value_scale", decimals);
            measurement::fill(row, Some(v), comparator, unit);
        }
        (Some((lo, _)), Some((hi, _))) => {
            measurement::fill(row, None, Comparator::Eq, unit);
            row.set("value_lo", lo);
            row.set("value_hi", hi);
        }
        (None, None) => {
            let centre = quantity(value.child("center"), "value/center")?;
            measurement::fill(
                row,
                centre.map(|(v, _)| v),
                Comparator::Eq,
                value.child("center").and_then(|c| c.get("unit")),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_text_is_taken_where_it_can_be_one_number_alone() {
        for (text, want) in [("7.2", Some(7.2)), ("-3", Some(-3.0)), ("0.125", Some(0.125)), ("1234.5", Some(1234.5))] {
            assert_eq!(in_text(text).map(|(v, _)| v), want, "{text}");
        }
        for text in ["1.234", "1,5", "1,234.5", "1.234,5", "", ".", "5.", "1e5", "NaN", "inf", "5 mg", "1:128"] {
            assert_eq!(in_text(text), None, "{text}");
        }
    }
}
