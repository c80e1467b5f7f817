//! Reporting: releases come in, until all are there or the deadline decides.

use platform::Micros;
use proto::{Hash, SiteId};

use super::secure::Step;
use super::{Action, Decision, Outcome, Phase, Run};

impl Run {
    /// Whether a site was asked and has not answered.
    pub fn owes(&self, id: &SiteId) -> bool {
        let asked = match &self.phase {
            Phase::Reporting { roster, reported, .. } => roster.contains(id) && !reported.contains_key(id),
            Phase::Secure(attempt) => attempt.owes(id),
            _ => false,
        };
        asked
            && self
                .sites
                .get(id)
                .is_some_and(|s| s.out.is_none() && !matches!(s.decision, Decision::Refused | Decision::Paused))
    }

    /// What a site that came back has to be told, where it owes an answer.
    pub(super) fn ask_again(&self, id: &SiteId) -> Vec<Action> {
        if !self.owes(id) {
            return Vec::new();
        }
        match self.attempt() {
            Some(attempt) if attempt.step != Step::Advertise => vec![Action::Tell(id.clone())],
            _ => vec![Action::Order(id.clone())],
        }
    }

    /// A site that approved while the round runs takes part in it, and is asked (again, where it had paused).
    pub(super) fn join(&mut self, id: &SiteId) -> Vec<Action> {
        if matches!(self.phase, Phase::Secure(_)) {
            return self.ask_again(id); // Who is in an attempt was said at its beginning.
        }
        if self.turn.is_some() {
            return self.ask_again(id); // Whose turn it is was said at its beginning.
        }
        let usable = self.usable().any(|s| s == id);
        let Phase::Reporting { roster, .. } = &mut self.phase else { return Vec::new() };
        if !usable {
            return Vec::new();
        }
        roster.insert(id.clone());
        if self.owes(id) { vec![Action::Order(id.clone())] } else { Vec::new() }
    }

    /// Takes a release once; a site that is not asked, or that answered, changes nothing.
    pub(super) fn take(&mut self, id: &SiteId, release: Hash) -> Vec<Action> {
        if !self.owes(id) {
            return Vec::new();
        }
        match &mut self.phase {
            Phase::Reporting { reported, .. } => {
                reported.insert(id.clone(), release);
                vec![Action::Accept(id.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// Merges when all who can have answered, or at the deadline with enough; asks again with too few; fails without hope.
    pub(super) fn report(&mut self, now: Micros) -> Vec<Action> {
        let Phase::Reporting { roster, reported, deadline, attempt } = self.phase.clone() else { return Vec::new() };
        let least = self.least();
        let owing: Vec<SiteId> = roster.iter().filter(|id| self.owes(id)).cloned().collect();
        let gone =
            |id: &SiteId| self.sites.get(id).is_none_or(|s| matches!(s.decision, Decision::Refused | Decision::Paused));
        let waiting = owing.iter().filter(|id| !gone(id)).count();
        // Where one site's turn is over without an answer, it is the next one's.
        let passed = self.turn.is_some() && waiting == 0 && reported.is_empty();
        let late = now >= deadline || passed;
        if (waiting == 0 || late) && reported.len() >= least {
            self.phase = Phase::Merging;
            return vec![Action::Checkpoint];
        }
        if reported.len() + waiting < least && self.hopeful() < least {
            let why = format!("{} sites answered the round, and {least} are needed", reported.len());
            return self.close(Outcome::Failed(why));
        }
        if !late {
            return Vec::new();
        }
        if attempt >= self.settings.attempts {
            if self.is_continuous() {
                return self.pass_over();
            }
            let why = format!(
                "{} of {} sites answered by the last deadline, and {least} are needed",
                reported.len(),
                roster.len()
            );
            return self.close(Outcome::Failed(why));
        }
        // Once more: those who owe, and those who have come since.
        let mut roster = roster;
        roster.extend(self.asked(attempt));
        let orders = roster
            .iter()
            .filter(|id| {
                !reported.contains_key(*id) && self.sites.get(*id).is_some_and(|s| s.online && s.out.is_none())
            })
            .cloned()
            .map(Action::Order)
            .collect();
        self.phase = Phase::Reporting {
            roster,
            reported,
            deadline: now.plus_seconds(i64::from(self.settings.deadline_seconds)),
            attempt: attempt + 1,
        };
        orders
    }
}
