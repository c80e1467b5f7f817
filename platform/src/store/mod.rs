//! Named transactions over a key-value store.
//!
//! Keys are byte strings in one ordered space; a room owns a prefix such as `release/`. A transaction commits
//! whole or not at all, and says whether it must be on disk before `commit` returns.

mod memory;
pub mod merge;
mod rocks;
mod table;

#[cfg(test)]
mod conformance;

pub use memory::MemoryStore;
pub use rocks::RocksStore;
pub use table::{Table, TableChange, clone_checkpoint};

use std::sync::Arc;

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk before `commit` returns.
    Synced,
    /// Written in order, and lost at worst with the machine's power.
    Buffered,
}

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the store.
    #[error("the store at {path} is in use by another process; stop it, or use the running one's commands")]
    Locked {
        /// Where the store lies.
        path: String,
    },
    /// The store failed.
    #[error("the store failed at {step}: {reason}")]
    Failed {
        /// The transaction's name, or what was being done.
        step: String,
        /// What the store says.
        reason: String,
    },
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
}

/// A named set of changes that commit together.
#[derive(Clone, Debug)]
pub struct Transaction {
    name: &'static str,
    changes: Vec<Change>,
}

impl Transaction {
    /// An empty transaction. The name is for errors and metrics, such as `release/seal`.
    pub fn new(name: &'static str) -> Transaction {
        Transaction { name, changes: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its changes, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Sets a key.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push(Change::Put(key.into(), value.into()));
        self
    }

    /// Removes a key.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push(Change::Delete(key.into()));
        self
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// An ordered key-value store with atomic transactions.
pub trait Store: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// The store failed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// All entries whose key begins with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// The store failed.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError>;

    /// Applies all changes of a transaction, or none.
    ///
    /// # Errors
    /// The store failed; nothing was applied.
    fn commit(&self, transaction: Transaction, durability: Durability) -> Result<(), StoreError>;
}

/// A store that several owners share.
pub type SharedStore = Arc<dyn Store>;
