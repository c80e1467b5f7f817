//! A federation over folders of sites: each folder has `site.toml` and extracts. Everything is started, used and removed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use certs::Role;
use coordinator::analyst;
use coordinator::federation::{Federation, Settings};
use coordinator::registry::Registry;
use coordinator::results::{Provenance, Results};
use indicatif::{ProgressBar, ProgressStyle};
use platform::{OsEntropy, RocksStore, SystemClock};
use proto::wire::DescribeRequest;
use study::Plan;

/// How long sites may take to come online.
const ONLINE: Duration = Duration::from_secs(120);
/// Processes that ingest at once.
const AT_ONCE: usize = 2;

/// What to run.
pub struct Options {
    /// A folder of sites.
    pub sites: PathBuf,
    /// Whether noise is added.
    pub noise: bool,
    /// Whether bars are drawn.
    pub quiet: bool,
    /// Ways in which site.toml is changed for the simulation.
    pub widen: bool,
}

/// A site that takes part.
pub struct Site {
    /// Its id.
    pub id: String,
    /// Its folder in the simulation.
    pub home: PathBuf,
    process: Option<Child>,
}

/// A federation that runs. Dropping it ends its processes and removes its files.
pub struct Local {
    work: tempfile::TempDir,
    coordinator: Option<Child>,
    /// Its sites.
    pub sites: Vec<Site>,
    noise: bool,
    quiet: bool,
}

impl Drop for Local {
    fn drop(&mut self) {
        for child in self.sites.iter_mut().filter_map(|s| s.process.as_mut()).chain(self.coordinator.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn bar(quiet: bool, length: u64, what: &str) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(length) };
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A site's settings for the simulation: sources by their full paths, approval by rule, state in the simulation's own folder,
/// and a budget that holds the study.
fn settings(folder: &Path, home: &Path, widen: bool) -> anyhow::Result<String> {
    let file = folder.join("site.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} can't be read", file.display()))?;
    let mut table: toml::Table = text.parse().with_context(|| format!("{} can't be read", file.display()))?;
    let folder = folder.canonicalize()?;
    if let Some(sources) = table.get_mut("source").and_then(toml::Value::as_array_mut) {
        for source in sources.iter_mut().filter_map(toml::Value::as_table_mut) {
            for key in ["path", "mapping"] {
                if let Some(path) = source.get(key).and_then(toml::Value::as_str).map(|p| folder.join(p)) {
                    source.insert(key.to_owned(), path.display().to_string().into());
                }
            }
        }
    }
    table.insert("state".to_owned(), "state".into());
    table.insert("approval".to_owned(), toml::toml! { mode = "auto" }.into());
    table.entry("disclosure").or_insert_with(|| toml::Table::new().into());
    if let Some(d) = table.get_mut("disclosure").and_then(toml::Value::as_table_mut) {
        // Simulated cohorts may be small, where the site does not say how large they have to be.
        d.entry("min_cohort").or_insert(0.into());
        // Nobody is here to be asked; what a site refuses stays refused.
        for key in ["sql", "own_estimates", "streams"] {
            if d.get(key).and_then(toml::Value::as_str) != Some("refuse") {
                d.insert(key.to_owned(), "allow".into());
            }
        }
        if widen {
            d.insert("min_cell".to_owned(), 0.into());
        }
    }
    if widen {
        let budget = toml::toml! {
            study_rho = 1000000.0
            year_rho = 1000000.0
            tranche_rho = 1000000.0
            lifetime_rho = 1000000.0
        };
        table.insert("budget".to_owned(), budget.into());
    }
    let out = toml::to_string(&table)?;
    std::fs::create_dir_all(home)?;
    std::fs::write(home.join("site.toml"), &out)?;
    table.get("id").and_then(toml::Value::as_str).map(str::to_owned).context("site.toml gives no id")
}

/// What the staff of the hospitals do by telephone: every site pins the identity keys of all.
fn pin_each_other(sites: &[(site_agent::config::Config, certs::Invitation)]) -> anyhow::Result<()> {
    let mut pins = site_agent::identity::Pins::default();
    for (config, _) in sites {
        let key = site_agent::identity::key(config, &OsEntropy)?;
        pins.pin(config.id.clone(), key.public().fingerprint());
    }
    for (config, _) in sites {
        pins.write(config)?;
    }
    Ok(())
}

/// The folders of sites in a folder, in order.
fn folders(sites: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(sites)
        .with_context(|| format!("{} can't be read", sites.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.join("site.toml").is_file())
        .collect();
    folders.sort();
    ensure!(!folders.is_empty(), "{} has no folder with a site.toml", sites.display());
    Ok(folders)
}

/// Whether a folder has as many sites as a study waits for.
///
/// # Errors
/// It has fewer, or can't be read.
pub fn enough(sites: &Path, plan: &Plan) -> anyhow::Result<()> {
    let (there, least) = (folders(sites)?.len(), plan.study.rounds.min_sites as usize);
    ensure!(
        there >= least,
        "the study waits for {least} sites, and {} has {there}; add sites, or lower min_sites under [rounds] in the study",
        sites.display()
    );
    Ok(())
}

impl Local {
    /// Sets a federation up over the folders: authority, coordinator, certificates, data. Agents do not run yet.
    ///
    /// # Errors
    /// A folder is no site, or a process fails.
    pub async fn set_up(options: &Options) -> anyhow::Result<Local> {
        let folders = folders(&options.sites)?;
        let work = tempfile::Builder::new().prefix("insitu-").tempdir()?;
        let home = work.path().join("federation");
        let settings_of = Settings {
            name: "simulation".to_owned(),
            address: format!("127.0.0.1:{}", free_port()?),
            certificate_seconds: 90 * 86_400,
            invitation_seconds: 86_400,
        };
        let federation = Federation::init(&home, settings_of, &SystemClock, &OsEntropy)?;
        let mut local =
            Local { work, coordinator: None, sites: Vec::new(), noise: options.noise, quiet: options.quiet };
        let mut invitations = Vec::new();
        let analyst_text = {
            let registry = Registry::new(Arc::new(RocksStore::open(&federation.store())?));
            for folder in &folders {
                let name = folder.file_name().unwrap_or_default();
                let home = local.work.path().join("sites").join(name);
                let id = settings(folder, &home, options.widen)?;
                let config = site_agent::config::Config::read(&home)?;
                let invitation =
                    registry.invite(&federation, Role::Site, &id, &config.country, &SystemClock, &OsEntropy)?;
                invitations.push((config, invitation));
                local.sites.push(Site { id, home, process: None });
            }
            registry.invite(&federation, Role::Analyst, "analyst", "", &SystemClock, &OsEntropy)?.to_text()?
        };
        local.start_coordinator()?;
        let progress = bar(options.quiet, invitations.len() as u64, "enrolling");
        local.wait_for_coordinator().await?;
        for (config, invitation) in &invitations {
            site_agent::enroll::enroll(config, invitation).await?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        pin_each_other(&invitations)?;
        analyst::enroll(&local.analyst(), &analyst_text).await?;
        local.ingest()?;
        Ok(local)
    }

    /// The folder of the analyst's identity.
    pub fn analyst(&self) -> PathBuf {
        self.work.path().join("analyst")
    }

    /// The federation's folder.
    pub fn federation(&self) -> PathBuf {
        self.work.path().join("federation")
    }

    fn command(&self, role: &str, log: &str) -> anyhow::Result<Command> {
        let log = std::fs::File::options().create(true).append(true).open(self.work.path().join(log))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if !self.noise {
            command.arg("--noise-off");
        }
        Ok(command)
    }

    fn start_coordinator(&mut self) -> anyhow::Result<()> {
        let home = self.federation();
        let mut command = self.command("coordinator-process", "coordinator.log")?;
        self.coordinator = Some(command.arg("--home").arg(home).arg("serve").spawn()?);
        Ok(())
    }

    async fn wait_for_coordinator(&self) -> anyhow::Result<()> {
        let settings = Federation::settings(&self.federation())?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if tokio::net::TcpStream::connect(&settings.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the coordinator did not start; {}", self.log("coordinator.log"))
    }

    fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.work.path().join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(5);
        format!("its log ends with:\n{}", lines.get(last..).unwrap_or_default().join("\n"))
    }

    fn ingest(&self) -> anyhow::Result<()> {
        let progress = bar(self.quiet, self.sites.len() as u64, "ingesting extracts");
        let mut running: Vec<(&Site, Child)> = Vec::new();
        let mut waiting = self.sites.iter();
        loop {
            while running.len() < AT_ONCE {
                let Some(site) = waiting.next() else { break };
                let mut command = self.command("agent-process", &format!("{}.log", site.id))?;
                running.push((site, command.arg("--home").arg(&site.home).args(["ingest", "--json"]).spawn()?));
            }
            if running.is_empty() {
                break;
            }
            let mut still = Vec::new();
            for (site, mut child) in running {
                match child.try_wait()? {
                    None => still.push((site, child)),
                    Some(status) => {
                        ensure!(
                            status.success(),
                            "{} could not ingest; {}",
                            site.id,
                            self.log(&format!("{}.log", site.id))
                        );
                        progress.inc(1);
                    }
                }
            }
            running = still;
            std::thread::sleep(Duration::from_millis(10));
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Starts every agent and waits until all are online.
    ///
    /// # Errors
    /// An agent does not come.
    pub async fn start_agents(&mut self) -> anyhow::Result<()> {
        self.start_agents_of_whom_drop(0).await
    }

    /// The same; the last so many agents drop out of every secure round.
    ///
    /// # Errors
    /// An agent does not come.
    pub async fn start_agents_of_whom_drop(&mut self, dropping: usize) -> anyhow::Result<()> {
        let staying = self.sites.len().saturating_sub(dropping);
        for i in 0..self.sites.len() {
            let Some((id, home)) = self.sites.get(i).map(|s| (s.id.clone(), s.home.clone())) else { continue };
            let mut command = self.command("agent-process", &format!("{id}.log"))?;
            if i >= staying {
                command.arg("--drops-out");
            }
            let child = command.arg("--home").arg(home).arg("run").spawn()?;
            if let Some(site) = self.sites.get_mut(i) {
                site.process = Some(child);
            }
        }
        let progress = bar(self.quiet, self.sites.len() as u64, "agents coming online");
        let begun = Instant::now();
        let (mut client, _, _) = analyst::connect(&self.analyst()).await?;
        loop {
            let d = client.describe(DescribeRequest {}).await?.into_inner();
            let online = d.sites.iter().filter(|s| s.online).count();
            progress.set_position(online as u64);
            if online == self.sites.len() {
                break;
            }
            let missing: Vec<_> = d.sites.iter().filter(|s| !s.online).map(|s| s.id.as_str()).collect();
            if begun.elapsed() > ONLINE {
                let first = missing.first().copied().unwrap_or_default();
                anyhow::bail!("{} did not come online; {}", missing.join(", "), self.log(&format!("{first}.log")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Runs a study to its end and writes its results.
    ///
    /// # Errors
    /// The study fails.
    pub async fn run(&self, plan: &Plan, out: &Path) -> anyhow::Result<(Results, Provenance, Vec<PathBuf>)> {
        let mut client = self.finish(plan).await?;
        analyst::fetch(&mut client, plan.study.id.as_str(), out).await
    }

    /// Runs a study to its end and leaves its results at the coordinator.
    ///
    /// # Errors
    /// The study fails.
    pub async fn finish(&self, plan: &Plan) -> anyhow::Result<analyst::Client> {
        let (mut client, identity, _) = analyst::connect(&self.analyst()).await?;
        let signed = analyst::sign(plan, &identity, true)?;
        client.submit(signed).await.map_err(|s| analyst::refusal(&s))?;
        let progress = bar(self.quiet, 1, "rounds");
        let mut stream = client
            .watch(proto::wire::StudyRef { study: plan.study.id.to_string() })
            .await
            .map_err(|s| analyst::refusal(&s))?
            .into_inner();
        let mut last = None;
        while let Some(status) = stream.message().await.map_err(|s| analyst::refusal(&s))? {
            progress.set_length(u64::from(status.rounds_planned.max(1)));
            progress.set_position(u64::from(status.rounds_done));
            let over = matches!(status.state.as_str(), "done" | "failed" | "cancelled");
            last = Some(status);
            if over {
                break;
            }
        }
        progress.finish_and_clear();
        let last = last.context("the coordinator ended the watch")?;
        if last.state != "done" {
            let why: Vec<String> = last
                .sites
                .iter()
                .filter(|s| !s.reason.is_empty())
                .take(5)
                .map(|s| format!("{}: {}", s.id, s.reason))
                .collect();
            anyhow::bail!("the study {}: {} {}", last.state, last.detail, why.join("; "));
        }
        Ok(client)
    }

    /// The process ids of the agents and the coordinator, for measurements.
    pub fn processes(&self) -> (Option<u32>, Vec<u32>) {
        let agents = self.sites.iter().filter_map(|s| s.process.as_ref().map(Child::id)).collect();
        (self.coordinator.as_ref().map(Child::id), agents)
    }
}

/// A plan for the simulated federation. With noise off, models go on until they converge, and no row is clipped.
///
/// # Errors
/// The study has problems; they are listed.
pub fn plan(file: &Path, noise: bool) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    plan_of(&text, noise).with_context(|| file.display().to_string())
}

/// The same from a study's text.
///
/// # Errors
/// As [`plan`].
pub fn plan_of(text: &str, noise: bool) -> anyhow::Result<Plan> {
    let listed = |problems: Vec<study::Problem>| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    };
    let mut study = study::read::checked(text).map_err(listed)?;
    if !noise {
        for a in &mut study.analysis {
            a.exact();
        }
    }
    Plan::new("simulation", study).map_err(|p| listed(study::read::located(text, p)))
}
