//! Linkage tags in silver are of the key that the site holds, and of no other.
//!
//! A source file that names linkage ids is never copied to bronze, so the ids are on no disk but the extract's. When the key comes,
//! changes or goes, the next ingestion sees it by the key's short name beside each file's entry:
//!
//! | the file | what becomes of its patients' rows |
//! |---|---|
//! | is where it was, its bytes and its settings as they were | read again, at their old revision, with tags of the new key |
//! | is gone or was changed, or there is no key | their tags are removed |
//!
//! Each file's new rows and its entry change in one transaction, and gold is built after it. A crash between leaves gold as it
//! was, and the next ingestion goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::{AdapterError, Context, Extract, Place, Quarantined, Sink};
use arrow::array::{RecordBatch, new_null_array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use platform::{Durability, Transaction};
use schema::linkage::LinkageKey;
use schema::{Record, Table};
use serde::{Deserialize, Serialize};

use super::ingest::{OpenSource, Run};
use super::silver::{self, Silver};
use super::{FILES, Ingested, Lake, LakeError, RELINKED, bronze, data_error, file_error};

/// What became of linkage ids in an ingestion. Files are counted here, never patients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkageReport {
    /// The short name of the site's linkage key; none without one.
    pub key_id: Option<String>,
    /// Files of the sources whose settings name linkage ids.
    pub files: u64,
    /// Files that were read again, since the key is another.
    pub read_again: u64,
    /// Files whose tags were removed.
    pub untagged: u64,
    /// Files that could not be read again.
    pub missing: u64,
    /// Raw copies from before the settings named linkage ids.
    pub raw_copies: Vec<String>,
    /// All of it in words.
    pub notes: Vec<String>,
}

impl LinkageReport {
    /// Puts it into words.
    pub(super) fn say(&mut self) {
        let mut say = |n: u64, text: String| {
            if n > 0 {
                self.notes.push(text);
            }
        };
        if self.key_id.is_none() {
            let ask = "ask for the key with site-agent keys linkage request";
            say(
                self.files,
                format!("no linkage key: linkage ids were not read; files that name them: {}; {ask}", self.files),
            );
        }
        say(
            self.read_again,
            format!("another linkage key: files that were read again for their tags: {}", self.read_again),
        );
        say(self.untagged, format!("files whose linkage tags were removed: {}", self.untagged));
        say(
            self.missing,
            format!(
                "ingested files that could not be read again for their linkage tags: {}; put them back into their source's \
                 folder, under their names, and run site-agent ingest",
                self.missing
            ),
        );
        say(
            self.raw_copies.len() as u64,
            format!(
                "raw copies from before the settings named linkage ids, which may hold them: {}; the lake does not need \
                 them, remove them: {}",
                self.raw_copies.len(),
                self.raw_copies.join(", ")
            ),
        );
    }
}

/// Takes patients' rows alone; what else the file holds is in silver already.
struct PatientsAlone<'a>(Silver<'a>);

impl Sink for PatientsAlone<'_> {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.row(&r)
    }
    fn row(&mut self, r: &Record) -> Result<(), AdapterError> {
        if r.table() == Table::Patient { self.0.row(r) } else { Ok(()) }
    }
    fn quarantine(&mut self, _: Quarantined) -> Result<(), AdapterError> {
        Ok(())
    }
    fn progress(&mut self, bytes: u64) {
        self.0.progress(bytes);
    }
}

fn patients_of(entry: &Ingested) -> Option<&str> {
    entry.silver.iter().find(|(table, _)| table == Table::Patient.name()).map(|(_, path)| path.as_str())
}

/// The name of an entry's new silver file.
fn stem(entry: &Ingested, key_id: &str) -> String {
    format!("{:010}-{}-{key_id}", entry.run, entry.hash.get(..12).unwrap_or(&entry.hash))
}

impl Lake {
    /// Brings every entry's tags to the key that the site holds.
    pub(super) fn relink(
        &self,
        run: &mut Run<'_>,
        sources: &[OpenSource<'_>],
        report: &mut LinkageReport,
    ) -> Result<(), LakeError> {
        let current = run.linkage.as_deref().map(LinkageKey::id);
        report.key_id.clone_from(&current);
        let mut surveyed = BTreeSet::new();
        for (key, bytes) in self.store.scan(FILES.as_bytes())? {
            let Ok(entry) = serde_json::from_slice::<Ingested>(&bytes) else { continue };
            let Some(patients) = patients_of(&entry).map(str::to_owned) else { continue };
            if entry.linkage == current {
                continue;
            }
            let of = |s: &&OpenSource<'_>| s.source.name == entry.source && s.adapter.links(&entry.file);
            let source = sources.iter().find(of);
            let path = source.map(|s| s.root.join(&entry.file)).filter(|p| p.is_file());
            let whole = match &path {
                Some(path) => run.hash(path)? == entry.hash,
                None => false,
            };
            if let (Some(source), Some(path), Some(linkage), true) = (source, &path, run.linkage.clone(), whole) {
                let files = source.files()?;
                let beside = source.beside(run, &entry.file, &source.lent(&files))?;
                // Under other settings the file is ingested anew, a moment later.
                if key.ends_with(format!("/{}", beside.settings).as_bytes()) {
                    if surveyed.insert(entry.source.clone()) {
                        source.survey(&files);
                    }
                    let place = Place { path: Some(path), beside: &beside.files };
                    let silver = self.read_again(run, source, &entry, place, &linkage)?;
                    self.replace(&key, entry, &patients, silver, current.clone())?;
                    report.read_again += 1;
                    continue;
                }
            } else if source.is_some() && current.is_some() {
                report.missing += 1;
            }
            if entry.linkage.is_some() {
                let silver = self.untagged(&entry, &patients)?;
                self.replace(&key, entry, &patients, Some(silver), None)?;
                report.untagged += 1;
            }
        }
        Ok(())
    }

    fn read_again(
        &self,
        run: &mut Run<'_>,
        source: &OpenSource<'_>,
        entry: &Ingested,
        place: Place<'_>,
        linkage: &Arc<LinkageKey>,
    ) -> Result<Option<String>, LakeError> {
        let Some(path) = place.path else { return Ok(None) };
        let context = Context {
            linkage: Some(linkage.clone()),
            ingest_micros: entry.at_micros,
            ..run.context(&source.source.name, entry.run)?
        };
        let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or_default();
        let mut tell = |bytes: u64| (run.progress)(&entry.file, bytes, size);
        let mut sink = PatientsAlone(Silver::new(&self.root, stem(entry, &linkage.id()), &mut tell));
        let reader = adapters::reader(path).map_err(|e| file_error(path, &e))?;
        source.adapter.read_at(&context, Extract { name: &entry.file, reader }, place, &mut sink)?;
        bronze::unchanged(path, &entry.hash)?;
        Ok(sink.0.finish()?.silver.into_iter().map(|(_, path)| path).next())
    }

    /// The same rows without their tags.
    fn untagged(&self, entry: &Ingested, patients: &str) -> Result<String, LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("removing linkage tags", e);
        let (from, relative) = (self.root.join(patients), format!("silver/{}-patient.parquet", stem(entry, "none")));
        let to = self.root.join(&relative);
        let input = File::open(&from).map_err(|e| file_error(&from, &e))?;
        let output = File::create(&to).map_err(|e| file_error(&to, &e))?;
        let schema = Table::Patient.silver();
        let mut writer =
            ArrowWriter::try_new(output, schema.clone(), Some(silver::properties())).map_err(|e| step(&e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(input).and_then(|b| b.build()).map_err(|e| step(&e))?;
        for batch in reader {
            let batch = batch.map_err(|e| step(&e))?;
            let tag = |name: &str| Table::Patient.column(name).is_some_and(|c| c.kind == schema::Kind::Tag);
            let columns = schema
                .fields()
                .iter()
                .map(|f| match batch.column_by_name(f.name()) {
                    Some(column) if !tag(f.name()) => column.clone(),
                    _ => new_null_array(f.data_type(), batch.num_rows()),
                })
                .collect();
            let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|e| step(&e))?;
            writer.write(&batch).map_err(|e| step(&e))?;
        }
        let file = writer.into_inner().map_err(|e| step(&e))?;
        file.sync_all().map_err(|e| file_error(&to, &e))?;
        let folder = self.root.join("silver");
        platform::files::sync_folder(&folder).map_err(|e| file_error(&folder, &e))?;
        Ok(relative)
    }

    /// Enters an entry's new rows, then removes the old ones. A crash between leaves a file that the next start removes.
    fn replace(
        &self,
        key: &[u8],
        mut entry: Ingested,
        old: &str,
        new: Option<String>,
        linkage: Option<String>,
    ) -> Result<(), LakeError> {
        entry.silver.retain(|(table, _)| table != Table::Patient.name());
        entry.silver.extend(new.clone().map(|path| (Table::Patient.name().to_owned(), path)));
        entry.linkage = linkage;
        let mut t = Transaction::new("lake/relink");
        t.put(key.to_vec(), serde_json::to_vec(&entry).unwrap_or_default());
        t.put(RELINKED, self.relinked()?.saturating_add(1).to_le_bytes());
        self.store.commit(t, Durability::Synced)?;
        if new.as_deref() != Some(old) {
            let path = self.root.join(old);
            std::fs::remove_file(&path).map_err(|e| file_error(&path, &e))?;
        }
        Ok(())
    }

    /// How often rows were replaced so far.
    pub(super) fn relinked(&self) -> Result<u32, LakeError> {
        let bytes = self.store.get(RELINKED)?.unwrap_or_default();
        Ok(bytes.try_into().map_or(0, u32::from_le_bytes))
    }

    /// The short name of the key of all tags in silver; none where there is no tag.
    pub(super) fn tags_key(&self) -> Result<Option<String>, LakeError> {
        let mut keys = BTreeMap::new();
        for entry in self.ingested()?.into_iter().filter(|e| patients_of(e).is_some()) {
            if let Some(key) = entry.linkage {
                keys.insert(key, entry.file);
            }
        }
        match (keys.pop_first(), keys.pop_first()) {
            (_, Some((_, file))) => Err(LakeError::TwoKeys { file }),
            (first, None) => Ok(first.map(|(key, _)| key)),
        }
    }

    /// Raw copies of files whose settings name linkage ids now.
    pub(super) fn raw_copies(&self, sources: &[OpenSource<'_>]) -> Result<Vec<String>, LakeError> {
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in self.ingested()? {
            let links = sources.iter().any(|s| s.source.name == entry.source && s.adapter.links(&entry.file));
            let path = bronze::path(&self.root, Path::new(&entry.file), &entry.hash);
            if links && path.exists() {
                found.push(path);
            }
        }
        found.sort();
        found.dedup();
        Ok(found.into_iter().map(|p| p.display().to_string()).collect())
    }
}
