//! One schedule of secure rounds: happenings in virtual time, all chance from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use coordinator::conductor::Input;
use coordinator::journal::Journal;
use coordinator::round::Decision;
use platform::{Clock, Micros};
use proto::wire::{self, from_site, secure_reply, to_site};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::center::{Center, Took};
use super::disk::Disk;
use super::evidence::Evidence;
use super::site::Site;
use super::{Fault, Tally, roll};
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
    /// The site goes down for good.
    Leave(usize),
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
    /// Whether the study must end with results.
    pub(super) must_end: bool,
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
    sessions: u64,
    cut: BTreeSet<u64>,
    /// When the last message of a stream, and of a direction, comes: they do not overtake each other.
    last: BTreeMap<(u64, bool), i64>,
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

    fn now(&self) -> i64 {
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

    fn delay(&mut self) -> i64 {
        let (from, to) = match self.rng.random_range(0..40) {
            _ if self.calm => (SECOND / 1000, SECOND / 20),
            0 => (3 * SECOND, 12 * SECOND),
            1..=6 => (SECOND / 2, 2 * SECOND),
            _ => (SECOND / 1000, SECOND / 4),
        };
        self.rng.random_range(from..=to)
    }

    /// Puts a message on a stream: after all before it, or lost with the stream, and some come once more, late.
    fn post(&mut self, place: usize, session: u64, m: Happening) {
        self.tally.messages += 1;
        let (lost, again) = if self.calm { (0.0, 0.0) } else { self.weather };
        if self.cut.contains(&session) || self.rng.random_bool(lost) {
            self.tally.lost += 1;
            return self.cut(place, session);
        }
        let up = matches!(m, Happening::ToCoordinator(..));
        let due = self.now() + self.delay();
        let slot = self.last.entry((session, up)).or_default();
        *slot = due.max(*slot + 1);
        let when = *slot;
        let repeats = match &m {
            Happening::ToSite(_, _, m) => matches!(m, to_site::Message::Round(_) | to_site::Message::Secure(_)),
            Happening::ToCoordinator(_, _, m) => {
                matches!(m, from_site::Message::Secure(_) | from_site::Message::Release(_))
            }
            _ => false,
        };
        if repeats && self.rng.random_bool(again) {
            self.tally.repeated += 1;
            let late = self.rng.random_range(0..15 * SECOND);
            self.at(when + late, m.clone());
        }
        self.at(when, m);
    }

    fn cut(&mut self, place: usize, session: u64) {
        if self.cut.insert(session) {
            self.within(0, 3, Happening::Ended(session));
            self.within(0, 3, Happening::Noticed(place, session));
        }
    }

    /// At which commit from now a machine dies, if at all, and whether it is still written.
    fn doom(&mut self, who: Option<usize>) -> Option<(u32, bool)> {
        if let Some((victim, commits, written)) = self.sentence
            && victim == who
        {
            self.sentence = None;
            return Some((commits, written));
        }
        let dies = !self.calm && self.rng.random_bool(self.deadly);
        dies.then(|| (self.rng.random_range(0..6), self.rng.random_bool(0.5)))
    }

    fn over_now(&self) -> bool {
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
    fn finish(mut self) -> Result<Tally, String> {
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

    /// After every step of the coordinator: what it said is checked and posted, and its death is noticed.
    fn said(&mut self) -> Result<(), String> {
        let on = self.disk.on();
        if on {
            self.evidence.durable.watch(self.disk.as_ref())?;
        }
        let journal = on.then(|| Journal::new(self.disk.clone()));
        let said = self.center.as_mut().map(Center::said).unwrap_or_default();
        for (session, place, m) in said {
            let Some(m) = m else {
                self.cut(place, session);
                continue;
            };
            // What a dying process says last is that its studies failed; nobody hears it.
            if !on && matches!(m, to_site::Message::Closed(_)) {
                continue;
            }
            let site = self.sites[place].id.clone();
            self.evidence.told(&site, &m, journal.as_ref())?;
            self.post(place, session, Happening::ToSite(place, session, m));
        }
        if let Some(journal) = journal {
            self.evidence.before = journal.state(self.plan.id()).map_err(|e| e.to_string())?;
        }
        if !on && self.center.is_some() {
            self.tally.died_at_a_commit += 1;
            self.crash_coordinator();
        }
        Ok(())
    }

    fn join(&mut self, place: usize) -> Result<(), String> {
        if !self.disk.on() {
            self.within(1, 3, Happening::Join(place));
            return Ok(());
        }
        if self.joined.insert(place) {
            self.enter(place);
            let site = self.sites[place].id.clone();
            if let Some(c) = &mut self.center {
                c.take(Input::Joined(site));
            }
            self.said()?;
            self.start_site(place)?;
        }
        Ok(())
    }

    /// In the registry. It is not what is tried here, so it is entered whatever dies.
    fn enter(&self, place: usize) {
        let (key, value) = roll::membership(place);
        self.disk.enter(key, value);
    }

    fn connect(&mut self, place: usize) -> Result<(), String> {
        let site = &self.sites[place];
        if site.process.is_none() || site.revoked || site.session.is_some() || !self.joined.contains(&place) {
            return Ok(());
        }
        let Some(center) = self.center.as_mut() else {
            self.within(1, 3, Happening::Connect(place));
            return Ok(());
        };
        self.sessions += 1;
        let session = self.sessions;
        let older: Vec<u64> = center.desks.iter().filter(|(_, d)| d.place == place).map(|(s, _)| *s).collect();
        let up = center.attach(session, place, &site.id);
        for session in older {
            self.within(0, 1, Happening::Ended(session));
        }
        if up {
            let site = &mut self.sites[place];
            site.session = Some(session);
            if let Some(p) = &mut site.process {
                p.known = None;
            }
            let hello = site.hello();
            self.said()?;
            if let Some(hello) = hello {
                self.post(place, session, Happening::ToCoordinator(place, session, hello));
            }
        }
        Ok(())
    }

    fn crash_site(&mut self, place: usize) {
        let site = &mut self.sites[place];
        if site.process.is_none() {
            return;
        }
        self.tally.site_crashes += 1;
        let session = site.session;
        site.crash();
        if let Some(session) = session {
            self.within(0, 3, Happening::Ended(session));
        }
        self.within(0, self.away, Happening::StartSite(place));
    }

    fn start_site(&mut self, place: usize) -> Result<(), String> {
        let site = &self.sites[place];
        if site.process.is_none() && !site.gone && self.joined.contains(&place) {
            let doom = self.doom(Some(place));
            self.sites[place].start(doom)?;
            self.within(0, 2, Happening::Connect(place));
        }
        Ok(())
    }

    fn crash_coordinator(&mut self) {
        if self.center.take().is_some() {
            self.tally.coordinator_crashes += 1;
            for place in 0..self.sites.len() {
                if let Some(session) = self.sites[place].session {
                    self.within(0, 2, Happening::Noticed(place, session));
                }
            }
            self.within(0, self.away, Happening::StartCoordinator);
        }
    }

    fn start_coordinator(&mut self) -> Result<(), String> {
        if self.center.is_some() {
            return Ok(());
        }
        let doom = self.doom(None);
        self.disk.restart(doom);
        self.evidence.durable.kept(self.disk.as_ref())?;
        let journal = Journal::new(self.disk.clone());
        let before = journal.last_secure(self.plan.id()).map_err(|e| e.to_string())?;
        let mut center = Center::open(&self.disk, self.time.clone())?;
        if self.fault == Fault::UnseenAreGone {
            for site in &self.sites {
                let mut m = site.decision();
                if let from_site::Message::Decision(d) = &mut m {
                    d.kind = wire::DecisionKind::DecisionPaused.into();
                    center.take(Input::Decision { site: site.id.clone(), decision: d.clone() });
                }
            }
        }
        self.center = Some(center);
        // A start alone gives up no attempt that somebody may have paid for.
        if self.disk.on()
            && let Some(before) = before.filter(|b| b.step > 0)
        {
            let after = journal.last_secure(self.plan.id()).map_err(|e| e.to_string())?;
            let over = journal.state(self.plan.id()).map_err(|e| e.to_string())?.is_some_and(|s| s.over());
            if !over && after.as_ref() != Some(&before) {
                return Err(format!("a start of the coordinator gave up attempt {}", before.terms.attempt));
            }
        }
        self.said()
    }

    fn wish(&mut self, place: usize, decision: Decision) {
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

    /// The state folder is replaced by an older copy. The stream ends at once, with all that is on its way.
    fn restore(&mut self, place: usize) -> Result<(), String> {
        let Some(copy) = self.sites[place].backup.clone() else { return Ok(()) };
        if let Some(session) = self.sites[place].session {
            self.cut.insert(session);
        }
        self.crash_site(place);
        let desks: Vec<u64> =
            self.center.iter().flat_map(|c| &c.desks).filter(|(_, d)| d.place == place).map(|(s, _)| *s).collect();
        for session in desks {
            if let Some(c) = &mut self.center {
                c.ended(session);
            }
            self.said()?;
        }
        let site = &mut self.sites[place];
        site.disk.restart(None);
        site.disk.replace(copy);
        site.restored = true;
        self.tally.restored += 1;
        let id = site.id.clone();
        self.evidence.restored(&id);
        self.within(4, 20, Happening::Repair(place));
        Ok(())
    }

    fn repair(&mut self, place: usize) -> Result<(), String> {
        let Some(c) = self.center.as_ref().filter(|_| self.sites[place].restored && self.disk.on()) else {
            return Ok(());
        };
        let Some((entries, head)) = c.copy(&self.sites[place].id) else { return Ok(()) };
        if self.sites[place].recover(entries, &head)? {
            self.tally.repaired += 1;
            if let Some(session) = self.sites[place].session {
                self.cut(place, session);
            }
        }
        if self.sites[place].process.is_some() && !self.sites[place].disk.on() {
            self.crash_site(place);
        }
        Ok(())
    }

    fn to_site(&mut self, place: usize, session: u64, m: to_site::Message) -> Result<(), String> {
        // All but keys is worked on aside, and may take its time.
        if let to_site::Message::Secure(reply) = &m
            && !matches!(reply.body, Some(secure_reply::Body::Keys(_)))
            && !self.calm
            && self.rng.random_bool(0.3)
        {
            let number = self.sites[place].number;
            self.within(0, 4, Happening::Task(place, number, session, reply.clone()));
            return Ok(());
        }
        self.work(place, session, m)
    }

    fn work(&mut self, place: usize, session: u64, m: to_site::Message) -> Result<(), String> {
        let now = self.time.now();
        let site = &mut self.sites[place];
        // A stream that is over was compared as well; what is said to it is lost, and what is done is done.
        let here = site.session == Some(session);
        let known = site.process.as_ref().and_then(|p| p.known);
        if !here && let Some(p) = &mut site.process {
            p.known = Some(0);
        }
        let said = site.take(m.clone(), now, &mut self.evidence.drawn);
        if !site.disk.on() {
            self.tally.died_at_a_commit += 1;
            self.crash_site(place);
            return Ok(());
        }
        if !here {
            if let Some(p) = &mut site.process {
                p.known = known;
            }
            return Ok(());
        }
        let id = site.id.clone();
        for said in said {
            self.evidence.left(&id, &m, &said)?;
            self.post(place, session, Happening::ToCoordinator(place, session, said));
        }
        Ok(())
    }

    fn to_coordinator(&mut self, place: usize, session: u64, m: from_site::Message) -> Result<(), String> {
        let site = self.sites[place].id.clone();
        let Some(c) = self.center.as_mut().filter(|c| c.desks.contains_key(&session)) else { return Ok(()) };
        if let from_site::Message::Refusal(r) = &m {
            *self.refusals.entry(format!("{site} {}: {}", r.code, r.reason)).or_default() += 1;
            self.tally.refusals += 1;
            if matches!(r.code.as_str(), "internal" | "malformed" | "plan_invalid" | "not_compared" | "unknown_study") {
                return Err(format!("{site} refused: {} ({})", r.code, r.reason));
            }
        }
        self.evidence.reached(&site, &m);
        match c.hear(session, m)? {
            Took::Well => {}
            Took::Forked(why) if !self.sites[place].restored => return Err(why),
            Took::Forked(_) => self.cut(place, session),
        }
        self.said()
    }

    /// All machines that come back are up, all wishes are yes that are not no, and everyone connects anew.
    fn recover(&mut self) -> Result<(), String> {
        self.start_coordinator()?;
        for place in 0..self.sites.len() {
            self.join(place)?;
            let site = &mut self.sites[place];
            if site.wish != Decision::Refused {
                site.wish = Decision::Approved;
            }
            if site.gone || site.revoked {
                continue;
            }
            self.start_site(place)?;
            self.repair(place)?;
            let desks: Vec<u64> =
                self.center.iter().flat_map(|c| &c.desks).filter(|(_, d)| d.place == place).map(|(s, _)| *s).collect();
            for session in desks {
                if let Some(c) = &mut self.center {
                    c.ended(session);
                }
                self.said()?;
            }
            self.sites[place].session = None;
            self.connect(place)?;
        }
        Ok(())
    }

    /// Other survivors, other keys, or signatures on other survivors, to a site on its own stream.
    fn forge(&mut self, place: usize) -> Result<(), String> {
        let Some(session) = self.sites[place].session else { return Ok(()) };
        let Some((reply, roster)) = self.evidence.last.clone() else { return Ok(()) };
        let Some(secure_reply::Body::Keys(keys)) = &reply.body else { return Ok(()) };
        let Some(own) = roster.iter().position(|s| *s == self.sites[place].id) else { return Ok(()) };
        let rng = &mut self.rng;
        let body = match rng.random_range(0..4) {
            0 => {
                // One site fewer: each advertisement begins with its place.
                let mut list = keys.advertisements.clone();
                let out = rng.random_range(0..list.len());
                list.remove(out);
                secure_reply::Body::Keys(wire::Advertisements { advertisements: list })
            }
            1 | 2 => {
                let left = rng.random_range(0..roster.len());
                let places = (0..roster.len()).filter(|p| *p == own || *p != left).map(|p| p as u32).collect();
                secure_reply::Body::Survivors(wire::Survivors { places })
            }
            _ => {
                let sets: Vec<_> = self.evidence.consents.iter().collect();
                if sets.is_empty() {
                    return Ok(());
                }
                let (_, signed) = sets[rng.random_range(0..sets.len())];
                let one = |(place, s): (&u32, &Vec<u8>)| wire::Consent { place: *place, signature: s.clone().into() };
                secure_reply::Body::Consents(wire::Consents { consents: signed.iter().map(one).collect() })
            }
        };
        self.tally.forged += 1;
        let forged = wire::SecureReply { body: Some(body), ..reply };
        self.post(place, session, Happening::ToSite(place, session, to_site::Message::Secure(forged)));
        Ok(())
    }
}
