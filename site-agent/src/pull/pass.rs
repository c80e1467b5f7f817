//! The folder of a pass: which chunks are there, whether it is whole, and which passes there are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use adapters::pgcopy::Header;
use serde::Serialize;

use super::error::{PullError, file};
use super::settings::Postgres;
use super::tables::Table;
use crate::config::{Config, Source};

/// A pass that is under way.
pub(super) struct Pass {
    /// Its number, from 1.
    pub(super) number: u64,
    folder: PathBuf,
}

/// Each table's chunks, in the order of their keys.
pub(super) type Chunks = BTreeMap<String, Vec<Header>>;

const COMPLETE: &str = ".complete";
/// Where the pass is from.
const FROM: &str = ".from";

impl Pass {
    /// The folder of a source's passes.
    pub(super) fn root(config: &Config, source: &Source) -> PathBuf {
        config.state_dir().join("pull").join(&source.name)
    }

    /// Every pass that is there, with its number.
    fn all(root: &Path) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let number = |p: &PathBuf| p.file_name()?.to_str()?.strip_prefix("pass-")?.parse().ok();
        let mut out: Vec<(u64, PathBuf)> = entries.filter_map(|e| number(&e.path()).map(|n| (n, e.path()))).collect();
        out.sort();
        out
    }

    /// The newest whole pass.
    pub(super) fn newest_complete(root: &Path) -> Option<(u64, PathBuf)> {
        Pass::all(root).into_iter().rev().find(|(_, folder)| folder.join(COMPLETE).is_file())
    }

    /// The chunks of a folder. What a crash left half written is removed.
    pub(super) fn chunks_of(folder: &Path) -> Result<Chunks, PullError> {
        let mut out = Chunks::new();
        for entry in fs::read_dir(folder).map_err(|e| file(folder, &e))?.flatten().filter(|e| e.path().is_dir()) {
            let mut chunks = Vec::new();
            for chunk in fs::read_dir(entry.path()).map_err(|e| file(&entry.path(), &e))?.flatten() {
                let path = chunk.path();
                if chunk.file_name().to_string_lossy().starts_with('.') {
                    fs::remove_file(&path).map_err(|e| file(&path, &e))?;
                    continue;
                }
                chunks.push(Header::of_file(&path).map_err(|e| file(&path, &e))?);
            }
            chunks.sort_by_key(|h| h.after);
            out.insert(entry.file_name().to_string_lossy().into_owned(), chunks);
        }
        Ok(out)
    }

    /// Goes on with the pass after that number, where one was begun at this place and its tables are as they were; else begins
    /// it. Returns it with the chunks that are there.
    pub(super) fn resume_or_begin(
        root: &Path,
        complete: u64,
        settings: &Postgres,
        tables: &[Table],
    ) -> Result<(Pass, Chunks), PullError> {
        let place = settings.place();
        for (number, folder) in Pass::all(root).into_iter().filter(|(n, _)| *n > complete) {
            let from = fs::read_to_string(folder.join(FROM)).unwrap_or_default();
            if from == place
                && let Ok(chunks) = Pass::chunks_of(&folder)
                && goes_on(&chunks, tables)
            {
                return Ok((Pass { number, folder }, chunks));
            }
            tracing::info!("a pass was begun that can't be gone on with; it begins anew");
            fs::remove_dir_all(&folder).map_err(|e| file(&folder, &e))?;
        }
        let number = complete + 1;
        let folder = root.join(format!("pass-{number:010}"));
        platform::files::write_atomic(&folder.join(FROM), place.as_bytes()).map_err(|e| file(&folder, &e))?;
        private(root)?;
        Ok((Pass { number, folder }, Chunks::new()))
    }

    /// The folder of a table's chunks.
    pub(super) fn folder_of(&self, table: &str) -> PathBuf {
        self.folder.join(table.replace('/', "_"))
    }

    /// Says that every table is there.
    pub(super) fn finish(&self, report: &impl Serialize) -> Result<(), PullError> {
        let path = self.folder.join(COMPLETE);
        let text = serde_json::to_vec(report).unwrap_or_default();
        platform::files::sync_folder(&self.folder).map_err(|e| file(&path, &e))?;
        platform::files::write_atomic(&path, &text).map_err(|e| file(&path, &e))
    }

    /// Removes the passes before this one.
    pub(super) fn remove_older(&self, root: &Path) -> Result<(), PullError> {
        for (_, folder) in Pass::all(root).into_iter().filter(|(n, _)| *n < self.number) {
            fs::remove_dir_all(&folder).map_err(|e| file(&folder, &e))?;
        }
        Ok(())
    }
}

/// Patients' rows: the folder is the account's alone.
fn private(root: &Path) -> Result<(), PullError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(|e| file(root, &e))
}

/// Whether chunks are of these tables with these columns, each beginning where the one before it ended.
fn goes_on(chunks: &Chunks, tables: &[Table]) -> bool {
    chunks.iter().all(|(name, chunks)| {
        let Some(table) = tables.iter().find(|t| t.name == *name) else { return false };
        let mut reached = None;
        chunks.iter().all(|h| {
            let next = h.columns == table.columns && h.after == reached;
            reached = h.upto;
            next
        })
    })
}
