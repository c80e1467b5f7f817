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

/// Between an attempt that cost nothing and put nobody out, and the next. A site's agent tells new keys within five seconds.
const REST_SECONDS: i64 = 6;

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

    /// Puts those out with whom the others can't go on: of each two of whom one can't go on with the other, the one who stands in
    /// complaints, made or received, with more sites, over all attempts; where both do with as many, the one who complains of more.
    /// Only those go of whom at least `against` sites complain, or who complain of so many.
    fn settle_complaints(&mut self, against: usize) -> Vec<Action> {
        let Phase::Secure(attempt) = &self.phase else { return Vec::new() };
        let mut open: BTreeSet<(SiteId, SiteId)> = BTreeSet::new();
        for (from, named) in &attempt.spoiled {
            open.extend(named.iter().map(|of| (from.clone(), of.clone())));
            self.complaints.entry(from.clone()).or_default().extend(named.iter().cloned());
        }
        let stands = |id: &SiteId| -> (usize, usize) {
            let made = self.complaints.get(id);
            let received = self.complaints.iter().filter(|(_, named)| named.contains(id)).map(|(from, _)| from);
            let with: BTreeSet<&SiteId> = received.chain(made.into_iter().flatten()).collect();
            (with.len(), made.map_or(0, BTreeSet::len))
        };
        let mut out = Vec::new();
        loop {
            let sites: BTreeSet<&SiteId> = open.iter().flat_map(|(a, b)| [a, b]).collect();
            let worst = sites.into_iter().map(|id| (stands(id), id)).filter(|((with, _), _)| *with >= against).max();
            let Some(((with, _), id)) = worst.map(|(s, id)| (s, id.clone())) else { break };
            open.retain(|(a, b)| *a != id && *b != id);
            let sites = if with == 1 { "one other site" } else { "other sites" };
            out.push((
                id,
                format!("no secure round holds it together with {sites} ({with}); see the reasons that they gave"),
            ));
        }
        for (id, why) in &out {
            self.out(id, why);
        }
        out.into_iter().map(|(id, why)| Action::PutOut(id, why)).collect()
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
            return self.fail_attempt(charged, why, now);
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
                // The attempt came through. Whom more sites can't go on with than may be in league is not asked again.
                let against = self.secure.map_or(0, |p| p.colluders as usize + 1).max(2);
                let mut actions = self.settle_complaints(against);
                self.phase = Phase::Merging;
                actions.push(Action::Checkpoint);
                actions
            }
        }
    }

    /// An attempt came to nothing: another one, where there may be one.
    pub(super) fn fail_attempt(&mut self, charged: bool, why: String, now: Micros) -> Vec<Action> {
        // An attempt that put somebody out and cost nothing is not counted: each such one leaves fewer.
        let mut actions = self.settle_complaints(1);
        let settled = !actions.is_empty();
        self.failed_attempts += u32::from(charged || !settled);
        self.burned += u32::from(charged);
        let reruns = self.secure.map_or(0, |p| p.reruns);
        if self.burned > reruns || self.failed_attempts >= self.settings.attempts {
            actions.extend(self.close(Outcome::Failed(why)));
            return actions;
        }
        // Where nothing changed, the next attempt would end as this one did.
        self.rest = (!charged && !settled).then(|| now.plus_seconds(REST_SECONDS));
        self.phase = Phase::Selection { enough_since: None };
        actions.push(Action::Abandon);
        actions
    }
}
