//! The secure rounds of a running study: an attempt begins, its phases end, and what a site said is taken.

use std::collections::{BTreeMap, BTreeSet};

use platform::Micros;
use privacy::MechanismName;
use privacy::secagg::Identity;
use proto::manifest::parameters_hash;
use proto::secure::Member;
use proto::wire::{self, to_site};
use proto::{Hash, SiteId};
use study::spec::Aggregation;

use super::{Online, Running, RunningError};
use crate::conductor::state::TellsKeys;
use crate::journal::Journal;
use crate::round::Event;
use crate::round::secure::Step;
use crate::secure::SecureRound;

/// What a site lacks that an attempt can't begin without.
pub(super) struct Lacks {
    pub(super) code: &'static str,
    pub(super) why: &'static str,
    /// Whether it is left out of this attempt alone: it may have what it lacks by the next.
    passing: bool,
}

const NO_IDENTITY: Lacks =
    Lacks { code: "no_identity", why: "its agent has not told its identity key; bring it up to date", passing: false };
const SAME_IDENTITY: Lacks = Lacks {
    code: "same_identity",
    why: "its identity key is another site's; its staff makes a new one",
    passing: false,
};
const OTHER_LINKAGE_KEY: Lacks = Lacks {
    code: "linkage_key_differs",
    why: "it holds another linkage key than most sites, or none; its staff asks the custodian with site-agent keys linkage request",
    passing: true,
};

impl Lacks {
    pub(super) fn event(&self, site: SiteId) -> Event {
        if self.passing { Event::Spoiled(site, Vec::new()) } else { Event::Refused(site, self.why.to_owned()) }
    }
}

/// The linkage key that most hold; of two that as many hold, the one whose id is first. Empty where nobody holds one.
fn most_held<'a>(keys: impl Iterator<Item = &'a TellsKeys>) -> String {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    keys.filter(|k| !k.linkage.is_empty()).for_each(|k| *held.entry(&k.linkage).or_default() += 1);
    let most = held.iter().max_by_key(|(id, n)| (**n, std::cmp::Reverse(**id)));
    most.map(|(id, _)| (*id).to_owned()).unwrap_or_default()
}

impl Running {
    /// Begins an attempt at a secure round. Sites whose keys it can't begin with are left out, and returned with the reason.
    /// Where distinct patients are counted, those hold one linkage key: the one that most of the roster hold.
    pub(super) fn begin_secure(
        &mut self,
        journal: &Journal,
        online: &BTreeMap<SiteId, Online>,
        attempt: u32,
        roster: &BTreeSet<SiteId>,
        now: Micros,
    ) -> Result<Vec<(SiteId, Lacks)>, RunningError> {
        let usual = if self.simulation { MechanismName::None } else { MechanismName::DiscreteGaussian };
        let links = study::secure::mechanism(&self.plan, self.state.analysis, usual) == MechanismName::Presence;
        let keys = |site: &SiteId| online.get(site).and_then(|o| o.keys.as_ref());
        let linkage_key = if links { most_held(roster.iter().filter_map(keys)) } else { String::new() };
        let (mut known, mut without) = (Vec::new(), Vec::new());
        for site in roster {
            match keys(site) {
                None => without.push((site.clone(), NO_IDENTITY)),
                Some(k) if known.iter().any(|(_, identity)| *identity == k.identity) => {
                    without.push((site.clone(), SAME_IDENTITY));
                }
                Some(k) if links && (k.linkage.is_empty() || k.linkage != linkage_key) => {
                    without.push((site.clone(), OTHER_LINKAGE_KEY));
                }
                Some(k) => known.push((site, k.identity)),
            }
        }
        // A site takes no part with fewer than the plan asks for.
        let least = self.plan.study.privacy.threshold(roster.len()).max(self.plan.study.rounds.min_sites as usize);
        if !without.is_empty() && known.len() < least {
            return Ok(without);
        }
        let identities: Vec<Identity> = known.iter().map(|(_, identity)| *identity).collect();
        let members = known
            .iter()
            .map(|(site, identity)| Member { site: (*site).clone(), fingerprint: Hash(identity.fingerprint().0) });
        let program = self.program.as_ref().ok_or_else(|| RunningError::Other("there is no program".to_owned()))?;
        let work = program.work(self.state.round, &self.state.parameters)?;
        let of = study::secure::Of {
            federation: self.plan.federation.clone(),
            plan_hash: self.hash,
            round: self.round(),
            attempt,
            parameters_hash: parameters_hash(&self.state.parameters),
            rho: self.rho(),
            mechanism: usual,
            linkage_key,
        };
        let other = |e: &dyn std::fmt::Display| RunningError::Other(e.to_string());
        let terms = study::secure::terms(&self.plan, of, members.collect(), &work).map_err(|e| other(&e))?;
        let Ok(round) = SecureRound::new(terms, identities) else { return Ok(without) };
        journal.secure(&self.plan.study.id, &round.stored())?;
        self.secure = Some(round);
        self.started = now;
        let order = self.order();
        for (site, _) in known {
            self.send(online, site, to_site::Message::Round(order.clone()));
        }
        Ok(without)
    }

    /// Ends a phase: durable first, then told.
    pub(super) fn freeze(&mut self, journal: &Journal, online: &BTreeMap<SiteId, Online>) -> Result<(), RunningError> {
        let missing = || RunningError::Other("there is no attempt".to_owned());
        let round = self.secure.as_mut().ok_or_else(missing)?;
        round.freeze().map_err(RunningError::Other)?;
        journal.secure(&self.plan.study.id, &round.stored())?;
        for site in round.expected() {
            self.tell(online, &site);
        }
        Ok(())
    }

    pub(super) fn tell(&self, online: &BTreeMap<SiteId, Online>, site: &SiteId) {
        let Some(round) = &self.secure else { return };
        for body in round.told(site) {
            let reply = wire::SecureReply {
                round: Some((&round.terms().round).into()),
                attempt: round.terms().attempt,
                body: Some(body),
            };
            self.send(online, site, to_site::Message::Secure(reply));
        }
    }

    /// A site's message in a secure round came.
    pub(in crate::conductor) fn stepped(
        &mut self,
        journal: &Journal,
        online: &BTreeMap<SiteId, Online>,
        site: &SiteId,
        m: wire::SecureMessage,
        now: Micros,
    ) {
        let here = proto::parse::round(m.round.clone()).is_ok_and(|r| self.is_at(&r)) && self.run.owes(site);
        let (Some(round), Some(body)) =
            (self.secure.as_mut().filter(|s| here && s.terms().attempt == m.attempt), m.body)
        else {
            return; // Late, or for an attempt that is over.
        };
        let Some(step) = Step::of(round.step()) else { return };
        if crate::secure::phase(&body) != step {
            return; // Of another phase: said twice, as after a new connection.
        }
        match round.take(site, body) {
            Ok(()) => {
                if step == Step::Advertise {
                    // What it could not do before is past.
                    self.said(site, "approved", "", "");
                }
                self.apply(journal, online, Event::Stepped(site.clone(), step), now);
            }
            Err(e) => {
                tracing::warn!(%site, "set aside: {e}");
                self.said(site, "set aside", e.code, &e.to_string());
            }
        }
    }

    /// Whether a refusal is of the running attempt.
    pub(in crate::conductor) fn attempt_is(&self, attempt: u32) -> bool {
        match &self.secure {
            Some(secure) => secure.terms().attempt == attempt,
            None => self.plan.study.privacy.aggregation == Aggregation::Local,
        }
    }
}
