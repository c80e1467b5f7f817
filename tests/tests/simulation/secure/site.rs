//! A site: its machine and its process, with the ledger, the releases and the secure rounds of the agent.

use std::sync::Arc;

use certs::head::SignedHead;
use coordinator::round::Decision;
use platform::store::Entry;
use platform::{Durability, Micros, Store, Transaction};
use privacy::Caps;
use privacy::secagg::IdentityKey;
use proto::wire::{self, from_site};
use proto::{Hash, SiteId};
use site_agent::identity::Pins;
use site_agent::ledger::Ledger;
use site_agent::releases::Releases;
use site_agent::secure::SecureRounds;
use zeroize::Zeroizing;

use super::disk::{Disk, Flaw};
use super::{Fault, roll};
use crate::study::Prepared;

/// What is asked of the site's people, and of chance.
pub(super) struct Site {
    pub(super) id: SiteId,
    pub(super) place: usize,
    pub(super) caps: Caps,
    pub(super) key: IdentityKey,
    pub(super) pins: Arc<Pins>,
    pub(super) plan: Arc<Prepared>,
    pub(super) disk: Arc<Disk>,
    /// What the site wants of the study, and whether it has seen its plan: on paper, no crash changes it.
    pub(super) wish: Decision,
    pub(super) offered: bool,
    /// Will not come back.
    pub(super) gone: bool,
    pub(super) revoked: bool,
    /// A copy of its state, and whether the state was replaced by it.
    pub(super) backup: Option<Vec<Entry>>,
    pub(super) restored: bool,
    /// The stream that it holds to be up.
    pub(super) session: Option<u64>,
    pub(super) process: Option<Process>,
    /// Which process it is.
    pub(super) number: u32,
    /// Seeds that were drawn.
    pub(super) seeds: u64,
    pub(super) fault: Fault,
}

/// What dies with the process.
pub(super) struct Process {
    pub(super) ledger: Ledger,
    pub(super) releases: Releases,
    pub(super) rounds: SecureRounds,
    /// Entries of the ledger that the coordinator has; unknown until it was compared on this stream.
    pub(super) known: Option<u64>,
}

/// The identity key of a place.
pub(super) fn key(place: usize) -> IdentityKey {
    IdentityKey::from_seed(&Zeroizing::new(Hash::of(roll::name(place).as_bytes()).0)).unwrap()
}

impl Site {
    pub(super) fn new(place: usize, plan: Arc<Prepared>, pins: Arc<Pins>, caps: Caps, fault: Fault) -> Site {
        let flaw = match fault {
            Fault::SiteDiskLies => Flaw::Lies(None),
            Fault::ChargesApart => Flaw::ChargesApart,
            _ => Flaw::None,
        };
        Site {
            id: SiteId::parse(&roll::name(place)).unwrap(),
            place,
            caps,
            key: key(place),
            pins,
            plan,
            disk: Arc::new(Disk::new(flaw)),
            wish: Decision::Approved,
            offered: false,
            gone: false,
            revoked: false,
            backup: None,
            restored: false,
            session: None,
            process: None,
            number: 0,
            seeds: 0,
            fault,
        }
    }

    pub(super) fn open(&self) -> Result<Process, String> {
        let ledger = Ledger::open(self.disk.clone()).map_err(|e| format!("{}: {e}", self.id))?;
        let releases = Releases::new(self.disk.clone(), self.id.clone(), self.caps);
        let rounds = SecureRounds::new(self.disk.clone(), self.id.clone());
        Ok(Process { ledger, releases, rounds, known: None })
    }

    pub(super) fn crash(&mut self) {
        self.process = None;
        self.session = None;
    }

    pub(super) fn start(&mut self, dies: Option<(u32, bool)>) -> Result<(), String> {
        self.disk.restart(None);
        match self.fault {
            Fault::ForgetsSurvivors => self.edit("survivors"),
            Fault::ForgetsKeys => self.edit("keys"),
            _ => {}
        }
        self.disk.restart(dies);
        self.number += 1;
        self.process = Some(self.open()?);
        Ok(())
    }

    /// Planted: a list of what is kept of every attempt is emptied.
    fn edit(&self, field: &str) {
        let mut t = Transaction::new("planted");
        for (key, value) in self.disk.scan(b"secure/").unwrap() {
            let mut stored: serde_json::Value = serde_json::from_slice(&value).unwrap();
            stored[field] = serde_json::json!([]);
            t.put(key, serde_json::to_vec(&stored).unwrap());
        }
        self.disk.commit(t, Durability::Synced).unwrap();
    }

    /// The first message of a stream.
    pub(super) fn hello(&self) -> Option<from_site::Message> {
        let head = self.process.as_ref()?.ledger.signed_head(&self.id, &self.key, platform::Micros(0));
        Some(from_site::Message::Hello(wire::Hello {
            signed_head: serde_json::to_vec(&head).unwrap().into(),
            identity: self.key.public().0.to_vec().into(),
            ..wire::Hello::default()
        }))
    }

    pub(super) fn decision(&self) -> from_site::Message {
        let kind = match self.wish {
            Decision::Approved => wire::DecisionKind::DecisionApproved,
            Decision::Refused => wire::DecisionKind::DecisionRefused,
            Decision::Paused => wire::DecisionKind::DecisionPaused,
            Decision::Pending | Decision::Unknown => wire::DecisionKind::DecisionPending,
        };
        from_site::Message::Decision(wire::Decision {
            study: self.plan.id().to_string(),
            plan_hash: self.plan.hash.0.to_vec().into(),
            kind: kind.into(),
            ..wire::Decision::default()
        })
    }

    /// Entries that the coordinator does not have, with a signed head.
    pub(super) fn news(&mut self, now: Micros) -> Option<from_site::Message> {
        let p = self.process.as_mut()?;
        let known = p.known.filter(|_| p.ledger.admits().is_ok())?;
        let head = p.ledger.signed_head(&self.id, &self.key, now);
        let held = head.head.entries;
        if known >= held {
            return None;
        }
        let entries = p.ledger.bytes_between(known, held).ok()?;
        p.known = Some(held);
        Some(from_site::Message::Ledger(wire::LedgerEntries {
            entries: entries.into_iter().map(Into::into).collect(),
            signed_head: serde_json::to_vec(&head).unwrap().into(),
        }))
    }

    /// The operator brings back what the coordinator has of the ledger, as `site-agent ledger recover` does. Whether it was needed.
    pub(super) fn recover(&mut self, entries: Vec<Vec<u8>>, head: &SignedHead) -> Result<bool, String> {
        let Some(p) = &self.process else { return Ok(false) };
        let (held, _) = p.ledger.head();
        let missing: Vec<Vec<u8>> = entries.into_iter().skip(held as usize).collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let also = |t: &mut Transaction| p.rounds.forget_all(t);
        match p.ledger.recover(&missing, head, &self.id, &self.key, also) {
            Ok(_) => Ok(true),
            Err(_) if !self.disk.on() => Ok(false),
            Err(e) => Err(format!("{} can't be recovered: {e}", self.id)),
        }
    }
}
