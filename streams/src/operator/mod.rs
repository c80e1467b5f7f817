//! Operators: what is done with rows, as their windows open and close.
//!
//! An operator is told of rows with the watermark that each met, and of the watermark as it passes. Between two calls no
//! window of it closes: the job cuts a batch where one would, by [`Operator::deadline`]. So a row is judged by the watermark
//! it met, whatever the batches.

mod distinct;
mod global;
mod join;
mod session;
mod timers;
mod windowed;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

pub use distinct::{Distinct, MOST_PANES};
pub use global::{Global, Trigger};
pub use join::Join;
pub use session::{Session, Sessions, Span};
pub use windowed::{By, Windowed};

use crate::backend::StateError;
use crate::batch::{EventBatch, Key};
use crate::keyed::Table;
use crate::out::Out;

/// An operator can't go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Its state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its settings make no sense.
    #[error("{0}")]
    Settings(String),
}

/// The rows of a batch that an operator is to take.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The batch.
    pub batch: &'a EventBatch,
    /// Which rows of it, rising.
    pub rows: &'a [u32],
    /// The watermark before each row of the batch.
    pub watermarks: &'a [i64],
}

impl Rows<'_> {
    /// Each row, in order.
    pub fn each(&self) -> impl Iterator<Item = Row> {
        let row = |place: usize| {
            Some(Row {
                place,
                watermark: *self.watermarks.get(place)?,
                time: *self.batch.time.get(place)?,
                key: *self.batch.key.get(place)?,
                group: *self.batch.group.get(place)?,
                value: *self.batch.value.get(place)?,
                sign: self.batch.sign_of(place),
            })
        };
        self.rows.iter().filter_map(move |place| row(*place as usize))
    }
}

/// One row, and the watermark that it met.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its place in the batch.
    pub place: usize,
    /// The watermark it met.
    pub watermark: i64,
    /// Its time.
    pub time: i64,
    /// Its patient.
    pub key: Key,
    /// Its group.
    pub group: u32,
    /// Its value.
    pub value: i64,
    /// `1`, or `-1` where it is taken back.
    pub sign: i64,
}

/// How rows come to the shards of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All rows of a patient to one shard, in their order.
    ByPatient,
    /// All rows of a group to one shard.
    ByGroup,
}

/// A part of a job: it has state of its own, for a range of key groups.
pub trait Operator: Send {
    /// How rows are spread over its shards.
    fn spread(&self) -> Spread;

    /// The least watermark at which something of it closes that a later row must not touch.
    fn deadline(&self) -> Option<i64>;

    /// Takes rows in. None of their watermarks reaches the deadline.
    ///
    /// # Errors
    /// The state failed.
    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError>;

    /// No row at or before `watermark` is expected any more.
    ///
    /// # Errors
    /// The state failed.
    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError>;

    /// How many groups of each of its windows are told at most: those with the largest counts, of equal ones the first by name. All where
    /// it has no such number.
    fn most(&self) -> Option<usize> {
        None
    }

    /// What sums rows of one group apart from the state, where what is kept of a group is a join of such sums: then a group that has most
    /// of the rows is the work of all shards.
    fn combiner(&self) -> Option<Arc<dyn Combiner>> {
        None
    }

    /// Joins what its combiner made of some rows to what is kept. Their windows have not closed since.
    ///
    /// # Errors
    /// The state failed, or the part is another operator's.
    fn absorb(&mut self, part: Partial) -> Result<(), OperatorError> {
        let _ = part;
        Err(OperatorError::Settings("this operator takes rows in their order alone".to_owned()))
    }

    /// Brings what it holds beside its tables into them, before a checkpoint.
    ///
    /// # Errors
    /// The state failed.
    fn settle(&mut self) -> Result<(), StateError> {
        Ok(())
    }

    /// Its tables, in the order of their numbers.
    fn tables(&self) -> Vec<&dyn Table>;

    /// The same, to be changed.
    fn tables_mut(&mut self) -> Vec<&mut dyn Table>;
}

/// What a combiner made of some rows.
pub type Partial = Box<dyn Any + Send>;

/// Sums rows of one group without the state of their operator.
pub trait Combiner: Send + Sync {
    /// The operator's deadline, had the watermark come so far: above it.
    fn deadline(&self, watermark: i64) -> i64;

    /// What rows of one group come to, for [`Operator::absorb`]. None of their watermarks is beyond a deadline that another's is not.
    fn combine(&self, rows: Rows<'_>, out: &mut Out) -> Partial;
}

/// Where a shard of an operator finds its state.
#[derive(Clone)]
pub struct Place {
    /// The number of the first of its tables; an operator has at most four.
    pub table: u8,
    /// Its key groups.
    pub groups: Range<u16>,
    /// The backend.
    pub backend: crate::keyed::SharedBackend,
    /// About how many values may stay in memory where the backend is not all in memory.
    pub most: usize,
    /// The watermark of the last checkpoint, or the least number.
    pub watermark: i64,
}

/// Makes an operator's shard out of what the last checkpoint has.
pub type Maker = Box<dyn Fn(&Place) -> Result<Box<dyn Operator>, OperatorError> + Send + Sync>;
