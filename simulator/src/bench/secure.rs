//! Whole secure rounds over real processes: 40 agents and a coordinator, mutual TLS, synced ledgers, with and without a tenth of the
//! sites dropping out after they shared their keys and before their masked input. Every round is a study of its own, since a site that
//! drops out is out of its study; the row of d = 1 is what a study and its round cost without lanes.

use std::time::Instant;

use ::study::Plan;
use anyhow::Context as _;
use serde_json::{Value, json};

use super::{HUNDRED_THOUSAND, MILLION, ONE, Size, TEN_THOUSAND, study};
use crate::local::{Local, Options, plan_of};
use crate::{demo, generate};

/// Processor time of a process so far, user and system, in seconds; the kernel counts in hundredths.
pub(super) fn processor(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field, a name in parentheses, may hold spaces; after it the 12th and 13th are user and system time.
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Bytes that came in over the loopback interface so far: of everything on this machine, headers and acknowledgements too.
pub(super) fn loopback() -> f64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|l| l.trim().strip_prefix("lo:").map(str::to_owned));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// A study of one secure round. Its deadline is far: no figure holds a wait.
fn secure(id: &str, size: Size) -> String {
    study(id, size, 1)
        .replace("epsilon = 100", "epsilon = 1\naggregation = \"secure\"")
        .replace("min_sites = 1", "min_sites = 3")
}

/// One federation, of whose agents so many drop out of every round.
async fn measure(agents: usize, dropping: usize, rounds: usize) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let options = generate::Options { sites: agents, patients: 20, seed: 5, out: folder.path().to_owned() };
    demo::generate_with_bar(&options, true)?;
    let set_up = Options { sites: folder.path().to_owned(), noise: true, quiet: true, widen: true };
    let mut local = Local::set_up(&set_up).await?;
    local.start_agents_of_whom_drop(dropping).await?;
    let (coordinator, pids) = local.processes();
    let coordinator = coordinator.context("the coordinator's process")?;
    let staying = pids.get(..agents.saturating_sub(dropping)).unwrap_or_default();
    let mut out = Vec::new();
    for (size, most) in [(ONE, rounds), (TEN_THOUSAND, rounds), (HUNDRED_THOUSAND, rounds), (MILLION, 2)] {
        let (lanes, rounds) = (size.lanes(), rounds.min(most));
        local.finish(&plan_of(&secure(&format!("warm-{lanes}"), size), true)?).await?;
        let plans: Vec<Plan> = (0..rounds)
            .map(|i| plan_of(&secure(&format!("secure-{lanes}-{i}"), size), true))
            .collect::<anyhow::Result<_>>()?;
        let used = || (staying.iter().map(|p| processor(*p)).sum::<f64>(), processor(coordinator), loopback());
        let (before, begun) = (used(), Instant::now());
        for plan in &plans {
            local.finish(plan).await?;
        }
        let (seconds, after) = (begun.elapsed().as_secs_f64() / rounds as f64, used());
        let each = |now: f64, then: f64| (now - then) / rounds as f64;
        let up = (agents - dropping) * lanes * 8;
        out.push(json!({
            "what": format!("secure round, {agents} agents, {dropping} drop out, d = {lanes}"),
            "seconds": seconds,
            "site_processor_seconds": each(after.0, before.0) / staying.len().max(1) as f64,
            "coordinator_processor_seconds": each(after.1, before.1),
            "loopback_bytes": each(after.2, before.2),
            "loopback_to_lanes": each(after.2, before.2) / up as f64,
            "coordinator_peak_mib": super::memory(coordinator).1,
            "rounds": rounds,
        }));
    }
    Ok(out)
}

/// Rows of figures.
///
/// # Errors
/// A federation does not run.
pub async fn run(agents: usize, rounds: usize) -> anyhow::Result<Vec<Value>> {
    let mut rows = measure(agents, 0, rounds).await?;
    rows.extend(measure(agents, agents / 10, rounds).await?);
    Ok(rows)
}

/// One row in words.
pub fn line(row: &Value) -> Option<String> {
    let number = |name: &str| row.get(name).and_then(Value::as_f64);
    Some(format!(
        "{:<52} {:>8.3} s; processor: a site {:.4} s, coordinator {:.4} s; {:.2} MB on the wire ({:.2} × the lanes); peak {:.0} MiB",
        row.get("what").and_then(Value::as_str)?,
        number("seconds")?,
        number("site_processor_seconds")?,
        number("coordinator_processor_seconds")?,
        number("loopback_bytes")? / 1e6,
        number("loopback_to_lanes")?,
        number("coordinator_peak_mib")?,
    ))
}
