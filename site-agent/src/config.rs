//! `site.toml`: who the site is, what it has, and what it allows.

use std::path::{Path, PathBuf};

use privacy::{Caps, Rho};
use proto::SiteId;
use serde::{Deserialize, Serialize};

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
    /// What may be spent.
    #[serde(default)]
    pub budget: Budget,
    /// What the agent may use of the machine.
    #[serde(default)]
    pub limits: Limits,
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
    /// Its format: `csv` or `fhir-ndjson`.
    pub format: String,
    /// The folder with the extract's files, relative to `site.toml`.
    pub path: PathBuf,
    /// The mapping, for CSV.
    #[serde(default)]
    pub mapping: Option<PathBuf>,
}

/// What may leave. A study can only be stricter.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disclosure {
    /// A study must suppress numbers of patients below this.
    pub min_cell: u64,
    /// Kinds of analysis that are allowed; all, where empty.
    pub kinds: Vec<String>,
    /// Purposes that are allowed.
    pub purposes: Vec<String>,
    /// Analysts who may ask; all of the federation, where empty.
    pub analysts: Vec<String>,
}

impl Default for Disclosure {
    fn default() -> Disclosure {
        Disclosure {
            min_cell: 11,
            kinds: Vec::new(),
            purposes: study::check::PURPOSES.iter().map(|p| (*p).to_owned()).collect(),
            analysts: Vec::new(),
        }
    }
}

/// Who says yes to a study that the disclosure settings allow.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// `manual` (a person) or `auto` (by these rules).
    pub mode: ApprovalMode,
    /// In `auto`, a study of a larger ε (of its ρ, at δ = 1e-6) waits for a person.
    pub max_epsilon: Option<f64>,
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

/// Caps, in ρ.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// A study.
    pub study_rho: f64,
    /// A calendar year.
    pub year_rho: f64,
    /// Ever.
    pub lifetime_rho: f64,
}

impl Default for Budget {
    fn default() -> Budget {
        let caps = Caps::default();
        Budget { study_rho: caps.study.value(), year_rho: caps.year.value(), lifetime_rho: caps.lifetime.value() }
    }
}

impl Budget {
    /// As caps.
    pub fn caps(&self) -> Caps {
        Caps {
            study: Rho::allowance(self.study_rho),
            year: Rho::allowance(self.year_rho),
            lifetime: Rho::allowance(self.lifetime_rho),
        }
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
            .map_err(|e| ConfigError::Malformed { path: path.clone(), reason: e.to_string().trim().to_owned() })?;
        config.home = home.to_owned();
        config.zone_of(&path)?;
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
    fn no_zone_no_start() {
        let head = "id = \"a\"\nname = \"A\"\ncountry = \"DE\"\n";
        assert!(matches!(with(head), Err(ConfigError::NoZone { .. })));
        assert!(matches!(with(&format!("{head}time_zone = \"CET or so\"")), Err(ConfigError::UnknownZone { .. })));
        let c = with(&format!("{head}time_zone = \"Europe/Berlin\"")).unwrap();
        assert_eq!(c.approval.mode, ApprovalMode::Manual);
        assert_eq!(c.disclosure.min_cell, 11);
    }
}
