//! A store in memory, for tests and simulations. It can be told to lose what was not synced, as a power cut would.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Change, Durability, Entry, Store, StoreError, Transaction};

#[derive(Default)]
struct State {
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Changes since the last sync, kept so that a crash can undo them.
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    commits: u64,
}

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a power cut does: everything after the last synced commit is gone.
    pub fn lose_unsynced(&self) {
        let mut s = self.state();
        s.live = s.durable.clone();
    }

    /// How many transactions were committed.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().live.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let s = self.state();
        Ok(s.live
            .range(prefix.to_vec()..)
            .take_while(|(k, _)| k.starts_with(prefix))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect())
    }

    fn commit(&self, transaction: Transaction, durability: Durability) -> Result<(), StoreError> {
        let mut s = self.state();
        for change in transaction.changes() {
            match change {
                Change::Put(k, v) => {
                    s.live.insert(k.clone(), v.clone());
                }
                Change::Delete(k) => {
                    s.live.remove(k);
                }
            }
        }
        s.commits += 1;
        if durability == Durability::Synced {
            s.durable = s.live.clone();
        }
        Ok(())
    }
}
