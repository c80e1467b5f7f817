//! The lake: extracts to Parquet, exactly once.
//!
//! ```text
//!   bronze  the raw files, under the hash of their bytes; none whose settings name linkage ids
//!   silver  typed rows, one a source item, one Parquet file a table, source file and run; rejected records beside them
//!   gold    the latest revision of each record, sorted by patient, one Parquet file a table and version
//! ```
//!
//! A source file's position, its silver files and its quarantine are entered in one synced transaction: the manifest in the
//! store says what exists, and files that it does not name are left-overs of a crash and are removed. A file whose bytes and
//! mapping are those that came last under its name changes nothing; one that goes back to what it was before is taken again, as the
//! newest.
//!
//! Of a source that sends whole snapshots (`snapshot = true`), a file that comes again under its name takes the place of what it
//! was: rows that it no longer has are not in the next gold. The manifest says so, in the transaction that enters the file. A file
//! that breaks off, or whose columns contradict its mapping, is not whole and takes nobody's place.

mod bronze;
mod fold;
mod gold;
mod ingest;
mod merge;
mod parts;
pub mod rehearse;
mod relink;
mod reread;
mod sets;
mod silver;
mod standards;
#[cfg(test)]
pub(crate) mod tests;

pub use gold::Gold;
pub use ingest::{Failed, FileReport, IngestReport};
pub(crate) use ingest::{files, pseudonyms};
pub use relink::LinkageReport;
pub use standards::Standards;

use std::collections::BTreeMap;
use std::path::PathBuf;

use platform::store::SharedStore;
use platform::{Durability, StoreError, Transaction};
use schema::Table;
use serde::{Deserialize, Serialize};

/// What went wrong with the lake. Texts name files, never contents.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// An adapter stopped.
    #[error(transparent)]
    Adapter(#[from] adapters::AdapterError),
    /// Arrow, Parquet or DataFusion failed.
    #[error("{step} failed: {reason}")]
    Data {
        /// Doing what.
        step: String,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The site's linkage key can't be read.
    #[error(transparent)]
    Linkage(#[from] crate::linkage::Error),
    /// Tags of two keys stand beside each other.
    #[error("{file} has linkage tags of another key than other files; run site-agent ingest")]
    TwoKeys {
        /// A file.
        file: String,
    },
    /// A file's rows are of a major version of the schema that is not read, and its bytes are nowhere.
    #[error(
        "{file} was read under schema {schema}, which is read no more, and its raw bytes are neither in bronze nor in its source's \
         folder; put the file back, or remove its source's state, and run site-agent ingest"
    )]
    OldSchema {
        /// The file.
        file: String,
        /// The version.
        schema: String,
    },
    /// A source can't be read; the others were.
    #[error("source '{source_name}': {reason}")]
    OfSource {
        /// The source.
        source_name: String,
        /// Why, with the remedy.
        reason: String,
    },
    /// A mapping file can't be read.
    #[error(transparent)]
    Terminology(#[from] adapters::terminology::TerminologyError),
    /// A unit alias names no unit.
    #[error("site.toml, [units] aliases: {0}")]
    Units(#[from] schema::units::AliasError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] platform::entropy::EntropyError),
}

impl LakeError {
    /// Says that the error is a source's own, and not the agent's disk's or store's.
    pub(crate) fn of_source(self, source: &str) -> LakeError {
        match self {
            own @ (LakeError::Store(_) | LakeError::Entropy(_) | LakeError::OfSource { .. }) => own,
            other => LakeError::OfSource { source_name: source.to_owned(), reason: other.to_string() },
        }
    }
}

/// Whether nothing of a file was taken, and something should have been.
pub(crate) fn is_unread(records: u64, skipped: u64, quarantined: u64) -> bool {
    quarantined > 0 && records == 0 && skipped == 0
}

pub(crate) fn file_error(path: &std::path::Path, reason: &dyn std::fmt::Display) -> LakeError {
    LakeError::File { path: path.display().to_string(), reason: reason.to_string() }
}
pub(crate) fn data_error(step: &str, reason: &dyn std::fmt::Display) -> LakeError {
    LakeError::Data { step: step.to_owned(), reason: reason.to_string() }
}

/// One source file that was ingested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// The source.
    pub source: String,
    /// The file, relative to the source.
    pub file: String,
    /// SHA-256 of its bytes.
    pub hash: String,
    /// The run.
    pub run: u32,
    /// Source items read.
    pub items: u64,
    /// Records made.
    pub records: u64,
    /// Items rejected.
    pub quarantined: u64,
    /// Items understood and of no place in the schema.
    pub skipped: u64,
    /// Silver files, relative to the lake, with their table.
    pub silver: Vec<(String, String)>,
    /// The quarantine's file, relative to the lake.
    pub quarantine: Option<String>,
    /// The short name of the linkage key that its tags were made with; none where it has no tags.
    #[serde(default)]
    pub linkage: Option<String>,
    /// When it was ingested, in microseconds since 1970; 0 where an older version did not say.
    #[serde(default)]
    pub at_micros: i64,
    /// Whether all of it was read: such a reading takes the place of those of the same bytes under other settings.
    #[serde(default)]
    pub whole: bool,
    /// Whether it is a whole snapshot, which takes the place of what was read of this file before.
    #[serde(default)]
    pub snapshot: bool,
    /// The schema of its rows.
    #[serde(default = "first_schema")]
    pub schema: String,
    /// What was found in other files of the source that decides which rows are taken: see [`adapters::Adapter::surveyed`].
    #[serde(default)]
    pub surveyed: String,
}

/// What entries are of that do not say so.
fn first_schema() -> String {
    "1.0.0".to_owned()
}

/// The runs that others give way to.
struct Newest<'a> {
    /// Of each file's newest whole snapshot, by source and file.
    snapshots: BTreeMap<(&'a str, &'a str), u32>,
    /// Of the newest whole reading of a file's bytes, by source, file and hash: with another mapping the same rows have other identities,
    /// and both readings together would be every row twice.
    readings: BTreeMap<(&'a str, &'a str, &'a str), u32>,
}

impl<'a> Newest<'a> {
    fn of(all: &'a [Ingested]) -> Newest<'a> {
        let mut newest = Newest { snapshots: BTreeMap::new(), readings: BTreeMap::new() };
        for entry in all {
            let (source, file) = (entry.source.as_str(), entry.file.as_str());
            if entry.snapshot {
                let run = newest.snapshots.entry((source, file)).or_insert(0);
                *run = entry.run.max(*run);
            }
            if entry.whole {
                let run = newest.readings.entry((source, file, entry.hash.as_str())).or_insert(0);
                *run = entry.run.max(*run);
            }
        }
        newest
    }

    /// Whether a later snapshot of the same file, or a later reading of the same bytes, takes an entry's place.
    fn supersedes(&self, entry: &Ingested) -> bool {
        let (source, file) = (entry.source.as_str(), entry.file.as_str());
        let later = |run: Option<&u32>| run.is_some_and(|run| *run > entry.run);
        later(self.snapshots.get(&(source, file))) || later(self.readings.get(&(source, file, entry.hash.as_str())))
    }
}

/// The lake of a site.
#[derive(Clone)]
pub struct Lake {
    root: PathBuf,
    store: SharedStore,
}

const FILES: &str = "lake/file/";
const RUN: &[u8] = b"lake/run";
const RELINKED: &[u8] = b"lake/relinked";
const GOLD: &[u8] = b"lake/gold";
const READ: &[u8] = b"lake/read";
/// Sources whose files are being taken in after they were surveyed.
const SURVEYING: &str = "lake/surveying/";

impl Lake {
    /// Opens the lake in a folder and removes what a crash left over.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn open(root: PathBuf, store: SharedStore) -> Result<Lake, LakeError> {
        for part in ["bronze", "silver", "gold", "quarantine"] {
            let dir = root.join(part);
            std::fs::create_dir_all(&dir).map_err(|e| file_error(&dir, &e))?;
        }
        let lake = Lake { root, store };
        lake.remove_left_overs()?;
        Ok(lake)
    }

    /// Every source file that was ingested, in the order of their keys.
    ///
    /// # Errors
    /// The store fails.
    pub fn ingested(&self) -> Result<Vec<Ingested>, LakeError> {
        let entries = self.store.scan(FILES.as_bytes())?;
        Ok(entries.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect())
    }

    /// Silver files of a table that count: of a file that comes as a snapshot, those of its newest whole one, and of what came later; of
    /// bytes that were read with several mappings, those of the last whole reading.
    fn silver_of(&self, table: Table) -> Result<Vec<PathBuf>, LakeError> {
        let mut files: Vec<(u32, PathBuf)> = Vec::new();
        let all = self.ingested()?;
        let newest = Newest::of(&all);
        for f in all.iter().filter(|f| !newest.supersedes(f)) {
            for (name, path) in &f.silver {
                if name == table.name() {
                    files.push((f.run, self.root.join(path)));
                }
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, p)| p).collect())
    }

    /// The run before this one, 0 before the first.
    fn last_run(&self) -> Result<u32, LakeError> {
        let bytes = self.store.get(RUN)?.unwrap_or_default();
        Ok(bytes.try_into().map_or(0, u32::from_le_bytes))
    }

    /// Enters that every source was read to its end, by a reading that began at a time. It is about the sources: no row moves it.
    ///
    /// # Errors
    /// The store fails.
    pub fn read_through(&self, began: platform::Micros) -> Result<(), LakeError> {
        let mut t = Transaction::new("lake/read");
        t.put(READ, began.0.to_le_bytes());
        Ok(self.store.commit(t, Durability::Synced)?)
    }

    /// When the last reading of every source to its end began; the beginning of all time before the first.
    ///
    /// # Errors
    /// The store fails.
    pub fn last_read(&self) -> Result<platform::Micros, LakeError> {
        let bytes = self.store.get(READ)?.unwrap_or_default();
        Ok(platform::Micros(bytes.try_into().map_or(i64::MIN, i64::from_le_bytes)))
    }

    fn enter(&self, key: &str, ingested: &Ingested) -> Result<(), LakeError> {
        let mut t = Transaction::new("lake/ingest");
        t.put(format!("{FILES}{key}"), serde_json::to_vec(ingested).unwrap_or_default());
        t.put(RUN, ingested.run.to_le_bytes());
        Ok(self.store.commit(t, Durability::Synced)?)
    }

    fn entry(&self, key: &str) -> Result<Option<Ingested>, LakeError> {
        let bytes = self.store.get(format!("{FILES}{key}").as_bytes())?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The last run that took each file of a source, by its name.
    fn last_of(&self, source: &str) -> Result<BTreeMap<String, u32>, LakeError> {
        let mut out = BTreeMap::new();
        for entry in self.ingested()?.into_iter().filter(|e| e.source == source) {
            let last: &mut u32 = out.entry(entry.file).or_default();
            *last = entry.run.max(*last);
        }
        Ok(out)
    }

    fn remove_left_overs(&self) -> Result<(), LakeError> {
        let mut named: std::collections::BTreeSet<PathBuf> = std::collections::BTreeSet::new();
        for f in self.ingested()? {
            named.extend(f.silver.iter().map(|(_, p)| self.root.join(p)));
            named.extend(f.quarantine.iter().map(|p| self.root.join(p)));
        }
        for part in ["silver", "quarantine"] {
            let dir = self.root.join(part);
            let entries = std::fs::read_dir(&dir).map_err(|e| file_error(&dir, &e))?;
            for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_file() && !named.contains(p)) {
                std::fs::remove_file(&path).map_err(|e| file_error(&path, &e))?;
            }
        }
        // What queries put on the disk holds patients' rows, and a process that was killed took none of it away.
        for spill in
            [Some(self.root.join("spill")), self.root.parent().map(|state| state.join("spill"))].into_iter().flatten()
        {
            match std::fs::remove_dir_all(&spill) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(file_error(&spill, &e)),
                _ => {}
            }
        }
        Ok(())
    }
}
