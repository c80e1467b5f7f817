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
use crate::journal::Journal;
use crate::round::Event;
use crate::round::secure::Step;
use crate::secure::SecureRound;

impl Running {
    /// Begins an attempt at a secure round. Sites whose identity is not known are left out, and returned.
    pub(super) fn begin_secure(
        &mut self,
        journal: &Journal,
        online: &BTreeMap<SiteId, Online>,
        attempt: u32,
        roster: &BTreeSet<SiteId>,
        now: Micros,
    ) -> Result<Vec<SiteId>, RunningError> {
        let identity = |site: &SiteId| online.get(site).and_then(|o| o.identity);
        let (known, unknown): (Vec<&SiteId>, Vec<&SiteId>) = roster.iter().partition(|s| identity(s).is_some());
        let unknown: Vec<SiteId> = unknown.into_iter().cloned().collect();
        // A site takes no part with fewer than the plan asks for.
        let least = self.plan.study.privacy.threshold(roster.len()).max(self.plan.study.rounds.min_sites as usize);
        if !unknown.is_empty() && known.len() < least {
            return Ok(unknown);
        }
        let identities: Vec<Identity> = known.iter().filter_map(|s| identity(s)).collect();
        let members = known
            .iter()
            .zip(&identities)
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
            mechanism: if self.simulation { MechanismName::None } else { MechanismName::DiscreteGaussian },
        };
        let other = |e: &dyn std::fmt::Display| RunningError::Other(e.to_string());
        let terms = study::secure::terms(&self.plan, of, members.collect(), &work).map_err(|e| other(&e))?;
        let round = SecureRound::new(terms, identities).map_err(|e| other(&e))?;
        journal.secure(&self.plan.study.id, &round.stored())?;
        self.secure = Some(round);
        self.started = now;
        let order = self.order();
        for site in known {
            self.send(online, site, to_site::Message::Round(order.clone()));
        }
        Ok(unknown)
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
            Ok(()) => self.apply(journal, online, Event::Stepped(site.clone(), step), now),
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
