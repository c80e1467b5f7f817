//! HL7's time stamps and intervals: as precise as they are written.

use chrono_tz::Tz;

use super::No;
use super::element::Element;
use crate::sink::Reason;
use crate::time::{LAST_YEAR, Parts, When};

fn digits(text: &str, from: usize, to: usize) -> Option<u32> {
    text.get(from..to)?.parse().ok()
}

/// `YYYY[MM[DD[HH[MM[SS[.f…]]]]]][±ZZZZ]`. An hour without its minutes is a day.
fn stamp(text: &str, zone: Tz) -> Option<When> {
    let (front, offset) = match text.rfind(['+', '-']) {
        Some(at) => (text.get(..at)?, Some(text.get(at..)?)),
        None => (text, None),
    };
    let (whole, fraction) = front.split_once('.').map_or((front, None), |(w, f)| (w, Some(f)));
    if !whole.bytes().all(|b| b.is_ascii_digit()) || !matches!(whole.len(), 4 | 6 | 8 | 10 | 12 | 14) {
        return None;
    }
    let mut parts = Parts {
        year: digits(whole, 0, 4),
        month: digits(whole, 4, 6),
        day: digits(whole, 6, 8),
        hour: digits(whole, 8, 10),
        minute: digits(whole, 10, 12),
        second: digits(whole, 12, 14),
        ..Parts::default()
    };
    if let Some(fraction) = fraction {
        let fine = fraction.bytes().all(|b| b.is_ascii_digit()) && (1..=12).contains(&fraction.len());
        if !fine || whole.len() != 14 {
            return None;
        }
        let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
        parts.micro = six.parse().ok();
        parts.fine = fraction.len() > 3;
    }
    if let Some(offset) = offset {
        let all = offset.get(1..)?;
        if all.len() != 4 || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (hours, minutes) = (digits(all, 0, 2)?, digits(all, 2, 4).filter(|m| *m < 60)?);
        let total = i32::try_from(hours * 60 + minutes).ok()?;
        parts.offset_min = Some(if offset.starts_with('-') { -total } else { total });
    }
    if parts.hour.is_some_and(|h| h > 23) {
        return None;
    }
    parts.when(zone)
}

/// The time that an element's `value` says; null where it has a null flavour or no value.
pub(super) fn moment(element: Option<&Element>, path: &str, zone: Tz) -> Result<Option<When>, No> {
    let text = element.filter(|e| e.null().is_none()).and_then(|e| e.get("value"));
    let Some(text) = text else { return Ok(None) };
    match stamp(text, zone) {
        Some(when) => Ok(Some(when)),
        None => Err(No::bad(Reason::BadDate, format!("{path}/@value is not an HL7 time of this world; correct it"))),
    }
}

/// A beginning and an end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Span {
    pub(super) start: Option<When>,
    pub(super) end: Option<When>,
}

/// The interval that an element says: its low and its high, else its value or its centre as the beginning.
pub(super) fn span(element: Option<&Element>, path: &str, zone: Tz) -> Result<Span, No> {
    let Some(element) = element.filter(|e| e.null().is_none()) else { return Ok(Span::default()) };
    let of = |child: &str| moment(element.child(child), &format!("{path}/{child}"), zone);
    let start = match of("low")? {
        Some(low) => Some(low),
        None => match moment(Some(element), path, zone)? {
            Some(at) => Some(at),
            None => of("center")?,
        },
    };
    // A day that never comes, as 99991231, is an end that is not known yet.
    let year = |e: &Element| e.get("value").and_then(|v| digits(v, 0, 4));
    let never = element.child("high").and_then(year).is_some_and(|year| year > LAST_YEAR);
    Ok(Span { start, end: if never { None } else { of("high")? } })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use chrono_tz::America::New_York;
    use schema::Cell;

    #[test]
    fn precision_is_what_is_written() {
        let precision = |text: &str| stamp(text, New_York).map(|w| w.precision.name());
        for (text, want) in [
            ("1939", "year"),
            ("193904", "month"),
            ("19390412", "day"),
            ("2012080610", "day"),
            ("201208061030", "minute"),
            ("20120806103015", "second"),
            ("20120806103015.25", "ms"),
            ("20120806103015.0001-0500", "us"),
            ("20120806-0500", "day"),
        ] {
            assert_eq!(precision(text), Some(want), "{text}");
        }
        for text in ["", "201", "20120", "20120231", "20121301", "2012-08-06", "20120806103015.", "2012080699", "x"] {
            assert_eq!(precision(text), None, "{text}");
        }
    }

    #[test]
    fn an_offset_is_kept_and_without_one_the_site_has_it() {
        let explicit = stamp("201502290000-0500", New_York);
        assert_eq!(explicit, None, "2015 has no 29 February");
        let a = stamp("20150301233000-0800", New_York).unwrap();
        assert_eq!(a.zone_source.name(), "explicit");
        // Half past eleven in the evening in California is the next day in New York.
        assert_eq!(a.date_cell(), stamp("20150302", New_York).unwrap().date_cell());
        let b = stamp("20150302023000", New_York).unwrap();
        assert_eq!((b.zone_source.name(), b.instant_cell()), ("site", a.instant_cell()));
        assert_eq!(stamp("20150302", New_York).unwrap().instant_cell(), Cell::Null);
    }
}
