//! Savepoints over versions: a table's older form is brought to the newer one, or refused with a reason; damage is told.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, RwLock};

use streams::backend::{Backend, HeapBackend, TableChange};
use streams::keyed::{Keyed, SharedBackend, Table as _, TableSpec, Value};
use streams::keys::{KEY_GROUPS, SlotKey};
use streams::savepoint::{self, SavepointError};

#[derive(Clone)]
struct First(u32);

impl Value for First {
    const KIND: &'static str = "count";
    fn write(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
    fn read(bytes: &[u8]) -> Option<First> {
        Some(First(u32::from_le_bytes(bytes.try_into().ok()?)))
    }
}

/// The same count, wider; version 2 knew it as a text.
#[derive(Clone, Debug, PartialEq)]
struct Third(u64);

impl Value for Third {
    const KIND: &'static str = "count";
    const VERSION: u16 = 3;
    fn write(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
    fn read(bytes: &[u8]) -> Option<Third> {
        Some(Third(u64::from_le_bytes(bytes.try_into().ok()?)))
    }
    fn migrate(from: u16, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match from {
            1 => Ok(First::read(bytes).ok_or("damaged")?.0.to_string().into_bytes()),
            2 => Ok(std::str::from_utf8(bytes)
                .ok()
                .and_then(|t| t.parse::<u64>().ok())
                .ok_or("damaged")?
                .to_le_bytes()
                .to_vec()),
            _ => Err("unknown".to_owned()),
        }
    }
}

/// Another kind, and one that can't be brought on.
#[derive(Clone)]
struct Stuck;

impl Value for Stuck {
    const KIND: &'static str = "count";
    const VERSION: u16 = 2;
    fn write(&self) -> Vec<u8> {
        Vec::new()
    }
    fn read(_: &[u8]) -> Option<Stuck> {
        Some(Stuck)
    }
}

fn heap(dir: &std::path::Path) -> SharedBackend {
    Arc::new(RwLock::new(Box::new(HeapBackend::open(dir, 2).unwrap()) as Box<dyn Backend>))
}

fn spec<V: Value>(backend: &SharedBackend, name: &'static str) -> TableSpec {
    Keyed::<V>::open(1, name, 0..KEY_GROUPS, backend.clone(), 10).unwrap().spec()
}

#[test]
fn older_forms_are_brought_on_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (old, new) = (heap(&at("old")), heap(&at("new")));
    let mut table = Keyed::<First>::open(1, "counts", 0..KEY_GROUPS, old.clone(), 10).unwrap();
    for n in 0..200u32 {
        table.update(SlotKey { window: 0, group: n, key: 0 }, |v| *v = Some(First(n * 7))).unwrap();
    }
    let mut changes: Vec<TableChange> = Vec::new();
    table.changes(false, &mut changes).unwrap();
    old.write().unwrap().commit(&changes, false).unwrap();
    let header = savepoint::create("job", &old, &[table.spec()], &at("sp")).unwrap();
    assert_eq!((header.tables[0].values, header.tables[0].version, header.entries), (200, 1, 200));

    let empty = spec::<Third>(&heap(&at("none")), "counts");
    savepoint::restore(&at("sp"), ("", &[empty]), &new).unwrap();
    let mut now = Keyed::<Third>::open(1, "counts", 0..KEY_GROUPS, new.clone(), 10).unwrap();
    for n in 0..200u32 {
        assert_eq!(now.get(SlotKey { window: 0, group: n, key: 0 }).unwrap(), Some(&Third(u64::from(n) * 7)));
    }

    let refused = |tables: &[TableSpec]| {
        let to = heap(&at("refused"));
        let error = savepoint::restore(&at("sp"), ("", tables), &to).unwrap_err();
        assert_eq!(to.read().unwrap().number(), 0, "nothing was changed");
        error.to_string()
    };
    let none = heap(&at("none"));
    assert!(refused(&[spec::<Stuck>(&none, "counts")]).contains("can't be brought to 2"));
    assert!(refused(&[spec::<Third>(&none, "other")]).contains("known by their place"));
    assert!(refused(&[]).contains("no such table"));
    let later = savepoint::create("job", &new, &[spec::<Third>(&new, "counts")], &at("later")).unwrap();
    assert_eq!(later.tables[0].version, 3);
    let error = savepoint::restore(&at("later"), ("", &[spec::<First>(&none, "counts")]), &none).unwrap_err();
    assert!(error.to_string().contains("newer than this program's 1"), "{error}");
}

#[test]
fn damage_anywhere_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (from, file) = (heap(&dir.path().join("s")), dir.path().join("sp"));
    let puts: Vec<_> = (0..5u8)
        .map(|n| TableChange::Put(SlotKey { window: 0, group: u32::from(n), key: 0 }.bytes_of(1), vec![n; 4]))
        .collect();
    from.write().unwrap().commit(&puts, false).unwrap();
    savepoint::create("job", &from, &[spec::<First>(&from, "counts")], &file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&file, &bytes).unwrap();
        assert!(matches!(savepoint::inspect(&file), Err(SavepointError::File { .. })), "a byte at {at}");
        std::fs::write(&file, &whole[..at]).unwrap();
        assert!(matches!(savepoint::inspect(&file), Err(SavepointError::File { .. })), "cut at {at}");
    }
    std::fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    assert!(savepoint::inspect(&file).is_err());
}
