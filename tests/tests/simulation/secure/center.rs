//! The coordinator: its conductor, its anchors and its streams, over a machine that can die.

use std::collections::BTreeMap;
use std::sync::Arc;

use certs::head::SignedHead;
use coordinator::anchors::{AnchorError, Anchors};
use coordinator::conductor::{Core, Input, Outbound};
use coordinator::journal::Journal;
use coordinator::registry::Registry;
use platform::Clock;
use privacy::secagg::{Identity, IdentityKey};
use proto::SiteId;
use proto::wire::{self, from_site, to_site};

use super::disk::Disk;
use super::site;
use crate::study::Prepared;

/// A stream's end at the coordinator.
pub(super) struct Desk {
    pub(super) place: usize,
    site: SiteId,
    identity: Option<Identity>,
    out: Outbound,
    /// The next message that was handed to the stream; `None` inside ends it.
    next: Box<dyn FnMut() -> Option<Option<to_site::Message>>>,
}

pub(super) struct Center {
    core: Core,
    anchors: Anchors,
    own: Arc<IdentityKey>,
    pub(super) desks: BTreeMap<u64, Desk>,
}

/// What became of a site's message.
pub(super) enum Took {
    Well,
    /// News of a ledger that do not go on from what was seen: the stream ends.
    Forked(String),
}

impl Center {
    pub(super) fn open(disk: &Arc<Disk>, clock: Arc<dyn Clock>) -> Result<Center, String> {
        let core = Core::open(Journal::new(disk.clone()), Registry::new(disk.clone()), clock, false);
        let own = Arc::new(site::key(usize::MAX));
        let core = core.map_err(|e| e.to_string())?;
        Ok(Center { core, anchors: Anchors::new(disk.clone()), own, desks: BTreeMap::new() })
    }

    pub(super) fn take(&mut self, input: Input) {
        self.core.take(input);
    }

    pub(super) fn tick(&mut self) {
        self.core.tick();
    }

    pub(super) fn submit(&mut self, plan: &Prepared) {
        let (reply, _answer) = tokio::sync::oneshot::channel();
        self.core.take(Input::Submit { plan: Box::new(plan.plan.clone()), signed: plan.signed.clone(), reply });
    }

    /// A stream comes up, as the service attaches it.
    pub(super) fn attach(&mut self, session: u64, place: usize, site: &SiteId) -> bool {
        let Ok(seen) = self.anchors.head(site) else { return false };
        let (out, mut messages) = tokio::sync::mpsc::unbounded_channel();
        let welcome = coordinator::anchors::welcome(seen.as_ref().map(|(signed, _)| signed));
        let _ = out.send(Ok(wire::ToSite { message: Some(to_site::Message::Welcome(welcome)) }));
        let next = Box::new(move || messages.try_recv().ok().map(|m| m.ok().and_then(|m| m.message)));
        let desk = Desk { place, site: site.clone(), identity: None, out: out.clone(), next };
        self.desks.insert(session, desk);
        self.core.take(Input::Online { site: site.clone(), session, out });
        true
    }

    pub(super) fn desks_of(&self, place: usize) -> Vec<u64> {
        self.desks.iter().filter(|(_, d)| d.place == place).map(|(session, _)| *session).collect()
    }

    pub(super) fn ended(&mut self, session: u64) {
        if let Some(desk) = self.desks.remove(&session) {
            self.core.take(Input::Offline { site: desk.site, session });
        }
    }

    /// What was handed to the streams since, in order for each.
    pub(super) fn said(&mut self) -> Vec<(u64, usize, Option<to_site::Message>)> {
        let mut out = Vec::new();
        for (session, desk) in &mut self.desks {
            while let Some(m) = (desk.next)() {
                out.push((*session, desk.place, m));
            }
        }
        out
    }

    /// What was seen of a site's ledger: the entries, and the head that it signed.
    pub(super) fn copy(&self, site: &SiteId) -> Option<(Vec<Vec<u8>>, SignedHead)> {
        let (head, _) = self.anchors.head(site).ok()??;
        Some((self.anchors.entries(site).ok()?, head))
    }

    /// A site's message, parsed as the service does.
    pub(super) fn hear(&mut self, session: u64, m: from_site::Message) -> Result<Took, String> {
        let Some(desk) = self.desks.get_mut(&session) else { return Ok(Took::Well) };
        let site = desk.site.clone();
        let text = |e: proto::ParseError| e.to_string();
        match m {
            from_site::Message::Hello(h) => {
                let identity = coordinator::anchors::identity_of(&site, &h).ok_or("an identity without proof")?;
                desk.identity = Some(identity);
                self.core.take(Input::Keys { site, identity, linkage: h.linkage_key });
            }
            from_site::Message::Ledger(news) => {
                let signed: SignedHead = serde_json::from_slice(&news.signed_head).map_err(|e| e.to_string())?;
                let identity = desk.identity.ok_or("news of a ledger before a hello")?;
                let entries: Vec<Vec<u8>> = news.entries.iter().map(|e| e.to_vec()).collect();
                match self.anchors.take(&site, &identity, &entries, &signed, &self.own) {
                    Ok(cosignature) => {
                        let head = serde_json::to_vec(&(signed, cosignature)).unwrap().into();
                        let told = to_site::Message::Cosigned(wire::Cosigned { head });
                        let _ = desk.out.send(Ok(wire::ToSite { message: Some(told) }));
                    }
                    Err(e @ AnchorError::Fork { .. }) => return Ok(Took::Forked(e.to_string())),
                    Err(AnchorError::Store(_)) => {}
                }
            }
            from_site::Message::Secure(message) => self.core.take(Input::Secure { site, message: Box::new(message) }),
            from_site::Message::Decision(decision) => self.core.take(Input::Decision { site, decision }),
            from_site::Message::Release(r) => {
                let round = proto::parse::round(r.round).map_err(text)?;
                let manifest = proto::parse::manifest(&r.manifest, &site, &round).map_err(text)?;
                let release = Box::new(proto::parse::release(manifest, &r.payload).map_err(text)?);
                self.core.take(Input::Release { site, round, release });
            }
            from_site::Message::Refusal(r) => {
                let round = proto::parse::round(r.round).map_err(text)?;
                let (code, reason, attempt) = (r.code, r.reason, r.attempt);
                let sites = r.sites.iter().filter_map(|s| SiteId::parse(s).ok()).collect();
                self.core.take(Input::Refusal { site, round, code, reason, attempt, sites });
            }
            from_site::Message::Offer(_) | from_site::Message::Chunk(_) => {}
        }
        Ok(Took::Well)
    }
}
