//! The uplink: dials out, holds one stream, is pushed to. When it breaks it dials again; what was not acknowledged is sent
//! again, the same bytes, when the coordinator asks.

use std::sync::Arc;
use std::time::Duration;

use certs::authority::SERVER_NAME;
use certs::tls;
use proto::wire::federation_client::FederationClient;
use proto::wire::{self, from_site, to_site};
use proto::{RoundId, StudyId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::agent::Agent;
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
        FederationClient::new(channel.clone()).max_decoding_message_size(16 << 20).max_encoding_message_size(16 << 20);
    let (out, outbound) = mpsc::channel::<wire::FromSite>(64);
    let (entries, head) = agent.ledger.head();
    let hello = wire::Hello {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: schema::version::VERSION.to_owned(),
        schema_hash: schema::version::hash_hex(),
        ledger_entries: entries,
        ledger_head: head.0.to_vec().into(),
    };
    let _ = out.send(message(from_site::Message::Hello(hello))).await;
    let mut inbound = client
        .attach(ReceiverStream::new(outbound))
        .await
        .map_err(|s| UplinkError::Ended(s.message().to_owned()))?
        .into_inner();
    let mut decisions = agent.decisions();
    let mut renewal = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            incoming = inbound.message() => match incoming {
                Ok(Some(m)) => receive(agent, &identity, &coordinator.federation, &out, m.message).await,
                Ok(None) => return Err(UplinkError::Ended("it closed".to_owned())),
                Err(status) => return Err(UplinkError::Ended(status.message().to_owned())),
            },
            decided = decisions.recv() => {
                if let Ok(record) = decided {
                    let _ = out.send(decision(&record)).await;
                }
            }
            _ = renewal.tick() => {
                let now = agent.clock.now().seconds();
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

async fn receive(
    agent: &Arc<Agent>,
    identity: &certs::Identity,
    federation: &str,
    out: &mpsc::Sender<wire::FromSite>,
    m: Option<to_site::Message>,
) {
    match m {
        Some(to_site::Message::Welcome(w)) => {
            tracing::info!(federation = %w.federation, coordinator = %w.coordinator_version, "welcomed");
        }
        Some(to_site::Message::Study(signed)) => match agent.receive(identity, federation, &signed) {
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
        Some(to_site::Message::Round(order)) => {
            let (agent, out) = (agent.clone(), out.clone());
            tokio::spawn(async move { answer(&agent, &out, order).await });
        }
        Some(to_site::Message::Grant(g)) => {
            let (agent, out) = (agent.clone(), out.clone());
            tokio::spawn(async move { chunks(&agent, &out, g).await });
        }
        Some(to_site::Message::Acknowledged(a)) => {
            if let Ok(round) = proto::parse::round(a.round)
                && let Err(e) = agent.advance(&round, State::Acknowledged)
            {
                tracing::error!("acknowledging {round}: {e}");
            }
        }
        Some(to_site::Message::Ping(_)) | None => {}
    }
}

async fn answer(agent: &Arc<Agent>, out: &mpsc::Sender<wire::FromSite>, order: wire::RoundOrder) {
    let round = order.round.clone();
    let reply = match agent.answer(order).await {
        Ok(sealed) => {
            let id = sealed.record.manifest.round.clone();
            let small = sealed.payload.len() <= INLINE_BYTES;
            if small && let Err(e) = agent.advance(&id, State::Sent) {
                tracing::error!("marking {id} as sent: {e}");
            }
            release(sealed, small)
        }
        Err(refused) => {
            tracing::info!(code = %refused.code, "refused a round: {}", refused.reason);
            from_site::Message::Refusal(wire::Refusal { round, code: refused.code, reason: refused.reason })
        }
    };
    let _ = out.send(message(reply)).await;
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
    let sealed = match agent.releases.get(&round) {
        Ok(Some(sealed)) => sealed,
        Ok(None) => return,
        Err(e) => return tracing::error!("sending {round}: {e}"),
    };
    if let Err(e) = agent.advance(&round, State::Sent) {
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
        };
        if out.send(message(from_site::Message::Chunk(chunk))).await.is_err() {
            return;
        }
    }
}
