//! The `coordinator` command line: for the operator who runs the federation, and for analysts.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the study has problems, 4 the study failed or was cancelled.

mod model;
mod privacy;
mod study;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use certs::Role;
use certs::bundle::Bundle;
use clap::{Parser, Subcommand};
use platform::store::SharedStore;
use platform::terminal::{end, misused, say};
use platform::{OsEntropy, RocksStore, StoreError, SystemClock};
use proto::SiteId;
use proto::wire;
use serde_json::{Value, json};

use crate::analyst;
use crate::anchors::Anchors;
use crate::federation::{Federation, Settings};
use crate::operations::{self, Operation};
use crate::registry::Registry;
use crate::server;

/// The coordinator of a federation of hospitals, and the analyst's command line.
#[derive(Parser)]
#[command(
    name = "coordinator",
    version,
    after_help = "Example:\n  coordinator --home fed federation init northsea --address 127.0.0.1:7443\n  coordinator --home fed serve\n  coordinator --home fed site invite de-01 --country DE --out invitation.txt"
)]
struct Arguments {
    /// The federation's folder (operators)
    #[arg(long, global = true, default_value = "federation")]
    home: PathBuf,
    /// The folder of the analyst's identity (analysts)
    #[arg(long, global = true, default_value = "analyst")]
    identity: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a federation
    #[command(after_help = "Example:\n  coordinator --home fed federation init northsea")]
    Federation {
        #[command(subcommand)]
        verb: FederationVerb,
    },
    /// Run the coordinator
    #[command(after_help = "Example:\n  coordinator --home fed serve")]
    Serve,
    /// Invite, list and revoke sites
    Site {
        #[command(subcommand)]
        verb: SiteVerb,
    },
    /// Invite, enrol, list and revoke analysts
    #[command(after_help = "Example:\n  coordinator --home fed analyst invite ada --out ada.txt")]
    Analyst {
        #[command(subcommand)]
        verb: AnalystVerb,
    },
    /// What noise means: ε of a plan, and the noise for an ε
    #[command(after_help = "Example:\n  coordinator privacy noise --epsilon 2 --rounds 10 --delta 1e-6")]
    Privacy {
        #[command(subcommand)]
        verb: privacy::PrivacyVerb,
    },
    /// Verify exported releases
    #[command(after_help = "Example:\n  coordinator releases verify bundle.json")]
    Releases {
        #[command(subcommand)]
        verb: ReleasesVerb,
    },
    /// Trained models in a folder of results: list, show, export
    #[command(
        after_help = "Example:\n  coordinator model export results/models/train.safetensors --format onnx --out train.onnx"
    )]
    Model {
        #[command(subcommand)]
        verb: model::ModelVerb,
    },
    /// Check, plan, submit and follow studies
    #[command(after_help = "Example:\n  coordinator study check study.toml")]
    Study {
        #[command(subcommand)]
        verb: study::StudyVerb,
    },
}

#[derive(Subcommand)]
enum FederationVerb {
    /// Make the authority and the coordinator's certificate
    #[command(
        after_help = "Example:\n  coordinator --home fed federation init northsea --address coordinator.example.org:7443"
    )]
    Init {
        /// The federation's name: a-z, 0-9 and -
        name: String,
        /// Where the coordinator listens and sites dial
        #[arg(long, default_value = "127.0.0.1:7443")]
        address: String,
        /// The life of a certificate, in seconds
        #[arg(long, default_value_t = 90 * 86_400)]
        certificate_seconds: u64,
        /// The life of an invitation, in seconds
        #[arg(long, default_value_t = 7 * 86_400)]
        invitation_seconds: u64,
    },
}

#[derive(Subcommand)]
enum SiteVerb {
    /// Print or write a one-use, expiring invitation
    #[command(after_help = "Example:\n  coordinator --home fed site invite de-01 --country DE --out invitation.txt")]
    Invite {
        /// The site's id: a-z, 0-9 and -
        id: String,
        /// Its country, two letters
        #[arg(long)]
        country: String,
        /// Invite a site that is enrolled already, for a new machine: whoever uses the invitation takes its place
        #[arg(long)]
        again: bool,
        /// Write it to a file that only the owner reads
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Cut a site off at once
    #[command(after_help = "Example:\n  coordinator --home fed site revoke de-01")]
    Revoke {
        /// The site's id
        id: String,
    },
    /// Take back what invitations of a site were not used yet
    #[command(after_help = "Example:\n  coordinator --home fed site withdraw de-01")]
    Withdraw {
        /// The site's id
        id: String,
    },
    /// All sites
    #[command(after_help = "Example:\n  coordinator site list")]
    List,
    /// Write the copy of a site's ledger, for its recovery from an old backup
    #[command(after_help = "Example:\n  coordinator --home fed site ledger de-01 --out de-01.json")]
    Ledger {
        /// The site's id
        id: String,
        /// Into this file
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum ReleasesVerb {
    /// Verify a bundle offline: that what went into the sums is in ledgers that the sites have signed
    #[command(
        after_help = "Example:\n  coordinator study bundle t2d-hf --out bundle.json\n  coordinator releases verify bundle.json"
    )]
    Verify {
        /// The bundle
        file: PathBuf,
    },
}

#[derive(Subcommand)]
enum AnalystVerb {
    /// Print or write a one-use, expiring invitation
    #[command(after_help = "Example:\n  coordinator --home fed analyst invite ada --out ada.txt")]
    Invite {
        /// The analyst's id: a-z, 0-9 and -
        id: String,
        /// Invite an analyst who is enrolled already, for a new certificate
        #[arg(long)]
        again: bool,
        /// Write it to a file that only the owner reads
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Make a key and get a certificate with an invitation
    #[command(after_help = "Example:\n  coordinator --identity ada analyst enroll ada.txt")]
    Enroll {
        /// The invitation's text, or a file with it
        invitation: String,
    },
    /// Take an analyst's rights
    #[command(after_help = "Example:\n  coordinator analyst revoke ada")]
    Revoke {
        /// The analyst's id
        id: String,
    },
    /// Take back what invitations of an analyst were not used yet
    #[command(after_help = "Example:\n  coordinator --home fed analyst withdraw ada")]
    Withdraw {
        /// The analyst's id
        id: String,
    },
    /// All analysts
    #[command(after_help = "Example:\n  coordinator analyst list")]
    List,
}

/// Runs the command line.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with(arguments, false)
}

/// Runs the command line; `simulation` is true in the simulator alone.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>, simulation: bool) -> ExitCode {
    let given: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(a) => a,
        Err(e) => return misused(&given, e.use_stderr(), &e.to_string(), || drop(e.print())),
    };
    let default = if matches!(arguments.verb, Verb::Serve) { "info" } else { "warn" };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("INSITU_LOG").unwrap_or_else(|_| default.into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    let json = arguments.json;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, simulation)),
        Err(e) => Err(e.into()),
    };
    end("coordinator", json, result, |_| 1)
}

async fn run(a: Arguments, simulation: bool) -> anyhow::Result<ExitCode> {
    match &a.verb {
        Verb::Federation { verb: FederationVerb::Init { name, address, certificate_seconds, invitation_seconds } } => {
            let settings = Settings {
                name: name.clone(),
                address: address.clone(),
                certificate_seconds: *certificate_seconds,
                invitation_seconds: *invitation_seconds,
            };
            Federation::init(&a.home, settings.clone(), &SystemClock, &OsEntropy)?;
            let text = format!("federation {name} made in {}; start it with coordinator serve", a.home.display());
            say(a.json, &json!(settings), &text)?;
        }
        Verb::Serve => {
            let stop = async {
                let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
                let terminated = async {
                    match terminate.as_mut() {
                        Some(t) => t.recv().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminated => {}
                }
            };
            let federation = Federation::open(&a.home)?;
            let stopping = server::serve(federation, Arc::new(SystemClock), Arc::new(OsEntropy), simulation, stop);
            stopping.await?;
        }
        Verb::Site { verb } => {
            let (operation, out) = match verb {
                SiteVerb::Invite { id, country, again, out } => {
                    let country = country.to_ascii_uppercase();
                    (Operation::Invite { role: Role::Site, id: id.clone(), country, again: *again }, out.clone())
                }
                SiteVerb::Revoke { id } => (Operation::Revoke { role: Role::Site, id: id.clone() }, None),
                SiteVerb::Withdraw { id } => (Operation::Withdraw { role: Role::Site, id: id.clone() }, None),
                SiteVerb::Ledger { id, out } => (Operation::Ledger { site: SiteId::parse(id)? }, out.clone()),
                SiteVerb::List => (Operation::List { role: Role::Site }, None),
            };
            operate(&a, &operation, out).await?;
        }
        Verb::Analyst { verb } => {
            let (operation, out) = match verb {
                AnalystVerb::Enroll { invitation } => {
                    let text = std::fs::read_to_string(invitation).unwrap_or_else(|_| invitation.clone());
                    let identity = analyst::enroll(&a.identity, &text).await?;
                    let peer = identity.peer()?;
                    let value = json!({ "name": peer.name.to_string(), "serial": peer.serial });
                    say(a.json, &value, &format!("enrolled as {}", peer.name))?;
                    return Ok(ExitCode::SUCCESS);
                }
                AnalystVerb::Invite { id, again, out } => {
                    let operation = Operation::Invite {
                        role: Role::Analyst,
                        id: id.clone(),
                        country: String::new(),
                        again: *again,
                    };
                    (operation, out.clone())
                }
                AnalystVerb::Revoke { id } => (Operation::Revoke { role: Role::Analyst, id: id.clone() }, None),
                AnalystVerb::Withdraw { id } => (Operation::Withdraw { role: Role::Analyst, id: id.clone() }, None),
                AnalystVerb::List => (Operation::List { role: Role::Analyst }, None),
            };
            operate(&a, &operation, out).await?;
        }
        Verb::Model { verb } => model::run(&a, verb)?,
        Verb::Privacy { verb } => privacy::run(&a, verb)?,
        Verb::Releases { verb: ReleasesVerb::Verify { file } } => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
            let bundle: Bundle = serde_json::from_str(&text).context("this is no bundle of releases")?;
            let verified = bundle.verify()?;
            say(a.json, &json!(verified), verified.text().trim_end())?;
        }
        Verb::Study { verb } => return study::run(&a, verb).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Carries an operator's command out: on the store, or, while the coordinator runs, through it.
async fn operate(a: &Arguments, operation: &Operation, out: Option<PathBuf>) -> anyhow::Result<()> {
    let federation = Federation::open(&a.home)?;
    let value = match RocksStore::open(&federation.store()) {
        Ok(store) => {
            let store: SharedStore = Arc::new(store);
            {
                let (registry, anchors) = (Registry::new(store.clone()), Anchors::new(store));
                operations::execute(&federation, &registry, &anchors, operation, &SystemClock, &OsEntropy)?
            }
        }
        Err(StoreError::Locked { .. }) => {
            let (mut client, _, _) = analyst::connect(&a.home.join("operator")).await?;
            let request = wire::OperatorRequest { command_json: serde_json::to_string(operation)? };
            let reply = client.operate(request).await.map_err(|s| analyst::refusal(&s))?;
            serde_json::from_str(&reply.into_inner().reply_json)?
        }
        Err(e) => return Err(e.into()),
    };
    let text = match operation {
        Operation::Invite { .. } => value.get("invitation").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Operation::Revoke { role, id } => format!("{role} {id} is revoked"),
        Operation::Withdraw { role, id } => {
            let n = value.get("withdrawn").and_then(Value::as_u64).unwrap_or_default();
            format!("{n} unused invitation(s) of {role} {id} withdrawn")
        }
        Operation::Ledger { .. } => format!("{value:#}"),
        Operation::List { .. } => {
            let members = value.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
            let line = |m: &Value| {
                let text = |k: &str| m.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
                let state = if m.get("revoked") == Some(&json!(true)) { "revoked" } else { "enrolled" };
                format!("{:<24} {:<3} {state}", text("id"), text("country"))
            };
            members.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    if let (Operation::Ledger { site }, Some(path)) = (operation, &out) {
        platform::files::write_atomic(path, format!("{text}\n").as_bytes())
            .with_context(|| format!("{} can't be written", path.display()))?;
        let said = format!("the copy of {site}'s ledger was written to {}", path.display());
        return Ok(say(a.json, &json!({ "written": path }), &said)?);
    }
    if let (Operation::Invite { .. }, Some(path)) = (operation, out) {
        platform::files::write_secret(&path, format!("{text}\n").as_bytes())
            .with_context(|| format!("{} can't be written", path.display()))?;
        return Ok(say(a.json, &json!({ "written": path }), &format!("invitation written to {}", path.display()))?);
    }
    Ok(say(a.json, &value, &text)?)
}
