//! Times that are told as so many minutes after another time: what they are counted from.
//!
//! Where only the year of the anchor is known, it is put into the middle of that year, with the precision of a year: the days
//! between two events of one anchor are right, and the year is, for half a year on both sides. No other part of such a date
//! means anything, and its precision says so.

use chrono::{Duration, NaiveDate, NaiveDateTime, NaiveTime};

use super::cells::Cells;
use super::columns::{Columns, Slot};
use super::toml_doc::{Section, Text};
use crate::envelope::Envelope;
use crate::sink::AdapterError;
use crate::time::{DateFormat, Precision, When};

/// What an offset is counted from.
pub(crate) struct Anchor {
    from: From,
    /// The time of day, where the date has none.
    time: Option<Slot>,
    /// What is taken off first, in the anchor's unit.
    minus: Option<Slot>,
    unit: Duration,
}

enum From {
    Date(Slot),
    Year(Slot),
    Day(NaiveDate),
}

/// Why there is no time.
pub(crate) enum Fault {
    /// The offset or what is taken off is no number.
    Number(Slot),
    /// The anchor's date, year or time of day is none.
    Date(Slot),
}

const KEYS: &[&str] = &["lookup", "key", "date", "year", "day", "time", "minus", "unit"];

impl Anchor {
    /// Reads `[anchor.NAME]` for one file: its columns are the file's own, or those of a lookup.
    pub(crate) fn parse<'d, 't>(
        name: &str,
        section: Section<'d, 't>,
        columns: &mut Columns<'d, 't>,
    ) -> Result<Anchor, AdapterError> {
        let section = section.only(KEYS)?;
        let doc = section.doc;
        let lookup = section.text("lookup")?;
        let mut keys = Vec::new();
        for key in section.one_or_more("key")? {
            keys.push(columns.slot(key)?);
        }
        let mut slot = |column: Option<Text<'_>>| -> Result<Option<Slot>, AdapterError> {
            match (column, lookup) {
                (None, _) => Ok(None),
                (Some(column), None) => columns.slot(column).map(Some),
                (Some(column), Some(lookup)) => {
                    let own = format!("{name}.{}", column.text);
                    columns.looked_up(&own, lookup, keys.clone(), column).map(Some)
                }
            }
        };
        let day = match section.text("day")? {
            None => None,
            Some(t) => {
                Some(t.text.parse().map_err(|_| doc.error(t.at, "day is a constant day, such as \"2000-01-01\""))?)
            }
        };
        let from = match (slot(section.text("date")?)?, slot(section.text("year")?)?, day) {
            (Some(date), None, None) => From::Date(date),
            (None, Some(year), None) => From::Year(year),
            (None, None, Some(day)) => From::Day(day),
            _ => {
                return Err(doc.error(
                    section.at,
                    "an anchor has one of date = \"column\", year = \"column\", day = \"2000-01-01\"",
                ));
            }
        };
        let unit = match section.text("unit")? {
            None => Duration::minutes(1),
            Some(t) => match t.text {
                "seconds" => Duration::seconds(1),
                "minutes" => Duration::minutes(1),
                "hours" => Duration::hours(1),
                "days" => Duration::days(1),
                _ => return Err(doc.error(t.at, "unit is \"seconds\", \"minutes\", \"hours\" or \"days\"")),
            },
        };
        Ok(Anchor { from, time: slot(section.text("time")?)?, minus: slot(section.text("minus")?)?, unit })
    }

    /// The columns that it reads.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let from = match &self.from {
            From::Date(slot) | From::Year(slot) => Some(*slot),
            From::Day(_) => None,
        };
        from.into_iter().chain(self.time).chain(self.minus).collect()
    }

    /// Whether the file must say how dates are written.
    pub(crate) fn needs_dates(&self) -> bool {
        matches!(self.from, From::Date(_))
    }

    /// The time an offset names; `None` where the anchor is not known.
    pub(crate) fn at(
        &self,
        offset: (Slot, &str),
        cells: &Cells<'_, '_>,
        dates: &[DateFormat],
        envelope: &Envelope<'_>,
    ) -> Result<Option<When>, Fault> {
        let zone = envelope.zone();
        let number =
            |slot: Slot, text: &str| text.parse::<f64>().ok().filter(|v| v.abs() < 1e9).ok_or(Fault::Number(slot));
        let (base, precision) = match &self.from {
            From::Day(day) => (day.and_time(NaiveTime::MIN), Precision::Day),
            From::Year(slot) => {
                let Some(text) = cells.get(*slot) else { return Ok(None) };
                let year: i32 = text.parse().ok().filter(|y| (1800..=2300).contains(y)).ok_or(Fault::Date(*slot))?;
                let day = NaiveDate::from_ymd_opt(year, 7, 1).ok_or(Fault::Date(*slot))?;
                (day.and_time(NaiveTime::MIN), Precision::Year)
            }
            From::Date(slot) => {
                let Some(text) = cells.get(*slot) else { return Ok(None) };
                let when =
                    dates.iter().find_map(|f| f.parse(text, zone, envelope.ingested())).ok_or(Fault::Date(*slot))?;
                (when.civil(zone), when.precision)
            }
        };
        let (base, precision) = match self.time.and_then(|slot| cells.get(slot).map(|text| (slot, text))) {
            None => (base, precision),
            Some((slot, text)) => {
                let time =
                    NaiveTime::parse_from_str(text, "%H:%M:%S").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"));
                let base = base.date().and_time(time.map_err(|_| Fault::Date(slot))?);
                (base, if precision == Precision::Day { Precision::Minute } else { precision })
            }
        };
        let mut units = number(offset.0, offset.1)?;
        if let Some(slot) = self.minus {
            let Some(text) = cells.get(slot) else { return Ok(None) };
            units -= number(slot, text)?;
        }
        let at = self.moved(base, units).ok_or(Fault::Number(offset.0))?;
        When::of_civil(at, precision, zone).map(Some).ok_or(Fault::Number(offset.0))
    }

    fn moved(&self, base: NaiveDateTime, units: f64) -> Option<NaiveDateTime> {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        let seconds = (units * self.unit.num_seconds() as f64).round() as i64;
        base.checked_add_signed(Duration::try_seconds(seconds)?)
    }
}
