//! Terminology: from a hospital's codes to standard ones, by mapping files that the hospital loads itself.
//!
//! No vocabulary is shipped. A file is read as SSSOM/TSV, as OMOP's `source_to_concept_map`, as a FHIR `ConceptMap`, or as a
//! General Equivalence Mapping, or a terminology server answers ([`translate`]); [`Mappings`] then says of each code whether there is one target to use.
//!
//! | a row | is used |
//! |---|---|
//! | of a relation that the file's settings take: exact and narrow, unless they say otherwise | yes |
//! | broader, close, related | no |
//! | outside its dates, or withdrawn | no |
//! | below the least confidence | no |
//! | one of several targets of the same code, of the best relation there is | no: ambiguous |
//!
//! * `read`: which format a file has. `sssom`, `omop`, `concept_map`, `gem`: the formats. `sheet`: tables with a header.

mod concept_map;
mod gem;
mod omop;
mod read;
pub(crate) mod sheet;
mod sssom;
#[cfg(test)]
mod tests;
pub mod translate;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schema::{Table, codes};
use serde::{Deserialize, Serialize};

pub use read::{Format, Settings, load};

/// How a target stands to its source, as SKOS says it: `narrow` is a target that is narrower than its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The same.
    Exact,
    /// The target is narrower.
    Narrow,
    /// The target is broader.
    Broad,
    /// Near enough for some uses.
    Close,
    /// Anything else.
    Related,
}

/// One row of a mapping file.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The source's code system, as gold has it.
    pub system: String,
    /// The source's code.
    pub code: String,
    /// The table whose rows it is for; any, where none.
    pub table: Option<Table>,
    /// The target's code system.
    pub to_system: String,
    /// The target's code.
    pub to_code: String,
    /// How they stand to each other.
    pub relation: Relation,
    /// From 0 to 1, where it is said.
    pub confidence: Option<f64>,
    /// The first day.
    pub from: Option<NaiveDate>,
    /// The last day.
    pub to: Option<NaiveDate>,
    /// Whether the file itself takes it back.
    pub withdrawn: bool,
    /// The row's name: the file, its version, and the row.
    pub id: String,
}

/// A row that could not be read. Mapping files hold no patient's data, so a text may say what stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The line, from 1; the element's number in JSON.
    pub line: u64,
    /// The field and the remedy.
    pub detail: String,
}

/// A file as it was read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Rows, in order.
    pub rows: Vec<Mapping>,
    /// Rows that could not be read.
    pub problems: Vec<Problem>,
}

/// Why a file could not be read at all.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TerminologyError {
    /// The file.
    pub file: String,
    /// Why, and what to do.
    pub reason: String,
}

/// What became of a file's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUse {
    /// The file.
    pub file: String,
    /// Rows read.
    pub rows: u64,
    /// Codes with a target in use.
    pub codes: u64,
    /// Codes with several targets.
    pub ambiguous: u64,
    /// Rows outside their dates, or withdrawn.
    pub expired: u64,
    /// Rows of a relation that is not taken.
    pub other_relation: u64,
    /// Rows below the least confidence.
    pub unsure: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// The first of these.
    pub problems: Vec<Problem>,
}

/// What a code becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The standard code system.
    pub system: String,
    /// The standard code.
    pub code: String,
    /// The mapping row that said so.
    pub map_id: String,
}

/// A source code without what its writing leaves open, and the table that a mapping is for.
type Key = (String, String, Option<&'static str>);

/// All mappings in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    targets: BTreeMap<Key, Target>,
    /// What became of each file.
    pub files: Vec<FileUse>,
}

impl Mappings {
    /// Takes a file in, behind those that came before it: the first file with a target for a code decides.
    pub fn add(&mut self, file: &str, loaded: Loaded, settings: &Settings, today: NaiveDate) {
        let mut report = FileUse {
            file: file.to_owned(),
            rows: loaded.rows.len() as u64,
            unreadable: loaded.problems.len() as u64,
            problems: loaded.problems.into_iter().take(20).collect(),
            ..FileUse::default()
        };
        let mut candidates: BTreeMap<Key, Vec<Mapping>> = BTreeMap::new();
        for row in loaded.rows {
            let current = row.from.is_none_or(|d| d <= today) && row.to.is_none_or(|d| today <= d);
            if row.withdrawn || !current {
                report.expired += 1;
            } else if !settings.take.contains(&row.relation) {
                report.other_relation += 1;
            } else if row.confidence.is_some_and(|c| c < settings.min_confidence) {
                report.unsure += 1;
            } else {
                let code = codes::plain(&row.system, &row.code).into_owned();
                candidates.entry((row.system.clone(), code, row.table.map(Table::name))).or_default().push(row);
            }
        }
        for (key, rows) in candidates {
            let best = rows.iter().map(|r| r.relation).min();
            let mut of_best = rows.into_iter().filter(|r| Some(r.relation) == best);
            let Some(first) = of_best.next() else { continue };
            let other = |r: &Mapping| {
                r.to_system != first.to_system
                    || codes::plain(&r.to_system, &r.to_code) != codes::plain(&first.to_system, &first.to_code)
            };
            if of_best.any(|r| other(&r)) {
                report.ambiguous += 1;
                continue;
            }
            report.codes += 1;
            let target = Target { system: first.to_system, code: first.to_code, map_id: first.id };
            self.targets.entry(key).or_insert(target);
        }
        self.files.push(report);
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What a code of a table's row becomes.
    pub fn find(&self, table: Table, system: &str, code: &str) -> Option<&Target> {
        if self.targets.is_empty() {
            return None;
        }
        let mut key = (system.to_owned(), codes::plain(system, code).into_owned(), Some(table.name()));
        self.targets.get(&key).or_else(|| {
            key.2 = None;
            self.targets.get(&key)
        })
    }

    /// Every mapping in use, in one order, as text: what a hash of it stands for.
    pub fn canonical(&self) -> impl Iterator<Item = [&str; 6]> {
        self.targets.iter().map(|((system, code, table), t)| {
            [system.as_str(), code, table.unwrap_or_default(), &t.system, &t.code, &t.map_id]
        })
    }
}
