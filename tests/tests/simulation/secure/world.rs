//! One schedule of secure rounds: happenings in virtual time, all chance from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use coordinator::conductor::Input;
use coordinator::journal::Journal;
use coordinator::round::Decision;
use platform::{Clock, Micros};
use proto::wire::{self, from_site, to_site};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::center::Center;
use super::disk::Disk;
use super::evidence::Evidence;
use super::site::Site;
use super::{Fault, Tally};
use crate::study::Prepared;

#[derive(Clone, Debug)]
pub(super) enum Happening {
    Submit,
    Join(usize),
    Connect(usize),
    /// The stream is cut: what was not delivered before either side notices is lost.
    Cut(usize),
    /// The coordinator notices that a stream is over.
    Ended(u64),
    /// The site notices.
    Noticed(usize, u64),
    CrashSite(usize),
    StartSite(usize),
    CrashCoordinator,
    StartCoordinator,
    Wish(usize, Decision),
    Revoke(usize),
    /// The site goes down, for good unless it returns.
    Leave(usize),
    Return(usize),
    BackUp(usize),
    Restore(usize),
    /// The operator compares the ledger and brings back what is missing.
    Repair(usize),
    /// Somebody who holds the coordinator tells a site what the coordinator did not say.
    Forge(usize),
    ToSite(usize, u64, to_site::Message),
    /// A message that a process of the site works on aside.
    Task(usize, u32, u64, wire::SecureReply),
    ToCoordinator(usize, u64, from_site::Message),
    Tick,
    Calm,
    Recover,
}

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const START: i64 = crate::oracles::NEW_YEAR - 20 * SECOND;
pub(super) const CALM: i64 = START + 45 * SECOND;
/// Later than the latest message that was sent before the calm.
pub(super) const RECOVER: i64 = CALM + 20 * SECOND;
const END: i64 = RECOVER + 240 * SECOND;

/// The world's time.
#[derive(Default)]
pub(super) struct Time(AtomicI64);

impl Clock for Time {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

pub(super) struct World {
    pub(super) plan: Arc<Prepared>,
    pub(super) sites: Vec<Site>,
    pub(super) disk: Arc<Disk>,
    pub(super) evidence: Evidence,
    pub(super) tally: Tally,
    /// Whether the study must end with results; and whether it must end at all.
    pub(super) must_end: bool,
    pub(super) must_close: bool,
    /// Whether somebody holds the coordinator who forges.
    pub(super) malicious: bool,
    /// How long who died is away, in seconds at most.
    pub(super) away: i64,
    pub(super) weather: (f64, f64),
    pub(super) deadly: f64,
    /// One machine that dies once, at which commit, and whether that one is written.
    pub(super) sentence: Option<(Option<usize>, u32, bool)>,
    /// What sites refused, for whoever reads of a failure.
    pub(super) refusals: BTreeMap<String, u32>,
    pub(super) calm: bool,
    pub(super) fault: Fault,
    pub(super) rng: ChaCha8Rng,
    pub(super) time: Arc<Time>,
    pub(super) queue: BTreeMap<(i64, u64), Happening>,
    pub(super) number: u64,
    pub(super) center: Option<Center>,
    pub(super) joined: BTreeSet<usize>,
    pub(super) sessions: u64,
    pub(super) cut: BTreeSet<u64>,
    /// When the last message of a stream, and of a direction, comes: they do not overtake each other.
    pub(super) last: BTreeMap<(u64, bool), i64>,
}

impl World {
    pub(super) fn over(plan: Arc<Prepared>, fault: Fault, rng: ChaCha8Rng) -> World {
        let time = Arc::new(Time::default());
        time.0.store(START, Ordering::SeqCst);
        World {
            disk: Arc::new(Disk::new(fault.of_coordinator())),
            plan,
            sites: Vec::new(),
            evidence: Evidence::default(),
            tally: Tally { schedules: 1, ..Tally::default() },
            must_end: false,
            must_close: false,
            malicious: false,
            away: 6,
            weather: (0.0, 0.0),
            deadly: 0.0,
            sentence: None,
            refusals: BTreeMap::new(),
            calm: false,
            fault,
            rng,
            time,
            queue: BTreeMap::new(),
            number: 0,
            center: None,
            joined: BTreeSet::new(),
            sessions: 0,
            cut: BTreeSet::new(),
            last: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.time.now().0
    }

    pub(super) fn at(&mut self, when: i64, happening: Happening) {
        self.number += 1;
        self.queue.insert((when, self.number), happening);
    }

    /// Between so many seconds from now.
    pub(super) fn within(&mut self, from: i64, to: i64, happening: Happening) {
        let delay = self.rng.random_range(from * SECOND..=to * SECOND);
        self.at(self.now() + delay, happening);
    }

    pub(super) fn over_now(&self) -> bool {
        let journal = Journal::new(self.disk.clone());
        self.disk.on() && journal.state(self.plan.id()).is_ok_and(|s| s.is_some_and(|s| s.over()))
    }

    /// Runs the schedule, then asks every oracle.
    pub(super) fn run(mut self) -> Result<Tally, String> {
        let mut over_since = None;
        while let Some(((when, _), happening)) = self.queue.pop_first() {
            self.time.0.store(when, Ordering::SeqCst);
            self.step(happening)?;
            over_since = if self.over_now() { over_since.or(Some(when)) } else { None };
            if when > END || over_since.is_some_and(|since| when > since + 3 * SECOND) {
                break;
            }
        }
        self.finish()
    }

    /// Everything dies once more; what is on the disks is the evidence.
    pub(super) fn finish(mut self) -> Result<Tally, String> {
        self.center = None;
        self.disk.restart(None);
        self.evidence.durable.kept(self.disk.as_ref())?;
        self.center = Some(Center::open(&self.disk, self.time.clone())?);
        for place in 0..self.sites.len() {
            self.sites[place].crash();
            self.sites[place].start(None)?;
            self.repair(place)?;
        }
        super::verdict::verdict(&mut self)?;
        Ok(self.tally)
    }

    fn step(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Submit => {
                if let Some(c) = &mut self.center {
                    c.submit(&self.plan);
                }
                self.said()?;
                let known = Journal::new(self.disk.clone()).state(self.plan.id()).is_ok_and(|s| s.is_some());
                if !known {
                    self.within(1, 3, Happening::Submit);
                }
            }
            Happening::Join(place) => self.join(place)?,
            Happening::Connect(place) => self.connect(place)?,
            Happening::Cut(place) => {
                if let Some(session) = self.sites[place].session {
                    self.cut(place, session);
                }
            }
            Happening::Ended(session) => {
                if let Some(c) = &mut self.center {
                    c.ended(session);
                }
                self.said()?;
            }
            Happening::Noticed(place, session) => {
                if self.sites[place].session == Some(session) {
                    self.sites[place].session = None;
                    self.within(0, 2, Happening::Connect(place));
                }
            }
            Happening::CrashSite(place) => self.crash_site(place),
            Happening::StartSite(place) => self.start_site(place)?,
            Happening::CrashCoordinator => self.crash_coordinator(),
            Happening::StartCoordinator => self.start_coordinator()?,
            Happening::Wish(place, decision) => self.wish(place, decision),
            Happening::Revoke(place) => {
                let site = self.sites[place].id.clone();
                self.sites[place].revoked = true;
                self.sites[place].session = None;
                if let Some(c) = &mut self.center {
                    c.take(Input::Revoked(site));
                }
                self.said()?;
            }
            Happening::Leave(place) => {
                self.crash_site(place);
                self.sites[place].gone = true;
            }
            Happening::Return(place) => {
                self.sites[place].gone = false;
                self.start_site(place)?;
            }
            Happening::BackUp(place) => self.sites[place].backup = Some(self.sites[place].disk.copy()),
            Happening::Restore(place) => self.restore(place)?,
            Happening::Repair(place) => self.repair(place)?,
            Happening::Forge(place) => self.forge(place)?,
            Happening::ToSite(place, session, m) => {
                if self.sites[place].session == Some(session) {
                    self.to_site(place, session, m)?;
                }
            }
            Happening::Task(place, number, session, reply) => {
                if self.sites[place].process.is_some() && self.sites[place].number == number {
                    self.work(place, session, to_site::Message::Secure(reply))?;
                }
            }
            Happening::ToCoordinator(place, session, m) => self.to_coordinator(place, session, m)?,
            Happening::Tick => {
                if let Some(c) = &mut self.center {
                    c.tick();
                }
                self.said()?;
                self.at(self.now() + SECOND / 2, Happening::Tick);
            }
            Happening::Calm => {
                self.calm = true;
                self.disk.spare();
                self.sites.iter().for_each(|s| s.disk.spare());
            }
            Happening::Recover => self.recover()?,
        }
        Ok(())
    }

    pub(super) fn wish(&mut self, place: usize, decision: Decision) {
        let site = &mut self.sites[place];
        if site.wish == Decision::Refused || decision == Decision::Paused && site.wish != Decision::Approved {
            return;
        }
        site.wish = decision;
        let (session, said, offered) = (site.session, site.decision(), site.offered);
        if decision == Decision::Paused {
            self.tally.pauses += 1;
            self.within(1, 15, Happening::Wish(place, Decision::Approved));
        }
        if let Some(session) = session.filter(|_| offered) {
            self.post(place, session, Happening::ToCoordinator(place, session, said));
        }
    }
}
