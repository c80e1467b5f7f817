//! Streams: in order each, late at times, lost from some message on; what is said on them is checked and noted.

use proto::wire::{self, from_site, secure_reply, to_site};
use rand::RngExt;

use super::center::{Center, Took};
use super::world::{Happening, SECOND, World};
use coordinator::journal::Journal;
use platform::Clock as _;

impl World {
    pub(super) fn delay(&mut self) -> i64 {
        let (from, to) = match self.rng.random_range(0..40) {
            _ if self.calm => (SECOND / 1000, SECOND / 20),
            0 => (3 * SECOND, 12 * SECOND),
            1..=6 => (SECOND / 2, 2 * SECOND),
            _ => (SECOND / 1000, SECOND / 4),
        };
        self.rng.random_range(from..=to)
    }

    /// Puts a message on a stream: after all before it, or lost with the stream, and some come once more, late.
    pub(super) fn post(&mut self, place: usize, session: u64, m: Happening) {
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

    pub(super) fn cut(&mut self, place: usize, session: u64) {
        if self.cut.insert(session) {
            self.within(0, 3, Happening::Ended(session));
            self.within(0, 3, Happening::Noticed(place, session));
        }
    }

    pub(super) fn connect(&mut self, place: usize) -> Result<(), String> {
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
        let older = center.desks_of(place);
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

    pub(super) fn to_site(&mut self, place: usize, session: u64, m: to_site::Message) -> Result<(), String> {
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

    pub(super) fn work(&mut self, place: usize, session: u64, m: to_site::Message) -> Result<(), String> {
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

    pub(super) fn to_coordinator(&mut self, place: usize, session: u64, m: from_site::Message) -> Result<(), String> {
        let site = self.sites[place].id.clone();
        if !self.center.as_ref().is_some_and(|c| c.desks.contains_key(&session)) {
            return Ok(());
        }
        if let from_site::Message::Refusal(r) = &m {
            *self.refusals.entry(format!("{site} {}: {}", r.code, r.reason)).or_default() += 1;
            self.tally.refusals += 1;
            self.expected(place, r)?;
        }
        self.evidence.reached(&site, &m);
        let Some(c) = &mut self.center else { return Ok(()) };
        match c.hear(session, m)? {
            Took::Well => {}
            Took::Forked(why) if !self.sites[place].restored => return Err(why),
            Took::Forked(_) => self.cut(place, session),
        }
        self.said()
    }

    /// After every step of the coordinator: what it said is checked and posted, and its death is noticed.
    pub(super) fn said(&mut self) -> Result<(), String> {
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

    /// All streams of a site are over, and the coordinator knows it.
    pub(super) fn hang_up(&mut self, place: usize) -> Result<(), String> {
        for session in self.center.as_ref().map(|c| c.desks_of(place)).unwrap_or_default() {
            if let Some(c) = &mut self.center {
                c.ended(session);
            }
            self.said()?;
        }
        Ok(())
    }

    /// A site refuses the running attempt, which puts it out of the study: for a reason that is its own, or in bad company.
    fn expected(&self, place: usize, r: &wire::Refusal) -> Result<(), String> {
        let own = ["budget_spent", "reruns_spent", "paused", "not_approved", "refused"];
        let odd = ["secure_round", "already_answered", "release_lost", "ledger_behind"];
        let running = Journal::new(self.disk.clone()).last_secure(self.plan.id()).ok().flatten();
        let current = running.is_some_and(|s| s.terms.attempt == r.attempt) && !self.over_now();
        let excused = self.malicious || self.sites[place].restored || !current;
        if own.contains(&r.code.as_str()) || excused && odd.contains(&r.code.as_str()) {
            return Ok(());
        }
        Err(format!("{} refused attempt {}: {} ({})", self.sites[place].id, r.attempt, r.code, r.reason))
    }
}
