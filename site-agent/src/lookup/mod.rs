//! Codes that no mapping file has, asked of the hospital's terminology server, beside all other work.
//!
//! ```text
//! gold ── codes without a standard one, of enough patients ──► $translate ──► state/lookup/answers.json ──► gold
//! ```
//!
//! What leaves for the server is a code, its system and the system that it is wanted in: never a row, a number, a time or a person. Each
//! code is asked for once, in the order of the alphabet, at hours that do not depend on the data; so the server learns that at least
//! `min_patients` patients have the code, and by which hour. A reading of the sources never waits for it: what is answered is in the next gold.
//!
//! * [`settings`]: `[lookup]` of `site.toml`. [`asking`]: order, time limits, retries. `server`: one question. `cache`: what was answered.

pub mod asking;
mod cache;
mod server;
pub mod settings;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use adapters::terminology::{Format, Settings as File};
use serde::{Deserialize, Serialize};

pub(crate) use cache::Answers;
use cache::Code;
pub use settings::Lookup;

use crate::agent::Agent;
use crate::coverage;
use crate::lake::LakeError;
use asking::Failed;
use server::Server;

/// Codes that fail one after the other before the server counts as down.
const FAILED_IN_A_ROW: u32 = 3;
/// The first pause before a code is asked for again.
const PAUSE: Duration = Duration::from_millis(500);
/// A longer code is a text that somebody typed.
const LONGEST_CODE: usize = 32;
const DAY: i64 = 86_400_000_000;
/// After how many days a code is asked for again that the server refused.
const REFUSED_DAYS: i64 = 1;

/// Why codes were not looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// There is no `[lookup]`, or it is wrong.
    #[error("[lookup] of site.toml: {0}")]
    Settings(String),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// What became of the codes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupReport {
    /// Codes that were due.
    pub due: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Answers that say something else than before, or something at all.
    pub changed: u64,
    /// Codes that were not answered: they are due the next time, or a day later where the server refused them.
    pub failed: u64,
    /// The last reason.
    pub reason: String,
    /// The version of gold after it.
    pub gold_version: u64,
}

/// How the answers are read, as a mapping file behind all others.
pub(crate) fn as_file(lookup: &Lookup) -> File {
    File {
        path: lookup.url.clone().into(),
        format: Format::ConceptMap,
        take: lookup.take.clone(),
        min_confidence: 0.0,
        systems: std::collections::BTreeMap::new(),
        concepts: None,
    }
}

/// Whether a code may be asked for by its form: codes of lists do, what somebody typed into a field does not.
fn is_a_code(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | ':' | '^' | '+' | '#' | '*' | '%');
    !text.is_empty() && text.len() <= LONGEST_CODE && text.chars().all(plain)
}

/// Looks up what is due at every multiple of `every_seconds`, until the agent ends.
pub async fn run(agent: Arc<Agent>) {
    let Some(every) = agent.config.lookup.as_ref().map(|l| l.every_seconds.max(1)) else { return };
    loop {
        let now = agent.clock.now().seconds().unsigned_abs();
        tokio::time::sleep(Duration::from_secs(every - now % every)).await;
        match once(&agent).await {
            Ok(report) if report.failed > 0 => {
                tracing::warn!(
                    failed = report.failed,
                    "codes could not be looked up, and are tried again: {}",
                    report.reason
                );
            }
            Ok(report) => tracing::info!(answered = report.answered, changed = report.changed, "codes looked up"),
            Err(e) => tracing::warn!("codes can't be looked up: {e}"),
        }
    }
}

/// Looks up what is due now, and brings what is new into gold.
///
/// # Errors
/// There is no `[lookup]`, the lake or the disk fails. A server that does not answer is told in the report.
pub async fn once(agent: &Agent) -> Result<LookupReport, LookupError> {
    let none = || LookupError::Settings("there is none; see docs/codes-and-units.md".to_owned());
    let settings = agent.config.lookup.as_ref().ok_or_else(none)?;
    let (state, now) = (agent.config.state_dir(), agent.clock.now().0);
    let mut answers = Answers::read(&state)?;
    let since = now.saturating_sub(i64::from(settings.remember_days) * DAY);
    let mut due = wanted(agent, settings).await?;
    due.retain(|code| answers.is_due(code, since));
    // What has a standard code by an older answer was asked for before: to ask again tells nothing new.
    due.extend(answers.older(settings, since).cloned());
    let due: Vec<Code> = due.into_iter().collect();
    let mut report = LookupReport { due: due.len() as u64, ..LookupReport::default() };
    let server = Server::open(&agent.config.home, settings)?;
    let limits = (settings.retries, Duration::from_secs(settings.timeout_seconds), PAUSE);
    let server = &server;
    let ask = move |(system, code, to): Code| async move {
        let from = settings.from.iter().find(|f| f.system() == system && f.to() == to);
        let from = from.ok_or_else(|| Failed::ForGood("its system is not asked for".to_owned()))?;
        asking::with_retries(limits, || server.translate(from, &code)).await
    };
    let mut in_a_row = 0;
    asking::all(&due, (settings.order, settings.in_flight), ask, |code, answer| {
        match answer {
            Ok(found) => {
                report.answered += 1;
                report.changed += u64::from(answers.enter(code, found, now));
                in_a_row = 0;
            }
            Err(Failed::ForNow(reason)) => {
                report.failed += 1;
                report.reason = reason;
                in_a_row += 1;
            }
            // The server is there, and says no to this code: that tells nothing of the others.
            Err(Failed::ForGood(reason)) => {
                report.failed += 1;
                report.reason = reason;
                in_a_row = 0;
                answers.refused(code, since.saturating_add(REFUSED_DAYS * DAY));
            }
        }
        in_a_row < FAILED_IN_A_ROW
    })
    .await;
    if report.answered + report.failed > 0 {
        answers.write(&state)?;
    }
    report.gold_version = agent.renew_gold().await.map_err(LookupError::from)?;
    Ok(report)
}

/// The codes that may be asked for, of those that gold has no standard one for, each once and in order.
async fn wanted(agent: &Agent, settings: &Lookup) -> Result<BTreeSet<Code>, LakeError> {
    let mut out = BTreeSet::new();
    for (system, code, patients) in coverage::unmapped(&agent.config, &agent.lake).await? {
        if patients < settings.min_patients || !is_a_code(&code) {
            continue;
        }
        let of = settings.from.iter().filter(|from| from.system() == system);
        out.extend(of.map(|from| (system.clone(), code.clone(), from.to())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
