//! The calendar of a continuous study: which window each round tells, as what, and from when on.

use chrono::{Days, NaiveDate};

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
    /// The window's first day, by the hospitals' own calendars.
    pub first: NaiveDate,
    /// Its last day.
    pub last: NaiveDate,
}

impl Emission {
    /// The window, for people: a day, or the first and the last.
    pub fn label(&self) -> String {
        match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{} to {}", self.first, self.last),
        }
    }
}

/// The rounds of a continuous study, in the order in which they fall due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    emissions: Vec<Emission>,
    windows: u32,
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
            let first = from.checked_add_days(Days::new(u64::from(windows) * u64::from(stream.window.every)))?;
            let last = first.checked_add_days(Days::new(u64::from(stream.window.days.checked_sub(1)?)))?;
            if last > until {
                break;
            }
            let end = last.succ_opt()?.and_hms_opt(0, 0, 0)?.and_utc();
            for emit in &stream.emit {
                let due_micros = (end + chrono::TimeDelta::hours(i64::from(emit.hours))).timestamp_micros();
                emissions.push(Emission { due_micros, window: windows, word: emit.word, first, last });
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

    /// The study that a round asks: the same, with the days of the window around every entry.
    pub fn study_at(&self, study: &Study, round: u32) -> Option<Study> {
        let emission = self.emission(round)?;
        let mut own = study.clone();
        own.stream = None;
        for entry in own.cohorts.values_mut().filter_map(|c| c.entry.as_mut()) {
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
