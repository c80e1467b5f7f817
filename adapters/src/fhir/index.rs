//! What resources of one file say about those of another: gathered before any is read, within a bound.
//!
//! An event may name its patient by an identifier, its drug by a Medication of another file, and a diagnosis gets its role from
//! the Encounter. Each is kept under a hash of 128 bits, at most [`MOST`] of them in all; beyond that nothing more is kept, and
//! what then isn't found is told as such. A name that stands for two different things stands for none.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// The most entries that are kept: about 200 MiB.
const MOST: usize = 3_000_000;

/// The most patients that are compared with each other: about 100 MiB.
const MOST_COMPARED: usize = 2_000_000;

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

/// A patient as one file tells it, as far as two of one id are compared: hashes, and the sex's first letter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared {
    /// Of the birth.
    pub(super) birth: u32,
    /// Of the version; `None` where none is told.
    pub(super) version: Option<u32>,
    pub(super) sex: u8,
    /// The file, by the order in which they are walked through.
    pub(super) file: u32,
}

impl Compared {
    /// Whether two of one id are two people: born on different days, and not two versions of one. Where no version is told, another
    /// file may be a later export that corrects the birth; one that has another sex too is somebody else.
    fn contradicts(self, other: Compared) -> bool {
        let unversioned = self.version.is_none() && self.file != other.file;
        let sexes = self.sex != other.sex && self.sex != 0 && other.sex != 0;
        self.birth != other.birth && self.version == other.version && (!unversioned || sexes)
    }
}

/// An export, by its manifest.
struct Export {
    folder: Box<str>,
    /// The ends of its files' addresses.
    files: HashSet<Name>,
    /// When it was made, in microseconds since 1970.
    at: i64,
}

/// A file's name without what says that it is compressed, and without what an address says behind a question mark.
fn bare(name: &str) -> &str {
    let name = name.split_once('?').map_or(name, |(name, _)| name);
    name.strip_suffix(".gz").unwrap_or(name)
}

/// The folder of a file, and its name there.
fn parts_of(file: &str) -> (&str, &str) {
    file.rsplit_once(['/', '\\']).unwrap_or(("", file))
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
    /// Ids that two different patients have.
    reused: BTreeSet<Box<str>>,
    /// The patients seen so far, at most [`MOST_COMPARED`].
    compared: HashMap<Name, Compared>,
    exports: Vec<Export>,
    files: u32,
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
        // No id of FHIR is longer than 64 characters; one that is refers to nothing.
        if id.len() > 256 {
            return;
        }
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

    /// The number of the file that is walked through next.
    pub(super) fn next_file(&mut self) -> u32 {
        self.files = self.files.saturating_add(1);
        self.files
    }

    /// A patient of that id: where another one has it, the id is nobody's.
    pub(super) fn compare(&mut self, id: &str, own: Compared) {
        let name = self.name(&["Patient", id]);
        let Some(other) = self.compared.get(&name).copied() else {
            if self.compared.len() < MOST_COMPARED {
                self.compared.insert(name, own);
            }
            return;
        };
        if own.contradicts(other) && self.room() {
            self.reused.insert(id.into());
        }
    }

    /// A short hash, to be compared with others of this index.
    pub(super) fn short(&self, text: Option<&str>) -> u32 {
        let whole = self.first.hash_one(text).to_le_bytes();
        u32::from_le_bytes([whole[0], whole[1], whole[2], whole[3]])
    }

    /// The manifest of an export: where it lies, the addresses of its files, and when it was made, in microseconds since 1970.
    pub(super) fn keep_export<'u>(&mut self, manifest: &str, files: impl Iterator<Item = &'u str>, at: i64) {
        let mut names = HashSet::new();
        for url in files {
            if !self.room() || names.len() >= MOST_COMPARED {
                break;
            }
            names.insert(self.name(&["file", bare(parts_of(url).1)]));
        }
        self.exports.push(Export { folder: parts_of(manifest).0.into(), files: names, at });
    }

    /// When the export was made that a file is of, in microseconds since 1970: by the manifest that lies nearest, beside it or
    /// above it, and of several there the one that names the file.
    pub(super) fn exported(&self, file: &str) -> Option<i64> {
        let (mut folder, name) = parts_of(file);
        let name = self.name(&["file", bare(name)]);
        loop {
            let here = || self.exports.iter().filter(|e| &*e.folder == folder);
            let named = here().filter(|e| e.files.contains(&name)).map(|e| e.at).max();
            match (named, here().count()) {
                (Some(at), _) => return Some(at),
                (None, 0) if folder.is_empty() => return None,
                (None, 0) => folder = parts_of(folder).0,
                (None, 1) => return here().next().map(|e| e.at),
                // Which of them it is of can't be told.
                (None, _) => return None,
            }
        }
    }

    pub(super) fn is_reused(&self, id: &str) -> bool {
        !self.reused.is_empty() && self.reused.contains(id)
    }

    /// The same for the same ids of two patients.
    pub(super) fn doubts(&self) -> String {
        crate::sink::digest(self.reused.iter().map(|id| &**id))
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
    fn a_file_is_of_the_nearest_export_that_names_it() {
        let mut index = Index::default();
        index.keep_export("2024/manifest.json", ["https://h/f/Patient.1.ndjson"].into_iter(), 1);
        index.keep_export("2024/02/a.json", ["https://h/f/Patient.1.ndjson?sig=x"].into_iter(), 2);
        index.keep_export("2024/02/b.json", ["https://h/f/Patient.2.ndjson"].into_iter(), 3);
        for (file, at) in [
            ("2024/Patient.1.ndjson", Some(1)),
            ("2024/deleted/x.ndjson", Some(1)),
            ("2024/02/Patient.1.ndjson.gz", Some(2)),
            ("2024/02/Patient.2.ndjson", Some(3)),
            ("2024/02/other.ndjson", None),
            ("2023/Patient.1.ndjson", None),
        ] {
            assert_eq!(index.exported(file), at, "{file}");
        }
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
