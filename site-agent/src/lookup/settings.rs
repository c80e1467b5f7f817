//! `[lookup]` of `site.toml`: which terminology server is asked, of which codes, and how gently.

use std::path::{Path, PathBuf};

use adapters::terminology::Relation;
use adapters::terminology::translate::Release;
use schema::codes;
use serde::{Deserialize, Serialize};

use super::asking::Order;

/// A terminology server, and what it is asked. Without this section none is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The base address of a FHIR server, `https://…`; `http://` for one on this machine alone.
    pub url: String,
    /// The authority of the server's certificate, as PEM, relative to `site.toml`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A file with a bearer token, relative to `site.toml`, that only the agent's account may read.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The server's release of FHIR: `r4` or `r5`.
    #[serde(default)]
    pub fhir: Release,
    /// Which code systems are asked for, and in which they are wanted.
    #[serde(default)]
    pub from: Vec<From>,
    /// Relations that are used, as of a mapping file.
    #[serde(default = "exact_and_narrow", rename = "use")]
    pub take: Vec<Relation>,
    /// A code that fewer patients have is never asked for: it may be a typing error that says who somebody is.
    #[serde(default = "ten")]
    pub min_patients: u64,
    /// How often codes that are new are asked for, in seconds: at whole multiples of it, whatever came meanwhile.
    #[serde(default = "hour")]
    pub every_seconds: u64,
    /// How long the server may take for one code.
    #[serde(default = "ten")]
    pub timeout_seconds: u64,
    /// How often a code is asked for again that the server could not answer for now.
    #[serde(default = "three")]
    pub retries: u32,
    /// How many codes are asked for at a time.
    #[serde(default = "four")]
    pub in_flight: usize,
    /// After how many days a code is asked for again, whatever was answered.
    #[serde(default = "month")]
    pub remember_days: u32,
    /// Whether answers are entered in the order of the codes, or as they come.
    #[serde(default)]
    pub order: Order,
}

/// A code system, and the one that its codes are wanted in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The source's code system, as gold has it, or its short name.
    pub system: String,
    /// The wanted code system, or its short name such as `loinc`.
    pub to: String,
    /// The server's `ConceptMap`, where it is to use a certain one.
    #[serde(default)]
    pub map: Option<String>,
}

fn exact_and_narrow() -> Vec<Relation> {
    vec![Relation::Exact, Relation::Narrow]
}
fn ten() -> u64 {
    10
}
fn hour() -> u64 {
    3600
}
fn three() -> u32 {
    3
}
fn four() -> usize {
    4
}
fn month() -> u32 {
    30
}

/// The canonical address of a code system.
fn canonical(system: &str) -> String {
    codes::canonical(system).unwrap_or_else(|| system.to_owned())
}

impl From {
    /// The source's code system, as gold has it.
    pub(super) fn system(&self) -> String {
        canonical(&self.system)
    }

    /// The wanted one.
    pub(super) fn to(&self) -> String {
        canonical(&self.to)
    }
}

impl Lookup {
    /// What is wrong with the settings, and what would be right.
    pub(crate) fn objection(&self) -> Option<String> {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let here = rest.starts_with("[::1]") || matches!(host, "127.0.0.1" | "localhost");
        match scheme {
            "https" if self.ca_file.is_none() => {
                return Some(
                    "give ca_file = \"...\", a PEM file with the authority of the server's certificate".to_owned(),
                );
            }
            "https" => {}
            "http" if here => {}
            "http" => return Some("url: a server elsewhere is asked by https:// alone".to_owned()),
            _ => return Some("url: write https://server/path".to_owned()),
        }
        if rest.contains(['?', '#', '@', ' ']) || host.is_empty() && !here {
            return Some("url: it is a base address alone, such as https://server/fhir".to_owned());
        }
        let ranges = [
            (self.from.is_empty(), "give at least one [[lookup.from]] with system and to"),
            (self.min_patients < 1, "min_patients must be at least 1"),
            (self.every_seconds < 1, "every_seconds must be at least 1"),
            (!(1..=600).contains(&self.timeout_seconds), "timeout_seconds must be 1 to 600"),
            (self.retries > 20, "retries must be at most 20"),
            (!(1..=64).contains(&self.in_flight), "in_flight must be 1 to 64"),
        ];
        ranges.into_iter().find_map(|(wrong, says)| wrong.then(|| says.to_owned()))
    }

    /// Whether codes of a system are asked for in another.
    pub(super) fn asks(&self, system: &str, to: &str) -> bool {
        self.from.iter().any(|from| from.system() == system && from.to() == to)
    }

    /// The token, where there is one.
    pub(super) fn token(&self, home: &Path) -> std::io::Result<Option<zeroize::Zeroizing<String>>> {
        use std::os::unix::fs::PermissionsExt as _;
        let Some(path) = self.token_file.as_ref().map(|p| home.join(p)) else { return Ok(None) };
        if std::fs::metadata(&path)?.permissions().mode() & 0o077 != 0 {
            return Err(std::io::Error::other(
                "others may read this token; give it to the account alone with chmod 600",
            ));
        }
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path)?);
        Ok(Some(zeroize::Zeroizing::new(text.trim().to_owned())))
    }
}
