//! What is kept of the rows of a pane, and what a window tells of it.
//!
//! All of them forget the order of rows: the same rows give the same bytes, however they came.

mod hyperloglog;
mod quantiles;
mod sums;

pub use hyperloglog::{Hll, HllOfPatients};
pub use quantiles::{LogBuckets, QuantilesOfValues};
pub(crate) use sums::too_large;
pub use sums::{SumsOfValues, TOO_LARGE};

use crate::batch::EventBatch;
use crate::keyed::Value;

/// What a window tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many rows, or patients.
    pub count: i64,
    /// The sum, or what the aggregate says.
    pub sum: i64,
    /// More numbers.
    pub more: Vec<i64>,
}

/// An aggregate over the rows of a window.
pub trait Aggregate: Send + Sync + 'static {
    /// What is kept of a pane.
    type Kept: Value + Default;

    /// Takes a row in; `false` if it takes back another and this aggregate can't forget one.
    fn row(&self, batch: &EventBatch, row: usize, kept: &mut Self::Kept) -> bool;

    /// What is told of a window.
    fn tell(&self, kept: &Self::Kept) -> Told;
}
