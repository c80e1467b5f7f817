//! What resources of one file say about those of another: gathered before any is read, within a bound.
//!
//! An event may name its patient by an identifier, its drug by a Medication of another file, and a diagnosis gets its role from
//! the Encounter. Each is kept under a hash of 128 bits, at most [`MOST`] of them in all; beyond that nothing more is kept, and
//! what then isn't found is told as such. A name that stands for two different things stands for none.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// The most entries that are kept: about 200 MiB.
const MOST: usize = 3_000_000;

/// A hash of a name, with keys of this process.
type Name = u128;

/// A role of a diagnosis in a visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) role: Role,
    pub(super) rank: Option<u16>,
}

/// In the order in which one goes before another, where a diagnosis has several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    #[default]
    Secondary,
    Admit,
    Primary,
}

impl Role {
    /// The schema's word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Secondary => "secondary",
            Role::Admit => "admit",
            Role::Primary => "primary",
        }
    }
}

/// A code of a resource that others refer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Concept {
    pub(super) system: Option<String>,
    pub(super) code: String,
}

/// What was found of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    One(T),
    /// Two different things have the name.
    Several,
    None,
}

/// The index of one source.
#[derive(Default)]
pub(super) struct Index {
    first: RandomState,
    second: RandomState,
    /// Identifiers, and the `fullUrl`s that differ from the id of their resource.
    ids: HashMap<Name, Option<Box<str>>>,
    concepts: HashMap<Name, u32>,
    /// Each distinct concept once.
    texts: Vec<Concept>,
    known_texts: HashMap<Concept, u32>,
    diagnoses: HashMap<Name, Diagnosis>,
    /// Ids that two different patients of one file have.
    reused: HashSet<Name>,
    full: bool,
}

impl Index {
    pub(super) fn name(&self, parts: &[&str]) -> Name {
        (u128::from(self.first.hash_one(parts)) << 64) | u128::from(self.second.hash_one(parts))
    }

    /// Whether something had to be left out.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    fn room(&mut self) -> bool {
        let kept = self.ids.len() + self.concepts.len() + self.diagnoses.len() + self.texts.len() + self.reused.len();
        self.full |= kept >= MOST;
        !self.full
    }

    fn keep_id(&mut self, name: Name, id: &str) {
        if let Some(slot) = self.ids.get_mut(&name) {
            if slot.as_deref() != Some(id) {
                *slot = None;
            }
        } else if self.room() {
            self.ids.insert(name, Some(id.into()));
        }
    }

    fn id(&self, name: Name) -> Found<&str> {
        match self.ids.get(&name) {
            Some(Some(id)) => Found::One(id),
            Some(None) => Found::Several,
            None => Found::None,
        }
    }

    /// A resource's identifier.
    pub(super) fn keep_identifier(&mut self, kind: &str, system: &str, value: &str, id: &str) {
        self.keep_id(self.name(&["identifier", kind, system, value]), id);
    }

    pub(super) fn by_identifier(&self, kind: &str, system: &str, value: &str) -> Found<&str> {
        if self.ids.is_empty() { Found::None } else { self.id(self.name(&["identifier", kind, system, value])) }
    }

    /// The `fullUrl` of an entry in a file, where it does not end with the resource's own id.
    pub(super) fn keep_full_url(&mut self, file: &str, url: &str, id: &str) {
        self.keep_id(self.name(&["fullUrl", file, url]), id);
    }

    pub(super) fn by_full_url(&self, file: &str, url: &str) -> Found<&str> {
        if self.ids.is_empty() { Found::None } else { self.id(self.name(&["fullUrl", file, url])) }
    }

    /// The code of a Medication, or the type of a Specimen.
    pub(super) fn keep_concept(&mut self, kind: &str, id: &str, concept: Concept) {
        let name = self.name(&[kind, id]);
        if !self.room() {
            return;
        }
        let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let at = *self.known_texts.entry(concept.clone()).or_insert(next);
        if at == next {
            self.texts.push(concept);
        }
        self.concepts.insert(name, at);
    }

    pub(super) fn concept(&self, kind: &str, id: &str) -> Option<&Concept> {
        if self.concepts.is_empty() {
            return None;
        }
        self.concepts.get(&self.name(&[kind, id])).and_then(|at| self.texts.get(usize::try_from(*at).ok()?))
    }

    /// The role that an Encounter gives a Condition; of several the weightiest, with its rank.
    pub(super) fn keep_diagnosis(&mut self, condition: &str, diagnosis: Diagnosis) {
        let name = self.name(&["Condition", condition]);
        if let Some(kept) = self.diagnoses.get_mut(&name) {
            let weight = |d: &Diagnosis| (d.role, std::cmp::Reverse(d.rank.unwrap_or(u16::MAX)));
            if weight(&diagnosis) > weight(kept) {
                *kept = diagnosis;
            }
        } else if self.room() {
            self.diagnoses.insert(name, diagnosis);
        }
    }

    pub(super) fn diagnosis(&self, condition: &str) -> Option<Diagnosis> {
        if self.diagnoses.is_empty() {
            return None;
        }
        self.diagnoses.get(&self.name(&["Condition", condition])).copied()
    }

    /// Two patients have this id.
    pub(super) fn keep_reused(&mut self, id: &str) {
        if self.room() {
            self.reused.insert(self.name(&["Patient", id]));
        }
    }

    pub(super) fn is_reused(&self, id: &str) -> bool {
        !self.reused.is_empty() && self.reused.contains(&self.name(&["Patient", id]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_two_stands_for_none() {
        let mut index = Index::default();
        index.keep_identifier("Patient", "urn:mrn", "1", "a");
        index.keep_identifier("Patient", "urn:mrn", "1", "a");
        assert_eq!(index.by_identifier("Patient", "urn:mrn", "1"), Found::One("a"));
        assert_eq!(index.by_identifier("Patient", "urn:other", "1"), Found::None);
        index.keep_identifier("Patient", "urn:mrn", "1", "b");
        assert_eq!(index.by_identifier("Patient", "urn:mrn", "1"), Found::Several);
    }

    #[test]
    fn the_weightiest_role_stays_in_any_order() {
        let primary = Diagnosis { role: Role::Primary, rank: Some(1) };
        let billing = Diagnosis { role: Role::Secondary, rank: Some(3) };
        for pair in [[primary, billing], [billing, primary]] {
            let mut index = Index::default();
            for d in pair {
                index.keep_diagnosis("c", d);
            }
            assert_eq!(index.diagnosis("c"), Some(primary));
        }
    }
}
