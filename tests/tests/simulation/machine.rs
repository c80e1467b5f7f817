//! A machine with a disk, whose power can go at any commit.

use std::sync::{Mutex, MutexGuard, PoisonError};

use platform::store::Entry;
use platform::{Durability, MemoryStore, Store, StoreError, Transaction};

struct Power {
    on: bool,
    /// Dies at the commit after so many; whether that one still reaches the disk.
    dies: Option<(u32, bool)>,
}

/// A store that dies where it is told. While it is dead nothing is read or written, as no process runs.
pub(crate) struct Machine {
    disk: MemoryStore,
    power: Mutex<Power>,
    /// A planted fault: the disk says that it synced and did not.
    lies: bool,
}

impl Machine {
    pub(crate) fn new(lies: bool) -> Machine {
        Machine { disk: MemoryStore::new(), power: Mutex::new(Power { on: true, dies: None }), lies }
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn on(&self) -> bool {
        self.power().on
    }

    /// The power comes back; what was not synced is gone.
    pub(crate) fn restart(&self, dies: Option<(u32, bool)>) {
        self.disk.lose_unsynced();
        *self.power() = Power { on: true, dies };
    }

    /// The state as a backup takes it: all that is written.
    pub(crate) fn copy(&self) -> Vec<Entry> {
        self.disk.scan(b"").unwrap()
    }

    /// Writes what is not part of the trial, whatever dies.
    pub(crate) fn enter(&self, key: Vec<u8>, value: Vec<u8>) {
        let mut t = Transaction::new("entered");
        t.put(key, value);
        self.disk.commit(t, Durability::Synced).unwrap();
    }

    /// The state is replaced by a backup.
    pub(crate) fn replace(&self, copy: Vec<Entry>) {
        let mut t = Transaction::new("replaced");
        for (key, _) in self.copy() {
            t.delete(key);
        }
        for (key, value) in copy {
            t.put(key, value);
        }
        self.disk.commit(t, Durability::Synced).unwrap();
    }

    /// It will not die any more.
    pub(crate) fn spare(&self) {
        self.power().dies = None;
    }

    fn dead(&self, step: &str) -> StoreError {
        StoreError::Failed { step: step.to_owned(), reason: "the power is out".to_owned() }
    }
}

impl Store for Machine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.on() { self.disk.get(key) } else { Err(self.dead("get")) }
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        if self.on() { self.disk.scan(prefix) } else { Err(self.dead("scan")) }
    }

    fn commit(&self, transaction: Transaction, durability: Durability) -> Result<(), StoreError> {
        let step = transaction.name();
        let durability = if self.lies { Durability::Buffered } else { durability };
        let mut power = self.power();
        if !power.on {
            return Err(self.dead(step));
        }
        match &mut power.dies {
            Some((0, written)) => {
                if *written {
                    self.disk.commit(transaction, durability)?;
                }
                power.on = false;
                power.dies = None;
                Err(self.dead(step))
            }
            Some((left, _)) => {
                *left -= 1;
                self.disk.commit(transaction, durability)
            }
            None => self.disk.commit(transaction, durability),
        }
    }
}
