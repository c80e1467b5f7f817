//! `site.toml`: who the site is, what it has, and what it allows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use privacy::{Block, Cap, Caps, Rho};
use proto::SiteId;
use serde::{Deserialize, Serialize};

use crate::feed::settings::{self, Limits as FeedLimits, SettingsError, Tls};

/// The settings of a site.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The site's id, as invited.
    pub id: SiteId,
    /// The hospital's name.
    pub name: String,
    /// ISO 3166 country code.
    pub country: String,
    /// IANA time zone, such as `Europe/Berlin`. There is no default: a wrong zone moves every event.
    pub time_zone: Option<String>,
    /// Where the agent keeps its state, relative to this file.
    #[serde(default = "state")]
    pub state: PathBuf,
    /// Sources of data.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// What may leave.
    #[serde(default)]
    pub disclosure: Disclosure,
    /// Who says yes.
    #[serde(default)]
    pub approval: Approval,
    /// How sums may meet those of other sites.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// What may be spent.
    #[serde(default)]
    pub budget: Budget,
    /// What the agent may use of the machine.
    #[serde(default)]
    pub limits: Limits,
    /// Continuous studies.
    #[serde(default)]
    pub streams: Streams,
    /// Mapping files, the first one with a target for a code first.
    #[serde(default)]
    pub terminology: Vec<adapters::terminology::Settings>,
    /// A terminology server for codes that no mapping file has.
    #[serde(default)]
    pub lookup: Option<crate::lookup::Lookup>,
    /// Units.
    #[serde(default)]
    pub units: Units,
    /// Who objected, and who consented.
    #[serde(default)]
    pub consent: Consent,
    /// The folder of `site.toml`.
    #[serde(skip)]
    pub home: PathBuf,
}

fn state() -> PathBuf {
    PathBuf::from("state")
}

/// A source of data.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name; the source system of its rows.
    pub name: String,
    /// Whether it is files, or a feed that the agent listens for. `listen` alone says the latter too.
    #[serde(default)]
    pub kind: SourceKind,
    /// Its format: one of [`adapters::FORMATS`]. A feed is `hl7v2`.
    #[serde(default)]
    pub format: String,
    /// The folder with the extract's files, relative to `site.toml`. Empty where there is `postgres` or a feed.
    #[serde(default)]
    pub path: PathBuf,
    /// The one address and port of a feed.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Addresses and networks that may connect to a feed.
    #[serde(default)]
    pub peers: Vec<String>,
    /// TLS of a feed.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// What the senders of a feed may use of the machine.
    #[serde(default)]
    pub feed: FeedLimits,
    /// The PostgreSQL server whose tables are pulled, in the place of a folder.
    #[serde(default)]
    pub postgres: Option<crate::pull::Postgres>,
    /// The mapping, for `csv` and `parquet`; for a format with a shipped mapping, the one that takes its place.
    #[serde(default)]
    pub mapping: Option<PathBuf>,
    /// Whether each file is a whole snapshot, which takes the place of the file of that name before it.
    #[serde(default)]
    pub snapshot: bool,
    /// Which files of the folder are read, with `*` and `?`; all that the format knows, where it is not given.
    #[serde(default, rename = "match", deserialize_with = "one_or_more")]
    pub matches: Vec<String>,
    /// The `system` of the patients' identifiers that are linkage ids, for FHIR; their root, for C-CDA; their authority or
    /// type, for HL7 v2. A CSV mapping names its column itself.
    #[serde(default)]
    pub linkage_system: Option<String>,
    /// The authorities whose identifiers are the patients', for HL7 v2: `AUTHORITY`, `AUTHORITY^TYPE` (CX.4 and CX.5), or `*` for
    /// all others, whose numbers count together with their authority. Without any, each number counts together with its authority.
    #[serde(default, alias = "authority", deserialize_with = "one_or_more")]
    pub authorities: Vec<String>,
    /// Whether messages of training and debugging (MSH-11 = T, D) are counted and left out, for HL7 v2. Many senders say T for all.
    #[serde(default)]
    pub production_only: bool,
}

/// One text, or a list of them.
fn one_or_more<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Texts::deserialize(from)? {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    })
}

/// How a source's data come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A folder of files.
    #[default]
    Files,
    /// HL7 v2 over MLLP, as it happens.
    Mllp,
}

impl Source {
    /// Fills in what follows from the other settings.
    pub(crate) fn settle(&mut self) {
        if self.listen.is_some()
            && (self.format == "hl7v2" || self.format.is_empty())
            && self.path.as_os_str().is_empty()
        {
            self.kind = SourceKind::Mllp;
        }
        if self.kind == SourceKind::Mllp && self.format.is_empty() {
            self.format = "hl7v2".to_owned();
        }
    }

    /// Whether what comes again takes the place of what it was. A pull always is a whole snapshot.
    pub fn is_snapshot(&self) -> bool {
        self.snapshot || self.postgres.is_some()
    }

    /// What is wrong with the settings, and what would be right.
    fn objection(&self) -> Option<String> {
        if self.kind == SourceKind::Mllp {
            return self.postgres.is_some().then(|| "a feed has no postgres".to_owned());
        }
        let Some(postgres) = &self.postgres else {
            return self.path.as_os_str().is_empty().then(|| "give path = \"...\", or postgres = { ... }".to_owned());
        };
        if !self.path.as_os_str().is_empty() {
            return Some("path and postgres are two sources; give each an own [[source]]".to_owned());
        }
        // The name is that of a folder of the state.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Some("the name of a source with postgres has letters, digits, - and _ alone".to_owned());
        }
        postgres.objection()
    }
}

/// What may leave. A study can only be stricter.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disclosure {
    /// A study must suppress numbers of patients below this (on the noisy value).
    pub min_cell: u64,
    /// A cohort with fewer patients here, on a noisy count that is paid for and stays here, is not answered for. 0: no check.
    pub min_cohort: u64,
    /// What that count costs: the ε of a discrete Laplace.
    pub cohort_epsilon: f64,
    /// Fingerprints of analysts' public keys that may sign; any of an allowed analyst, where empty.
    pub signers: Vec<String>,
    /// The largest ε of a study, at its δ; the budget's cap for a study, where not given.
    pub max_epsilon: Option<f64>,
    /// Kinds of analysis that are allowed; all, where empty.
    pub kinds: Vec<String>,
    /// What becomes of a study with cohorts or features in SQL of its own: `allow`, `ask` (a person decides), or `refuse`.
    pub sql: Answer,
    /// What becomes of a study that tells each hospital's own private estimate beside the common one: the same words.
    pub own_estimates: Answer,
    /// What becomes of a continuous study, which is told window after window: the same words.
    pub streams: Answer,
    /// Purposes that are allowed.
    pub purposes: Vec<String>,
    /// Analysts who may ask; all of the federation, where empty.
    pub analysts: Vec<String>,
}

impl Default for Disclosure {
    fn default() -> Disclosure {
        Disclosure {
            min_cell: 11,
            min_cohort: 20,
            cohort_epsilon: 0.05,
            signers: Vec::new(),
            max_epsilon: None,
            kinds: Vec::new(),
            sql: Answer::default(),
            own_estimates: Answer::default(),
            streams: Answer::default(),
            purposes: study::check::PURPOSES.iter().map(|p| (*p).to_owned()).collect(),
            analysts: Vec::new(),
        }
    }
}

/// What becomes of a study that asks for something special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is treated as any other.
    Allow,
    /// A person decides.
    #[default]
    Ask,
    /// It is refused.
    Refuse,
}

/// Who says yes to a study that the disclosure settings allow.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// `manual` (a person) or `auto` (by these rules).
    pub mode: ApprovalMode,
    /// In `auto`, a study of a larger ε (of its ρ, at δ = 1e-6) waits for a person.
    pub max_epsilon: Option<f64>,
    /// In `auto`, a study by another analyst waits for a person; any, where empty.
    pub analysts: Vec<String>,
    /// In `auto`, a study with another kind of analysis waits for a person; any, where empty.
    pub kinds: Vec<String>,
    /// In `auto`, a study for another purpose waits for a person; any, where empty.
    pub purposes: Vec<String>,
    /// In `auto`, a study that aggregates in another way waits for a person.
    pub aggregation: Option<study::spec::Aggregation>,
}

/// How the site's sums may meet those of other sites.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aggregation {
    /// What the site insists on: `any`, `secure` or `local`.
    pub mode: AggregationMode,
    /// The file with the fingerprints of the other sites' identity keys, relative to this file.
    pub peers: PathBuf,
}

impl Default for Aggregation {
    fn default() -> Aggregation {
        Aggregation { mode: AggregationMode::Any, peers: PathBuf::from("peers.toml") }
    }
}

/// What the site insists on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AggregationMode {
    /// Either; the study says which.
    #[default]
    Any,
    /// The coordinator never sees the site's own vector.
    Secure,
    /// The site's noise alone protects its patients; nothing rests on other sites.
    Local,
}

/// Who says yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalMode {
    /// A person, with `site-agent studies approve`.
    #[default]
    Manual,
    /// The rules of `[approval]`.
    Auto,
}

/// What may be spent of each year of entry's patients: caps in ρ, and on δ that adds up.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// A study.
    pub study_rho: f64,
    /// The calendar year in which a year of entry is first asked for.
    pub year_rho: f64,
    /// Each later calendar year: the tranche that the site declares for patients of earlier years.
    pub tranche_rho: f64,
    /// Ever.
    pub lifetime_rho: f64,
    /// δ that adds up: a study.
    pub study_delta: f64,
    /// δ that adds up: a calendar year.
    pub year_delta: f64,
    /// δ that adds up: ever.
    pub lifetime_delta: f64,
    /// Patients who entered in this year or before are one block.
    pub first_block: u16,
}

impl Default for Budget {
    fn default() -> Budget {
        let caps = Caps::default();
        Budget {
            study_rho: caps.study.rho.value(),
            year_rho: caps.year.rho.value(),
            tranche_rho: caps.tranche.rho.value(),
            lifetime_rho: caps.lifetime.rho.value(),
            study_delta: caps.study.delta.value(),
            year_delta: caps.year.delta.value(),
            lifetime_delta: caps.lifetime.delta.value(),
            first_block: 2000,
        }
    }
}

impl Budget {
    /// As caps.
    pub fn caps(&self) -> Caps {
        let cap = |rho, delta| Cap::new(Rho::allowance(rho), delta);
        Caps {
            study: cap(self.study_rho, self.study_delta),
            year: cap(self.year_rho, self.year_delta),
            tranche: cap(self.tranche_rho, self.year_delta),
            lifetime: cap(self.lifetime_rho, self.lifetime_delta),
        }
    }

    /// All blocks up to a calendar year, which are public: whether anybody entered in a year is not asked.
    pub fn blocks(&self, year: Block, asked: Option<[Block; 2]>) -> Vec<Block> {
        let [from, to] = asked.unwrap_or([0, Block::MAX]);
        (self.first_block..=year.max(self.first_block))
            .filter(|b| (from.max(self.first_block)..=to).contains(b))
            .collect()
    }
}

/// How the windows of continuous studies are answered, and what the hospital counts for itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// Whether the agent reads its sources by itself when a window is due. Without it a window waits for `site-agent ingest`.
    pub read_sources: bool,
    /// After how many seconds sources that could not be read are tried again.
    pub retry_seconds: u64,
    /// After how many seconds a running agent reads its sources again by itself, at least 1. Without it new files wait for
    /// `site-agent ingest`, or for a window that is due.
    pub read_every_seconds: Option<u64>,
    /// Where the counters of the jobs are told to a Prometheus of the hospital: an address on this machine alone, such as
    /// `127.0.0.1:9464`.
    pub metrics: Option<std::net::SocketAddr>,
    /// What the hospital counts for itself. It stays here.
    pub job: Vec<crate::streaming::JobSettings>,
}

impl Streams {
    fn check(&self) -> Result<(), (String, String)> {
        if let Some(address) = self.metrics.filter(|a| !a.ip().is_loopback()) {
            return Err((
                "metrics".to_owned(),
                format!(
                    "{address} can be reached from elsewhere; give an address of this machine, such as 127.0.0.1:9464"
                ),
            ));
        }
        if self.read_every_seconds == Some(0) {
            return Err(("read_every_seconds".to_owned(), "it is 0; give at least 1".to_owned()));
        }
        for (at, job) in self.job.iter().enumerate() {
            if let Some(reason) = job.objection() {
                return Err((format!("job '{}'", job.name), reason));
            }
            if self.job.iter().skip(at + 1).any(|other| other.name == job.name) {
                return Err((format!("job '{}'", job.name), "two jobs have this name".to_owned()));
            }
        }
        Ok(())
    }
}

impl Default for Streams {
    fn default() -> Streams {
        Streams { read_sources: true, retry_seconds: 300, read_every_seconds: None, metrics: None, job: Vec::new() }
    }
}

/// What the agent may use of the machine.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of a query, in MiB; more spills to disk.
    pub memory_mib: usize,
    /// Threads of a query.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory_mib: 512, threads: 1 }
    }
}

/// Units of the site's own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Units {
    /// What the source systems write, and the UCUM unit that is meant.
    pub aliases: BTreeMap<String, String>,
}

/// Who objected, and who consented. Without a section everyone counts. See [`crate::consent`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consent {
    /// The list of those who objected, relative to this file.
    pub opt_out: Option<PathBuf>,
    /// The list of those who consented, relative to this file.
    pub opt_in: Option<PathBuf>,
    /// Purposes for which only those who consented count; all, where empty and there is such a list.
    pub purposes: Vec<String>,
}

/// A `site.toml` that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("{path} can't be read: {reason}; give --home the folder with site.toml")]
    Unreadable {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is malformed.
    #[error("{path}: {reason}")]
    Malformed {
        /// Where.
        path: String,
        /// What.
        reason: String,
    },
    /// A source's settings do not fit each other.
    #[error("{path}, {reason}")]
    Source {
        /// Where.
        path: String,
        /// What is wrong, and what would fit.
        reason: SettingsError,
    },
    /// A source is not as it should be.
    #[error("{path}, source {name}: {reason}")]
    PulledSource {
        /// Where.
        path: String,
        /// The source.
        name: String,
        /// What, and the remedy.
        reason: String,
    },
    /// What is asked of a terminology server is wrong.
    #[error("{path}: [lookup]: {reason}")]
    Lookup {
        /// The file.
        path: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A stream is not as it should be.
    #[error("{path}, [streams] {job}: {reason}")]
    Stream {
        /// Where.
        path: String,
        /// The job, or the setting.
        job: String,
        /// What, and the remedy.
        reason: String,
    },
    /// There is no time zone.
    #[error(
        "{path} gives no time_zone; set the hospital's IANA zone, such as time_zone = \"Europe/Berlin\". \
         The machine's own zone is never used, since a wrong one would move every event"
    )]
    NoZone {
        /// Where.
        path: String,
    },
    /// The time zone is unknown.
    #[error("{path}: '{zone}' is no IANA time zone; write it like \"Europe/Berlin\"")]
    UnknownZone {
        /// Where.
        path: String,
        /// What it says.
        zone: String,
    },
}

/// Where a mistake is and what it is, without the line itself: it may hold what no log should.
fn place(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|s| text.get(..s.start));
    match before.map(|b| b.matches('\n').count() + 1) {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

impl Config {
    /// Reads `site.toml` of a folder.
    ///
    /// # Errors
    /// It can't be read, is malformed, or lacks the time zone.
    pub fn read(home: &Path) -> Result<Config, ConfigError> {
        let file = home.join("site.toml");
        let path = file.display().to_string();
        let text = std::fs::read_to_string(&file)
            .map_err(|e| ConfigError::Unreadable { path: path.clone(), reason: e.to_string() })?;
        let mut config: Config = toml::from_str(&text)
            .map_err(|e| ConfigError::Malformed { path: path.clone(), reason: place(&text, &e) })?;
        config.home = home.to_owned();
        for source in &mut config.sources {
            source.settle();
            settings::check(source).map_err(|reason| ConfigError::Source { path: path.clone(), reason })?;
        }
        config.zone_of(&path)?;
        for (at, source) in config.sources.iter().enumerate() {
            let name = source.name.clone();
            if let Some(reason) = source.objection() {
                return Err(ConfigError::PulledSource { path, name, reason });
            }
            if source.postgres.is_some() && config.sources.iter().skip(at + 1).any(|s| s.name == name) {
                let reason = "two sources have this name; a source with postgres needs its own".to_owned();
                return Err(ConfigError::PulledSource { path, name, reason });
            }
        }
        if let Some(reason) = config.lookup.as_ref().and_then(crate::lookup::Lookup::objection) {
            return Err(ConfigError::Lookup { path, reason });
        }
        config.streams.check().map_err(|(job, reason)| ConfigError::Stream { path, job, reason })?;
        Ok(config)
    }

    fn zone_of(&self, path: &str) -> Result<chrono_tz::Tz, ConfigError> {
        let zone = self.time_zone.as_ref().ok_or_else(|| ConfigError::NoZone { path: path.to_owned() })?;
        zone.parse().map_err(|_| ConfigError::UnknownZone { path: path.to_owned(), zone: zone.clone() })
    }

    /// The time zone.
    ///
    /// # Errors
    /// There is none, or it is unknown.
    pub fn zone(&self) -> Result<chrono_tz::Tz, ConfigError> {
        self.zone_of("site.toml")
    }

    /// The folder of the agent's state.
    pub fn state_dir(&self) -> PathBuf {
        self.home.join(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("site.toml"), text).unwrap();
        Config::read(dir.path())
    }

    #[test]
    fn a_password_is_refused_and_said_nowhere() {
        let head = "id = \"a\"\nname = \"A\"\ncountry = \"DE\"\ntime_zone = \"Europe/Berlin\"\n";
        let source = |postgres: &str| {
            with(&format!("{head}[[source]]\nname = \"cdm\"\nformat = \"omop\"\npostgres = {{ {postgres} }}\n"))
        };
        let base = "host = \"h\", dbname = \"d\", user = \"u\"";
        // The right place, a typing error beside it, and a field of another kind.
        for fault in ["password = \"hunter2\"", "pasword = \"hunter2\"", "port = \"x\", password = \"hunter2\""] {
            let error = source(&format!("{base}, {fault}, tls = \"off\"")).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = source(&format!("{base}, password = \"hunter2\"")).unwrap_err().to_string();
        assert!(error.contains("source cdm") && error.contains("password_file"), "{error}");
        let error = source(base).unwrap_err().to_string();
        assert!(error.contains("ca_file"), "{error}");
        let config = source(&format!("{base}, tls = \"off\"")).unwrap();
        let postgres = config.sources[0].postgres.clone().unwrap();
        assert_eq!((postgres.port, postgres.schema.as_str(), postgres.chunk_rows), (5432, "public", 100_000));
        assert!(config.sources[0].is_snapshot());
        assert!(source(&format!("{base}, tls = \"off\", chunk_rows = 0")).is_err());
        let neither = with(&format!("{head}[[source]]\nname = \"x\"\nformat = \"omop\"\n")).unwrap_err().to_string();
        assert!(neither.contains("path"), "{neither}");
    }

    #[test]
    fn no_zone_no_start() {
        let head = "id = \"a\"\nname = \"A\"\ncountry = \"DE\"\n";
        assert!(matches!(with(head), Err(ConfigError::NoZone { .. })));
        assert!(matches!(with(&format!("{head}time_zone = \"CET or so\"")), Err(ConfigError::UnknownZone { .. })));
        let c = with(&format!("{head}time_zone = \"Europe/Berlin\"")).unwrap();
        assert_eq!(c.approval.mode, ApprovalMode::Manual);
        assert_eq!(c.disclosure.min_cell, 11);
    }
}
