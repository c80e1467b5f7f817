//! When to look at a key again: event-time timers, which are no state, since they follow from it.
//!
//! Timers far ahead lie in slots, each a list. The slots that the watermark has come to lie in a heap, in the order of their times, so that
//! each key is found at its time and none is looked at before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Timers of keys.
pub(super) struct Timers<K> {
    width: i64,
    slots: BTreeMap<i64, Vec<(i64, K)>>,
    near: BinaryHeap<Reverse<(i64, K)>>,
    /// All slots before this one are in the heap.
    opened: i64,
}

impl<K: Ord> Timers<K> {
    /// In slots of about `width` microseconds, at least one.
    pub(super) fn new(width: i64) -> Timers<K> {
        Timers { width: width.max(1), slots: BTreeMap::new(), near: BinaryHeap::new(), opened: i64::MIN }
    }

    /// Looks at `key` when the watermark has come to `at`.
    pub(super) fn set(&mut self, at: i64, key: K) {
        let slot = at.div_euclid(self.width);
        if slot < self.opened {
            self.near.push(Reverse((at, key)));
        } else {
            self.slots.entry(slot).or_default().push((at, key));
        }
    }

    /// The next key whose time has come by `watermark`.
    pub(super) fn due(&mut self, watermark: i64) -> Option<K> {
        let slot = watermark.div_euclid(self.width);
        while let Some(first) = self.slots.first_entry().filter(|first| *first.key() <= slot) {
            self.near.extend(first.remove().into_iter().map(Reverse));
        }
        self.opened = self.opened.max(slot.saturating_add(1));
        self.near.peek().is_some_and(|Reverse((at, _))| *at <= watermark).then(|| self.near.pop())?.map(|r| r.0.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list: at each watermark those are due whose time has come, each once, whatever was set meanwhile.
        #[test]
        fn each_is_due_once_at_its_time(
            steps in prop::collection::vec((prop::collection::vec(-200i64..400, 0..6), 0i64..60), 1..30), width in 1i64..90,
        ) {
            let mut timers = Timers::new(width);
            let (mut list, mut watermark, mut number) = (Vec::new(), -150i64, 0u32);
            for (set, further) in steps {
                for at in set {
                    timers.set(at, number);
                    list.push((at, number));
                    number += 1;
                }
                watermark += further;
                let mut due: Vec<u32> = std::iter::from_fn(|| timers.due(watermark)).collect();
                let mut expected: Vec<u32> = list.extract_if(.., |(at, _)| *at <= watermark).map(|(_, n)| n).collect();
                due.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(due, expected);
            }
        }
    }
}
