//! What comes out of an operator.

use crate::batch::{EventBatch, Key};
use crate::window::Window;

/// Which telling of a window this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Emission {
    /// Its first, when the watermark passed its end. It is the last where no late row changes it.
    First,
    /// Its last, when its allowed lateness is over; told where late rows changed it.
    Correction,
    /// Of something that goes on, such as a count since the beginning.
    Running,
    /// A pair that was told, and whose row was taken back.
    Withdrawn,
}

/// A row of an answer. It has no `Debug`: it is not yet noised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// Which operator, by its place in the job.
    pub operator: u32,
    /// The window, the session, or from a row to the row it was joined to.
    pub window: Window,
    /// The group, or 0.
    pub group: u32,
    /// The patient, or 0.
    pub key: Key,
    /// Which telling.
    pub emission: Emission,
    /// How many rows, or patients.
    pub count: i64,
    /// The sum of their values, or what the operator says.
    pub sum: i64,
    /// More numbers, where the operator has them.
    pub more: Vec<i64>,
}

/// Why a row went to the side output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// All its windows were closed.
    Late,
    /// Its time is out of all range, or too far ahead of the clock.
    Implausible,
    /// It takes back a row that the operator does not have, or can't forget.
    CannotForget,
}

impl Why {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Why::Late => "late",
            Why::Implausible => "implausible",
            Why::CannotForget => "cannot_forget",
        }
    }
}

/// A row of the side output.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LateRow {
    /// Which operator, by its place in the job; of a row that came to none, the number of operators.
    pub operator: u32,
    /// Why.
    pub why: Why,
    /// The watermark it met, in microseconds.
    pub watermark: i64,
    /// Its time.
    pub time: i64,
    /// Its patient.
    pub key: Key,
    /// Its group.
    pub group: u32,
    /// Its value.
    pub value: i64,
    /// Whether it takes back a row.
    pub takes_back: bool,
}

/// What came out since it was last taken.
#[derive(Default)]
pub struct Out {
    /// Answers.
    pub closed: Vec<Closed>,
    /// The side output.
    pub late: Vec<LateRow>,
}

impl Out {
    /// Puts a row on the side.
    pub fn aside(&mut self, batch: &EventBatch, row: usize, why: Why, watermark: i64) {
        let (Some(time), Some(key), Some(group), Some(value)) =
            (batch.time.get(row), batch.key.get(row), batch.group.get(row), batch.value.get(row))
        else {
            return;
        };
        let late = LateRow {
            operator: 0,
            why,
            watermark,
            time: *time,
            key: *key,
            group: *group,
            value: *value,
            takes_back: batch.sign_of(row) < 0,
        };
        self.late.push(late);
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.late.is_empty()
    }
}
