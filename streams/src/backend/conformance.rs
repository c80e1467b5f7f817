//! What every backend must do, tried on each.

use std::collections::BTreeMap;
use std::path::Path;

use platform::store::merge;
use proptest::prelude::*;

use super::*;

type Made = fn(&Path) -> Box<dyn Backend>;

const BACKENDS: [(&str, Made); 2] = [
    ("heap", |p| Box::new(HeapBackend::open(p, 3).unwrap())),
    ("rocksdb", |p| Box::new(RocksBackend::open(p, 3, 4 << 20).unwrap())),
];

fn all(backend: &dyn Backend) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    backend
        .scan(&[], &mut |k, v| {
            all.insert(k.to_vec(), v.to_vec());
            true
        })
        .unwrap();
    all
}

fn apply(model: &mut BTreeMap<Vec<u8>, Vec<u8>>, change: &TableChange) {
    match change.clone() {
        TableChange::Put(k, v) => {
            model.insert(k, v);
        }
        TableChange::Delete(k) => {
            model.remove(&k);
        }
        TableChange::Merge(k, v) => {
            let joined = model.get(&k).map_or(v.clone(), |before| merge::joined(before, &v).unwrap());
            model.insert(k, joined);
        }
    }
}

fn change() -> impl Strategy<Value = TableChange> {
    let key = (1u8..4, 0u8..6).prop_map(|(a, b)| vec![a, b]);
    (key, 0u8..3, any::<i64>()).prop_map(|(key, kind, n)| match kind {
        0 => TableChange::Put(key, merge::sums(&[n])),
        1 => TableChange::Delete(key),
        _ => TableChange::Merge(key, merge::sums(&[n, 1])),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Commits, reopenings and restorings against a history of maps.
    #[test]
    fn a_backend_is_its_history(
        steps in prop::collection::vec((prop::collection::vec(change(), 0..12), 0u8..8), 1..14)
    ) {
        for (name, made) in BACKENDS {
            let dir = tempfile::tempdir().unwrap();
            let mut backend = made(dir.path());
            prop_assert_eq!(backend.kind(), name);
            let mut history = vec![BTreeMap::new()];
            for (changes, what) in &steps {
                match what {
                    0 => {
                        drop(backend);
                        backend = made(dir.path());
                    }
                    1 => {
                        let kept = backend.kept().unwrap();
                        prop_assert!(kept.len() == (history.len() - 1).min(3) || history.len() > kept.len(), "{:?}", kept);
                        prop_assert_eq!(kept.last().copied().unwrap_or(0), backend.number());
                        if let Some(first) = kept.first() {
                            backend.restore(*first).unwrap();
                            history.truncate(*first as usize + 1);
                        }
                        let none = backend.number() + 1;
                        let refused = matches!(backend.restore(none), Err(StateError::NoCheckpoint { .. }));
                        prop_assert!(refused);
                    }
                    3 => {
                        // As checkpoint 2: what was before it is unknown from then on.
                        let mut whole = BTreeMap::new();
                        let puts: Vec<_> = changes.iter().filter(|c| matches!(c, TableChange::Put(..))).cloned().collect();
                        puts.iter().for_each(|c| apply(&mut whole, c));
                        backend.reset(2, &puts).unwrap();
                        prop_assert_eq!(backend.kept().unwrap(), [2]);
                        history = vec![BTreeMap::new(), BTreeMap::new(), whole];
                    }
                    2 => {
                        let mut whole = BTreeMap::new();
                        let puts: Vec<_> = changes.iter().filter(|c| !matches!(c, TableChange::Delete(_))).cloned().collect();
                        puts.iter().for_each(|c| apply(&mut whole, c));
                        backend.commit(&puts, true).unwrap();
                        history.push(whole);
                    }
                    _ => {
                        let mut next = history.last().unwrap().clone();
                        changes.iter().for_each(|c| apply(&mut next, c));
                        backend.commit(changes, false).unwrap();
                        history.push(next);
                    }
                }
                let now = history.last().unwrap();
                prop_assert_eq!(backend.number() as usize, history.len() - 1);
                prop_assert_eq!(&all(&*backend), now, "{}", name);
                for key in [[1, 0], [2, 3], [3, 5]] {
                    prop_assert_eq!(backend.get(&key).unwrap(), now.get(&key[..]).cloned());
                }
                let mut of_two = Vec::new();
                backend.scan(&[2], &mut |k, _| { of_two.push(k.to_vec()); of_two.len() < 2 }).unwrap();
                let expected: Vec<_> = now.range(vec![2]..vec![3]).take(2).map(|(k, _)| k.clone()).collect();
                prop_assert_eq!(of_two, expected);
            }
        }
    }
}

#[test]
fn a_damaged_file_of_the_heap_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut heap = HeapBackend::open(dir.path(), 3).unwrap();
    heap.commit(&[TableChange::Put(vec![1], vec![2; 100])], false).unwrap();
    let path = dir.path().join("delta-000000000001");
    let mut bytes = std::fs::read(&path).unwrap();
    for cut in [0, 3, 40, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(matches!(heap.get(&[1]), Err(StateError::File { .. })), "{cut}");
    }
    bytes[30] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(heap.get(&[1]), Err(StateError::File { .. })));
}
