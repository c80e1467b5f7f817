//! Live HL7 v2 over MLLP: the one port that an agent may open.
//!
//! ```text
//!  interface engine ──MLLP──► listener ─► connection ─► frames ─► examine ─► spool ──one sync for all that wait──► disk
//!                   ◄───────────────────── answer (AA, AE, AR; CA, CE, CR) ◄───────────────────────────────────────┘
//!                                                                              sealed segments ─► lake, as files are
//! ```
//!
//! * [`settings`]: who may connect, where, and how much of the machine they may use.
//! * `frames`: MLLP's frames out of a stream of bytes. `connection`: one sender. `listener`: all of them.
//! * `spool`: messages on disk before they are acknowledged, and duplicates told apart.
//! * [`counts`]: what happened, in numbers that hold nothing of a patient.
//!
//! **Never lost.** A message is acknowledged only after a sync of the log that holds it. **Never twice.** A sealed segment goes into
//! the lake as a file does: its position, its silver, its quarantine are one transaction. A message that a sender repeats has
//! the keys and the revision of the first.
//!
//! **Bounded.** Each connection holds at most [`FREE`] bytes of a frame for nothing. A longer frame waits for room for the longest
//! one, and messages on their way to the disk hold their own size. Where there is no room the socket is not read.

mod connection;
pub mod counts;
mod frames;
mod listener;
pub mod settings;
mod spool;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapters::{Adapter, Context};
use platform::{Clock, Entropy};
use schema::record::Pseudonyms;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use self::counts::Counts;
use self::settings::{Settings, SettingsError};
use self::spool::Spool;
pub(crate) use self::spool::reader;
use crate::agent::Agent;
use crate::config::{Config, Source};
use crate::lake::LakeError;

/// Bytes of a frame that a connection may hold without asking for room.
pub const FREE: usize = 64 << 10;
/// How long a stop waits for frames that have begun, and for their answers.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Why a feed can't be opened or heard.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its log.
    #[error("the spool of source '{source_name}' in {path}: {reason}; check the disk and the folder's owner")]
    Spool {
        /// The source.
        source_name: String,
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// Its address.
    #[error(
        "source '{source_name}' can't listen on {address}: {reason}; is the address this machine's own, and the port free?"
    )]
    Bind {
        /// The source.
        source_name: String,
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        reason: String,
    },
    /// Its certificate.
    #[error("TLS of source '{source_name}': {reason}")]
    Tls {
        /// The source.
        source_name: String,
        /// Why.
        reason: String,
    },
    /// Its adapter.
    #[error(transparent)]
    Adapter(#[from] adapters::AdapterError),
    /// The pseudonym key.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// Where the spool of a source lies.
pub(crate) fn folder(config: &Config, source: &str) -> PathBuf {
    config.state_dir().join("feed").join(source)
}

/// One live source: its settings, its spool, its counts.
pub struct Feed {
    /// The source's name.
    pub source: String,
    /// What happened so far.
    pub counts: Counts,
    settings: Settings,
    spool: Spool,
    room: Arc<Semaphore>,
    adapter: Box<dyn Adapter>,
    zone: chrono_tz::Tz,
    pseudonyms: Pseudonyms,
    clock: Arc<dyn Clock>,
}

impl Feed {
    /// Opens the feed of a source, where it is one. What a crash left in its spool is sealed.
    ///
    /// # Errors
    /// Its settings, its spool, or the site's pseudonym key.
    pub fn open(
        config: &Config,
        source: &Source,
        clock: &Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Option<Arc<Feed>>, FeedError> {
        let Some(settings) = Settings::of(source, &config.home)? else { return Ok(None) };
        let counts = Counts::default();
        let spool = Spool::open(config, &source.name, &settings, clock.clone(), &counts)?;
        let zone = config.zone().map_err(|e| FeedError::Lake(crate::lake::data_error("reading the time zone", &e)))?;
        Ok(Some(Arc::new(Feed {
            source: source.name.clone(),
            counts,
            room: Arc::new(Semaphore::new(kib(settings.in_flight) as usize)),
            settings,
            spool,
            adapter: {
                let production_only = source.production_only;
                adapters::open_with(
                    "hl7v2",
                    None,
                    "",
                    adapters::Settings { production_only, ..adapters::Settings::default() },
                )?
            },
            zone,
            pseudonyms: crate::lake::pseudonyms(&config.state_dir(), entropy)?,
            clock: clock.clone(),
        })))
    }

    /// What the adapter is told when it examines a message. The rows are counted and dropped.
    fn context(&self) -> Context {
        Context {
            source_system: self.source.clone(),
            zone: self.zone,
            pseudonyms: self.pseudonyms.clone(),
            linkage: None,
            ingest_micros: self.clock.now().0,
            revision: 0,
        }
    }

    /// Waits until there is room for so many bytes. The socket is not read meanwhile.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let want = kib(bytes.min(self.settings.in_flight));
        if let Ok(room) = self.room.clone().try_acquire_many_owned(want) {
            return Some(room);
        }
        self.counts.waited();
        self.room.clone().acquire_many_owned(want).await.ok()
    }

    /// Seals what was spooled so far, so that the lake takes it in.
    pub async fn seal(&self) {
        self.spool.seal().await;
    }
}

/// Whole KiB, at least one.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

/// Hears every feed of an agent and takes what came into the lake at intervals, until it is told to stop.
///
/// # Errors
/// An address or a certificate can't be used.
pub async fn run(agent: Arc<Agent>, mut stop: watch::Receiver<bool>) -> Result<(), FeedError> {
    let mut listeners = JoinSet::new();
    let mut every = Duration::from_secs(86_400);
    for feed in &agent.feeds {
        let listener = listener::Listener::bind(feed.clone()).await?;
        listeners.spawn(listener.run(stop.clone()));
        every = every.min(feed.settings.ingest_every);
    }
    while !agent.feeds.is_empty() {
        tokio::select! {
            () = tokio::time::sleep(every) => take(&agent).await,
            () = stopped(&mut stop) => break,
        }
    }
    stopped(&mut stop).await;
    let _ = tokio::time::timeout(STOP_WAIT, async { while listeners.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Waits until the agent stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|s| *s).await;
}

/// One ingestion of what the feeds spooled, on a thread of its own: reading and the disk would hold up the connections.
async fn take(agent: &Arc<Agent>) {
    let agent = agent.clone();
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(agent.ingest_feeds())).await;
    match done {
        Ok(Ok(report)) if report.files.is_empty() => {}
        Ok(Ok(report)) => {
            let sum = |of: fn(&crate::lake::FileReport) -> u64| report.files.iter().map(of).sum::<u64>();
            tracing::info!(
                segments = report.files.len(),
                messages = sum(|f| f.items),
                quarantined = sum(|f| f.quarantined),
                gold = report.gold_version,
                "feed: ingested"
            );
        }
        Ok(Err(e)) => tracing::error!("feed: ingestion failed, and is tried again: {e}"),
        Err(e) => tracing::error!("feed: ingestion broke off, and is tried again: {e}"),
    }
}
