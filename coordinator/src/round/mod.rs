//! The rounds of a study, as a pure state machine: events in, actions out; no clock, no network, no disk.
//!
//! ```text
//!              enough sites           all in, or the deadline with enough
//!   Selection ─────────────► Reporting ─────────────────────────────────► Merging ──► Selection of the next round
//!       │                        │  ▲                                        │        or Done
//!       │ too few can answer   └──┘ deadline with too few: once more       │
//!       └────────► Failed ◄──────── no attempt left, or too few can answer   └──► Failed
//! ```
//!
//! A secure round goes through the phases of the aggregation instead of Reporting; see [`secure`].
//!
//! A site that was asked again answers with the bytes it sealed, so asking again costs nothing. Whoever drives the machine
//! makes `Checkpoint` durable before it says `Advanced`.

mod calendar;
mod reporting;
pub mod secure;
mod selection;

use std::collections::{BTreeMap, BTreeSet};

use platform::Micros;
use proto::{Hash, SiteId};
use secure::{Attempt, Step};
use serde::{Deserialize, Serialize};
use study::spec::{Aggregation, Privacy, Rounds};

/// What a site said to the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Has not said anything yet.
    Unknown,
    /// A person will decide.
    Pending,
    /// Takes part.
    Approved,
    /// Does not.
    Refused,
    /// Not now.
    Paused,
}

/// A site, as the study sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whether its stream is up.
    pub online: bool,
    /// What it said.
    pub decision: Decision,
    /// Why it can't answer any more in this study, where it can't.
    pub out: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A site is part of the federation.
    Joined(SiteId),
    /// A site's stream came up.
    Online(SiteId),
    /// A site's stream broke.
    Offline(SiteId),
    /// A site was revoked.
    Revoked(SiteId),
    /// A site decided about the study.
    Decided(SiteId, Decision),
    /// A valid release of the running round came.
    Reported(SiteId, Hash),
    /// A site answered in a phase of a secure round, and what it said was taken.
    Stepped(SiteId, Step),
    /// A site can't go on with the running attempt, and names those whose doing it is, if any.
    Spoiled(SiteId, Vec<SiteId>),
    /// An attempt at a secure round can't go on.
    Stuck(String),
    /// The sum of a secure round can't be unmasked; and whose doing it is, where that can be told.
    Spoilt(Option<SiteId>, String),
    /// A site can't or won't answer the running round, with the named reason; it is out of the study.
    Refused(SiteId, String),
    /// Time passed.
    Tick,
    /// The checkpoint is durable, and another round follows.
    Advanced,
    /// The checkpoint is durable, and the study is done.
    Finished,
    /// The merge failed.
    Broken(String),
    /// The analyst cancelled.
    Cancel,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the plan.
    Offer(SiteId),
    /// The running round of a continuous study was answered by too few: leave a gap, durably, then say `Advanced` or `Finished`.
    PassOver,
    /// Ask for the running round.
    Order(SiteId),
    /// Take the release that was just reported into the sum.
    Accept(SiteId),
    /// Begin an attempt at a secure round with this roster: make it durable, then order it.
    Begin {
        /// Which attempt.
        attempt: u32,
        /// The sites.
        roster: BTreeSet<SiteId>,
    },
    /// A phase of a secure round is over: make what came in durable, then tell the sites.
    Freeze,
    /// Tell a site what the running phase of a secure round needs it to know.
    Tell(SiteId),
    /// The attempt came to nothing.
    Abandon,
    /// A site is put out of the study for what it did in secure rounds, which is to be remembered.
    PutOut(SiteId, String),
    /// Merge, make durable, compute what comes next, then say `Advanced`, `Finished` or `Broken`.
    Checkpoint,
    /// The study is over.
    Close(Outcome),
}

/// How a study ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With results.
    Done,
    /// Without, and why.
    Failed(String),
    /// By the analyst.
    Cancelled,
}

/// Where a study stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for enough sites.
    Selection {
        /// Since when there are enough.
        enough_since: Option<Micros>,
    },
    /// Waits for releases.
    Reporting {
        /// Who was asked.
        roster: BTreeSet<SiteId>,
        /// Who answered, with which release.
        reported: BTreeMap<SiteId, Hash>,
        /// Until when.
        deadline: Micros,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// Goes through the phases of a secure round.
    Secure(Attempt),
    /// The checkpoint is being made durable.
    Merging,
    /// Over.
    Closed(Outcome),
}

/// What is remembered of attempts at secure rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The number of the next attempt at the running round.
    pub next: u32,
    /// Attempts at the running round that came to nothing.
    pub failed: u32,
    /// Of all rounds, those that had been paid for.
    pub burned: u32,
}

/// The rounds of a study.
#[derive(Clone, Debug)]
pub struct Run {
    settings: Rounds,
    /// Whether a round was checkpointed since the start: only the first one gathers.
    begun: bool,
    sites: BTreeMap<SiteId, Site>,
    phase: Phase,
    /// The plan's privacy, where its rounds are secure.
    secure: Option<Privacy>,
    /// The number of the next attempt at a secure round.
    next_attempt: u32,
    /// Attempts at the running round that came to nothing.
    failed_attempts: u32,
    /// Of all rounds, those that had been paid for.
    burned: u32,
    /// Who could not go on with whom, in all attempts.
    complaints: BTreeMap<SiteId, BTreeSet<SiteId>>,
    /// Until when no attempt is begun: what the last one lacked may come.
    rest: Option<Micros>,
    /// Of a continuous study: when the running round may begin, and until when it waits for enough sites.
    window: Option<calendar::Window>,
    /// Where one site alone is asked the running round: its place in a cycle over those that can answer.
    turn: Option<u32>,
}

impl Run {
    /// A study at its first round, or one that goes on after a restart: then its sites are gathered again, so that a round
    /// does not begin with the first few who are back.
    pub fn new(settings: Rounds) -> Run {
        Run {
            settings,
            begun: false,
            sites: BTreeMap::new(),
            phase: Phase::Selection { enough_since: None },
            secure: None,
            next_attempt: 0,
            failed_attempts: 0,
            burned: 0,
            complaints: BTreeMap::new(),
            rest: None,
            window: None,
            turn: None,
        }
    }

    /// Says whose turn the running round is: one site's, or all sites'.
    pub fn set_turn(&mut self, turn: Option<u32>) {
        self.turn = turn;
    }

    /// How many sites have to answer the running round.
    fn least(&self) -> usize {
        if self.turn.is_some() { 1 } else { self.settings.min_sites as usize }
    }

    /// Who is asked at an attempt, of those that can answer: all of them, or the one whose turn it is; the next one at the next attempt.
    fn asked(&self, attempt: u32) -> BTreeSet<SiteId> {
        let usable: BTreeSet<SiteId> = self.usable().cloned().collect();
        let Some(turn) = self.turn else { return usable };
        let place = (turn as usize + attempt as usize) % usable.len().max(1);
        usable.into_iter().skip(place).take(1).collect()
    }

    /// The same for a plan, whose rounds may be secure.
    pub fn of_plan(settings: Rounds, privacy: Privacy) -> Run {
        let secure = (privacy.aggregation == Aggregation::Secure).then_some(privacy);
        Run { secure, ..Run::new(settings) }
    }

    /// Numbers of attempts that were used before are not used again; what failed and what was burned is remembered.
    pub fn past_attempts(&mut self, past: Past) {
        self.next_attempt = self.next_attempt.max(past.next);
        self.failed_attempts = past.failed;
        self.burned = past.burned;
    }

    /// What is to be remembered of the attempts so far.
    pub fn past(&self) -> Past {
        Past { next: self.next_attempt, failed: self.failed_attempts, burned: self.burned }
    }

    /// The running attempt at a secure round.
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            Phase::Secure(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The sites.
    pub fn sites(&self) -> &BTreeMap<SiteId, Site> {
        &self.sites
    }

    /// The sites whose releases are in the sum.
    pub fn reported(&self) -> usize {
        match &self.phase {
            Phase::Reporting { reported, .. } => reported.len(),
            Phase::Secure(attempt) => attempt.done.len(),
            _ => 0,
        }
    }

    /// The sites that were asked.
    pub fn roster(&self) -> usize {
        match &self.phase {
            Phase::Reporting { roster, .. } => roster.len(),
            Phase::Secure(attempt) => attempt.expected.len(),
            _ => 0,
        }
    }

    fn usable(&self) -> impl Iterator<Item = &SiteId> {
        self.sites
            .iter()
            .filter(|(_, s)| s.online && s.decision == Decision::Approved && s.out.is_none())
            .map(|(id, _)| id)
    }

    /// Sites that can still come to answer.
    fn hopeful(&self) -> usize {
        let back = |s: &Site| s.out.as_ref().is_none_or(|why| self.comes_back(why));
        self.sites.values().filter(|s| s.decision != Decision::Refused && back(s)).count()
    }

    fn close(&mut self, outcome: Outcome) -> Vec<Action> {
        self.phase = Phase::Closed(outcome.clone());
        vec![Action::Close(outcome)]
    }

    /// Takes an event, and says what to do.
    pub fn apply(&mut self, event: Event, now: Micros) -> Vec<Action> {
        if matches!(self.phase, Phase::Closed(_)) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        match event {
            Event::Joined(id) => {
                self.sites.entry(id).or_insert(Site { online: false, decision: Decision::Unknown, out: None });
            }
            Event::Online(id) => {
                let site = self.sites.entry(id.clone()).or_insert(Site {
                    online: true,
                    decision: Decision::Unknown,
                    out: None,
                });
                site.online = true;
                actions.push(Action::Offer(id.clone()));
                actions.extend(self.ask_again(&id));
            }
            Event::Offline(id) => {
                if let Some(site) = self.sites.get_mut(&id) {
                    site.online = false;
                }
            }
            Event::Revoked(id) => self.out(&id, "revoked"),
            Event::Decided(id, decision) => {
                let before = self.sites.get_mut(&id).map(|s| std::mem::replace(&mut s.decision, decision));
                // An approval that comes while a round runs joins it; so does one after a pause within the round.
                if decision == Decision::Approved && before != Some(Decision::Approved) {
                    actions.extend(self.join(&id));
                }
            }
            Event::Stepped(id, step) => self.stepped(&id, step),
            Event::Spoiled(id, sites) => self.spoiled(id, sites),
            Event::Stuck(why) => {
                let charged = self.attempt().is_some_and(|a| a.step >= Step::Mask) || self.phase == Phase::Merging;
                actions.extend(self.fail_attempt(charged, why, now));
            }
            Event::Spoilt(by, why) => {
                if let Some(id) = by {
                    let why = "what it shared of its secrets did not fit, and a paid attempt was lost".to_owned();
                    self.out(&id, &why);
                    actions.push(Action::PutOut(id, why));
                }
                actions.extend(self.fail_attempt(true, why, now));
            }
            Event::Reported(id, release) => actions.extend(self.take(&id, release)),
            Event::Refused(id, why) => self.out(&id, &why),
            Event::Tick => {}
            Event::Advanced if self.phase == Phase::Merging => {
                self.begun = true;
                self.failed_attempts = 0;
                self.next_attempt = 0;
                self.take_back();
                self.phase = Phase::Selection { enough_since: None };
            }
            Event::Finished if self.phase == Phase::Merging => return self.close(Outcome::Done),
            Event::Advanced | Event::Finished => {}
            Event::Broken(why) => return self.close(Outcome::Failed(why)),
            Event::Cancel => return self.close(Outcome::Cancelled),
        }
        actions.extend(self.settle(now));
        actions
    }

    /// Sites that were put out before a restart.
    pub fn put_out(&mut self, sites: &BTreeMap<SiteId, String>) {
        for (id, why) in sites {
            let out = Site { online: false, decision: Decision::Unknown, out: Some(why.clone()) };
            self.sites.insert(id.clone(), out);
        }
    }

    fn out(&mut self, id: &SiteId, why: &str) {
        if let Some(site) = self.sites.get_mut(id) {
            site.out = Some(why.to_owned());
        }
    }

    /// Moves on as far as the state allows.
    fn settle(&mut self, now: Micros) -> Vec<Action> {
        match self.phase {
            Phase::Selection { .. } => self.select(now),
            Phase::Reporting { .. } => self.report(now),
            Phase::Secure(_) => self.secure(now),
            Phase::Merging | Phase::Closed(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod lossy;
#[cfg(test)]
mod tests;
