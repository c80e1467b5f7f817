//! A site's side of the protocol.
//!
//! Everything that a party sends is a function of one 32-byte seed and of what it was told, so that a party that was killed and
//! has its seed on disk says the same again, byte for byte. Whoever drives it keeps three things on disk before they are used:
//! the seed before the advertisement, the masked input before it is sent, the survivors before they are signed.

use std::collections::{BTreeMap, BTreeSet};

use summaries::Lanes;
use zeroize::Zeroizing;

use super::SecaggError;
use super::agreement::{Pair, derive, open, seal};
use super::identity::IdentityKey;
use super::shamir::{self, SHARE_BYTES, Share};
use super::stream::{Mask, Sign, Words, apply};
use super::terms::{
    Advertisement, Consent, Keys, Reveal, RevealedShare, SealedShare, Secret, Shared, Terms, commitment, pair_mask_key,
    self_mask_key, take,
};
use crate::sensitive::{Released, Sensitive};

/// A site in one instance. It has no `Debug`.
pub struct Party {
    terms: Terms,
    place: u32,
    cipher: Pair,
    mask: Pair,
    mask_secret: Zeroizing<[u8; 32]>,
    self_seed: Zeroizing<[u8; 32]>,
    coefficients: Zeroizing<[u8; 32]>,
}

/// What a party got in ShareKeys: its peers' shares, opened.
pub struct Peers {
    shares: BTreeMap<u32, (Share, Share)>,
    shared: Shared,
}

impl Party {
    /// The party at a place, from the seed that it drew for this instance alone.
    ///
    /// # Errors
    /// The place is not in the roster.
    pub fn new(terms: Terms, place: u32, seed: &Zeroizing<[u8; 32]>) -> Result<Party, SecaggError> {
        terms.identity(place).ok_or(SecaggError::Terms("the party is not in the roster"))?;
        let part = |word: &str| derive(&terms.instance, seed.as_slice(), word, place, place);
        let (cipher, mask_secret) = (part("cipher secret")?, part("mask secret")?);
        Ok(Party {
            cipher: Pair::from_secret(&cipher)?,
            mask: Pair::from_secret(&mask_secret)?,
            mask_secret,
            self_seed: part("self secret")?,
            coefficients: part("coefficients")?,
            terms,
            place,
        })
    }

    /// Its place in the roster.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// AdvertiseKeys.
    ///
    /// # Errors
    /// The identity is not the roster's.
    pub fn advertise(&self, identity: &IdentityKey) -> Result<Advertisement, SecaggError> {
        if self.terms.identity(self.place) != Some(&identity.public()) {
            return Err(SecaggError::Terms("the roster has another identity at this place"));
        }
        let a = Advertisement {
            place: self.place,
            cipher_key: self.cipher.public,
            mask_key: self.mask.public,
            commitment: commitment(&self.terms.instance, self.place, &self.self_seed)?,
            signature: [0; 64],
        };
        Ok(a.signed(&self.terms.instance, identity))
    }

    /// Checks the round's keys: valid, and the party's own among them as it advertised it.
    ///
    /// # Errors
    /// Which of these does not hold.
    pub fn keys(&self, list: Vec<Advertisement>) -> Result<Keys, SecaggError> {
        let keys = Keys::new(&self.terms, list)?;
        match keys.of(self.place) {
            Some(own) if own.mask_key == self.mask.public && own.cipher_key == self.cipher.public => Ok(keys),
            _ => Err(SecaggError::Message("the party's own keys are not among the round's")),
        }
    }

    fn share_key(&self, keys: &Keys, peer: u32, from: u32, to: u32) -> Result<Zeroizing<[u8; 32]>, SecaggError> {
        let other = keys.of(peer).ok_or(SecaggError::Message("a share of a party without keys"))?;
        // With the list of keys, so that two lists never have shares sealed under one key.
        let secret = Zeroizing::new([self.cipher.agree(&other.cipher_key)?.as_slice(), &keys.digest].concat());
        derive(&self.terms.instance, &secret, "share", from, to)
    }

    /// The random coefficients of the shares; others for another list of keys.
    fn polynomials(&self, keys: &Keys) -> Result<Words, SecaggError> {
        let secret = Zeroizing::new([self.coefficients.as_slice(), &keys.digest].concat());
        let key = derive(&self.terms.instance, &secret, "polynomials", self.place, self.place)?;
        Ok(Words::new(&key))
    }

    /// ShareKeys: both secrets, shared to every neighbour.
    ///
    /// # Errors
    /// A key can't be agreed on.
    pub fn share(&self, keys: &Keys) -> Result<Vec<SealedShare>, SecaggError> {
        let mut places: Vec<u32> = keys.neighbours(self.place).into_iter().collect();
        places.push(self.place);
        let t = keys.graph.threshold(self.terms.threshold);
        let mut words = self.polynomials(keys)?;
        let masks = shamir::split(&self.mask_secret, t, &places, &mut words);
        let selves = shamir::split(&self.self_seed, t, &places, &mut words);
        let mut out = Vec::with_capacity(places.len());
        for ((to, mask), (_, own)) in masks.iter().zip(&selves).filter(|((to, _), _)| *to != self.place) {
            let plain =
                [self.place.to_be_bytes().as_slice(), &to.to_be_bytes(), mask.as_slice(), own.as_slice()].concat();
            let key = self.share_key(keys, *to, self.place, *to)?;
            out.push(SealedShare { from: self.place, to: *to, sealed: seal(&key, plain)? });
        }
        Ok(out)
    }

    /// Opens what the peers shared. `shared` are all whose shares were handed on, this party included; the others are left out of
    /// the round.
    ///
    /// # Errors
    /// A share does not open, is not from a neighbour that shared, or is missing; those who shared are no set to go on with.
    pub fn receive(&self, keys: &Keys, shared: &[u32], sealed: &[SealedShare]) -> Result<Peers, SecaggError> {
        let shared = Shared::new(&self.terms, keys, shared)?;
        let neighbours: BTreeSet<u32> = keys.neighbours(self.place).intersection(&shared.places).copied().collect();
        let mut shares = BTreeMap::new();
        for s in sealed {
            if s.to != self.place || !neighbours.contains(&s.from) || s.sealed.len() != SealedShare::BYTES {
                return Err(SecaggError::Message("a share is not from a neighbour to this party"));
            }
            let key = self.share_key(keys, s.from, s.from, s.to)?;
            let plain = open(&key, &s.sealed).ok_or(SecaggError::Share { from: s.from })?;
            let mut rest = plain.as_slice();
            let named = (take(&mut rest).map(u32::from_be_bytes), take(&mut rest).map(u32::from_be_bytes));
            let halves = (take::<SHARE_BYTES>(&mut rest), take::<SHARE_BYTES>(&mut rest));
            let (true, (Some(mask), Some(own))) = (named == (Some(s.from), Some(s.to)), halves) else {
                return Err(SecaggError::Share { from: s.from });
            };
            if shares.insert(s.from, (Zeroizing::new(mask), Zeroizing::new(own))).is_some() {
                return Err(SecaggError::Message("a party shared twice"));
            }
        }
        let t = keys.graph.threshold(self.terms.threshold);
        if shares.len() + 1 < t {
            return Err(SecaggError::TooFew { phase: "ShareKeys", given: shares.len() + 1, needed: t });
        }
        if !shared.places.contains(&self.place) || shares.len() != neighbours.len() {
            return Err(SecaggError::Message(
                "a neighbour's share is missing, or this party is not among those who shared",
            ));
        }
        Ok(Peers { shares, shared })
    }

    /// MaskedInputCollection: the noised input, which may not leave, becomes uniform words, which may:
    /// y = x + PRG(b) + Σ ±PRG(s) modulo 2^64.
    ///
    /// # Errors
    /// A key can't be agreed on.
    pub fn mask(
        &self,
        keys: &Keys,
        peers: &Peers,
        input: Sensitive<Lanes>,
        threads: usize,
    ) -> Result<Released<Vec<u64>>, SecaggError> {
        let instance = &self.terms.instance;
        let mut masks = vec![Mask { key: self.self_mask()?, sign: Sign::Plus }];
        for peer in peers.shares.keys() {
            let other = keys.of(*peer).ok_or(SecaggError::Message("a peer has no keys"))?;
            let shared = self.mask.agree(&other.mask_key)?;
            let key = pair_mask_key(instance, (self.place, *peer), &shared, &peers.shared)?;
            masks.push(Mask { key, sign: sign(self.place, *peer) });
        }
        let mut words: Vec<u64> = input.open().into_values().into_iter().map(i64::cast_unsigned).collect();
        apply(&mut words, &masks, threads);
        Ok(Released::new(words))
    }

    pub(crate) fn self_mask(&self) -> Result<Zeroizing<[u8; 32]>, SecaggError> {
        self_mask_key(&self.terms.instance, self.place, &self.self_seed)
    }

    /// ConsistencyCheck: signs a set of survivors. Whoever drives the party has it on disk that this set and no other was
    /// signed for the instance.
    ///
    /// # Errors
    /// The set is too small, does not hold this party, holds one that did not share, or does not hold together.
    pub fn consent(
        &self,
        keys: &Keys,
        peers: &Peers,
        survivors: &[u32],
        identity: &IdentityKey,
    ) -> Result<Consent, SecaggError> {
        self.survivors(keys, peers, survivors)?;
        Ok(Consent::signed(self.place, &self.terms.instance, &peers.shared, survivors, identity))
    }

    fn survivors(&self, keys: &Keys, peers: &Peers, survivors: &[u32]) -> Result<(), SecaggError> {
        let t = self.terms.threshold;
        if survivors.len() < t {
            return Err(SecaggError::TooFew { phase: "MaskedInputCollection", given: survivors.len(), needed: t });
        }
        let ascending = survivors.windows(2).all(|w| matches!(w, [a, b] if a < b));
        let known = |p: &u32| peers.shared.places.contains(p);
        if !ascending || !survivors.contains(&self.place) || !survivors.iter().all(known) {
            return Err(SecaggError::Message(
                "the survivors are not a set of the round's parties with this one among them",
            ));
        }
        if !keys.graph.holds_together(survivors) {
            return Err(SecaggError::Message("the survivors fall apart: a part of them could be unmasked alone"));
        }
        Ok(())
    }

    /// Unmasking: for each peer that shared, the share of its self-mask where it survived, of its mask key where it did not.
    ///
    /// # Errors
    /// Fewer than the threshold signed these survivors, or a signature does not verify.
    pub fn reveal(
        &self,
        keys: &Keys,
        peers: &Peers,
        survivors: &[u32],
        consents: &[Consent],
    ) -> Result<Reveal, SecaggError> {
        self.survivors(keys, peers, survivors)?;
        let mut signers: Vec<u32> = consents.iter().map(|c| c.place).filter(|p| survivors.contains(p)).collect();
        signers.sort_unstable();
        signers.dedup();
        if signers.len() != consents.len() || signers.len() < self.terms.threshold {
            let (given, needed) = (signers.len(), self.terms.threshold);
            return Err(SecaggError::TooFew { phase: "ConsistencyCheck", given, needed });
        }
        if !consents.iter().all(|c| c.verifies(&self.terms, &peers.shared, survivors)) {
            return Err(SecaggError::Signature { phase: "ConsistencyCheck" });
        }
        let shares = peers
            .shares
            .iter()
            .map(|(of, (mask, own))| {
                let (secret, share) =
                    if survivors.contains(of) { (Secret::SelfMask, own) } else { (Secret::MaskKey, mask) };
                RevealedShare { of: *of, secret, share: share.clone() }
            })
            .chain([self.own_share(keys)?])
            .collect();
        Ok(Reveal { place: self.place, shares })
    }

    /// A survivor's own share of its own self-mask.
    fn own_share(&self, keys: &Keys) -> Result<RevealedShare, SecaggError> {
        let mut words = self.polynomials(keys)?;
        let mut places: Vec<u32> = keys.neighbours(self.place).into_iter().collect();
        places.push(self.place);
        let t = keys.graph.threshold(self.terms.threshold);
        shamir::split(&self.mask_secret, t, &places, &mut words);
        let own = shamir::split(&self.self_seed, t, &[self.place], &mut words).pop();
        let (_, share) = own.ok_or(SecaggError::Crypto("secret sharing"))?;
        Ok(RevealedShare { of: self.place, secret: Secret::SelfMask, share })
    }
}

/// The lower place adds the pair's mask, the higher takes it away.
pub(crate) fn sign(own: u32, peer: u32) -> Sign {
    if own < peer { Sign::Plus } else { Sign::Minus }
}
