//! Whether an id stands for two people: patients of one file with two sexes, or two years of birth.
//!
//! Files of patients are looked through before any file is read, so that neither of the two is taken, nor what happened to either,
//! in whatever file it stands. Where nobody looked through them, the first of the two is, and the second row is not.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

use schema::{Cell, Key, Record};

/// Patients that are compared with those before them, at most: about 35 MiB. Of more it is not known.
const COMPARED: usize = 1 << 20;
/// Ids of two people that are kept of a file, at most.
const KEPT: usize = 1 << 20;

/// A patient: in the lowest two bits the sex, above them the years since 1800 and one; zero where it is not known.
type Looks = u16;

const SEX: Looks = 0b11;

/// The patients of a file.
#[derive(Default)]
pub(super) struct Reused(HashMap<u64, Looks>);

impl Reused {
    /// Whether a patient of that key came before with another sex or, where that is compared, another year of birth.
    pub(super) fn is_another(&mut self, person: Key, patient: &Record, with_birth: bool) -> bool {
        let sex: Looks = match patient.get("sex") {
            Cell::Text(sex) => match sex.as_str() {
                "F" => 1,
                "M" => 2,
                "O" => 3,
                _ => 0,
            },
            _ => 0,
        };
        let born = match patient.get("birth_year") {
            Cell::Int(year) if with_birth => {
                Looks::try_from(year - 1799).ok().filter(|y| (1..=1000).contains(y)).unwrap_or(0)
            }
            _ => 0,
        };
        let mut half = [0; 8];
        half.copy_from_slice(&person[..8]);
        let full = self.0.len() >= COMPARED;
        let Some(before) = self.0.get_mut(&u64::from_le_bytes(half)) else {
            if !full {
                self.0.insert(u64::from_le_bytes(half), sex | born << 2);
            }
            return false;
        };
        let differs = |a: Looks, b: Looks| a != 0 && b != 0 && a != b;
        if differs(*before & SEX, sex) || differs(*before >> 2, born) {
            return true;
        }
        *before |= sex | born << 2;
        false
    }
}

/// Whose the visits of a file are: whoever came first with a visit's id.
#[derive(Default)]
pub(super) struct Visitors {
    hash: RandomState,
    of: HashMap<u64, u64>,
}

impl Visitors {
    /// Whether a visit of that id came before of another person. Of more than are compared it is not known.
    pub(super) fn is_of_another(&mut self, visit: &str, person: Key) -> bool {
        let mut half = [0; 8];
        half.copy_from_slice(&person[..8]);
        let (visit, person) = (self.hash.hash_one(visit), u64::from_le_bytes(half));
        let full = self.of.len() >= COMPARED;
        match self.of.get(&visit) {
            Some(before) => *before != person,
            None => {
                if !full {
                    self.of.insert(visit, person);
                }
                false
            }
        }
    }
}

/// The ids of a source that stand for two people, by the files of patients that say so.
#[derive(Default)]
pub(super) struct Doubtful {
    files: Mutex<HashMap<String, HashSet<Box<str>>>>,
}

impl Doubtful {
    /// Takes in what a file says, in the place of what it said before.
    pub(super) fn learn(&self, file: &str, ids: HashSet<Box<str>>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match ids.is_empty() {
            true => files.remove(file),
            false => files.insert(file.to_owned(), ids),
        };
    }

    /// All of them, in order.
    pub(super) fn ids(&self) -> BTreeSet<Box<str>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.values().flatten().cloned().collect()
    }
}

/// What one file is read with.
pub(super) enum Watch {
    /// Its patients are compared, and those of one id are noted.
    Look(HashSet<Box<str>>),
    /// Rows of these ids are nobody's.
    Refuse(HashSet<Box<str>>),
}

impl Watch {
    pub(super) fn look() -> Watch {
        Watch::Look(HashSet::new())
    }

    pub(super) fn refuse(of: &Doubtful) -> Watch {
        Watch::Refuse(of.ids().into_iter().collect())
    }

    pub(super) fn is_looking(&self) -> bool {
        matches!(self, Watch::Look(_))
    }

    /// Whether a row of that id is nobody's.
    pub(super) fn refuses(&self, id: &str) -> bool {
        match self {
            Watch::Refuse(ids) => !ids.is_empty() && ids.contains(id),
            Watch::Look(_) => false,
        }
    }

    /// The ids of two people that were noted.
    pub(super) fn noted(self) -> HashSet<Box<str>> {
        match self {
            Watch::Look(seen) => seen,
            Watch::Refuse(_) => HashSet::new(),
        }
    }

    /// Notes an id of two people.
    pub(super) fn note(&mut self, id: &str) {
        if let Watch::Look(seen) = self
            && seen.len() < KEPT
            && !seen.contains(id)
        {
            seen.insert(id.into());
        }
    }
}
