//! A machine's disk, and what may be wrong with how it is written to.

use platform::store::{Change, Entry};
use platform::{Durability, Store, StoreError, Transaction};

use crate::machine::Machine;

/// What is planted in a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Commits of this name are not synced, though they say so; of every name, where none is given.
    Lies(Option<&'static str>),
    /// An attempt that came to nothing is not taken away.
    KeepsAbandoned,
    /// The charge is a transaction of its own, after the sealed bytes.
    ChargesApart,
}

pub(super) struct Disk {
    machine: Machine,
    flaw: Flaw,
}

impl Disk {
    pub(super) fn new(flaw: Flaw) -> Disk {
        Disk { machine: Machine::new(flaw == Flaw::Lies(None)), flaw }
    }

    pub(super) fn on(&self) -> bool {
        self.machine.on()
    }

    pub(super) fn restart(&self, dies: Option<(u32, bool)>) {
        self.machine.restart(dies);
    }

    pub(super) fn spare(&self) {
        self.machine.spare();
    }

    pub(super) fn copy(&self) -> Vec<Entry> {
        self.machine.copy()
    }

    /// Enters what is there whatever dies.
    pub(super) fn enter(&self, key: Vec<u8>, value: Vec<u8>) {
        self.machine.enter(key, value);
    }

    pub(super) fn replace(&self, copy: Vec<Entry>) {
        self.machine.replace(copy);
    }
}

/// The changes of a transaction that pass, as a transaction of the same name.
fn only(t: &Transaction, passes: impl Fn(&Change) -> bool) -> Transaction {
    let mut out = Transaction::new(t.name());
    for change in t.changes().iter().filter(|c| passes(c)) {
        match change {
            Change::Put(k, v) => out.put(k.clone(), v.clone()),
            Change::Delete(k) => out.delete(k.clone()),
        };
    }
    out
}

impl Store for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.machine.get(key)
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        self.machine.scan(prefix)
    }

    fn commit(&self, t: Transaction, durability: Durability) -> Result<(), StoreError> {
        match self.flaw {
            Flaw::Lies(Some(name)) if t.name() == name => self.machine.commit(t, Durability::Buffered),
            Flaw::KeepsAbandoned if t.name() == "study/abandon" => {
                self.machine.commit(only(&t, |c| matches!(c, Change::Put(..))), durability)
            }
            Flaw::ChargesApart if t.name() == "release/seal" => {
                let charge = |c: &Change| matches!(c, Change::Put(k, _) if k.starts_with(b"ledger/"));
                self.machine.commit(only(&t, |c| !charge(c)), durability)?;
                self.machine.commit(only(&t, charge), durability)
            }
            _ => self.machine.commit(t, durability),
        }
    }
}
