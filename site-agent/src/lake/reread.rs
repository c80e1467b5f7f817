//! Silver that is made anew from bronze: of another major version of the schema, or with other ids of two people.
//!
//! A minor version adds columns that may be empty, so its files are read as they are. A major one changes what a column is or means:
//! each file's rows are made anew from the raw bytes, at their old revision, and gold after them. A file whose bytes are nowhere any
//! more stops the ingestion, and gold stays as it was; no study is answered from gold of another major version.
//!
//! Rows of an id that stands for two people are nobody's. Where the patients' file is mended, or begins to hold two of one id, the
//! source's other files say other rows, though not a byte of them changed.

use std::path::{Path, PathBuf};

use adapters::{Extract, Place};
use platform::{Durability, Transaction};
use schema::version;

use super::ingest::{OpenSource, Run};
use super::silver::Silver;
use super::{FILES, Ingested, Lake, LakeError, Newest, RELINKED, SURVEYING, bronze, file_error};

impl Lake {
    /// Reads every file again whose rows are of another major version. Returns how many there were.
    pub(super) fn reread(&self, run: &mut Run<'_>, sources: &[OpenSource<'_>]) -> Result<u64, LakeError> {
        let (mut again, mut surveyed) = (0, std::collections::BTreeSet::new());
        for (key, bytes) in self.store.scan(FILES.as_bytes())? {
            let Ok(entry) = serde_json::from_slice::<Ingested>(&bytes) else { continue };
            if version::reads(&entry.schema) {
                continue;
            }
            let of = |s: &&OpenSource<'_>| {
                s.source.name == entry.source && (s.takes_by_content() || s.adapter.accepts(&entry.file))
            };
            let source = sources.iter().find(of);
            let path = match source {
                Some(source) => self.raw(run, source, &entry)?,
                None => None,
            };
            let (Some(source), Some(path)) = (source, path) else {
                return Err(LakeError::OldSchema { file: entry.file, schema: entry.schema });
            };
            if surveyed.insert(entry.source.clone()) {
                source.survey(&source.files()?);
            }
            self.read_anew(run, source, &key, entry, &path)?;
            again += 1;
        }
        Ok(again)
    }

    /// Reads the files of a surveyed source again that were read when the survey found something else. Returns how many there were.
    pub(super) fn reconsider(&self, run: &mut Run<'_>, source: &OpenSource<'_>) -> Result<u64, LakeError> {
        let found = source.adapter.surveyed();
        let files = source.files()?;
        let lent = source.lent(&files);
        let all = self.ingested()?;
        let newest = Newest::of(&all);
        let last = self.last_of(&source.source.name)?;
        let (mut again, mut missing) = (0, 0);
        for (key, bytes) in self.store.scan(format!("{FILES}{}/", source.source.name).as_bytes())? {
            let Ok(entry) = serde_json::from_slice::<Ingested>(&bytes) else { continue };
            if entry.source != source.source.name || entry.surveyed == found || newest.supersedes(&entry) {
                continue;
            }
            // What an earlier version of a file of patients says of two people is not what the mended one says.
            if source.adapter.surveys(&entry.file) && last.get(&entry.file).is_some_and(|run| *run > entry.run) {
                continue;
            }
            let settings = source.beside(run, &entry.file, &lent)?.settings;
            if !key.ends_with(format!("/{settings}").as_bytes()) {
                continue;
            }
            let Some(path) = self.raw(run, source, &entry)? else {
                missing += 1;
                continue;
            };
            self.read_anew(run, source, &key, entry, &path)?;
            again += 1;
        }
        if missing > 0 {
            tracing::warn!(
                source = %source.source.name,
                files = missing,
                "ids that stand for two people changed, and files that were read before are nowhere any more; their rows stay as they are"
            );
        }
        Ok(again)
    }

    /// Marks that the files of a source are being taken in after a survey, until [`Lake::is_considered`] says that all are.
    pub(super) fn considering(&self, source: &str) -> Result<(), LakeError> {
        let mut t = Transaction::new("lake/survey");
        t.put(format!("{SURVEYING}{source}"), []);
        Ok(self.store.commit(t, Durability::Synced)?)
    }

    /// Ends what [`Lake::considering`] began.
    pub(super) fn is_considered(&self, source: &str) -> Result<(), LakeError> {
        let mut t = Transaction::new("lake/survey");
        t.delete(format!("{SURVEYING}{source}"));
        Ok(self.store.commit(t, Durability::Synced)?)
    }

    /// Whether a run ended between the two.
    pub(super) fn was_considering(&self, source: &str) -> Result<bool, LakeError> {
        Ok(self.store.get(format!("{SURVEYING}{source}").as_bytes())?.is_some())
    }

    /// Where a file's bytes are: in bronze, else in its source's folder, unchanged.
    fn raw(&self, run: &mut Run<'_>, source: &OpenSource<'_>, entry: &Ingested) -> Result<Option<PathBuf>, LakeError> {
        let kept = bronze::path(&self.root, Path::new(&entry.file), &entry.hash);
        if kept.exists() {
            return Ok(Some(kept));
        }
        let there = if source.root.is_file() { source.root.clone() } else { source.root.join(&entry.file) };
        Ok((there.is_file() && run.hash(&there)? == entry.hash).then_some(there))
    }

    fn read_anew(
        &self,
        run: &mut Run<'_>,
        source: &OpenSource<'_>,
        key: &[u8],
        mut entry: Ingested,
        path: &Path,
    ) -> Result<(), LakeError> {
        let files = source.files()?;
        let beside = source.beside(run, &entry.file, &source.lent(&files))?;
        let mut context = run.context(&source.source.name, entry.run)?;
        context.ingest_micros = entry.at_micros;
        let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or_default();
        let mut tell = |bytes: u64| (run.progress)(&entry.file, bytes, size);
        let hash = entry.hash.get(..12).unwrap_or(&entry.hash);
        // No file that is in use has this name: the number grows with every commit below.
        let again = self.relinked()?.saturating_add(1);
        let stem = format!("{:010}-{hash}-again{again}", entry.run);
        let mut sink = Silver::new(&self.root, stem, &mut tell);
        let reader = source.reader(path).map_err(|e| file_error(path, &e))?;
        let place = Place { path: Some(path), beside: &beside.files };
        let read = source.adapter.read_at(&context, Extract { name: &entry.file, reader }, place, &mut sink)?;
        bronze::unchanged(path, &entry.hash)?;
        let written = sink.finish()?;
        let old: Vec<String> = entry.silver.iter().map(|(_, f)| f.clone()).chain(entry.quarantine.clone()).collect();
        entry.schema = version::VERSION.to_owned();
        entry.surveyed = source.adapter.surveyed();
        (entry.silver, entry.quarantine) = (written.silver, written.quarantine);
        (entry.items, entry.records) = (read.items, read.records);
        (entry.quarantined, entry.skipped) = (read.quarantined, read.skipped);
        let links = source.adapter.links(&entry.file);
        entry.linkage = context.linkage.as_deref().filter(|_| links).map(schema::linkage::LinkageKey::id);
        let mut t = Transaction::new("lake/reread");
        t.put(key.to_vec(), serde_json::to_vec(&entry).unwrap_or_default());
        t.put(RELINKED, again.to_le_bytes());
        self.store.commit(t, Durability::Synced)?;
        // A crash here leaves files that the next start removes.
        for file in old {
            let path = self.root.join(file);
            std::fs::remove_file(&path).map_err(|e| file_error(&path, &e))?;
        }
        Ok(())
    }
}
