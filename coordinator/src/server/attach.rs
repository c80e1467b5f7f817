//! A site's stream: what comes in is parsed here and told to the conductor; nothing of the wire goes further.

use std::collections::BTreeMap;
use std::sync::Arc;

use certs::head::SignedHead;
use privacy::secagg::{Identity, IdentityKey};
use proto::wire::{self, from_site, to_site};
use proto::{Manifest, ParseError, RoundId, SiteId};
use tonic::Streaming;

use crate::anchors::{AnchorError, Anchors, identity_of};
use crate::conductor::{Conductor, Input, Outbound};

/// The most bytes that a release may have.
const MOST_BYTES: u64 = 128 << 20;

/// How many large releases of one site may be on their way: one a study that runs.
const MOST_OFFERS: usize = 16;

/// A round, and which attempt at it.
type Which = (RoundId, u32);
/// As long as an id of a linkage key is.
const LINKAGE_KEY_ID: usize = 16;

/// A large release on its way.
struct Assembly {
    manifest: Manifest,
    expected: u64,
    data: Vec<u8>,
}

/// What a site's messages are handed to.
pub(super) struct Desk {
    site: SiteId,
    conductor: Conductor,
    anchors: Anchors,
    own: Arc<IdentityKey>,
    out: Outbound,
    identity: Option<Identity>,
}

impl Desk {
    pub(super) fn new(
        site: SiteId,
        conductor: Conductor,
        anchors: Anchors,
        own: Arc<IdentityKey>,
        out: Outbound,
    ) -> Desk {
        Desk { site, conductor, anchors, own, out, identity: None }
    }

    fn hello(&mut self, h: &wire::Hello) {
        tracing::info!(site = %self.site, agent = %h.agent_version, schema = %h.schema_version, ledger = h.ledger_entries, "hello");
        if let Some(identity) = identity_of(&self.site, h) {
            self.identity = Some(identity);
            let linkage = h.linkage_key.chars().take(LINKAGE_KEY_ID).collect();
            self.conductor.tell(Input::Keys { site: self.site.clone(), identity, linkage });
        } else {
            tracing::warn!(site = %self.site, "it has not proved its identity key; it takes part in no secure round");
        }
    }

    /// Keeps news of the ledger. A ledger that does not go on from what was seen is told of, and not kept.
    fn ledger(&self, news: &wire::LedgerEntries) -> Result<(), ParseError> {
        let wrong = || ParseError::Field { field: "signed_head", wanted: "a head that its site signed" };
        let signed: SignedHead = serde_json::from_slice(&news.signed_head).map_err(|_| wrong())?;
        let identity = self.identity.ok_or_else(wrong)?;
        let entries: Vec<Vec<u8>> = news.entries.iter().map(|e| e.to_vec()).collect();
        match self.anchors.take(&self.site, &identity, &entries, &signed, &self.own) {
            Ok(cosignature) => {
                let head = serde_json::to_vec(&(signed, cosignature)).unwrap_or_default();
                let told = to_site::Message::Cosigned(wire::Cosigned { head: head.into() });
                let _ = self.out.send(Ok(crate::conductor::to_site(told)));
            }
            Err(e @ AnchorError::Fork { .. }) => {
                // The stream ends: on the next one the site compares its ledger with what was seen, and stops where it must.
                tracing::error!(site = %self.site, "{e}");
                let _ = self.out.send(Err(tonic::Status::failed_precondition(e.to_string())));
            }
            Err(e) => tracing::error!(site = %self.site, "{e}"),
        }
        Ok(())
    }
}

/// Reads a site's stream until it ends.
pub(super) async fn read(mut desk: Desk, mut stream: Streaming<wire::FromSite>) {
    let mut offers: BTreeMap<Which, Assembly> = BTreeMap::new();
    let site = desk.site.clone();
    loop {
        let m = match stream.message().await {
            Ok(Some(m)) => m,
            Ok(None) => return,
            Err(e) => {
                tracing::debug!(%site, "stream: {}", e.message());
                return;
            }
        };
        if let Err(e) = take(&mut desk, m, &mut offers) {
            tracing::warn!(%site, "malformed message: {e}");
        }
    }
}

fn take(desk: &mut Desk, m: wire::FromSite, offers: &mut BTreeMap<Which, Assembly>) -> Result<(), ParseError> {
    let (site, conductor) = (&desk.site.clone(), &desk.conductor.clone());
    match m.message {
        Some(from_site::Message::Hello(h)) => desk.hello(&h),
        Some(from_site::Message::Ledger(news)) => desk.ledger(&news)?,
        Some(from_site::Message::Secure(message)) => {
            conductor.tell(Input::Secure { site: site.clone(), message: Box::new(message) });
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
            let attempt = manifest.attempt;
            let assembly = Assembly { manifest, expected: o.payload_bytes, data: Vec::new() };
            // Older attempts at the round are over; of other rounds the oldest goes, where there are too many.
            offers.retain(|(r, a), _| *r != round || *a == attempt);
            if offers.len() >= MOST_OFFERS
                && let Some(((r, a), _)) = offers.pop_first()
            {
                conductor.tell(Input::Granted { site: site.clone(), round: r, attempt: a });
            }
            offers.insert((round.clone(), attempt), assembly);
            conductor.tell(Input::Offer { site: site.clone(), round, attempt });
        }
        Some(from_site::Message::Chunk(c)) => {
            let round = proto::parse::round(c.round)?;
            let granted = || Input::Granted { site: site.clone(), round: round.clone(), attempt: c.attempt };
            let Some(mut a) = offers.remove(&(round.clone(), c.attempt)) else {
                conductor.tell(granted());
                return Err(ParseError::Field { field: "chunk.round", wanted: "a round that was offered" });
            };
            let length = a.data.len() as u64;
            if c.offset != length || length + c.data.len() as u64 > a.expected {
                conductor.tell(granted());
                return Err(ParseError::Field { field: "chunk.offset", wanted: "where the last chunk ended" });
            }
            a.data.extend_from_slice(&c.data);
            if a.data.len() as u64 == a.expected {
                finish(site, round, Ok(a.manifest), &a.data, conductor);
            } else {
                offers.insert((round, c.attempt), a);
            }
        }
        Some(from_site::Message::Refusal(r)) => {
            let round = proto::parse::round(r.round)?;
            let cut = |s: String| s.chars().take(500).collect();
            let (code, reason, attempt) = (cut(r.code), cut(r.reason), r.attempt);
            let sites = r.sites.iter().take(10_000).filter_map(|s| SiteId::parse(s).ok()).collect();
            conductor.tell(Input::Refusal { site: site.clone(), round, code, reason, attempt, sites });
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
    let attempt = manifest.as_ref().map_or(0, |m| m.attempt);
    match manifest.and_then(|m| proto::parse::release(m, payload)) {
        Ok(release) => {
            conductor.tell(Input::Release { site: site.clone(), round, release: Box::new(release) });
        }
        Err(e) => {
            tracing::warn!(%site, %round, "release: {e}");
            conductor.tell(Input::Granted { site: site.clone(), round: round.clone(), attempt });
            conductor.tell(Input::Refusal {
                site: site.clone(),
                round,
                code: "malformed".to_owned(),
                reason: e.to_string(),
                attempt,
                sites: Vec::new(),
            });
        }
    }
}
