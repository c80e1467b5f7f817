//! A field of a binary COPY to the text that has one reading: `2020-03-01`, `2020-03-01T08:15:00`, `48.100`, `true`.
//!
//! The forms are those of the server's send functions: numbers big-endian, days and microseconds counted from 2000-01-01,
//! `numeric` as digits to the base 10,000.

use std::fmt::Write as _;

use chrono::{DateTime, Days, NaiveDate};

/// A type whose values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Date,
    Timestamp,
    TimestampTz,
}

/// A value that its type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes are no value of the type.
    Bytes,
    /// Text that is not UTF-8.
    NotUtf8,
}

/// Microseconds from 1970 to 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The most digits before and behind the point of a `numeric`, as the server allows.
const MAX_BEFORE: i32 = 131_072;
const MAX_BEHIND: u16 = 16_383;

impl Kind {
    /// Every type that is read: its number in `pg_type`, its name, what it is.
    pub(crate) const ALL: &'static [(u32, &'static str, Kind)] = &[
        (16, "boolean", Kind::Bool),
        (21, "smallint", Kind::Int2),
        (23, "integer", Kind::Int4),
        (20, "bigint", Kind::Int8),
        (700, "real", Kind::Float4),
        (701, "double precision", Kind::Float8),
        (1700, "numeric", Kind::Numeric),
        (25, "text", Kind::Text),
        (1043, "varchar", Kind::Text),
        (1042, "char", Kind::Text),
        (1082, "date", Kind::Date),
        (1114, "timestamp", Kind::Timestamp),
        (1184, "timestamp with time zone", Kind::TimestampTz),
    ];

    /// By the type's number.
    pub(crate) fn of(oid: u32) -> Option<Kind> {
        Kind::ALL.iter().find(|(o, _, _)| *o == oid).map(|(_, _, kind)| *kind)
    }

    /// Whether it is a whole number, and so can be a key.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Kind::Int2 | Kind::Int4 | Kind::Int8)
    }

    /// A whole number.
    pub(crate) fn whole(self, bytes: &[u8]) -> Option<i64> {
        match self {
            Kind::Int2 => bytes.try_into().ok().map(i16::from_be_bytes).map(i64::from),
            Kind::Int4 => bytes.try_into().ok().map(i32::from_be_bytes).map(i64::from),
            Kind::Int8 => bytes.try_into().ok().map(i64::from_be_bytes),
            _ => None,
        }
    }

    /// Appends the value's text. A number that is none appends nothing, as null does; a time without end is `infinity`.
    pub(crate) fn write(self, bytes: &[u8], out: &mut String) -> Result<(), Fault> {
        match self {
            Kind::Bool => out.push_str(match bytes {
                [0] => "false",
                [1] => "true",
                _ => return Err(Fault::Bytes),
            }),
            Kind::Int2 | Kind::Int4 | Kind::Int8 => {
                let value = self.whole(bytes).ok_or(Fault::Bytes)?;
                let _ = write!(out, "{value}");
            }
            Kind::Float4 => {
                let value = bytes.try_into().map(f32::from_be_bytes).map_err(|_| Fault::Bytes)?;
                if value.is_finite() {
                    let _ = write!(out, "{value}");
                }
            }
            Kind::Float8 => {
                let value = bytes.try_into().map(f64::from_be_bytes).map_err(|_| Fault::Bytes)?;
                if value.is_finite() {
                    let _ = write!(out, "{value}");
                }
            }
            Kind::Numeric => numeric(bytes, out).ok_or(Fault::Bytes)?,
            Kind::Text => out.push_str(std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?),
            Kind::Date => {
                let days = bytes.try_into().map(i32::from_be_bytes).map_err(|_| Fault::Bytes)?;
                match days {
                    i32::MAX => out.push_str("infinity"),
                    i32::MIN => out.push_str("-infinity"),
                    days => {
                        let date = date(days).ok_or(Fault::Bytes)?;
                        let _ = write!(out, "{}", date.format("%Y-%m-%d"));
                    }
                }
            }
            Kind::Timestamp | Kind::TimestampTz => {
                let micros = bytes.try_into().map(i64::from_be_bytes).map_err(|_| Fault::Bytes)?;
                match micros {
                    i64::MAX => out.push_str("infinity"),
                    i64::MIN => out.push_str("-infinity"),
                    micros => {
                        let since = micros.checked_add(EPOCH_MICROS).ok_or(Fault::Bytes)?;
                        let at = DateTime::from_timestamp_micros(since).ok_or(Fault::Bytes)?;
                        let zone = if self == Kind::TimestampTz { "+00:00" } else { "" };
                        let _ = write!(out, "{}{zone}", at.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn date(days: i32) -> Option<NaiveDate> {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    let distance = Days::new(u64::from(days.unsigned_abs()));
    if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) }
}

/// `numeric`: how many digits to the base 10,000, the weight of the first, the sign, how many decimals are shown, the digits.
fn numeric(bytes: &[u8], out: &mut String) -> Option<()> {
    let mut words = bytes.chunks_exact(2).filter_map(|b| b.try_into().ok()).map(u16::from_be_bytes);
    let (count, weight, sign, scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) || bytes.len() != 8 + 2 * digits.len() || digits.iter().any(|d| *d > 9999) {
        return None;
    }
    match sign {
        0x0000 => {}
        0x4000 => out.push('-'),
        // No number, and the two infinities.
        0xc000 | 0xd000 | 0xf000 => return Some(()),
        _ => return None,
    }
    let weight = i32::from(weight as i16);
    if weight > MAX_BEFORE / 4 || scale > MAX_BEHIND {
        return None;
    }
    let digit = |place: i32| usize::try_from(weight - place).ok().and_then(|i| digits.get(i)).copied().unwrap_or(0);
    // Before the point: the places from the weight down to 0.
    if weight < 0 {
        out.push('0');
    } else {
        let _ = write!(out, "{}", digit(weight));
        for place in (0..weight).rev() {
            let _ = write!(out, "{:04}", digit(place));
        }
    }
    // Behind it: as many decimals as are shown.
    if scale > 0 {
        out.push('.');
        let mut left = usize::from(scale);
        let mut place = -1;
        while left > 0 {
            let four = format!("{:04}", digit(place));
            out.push_str(four.get(..left.min(4))?);
            left = left.saturating_sub(4);
            place -= 1;
        }
    }
    Some(())
}
