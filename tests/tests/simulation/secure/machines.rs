//! Machines: they die at any commit, come back, are replaced by an older copy, and are all up in the end.

use coordinator::conductor::Input;
use coordinator::journal::Journal;
use coordinator::round::Decision;
use proto::wire::{self, from_site};
use rand::RngExt;

use super::center::Center;
use super::world::{Happening, World};
use super::{Fault, roll};

impl World {
    /// At which commit from now a machine dies, if at all, and whether it is still written.
    pub(super) fn doom(&mut self, who: Option<usize>) -> Option<(u32, bool)> {
        if let Some((victim, commits, written)) = self.sentence
            && victim == who
        {
            self.sentence = None;
            return Some((commits, written));
        }
        let dies = !self.calm && self.rng.random_bool(self.deadly);
        dies.then(|| (self.rng.random_range(0..6), self.rng.random_bool(0.5)))
    }

    pub(super) fn join(&mut self, place: usize) -> Result<(), String> {
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
    pub(super) fn enter(&self, place: usize) {
        let (key, value) = roll::membership(place);
        self.disk.enter(key, value);
    }

    pub(super) fn crash_site(&mut self, place: usize) {
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

    pub(super) fn start_site(&mut self, place: usize) -> Result<(), String> {
        let site = &self.sites[place];
        if site.process.is_none() && !site.gone && self.joined.contains(&place) {
            let doom = self.doom(Some(place));
            self.sites[place].start(doom)?;
            self.within(0, 2, Happening::Connect(place));
        }
        Ok(())
    }

    pub(super) fn crash_coordinator(&mut self) {
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

    pub(super) fn start_coordinator(&mut self) -> Result<(), String> {
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

    /// The state folder is replaced by an older copy. The stream ends at once, with all that is on its way.
    pub(super) fn restore(&mut self, place: usize) -> Result<(), String> {
        let Some(copy) = self.sites[place].backup.clone() else { return Ok(()) };
        if let Some(session) = self.sites[place].session {
            self.cut.insert(session);
        }
        self.crash_site(place);
        self.hang_up(place)?;
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

    pub(super) fn repair(&mut self, place: usize) -> Result<(), String> {
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

    /// All machines that come back are up, all wishes are yes that are not no, and everyone connects anew.
    pub(super) fn recover(&mut self) -> Result<(), String> {
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
            self.hang_up(place)?;
            self.sites[place].session = None;
            self.connect(place)?;
        }
        Ok(())
    }
}
