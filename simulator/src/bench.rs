//! Figures of this machine, each beside its floor.
//!
//! * here: rounds with local noise, memory, sizes.
//! * [`ledger`]: debits of the ledger.
//! * [`secure`]: whole secure rounds.
//! * [`training`]: rounds of training, and the coordinator's memory as sites grow.

pub mod ledger;
pub mod secure;
pub mod training;

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::local::{Local, Options, plan_of};
use crate::{demo, generate};

const HEAD: &str = r#"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[rounds]
min_sites = 1
deadline_seconds = 600
[cohorts.target]
entry = { table = "patient" }
[features.sbp]
kind = "measurement"
code = "loinc:8480-6"
unit = "mm[Hg]"
bounds = [80, 200]
[privacy]
epsilon = 100
"#;

/// What to measure.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Rounds with local noise, memory, sizes.
    Rounds,
    /// Secure rounds, with and without dropouts.
    Secure,
    /// Debits of the ledger.
    Ledger,
    /// Rounds of training.
    Training,
}

/// A vector to measure: a count, or a tree of so many children and levels.
#[derive(Clone, Copy)]
struct Size {
    branching: u32,
    depth: u32,
}

impl Size {
    fn lanes(self) -> usize {
        if self.depth == 0 { 1 } else { 1 + (1..=self.depth).map(|l| (self.branching as usize).pow(l)).sum::<usize>() }
    }
}

const ONE: Size = Size { branching: 0, depth: 0 };
/// 9,724 lanes.
const TEN_THOUSAND: Size = Size { branching: 21, depth: 3 };
/// 99,499 lanes.
const HUNDRED_THOUSAND: Size = Size { branching: 46, depth: 3 };
/// 1,048,575 lanes.
const MILLION: Size = Size { branching: 2, depth: 19 };

/// A study of so many rounds: every round is an analysis of its own over the same patients.
fn study(id: &str, size: Size, rounds: usize) -> String {
    let one = |i: usize| {
        if size.depth == 0 {
            format!("[[analysis]]\nname = \"r{i}\"\nkind = \"count\"\n")
        } else {
            let Size { branching, depth } = size;
            format!(
                "[[analysis]]\nname = \"r{i}\"\nkind = \"quantiles\"\nof = \"sbp\"\nbranching = {branching}\ndepth = {depth}\n"
            )
        }
    };
    format!("id = \"{id}\"\n{HEAD}{}", (0..rounds).map(one).collect::<String>())
}

/// Debits that the ledger's figures rest on.
const DEBITS: u32 = 2_000;

/// Resident memory of a process, in MiB: now, and at its peak.
fn memory(pid: u32) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(name)?.trim().split(' ').next()?.parse::<f64>().ok())
            .unwrap_or_default()
            / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// The median time of a synced write of a page, in milliseconds: the floor of anything durable.
fn sync_floor() -> anyhow::Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        file.as_file().write_all_at(&[7; 4096], 0)?;
        file.as_file().sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(25).copied().unwrap_or_default())
}

async fn measure(agents: usize, rounds: usize, noise: bool, sizes: &[Size]) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let options = generate::Options { sites: agents, patients: 20, seed: 5, out: folder.path().to_owned() };
    demo::generate_with_bar(&options, true)?;
    let set_up = Options { sites: folder.path().to_owned(), noise, quiet: true, widen: true };
    let mut local = Local::set_up(&set_up).await?;
    local.start_agents().await?;
    let (coordinator, pids) = local.processes();
    let idle: Vec<f64> = pids.iter().map(|p| memory(*p).0).collect();
    let idle = idle.iter().sum::<f64>() / idle.len().max(1) as f64;
    let mut out = vec![json!({ "what": "agent idle memory, mean, MiB", "value": idle, "aim": 30 })];
    for &size in sizes {
        let lanes = size.lanes();
        let rounds = if lanes > 100_000 { rounds.min(3) } else { rounds };
        let warm = plan_of(&study(&format!("warm-{lanes}"), size, 1), true)?;
        local.finish(&warm).await?;
        let plan = plan_of(&study(&format!("bench-{lanes}"), size, rounds), true)?;
        let begun = Instant::now();
        local.finish(&plan).await?;
        let seconds = begun.elapsed().as_secs_f64() / rounds as f64;
        let peak = coordinator.map(|p| memory(p).1).context("the coordinator's process")?;
        let bytes = lanes * 8 * agents;
        out.push(json!({
            "what": format!("round, {agents} agents, d = {lanes}, noise {}", if noise { "on" } else { "off" }),
            "seconds": seconds, "rounds": rounds, "payload_bytes": bytes,
            "coordinator_peak_mib": peak, "noise_samples": if noise { lanes * agents } else { 0 },
        }));
    }
    Ok(out)
}

/// Measures and prints.
///
/// # Errors
/// A federation does not run.
pub async fn run(what: What, agents: usize, rounds: usize, json_out: bool) -> anyhow::Result<()> {
    let rows = match what {
        What::Rounds => rounds_of(agents, rounds).await?,
        What::Secure => secure::run(agents, rounds).await?,
        What::Ledger => ledger::run(DEBITS)?,
        What::Training => training::run(agents, rounds).await?,
    };
    print(&rows, agents, json_out)
}

async fn rounds_of(agents: usize, rounds: usize) -> anyhow::Result<Vec<Value>> {
    let floor = sync_floor()?;
    let mut rows =
        vec![json!({ "what": "one synced write of 4 KiB, median, ms (the floor of a ledger entry)", "value": floor })];
    rows.extend(measure(agents, rounds, true, &[ONE, TEN_THOUSAND]).await?);
    rows.extend(measure(agents, rounds, false, &[ONE, TEN_THOUSAND, MILLION]).await?);
    let size = std::fs::metadata(std::env::current_exe()?)?.len();
    rows.push(json!({ "what": "this program (coordinator, agent and simulator in one), MiB", "value": size as f64 / 1048576.0 }));
    Ok(rows)
}

fn print(rows: &[Value], agents: usize, json_out: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if json_out {
        writeln!(out, "{:#}", json!(rows))?;
        return Ok(());
    }
    let floor = rows.first().and_then(|r| r.get("value")).and_then(Value::as_f64).unwrap_or_default();
    for r in rows {
        if let Some(line) = secure::line(r) {
            writeln!(out, "{line}")?;
            continue;
        }
        let what = r.get("what").and_then(Value::as_str).unwrap_or_default();
        match r.get("seconds").and_then(Value::as_f64) {
            Some(s) => writeln!(
                out,
                "{what:<60} {:>10.4} s  ({:.1} × the floor of {agents} synced writes one after the other); coordinator peak {:.0} MiB",
                s,
                s * 1e3 / (floor * agents as f64),
                r.get("coordinator_peak_mib").and_then(Value::as_f64).unwrap_or_default()
            )?,
            None => writeln!(out, "{what:<75} {:>10.3}", r.get("value").and_then(Value::as_f64).unwrap_or_default())?,
        }
    }
    Ok(())
}
