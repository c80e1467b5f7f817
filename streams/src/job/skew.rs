//! Groups that have most of the rows: found batch by batch, summed in parts by all shards, and joined by the one that keeps them.
//!
//! Only operators whose state of a group is a join have a [`Combiner`]; all others take each row in its order, at the shard of its group
//! or patient. What is kept is the same as without, so that state, savepoints and answers know nothing of it.

use std::collections::HashMap;
use std::sync::Arc;

use super::JobError;
use crate::batch::EventBatch;
use crate::operator::{Combiner, Partial, Rows};
use crate::out::Out;

/// One row of so many is looked at.
const LOOK: usize = 16;

/// Batches of fewer rows are not worth it.
const LEAST_ROWS: usize = 1024;

/// The groups that have more than half of what one of `shards` should have, rising.
pub(super) fn hot(groups: &[u32], shards: usize) -> Vec<u32> {
    if shards < 2 || groups.len() < LEAST_ROWS {
        return Vec::new();
    }
    let mut seen: HashMap<u32, usize> = HashMap::new();
    groups.iter().step_by(LOOK).for_each(|group| *seen.entry(*group).or_default() += 1);
    let looked = groups.len().div_ceil(LOOK);
    let mut out: Vec<u32> = seen.into_iter().filter(|(_, n)| n * 2 * shards > looked).map(|(group, _)| group).collect();
    out.sort_unstable();
    out
}

/// Where windows of an operator close between two rows of a batch: the first row of each stretch without that.
pub(super) fn stretches(combiner: &dyn Combiner, met: &[i64], mut watermark: i64) -> Vec<usize> {
    let mut out = vec![0];
    let mut from = 0;
    loop {
        let deadline = combiner.deadline(watermark);
        let until = from + met.get(from..).unwrap_or_default().partition_point(|met| *met < deadline);
        match met.get(until) {
            Some(next) if *next > watermark => watermark = *next,
            _ => return out,
        }
        out.push(until);
        from = until;
    }
}

/// What some rows of a hot group come to.
pub(super) struct Part {
    pub(super) operator: usize,
    pub(super) stretch: usize,
    pub(super) group: u32,
    pub(super) sum: Partial,
}

/// An operator's combiner, and the stretches of the batch.
pub(super) struct Stage {
    pub(super) operator: usize,
    pub(super) combiner: Arc<dyn Combiner>,
    pub(super) stretches: Vec<usize>,
}

/// Sums the rows of hot groups, each spread over `shards` threads. Late rows are told of as their operator's.
pub(super) fn summed(
    stages: &[Stage],
    (batch, met): (&EventBatch, &[i64]),
    hot: &[u32],
    shards: usize,
    out: &mut Out,
) -> Result<Vec<Part>, JobError> {
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); hot.len()];
    for (row, group) in batch.group.iter().enumerate() {
        if let Some(list) = hot.binary_search(group).ok().and_then(|i| rows.get_mut(i)) {
            list.push(row as u32);
        }
    }
    let one = |thread: usize| {
        let (mut parts, mut out) = (Vec::new(), Out::default());
        for (group, rows) in hot.iter().zip(&rows) {
            let share = rows.len().div_ceil(shards).max(1);
            let Some(own) = rows.chunks(share).nth(thread) else { continue };
            for stage in stages {
                let late = out.late.len();
                let mut rest = own;
                for (stretch, end) in stage.stretches.iter().skip(1).chain([&batch.len()]).enumerate() {
                    let (now, later) = rest.split_at(rest.partition_point(|row| (*row as usize) < *end));
                    rest = later;
                    if !now.is_empty() {
                        let sum = stage.combiner.combine(Rows { batch, rows: now, watermarks: met }, &mut out);
                        parts.push(Part { operator: stage.operator, stretch, group: *group, sum });
                    }
                }
                out.late.iter_mut().skip(late).for_each(|l| l.operator = stage.operator as u32);
            }
        }
        (parts, out)
    };
    let one = &one;
    let each = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shards).map(|thread| scope.spawn(move || one(thread))).collect();
        threads.into_iter().map(|t| t.join().map_err(|_| JobError::Thread)).collect::<Result<Vec<_>, _>>()
    })?;
    let mut parts = Vec::new();
    for (mut own, mut told) in each {
        parts.append(&mut own);
        out.late.append(&mut told.late);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Every(i64);

    impl Combiner for Every {
        fn deadline(&self, watermark: i64) -> i64 {
            (watermark.div_euclid(self.0) + 1) * self.0
        }
        fn combine(&self, _: Rows<'_>, _: &mut Out) -> Partial {
            Box::new(())
        }
    }

    #[test]
    fn a_stretch_ends_where_a_window_closes() {
        // Windows close at 10, 20, 30 ...
        assert_eq!(stretches(&Every(10), &[1, 5, 9, 10, 12, 35, 36, 40], 0), [0, 3, 5, 7]);
        assert_eq!(stretches(&Every(10), &[25, 25], 0), [0, 0]);
        assert_eq!(stretches(&Every(10), &[], 0), [0]);
    }

    #[test]
    fn what_has_most_of_the_rows_is_found_and_small_batches_are_left_alone() {
        let rows = |n: usize| (0..n as u32).map(|i| if i % 10 < 9 { 7 } else { i }).collect::<Vec<_>>();
        assert_eq!(hot(&rows(4000), 2), [7]);
        assert_eq!((hot(&rows(100), 2), hot(&rows(4000), 1)), (Vec::new(), Vec::new()));
        let even: Vec<u32> = (0..4000).map(|i| i * 31 % 97).collect();
        assert_eq!(hot(&even, 4), [0; 0]);
    }
}
