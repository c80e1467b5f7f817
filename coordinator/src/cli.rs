//! The `coordinator` command line: for the operator who runs the federation, and for analysts.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the study has problems, 4 the study failed or was cancelled.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use certs::Role;
use certs::bundle::Bundle;
use clap::{Parser, Subcommand};
use platform::store::SharedStore;
use platform::{OsEntropy, RocksStore, StoreError, SystemClock};
use privacy::accounting::{Accountant, search};
use proto::SiteId;
use proto::wire;
use serde_json::{Value, json};

use study::planner::{Needed, Wanted};

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
    Analyst {
        #[command(subcommand)]
        verb: AnalystVerb,
    },
    /// What noise means: ε of a plan, and the noise for an ε
    Privacy {
        #[command(subcommand)]
        verb: PrivacyVerb,
    },
    /// Verify exported releases
    Releases {
        #[command(subcommand)]
        verb: ReleasesVerb,
    },
    /// Check, plan, submit and follow studies
    Study {
        #[command(subcommand)]
        verb: StudyVerb,
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
enum PrivacyVerb {
    /// The ε of Gaussian noise over rounds with Poisson sampling
    #[command(
        after_help = "Example:\n  coordinator privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.00427 --rounds 14063 --delta 1e-5"
    )]
    Epsilon {
        /// σ over the L2 sensitivity
        #[arg(long)]
        noise_multiplier: f64,
        #[command(flatten)]
        plan: Sampled,
    },
    /// The least noise multiplier whose ε is no more than asked
    #[command(
        after_help = "Example:\n  coordinator privacy noise --epsilon 2 --sampling-rate 0.01 --rounds 1000 --delta 1e-5"
    )]
    Noise {
        /// ε
        #[arg(long)]
        epsilon: f64,
        #[command(flatten)]
        plan: Sampled,
    },
}

/// Rounds with sampling, and how they are counted.
#[derive(Clone, Copy, clap::Args)]
struct Sampled {
    /// The probability with which a patient is in a round
    #[arg(long, default_value_t = 1.0)]
    sampling_rate: f64,
    /// Rounds
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// δ
    #[arg(long)]
    delta: f64,
    /// How it is counted: rdp, or the tighter pld
    #[arg(long, default_value = "pld")]
    accountant: AccountantWord,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AccountantWord {
    Rdp,
    Pld,
}

impl From<AccountantWord> for Accountant {
    fn from(word: AccountantWord) -> Accountant {
        match word {
            AccountantWord::Rdp => Accountant::Rdp,
            AccountantWord::Pld => Accountant::Pld,
        }
    }
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
    /// All analysts
    #[command(after_help = "Example:\n  coordinator analyst list")]
    List,
}

#[derive(Subcommand)]
enum StudyVerb {
    /// Find what is wrong with a study file, with its lines
    #[command(after_help = "Example:\n  coordinator study check study.toml")]
    Check {
        /// The study file
        file: PathBuf,
    },
    /// Print cost and expected error before anything is spent
    #[command(
        after_help = "Example:\n  coordinator study plan study.toml --sites 40 --patients 5000 --want age:mean=0.5"
    )]
    Plan {
        /// The study file
        file: PathBuf,
        /// How many sites; asked from the coordinator, where not given
        #[arg(long)]
        sites: Option<usize>,
        /// Expected patients of the cohort at a site
        #[arg(long, default_value_t = 1000)]
        patients: usize,
        /// A precision that is wanted, as TERM:STATISTIC=HALF-WIDTH; what ε it takes is said. May be given again
        #[arg(long)]
        want: Vec<String>,
    },
    /// Sign a study and hand it in
    #[command(after_help = "Example:\n  coordinator --identity ada study submit study.toml --watch")]
    Submit {
        /// The study file
        file: PathBuf,
        /// Watch it until it is over
        #[arg(long)]
        watch: bool,
        /// Ask and pay again, though a study has answered the same: as when the sites' data are newer
        #[arg(long)]
        anew: bool,
    },
    /// Follow a study until it is over
    #[command(after_help = "Example:\n  coordinator study watch ckd-feas")]
    Watch {
        /// The study's id
        study: String,
    },
    /// All studies
    #[command(after_help = "Example:\n  coordinator study list --json")]
    List,
    /// One study: its sites and what they said
    #[command(after_help = "Example:\n  coordinator study show ckd-feas")]
    Show {
        /// The study's id
        study: String,
    },
    /// Write estimates, provenance and report
    #[command(after_help = "Example:\n  coordinator --identity ada study results ckd-feas --out results")]
    Results {
        /// The study's id
        study: String,
        /// Into this folder
        #[arg(long, default_value = "results")]
        out: PathBuf,
    },
    /// Write a study's releases with their proofs, to be verified offline
    #[command(after_help = "Example:\n  coordinator --identity ada study bundle ckd-feas --out bundle.json")]
    Bundle {
        /// The study's id
        study: String,
        /// Into this file
        #[arg(long, default_value = "bundle.json")]
        out: PathBuf,
    },
    /// Stop a study
    #[command(after_help = "Example:\n  coordinator study cancel ckd-feas")]
    Cancel {
        /// The study's id
        study: String,
    },
}

/// Runs the command line.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with(arguments, false)
}

/// Runs the command line; `simulation` is true in the simulator alone.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>, simulation: bool) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(a) => a,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let default = if matches!(arguments.verb, Verb::Serve) { "info" } else { "warn" };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("INSITU_LOG").unwrap_or_else(|_| default.into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, simulation)),
        Err(e) => Err(e.into()),
    };
    match result {
        Ok(code) => code,
        // Whoever read the output has closed it, as `head` does: nothing failed.
        Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "coordinator: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(json: bool, value: &Value, text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{value:#}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(())
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
                AnalystVerb::List => (Operation::List { role: Role::Analyst }, None),
            };
            operate(&a, &operation, out).await?;
        }
        Verb::Privacy { verb } => privacy(&a, verb)?,
        Verb::Releases { verb: ReleasesVerb::Verify { file } } => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
            let bundle: Bundle = serde_json::from_str(&text).context("this is no bundle of releases")?;
            let verified = bundle.verify()?;
            say(a.json, &json!(verified), verified.text().trim_end())?;
        }
        Verb::Study { verb } => return study(&a, verb).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn privacy(a: &Arguments, verb: &PrivacyVerb) -> anyhow::Result<()> {
    let (PrivacyVerb::Epsilon { plan, .. } | PrivacyVerb::Noise { plan, .. }) = verb;
    let Sampled { sampling_rate: rate, rounds, delta, accountant: word } = *plan;
    let noise = match *verb {
        PrivacyVerb::Epsilon { noise_multiplier, .. } => noise_multiplier,
        PrivacyVerb::Noise { epsilon, .. } => search::noise_multiplier(word.into(), epsilon, rate, rounds, delta)?,
    };
    let epsilon = search::epsilon(word.into(), noise, rate, rounds, delta)?;
    let accountant = format!("{word:?}").to_lowercase();
    let value = json!({
        "epsilon": epsilon, "delta": delta, "noise_multiplier": noise, "sampling_rate": rate, "rounds": rounds,
        "accountant": accountant,
    });
    let text = format!(
        "ε = {:.4} at δ = {delta:e}: noise multiplier {noise:.4}, sampling rate {rate}, {rounds} round(s), {accountant}",
        // Never below the bound: the last digit is rounded up.
        (epsilon * 1e4).ceil() / 1e4,
    );
    say(a.json, &value, &text)
}

/// `TERM:STATISTIC=HALF-WIDTH`.
fn wanted(text: &str) -> anyhow::Result<Wanted> {
    let parts =
        text.rsplit_once('=').and_then(|(what, width)| Some((what.rsplit_once(':')?, width.parse::<f64>().ok()?)));
    match parts {
        Some(((term, statistic), half_width)) if half_width > 0.0 => {
            Ok(Wanted { term: term.to_owned(), statistic: statistic.to_owned(), half_width })
        }
        _ => anyhow::bail!("'{text}' is no wanted precision; write it like age:mean=0.5"),
    }
}

fn needed_text(needed: &[Needed]) -> String {
    let shown = |e: Option<f64>| {
        e.map_or_else(|| "no ε (the error of sampling alone is larger)".to_owned(), |e| format!("ε {e:.3}"))
    };
    let one = |n: &Needed| {
        format!(
            "± {} for {} of {} takes {} with local noise, {} under secure aggregation\n",
            n.wanted.half_width,
            n.wanted.statistic,
            n.wanted.term,
            shown(n.epsilon_local),
            shown(n.epsilon_secure)
        )
    };
    needed.iter().map(one).collect()
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
        return say(a.json, &json!({ "written": path }), &said);
    }
    if let (Operation::Invite { .. }, Some(path)) = (operation, out) {
        platform::files::write_secret(&path, format!("{text}\n").as_bytes())
            .with_context(|| format!("{} can't be written", path.display()))?;
        return say(a.json, &json!({ "written": path }), &format!("invitation written to {}", path.display()));
    }
    say(a.json, &value, &text)
}

async fn study(a: &Arguments, verb: &StudyVerb) -> anyhow::Result<ExitCode> {
    let reference = |study: &str| wire::StudyRef { study: study.to_owned() };
    match verb {
        StudyVerb::Check { file } => match analyst::read(file, "federation")? {
            Ok(plan) => {
                let value = json!({ "study": plan.study.id, "problems": [] });
                say(a.json, &value, &format!("{}: {} has no problems", file.display(), plan.study.id))?;
            }
            Err(problems) => return problems_found(a, file, &problems),
        },
        StudyVerb::Plan { file, sites, patients, want } => {
            let (federation, known) = match sites {
                Some(n) => ("federation".to_owned(), *n),
                None => {
                    let (mut client, _, at) = analyst::connect(&a.identity).await.context(
                        "the number of sites is not known; give --sites, or --identity of an enrolled analyst",
                    )?;
                    let d = client.describe(wire::DescribeRequest {}).await.map_err(|s| analyst::refusal(&s))?;
                    (at.federation, d.into_inner().sites.len())
                }
            };
            anyhow::ensure!(known > 0 && *patients > 0, "a study is planned for one site and one patient or more");
            match analyst::read(file, &federation)? {
                Ok(plan) => {
                    let least = plan.study.rounds.min_sites as usize;
                    anyhow::ensure!(known >= least, "the study needs {least} sites, and {known} are planned with");
                    let cost = study::planner::cost(&plan, known, *patients)
                        .map_err(|e| anyhow::anyhow!("the study can't be planned: {e}"))?;
                    let needed = want
                        .iter()
                        .map(|w| {
                            let wanted = wanted(w)?;
                            study::planner::needed(&plan, known, *patients, wanted).map_err(|e| anyhow::anyhow!(e))
                        })
                        .collect::<anyhow::Result<Vec<_>>>()?;
                    let mut value = json!(cost);
                    if let Some(map) = value.as_object_mut() {
                        map.insert("wanted".to_owned(), json!(needed));
                    }
                    say(a.json, &value, (needed_text(&needed) + &plan_text(&cost)).trim_end())?;
                }
                Err(problems) => return problems_found(a, file, &problems),
            }
        }
        StudyVerb::Submit { file, watch, anew } => {
            let (mut client, identity, at) = analyst::connect(&a.identity).await?;
            let plan = match analyst::read(file, &at.federation)? {
                Ok(plan) => plan,
                Err(problems) => return problems_found(a, file, &problems),
            };
            let signed = analyst::sign(&plan, &identity, *anew)?;
            let status = client.submit(signed).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            if *watch {
                return over(a, &analyst::watch(&a.identity, &status.study, a.json).await?);
            }
            say(a.json, &analyst::status_json(&status), &analyst::status_line(&status))?;
        }
        StudyVerb::Watch { study } => return over(a, &analyst::watch(&a.identity, study, a.json).await?),
        StudyVerb::List => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let list = client.list(wire::ListRequest {}).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            let text: Vec<String> = list.studies.iter().map(analyst::status_line).collect();
            let value: Vec<Value> = list.studies.iter().map(analyst::status_json).collect();
            say(a.json, &json!(value), &text.join("\n"))?;
        }
        StudyVerb::Show { study } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let status = client.show(reference(study)).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            let mut text = analyst::status_line(&status);
            for s in &status.sites {
                let decision = s.decision().as_str_name().trim_start_matches("DECISION_").to_lowercase();
                let online = if s.online { "online" } else { "offline" };
                text += &format!("\n  {:<24} {online:<8} {decision:<12} {} {}", s.id, s.code, s.reason);
            }
            say(a.json, &analyst::status_json(&status), &text)?;
        }
        StudyVerb::Results { study, out } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let (results, _, files) = analyst::fetch(&mut client, study, out).await?;
            let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
            let value = json!({ "files": names, "analyses": results.analyses.len() });
            say(a.json, &value, &names.join("\n"))?;
        }
        StudyVerb::Bundle { study, out } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let reply = client.bundle(reference(study)).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            let bundle: Bundle = serde_json::from_slice(&reply.bundle_json)?;
            let verified = bundle.verify()?;
            anyhow::ensure!(
                verified.entries > 0,
                "no ledger has an entry of the study '{study}'; see coordinator study list"
            );
            platform::files::write_atomic(out, &serde_json::to_vec_pretty(&bundle)?)
                .with_context(|| format!("{} can't be written", out.display()))?;
            let text =
                format!("{} entries of {} sites written to {}", verified.entries, verified.sites.len(), out.display());
            say(a.json, &json!({ "written": out, "verified": verified }), &text)?;
        }
        StudyVerb::Cancel { study } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let status = client.cancel(reference(study)).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            say(a.json, &analyst::status_json(&status), &analyst::status_line(&status))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn over(a: &Arguments, status: &wire::StudyStatus) -> anyhow::Result<ExitCode> {
    if !a.json && std::io::stderr().is_terminal() {
        say(false, &Value::Null, &analyst::status_line(status))?;
    }
    Ok(if status.state == "done" { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

fn problems_found(a: &Arguments, file: &std::path::Path, problems: &[study::Problem]) -> anyhow::Result<ExitCode> {
    let lines: Vec<String> = problems.iter().map(|p| format!("{}: {p}", file.display())).collect();
    say(a.json, &json!({ "problems": problems }), &lines.join("\n"))?;
    Ok(ExitCode::from(3))
}

fn plan_text(cost: &study::planner::Cost) -> String {
    let shown = |w: Option<f64>| w.map_or_else(|| "withheld".to_owned(), |w| format!("{w:.4}"));
    let mut out = format!(
        "at each site: ε {:.3} at δ {:e} (ρ {}), {} sites, about {} patients of the cohort at each\n",
        cost.epsilon.0, cost.delta, cost.rho, cost.sites, cost.patients
    );
    for a in &cost.analyses {
        out += &format!("\n{}: {} round(s), ρ {}\n", a.analysis, a.rounds, a.rho);
        out += &format!(
            "  {:<40} {:<14} {:>14} {:>18} {:>12} {:>12}\n",
            "term", "statistic", "± expected", "± privacy alone", "± local", "± secure"
        );
        for e in a.expected.iter().take(40) {
            out += &format!(
                "  {:<40} {:<14} {:>14.4} {:>18.4} {:>12} {:>12}\n",
                e.term,
                e.statistic,
                e.half_width,
                e.half_width_privacy,
                shown(e.half_width_local),
                shown(e.half_width_secure)
            );
        }
    }
    out += "\nnothing was sent and nothing was spent\n";
    out
}
