//! One schedule: a queue of happenings in virtual time, all chance from one seed.
//!
//! The network loses, repeats, delays and reorders; machines die at a random instant or at a chosen commit; people pause,
//! resume and revoke. After [`CALM`] nothing new goes wrong, and at [`RECOVER`] everything is up and connects anew: from then
//! on a study with enough sites must end.

mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::round::{Decision, Event};
use platform::{Micros, Store};
use proto::{Hash, RoundId, SiteId, StudyId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::conductor::{Coordinator, Outbox};
use crate::hospital::Hospital;
use crate::machine::Machine;
use crate::oracles::{Evidence, NEW_YEAR};
use crate::study::Prepared;

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// A site draws new noise after a crash.
    SiteRedraws,
    /// A site takes its last charge back after a crash.
    LedgerRefunds,
    /// A site's disk says that it synced and did not.
    SiteDiskLies,
    /// The coordinator adds a release that came twice once more.
    CountsTwice,
    /// The coordinator says that a release is durable before it is.
    AcknowledgesEarly,
    /// The coordinator's disk says that it synced and did not.
    CoordinatorDiskLies,
}

#[derive(Clone, Debug)]
pub(crate) enum ToSite {
    Offer(StudyId),
    Order { round: RoundId, plan_hash: Hash, parameters: Vec<f64> },
    Acknowledged { round: RoundId, release: Hash },
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) enum FromSite {
    Decided(StudyId, Decision),
    Release { round: RoundId, manifest: Vec<u8>, payload: Vec<u8> },
    Refused(RoundId, &'static str),
}

#[derive(Clone, Debug)]
enum Happening {
    Submit(usize),
    Join(usize),
    Connect(usize),
    Break(usize),
    CrashSite(usize),
    StartSite(usize),
    CrashCoordinator,
    StartCoordinator,
    Wish(usize, StudyId, Decision),
    Revoke(usize),
    /// With the coordinator's process at the other end of the connection: what it asked is answered to it, and a new process
    /// never sees what an old one was sent.
    ToSite(usize, u32, ToSite),
    ToCoordinator(usize, u32, FromSite),
    Tick,
    Calm,
    Recover,
}

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) schedules: u64,
    pub(crate) messages: u64,
    pub(crate) dropped: u64,
    pub(crate) repeated: u64,
    pub(crate) site_crashes: u64,
    pub(crate) coordinator_crashes: u64,
    pub(crate) died_at_a_commit: u64,
    pub(crate) budget_refusals: u64,
    pub(crate) pauses: u64,
    pub(crate) checkpoints: u64,
    pub(crate) partial_checkpoints: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) open: u64,
}

const SECOND: i64 = 1_000_000;
/// Forty seconds before a new year, so that a site-year begins within the schedule.
const START: i64 = NEW_YEAR - 40 * SECOND;
const CALM: i64 = START + 90 * SECOND;
/// Later than the latest message that was sent before the calm.
const RECOVER: i64 = CALM + 35 * SECOND;
/// Thirty deadlines after the recovery.
const END: i64 = RECOVER + 300 * SECOND;
const PATIENT: u32 = 10_000;

pub(crate) struct World {
    pub(crate) plans: Vec<Arc<Prepared>>,
    pub(crate) hospitals: Vec<Hospital>,
    pub(crate) evidence: Evidence,
    pub(crate) tally: Tally,
    /// Whether every study must end with results.
    pub(crate) must_end: bool,
    pub(crate) machine: Arc<Machine>,
    rng: ChaCha8Rng,
    now: i64,
    number: u64,
    queue: BTreeMap<(i64, u64), Happening>,
    coordinator: Option<Coordinator>,
    /// Which process of the coordinator this is.
    process: u32,
    joined: BTreeSet<usize>,
    connected: BTreeSet<usize>,
    /// How likely a message is lost, and how likely it comes twice.
    weather: (f64, f64),
    deadly: f64,
    /// One machine that will die, at which commit, and whether that one is written.
    sentence: Option<(Option<usize>, u32, bool)>,
    calm: bool,
    fault: Fault,
}

impl World {
    fn at(&mut self, when: i64, happening: Happening) {
        self.number += 1;
        self.queue.insert((when, self.number), happening);
    }

    /// Between so many seconds from now.
    fn within(&mut self, from: i64, to: i64, happening: Happening) {
        let delay = self.rng.random_range(from * SECOND..=to * SECOND);
        self.at(self.now + delay, happening);
    }

    /// A message: lost, repeated, late, as the weather is.
    fn post(&mut self, message: &Happening) {
        self.tally.messages += 1;
        let (lost, again) = if self.calm { (0.0, 0.0) } else { self.weather };
        if self.rng.random_bool(lost) {
            self.tally.dropped += 1;
            return;
        }
        let mut copies = 1;
        while copies < 4 && self.rng.random_bool(again) {
            self.tally.repeated += 1;
            copies += 1;
        }
        for _ in 0..copies {
            let (from, to) = match self.rng.random_range(0..20) {
                _ if self.calm => (SECOND / 1000, SECOND / 20),
                0 => (4 * SECOND, 30 * SECOND),
                1..=5 => (SECOND / 2, 4 * SECOND),
                _ => (SECOND / 1000, SECOND / 2),
            };
            let delay = self.rng.random_range(from..=to);
            self.at(self.now + delay, message.clone());
        }
    }

    /// At which commit from now a machine (a site's, or the coordinator's) dies, if at all, and whether it is still written.
    fn doom(&mut self, who: Option<usize>) -> Option<(u32, bool)> {
        if let Some((victim, commits, written)) = self.sentence
            && victim == who
        {
            self.sentence = None;
            return Some((commits, written));
        }
        let dies = !self.calm && self.rng.random_bool(self.deadly);
        dies.then(|| (self.rng.random_range(0..8), self.rng.random_bool(0.5)))
    }

    fn registered(&self) -> BTreeSet<SiteId> {
        self.joined.iter().map(|i| &self.hospitals[*i]).filter(|h| !h.revoked).map(|h| h.id.clone()).collect()
    }

    /// Runs the schedule, then asks every oracle.
    pub(crate) fn run(mut self) -> Result<Tally, String> {
        let mut over_since = None;
        while let Some(((when, _), happening)) = self.queue.pop_first() {
            self.now = when;
            self.step(happening)?;
            let over = self.coordinator.as_ref().is_some_and(|c| {
                self.machine.on() && self.plans.iter().all(|p| c.outcomes().get(p.id()).is_some_and(|s| s.over()))
            });
            over_since = if over { over_since.or(Some(when)) } else { None };
            if when > END || over_since.is_some_and(|since| when > since + 3 * SECOND) {
                break;
            }
        }
        self.finish()
    }

    /// Everything dies once more; what is on the disks is the evidence.
    fn finish(mut self) -> Result<Tally, String> {
        let before = self.coordinator.take().map(|c| c.outcomes());
        self.machine.restart(None);
        for h in &mut self.hospitals {
            h.crash();
            h.start(None)?;
        }
        let now = Micros(self.now);
        let c = Coordinator::open(self.machine.clone(), &self.plans, &self.registered(), now, self.fault)?;
        let after = c.outcomes();
        if let Some(before) = before {
            for (study, state) in before.iter().filter(|(_, s)| s.over()) {
                if after.get(study) != Some(state) {
                    return Err(format!(
                        "the study {study} ended as {state:?}, and after a crash it is {:?}",
                        after.get(study)
                    ));
                }
            }
        }
        self.evidence.kept(self.machine.as_ref())?;
        crate::oracles::verdict(&mut self, &after)?;
        Ok(self.tally)
    }

    fn step(&mut self, happening: Happening) -> Result<(), String> {
        let now = Micros(self.now);
        match happening {
            Happening::Submit(study) => {
                let (plan, sites) = (self.plans[study].clone(), self.registered());
                let known = self.coordinator.as_ref().is_some_and(|c| c.knows(plan.id()));
                if !known {
                    if let Some(mut c) = self.coordinator.take() {
                        let mut out = Outbox::new();
                        c.submit(&plan, &sites, now, &mut out)?;
                        self.coordinator = Some(c);
                        self.sent(out)?;
                    }
                    self.within(1, 5, Happening::Submit(study)); // An analyst asks until it is in.
                }
            }
            Happening::Join(place) => {
                if self.joined.insert(place) {
                    let site = self.hospitals[place].id.clone();
                    self.tell(&Event::Joined(site))?;
                    self.start_site(place)?;
                }
            }
            Happening::Connect(place) => self.connect(place)?,
            Happening::Break(place) => {
                if self.connected.remove(&place) {
                    let site = self.hospitals[place].id.clone();
                    self.tell(&Event::Offline(site))?;
                    self.within(0, 4, Happening::Connect(place));
                }
            }
            Happening::CrashSite(place) => self.crash_site(place)?,
            Happening::StartSite(place) => self.start_site(place)?,
            Happening::CrashCoordinator => self.crash_coordinator(),
            Happening::StartCoordinator => self.start_coordinator()?,
            Happening::Wish(place, study, decision) => self.wish(place, &study, decision),
            Happening::Revoke(place) => {
                self.hospitals[place].revoked = true;
                self.connected.remove(&place);
                let site = self.hospitals[place].id.clone();
                self.tell(&Event::Offline(site.clone()))?;
                self.tell(&Event::Revoked(site))?;
            }
            Happening::ToSite(place, process, message) => self.to_site(place, process, &message)?,
            Happening::ToCoordinator(place, process, message) => {
                if process == self.process && !self.hospitals[place].revoked {
                    self.to_coordinator(place, message)?;
                }
            }
            Happening::Tick => {
                self.tell(&Event::Tick)?;
                self.at(self.now + SECOND, Happening::Tick);
            }
            Happening::Calm => {
                self.calm = true;
                self.machine.spare();
                self.hospitals.iter().for_each(|h| h.machine.spare());
            }
            Happening::Recover => self.recover()?,
        }
        Ok(())
    }

    fn tell(&mut self, event: &Event) -> Result<(), String> {
        let mut out = Outbox::new();
        if let Some(c) = &mut self.coordinator {
            c.each(event, Micros(self.now), &mut out);
        }
        self.sent(out)
    }

    /// After every step of the coordinator: what it said is checked and posted, and its death is noticed.
    fn sent(&mut self, out: Outbox) -> Result<(), String> {
        let on = self.machine.on();
        if on {
            self.evidence.watch(self.machine.as_ref())?;
        }
        for (site, message) in out {
            self.evidence.said(&site, &message, if on { Some(self.machine.as_ref() as &dyn Store) } else { None })?;
            if let Some(place) = self.hospitals.iter().position(|h| h.id == site) {
                self.post(&Happening::ToSite(place, self.process, message));
            }
        }
        if !on && self.coordinator.is_some() {
            self.tally.died_at_a_commit += 1;
            self.crash_coordinator();
        }
        Ok(())
    }

    fn crash_coordinator(&mut self) {
        if self.coordinator.take().is_some() {
            self.tally.coordinator_crashes += 1;
            self.process += 1;
            self.connected.clear();
            self.within(0, 6, Happening::StartCoordinator);
        }
    }

    fn start_coordinator(&mut self) -> Result<(), String> {
        if self.coordinator.is_some() {
            return Ok(());
        }
        let doom = self.doom(None);
        self.machine.restart(doom);
        self.evidence.kept(self.machine.as_ref())?;
        let sites = self.registered();
        match Coordinator::open(self.machine.clone(), &self.plans, &sites, Micros(self.now), self.fault) {
            Ok(c) => self.coordinator = Some(c),
            Err(e) => return Err(format!("the coordinator does not start: {e}")),
        }
        for place in self.joined.clone() {
            self.within(0, 4, Happening::Connect(place));
        }
        Ok(())
    }

    fn start_site(&mut self, place: usize) -> Result<(), String> {
        if !self.hospitals[place].up() {
            let doom = self.doom(Some(place));
            self.hospitals[place].start(doom)?;
            self.within(0, 4, Happening::Connect(place));
        }
        Ok(())
    }

    fn crash_site(&mut self, place: usize) -> Result<(), String> {
        if !self.hospitals[place].up() {
            return Ok(());
        }
        self.tally.site_crashes += 1;
        self.hospitals[place].crash();
        // The coordinator may learn of it, or see the site come again before.
        let noticed = self.rng.random_bool(0.5);
        if self.connected.remove(&place) && noticed {
            let site = self.hospitals[place].id.clone();
            self.tell(&Event::Offline(site))?;
        }
        self.within(0, 8, Happening::StartSite(place));
        Ok(())
    }

    fn connect(&mut self, place: usize) -> Result<(), String> {
        let h = &self.hospitals[place];
        if !h.up() || h.revoked || self.connected.contains(&place) {
            return Ok(());
        }
        if self.coordinator.is_none() {
            self.within(1, 3, Happening::Connect(place));
            return Ok(());
        }
        let site = h.id.clone();
        self.connected.insert(place);
        self.tell(&Event::Online(site))
    }

    fn wish(&mut self, place: usize, study: &StudyId, decision: Decision) {
        let Some(wish) = self.hospitals[place].wish.get_mut(study) else { return };
        if *wish == Decision::Refused || decision == Decision::Paused && *wish != Decision::Approved {
            return;
        }
        *wish = decision;
        if decision == Decision::Paused {
            self.tally.pauses += 1;
            self.within(1, 30, Happening::Wish(place, study.clone(), Decision::Approved));
        }
        if self.connected.contains(&place) {
            self.post(&Happening::ToCoordinator(place, self.process, FromSite::Decided(study.clone(), decision)));
        }
    }

    fn to_site(&mut self, place: usize, process: u32, message: &ToSite) -> Result<(), String> {
        if !self.hospitals[place].up() {
            return Ok(());
        }
        let reply = self.hospitals[place].take(message, &self.plans, Micros(self.now))?;
        if !self.hospitals[place].machine.on() {
            self.tally.died_at_a_commit += 1;
            return self.crash_site(place);
        }
        if let Some(reply) = reply
            && self.connected.contains(&place)
        {
            self.evidence.left(&self.hospitals[place].id, &reply)?;
            self.tally.budget_refusals += u64::from(matches!(reply, FromSite::Refused(_, "budget_spent")));
            self.post(&Happening::ToCoordinator(place, process, reply));
        }
        Ok(())
    }

    fn to_coordinator(&mut self, place: usize, message: FromSite) -> Result<(), String> {
        let (site, now) = (self.hospitals[place].id.clone(), Micros(self.now));
        let mut out = Outbox::new();
        if let Some(c) = &mut self.coordinator {
            match message {
                FromSite::Decided(study, decision) => c.decided(&site, &study, decision, now, &mut out),
                FromSite::Refused(round, code) => c.refused(&site, &round, code, now, &mut out),
                FromSite::Release { round, manifest, payload } => {
                    let manifest = proto::parse::manifest(&manifest, &site, &round).map_err(|e| e.to_string())?;
                    let release = proto::parse::release(manifest, &payload).map_err(|e| e.to_string())?;
                    c.released(&site, &round, release, now, &mut out);
                }
            }
        }
        self.sent(out)
    }

    /// All machines are up, all wishes are yes that are not no, and everyone connects anew.
    fn recover(&mut self) -> Result<(), String> {
        self.start_coordinator()?;
        for place in 0..self.hospitals.len() {
            self.joined.insert(place);
            self.hospitals[place]
                .wish
                .values_mut()
                .filter(|w| **w != Decision::Refused)
                .for_each(|w| *w = Decision::Approved);
            if self.hospitals[place].revoked {
                continue;
            }
            self.start_site(place)?;
            self.connected.remove(&place);
            let site = self.hospitals[place].id.clone();
            self.tell(&Event::Offline(site))?;
            self.connect(place)?;
        }
        Ok(())
    }
}
