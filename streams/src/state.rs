//! State: what an operator remembers, over any `platform::Store`.
//!
//! *Keyed state* is by pane and patient. *Operator state* is named records: source positions, the watermark, output not
//! yet taken. Changes wait in memory and are seen by reads; `commit` writes them in one synced transaction.
//!
//! ```text
//!   stream/<operator>/keyed/<start><end><key>      stream/<operator>/record/<name>
//! ```

use std::collections::{BTreeMap, BTreeSet};

use platform::store::{Entry, SharedStore};
use platform::{Durability, Micros, StoreError, Transaction};

use crate::window::Window;

/// What went wrong with state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An operator's name becomes part of a key.
    #[error("the stream operator's name '{0}' must be of lower-case letters, digits and '-'")]
    Name(String),
    /// A stored value can't be read back.
    #[error("the stream's stored {0} can't be read; it was written by another version, or damaged")]
    Damaged(&'static str),
}

/// Keyed state by window (or pane) and key, operator state by name, and the sources' positions.
pub trait StateBackend: Send {
    /// The value of a key in a window.
    ///
    /// # Errors
    /// The store failed.
    fn get(&self, window: Window, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Sets the value of a key in a window.
    fn put(&mut self, window: Window, key: &[u8], value: Vec<u8>);
    /// Removes a key of a window.
    fn remove(&mut self, window: Window, key: &[u8]);
    /// The keys and values of a window, in the order of the keys.
    ///
    /// # Errors
    /// The store failed.
    fn scan(&self, window: Window) -> Result<Vec<Entry>, StateError>;
    /// The windows that have a key.
    ///
    /// # Errors
    /// The store failed.
    fn windows(&self) -> Result<BTreeSet<Window>, StateError>;
    /// The records whose name begins so, without the beginning, in order.
    ///
    /// # Errors
    /// The store failed.
    fn records(&self, beginning: &[u8]) -> Result<Vec<Entry>, StateError>;
    /// A record.
    ///
    /// # Errors
    /// The store failed.
    fn record(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Sets a record.
    fn set_record(&mut self, name: &[u8], value: Vec<u8>);
    /// Adds the removal of a committed record to a transaction of the caller, over the same store.
    fn discard(&self, name: &[u8], transaction: &mut Transaction);
    /// Commits all changes in one synced transaction. After an error they still wait, and commit may be called again.
    ///
    /// # Errors
    /// The store failed; nothing was written.
    fn commit(&mut self) -> Result<(), StateError>;

    /// The last position taken in from a source.
    ///
    /// # Errors
    /// The store failed, or the record is damaged.
    fn position(&self, source: &str) -> Result<Option<u64>, StateError> {
        let Some(bytes) = self.record(&position_record(source))? else { return Ok(None) };
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| StateError::Damaged("position"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    /// Moves a source's position.
    fn advance(&mut self, source: &str, position: u64) {
        self.set_record(&position_record(source), position.to_be_bytes().to_vec());
    }
}

fn position_record(source: &str) -> Vec<u8> {
    [&b"position/"[..], source.as_bytes()].concat()
}

/// A window as sixteen bytes in the order of time.
pub(crate) fn window_bytes(window: Window) -> [u8; 16] {
    let [start, end] = [window.start, window.end].map(|t| (t.0 as u64) ^ (1 << 63));
    ((u128::from(start) << 64) | u128::from(end)).to_be_bytes()
}

fn window_of(bytes: [u8; 16]) -> Window {
    let both = u128::from_be_bytes(bytes);
    let [start, end] = [(both >> 64) as u64, both as u64].map(|t| Micros((t ^ (1 << 63)) as i64));
    Window { start, end }
}

/// State over a store, in memory or RocksDB.
pub struct StoreState {
    store: SharedStore,
    keyed: Vec<u8>,
    records: Vec<u8>,
    waiting: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl StoreState {
    /// The state of the operator with this name; what was committed before is there again.
    ///
    /// # Errors
    /// The name has other characters than lower-case letters, digits and `-`.
    pub fn open(store: SharedStore, operator: &str) -> Result<StoreState, StateError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if operator.is_empty() || !operator.chars().all(plain) {
            return Err(StateError::Name(operator.to_owned()));
        }
        let keyed = format!("stream/{operator}/keyed/").into_bytes();
        let records = format!("stream/{operator}/record/").into_bytes();
        Ok(StoreState { store, keyed, records, waiting: BTreeMap::new() })
    }

    fn keyed(&self, window: Window, key: &[u8]) -> Vec<u8> {
        [self.keyed.as_slice(), &window_bytes(window)[..], key].concat()
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.waiting.get(key) {
            Some(waiting) => Ok(waiting.clone()),
            None => Ok(self.store.get(key)?),
        }
    }

    /// The entries under a prefix, without the prefix; what waits goes before what is stored.
    fn range(&self, prefix: &[u8]) -> Result<Vec<Entry>, StateError> {
        let mut all: BTreeMap<_, _> = self.store.scan(prefix)?.into_iter().map(|(k, v)| (k, Some(v))).collect();
        let waiting = self.waiting.range(prefix.to_vec()..).take_while(|(k, _)| k.starts_with(prefix));
        all.extend(waiting.map(|(k, v)| (k.clone(), v.clone())));
        Ok(all.into_iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_vec(), v?))).collect())
    }
}

impl StateBackend for StoreState {
    fn get(&self, window: Window, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.read(&self.keyed(window, key))
    }

    fn put(&mut self, window: Window, key: &[u8], value: Vec<u8>) {
        self.waiting.insert(self.keyed(window, key), Some(value));
    }

    fn remove(&mut self, window: Window, key: &[u8]) {
        self.waiting.insert(self.keyed(window, key), None);
    }

    fn scan(&self, window: Window) -> Result<Vec<Entry>, StateError> {
        self.range(&self.keyed(window, &[]))
    }

    fn windows(&self) -> Result<BTreeSet<Window>, StateError> {
        let entries = self.range(&self.keyed)?;
        let window = |(k, _): &Entry| k.first_chunk().map(|b| window_of(*b)).ok_or(StateError::Damaged("window"));
        entries.iter().map(window).collect()
    }

    fn records(&self, beginning: &[u8]) -> Result<Vec<Entry>, StateError> {
        self.range(&[self.records.as_slice(), beginning].concat())
    }

    fn record(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.read(&[self.records.as_slice(), name].concat())
    }

    fn set_record(&mut self, name: &[u8], value: Vec<u8>) {
        self.waiting.insert([self.records.as_slice(), name].concat(), Some(value));
    }

    fn discard(&self, name: &[u8], transaction: &mut Transaction) {
        transaction.delete([self.records.as_slice(), name].concat());
    }

    fn commit(&mut self) -> Result<(), StateError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::new("stream/checkpoint");
        for (key, value) in &self.waiting {
            match value {
                Some(value) => transaction.put(key.clone(), value.clone()),
                None => transaction.delete(key.clone()),
            };
        }
        self.store.commit(transaction, Durability::Synced)?;
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform::MemoryStore;

    use super::*;

    #[test]
    fn changes_are_seen_at_once_and_commit_together() {
        let store = Arc::new(MemoryStore::new());
        let open = || StoreState::open(store.clone(), "labs").unwrap();
        let [early, late] = [-10, 10].map(|t| Window { start: Micros(t), end: Micros(t + 10) });
        let mut state = open();
        state.put(late, b"b", vec![1]);
        state.put(late, b"a", vec![2]);
        state.put(early, b"a", vec![3]);
        state.advance("his", 7);
        let rows = vec![(b"a".to_vec(), vec![2]), (b"b".to_vec(), vec![1])];
        assert_eq!(state.scan(late).unwrap(), rows);
        assert!(open().windows().unwrap().is_empty() && open().position("his").unwrap().is_none());
        state.commit().unwrap();
        assert_eq!(store.commits(), 1);
        store.lose_unsynced();
        let mut state = open();
        assert_eq!(state.windows().unwrap().into_iter().collect::<Vec<_>>(), [early, late]);
        assert_eq!(state.position("his").unwrap(), Some(7));
        state.remove(late, b"a");
        assert!(state.get(late, b"a").unwrap().is_none() && state.scan(late).unwrap().len() == 1);
        assert_eq!(open().scan(late).unwrap(), rows, "not committed");
        assert!(StoreState::open(store.clone(), "a/b").is_err());
    }
}
