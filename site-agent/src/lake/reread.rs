//! Silver of another major version of the schema is read again from bronze.
//!
//! A minor version adds columns that may be empty, so its files are read as they are. A major one changes what a column is or means:
//! each file's rows are made anew from the raw bytes, at their old revision, and gold after them. A file whose bytes are nowhere any
//! more stops the ingestion, and gold stays as it was; no study is answered from gold of another major version.

use std::path::{Path, PathBuf};

use adapters::{Extract, Place};
use platform::{Durability, Transaction};
use schema::version;

use super::ingest::{OpenSource, Run};
use super::silver::Silver;
use super::{FILES, Ingested, Lake, LakeError, RELINKED, bronze, file_error};

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
        let stem = format!("{:010}-{hash}-schema{}", entry.run, version::VERSION);
        let mut sink = Silver::new(&self.root, stem, &mut tell);
        let reader = source.reader(path).map_err(|e| file_error(path, &e))?;
        let place = Place { path: Some(path), beside: &beside.files };
        let read = source.adapter.read_at(&context, Extract { name: &entry.file, reader }, place, &mut sink)?;
        bronze::unchanged(path, &entry.hash)?;
        let written = sink.finish()?;
        let old: Vec<String> = entry.silver.iter().map(|(_, f)| f.clone()).chain(entry.quarantine.clone()).collect();
        entry.schema = version::VERSION.to_owned();
        (entry.silver, entry.quarantine) = (written.silver, written.quarantine);
        (entry.items, entry.records) = (read.items, read.records);
        (entry.quarantined, entry.skipped) = (read.quarantined, read.skipped);
        let links = source.adapter.links(&entry.file);
        entry.linkage = context.linkage.as_deref().filter(|_| links).map(schema::linkage::LinkageKey::id);
        let mut t = Transaction::new("lake/reread");
        t.put(key.to_vec(), serde_json::to_vec(&entry).unwrap_or_default());
        t.put(RELINKED, self.relinked()?.saturating_add(1).to_le_bytes());
        self.store.commit(t, Durability::Synced)?;
        // A crash here leaves files that the next start removes.
        for file in old {
            let path = self.root.join(file);
            std::fs::remove_file(&path).map_err(|e| file_error(&path, &e))?;
        }
        Ok(())
    }
}
