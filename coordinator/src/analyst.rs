//! The analyst's side: checks, plans, signs and submits studies, watches them, fetches results.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use certs::authority::SERVER_NAME;
use certs::folder::Coordinator;
use certs::{Folder, Identity, Invitation, identity, tls};
use indicatif::{ProgressBar, ProgressStyle};
use platform::{Clock as _, SystemClock};
use proto::wire::federation_client::FederationClient;
use proto::wire::{self, StudyStatus};
use study::{Plan, Problem};
use tonic::transport::Channel;

use crate::results::{self, Provenance, Results};

/// A connection as an analyst or operator.
pub type Client = FederationClient<Channel>;

/// Enrols with an invitation for an analyst.
///
/// # Errors
/// The invitation is for a site, or the coordinator refuses.
pub async fn enroll(folder: &Path, text: &str) -> anyhow::Result<Identity> {
    let invitation = Invitation::parse(text)?;
    anyhow::ensure!(
        invitation.subject.starts_with("analyst/"),
        "the invitation is for {}; a site enrols with site-agent enroll",
        invitation.subject
    );
    let folder = Folder::new(folder);
    let key_pem = folder.pending_key()?;
    let csr = identity::request(&key_pem)?;
    let tls = tls::client(&invitation.identity())?;
    let chain_pem = proto::channel::enroll(&invitation.address, SERVER_NAME, tls, csr).await?;
    let identity = Identity { chain_pem, key_pem, ca_pem: invitation.ca_pem.clone() };
    folder.store(&identity, &Coordinator { federation: invitation.federation, address: invitation.address })?;
    Ok(identity)
}

/// Connects with the identity of a folder.
///
/// # Errors
/// There is no identity, or the coordinator can't be reached.
pub async fn connect(folder: &Path) -> anyhow::Result<(Client, Identity, Coordinator)> {
    let (identity, coordinator) = Folder::new(folder).load()?;
    let (channel, _) = proto::channel::connect(&coordinator.address, SERVER_NAME, tls::client(&identity)?).await?;
    let client = FederationClient::new(channel).max_decoding_message_size(64 << 20).max_encoding_message_size(16 << 20);
    Ok((client, identity, coordinator))
}

/// What the coordinator's refusal says.
pub fn refusal(status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}

/// Reads a study file; all problems, each with its line.
///
/// # Errors
/// The file can't be read.
pub async fn read(file: &Path, federation: &str) -> anyhow::Result<Result<Plan, Vec<Problem>>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    let today = chrono::DateTime::from_timestamp(SystemClock.now().seconds(), 0).map(|t| t.date_naive());
    let plan = study::read::checked(&text).and_then(|study| match study::check::expired(&study, today) {
        Some(problem) => Err(vec![problem]),
        None => Plan::new(federation, study),
    });
    let own = match &plan {
        Ok(plan) => query::patientwise::problems(&plan.study).await,
        Err(_) => Vec::new(),
    };
    let plan = if own.is_empty() { plan } else { Err(own) };
    Ok(plan.map_err(|problems| study::read::located(&text, problems)))
}

/// Signs a plan. With `anew` it is paid for though a study in secure rounds has answered the same.
///
/// # Errors
/// The key can't be read.
pub fn sign(plan: &Plan, identity: &Identity, anew: bool) -> anyhow::Result<wire::SignedPlan> {
    let bytes = plan.canonical()?;
    let signature = certs::signature::sign(identity, &study::plan::hash_of(&bytes).0)?;
    Ok(wire::SignedPlan {
        plan: bytes.into(),
        signature: signature.into(),
        signer_chain_pem: identity.chain_pem.clone(),
        anew,
    })
}

/// Watches a study until it is over. On a terminal a bar shows the rounds.
///
/// # Errors
/// The connection breaks for longer than a restart of the coordinator takes.
pub async fn watch(folder: &Path, study: &str, json: bool) -> anyhow::Result<StudyStatus> {
    let bar = if json || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new(0) };
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:28} {pos}/{len} rounds  {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    let mut failures = 0;
    let mut last = Seen::default();
    loop {
        match follow(folder, study, json, &bar, &mut last).await {
            Ok(Some(status)) => {
                bar.finish_and_clear();
                return Ok(status);
            }
            Ok(None) => failures += 1,
            Err(e) if e.to_string().contains("there is no study") => return Err(e),
            Err(e) if failures >= 60 => return Err(e),
            Err(_) => failures += 1,
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What was printed last.
#[derive(Default)]
struct Seen {
    line: String,
    round: Option<u32>,
}

/// A window of a continuous study that was told, in one line.
fn window_line(w: &wire::WindowStatus) -> String {
    let mut line = format!("{} {}", w.label, w.word);
    line += &match w.sites.len() {
        0 => ": a gap, too few sites answered".to_owned(),
        1 => format!(": 1 site, {}", w.sites.join(", ")),
        n => format!(": {n} sites, {}", w.sites.join(", ")),
    };
    if !w.missing.is_empty() {
        line += &format!("; missing {}", w.missing.join(", "));
    }
    line
}

async fn follow(
    folder: &Path,
    study: &str,
    json: bool,
    bar: &ProgressBar,
    last: &mut Seen,
) -> anyhow::Result<Option<StudyStatus>> {
    let (mut client, _, _) = connect(folder).await?;
    let mut stream =
        client.watch(wire::StudyRef { study: study.to_owned() }).await.map_err(|s| refusal(&s))?.into_inner();
    while let Some(status) = stream.message().await.map_err(|s| refusal(&s))? {
        for window in &status.windows {
            if last.round.is_some_and(|round| window.round <= round) {
                continue;
            }
            last.round = Some(window.round);
            if !json {
                bar.suspend(|| writeln!(std::io::stdout(), "{}", window_line(window)))?;
            }
        }
        let line = if json { status_json(&status).to_string() } else { status_line(&status) };
        if last.line != line {
            line.clone_into(&mut last.line);
            if json || bar.is_hidden() {
                writeln!(std::io::stdout(), "{line}")?;
            }
        }
        bar.set_length(u64::from(status.rounds_planned));
        bar.set_position(u64::from(status.rounds_done));
        bar.set_prefix(status.study.clone());
        bar.set_message(status_line(&status));
        if matches!(status.state.as_str(), "done" | "failed" | "cancelled") {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// A status in one line.
pub fn status_line(s: &StudyStatus) -> String {
    let count = |kind: wire::DecisionKind| s.sites.iter().filter(|x| x.decision() == kind).count();
    let online = s.sites.iter().filter(|x| x.online).count();
    let mut line = format!(
        "{} {}: {} of {} sites online, {} approved, {} refused; {} of {} rounds",
        s.study,
        s.state,
        online,
        s.sites.len(),
        count(wire::DecisionKind::DecisionApproved),
        count(wire::DecisionKind::DecisionRefused),
        s.rounds_done,
        s.rounds_planned
    );
    if s.state == "running" {
        line += &format!("; {} round {}: {} of {} reported", s.analysis, s.round + 1, s.reported, s.roster);
    }
    for course in &s.courses {
        if let (Some(value), Some(error)) = (course.values.last(), course.errors.last()) {
            line += &format!("; {} {value:.4}", course.name);
            if *error > 0.0 {
                line += &format!(" ± {error:.4}");
            }
            line += &format!(" {}", sparkline(&course.values));
        }
    }
    if !s.next_window.is_empty() && s.roster == 0 {
        line += &format!("; next {}, due {}", s.next_window, platform::Micros(s.next_due_micros));
    }
    if !s.detail.is_empty() {
        line += &format!("; {}", s.detail);
    }
    line
}

/// Rounds that a line has room for.
const DRAWN: usize = 24;

/// The last numbers of a course as bars, from the least to the largest.
fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = values.get(values.len().saturating_sub(DRAWN)..).unwrap_or_default();
    let low = last.iter().copied().fold(f64::INFINITY, f64::min);
    let high = last.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |v: &f64| {
        let level = if high > low { (v - low) / (high - low) * 7.0 } else { 0.0 };
        BARS.get(level.round() as usize).copied().unwrap_or('▁')
    };
    last.iter().map(bar).collect()
}

/// A status as JSON.
pub fn status_json(s: &StudyStatus) -> serde_json::Value {
    let sites: Vec<_> = s
        .sites
        .iter()
        .map(|x| {
            let decision = x.decision().as_str_name().trim_start_matches("DECISION_").to_lowercase();
            serde_json::json!({ "id": x.id, "online": x.online, "decision": decision, "code": x.code, "reason": x.reason })
        })
        .collect();
    let hash = certs::head::hex(&s.plan_hash);
    let windows: Vec<_> = s
        .windows
        .iter()
        .map(|w| {
            let told = platform::Micros(w.told_micros).to_string();
            serde_json::json!({
                "round": w.round, "window": w.label, "word": w.word, "sites": w.sites, "missing": w.missing, "told": told
            })
        })
        .collect();
    let next = (!s.next_window.is_empty()).then(
        || serde_json::json!({ "window": s.next_window, "due": platform::Micros(s.next_due_micros).to_string() }),
    );
    let courses: Vec<_> = s
        .courses
        .iter()
        .map(|c| serde_json::json!({ "name": c.name, "first": c.first, "values": c.values, "errors": c.errors }))
        .collect();
    serde_json::json!({
        "courses": courses, "windows": windows, "next": next,
        "study": s.study, "plan_hash": hash, "state": s.state, "detail": s.detail, "sites": sites,
        "rounds_done": s.rounds_done, "rounds_planned": s.rounds_planned, "analysis": s.analysis,
        "round": s.round, "reported": s.reported, "roster": s.roster,
        "submitted": platform::Micros(s.submitted_micros).to_string(),
        "updated": platform::Micros(s.updated_micros).to_string(),
    })
}

/// Fetches a study's results and writes them into a folder.
///
/// # Errors
/// There are none yet, or the disk fails.
pub async fn fetch(
    client: &mut Client,
    study: &str,
    out: &Path,
) -> anyhow::Result<(Results, Provenance, Vec<std::path::PathBuf>)> {
    let reply = client.results(wire::StudyRef { study: study.to_owned() }).await.map_err(|s| refusal(&s))?.into_inner();
    let results: Results = serde_json::from_slice(&reply.estimates_json)?;
    let provenance: Provenance = serde_json::from_slice(&reply.provenance_json)?;
    let plan = Plan::parse(&reply.plan)?;
    let files = results::write(out, &results, &provenance, &plan)?;
    Ok((results, provenance, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_drawn_beside_its_newest_number() {
        assert_eq!(sparkline(&[8.0, 1.0, 4.0]), "█▁▄");
        assert_eq!((sparkline(&[2.0, 2.0]).as_str(), sparkline(&[]).as_str()), ("▁▁", ""));
        let course = wire::Course { name: "loss".into(), first: 0, values: vec![0.7, 0.5], errors: vec![0.0, 0.02] };
        let line = status_line(&StudyStatus { courses: vec![course], ..StudyStatus::default() });
        assert!(line.ends_with("; loss 0.5000 ± 0.0200 █▁"), "{line}");
    }
}
