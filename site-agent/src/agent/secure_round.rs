//! How the agent answers in a secure round, phase by phase; what it keeps of one is in [`crate::secure`].

use std::sync::Arc;

use privacy::secagg::{Advertisement, Consent, Reveal, SealedShare};
use privacy::{Charge, Mechanism};
use proto::wire;
use proto::wire::secure_reply::Body;
use proto::{RoundId, SecureManifest};
use schema::linkage::LinkageKey;
use study::Plan;
use study::spec::Aggregation;
use summaries::{Column, PatientBatch};

use super::{Agent, Ready, Refused};
use crate::identity::Pins;
use crate::policy::Objection;
use crate::releases::{Noised, Order, ReleaseError, Sealed};
use crate::secure::{self, Attempt};

/// What a site says in a secure round.
pub enum SecureAnswer {
    /// Its secrets' shares.
    Shares(Vec<SealedShare>),
    /// Its masked input.
    Masked(Box<Sealed>),
    /// Its signature on the survivors.
    Consent(Consent),
    /// The shares that unmask the sum.
    Reveal(Reveal),
}

/// The code of the refusal of a round under another linkage key.
pub const OTHER_LINKAGE_KEY: &str = "linkage_key_differs";

/// The refusal of a round under another linkage key than this site's.
pub(super) fn other_linkage_key() -> Refused {
    let reason =
        "the round is under another linkage key than the site's; its staff compares generations with the custodian";
    Objection::new(OTHER_LINKAGE_KEY, reason)
}

/// Noises a round's sums with this site's share of the noise, and masks them.
pub(super) fn masked(
    attempt: &Attempt,
    mechanism: &dyn Mechanism,
    ready: Ready,
    charge: Charge,
    threads: usize,
) -> Result<Noised, ReleaseError> {
    let terms = attempt.terms();
    let (threshold, colluders) = (terms.threshold, terms.colluders);
    let parties = privacy::distributed::parties(threshold as usize, colluders as usize);
    let share = ready.share(mechanism, charge, parties)?;
    let scales = share.scales.clone();
    let masked = attempt.mask(share, threads)?;
    let secure = SecureManifest { instance: attempt.instance(), threshold, colluders };
    Ok(Noised::masked(&masked, scales, secure))
}

impl Agent {
    /// The patients' linkage tags, under the key of one release: its instance, which is never used twice.
    pub(super) async fn tags(
        &self,
        plan: &Plan,
        order: &Order,
        attempt: &Attempt,
    ) -> Result<(Arc<PatientBatch>, u64), Refused> {
        let key = crate::linkage::key(&self.config).map_err(|e| self.internal(&e))?;
        // It may have changed since the round was joined.
        if key.as_ref().map(LinkageKey::id).unwrap_or_default() != attempt.terms().linkage_key {
            return Err(other_linkage_key());
        }
        let cohort = self
            .engine
            .linkage_tags(&self.config, &self.lake, plan, order.round.analysis, &order.blocks, key.as_ref())
            .await
            .map_err(|e| self.engine_refusal(&e))?;
        let tags = key.as_ref().map(|k| cohort.for_release(k, &attempt.instance().0)).unwrap_or_default();
        let batch = PatientBatch::new(tags.len(), vec![Column::Tags(tags)]).map_err(|e| self.internal(&e))?;
        Ok((Arc::new(batch), cohort.version))
    }

    /// Joins a secure round: the advertisement of this site's keys for it.
    ///
    /// # Errors
    /// A named reason, fit to leave.
    pub async fn join(&self, federation: &str, order: &wire::RoundOrder) -> Result<Advertisement, Refused> {
        let (prepared, asked) = self.asked(order)?;
        let invalid = |e: &dyn std::fmt::Display| Objection::new("plan_invalid", e.to_string());
        let privacy = &prepared.plan.study.privacy;
        let secure = order.secure.as_ref().filter(|_| privacy.aggregation == Aggregation::Secure);
        let secure = secure.ok_or_else(|| invalid(&"the order asks for secure aggregation, and the plan does not"))?;
        let charged = self.ledger.charged(&asked.round, asked.attempt);
        if charged {
            self.ledger.admits().map_err(|e| self.release_refusal(&e.into()))?;
        } else {
            self.releases.would_admit(&self.ledger, &asked, self.clock.now()).map_err(|e| self.release_refusal(&e))?;
        }
        self.good_enough(&prepared.plan, &asked).await?;
        let linkage_key = self.linkage_key_for(&prepared.plan, asked.round.analysis)?;
        if secure.linkage_key != linkage_key {
            return Err(other_linkage_key());
        }
        let (roster, identities) = secure::roster(&secure.roster)?;
        if roster.len() < prepared.plan.study.rounds.min_sites as usize {
            return Err(Objection::new("secure_round", "fewer sites are in the roster than the plan asks for"));
        }
        let program =
            study::compile::program(&prepared.plan.study, asked.round.analysis as usize).map_err(|e| invalid(&e))?;
        let work = program
            .work(asked.round.round, &order.parameters)
            .map_err(|e| Objection::new("parameters_invalid", e.to_string()))?;
        let of = study::secure::Of {
            federation: federation.to_owned(),
            plan_hash: asked.plan_hash,
            round: asked.round.clone(),
            attempt: asked.attempt,
            parameters_hash: asked.parameters_hash,
            rho: asked.rho,
            mechanism: self.mechanism.name(),
            linkage_key,
        };
        let terms = study::secure::terms(&prepared.plan, of, roster, &work).map_err(|e| invalid(&e))?;
        let pins = Pins::read(&self.config).map_err(|e| self.internal(&e))?;
        let seed = || self.entropy.secret();
        self.secure.join((terms, charged), &order.parameters, &identities, &pins, &self.identity, seed)
    }

    /// Goes on with a secure round: what the site says to what it was told.
    ///
    /// # Errors
    /// A named reason, fit to leave.
    pub async fn go_on(&self, reply: wire::SecureReply) -> Result<SecureAnswer, Refused> {
        let no = |code: &str, reason: &str| Objection::new(code, reason);
        let round = proto::parse::round(reply.round.clone()).map_err(|e| no("malformed", &e.to_string()))?;
        self.agreed(&round.study)?;
        self.ledger.admits().map_err(|e| self.release_refusal(&e.into()))?;
        let number = reply.attempt;
        let missing = || no("malformed", "a message of the secure round is empty");
        match reply.body.ok_or_else(missing)? {
            Body::Keys(keys) => {
                let keys: Vec<Vec<u8>> = keys.advertisements.iter().map(|a| a.to_vec()).collect();
                Ok(SecureAnswer::Shares(self.secure.share(&round, number, &keys)?))
            }
            Body::Shares(wire::SealedShares { shares, shared }) => {
                if let Some(sealed) = self.releases.get(&round, number).map_err(|e| self.release_refusal(&e))? {
                    return Ok(SecureAnswer::Masked(Box::new(sealed)));
                }
                let joined = self.secure.open(&round, number)?;
                let mut attempt = joined.ok_or_else(|| no("secure_round", "this attempt was not joined"))?;
                let shares: Vec<SealedShare> = shares
                    .into_iter()
                    .map(|s| SealedShare { from: s.from, to: s.to, sealed: s.sealed.to_vec() })
                    .collect();
                attempt.take_shares(&shared, &shares)?;
                let order = wire::RoundOrder {
                    round: Some((&round).into()),
                    plan_hash: attempt.terms().plan_hash.0.to_vec().into(),
                    parameters: attempt.parameters(),
                    secure: Some(wire::SecureOrder {
                        attempt: number,
                        roster: Vec::new(),
                        linkage_key: attempt.terms().linkage_key.clone(),
                    }),
                };
                let (prepared, asked) = self.asked(&order)?;
                let sealed = self.release(&prepared.plan, asked, &order.parameters, Some(&attempt)).await?;
                Ok(SecureAnswer::Masked(Box::new(sealed)))
            }
            Body::Survivors(s) => {
                self.sealed_here(&round, number)?;
                Ok(SecureAnswer::Consent(self.secure.consent(&round, number, &s.places, &self.identity)?))
            }
            Body::Consents(consents) => {
                self.sealed_here(&round, number)?;
                let wrong = || no("malformed", "a signature of the secure round can't be read");
                let read = |c: wire::Consent| {
                    let signature = <[u8; 64]>::try_from(c.signature.as_ref()).map_err(|_| wrong())?;
                    Ok(Consent { place: c.place, signature })
                };
                let consents = consents.consents.into_iter().map(read).collect::<Result<Vec<_>, Refused>>()?;
                Ok(SecureAnswer::Reveal(self.secure.reveal(&round, number, &consents)?))
            }
        }
    }

    /// The id of the linkage key that an analysis is under: of this site's, where distinct patients are counted, else nothing.
    fn linkage_key_for(&self, plan: &study::Plan, analysis: u32) -> Result<String, Refused> {
        if self.mechanism(plan, analysis).name() != privacy::MechanismName::Presence {
            return Ok(String::new());
        }
        crate::linkage::key_id(&self.config).map_err(|e| self.internal(&e))
    }

    fn sealed_here(&self, round: &RoundId, attempt: u32) -> Result<(), Refused> {
        match self.releases.get(round, attempt).map_err(|e| self.release_refusal(&e))? {
            Some(_) => Ok(()),
            None => Err(Objection::new("secure_round", "this site has sent no masked input in this attempt")),
        }
    }
}
