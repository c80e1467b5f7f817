//! Sources of events that can be read again from a position.

use serde::{Deserialize, Serialize};

use crate::batch::EventBatch;

/// Where a source stands, in the source's own words. A position is kept in a checkpoint and given back to
/// [`Source::seek`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position(pub String);

/// A source could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the source '{source_id}' can't be read: {reason}")]
pub struct SourceError {
    /// Which source.
    pub source_id: String,
    /// Why, without any cell of a row.
    pub reason: String,
}

/// What a reading gives.
#[expect(clippy::large_enum_variant, reason = "made once a batch and taken apart at once")]
pub enum Polled {
    /// Rows, with the position after them.
    Batch(EventBatch),
    /// Nothing now; there may be more later.
    Idle,
    /// Nothing any more.
    End,
}

/// A source of events. From the same position it gives the same rows in the same order.
pub trait Source: Send {
    /// Its name among the job's sources.
    fn id(&self) -> &str;

    /// Goes to a position that it gave before, or to its beginning. `names` are the groups known by then, in order.
    ///
    /// # Errors
    /// The position is not one of this source, or what stood there is gone.
    fn seek(&mut self, after: Option<&Position>, names: &[String]) -> Result<(), SourceError>;

    /// Reads on, at most about so many rows.
    ///
    /// # Errors
    /// The source can't be read.
    fn poll(&mut self, most_rows: usize) -> Result<Polled, SourceError>;
}
