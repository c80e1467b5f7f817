//! The `simulator` command line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, Subcommand, ValueEnum};
use platform::terminal::{end, misused};
use privacy::{DiscreteGaussian, Mechanism};

use crate::dropping::Dropping;
use crate::generate;
use crate::local::{Local, Options, enough, plan};
use crate::{bench, demo, split};

/// A whole federation on one machine, for demonstrations, methods work and measurements.
#[derive(Parser)]
#[command(
    name = "simulator",
    version,
    after_help = "Example:\n  simulator demo\n  simulator run --study study.toml --sites sites --out results --noise off"
)]
struct Arguments {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Forty synthetic hospitals in eight countries, one study, each estimate beside the truth
    #[command(after_help = "Example:\n  simulator demo --sites 40 --patients 800")]
    Demo {
        /// How many hospitals
        #[arg(long, default_value_t = 40)]
        sites: usize,
        /// Patients a hospital, on average
        #[arg(long, default_value_t = 800)]
        patients: usize,
        /// The seed of the synthetic patients
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the report goes
        #[arg(long, default_value = "demo-results")]
        out: PathBuf,
    },
    /// Run a study over folders of sites, all on this machine
    #[command(
        after_help = "Example:\n  simulator run --study examples/heart-disease/study.toml --sites sites --out results --noise off"
    )]
    Run {
        /// The study file; several are run one after the other in one federation
        #[arg(long, required = true)]
        study: Vec<PathBuf>,
        /// A folder whose folders are sites: site.toml and extracts
        #[arg(long)]
        sites: PathBuf,
        /// Where the results go; of several studies each has a folder there, named by its id
        #[arg(long)]
        out: PathBuf,
        /// `off` adds no noise: the results are exact and not private
        #[arg(long, default_value = "on")]
        noise: Noise,
    },
    /// Write synthetic extracts and the truth
    #[command(after_help = "Example:\n  simulator generate --sites 8 --patients 500 --seed 7 --out sites")]
    Generate {
        /// How many sites
        #[arg(long, default_value_t = 40)]
        sites: usize,
        /// Patients a site, on average
        #[arg(long, default_value_t = 800)]
        patients: usize,
        /// The seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where to
        #[arg(long)]
        out: PathBuf,
    },
    /// Split a FHIR NDJSON extract of many organisations into sites
    #[command(after_help = "Example:\n  simulator split --from ndjson --out sites --sites 8")]
    Split {
        /// The folder with the NDJSON files
        #[arg(long)]
        from: PathBuf,
        /// Where the sites go
        #[arg(long)]
        out: PathBuf,
        /// How many sites; organisations are dealt out by size
        #[arg(long, default_value_t = 8)]
        sites: usize,
    },
    /// Measure rounds, memory and sizes on this machine
    #[command(after_help = "Example:\n  simulator bench --agents 40")]
    Bench {
        /// What to measure
        #[arg(long, value_enum, default_value = "rounds")]
        what: bench::What,
        /// How many agents
        #[arg(long, default_value_t = 40)]
        agents: usize,
        /// Rounds of each size
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Noise {
    On,
    Off,
}

/// Runs the command line; also the coordinator's or an agent's, when started as one of their processes.
pub fn main(mut arguments: Vec<OsString>) -> ExitCode {
    let role = arguments.get(1).and_then(|a| a.to_str()).unwrap_or_default().to_owned();
    if role == "agent-process" || role == "coordinator-process" {
        arguments.remove(1);
        let mut flag = |name: &str| {
            let given = arguments.get(1).is_some_and(|a| a == name);
            if given {
                arguments.remove(1);
            }
            given
        };
        let (off, drops) = (flag("--noise-off"), flag("--drops-out"));
        return if role == "agent-process" {
            let mechanism = if drops { Box::new(Dropping) } else { mechanism(off) };
            site_agent::cli::main_with(arguments, mechanism)
        } else {
            coordinator::cli::main_with(arguments, off)
        };
    }
    let given = arguments;
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(a) => a,
        Err(e) => return misused(&given, e.use_stderr(), &e.to_string(), || drop(e.print())),
    };
    let json = arguments.json;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(e) => Err(e.into()),
    };
    end("simulator", json, result.map(|()| ExitCode::SUCCESS), |_| 1)
}

#[allow(clippy::disallowed_methods)] // The one place where noise may be switched off.
fn mechanism(off: bool) -> Box<dyn Mechanism> {
    if off { privacy::simulation::without_noise() } else { Box::new(DiscreteGaussian) }
}

/// Runs studies one after the other over one federation, and writes and tells their results.
async fn run_studies(
    files: &[PathBuf],
    sites: PathBuf,
    out: &Path,
    (noise, json, quiet): (bool, bool, bool),
) -> anyhow::Result<()> {
    let plans = files.iter().map(|f| plan(f, noise)).collect::<anyhow::Result<Vec<_>>>()?;
    let ids: BTreeSet<&str> = plans.iter().map(|p| p.study.id.as_str()).collect();
    ensure!(ids.len() == plans.len(), "two of the studies have the same id");
    for plan in &plans {
        enough(&sites, plan)?;
    }
    let mut local = Local::set_up(&Options { sites, noise, quiet, widen: true }).await?;
    local.start_agents().await?;
    let mut told = std::io::stdout();
    let mut written = Vec::new();
    for plan in &plans {
        let folder = if plans.len() == 1 { out.to_owned() } else { out.join(plan.study.id.as_str()) };
        let (results, _, files) = local.run(plan, &folder).await?;
        if !json {
            if !noise {
                writeln!(told, "NOT PRIVATE: a simulation without noise")?;
            }
            for a in &results.analyses {
                writeln!(told, "\n{}", a.name)?;
                demo::print_rows(&mut told, &a.estimate.rows)?;
            }
            for f in &files {
                writeln!(told, "{}", f.display())?;
            }
        }
        written.extend(files);
    }
    if json {
        writeln!(told, "{}", serde_json::json!({ "files": written, "private": noise }))?;
    }
    Ok(())
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let quiet = arguments.json || !std::io::stderr().is_terminal();
    match arguments.verb {
        Verb::Demo { sites, patients, seed, out } => {
            demo::run(&demo::Options { sites, patients, seed, out, json: arguments.json }).await?;
        }
        Verb::Run { study, sites, out: folder, noise } => {
            run_studies(&study, sites, &folder, (noise == Noise::On, arguments.json, quiet)).await?;
        }
        Verb::Generate { sites, patients, seed, out: folder } => {
            let options = generate::Options { sites, patients, seed, out: folder.clone() };
            let summary = demo::generate_with_bar(&options, quiet)?;
            let value = serde_json::json!({
                "sites": summary.sites.len(), "patients": summary.patients(), "rows": summary.rows(), "out": folder,
            });
            if arguments.json {
                writeln!(out, "{value}")?;
            } else {
                let (sites, patients, rows) = (summary.sites.len(), summary.patients(), summary.rows());
                writeln!(out, "{sites} sites, {patients} patients, {rows} rows in {}", folder.display())?;
            }
        }
        Verb::Split { from, out: folder, sites } => {
            let made = split::split(&from, &folder, sites)?;
            if arguments.json {
                writeln!(out, "{}", serde_json::json!(made))?;
            } else {
                for s in made {
                    writeln!(
                        out,
                        "{}: {} organisations, {} patients, {} lines",
                        s.id, s.organisations, s.patients, s.lines
                    )?;
                }
            }
        }
        Verb::Bench { what, agents, rounds } => bench::run(what, agents, rounds, arguments.json).await?,
    }
    Ok(())
}
