//! A secure round: the five phases of the aggregation, one after the other, each with those who came through the one before.
//!
//! ```text
//!   Advertise ─► Share ─► Mask ─► Consent ─► Reveal ─► Merging
//!       │          │        │        │          │
//!       └──────────┴────────┴────────┴──────────┴──► fewer than the threshold: another attempt, or Failed
//! ```
//!
//! A phase ends when all who are in it have answered, or a while after the threshold has, or at its deadline. What an attempt had
//! charged at the sites when it fails is burned; the next is a new aggregation with fresh keys, masks, noise and charge.

use std::collections::{BTreeMap, BTreeSet};

use platform::Micros;
use proto::SiteId;

use super::{Action, Decision, Outcome, Phase, Run};

/// A phase of the aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// AdvertiseKeys.
    Advertise,
    /// ShareKeys.
    Share,
    /// MaskedInputCollection.
    Mask,
    /// ConsistencyCheck.
    Consent,
    /// Unmasking.
    Reveal,
}

impl Step {
    const ALL: [Step; 5] = [Step::Advertise, Step::Share, Step::Mask, Step::Consent, Step::Reveal];

    /// The phase with a number, from 0.
    pub fn of(number: u8) -> Option<Step> {
        Step::ALL.get(usize::from(number)).copied()
    }

    fn next(self) -> Option<Step> {
        Step::of(self as u8 + 1)
    }

    /// How long a phase waits for the others after the threshold has answered, in seconds. A query may take its time, and a site
    /// that is left out then has paid for nothing.
    fn grace(self, settings: study::spec::Rounds) -> i64 {
        match self {
            Step::Mask => i64::from(settings.deadline_seconds),
            _ => i64::from(settings.deadline_seconds).min(3),
        }
    }
}

/// An attempt at a secure round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which, from 0.
    pub number: u32,
    /// How many must come through each phase.
    pub threshold: usize,
    /// The phase that is waited for.
    pub step: Step,
    /// Those who are in it.
    pub expected: BTreeSet<SiteId>,
    /// Those who have answered.
    pub done: BTreeSet<SiteId>,
    /// Until when.
    pub deadline: Micros,
    /// Since when enough have answered.
    pub enough_since: Option<Micros>,
    /// Those who can't go on with it, and whom they named.
    pub spoiled: BTreeMap<SiteId, BTreeSet<SiteId>>,
}

impl Attempt {
    pub(super) fn owes(&self, id: &SiteId) -> bool {
        self.expected.contains(id) && !self.done.contains(id)
    }
}

impl Run {
    /// Begins an attempt with the sites that can answer; the first of them, where the plan's threshold holds for no more.
    pub(super) fn begin_secure(&mut self, roster: BTreeSet<SiteId>, now: Micros) -> Vec<Action> {
        let most = self.secure.map_or(0, |p| p.most_sites());
        let roster: BTreeSet<SiteId> = roster.into_iter().take(most).collect();
        let threshold =
            self.secure.map_or(usize::MAX, |p| p.threshold(roster.len())).max(self.settings.min_sites as usize);
        if threshold > roster.len() {
            // A threshold that the plan fixes may be above those who are there now.
            self.phase = Phase::Selection { enough_since: None };
            return Vec::new();
        }
        let number = self.next_attempt;
        self.resume_secure(number, threshold, Step::Advertise, roster.clone(), now);
        vec![Action::Begin { attempt: number, roster }]
    }

    /// Goes on with an attempt at the beginning of a phase.
    pub fn resume_secure(
        &mut self,
        number: u32,
        threshold: usize,
        step: Step,
        expected: BTreeSet<SiteId>,
        now: Micros,
    ) {
        self.next_attempt = number + 1;
        self.phase = Phase::Secure(Attempt {
            number,
            threshold,
            step,
            expected,
            done: BTreeSet::new(),
            deadline: now.plus_seconds(i64::from(self.settings.deadline_seconds)),
            enough_since: None,
            spoiled: BTreeMap::new(),
        });
    }

    /// A site answered in a phase. What it said was taken already.
    pub(super) fn stepped(&mut self, id: &SiteId, step: Step) {
        if let Phase::Secure(attempt) = &mut self.phase
            && attempt.step == step
            && attempt.owes(id)
        {
            attempt.done.insert(id.clone());
        }
    }

    /// A site can't go on with the attempt.
    pub(super) fn spoiled(&mut self, id: SiteId, sites: Vec<SiteId>) {
        if let Phase::Secure(attempt) = &mut self.phase
            && attempt.expected.contains(&id)
        {
            attempt.done.remove(&id);
            let named: Vec<SiteId> = sites.into_iter().filter(|s| *s != id && attempt.expected.contains(s)).collect();
            attempt.spoiled.entry(id).or_default().extend(named);
        }
    }

    /// Puts those out with whom the others can't go on: one after the other whoever stands in most complaints, made or received, until
    /// nobody is left who complains of somebody who is left. Where two stand in as many, the one who complains of more. Whether
    /// anybody was put out.
    fn settle_complaints(&mut self) -> bool {
        let Phase::Secure(attempt) = &self.phase else { return false };
        let mut open = attempt.spoiled.clone();
        let mut out: BTreeMap<SiteId, String> = BTreeMap::new();
        loop {
            let mut stands: BTreeMap<&SiteId, (BTreeSet<&SiteId>, usize)> = BTreeMap::new();
            for (from, against) in &open {
                for of in against {
                    stands.entry(from).or_default().0.insert(of);
                    stands.entry(of).or_default().0.insert(from);
                }
                if !against.is_empty() {
                    stands.entry(from).or_default().1 = against.len();
                }
            }
            let worst = stands.iter().max_by_key(|(_, (with, made))| (with.len(), *made));
            let Some((id, why)) = worst.map(|(id, (with, _))| {
                let names: Vec<&str> = with.iter().map(|s| s.as_str()).take(5).collect();
                let more = if with.len() > 5 { format!(" and {} more", with.len() - 5) } else { String::new() };
                (
                    (*id).clone(),
                    format!("no secure round holds it together with {}{more}; see their reasons", names.join(", ")),
                )
            }) else {
                break;
            };
            open.remove(&id);
            open.values_mut().for_each(|against| {
                against.remove(&id);
            });
            out.insert(id, why);
        }
        for (id, why) in &out {
            self.out(id, why);
        }
        !out.is_empty()
    }

    /// Ends the phase where it can be ended.
    pub(super) fn secure(&mut self, now: Micros) -> Vec<Action> {
        let Phase::Secure(attempt) = &mut self.phase else { return Vec::new() };
        // After a restart a site of the attempt may not be known yet: it is not gone.
        let gone = |id: &SiteId| {
            self.sites
                .get(id)
                .is_some_and(|s| s.out.is_some() || matches!(s.decision, Decision::Refused | Decision::Paused))
                || attempt.spoiled.contains_key(id)
        };
        let waiting = attempt.expected.iter().filter(|id| attempt.owes(id) && !gone(id)).count();
        let enough = attempt.done.len() >= attempt.threshold;
        if enough && attempt.enough_since.is_none() {
            attempt.enough_since = Some(now);
        }
        let patient = |since: Micros| now >= since.plus_seconds(attempt.step.grace(self.settings));
        let late = now >= attempt.deadline || attempt.enough_since.is_some_and(patient);
        // With complaints, all are heard before anybody is put out.
        let hopeless = attempt.done.len() + waiting < attempt.threshold && attempt.spoiled.is_empty();
        if !(waiting == 0 || late || hopeless) {
            return Vec::new();
        }
        if !enough {
            let why = format!(
                "{} of {} sites came through the phase {:?} of a secure round, and {} are needed",
                attempt.done.len(),
                attempt.expected.len(),
                attempt.step,
                attempt.threshold
            );
            let charged = attempt.step >= Step::Mask && !(attempt.step == Step::Mask && attempt.done.is_empty());
            return self.fail_attempt(charged, why);
        }
        match attempt.step.next() {
            Some(next) => {
                attempt.step = next;
                attempt.expected = std::mem::take(&mut attempt.done);
                attempt.deadline = now.plus_seconds(i64::from(self.settings.deadline_seconds));
                attempt.enough_since = None;
                vec![Action::Freeze]
            }
            None => {
                self.phase = Phase::Merging;
                vec![Action::Checkpoint]
            }
        }
    }

    /// An attempt came to nothing: another one, where there may be one.
    pub(super) fn fail_attempt(&mut self, charged: bool, why: String) -> Vec<Action> {
        // An attempt that put somebody out and cost nothing is not counted: each such one leaves fewer.
        let settled = self.settle_complaints();
        self.failed_attempts += u32::from(charged || !settled);
        self.burned += u32::from(charged);
        let reruns = self.secure.map_or(0, |p| p.reruns);
        if self.burned > reruns || self.failed_attempts >= self.settings.attempts {
            return self.close(Outcome::Failed(why));
        }
        self.phase = Phase::Selection { enough_since: None };
        vec![Action::Abandon]
    }
}
