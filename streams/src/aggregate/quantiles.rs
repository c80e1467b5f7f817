//! Quantiles by buckets of a fixed relative width (`DDSketch`: Masson, Rim, Lee 2019). Buckets are counts, so that a row can be
//! taken back and the order of rows is forgotten.

use std::collections::BTreeMap;

use super::{Aggregate, Told};
use crate::batch::EventBatch;
use crate::keyed::Value;

/// The relative error of a quantile: γ = (1+α)/(1−α).
const RELATIVE: f64 = 0.01;

/// Counts of values by bucket: `i + 1` for `(γ^(i−1), γ^i]`, below zero mirrored, 0 for zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBuckets(BTreeMap<i32, i64>);

fn gamma() -> f64 {
    (1.0 + RELATIVE) / (1.0 - RELATIVE)
}

fn bucket(value: i64) -> i32 {
    let place = |v: u64| ((v as f64).ln() / gamma().ln()).ceil() as i32 + 1;
    match value {
        0 => 0,
        v if v > 0 => place(v.unsigned_abs()),
        v => -place(v.unsigned_abs()),
    }
}

fn middle(bucket: i32) -> f64 {
    let of = |b: i32| 2.0 * gamma().powi(b - 1) / (gamma() + 1.0);
    match bucket {
        0 => 0.0,
        b if b > 0 => of(b),
        b => -of(-b),
    }
}

impl LogBuckets {
    /// Adds a value so many times, or takes it back.
    pub fn add(&mut self, value: i64, times: i64) {
        let bucket = bucket(value);
        let n = self.0.entry(bucket).or_default();
        *n = n.wrapping_add(times);
        if *n == 0 {
            self.0.remove(&bucket);
        }
    }

    /// How many values.
    pub fn count(&self) -> i64 {
        self.0.values().sum()
    }

    /// The value at a share of the way through, within a hundredth of it. `None` without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share.clamp(0.0, 1.0) * (self.count() - 1) as f64).floor() as i64;
        let mut before = 0;
        for (bucket, n) in &self.0 {
            before += n;
            if before > rank {
                return Some(middle(*bucket));
            }
        }
        None
    }
}

impl Value for LogBuckets {
    const KIND: &'static str = "log-buckets";

    fn write(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(b, n)| b.to_le_bytes().into_iter().chain(n.to_le_bytes())).collect()
    }

    fn read(bytes: &[u8]) -> Option<LogBuckets> {
        let (cells, rest) = bytes.as_chunks::<12>();
        let cell = |c: &[u8; 12]| {
            let (bucket, n) = c.split_first_chunk::<4>()?;
            Some((i32::from_le_bytes(*bucket), i64::from_le_bytes(n.try_into().ok()?)))
        };
        rest.is_empty().then(|| cells.iter().map(cell).collect::<Option<_>>().map(LogBuckets))?
    }

    fn join(&mut self, other: &LogBuckets) {
        for (bucket, more) in &other.0 {
            let n = self.0.entry(*bucket).or_default();
            *n = n.wrapping_add(*more);
            if *n == 0 {
                self.0.remove(bucket);
            }
        }
    }
}

/// Quantiles of the rows' values: told are the count, the median as `sum`, and the quantiles asked for, rounded.
pub struct QuantilesOfValues(pub Vec<f64>);

impl Aggregate for QuantilesOfValues {
    type Kept = LogBuckets;

    fn row(&self, batch: &EventBatch, row: usize, kept: &mut LogBuckets) -> bool {
        if let Some(value) = batch.value.get(row) {
            kept.add(*value, batch.sign_of(row));
        }
        true
    }

    fn tell(&self, kept: &LogBuckets) -> Told {
        let at = |q: f64| kept.quantile(q).map_or(0, |v| v.round() as i64);
        Told { count: kept.count(), sum: at(0.5), more: self.0.iter().map(|q| at(*q)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_within_its_width(mut values in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..200), share in 0.0f64..1.0) {
            let mut buckets = LogBuckets::default();
            values.iter().for_each(|v| buckets.add(*v, 1));
            values.iter().for_each(|v| buckets.add(*v, 1));
            values.iter().for_each(|v| buckets.add(*v, -1));
            prop_assert_eq!(LogBuckets::read(&buckets.write()), Some(buckets.clone()));
            values.sort_unstable();
            let exact = values[(share * (values.len() - 1) as f64).floor() as usize] as f64;
            let off = (buckets.quantile(share).unwrap() - exact).abs();
            prop_assert!(off <= RELATIVE * exact.abs() * 1.000_001, "{exact}: off by {off}");
        }
    }
}
