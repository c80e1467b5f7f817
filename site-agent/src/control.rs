//! Commands to an agent: over a local socket to one that runs, or straight to the state where none does.
//!
//! One line of JSON goes in; lines of JSON come back, `{"progress": …}` while it works and one last `{"done": …}` or
//! `{"failed": …}`. The socket is the owner's alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use privacy::{Cost, Delta};
use proto::{SiteId, StudyId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use study::model::tune::Tuning;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::agent::Agent;
use crate::config::Config;
use crate::identity::{self, Pins};
use crate::lake::Standards;
use crate::ledger::export;
use crate::studies::Decision;
use crate::{coverage, lookup, model, preview, quality, streaming};

/// A command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Ingests every source.
    Ingest,
    /// Lists studies.
    Studies,
    /// One study, with its plan.
    Study {
        /// Which.
        study: StudyId,
    },
    /// Decides.
    Decide {
        /// Which.
        study: StudyId,
        /// What.
        decision: Decision,
        /// Where the study must stand before.
        from: Option<Decision>,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// What would leave.
    Preview {
        /// Which.
        study: StudyId,
    },
    /// The ledger.
    Ledger,
    /// Checks the ledger's chain.
    LedgerVerify,
    /// The ledger for an auditor.
    LedgerExport,
    /// Takes in entries that were lost with an old state.
    LedgerRecover {
        /// The coordinator's copy: entries as text, and the head that this site signed.
        copy: Copy,
    },
    /// The site's own identity, and those that it has pinned.
    Keys,
    /// Pins another site's identity.
    Pin {
        /// Which site.
        site: SiteId,
        /// The fingerprint; none takes the pin away.
        fingerprint: Option<String>,
        /// Whether it may take the place of another.
        replace: bool,
    },
    /// What left.
    Releases,
    /// Checks releases against the ledger.
    ReleasesVerify,
    /// What is in the lake.
    Lake,
    /// What gold is worth.
    Quality,
    /// How far codes are mapped.
    Terminology,
    /// Asks the terminology server for codes that are new.
    Lookup,
    /// What a trained model says of the patients here.
    Predict {
        /// The model's file.
        file: PathBuf,
        /// Into this file.
        out: PathBuf,
    },
    /// Goes on with a trained model over the patients here.
    Tune {
        /// The model's file.
        file: PathBuf,
        /// Into this file.
        out: PathBuf,
        /// Steps over all patients.
        steps: u32,
        /// The first step's rate.
        rate: f64,
        /// The pull back to the released parameters.
        pull: f64,
    },
    /// The hospital's own streams.
    Streams {
        /// What is asked of them.
        ask: streaming::verbs::Ask,
    },
}

/// The coordinator's copy of a ledger, as `coordinator site ledger` writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Canonical JSON of each entry, in order.
    pub entries: Vec<String>,
    /// The head that the site signed after the last one.
    pub head: certs::head::SignedHead,
}

/// Progress of a long command: what, done, of.
pub type Progress<'a> = &'a mut (dyn FnMut(&str, u64, u64) + Send);

/// Runs a command.
///
/// # Errors
/// What the person should know.
pub async fn execute(agent: &Agent, command: Command, progress: Progress<'_>) -> anyhow::Result<Value> {
    Ok(match command {
        Command::Ingest => json!(agent.ingest(progress).await?),
        Command::Studies => json!(agent.studies.list()?),
        Command::Study { study } => {
            let record =
                agent.studies.get(&study)?.ok_or_else(|| anyhow::anyhow!("there is no study '{study}' here"))?;
            json!({ "record": record, "plan": agent.plan(&study).map(|(p, _)| p).ok() })
        }
        Command::Decide { study, decision, from, by, reason } => {
            json!(agent.decide(&study, decision, from, &by, &reason)?)
        }
        Command::Preview { study } => json!(preview::preview(agent, &study).await?),
        Command::Ledger => {
            let caps = agent.config.budget.caps();
            let delta = Delta(1e-6);
            let blocks: Vec<Value> = agent
                .ledger
                .blocks(agent.clock.now())
                .into_iter()
                .map(|(block, spent)| {
                    let yearly = if spent.old { caps.tranche } else { caps.year };
                    json!({
                        "entered": block, "year": spent.year, "lifetime": spent.lifetime,
                        "year_cap_rho": yearly.rho, "lifetime_cap_rho": caps.lifetime.rho,
                        "year_left_rho": yearly.left(&spent.year), "lifetime_left_rho": caps.lifetime.left(&spent.lifetime),
                        "year_cap_epsilon": Cost::gaussian(yearly.rho).epsilon(delta),
                        "year_epsilon": spent.year.epsilon(delta), "lifetime_epsilon": spent.lifetime.epsilon(delta),
                        "lifetime_cap_epsilon": Cost::gaussian(caps.lifetime.rho).epsilon(delta),
                    })
                })
                .collect();
            json!({
                "entries": agent.ledger.entries()?, "disclosures": export::export(agent)?.disclosures, "blocks": blocks, "caps": caps,
                "head": agent.ledger.head().1, "root": agent.ledger.root(),
                "halted": agent.ledger.admits().err().map(|e| e.to_string()),
            })
        }
        Command::LedgerVerify => {
            let entries = agent.ledger.entries()?;
            agent.ledger.admits()?;
            let cosigned = export::receipt(agent)?;
            json!({ "entries": entries.len(), "head": agent.ledger.head().1, "intact": true, "cosigned": cosigned })
        }
        Command::LedgerExport => json!(export::export(agent)?),
        Command::LedgerRecover { copy } => {
            let (held, _) = agent.ledger.head();
            let missing: Vec<Vec<u8>> = copy
                .entries
                .into_iter()
                .map(String::into_bytes)
                .skip(usize::try_from(held).unwrap_or(usize::MAX))
                .collect();
            let also = |t: &mut platform::Transaction| agent.secure.forget_all(t);
            let taken = agent.ledger.recover(&missing, &copy.head, &agent.config.id, &agent.identity, also)?;
            agent.reconnect();
            json!({ "recovered": taken, "entries": agent.ledger.head().0, "head": agent.ledger.head().1 })
        }
        Command::Keys => {
            let pins = Pins::read(&agent.config)?;
            let all: BTreeMap<String, String> =
                pins.all().iter().map(|(s, f)| (s.to_string(), certs::bundle::shown(f))).collect();
            let own = agent.identity.public();
            json!({ "site": agent.config.id, "fingerprint": certs::bundle::shown(&own.fingerprint()), "pinned": all })
        }
        Command::Pin { site, fingerprint, replace } => {
            let mut pins = Pins::read(&agent.config)?;
            match &fingerprint {
                Some(text) => {
                    let print = identity::parse(&site, text)?;
                    pins.check(&site, &print, &agent.config.id, &agent.identity.public(), replace)?;
                    pins.pin(site.clone(), print);
                }
                None => anyhow::ensure!(pins.unpin(&site), "{site} was not pinned; see site-agent keys list"),
            }
            pins.write(&agent.config)?;
            json!({ "site": site, "pinned": fingerprint.is_some() })
        }
        Command::Releases => json!(agent.releases.list()?),
        Command::ReleasesVerify => json!({ "verified": agent.releases.verify(&agent.ledger)? }),
        Command::Quality => json!(quality::run(&agent.config, &agent.lake).await?),
        Command::Terminology => {
            let standards = Standards::read(&agent.config, agent.clock.now())?;
            let studies = agent.studies.list()?;
            let plans = studies.iter().filter_map(|r| agent.plan(&r.study).ok());
            let studies: Vec<study::Study> = plans.map(|(plan, _)| plan.study).collect();
            json!(coverage::run(&agent.config, &agent.lake, &standards, &studies).await?)
        }
        Command::Lookup => json!(lookup::once(agent).await?),
        Command::Predict { file, out } => model::predict(agent, &file, &out).await?,
        Command::Tune { file, out, steps, rate, pull } => {
            model::tune(agent, &file, &out, Tuning { steps, rate, pull }).await?
        }
        Command::Streams { ask } => {
            let jobs = agent.jobs.clone();
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || ask.answer(&jobs, &runtime)).await??
        }
        Command::Lake => {
            let feeds: BTreeMap<&str, _> =
                agent.feeds.iter().map(|f| (f.source.as_str(), f.counts.numbers())).collect();
            json!({ "gold": agent.lake.gold()?, "files": agent.lake.ingested()?, "feeds": feeds })
        }
    })
}

fn socket(config: &Config) -> PathBuf {
    config.state_dir().join("control.sock")
}

/// Listens for commands until the agent ends.
///
/// # Errors
/// The socket can't be made.
pub async fn serve(agent: Arc<Agent>) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = socket(&agent.config);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|e| {
        let remedy = "a socket's path has at most 107 bytes; set a shorter `state` in site.toml";
        std::io::Error::new(e.kind(), format!("{} can't be made: {e}; {remedy}", path.display()))
    })?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let agent = agent.clone();
        tokio::spawn(async move {
            if let Err(e) = converse(&agent, stream).await {
                tracing::debug!("control: {e}");
            }
        });
    }
}

async fn converse(agent: &Agent, stream: UnixStream) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<Value>();
    let writer = tokio::spawn(async move {
        while let Some(value) = told.recv().await {
            if write.write_all(format!("{value}\n").as_bytes()).await.is_err() {
                break;
            }
        }
    });
    let result = match serde_json::from_str::<Command>(&line) {
        Ok(command) => {
            let progress = tell.clone();
            let mut report = move |what: &str, done: u64, of: u64| {
                let _ = progress.send(json!({ "progress": { "what": what, "done": done, "of": of } }));
            };
            execute(agent, command, &mut report).await
        }
        Err(e) => Err(anyhow::anyhow!("the command can't be read: {e}")),
    };
    let _ = tell.send(match result {
        Ok(done) => json!({ "done": done }),
        Err(e) => json!({ "failed": format!("{e:#}") }),
    });
    drop(tell);
    writer.await?;
    Ok(())
}

/// Sends a command to the agent that runs over this state, if one does.
///
/// # Errors
/// The command failed there.
pub async fn send(config: &Config, command: &Command, progress: Progress<'_>) -> anyhow::Result<Option<Value>> {
    let Ok(stream) = UnixStream::connect(socket(config)).await else { return Ok(None) };
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{}\n", serde_json::to_string(command)?).as_bytes()).await?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let value: Value = serde_json::from_str(&line)?;
        if let Some(p) = value.get("progress") {
            let text = p.get("what").and_then(Value::as_str).unwrap_or_default();
            let number = |k| p.get(k).and_then(Value::as_u64).unwrap_or_default();
            progress(text, number("done"), number("of"));
        } else if let Some(done) = value.get("done") {
            return Ok(Some(done.clone()));
        } else if let Some(failed) = value.get("failed").and_then(Value::as_str) {
            anyhow::bail!("{failed}");
        }
    }
    anyhow::bail!("the agent ended before it answered; see its log")
}
