//! A site's stream: what comes in is parsed here and told to the conductor; nothing of the wire goes further.

use std::collections::BTreeMap;

use proto::wire::{self, from_site};
use proto::{Manifest, ParseError, RoundId, SiteId};
use tonic::Streaming;

use crate::conductor::{Conductor, Input};

/// The most bytes that a release may have.
const MOST_BYTES: u64 = 128 << 20;

/// A large release on its way.
struct Assembly {
    round: RoundId,
    manifest: Manifest,
    expected: u64,
    data: Vec<u8>,
}

/// Reads a site's stream until it ends.
pub(super) async fn read(site: SiteId, mut stream: Streaming<wire::FromSite>, conductor: Conductor) {
    let mut offers: BTreeMap<RoundId, Assembly> = BTreeMap::new();
    loop {
        let m = match stream.message().await {
            Ok(Some(m)) => m,
            Ok(None) => return,
            Err(e) => {
                tracing::debug!(%site, "stream: {}", e.message());
                return;
            }
        };
        if let Err(e) = take(&site, m, &conductor, &mut offers) {
            tracing::warn!(%site, "malformed message: {e}");
        }
    }
}

fn take(
    site: &SiteId,
    m: wire::FromSite,
    conductor: &Conductor,
    offers: &mut BTreeMap<RoundId, Assembly>,
) -> Result<(), ParseError> {
    match m.message {
        Some(from_site::Message::Hello(h)) => {
            tracing::info!(%site, agent = %h.agent_version, schema = %h.schema_version, ledger = h.ledger_entries, "hello");
        }
        Some(from_site::Message::Decision(decision)) => {
            conductor.tell(Input::Decision { site: site.clone(), decision });
        }
        Some(from_site::Message::Release(r)) => {
            let round = proto::parse::round(r.round)?;
            let manifest = proto::parse::manifest(&r.manifest, site, &round);
            finish(site, round, manifest, &r.payload, conductor);
        }
        Some(from_site::Message::Offer(o)) => {
            let round = proto::parse::round(o.round)?;
            let manifest = proto::parse::manifest(&o.manifest, site, &round)?;
            if o.payload_bytes > MOST_BYTES || Some(o.payload_bytes) != manifest.lanes().checked_mul(8) {
                return Err(ParseError::Field { field: "payload_bytes", wanted: "8 for each lane of the manifest" });
            }
            let assembly = Assembly { round: round.clone(), manifest, expected: o.payload_bytes, data: Vec::new() };
            offers.clear(); // A site has one large release under way.
            offers.insert(round.clone(), assembly);
            conductor.tell(Input::Offer { site: site.clone(), round });
        }
        Some(from_site::Message::Chunk(c)) => {
            let round = proto::parse::round(c.round)?;
            let Some(mut a) = offers.remove(&round) else {
                return Err(ParseError::Field { field: "chunk.round", wanted: "a round that was offered" });
            };
            let length = a.data.len() as u64;
            if c.offset != length || length + c.data.len() as u64 > a.expected {
                conductor.tell(Input::Granted(site.clone()));
                return Err(ParseError::Field { field: "chunk.offset", wanted: "where the last chunk ended" });
            }
            a.data.extend_from_slice(&c.data);
            if a.data.len() as u64 == a.expected {
                finish(site, a.round, Ok(a.manifest), &a.data, conductor);
            } else {
                offers.insert(round, a);
            }
        }
        Some(from_site::Message::Refusal(r)) => {
            let round = proto::parse::round(r.round)?;
            let cut = |s: String| s.chars().take(500).collect();
            conductor.tell(Input::Refusal { site: site.clone(), round, code: cut(r.code), reason: cut(r.reason) });
        }
        None => {}
    }
    Ok(())
}

fn finish(
    site: &SiteId,
    round: RoundId,
    manifest: Result<Manifest, ParseError>,
    payload: &[u8],
    conductor: &Conductor,
) {
    match manifest.and_then(|m| proto::parse::release(m, payload)) {
        Ok(release) => {
            conductor.tell(Input::Release { site: site.clone(), round, release: Box::new(release) });
        }
        Err(e) => {
            tracing::warn!(%site, %round, "release: {e}");
            conductor.tell(Input::Granted(site.clone()));
            conductor.tell(Input::Refusal {
                site: site.clone(),
                round,
                code: "malformed".to_owned(),
                reason: e.to_string(),
            });
        }
    }
}
