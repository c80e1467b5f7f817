//! The messages of a secure round, as they come in and as they are frozen: what the pure machine counts, this holds.
//!
//! At the end of each phase what came in is frozen and made durable before anybody is told of it: after a crash the same is said
//! again, so no site is ever asked to help with two different sets of anything. The running sum is frozen with the survivors.

use std::collections::{BTreeMap, BTreeSet};

use certs::head::{hex, unhex};
use privacy::Rho;
use privacy::secagg::aggregator::{add, unmask};
use privacy::secagg::{
    Advertisement, Consent, Identity, Instance, Keys, Reveal, RevealedShare, SealedShare, SecaggError, Secret, Shared,
    Terms,
};
use proto::SiteId;
use proto::parse::Release;
use proto::secure::RoundTerms;
use proto::wire::{self, secure_message, secure_reply};
use serde::{Deserialize, Serialize};
use summaries::{MergedRelease, MergedRound};
use zeroize::Zeroizing;

use crate::merge::{Misfit, Taken};
use crate::round::secure::Step;

/// What is durable of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The terms.
    pub terms: RoundTerms,
    /// The roster's identities, hexadecimal.
    pub identities: Vec<String>,
    /// The phase that is waited for: 0 AdvertiseKeys to 4 Unmasking.
    pub step: u8,
    /// U1: advertisements, hexadecimal.
    pub keys: Vec<String>,
    /// U2: sealed shares: from, to, hexadecimal.
    pub shares: Vec<(u32, u32, String)>,
    /// U3: the releases in the sum.
    pub taken: BTreeMap<SiteId, Taken>,
    /// The masked sum, hexadecimal, once U3 is frozen.
    pub sum: String,
    /// U4: signatures, hexadecimal.
    pub consents: Vec<(u32, String)>,
}

/// Why a sum can't be unmasked.
#[derive(Debug, PartialEq, Eq)]
pub struct Spoilt {
    /// Why.
    pub why: String,
    /// Whose doing it is, where that can be told.
    pub by: Option<SiteId>,
}

impl<T: Into<String>> From<T> for Spoilt {
    fn from(why: T) -> Spoilt {
        Spoilt { why: why.into(), by: None }
    }
}

/// An attempt at a secure round.
pub struct SecureRound {
    terms: RoundTerms,
    agreed: Terms,
    step: u8,
    advertised: BTreeMap<u32, Advertisement>,
    keys: Option<Keys>,
    shares: BTreeMap<u32, Vec<SealedShare>>,
    taken: BTreeMap<SiteId, Taken>,
    sum: Vec<u64>,
    consents: BTreeMap<u32, Consent>,
    reveals: BTreeMap<u32, Reveal>,
}

/// The phase that a message is of.
pub fn phase(body: &secure_message::Body) -> Step {
    match body {
        secure_message::Body::Advertisement(_) => Step::Advertise,
        secure_message::Body::Shares(_) => Step::Share,
        secure_message::Body::Consent(_) => Step::Consent,
        secure_message::Body::Reveal(_) => Step::Reveal,
    }
}

fn misfit(what: &'static str) -> Misfit {
    Misfit { code: "secure_round", what }
}

impl SecureRound {
    /// A new attempt.
    ///
    /// # Errors
    /// The terms do not hold.
    pub fn new(terms: RoundTerms, identities: Vec<Identity>) -> Result<SecureRound, String> {
        let instance = Instance(terms.instance().map_err(|e| e.to_string())?.0);
        let (t, c) = (terms.threshold as usize, terms.colluders as usize);
        let agreed = Terms::new(instance, identities, t, c).map_err(|e| e.to_string())?;
        let lanes = usize::try_from(terms.lanes()).map_err(|_| "too many lanes".to_owned())?;
        Ok(SecureRound {
            terms,
            agreed,
            step: 0,
            advertised: BTreeMap::new(),
            keys: None,
            shares: BTreeMap::new(),
            taken: BTreeMap::new(),
            sum: vec![0; lanes],
            consents: BTreeMap::new(),
            reveals: BTreeMap::new(),
        })
    }

    /// The terms.
    pub fn terms(&self) -> &RoundTerms {
        &self.terms
    }

    /// The roster with its identities.
    pub fn members(&self) -> impl Iterator<Item = (&SiteId, &Identity)> {
        self.terms.roster.iter().map(|m| &m.site).zip(&self.agreed.roster)
    }

    /// The sites that are in the phase that is waited for.
    pub fn expected(&self) -> BTreeSet<SiteId> {
        let of = |places: Vec<u32>| places.into_iter().filter_map(|p| self.terms.site(p).cloned()).collect();
        match self.step {
            0 => self.terms.roster.iter().map(|m| m.site.clone()).collect(),
            1 => of(self.keys.iter().flat_map(Keys::places).collect()),
            2 => of(self.shares.keys().copied().collect()),
            3 => self.taken.keys().cloned().collect(),
            _ => of(self.consents.keys().copied().collect()),
        }
    }

    /// The phase that is waited for.
    pub fn step(&self) -> u8 {
        self.step
    }

    /// The releases in the sum.
    pub fn taken(&self) -> &BTreeMap<SiteId, Taken> {
        &self.taken
    }

    fn place(&self, site: &SiteId) -> Result<u32, Misfit> {
        self.terms.place(site).ok_or_else(|| misfit("site is not in the roster"))
    }

    /// Takes a site's message of the phase that is waited for.
    ///
    /// # Errors
    /// It is of another phase, or does not fit.
    pub fn take(&mut self, site: &SiteId, body: secure_message::Body) -> Result<(), Misfit> {
        let place = self.place(site)?;
        match (self.step, body) {
            (0, secure_message::Body::Advertisement(bytes)) => {
                let a = Advertisement::from_bytes(&bytes).ok_or_else(|| misfit("advertisement can't be read"))?;
                if a.place != place || !a.verifies(&self.agreed) {
                    return Err(misfit("advertisement is not signed by its identity for this round"));
                }
                // One that spoils the round for all is set aside before it can.
                let others = || self.advertised.iter().filter(|(p, _)| **p != place).map(|(_, o)| o);
                if !a.stands_beside(None) || !others().all(|o| a.stands_beside(Some(o))) {
                    return Err(misfit("advertised key is another's or of small order"));
                }
                self.advertised.insert(place, a);
            }
            (1, secure_message::Body::Shares(list)) => {
                let keys = self.keys.as_ref().ok_or_else(|| misfit("keys are not frozen"))?;
                let shares: Vec<SealedShare> = list
                    .shares
                    .into_iter()
                    .map(|s| SealedShare { from: s.from, to: s.to, sealed: s.sealed.to_vec() })
                    .collect();
                let to: BTreeSet<u32> = shares.iter().map(|s| s.to).collect();
                let fits = shares.iter().all(|s| s.from == place && s.sealed.len() == SealedShare::BYTES);
                if !fits || to != keys.neighbours(place) || shares.len() != to.len() {
                    return Err(misfit("shares are not one for each neighbour"));
                }
                self.shares.insert(place, shares);
            }
            (3, secure_message::Body::Consent(signature)) => {
                let signature = signature.as_ref().try_into().map_err(|_| misfit("signature can't be read"))?;
                let consent = Consent { place, signature };
                let shared = self.shared().map_err(|_| misfit("those who shared are not frozen"))?;
                if !self.taken.contains_key(site) || !consent.verifies(&self.agreed, &shared, &self.survivors()) {
                    return Err(misfit("signature is not on the survivors"));
                }
                self.consents.insert(place, consent);
            }
            (4, secure_message::Body::Reveal(reveal)) if self.taken.contains_key(site) => {
                let one = |s: wire::RevealedShare| {
                    let share = s.share.as_ref().try_into().map_err(|_| misfit("share can't be read"))?;
                    let secret = if s.mask_key { Secret::MaskKey } else { Secret::SelfMask };
                    Ok(RevealedShare { of: s.of, secret, share: Zeroizing::new(share) })
                };
                let shares = reveal.shares.into_iter().map(one).collect::<Result<Vec<_>, Misfit>>()?;
                let survivors: BTreeSet<u32> = self.survivors().into_iter().collect();
                let of: BTreeSet<u32> = shares.iter().map(|s| s.of).collect();
                if of.len() != shares.len() || of != self.owed(place)? {
                    return Err(misfit("shares are not one for each neighbour that shared"));
                }
                if shares.iter().any(|s| (s.secret == Secret::SelfMask) != survivors.contains(&s.of)) {
                    return Err(misfit("share is of the wrong secret"));
                }
                self.reveals.insert(place, Reveal { place, shares });
            }
            _ => return Err(misfit("message is of another phase")),
        }
        Ok(())
    }

    /// Adds a masked input. A site is added once.
    ///
    /// `charged` is what the plan has the round charged: nothing, where all rounds were paid for at once.
    ///
    /// # Errors
    /// It is of another phase or attempt, or does not fit the terms.
    pub fn take_masked(&mut self, site: &SiteId, release: &Release, charged: Rho) -> Result<(), Misfit> {
        let place = self.place(site)?;
        let m = &release.manifest;
        let secure = m.secure.ok_or_else(|| misfit("release is not masked"))?;
        let parts = m.parts.len() == self.terms.parts.len()
            && m.parts.iter().zip(&self.terms.parts).all(|(a, b)| {
                a.name == b.name && a.lanes == b.lanes && a.sigma_nano == b.sigma_nano && a.grid_bits == b.grid_bits
            });
        let fits = secure.instance.0 == self.agreed.instance.0
            && m.attempt == self.terms.attempt
            && m.plan_hash == self.terms.plan_hash
            && m.parameters_hash == self.terms.parameters_hash
            && m.rho_nano == charged.nano()
            && m.mechanism == self.terms.mechanism
            && m.reused.is_none();
        if self.step != 2 || !self.shares.contains_key(&place) {
            return Err(misfit("masked input is of another phase"));
        }
        if !fits || !parts {
            return Err(misfit("manifest is not of this aggregation"));
        }
        if self.taken.contains_key(site) {
            return Ok(());
        }
        let words: Vec<u64> = release.lanes.iter().map(|v| v.cast_unsigned()).collect();
        if !add(&mut self.sum, &words) {
            return Err(misfit("lanes are not the round's"));
        }
        let taken = Taken { release: release.id, payload_hash: m.payload_hash, rho_nano: m.rho_nano };
        self.taken.insert(site.clone(), taken);
        Ok(())
    }

    /// Of whom a survivor reveals a share: of its neighbours in U2 and itself.
    fn owed(&self, place: u32) -> Result<BTreeSet<u32>, Misfit> {
        let keys = self.keys.as_ref().ok_or_else(|| misfit("keys are not frozen"))?;
        let mut owed: BTreeSet<u32> =
            keys.neighbours(place).into_iter().filter(|p| self.shares.contains_key(p)).collect();
        owed.insert(place);
        Ok(owed)
    }

    /// U2: those whose shares came.
    fn shared(&self) -> Result<Shared, String> {
        let keys = self.keys.as_ref().ok_or("the keys are not frozen")?;
        let places: Vec<u32> = self.shares.keys().copied().collect();
        Shared::new(&self.agreed, keys, &places).map_err(|e| e.to_string())
    }

    fn survivors(&self) -> Vec<u32> {
        self.taken.keys().filter_map(|s| self.terms.place(s)).collect::<BTreeSet<u32>>().into_iter().collect()
    }

    /// Ends the phase that is waited for: what came in stands, the rest does not count. The next phase is waited for.
    ///
    /// # Errors
    /// What came in does not hold together.
    pub fn freeze(&mut self) -> Result<(), String> {
        if self.step == 0 {
            let list = self.advertised.values().cloned().collect();
            self.keys = Some(Keys::new(&self.agreed, list).map_err(|e| e.to_string())?);
        }
        if self.step == 1 {
            self.shared()?;
        }
        if self.step == 2 && !self.keys.as_ref().is_some_and(|k| k.holds_together(&self.survivors())) {
            return Err("those who came through do not hold together, and no site would unmask them".to_owned());
        }
        self.step += 1;
        Ok(())
    }

    /// What a site has to be told for the phase that is waited for. A site that came back is told the keys again with its shares.
    pub fn told(&self, site: &SiteId) -> Vec<secure_reply::Body> {
        let Ok(place) = self.place(site) else { return Vec::new() };
        let keys = || {
            let list = self.keys.iter().flat_map(|k| k.advertisements()).map(|a| a.to_bytes().into()).collect();
            secure_reply::Body::Keys(wire::Advertisements { advertisements: list })
        };
        match self.step {
            1 => vec![keys()],
            2 => {
                let own = self.shares.values().flatten().filter(|s| s.to == place);
                let one =
                    |s: &SealedShare| wire::SealedShare { from: s.from, to: s.to, sealed: s.sealed.clone().into() };
                let shared = self.shares.keys().copied().collect();
                let shares = wire::SealedShares { shares: own.map(one).collect(), shared };
                vec![keys(), secure_reply::Body::Shares(shares)]
            }
            3 => vec![secure_reply::Body::Survivors(wire::Survivors { places: self.survivors() })],
            4 => {
                let one = |c: &Consent| wire::Consent { place: c.place, signature: c.signature.to_vec().into() };
                let consents = self.consents.values().map(one).collect();
                vec![secure_reply::Body::Consents(wire::Consents { consents })]
            }
            _ => Vec::new(),
        }
    }

    /// Whose doing it is that nothing can be unmasked: of one whose secret does not come out though there are more shares of it than
    /// the threshold and as many as could be wrong.
    fn spoilt(&self, e: &SecaggError) -> Spoilt {
        let by = match e {
            SecaggError::Secret { of, spare } if *spare > self.terms.colluders as usize => {
                self.terms.site(*of).cloned()
            }
            _ => None,
        };
        Spoilt { why: e.to_string(), by }
    }

    /// The sum over the survivors, without masks.
    ///
    /// # Errors
    /// Too few revealed, or what they revealed gives no secrets.
    pub fn merge(&mut self) -> Result<(MergedRound, BTreeMap<SiteId, Taken>), Spoilt> {
        let keys = self.keys.as_ref().ok_or("the keys are not frozen")?;
        let told = self.shared()?;
        let survivors = self.survivors().into_iter().collect();
        let reveals: Vec<Reveal> = self.reveals.values().cloned().collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let unmasked = unmask(&self.agreed, keys, &told, &survivors, &reveals, &mut self.sum, threads);
        unmasked.map_err(|e| self.spoilt(&e))?;
        let sites = self.taken.len();
        let shared = privacy::distributed::parties(self.terms.threshold as usize, self.terms.colluders as usize);
        let mut rest: &[u64] = &self.sum;
        let mut parts = Vec::with_capacity(self.terms.parts.len());
        for part in &self.terms.parts {
            let lanes = usize::try_from(part.lanes).unwrap_or(usize::MAX);
            let (own, after) = rest.split_at_checked(lanes).ok_or("the sum is too short")?;
            rest = after;
            let sigma = part.sigma_nano.parse::<u128>().map_err(|e| e.to_string())? as f64 / 1e9;
            parts.push(MergedRelease {
                lanes: own.iter().map(|w| w.cast_signed()).collect(),
                noise_variance: sigma * sigma * sites as f64,
                unit: privacy::mechanism::grid(part.grid_bits),
                sites,
                shared,
            });
        }
        Ok((MergedRound { parts, sites }, std::mem::take(&mut self.taken)))
    }

    /// What is to be made durable.
    pub fn stored(&self) -> Stored {
        let shares = self.shares.values().flatten().map(|s| (s.from, s.to, hex(&s.sealed))).collect();
        let frozen = self.step > 2;
        Stored {
            terms: self.terms.clone(),
            identities: self.agreed.roster.iter().map(|i| hex(&i.0)).collect(),
            step: self.step,
            keys: self.keys.iter().flat_map(|k| k.advertisements()).map(|a| hex(&a.to_bytes())).collect(),
            shares: if self.step > 1 { shares } else { Vec::new() },
            taken: if frozen { self.taken.clone() } else { BTreeMap::new() },
            sum: if frozen {
                hex(&self.sum.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())
            } else {
                String::new()
            },
            consents: if self.step > 3 {
                self.consents.values().map(|c| (c.place, hex(&c.signature))).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// An attempt as it was made durable, at the beginning of the phase that is waited for.
    ///
    /// # Errors
    /// It can't be read.
    pub fn restore(stored: &Stored) -> Result<SecureRound, String> {
        let bad = |e: certs::CertError| e.to_string();
        let identities =
            stored.identities.iter().map(|i| Ok(Identity(unhex(i)?))).collect::<Result<_, _>>().map_err(bad)?;
        let mut round = SecureRound::new(stored.terms.clone(), identities)?;
        for text in &stored.keys {
            let bytes = unhex::<{ Advertisement::BYTES }>(text).map_err(bad)?;
            let a = Advertisement::from_bytes(&bytes).ok_or("an advertisement can't be read")?;
            round.advertised.insert(a.place, a);
        }
        if stored.step > 0 {
            round.freeze()?; // The keys; what else was frozen was checked then.
        }
        for (from, to, sealed) in &stored.shares {
            let sealed = unhex::<{ SealedShare::BYTES }>(sealed).map_err(bad)?.to_vec();
            round.shares.entry(*from).or_default().push(SealedShare { from: *from, to: *to, sealed });
        }
        if stored.step > 2 {
            round.taken = stored.taken.clone();
            if stored.sum.len() != round.sum.len() * 16 {
                return Err("the sum has another length".to_owned());
            }
            for (slot, at) in round.sum.iter_mut().zip((0..stored.sum.len()).step_by(16)) {
                let word = stored.sum.get(at..at + 16).ok_or("the sum can't be read")?;
                *slot = u64::from_le_bytes(unhex::<8>(word).map_err(bad)?);
            }
        }
        for (place, signature) in &stored.consents {
            let signature = unhex::<64>(signature).map_err(bad)?;
            round.consents.insert(*place, Consent { place: *place, signature });
        }
        round.step = stored.step;
        Ok(round)
    }
}
