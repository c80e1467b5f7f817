//! Events: what happened to one patient, when, and where in its source it stands. None of it can be printed.

use platform::Micros;
use serde::{Deserialize, Serialize};
use summaries::top_codes::Key;
use summaries::{Column, Input, MISSING, PatientBatch};

use crate::watermark::Channel;

/// An event must carry the columns of exactly one patient.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event carries the columns of exactly one patient")]
pub struct NotOnePatient;

/// One patient's value of one column. A real number is kept by its bits, so that rows have an order and NaN survives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Cell {
    Real(u64),
    Level(u32),
    Codes(Vec<u32>),
    Tag([u8; 32]),
    Keys(Vec<Key>),
}

impl Cell {
    fn of(column: &Column) -> Option<Cell> {
        match column {
            Column::Real(v) => v.first().map(|x| Cell::Real(x.to_bits())),
            Column::Level(v) => v.first().map(|x| Cell::Level(*x)),
            Column::Tags(v) => v.first().map(|x| Cell::Tag(*x)),
            Column::Codes { offsets, codes } => {
                let [from, to] = offsets.as_slice() else { return None };
                codes.get(*from as usize..*to as usize).map(|c| Cell::Codes(c.to_vec()))
            }
            Column::Keys { offsets, keys } => {
                let [from, to] = offsets.as_slice() else { return None };
                keys.get(*from as usize..*to as usize).map(|k| Cell::Keys(k.to_vec()))
            }
        }
    }

    fn fits(&self, input: &Input) -> bool {
        match (self, input) {
            (Cell::Real(_), Input::Real) | (Cell::Tag(_), Input::Tag) | (Cell::Keys(_), Input::Keys) => true,
            (Cell::Level(x), Input::Level(levels)) => x < levels || *x == MISSING,
            (Cell::Codes(c), Input::Codes(size)) => c.iter().all(|x| x < size),
            _ => false,
        }
    }

    fn column(&self) -> Column {
        match self {
            Cell::Real(_) => Column::Real(Vec::new()),
            Cell::Level(_) => Column::Level(Vec::new()),
            Cell::Tag(_) => Column::Tags(Vec::new()),
            Cell::Keys(_) => Column::Keys { offsets: vec![0], keys: Vec::new() },
            Cell::Codes(_) => Column::Codes { offsets: vec![0], codes: Vec::new() },
        }
    }

    /// Adds the value as the column's next patient; `None` if it is of another type.
    fn append(&self, column: &mut Column) -> Option<()> {
        match (self, column) {
            (Cell::Real(bits), Column::Real(v)) => v.push(f64::from_bits(*bits)),
            (Cell::Level(x), Column::Level(v)) => v.push(*x),
            (Cell::Tag(x), Column::Tags(v)) => v.push(*x),
            (Cell::Codes(c), Column::Codes { offsets, codes }) => {
                codes.extend(c);
                offsets.push(u32::try_from(codes.len()).ok()?);
            }
            (Cell::Keys(k), Column::Keys { offsets, keys }) => {
                keys.extend(k);
                offsets.push(u32::try_from(keys.len()).ok()?);
            }
            _ => return None,
        }
        Some(())
    }
}

/// A patient's values at an event time. The order is by time, and by values where times are equal, so that which of two
/// rows is last never depends on which arrived last.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Row {
    time: i64,
    cells: Vec<Cell>,
}

impl Row {
    /// The first place where the row is not what a statistic reads.
    pub(crate) fn misfit(&self, inputs: &[Input]) -> Option<usize> {
        let places = self.cells.len().max(inputs.len());
        (0..places).find(|&i| !matches!((self.cells.get(i), inputs.get(i)), (Some(c), Some(n)) if c.fits(n)))
    }

    /// One patient a row; `None` if the rows differ in shape.
    pub(crate) fn batch(rows: impl IntoIterator<Item = Row>) -> Option<PatientBatch> {
        let (mut patients, mut columns) = (0, Vec::new());
        for row in rows {
            if patients == 0 {
                columns = row.cells.iter().map(Cell::column).collect();
            }
            if columns.len() != row.cells.len() {
                return None;
            }
            for (cell, column) in row.cells.iter().zip(&mut columns) {
                cell.append(column)?;
            }
            patients += 1;
        }
        PatientBatch::new(patients, columns).ok()
    }
}

/// One event. It has no `Debug` and no `Serialize`: patients' rows are neither printed nor sent.
#[derive(Clone)]
pub struct Event(Record);

/// What an event is in a store. Only this room can write it down.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    channel: Channel,
    position: u64,
    key: Vec<u8>,
    row: Row,
}

impl Event {
    /// An event at a position of its source, at an event time, of the patient with this key.
    ///
    /// # Errors
    /// The values are not those of one patient.
    pub fn new(
        channel: Channel,
        position: u64,
        time: Micros,
        key: impl Into<Vec<u8>>,
        values: &PatientBatch,
    ) -> Result<Event, NotOnePatient> {
        let cells = values.columns().iter().map(Cell::of).collect::<Option<Vec<_>>>();
        match cells {
            Some(cells) if values.patients() == 1 => {
                Ok(Event(Record { channel, position, key: key.into(), row: Row { time: time.0, cells } }))
            }
            _ => Err(NotOnePatient),
        }
    }

    /// Its source and kind.
    pub fn channel(&self) -> &Channel {
        &self.0.channel
    }

    /// Its place in the source.
    pub fn position(&self) -> u64 {
        self.0.position
    }

    /// When it happened.
    pub fn time(&self) -> Micros {
        Micros(self.0.row.time)
    }

    /// The patient's key.
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// The patient's values, as a batch of one.
    pub fn values(&self) -> PatientBatch {
        Row::batch([self.0.row.clone()]).unwrap_or_default()
    }

    pub(crate) fn from_record(record: Record) -> Event {
        Event(record)
    }

    pub(crate) fn record(&self) -> &Record {
        &self.0
    }

    pub(crate) fn row(&self) -> &Row {
        &self.0.row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_and_are_checked() {
        let codes = Column::Codes { offsets: vec![0, 2], codes: vec![4, 7] };
        let columns = vec![Column::Real(vec![f64::NAN]), Column::Level(vec![2]), codes.clone()];
        let channel = Channel { source: "his".into(), kind: "lab".into() };
        let batch = PatientBatch::new(1, columns).unwrap();
        let event = Event::new(channel.clone(), 0, Micros(-3), "p", &batch).unwrap();
        let stored = serde_json::to_vec(event.record()).unwrap();
        let event = Event::from_record(serde_json::from_slice(&stored).unwrap());
        let back = event.values();
        assert!(matches!(back.column(0), Some(Column::Real(v)) if v.len() == 1 && v[0].is_nan()));
        assert!(back.column(1) == Some(&Column::Level(vec![2])) && back.column(2) == Some(&codes));
        let misfit = |inputs: &[Input]| event.row().misfit(inputs);
        assert_eq!(misfit(&[Input::Real, Input::Level(3), Input::Codes(8)]), None);
        assert_eq!(misfit(&[Input::Real, Input::Level(2), Input::Codes(8)]), Some(1));
        assert_eq!(misfit(&[Input::Real, Input::Level(3), Input::Codes(7)]), Some(2));
        assert_eq!(misfit(&[Input::Real, Input::Level(3)]), Some(2));
        let two = PatientBatch::new(2, Vec::new()).unwrap();
        assert!(Event::new(channel, 0, Micros(0), "p", &two).is_err());
    }
}
