//! What every store must do. Each backend passes the same suite.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::{Durability, MemoryStore, RocksStore, Store, StoreError, Transaction};

fn suite(store: &dyn Store) {
    assert_eq!(store.get(b"a").unwrap(), None);
    let mut t = Transaction::new("test/put");
    t.put(*b"p/2", *b"two").put(*b"p/1", *b"one").put(*b"q/1", *b"other").put(*b"p/1", *b"uno");
    store.commit(t, Durability::Synced).unwrap();
    assert_eq!(store.get(b"p/1").unwrap().as_deref(), Some(&b"uno"[..]), "the last change of a key wins");
    let keys: Vec<_> = store.scan(b"p/").unwrap().into_iter().map(|(k, _)| k).collect();
    assert_eq!(keys, [b"p/1".to_vec(), b"p/2".to_vec()], "in order, and no other prefix");
    let mut t = Transaction::new("test/delete");
    t.delete(*b"p/1").delete(*b"absent");
    store.commit(t, Durability::Buffered).unwrap();
    assert_eq!(store.get(b"p/1").unwrap(), None);
    assert_eq!(store.scan(b"").unwrap().len(), 2);
}

#[test]
fn memory_conforms() {
    suite(&MemoryStore::new());
}

#[test]
fn rocks_conforms_and_keeps_over_a_restart_and_locks() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    suite(&store);
    assert!(matches!(RocksStore::open(dir.path()), Err(StoreError::Locked { .. })));
    drop(store);
    assert_eq!(RocksStore::open(dir.path()).unwrap().get(b"p/2").unwrap().as_deref(), Some(&b"two"[..]));
}

#[test]
fn memory_can_lose_what_was_not_synced() {
    let store = MemoryStore::new();
    let mut t = Transaction::new("a");
    t.put(*b"a", *b"1");
    store.commit(t, Durability::Synced).unwrap();
    let mut t = Transaction::new("b");
    t.put(*b"b", *b"1");
    store.commit(t, Durability::Buffered).unwrap();
    store.lose_unsynced();
    assert!(store.get(b"a").unwrap().is_some() && store.get(b"b").unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_history_equals_a_map(ops in prop::collection::vec((0u8..20, prop::option::of(0u8..255)), 0..80)) {
        let dir = tempfile::tempdir().unwrap();
        let rocks = RocksStore::open(dir.path()).unwrap();
        let memory = MemoryStore::new();
        let mut model = BTreeMap::new();
        for (key, value) in ops {
            for store in [&rocks as &dyn Store, &memory] {
                let mut t = Transaction::new("prop");
                match value {
                    Some(v) => t.put([b'k', key], [v]),
                    None => t.delete([b'k', key]),
                };
                store.commit(t, Durability::Buffered).unwrap();
            }
            match value {
                Some(v) => { model.insert(vec![b'k', key], vec![v]); }
                None => { model.remove(&vec![b'k', key]); }
            }
        }
        let expected: Vec<_> = model.into_iter().collect();
        prop_assert_eq!(rocks.scan(b"k").unwrap(), expected.clone());
        prop_assert_eq!(memory.scan(b"k").unwrap(), expected);
    }
}

/// Long values lie in files of their own: they come back after opening anew, and what was written over gives its space back.
#[test]
fn long_values_that_are_written_over_take_no_space() {
    let dir = tempfile::tempdir().unwrap();
    let long = |seed: u64| -> Vec<u8> {
        (0..1u64 << 17).flat_map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
    };
    {
        let store = RocksStore::open(dir.path()).unwrap();
        for round in 0..200 {
            let mut t = Transaction::new("long");
            t.put(*b"state", long(round));
            t.put(format!("round/{round}"), round.to_le_bytes());
            if round % 20 == 0 {
                t.put(format!("kept/{round}"), long(round));
            }
            store.commit(t, Durability::Buffered).unwrap();
        }
    }
    let store = RocksStore::open(dir.path()).unwrap();
    assert_eq!(store.get(b"state").unwrap().unwrap(), long(199));
    let kept = store.scan(b"kept/").unwrap();
    assert!(kept.len() == 10 && kept.iter().all(|(_, v)| v.len() == 1 << 20));
    assert_eq!(kept[1].1, long(100));
    let sizes = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
    let mib = sizes.sum::<u64>() >> 20;
    // 11 MiB are there, of 211 that were written.
    assert!(mib < 80, "{mib} MiB");
}
