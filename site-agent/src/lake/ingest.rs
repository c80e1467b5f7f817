//! From a source's folder to silver.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::profile::Kind;
use adapters::{Adapter, AdapterError, Context, Extract, Neighbour, Place, Quarantined, Reason, Sink as _};
use platform::{Clock, Entropy};
use schema::linkage::LinkageKey;
use schema::record::Pseudonyms;
use serde::{Deserialize, Serialize};

use super::relink::LinkageReport;
use super::silver::Silver;
use super::standards::Standards;
use super::{Ingested, Lake, LakeError, bronze, data_error, file_error, is_unread};
use crate::config::{Config, Source, SourceKind};
use crate::feed;

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
    /// Whether nothing of the file was taken and something should have been, also where that was so when these bytes were ingested.
    #[serde(default)]
    pub unread: bool,
}

/// A source, or a file of one, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The source.
    pub source: String,
    /// Why, with the remedy.
    pub reason: String,
}

/// What became of an ingestion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IngestReport {
    /// One a file, in order.
    pub files: Vec<FileReport>,
    /// Files that no adapter of their source reads.
    pub ignored: Vec<String>,
    /// Sources, and files of theirs, that could not be read. Everything else was.
    #[serde(default)]
    pub failed: Vec<Failed>,
    /// Sources of which no file is read.
    #[serde(default)]
    pub empty: Vec<String>,
    /// The gold version afterwards.
    pub gold_version: u64,
    /// Rows in gold, by table.
    pub gold_rows: Vec<(String, u64)>,
    /// What became of linkage ids.
    #[serde(default)]
    pub linkage: LinkageReport,
    /// Files whose rows were of another major version of the schema, and were read again.
    #[serde(default)]
    pub read_again: u64,
    /// What became of the mapping files' rows.
    #[serde(default)]
    pub terminology: Vec<adapters::terminology::FileUse>,
    /// What was pulled from servers.
    #[serde(default)]
    pub pulls: Vec<crate::pull::PullReport>,
}

impl IngestReport {
    /// Keeps what is wrong with a source; hands on what is the agent's own.
    fn fail(&mut self, error: LakeError) -> Result<(), LakeError> {
        match error {
            LakeError::OfSource { source_name: source, reason } => {
                self.failed.push(Failed { source, reason });
                Ok(())
            }
            own => Err(own),
        }
    }
}

/// A source with its settings read.
pub(super) struct OpenSource<'a> {
    pub(super) source: &'a Source,
    pub(super) root: PathBuf,
    pub(super) adapter: Box<dyn Adapter>,
    /// Of the settings that say how a file is read.
    mapping_hash: String,
}

/// A file that others are read with: its name in the source, and where it lies.
pub(super) type Lent<'f> = (String, &'f Path);

/// What a file is read with.
pub(super) struct Beside {
    /// The files beside it that it is read with.
    pub(super) files: Vec<Neighbour>,
    /// Of the settings and of those files; a part of the file's key.
    pub(super) settings: String,
}

impl<'a> OpenSource<'a> {
    pub(super) fn open(config: &Config, source: &'a Source) -> Result<OpenSource<'a>, LakeError> {
        let mapping_path = source.mapping.as_ref().map(|m| config.home.join(m));
        let mapping = match &mapping_path {
            Some(p) => Some(std::fs::read_to_string(p).map_err(|e| file_error(p, &e))?),
            None => None,
        };
        let name = mapping_path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let system = source.linkage_system.as_deref();
        let given = adapters::Settings {
            linkage_system: system,
            authorities: &source.authorities,
            production_only: source.production_only,
        };
        let adapter = adapters::open_with(&source.format, mapping.as_deref(), &name, given)?;
        // A shipped mapping that a new version of the program changes is another one.
        let shipped = || adapters::shipped(&source.format).map(str::to_owned);
        let mut settings = mapping.or_else(shipped).unwrap_or_default();
        if let Some(system) = system {
            settings += &format!("\0linkage_system\0{system}");
        }
        for authority in &source.authorities {
            settings += &format!("\0authority\0{authority}");
        }
        // Files that were read when the first authority was the source's own are read again: they have other keys.
        if source.format == "hl7v2" && source.authorities.is_empty() {
            settings += "\0numbers with their authorities";
        }
        if source.production_only {
            settings += "\0production only";
        }
        let mapping_hash = proto::Hash::of(settings.as_bytes()).short();
        let root = match (&source.postgres, source.kind) {
            (Some(_), _) => crate::pull::complete(config, source).ok_or_else(|| {
                file_error(Path::new(&source.name), &"it was not pulled to its end yet; run site-agent ingest")
            })?,
            (None, SourceKind::Files) => config.home.join(&source.path),
            (None, SourceKind::Mllp) => feed::folder(config, &source.name),
        };
        Ok(OpenSource { source, root, adapter, mapping_hash })
    }

    /// Whether it is a feed, whose files are the sealed segments of its spool.
    fn is_feed(&self) -> bool {
        self.source.kind == SourceKind::Mllp
    }

    /// Its files, in the order of their paths.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, LakeError> {
        if self.is_feed() {
            return platform::log::sealed(&self.root).map_err(|e| file_error(&self.root, &e));
        }
        files(&self.root)
    }

    /// Whether its files are known by their first bytes, whatever their names, as tables are not.
    pub(super) fn takes_by_content(&self) -> bool {
        self.is_feed() || [Kind::FhirNdjson, Kind::Hl7v2, Kind::Cda].iter().any(|kind| self.adapter.takes(*kind))
    }

    /// Whether a file is read: by the source's `match`; else by its name, or by its first bytes.
    pub(super) fn accepts(&self, name: &str, path: &Path) -> bool {
        if self.is_feed() {
            return true;
        }
        let named = self.adapter.accepts(name);
        if !self.source.matches.is_empty() {
            let bare = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let fits = |glob: &String| adapters::fits_glob(glob, bare) || adapters::fits_glob(glob, name);
            // A table's mapping still says what its columns are.
            return self.source.matches.iter().any(fits) && (named || self.takes_by_content());
        }
        named || adapters::profile::kind(path).is_some_and(|kind| self.adapter.takes(kind))
    }

    pub(super) fn reader(&self, path: &Path) -> io::Result<Box<dyn BufRead>> {
        if self.is_feed() { feed::reader(path) } else { adapters::reader(path) }
    }

    /// Where a file's bytes are read from while it is ingested.
    fn keep(&self, lake: &Path, path: &Path, hash: &str, links: bool) -> Result<PathBuf, LakeError> {
        let own = self.is_feed() || self.source.postgres.is_some();
        if links { Ok(path.to_owned()) } else { bronze::keep(lake, path, hash, own) }
    }

    /// A segment that was ingested leaves the spool: bronze has it, or nobody may, where it holds linkage ids.
    fn leave(&self, path: &Path) -> Result<(), LakeError> {
        if self.is_feed() {
            std::fs::remove_file(path).map_err(|e| file_error(path, &e))?;
        }
        Ok(())
    }

    /// What a file is read with, of the files of the source.
    pub(super) fn beside(&self, run: &mut Run<'_>, file: &str, lent: &[Lent<'_>]) -> Result<Beside, LakeError> {
        let mut out = Beside { files: Vec::new(), settings: self.mapping_hash.clone() };
        let mut versions = String::new();
        for (name, path) in lent {
            if self.adapter.beside(file, name) {
                let version = run.hash(path)?;
                versions += &format!("{name}\0{version}\0");
                out.files.push(Neighbour { name: name.clone(), path: path.to_path_buf(), version });
            }
        }
        if !versions.is_empty() {
            out.settings += &format!("+{}", proto::Hash::of(versions.as_bytes()).short());
        }
        Ok(out)
    }

    /// What lies beside a file that it is read with, unread.
    pub(super) fn neighbours(&self, file: &str, lent: &[Lent<'_>]) -> Vec<Neighbour> {
        let beside = lent.iter().filter(|(name, _)| self.adapter.beside(file, name));
        let one =
            |(name, path): &Lent<'_>| Neighbour { version: name.clone(), name: name.clone(), path: path.to_path_buf() };
        beside.map(one).collect()
    }

    /// The files of the source that others of it are read with.
    pub(super) fn lent<'f>(&self, all: &'f [PathBuf]) -> Vec<Lent<'f>> {
        let named = all.iter().map(|path| (self.name_of(path), path.as_path()));
        named.filter(|(name, _)| self.adapter.lends(name)).collect()
    }

    /// A file's name, relative to the source.
    pub(super) fn name_of(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        // The source may be one file.
        let below = if below.as_os_str().is_empty() { path.file_name().map_or(path, Path::new) } else { below };
        below.display().to_string()
    }

    /// Shows the adapter every file that others depend on, also those whose rows are there already. One that can't be read is told of
    /// when it is read for its rows, and costs no other.
    pub(super) fn survey(&self, files: &[PathBuf]) {
        let lent = self.lent(files);
        for path in files {
            let name = self.name_of(path);
            if self.adapter.surveys(&name)
                && self.accepts(&name, path)
                && let Ok(reader) = self.reader(path)
            {
                let beside = self.neighbours(&name, &lent);
                let place = Place { path: Some(path), beside: &beside };
                if self.adapter.survey_at(Extract { name: &name, reader }, place).is_err() {
                    tracing::debug!(source = %self.source.name, "a file could not be looked through");
                }
            }
        }
    }
}

/// What one ingestion holds in hand.
pub(super) struct Run<'a> {
    config: &'a Config,
    clock: &'a dyn Clock,
    entropy: &'a dyn Entropy,
    pub(super) linkage: Option<Arc<LinkageKey>>,
    hashes: BTreeMap<PathBuf, String>,
    /// When a file was last taken, in microseconds since 1970.
    taken: Cell<i64>,
    pub(super) progress: &'a mut (dyn FnMut(&str, u64, u64) + Send),
}

impl Run<'_> {
    /// The hash of a file; it is read once a run.
    pub(super) fn hash(&mut self, path: &Path) -> Result<String, LakeError> {
        if let Some(hash) = self.hashes.get(path) {
            return Ok(hash.clone());
        }
        let hash = bronze::hash_file(path)?;
        self.hashes.insert(path.to_owned(), hash.clone());
        Ok(hash)
    }

    /// When the next file is taken, in microseconds since 1970: now, and at least a millisecond after every other one, also where
    /// the clock was put back. What has no order of its own has that of its files.
    fn take(&self) -> i64 {
        let at = self.clock.now().0.max(self.taken.get().saturating_add(1000));
        self.taken.set(at);
        at
    }

    /// What an adapter is told.
    pub(super) fn context(&self, source: &str, revision: u32) -> Result<Context, LakeError> {
        Ok(Context {
            source_system: source.to_owned(),
            zone: self.config.zone().map_err(|e| data_error("reading the time zone", &e))?,
            pseudonyms: pseudonyms(&self.config.state_dir(), self.entropy)?,
            linkage: self.linkage.clone(),
            ingest_micros: self.take(),
            revision,
        })
    }
}

/// The sources with something to read: not those whose first pull is not at its end yet.
fn readable(config: &Config) -> impl Iterator<Item = &Source> {
    config.sources.iter().filter(|s| s.postgres.is_none() || crate::pull::complete(config, s).is_some())
}

/// Files below a folder, in the order of their paths; or the file itself. A folder is gone into once, by whatever links lead there.
/// What is neither a folder nor a file, such as a pipe, is left out; a link that leads nowhere is a file that can't be read.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, LakeError> {
    if dir.is_file() {
        return Ok(vec![dir.to_owned()]);
    }
    let mut out = Vec::new();
    let mut open = vec![dir.to_owned()];
    let mut been = BTreeSet::new();
    while let Some(dir) = open.pop() {
        if !been.insert(std::fs::canonicalize(&dir).map_err(|e| file_error(&dir, &e))?) {
            continue;
        }
        let entries = std::fs::read_dir(&dir).map_err(|e| file_error(&dir, &e))?;
        for entry in entries {
            let path = entry.map_err(|e| file_error(&dir, &e))?.path();
            let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            match std::fs::metadata(&path) {
                Ok(m) if m.is_dir() => open.push(path),
                Ok(m) if !m.is_file() => {}
                _ if hidden => {}
                _ => out.push(path),
            }
        }
    }
    out.sort();
    Ok(out)
}

/// The site's secret pseudonym key, made on first use.
pub(crate) fn pseudonyms(state: &Path, entropy: &dyn Entropy) -> Result<Pseudonyms, LakeError> {
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
        // First, so that a mapping that can't be read is said before the hours that reading takes.
        let standards = Standards::read(config, clock.now())?;
        self.read_sources(config, clock, entropy, &mut report, progress)?;
        self.bring_gold(config, &standards, &mut report).await?;
        Ok(report)
    }

    /// Takes in the sealed segments of the feeds alone, then rebuilds gold where something came.
    ///
    /// # Errors
    /// As [`Lake::ingest`].
    pub async fn ingest_feeds(
        &self,
        config: &Config,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<IngestReport, LakeError> {
        let mut report = IngestReport::default();
        let linkage = crate::linkage::key(config)?.map(Arc::new);
        let mut run = Run {
            config,
            clock,
            entropy,
            linkage,
            hashes: BTreeMap::new(),
            taken: self.taken()?,
            progress: &mut |_, _, _| (),
        };
        for source in config.sources.iter().filter(|s| s.kind == SourceKind::Mllp) {
            let open = OpenSource::open(config, source).map_err(|e| e.of_source(&source.name))?;
            self.ingest_source(&mut run, &open, &mut report)?;
        }
        // Also where nothing came: silver that was entered before a crash comes into gold now.
        if self.last_run()? > 0 {
            self.bring_gold(config, &Standards::read(config, clock.now())?, &mut report).await?;
        }
        Ok(report)
    }

    /// Builds gold anew where its codes and units say something else now. Gives its version; 0 without any.
    ///
    /// # Errors
    /// A mapping file can't be read, or the disk or a query fails.
    pub async fn renew(&self, config: &Config, clock: &dyn Clock) -> Result<u64, LakeError> {
        let mut report = IngestReport::default();
        if self.last_run()? > 0 {
            self.bring_gold(config, &Standards::read(config, clock.now())?, &mut report).await?;
        }
        Ok(report.gold_version)
    }

    /// Gold of everything that silver holds.
    async fn bring_gold(
        &self,
        config: &Config,
        standards: &Standards,
        report: &mut IngestReport,
    ) -> Result<(), LakeError> {
        // By its run, so that silver that was entered before a crash comes into gold now.
        let gold = match self.gold()? {
            Some(gold) if gold.is_current(self.last_run()?, self.relinked()?, standards.hash()) => gold,
            _ => self.rebuild(config, standards).await?,
        };
        report.terminology = standards.mappings().files.clone();
        report.gold_version = gold.version;
        report.gold_rows = gold.rows.clone();
        Ok(())
    }

    /// When the last file was taken.
    fn taken(&self) -> Result<Cell<i64>, LakeError> {
        Ok(Cell::new(self.ingested()?.iter().map(|e| e.at_micros).max().unwrap_or(0)))
    }

    fn read_sources(
        &self,
        config: &Config,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        report: &mut IngestReport,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<(), LakeError> {
        let mut sources: Vec<OpenSource<'_>> = Vec::new();
        for source in readable(config) {
            match OpenSource::open(config, source).and_then(|open| open.files().map(|_| open)) {
                Ok(open) => sources.push(open),
                Err(error) => report.fail(error.of_source(&source.name))?,
            }
        }
        let linkage = crate::linkage::key(config)?.map(Arc::new);
        let mut run = Run { config, clock, entropy, linkage, hashes: BTreeMap::new(), taken: self.taken()?, progress };
        report.read_again = self.reread(&mut run, &sources)?;
        self.relink(&mut run, &sources, &mut report.linkage)?;
        for source in &sources {
            if let Err(error) = self.ingest_source(&mut run, source, report) {
                report.fail(error)?;
            }
        }
        report.linkage.raw_copies = self.raw_copies(&sources)?;
        report.linkage.say();
        Ok(())
    }

    fn ingest_source(
        &self,
        run: &mut Run<'_>,
        open: &OpenSource<'_>,
        report: &mut IngestReport,
    ) -> Result<(), LakeError> {
        let OpenSource { source, adapter, .. } = open;
        let of_source = |e: LakeError| e.of_source(&source.name);
        let all = open.files().map_err(of_source)?;
        let lent = open.lent(&all);
        let surveys = all.iter().any(|path| adapter.surveys(&open.name_of(path)));
        // The last run ended before all files had been read with what their neighbours said.
        let mut surveyed = self.was_considering(&source.name)?;
        if surveyed {
            open.survey(&all);
        }
        let mut newest = self.last_of(&source.name)?;
        let before = report.files.len();
        for path in &all {
            let name = open.name_of(path);
            if !open.accepts(&name, path) {
                // A dictionary is read with the files that name it.
                if !adapter.lends(&name) {
                    report.ignored.push(name);
                }
                continue;
            }
            let hash = match run.hash(path) {
                Ok(hash) => hash,
                // One file that can't be read stops no other.
                Err(error) => {
                    report.fail(of_source(error))?;
                    continue;
                }
            };
            let links = adapter.links(&name);
            if links {
                report.linkage.files += 1;
                bronze::remove(&self.root, path, &hash)?;
            }
            let beside = open.beside(run, &name, &lent).map_err(of_source)?;
            let key = format!("{}/{name}/{hash}/{}", source.name, beside.settings);
            // A file that goes back to what it was takes the place of those between: it is read again as the newest, in the
            // place of its old entry.
            let known = self.entry(&key)?.filter(|e| newest.get(&name).is_none_or(|run| *run <= e.run));
            if let Some(known) = known {
                open.leave(path)?;
                let unread = is_unread(known.records, known.skipped, known.quarantined);
                report.files.push(FileReport {
                    source: source.name.clone(),
                    file: name,
                    unchanged: true,
                    items: 0,
                    records: 0,
                    quarantined: 0,
                    skipped: 0,
                    quarantine: known.quarantine.filter(|_| unread).map(|q| self.root.join(q).display().to_string()),
                    unread,
                });
                continue;
            }
            if !surveyed {
                open.survey(&all);
                surveyed = true;
                if surveys {
                    self.considering(&source.name)?;
                }
            }
            let kept = open.keep(&self.root, path, &hash, links)?;
            let number = self.last_run()?.saturating_add(1);
            let context = run.context(&source.name, number)?;
            let size = std::fs::metadata(&kept).map(|m| m.len()).unwrap_or_default();
            let mut tell = |bytes: u64| (run.progress)(&name, bytes, size);
            let stem = format!("{number:010}-{}", hash.get(..12).unwrap_or(&hash));
            let mut sink = Silver::new(&self.root, stem, &mut tell);
            let reader = open.reader(&kept).map_err(|e| file_error(path, &e))?;
            let place = Place { path: Some(&kept), beside: &beside.files };
            let read = match adapter.read_at(&context, Extract { name: &name, reader }, place, &mut sink) {
                // One file that is not as its mapping says stops no other.
                Err(AdapterError::Mapping { file, line, message }) => {
                    let detail = format!("{file}, line {line}: {message}");
                    sink.quarantine(Quarantined {
                        file: name.clone(),
                        line: 0,
                        reason: Reason::Contradiction,
                        detail,
                    })?;
                    adapters::Read { items: 1, quarantined: 1, ..adapters::Read::default() }
                }
                read => read?,
            };
            if links {
                bronze::unchanged(path, &hash)?;
            }
            let written = sink.finish()?;
            // A file that is mostly rejected is no snapshot of anything: what was read of it before stays.
            let sound = read.quarantined <= read.records && !is_unread(read.records, read.skipped, read.quarantined);
            let ingested = Ingested {
                source: source.name.clone(),
                file: name.clone(),
                hash,
                run: number,
                items: read.items,
                records: read.records,
                quarantined: read.quarantined,
                skipped: read.skipped,
                silver: written.silver,
                quarantine: written.quarantine.clone(),
                linkage: context.linkage.as_deref().filter(|_| links).map(LinkageKey::id),
                at_micros: context.ingest_micros,
                whole: written.whole,
                snapshot: source.is_snapshot() && written.whole && sound,
                schema: schema::version::VERSION.to_owned(),
                surveyed: adapter.surveyed(),
            };
            self.enter(&key, &ingested)?;
            newest.insert(name.clone(), number);
            open.leave(path)?;
            report.files.push(FileReport {
                source: source.name.clone(),
                file: name,
                unchanged: false,
                items: read.items,
                records: read.records,
                quarantined: read.quarantined,
                skipped: read.skipped,
                quarantine: written.quarantine.map(|q| self.root.join(q).display().to_string()),
                unread: is_unread(read.records, read.skipped, read.quarantined),
            });
        }
        if surveyed {
            report.read_again += self.reconsider(run, open).map_err(of_source)?;
            self.is_considered(&source.name)?;
        }
        if report.files.len() == before && !open.is_feed() {
            report.empty.push(source.name.clone());
        }
        Ok(())
    }
}
