//! How a site answers: as the agent does, over the same rounds, releases and ledger, with the patients at hand in place of a lake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coordinator::round::Decision;
use platform::store::SharedStore;
use platform::{MemoryStore, Micros};
use privacy::secagg::{Consent, RevealedShare, SealedShare, Secret};
use privacy::{DiscreteGaussian, Mechanism, MechanismError, MechanismName, Rho, Scale};
use proto::manifest::parameters_hash;
use proto::wire::{self, from_site, secure_message, secure_reply::Body, to_site};
use proto::{Hash, RoundId, SecureManifest};
use site_agent::ledger::{Ledger, LedgerError};
use site_agent::policy::Objection;
use site_agent::releases::{Noised, Order, ReleaseError, Releases, Sealed, State};
use site_agent::secure::Attempt;
use summaries::Sensitivity;

use super::site::{Process, Site};
use super::{BLOCKS, Fault};
use crate::study::patients;

/// What was under each mask: the lanes with their noise, by the hash of the masked bytes. Nobody but the oracles sees it.
pub(super) type Drawn = BTreeMap<Hash, Vec<i64>>;

/// The real mechanism; what it gives is noted.
#[derive(Default)]
struct Noting(Mutex<Vec<i64>>);

impl Mechanism for Noting {
    fn name(&self) -> MechanismName {
        DiscreteGaussian.name()
    }
    fn sigma(&self, sensitivity: &Sensitivity, rho: Rho) -> f64 {
        DiscreteGaussian.sigma(sensitivity, rho)
    }
    fn noise(
        &self,
        lanes: &mut [i64],
        scale: &Scale,
        sensitivity: &Sensitivity,
        parties: usize,
        share: Rho,
    ) -> Result<(), MechanismError> {
        DiscreteGaussian.noise(lanes, scale, sensitivity, parties, share)?;
        self.0.lock().unwrap().extend_from_slice(lanes);
        Ok(())
    }
}

fn no(code: &str, reason: &str) -> Objection {
    Objection::new(code, reason)
}

fn refusal_of(e: &ReleaseError) -> Objection {
    let code = match e {
        ReleaseError::Budget(_) => "budget_spent",
        ReleaseError::Answered { .. } => "already_answered",
        ReleaseError::Lost(_) => "release_lost",
        ReleaseError::Reruns { .. } => "reruns_spent",
        ReleaseError::Secagg(e) => return Objection::from(*e),
        ReleaseError::Ledger(LedgerError::Behind { .. }) => "ledger_behind",
        _ => "internal",
    };
    Objection::new(code, e.to_string())
}

fn behind(e: LedgerError) -> Objection {
    refusal_of(&e.into())
}

fn round_of(r: Option<wire::RoundRef>) -> Result<RoundId, Objection> {
    proto::parse::round(r).map_err(|e| no("malformed", &e.to_string()))
}

impl Site {
    fn running(&self) -> Result<&Process, Objection> {
        self.process.as_ref().ok_or_else(|| no("internal", "the process is gone"))
    }

    /// Takes a message of its stream; what it sends back, in order.
    pub(super) fn take(&mut self, m: to_site::Message, now: Micros, drawn: &mut Drawn) -> Vec<from_site::Message> {
        match m {
            to_site::Message::Welcome(w) => {
                let last = Hash::from_slice(&w.anchor_head).unwrap_or(Hash([0; 32]));
                let Some(p) = &mut self.process else { return Vec::new() };
                let shown =
                    serde_json::from_slice(&w.anchor_signed).ok().filter(|_| self.fault != Fault::NeverCompares);
                let said = (w.anchor_entries, last);
                if p.ledger.anchored(said, shown.as_ref(), &self.id, &self.key).is_ok()
                    || self.fault == Fault::NeverCompares
                {
                    if self.fault == Fault::NeverCompares {
                        let _ = p.ledger.anchored((0, Hash([0; 32])), None, &self.id, &self.key);
                    }
                    p.known = Some(w.anchor_entries);
                    return self.news(now).into_iter().collect();
                }
                Vec::new()
            }
            to_site::Message::Study(_) => {
                self.offered = true;
                vec![self.decision()]
            }
            to_site::Message::Closed(_) => {
                if let Some(p) = &self.process {
                    let _ = p.rounds.forget(self.plan.id());
                }
                Vec::new()
            }
            to_site::Message::Round(order) => {
                let attempt = order.secure.as_ref().map_or(0, |s| s.attempt);
                let joined = self.compared().and_then(|()| self.join(&order, now));
                let round = order.round;
                match joined {
                    Ok(bytes) => {
                        let body = Some(secure_message::Body::Advertisement(bytes.into()));
                        vec![from_site::Message::Secure(wire::SecureMessage { round, attempt, body })]
                    }
                    Err(refused) => vec![refusal(round, attempt, refused)],
                }
            }
            to_site::Message::Secure(reply) => self.secure(reply, now, drawn),
            to_site::Message::Acknowledged(a) => {
                if let (Ok(round), Some(p)) = (round_of(a.round), &self.process) {
                    let _ = p.releases.advance(&round, a.attempt, State::Acknowledged);
                }
                Vec::new()
            }
            to_site::Message::Cosigned(c) => {
                if let Some(p) = &self.process {
                    let _ = p.ledger.keep_cosigned(&c.head, &self.key);
                }
                Vec::new()
            }
            to_site::Message::Grant(_) | to_site::Message::Ping(_) => Vec::new(),
        }
    }

    fn compared(&self) -> Result<(), Objection> {
        let p = self.running()?;
        match (p.known, p.ledger.admits()) {
            (Some(_), _) => Ok(()),
            (None, Err(e)) => Err(behind(e)),
            (None, Ok(())) => Err(no("not_compared", "the ledger was not compared")),
        }
    }

    fn agreed(&self) -> Result<(), Objection> {
        match self.wish {
            _ if !self.offered => Err(no("unknown_study", "no plan is here")),
            Decision::Approved => Ok(()),
            Decision::Paused => Err(no("paused", "the site has paused the study")),
            Decision::Refused => Err(no("refused", "the site has refused the study")),
            _ => Err(no("not_approved", "the site has not approved the study")),
        }
    }

    fn asked(&self, round: &RoundId, attempt: u32, parameters: &[f64]) -> Result<Order, Objection> {
        self.agreed()?;
        Ok(Order {
            round: round.clone(),
            attempt,
            plan_hash: self.plan.hash,
            parameters_hash: parameters_hash(parameters),
            rho: self.plan.rho(round.analysis, round.round),
            blocks: BLOCKS.to_vec(),
            reruns: self.plan.plan.study.privacy.reruns,
            question: None,
            prepaid: None,
            planned: None,
        })
    }

    /// As `Agent::join`.
    fn join(&mut self, order: &wire::RoundOrder, now: Micros) -> Result<Vec<u8>, Objection> {
        let round = round_of(order.round.clone())?;
        let secure = order.secure.as_ref().ok_or_else(|| no("plan_invalid", "the order is not secure"))?;
        let asked = self.asked(&round, secure.attempt, &order.parameters)?;
        let p = self.running()?;
        let charged = p.ledger.charged(&asked.round, asked.attempt);
        if charged {
            p.ledger.admits().map_err(behind)?;
        } else {
            p.releases.would_admit(&p.ledger, &asked, now).map_err(|e| refusal_of(&e))?;
        }
        let (roster, identities) = site_agent::secure::roster(&secure.roster)?;
        let plan = &self.plan.plan;
        if roster.len() < plan.study.rounds.min_sites as usize {
            return Err(no("secure_round", "fewer sites are in the roster than the plan asks for"));
        }
        let program = study::compile::program(&plan.study, round.analysis as usize).unwrap();
        let work = program.work(round.round, &order.parameters).unwrap();
        let of = study::secure::Of {
            federation: plan.federation.clone(),
            plan_hash: asked.plan_hash,
            round,
            attempt: asked.attempt,
            parameters_hash: asked.parameters_hash,
            rho: asked.rho,
            mechanism: DiscreteGaussian.name(),
            linkage_key: String::new(),
        };
        let terms = study::secure::terms(plan, of, roster, &work).map_err(|e| no("plan_invalid", &e.to_string()))?;
        let mut drawn = false;
        let seed = || {
            drawn = true;
            Ok(Hash::of(format!("{} {}", self.id, self.seeds).as_bytes()).0)
        };
        let a = p.rounds.join((terms, charged), &order.parameters, &identities, &self.pins, &self.key, seed);
        self.seeds += u64::from(drawn);
        Ok(a?.to_bytes().to_vec())
    }

    /// As `go_on` and `hand_on` of the uplink.
    fn secure(&mut self, reply: wire::SecureReply, now: Micros, drawn: &mut Drawn) -> Vec<from_site::Message> {
        let (round, attempt) = (reply.round.clone(), reply.attempt);
        match self.compared().and_then(|()| self.go_on(reply, now, drawn)) {
            Ok(Answer::Said(body)) => {
                vec![from_site::Message::Secure(wire::SecureMessage { round, attempt, body: Some(body) })]
            }
            Ok(Answer::Masked(sealed)) => {
                let mut out: Vec<_> = self.news(now).into_iter().collect();
                if let Some(p) = &self.process {
                    let _ = p.releases.advance(&sealed.record.manifest.round, attempt, State::Sent);
                }
                let (manifest, payload) = (sealed.manifest.into(), sealed.payload.into());
                out.push(from_site::Message::Release(wire::Release { round, manifest, payload }));
                out
            }
            Err(refused) => vec![refusal(round, attempt, refused)],
        }
    }

    /// As `Agent::go_on`.
    fn go_on(&self, reply: wire::SecureReply, now: Micros, drawn: &mut Drawn) -> Result<Answer, Objection> {
        let round = round_of(reply.round)?;
        self.agreed()?;
        let p = self.running()?;
        p.ledger.admits().map_err(behind)?;
        let number = reply.attempt;
        let sealed = p.releases.get(&round, number).map_err(|e| refusal_of(&e));
        let sent = |s: Option<Sealed>| s.ok_or_else(|| no("secure_round", "no masked input was sent")).map(|_| ());
        match reply.body.ok_or_else(|| no("malformed", "empty"))? {
            Body::Keys(keys) => {
                let keys: Vec<Vec<u8>> = keys.advertisements.iter().map(|a| a.to_vec()).collect();
                let one = |s: SealedShare| wire::SealedShare { from: s.from, to: s.to, sealed: s.sealed.into() };
                let shares = p.rounds.share(&round, number, &keys)?.into_iter().map(one).collect();
                Ok(Answer::Said(secure_message::Body::Shares(wire::SealedShares { shares, shared: Vec::new() })))
            }
            Body::Shares(wire::SealedShares { shares, shared }) => {
                let sealed = sealed?;
                let again = self.fault == Fault::Redraws && self.number > 1 && sealed.is_some();
                if let Some(sealed) = sealed.filter(|_| !again) {
                    return Ok(Answer::Masked(Box::new(sealed)));
                }
                let joined = p.rounds.open(&round, number)?;
                let mut attempt = joined.ok_or_else(|| no("secure_round", "this attempt was not joined"))?;
                let one = |s: wire::SealedShare| SealedShare { from: s.from, to: s.to, sealed: s.sealed.to_vec() };
                let shares: Vec<SealedShare> = shares.into_iter().map(one).collect();
                attempt.take_shares(&shared, &shares)?;
                let order = self.asked(&round, number, &attempt.parameters())?;
                if again {
                    let aside: SharedStore = Arc::new(MemoryStore::new());
                    let ledger = Ledger::open(aside.clone()).map_err(behind)?;
                    let releases = Releases::new(aside, self.id.clone(), self.caps);
                    return self.seal((&releases, &ledger), &order, &attempt, now, drawn);
                }
                self.seal((&p.releases, &p.ledger), &order, &attempt, now, drawn)
            }
            Body::Survivors(s) => {
                sent(sealed?)?;
                let consent = p.rounds.consent(&round, number, &s.places, &self.key)?;
                Ok(Answer::Said(secure_message::Body::Consent(consent.signature.to_vec().into())))
            }
            Body::Consents(consents) => {
                sent(sealed?)?;
                let wrong = || no("malformed", "a signature can't be read");
                let read = |c: wire::Consent| {
                    let signature = <[u8; 64]>::try_from(c.signature.as_ref()).map_err(|_| wrong())?;
                    Ok(Consent { place: c.place, signature })
                };
                let consents = consents.consents.into_iter().map(read).collect::<Result<Vec<_>, Objection>>()?;
                let reveal = p.rounds.reveal(&round, number, &consents)?;
                let one = |s: &RevealedShare| wire::RevealedShare {
                    of: s.of,
                    mask_key: s.secret == Secret::MaskKey,
                    share: s.share.to_vec().into(),
                };
                let shares = reveal.shares.iter().map(one).collect();
                Ok(Answer::Said(secure_message::Body::Reveal(wire::Reveal { shares })))
            }
        }
    }

    /// As `Agent::release`: charge, noise and mask in one transaction with the shares.
    fn seal(
        &self,
        (releases, ledger): (&Releases, &Ledger),
        order: &Order,
        attempt: &Attempt,
        now: Micros,
        drawn: &mut Drawn,
    ) -> Result<Answer, Objection> {
        releases.would_admit(ledger, order, now).map_err(|e| refusal_of(&e))?;
        let program = study::compile::program(&self.plan.plan.study, order.round.analysis as usize).unwrap();
        let work = program.work(order.round.round, &attempt.parameters()).unwrap();
        let names: Vec<String> = work.iter().map(|w| w.name.clone()).collect();
        let parts = site_agent::agent::accumulate(work, &patients(self.place, order.round.analysis)).unwrap();
        let mechanism = Noting::default();
        let noise = |charge| {
            let (threshold, colluders) = (attempt.terms().threshold, attempt.terms().colluders);
            let parties = privacy::distributed::parties(threshold as usize, colluders as usize);
            let share = mechanism.share(parts, charge, parties)?;
            let scales = share.scales.clone();
            let masked = attempt.mask(share, 1)?;
            let bytes: Vec<u8> = masked.get().iter().flat_map(|w| w.to_le_bytes()).collect();
            drawn.insert(Hash::of(&bytes), mechanism.0.lock().unwrap().clone());
            let secure = SecureManifest { instance: attempt.instance(), threshold, colluders };
            Ok(Noised::masked(&masked, scales, secure))
        };
        let what = (mechanism.name(), names.as_slice());
        let sealed = releases.seal(ledger, order, now, what, noise, |t| attempt.enter(t));
        Ok(Answer::Masked(Box::new(sealed.map_err(|e| refusal_of(&e))?)))
    }
}

enum Answer {
    Said(secure_message::Body),
    Masked(Box<Sealed>),
}

fn refusal(round: Option<wire::RoundRef>, attempt: u32, refused: Objection) -> from_site::Message {
    from_site::Message::Refusal(wire::Refusal {
        round,
        code: refused.code,
        reason: refused.reason,
        attempt,
        sites: refused.sites,
    })
}
