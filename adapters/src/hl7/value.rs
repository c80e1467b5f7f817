//! OBX-5 by OBX-2: numbers, structured numerics, texts that hold a number, codes.

use schema::Record;

use super::code;
use super::scan::Field;
use super::segment::{No, Segment};
use crate::decimal::written as number;
use crate::measurement::{self, Comparator};
use crate::sink::Reason;

/// A reference range: `49 - 92`, `<5`, `>=10`.
pub(crate) fn range(text: &str) -> (Option<f64>, Option<f64>) {
    let value = |t: &str| number(t.trim()).map(|(v, _)| v);
    let (comparator, rest) = Comparator::strip(text);
    match comparator {
        Comparator::Lt | Comparator::Le => return (None, value(rest)),
        Comparator::Gt | Comparator::Ge => return (value(rest), None),
        Comparator::Eq => {}
    }
    // A dash may also be a sign, so the one that leaves a number on each side is meant.
    text.match_indices(['-', '–'])
        .find_map(|(at, dash)| {
            let low = value(text.get(..at)?)?;
            Some((Some(low), Some(value(text.get(at + dash.len()..)?)?)))
        })
        .unwrap_or((None, None))
}

/// The unit of OBX-6: the code where it is known, else the text, else the code.
fn unit<'m>(obx: &Segment<'m, 20>) -> Result<Option<std::borrow::Cow<'m, str>>, No> {
    let first = obx.part(6, 1)?;
    if obx.field(6).component(2).is_empty() {
        return Ok(first);
    }
    if first.as_deref().is_some_and(|u| schema::units::ucum(u).is_some()) {
        return Ok(first);
    }
    let second = obx.part(6, 2)?;
    Ok(match second {
        Some(text) if first.is_none() || schema::units::ucum(&text).is_some() => Some(text),
        _ => first,
    })
}

/// Fills the value columns of a row from one repetition of OBX-5.
pub(crate) fn set(row: &mut Record, obx: &Segment<'_, 20>, value: Field<'_>) -> Result<(), No> {
    row.set("flag", code::bare(obx, 8)?);
    if let Some(text) = obx.text(7)? {
        let (low, high) = range(&text);
        row.set("ref_lo", low);
        row.set("ref_hi", high);
    }
    let unit = unit(obx)?;
    let fill = |row: &mut Record, v: Option<f64>, c| measurement::fill(row, v, c, unit.as_deref());
    let kind = obx.field(2).component(1).bytes();
    if value.is_empty() || value.is_null() {
        fill(row, None, Comparator::Eq);
        return Ok(());
    }
    match kind {
        b"NM" | b"SI" | b"ST" | b"TX" | b"FT" | b"" => {
            let numeric = matches!(kind, b"NM" | b"SI");
            let text = obx.read(5, value)?.unwrap_or_default();
            let (comparator, rest) = Comparator::strip(&text);
            match number(rest) {
                Some((v, decimals)) => {
                    row.set("value_scale", decimals);
                    fill(row, Some(v), comparator);
                }
                None if numeric => {
                    let remedy = "not a number, though OBX-2 says so; a decimal comma and thousands are not read";
                    return Err(obx.bad(5, Reason::BadNumber, remedy));
                }
                None => {
                    row.set("flag", "text");
                    fill(row, None, Comparator::Eq);
                }
            }
        }
        b"SN" | b"NR" => structured(row, obx, value, kind == b"NR", &fill)?,
        b"CE" | b"CWE" | b"CNE" | b"CF" | b"IS" | b"ID" | b"CD" => {
            match code::choose(obx, 5, value, None, schema::Table::Measurement)? {
                Some(coded) => {
                    row.set("value_code", coded.code);
                }
                None => {
                    row.set("flag", "text");
                }
            }
            fill(row, None, Comparator::Eq);
        }
        _ => {
            row.set("flag", "unsupported");
            fill(row, None, Comparator::Eq);
        }
    }
    Ok(())
}

/// SN: comparator, number, separator, number. NR: low and high.
fn structured(
    row: &mut Record,
    obx: &Segment<'_, 20>,
    value: Field<'_>,
    plain_range: bool,
    fill: &dyn Fn(&mut Record, Option<f64>, Comparator),
) -> Result<(), No> {
    let part = |c: usize| -> Result<Option<(f64, i64)>, No> {
        let Some(text) = obx.read(5, value.component(c))? else { return Ok(None) };
        number(&text)
            .map(Some)
            .ok_or_else(|| obx.bad(5, Reason::BadNumber, "not a number in a structured numeric; correct it"))
    };
    let between = |row: &mut Record, low: Option<(f64, i64)>, high: Option<(f64, i64)>| {
        fill(row, None, Comparator::Eq);
        row.set("value_lo", low.map(|(v, _)| v));
        row.set("value_hi", high.map(|(v, _)| v));
    };
    if plain_range {
        between(row, part(1)?, part(2)?);
        return Ok(());
    }
    let sign = obx.read(5, value.component(1))?.unwrap_or_default();
    let separator = value.component(3).bytes();
    let known = if sign.is_empty() { Some(Comparator::Eq) } else { Comparator::parse(&sign) };
    match (known, separator) {
        (Some(comparator), b"") => {
            let number = part(2)?;
            row.set("value_scale", number.map(|(_, d)| d));
            fill(row, number.map(|(v, _)| v), comparator);
        }
        (Some(Comparator::Eq), b"-") => between(row, part(2)?, part(4)?),
        // A titre of 1:128 is 1/128.
        (Some(comparator), b":" | b"/") => {
            let parts = part(2)?.zip(part(4)?);
            match parts.and_then(|((over, _), (under, _))| measurement::quotient(over, under)) {
                Some(value) => fill(row, Some(value), comparator),
                None => {
                    row.set("flag", "unsupported");
                    fill(row, None, Comparator::Eq);
                }
            }
        }
        // "3+" is no number, and a value under a sign that is not understood is no value.
        _ => {
            row.set("flag", "unsupported");
            fill(row, None, Comparator::Eq);
        }
    }
    Ok(())
}
