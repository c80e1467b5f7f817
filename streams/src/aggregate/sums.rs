//! Counts and sums.

use super::{Aggregate, Told};
use crate::batch::EventBatch;
use crate::window::Sums;

/// The count of rows and the sum of their values.
pub struct SumsOfValues;

impl Aggregate for SumsOfValues {
    type Kept = Sums;

    fn row(&self, batch: &EventBatch, row: usize, kept: &mut Sums) -> bool {
        let sign = batch.sign_of(row);
        kept.count = kept.count.wrapping_add(sign);
        kept.sum = kept.sum.wrapping_add(sign.wrapping_mul(batch.value.get(row).copied().unwrap_or_default()));
        true
    }

    fn tell(&self, kept: &Sums) -> Told {
        Told { count: kept.count, sum: kept.sum, more: Vec::new() }
    }
}
