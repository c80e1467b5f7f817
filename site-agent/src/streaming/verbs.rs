//! `site-agent streams` and `site-agent savepoint`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streams::savepoint;
use tokio::runtime::Handle;

use super::Jobs;
use super::running::From;

/// `site-agent streams`.
#[derive(Clone, Debug, Subcommand)]
pub enum StreamsVerb {
    /// Each job: its watermark, how far it lags, rows in and late, state, checkpoints, backpressure
    #[command(after_help = "Example:\n  site-agent streams show --json")]
    Show,
    /// Read what is new in gold, take a checkpoint, and end; a running agent does it by itself
    #[command(after_help = "Example:\n  site-agent ingest && site-agent streams run labs-by-hour")]
    Run {
        /// The job's name in site.toml
        job: String,
    },
}

/// `site-agent savepoint`.
#[derive(Clone, Debug, Subcommand)]
pub enum SavepointVerb {
    /// Write the state of a job's last checkpoint into one file
    #[command(after_help = "Example:\n  site-agent savepoint create labs-by-hour --to /backup/labs.savepoint")]
    Create {
        /// The job's name in site.toml
        job: String,
        /// The file; by default one named by time, beside the job's state
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// The savepoints that are there
    #[command(after_help = "Example:\n  site-agent savepoint list")]
    List {
        /// Of one job
        job: Option<String>,
    },
    /// Go back to a savepoint, or to a checkpoint that is kept
    #[command(
        after_help = "Example:\n  site-agent savepoint restore labs-by-hour /backup/labs.savepoint\n  site-agent savepoint restore labs-by-hour --checkpoint 41"
    )]
    Restore {
        /// The job's name in site.toml
        job: String,
        /// The savepoint
        #[arg(required_unless_present = "checkpoint", conflicts_with = "checkpoint")]
        file: Option<PathBuf>,
        /// The number of a checkpoint
        #[arg(long)]
        checkpoint: Option<u64>,
    },
    /// What is in a savepoint, and whether it is whole
    #[command(after_help = "Example:\n  site-agent savepoint inspect /backup/labs.savepoint")]
    Inspect {
        /// The savepoint
        file: PathBuf,
    },
}

/// What is asked of the streams of an agent, running or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// What they are and do.
    Show,
    /// To read what is new.
    Run {
        /// Which job.
        job: String,
    },
    /// A savepoint.
    Save {
        /// Of which job.
        job: String,
        /// Into which file.
        to: Option<PathBuf>,
    },
    /// The savepoints.
    Saved {
        /// Of which job.
        job: Option<String>,
    },
    /// To go back.
    Restore {
        /// Which job.
        job: String,
        /// To what.
        from: From,
    },
}

impl StreamsVerb {
    /// What it asks.
    pub fn ask(&self) -> Ask {
        match self {
            StreamsVerb::Show => Ask::Show,
            StreamsVerb::Run { job } => Ask::Run { job: job.clone() },
        }
    }
}

impl SavepointVerb {
    /// What it asks of the agent. Paths are made whole: the agent that runs may stand elsewhere.
    ///
    /// # Errors
    /// A path can't be made whole, or nothing is asked of the agent.
    pub fn ask(&self) -> anyhow::Result<Ask> {
        let whole = |p: &Path| std::path::absolute(p).with_context(|| format!("{} is no path", p.display()));
        Ok(match self {
            SavepointVerb::Create { job, to } => {
                Ask::Save { job: job.clone(), to: to.as_deref().map(whole).transpose()? }
            }
            SavepointVerb::List { job } => Ask::Saved { job: job.clone() },
            SavepointVerb::Restore { job, file, checkpoint } => {
                let from = match (file, checkpoint) {
                    (_, Some(number)) => From::Checkpoint(*number),
                    (Some(file), None) => From::Savepoint(whole(file)?),
                    (None, None) => anyhow::bail!("name a savepoint, or a --checkpoint"),
                };
                Ask::Restore { job: job.clone(), from }
            }
            SavepointVerb::Inspect { .. } => anyhow::bail!("a savepoint is looked at where it lies"),
        })
    }
}

/// Says what is in a savepoint.
///
/// # Errors
/// It can't be read, or is damaged.
pub fn inspect(file: &Path, as_json: bool) -> anyhow::Result<()> {
    let header = savepoint::inspect(file)?;
    let value = json!({ "file": super::display(file), "savepoint": header });
    let mut out = String::new();
    match as_json {
        true => out = serde_json::to_string_pretty(&value)? + "\n",
        false => one(&value, true, &mut out),
    }
    Ok(std::io::stdout().write_all(out.as_bytes())?)
}

impl Ask {
    /// Does it. It blocks: a job may have to stop first.
    ///
    /// # Errors
    /// What the person should know.
    pub fn answer(self, jobs: &Jobs, runtime: &Handle) -> anyhow::Result<Value> {
        match self {
            Ask::Show => Ok(jobs.show()),
            Ask::Run { job } => jobs.run_once(&job, runtime),
            Ask::Save { job, to } => jobs.save(&job, to.as_deref()),
            Ask::Saved { job } => jobs.saved(job.as_deref()),
            Ask::Restore { job, from } => jobs.restore(&job, &from, runtime),
        }
    }

    /// The answer as text.
    pub fn text(&self, value: &Value, out: &mut String) {
        let list = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let _ = match self {
            Ask::Show => {
                let jobs = list("jobs");
                if jobs.is_empty() {
                    let _ = writeln!(out, "site.toml has no [[streams.job]]");
                }
                jobs.iter().for_each(|j| job(j, out));
                Ok(())
            }
            Ask::Run { .. } => {
                job(value, out);
                Ok(())
            }
            Ask::Save { .. } => {
                one(value, true, out);
                Ok(())
            }
            Ask::Saved { .. } => {
                let all = list("savepoints");
                if all.is_empty() {
                    let _ = writeln!(out, "no savepoint");
                }
                all.iter().for_each(|s| one(s, false, out));
                Ok(())
            }
            Ask::Restore { .. } => {
                writeln!(out, "{} stands at checkpoint {}", text(value, "job"), text(value, "checkpoint"))
            }
        };
    }
}

fn text(v: &Value, key: &str) -> String {
    match v.get(key) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn job(j: &Value, out: &mut String) {
    let m = j.get("metrics").cloned().unwrap_or_default();
    let _ = writeln!(out, "{:<24} {} of {}, {}", text(j, "name"), text(j, "tell"), text(j, "table"), text(j, "state"));
    if let Some(failed) = j.get("failed").and_then(Value::as_str) {
        let _ = writeln!(out, "  failed: {failed}");
    }
    if j.get("metrics").is_none() {
        return;
    }
    let real = |v: &Value, key: &str| v.get(key).and_then(Value::as_f64).unwrap_or_default();
    let _ = writeln!(
        out,
        "  watermark {}, the newest event {:.0} s ahead of it",
        text(j, "watermark"),
        real(j, "lag_seconds")
    );
    let (rows, again, aside, closed) = (text(&m, "rows"), text(&m, "again"), text(&m, "aside"), text(&m, "closed"));
    let _ = writeln!(out, "  rows {rows}, known before {again}, late or left out {aside}, answers {closed}");
    let seldom = [
        ("too_old", "older than what is remembered"),
        ("unreadable", "not readable"),
        ("spread", "of groups that all shards summed together"),
    ];
    for (key, what) in seldom.into_iter().filter(|(key, _)| m.get(key).and_then(Value::as_u64).is_some_and(|n| n > 0)) {
        let _ = writeln!(out, "  rows {what}: {}", text(&m, key));
    }
    let _ = writeln!(
        out,
        "  checkpoint {}: {:.0} ms, {} bytes; {} values in memory; sources waited {:.0} % of the time",
        text(j, "checkpoint"),
        real(&m, "checkpoint_micros") / 1000.0,
        text(&m, "checkpoint_bytes"),
        text(&m, "values"),
        100.0 * real(j, "backpressure")
    );
}

fn one(s: &Value, whole: bool, out: &mut String) {
    let _ = writeln!(out, "{}", text(s, "file"));
    let Some(header) = s.get("savepoint") else {
        let _ = writeln!(out, "  {}", text(s, "failed"));
        return;
    };
    let _ = writeln!(
        out,
        "  of {}, checkpoint {}, {} entries",
        text(header, "job"),
        text(header, "checkpoint"),
        text(header, "entries")
    );
    for table in header.get("tables").and_then(Value::as_array).filter(|_| whole).into_iter().flatten() {
        let (name, kind, version) = (text(table, "name"), text(table, "kind"), text(table, "version"));
        let _ = writeln!(out, "  {name:<12} {} value(s) of {kind}, form {version}", text(table, "values"));
    }
}
