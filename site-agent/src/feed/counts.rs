//! What happened at a feed, in numbers. No text of a message and no identifier is among them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// The numbers since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// Connections that were let in.
    pub connections: u64,
    /// Connections from addresses that are not in `peers`.
    pub strangers: u64,
    /// Connections over `max_connections`.
    pub over_connections: u64,
    /// Handshakes of TLS that failed.
    pub tls_failed: u64,
    /// Messages on disk.
    pub stored: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Messages that were on disk already, byte for byte.
    pub repeated: u64,
    /// Syncs of the disk: one for all messages that waited.
    pub syncs: u64,
    /// How often a connection waited for room in memory.
    pub waited: u64,
    /// Answers by MSA-1 and code of table 0357, such as `AA` and `AR 200`.
    pub answers: BTreeMap<String, u64>,
}

/// Shared counters.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<Numbers>>);

impl Counts {
    /// The numbers now.
    pub fn numbers(&self) -> Numbers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, change: impl FnOnce(&mut Numbers)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn waited(&self) {
        self.add(|n| n.waited += 1);
    }
}
