//! In how many windows of a study each patient was.
//!
//! A continuous study pays for releases of which a patient is in so many at most. Whoever has been in as many is left out of later
//! windows, whatever they bring. A window counts once for all its tellings. Who was in which window is kept here, entered with the
//! sealed release, and never leaves; of patients who were merged, the windows of both count.
//!
//! A record keeps every key that a counted patient had, and no key is ever replaced in it: a merge may be taken back, and each of the two was
//! in the window then.

use std::collections::{BTreeMap, BTreeSet};

use platform::Transaction;
use platform::store::SharedStore;
use proto::StudyId;

use crate::engine::{Merged, Person};

/// Who of a window may be counted, and what is to be entered of that.
pub(super) struct Admitted {
    /// The places of their rows.
    pub(super) rows: Vec<usize>,
    key: String,
    /// By every key that they have or had.
    members: BTreeSet<Person>,
}

fn prefix(study: &StudyId) -> String {
    format!("windows/{study}/")
}

impl Admitted {
    /// Enters who is in the window, beside the release.
    pub(super) fn enter(&self, t: &mut Transaction) {
        t.put(self.key.clone(), self.members.iter().flatten().copied().collect::<Vec<u8>>());
    }
}

/// The keys of a window's record.
fn read(bytes: &[u8]) -> BTreeSet<Person> {
    bytes.chunks_exact(16).filter_map(|c| Person::try_from(c).ok()).collect()
}

/// Persons as whom they stay.
fn as_now(keys: &BTreeSet<Person>, merged: &Merged) -> BTreeSet<Person> {
    keys.iter().map(|key| merged.get(key).copied().unwrap_or(*key)).collect()
}

/// Who of the persons of a window may be counted, where each is in `most` windows of the study at most.
///
/// # Errors
/// The store fails.
pub(super) fn admit(
    store: &SharedStore,
    study: &StudyId,
    (window, most): (u32, u32),
    persons: &[Person],
    merged: &Merged,
) -> Result<Admitted, platform::StoreError> {
    let key = format!("{}{window:06}", prefix(study));
    let mut members = BTreeSet::new();
    let mut others: BTreeMap<Person, u32> = BTreeMap::new();
    for (name, bytes) in store.scan(prefix(study).as_bytes())? {
        let of = read(&bytes);
        if name == key.as_bytes() {
            members = of;
        } else {
            as_now(&of, merged).into_iter().for_each(|person| *others.entry(person).or_default() += 1);
        }
    }
    let here = as_now(&members, merged);
    let fits = |person: &Person| here.contains(person) || others.get(person).is_none_or(|n| *n < most);
    let rows: Vec<usize> = persons.iter().enumerate().filter(|(_, p)| fits(p)).map(|(row, _)| row).collect();
    let counted: BTreeSet<Person> = rows.iter().filter_map(|row| persons.get(*row)).copied().collect();
    members.extend(merged.iter().filter(|(_, stays)| counted.contains(*stays)).map(|(old, _)| *old));
    members.extend(counted);
    Ok(Admitted { rows, key, members })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform::{Durability, MemoryStore};
    use proptest::prelude::*;

    use super::*;

    fn person(n: u8) -> Person {
        [n; 16]
    }

    fn told(store: &SharedStore, window: u32, most: u32, persons: &[u8], merged: &Merged) -> Vec<u8> {
        let keys: Vec<Person> = persons.iter().map(|n| person(*n)).collect();
        let study = StudyId::parse("s").unwrap();
        let admitted = admit(store, &study, (window, most), &keys, merged).unwrap();
        let mut t = Transaction::new("test");
        admitted.enter(&mut t);
        store.commit(t, Durability::Synced).unwrap();
        admitted.rows.into_iter().map(|row| persons[row]).collect()
    }

    #[test]
    fn whoever_was_in_enough_windows_is_left_out_of_later_ones_and_stays_in_those() {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let none = Merged::new();
        assert_eq!(told(&store, 0, 2, &[1, 2], &none), [1, 2]);
        assert_eq!(told(&store, 1, 2, &[1], &none), [1]);
        assert_eq!(told(&store, 2, 2, &[1, 2, 3], &none), [2, 3]);
        // The first window once more, with one who came late.
        assert_eq!(told(&store, 0, 2, &[1, 2, 4], &none), [1, 2, 4]);
        // 5 was 1 and 2 together: three windows.
        assert_eq!(told(&store, 3, 2, &[5], &[(person(1), person(5)), (person(2), person(5))].into()), [0; 0]);
        // Not merged after all: 5 was in none.
        assert_eq!(told(&store, 3, 2, &[5], &none), [5]);
    }

    /// Whoever was counted under another's key has been in the window, also when it is their own again.
    #[test]
    fn a_merge_that_is_taken_back_gives_no_window_back() {
        let (none, merged) = (Merged::new(), Merged::from([(person(1), person(2))]));
        for first in [&none, &merged] {
            let store: SharedStore = Arc::new(MemoryStore::new());
            let now = if first.is_empty() { [1] } else { [2] };
            assert_eq!(told(&store, 0, 1, &now, first), now);
            assert_eq!(told(&store, 0, 1, &[2], &merged), [2], "the same window, told again");
            assert_eq!(told(&store, 1, 1, &[1, 2, 3], &none), [3], "after the merge was taken back");
        }
    }

    proptest! {
        /// In any order of windows and tellings, with anybody merged at any time: nobody is counted in more windows than the cap.
        #[test]
        fn nobody_is_in_more(
            most in 1u32..4,
            steps in prop::collection::vec((0u32..6, prop::collection::btree_set(0u8..8, 0..8)), 1..40),
            merges in prop::collection::vec((0usize..40, 0u8..8, 0u8..8), 0..3),
        ) {
            let store: SharedStore = Arc::new(MemoryStore::new());
            let mut stays: BTreeMap<u8, u8> = BTreeMap::new();
            let mut counted: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
            for (i, (window, persons)) in steps.iter().enumerate() {
                for (_, old, new) in merges.iter().filter(|(at, old, new)| *at == i && old != new) {
                    // As gold has it: everybody's last key.
                    if !stays.contains_key(old) && !stays.contains_key(new) {
                        stays.values_mut().filter(|v| *v == old).for_each(|v| *v = *new);
                        stays.insert(*old, *new);
                        // What either was counted in is both's; that alone may be more than the cap.
                        let of = counted.remove(old).unwrap_or_default();
                        counted.entry(*new).or_default().extend(of);
                    }
                }
                let merged: Merged = stays.iter().map(|(o, n)| (person(*o), person(*n))).collect();
                let now: Vec<u8> = persons.iter().copied().filter(|p| !stays.contains_key(p)).collect();
                for p in told(&store, *window, most, &now, &merged) {
                    let own = counted.entry(p).or_default();
                    let before = own.len();
                    own.insert(*window);
                    prop_assert!(own.len() == before || own.len() <= most as usize, "{p} in {own:?}");
                }
            }
        }
    }
}
