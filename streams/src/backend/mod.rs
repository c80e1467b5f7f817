//! Where state is kept between checkpoints: all of it in memory, or in RocksDB.
//!
//! A backend is written at checkpoints alone, and each of its commits is one. A job that dies is thus never between two.
//!
//! ```text
//!   heap     base-<n> ─ delta-<n+1> ─ delta-<n+2> …   a file a commit; a new base when the deltas outgrow it
//!   rocksdb  live/  ── hard links ──► checkpoint-<n>/  a synced batch a commit; kept ones share its sorted files
//! ```

mod heap;
mod rocks;

#[cfg(test)]
mod conformance;

pub use heap::HeapBackend;
pub use rocks::RocksBackend;

use platform::StoreError;
pub use platform::store::TableChange;

/// What went wrong with state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the state could not be written or read.
    #[error("the stream's state at {path} failed: {reason}")]
    File {
        /// Which file or folder.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// A stored value can't be read back.
    #[error(
        "the stream's stored {what} can't be read: it was written by another version, or is damaged; restore a savepoint"
    )]
    Damaged {
        /// What it is.
        what: &'static str,
    },
    /// A checkpoint that is not kept.
    #[error("there is no checkpoint {asked}; kept are {kept:?}")]
    NoCheckpoint {
        /// Which was asked for.
        asked: u64,
        /// Those that are kept.
        kept: Vec<u64>,
    },
}

impl StateError {
    pub(crate) fn file(path: &std::path::Path, reason: &dyn std::fmt::Display) -> StateError {
        StateError::File { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// What a commit wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of changes, keys and values.
    pub bytes: u64,
    /// How many changes.
    pub changes: u64,
}

/// Keeps state, by key, over checkpoints numbered from 1.
pub trait Backend: Send + Sync {
    /// Its kind, as settings name it.
    fn kind(&self) -> &'static str;

    /// Whether all state is held in memory by those who use it, so that [`get`](Self::get) need never be asked.
    fn resident(&self) -> bool;

    /// The value of a key at the last commit.
    ///
    /// # Errors
    /// The store failed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Shows the entries whose key begins with `prefix`, at the last commit, in the order of keys. `each` ends it with
    /// `false`.
    ///
    /// # Errors
    /// The store failed, or a file is damaged.
    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError>;

    /// The number of the last commit, 0 before the first.
    fn number(&self) -> u64;

    /// Whether the next commit should bring everything and not the changes alone.
    fn wants_all(&self) -> bool;

    /// Commits, as checkpoint `number() + 1`; it is on the disk when it returns. With `all`, the changes are the whole
    /// state and replace what there was.
    ///
    /// # Errors
    /// The store failed. Nothing was committed, and it may be called again.
    fn commit(&mut self, changes: &[TableChange], all: bool) -> Result<Written, StateError>;

    /// The checkpoints that can be restored, oldest first.
    ///
    /// # Errors
    /// The store failed.
    fn kept(&self) -> Result<Vec<u64>, StateError>;

    /// Becomes checkpoint `number` with these entries and nothing else; what it had, older checkpoints too, is gone. Killed on the
    /// way it is either as it was or as it should be.
    ///
    /// # Errors
    /// The store failed.
    fn reset(&mut self, number: u64, entries: &[TableChange]) -> Result<(), StateError>;

    /// Goes back to a kept checkpoint; later ones are gone. Numbers go on from it.
    ///
    /// # Errors
    /// The checkpoint is not kept, or the store failed.
    fn restore(&mut self, number: u64) -> Result<(), StateError>;
}
