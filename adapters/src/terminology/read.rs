//! Which format a mapping file has, and what its settings take of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schema::{Table, codes};
use serde::{Deserialize, Serialize};

use super::{Loaded, Relation, TerminologyError, concept_map, gem, omop, sssom};

/// A format of mapping files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// SSSOM as TSV.
    Sssom,
    /// OMOP's `source_to_concept_map` as CSV or TSV.
    Omop,
    /// A FHIR `ConceptMap`, or a Bundle of them.
    ConceptMap,
    /// A General Equivalence Mapping as CSV.
    Gem,
}

/// How a mapping file is read: `[[terminology]]` in `site.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file, plain or `.gz`, relative to `site.toml`.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// Relations that are used.
    #[serde(default = "exact_and_narrow", rename = "use")]
    pub take: Vec<Relation>,
    /// Rows that say a lower confidence are not used.
    #[serde(default)]
    pub min_confidence: f64,
    /// The code system of a name that the file writes, such as `LAB = "urn:hospital:lab"`.
    #[serde(default)]
    pub systems: BTreeMap<String, String>,
    /// For OMOP: the site's own `CONCEPT.csv`, which says what code a concept is.
    #[serde(default)]
    pub concepts: Option<PathBuf>,
}

fn exact_and_narrow() -> Vec<Relation> {
    vec![Relation::Exact, Relation::Narrow]
}

impl Settings {
    /// The code system that a file's word stands for.
    pub(super) fn system(&self, word: &str) -> Option<String> {
        match self.systems.get(word) {
            Some(system) => codes::canonical(system).or_else(|| Some(system.clone())),
            None => codes::canonical(word),
        }
    }
}

/// Reads a mapping file. Paths are relative to a folder.
///
/// # Errors
/// The file can't be opened, or is not of its format. A row that can't be read is a problem and no error.
pub fn load(home: &Path, settings: &Settings) -> Result<Loaded, TerminologyError> {
    let path = home.join(&settings.path);
    match settings.format {
        Format::Sssom => sssom::load(&path, settings),
        Format::Omop => omop::load(home, &path, settings),
        Format::ConceptMap => concept_map::load(&path, settings),
        Format::Gem => gem::load(&path, settings),
    }
}

/// An error about a file.
pub(super) fn wrong(path: &Path, reason: impl std::fmt::Display) -> TerminologyError {
    TerminologyError { file: path.display().to_string(), reason: reason.to_string() }
}

/// The file's name, for the ids of its rows.
pub(super) fn label(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The table of a domain: the schema's name for it, or OMOP's.
pub(super) fn table(domain: &str) -> Option<Table> {
    let word = domain.trim().to_ascii_lowercase();
    Table::parse(&word).or(match word.as_str() {
        "drug" => Some(Table::DrugExposure),
        "observation" => Some(Table::Measurement),
        _ => None,
    })
}
