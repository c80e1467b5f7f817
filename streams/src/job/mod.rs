//! A job: sources, operators, a sink, and checkpoints that hold them together.
//!
//! ```text
//!  Source ─thread─► bounded channel ─► Watermarks ─► Shard 0 ┐
//!  Source ─thread─► bounded channel ─►    │      ─► Shard 1 ┴─► Out ─► Sink (unseen)
//!                                         ▼
//!                      checkpoint: positions, watermark, names, state: one commit; then the sink's rows are seen
//! ```
//!
//! A job that is killed goes on from its last checkpoint: sources go back to their positions, state to what it was, and
//! what the sink had of a later epoch is removed. So each row counts once.

mod largest;
mod reader;
mod record;
mod revisions;
mod shard;
mod skew;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use platform::{Clock, Entropy as _, Micros, OsEntropy};

pub use record::kept;
pub(crate) use record::{RECORDS, Record};
pub use shard::first_table;

use crate::backend::{StateError, TableChange};
use crate::batch::EventBatch;
use crate::keyed::{SharedBackend, TableSpec};
use crate::metrics::Metrics;
use crate::operator::{Maker, OperatorError};
use crate::out::{Out, Why};
use crate::sink::{Sink, SinkError};
use crate::source::{Source, SourceError};
use crate::watermark::{Channel, Watermarks};
use crate::window::{TIME_RANGE, micros};
use reader::{Heard, Readers};
use revisions::Revisions;
use shard::Shards;

/// Why a job stopped.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A source can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// State failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// An operator failed.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// An answer can't be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The state is of other settings.
    #[error(
        "the state is of another job: it was made of {held}, and the settings say {given}; give the job another name, or set the old settings again"
    )]
    Changed {
        /// What the state was made of.
        held: String,
        /// What the settings say.
        given: String,
    },
    /// A thread of the job died.
    #[error(
        "a thread of the stream job ended before its work; start the job again, it goes on from its last checkpoint"
    )]
    Thread,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All sources have ended and every window is closed.
    Done,
    /// It was told to stop; it goes on where it is run again.
    Stopped,
}

/// A job's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channels, each with how far out of order its events come. A batch names one by its place.
    pub channels: Vec<(Channel, Duration)>,
    /// What the operators are, in the words of whoever made them. State of a job with other words is refused.
    pub made_of: String,
    /// After how long without events a channel holds the watermark back no longer.
    pub idle_after: Duration,
    /// How often a checkpoint is taken. One is also taken when about [`most_values`](Self::most_values) have changed.
    pub checkpoint_every: Duration,
    /// About how many values of state stay in memory where the backend is not all in memory.
    pub most_values: usize,
    /// How many shards work at a time.
    pub shards: u16,
    /// Whether a group that has most of a batch's rows is summed by all shards, where its operator can: the answers are the same.
    pub spread_hot: bool,
    /// How far one channel's events may be ahead of another's before the job waits for the other.
    pub most_drift: Option<Duration>,
    /// How far ahead of the clock an event may be; what is further goes to the side output.
    pub most_ahead: Option<Duration>,
    /// How long a row is remembered, so that it counts once and a later revision takes it back; `None`: rows have no identity.
    pub remembered: Option<Duration>,
    /// Whether the job stops, as if it were told to, once every source has nothing more for now.
    pub until_idle: bool,
    /// About how many rows are read at a time.
    pub batch_rows: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            channels: Vec::new(),
            made_of: String::new(),
            idle_after: Duration::from_secs(600),
            checkpoint_every: Duration::from_secs(10),
            most_values: 1 << 20,
            shards: 1,
            spread_hot: true,
            most_drift: None,
            most_ahead: None,
            remembered: None,
            until_idle: false,
            batch_rows: 1 << 15,
        }
    }
}

/// A job.
pub struct Job {
    settings: Settings,
    makers: Vec<Maker>,
    backend: SharedBackend,
    sink: Box<dyn Sink>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// An id that no other run has.
fn new_run() -> Result<u64, SinkError> {
    let mut bytes = [0; 8];
    let drawn = OsEntropy.fill(&mut bytes);
    drawn.map_err(|e| SinkError { path: "a new run".to_owned(), reason: e.to_string() })?;
    Ok(u64::from_le_bytes(bytes).max(1))
}

impl Job {
    /// A job of these operators, over this state. Operators are known by their place: a job that is changed needs a savepoint
    /// that fits.
    pub fn new(
        settings: Settings,
        makers: Vec<Maker>,
        backend: SharedBackend,
        sink: Box<dyn Sink>,
        clock: Arc<dyn Clock>,
    ) -> Job {
        Job { settings, makers, backend, sink, clock, metrics: Arc::default() }
    }

    /// Its counters.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The tables of its operators, for savepoints.
    ///
    /// # Errors
    /// The state failed.
    pub fn tables(&self) -> Result<Vec<TableSpec>, JobError> {
        let mut tables = Shards::open(&self.makers, &self.backend, &self.settings, i64::MIN)?.specs();
        tables.extend(self.revisions()?.map(|r| r.table().spec()));
        Ok(tables)
    }

    fn revisions(&self) -> Result<Option<Revisions>, StateError> {
        let open = |horizon| Revisions::open(&self.backend, self.settings.most_values / 2, micros(horizon));
        self.settings.remembered.map(open).transpose()
    }

    /// Runs until its sources end, or `stop` is set.
    ///
    /// # Errors
    /// A source, the state or the sink failed. What is before the last checkpoint stands; running it again goes on from there.
    pub fn run(&mut self, mut sources: Vec<Box<dyn Source>>, stop: &AtomicBool) -> Result<Ended, JobError> {
        let mut record = Record::read(&self.backend)?;
        let number = self.backend.read().unwrap_or_else(PoisonError::into_inner).number();
        if number > 0 && record.made_of != self.settings.made_of {
            return Err(JobError::Changed { held: record.made_of, given: self.settings.made_of.clone() });
        }
        record.made_of.clone_from(&self.settings.made_of);
        record.history = std::mem::take(&mut record.history).or_nameless(number);
        let run = new_run()?;
        self.sink.recover(&record.history, run)?;
        let mut watermarks =
            Watermarks::new(self.settings.channels.clone(), self.settings.idle_after, self.clock.now());
        watermarks.restore(&record.reached);
        let mut shards = Shards::open(&self.makers, &self.backend, &self.settings, record.reached.watermark())?;
        let most = shards.most();
        let mut revisions = self.revisions()?;
        for source in &mut sources {
            let id = source.id().to_owned();
            source.seek(record.positions.get(&id), record.names_of(&id))?;
        }
        self.metrics.restore(&record.measured);
        let (begun, mut last) = (self.clock.now(), self.clock.now());
        let ran = record.measured.running_micros;
        let names: Vec<String> = sources.iter().map(|s| s.id().to_owned()).collect();
        let (metrics, settings, clock) = (self.metrics.clone(), self.settings.clone(), self.clock.clone());
        std::thread::scope(|scope| {
            let mut readers = Readers::start(scope, sources, &settings, &clock, &metrics);
            let (mut met, mut out) = (Vec::new(), Out::default());
            // A checkpoint that says what the last one says would only push an older one out.
            let mut moved = number == 0;
            loop {
                let now = clock.now();
                metrics.running_micros.store(ran + now.0.saturating_sub(begun.0).max(0) as u64, Relaxed);
                let heard = match stop.load(Relaxed) {
                    true => Heard::Stop,
                    false if settings.until_idle && readers.are_idle() => Heard::Stop,
                    false => readers.next(&watermarks, settings.most_drift.map(micros), now)?,
                };
                let over = match heard {
                    Heard::Done => Some(Ended::Done),
                    Heard::Stop => Some(Ended::Stopped),
                    _ => None,
                };
                moved |= matches!(heard, Heard::Batch(..) | Heard::Ended(_) | Heard::Done);
                match heard {
                    Heard::Batch(source, batch) => {
                        if !batch.is_whole() {
                            let reason = "its columns are of different lengths".to_owned();
                            return Err(SourceError { source_id: names[source].clone(), reason }.into());
                        }
                        let mut batch = record.take(&names[source], batch);
                        metrics.rows.fetch_add(batch.len() as u64, Relaxed);
                        metrics.too_old.fetch_add(batch.too_old, Relaxed);
                        metrics.unreadable.fetch_add(batch.unreadable, Relaxed);
                        if let Some(revisions) = &mut revisions {
                            let most = self.latest(now);
                            let (rest, again) = revisions.through(batch, |t| (-TIME_RANGE..=most).contains(&t))?;
                            metrics.again.fetch_add(again, Relaxed);
                            batch = rest;
                        }
                        // After it is remembered, so that it is not told again with each later reading.
                        let batch = self.plausible(batch, now, &mut out);
                        match batch.holds {
                            true => watermarks.held(batch.channel, &batch.time, now, &mut met),
                            false => watermarks.through(batch.channel, &batch.time, now, &mut met),
                        }
                        metrics.newest.fetch_max(batch.time.iter().copied().max().unwrap_or(i64::MIN), Relaxed);
                        let spread = shards.rows(batch, &met, watermarks.tick(now), &mut out)?;
                        metrics.spread.fetch_add(spread, Relaxed);
                    }
                    Heard::Nothing => shards.passed(watermarks.tick(now), &mut out)?,
                    Heard::Ended(channels) => channels.into_iter().for_each(|c| watermarks.end(c)),
                    Heard::Done => {
                        watermarks.finish();
                        shards.passed(i64::MAX, &mut out)?;
                    }
                    Heard::Stop => {}
                }
                if let Some(revisions) = &mut revisions {
                    revisions.passed(watermarks.current())?;
                }
                largest::keep(&mut out.closed, &most, record.groups());
                self.give(&mut out, &record)?;
                metrics.watermark.store(watermarks.current(), Relaxed);
                moved |= watermarks.current() != record.reached.watermark();
                let due = now.0.saturating_sub(last.0) >= micros(settings.checkpoint_every);
                let tables = || shards.tables().chain(revisions.as_ref().map(Revisions::table));
                let changed: usize = tables().map(|t| t.changed()).sum();
                if moved && (over.is_some() || due || changed > settings.most_values) {
                    record.reached = watermarks.reached();
                    record.measured = metrics.measured();
                    record.measured.checkpoints += 1;
                    self.checkpoint(run, &mut shards, &mut revisions, &mut record)?;
                    (last, moved) = (clock.now(), false);
                }
                if let Some(over) = over {
                    return Ok(over);
                }
            }
        })
    }

    /// The latest time that a row may have.
    fn latest(&self, now: Micros) -> i64 {
        self.settings.most_ahead.map_or(TIME_RANGE, |a| now.0.saturating_add(micros(a)).min(TIME_RANGE))
    }

    /// Takes out the rows that can't be: out of all range, or too far ahead of the clock.
    fn plausible(&self, batch: EventBatch, now: Micros, out: &mut Out) -> EventBatch {
        let most = self.latest(now);
        let fits = |t: &i64| (-TIME_RANGE..=most).contains(t);
        if batch.time.iter().all(fits) {
            return batch;
        }
        let keep: Vec<usize> = (0..batch.len()).filter(|i| batch.time.get(*i).is_some_and(fits)).collect();
        for row in (0..batch.len()).filter(|i| keep.binary_search(i).is_err()) {
            out.aside(&batch, row, Why::Implausible, i64::MIN);
        }
        batch.rows(&keep)
    }

    fn give(&mut self, out: &mut Out, record: &Record) -> Result<(), JobError> {
        if !out.is_empty() {
            self.metrics.aside.fetch_add(out.late.len() as u64, Relaxed);
            self.metrics.closed.fetch_add(out.closed.len() as u64, Relaxed);
            self.sink.take(out, record.groups())?;
            out.closed.clear();
            out.late.clear();
        }
        Ok(())
    }

    /// One commit of everything; the sink's rows are seen after it.
    fn checkpoint(
        &mut self,
        run: u64,
        shards: &mut Shards,
        revisions: &mut Option<Revisions>,
        record: &mut Record,
    ) -> Result<(), JobError> {
        let begun = self.clock.now();
        shards.settle()?;
        let (number, all) = {
            let backend = self.backend.read().unwrap_or_else(PoisonError::into_inner);
            (backend.number() + 1, backend.wants_all())
        };
        self.sink.prepare(number)?;
        record.history.add(run, number);
        let mut changes: Vec<TableChange> = record.changes(all)?;
        shards
            .tables()
            .chain(revisions.as_ref().map(Revisions::table))
            .try_for_each(|t| t.changes(all, &mut changes))?;
        let written = self.backend.write().unwrap_or_else(PoisonError::into_inner).commit(&changes, all)?;
        self.sink.commit(number)?;
        record.kept();
        let mut values = 0;
        for table in shards.tables_mut().chain(revisions.as_mut().map(Revisions::table_mut)) {
            table.kept();
            values += table.in_memory();
        }
        let m = &self.metrics;
        m.checkpoints.fetch_add(1, Relaxed);
        m.checkpoint_bytes.store(written.bytes, Relaxed);
        m.bytes.fetch_add(written.bytes, Relaxed);
        m.values.store(values as u64, Relaxed);
        m.checkpoint_micros.store(self.clock.now().0.saturating_sub(begun.0).max(0) as u64, Relaxed);
        Ok(())
    }
}
