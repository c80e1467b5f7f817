//! From a PostgreSQL server to files: tables in the order of their keys, chunk by chunk, in binary COPY, never locking.
//!
//! ```text
//! state/pull/SOURCE/pass-0000000002/          a pass: every table once
//!     person/start.pgcopy                     keys from the least
//!     measurement/start.pgcopy                keys from the least up to some key
//!     measurement/after-100000.pgcopy         keys greater than that one
//!     .complete                               written when every table is there
//! ```
//!
//! A chunk is written beside its place, checked, synced and renamed: it is there whole or not at all, and it says itself which
//! keys it covers. So the files are the position, and an agent that was killed goes on behind the last key that is on disk. A
//! whole pass is a snapshot, which the lake reads as it reads any folder. The next pass asks for the same ranges of keys, so that
//! a chunk without a change has the same bytes, which the lake knows and does not read again; rows that are gone are missing from
//! their chunk, and so from the next gold.
//!
//! The session can only read. Each chunk is a transaction of its own, so that no old snapshot holds up the server's clean-up, and
//! the pause that keeps to the site's rate lies between transactions.
//!
//! * [`settings`]: `postgres = { … }` in `site.toml`. [`error`]: what can go wrong, with its remedy.
//! * `session`: a connection that can only read; `tls`. `tables`: what the server has of what is asked for.
//! * `pass`: the folder. `chunk`: one chunk, from the server to disk.

mod chunk;
pub mod error;
mod pass;
mod session;
pub mod settings;
mod tables;
mod tls;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::error::PullError;
use self::pass::Pass;
pub use self::settings::Postgres;
use self::tables::Table;
use crate::config::{Config, Source};

/// What became of a pull.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PullReport {
    /// The source.
    pub source: String,
    /// The pass, from 1.
    pub pass: u64,
    /// Tables.
    pub tables: u64,
    /// Chunks that were there from an earlier run, and were not asked for again.
    pub chunks_before: u64,
    /// Chunks that came.
    pub chunks: u64,
    /// Rows that came.
    pub rows: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Seconds on the clock, pauses included.
    pub seconds: f64,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// The folder of a source's newest whole pass.
pub fn complete(config: &Config, source: &Source) -> Option<PathBuf> {
    Pass::newest_complete(&Pass::root(config, source)).map(|(_, folder)| folder)
}

/// Pulls every PostgreSQL source to the end of a pass. One that fails stops no other; the first failure is returned beside the
/// reports. `progress` is told the table with its rows and their rate, the bytes so far, and how many they may become.
pub async fn all(
    config: &Config,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> (Vec<PullReport>, Option<PullError>) {
    let (mut reports, mut failed) = (Vec::new(), None);
    for source in &config.sources {
        let Some(settings) = &source.postgres else { continue };
        match one(config, source, settings, progress).await {
            Ok(report) => reports.push(report),
            Err(e) => {
                let error = PullError::Source { source_name: source.name.clone(), error: Box::new(e) };
                tracing::warn!("{error}");
                failed.get_or_insert(error);
            }
        }
    }
    (reports, failed)
}

/// What a run has done so far, for the person who waits.
struct Tally {
    begun: Instant,
    report: PullReport,
    /// Rows of this pass, those of earlier runs included, and how many there may be.
    rows: u64,
    expected: u64,
}

impl Tally {
    fn tell(&self, table: &str, progress: &mut (dyn FnMut(&str, u64, u64) + Send)) {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let rate = self.report.rows as f64 / seconds;
        let a_row = self.report.bytes as f64 / self.report.rows.max(1) as f64;
        let of = (self.expected.max(self.rows) as f64 * a_row) as u64;
        let what = format!("{table} {} rows {rate:.0}/s", self.rows);
        progress(&what, (self.rows as f64 * a_row) as u64, of);
    }
}

async fn one(
    config: &Config,
    source: &Source,
    settings: &Postgres,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> Result<PullReport, PullError> {
    let adapter = adapter(config, source)?;
    let mut client = session::open(&config.home, settings).await?;
    let (found, notes) = tables::find(&client, settings, source, adapter.as_ref()).await?;
    let root = Pass::root(config, source);
    let before = Pass::newest_complete(&root);
    let old = before.as_ref().map(|(_, folder)| Pass::chunks_of(folder)).transpose()?.unwrap_or_default();
    if let Some(gone) = old.keys().find(|t| !found.iter().any(|f| &f.name == *t)) {
        return Err(PullError::Gone { schema: settings.schema.clone(), table: gone.clone() });
    }
    let (pass, kept) = Pass::resume_or_begin(&root, before.map_or(0, |(n, _)| n), settings, &found)?;
    let mut tally = Tally {
        begun: Instant::now(),
        report: PullReport {
            source: source.name.clone(),
            pass: pass.number,
            tables: found.len() as u64,
            chunks_before: kept.values().map(|c| c.len() as u64).sum(),
            notes,
            ..PullReport::default()
        },
        rows: kept.values().flatten().map(|h| h.rows).sum(),
        expected: found.iter().map(|t| t.expected).sum(),
    };
    for table in &found {
        let bounds: Vec<i64> =
            old.get(&table.name).into_iter().flatten().filter(|h| !h.last).filter_map(|h| h.upto).collect();
        let mut reached = kept.get(&table.name).and_then(|chunks| chunks.last()).cloned();
        while !reached.as_ref().is_some_and(|h| h.last) {
            let after = reached.as_ref().and_then(|h| h.upto);
            let bound = bounds.iter().copied().find(|b| after.is_none_or(|a| *b > a));
            let range = chunk::Range { after, bound, rows: settings.chunk_rows };
            let begun = Instant::now();
            let (header, bytes) =
                chunk::pull(&mut client, settings, table, range, &pass.folder_of(&table.name)).await?;
            tally.rows += header.rows;
            tally.report.rows += header.rows;
            tally.report.chunks += 1;
            tally.report.bytes += bytes;
            tally.tell(&table.name, progress);
            settings.pause(bytes, begun.elapsed()).await;
            reached = Some(header);
        }
        tracing::info!(source = source.name, table = table.name, "pulled");
    }
    tally.report.seconds = tally.begun.elapsed().as_secs_f64();
    pass.finish(&tally.report)?;
    pass.remove_older(&root)?;
    Ok(tally.report)
}

/// The adapter of a source, which says which columns are read of which table.
fn adapter(config: &Config, source: &Source) -> Result<Box<dyn adapters::Adapter>, PullError> {
    let path = source.mapping.as_ref().map(|m| config.home.join(m));
    let text = path.as_ref().map(|p| std::fs::read_to_string(p).map_err(|e| error::file(p, &e))).transpose()?;
    let name = path.map(|p| p.display().to_string()).unwrap_or_default();
    Ok(adapters::open_linking(&source.format, text.as_deref(), &name, source.linkage_system.as_deref())?)
}

/// The name that a table's files have for an adapter.
fn file_of(table: &Table) -> String {
    format!("{}/{}", table.name, chunk::name(None))
}
