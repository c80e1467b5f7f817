//! Days of the calendar at equal distances.

use chrono::{Datelike as _, Months, NaiveDate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most days.
pub const MOST_DAYS: usize = 600;

/// How far from one day to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// A month.
    Month,
    /// Three months.
    Quarter,
    /// A year.
    #[default]
    Year,
}

impl Every {
    fn months(self) -> u32 {
        match self {
            Every::Month => 1,
            Every::Quarter => 3,
            Every::Year => 12,
        }
    }
}

/// From a day to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Calendar {
    /// The first day, `YYYY-MM-DD`.
    pub from: String,
    /// No day is after this one, `YYYY-MM-DD`.
    pub to: String,
    /// How far from one day to the next.
    #[serde(default)]
    pub every: Every,
}

impl Calendar {
    /// The days, ascending, each of the same day of its month as the first, or the month's last where it has none such. `None` where an
    /// end is no date, there is no day, or there are more than [`MOST_DAYS`].
    pub fn days(&self) -> Option<Vec<NaiveDate>> {
        let date =
            |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|d| (1..=9999).contains(&d.year()));
        let (from, to) = (date(&self.from)?, date(&self.to)?);
        let mut days = Vec::new();
        for step in 0..=MOST_DAYS as u32 {
            let day = from.checked_add_months(Months::new(step * self.every.months()))?;
            if day > to {
                break;
            }
            days.push(day);
        }
        (1..=MOST_DAYS).contains(&days.len()).then_some(days)
    }
}

/// A day as a year with its fraction.
pub fn year(day: NaiveDate) -> f64 {
    let length = if day.leap_year() { 366.0 } else { 365.0 };
    f64::from(day.year()) + f64::from(day.ordinal0()) / length
}

/// The day that a year with its fraction is nearest to, where it is one: the inverse of [`year`].
pub fn day(year: f64) -> Option<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(year.floor() as i32, 1, 1)?;
    let length = if first.leap_year() { 366.0 } else { 365.0 };
    first.checked_add_days(chrono::Days::new(((year - year.floor()) * length).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str, every: Every) -> Option<Vec<String>> {
        let calendar = Calendar { from: from.to_owned(), to: to.to_owned(), every };
        calendar.days().map(|d| d.iter().map(NaiveDate::to_string).collect())
    }

    #[test]
    fn a_part_of_a_year_is_a_day() {
        let of = |year| day(year).map(|d| d.to_string());
        assert_eq!(of(2023.0).as_deref(), Some("2023-01-01"));
        assert_eq!(of(2024.0 + 59.0 / 366.0).as_deref(), Some("2024-02-29"));
        assert_eq!((of(2023.9999).as_deref(), of(1e18)), (Some("2024-01-01"), None));
    }

    #[test]
    fn the_days_of_a_calendar() {
        let months = days("2023-12-31", "2024-03-31", Every::Month).unwrap();
        assert_eq!(months, ["2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31"]);
        assert_eq!(days("2020-02-29", "2022-01-01", Every::Year).unwrap(), ["2020-02-29", "2021-02-28"]);
        assert_eq!(days("2020-01-01", "2020-12-31", Every::Quarter).unwrap().len(), 4);
        assert_eq!(days("2020-01-02", "2020-01-01", Every::Year), None);
        assert_eq!(days("2020-02-30", "2021-01-01", Every::Year), None);
        assert!((year("2022-07-02".parse().unwrap()) - 2_022.498_63).abs() < 1e-5);
        assert_eq!(days("1900-01-01", "2026-01-01", Every::Month), None, "too many");
    }
}
