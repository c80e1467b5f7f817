//! Dates and times: partial dates keep their precision, and a time without an offset is read in the site's zone.
//!
//! `event_date` is the civil date at the hospital, so a time with an explicit offset is shown in the site's zone
//! too. A time that the clock skips or shows twice is read with the earlier offset, the one before the change; the flag of that is
//! that the row has an instant in the site's zone and no offset.

use chrono::{
    DateTime, Datelike, Duration, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use schema::Cell;

/// How precise a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precision {
    Year,
    Month,
    Day,
    Minute,
    Second,
    Milli,
    Micro,
}

impl Precision {
    /// The schema's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Precision::Year => "year",
            Precision::Month => "month",
            Precision::Day => "day",
            Precision::Minute => "minute",
            Precision::Second => "second",
            Precision::Milli => "ms",
            Precision::Micro => "us",
        }
    }
}

/// Where a time's offset comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ZoneSource {
    Explicit,
    Site,
    None,
}

impl ZoneSource {
    /// The schema's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ZoneSource::Explicit => "explicit",
            ZoneSource::Site => "site",
            ZoneSource::None => "none",
        }
    }
}

/// When something was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct When {
    /// The civil date at the hospital; floored where only a year or a month is known.
    date: NaiveDate,
    /// Microseconds since the epoch, where the time of day is known.
    instant: Option<i64>,
    /// How precise.
    pub(crate) precision: Precision,
    /// Whose offset.
    pub(crate) zone_source: ZoneSource,
    offset_min: Option<i64>,
    /// The civil date as it is written, where the time of day is written as midnight.
    midnight: Option<NaiveDate>,
}

impl When {
    pub(crate) fn date_cell(&self) -> Cell {
        Cell::Date(self.date.to_epoch_days())
    }
    pub(crate) fn instant_cell(&self) -> Cell {
        self.instant.map_or(Cell::Null, Cell::Instant)
    }
    pub(crate) fn offset_cell(&self) -> Cell {
        self.offset_min.map_or(Cell::Null, Cell::Int)
    }
    /// Seconds since 1970: of the instant, else of the day's beginning.
    pub(crate) fn seconds(&self) -> i64 {
        match self.instant {
            Some(micros) => micros.div_euclid(1_000_000),
            None => i64::from(self.date.to_epoch_days()) * 86_400,
        }
    }
    pub(crate) fn year(&self) -> i64 {
        i64::from(self.date.year())
    }
    /// The civil time in a zone; the day's beginning where no time of day is known.
    pub(crate) fn civil(&self, zone: Tz) -> NaiveDateTime {
        match self.instant.and_then(DateTime::from_timestamp_micros) {
            Some(instant) => instant.with_timezone(&zone).naive_local(),
            None => self.date.and_time(NaiveTime::MIN),
        }
    }
    /// A civil time in a zone, as precise as is said. No finer than a day, and it has no instant.
    pub(crate) fn of_civil(at: NaiveDateTime, precision: Precision, zone: Tz) -> Option<When> {
        let day = When::of_day(at.date(), precision);
        if precision <= Precision::Day {
            return Some(day);
        }
        let (instant, sure) = in_zone(at, zone)?;
        let offset_min = i64::from(instant.with_timezone(&zone).offset().fix().local_minus_utc() / 60);
        Some(When {
            instant: Some(instant.timestamp_micros()),
            zone_source: ZoneSource::Site,
            offset_min: sure.then_some(offset_min),
            ..day
        })
    }
    /// Microseconds since 1970 that it is not before: of a time that the clock shows twice, the beginning of all that it shows
    /// twice then. Times of one such hour can't be told apart, so they have one place in an order.
    pub(crate) fn place(&self, zone: Tz) -> i64 {
        let micros = self.instant.unwrap_or_else(|| i64::from(self.date.to_epoch_days()) * 86_400_000_000);
        if self.offset_min.is_some() || self.zone_source != ZoneSource::Site {
            return micros;
        }
        let civil = self.civil(zone);
        let into = i64::from(civil.time().num_seconds_from_midnight() % 900) * 1_000_000 + micros.rem_euclid(1_000_000);
        let twice = |at: &i64| {
            let at = DateTime::from_timestamp_micros(*at).map(|t| t.with_timezone(&zone).naive_local());
            at.is_some_and(|at| matches!(zone.from_local_datetime(&at), MappedLocalTime::Ambiguous(_, _)))
        };
        (0..100).map(|quarters| micros - into - quarters * 900_000_000).take_while(twice).last().unwrap_or(micros)
    }
    fn of_day(date: NaiveDate, precision: Precision) -> When {
        When { date, instant: None, precision, zone_source: ZoneSource::None, offset_min: None, midnight: None }
    }
    /// The same, where midnight says that no time of day is known: it is the day that is written, whatever offset stands behind it.
    /// Midnight of the zone in another offset is a day too.
    pub(crate) fn midnight_is_day(self, zone: Tz) -> When {
        let own = || (self.instant.is_some() && self.civil(zone).time() == NaiveTime::MIN).then_some(self.date);
        self.midnight.or_else(own).map_or(self, |day| When::of_day(day, Precision::Day))
    }
    /// Whether it is before a day.
    pub(crate) fn is_before(&self, day: NaiveDate) -> bool {
        self.date < day
    }
    pub(crate) fn month(&self) -> Option<i64> {
        (self.precision >= Precision::Month).then(|| i64::from(self.date.month()))
    }
}

/// The parts of a date as they were written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) year: Option<u32>,
    pub(crate) month: Option<u32>,
    pub(crate) day: Option<u32>,
    pub(crate) hour: Option<u32>,
    pub(crate) minute: Option<u32>,
    pub(crate) second: Option<u32>,
    pub(crate) micro: Option<u32>,
    pub(crate) fine: bool,
    pub(crate) offset_min: Option<i32>,
    /// Whether the year is of two digits.
    pub(crate) short: bool,
}

/// The last year that is a year: research extracts move dates by up to three centuries.
pub(crate) const LAST_YEAR: u32 = 2300;

impl Parts {
    /// Whether they are a day behind every other, which stands for an end that is not known yet.
    fn is_never(self) -> bool {
        let year = self.year.filter(|y| *y > LAST_YEAR).map(|_| LAST_YEAR);
        year.is_some() && Parts { year, ..self }.when(Tz::UTC).is_some()
    }

    /// The time that the parts name, or `None` where there is none, such as 31 February.
    pub(crate) fn when(&self, zone: Tz) -> Option<When> {
        let year = self.year.filter(|y| (1800..=LAST_YEAR).contains(y))?;
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, self.month.unwrap_or(1), self.day.unwrap_or(1))?;
        let (Some(hour), Some(minute)) = (self.hour, self.minute) else {
            let precision = match (self.month, self.day) {
                (Some(_), Some(_)) => Precision::Day,
                (Some(_), None) => Precision::Month,
                _ => Precision::Year,
            };
            return Some(When::of_day(date, precision));
        };
        self.day?;
        let precision = match (self.second, self.micro, self.fine) {
            (None, _, _) => Precision::Minute,
            (Some(_), None, _) => Precision::Second,
            (Some(_), Some(_), false) => Precision::Milli,
            (Some(_), Some(_), true) => Precision::Micro,
        };
        // A leap second is the last second of its minute here, as in every POSIX clock.
        let second = match self.second {
            Some(60) => 59,
            other => other.unwrap_or(0),
        };
        let civil = date.and_hms_micro_opt(hour, minute, second, self.micro.unwrap_or(0))?;
        let (instant, zone_source, sure) = match self.offset_min {
            Some(minutes) if minutes.abs() <= 18 * 60 => {
                let utc = civil.checked_sub_signed(Duration::minutes(i64::from(minutes)))?;
                (utc.and_utc(), ZoneSource::Explicit, true)
            }
            Some(_) => return None,
            None => {
                let (instant, sure) = in_zone(civil, zone)?;
                (instant, ZoneSource::Site, sure)
            }
        };
        let midnight = (civil.time() == NaiveTime::MIN).then_some(date);
        let local = instant.with_timezone(&zone);
        let offset_min = i64::from(local.offset().fix().local_minus_utc() / 60);
        // With the site's zone the written date stays, even where the clock skipped over it.
        let date = if zone_source == ZoneSource::Site { date } else { local.date_naive() };
        Some(When {
            date,
            instant: Some(instant.timestamp_micros()),
            precision,
            zone_source,
            offset_min: sure.then_some(offset_min),
            midnight,
        })
    }
}

/// A civil time in a zone, and whether it is there once; in a fold the earlier instant, in a gap the offset before it.
fn in_zone(civil: NaiveDateTime, zone: Tz) -> Option<(DateTime<Utc>, bool)> {
    match zone.from_local_datetime(&civil) {
        MappedLocalTime::Single(t) => Some((t.with_timezone(&Utc), true)),
        MappedLocalTime::Ambiguous(t, _) => Some((t.with_timezone(&Utc), false)),
        MappedLocalTime::None => {
            // The longest gap on record is a day (Samoa, 2011).
            (1..=100).find_map(|quarters| {
                let before = civil.checked_sub_signed(Duration::minutes(quarters * 15))?;
                let offset = match zone.offset_from_local_datetime(&before) {
                    MappedLocalTime::Single(o) | MappedLocalTime::Ambiguous(_, o) => o.fix(),
                    MappedLocalTime::None => return None,
                };
                let utc = civil.checked_sub_signed(Duration::seconds(i64::from(offset.local_minus_utc())))?;
                Some((utc.and_utc(), false))
            })
        }
    }
}

/// Reads digits off the front of a text.
struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let n = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if n < least {
            return None;
        }
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head.iter().fold(0u32, |v, b| v * 10 + u32::from(b - b'0')))
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A fraction's digits, as microseconds, and whether it is finer than a millisecond.
    fn fraction(&mut self) -> Option<(u32, bool)> {
        let n = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (head, tail) = self.0.split_at_checked(n)?;
        if head.is_empty() || n > 12 {
            return None;
        }
        self.0 = tail;
        let micros = (0..6).fold(0u32, |v, i| v * 10 + head.get(i).map_or(0, |b| u32::from(b - b'0')));
        Some((micros, n > 3))
    }

    /// `Z`, `+02:00`, `+0200` or `+02`, in minutes; also behind a blank, and `UTC`, as databases write them.
    fn offset(&mut self) -> Option<i32> {
        self.take(b' ');
        if let Some((name, rest)) = self.0.split_at_checked(3)
            && (name.eq_ignore_ascii_case(b"UTC") || name.eq_ignore_ascii_case(b"GMT"))
        {
            self.0 = rest;
            return Some(0);
        }
        if self.take(b'Z') || self.take(b'z') {
            return Some(0);
        }
        let sign = if self.take(b'+') {
            1
        } else if self.take(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2, 2)?;
        let parted = self.take(b':');
        let minutes = match self.digits(2, 2) {
            None if !parted => 0,
            minutes => minutes.filter(|m| *m < 60)?,
        };
        Some(sign * i32::try_from(hours * 60 + minutes).ok()?)
    }

    fn month_name(&mut self) -> Option<u32> {
        const NAMES: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let (head, tail) = self.0.split_at_checked(3)?;
        let at = NAMES.iter().position(|n| n.as_bytes().eq_ignore_ascii_case(head))?;
        self.0 = tail;
        u32::try_from(at + 1).ok()
    }
}

/// A FHIR `date`, `dateTime` or `instant`. A time without an offset is accepted and read in the site's zone.
pub(crate) fn fhir(text: &str, zone: Tz) -> Option<When> {
    fhir_parts(text)?.when(zone)
}

/// Whether a date of FHIR is a day that never comes.
pub(crate) fn is_never(text: &str) -> bool {
    fhir_parts(text).is_some_and(|p| p.is_never())
}

fn fhir_parts(text: &str) -> Option<Parts> {
    let mut c = Cursor(text.trim().as_bytes());
    let mut p = Parts { year: Some(c.digits(4, 4)?), ..Parts::default() };
    if c.take(b'-') {
        p.month = Some(c.digits(2, 2)?);
        if c.take(b'-') {
            p.day = Some(c.digits(2, 2)?);
            if c.take(b'T') {
                p.hour = Some(c.digits(2, 2)?);
                if !c.take(b':') {
                    return None;
                }
                p.minute = Some(c.digits(2, 2)?);
                if c.take(b':') {
                    p.second = Some(c.digits(2, 2)?);
                    if c.take(b'.') {
                        let (micro, fine) = c.fraction()?;
                        (p.micro, p.fine) = (Some(micro), fine);
                    }
                }
                if !c.0.is_empty() {
                    p.offset_min = Some(c.offset()?);
                }
            }
        }
    }
    if !c.0.is_empty() {
        return None;
    }
    Some(p)
}

/// One step of a date format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Year,
    /// Of two digits: the last such year that had begun when the data were taken.
    ShortYear,
    Month,
    MonthName,
    Day,
    Hour,
    Hour12,
    Half,
    Minute,
    Second,
    Fraction,
    Offset,
}

/// A date format in the spelling of strftime: `%Y %m %d %H %M %S %f %z`, and `%b`, `%I`, `%p`; `%y` with `%b`, as Oracle writes dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DateFormat(Vec<Step>);

impl DateFormat {
    /// Checks a format. The error says what would fit.
    pub(crate) fn new(text: &str) -> Result<DateFormat, String> {
        let mut steps = Vec::new();
        let mut bytes = text.bytes();
        while let Some(b) = bytes.next() {
            if b != b'%' {
                steps.push(Step::Byte(b));
                continue;
            }
            steps.push(match bytes.next() {
                Some(b'Y') => Step::Year,
                Some(b'm') => Step::Month,
                Some(b'b') => Step::MonthName,
                Some(b'd') => Step::Day,
                Some(b'H') => Step::Hour,
                Some(b'I') => Step::Hour12,
                Some(b'p') => Step::Half,
                Some(b'M') => Step::Minute,
                Some(b'S') => Step::Second,
                Some(b'f') => Step::Fraction,
                Some(b'z') => Step::Offset,
                Some(b'%') => Step::Byte(b'%'),
                Some(b'y') if text.contains("%b") => Step::ShortYear,
                Some(b'y') => return Err("%y is ambiguous; have the extract write four digits and use %Y".to_owned()),
                _ => {
                    return Err("a date format knows %Y %m %b %d %H %I %p %M %S %f %z and %%, and any other character"
                        .to_owned());
                }
            });
        }
        let has = |s: Step| steps.contains(&s);
        if !has(Step::Year) && !has(Step::ShortYear) {
            return Err("a date format needs %Y".to_owned());
        }
        let hour = has(Step::Hour) || (has(Step::Hour12) && has(Step::Half));
        let month = has(Step::Month) || has(Step::MonthName);
        let chain = [
            (has(Step::Day), month, "%d needs %m"),
            (hour || has(Step::Hour12), has(Step::Day), "%H needs %d"),
            (has(Step::Hour12), has(Step::Half), "%I needs %p"),
            (hour, has(Step::Minute), "%H needs %M"),
            (has(Step::Minute), hour, "%M needs %H"),
            (has(Step::Second), has(Step::Minute), "%S needs %M"),
            (has(Step::Fraction), has(Step::Second), "%f needs %S"),
            (has(Step::Offset), has(Step::Minute), "%z needs %H and %M"),
        ];
        match chain.iter().find(|(is, needs, _)| *is && !needs) {
            Some((_, _, message)) => Err((*message).to_owned()),
            None => Ok(DateFormat(steps)),
        }
    }

    /// The time a text names under this format, or `None`. `taken` is when the data were taken, in microseconds since 1970: a year of
    /// two digits is the last such one that had begun by then.
    pub(crate) fn parse(&self, text: &str, zone: Tz, taken: i64) -> Option<When> {
        let mut parts = self.parts(text)?;
        if parts.short {
            let now = u32::try_from(DateTime::from_timestamp_micros(taken)?.with_timezone(&zone).year()).ok()?;
            let year = parts.year? + now - now % 100;
            parts.year = Some(if year > now { year - 100 } else { year });
        }
        parts.when(zone)
    }

    /// Whether a text under this format is a day that never comes, as `9999-12-31`.
    pub(crate) fn is_never(&self, text: &str) -> bool {
        self.parts(text).is_some_and(|p| p.is_never())
    }

    fn parts(&self, text: &str) -> Option<Parts> {
        let mut c = Cursor(text.as_bytes());
        let mut p = Parts::default();
        let mut afternoon = None;
        for step in &self.0 {
            match step {
                Step::Byte(b) => {
                    if !c.take(*b) {
                        return None;
                    }
                }
                Step::Year => p.year = Some(c.digits(4, 4)?),
                Step::ShortYear => (p.year, p.short) = (Some(c.digits(2, 2)?), true),
                Step::Month => p.month = Some(c.digits(1, 2)?),
                Step::MonthName => p.month = Some(c.month_name()?),
                Step::Day => p.day = Some(c.digits(1, 2)?),
                Step::Hour => p.hour = Some(c.digits(1, 2)?),
                Step::Hour12 => p.hour = Some(c.digits(1, 2).filter(|h| (1..=12).contains(h))? % 12),
                Step::Half => {
                    let pm = c.take(b'P') || c.take(b'p');
                    if !pm && !c.take(b'A') && !c.take(b'a') {
                        return None;
                    }
                    if !c.take(b'M') && !c.take(b'm') {
                        return None;
                    }
                    afternoon = Some(pm);
                }
                Step::Minute => p.minute = Some(c.digits(2, 2)?),
                Step::Second => p.second = Some(c.digits(2, 2)?),
                // A driver that writes a fraction behind every time writes `.0` where it has none.
                Step::Fraction => {
                    let (micro, fine) = c.fraction()?;
                    (p.micro, p.fine) = (Some(micro).filter(|m| *m > 0), fine);
                }
                Step::Offset => p.offset_min = Some(c.offset()?),
            }
        }
        if !c.0.is_empty() {
            return None;
        }
        if self.0.contains(&Step::Hour12) && afternoon == Some(true) {
            p.hour = p.hour.map(|h| h + 12);
        }
        Some(p)
    }
}

#[cfg(test)]
mod tests;
