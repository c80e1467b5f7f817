//! Prevalence over calendar time: for each patient, the places of the days on which they are observed, and of those by which they have
//! had an event.

use study::Study;
use study::analysis::Calendar;
use study::cohort::Event;

use crate::COHORT;
use crate::rows::{quote, rows_of_event};

/// One row a patient: `person_key`, then two lists of days' places, NULL where empty.
///
/// A patient is observed on a day that lies within one of their periods of observation, not before their entry and not after their
/// exit. The event is on the day or before it; with `lookback`, at most so many days before.
pub(crate) fn query(
    study: &Study,
    event: &Event,
    calendar: &Calendar,
    lookback: Option<u32>,
) -> Result<String, String> {
    let days = calendar.days().ok_or("the calendar has no day")?;
    let days: Vec<String> =
        days.iter().enumerate().map(|(i, d)| format!("({i}, CAST({} AS DATE))", quote(&d.to_string()))).collect();
    let (rows, date) = rows_of_event(study, event)?;
    let since = lookback.map_or(String::new(), |n| format!(" AND CAST(a.at AS INT) - CAST(e.day AS INT) <= {n}"));
    Ok(format!(
        "WITH observed AS (SELECT DISTINCT c.person_key, d.place, d.at FROM {COHORT} c \
         JOIN observation_period o ON o.person_key = c.person_key CROSS JOIN (VALUES {}) AS d (place, at) \
         WHERE o.start_date <= d.at AND o.end_date >= d.at AND (c.index_date IS NULL OR c.index_date <= d.at) \
         AND (c.exit_date IS NULL OR c.exit_date >= d.at)), \
         cases AS (SELECT DISTINCT a.person_key, a.place FROM observed a \
         JOIN (SELECT person_key, {date} AS day FROM {rows}) e ON e.person_key = a.person_key WHERE e.day <= a.at{since}), \
         f0 AS (SELECT person_key, array_agg(place) AS v FROM observed GROUP BY person_key), \
         f1 AS (SELECT person_key, array_agg(place) AS v FROM cases GROUP BY person_key) \
         SELECT c.person_key, f0.v AS v0, f1.v AS v1 FROM {COHORT} c LEFT JOIN f0 ON f0.person_key = c.person_key \
         LEFT JOIN f1 ON f1.person_key = c.person_key",
        days.join(", ")
    ))
}
