//! The calendar of a continuous study: which window each round tells, as what, and from when on.

use chrono::{NaiveDate, NaiveTime, TimeDelta};

use crate::compile::stream::first_with_all;
use crate::spec::Study;
use crate::stream::Word;

/// The most rounds that a continuous study may have.
pub const MOST_ROUNDS: usize = 4000;

/// One telling of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Emission {
    /// From when on it can be told, in microseconds since 1970: the end of the window's last day in UTC, and what the plan adds.
    pub due_micros: i64,
    /// Which window, from 0.
    pub window: u32,
    /// As what.
    pub word: Word,
    /// The window's first day, by the hospitals' own calendars; of a window of hours, in UTC.
    pub first: NaiveDate,
    /// Its last day.
    pub last: NaiveDate,
    /// Of a window of hours: its first instant, and the first one after it, in microseconds since 1970.
    pub instants: Option<[i64; 2]>,
}

impl Emission {
    /// The window, for people: a day, or the first and the last; or the first and the last hour.
    pub fn label(&self) -> String {
        match self.instants {
            Some([from, to]) => format!("{} to {} UTC", hour(from), hour(to)),
            None if self.first == self.last => self.first.to_string(),
            None => format!("{} to {}", self.first, self.last),
        }
    }

    /// Up to when it goes, for people.
    pub fn end(&self) -> String {
        self.instants.map_or_else(|| self.last.to_string(), |[_, to]| format!("{} UTC", hour(to)))
    }

    /// Where it begins on an axis of years.
    pub fn year(&self) -> f64 {
        let midnight = self.first.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        let days = self.instants.map_or(0.0, |[from, _]| from.saturating_sub(midnight) as f64 / 86_400e6);
        crate::analysis::year(self.first) + days / 365.25
    }
}

/// The rounds of a continuous study, in the order in which they fall due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    emissions: Vec<Emission>,
    windows: u32,
}

fn hour(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.map(|t| t.format("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

impl Schedule {
    /// The calendar of a study. `None` where it is not continuous, or its dates are none, or there are more than [`MOST_ROUNDS`]
    /// rounds or no window at all.
    pub fn of(study: &Study) -> Option<Schedule> {
        let stream = study.stream.as_ref()?;
        let (from, until) = (date(&stream.from)?, date(&stream.until)?);
        let (mut emissions, mut windows) = (Vec::new(), 0u32);
        loop {
            let begin = from
                .and_time(NaiveTime::MIN)
                .checked_add_signed(TimeDelta::hours(i64::from(windows) * i64::from(stream.window.every)))?;
            let end = begin.checked_add_signed(TimeDelta::hours(i64::from(stream.window.hours)))?;
            // The last instant is of the last day.
            let (first, last) = (begin.date(), end.checked_sub_signed(TimeDelta::microseconds(1))?.date());
            if last > until {
                break;
            }
            let (begin, end) = (begin.and_utc(), end.and_utc());
            let instants = [begin.timestamp_micros(), end.timestamp_micros()];
            let instants = (!stream.window.is_of_days()).then_some(instants);
            for emit in &stream.emit {
                let due_micros = (end + TimeDelta::hours(i64::from(emit.hours))).timestamp_micros();
                emissions.push(Emission { due_micros, window: windows, word: emit.word, first, last, instants });
            }
            if emissions.len() > MOST_ROUNDS {
                return None;
            }
            windows += 1;
        }
        emissions.sort();
        (!emissions.is_empty()).then_some(Schedule { emissions, windows })
    }

    /// What a round tells.
    pub fn emission(&self, round: u32) -> Option<&Emission> {
        self.emissions.get(round as usize)
    }

    /// All rounds, in order.
    pub fn emissions(&self) -> &[Emission] {
        &self.emissions
    }

    /// How many windows there are.
    pub fn windows(&self) -> u32 {
        self.windows
    }

    /// The study that a round asks: the same, with the days of the window around every entry. Its first analysis has the features of all,
    /// since one round tells all of them.
    pub fn study_at(&self, study: &Study, round: u32) -> Option<Study> {
        let emission = self.emission(round)?;
        let mut own = study.clone();
        own.stream = None;
        if let Some(first) = first_with_all(&study.analysis).filter(|_| study.analysis.len() > 1) {
            own.analysis = vec![first];
        }
        for entry in own.cohorts.values_mut().filter_map(|c| c.entry.as_mut()) {
            if emission.instants.is_some() {
                entry.instants = emission.instants;
                continue;
            }
            let (first, last) = (emission.first.to_string(), emission.last.to_string());
            // Days are ordered as their texts are. What does not meet has no day at all.
            entry.between = Some(match entry.between.take() {
                Some([from, to]) => [from.max(first), to.min(last)],
                None => [first, last],
            });
        }
        Some(own)
    }
}

#[cfg(test)]
mod tests;
