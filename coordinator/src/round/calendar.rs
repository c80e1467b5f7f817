//! Rounds of a continuous study: each waits for its time, and one that too few sites answer is passed over instead of ending the study.

use platform::Micros;

use super::{Action, Phase, Run};

/// When a round may begin, and until when it waits for enough sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    due: Micros,
    until: Micros,
}

/// Why a site stays out of a study for good, by the code that it gave; what else kept it from one window may not keep it from the next.
const FOR_GOOD: &[&str] = &[
    "revoked",
    "refused",
    "plan_changed",
    "plan_expired",
    "plan_invalid",
    "unknown_study",
    "budget_spent",
    "no_blocks",
    "cohort_too_small",
    "quality_gate",
    "study_over",
    "stream_state_lost",
];

impl Run {
    /// The running round is a window's: it begins when that is due, and waits for enough sites from then on, at most as long as all
    /// its attempts take.
    pub fn wait_until(&mut self, due: Micros, now: Micros) {
        let patience = i64::from(self.settings.deadline_seconds) * i64::from(self.settings.attempts);
        self.window = Some(Window { due, until: due.max(now).plus_seconds(patience) });
    }

    pub(super) fn is_continuous(&self) -> bool {
        self.window.is_some()
    }

    pub(super) fn is_early(&self, now: Micros) -> bool {
        self.window.is_some_and(|w| now < w.due)
    }

    pub(super) fn is_too_late(&self, now: Micros) -> bool {
        self.window.is_some_and(|w| now >= w.until)
    }

    /// Leaves a gap, durably, and goes on to the next window.
    pub(super) fn pass_over(&mut self) -> Vec<Action> {
        self.phase = Phase::Merging;
        vec![Action::PassOver]
    }

    /// Whether a site that is out of this round may be in the next one.
    pub(super) fn comes_back(&self, why: &str) -> bool {
        self.is_continuous() && !FOR_GOOD.iter().any(|code| why.split(':').next() == Some(*code))
    }

    /// Takes sites in again that were kept from the last window alone.
    pub(super) fn take_back(&mut self) {
        let back: Vec<_> = self
            .sites
            .iter()
            .filter(|(_, s)| s.out.as_ref().is_some_and(|why| self.comes_back(why)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in back {
            if let Some(site) = self.sites.get_mut(&id) {
                site.out = None;
            }
        }
    }
}
