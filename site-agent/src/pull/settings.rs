//! `postgres = { … }` of a source in `site.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{PullError, file};

/// A PostgreSQL server, what is read there, and how gently.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// The server's name or address; or the folder of its Unix socket, which begins with `/`.
    pub host: String,
    /// Its port.
    #[serde(default = "port")]
    pub port: u16,
    /// The database.
    pub dbname: String,
    /// The schema with the tables.
    #[serde(default = "schema")]
    pub schema: String,
    /// The role, which needs SELECT and nothing else.
    pub user: String,
    /// A file with the password, relative to `site.toml`, that only the agent's account may read.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The variable of the agent's environment with the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// A password has no place here. What somebody writes is not kept, so that it can't be printed.
    #[serde(default, skip_serializing)]
    pub password: Option<serde::de::IgnoredAny>,
    /// Whether the connection is encrypted and the server's certificate checked.
    #[serde(default)]
    pub tls: Tls,
    /// The authority of the server's certificate, as PEM, relative to `site.toml`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Rows of a chunk: what is asked for at once, and what is lost at most when the agent is killed.
    #[serde(default = "chunk_rows")]
    pub chunk_rows: u64,
    /// How much is taken of the server, in MiB a second; the agent pauses between chunks. 0: as much as it gives.
    #[serde(default = "mib_per_second")]
    pub mib_per_second: u32,
    /// How long the server may work on one chunk, in seconds.
    #[serde(default = "statement_seconds")]
    pub statement_seconds: u32,
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Encrypted, and the server's certificate is checked.
    #[default]
    Verify,
    /// In the clear: for a server on this machine, or a network that is itself encrypted.
    Off,
}

fn port() -> u16 {
    5432
}
fn schema() -> String {
    "public".to_owned()
}
fn chunk_rows() -> u64 {
    100_000
}
fn mib_per_second() -> u32 {
    16
}
fn statement_seconds() -> u32 {
    600
}

impl Postgres {
    /// What is wrong with the settings, and what would be right.
    pub fn objection(&self) -> Option<String> {
        if self.password.is_some() {
            return Some(
                "a password has no place in site.toml; write it into a file of mode 600 and name it: password_file = \"...\""
                    .to_owned(),
            );
        }
        if self.password_file.is_some() && self.password_env.is_some() {
            return Some("give password_file or password_env, not both".to_owned());
        }
        if self.tls == Tls::Verify && !self.is_local() && self.ca_file.is_none() {
            return Some(
                "the server's certificate can't be checked without its authority; give ca_file = \"...\", a PEM file, or, on \
                 a network that is trusted, tls = \"off\""
                    .to_owned(),
            );
        }
        (!(100..=10_000_000).contains(&self.chunk_rows)).then(|| "chunk_rows is from 100 to 10000000".to_owned())
    }

    /// Whether the server is reached by a socket of this machine.
    pub fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Where the server is, for messages.
    pub fn at(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What a pass is of, so that one that was begun elsewhere is not gone on with.
    pub(super) fn place(&self) -> String {
        format!("{}/{}/{}", self.at(), self.dbname, self.schema)
    }

    /// The password, where there is one.
    pub(super) fn secret(&self, home: &Path) -> Result<Option<Zeroizing<String>>, PullError> {
        use std::os::unix::fs::PermissionsExt as _;
        if let Some(name) = &self.password_env {
            let value = std::env::var(name).map_err(|_| PullError::NoVariable { name: name.clone() })?;
            return Ok(Some(Zeroizing::new(value)));
        }
        let Some(path) = self.password_file.as_ref().map(|p| home.join(p)) else { return Ok(None) };
        let mode = std::fs::metadata(&path).map_err(|e| file(&path, &e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(file(&path, &"others may read this password; give it to the account alone with chmod 600"));
        }
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(|e| file(&path, &e))?);
        Ok(Some(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())))
    }

    /// Waits as long as the rate asks for after so many bytes in so much time.
    pub(super) async fn pause(&self, bytes: u64, took: Duration) {
        if self.mib_per_second > 0 {
            let due = bytes as f64 / (f64::from(self.mib_per_second) * 1_048_576.0);
            tokio::time::sleep(Duration::from_secs_f64(due).saturating_sub(took)).await;
        }
    }
}
