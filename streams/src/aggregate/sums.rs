//! Counts and sums.

use super::{Aggregate, Told};
use crate::batch::EventBatch;
use crate::keyed::Value as _;
use crate::window::Sums;

/// What stands in [`Told::more`] of a sum that may have wrapped, and is not to be told.
pub const TOO_LARGE: i64 = i64::MAX;

pub(crate) fn too_large(sums: &Sums) -> Vec<i64> {
    if sums.holds() { Vec::new() } else { vec![TOO_LARGE] }
}

/// The count of rows and the sum of their values.
pub struct SumsOfValues;

impl Aggregate for SumsOfValues {
    type Kept = Sums;

    fn row(&self, batch: &EventBatch, row: usize, kept: &mut Sums) -> bool {
        let sign = batch.sign_of(row);
        let value = batch.value.get(row).copied().unwrap_or_default();
        kept.join(&Sums::of(sign, sign.wrapping_mul(value)));
        true
    }

    fn tell(&self, kept: &Sums) -> Told {
        Told { count: kept.count, sum: kept.sum, more: too_large(kept) }
    }
}
