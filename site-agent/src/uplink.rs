//! The uplink: dials out, holds one stream, is pushed to. When it breaks it dials again; what was not acknowledged is sent
//! again, the same bytes, when the coordinator asks.

use std::sync::Arc;
use std::time::Duration;

use certs::authority::SERVER_NAME;
use certs::tls;
use privacy::secagg::{RevealedShare, SealedShare, Secret};
use proto::wire::federation_client::FederationClient;
use proto::wire::{self, from_site, secure_message, secure_reply, to_site};
use proto::{RoundId, StudyId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::agent::{Agent, OTHER_LINKAGE_KEY, Refused, SecureAnswer};
use crate::enroll;
use crate::releases::{Sealed, State};
use crate::studies::Record;

/// Releases up to this many bytes go in one message; larger ones wait for a grant and go in chunks.
const INLINE_BYTES: usize = 256 << 10;
const CHUNK_BYTES: usize = 256 << 10;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// Identity.
    #[error(transparent)]
    Enroll(#[from] enroll::Error),
    /// Certificates.
    #[error(transparent)]
    Cert(#[from] certs::CertError),
    /// The network.
    #[error(transparent)]
    Connect(#[from] proto::channel::ConnectError),
    /// The coordinator ended it.
    #[error("the coordinator ended the stream: {0}")]
    Ended(String),
}

fn message(m: from_site::Message) -> wire::FromSite {
    wire::FromSite { message: Some(m) }
}

fn decision(record: &Record) -> wire::FromSite {
    let objection = record.objection.clone();
    message(from_site::Message::Decision(wire::Decision {
        study: record.study.to_string(),
        plan_hash: record.plan_hash.0.to_vec().into(),
        kind: record.decision.wire().into(),
        code: objection.as_ref().map(|o| o.code.clone()).unwrap_or_default(),
        reason: objection.map(|o| o.reason).unwrap_or_default(),
    }))
}

/// Runs for ever: connects, serves, waits a little, connects again.
pub async fn run(agent: Arc<Agent>) {
    let mut wait = FIRST_WAIT;
    loop {
        let begun = std::time::Instant::now();
        let ended = session(&agent).await;
        if begun.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT; // It was up: whoever restarted is back soon.
        }
        match ended {
            Ok(()) => wait = FIRST_WAIT,
            Err(e) => {
                tracing::warn!("uplink: {e}; trying again in {:.1} s", wait.as_secs_f64());
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// One connection, until it ends. `Ok` means that it was up and should come up again at once.
async fn session(agent: &Arc<Agent>) -> Result<(), UplinkError> {
    let (identity, coordinator) = enroll::folder(&agent.config).load()?;
    let (channel, seen) = proto::channel::connect(&coordinator.address, SERVER_NAME, tls::client(&identity)?).await?;
    tracing::info!(address = %coordinator.address, tls = %seen.version, group = %seen.group, suite = %seen.suite, "connected");
    let peer = identity.peer()?;
    let mut client =
        FederationClient::new(channel.clone()).max_decoding_message_size(64 << 20).max_encoding_message_size(16 << 20);
    let (out, outbound) = mpsc::channel::<wire::FromSite>(64);
    let mut told = hello(agent);
    let _ = out.send(message(from_site::Message::Hello(told.clone()))).await;
    let mut inbound = client
        .attach(ReceiverStream::new(outbound))
        .await
        .map_err(|s| UplinkError::Ended(s.message().to_owned()))?
        .into_inner();
    let mut decisions = agent.decisions();
    // Entries of the ledger that the coordinator has; unknown until it says so.
    let anchor = Arc::new(Anchor::default());
    let mut renewal = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            incoming = inbound.message() => match incoming {
                Ok(Some(m)) => receive(agent, &identity, &coordinator.federation, &out, &anchor, m.message).await,
                Ok(None) => return Err(UplinkError::Ended("it closed".to_owned())),
                Err(status) => return Err(UplinkError::Ended(status.message().to_owned())),
            },
            decided = decisions.recv() => {
                if let Ok(record) = decided {
                    let _ = out.send(decision(&record)).await;
                }
            }
            () = agent.asked_to_reconnect() => {
                tracing::info!("connecting anew");
                return Ok(());
            }
            _ = renewal.tick() => {
                let now = agent.clock.now().seconds();
                let again = hello(agent);
                if again.linkage_key != told.linkage_key {
                    told = again;
                    let _ = out.send(message(from_site::Message::Hello(told.clone()))).await;
                }
                // A head a day, though nothing was spent.
                tell_ledger(agent, &out, &anchor).await;
                if peer.should_renew(now) {
                    match enroll::renew(&agent.config, channel.clone()).await {
                        Ok(new) => {
                            let until = new.peer().map(|p| p.not_after_seconds).unwrap_or_default();
                            tracing::info!(until, "certificate renewed; the next connection uses it");
                            return Ok(());
                        }
                        Err(e) => tracing::warn!("renewal: {e}"),
                    }
                }
            }
        }
    }
}

/// What this site says of itself.
fn hello(agent: &Agent) -> wire::Hello {
    let head = agent.ledger.signed_head(&agent.config.id, &agent.identity, agent.clock.now());
    let linkage_key = crate::linkage::key_id(&agent.config).unwrap_or_else(|e| {
        tracing::error!("linkage key: {e}");
        String::new()
    });
    wire::Hello {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: schema::version::VERSION.to_owned(),
        schema_hash: schema::version::hash_hex(),
        ledger_entries: head.head.entries,
        ledger_head: head.head.last.0.to_vec().into(),
        identity: agent.identity.public().0.to_vec().into(),
        linkage_key,
        signed_head: serde_json::to_vec(&head).unwrap_or_default().into(),
    }
}

/// What the coordinator has of the ledger, on this connection.
#[derive(Default)]
struct Anchor {
    /// Nothing until it was compared. Held while news are made and sent, so that they never overtake each other.
    told: tokio::sync::Mutex<Option<Told>>,
}

struct Told {
    /// Entries that the coordinator has.
    known: u64,
    /// The day of the last head that was sent.
    day: i64,
}

/// Sends the entries that the coordinator does not have, with a signed head; before the bytes that they paid for.
async fn tell_ledger(agent: &Arc<Agent>, out: &mpsc::Sender<wire::FromSite>, anchor: &Anchor) {
    let mut told = anchor.told.lock().await;
    let Some(told) = told.as_mut().filter(|_| agent.ledger.admits().is_ok()) else { return };
    let day = agent.clock.now().seconds().div_euclid(86_400);
    if told.known >= agent.ledger.head().0 && told.day == day {
        return;
    }
    match agent.ledger_news(told.known) {
        Ok((news, held)) => {
            (told.known, told.day) = (held, day);
            let _ = out.send(message(from_site::Message::Ledger(news))).await;
        }
        Err(e) => tracing::error!("the ledger's news: {e}"),
    }
}

/// Whether the ledger was compared with the coordinator's copy on this connection. Before that nothing is answered.
async fn compared(agent: &Agent, anchor: &Anchor) -> Result<(), Refused> {
    match anchor.told.lock().await.as_ref() {
        Some(_) => Ok(()),
        None => Err(agent.not_compared()),
    }
}

async fn receive(
    agent: &Arc<Agent>,
    identity: &certs::Identity,
    federation: &str,
    out: &mpsc::Sender<wire::FromSite>,
    anchor: &Arc<Anchor>,
    m: Option<to_site::Message>,
) {
    match m {
        Some(to_site::Message::Welcome(w)) => {
            tracing::info!(federation = %w.federation, coordinator = %w.coordinator_version, "welcomed");
            let last = proto::Hash::from_slice(&w.anchor_head).unwrap_or(proto::Hash([0; 32]));
            let shown = serde_json::from_slice(&w.anchor_signed).ok();
            let said = (w.anchor_entries, last);
            match agent.ledger.anchored(said, shown.as_ref(), &agent.config.id, &agent.identity) {
                Ok(()) => {
                    *anchor.told.lock().await = Some(Told { known: w.anchor_entries, day: 0 });
                    tell_ledger(agent, out, anchor).await;
                }
                Err(e) => tracing::error!("{e}"),
            }
        }
        Some(to_site::Message::Study(signed)) => match agent.receive(identity, federation, &signed).await {
            Ok(record) => {
                tracing::info!(study = %record.study, decision = ?record.decision, "study");
                let _ = out.send(decision(&record)).await;
            }
            Err(e) => tracing::error!("study: {e}"),
        },
        Some(to_site::Message::Closed(c)) => {
            if let Ok(study) = StudyId::parse(&c.study)
                && let Err(e) = agent.closed(&study, &c.outcome)
            {
                tracing::error!("closing {study}: {e}");
            }
        }
        Some(to_site::Message::Round(order)) if order.secure.is_some() => {
            let joined = match compared(agent, anchor).await {
                Ok(()) => agent.join(federation, &order).await,
                Err(refused) => Err(refused),
            };
            let attempt = order.secure.as_ref().map_or(0, |s| s.attempt);
            let advertisement = match joined {
                Ok(advertisement) => advertisement.to_bytes(),
                Err(refused) => return refuse(agent, out, (order.round, attempt), refused).await,
            };
            let body = Some(secure_message::Body::Advertisement(advertisement.into()));
            let said = wire::SecureMessage { round: order.round, attempt, body };
            let _ = out.send(message(from_site::Message::Secure(said))).await;
        }
        Some(to_site::Message::Round(order)) => {
            let (agent, out, anchor) = (agent.clone(), out.clone(), anchor.clone());
            tokio::spawn(async move { answer(&agent, &out, &anchor, order).await });
        }
        Some(to_site::Message::Secure(reply)) if matches!(reply.body, Some(secure_reply::Body::Keys(_))) => {
            // In order: shares that follow at once, as after a new connection, need the keys.
            go_on(agent, out, anchor, reply).await;
        }
        Some(to_site::Message::Secure(reply)) => {
            let (agent, out, anchor) = (agent.clone(), out.clone(), anchor.clone());
            tokio::spawn(async move { go_on(&agent, &out, &anchor, reply).await });
        }
        Some(to_site::Message::Cosigned(c)) => {
            if let Err(e) = agent.cosigned(&c.head) {
                tracing::error!("the coordinator's signature: {e}");
            }
        }
        Some(to_site::Message::Grant(g)) => {
            let (agent, out) = (agent.clone(), out.clone());
            tokio::spawn(async move { chunks(&agent, &out, g).await });
        }
        Some(to_site::Message::Acknowledged(a)) => {
            if let Ok(round) = proto::parse::round(a.round)
                && let Err(e) = agent.advance(&round, a.attempt, State::Acknowledged)
            {
                tracing::error!("acknowledging {round}: {e}");
            }
        }
        Some(to_site::Message::Ping(_)) | None => {}
    }
}

async fn refuse(
    agent: &Agent,
    out: &mpsc::Sender<wire::FromSite>,
    (round, attempt): (Option<wire::RoundRef>, u32),
    refused: Refused,
) {
    tracing::info!(code = %refused.code, "refused a round: {}", refused.reason);
    if refused.code == OTHER_LINKAGE_KEY {
        // The coordinator may not have heard yet of the key that the site has now.
        let _ = out.send(message(from_site::Message::Hello(hello(agent)))).await;
    }
    let Refused { code, reason, sites } = refused;
    let _ = out.send(message(from_site::Message::Refusal(wire::Refusal { round, code, reason, attempt, sites }))).await;
}

async fn answer(agent: &Arc<Agent>, out: &mpsc::Sender<wire::FromSite>, anchor: &Anchor, order: wire::RoundOrder) {
    let round = order.round.clone();
    let answered = match compared(agent, anchor).await {
        Ok(()) => agent.answer(order).await,
        Err(refused) => Err(refused),
    };
    match answered {
        Ok(sealed) => hand_on(agent, out, anchor, sealed).await,
        Err(refused) => {
            refuse(agent, out, (round, 0), refused).await;
        }
    }
}

async fn hand_on(agent: &Arc<Agent>, out: &mpsc::Sender<wire::FromSite>, anchor: &Anchor, sealed: Sealed) {
    tell_ledger(agent, out, anchor).await;
    let (id, attempt) = (sealed.record.manifest.round.clone(), sealed.record.manifest.attempt);
    let small = sealed.payload.len() <= INLINE_BYTES;
    if small && let Err(e) = agent.advance(&id, attempt, State::Sent) {
        tracing::error!("marking {id} as sent: {e}");
    }
    let _ = out.send(message(release(sealed, small))).await;
}

async fn go_on(agent: &Arc<Agent>, out: &mpsc::Sender<wire::FromSite>, anchor: &Anchor, reply: wire::SecureReply) {
    let (round, attempt) = (reply.round.clone(), reply.attempt);
    let answered = match compared(agent, anchor).await {
        Ok(()) => agent.go_on(reply).await,
        Err(refused) => Err(refused),
    };
    let body = match answered {
        Ok(SecureAnswer::Masked(sealed)) => return hand_on(agent, out, anchor, *sealed).await,
        Ok(SecureAnswer::Shares(shares)) => {
            let one = |s: SealedShare| wire::SealedShare { from: s.from, to: s.to, sealed: s.sealed.into() };
            secure_message::Body::Shares(wire::SealedShares {
                shares: shares.into_iter().map(one).collect(),
                shared: Vec::new(),
            })
        }
        Ok(SecureAnswer::Consent(consent)) => secure_message::Body::Consent(consent.signature.to_vec().into()),
        Ok(SecureAnswer::Reveal(reveal)) => {
            let one = |s: &RevealedShare| wire::RevealedShare {
                of: s.of,
                mask_key: s.secret == Secret::MaskKey,
                share: s.share.to_vec().into(),
            };
            secure_message::Body::Reveal(wire::Reveal { shares: reveal.shares.iter().map(one).collect() })
        }
        Err(refused) => {
            refuse(agent, out, (round, attempt), refused).await;
            return;
        }
    };
    let m = wire::SecureMessage { round, attempt, body: Some(body) };
    let _ = out.send(message(from_site::Message::Secure(m))).await;
}

fn release(sealed: Sealed, inline: bool) -> from_site::Message {
    let round = Some((&sealed.record.manifest.round).into());
    if inline {
        return from_site::Message::Release(wire::Release {
            round,
            manifest: sealed.manifest.into(),
            payload: sealed.payload.into(),
        });
    }
    from_site::Message::Offer(wire::ReleaseOffer {
        round,
        manifest: sealed.manifest.into(),
        payload_bytes: sealed.payload.len() as u64,
    })
}

async fn chunks(agent: &Arc<Agent>, out: &mpsc::Sender<wire::FromSite>, grant: wire::Grant) {
    let Ok(round) = proto::parse::round(grant.round) else { return };
    if !agent.may_send(&round.study) {
        return;
    }
    let sealed = match agent.releases.get(&round, grant.attempt) {
        Ok(Some(sealed)) => sealed,
        Ok(None) => return,
        Err(e) => return tracing::error!("sending {round}: {e}"),
    };
    if let Err(e) = agent.advance(&round, grant.attempt, State::Sent) {
        tracing::error!("marking {round} as sent: {e}");
    }
    send_chunks(&round, &sealed, out).await;
}

async fn send_chunks(round: &RoundId, sealed: &Sealed, out: &mpsc::Sender<wire::FromSite>) {
    for (i, data) in sealed.payload.chunks(CHUNK_BYTES).enumerate() {
        let chunk = wire::ReleaseChunk {
            round: Some(round.into()),
            offset: (i * CHUNK_BYTES) as u64,
            data: data.to_vec().into(),
            attempt: sealed.record.manifest.attempt,
        };
        if out.send(message(from_site::Message::Chunk(chunk))).await.is_err() {
            return;
        }
    }
}
