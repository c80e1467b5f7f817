//! Messages on disk before they are acknowledged.
//!
//! One thread owns the log. It takes every message that waits, from whichever connection, writes them as one group, syncs once, and
//! tells each sender's connection. While the disk is busy the next group gathers, so a slow disk makes groups larger, not answers fewer.
//!
//! A message that is on disk already, byte for byte, is not written again: its sender did not hear the answer. The last 131,072 at most are
//! known by the SHA-256 of their bytes, which MSH-3, MSH-4 and MSH-10 are among. One that comes later has the keys and the revision of
//! the first, so it changes nothing in gold.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use platform::Clock;
use platform::log::{self, Log, Records};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::counts::Counts;
use super::settings::Settings;
use super::{FeedError, folder};
use crate::config::Config;

/// Messages that wait for the disk at most.
const QUEUE: usize = 4096;
/// Messages of a group at most.
const GROUP: usize = 1024;
/// Bytes of a group at most, but for its first message.
const GROUP_BYTES: usize = 8 << 20;
/// Messages of one generation of those that are known.
const KNOWN: usize = 65_536;

type Digest = [u8; 16];

/// Messages that are on disk: the last ones, in two generations.
#[derive(Default)]
struct Known {
    young: HashSet<Digest>,
    old: HashSet<Digest>,
}

impl Known {
    fn digest(message: &[u8]) -> Digest {
        let full = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message);
        let mut out = [0; 16];
        out.copy_from_slice(full.as_ref().get(..16).unwrap_or(&[0; 16]));
        out
    }

    fn holds(&self, digest: &Digest) -> bool {
        self.young.contains(digest) || self.old.contains(digest)
    }

    fn add(&mut self, digest: Digest) {
        if self.young.len() >= KNOWN {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest);
    }
}

/// A message on its way to the disk.
struct Item {
    message: Vec<u8>,
    done: oneshot::Sender<bool>,
    _room: Option<OwnedSemaphorePermit>,
}

enum Order {
    Keep(Item),
    Seal(oneshot::Sender<()>),
}

/// The way to the thread that owns the log.
pub(super) struct Spool {
    orders: mpsc::Sender<Order>,
}

impl Spool {
    /// Opens the spool of a source, and starts its thread.
    pub(super) fn open(
        config: &Config,
        source: &str,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        counts: &Counts,
    ) -> Result<Spool, FeedError> {
        let folder = folder(config, source);
        let wrong = |e: io::Error| FeedError::Spool {
            source_name: source.to_owned(),
            path: folder.display().to_string(),
            reason: e.to_string(),
        };
        let (log, recovered) = Log::open(&folder).map_err(wrong)?;
        if recovered != log::Recovered::default() {
            tracing::warn!(
                source,
                messages = recovered.records,
                cut_bytes = recovered.cut,
                "feed: the spool was not closed; what was acknowledged is there, what a crash cut off was not acknowledged"
            );
        }
        let known = known(&folder).map_err(wrong)?;
        let (orders, queue) = mpsc::channel(QUEUE);
        let mut writer = Writer { log, known, clock, counts: counts.clone(), segment: settings.segment };
        std::thread::Builder::new().name(format!("feed-{source}")).spawn(move || writer.run(queue)).map_err(wrong)?;
        Ok(Spool { orders })
    }

    /// Hands a message over. What comes back says, once it is known, whether it is on disk.
    pub(super) async fn keep(&self, message: Vec<u8>, room: Option<OwnedSemaphorePermit>) -> oneshot::Receiver<bool> {
        let (done, wait) = oneshot::channel();
        // Without a writer `done` is dropped, which reads as "not stored".
        let _ = self.orders.send(Order::Keep(Item { message, done, _room: room })).await;
        wait
    }

    /// Seals the segment that grows.
    pub(super) async fn seal(&self) {
        let (done, wait) = oneshot::channel();
        let _ = self.orders.send(Order::Seal(done)).await;
        let _ = wait.await;
    }
}

/// The messages of segments that the lake has not taken yet, the newest last.
fn known(folder: &Path) -> io::Result<Known> {
    let mut known = Known::default();
    for path in log::sealed(folder)? {
        let mut records = Records::new(BufReader::new(std::fs::File::open(path)?));
        while let Ok(Some((_, message))) = records.advance() {
            known.add(Known::digest(message));
        }
    }
    Ok(known)
}

struct Writer {
    log: Log,
    known: Known,
    clock: Arc<dyn Clock>,
    counts: Counts,
    segment: u64,
}

impl Writer {
    fn run(&mut self, mut queue: mpsc::Receiver<Order>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = Vec::new();
            let (mut bytes, mut next) = (0, Some(first));
            let mut seal = None;
            while let Some(order) = next.take() {
                match order {
                    Order::Keep(item) => {
                        bytes += item.message.len();
                        group.push(item);
                    }
                    Order::Seal(done) => {
                        seal = Some(done);
                        break;
                    }
                }
                if group.len() < GROUP && bytes < GROUP_BYTES {
                    next = queue.try_recv().ok();
                }
            }
            self.keep(group);
            if (seal.is_some() || self.log.bytes() >= self.segment)
                && let Err(e) = self.log.seal()
            {
                tracing::error!("feed: a segment can't be sealed: {e}");
            }
            if let Some(done) = seal {
                let _ = done.send(());
            }
        }
    }

    fn keep(&mut self, group: Vec<Item>) {
        let mut fresh: Vec<&[u8]> = Vec::new();
        let mut digests = HashSet::new();
        for item in &group {
            let digest = Known::digest(&item.message);
            if !self.known.holds(&digest) && digests.insert(digest) {
                fresh.push(&item.message);
            }
        }
        let stored = fresh.is_empty() || self.append(&fresh);
        let (count, bytes) = (fresh.len() as u64, fresh.iter().map(|m| m.len() as u64).sum::<u64>());
        if stored {
            digests.into_iter().for_each(|d| self.known.add(d));
            self.counts.add(|n| {
                n.stored += count;
                n.stored_bytes += bytes;
                n.repeated += group.len() as u64 - count;
                n.syncs += u64::from(count > 0);
            });
        }
        for item in group {
            let _ = item.done.send(stored);
        }
    }

    fn append(&mut self, group: &[&[u8]]) -> bool {
        match self.log.append(self.clock.now(), group) {
            Ok(()) => true,
            Err(e) => {
                tracing::error!(messages = group.len(), "feed: not stored, and not acknowledged: {e}");
                false
            }
        }
    }
}

/// A sealed segment as the MLLP frames that came.
///
/// # Errors
/// Those of the file system.
pub(crate) fn reader(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let records = Records::new(BufReader::with_capacity(128 << 10, std::fs::File::open(path)?));
    Ok(Box::new(BufReader::with_capacity(128 << 10, Framed { records, frame: Vec::new(), at: 0 })))
}

struct Framed<R> {
    records: Records<R>,
    frame: Vec<u8>,
    at: usize,
}

impl<R: Read> Read for Framed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.frame.len() {
            let Some((_, message)) = self.records.advance()? else { return Ok(0) };
            self.frame.clear();
            self.frame.push(0x0b);
            self.frame.extend_from_slice(message);
            self.frame.extend_from_slice(b"\r\x1c\r");
            self.at = 0;
        }
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }
}
