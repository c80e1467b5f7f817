//! The only door to time, chance, disk and terminal.
//!
//! * [`clock`]: what time it is, real or set by hand.
//! * [`entropy`]: random bytes from the operating system, or from a seed in a simulation.
//! * [`store`]: named transactions over RocksDB or memory; one trait, one conformance suite.
//! * [`files`]: files written whole or not at all.
//! * [`log`]: an append-only log in segments, with many records a sync.
//! * [`terminal`]: how commands answer and end.

pub mod clock;
pub mod entropy;
pub mod files;
pub mod log;
pub mod store;
pub mod terminal;

pub use clock::{Clock, ManualClock, Micros, SystemClock};
pub use entropy::{Entropy, OsEntropy};
pub use store::{Durability, MemoryStore, RocksStore, Store, StoreError, Transaction};
