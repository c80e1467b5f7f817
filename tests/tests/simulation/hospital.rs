//! A site: its machine, its ledger and its releases, driven as the agent drives them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::round::Decision;
use platform::{Durability, Micros, OsEntropy, Store, Transaction};
use privacy::{Caps, DiscreteGaussian, Mechanism};
use proto::manifest::parameters_hash;
use proto::{SiteId, StudyId};
use site_agent::ledger::Ledger;
use site_agent::releases::{Noised, Order, ReleaseError, Releases, Sealed, State};

use crate::machine::Machine;
use crate::study::{Prepared, patients};
use crate::world::{Fault, FromSite, ToSite};

/// The years of entry of every site's patients.
const BLOCKS: [u16; 2] = [2000, 2001];

pub(crate) struct Hospital {
    pub(crate) id: SiteId,
    pub(crate) place: usize,
    pub(crate) caps: Caps,
    pub(crate) machine: Arc<Machine>,
    /// What the site wants of each study. It is on paper: no crash changes it.
    pub(crate) wish: BTreeMap<StudyId, Decision>,
    pub(crate) revoked: bool,
    /// Handles into the machine; none while it is down.
    desk: Option<(Releases, Ledger)>,
    offered: BTreeSet<StudyId>,
    crashed: bool,
    fault: Fault,
}

impl Hospital {
    pub(crate) fn new(place: usize, caps: Caps, wish: BTreeMap<StudyId, Decision>, fault: Fault) -> Hospital {
        Hospital {
            id: SiteId::parse(&format!("site-{place}")).unwrap(),
            place,
            caps,
            machine: Arc::new(Machine::new(fault == Fault::SiteDiskLies)),
            wish,
            revoked: false,
            desk: None,
            offered: BTreeSet::new(),
            crashed: false,
            fault,
        }
    }

    pub(crate) fn up(&self) -> bool {
        self.desk.is_some()
    }

    /// The process is gone, and what its machine had not synced.
    pub(crate) fn crash(&mut self) {
        self.desk = None;
        self.offered.clear();
        self.crashed = true;
    }

    /// Starts the process anew over the machine's disk.
    pub(crate) fn start(&mut self, dies: Option<(u32, bool)>) -> Result<(), String> {
        self.machine.restart(dies);
        if self.fault == Fault::LedgerRefunds && self.crashed {
            refund(&self.machine);
        }
        let (releases, ledger) = self.open()?;
        self.desk = Some((releases, ledger));
        Ok(())
    }

    pub(crate) fn open(&self) -> Result<(Releases, Ledger), String> {
        let ledger = Ledger::open(self.machine.clone()).map_err(|e| format!("{}: {e}", self.id))?;
        Ok((Releases::new(self.machine.clone(), self.id.clone(), self.caps), ledger))
    }

    /// Takes a message; what it sends back. An error is a broken promise, not a refusal.
    pub(crate) fn take(
        &mut self,
        message: &ToSite,
        plans: &[Arc<Prepared>],
        now: Micros,
    ) -> Result<Option<FromSite>, String> {
        match message {
            ToSite::Offer(study) => {
                self.offered.insert(study.clone());
                Ok(self.wish.get(study).map(|w| FromSite::Decided(study.clone(), *w)))
            }
            ToSite::Order { round, plan_hash, parameters } => {
                let Some(plan) = plans.iter().find(|p| *p.id() == round.study) else { return Ok(None) };
                if !self.offered.contains(&round.study) {
                    return Ok(None); // It overtook the plan, which a stream's order forbids: as if it had been lost.
                }
                let refused = |code| Ok(Some(FromSite::Refused(round.clone(), code)));
                match self.wish.get(&round.study) {
                    Some(Decision::Approved) => {}
                    Some(Decision::Paused) => return refused("paused"),
                    Some(Decision::Refused) => return refused("refused"),
                    _ => return refused("not_approved"),
                }
                let order = Order {
                    round: round.clone(),
                    attempt: 0,
                    plan_hash: *plan_hash,
                    parameters_hash: parameters_hash(parameters),
                    rho: plan.rho(round.analysis, round.round),
                    blocks: BLOCKS.to_vec(),
                    reruns: 0,
                    question: None,
                    prepaid: None,
                    planned: plan.planned.get(&round.analysis).cloned(),
                };
                match self.answer(plan, &order, parameters, now) {
                    Ok(sealed) => Ok(Some(FromSite::Release {
                        round: round.clone(),
                        manifest: sealed.manifest,
                        payload: sealed.payload,
                    })),
                    Err(_) if !self.machine.on() => Ok(None),
                    Err(ReleaseError::Budget(_)) => refused("budget_spent"),
                    // An order that was late, or came twice, after the site joined at a later round.
                    Err(ReleaseError::NotPrepaid(_)) => refused("not_prepaid"),
                    Err(e) => Err(format!("{} can't answer {round}: {e}", self.id)),
                }
            }
            ToSite::Acknowledged { round, .. } => {
                if let Some((releases, _)) = &self.desk
                    && let Err(e) = releases.advance(round, 0, State::Acknowledged)
                    && self.machine.on()
                {
                    return Err(format!("{} can't acknowledge {round}: {e}", self.id));
                }
                Ok(None)
            }
            ToSite::Closed => Ok(None),
        }
    }

    /// As the agent does: the stored release, else a new one.
    fn answer(&self, plan: &Prepared, order: &Order, parameters: &[f64], now: Micros) -> Result<Sealed, ReleaseError> {
        let unreadable = || ReleaseError::Unreadable(order.round.clone());
        let (releases, ledger) = self.desk.as_ref().ok_or_else(unreadable)?;
        if self.fault == Fault::SiteRedraws && self.crashed && releases.find(order)?.is_some() {
            // Planted: after the crash it does not look at what it sealed before.
            let aside = Arc::new(Machine::new(false));
            let ledger = Ledger::open(aside.clone())?;
            return seal(
                &Releases::new(aside, self.id.clone(), self.caps),
                &ledger,
                plan,
                order,
                parameters,
                self.place,
                now,
            );
        }
        if let Some(sealed) = releases.find(order)? {
            return Ok(sealed);
        }
        releases.would_admit(ledger, order, now)?;
        let sealed = seal(releases, ledger, plan, order, parameters, self.place, now)?;
        releases.advance(&order.round, 0, State::Sent)?;
        Ok(sealed)
    }
}

fn seal(
    releases: &Releases,
    ledger: &Ledger,
    plan: &Prepared,
    order: &Order,
    parameters: &[f64],
    place: usize,
    now: Micros,
) -> Result<Sealed, ReleaseError> {
    let program = study::compile::program(&plan.plan.study, order.round.analysis as usize).unwrap();
    let work = program.work(order.round.round, parameters).unwrap();
    let names: Vec<String> = work.iter().map(|w| w.name.clone()).collect();
    let draw = |rate, of| site_agent::agent::sample::poisson(&OsEntropy, rate, of);
    let parts = site_agent::agent::sampled(work, &patients(place, order.round.analysis), draw).unwrap();
    let mechanism = DiscreteGaussian;
    let noise = |charge| Ok(Noised::local(&mechanism.release(parts, charge)?));
    releases.seal(ledger, order, now, (mechanism.name(), &names), noise, |_| {})
}

/// Planted: the last charge is taken out of the ledger.
fn refund(machine: &Machine) {
    if let Some((key, _)) = machine.scan(b"ledger/entry/").unwrap().pop() {
        let mut t = Transaction::new("refund");
        t.delete(key);
        machine.commit(t, Durability::Synced).unwrap();
    }
}
