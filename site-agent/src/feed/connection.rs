//! One sender: its frames in, its answers out, in order.
//!
//! A sender may send on without waiting: up to [`PIPELINE`] messages of a connection are on their way to the disk at once. Answers keep
//! the order of the messages.

use std::net::IpAddr;
use std::sync::Arc;

use adapters::ack::{self, Asked, Fault, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::{Event, Frames};
use super::{FREE, Feed, STOP_WAIT, stopped};

/// Messages of one connection that wait for their answers.
const PIPELINE: usize = 64;
const CHUNK: usize = 16 << 10;
/// Bytes outside frames after which a connection is closed: whoever speaks there speaks another language.
const MOST_JUNK: u64 = 64 << 10;

/// An answer that is due, once the message is on disk.
struct Due {
    /// The message's header; none where it had no readable one.
    asked: Option<Asked>,
    verdict: Verdict,
    stored: Option<oneshot::Receiver<bool>>,
}

/// Why a connection ended, for the log.
type Why = &'static str;

/// Serves one sender until it goes, breaks a rule, or the agent stops.
pub(super) async fn serve<S>(feed: Arc<Feed>, stream: S, peer: IpAddr, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let (due, waiting) = mpsc::channel(PIPELINE);
    let writer = tokio::spawn(answer(feed.clone(), write, waiting));
    let why = receive(&feed, read, &due, stop).await;
    drop(due);
    let answered = writer.await.unwrap_or_default();
    tracing::info!(source = %feed.source, %peer, answered, why, "feed: connection closed");
}

async fn receive<R: AsyncRead + Unpin>(
    feed: &Feed,
    mut stream: R,
    due: &mpsc::Sender<Due>,
    mut stop: watch::Receiver<bool>,
) -> Why {
    let mut frames = Frames::new(feed.settings.max_message);
    let mut context = feed.context();
    let mut chunk = vec![0; CHUNK];
    let mut events = Vec::new();
    let mut reserved: Option<OwnedSemaphorePermit> = None;
    let (mut began, mut stopping) = (Instant::now(), false);
    loop {
        if frames.held() > FREE && reserved.is_none() {
            // The socket is not read while there is no room; that time is not the sender's.
            reserved = feed.room(feed.settings.max_message).await;
            began = Instant::now();
        }
        let wait = match (frames.inside(), stopping) {
            (false, _) => feed.settings.idle,
            (true, false) => feed.settings.read,
            (true, true) => STOP_WAIT / 2,
        };
        let read = tokio::select! {
            biased;
            () = stopped(&mut stop), if !stopping => {
                (stopping, began) = (true, Instant::now());
                if frames.inside() { continue } else { return "the agent stops" }
            }
            read = timeout_at(began + wait, stream.read(&mut chunk)) => read,
        };
        let n = match read {
            Ok(Ok(0)) if frames.inside() => return "closed within a frame",
            Ok(Ok(0)) => return "closed",
            Ok(Ok(n)) => n,
            Ok(Err(_)) => return "broken",
            Err(_) if frames.inside() => return "a frame took too long",
            Err(_) => return "idle",
        };
        let was_inside = frames.inside();
        frames.push(chunk.get(..n).unwrap_or_default(), &mut events);
        if !was_inside || !events.is_empty() {
            began = Instant::now();
        }
        for event in events.drain(..).flat_map(each) {
            let next = match event {
                Event::Broken(head) => {
                    Due { asked: Asked::of(&head), verdict: Verdict::Reject(ack::BROKEN), stored: None }
                }
                Event::Junk => Due { asked: None, verdict: Verdict::Reject(ack::UNFRAMED), stored: None },
                Event::Over(head) => {
                    reserved = None;
                    Due { asked: Asked::of(&head), verdict: Verdict::Reject(ack::TOO_LONG), stored: None }
                }
                Event::Frame(message) => {
                    context.ingest_micros = feed.clock.now().0;
                    let asked = Asked::of(&message);
                    if asked.as_ref().is_some_and(Asked::is_answer) {
                        continue;
                    }
                    let verdict = ack::examine(feed.adapter.as_ref(), &context, &message);
                    let keep = verdict.is_kept() && !message.trim_ascii().is_empty();
                    let room = match reserved.take() {
                        Some(room) => Some(room),
                        None => feed.room(message.len()).await,
                    };
                    let stored = if keep { Some(feed.spool.keep(message, room).await) } else { None };
                    Due { asked, verdict, stored }
                }
            };
            if due.send(next).await.is_err() {
                return "answers are not taken";
            }
        }
        if frames.junk() > MOST_JUNK {
            return "no MLLP";
        }
        if stopping && !frames.inside() {
            return "the agent stops";
        }
    }
}

/// A frame's messages, where it has several, each as if it came in a frame of its own.
fn each(event: Event) -> Vec<Event> {
    match event {
        Event::Frame(frame) => match ack::each_of(&frame) {
            Some(messages) => messages.into_iter().map(Event::Frame).collect(),
            None => vec![Event::Frame(frame)],
        },
        other => vec![other],
    }
}

/// Sends answers as they fall due, in order. Returns how many.
async fn answer<W: AsyncWrite + Unpin>(feed: Arc<Feed>, mut stream: W, mut waiting: mpsc::Receiver<Due>) -> u64 {
    let mut sent = 0u64;
    while let Some(due) = waiting.recv().await {
        let stored = match due.stored {
            Some(stored) => stored.await.unwrap_or(false),
            None => true,
        };
        let verdict = if stored { due.verdict } else { Verdict::Error(ack::NOT_STORED) };
        let micros = feed.clock.now().0;
        let time = chrono::DateTime::from_timestamp_micros(micros).map_or_else(String::new, |t| {
            let local = t.with_timezone(&feed.zone);
            local.format("%Y%m%d%H%M%S%z").to_string()
        });
        // Unique in this feed: no two answers of a connection have one number, and no two connections one microsecond.
        let id = format!("{micros:X}{sent:X}");
        let answers = match (&due.asked, verdict) {
            (Some(asked), verdict) => asked.answers(verdict, &time, &id),
            (None, Verdict::Error(fault) | Verdict::Reject(fault)) => vec![ack::nak(fault, &time, &id)],
            (None, Verdict::Taken) => Vec::new(),
        };
        count(&feed, verdict.fault(), &answers);
        let mut bytes = Vec::new();
        for answer in &answers {
            bytes.push(0x0b);
            bytes.extend_from_slice(answer);
            bytes.extend_from_slice(&[0x1c, 0x0d]);
        }
        let write = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if !matches!(timeout(feed.settings.read, write).await, Ok(Ok(()))) {
            return sent;
        }
        sent += 1;
    }
    let _ = timeout(STOP_WAIT / 2, stream.shutdown()).await;
    sent
}

/// Counts answers by their code; faults are logged by theirs, with nothing of the message.
fn count(feed: &Feed, fault: Option<Fault>, answers: &[Vec<u8>]) {
    for answer in answers {
        let at = answer.windows(4).position(|w| w.starts_with(b"\rMSA")).map_or(0, |at| at + 5);
        let code = String::from_utf8_lossy(answer.get(at..at + 2).unwrap_or_default());
        let key = fault.map_or_else(|| code.to_string(), |f| format!("{code} {}", f.code));
        feed.counts.add(|n| *n.answers.entry(key).or_default() += 1);
    }
    if let Some(fault) = fault {
        tracing::debug!(source = %feed.source, code = fault.code, fault.text, "feed: refused");
    }
}
