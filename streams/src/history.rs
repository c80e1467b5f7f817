//! Which epochs a state has behind it.
//!
//! A job that goes back to an older checkpoint, or to a savepoint of another machine, writes epochs of the same numbers again. So each run has an id, and
//! state keeps which run made which of its checkpoints. An answer counts where the state's history has its epoch and its run.

use serde::{Deserialize, Serialize};

/// A run of a job, and which checkpoints it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    id: u64,
    first: u64,
    last: u64,
}

/// The runs behind a state, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Run>);

impl History {
    /// Of a state with so many checkpoints that was kept before runs had ids: they are all of the run 0.
    #[must_use]
    pub(crate) fn or_nameless(self, checkpoint: u64) -> History {
        match self.0.is_empty() && checkpoint > 0 {
            true => History(vec![Run { id: 0, first: 1, last: checkpoint }]),
            false => self,
        }
    }

    /// Checkpoint `number` is of the run `id`.
    pub(crate) fn add(&mut self, id: u64, number: u64) {
        match self.0.last_mut().filter(|run| run.id == id) {
            Some(run) => run.last = number,
            None => self.0.push(Run { id, first: number, last: number }),
        }
    }

    /// Whether an epoch of a run is behind the state.
    pub fn has(&self, id: u64, number: u64) -> bool {
        self.0.iter().any(|run| run.id == id && (run.first..=run.last).contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_with_its_run() {
        let mut first = History::default();
        (1..=8).for_each(|n| first.add(5, n));
        // From 6 on another run went on.
        let mut other = History(vec![Run { last: 6, ..first.0[0] }]);
        other.add(9, 7);
        other.add(9, 8);
        assert!(first.has(5, 8) && !first.has(9, 8) && other.has(9, 8) && !other.has(5, 8) && other.has(5, 6));
        assert!(History::default().or_nameless(3).has(0, 3) && !History::default().or_nameless(0).has(0, 0));
        assert_eq!(first.clone().or_nameless(8), first);
    }
}
