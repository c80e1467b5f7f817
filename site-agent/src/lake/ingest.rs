//! From a source's folder to silver.

use std::path::{Path, PathBuf};

use adapters::{Context, Extract};
use platform::{Clock, Entropy};
use schema::record::Pseudonyms;
use serde::{Deserialize, Serialize};

use super::silver::Silver;
use super::{Ingested, Lake, LakeError, bronze, data_error, file_error};
use crate::config::{Config, Source};

/// What became of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileReport {
    /// The source.
    pub source: String,
    /// The file, relative to the source.
    pub file: String,
    /// Whether these bytes were ingested before.
    pub unchanged: bool,
    /// Source items read.
    pub items: u64,
    /// Records made.
    pub records: u64,
    /// Items rejected.
    pub quarantined: u64,
    /// Items of no place in the schema.
    pub skipped: u64,
    /// Where the rejected ones are listed.
    pub quarantine: Option<String>,
}

/// What became of an ingestion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IngestReport {
    /// One a file, in order.
    pub files: Vec<FileReport>,
    /// Files that no adapter of their source reads.
    pub ignored: Vec<String>,
    /// The gold version afterwards.
    pub gold_version: u64,
    /// Rows in gold, by table.
    pub gold_rows: Vec<(String, u64)>,
}

/// Files below a folder, in the order of their paths.
fn files(dir: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let mut out = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|e| file_error(&dir, &e))?;
        for entry in entries {
            let path = entry.map_err(|e| file_error(&dir, &e))?.path();
            let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if path.is_dir() {
                open.push(path);
            } else if !hidden {
                out.push(path);
            }
        }
    }
    out.sort();
    Ok(out)
}

/// The site's secret pseudonym key, made on first use.
fn pseudonyms(state: &Path, entropy: &dyn Entropy) -> Result<Pseudonyms, LakeError> {
    let path = state.join("pseudonym.key");
    if let Ok(bytes) = std::fs::read(&path) {
        let secret: [u8; 32] =
            bytes.try_into().map_err(|_| file_error(&path, &"it must hold 32 bytes; restore it from its backup"))?;
        return Ok(Pseudonyms::new(&secret));
    }
    let secret = entropy.secret()?;
    platform::files::write_secret(&path, &secret).map_err(|e| file_error(&path, &e))?;
    Ok(Pseudonyms::new(&secret))
}

impl Lake {
    /// Ingests every source of a site, then rebuilds gold where something changed. `progress` is told the file, the bytes
    /// read of it, and its size.
    ///
    /// # Errors
    /// A source is not there, a mapping is wrong, or the disk fails. What was entered stays.
    pub async fn ingest(
        &self,
        config: &Config,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<IngestReport, LakeError> {
        let mut report = IngestReport::default();
        for source in &config.sources {
            self.ingest_source(config, source, clock, entropy, &mut report, progress)?;
        }
        // By its run, so that silver that was entered before a crash comes into gold now.
        let gold = match self.gold()? {
            Some(gold) if gold.is_current(self.last_run()?) => gold,
            _ => self.rebuild(config).await?,
        };
        report.gold_version = gold.version;
        report.gold_rows = gold.rows.clone();
        Ok(report)
    }

    fn ingest_source(
        &self,
        config: &Config,
        source: &Source,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        report: &mut IngestReport,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<(), LakeError> {
        let root = config.home.join(&source.path);
        let mapping_path = source.mapping.as_ref().map(|m| config.home.join(m));
        let mapping = match &mapping_path {
            Some(p) => Some(std::fs::read_to_string(p).map_err(|e| file_error(p, &e))?),
            None => None,
        };
        let mapping_name = mapping_path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let adapter = adapters::open(&source.format, mapping.as_deref(), &mapping_name)?;
        let mapping_hash = proto::Hash::of(mapping.unwrap_or_default().as_bytes()).short();
        for path in files(&root)? {
            let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
            if !adapter.accepts(&name) {
                report.ignored.push(name);
                continue;
            }
            let hash = bronze::hash_file(&path)?;
            let key = format!("{}/{name}/{hash}/{mapping_hash}", source.name);
            if self.known(&key)? {
                report.files.push(FileReport {
                    source: source.name.clone(),
                    file: name,
                    unchanged: true,
                    items: 0,
                    records: 0,
                    quarantined: 0,
                    skipped: 0,
                    quarantine: None,
                });
                continue;
            }
            let kept = bronze::keep(&self.root, &path, &hash)?;
            let run = self.last_run()?.saturating_add(1);
            let context = Context {
                source_system: source.name.clone(),
                zone: config.zone().map_err(|e| data_error("reading the time zone", &e))?,
                pseudonyms: pseudonyms(&config.state_dir(), entropy)?,
                ingest_micros: clock.now().0,
                revision: run,
            };
            let size = std::fs::metadata(&kept).map(|m| m.len()).unwrap_or_default();
            let mut tell = |bytes: u64| progress(&name, bytes, size);
            let mut sink = Silver::new(&self.root, format!("{run:010}-{}", hash.get(..12).unwrap_or(&hash)), &mut tell);
            let reader = adapters::reader(&kept).map_err(|e| file_error(&path, &e))?;
            let read = adapter.read(&context, Extract { name: &name, reader }, &mut sink)?;
            let written = sink.finish()?;
            let ingested = Ingested {
                source: source.name.clone(),
                file: name.clone(),
                hash,
                run,
                items: read.items,
                records: read.records,
                quarantined: read.quarantined,
                skipped: read.skipped,
                silver: written.silver,
                quarantine: written.quarantine.clone(),
            };
            self.enter(&key, &ingested)?;
            report.files.push(FileReport {
                source: source.name.clone(),
                file: name,
                unchanged: false,
                items: read.items,
                records: read.records,
                quarantined: read.quarantined,
                skipped: read.skipped,
                quarantine: written.quarantine.map(|q| self.root.join(q).display().to_string()),
            });
        }
        Ok(())
    }
}
