//! The `site-agent` command line.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the data fail a check.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use certs::Invitation;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use platform::terminal::{end, misused};
use platform::{OsEntropy, SystemClock};
use privacy::{DiscreteGaussian, Mechanism};
use proto::{SiteId, StudyId};
use serde_json::Value;

use crate::agent::Agent;
use crate::config::Config;
use crate::control::{self, Command};
use crate::linkage::verbs::{self, LinkageVerb};
use crate::source::{self, SourceVerb};
use crate::streaming::verbs::{SavepointVerb, StreamsVerb, inspect};
use crate::studies::Decision;
use crate::{enroll, feed, lookup, show, streaming, uplink};

/// The agent of a hospital in a federation: patients' rows stay here, noised sums leave.
#[derive(Parser)]
#[command(
    name = "site-agent",
    version,
    after_help = "Example:\n  site-agent --home /srv/insitu enroll invitation.txt\n  site-agent --home /srv/insitu ingest\n  site-agent --home /srv/insitu run"
)]
struct Arguments {
    /// The folder with site.toml
    #[arg(long, global = true, default_value = ".")]
    home: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a key and get a certificate with an invitation
    #[command(after_help = "Example:\n  site-agent enroll invitation.txt")]
    Enroll {
        /// The invitation's text, or a file with it
        invitation: String,
    },
    /// Connect to the coordinator and serve rounds
    #[command(after_help = "Example:\n  site-agent --home /srv/insitu run")]
    Run,
    /// Read the sources of site.toml into the lake
    #[command(after_help = "Example:\n  site-agent ingest --dry-run\n  site-agent ingest --json")]
    Ingest {
        /// Read everything and say what would become of it; write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// What is in an extract, and whether a mapping fits it
    #[command(after_help = "Example:\n  site-agent source profile /data/extract")]
    Source {
        #[command(subcommand)]
        verb: SourceVerb,
    },
    /// Show exactly what would leave for a study; nothing is spent
    #[command(after_help = "Example:\n  site-agent preview ckd-feas")]
    Preview {
        /// The study's id
        study: String,
    },
    /// Studies that came, and what was decided
    #[command(after_help = "Example:\n  site-agent studies list")]
    Studies {
        #[command(subcommand)]
        verb: StudiesVerb,
    },
    /// What was spent
    #[command(after_help = "Example:\n  site-agent ledger show")]
    Ledger {
        #[command(subcommand)]
        verb: LedgerVerb,
    },
    /// What left
    #[command(after_help = "Example:\n  site-agent releases list")]
    Releases {
        #[command(subcommand)]
        verb: ReleasesVerb,
    },
    /// Identity keys: this site's, and those of other sites that it has pinned
    #[command(after_help = "Example:\n  site-agent keys show")]
    Keys {
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// What is in the lake: files read, rejected, and gold's rows
    #[command(after_help = "Example:\n  site-agent lake --json")]
    Lake,
    /// Check the data's quality; exact, and for this site alone. Ends with 3 where a check fails
    #[command(after_help = "Example:\n  site-agent quality\n  site-agent --json quality > quality.json")]
    Quality,
    /// What the hospital counts for itself while it happens: the jobs of [[streams.job]] in site.toml
    #[command(after_help = "Example:\n  site-agent streams show")]
    Streams {
        #[command(subcommand)]
        verb: StreamsVerb,
    },
    /// The state of a stream in one file: for another machine, another backend, a later version
    #[command(after_help = "Example:\n  site-agent savepoint create labs-by-hour")]
    Savepoint {
        #[command(subcommand)]
        verb: SavepointVerb,
    },
    /// How far codes are mapped: by table, by concept set, and which codes are left
    #[command(after_help = "Example:\n  site-agent terminology")]
    Terminology,
    /// Use a trained model over this site's own patients. Nothing leaves, and nothing is charged
    #[command(after_help = "Example:\n  site-agent model predict readmission.safetensors --out predictions.csv")]
    Model {
        #[command(subcommand)]
        verb: ModelVerb,
    },
    /// Asks the terminology server of [lookup] for codes that are new, now
    #[command(after_help = "Example:\n  site-agent lookup")]
    Lookup,
}

#[derive(Subcommand)]
enum StudiesVerb {
    /// All studies
    #[command(after_help = "Example:\n  site-agent studies list")]
    List,
    /// One study with its plan
    #[command(after_help = "Example:\n  site-agent studies show ckd-feas")]
    Show {
        /// The study's id
        study: String,
    },
    /// Take part
    #[command(after_help = "Example:\n  site-agent studies approve ckd-feas --by 'Dr. Weber'")]
    Approve {
        /// The study's id
        study: String,
        /// Who decides; the account's name, where not given
        #[arg(long)]
        by: Option<String>,
    },
    /// Do not take part
    #[command(after_help = "Example:\n  site-agent studies refuse ckd-feas --reason 'no staff'")]
    Refuse {
        /// The study's id
        study: String,
        /// Why; the coordinator is told
        #[arg(long, default_value = "the site does not take part")]
        reason: String,
        /// Who decides
        #[arg(long)]
        by: Option<String>,
    },
    /// Stop answering rounds of an approved study
    #[command(after_help = "Example:\n  site-agent studies pause ckd-feas")]
    Pause {
        /// The study's id
        study: String,
    },
    /// Answer rounds again
    #[command(after_help = "Example:\n  site-agent studies resume ckd-feas")]
    Resume {
        /// The study's id
        study: String,
    },
}

#[derive(Subcommand)]
enum LedgerVerb {
    /// Every charge, and what is left
    #[command(after_help = "Example:\n  site-agent ledger show --json")]
    Show,
    /// Check the hash chain
    #[command(after_help = "Example:\n  site-agent ledger verify")]
    Verify,
    /// The ledger in plain words, for an auditor (45 CFR 164.528)
    #[command(after_help = "Example:\n  site-agent --json ledger export > disclosures.json")]
    Export,
    /// Take in the entries that an old copy of the state lacks, from the coordinator's copy
    #[command(
        after_help = "Example:\n  coordinator --home fed site ledger de-01 --out de-01.json\n  site-agent ledger recover de-01.json"
    )]
    Recover {
        /// The file that coordinator site ledger wrote
        file: PathBuf,
    },
}

#[derive(Subcommand)]
enum KeysVerb {
    /// This site's fingerprint: give it to the other hospitals by telephone or letter
    #[command(after_help = "Example:\n  site-agent keys show")]
    Show,
    /// The fingerprints that this site has pinned
    #[command(after_help = "Example:\n  site-agent keys list")]
    List,
    /// Pin another site's fingerprint, as its staff gave it to you
    #[command(after_help = "Example:\n  site-agent keys pin fr-02 '1a2b 3c4d ...'")]
    Pin {
        /// The site's id
        site: String,
        /// Its fingerprint, 64 hexadecimal digits
        fingerprint: String,
        /// Take the place of the key that is pinned; ask the other site by telephone why it changed
        #[arg(long)]
        replace: bool,
    },
    /// Take a pin away
    #[command(after_help = "Example:\n  site-agent keys unpin fr-02")]
    Unpin {
        /// The site's id
        site: String,
    },
    /// The federation's linkage key, for counting distinct patients
    #[command(after_help = "Example:\n  site-agent keys linkage request --out de-01.request")]
    Linkage {
        #[command(subcommand)]
        verb: LinkageVerb,
    },
}

#[derive(Subcommand)]
enum ModelVerb {
    /// What a model says of each patient of its cohort. Ends with 3 where the site has no value of a feature that the model needs
    #[command(after_help = "Example:\n  site-agent model predict readmission.safetensors --out predictions.parquet")]
    Predict {
        /// The model's file, as `coordinator study results` or `coordinator model export --format safetensors` wrote it
        file: PathBuf,
        /// Into this file, whose name ends with .csv or .parquet
        #[arg(long)]
        out: PathBuf,
    },
    /// Go on with a model over this site's patients, for this site alone. No noise is added: the file must never leave the site
    #[command(
        after_help = "Example:\n  site-agent model tune readmission.safetensors --out own.safetensors --steps 50"
    )]
    Tune {
        /// The model's file
        file: PathBuf,
        /// Into this file, which `model predict` takes
        #[arg(long)]
        out: PathBuf,
        /// Steps, each over all patients who are trained on
        #[arg(long, default_value_t = 50)]
        steps: u32,
        /// How long the first step is; it is fitted as steps are taken
        #[arg(long, default_value_t = 0.5)]
        rate: f64,
        /// How much steps are pulled back to the released model: the more, the fewer patients the site has
        #[arg(long, default_value_t = 0.01)]
        pull: f64,
    },
}

/// A path that a running agent, in whatever folder, reads in the same way.
fn absolute(path: &std::path::Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

#[derive(Subcommand)]
enum ReleasesVerb {
    /// Every release
    #[command(after_help = "Example:\n  site-agent releases list")]
    List,
    /// Check every release against the ledger and its bytes; or an exported bundle, offline
    #[command(after_help = "Example:\n  site-agent releases verify\n  site-agent releases verify --bundle bundle.json")]
    Verify {
        /// A bundle that coordinator study bundle wrote
        #[arg(long)]
        bundle: Option<PathBuf>,
    },
}

/// Runs the command line with OpenDP's noise.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with(arguments, Box::new(DiscreteGaussian))
}

/// Runs the command line with a mechanism. Only the simulator passes another than OpenDP's.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>, mechanism: Box<dyn Mechanism>) -> ExitCode {
    let given: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(a) => a,
        Err(e) => return misused(&given, e.use_stderr(), &e.to_string(), || drop(e.print())),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("INSITU_LOG").unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    let json = arguments.json;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, mechanism)),
        Err(e) => Err(e.into()),
    };
    end("site-agent", json, result, |_| 1)
}

async fn run(arguments: Arguments, mechanism: Box<dyn Mechanism>) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    // A file can be looked at before there is a site.
    if let Verb::Source { verb: verb @ (SourceVerb::Profile { .. } | SourceVerb::Mapping { .. }) } = &arguments.verb {
        return source::look(verb, arguments.json, &bar(true));
    }
    let config = Config::read(&arguments.home)?;
    let study = |s: &str| StudyId::parse(s).map_err(anyhow::Error::from);
    let account = || std::env::var("USER").unwrap_or_else(|_| "operator".to_owned());
    let decide = |s: &str, decision, by: Option<String>, reason: &str| {
        let by = by.as_deref().map(plain);
        Ok::<_, anyhow::Error>(Command::Decide {
            study: study(s)?,
            decision,
            from: None,
            by: by.unwrap_or_else(account),
            reason: reason.to_owned(),
        })
    };
    let command = match &arguments.verb {
        Verb::Enroll { invitation } => return enrol(&config, invitation, arguments.json).await.map(done),
        Verb::Run => return serve(config, mechanism).await.map(done),
        Verb::Ingest { dry_run: false } => Command::Ingest,
        Verb::Ingest { dry_run: true } => {
            return source::rehearse(&config, None, None, arguments.json, &bar(true));
        }
        Verb::Source { verb } => return source::run(&config, verb, arguments.json, &bar(true)),
        Verb::Preview { study: s } => Command::Preview { study: study(s)? },
        Verb::Lake => Command::Lake,
        Verb::Quality => Command::Quality,
        Verb::Terminology => Command::Terminology,
        Verb::Lookup => Command::Lookup,
        Verb::Model { verb: ModelVerb::Predict { file, out } } => {
            Command::Predict { file: absolute(file)?, out: absolute(out)? }
        }
        Verb::Model { verb: ModelVerb::Tune { file, out, steps, rate, pull } } => {
            Command::Tune { file: absolute(file)?, out: absolute(out)?, steps: *steps, rate: *rate, pull: *pull }
        }
        Verb::Streams { verb } => Command::Streams { ask: verb.ask() },
        Verb::Savepoint { verb: SavepointVerb::Inspect { file } } => return inspect(file, arguments.json).map(done),
        Verb::Savepoint { verb } => Command::Streams { ask: verb.ask()? },
        Verb::Ledger { verb: LedgerVerb::Show } => Command::Ledger,
        Verb::Ledger { verb: LedgerVerb::Verify } => Command::LedgerVerify,
        Verb::Ledger { verb: LedgerVerb::Export } => Command::LedgerExport,
        Verb::Ledger { verb: LedgerVerb::Recover { file } } => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
            let copy =
                serde_json::from_str(&text).with_context(|| format!("{} is no copy of a ledger", file.display()))?;
            Command::LedgerRecover { copy }
        }
        Verb::Keys { verb: KeysVerb::Show | KeysVerb::List } => Command::Keys,
        Verb::Keys { verb: KeysVerb::Linkage { verb } } => return verbs::run(&config, verb, arguments.json).map(done),
        Verb::Keys { verb: KeysVerb::Pin { site, fingerprint, replace } } => {
            Command::Pin { site: SiteId::parse(site)?, fingerprint: Some(fingerprint.clone()), replace: *replace }
        }
        Verb::Keys { verb: KeysVerb::Unpin { site } } => {
            Command::Pin { site: SiteId::parse(site)?, fingerprint: None, replace: false }
        }
        Verb::Releases { verb: ReleasesVerb::List } => Command::Releases,
        Verb::Releases { verb: ReleasesVerb::Verify { bundle: Some(file) } } => {
            return bundle(file, arguments.json).map(done);
        }
        Verb::Releases { verb: ReleasesVerb::Verify { bundle: None } } => Command::ReleasesVerify,
        Verb::Studies { verb } => match verb {
            StudiesVerb::List => Command::Studies,
            StudiesVerb::Show { study: s } => Command::Study { study: study(s)? },
            StudiesVerb::Approve { study: s, by } => decide(s, Decision::Approved, by.clone(), "")?,
            StudiesVerb::Refuse { study: s, reason, by } => decide(s, Decision::Refused, by.clone(), reason)?,
            StudiesVerb::Pause { study: s } => decide(s, Decision::Paused, None, "")?,
            StudiesVerb::Resume { study: s } => Command::Decide {
                study: study(s)?,
                decision: Decision::Approved,
                from: Some(Decision::Paused),
                by: account(),
                reason: String::new(),
            },
        },
    };
    let bar = bar(matches!(command, Command::Ingest));
    let mut progress = |what: &str, done: u64, of: u64| {
        bar.set_length(of.max(done));
        bar.set_position(done);
        bar.set_message(what.to_owned());
    };
    let value = match control::send(&config, &command, &mut progress).await? {
        Some(value) => value,
        None => {
            let agent = open(config, mechanism)?;
            control::execute(&agent, command.clone(), &mut progress).await?
        }
    };
    bar.finish_and_clear();
    if matches!(command, Command::Ingest) {
        let (text, unread) = (show::text(&command, &value), source::unread_of(&value));
        return source::finish(arguments.json, value, text.trim_end(), &unread);
    }
    // So that a nightly run that could not ask is told from one that did.
    if let (Command::Lookup, Some(failed @ 1..)) = (&command, value.get("failed").and_then(serde_json::Value::as_u64)) {
        let why = value.get("reason").and_then(serde_json::Value::as_str).unwrap_or_default();
        let unanswered =
            vec![format!("{failed} codes were not answered: {why}; look at the server and [lookup], and run it again")];
        let text = show::text(&command, &value);
        return source::finish(arguments.json, value, text.trim_end(), &unanswered);
    }
    print(&command, &value, arguments.json)?;
    // So that a nightly run of the checks is told from one that could not run.
    let failed = matches!(command, Command::Quality) && value.get("state").and_then(Value::as_str) == Some("fail");
    // Nor is a model that finds what it needs from one that does not.
    let lacks = value.get("lacks").and_then(Value::as_array).is_some_and(|l| !l.is_empty());
    let failed = failed || (matches!(command, Command::Predict { .. }) && lacks);
    Ok(if failed { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

/// A text without control characters, so that it can't rewrite a screen.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn print(command: &Command, value: &Value, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(value)? + "\n" } else { show::text(command, value) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn bar(long: bool) -> ProgressBar {
    if !long || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:30!} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(0);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// Verifies a bundle; nothing else is needed for it.
fn bundle(file: &std::path::Path, json: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    let bundle: certs::bundle::Bundle = serde_json::from_str(&text).context("this is no bundle of releases")?;
    let verified = bundle.verify()?;
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{:#}", serde_json::json!(verified))?;
    } else {
        write!(out, "{}", verified.text())?;
    }
    Ok(())
}

fn open(config: Config, mechanism: Box<dyn Mechanism>) -> anyhow::Result<Agent> {
    let path = config.state_dir();
    Agent::open(config, mechanism, Arc::new(SystemClock), Arc::new(OsEntropy))
        .with_context(|| format!("the state in {} can't be opened", path.display()))
}

async fn enrol(config: &Config, invitation: &str, json: bool) -> anyhow::Result<()> {
    let text = match std::fs::read_to_string(invitation) {
        Ok(text) => text,
        Err(_) if invitation.starts_with("insitu-invitation-") => invitation.to_owned(),
        Err(e) => anyhow::bail!("the invitation '{invitation}' can't be read: {e}"),
    };
    let identity = enroll::enroll(config, &Invitation::parse(&text)?).await?;
    let peer = identity.peer()?;
    let mut out = std::io::stdout();
    if json {
        let value = serde_json::json!({ "name": peer.name.to_string(), "serial": peer.serial, "not_after": peer.not_after_seconds });
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "enrolled as {}", peer.name)?;
    }
    Ok(())
}

async fn serve(config: Config, mechanism: Box<dyn Mechanism>) -> anyhow::Result<()> {
    enroll::folder(&config).load().context("the site has no identity")?;
    let agent = Arc::new(open(config, mechanism)?);
    tracing::info!(site = %agent.config.id, "agent started");
    let socket = tokio::spawn(control::serve(agent.clone()));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut feeds = tokio::spawn(feed::run(agent.clone(), stopped));
    agent.jobs.start_all(&tokio::runtime::Handle::current());
    if let Some(seconds) = agent.config.streams.read_every_seconds {
        tokio::spawn(streaming::read_every(agent.clone(), Duration::from_secs(seconds)));
    }
    tokio::spawn(lookup::run(agent.clone()));
    let told =
        agent.config.streams.metrics.map(|address| tokio::spawn(streaming::serve_metrics(agent.jobs.clone(), address)));
    let mut told = std::pin::pin!(async move {
        match told {
            Some(told) => told.await,
            None => std::future::pending().await,
        }
    });
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        () = uplink::run(agent.clone()) => {}
        failed = socket => {
            failed??;
        }
        failed = &mut feeds => {
            failed??;
        }
        failed = &mut told => {
            failed??;
        }
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    // Whoever sends a message that has begun hears that it is on disk, or sends it again to the next agent.
    let _ = stop.send(true);
    let jobs = agent.jobs.clone();
    let _ = tokio::task::spawn_blocking(move || jobs.stop_all()).await;
    let _ = tokio::time::timeout(Duration::from_secs(8), feeds).await;
    // A seal under way is one transaction: it is on disk, or it is not.
    tokio::time::sleep(Duration::from_millis(50)).await;
    tracing::info!("agent stopped");
    Ok(())
}
