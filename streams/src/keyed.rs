//! Keyed state: values by window, group and patient, in memory, over a backend that has what is not.
//!
//! A value is read from the backend once and written back once a checkpoint, however often it changes. Values that can be
//! joined are not read at all: what was added since is written as a merge.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use crate::backend::{Backend, StateError, TableChange};
use crate::keys::{SlotKey, Spread};

/// A backend that the tables of a job share.
pub type SharedBackend = Arc<RwLock<Box<dyn Backend>>>;

/// A value of state, with its form in checkpoints.
pub trait Value: Clone + Send + Sync + 'static {
    /// The name of its form, such as `sums`.
    const KIND: &'static str;
    /// The version of its form. A savepoint of an older one is migrated, or refused.
    const VERSION: u16 = 1;
    /// Whether [`join`](Self::join) of two values is what the store's merge of their bytes gives.
    const JOINS: bool = false;

    /// Its bytes.
    fn write(&self) -> Vec<u8>;
    /// Reads them again; `None` if they are no such value.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Adds another value of the same slot.
    fn join(&mut self, _: &Self) {}
    /// The bytes of form `from + 1` for those of form `from`.
    ///
    /// # Errors
    /// Why that can't be, and what to do.
    fn migrate(from: u16, _: &[u8]) -> Result<Vec<u8>, String> {
        Err(format!("its form {from} can't be brought to {}; run the job anew from its sources", Self::VERSION))
    }
}

/// A table of keyed state: its number in the job and the form of its values.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Its number, 1 or more.
    pub table: u8,
    /// What it holds, such as `hourly`.
    pub name: String,
    /// The form of its values.
    pub kind: &'static str,
    /// The version of the form.
    pub version: u16,
    /// Brings bytes of one version to the next.
    pub migrate: fn(u16, &[u8]) -> Result<Vec<u8>, String>,
}

/// A table of state, whatever its values are.
pub trait Table: Send {
    /// What it is, for savepoints.
    fn spec(&self) -> TableSpec;
    /// How many values changed since the last checkpoint.
    fn changed(&self) -> usize;
    /// How many values are in memory.
    fn in_memory(&self) -> usize;
    /// The changes since the last checkpoint, or everything; sorted by key. They count as kept once [`kept`](Self::kept) is called.
    ///
    /// # Errors
    /// The store failed, or a value is damaged.
    fn changes(&self, all: bool, into: &mut Vec<TableChange>) -> Result<(), StateError>;
    /// The changes are in the backend now. Values beyond the limit leave memory.
    fn kept(&mut self);
}

struct Slot<V> {
    /// `None`: known to be absent.
    value: Option<V>,
    /// Whether the backend has the key.
    stored: bool,
    /// Whether the value lacks what the backend has, and is to be joined to it.
    partial: bool,
    dirty: bool,
    touched: bool,
}

/// A table of keyed state.
pub struct Keyed<V> {
    table: u8,
    name: &'static str,
    groups: Range<u16>,
    backend: SharedBackend,
    resident: bool,
    most: usize,
    slots: HashMap<SlotKey, Slot<V>, Spread>,
    dirty: Vec<SlotKey>,
}

impl<V: Value> Keyed<V> {
    /// Table number `table` of the key groups `groups`; of state larger than memory, at most about `most` values stay in it.
    ///
    /// # Errors
    /// The store failed, or a value is damaged.
    pub fn open(
        table: u8,
        name: &'static str,
        groups: Range<u16>,
        backend: SharedBackend,
        most: usize,
    ) -> Result<Keyed<V>, StateError> {
        let resident = backend.read().unwrap_or_else(PoisonError::into_inner).resident();
        let mut keyed =
            Keyed { table, name, groups, backend, resident, most, slots: HashMap::default(), dirty: Vec::new() };
        if resident {
            let mut slots = HashMap::default();
            keyed.stored(&mut |key, value| {
                slots.insert(
                    key,
                    Slot { value: Some(value), stored: true, partial: false, dirty: false, touched: false },
                );
                true
            })?;
            keyed.slots = slots;
        }
        Ok(keyed)
    }

    /// Shows what the backend has of these key groups.
    fn stored(&self, each: &mut dyn FnMut(SlotKey, V) -> bool) -> Result<(), StateError> {
        let backend = self.backend.read().unwrap_or_else(PoisonError::into_inner);
        let mut damaged = false;
        // One reading of the table: a backend may have to read its files for each.
        backend.scan(&[self.table], &mut |key, value| {
            let Some(key) = SlotKey::read(key) else {
                damaged = true;
                return false;
            };
            if !self.groups.contains(&key.key_group()) {
                return key.key_group() < self.groups.end;
            }
            match V::read(value) {
                Some(value) => each(key, value),
                None => {
                    damaged = true;
                    false
                }
            }
        })?;
        if damaged {
            return Err(StateError::Damaged { what: self.name });
        }
        Ok(())
    }

    fn fetch(&self, key: SlotKey) -> Result<Option<V>, StateError> {
        let backend = self.backend.read().unwrap_or_else(PoisonError::into_inner);
        match backend.get(&key.bytes_of(self.table))? {
            Some(bytes) => V::read(&bytes).map(Some).ok_or(StateError::Damaged { what: self.name }),
            None => Ok(None),
        }
    }

    fn slot(&mut self, key: SlotKey) -> Result<&mut Slot<V>, StateError> {
        if !self.resident && self.slots.get(&key).is_none_or(|s| s.partial) {
            let stored = self.fetch(key)?;
            let slot = self.slots.entry(key).or_insert(Slot {
                value: None,
                stored: false,
                partial: true,
                dirty: false,
                touched: true,
            });
            slot.stored = stored.is_some();
            slot.partial = false;
            slot.value = match (stored, slot.value.take()) {
                (Some(mut stored), Some(more)) => {
                    stored.join(&more);
                    Some(stored)
                }
                (stored, more) => stored.or(more),
            };
        }
        let slot = self.slots.entry(key).or_insert(Slot {
            value: None,
            stored: false,
            partial: false,
            dirty: false,
            touched: true,
        });
        slot.touched = true;
        Ok(slot)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// The store failed, or the value is damaged.
    pub fn get(&mut self, key: SlotKey) -> Result<Option<&V>, StateError> {
        Ok(self.slot(key)?.value.as_ref())
    }

    /// Changes a value; what `change` leaves as `None` is removed.
    ///
    /// # Errors
    /// The store failed, or the value is damaged.
    pub fn update<R>(&mut self, key: SlotKey, change: impl FnOnce(&mut Option<V>) -> R) -> Result<R, StateError> {
        let slot = self.slot(key)?;
        let out = change(&mut slot.value);
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
        Ok(out)
    }

    /// Joins a value to what the slot has, which is not read.
    ///
    /// # Errors
    /// The store failed, or the value is damaged.
    pub fn add(&mut self, key: SlotKey, more: &V) -> Result<(), StateError> {
        if self.resident || !V::JOINS {
            return self.update(key, |value| match value {
                Some(value) => value.join(more),
                None => *value = Some(more.clone()),
            });
        }
        let slot = self.slots.entry(key).or_insert(Slot {
            value: None,
            stored: true,
            partial: true,
            dirty: false,
            touched: true,
        });
        slot.touched = true;
        match &mut slot.value {
            Some(value) => value.join(more),
            None => slot.value = Some(more.clone()),
        }
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
        Ok(())
    }

    /// Takes out a value.
    ///
    /// # Errors
    /// The store failed, or the value is damaged.
    pub fn take(&mut self, key: SlotKey) -> Result<Option<V>, StateError> {
        self.update(key, Option::take)
    }

    /// Shows every value, in no order. `each` ends it with `false`.
    ///
    /// # Errors
    /// The store failed, or a value is damaged.
    pub fn each(&self, each: &mut dyn FnMut(SlotKey, &V) -> bool) -> Result<(), StateError> {
        for (key, slot) in &self.slots {
            if let (Some(value), false) = (&slot.value, slot.partial)
                && !each(*key, value)
            {
                return Ok(());
            }
        }
        if self.resident {
            return Ok(());
        }
        self.stored(&mut |key, mut value| match self.slots.get(&key) {
            None => each(key, &value),
            Some(slot) if slot.partial => {
                if let Some(more) = &slot.value {
                    value.join(more);
                }
                each(key, &value)
            }
            Some(_) => true,
        })?;
        // Added since the last checkpoint to slots that the backend has not.
        for (key, slot) in self.slots.iter().filter(|(_, s)| s.partial) {
            if let (Some(value), None) = (&slot.value, self.fetch(*key)?)
                && !each(*key, value)
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<V: Value> Table for Keyed<V> {
    fn spec(&self) -> TableSpec {
        TableSpec {
            table: self.table,
            name: self.name.to_owned(),
            kind: V::KIND,
            version: V::VERSION,
            migrate: V::migrate,
        }
    }

    fn changed(&self) -> usize {
        self.dirty.len()
    }

    fn in_memory(&self) -> usize {
        self.slots.len()
    }

    fn changes(&self, all: bool, into: &mut Vec<TableChange>) -> Result<(), StateError> {
        let from = into.len();
        if all {
            self.each(&mut |key, value| {
                into.push(TableChange::Put(key.bytes_of(self.table), value.write()));
                true
            })?;
        } else {
            for key in &self.dirty {
                let Some(slot) = self.slots.get(key) else { continue };
                match (&slot.value, slot.partial, slot.stored) {
                    (Some(value), true, _) => into.push(TableChange::Merge(key.bytes_of(self.table), value.write())),
                    (Some(value), false, _) => into.push(TableChange::Put(key.bytes_of(self.table), value.write())),
                    (None, _, true) => into.push(TableChange::Delete(key.bytes_of(self.table))),
                    (None, _, false) => {}
                }
            }
        }
        let bytes = |c: &TableChange| match c {
            TableChange::Put(k, _) | TableChange::Delete(k) | TableChange::Merge(k, _) => k.clone(),
        };
        into[from..].sort_by_cached_key(bytes);
        Ok(())
    }

    fn kept(&mut self) {
        for key in self.dirty.drain(..) {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.dirty = false;
                slot.stored = slot.value.is_some();
                if slot.partial {
                    // What was added is merged there; adding it again would count it twice.
                    slot.value = None;
                    slot.touched = false;
                }
            }
        }
        if self.resident {
            self.slots.retain(|_, s| s.value.is_some());
            return;
        }
        self.slots.retain(|_, s| !s.partial);
        if self.slots.len() > self.most {
            self.slots.retain(|_, s| s.touched);
        }
        if self.slots.len() > self.most {
            self.slots.clear();
        }
        self.slots.values_mut().for_each(|s| s.touched = false);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::backend::{HeapBackend, RocksBackend};
    use crate::keys::KEY_GROUPS;
    use crate::window::Sums;

    fn backends(dir: &std::path::Path) -> [SharedBackend; 2] {
        let shared = |b: Box<dyn Backend>| Arc::new(RwLock::new(b));
        [
            shared(Box::new(HeapBackend::open(&dir.join("heap"), 2).unwrap())),
            shared(Box::new(RocksBackend::open(&dir.join("rocks"), 2, 4 << 20).unwrap())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever is done, in memory or not, committed or not, the table is a map; after a reopening it is the map of the
        /// last checkpoint.
        #[test]
        fn a_table_is_a_map(
            steps in prop::collection::vec((0u8..9, 0u32..4, 0u128..4, -3i64..4), 1..60), most in 0usize..4,
        ) {
            let dir = tempfile::tempdir().unwrap();
            for backend in backends(dir.path()) {
                let open = || Keyed::<Sums>::open(1, "t", 0..KEY_GROUPS, backend.clone(), most).unwrap();
                let (mut table, mut model, mut committed) = (open(), BTreeMap::new(), BTreeMap::new());
                for (step, group, key, n) in &steps {
                    let slot = SlotKey { window: *n, group: *group, key: *key };
                    let one = Sums::of(*n, 1);
                    match step {
                        0 => { table.take(slot).unwrap(); model.remove(&slot); }
                        1 => prop_assert!(table.get(slot).unwrap().copied() == model.get(&slot).copied()),
                        2 => {
                            table.update(slot, |v| *v = Some(one)).unwrap();
                            model.insert(slot, one);
                        }
                        3 => {
                            let mut changes = Vec::new();
                            let all = *n == 0;
                            table.changes(all, &mut changes).unwrap();
                            backend.write().unwrap().commit(&changes, all).unwrap();
                            table.kept();
                            committed = model.clone();
                        }
                        4 => { table = open(); model = committed.clone(); }
                        _ => {
                            table.add(slot, &one).unwrap();
                            model.entry(slot).or_insert(Sums::default()).join(&one);
                        }
                    }
                    let mut seen = BTreeMap::new();
                    let mut twice = false;
                    table.each(&mut |k, v| { twice |= seen.insert(k, *v).is_some(); true }).unwrap();
                    prop_assert!(!twice && seen == model);
                }
            }
        }
    }
}
