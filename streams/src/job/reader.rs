//! Sources, each in a thread of its own, with a short queue: a full one holds the source back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::Scope;
use std::time::Duration;

use platform::{Clock, Micros};

use super::{JobError, Settings};
use crate::batch::{ChannelId, EventBatch};
use crate::metrics::Metrics;
use crate::source::{Polled, Source, SourceError};
use crate::watermark::Watermarks;

/// Batches that may wait for the operators, per source.
const WAITING: usize = 3;
const REST: Duration = Duration::from_millis(5);

type Sent = Result<Polled, SourceError>;

#[expect(clippy::large_enum_variant, reason = "made once a batch and taken apart at once")]
pub(super) enum Heard {
    /// A batch of the source at this place.
    Batch(usize, EventBatch),
    /// Nothing came for a moment.
    Nothing,
    /// Sources ended that had these channels.
    Ended(BTreeSet<ChannelId>),
    /// All sources have ended.
    Done,
    /// The job was told to stop.
    Stop,
}

struct Reader {
    from: Receiver<Sent>,
    waiting: Option<EventBatch>,
    ended: bool,
    idle: bool,
    channels: BTreeSet<ChannelId>,
}

impl Reader {
    fn take(&mut self, batch: EventBatch) {
        self.channels.insert(batch.channel);
        self.idle = false;
        self.waiting = Some(batch);
    }
}

pub(super) struct Readers(Vec<Reader>);

impl Readers {
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        sources: Vec<Box<dyn Source>>,
        settings: &Settings,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Readers {
        let start = |mut source: Box<dyn Source>| {
            let (into, from) = sync_channel(WAITING);
            let (most, clock, metrics) = (settings.batch_rows, clock.clone(), metrics.clone());
            scope.spawn(move || {
                loop {
                    let polled = source.poll(most);
                    let (idle, over) = (matches!(polled, Ok(Polled::Idle)), matches!(polled, Ok(Polled::End) | Err(_)));
                    if !send(&into, polled, &*clock, &metrics) || over {
                        break;
                    }
                    if idle {
                        std::thread::sleep(REST);
                    }
                }
            });
            Reader { from, waiting: None, ended: false, idle: false, channels: BTreeSet::new() }
        };
        Readers(sources.into_iter().map(start).collect())
    }

    /// Whether every source said last that it has nothing for now, and nothing of it waits.
    pub(super) fn are_idle(&self) -> bool {
        self.0.iter().all(|r| r.waiting.is_none() && (r.idle || r.ended))
    }

    /// What comes next: of the sources that have a batch, the one furthest behind.
    pub(super) fn next(&mut self, watermarks: &Watermarks, drift: Option<i64>, now: Micros) -> Result<Heard, JobError> {
        let mut ended = BTreeSet::new();
        for reader in self.0.iter_mut().filter(|r| r.waiting.is_none() && !r.ended) {
            match reader.from.try_recv() {
                Ok(Ok(Polled::Batch(batch))) => reader.take(batch),
                Ok(Ok(Polled::Idle)) => reader.idle = true,
                Err(TryRecvError::Empty) => {}
                Ok(Ok(Polled::End)) => {
                    reader.ended = true;
                    ended.append(&mut reader.channels);
                }
                Ok(Err(e)) => return Err(e.into()),
                Err(TryRecvError::Disconnected) => return Err(JobError::Thread),
            }
        }
        if !ended.is_empty() {
            return Ok(Heard::Ended(ended));
        }
        if self.0.iter().all(|r| r.ended && r.waiting.is_none()) {
            return Ok(Heard::Done);
        }
        let alone = self.0.len() == 1;
        let ahead = |r: &Reader| r.waiting.as_ref().map(|b| if alone { 0 } else { watermarks.ahead(b.channel, now) });
        let next = self.0.iter().enumerate().filter_map(|(i, r)| Some((ahead(r)?, i))).min();
        match next {
            Some((ahead, i)) if drift.is_none_or(|most| ahead <= most) => {
                let batch = self.0.get_mut(i).and_then(|r| r.waiting.take());
                Ok(batch.map_or(Heard::Nothing, |b| Heard::Batch(i, b)))
            }
            _ => {
                // Waits on a source that has nothing; a short while, since time itself may close a window.
                let reader = self.0.iter_mut().find(|r| r.waiting.is_none() && !r.ended);
                match reader.map(|r| (r.from.recv_timeout(REST), r)) {
                    Some((Ok(Ok(Polled::Batch(batch))), reader)) => reader.take(batch),
                    Some((Ok(Ok(Polled::Idle)), reader)) => reader.idle = true,
                    Some((Ok(Ok(Polled::End)), reader)) => reader.ended = true,
                    Some((Ok(Err(e)), _)) => return Err(e.into()),
                    _ => {}
                }
                Ok(Heard::Nothing)
            }
        }
    }
}

/// Sends, noting for how long the queue was full. `false` when nobody listens any more.
fn send(into: &SyncSender<Sent>, polled: Sent, clock: &dyn Clock, metrics: &Metrics) -> bool {
    match into.try_send(polled) {
        Ok(()) => true,
        Err(TrySendError::Disconnected(_)) => false,
        Err(TrySendError::Full(polled)) => {
            let since = clock.now();
            let sent = into.send(polled).is_ok();
            metrics.blocked_micros.fetch_add(clock.now().0.saturating_sub(since.0).max(0) as u64, Relaxed);
            sent
        }
    }
}
