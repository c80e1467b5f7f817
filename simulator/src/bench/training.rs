//! Rounds of training over real processes: forty agents and a coordinator, mutual TLS, synced ledgers, without noise and with each site's own. The model is a
//! perceptron of one feature, and a site has some twenty patients: what is measured is what rounds cost, and not gradients.
//!
//! A round is the time that one more round takes: that of a study of several less that of a study of one, so that submission, approval and the sites' query of
//! their patients are not in it.

use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::secure::{loopback, processor};
use super::{HEAD, memory};
use crate::local::{Local, Options, plan_of};
use crate::{demo, generate};

/// Hidden layers of a model of so many parameters.
#[derive(Clone, Copy)]
struct Model {
    hidden: [usize; 2],
    rounds: usize,
}

/// 10,097 parameters.
const TEN_THOUSAND: Model = Model { hidden: [98, 99], rounds: 20 };
/// 492,801 parameters: nearly the most that a model may have.
const HALF_A_MILLION: Model = Model { hidden: [700, 700], rounds: 5 };

impl Model {
    fn parameters(self) -> usize {
        let [a, b] = self.hidden;
        2 * a + (a + 1) * b + b + 1
    }

    /// A study of so many rounds.
    fn study(self, id: &str, rounds: usize, merge: &str) -> String {
        format!(
            "id = \"{id}\"\n{}[features.high]\nkind = \"measurement\"\ncode = \"loinc:8480-6\"\nunit = \"mm[Hg]\"\nabove = 140\n\
             [[analysis]]\nkind = \"train\"\noutcome = \"high\"\nfeatures = [\"sbp\"]\n[analysis.model]\nfamily = \"logistic\"\nhidden = {:?}\n\
             [analysis.strategy]\nrounds = {rounds}\nlearning_rate = 0.1\nclip = 1\naverage = false\n{merge}\n",
            HEAD.replace("[privacy]", "[suppression]\nk = 0\n[privacy]"),
            self.hidden
        )
    }
}

/// How sums are merged: as one, or looked at one by one.
const MEAN: &str = "patients = 800";
/// Then each site's patients are counted, in a round before.
const MEDIAN: &str = "merge = \"median\"";

/// Rows of one federation.
async fn measure(agents: usize, noise: bool, cases: &[(Model, &str)], most: usize) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let options = generate::Options { sites: agents, patients: 20, seed: 5, out: folder.path().to_owned() };
    demo::generate_with_bar(&options, true)?;
    let set_up = Options { sites: folder.path().to_owned(), noise, quiet: true, widen: true };
    let mut out = Vec::new();
    for (case, (model, merge)) in cases.iter().enumerate() {
        // A federation of its own: a process's peak is of all that it has done.
        let mut local = Local::set_up(&set_up).await?;
        local.start_agents().await?;
        let (coordinator, pids) = local.processes();
        let coordinator = coordinator.context("the coordinator's process")?;
        let rounds = model.rounds.min(most.max(1));
        let timed = async |id: &str, rounds: usize| -> anyhow::Result<[f64; 4]> {
            let plan = plan_of(&model.study(id, rounds, merge), noise)?;
            let used = || {
                [pids.iter().map(|p| processor(*p)).sum::<f64>() / agents as f64, processor(coordinator), loopback()]
            };
            let (before, begun) = (used(), Instant::now());
            local.finish(&plan).await?;
            let ([site, own, bytes], seconds) = (used(), begun.elapsed().as_secs_f64());
            Ok([seconds, site - before[0], own - before[1], bytes - before[2]])
        };
        timed(&format!("warm-{case}"), 1).await?;
        let idle = memory(coordinator).0;
        let one = timed(&format!("one-{case}"), 1).await?;
        let many = timed(&format!("many-{case}"), 1 + rounds).await?;
        let each = |at: usize| {
            let of = |v: &[f64; 4]| v.get(at).copied().unwrap_or_default();
            (of(&many) - of(&one)) / rounds as f64
        };
        let d = model.parameters();
        // Parameters down and lanes up.
        let floor = (2 * agents * d * 8) as f64;
        let merged = if *merge == MEDIAN { ", merged by the median" } else { "" };
        out.push(json!({
            "what": format!("training, {agents} agents, d = {d}, noise {}{merged}", if noise { "on" } else { "off" }),
            "seconds": each(0),
            "site_processor_seconds": each(1),
            "coordinator_processor_seconds": each(2),
            "loopback_bytes": each(3),
            "loopback_to_lanes": each(3) / floor,
            "coordinator_peak_mib": memory(coordinator).1,
            "coordinator_after_warming_mib": idle,
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
    let mut rows = Vec::new();
    for noise in [false, true] {
        rows.extend(measure(agents, noise, &[(TEN_THOUSAND, MEAN), (HALF_A_MILLION, MEAN)], rounds).await?);
    }
    for fewer in [20, 10, 4].into_iter().filter(|n| *n < agents) {
        rows.extend(measure(fewer, false, &[(HALF_A_MILLION, MEAN)], rounds).await?);
    }
    for some in [10, agents] {
        rows.extend(measure(some, false, &[(TEN_THOUSAND, MEDIAN), (HALF_A_MILLION, MEDIAN)], rounds).await?);
    }
    Ok(rows)
}
