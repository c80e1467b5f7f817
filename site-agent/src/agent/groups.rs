//! In which group of a training each patient is: trained on, tested, or saying when to stop.
//!
//! Where all rounds are paid for at once, a patient pays for those of one group alone. A keyed hash of the own pseudonym or a feature of the own row says
//! which; no other patient's row does. But persons are merged, and features change when new data come. So the group in which a study first saw a patient is
//! kept here, entered with the sealed release, and whoever comes in another one later is left out. As with windows (`participation`), a
//! record has every key that a patient had, and none is ever replaced in it. It never leaves, and is removed when the study is over.

use std::collections::{BTreeMap, BTreeSet};

use platform::store::SharedStore;
use platform::{Durability, StoreError, Transaction};
use proto::{RoundId, StudyId};
use summaries::{Column, MISSING, PatientBatch};

use super::{Agent, Refused};
use crate::engine::{Merged, Patients, Person};
use crate::policy::Objection;
use crate::releases::Order;

/// Who may be counted, and what is to be entered of that.
pub(super) struct Admitted {
    /// The places of their rows.
    pub(super) rows: Vec<usize>,
    key: String,
    /// The group of every key that was seen; nothing where that is in the store already.
    seen: Option<BTreeMap<Person, u8>>,
}

fn of_study(study: &StudyId) -> String {
    format!("groups/{study}/")
}

impl Admitted {
    /// Enters who is in which group, beside the release.
    pub(super) fn enter(&self, t: &mut Transaction) {
        if let Some(seen) = &self.seen {
            let bytes: Vec<u8> = seen.iter().flat_map(|(key, group)| key.iter().chain([group])).copied().collect();
            t.put(self.key.clone(), bytes);
        }
    }
}

fn read(bytes: &[u8]) -> BTreeMap<Person, u8> {
    let one = |c: &[u8]| {
        let (group, key) = c.split_last()?;
        Some((Person::try_from(key).ok()?, *group))
    };
    bytes.chunks_exact(17).filter_map(one).collect()
}

/// Who of a training's patients may be counted in a round. The batch's last column says each one's group; who is in none is in no sum.
///
/// # Errors
/// The store fails.
pub(super) fn admit(
    store: &SharedStore,
    round: &RoundId,
    batch: &PatientBatch,
    persons: &[Person],
    merged: &Merged,
) -> Result<Admitted, StoreError> {
    let key = format!("{}{:06}", of_study(&round.study), round.analysis);
    let mut seen = store.get(key.as_bytes())?.map(|bytes| read(&bytes)).unwrap_or_default();
    // The groups of everybody as whom they are now: two, where two of different groups were merged.
    let mut known: BTreeMap<Person, BTreeSet<u8>> = BTreeMap::new();
    for (person, group) in &seen {
        known.entry(merged.get(person).copied().unwrap_or(*person)).or_default().insert(*group);
    }
    let groups: &[u32] = match batch.columns().last() {
        Some(Column::Level(groups)) => groups,
        _ => &[],
    };
    let mut before: BTreeMap<Person, Vec<Person>> = BTreeMap::new();
    merged.iter().for_each(|(old, stays)| before.entry(*stays).or_default().push(*old));
    let (mut rows, mut more) = (Vec::new(), false);
    for (row, (person, group)) in persons.iter().zip(groups).enumerate() {
        let Some(group) = u8::try_from(*group).ok().filter(|_| *group != MISSING) else { continue };
        if known.get(person).is_some_and(|of| of.iter().any(|g| *g != group)) {
            continue;
        }
        rows.push(row);
        for own in std::iter::once(person).chain(before.get(person).into_iter().flatten()) {
            more |= seen.insert(*own, group).is_none();
        }
    }
    Ok(Admitted { rows, key, seen: more.then_some(seen) })
}

impl Agent {
    /// Who may be counted of a training whose groups pay for their own rounds alone.
    pub(super) fn of_own_group(&self, order: &Order, patients: Option<&Patients>) -> Result<Option<Admitted>, Refused> {
        if !order.planned.as_ref().is_some_and(|plan| plan.is_apart()) {
            return Ok(None);
        }
        let patients = patients.ok_or_else(|| Objection::new("plan_invalid", "the round has no patients"))?;
        if self.ledger.recovered_of(&order.round.study).map_err(|e| self.internal(&e))? {
            let reason = "who was trained on was lost with an old state folder, so that the groups can't be kept apart";
            return Err(Objection::new("groups_lost", reason));
        }
        let own = admit(&self.store, &order.round, &patients.batch, &patients.persons, &patients.merged);
        own.map(Some).map_err(|e| self.internal(&e))
    }
}

/// Removes what was kept of a study.
///
/// # Errors
/// The store fails.
pub(super) fn forget(store: &SharedStore, study: &StudyId) -> Result<(), StoreError> {
    let kept = store.scan(of_study(study).as_bytes())?;
    if kept.is_empty() {
        return Ok(());
    }
    let mut t = Transaction::new("groups/forget");
    for (name, _) in kept {
        t.delete(name);
    }
    store.commit(t, Durability::Synced)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform::MemoryStore;
    use proptest::prelude::*;

    use super::*;

    fn person(n: u8) -> Person {
        [n; 16]
    }

    fn told(store: &SharedStore, of: &[(u8, u32)], merged: &Merged) -> Vec<u8> {
        let round = RoundId { study: StudyId::parse("s").unwrap(), analysis: 0, round: 0 };
        let groups = Column::Level(of.iter().map(|(_, g)| *g).collect());
        let batch = PatientBatch::new(of.len(), vec![groups]).unwrap();
        let persons: Vec<Person> = of.iter().map(|(n, _)| person(*n)).collect();
        let admitted = admit(store, &round, &batch, &persons, merged).unwrap();
        let mut t = Transaction::new("test");
        admitted.enter(&mut t);
        store.commit(t, Durability::Synced).unwrap();
        admitted.rows.into_iter().map(|row| of[row].0).collect()
    }

    #[test]
    fn whoever_changes_the_group_is_left_out_from_then_on() {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let none = Merged::new();
        assert_eq!(told(&store, &[(1, 0), (2, 1), (3, MISSING)], &none), [1, 2]);
        assert_eq!(told(&store, &[(1, 1), (2, 1), (3, 0)], &none), [2, 3]);
        assert_eq!(told(&store, &[(1, 0), (2, 0)], &none), [1], "back in the own group");
        // 5 was 1 and 2, of different groups: in none any more, and each is itself again where that is taken back.
        let merged = Merged::from([(person(1), person(5)), (person(2), person(5))]);
        assert_eq!(told(&store, &[(5, 0), (3, 0)], &merged), [3]);
        assert_eq!(told(&store, &[(5, 1)], &merged), [0u8; 0]);
        assert_eq!(told(&store, &[(1, 0), (2, 1), (5, 0)], &none), [1, 2, 5]);
        forget(&store, &StudyId::parse("s").unwrap()).unwrap();
        assert_eq!(told(&store, &[(1, 1)], &none), [1]);
    }

    #[test]
    fn a_merge_that_is_taken_back_frees_nobody() {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let merged = Merged::from([(person(1), person(2))]);
        assert_eq!(told(&store, &[(2, 0)], &merged), [2]);
        assert_eq!(told(&store, &[(1, 1), (2, 1)], &Merged::new()), [0u8; 0], "1 was in the sums of 2");
    }

    proptest! {
        /// Whoever is merged, taken apart and moved, in any order: no key's row is ever counted in two groups.
        #[test]
        fn no_patient_is_counted_in_two_groups(
            rounds in prop::collection::vec((prop::collection::btree_map(0u8..6, 0u32..3, 0..6), prop::option::of((0u8..6, 0u8..6))), 1..30),
        ) {
            let store: SharedStore = Arc::new(MemoryStore::new());
            let mut counted: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
            for (of, merge) in rounds {
                let merge = merge.filter(|(old, stays)| old != stays);
                let merged: Merged = merge.iter().map(|(old, stays)| (person(*old), person(*stays))).collect();
                let of: Vec<(u8, u32)> = of.into_iter().filter(|(p, _)| merge.is_none_or(|(old, _)| old != *p)).collect();
                let groups: BTreeMap<u8, u32> = of.iter().copied().collect();
                for p in told(&store, &of, &merged) {
                    let old = merge.filter(|(_, stays)| *stays == p).map(|(old, _)| old);
                    for own in std::iter::once(p).chain(old) {
                        counted.entry(own).or_default().insert(groups[&p]);
                    }
                }
            }
            prop_assert!(counted.values().all(|groups| groups.len() <= 1), "{:?}", counted);
        }
    }
}
