//! Selection: who is asked.

use std::collections::BTreeMap;

use platform::Micros;

use super::{Action, Decision, Outcome, Phase, Run};

impl Run {
    /// Starts the round where there are enough sites. The first round of a study waits for all sites that have not decided
    /// or are not there, at most `gather_seconds` after there are enough.
    pub(super) fn select(&mut self, now: Micros) -> Vec<Action> {
        let Phase::Selection { enough_since } = self.phase else { return Vec::new() };
        let usable = self.usable().count();
        let least = self.settings.min_sites as usize;
        // With fewer sites than are needed the study waits for others to enrol; with enough, of whom too few can answer, it fails.
        if self.sites.len() >= least && self.all_decided() && self.hopeful() < least {
            let why = format!("{} of {} sites can answer, and {least} are needed", self.hopeful(), self.sites.len());
            return self.close(Outcome::Failed(why));
        }
        if self.is_early(now) {
            return Vec::new();
        }
        if usable < least {
            self.phase = Phase::Selection { enough_since: None };
            // Before the first round the study waits for as long as it takes.
            return if self.begun && self.is_too_late(now) { self.pass_over() } else { Vec::new() };
        }
        let enough = enough_since.unwrap_or(now);
        self.phase = Phase::Selection { enough_since: Some(enough) };
        let everyone = self.sites.values().all(|s| {
            s.out.is_some()
                || matches!(s.decision, Decision::Refused | Decision::Paused)
                || (s.online && s.decision == Decision::Approved)
        });
        let gathered = now >= enough.plus_seconds(i64::from(self.settings.gather_seconds));
        if !(everyone || gathered || self.begun) {
            return Vec::new();
        }
        if self.rest.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let roster = self.asked(0);
        if self.secure.is_some() {
            return self.begin_secure(roster, now);
        }
        let orders = roster.iter().cloned().map(Action::Order).collect();
        self.phase = Phase::Reporting {
            roster,
            reported: BTreeMap::new(),
            deadline: now.plus_seconds(i64::from(self.settings.deadline_seconds)),
            attempt: 1,
        };
        orders
    }

    fn all_decided(&self) -> bool {
        self.sites.values().all(|s| s.out.is_some() || !matches!(s.decision, Decision::Unknown | Decision::Pending))
    }
}
