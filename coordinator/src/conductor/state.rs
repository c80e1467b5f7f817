//! What the conductor knows and does, without its loop.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use platform::{Clock, Micros, StoreError};
use privacy::secagg::Identity;
use proto::wire::{self, StudyStatus, to_site};
use proto::{RoundId, SiteId, StudyId};

use super::running::Running;
use super::{Input, Outbound, to_site as message};
use crate::journal::Journal;
use crate::registry::Registry;
use crate::round::{Decision, Event};

/// Large releases that may be on their way at once, so that memory stays bounded.
const GRANTS: usize = 4;
/// A grant that came to nothing in so many seconds makes room for another.
const GRANT_SECONDS: i64 = 120;

/// A large release: from which site, for which round and attempt.
type Upload = (SiteId, RoundId, u32);

pub(super) struct Online {
    session: u64,
    pub(super) out: Outbound,
    pub(super) keys: Option<TellsKeys>,
}

/// What a site says of its keys.
#[derive(Clone)]
pub(super) struct TellsKeys {
    pub(super) identity: Identity,
    /// The id of its linkage key, or nothing.
    pub(super) linkage: String,
}

/// The conductor's state: what happened goes in, messages go out on the sites' streams. It does not wait, and has no clock but the
/// one it was given, so that a simulation can drive it as the service does.
pub struct Core {
    journal: Journal,
    registry: Registry,
    clock: Arc<dyn Clock>,
    simulation: bool,
    online: BTreeMap<SiteId, Online>,
    /// The keys that sites told, whatever became of their streams: a site whose stream has just come up again is known.
    keys: BTreeMap<SiteId, TellsKeys>,
    studies: BTreeMap<StudyId, Running>,
    /// Large releases that were asked for, and since when.
    granted: BTreeMap<Upload, Micros>,
    waiting: VecDeque<Upload>,
}

impl Core {
    /// Over what the journal holds; studies that were running go on.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn open(
        journal: Journal,
        registry: Registry,
        clock: Arc<dyn Clock>,
        simulation: bool,
    ) -> Result<Core, StoreError> {
        let mut core = Core {
            journal,
            registry,
            clock,
            simulation,
            online: BTreeMap::new(),
            keys: BTreeMap::new(),
            studies: BTreeMap::new(),
            granted: BTreeMap::new(),
            waiting: VecDeque::new(),
        };
        core.resume()?;
        Ok(core)
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self) {
        self.grant();
        self.each(|_| Some(Event::Tick));
    }

    fn resume(&mut self) -> Result<(), StoreError> {
        for id in self.journal.studies()? {
            match Running::open(&self.journal, &id, self.clock.now(), self.simulation) {
                Ok(mut running) => {
                    for (site, _) in self.registry.sites()? {
                        running.apply(&self.journal, &self.online, Event::Joined(site), self.clock.now());
                    }
                    self.studies.insert(id, running);
                }
                Err(e) => tracing::error!(study = %id, "the study can't be opened: {e}"),
            }
        }
        Ok(())
    }

    /// Gives every study an event.
    fn each(&mut self, event: impl Fn(&StudyId) -> Option<Event>) {
        let now = self.clock.now();
        for (id, running) in &mut self.studies {
            if let Some(event) = event(id) {
                running.apply(&self.journal, &self.online, event, now);
            }
        }
    }

    fn one(&mut self, study: &StudyId, event: Event) {
        let now = self.clock.now();
        if let Some(running) = self.studies.get_mut(study) {
            running.apply(&self.journal, &self.online, event, now);
        }
    }

    /// Takes what happened.
    pub fn take(&mut self, input: Input) {
        match input {
            Input::Online { site, session, out } => {
                let keys = self.keys.get(&site).cloned();
                self.online.insert(site.clone(), Online { session, out, keys });
                self.each(|_| Some(Event::Online(site.clone())));
            }
            Input::Offline { site, session } => {
                if self.online.get(&site).is_some_and(|o| o.session == session) {
                    self.online.remove(&site);
                    self.gone(&site);
                    self.each(|_| Some(Event::Offline(site.clone())));
                }
            }
            Input::Revoked(site) => {
                if let Some(online) = self.online.remove(&site) {
                    let _ = online.out.send(Err(tonic::Status::permission_denied("the site was revoked")));
                }
                self.gone(&site);
                self.each(|_| Some(Event::Offline(site.clone())));
                self.each(|_| Some(Event::Revoked(site.clone())));
            }
            Input::Joined(site) => self.each(|_| Some(Event::Joined(site.clone()))),
            Input::Decision { site, decision } => self.decided(&site, &decision),
            Input::Release { site, round, release } => {
                let now = self.clock.now();
                let attempt = release.manifest.attempt;
                if let Some(running) = self.studies.get_mut(&round.study) {
                    running.release(&self.journal, &self.online, &site, &round, *release, now);
                }
                self.done_granting(&(site, round, attempt));
            }
            Input::Keys { site, identity, linkage } => {
                // As its ledger's heads: a site's key does not change.
                if self.keys.get(&site).is_some_and(|known| known.identity != identity) {
                    tracing::error!(%site, "it tells another identity key than before; it takes part in no secure round with it");
                    return;
                }
                let keys = TellsKeys { identity, linkage };
                if let Some(online) = self.online.get_mut(&site) {
                    online.keys = Some(keys.clone());
                }
                self.keys.insert(site, keys);
            }
            Input::Secure { site, message } => {
                let study = message.round.as_ref().and_then(|r| StudyId::parse(&r.study).ok());
                let now = self.clock.now();
                if let Some(running) = study.and_then(|s| self.studies.get_mut(&s)) {
                    running.stepped(&self.journal, &self.online, &site, *message, now);
                }
            }
            Input::Offer { site, round, attempt } => {
                // What an earlier attempt at the round offered is of no use any more.
                self.waiting.retain(|(s, r, _)| (s, r) != (&site, &round));
                self.granted.retain(|(s, r, a), _| (s, r) != (&site, &round) || *a == attempt);
                let due = self.studies.get(&round.study).is_some_and(|r| r.waits_for(&site, &round, attempt));
                if due && !self.waiting.contains(&(site.clone(), round.clone(), attempt)) {
                    self.waiting.push_back((site, round, attempt));
                }
                self.grant();
            }
            Input::Granted { site, round, attempt } => self.done_granting(&(site, round, attempt)),
            Input::Refusal { site, round, code, reason, attempt, sites } => {
                self.refused(&site, (&round, attempt), &code, &reason, sites);
            }
            Input::Submit { plan, signed, reply } => {
                let _ = reply.send(self.submit(*plan, signed));
            }
            Input::Cancel { study, reply } => {
                self.one(&study, Event::Cancel);
                let status = self.studies.get(&study).map(Running::status);
                let _ = reply.send(status.ok_or_else(|| format!("there is no study '{study}'")));
            }
            Input::Watch { study, reply } => {
                let _ = reply.send(self.studies.get(&study).map(Running::watch));
            }
            Input::Present(reply) => {
                let _ = reply.send(self.online.keys().cloned().collect());
            }
        }
    }

    fn decided(&mut self, site: &SiteId, decision: &wire::Decision) {
        let Ok(study) = StudyId::parse(&decision.study) else { return };
        let Some(running) = self.studies.get_mut(&study) else { return };
        if running.plan_hash().0 != *decision.plan_hash {
            return;
        }
        let (kind, word) = match decision.kind() {
            wire::DecisionKind::DecisionApproved => (Decision::Approved, "approved"),
            wire::DecisionKind::DecisionRefused => (Decision::Refused, "refused"),
            wire::DecisionKind::DecisionPaused => (Decision::Paused, "paused"),
            wire::DecisionKind::DecisionPending => (Decision::Pending, "pending"),
            wire::DecisionKind::DecisionUnspecified => return,
        };
        tracing::info!(%study, %site, decision = word, code = %decision.code, "decision");
        running.said(site, word, &decision.code, &decision.reason);
        if let Err(e) = self.journal.decided(&study, site, word, &decision.reason) {
            tracing::error!("journal: {e}");
        }
        self.one(&study, Event::Decided(site.clone(), kind));
    }

    fn refused(
        &mut self,
        site: &SiteId,
        (round, attempt): (&RoundId, u32),
        code: &str,
        reason: &str,
        sites: Vec<SiteId>,
    ) {
        tracing::warn!(%site, %round, code, "round refused: {reason}");
        let Some(running) = self.studies.get_mut(&round.study) else { return };
        if !running.is_at(round) || !running.attempt_is(attempt) {
            return;
        }
        running.said(site, "refused the round", code, reason);
        let event = match code {
            "paused" => Event::Decided(site.clone(), Decision::Paused),
            "not_approved" => Event::Decided(site.clone(), Decision::Pending),
            // It is no fault of the site: the attempt goes on without it, and the next one without whoever is to blame.
            "peer_not_pinned"
            | "peer_key_changed"
            | "bad_share"
            | "secure_round"
            | "not_compared"
            | "linkage_key_differs" => Event::Spoiled(site.clone(), sites),
            _ => {
                if let Err(e) = self.journal.decided(&round.study, site, "out", &format!("{code}: {reason}")) {
                    tracing::error!("journal: {e}");
                }
                Event::Refused(site.clone(), format!("{code}: {reason}"))
            }
        };
        self.one(&round.study, event);
    }

    fn submit(&mut self, plan: study::Plan, mut signed: wire::SignedPlan) -> Result<StudyStatus, String> {
        let anew = std::mem::take(&mut signed.anew);
        let id = plan.study.id.clone();
        let hash = study::plan::hash_of(&signed.plan);
        if let Some(known) = self.studies.get(&id) {
            return if known.plan_hash() == hash {
                Ok(known.status())
            } else {
                Err(format!("a study '{id}' was submitted with another plan; give this one a new id"))
            };
        }
        if let Some(before) = self.answered(&plan).filter(|_| !anew) {
            return Err(format!(
                "the study '{before}' has answered this, as precisely: coordinator study results {before}; to ask and pay again, submit with --anew"
            ));
        }
        let now = self.clock.now();
        let fail = |e: &dyn std::fmt::Display| format!("the study can't be started: {e}");
        Running::submit(&self.journal, &plan, &signed, now).map_err(|e| fail(&e))?;
        let mut running = Running::open(&self.journal, &id, now, self.simulation).map_err(|e| fail(&e))?;
        for (site, _) in self.registry.sites().map_err(|e| fail(&e))? {
            running.apply(&self.journal, &self.online, Event::Joined(site.clone()), now);
        }
        let present: Vec<SiteId> = self.online.keys().cloned().collect();
        for site in present {
            running.apply(&self.journal, &self.online, Event::Online(site), now);
        }
        let status = running.status();
        self.studies.insert(id, running);
        Ok(status)
    }

    /// A study in secure rounds whose results answer a plan. With local noise the sites themselves answer an equal question from
    /// the bytes of the first; a masked input must not be sent twice.
    fn answered(&self, plan: &study::Plan) -> Option<StudyId> {
        let secure = |p: &study::Plan| p.study.privacy.aggregation == study::spec::Aggregation::Secure;
        let asked = study::question::of_plan(plan).ok().filter(|_| secure(plan))?;
        let answers = |r: &Running| {
            r.done()
                .filter(|p| secure(p))
                .and_then(|p| study::question::of_plan(p).ok())
                .is_some_and(|first| study::question::answers(&first, &asked))
        };
        self.studies.iter().find(|(_, r)| answers(r)).map(|(id, _)| id.clone())
    }

    fn grant(&mut self) {
        let now = self.clock.now();
        self.granted.retain(|_, since| now < since.plus_seconds(GRANT_SECONDS));
        while self.granted.len() < GRANTS {
            // One at a time of each site.
            let next = self.waiting.iter().position(|(site, _, _)| !self.granted.keys().any(|(s, _, _)| s == site));
            let Some((site, round, attempt)) = next.and_then(|n| self.waiting.remove(n)) else { return };
            if let Some(online) = self.online.get(&site) {
                let grant = wire::Grant { round: Some((&round).into()), attempt };
                let _ = online.out.send(Ok(message(to_site::Message::Grant(grant))));
                self.granted.insert((site, round, attempt), now);
            }
        }
    }

    /// A release came, or won't.
    fn done_granting(&mut self, upload: &Upload) {
        self.waiting.retain(|u| u != upload);
        if self.granted.remove(upload).is_some() {
            self.grant();
        }
    }

    /// A site's stream broke: nothing more comes of what it offered.
    fn gone(&mut self, site: &SiteId) {
        self.waiting.retain(|(s, _, _)| s != site);
        self.granted.retain(|(s, _, _), _| s != site);
        self.grant();
    }
}
