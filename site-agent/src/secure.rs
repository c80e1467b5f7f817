//! The site's part in a secure round: checks the terms against its own plan and pins, keeps on disk what must not be lost or
//! done twice, and answers phase by phase.
//!
//! ```text
//!   order ──► seed on disk ──► advertisement
//!   keys  ──► on disk, once ──► shares             (a function of the seed and the keys)
//!   shares ─► charge, noise, mask ──► sealed release, in one synced transaction with the shares
//!   survivors ─► on disk, once ──► consent
//!   consents ──► reveal                            (a function of what is on disk)
//! ```
//!
//! Killed anywhere, the agent says the same again when it is told the same again. It goes on with one list of keys and signs one
//! set of survivors an attempt, so nothing that it reveals can serve two unmaskings. Each of these is read, checked and written
//! in one turn: messages that come at once are taken one after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use platform::store::SharedStore;
use platform::{Durability, Transaction};
use privacy::secagg::Instance;
use privacy::secagg::{
    Advertisement, Consent, Identity, IdentityKey, Keys, Party, Peers, Reveal, SealedShare, SecaggError, Terms,
};
use proto::secure::{Member, RoundTerms};
use proto::{Hash, RoundId, SiteId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use certs::head::{hex, unhex};

use crate::identity::Pins;
use crate::policy::Objection;

/// What is on disk of one attempt.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    terms: RoundTerms,
    /// Identities of the roster, hexadecimal.
    identities: Vec<String>,
    /// The seed of everything that the party says; gone when the round is over.
    seed: String,
    /// The round's parameters, as bits.
    parameters: Vec<u64>,
    /// The round's keys, as they first came.
    #[serde(default)]
    keys: Vec<String>,
    /// As sealed.
    #[serde(default)]
    shares: Vec<(u32, String)>,
    /// All whose shares were handed on, as it was told.
    #[serde(default)]
    shared: Vec<u32>,
    /// As signed.
    #[serde(default)]
    survivors: Vec<u32>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// The attempts at secure rounds that a site takes part in.
pub struct SecureRounds {
    store: SharedStore,
    site: SiteId,
    /// One answer at a time.
    turn: Mutex<()>,
}

/// One attempt, opened.
pub struct Attempt {
    stored: Stored,
    party: Party,
    terms: Terms,
}

fn key(round: &RoundId, attempt: u32) -> String {
    format!("secure/{}/{:06}/{:06}/{attempt:04}", round.study, round.analysis, round.round)
}

fn no(code: &str, reason: impl Into<String>) -> Objection {
    Objection::new(code, reason)
}

impl From<SecaggError> for Objection {
    fn from(e: SecaggError) -> Objection {
        no("secure_round", e.to_string())
    }
}

impl SecureRounds {
    /// Over a store.
    pub fn new(store: SharedStore, site: SiteId) -> SecureRounds {
        SecureRounds { store, site, turn: Mutex::new(()) }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn internal(e: &dyn std::fmt::Display) -> Objection {
        tracing::error!("secure round: {e}");
        no("internal", "the site could not answer; its own log says why")
    }

    fn put(&self, name: &'static str, attempt: &Attempt) -> Result<(), Objection> {
        let mut t = Transaction::new(name);
        t.put(key(&attempt.stored.terms.round, attempt.stored.terms.attempt), attempt.bytes());
        self.store.commit(t, Durability::Synced).map_err(|e| SecureRounds::internal(&e))
    }

    /// Joins an attempt: checks the roster against the pins, and answers with the advertisement. Asked again for the same terms, it
    /// says the same. An attempt that was `charged` is not joined anew: what it needs was forgotten or lost.
    ///
    /// # Errors
    /// A site of the roster is not pinned, the terms do not hold, the attempt was joined under other terms, or was charged before.
    pub fn join(
        &self,
        (terms, charged): (RoundTerms, bool),
        parameters: &[f64],
        identities: &[Identity],
        pins: &Pins,
        identity: &IdentityKey,
        seed: impl FnOnce() -> Result<[u8; 32], platform::entropy::EntropyError>,
    ) -> Result<Advertisement, Objection> {
        let own = identity.public();
        let those = |wrong: &dyn Fn(&SiteId, &Identity) -> bool| -> Vec<&str> {
            let roster = terms.roster.iter().zip(identities);
            roster.filter(|(m, i)| wrong(&m.site, i)).map(|(m, _)| m.site.as_str()).collect()
        };
        let unknown = those(&|site, i| if *site == self.site { *i != own } else { !pins.knows(site, i) });
        let changed = those(&|site, i| pins.contradicts(site, i));
        if !changed.is_empty() {
            let reason = format!(
                "the identity keys of {} are not the ones that the site has pinned; its staff asks theirs by telephone",
                changed.join(", ")
            );
            return Err(no("peer_key_changed", reason).of(changed));
        }
        if !unknown.is_empty() {
            let reason = format!(
                "the site has not pinned the identity keys of {}; its staff compares fingerprints and runs site-agent keys pin",
                unknown.join(", ")
            );
            return Err(no("peer_not_pinned", reason).of(unknown));
        }
        let _turn = self.turn();
        if let Some(attempt) = self.open(&terms.round, terms.attempt)? {
            if attempt.stored.terms != terms {
                return Err(no("already_answered", "the attempt was joined under other terms"));
            }
            return Ok(attempt.party.advertise(identity)?);
        }
        if charged {
            return Err(no("release_lost", "this attempt was paid for here before, and its secrets are gone"));
        }
        let seed = hex(Zeroizing::new(seed().map_err(|e| SecureRounds::internal(&e))?).as_slice());
        let parameters = parameters.iter().map(|p| p.to_bits()).collect();
        let identities = identities.iter().map(|i| hex(&i.0)).collect();
        let (keys, shares, shared, survivors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let stored = Stored { terms, identities, seed, parameters, keys, shares, shared, survivors };
        let attempt = Attempt::new(stored, &self.site)?;
        self.put("secure/join", &attempt)?;
        Ok(attempt.party.advertise(identity)?)
    }

    /// An attempt that was joined.
    ///
    /// # Errors
    /// The store fails, or it can't be read.
    pub fn open(&self, round: &RoundId, attempt: u32) -> Result<Option<Attempt>, Objection> {
        let bytes = self.store.get(key(round, attempt).as_bytes()).map_err(|e| SecureRounds::internal(&e))?;
        let Some(bytes) = bytes.map(Zeroizing::new) else { return Ok(None) };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| SecureRounds::internal(&e))?;
        Attempt::new(stored, &self.site).map(Some)
    }

    fn joined(&self, round: &RoundId, attempt: u32) -> Result<Attempt, Objection> {
        self.open(round, attempt)?.ok_or_else(|| no("secure_round", "this attempt was not joined"))
    }

    /// ShareKeys: this party's shares under the round's keys. The first list of keys stands.
    ///
    /// # Errors
    /// The keys do not hold, or others came before.
    pub fn share(&self, round: &RoundId, attempt: u32, advertised: &[Vec<u8>]) -> Result<Vec<SealedShare>, Objection> {
        let _turn = self.turn();
        let mut attempt = self.joined(round, attempt)?;
        let keys = attempt.keys(advertised)?;
        let list: Vec<String> = advertised.iter().map(|a| hex(a)).collect();
        if attempt.stored.keys.is_empty() {
            attempt.stored.keys = list;
            self.put("secure/keys", &attempt)?;
        } else if attempt.stored.keys != list {
            return Err(no("already_answered", "other keys were answered for this attempt"));
        }
        Ok(attempt.party.share(&keys)?)
    }

    /// Signs the survivors; once an attempt.
    ///
    /// # Errors
    /// Another set was signed, or this one can't be.
    pub fn consent(
        &self,
        round: &RoundId,
        attempt: u32,
        survivors: &[u32],
        identity: &IdentityKey,
    ) -> Result<Consent, Objection> {
        let _turn = self.turn();
        let mut attempt = self.joined(round, attempt)?;
        let (keys, peers) = attempt.sealed()?;
        let consent = attempt.party.consent(&keys, &peers, survivors, identity)?;
        if attempt.stored.survivors.is_empty() {
            attempt.stored.survivors = survivors.to_vec();
            self.put("secure/consent", &attempt)?;
        } else if attempt.stored.survivors != survivors {
            return Err(no("already_answered", "another set of survivors was signed for this attempt"));
        }
        Ok(consent)
    }

    /// Unmasking, for the survivors that were signed.
    ///
    /// # Errors
    /// None were signed yet, or too few sites signed them.
    pub fn reveal(&self, round: &RoundId, attempt: u32, consents: &[Consent]) -> Result<Reveal, Objection> {
        let _turn = self.turn();
        let attempt = self.joined(round, attempt)?;
        if attempt.stored.survivors.is_empty() {
            return Err(no("secure_round", "no survivors were signed"));
        }
        let (keys, peers) = attempt.sealed()?;
        Ok(attempt.party.reveal(&keys, &peers, &attempt.stored.survivors, consents)?)
    }

    /// Forgets the secrets of a study's rounds: they are of no use any more, and should be of no use to anybody.
    ///
    /// # Errors
    /// The store fails.
    pub fn forget(&self, study: &proto::StudyId) -> Result<(), platform::StoreError> {
        let _turn = self.turn();
        let mut t = Transaction::new("secure/forget");
        for (key, _) in self.store.scan(format!("secure/{study}/").as_bytes())? {
            t.delete(key);
        }
        self.store.commit(t, Durability::Buffered)
    }

    /// Forgets the secrets of all rounds, in a transaction: those of an old copy of the state may have been used since.
    ///
    /// # Errors
    /// The store fails.
    pub fn forget_all(&self, into: &mut Transaction) -> Result<(), platform::StoreError> {
        self.store.scan(b"secure/")?.into_iter().for_each(|(key, _)| {
            into.delete(key);
        });
        Ok(())
    }
}

impl Attempt {
    fn new(stored: Stored, site: &SiteId) -> Result<Attempt, Objection> {
        let instance = Instance(stored.terms.instance().map_err(|e| SecureRounds::internal(&e))?.0);
        let bad = |e: certs::CertError| SecureRounds::internal(&e);
        let roster =
            stored.identities.iter().map(|i| Ok(Identity(unhex(i)?))).collect::<Result<_, _>>().map_err(bad)?;
        let (t, c) = (stored.terms.threshold as usize, stored.terms.colluders as usize);
        let terms = Terms::new(instance, roster, t, c)?;
        let place = stored.terms.place(site).ok_or_else(|| no("secure_round", "the site is not in the roster"))?;
        let party = Party::new(terms.clone(), place, &Zeroizing::new(unhex(&stored.seed).map_err(bad)?))?;
        Ok(Attempt { stored, party, terms })
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.stored).unwrap_or_default()
    }

    /// The terms of the round.
    pub fn terms(&self) -> &RoundTerms {
        &self.stored.terms
    }

    /// The round's parameters.
    pub fn parameters(&self) -> Vec<f64> {
        self.stored.parameters.iter().map(|p| f64::from_bits(*p)).collect()
    }

    /// The instance.
    pub fn instance(&self) -> Hash {
        Hash(self.terms.instance.0)
    }

    fn keys(&self, advertised: &[Vec<u8>]) -> Result<Keys, Objection> {
        let wrong = || no("secure_round", "an advertisement can't be read");
        let list = advertised.iter().map(|a| Advertisement::from_bytes(a).ok_or_else(wrong));
        Ok(self.party.keys(list.collect::<Result<_, _>>()?)?)
    }

    /// Takes the peers' shares, for the seal, and who shared.
    ///
    /// # Errors
    /// The keys did not come before, or a share does not open: then whose it is is named.
    pub fn take_shares(&mut self, shared: &[u32], shares: &[SealedShare]) -> Result<(), Objection> {
        let keys = self.stored_keys()?;
        self.party.receive(&keys, shared, shares).map_err(|e| match e {
            SecaggError::Share { from } => {
                let site = self.stored.terms.site(from).map(ToString::to_string).unwrap_or_default();
                no("bad_share", format!("the share of {site} does not open")).of([site])
            }
            other => other.into(),
        })?;
        self.stored.shared = shared.to_vec();
        self.stored.shares = shares.iter().map(|s| (s.from, hex(&s.sealed))).collect();
        Ok(())
    }

    fn stored_keys(&self) -> Result<Keys, Objection> {
        let wrong = |e: certs::CertError| SecureRounds::internal(&e);
        if self.stored.keys.is_empty() {
            return Err(no("secure_round", "the round's keys have not come yet"));
        }
        let bytes = self.stored.keys.iter().map(|k| unhex::<{ Advertisement::BYTES }>(k));
        let list = bytes.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        Ok(Keys::kept(&self.terms, list.iter().filter_map(|b| Advertisement::from_bytes(b)).collect()))
    }

    /// Keys and peers, as they were taken.
    ///
    /// # Errors
    /// They did not come before.
    pub fn sealed(&self) -> Result<(Keys, Peers), Objection> {
        let wrong = |e: certs::CertError| SecureRounds::internal(&e);
        let keys = self.stored_keys()?;
        let place = self.party.place();
        let shares = self.stored.shares.iter().map(|(from, sealed)| {
            Ok(SealedShare { from: *from, to: place, sealed: unhex::<{ SealedShare::BYTES }>(sealed)?.to_vec() })
        });
        let shares = shares.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let peers = self.party.receive(&keys, &self.stored.shared, &shares)?;
        Ok((keys, peers))
    }

    /// MaskedInputCollection.
    ///
    /// # Errors
    /// Keys or shares did not come before.
    pub fn mask(&self, share: privacy::Share, threads: usize) -> Result<privacy::Released<Vec<u64>>, SecaggError> {
        let (keys, peers) = self.sealed().map_err(|_| SecaggError::Message("keys or shares are missing"))?;
        self.party.mask(&keys, &peers, share.lanes, threads)
    }

    /// Adds what was taken to the transaction that seals the release.
    pub fn enter(&self, into: &mut Transaction) {
        into.put(key(&self.stored.terms.round, self.stored.terms.attempt), self.bytes());
    }
}

/// The roster of an order: sites in ascending order with their identities.
///
/// # Errors
/// An id or an identity can't be read, or they are not in order.
pub fn roster(members: &[proto::wire::Member]) -> Result<(Vec<Member>, Vec<Identity>), Objection> {
    let wrong = |why: &str| no("malformed", format!("the roster can't be read: {why}"));
    let mut sites = Vec::with_capacity(members.len());
    let mut identities = Vec::with_capacity(members.len());
    for m in members {
        let site = SiteId::parse(&m.site).map_err(|e| wrong(&e.to_string()))?;
        let identity =
            Identity(<[u8; 32]>::try_from(m.identity.as_ref()).map_err(|_| wrong("an identity has no 32 bytes"))?);
        sites.push(Member { site, fingerprint: Hash(identity.fingerprint().0) });
        identities.push(identity);
    }
    if sites.windows(2).any(|w| matches!(w, [a, b] if a.site >= b.site)) {
        return Err(wrong("sites are not in ascending order"));
    }
    Ok((sites, identities))
}

#[cfg(test)]
mod tests;
